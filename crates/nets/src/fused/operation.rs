//! Functions on slices as operations of burn's autodiff graph over its CPU backend.

use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{AllocationProperty, Bytes, DType, Shape, Tensor, TensorData};
use cdarts_kernels::Buffer;

use super::readers;
use crate::laps;

/// The CPU backend with its graph.
pub(super) type CpuAutodiff = Autodiff<Flex>;

/// A tensor of burn's autodiff graph on the CPU.
pub(super) type Parent = FloatTensor<CpuAutodiff>;

/// Gradients of the parents.
pub(super) type Derivative<const N: usize> = Box<dyn FnOnce(Way<'_, N>) -> [Option<Values>; N] + Send>;

/// A tensor's values.
pub(super) enum Values {
    /// Memory of their own, which burn's operations change in place.
    Own(Vec<f32>),
    /// Memory of the workspace, to which it goes back: for what is only read. Burn copies it before a change.
    Pooled(Buffer),
}

impl From<Vec<f32>> for Values {
    fn from(values: Vec<f32>) -> Self {
        Self::Own(values)
    }
}

impl From<Buffer> for Values {
    fn from(values: Buffer) -> Self {
        Self::Pooled(values)
    }
}

impl Values {
    fn tensor(self, shape: impl Into<Shape>) -> FlexTensor {
        let bytes = match self {
            Self::Own(values) => Bytes::from_elems(values),
            Self::Pooled(values) => return pooled(values, shape),
        };
        FlexTensor::from_data(TensorData::from_bytes(bytes, shape, DType::F32))
    }

    fn as_mut_slice(&mut self) -> &mut [f32] {
        match self {
            Self::Own(values) => values,
            Self::Pooled(values) => values,
        }
    }
}

/// A tensor on memory of the workspace.
pub(super) fn pooled(values: impl AsRef<[u8]> + Send + 'static, shape: impl Into<Shape>) -> FlexTensor {
    let bytes = Bytes::from_shared(bytes::Bytes::from_owner(values), AllocationProperty::Other);
    FlexTensor::from_data(TensorData::from_bytes(bytes, shape, DType::F32))
}

/// What the way back starts from.
pub(super) struct Way<'a, const N: usize> {
    /// What the operation gave, shared with whoever reads it; empty unless asked for.
    pub output: &'a [f32],
    /// Its gradient.
    pub grad: &'a [f32],
    /// Which parents' gradients somebody waits for.
    pub wanted: [bool; N],
    /// What other readers of a parent found. Who takes it gives the sum.
    pub begun: &'a mut [Option<Values>; N],
}

/// What an operation gives on its way forward.
pub(super) struct Forward<const N: usize> {
    /// The output's values.
    pub output: Values,
    /// Whether the way back reads the output.
    pub keeps_output: bool,
    /// The way back.
    pub back: Derivative<N>,
}

/// A contiguous tensor on the host.
#[derive(Clone)]
pub(super) struct Host(FlexTensor);

impl Host {
    /// No values.
    pub fn empty() -> Self {
        Self(FlexTensor::from_data(TensorData::new(Vec::<f32>::new(), [0])))
    }

    /// A tensor's values.
    pub fn of(parent: Parent) -> Self {
        Self(parent.into_primitive().to_contiguous())
    }

    /// Its values.
    pub fn values(&self) -> &[f32] {
        // Every tensor here is contiguous and of 32-bit floats by construction.
        self.0.as_slice::<f32>().unwrap_or_default()
    }

    /// The tensor.
    pub fn into_inner(self) -> FlexTensor {
        self.0
    }
}

/// A tensor's place in the graph.
pub(super) fn parent<const D: usize>(x: Tensor<D>) -> Parent {
    match x.autodiff().try_into_primitive::<CpuAutodiff>() {
        Ok(parent) => parent,
        Err(error) => panic!("a fused operation was given a tensor that is not on the CPU: {error:?}"),
    }
}

/// A parent that holds nothing, where an operation has fewer than it might.
pub(super) fn nothing() -> Parent {
    parent(Tensor::<1>::from_data(
        TensorData::new(Vec::<f32>::new(), [0]),
        &burn::tensor::Device::flex().autodiff(),
    ))
}

/// A tensor outside the graph, on the host.
pub(super) fn host<const D: usize>(x: Tensor<D>) -> Host {
    match x.inner().try_into_primitive::<Flex>() {
        Ok(tensor) => Host(tensor.to_contiguous()),
        Err(error) => panic!("a fused operation was given a tensor that is not on the CPU: {error:?}"),
    }
}

/// A tensor of `values`, outside the graph.
pub(super) fn constant<const D: usize>(values: impl Into<Values>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(values.into().tensor(shape))
}

/// The output of a function of `parents` as a tensor of the graph. `run` gets the parents' values.
pub(super) fn apply<const N: usize, const D: usize>(
    parents: [Parent; N],
    shape: [usize; D],
    run: impl FnOnce([Host; N]) -> Forward<N>,
) -> Tensor<D> {
    let shapes = parents.each_ref().map(|parent| parent.primitive().layout().shape().to_vec());
    let guards = parents.each_ref().map(Parent::node);
    let Forward { output, keeps_output, back } = run(parents.map(Host::of));
    let output = output.tensor(shape);
    let kept = keeps_output.then(|| Host(output.clone()));
    let saved = Saved { output: kept, back: Arc::new(Mutex::new(Some(back))), shapes, part: laps::current() };
    let prepared = SliceOperation.prepare::<NoCheckpointing>(guards).compute_bound().stateful();
    Tensor::from_primitive::<CpuAutodiff>(match prepared {
        OpsKind::Tracked(prepared) => prepared.finish(saved, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    })
}

#[derive(Debug)]
struct SliceOperation;

#[derive(Clone)]
struct Saved<const N: usize> {
    /// The output, where the way back reads it.
    output: Option<Host>,
    /// Taken by the backward pass, of which there is one.
    back: Arc<Mutex<Option<Derivative<N>>>>,
    shapes: [Vec<usize>; N],
    /// The part of the step that it belongs to.
    part: Option<&'static str>,
}

impl<const N: usize> Debug for Saved<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saved").field("shapes", &self.shapes).finish_non_exhaustive()
    }
}

impl<const N: usize> Backward<Flex, N> for SliceOperation {
    type State = Saved<N>;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
        let back = ops.state.back.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(back) = back else { return };
        readers::done(ops.node.id);
        let parents = ops.parents;
        // Of a leaf, burn keeps what it gives out.
        let inner =
            parents.each_ref().map(|parent| parent.as_ref().is_some_and(|parent| !parent.parents.is_empty()));
        laps::way_back(ops.state.part, || {
            let mut begun = std::array::from_fn(|i| {
                let parent = parents[i].as_ref().filter(|_| inner[i])?;
                readers::begun(parent.id, || grads.consume::<Flex>(parent))
            });
            let found = back(Way {
                output: ops.state.output.as_ref().map_or(&[], Host::values),
                grad: grad.as_slice::<f32>().unwrap_or_default(),
                wanted: parents.each_ref().map(Option::is_some),
                begun: &mut begun,
            });
            let sums = found.into_iter().zip(begun).map(|(found, begun)| sum(found, begun));
            for (((parent, inner), shape), sum) in
                parents.into_iter().zip(inner).zip(ops.state.shapes).zip(sums)
            {
                let (Some(parent), Some(sum)) = (parent, sum) else { continue };
                let tensor = match sum {
                    Values::Pooled(values) if inner => pooled(readers::lend(parent.id, values), shape),
                    values => values.tensor(shape),
                };
                grads.register::<Flex>(parent.id, tensor);
            }
        });
    }
}

/// What one reader of a state found, and others before.
fn sum(found: Option<Values>, begun: Option<Values>) -> Option<Values> {
    let (mut found, mut begun) = match (found, begun) {
        (Some(found), Some(begun)) => (found, begun),
        (found, begun) => return found.or(begun),
    };
    readers::add(found.as_mut_slice(), begun.as_mut_slice());
    Some(found)
}

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
use burn::tensor::{Tensor, TensorData};

type CpuAutodiff = Autodiff<Flex>;

/// A tensor of burn's autodiff graph on the CPU.
pub(super) type Parent = FloatTensor<CpuAutodiff>;

/// Gradients of the parents from the gradient of the output; asked for those that are wanted.
pub(super) type Derivative<const N: usize> =
    Box<dyn FnOnce(&[f32], [bool; N]) -> [Option<Vec<f32>>; N] + Send>;

/// A contiguous tensor on the host.
#[derive(Clone)]
pub(super) struct Host(FlexTensor);

impl Host {
    /// No values.
    pub fn empty() -> Self {
        Self(FlexTensor::from_data(TensorData::new(Vec::<f32>::new(), [0])))
    }

    /// Its values.
    pub fn values(&self) -> &[f32] {
        // Every tensor here is contiguous and of 32-bit floats by construction.
        self.0.as_slice::<f32>().unwrap_or_default()
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
pub(super) fn constant<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(FlexTensor::from_data(TensorData::new(values, shape)))
}

/// The output of a function of `parents` as a tensor of the graph. `run` gets the parents' values and gives the
/// output's and how to go back.
pub(super) fn apply<const N: usize, const D: usize>(
    parents: [Parent; N],
    shape: [usize; D],
    run: impl FnOnce([Host; N]) -> (Vec<f32>, Derivative<N>),
) -> Tensor<D> {
    let shapes = parents.each_ref().map(|parent| parent.primitive().layout().shape().to_vec());
    let guards = parents.each_ref().map(Parent::node);
    let (output, derivative) = run(parents.map(|parent| Host(parent.into_primitive().to_contiguous())));
    let output = FlexTensor::from_data(TensorData::new(output, shape));
    let saved = Saved { derivative: Arc::new(Mutex::new(Some(derivative))), shapes };
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
    /// Taken by the backward pass, of which there is one.
    derivative: Arc<Mutex<Option<Derivative<N>>>>,
    shapes: [Vec<usize>; N],
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
        let derivative = ops.state.derivative.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(derivative) = derivative else { return };
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let found = derivative(grad.as_slice::<f32>().unwrap_or_default(), wanted);
        for ((parent, shape), values) in ops.parents.into_iter().zip(ops.state.shapes).zip(found) {
            if let (Some(parent), Some(values)) = (parent, values) {
                grads.register::<Flex>(parent.id, FlexTensor::from_data(TensorData::new(values, shape)));
            }
        }
    }
}

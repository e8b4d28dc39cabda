//! A backward pass from the middle of a network.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::tensor::{Tensor, TensorData};

use super::operation::{CpuAutodiff, host, parent};

/// A zero whose gradient with respect to `x` is `gradient`: `x` is neither read nor copied.
pub(crate) fn upstream<const D: usize>(x: Tensor<D>, gradient: Tensor<D>) -> Tensor<1> {
    let (x, gradient) = (parent(x), host(gradient).into_inner());
    let zero = FlexTensor::from_data(TensorData::new(vec![0f32], [1]));
    let guard = x.node();
    let prepared = Upstream.prepare::<NoCheckpointing>([guard]).compute_bound().stateful();
    Tensor::from_primitive::<CpuAutodiff>(match prepared {
        OpsKind::Tracked(prepared) => prepared.finish(gradient, zero),
        OpsKind::UnTracked(prepared) => prepared.finish(zero),
    })
}

#[derive(Debug)]
struct Upstream;

impl Backward<Flex, 1> for Upstream {
    type State = FlexTensor;

    fn backward(self, ops: Ops<FlexTensor, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        grads.consume::<Flex>(&ops.node);
        if let [Some(parent)] = ops.parents {
            grads.register::<Flex>(parent.id, ops.state);
        }
    }
}

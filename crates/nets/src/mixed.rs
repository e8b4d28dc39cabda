//! An edge of the search network: every operation at once, mixed by architecture weights (paper section 3;
//! facts 1.1).

use burn::module::Module;
use burn::tensor::Tensor;
use cdarts_space::{Op, nas_bench_201};

use crate::init::Initialiser;
use crate::norm::BatchNorm;
use crate::ops::Operation;

/// All operations of a space from one state to one node.
#[derive(Module, Debug)]
pub struct MixedOp {
    /// By the operations' index.
    pub(crate) ops: Vec<Operation>,
}

impl MixedOp {
    /// Every operation over `channels` channels at `stride`, batch norms without affine part.
    pub fn new(channels: usize, stride: usize, init: &Initialiser) -> Self {
        let build = |op: Op| Operation::new(op, channels, stride, false, &mut init.at(op.index()));
        Self { ops: Op::ALL.into_iter().map(build).collect() }
    }

    /// Every operation of NAS-Bench-201 over `channels` channels, batch norms without affine part.
    pub fn of_nas_bench_201(channels: usize, init: &Initialiser) -> Self {
        use nas_bench_201::Op;
        let build = |op: Op| Operation::of_nas_bench_201(op, channels, false, &mut init.at(op.index()));
        Self { ops: Op::ALL.into_iter().map(build).collect() }
    }

    /// Convolutions' weights and batch norms of all operations, in the kernels' order.
    pub(crate) fn parts(&self) -> (Vec<Tensor<4>>, Vec<&BatchNorm>) {
        let (weights, norms): (Vec<_>, Vec<_>) = self.ops.iter().map(Operation::parts).unzip();
        (weights.into_iter().flatten().collect(), norms.concat())
    }

    /// The operations' sum, each times its weight.
    ///
    /// # Shapes
    /// - `x`: `[n, c, h, w]`
    /// - `weights`: `[operations]`
    /// - returns `[n, c, ⌈h/s⌉, ⌈w/s⌉]`
    pub fn forward(&self, x: &Tensor<4>, weights: Tensor<1>) -> Tensor<4> {
        let term = |index: usize, op: &Operation| {
            let weight = weights.clone().slice([index..index + 1]).reshape([1, 1, 1, 1]);
            op.forward(x.clone()).mul(weight)
        };
        let mut sum = term(0, &self.ops[0]);
        for (index, op) in self.ops.iter().enumerate().skip(1) {
            // `none` adds nothing, forward or backward: its weight acts through the softmax alone.
            if !matches!(op, Operation::Zero(_)) {
                sum = sum + term(index, op);
            }
        }
        sum
    }
}

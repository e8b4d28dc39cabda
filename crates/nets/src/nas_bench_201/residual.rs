//! The residual block that ends a stage: half the size, twice the channels.

use burn::module::Module;
use burn::tensor::ops::AvgPoolOptions;
use burn::tensor::{Tensor, module};
use cdarts_space::nas_bench_201::ReductionPlan;

use crate::conv::{Conv, ConvShape};
use crate::fused::{State, mean_pool};
use crate::init::Initialiser;
use crate::ops::ReluConvNorm;

/// Twice ReLU, 3×3 convolution and affine batch norm, the first of stride 2; beside it average pooling 2×2 and a 1×1
/// convolution.
#[derive(Module, Debug)]
pub struct ResidualBlock {
    first: ReluConvNorm,
    second: ReluConvNorm,
    shortcut: Conv,
}

impl ResidualBlock {
    /// The block of `plan`.
    pub fn new(plan: &ReductionPlan, init: &Initialiser) -> Self {
        let (from, to) = (plan.in_channels, plan.out_channels);
        let conv = |from, stride, place| {
            ReluConvNorm::of_shape(ConvShape::dense(from, to, 3, stride), true, &mut init.at(place))
        };
        Self {
            first: conv(from, 2, 0),
            second: conv(to, 1, 1),
            shortcut: Conv::new(ConvShape::pointwise(from, to, 1), &mut init.at(2)),
        }
    }

    /// # Shapes
    /// `[n, c, h, w]` → `[n, 2c, ⌈h/2⌉, ⌈w/2⌉]`
    pub fn forward(&self, x: State) -> State {
        let inner = self.second.forward(self.first.forward(x.clone()));
        inner.plus(self.shortcut.forward(halved(x)))
    }
}

/// Means over windows of 2×2.
fn halved(x: State) -> Tensor<4> {
    match x {
        State::Blocked(x) if x.extent().1.iter().all(|side| side % 2 == 0) => {
            State::Blocked(mean_pool(x, [2, 2], [2, 2], false)).plain()
        }
        // At an odd side the last window holds what is left.
        x => {
            let pool = AvgPoolOptions::new([2, 2]).with_stride([2, 2]).with_count_include_pad(false);
            module::avg_pool2d(x.plain(), pool.with_ceil_mode(true))
        }
    }
}

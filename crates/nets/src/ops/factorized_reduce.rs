//! FactorizedReduce (facts 3.1): halves the size without losing every other pixel.

use burn::module::Module;
use burn::tensor::{Tensor, activation::relu};

use crate::conv::{Conv, ConvShape};
use crate::fused::{ConvKind, State, norm_conv};
use crate::init::Initialiser;
use crate::norm::BatchNorm;

/// ReLU; two 1×1 convolutions of stride 2, the second on the image shifted by one pixel each way; their
/// channels side by side; batch norm.
#[derive(Module, Debug)]
pub struct FactorizedReduce {
    even: Conv,
    odd: Conv,
    norm: BatchNorm,
}

impl FactorizedReduce {
    /// From `in_channels` to `out_channels`; with an odd number the second convolution has one channel more.
    pub fn new(in_channels: usize, out_channels: usize, affine: bool, init: &mut Initialiser) -> Self {
        let half = out_channels / 2;
        Self {
            even: Conv::new(ConvShape::pointwise(in_channels, half, 2), init),
            odd: Conv::new(ConvShape::pointwise(in_channels, out_channels - half, 2), init),
            norm: BatchNorm::new(out_channels, affine, init),
        }
    }

    /// As [`Self::forward`], in the layout that `x` has.
    pub fn forward_state(&self, x: State) -> State {
        if let State::Blocked(x) = &x {
            let ([even, odd], norm) = self.parts();
            if let Some(y) = norm_conv(x, ConvKind::FactorizedReduce, vec![even, odd], norm) {
                return State::Blocked(y);
            }
        }
        State::Plain(self.forward(x.plain()))
    }

    pub(super) fn parts(&self) -> ([Tensor<4>; 2], &BatchNorm) {
        ([self.even.weight(), self.odd.weight()], &self.norm)
    }

    /// An odd side gets a row or column of zeros after the shift, so that both halves agree; the published
    /// code takes even sides only.
    ///
    /// # Shapes
    /// `[n, in, h, w]` → `[n, out, ⌈h/2⌉, ⌈w/2⌉]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, _, h, w] = x.dims();
        let x = relu(x);
        let padded =
            if h % 2 == 1 || w % 2 == 1 { x.clone().pad((0, w % 2, 0, h % 2), 0.0) } else { x.clone() };
        let shifted = padded.slice([0..x.dims()[0], 0..x.dims()[1], 1..h + h % 2, 1..w + w % 2]);
        let halves = vec![self.even.forward(x), self.odd.forward(shifted)];
        self.norm.forward(Tensor::cat(halves, 1))
    }
}

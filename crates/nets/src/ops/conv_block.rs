//! The convolutional operations: ReLU, convolution, batch norm, in this order (facts 3.1).

use burn::module::Module;
use burn::tensor::{Tensor, activation::relu};

use crate::conv::{Conv, ConvShape};
use crate::fused::{State, norm_conv};
use crate::init::Initialiser;
use crate::norm::BatchNorm;

/// ReLU, convolution, batch norm.
#[derive(Module, Debug)]
pub struct ReluConvNorm {
    conv: Conv,
    norm: BatchNorm,
}

impl ReluConvNorm {
    /// A 1×1 convolution from `in_channels` to `out_channels`: brings a cell's input to the cell's number of channels.
    pub fn new(in_channels: usize, out_channels: usize, affine: bool, init: &mut Initialiser) -> Self {
        Self::of_shape(ConvShape::pointwise(in_channels, out_channels, 1), affine, init)
    }

    /// A convolution of the given shape.
    pub fn of_shape(shape: ConvShape, affine: bool, init: &mut Initialiser) -> Self {
        Self { conv: Conv::new(shape, init), norm: BatchNorm::new(shape.out_channels, affine, init) }
    }

    pub(crate) fn parts(&self) -> (Tensor<4>, &BatchNorm) {
        (self.conv.weight(), &self.norm)
    }

    /// # Shapes
    /// `[n, in, h, w]` → `[n, out, h', w']`
    pub fn forward(&self, x: State) -> State {
        if let State::Blocked(x) = &x
            && let Some(y) = norm_conv(x, self.conv.kind_behind_relu(), vec![self.conv.weight()], &self.norm)
        {
            return State::Blocked(y);
        }
        State::Plain(self.norm.forward(self.conv.forward(relu(x.plain()))))
    }
}

/// ReLU, depthwise convolution, pointwise convolution, batch norm.
#[derive(Module, Debug)]
struct SeparableBlock {
    depthwise: Conv,
    pointwise: Conv,
    norm: BatchNorm,
}

impl SeparableBlock {
    fn new(depthwise: ConvShape, affine: bool, init: &mut Initialiser) -> Self {
        let channels = depthwise.in_channels;
        Self {
            depthwise: Conv::new(depthwise, init),
            pointwise: Conv::new(ConvShape::pointwise(channels, channels, 1), init),
            norm: BatchNorm::new(channels, affine, init),
        }
    }

    fn parts(&self) -> ([Tensor<4>; 2], &BatchNorm) {
        ([self.depthwise.weight(), self.pointwise.weight()], &self.norm)
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.norm.forward(self.pointwise.forward(self.depthwise.forward(relu(x))))
    }
}

/// Separable convolution: two separable blocks, of which the first takes the stride.
#[derive(Module, Debug)]
pub struct SepConv {
    first: SeparableBlock,
    second: SeparableBlock,
}

impl SepConv {
    /// A `kernel`×`kernel` separable convolution.
    pub fn new(channels: usize, kernel: usize, stride: usize, affine: bool, init: &mut Initialiser) -> Self {
        Self {
            first: SeparableBlock::new(ConvShape::depthwise(channels, kernel, stride, 1), affine, init),
            second: SeparableBlock::new(ConvShape::depthwise(channels, kernel, 1, 1), affine, init),
        }
    }

    /// # Shapes
    /// `[n, c, h, w]` → `[n, c, ⌈h/s⌉, ⌈w/s⌉]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.second.forward(self.first.forward(x))
    }

    pub(super) fn parts(&self) -> Vec<([Tensor<4>; 2], &BatchNorm)> {
        vec![self.first.parts(), self.second.parts()]
    }
}

/// Dilated separable convolution: one separable block with dilation 2.
#[derive(Module, Debug)]
pub struct DilConv {
    block: SeparableBlock,
}

impl DilConv {
    /// A `kernel`×`kernel` convolution with dilation 2.
    pub fn new(channels: usize, kernel: usize, stride: usize, affine: bool, init: &mut Initialiser) -> Self {
        Self { block: SeparableBlock::new(ConvShape::depthwise(channels, kernel, stride, 2), affine, init) }
    }

    /// # Shapes
    /// `[n, c, h, w]` → `[n, c, ⌈h/s⌉, ⌈w/s⌉]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.block.forward(x)
    }

    pub(super) fn parts(&self) -> Vec<([Tensor<4>; 2], &BatchNorm)> {
        vec![self.block.parts()]
    }
}

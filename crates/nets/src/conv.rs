//! Convolution without bias, and the linear layer: the two kinds of weight that all networks here are made of.

use burn::module::{Module, Param};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, module};

use crate::fused::{self, ConvKind, State};
use crate::init::Initialiser;

/// What a convolution does besides its weight's shape; the same in both directions but for the kernel.
#[derive(Clone, Copy, Debug)]
pub struct ConvShape {
    /// Channels read.
    pub in_channels: usize,
    /// Channels written.
    pub out_channels: usize,
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Step between windows.
    pub stride: usize,
    /// Zeros added on every side.
    pub padding: usize,
    /// Step between a window's pixels.
    pub dilation: usize,
    /// Number of groups; the number of channels makes a depthwise convolution.
    pub groups: usize,
}

impl ConvShape {
    /// A 1×1 convolution.
    pub fn pointwise(in_channels: usize, out_channels: usize, stride: usize) -> Self {
        Self { in_channels, out_channels, kernel: [1, 1], stride, padding: 0, dilation: 1, groups: 1 }
    }

    /// A dense convolution that keeps the size at stride 1. `kernel` is odd.
    pub fn dense(in_channels: usize, out_channels: usize, kernel: usize, stride: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            kernel: [kernel, kernel],
            stride,
            padding: kernel / 2,
            dilation: 1,
            groups: 1,
        }
    }

    /// A depthwise convolution that keeps the size at stride 1. `kernel` is odd.
    pub fn depthwise(channels: usize, kernel: usize, stride: usize, dilation: usize) -> Self {
        Self {
            in_channels: channels,
            out_channels: channels,
            kernel: [kernel, kernel],
            stride,
            padding: dilation * (kernel / 2),
            dilation,
            groups: channels,
        }
    }
}

/// A convolution without bias.
#[derive(Module, Debug)]
pub struct Conv {
    weight: Param<Tensor<4>>,
    stride: usize,
    padding: usize,
    dilation: usize,
    groups: usize,
}

impl Conv {
    /// A convolution of the given shape, its weight uniform in ±1/√fan_in.
    pub fn new(shape: ConvShape, init: &mut Initialiser) -> Self {
        let [kh, kw] = shape.kernel;
        let in_group = shape.in_channels / shape.groups;
        let bound = 1.0 / ((in_group * kh * kw) as f64).sqrt();
        Self {
            weight: init.uniform([shape.out_channels, in_group, kh, kw], bound),
            stride: shape.stride,
            padding: shape.padding,
            dilation: shape.dilation,
            groups: shape.groups,
        }
    }

    /// `[out, in / groups, h, w]`
    pub(crate) fn weight(&self) -> Tensor<4> {
        self.weight.val()
    }

    /// The fused operation that a square convolution of one group, without dilation, is behind a ReLU.
    pub(crate) fn kind_behind_relu(&self) -> ConvKind {
        match (self.weight.val().dims()[2], self.stride) {
            (1, 1) => ConvKind::Pointwise,
            (kernel, stride) => ConvKind::Dense { window: [kernel, stride, self.padding], relu: true },
        }
    }

    /// # Shapes
    /// `[n, in, h, w]` → `[n, out, h', w']`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let options = ConvOptions::new([self.stride; 2], [self.padding; 2], [self.dilation; 2], self.groups);
        module::conv2d(x, self.weight.val(), None, options)
    }
}

/// A linear layer with bias.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[in, out]`
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

impl Linear {
    /// A layer of the given widths, weight and bias uniform in ±1/√in.
    pub fn new(inputs: usize, outputs: usize, init: &mut Initialiser) -> Self {
        let bound = 1.0 / (inputs as f64).sqrt();
        Self { weight: init.uniform([inputs, outputs], bound), bias: init.uniform([outputs], bound) }
    }

    /// # Shapes
    /// `[n, in]` → `[n, out]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        x.matmul(self.weight.val()).add(self.bias.val().unsqueeze())
    }

    /// Averages every channel over its plane, then applies the layer.
    ///
    /// # Shapes
    /// `[n, in, h, w]` → `[n, out]`
    pub fn forward_pooled(&self, x: State) -> Tensor<2> {
        match x {
            State::Blocked(x) => self.forward(fused::pooled(x)),
            State::Plain(x) => {
                let [n, c, h, w] = x.dims();
                self.forward(x.reshape([n, c, h * w]).mean_dim(2).reshape([n, c]))
            }
        }
    }
}

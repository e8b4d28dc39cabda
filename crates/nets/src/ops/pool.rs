//! 3×3 pooling without batch norm (facts 3.1; DARTS has a norm here, the published CDARTS has none).

use burn::module::Module;
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{Tensor, module};

/// What a window gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// Its largest value.
    Max,
    /// The mean of its pixels inside the image.
    Average,
}

/// 3×3 pooling with padding 1.
#[derive(Module, Debug)]
pub struct Pool {
    maximum: bool,
    stride: usize,
}

impl Pool {
    /// Pooling of the given kind and stride.
    pub fn new(kind: PoolKind, stride: usize) -> Self {
        Self { maximum: kind == PoolKind::Max, stride }
    }

    /// # Shapes
    /// `[n, c, h, w]` → `[n, c, ⌈h/s⌉, ⌈w/s⌉]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let (kernel, stride, padding) = ([3, 3], [self.stride; 2], [1, 1]);
        if self.maximum {
            return module::max_pool2d(
                x,
                MaxPoolOptions::new(kernel).with_stride(stride).with_padding(padding),
            );
        }
        let options = AvgPoolOptions::new(kernel).with_stride(stride).with_padding(padding);
        module::avg_pool2d(x, options.with_count_include_pad(false))
    }
}

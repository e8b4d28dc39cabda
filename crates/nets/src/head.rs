//! Heads at the end of inner stages: for distillation during the search, and as an auxiliary classifier while
//! the found network is trained (facts 3.5).

use burn::module::Module;
use burn::tensor::ops::AvgPoolOptions;
use burn::tensor::{Tensor, activation::relu, module};
use cdarts_space::HeadPlan;

use crate::conv::{Conv, ConvShape, Linear};
use crate::fused::{Blocked, ConvKind, State, mean_pool, norm_conv, relu_global_pool};
use crate::init::Initialiser;
use crate::laps::part;
use crate::norm::BatchNorm;

/// ReLU, average pooling, 1×1 convolution, norm, ReLU, 2×2 convolution, norm, ReLU, global average, linear.
#[derive(Module, Debug)]
pub struct Head {
    squeeze: Conv,
    squeeze_norm: BatchNorm,
    spread: Conv,
    /// Absent in the ImageNet auxiliary head, as published.
    spread_norm: Option<BatchNorm>,
    classifier: Linear,
    pool: [usize; 2],
    pool_stride: [usize; 2],
}

impl Head {
    /// The head of `plan`. Distillation heads have norms without affine part, auxiliary heads with.
    pub fn new(plan: &HeadPlan, affine: bool, init: &mut Initialiser) -> Self {
        let spread =
            ConvShape { kernel: plan.conv_kernel, ..ConvShape::pointwise(plan.hidden, plan.features, 1) };
        Self {
            squeeze: Conv::new(ConvShape::pointwise(plan.in_channels, plan.hidden, 1), init),
            squeeze_norm: BatchNorm::new(plan.hidden, affine, init),
            spread: Conv::new(spread, init),
            spread_norm: plan.norm_after_conv.then(|| BatchNorm::new(plan.features, affine, init)),
            classifier: Linear::new(plan.features, plan.classes, init),
            pool: plan.pool,
            pool_stride: plan.pool_stride,
        }
    }

    /// # Shapes
    /// `[n, c, h, w]` → `[n, classes]`
    pub fn forward(&self, x: State) -> Tensor<2> {
        part("heads", || self.logits(x))
    }

    fn logits(&self, x: State) -> Tensor<2> {
        if let State::Blocked(x) = &x
            && let Some(features) = self.fused_features(x.clone())
        {
            return self.classifier.forward(features);
        }
        self.classifier.forward_pooled(State::Plain(self.features(x.plain())))
    }

    /// What the classifier averages, on burn's own operations.
    fn features(&self, x: Tensor<4>) -> Tensor<4> {
        let mut x = relu(x);
        if self.pool != [1, 1] || self.pool_stride != [1, 1] {
            x = module::avg_pool2d(x, AvgPoolOptions::new(self.pool).with_stride(self.pool_stride));
        }
        let x = relu(self.squeeze_norm.forward(self.squeeze.forward(x)));
        let x = self.spread.forward(x);
        let x = match &self.spread_norm {
            Some(norm) => norm.forward(x),
            None => x,
        };
        relu(x)
    }

    /// The averages that the classifier reads, on the fused kernels: nothing where a norm is missing or would be over
    /// one value, or where the second kernel is not square.
    fn fused_features(&self, x: Blocked) -> Option<Tensor<2>> {
        let (norm, spread) = (self.spread_norm.as_ref()?, self.spread.weight());
        let [_, _, height, width] = spread.dims();
        let (n, size) = x.extent();
        let last = |d: usize| (size[d] - self.pool[d]) / self.pool_stride[d] + 2 - height;
        if height != width || n * last(0) * last(1) == 1 {
            return None;
        }
        let x = mean_pool(x, self.pool, self.pool_stride, true);
        let squeeze = ConvKind::Dense { window: [1, 1, 0], relu: false };
        let x = norm_conv(&x, squeeze, vec![self.squeeze.weight()], &self.squeeze_norm)?;
        let kind = ConvKind::Dense { window: [height, 1, 0], relu: true };
        Some(relu_global_pool(norm_conv(&x, kind, vec![spread], norm)?))
    }
}

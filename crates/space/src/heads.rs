//! Classifiers on the features of earlier stages: distillation heads of the search, auxiliary head of the
//! retraining (facts 3.5).
//!
//! Both are ReLU, average pooling, 1x1 convolution, batch norm, ReLU, 2x2 convolution, batch norm (not in
//! the ImageNet auxiliary head), ReLU, global average pooling, linear. The pooling follows one rule for
//! every image size, which gives the published windows at the published sizes.

use serde::{Deserialize, Serialize};

use crate::{NetworkPlan, ReductionPosition, Stem};

/// A classifier on the output of one stage: `[n, in_channels, size]` to `[n, classes]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HeadPlan {
    /// The stage whose output it reads, from 0.
    pub stage: usize,
    /// Channels of that output.
    pub in_channels: usize,
    /// Height and width of that output.
    pub size: [usize; 2],
    /// Window of the average pooling (no padding).
    pub pool: [usize; 2],
    /// Stride of the average pooling.
    pub pool_stride: [usize; 2],
    /// Kernel of the second convolution (no padding).
    pub conv_kernel: [usize; 2],
    /// Channels after the 1x1 convolution.
    pub hidden: usize,
    /// Channels after the second convolution.
    pub features: usize,
    /// Classes.
    pub classes: usize,
    /// Whether a batch norm follows the second convolution.
    pub norm_after_conv: bool,
    /// Whether the batch norms have scale and shift of their own.
    pub affine: bool,
}

impl HeadPlan {
    /// Height and width after the pooling.
    pub fn pooled_size(&self) -> [usize; 2] {
        [0, 1].map(|d| (self.size[d] - self.pool[d]) / self.pool_stride[d] + 1)
    }

    /// Height and width after the second convolution; 1x1 at the sizes the heads were designed for.
    pub fn feature_size(&self) -> [usize; 2] {
        let pooled = self.pooled_size();
        [0, 1].map(|d| pooled[d] + 1 - self.conv_kernel[d])
    }
}

/// Pooling and convolution along one side.
struct Window {
    pool: usize,
    stride: usize,
    kernel: usize,
}

/// The published window where it leaves at least two positions for the 2x2 convolution, else the largest one
/// that does. Below `stride + 1` pixels the pooling slides by one; a single pixel is neither pooled nor
/// convolved.
fn window(side: usize, published: usize, stride: usize) -> Window {
    match side {
        0 | 1 => Window { pool: 1, stride: 1, kernel: 1 },
        _ if side > stride => Window { pool: published.min(side - stride), stride, kernel: 2 },
        _ => Window { pool: side - 1, stride: 1, kernel: 2 },
    }
}

impl NetworkPlan {
    /// Heads through which the networks teach each other, in stage order. They sit on every stage but the
    /// last; with the reduction cell first in a stage, also not on the first (published: stages 2 and 3 of
    /// 4). A network of one stage has none.
    pub fn distillation_heads(&self) -> Vec<HeadPlan> {
        let first = match self.reduction {
            ReductionPosition::Last => 0,
            ReductionPosition::First => 1,
        };
        (first..self.stages.len().saturating_sub(1))
            .map(|stage| {
                let published = |side: usize| match (self.stem.kind, side) {
                    // Published for ResNet stems: the 28x28 features are pooled coarsely.
                    (Stem::ResNet, 28) if stage == first => 14,
                    _ => 6,
                };
                let features = &self.stages[stage];
                distillation_head(stage, features.out_channels, features.out_size, self.classes, published)
            })
            .collect()
    }

    /// The head whose loss is added while the found network is retrained, on the last stage but one; none
    /// for a network of one stage.
    pub fn auxiliary_head(&self) -> Option<HeadPlan> {
        let stage = self.stages.len().checked_sub(2)?;
        let (published, stride) = match self.stem.kind {
            Stem::Cifar => (5, 3),
            Stem::Imagenet => (5, 2),
            Stem::ResNet => (12, 2),
        };
        let windows = self.stages[stage].out_size.map(|side| window(side, published, stride));
        let norm_after_conv = self.stem.kind == Stem::Cifar;
        let features = &self.stages[stage];
        let head = head(stage, features.out_channels, features.out_size, self.classes, windows);
        Some(HeadPlan { norm_after_conv, ..head })
    }
}

/// The distillation head on a stage that puts out `[n, in_channels, size]`; `published` is the pooling window that
/// belongs to a side.
pub(crate) fn distillation_head(
    stage: usize,
    in_channels: usize,
    size: [usize; 2],
    classes: usize,
    published: impl Fn(usize) -> usize,
) -> HeadPlan {
    let windows = size.map(|side| window(side, published(side), 2));
    HeadPlan { affine: false, ..head(stage, in_channels, size, classes, windows) }
}

fn head(
    stage: usize,
    in_channels: usize,
    size: [usize; 2],
    classes: usize,
    [rows, columns]: [Window; 2],
) -> HeadPlan {
    HeadPlan {
        stage,
        in_channels,
        size,
        pool: [rows.pool, columns.pool],
        pool_stride: [rows.stride, columns.stride],
        conv_kernel: [rows.kernel, columns.kernel],
        hidden: 128,
        features: 768,
        classes,
        norm_after_conv: true,
        affine: true,
    }
}

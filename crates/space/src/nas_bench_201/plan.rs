//! What a network of the space is, from a few numbers: channels and size of every cell, without a tensor (facts
//! section 6).
//!
//! Stem (3x3 convolution to C channels, batch norm), then three stages of N cells with C, 2C and 4C channels. A
//! residual block of stride 2 ends the first and the second stage; its output has the next stage's shape. Global
//! average pooling and a linear classifier follow; the benchmark's own network has batch norm and ReLU in front of
//! the pooling, CDARTS's has not.
//!
//! Stride 2 maps a side of n to ceil(n / 2).

use serde::{Deserialize, Serialize};

use crate::heads::distillation_head;
use crate::plan::{CELL_LIMIT, CHANNEL_LIMIT, CLASS_LIMIT, between, halved};
use crate::{HeadPlan, ImageShape, SpaceError};

/// Stages of a network.
pub const STAGES: usize = 3;

/// The few numbers that decide a network's layout, except for its genotype.
///
/// ```
/// use cdarts_space::nas_bench_201::NetworkSpec;
///
/// # fn main() -> Result<(), cdarts_space::SpaceError> {
/// let plan = NetworkSpec::published(10).plan()?;
/// assert_eq!((plan.stages[0].out_channels, plan.stages[0].out_size), (32, [16, 16]));
/// assert_eq!(plan.classifier_in, 64);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// Shape of the images.
    pub image: ImageShape,
    /// Classes to tell apart.
    pub classes: usize,
    /// Channels of the first stage, C.
    pub init_channels: usize,
    /// Cells of each stage, N; the residual blocks are not counted.
    pub cells_per_stage: usize,
}

/// A whole network: stem, stages, global average pooling, linear classifier.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NetworkPlan {
    /// Shape of the images.
    pub image: ImageShape,
    /// Channels of the stem's output `[n, stem_channels, height, width]`, which has the image's size.
    pub stem_channels: usize,
    /// The stages in order.
    pub stages: Vec<StagePlan>,
    /// Channels that reach the classifier.
    pub classifier_in: usize,
    /// Classes to tell apart.
    pub classes: usize,
}

/// A stage: its cells in order, then the residual block that leads to the next stage.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StagePlan {
    /// The cells.
    pub cells: Vec<CellPlan>,
    /// The residual block; none behind the last stage.
    pub reduction: Option<ReductionPlan>,
    /// Channels of the stage's output, behind the residual block.
    pub out_channels: usize,
    /// Height and width of the stage's output, behind the residual block.
    pub out_size: [usize; 2],
}

/// A cell: it maps `[n, channels, size]` to the same shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CellPlan {
    /// Channels of every node.
    pub channels: usize,
    /// Height and width of every node.
    pub size: [usize; 2],
}

/// A residual block of stride 2: it maps `[n, in_channels, in_size]` to `[n, out_channels, out_size]`.
///
/// The sum of two branches: twice ReLU, 3x3 convolution and batch norm with scale and shift, the first convolution
/// having stride 2; and average pooling 2x2 of stride 2 with a 1x1 convolution. At an odd side the last window of
/// the pooling holds what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReductionPlan {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output: twice those of the input.
    pub out_channels: usize,
    /// Height and width of the input.
    pub in_size: [usize; 2],
    /// Height and width of the output.
    pub out_size: [usize; 2],
}

impl NetworkSpec {
    /// The skeleton of the benchmark and of CDARTS's search in it: 16 channels, 5 cells a stage, 32x32 colour
    /// images.
    pub fn published(classes: usize) -> Self {
        let image = ImageShape { channels: 3, height: 32, width: 32 };
        Self { image, classes, init_channels: 16, cells_per_stage: 5 }
    }

    /// Lays the network out.
    ///
    /// # Errors
    ///
    /// [`SpaceError::TooFew`] or [`SpaceError::TooMany`] for a count out of range, [`SpaceError::ImageTooSmall`]
    /// where a side of one pixel would have to be halved.
    pub fn plan(&self) -> Result<NetworkPlan, SpaceError> {
        self.check()?;
        let mut channels = self.init_channels;
        let mut size = [self.image.height, self.image.width];
        let mut stages = Vec::with_capacity(STAGES);
        for stage in 0..STAGES {
            let cells = vec![CellPlan { channels, size }; self.cells_per_stage];
            let reduction = (stage + 1 < STAGES).then(|| ReductionPlan {
                in_channels: channels,
                out_channels: 2 * channels,
                in_size: size,
                out_size: halved(size),
            });
            if let Some(block) = &reduction {
                (channels, size) = (block.out_channels, block.out_size);
            }
            stages.push(StagePlan { cells, reduction, out_channels: channels, out_size: size });
        }
        Ok(NetworkPlan {
            image: self.image,
            stem_channels: self.init_channels,
            stages,
            classifier_in: channels,
            classes: self.classes,
        })
    }

    fn check(&self) -> Result<(), SpaceError> {
        between("cells_per_stage", self.cells_per_stage, 1, CELL_LIMIT / STAGES)?;
        between("classes", self.classes, 1, CLASS_LIMIT)?;
        self.image.check()?;
        between("init_channels", self.init_channels, 1, CHANNEL_LIMIT >> (STAGES - 1))?;
        self.image.check_halvings(STAGES - 1)
    }
}

impl NetworkPlan {
    /// Heads through which the networks teach each other, on every stage but the last, behind its residual block
    /// (published: 6x6 pooling of stride 2 at 16 and at 8 pixels).
    pub fn distillation_heads(&self) -> Vec<HeadPlan> {
        let but_the_last = self.stages.iter().take(STAGES - 1).enumerate();
        but_the_last
            .map(|(stage, features)| {
                distillation_head(stage, features.out_channels, features.out_size, self.classes, |_| 6)
            })
            .collect()
    }
}

//! What a network is, from a few numbers: channels and size of every cell, without a tensor (facts 3.2 to
//! 3.4).
//!
//! Stride 2 maps a side of n to ceil(n / 2). Reduction cells double the channels. A cell that follows a
//! reduction cell gets a two-back input of twice its size, which it reduces first.

use serde::{Deserialize, Serialize};

use crate::{CellKind, NODES, SpaceError};

/// Widest layer that is planned for; far beyond use, it keeps the arithmetic from overflowing.
pub(crate) const CHANNEL_LIMIT: usize = 1 << 20;
/// Longest side of an image.
const SIDE_LIMIT: usize = 1 << 16;
/// Most cells in one network.
pub(crate) const CELL_LIMIT: usize = 4096;
/// Most classes.
pub(crate) const CLASS_LIMIT: usize = 1 << 24;
/// Smallest side of an image with the CIFAR stem.
const CIFAR_SIDE: usize = 8;

/// The layers in front of the first cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stem {
    /// One 3x3 convolution and batch norm at full size; both cell inputs are its output.
    Cifar,
    /// Three 3x3 convolutions of stride 2; the cell inputs are the second's output (a quarter of the
    /// image's side) and the third's (an eighth).
    Imagenet,
    /// One 7x7 convolution of stride 2 and a max pooling of stride 2; both cell inputs are its output.
    ResNet,
}

/// Where in a stage its reduction cell stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReductionPosition {
    /// Last cell of every stage but the last stage.
    Last,
    /// First cell of every stage but the first stage (published with [`Stem::ResNet`]).
    First,
}

/// Shape of one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageShape {
    /// Colour channels.
    pub channels: usize,
    /// Pixels from top to bottom.
    pub height: usize,
    /// Pixels from left to right.
    pub width: usize,
}

impl ImageShape {
    pub(crate) fn check(&self) -> Result<(), SpaceError> {
        between("image.channels", self.channels, 1, CHANNEL_LIMIT)?;
        between("image.height", self.height, 1, SIDE_LIMIT)?;
        between("image.width", self.width, 1, SIDE_LIMIT)
    }

    /// Whether no side of one pixel would have to be halved.
    pub(crate) fn check_halvings(&self, halvings: usize) -> Result<(), SpaceError> {
        let found = [self.height, self.width];
        // A side survives k halvings above one pixel if it is more than 2^(k-1).
        let needed = if halvings == 0 { 1 } else { (1 << (halvings - 1)) + 1 };
        if self.height.min(self.width) < needed {
            let wanted = format!("{halvings} halvings need at least {needed}x{needed}");
            return Err(SpaceError::ImageTooSmall { found, wanted });
        }
        Ok(())
    }
}

/// The few numbers that decide a network's layout, except for its genotype.
///
/// ```
/// use cdarts_space::{ImageShape, NetworkSpec, ReductionPosition, Stem};
///
/// # fn main() -> Result<(), cdarts_space::SpaceError> {
/// let search = NetworkSpec {
///     stem: Stem::Cifar,
///     image: ImageShape { channels: 3, height: 32, width: 32 },
///     classes: 10,
///     init_channels: 16,
///     stem_multiplier: 3,
///     cells_per_stage: vec![3, 3, 2],
///     reduction: ReductionPosition::Last,
/// };
/// let plan = search.plan()?;
/// assert_eq!(plan.classifier_in, 256);
/// assert_eq!(plan.stages[2].out_size, [8, 8]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// The layers in front of the first cell.
    pub stem: Stem,
    /// Shape of the images.
    pub image: ImageShape,
    /// Classes to tell apart.
    pub classes: usize,
    /// Channels of the first stage's normal cells.
    pub init_channels: usize,
    /// Stem channels as a multiple of `init_channels`.
    pub stem_multiplier: usize,
    /// Cells of each stage.
    pub cells_per_stage: Vec<usize>,
    /// Where in a stage the reduction cell stands.
    pub reduction: ReductionPosition,
}

/// A whole network: stem, stages, global average pooling, linear classifier.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NetworkPlan {
    /// The layers in front of the first cell.
    pub stem: StemPlan,
    /// The stages in order.
    pub stages: Vec<StagePlan>,
    /// Where in a stage the reduction cell stands.
    pub reduction: ReductionPosition,
    /// Channels that reach the classifier.
    pub classifier_in: usize,
    /// Classes to tell apart.
    pub classes: usize,
}

/// The stem: it maps `[n, in_channels, image_size]` to the two inputs of the first cell, s0 `[n,
/// out_channels, size_s0]` and s1 `[n, out_channels, size_s1]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StemPlan {
    /// Which layers.
    pub kind: Stem,
    /// Colour channels of the image.
    pub in_channels: usize,
    /// Height and width of the image.
    pub image_size: [usize; 2],
    /// Channels of s0 and of s1.
    pub out_channels: usize,
    /// Height and width of s0, the first cell's two-back input.
    pub size_s0: [usize; 2],
    /// Height and width of s1, the first cell's one-back input.
    pub size_s1: [usize; 2],
}

/// A stage: its cells in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StagePlan {
    /// The cells.
    pub cells: Vec<CellPlan>,
    /// Channels of the last cell's output.
    pub out_channels: usize,
    /// Height and width of the last cell's output.
    pub out_size: [usize; 2],
}

/// A cell: it maps the outputs of the two cells before it to `[n, 4 * channels, out_size]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CellPlan {
    /// Normal or reduction.
    pub kind: CellKind,
    /// Channels of every node, C.
    pub channels: usize,
    /// Channels of the two-back input.
    pub channels_two_back: usize,
    /// Channels of the one-back input.
    pub channels_one_back: usize,
    /// Whether the two-back input is twice the size of the one-back input, so that its pre-processing is a
    /// factorised reduction instead of a 1x1 convolution.
    pub previous_reduces: bool,
    /// Height and width of the two-back input.
    pub size_two_back: [usize; 2],
    /// Height and width of the one-back input.
    pub size_one_back: [usize; 2],
    /// Height and width of the output.
    pub out_size: [usize; 2],
}

impl CellPlan {
    /// Channels of the output: all nodes side by side.
    pub fn out_channels(&self) -> usize {
        NODES * self.channels
    }
}

/// Side after a stride of 2.
pub(crate) fn halved(size: [usize; 2]) -> [usize; 2] {
    size.map(|side| side.div_ceil(2))
}

impl NetworkSpec {
    /// Lays the network out.
    ///
    /// # Errors
    ///
    /// [`SpaceError::TooFew`] or [`SpaceError::TooMany`] for a count out of range, [`SpaceError::EmptyStage`],
    /// [`SpaceError::OddChannels`] where channels have to be halved, [`SpaceError::ImageTooSmall`] where a
    /// side of one pixel would have to be halved or an image under the CIFAR stem is below 8x8.
    pub fn plan(&self) -> Result<NetworkPlan, SpaceError> {
        self.check_counts()?;
        self.check_image()?;
        let stem = self.stem_plan();
        let mut cursor = Cursor::after(&stem, self.init_channels);
        let stages: Vec<StagePlan> =
            (0..self.cells_per_stage.len()).map(|stage| self.stage_plan(stage, &mut cursor)).collect();
        let classifier_in = cursor.one_back.channels;
        Ok(NetworkPlan { stem, stages, reduction: self.reduction, classifier_in, classes: self.classes })
    }

    fn check_counts(&self) -> Result<(), SpaceError> {
        let stages = self.cells_per_stage.len();
        let cells = self.cells_per_stage.iter().fold(0, |sum: usize, &cells| sum.saturating_add(cells));
        between("cells_per_stage", stages, 1, CELL_LIMIT)?;
        if let Some(stage) = self.cells_per_stage.iter().position(|&cells| cells == 0) {
            return Err(SpaceError::EmptyStage { stage });
        }
        between("cells_per_stage in all", cells, 1, CELL_LIMIT)?;
        between("classes", self.classes, 1, CLASS_LIMIT)?;
        self.image.check()?;
        between("init_channels", self.init_channels, 1, CHANNEL_LIMIT)?;
        between("stem_multiplier", self.stem_multiplier, 1, CHANNEL_LIMIT)?;
        let stem_channels = self.init_channels.saturating_mul(self.stem_multiplier);
        between("init_channels * stem_multiplier", stem_channels, 1, CHANNEL_LIMIT)?;
        let widest = u32::try_from(stages - 1)
            .ok()
            .and_then(|doublings| 1usize.checked_shl(doublings))
            .and_then(|factor| factor.checked_mul(NODES * self.init_channels))
            .unwrap_or(usize::MAX);
        between("channels of the last stage", widest, 1, CHANNEL_LIMIT)?;
        self.check_even(stem_channels)
    }

    /// The ImageNet stem halves its own width, and the reduction in front of the first cell halves the
    /// cell's. Every later reduction has doubled channels.
    fn check_even(&self, stem_channels: usize) -> Result<(), SpaceError> {
        if self.stem == Stem::Imagenet {
            even("init_channels", self.init_channels)?;
            even("init_channels * stem_multiplier", stem_channels)?;
        }
        Ok(())
    }

    fn check_image(&self) -> Result<(), SpaceError> {
        let found = [self.image.height, self.image.width];
        let smallest = found[0].min(found[1]);
        if self.stem == Stem::Cifar && smallest < CIFAR_SIDE {
            let wanted = format!("the CIFAR stem needs at least {CIFAR_SIDE}x{CIFAR_SIDE}");
            return Err(SpaceError::ImageTooSmall { found, wanted });
        }
        let stem_halvings = match self.stem {
            Stem::Cifar => 0,
            Stem::Imagenet => 3,
            Stem::ResNet => 2,
        };
        self.image.check_halvings(stem_halvings + self.cells_per_stage.len() - 1)
    }

    fn stem_plan(&self) -> StemPlan {
        let image_size = [self.image.height, self.image.width];
        let (size_s0, size_s1) = match self.stem {
            Stem::Cifar => (image_size, image_size),
            Stem::Imagenet => {
                let quarter = halved(halved(image_size));
                (quarter, halved(quarter))
            }
            Stem::ResNet => {
                let quarter = halved(halved(image_size));
                (quarter, quarter)
            }
        };
        let out_channels = self.init_channels * self.stem_multiplier;
        StemPlan {
            kind: self.stem,
            in_channels: self.image.channels,
            image_size,
            out_channels,
            size_s0,
            size_s1,
        }
    }

    fn stage_plan(&self, stage: usize, cursor: &mut Cursor) -> StagePlan {
        let count = self.cells_per_stage[stage];
        let reduces_at = match self.reduction {
            ReductionPosition::Last => (stage + 1 < self.cells_per_stage.len()).then_some(count - 1),
            ReductionPosition::First => (stage > 0).then_some(0),
        };
        let cells = (0..count)
            .map(|cell| {
                let reduces = reduces_at == Some(cell);
                cursor.next_cell(if reduces { CellKind::Reduction } else { CellKind::Normal })
            })
            .collect();
        StagePlan { cells, out_channels: cursor.one_back.channels, out_size: cursor.one_back.size }
    }
}

/// Output of a cell or of the stem.
#[derive(Clone, Copy)]
struct State {
    channels: usize,
    size: [usize; 2],
}

/// What the next cell will see.
struct Cursor {
    channels: usize,
    two_back: State,
    one_back: State,
    previous_reduces: bool,
}

impl Cursor {
    fn after(stem: &StemPlan, channels: usize) -> Self {
        Self {
            channels,
            two_back: State { channels: stem.out_channels, size: stem.size_s0 },
            one_back: State { channels: stem.out_channels, size: stem.size_s1 },
            previous_reduces: stem.kind == Stem::Imagenet,
        }
    }

    fn next_cell(&mut self, kind: CellKind) -> CellPlan {
        let reduces = kind == CellKind::Reduction;
        if reduces {
            self.channels *= 2;
        }
        let size_one_back = self.one_back.size;
        let cell = CellPlan {
            kind,
            channels: self.channels,
            channels_two_back: self.two_back.channels,
            channels_one_back: self.one_back.channels,
            previous_reduces: self.previous_reduces,
            size_two_back: self.two_back.size,
            size_one_back,
            out_size: if reduces { halved(size_one_back) } else { size_one_back },
        };
        self.two_back = self.one_back;
        self.one_back = State { channels: cell.out_channels(), size: cell.out_size };
        self.previous_reduces = reduces;
        cell
    }
}

pub(crate) fn between(
    what: &'static str,
    found: usize,
    minimum: usize,
    limit: usize,
) -> Result<(), SpaceError> {
    if found < minimum {
        return Err(SpaceError::TooFew { what, minimum, found });
    }
    if found > limit {
        return Err(SpaceError::TooMany { what, limit, found });
    }
    Ok(())
}

fn even(what: &'static str, found: usize) -> Result<(), SpaceError> {
    if found.is_multiple_of(2) { Ok(()) } else { Err(SpaceError::OddChannels { what, found }) }
}

//! The widest network that keeps within limits of parameters and multiply-adds.

use crate::cost::Cost;
use crate::{Architecture, CellGenotype, Edge, Genotype, NODES, Op, Skeleton, SpaceError, nas_bench_201};

/// Widths that are tried are multiples of this many channels: published widths are (16, 36, 48).
pub const WIDTH_STEP: usize = 4;

/// No width above this is tried.
const WIDEST: usize = 4096;

/// The most that a network may cost; what is none is not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CostLimits {
    /// Parameters, auxiliary head not counted.
    pub params: Option<u64>,
    /// Multiply-adds for one image.
    pub macs: Option<u64>,
}

impl CostLimits {
    /// Whether anything is limited.
    pub fn any(&self) -> bool {
        self.params.is_some() || self.macs.is_some()
    }

    /// Whether `cost` keeps within them.
    pub fn allow(&self, cost: &Cost) -> bool {
        self.params.is_none_or(|most| cost.params <= most) && self.macs.is_none_or(|most| cost.macs <= most)
    }
}

/// `spec` with the most channels, a multiple of [`WIDTH_STEP`] and at most 4,096, with which the network with the cells of
/// `architecture` keeps within `limits`; batch norms are affine, as in a network that is trained from scratch.
///
/// # Errors
///
/// [`SpaceError::NoWidthFits`] where the narrowest is too dear; those of [`Skeleton::plan`] and
/// [`SkeletonPlan::evaluation_cost`](crate::SkeletonPlan::evaluation_cost).
pub fn widest(
    spec: &Skeleton,
    architecture: &Architecture,
    limits: CostLimits,
) -> Result<Skeleton, SpaceError> {
    let of_width = |steps: usize| spec.clone().with_init_channels(steps * WIDTH_STEP);
    let cost = |steps: usize| of_width(steps).plan()?.evaluation_cost(architecture, true);
    let narrowest = cost(1)?;
    if !limits.allow(&narrowest) {
        let (width, params, macs) = (WIDTH_STEP, narrowest.params, narrowest.macs);
        return Err(SpaceError::NoWidthFits { width, params, macs, limits });
    }
    // A wider network costs more: halve the range between one that fits and one that does not.
    let (mut fits, mut too_wide) = (1, WIDEST / WIDTH_STEP + 1);
    while too_wide - fits > 1 {
        let middle = fits.midpoint(too_wide);
        match cost(middle).is_ok_and(|cost| limits.allow(&cost)) {
            true => fits = middle,
            false => too_wide = middle,
        }
    }
    Ok(of_width(fits))
}

impl Skeleton {
    /// The cells that cost most: of every space its dearest convolution on every edge.
    pub fn dearest_architecture(&self) -> Architecture {
        match self {
            Self::Darts(_) => {
                let edge = |source| Edge { op: Op::SepConv5x5, source };
                let cell = CellGenotype::new((0..NODES).map(|_| vec![edge(0), edge(1)]).collect());
                Genotype { normal: cell.clone(), reduce: cell }.into()
            }
            Self::NasBench201(_) => {
                let ops = [nas_bench_201::Op::NorConv3x3; nas_bench_201::EDGES];
                Architecture::NasBench201(nas_bench_201::Genotype { ops })
            }
        }
    }
}

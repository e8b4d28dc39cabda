//! A network of any of the search spaces: what is left of it when its cells are taken out.

use serde::{Deserialize, Serialize};

use crate::cost::{self, Cost};
use crate::{
    Architecture, HeadPlan, ImageShape, NetworkPlan, NetworkSpec, SpaceError, Stem, StemPlan, nas_bench_201,
};

/// The few numbers that decide a network's layout, except for its genotype. As a document it is the `NetworkSpec` of
/// its space; the keys tell which.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Skeleton {
    /// Of cells with two inputs, normal and reduction.
    Darts(NetworkSpec),
    /// Of cells with one input, and residual blocks.
    NasBench201(nas_bench_201::NetworkSpec),
}

/// A whole network, laid out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SkeletonPlan {
    /// Of cells with two inputs, normal and reduction.
    Darts(NetworkPlan),
    /// Of cells with one input, and residual blocks.
    NasBench201(nas_bench_201::NetworkPlan),
}

/// A borrowed [`SkeletonPlan`]: what networks are built from.
#[derive(Debug, Clone, Copy)]
pub enum PlanView<'a> {
    /// Of cells with two inputs, normal and reduction.
    Darts(&'a NetworkPlan),
    /// Of cells with one input, and residual blocks.
    NasBench201(&'a nas_bench_201::NetworkPlan),
}

impl Skeleton {
    /// Lays the network out.
    ///
    /// # Errors
    /// As the `plan` of the space's own [`NetworkSpec`].
    pub fn plan(&self) -> Result<SkeletonPlan, SpaceError> {
        Ok(match self {
            Self::Darts(spec) => SkeletonPlan::Darts(spec.plan()?),
            Self::NasBench201(spec) => SkeletonPlan::NasBench201(spec.plan()?),
        })
    }

    /// Shape of the images.
    pub fn image(&self) -> ImageShape {
        match self {
            Self::Darts(spec) => spec.image,
            Self::NasBench201(spec) => spec.image,
        }
    }

    /// Number of stages.
    pub fn stages(&self) -> usize {
        match self {
            Self::Darts(spec) => spec.cells_per_stage.len(),
            Self::NasBench201(_) => nas_bench_201::STAGES,
        }
    }

    /// Cells in all, residual blocks not counted.
    pub fn cells(&self) -> usize {
        match self {
            Self::Darts(spec) => spec.cells_per_stage.iter().sum(),
            Self::NasBench201(spec) => nas_bench_201::STAGES * spec.cells_per_stage,
        }
    }

    /// Channels of a cell in the first stage.
    pub fn init_channels(&self) -> usize {
        match self {
            Self::Darts(spec) => spec.init_channels,
            Self::NasBench201(spec) => spec.init_channels,
        }
    }
}

impl SkeletonPlan {
    /// Cost of the search network, see [`cost::search_network`].
    pub fn search_cost(&self) -> Cost {
        match self {
            Self::Darts(plan) => cost::search_network(plan),
            Self::NasBench201(plan) => nas_bench_201::cost::search_network(plan),
        }
    }

    /// Cost of the network with the cells of `architecture`, see [`cost::evaluation_network`].
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn evaluation_cost(&self, architecture: &Architecture, affine: bool) -> Result<Cost, SpaceError> {
        match (self, architecture) {
            (Self::Darts(plan), Architecture::Darts(genotypes)) => {
                cost::evaluation_network(plan, genotypes.as_slice(), affine)
            }
            (Self::NasBench201(plan), Architecture::NasBench201(genotype)) => {
                Ok(nas_bench_201::cost::evaluation_network(plan, genotype, affine))
            }
            _ => Err(self.other_space(architecture)),
        }
    }

    /// Checks that a network can be built from `architecture`.
    ///
    /// # Errors
    /// [`SpaceError::GenotypeCount`]; [`SpaceError::Space`] for cells of another space.
    pub fn check(&self, architecture: &Architecture) -> Result<(), SpaceError> {
        match (self, architecture) {
            (Self::Darts(plan), Architecture::Darts(genotypes)) => genotypes.check_stages(plan.stages.len()),
            (Self::NasBench201(_), Architecture::NasBench201(_)) => Ok(()),
            _ => Err(self.other_space(architecture)),
        }
    }

    fn other_space(&self, architecture: &Architecture) -> SpaceError {
        let expected = match self {
            Self::Darts(_) => crate::genotype_json::SPACE,
            Self::NasBench201(_) => nas_bench_201::SPACE,
        };
        SpaceError::Space { expected, found: architecture.space().to_owned() }
    }
}

impl PlanView<'_> {
    /// The layers in front of the first cell. Those of NAS-Bench-201 are the CIFAR stem.
    pub fn stem(self) -> StemPlan {
        match self {
            Self::Darts(plan) => plan.stem.clone(),
            Self::NasBench201(plan) => {
                let image_size = [plan.image.height, plan.image.width];
                StemPlan {
                    kind: Stem::Cifar,
                    in_channels: plan.image.channels,
                    image_size,
                    out_channels: plan.stem_channels,
                    size_s0: image_size,
                    size_s1: image_size,
                }
            }
        }
    }

    /// Number of stages.
    pub fn stages(self) -> usize {
        match self {
            Self::Darts(plan) => plan.stages.len(),
            Self::NasBench201(plan) => plan.stages.len(),
        }
    }

    /// Channels that reach the classifier, and classes.
    pub fn classifier(self) -> [usize; 2] {
        match self {
            Self::Darts(plan) => [plan.classifier_in, plan.classes],
            Self::NasBench201(plan) => [plan.classifier_in, plan.classes],
        }
    }

    /// Heads through which the networks teach each other, in stage order.
    pub fn distillation_heads(self) -> Vec<HeadPlan> {
        match self {
            Self::Darts(plan) => plan.distillation_heads(),
            Self::NasBench201(plan) => plan.distillation_heads(),
        }
    }

    /// The head whose loss is added while the found network is retrained; NAS-Bench-201 has none.
    pub fn auxiliary_head(self) -> Option<HeadPlan> {
        match self {
            Self::Darts(plan) => plan.auxiliary_head(),
            Self::NasBench201(_) => None,
        }
    }
}

impl<'a> From<&'a NetworkPlan> for PlanView<'a> {
    fn from(plan: &'a NetworkPlan) -> Self {
        Self::Darts(plan)
    }
}

impl<'a> From<&'a nas_bench_201::NetworkPlan> for PlanView<'a> {
    fn from(plan: &'a nas_bench_201::NetworkPlan) -> Self {
        Self::NasBench201(plan)
    }
}

impl<'a> From<&'a SkeletonPlan> for PlanView<'a> {
    fn from(plan: &'a SkeletonPlan) -> Self {
        match plan {
            SkeletonPlan::Darts(plan) => Self::Darts(plan),
            SkeletonPlan::NasBench201(plan) => Self::NasBench201(plan),
        }
    }
}

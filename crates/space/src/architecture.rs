//! A genotype of any of the search spaces.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::drawing::Picture;
use crate::genotype_json::{self, Header, looks_like_json};
use crate::{Genotype, SpaceError, StageGenotypes, nas_bench_201};

/// A genotype with the search space it belongs to. As a document it is the genotype's own, which names its space.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Architecture {
    /// The one cell of NAS-Bench-201.
    NasBench201(nas_bench_201::Genotype),
    /// Normal and reduction cell of the DARTS space, for all stages or for each.
    Darts(StageGenotypes),
}

impl Architecture {
    /// Name of the search space, as documents write it.
    pub fn space(&self) -> &'static str {
        match self {
            Self::Darts(_) => genotype_json::SPACE,
            Self::NasBench201(_) => nas_bench_201::SPACE,
        }
    }

    /// The published genotype of this name, of whichever space.
    pub fn published(name: &str) -> Option<Self> {
        let darts = crate::published(name).map(|genotype| Self::Darts(genotype.into()));
        darts.or_else(|| nas_bench_201::published(name).map(Self::NasBench201))
    }

    /// What to draw: one picture, or one a stage where the stages differ.
    pub fn pictures(&self) -> Vec<Picture> {
        match self {
            Self::Darts(genotypes) => genotypes.as_slice().iter().map(Picture::from).collect(),
            Self::NasBench201(genotype) => vec![genotype.into()],
        }
    }

    /// The genotypes of the DARTS space, if it is of that one.
    pub fn as_darts(&self) -> Option<&StageGenotypes> {
        match self {
            Self::Darts(genotypes) => Some(genotypes),
            Self::NasBench201(_) => None,
        }
    }

    /// The cell of NAS-Bench-201, if it is of that space.
    pub fn as_nas_bench_201(&self) -> Option<&nas_bench_201::Genotype> {
        match self {
            Self::NasBench201(genotype) => Some(genotype),
            Self::Darts(_) => None,
        }
    }

    /// Skip connections; of the DARTS space those of the stage that has the most.
    pub fn skip_count(&self) -> usize {
        match self {
            Self::Darts(genotypes) => genotypes.skip_count(),
            Self::NasBench201(genotype) => genotype.count(nas_bench_201::Op::SkipConnect),
        }
    }

    /// Edges without connection, which cells of the DARTS space do not keep.
    pub fn none_count(&self) -> usize {
        match self {
            Self::Darts(_) => 0,
            Self::NasBench201(genotype) => genotype.count(nas_bench_201::Op::None),
        }
    }

    /// Operations that are kept: of one cell, of the DARTS space those of both.
    pub fn op_count(&self) -> usize {
        match self {
            Self::Darts(genotypes) => {
                let genotype = genotypes.of(0);
                genotype.normal.nodes.iter().chain(&genotype.reduce.nodes).map(Vec::len).sum()
            }
            Self::NasBench201(genotype) => genotype.ops.len(),
        }
    }

    /// The versioned JSON document on one line; where the stages differ, the published file of stages.
    pub fn to_json(&self) -> String {
        match self {
            Self::Darts(genotype) => genotype.to_json(),
            Self::NasBench201(genotype) => genotype.to_json(),
        }
    }
}

impl From<Genotype> for Architecture {
    fn from(genotype: Genotype) -> Self {
        Self::Darts(genotype.into())
    }
}

impl From<StageGenotypes> for Architecture {
    fn from(genotypes: StageGenotypes) -> Self {
        Self::Darts(genotypes)
    }
}

impl From<&Genotype> for Architecture {
    fn from(genotype: &Genotype) -> Self {
        Self::Darts(genotype.into())
    }
}

impl From<&StageGenotypes> for Architecture {
    fn from(genotypes: &StageGenotypes) -> Self {
        Self::Darts(genotypes.clone())
    }
}

impl From<&Architecture> for Architecture {
    fn from(architecture: &Architecture) -> Self {
        architecture.clone()
    }
}

impl From<nas_bench_201::Genotype> for Architecture {
    fn from(genotype: nas_bench_201::Genotype) -> Self {
        Self::NasBench201(genotype)
    }
}

impl From<&nas_bench_201::Genotype> for Architecture {
    fn from(genotype: &nas_bench_201::Genotype) -> Self {
        Self::NasBench201(*genotype)
    }
}

impl fmt::Display for Architecture {
    /// The form that genotypes of the space are published in.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Darts(genotype) => genotype.fmt(f),
            Self::NasBench201(genotype) => genotype.fmt(f),
        }
    }
}

impl FromStr for Architecture {
    type Err = SpaceError;

    /// Reads any text form of either space.
    ///
    /// # Errors
    ///
    /// As the `from_str` of the two; [`SpaceError::Space`] for a document of a third.
    fn from_str(text: &str) -> Result<Self, SpaceError> {
        if looks_like_json(text) {
            of_json(text)
        } else if text.trim_start().starts_with('|') {
            Ok(Self::NasBench201(text.parse()?))
        } else {
            Ok(Self::Darts(text.parse()?))
        }
    }
}

/// A file of stages has no header; it is read as what it can only be, one of DARTS.
fn of_json(text: &str) -> Result<Architecture, SpaceError> {
    match genotype_json::from_json::<Header>(text) {
        Ok(header) if header.space == nas_bench_201::SPACE => Ok(Architecture::NasBench201(text.parse()?)),
        Ok(header) if header.space != genotype_json::SPACE => Err(SpaceError::Space {
            expected: "darts` or `nas-bench-201",
            found: header.space.chars().take(40).collect(),
        }),
        _ => Ok(Architecture::Darts(text.parse()?)),
    }
}

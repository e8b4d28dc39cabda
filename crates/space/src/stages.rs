//! The genotypes of a whole network: one for all stages, or one for each.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Genotype, SpaceError, parse_stages, stages_to_json};

/// One genotype that all stages share, or one for each stage, where stages have architecture weights of their own.
///
/// As text, a shared genotype is the published text form and several are the published file of stages; both are
/// read back by [`StageGenotypes::from_str`]. Equal genotypes are one shared genotype, as in every published file.
///
/// ```
/// use cdarts_space::{StageGenotypes, published, stages_to_json};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let darts = published("darts-v1").ok_or("unknown name")?;
/// let file = stages_to_json(&[darts.clone(), darts.clone(), darts.clone()]);
/// assert_eq!(file.parse::<StageGenotypes>()?, StageGenotypes::from(darts));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "Form", try_from = "Form")]
pub struct StageGenotypes(Vec<Genotype>);

/// How it is stored: a shared genotype as every other genotype is.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Shared(Genotype),
    Stages(Vec<Genotype>),
}

impl From<StageGenotypes> for Form {
    fn from(mut genotypes: StageGenotypes) -> Self {
        match genotypes.0.len() {
            1 => Self::Shared(genotypes.0.swap_remove(0)),
            _ => Self::Stages(genotypes.0),
        }
    }
}

impl TryFrom<Form> for StageGenotypes {
    type Error = SpaceError;

    fn try_from(form: Form) -> Result<Self, SpaceError> {
        match form {
            Form::Shared(genotype) => Ok(Self(vec![genotype])),
            Form::Stages(stages) => Self::new(stages),
        }
    }
}

impl From<Genotype> for StageGenotypes {
    fn from(genotype: Genotype) -> Self {
        Self(vec![genotype])
    }
}

impl From<&Genotype> for StageGenotypes {
    fn from(genotype: &Genotype) -> Self {
        genotype.clone().into()
    }
}

impl From<&StageGenotypes> for StageGenotypes {
    fn from(genotypes: &StageGenotypes) -> Self {
        genotypes.clone()
    }
}

impl StageGenotypes {
    /// One genotype a stage, in the order of the stages, or a single one for all.
    ///
    /// # Errors
    ///
    /// [`SpaceError::GenotypeCount`] for none; [`SpaceError::Stage`] for what [`Genotype::validate`] finds.
    pub fn new(mut stages: Vec<Genotype>) -> Result<Self, SpaceError> {
        if stages.is_empty() {
            return Err(SpaceError::GenotypeCount { expected: 1, found: 0 });
        }
        for (stage, genotype) in stages.iter().enumerate() {
            genotype.validate().map_err(|cause| SpaceError::Stage { stage, cause: Box::new(cause) })?;
        }
        if stages.windows(2).all(|pair| pair[0] == pair[1]) {
            stages.truncate(1);
        }
        Ok(Self(stages))
    }

    /// The genotype of a stage, from 0.
    pub fn of(&self, stage: usize) -> &Genotype {
        &self.0[if self.0.len() == 1 { 0 } else { stage }]
    }

    /// All genotypes: one, or one a stage.
    pub fn as_slice(&self) -> &[Genotype] {
        &self.0
    }

    /// The one genotype of all stages, where there is one.
    pub fn shared(&self) -> Option<&Genotype> {
        (self.0.len() == 1).then(|| &self.0[0])
    }

    /// Checks that a network of so many stages can be built from them.
    ///
    /// # Errors
    ///
    /// [`SpaceError::GenotypeCount`].
    pub fn check_stages(&self, stages: usize) -> Result<(), SpaceError> {
        match self.0.len() {
            1 => Ok(()),
            found if found == stages => Ok(()),
            found => Err(SpaceError::GenotypeCount { expected: stages, found }),
        }
    }

    /// Skip connections of the stage that has the most.
    pub fn skip_count(&self) -> usize {
        self.0.iter().map(Genotype::skip_count).max().unwrap_or(0)
    }

    /// As a file: a shared genotype as the versioned document, several as the published file of stages.
    pub fn to_json(&self) -> String {
        match self.shared() {
            Some(genotype) => genotype.to_json(),
            None => stages_to_json(&self.0),
        }
    }

    /// The published file of stages, which always has an entry for each of the network's `stages`.
    pub fn to_published_json(&self, stages: usize) -> String {
        stages_to_json(&(0..stages).map(|stage| self.of(stage).clone()).collect::<Vec<_>>())
    }
}

impl fmt::Display for StageGenotypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shared() {
            Some(genotype) => genotype.fmt(f),
            None => f.write_str(stages_to_json(&self.0).trim_end()),
        }
    }
}

impl FromStr for StageGenotypes {
    type Err = SpaceError;

    /// Reads every text form of a genotype and of a file of stages.
    ///
    /// # Errors
    ///
    /// As [`parse_stages`].
    fn from_str(text: &str) -> Result<Self, SpaceError> {
        Self::new(parse_stages(text)?)
    }
}

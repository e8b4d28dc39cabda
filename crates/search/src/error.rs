//! What can go wrong between a configuration and a trained network.

use std::path::PathBuf;

use cdarts_data::DataError;
use cdarts_nets::NetsError;
use cdarts_runs::{Phase, RunsError};
use cdarts_space::SpaceError;

/// An error of a run, with a remedy where one is known ([`SearchError::hint`]).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    // Configuration
    /// A text is not TOML.
    #[error("{name} is not a TOML file: {reason}")]
    ConfigSyntax {
        /// Where the text came from.
        name: String,
        /// What the parser says, with the place.
        reason: String,
    },
    /// A setting is not of the form `key=value`.
    #[error("cannot use the setting `{setting}`: expected `section.key=value`")]
    ConfigSetting {
        /// The setting as given.
        setting: String,
    },
    /// A key that does not exist.
    #[error("unknown configuration key `{key}`")]
    ConfigKey {
        /// The key as given.
        key: String,
        /// The most similar key there is.
        nearest: Option<String>,
    },
    /// A value of the wrong type.
    #[error("configuration key `{key}`: {reason}")]
    ConfigType {
        /// The key.
        key: String,
        /// What the parser says.
        reason: String,
    },
    /// A value outside its range.
    #[error("configuration key `{key}` is {found}; expected {expected}")]
    ConfigValue {
        /// The key.
        key: String,
        /// The value given.
        found: String,
        /// The range.
        expected: String,
    },

    // Devices
    /// A device that this build does not have.
    #[error("no device `{found}` in this build; it has {known}")]
    Device {
        /// The name as given.
        found: String,
        /// The names there are.
        known: String,
    },

    // Training
    /// A loss became infinite or not a number.
    #[error("the loss term `{term}` is not a finite number in {phase}, step {step}")]
    NonFinite {
        /// Where.
        phase: Phase,
        /// Step within the epoch, from 0.
        step: usize,
        /// Which term.
        term: String,
    },
    /// Stored weights do not fit the network.
    #[error("{path}: the stored {section} does not fit the network: {reason}")]
    Weights {
        /// File that holds them.
        path: PathBuf,
        /// Which network or optimiser.
        section: String,
        /// What differs.
        reason: String,
    },
    /// A stored state cannot be read.
    #[error("{path}: the stored state cannot be read: {reason}")]
    State {
        /// File that holds it.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A run whose found network is not there (yet).
    #[error("{path} holds no trained network")]
    NoBundle {
        /// The run's folder.
        path: PathBuf,
    },
    /// Images or classes that the trained network was not made for.
    #[error("the network was trained on {expected}; the images given are {found}")]
    OtherData {
        /// What the network takes.
        expected: String,
        /// What was given.
        found: String,
    },

    // Other crates
    /// Reading or dividing the images.
    #[error(transparent)]
    Data(#[from] DataError),
    /// An impossible network or genotype.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// The run's folder.
    #[error(transparent)]
    Runs(#[from] RunsError),
    /// Networks' stored values.
    #[error(transparent)]
    Nets(#[from] NetsError),
}

impl SearchError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::ConfigKey { nearest: Some(nearest), .. } => Some(format!("did you mean `{nearest}`?")),
            Self::ConfigKey { nearest: None, .. } => {
                Some("`cdarts config show` prints every key with its value".to_owned())
            }
            Self::ConfigType { reason, .. } => nearest_choice(reason).map(|word| format!("did you mean `{word}`?")),
            Self::Device { .. } => {
                Some("GPU devices are Cargo features: cargo build --release --features vulkan".to_owned())
            }
            Self::NonFinite { .. } => Some(
                "the last checkpoint is from before it; lower search.supernet_lr, search.eval_lr or retrain.lr, \
                 or set a search.grad_clip"
                    .to_owned(),
            ),
            Self::NoBundle { .. } => Some("finish it with `cdarts search --resume RUN`".to_owned()),
            Self::Weights { .. } | Self::State { .. } => {
                Some("the file was written by another version or for another configuration".to_owned())
            }
            Self::Space(SpaceError::Space { found, .. }) if found == "nas-bench-201" || found == "darts" => {
                Some(format!("search.space decides what a run trains: take --set search.space={found} or a recipe of it"))
            }
            Self::Data(error) => error.hint(),
            Self::Runs(error) => error.hint(),
            _ => None,
        }
    }
}

/// Of the choices in a message such as "unknown variant `a`, expected one of `b`, `c`", the one most like the word given.
fn nearest_choice(reason: &str) -> Option<String> {
    let mut words = reason.strip_prefix("unknown variant ")?.split('`').skip(1).step_by(2);
    let given = words.next()?;
    words
        .map(|word| (strsim::damerau_levenshtein(word, given), word))
        .min()
        .filter(|(distance, word)| *distance <= 1 + word.len() / 3)
        .map(|(_, word)| word.to_owned())
}

//! The parts that a data set may come divided into, and the names they go by.

use serde::{Deserialize, Serialize};

/// A part of a data set as it was published or laid out by its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// To train on.
    Train,
    /// To watch and to choose by.
    Val,
    /// To score once.
    Test,
}

impl Part {
    /// All parts, in the order in which they are read.
    pub const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];

    /// The part that folders, arrays and files call `name`, in any case.
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "train" | "training" => Some(Self::Train),
            "test" | "testing" | "t10k" => Some(Self::Test),
            "val" | "valid" | "validation" => Some(Self::Val),
            _ => None,
        }
    }

    /// The usual name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }
}

/// What becomes of a validation part, in words: the program draws its own from the training images, so that of the
/// data set is the test set where there is no other, and joins the training images where there is one.
pub(crate) fn note_on_val(val: &str, has_test: bool) -> String {
    match has_test {
        true => format!("the images of {val} join the training images"),
        false => format!("{val} is the test set, there is no other"),
    }
}

//! Cells as this crate's versioned JSON: `{"version":1,"space":"nas-bench-201","arch":"|nor_conv_3x3~0|+…"}`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Genotype, text};
use crate::SpaceError;
use crate::genotype_json::{VERSION, check_header, read_document};

/// Name of the search space in the document.
pub(crate) const SPACE: &str = "nas-bench-201";

/// A cell as it stands in a document.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document<'a> {
    version: u64,
    space: Cow<'a, str>,
    /// In the benchmark's notation.
    #[serde(borrow)]
    arch: Cow<'a, str>,
}

impl From<Genotype> for Document<'static> {
    fn from(genotype: Genotype) -> Self {
        Self { version: VERSION, space: SPACE.into(), arch: genotype.to_string().into() }
    }
}

impl TryFrom<Document<'_>> for Genotype {
    type Error = SpaceError;

    fn try_from(document: Document<'_>) -> Result<Genotype, SpaceError> {
        check_header(document.version, &document.space, SPACE)?;
        text::parse(&document.arch)
    }
}

impl Genotype {
    /// The versioned JSON document, on one line.
    #[expect(clippy::expect_used, reason = "strings and numbers always serialise; no input reaches this")]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a genotype holds only strings and numbers")
    }
}

/// Reads a document.
pub(super) fn parse(text: &str) -> Result<Genotype, SpaceError> {
    let document: Document<'_> = read_document(text, SPACE)?;
    text::parse(&document.arch).map_err(|error| match document.arch {
        Cow::Borrowed(arch) => error.moved(characters_before(text, arch)),
        // Written with escapes it is no part of the text; positions then count within it.
        Cow::Owned(_) => error,
    })
}

/// Characters of `text` in front of `part` of it.
fn characters_before(text: &str, part: &str) -> usize {
    let offset = part.as_ptr() as usize - text.as_ptr() as usize;
    text[..offset].chars().count()
}

//! Genotypes as JSON: this crate's own versioned document, and the published file that maps "0", "1", … to
//! one named tuple a stage (facts section 4).

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{CellGenotype, Genotype, SpaceError, genotype_text};

/// Version of the documents that are written and read.
pub(crate) const VERSION: u64 = 1;
/// Name of the search space in the document.
pub(crate) const SPACE: &str = "darts";

/// A genotype as it stands in a document.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    version: u64,
    space: String,
    normal: CellGenotype,
    reduce: CellGenotype,
}

impl From<Genotype> for Document {
    fn from(genotype: Genotype) -> Self {
        let Genotype { normal, reduce } = genotype;
        Self { version: VERSION, space: SPACE.to_owned(), normal, reduce }
    }
}

impl TryFrom<Document> for Genotype {
    type Error = SpaceError;

    fn try_from(document: Document) -> Result<Genotype, SpaceError> {
        check_header(document.version, &document.space, SPACE)?;
        let genotype = Genotype { normal: document.normal, reduce: document.reduce };
        genotype.validate()?;
        Ok(genotype)
    }
}

pub(crate) fn check_header(version: u64, space: &str, expected: &'static str) -> Result<(), SpaceError> {
    if version != VERSION {
        return Err(SpaceError::Version { expected: VERSION, found: version });
    }
    if space != expected {
        return Err(SpaceError::Space { expected, found: space.chars().take(40).collect() });
    }
    Ok(())
}

impl Genotype {
    /// The versioned JSON document, on one line.
    #[expect(clippy::expect_used, reason = "strings and numbers always serialise; no input reaches this")]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a genotype holds only strings and numbers")
    }
}

/// The published file of stages: `{"0": "Genotype(…)", "1": …}`, one line a stage.
pub fn stages_to_json(stages: &[Genotype]) -> String {
    let lines: Vec<String> = stages
        .iter()
        .enumerate()
        .map(|(stage, genotype)| {
            format!("  \"{stage}\": {}", serde_json::Value::String(genotype.to_string()))
        })
        .collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

/// Reads a file of stages. Any other text form is read as one genotype.
///
/// # Errors
///
/// As for [`Genotype`]'s `from_str`; [`SpaceError::StageKey`] if the keys are not "0", "1", … in some order;
/// [`SpaceError::Stage`] for what is wrong in one stage.
pub fn parse_stages(text: &str) -> Result<Vec<Genotype>, SpaceError> {
    if !looks_like_json(text) {
        return Ok(vec![genotype_text::parse(text)?]);
    }
    let Keys(keys) = from_json(text)?;
    let numbered = |key: &String| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit());
    if keys.is_empty() || !keys.iter().any(numbered) {
        return Ok(vec![read_document::<Document>(text, SPACE)?.try_into()?]);
    }
    let Entries(mut entries) = from_json(text)?;
    entries.sort_by_key(|(key, _)| (key.len(), key.clone()));
    let stages = entries.into_iter().enumerate().map(|(stage, (key, genotype))| {
        if key != stage.to_string() {
            return Err(SpaceError::StageKey { index: stage, found: key.chars().take(40).collect() });
        }
        genotype_text::parse(&genotype).map_err(|cause| SpaceError::Stage { stage, cause: Box::new(cause) })
    });
    stages.collect()
}

pub(crate) fn looks_like_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// One genotype out of either JSON form.
pub(crate) fn parse(text: &str) -> Result<Genotype, SpaceError> {
    let mut stages = parse_stages(text)?;
    if let Some(stage) = stages.iter().position(|stage| *stage != stages[0]) {
        return Err(SpaceError::StagesDiffer { stage });
    }
    Ok(stages.swap_remove(0))
}

/// Version and search space of a document. They are read by themselves first: a document of another version or
/// space may well have other fields.
#[derive(Deserialize)]
pub(crate) struct Header {
    version: u64,
    pub space: String,
}

/// Reads a document of the search space `space`.
pub(crate) fn read_document<'a, D: Deserialize<'a>>(
    text: &'a str,
    space: &'static str,
) -> Result<D, SpaceError> {
    let header: Header = from_json(text)?;
    check_header(header.version, &header.space, space)?;
    from_json(text)
}

pub(crate) fn from_json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, SpaceError> {
    serde_json::from_str(text).map_err(|error| {
        let place = format!(" at line {} column {}", error.line(), error.column());
        let reason = error.to_string();
        let reason = reason.strip_suffix(&place).unwrap_or(&reason).to_owned();
        SpaceError::Json { position: character(text, error.line(), error.column()), reason }
    })
}

/// Character of a place given as line and column, both from 1, the column in bytes.
fn character(text: &str, line: usize, column: usize) -> usize {
    let line_start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let end = (line_start + column).min(text.len());
    let starts_character = |byte: &&u8| (**byte as i8) >= -0x40;
    text.as_bytes()[..end].iter().filter(starts_character).count().max(1)
}

/// The keys of an object, repeated ones included.
struct Keys(Vec<String>);

/// The entries of an object whose values are strings, repeated keys included.
struct Entries(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = deserializer.deserialize_map(Pairs::<IgnoredAny>(std::marker::PhantomData))?;
        Ok(Keys(entries.into_iter().map(|(key, _)| key).collect()))
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Pairs::<String>(std::marker::PhantomData)).map(Entries)
    }
}

struct Pairs<V>(std::marker::PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for Pairs<V> {
    type Value = Vec<(String, V)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object that holds a genotype, or one genotype text for each stage")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}

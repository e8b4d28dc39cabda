//! Names of labels in text files beside arrays.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::DataError;

/// Label to name.
pub(crate) type LabelNames = BTreeMap<i64, String>;

/// A file with a name a line, that of label 0 first, as a run's bundle has it; none if there is no such file.
pub(crate) fn lines(path: &Path) -> Result<Option<(PathBuf, LabelNames)>, DataError> {
    if !path.is_file() {
        return Ok(None);
    }
    let text = fs_err::read_to_string(path)?;
    let names = text.lines().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
    Ok(Some((path.to_owned(), (0..).zip(names).collect())))
}

/// A file of EMNIST with a label and its character's code a line; further codes are that of the lower case.
pub(crate) fn codes(path: &Path) -> Result<Option<(PathBuf, LabelNames)>, DataError> {
    if !path.is_file() {
        return Ok(None);
    }
    let mut names = LabelNames::new();
    for (line, text) in fs_err::read_to_string(path)?.lines().enumerate() {
        if text.trim().is_empty() {
            continue;
        }
        let mut numbers = text.split_whitespace().map(str::parse::<u32>);
        let character = match (numbers.next(), numbers.next()) {
            (Some(Ok(label)), Some(Ok(code))) => char::from_u32(code).map(|c| (label, c)),
            _ => None,
        };
        let Some((label, character)) = character else {
            let (line, found) = (line + 1, text.to_owned());
            let expected = "a label and the code of a character";
            return Err(DataError::TableLine { name: path.display().to_string(), line, expected, found });
        };
        names.insert(i64::from(label), character.to_string());
    }
    Ok(Some((path.to_owned(), names)))
}

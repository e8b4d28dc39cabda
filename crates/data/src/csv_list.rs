//! A table of pictures: a CSV file with the columns `path` and `label`, and perhaps `split`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use csv::{ReaderBuilder, StringRecord, Trim};

use crate::{
    DataError, SourceKind,
    files::{Picture, PictureList},
    folder,
    part::{Part, note_on_val},
};

/// Names of the columns, in lower case.
const PATHS: &[&str] = &["path", "file", "filename", "file_name", "filepath", "image", "image_path"];
const LABELS: &[&str] = &["label", "class", "label_name", "class_name", "category", "target"];
const SPLITS: &[&str] = &["split", "set", "subset", "partition", "part"];

/// Places of the columns.
struct Columns {
    path: usize,
    label: usize,
    split: Option<usize>,
}

/// Whether `path` is named as a table.
pub(crate) fn is_named_so(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        extension.eq_ignore_ascii_case("csv") || extension.eq_ignore_ascii_case("tsv")
    })
}

/// The pictures that the table at `path` lists. Paths in it are relative to its folder.
pub(crate) fn list(path: &Path) -> Result<PictureList, DataError> {
    let delimiter =
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("tsv")) { b'\t' } else { b',' };
    let file = fs_err::File::open(path)?;
    let mut reader = ReaderBuilder::new().delimiter(delimiter).trim(Trim::All).from_reader(file);
    let bad = |source| DataError::Csv { path: path.to_owned(), source };
    let columns = columns(path, reader.headers().map_err(bad)?)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut rows = Vec::new();
    for record in reader.records() {
        rows.push(row(path, folder, &columns, &record.map_err(bad)?)?);
    }
    assemble(path, rows)
}

/// A line of the table: file, label and part.
type Row = (PathBuf, String, Part);

fn columns(path: &Path, names: &StringRecord) -> Result<Columns, DataError> {
    let find = |wanted: &[&str]| {
        names.iter().position(|name| {
            let name = name.trim_start_matches('\u{FEFF}').to_ascii_lowercase();
            wanted.contains(&name.as_str())
        })
    };
    match (find(PATHS), find(LABELS)) {
        (Some(path), Some(label)) => Ok(Columns { path, label, split: find(SPLITS) }),
        (path_column, _) => Err(DataError::CsvColumn {
            path: path.to_owned(),
            missing: if path_column.is_some() { "label" } else { "path" },
            found: names.iter().map(str::to_owned).collect(),
        }),
    }
}

fn row(path: &Path, folder: &Path, columns: &Columns, record: &StringRecord) -> Result<Row, DataError> {
    let line = record.position().map_or(0, |position| position.line() as usize);
    let wrong = |expected, found: &str| DataError::TableLine {
        name: path.display().to_string(),
        line,
        expected,
        found: found.to_owned(),
    };
    let field = |at: usize| record.get(at).unwrap_or_default();
    let (file, label) = (field(columns.path), field(columns.label));
    if file.is_empty() {
        return Err(wrong("the path of an image", file));
    }
    // Names of classes are written a line each.
    if label.is_empty() || label.contains(['\n', '\r']) {
        return Err(wrong("a label in one line", label));
    }
    let part = match columns.split.map_or("", field) {
        "" => Part::Train,
        split => Part::of(split).ok_or_else(|| wrong("the split train, val or test", split))?,
    };
    Ok((folder.join(file), label.to_owned(), part))
}

fn assemble(path: &Path, rows: Vec<Row>) -> Result<PictureList, DataError> {
    let has = |part| rows.iter().any(|(_, _, of)| *of == part);
    if !has(Part::Train) {
        return Err(DataError::NoImages { path: path.to_owned() });
    }
    let mut notes = Vec::new();
    let has_test = has(Part::Test);
    if has(Part::Val) {
        notes.push(note_on_val("the split val", has_test));
    }
    let training = |part| part == Part::Train || part == Part::Val && has_test;
    let labels = rows.iter().filter(|(_, _, part)| training(*part)).map(|(_, label, _)| label.as_str());
    let classes = classes(labels);
    if let [class] = classes.as_slice() {
        return Err(DataError::OneClass { path: path.to_owned(), class: class.clone(), nested: false });
    }
    let places: BTreeMap<&str, u32> = classes.iter().map(String::as_str).zip(0..).collect();
    let mut pictures = Vec::with_capacity(rows.len());
    for (file, label, part) in &rows {
        let Some(&label) = places.get(label.as_str()) else {
            return Err(DataError::UnknownClass { path: file.clone(), found: label.clone() });
        };
        let part = if *part == Part::Val && !has_test { Part::Test } else { *part };
        pictures.push(Picture { path: file.clone(), label, part });
    }
    // Stable: within a part the order of the table stays.
    pictures.sort_by_key(|picture| picture.part);
    Ok(PictureList {
        kind: SourceKind::Csv,
        name: folder::name(&path.with_extension("")),
        path: path.to_owned(),
        classes,
        pictures,
        notes,
    })
}

/// The different labels: by value where all are whole numbers, else as text.
fn classes<'a>(labels: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut classes: Vec<&str> = labels.collect::<BTreeSet<_>>().into_iter().collect();
    if classes.iter().all(|class| class.parse::<i64>().is_ok()) {
        classes.sort_by_key(|class| class.parse::<i64>().unwrap_or(0));
    }
    classes.into_iter().map(str::to_owned).collect()
}

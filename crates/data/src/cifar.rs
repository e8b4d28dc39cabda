//! CIFAR-10 and CIFAR-100 (A. Krizhevsky, 2009) in the binary and in the Python version.
//!
//! A binary file is a sequence of records without a header. CIFAR-10: a label byte, then 3,072 pixel bytes; CIFAR-100: a
//! coarse and a fine label byte, then the pixels. Pixels are 1,024 red, 1,024 green, 1,024 blue, row by row:
//! already planes `[3, 32, 32]`. A file of the Python version is a pickled dictionary with an array of such planes and
//! a list of labels.

use std::path::{Path, PathBuf};

use crate::{DataError, Dataset, ImageShape, Images, SourceKind, pickle::Document};

const SHAPE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };

/// Which of the two sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CifarSet {
    Ten,
    Hundred,
}

/// How a set is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Binary,
    Python,
}

/// Labels of a set: their number; their file of names and their place in a record; their key in a pickle and that of
/// their names.
struct LabelKind {
    classes: usize,
    names: &'static str,
    offset: usize,
    key: &'static str,
    names_key: &'static str,
}

const TEN: LabelKind =
    LabelKind { classes: 10, names: "batches.meta.txt", offset: 0, key: "labels", names_key: "label_names" };
const COARSE: LabelKind = LabelKind {
    classes: 20,
    names: "coarse_label_names.txt",
    offset: 0,
    key: "coarse_labels",
    names_key: "coarse_label_names",
};
const FINE: LabelKind = LabelKind {
    classes: 100,
    names: "fine_label_names.txt",
    offset: 1,
    key: "fine_labels",
    names_key: "fine_label_names",
};

/// Longest file of the Python version that is read: CIFAR-100's training file has 155 MB.
const MAX_PICKLE_BYTES: u64 = 1 << 30;

/// A set and where its files lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    set: CifarSet,
    version: Version,
    pub(crate) folder: PathBuf,
}

impl CifarSet {
    const fn title(self) -> &'static str {
        match self {
            Self::Ten => "CIFAR-10",
            Self::Hundred => "CIFAR-100",
        }
    }

    /// Name of the folder in the published archive.
    const fn folder(self, version: Version) -> &'static str {
        match (self, version) {
            (Self::Ten, Version::Binary) => "cifar-10-batches-bin",
            (Self::Ten, Version::Python) => "cifar-10-batches-py",
            (Self::Hundred, Version::Binary) => "cifar-100-binary",
            (Self::Hundred, Version::Python) => "cifar-100-python",
        }
    }

    const fn train_files(self, version: Version) -> &'static [&'static str] {
        match (self, version) {
            (Self::Ten, Version::Binary) => &[
                "data_batch_1.bin",
                "data_batch_2.bin",
                "data_batch_3.bin",
                "data_batch_4.bin",
                "data_batch_5.bin",
            ],
            (Self::Ten, Version::Python) => {
                &["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"]
            }
            (Self::Hundred, Version::Binary) => &["train.bin"],
            (Self::Hundred, Version::Python) => &["train"],
        }
    }

    const fn test_files(self, version: Version) -> &'static [&'static str] {
        match (self, version) {
            (Self::Ten, Version::Binary) => &["test_batch.bin"],
            (Self::Ten, Version::Python) => &["test_batch"],
            (Self::Hundred, Version::Binary) => &["test.bin"],
            (Self::Hundred, Version::Python) => &["test"],
        }
    }

    /// File of names of the Python version.
    const fn meta(self) -> &'static str {
        match self {
            Self::Ten => "batches.meta",
            Self::Hundred => "meta",
        }
    }

    /// Images that the published training and test set have.
    const fn published(self) -> [usize; 2] {
        [50_000, 10_000]
    }

    const fn label_bytes(self) -> usize {
        match self {
            Self::Ten => 1,
            Self::Hundred => 2,
        }
    }

    /// Whether any data file of the set lies in `folder`; what then is missing is an error, not another format.
    fn lies_in(self, folder: &Path, version: Version) -> bool {
        let mut files = self.train_files(version).iter().chain(self.test_files(version));
        files.any(|file| folder.join(file).is_file())
    }
}

/// The set whose files lie in `path`, or in the archive's folder below it. Of the same set in both versions the binary
/// one is taken.
///
/// # Errors
/// [`DataError::Ambiguous`] if both sets are there.
pub(crate) fn find(path: &Path) -> Result<Option<Found>, DataError> {
    let mut found: Vec<Found> = Vec::new();
    for version in [Version::Binary, Version::Python] {
        for set in [CifarSet::Ten, CifarSet::Hundred] {
            for folder in [path.to_owned(), path.join(set.folder(version))] {
                let known = found.iter().any(|found| found.set == set && found.version != version);
                if !known && set.lies_in(&folder, version) {
                    found.push(Found { set, version, folder });
                }
            }
        }
    }
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        [first, second, ..] => {
            let told = |found: &Found| format!("{} in {}", found.set.title(), found.folder.display());
            Err(DataError::Ambiguous { path: path.to_owned(), first: told(first), second: told(second) })
        }
    }
}

impl Found {
    /// Reads the set, training files in the order of their numbers.
    pub(crate) fn read(&self, fine_labels: bool) -> Result<Dataset, DataError> {
        let set = self.set;
        let labels = match (set, fine_labels) {
            (CifarSet::Ten, _) => TEN,
            (CifarSet::Hundred, true) => FINE,
            (CifarSet::Hundred, false) => COARSE,
        };
        let classes = match self.version {
            Version::Binary => read_names(set, &self.folder, &labels)?,
            Version::Python => read_pickled_names(set, &self.folder, &labels)?,
        };
        let train = self.read_files(set.train_files(self.version), &labels)?;
        let test = self.read_files(set.test_files(self.version), &labels)?;
        let (kind, name) = match set {
            CifarSet::Ten => (SourceKind::Cifar10, "cifar10"),
            CifarSet::Hundred => (SourceKind::Cifar100, "cifar100"),
        };
        let counts = [train.len(), test.len()];
        let mut dataset = Dataset::new(kind, name, classes, train, Some(test))?;
        if counts != set.published() {
            let [train, test] = set.published();
            let [found_train, found_test] = counts;
            dataset.notes.push(format!(
                "a part of {}: {found_train} training and {found_test} test images of {train} and {test}",
                set.title()
            ));
        }
        Ok(dataset)
    }

    fn read_files(&self, files: &[&'static str], labels: &LabelKind) -> Result<Images, DataError> {
        if let Some(file) = files.iter().find(|file| !self.folder.join(file).is_file()) {
            return Err(missing(self.set, file, &self.folder));
        }
        let (mut pixels, mut found) = (Vec::new(), Vec::new());
        for file in files {
            let path = self.folder.join(file);
            match self.version {
                Version::Binary => {
                    read_records(self.set, &path, &fs_err::read(&path)?, labels, &mut pixels, &mut found)?;
                }
                Version::Python => {
                    read_pickle(&path, &read_limited(&path)?, labels, &mut pixels, &mut found)?;
                }
            }
        }
        Images::new(SHAPE, pixels, found)
    }
}

fn read_names(set: CifarSet, folder: &Path, labels: &LabelKind) -> Result<Vec<String>, DataError> {
    let path = folder.join(labels.names);
    if !path.is_file() {
        return Err(missing(set, labels.names, folder));
    }
    let text = fs_err::read_to_string(&path)?;
    let names: Vec<String> =
        text.lines().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    check_names(path, names, labels)
}

fn check_names(path: PathBuf, names: Vec<String>, labels: &LabelKind) -> Result<Vec<String>, DataError> {
    match names.len() == labels.classes {
        true => Ok(names),
        false => Err(DataError::ClassNames { path, expected: labels.classes, found: names.len() }),
    }
}

fn read_pickled_names(set: CifarSet, folder: &Path, labels: &LabelKind) -> Result<Vec<String>, DataError> {
    let path = folder.join(set.meta());
    if !path.is_file() {
        return Err(missing(set, set.meta(), folder));
    }
    let bytes = read_limited(&path)?;
    let bad = |reason| DataError::Pickle { path: path.clone(), reason };
    let document = Document::parse(&bytes).map_err(bad)?;
    let names = document.get(labels.names_key).and_then(|id| document.texts(id));
    let names = names.ok_or_else(|| bad(format!("it has no list of texts called {}", labels.names_key)))?;
    check_names(path, names, labels)
}

fn read_limited(path: &Path) -> Result<Vec<u8>, DataError> {
    let length = fs_err::metadata(path)?.len();
    if length > MAX_PICKLE_BYTES {
        let reason = format!("it has {length} bytes, at most {MAX_PICKLE_BYTES} are read");
        return Err(DataError::Pickle { path: path.to_owned(), reason });
    }
    Ok(fs_err::read(path)?)
}

/// Appends pixels and labels of one file of the Python version.
fn read_pickle(
    path: &Path,
    bytes: &[u8],
    labels: &LabelKind,
    pixels: &mut Vec<u8>,
    found: &mut Vec<u32>,
) -> Result<(), DataError> {
    let bad = |reason: String| DataError::Pickle { path: path.to_owned(), reason };
    let document = Document::parse(bytes).map_err(bad)?;
    let numbers = document.get(labels.key).and_then(|id| document.integers(id));
    let numbers = numbers.ok_or_else(|| bad(format!("it has no list of numbers called {}", labels.key)))?;
    let data = document.get("data").and_then(|id| document.byte_array(id));
    let data = data.ok_or_else(|| bad("it has no array of bytes called data".to_owned()))?;
    let expected = [numbers.len(), SHAPE.numel()];
    if data.shape != expected || data.bytes.len() != numbers.len() * SHAPE.numel() {
        return Err(bad(format!(
            "for {} labels its array is {:?} of {} bytes, expected {expected:?}",
            numbers.len(),
            data.shape,
            data.bytes.len()
        )));
    }
    for (record, &label) in numbers.iter().enumerate() {
        match usize::try_from(label).ok().filter(|&label| label < labels.classes) {
            Some(label) => found.push(label as u32),
            None => {
                return Err(bad(format!(
                    "record {record}: label {label} is out of range, there are {} classes",
                    labels.classes
                )));
            }
        }
    }
    pixels.extend_from_slice(data.bytes);
    Ok(())
}

/// Appends pixels and labels of all records of one file.
fn read_records(
    set: CifarSet,
    path: &Path,
    bytes: &[u8],
    labels: &LabelKind,
    pixels: &mut Vec<u8>,
    found: &mut Vec<u32>,
) -> Result<(), DataError> {
    let expected = set.label_bytes() + SHAPE.numel();
    let (records, rest) = (bytes.chunks_exact(expected), bytes.len() % expected);
    if rest != 0 || bytes.is_empty() {
        let record = bytes.len() / expected;
        return Err(DataError::RecordLength { path: path.to_owned(), record, expected, found: rest });
    }
    pixels.reserve(bytes.len());
    for (record, bytes) in records.enumerate() {
        let (head, image) = bytes.split_at(set.label_bytes());
        let label = head[labels.offset];
        if usize::from(label) >= labels.classes {
            return Err(DataError::LabelOutOfRange {
                path: path.to_owned(),
                record,
                expected: labels.classes,
                found: usize::from(label),
            });
        }
        pixels.extend_from_slice(image);
        found.push(u32::from(label));
    }
    Ok(())
}

fn missing(set: CifarSet, file: &'static str, folder: &Path) -> DataError {
    DataError::MissingFile { set: set.title(), file, folder: folder.to_owned() }
}

//! CIFAR-10 and CIFAR-100 in the binary version (A. Krizhevsky, 2009).
//!
//! A file is a sequence of records without a header. CIFAR-10: a label byte, then 3,072 pixel bytes; CIFAR-100: a
//! coarse and a fine label byte, then the pixels. Pixels are 1,024 red, 1,024 green, 1,024 blue, row by row:
//! already planes `[3, 32, 32]`.

use std::path::{Path, PathBuf};

use crate::{DataError, Dataset, ImageShape, Images, SourceKind};

const SHAPE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };

/// Which of the two sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CifarSet {
    Ten,
    Hundred,
}

/// Labels of a set: their file of names, their number and their place in a record.
struct LabelKind {
    names: &'static str,
    classes: usize,
    offset: usize,
}

const TEN: LabelKind = LabelKind { names: "batches.meta.txt", classes: 10, offset: 0 };
const COARSE: LabelKind = LabelKind { names: "coarse_label_names.txt", classes: 20, offset: 0 };
const FINE: LabelKind = LabelKind { names: "fine_label_names.txt", classes: 100, offset: 1 };

impl CifarSet {
    const fn title(self) -> &'static str {
        match self {
            Self::Ten => "CIFAR-10",
            Self::Hundred => "CIFAR-100",
        }
    }

    /// Name of the folder in the published archive.
    const fn folder(self) -> &'static str {
        match self {
            Self::Ten => "cifar-10-batches-bin",
            Self::Hundred => "cifar-100-binary",
        }
    }

    const fn train_files(self) -> &'static [&'static str] {
        match self {
            Self::Ten => &[
                "data_batch_1.bin",
                "data_batch_2.bin",
                "data_batch_3.bin",
                "data_batch_4.bin",
                "data_batch_5.bin",
            ],
            Self::Hundred => &["train.bin"],
        }
    }

    const fn test_files(self) -> &'static [&'static str] {
        match self {
            Self::Ten => &["test_batch.bin"],
            Self::Hundred => &["test.bin"],
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

    /// Files of the Python version, which are pickles, as seen from its folder and from the one around it.
    const fn python_files(self) -> [&'static str; 2] {
        match self {
            Self::Ten => ["data_batch_1", "cifar-10-batches-py/data_batch_1"],
            Self::Hundred => ["train", "cifar-100-python/train"],
        }
    }

    /// Whether any data file of the set lies in `folder`; what then is missing is an error, not another format.
    fn lies_in(self, folder: &Path) -> bool {
        self.train_files().iter().chain(self.test_files()).any(|file| folder.join(file).is_file())
    }
}

/// The set whose files lie in `path`, or in the archive's folder below it, and the folder they lie in.
///
/// # Errors
/// [`DataError::Ambiguous`] if both sets are there, [`DataError::Pickled`] if the Python version is.
pub(crate) fn find(path: &Path) -> Result<Option<(CifarSet, PathBuf)>, DataError> {
    let inner = |set: CifarSet| (set, path.join(set.folder()));
    let places = [
        (CifarSet::Ten, path.to_owned()),
        (CifarSet::Hundred, path.to_owned()),
        inner(CifarSet::Ten),
        inner(CifarSet::Hundred),
    ];
    let mut found = places.into_iter().filter(|(set, folder)| set.lies_in(folder));
    match (found.next(), found.next()) {
        (Some((first, at)), Some((second, also_at))) => Err(DataError::Ambiguous {
            path: path.to_owned(),
            first: format!("{} in {}", first.title(), at.display()),
            second: format!("{} in {}", second.title(), also_at.display()),
        }),
        (Some(one), None) => Ok(Some(one)),
        (None, _) => check_python(path),
    }
}

fn check_python(path: &Path) -> Result<Option<(CifarSet, PathBuf)>, DataError> {
    let files = [CifarSet::Ten, CifarSet::Hundred].into_iter().flat_map(CifarSet::python_files);
    let pickle = files.map(|file| path.join(file)).find(|file| file.is_file());
    pickle.map_or(Ok(None), |path| Err(DataError::Pickled { path }))
}

/// The set in `folder`, training files in the order of their numbers.
pub(crate) fn read(set: CifarSet, folder: &Path, fine_labels: bool) -> Result<Dataset, DataError> {
    let labels = match (set, fine_labels) {
        (CifarSet::Ten, _) => TEN,
        (CifarSet::Hundred, true) => FINE,
        (CifarSet::Hundred, false) => COARSE,
    };
    let classes = read_names(set, folder, &labels)?;
    let train = read_files(set, folder, set.train_files(), &labels)?;
    let test = read_files(set, folder, set.test_files(), &labels)?;
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

fn read_names(set: CifarSet, folder: &Path, labels: &LabelKind) -> Result<Vec<String>, DataError> {
    let path = folder.join(labels.names);
    if !path.is_file() {
        return Err(missing(set, labels.names, folder));
    }
    let text = fs_err::read_to_string(&path)?;
    let names: Vec<String> =
        text.lines().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if names.len() != labels.classes {
        return Err(DataError::ClassNames { path, expected: labels.classes, found: names.len() });
    }
    Ok(names)
}

fn read_files(
    set: CifarSet,
    folder: &Path,
    files: &[&'static str],
    labels: &LabelKind,
) -> Result<Images, DataError> {
    if let Some(file) = files.iter().find(|file| !folder.join(file).is_file()) {
        return Err(missing(set, file, folder));
    }
    let (mut pixels, mut found) = (Vec::new(), Vec::new());
    for file in files {
        let path = folder.join(file);
        let bytes = fs_err::read(&path)?;
        read_records(set, &path, &bytes, labels, &mut pixels, &mut found)?;
    }
    Images::new(SHAPE, pixels, found)
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

//! A data set in memory, and finding out what a path holds.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    DataError, ImageShape, Images,
    cifar::{self, CifarSet},
    digits, fit, folder,
};

/// Most pixel bytes of a data set: all of it is held in memory, and 8 GiB is what a machine that can train
/// on it has to spare.
pub const MAX_PIXEL_BYTES: u64 = 8 << 30;

/// Where a data set comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// The embedded handwritten digits.
    Digits,
    /// The binary version of CIFAR-10.
    Cifar10,
    /// The binary version of CIFAR-100.
    Cifar100,
    /// A folder with a sub-folder of images for each class.
    Folder,
}

/// In words, as a sentence would name it.
impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Digits => "embedded handwritten digits",
            Self::Cifar10 => "CIFAR-10 binary files",
            Self::Cifar100 => "CIFAR-100 binary files",
            Self::Folder => "folder of images",
        })
    }
}

/// How to read; every field has a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoadOptions {
    /// Height and width in pixels that every image is brought to: cut at the centre to their proportions, then
    /// scaled. Without it images keep their size where all have the same; see [`load`] for where they have not.
    pub size: Option<[usize; 2]>,
    /// 1 for grey, 3 for colour. Without it, colour if any image is in colour.
    pub channels: Option<usize>,
    /// CIFAR-100: its 100 fine classes (the default) instead of the 20 coarse ones.
    pub fine_labels: bool,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { size: None, channels: None, fine_labels: true }
    }
}

impl LoadOptions {
    fn check(&self) -> Result<(), DataError> {
        let range = |option, expected: &str, found: String| {
            Err(DataError::OptionRange { option, expected: expected.to_owned(), found })
        };
        match (self.channels, self.size) {
            (Some(channels), _) if !matches!(channels, 1 | 3) => {
                range("channels", "1 or 3", channels.to_string())
            }
            (_, Some([h, w])) if !(1..=4096).contains(&h) || !(1..=4096).contains(&w) => {
                range("size", "1 to 4096 pixels each way", format!("{h}×{w}"))
            }
            _ => Ok(()),
        }
    }

    /// `native`, with what is set here in its place.
    pub(crate) fn target(&self, native: ImageShape) -> ImageShape {
        let [height, width] = self.size.unwrap_or([native.height, native.width]);
        ImageShape { channels: self.channels.unwrap_or(native.channels), height, width }
    }
}

/// Labelled images with the names of their classes, all in memory.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Where it comes from.
    pub kind: SourceKind,
    /// Short name: `digits`, `cifar10`, `cifar100` or the folder's.
    pub name: String,
    /// Names of the classes; a label is an index into them.
    pub classes: Vec<String>,
    /// Shape of every image.
    pub shape: ImageShape,
    /// Images to train on, and to draw a test part from where there is no test set.
    pub train: Arc<Images>,
    /// The data set's own test images.
    pub test: Option<Arc<Images>>,
    /// SHA-256 over class names, shape, labels and pixels, in hexadecimal: equal digests, equal data.
    pub digest: String,
    /// What the reader decided by itself and the user may want to know, a sentence each.
    pub notes: Vec<String>,
}

impl Dataset {
    /// A data set out of images in memory.
    ///
    /// # Errors
    /// [`DataError::ShapeMismatch`] if test images differ in shape, [`DataError::LabelOutOfRange`] for a label
    /// without a class.
    pub fn new(
        kind: SourceKind,
        name: impl Into<String>,
        classes: Vec<String>,
        train: Images,
        test: Option<Images>,
    ) -> Result<Self, DataError> {
        let (name, shape) = (name.into(), train.shape());
        for part in [Some(&train), test.as_ref()].into_iter().flatten() {
            if part.shape() != shape {
                let (expected, found) = (shape.to_string(), part.shape().to_string());
                return Err(DataError::ShapeMismatch { expected, found });
            }
            check_labels(&name, part, classes.len())?;
        }
        let digest = digest(&classes, &train, test.as_ref());
        let (train, test) = (Arc::new(train), test.map(Arc::new));
        Ok(Self { kind, name, classes, shape, train, test, digest, notes: Vec::new() })
    }

    /// The same with all images scaled and converted to `shape`.
    fn fitted(self, shape: ImageShape) -> Result<Self, DataError> {
        if shape == self.shape {
            return Ok(self);
        }
        let train = fit::fit_images(&self.train, shape)?;
        let test = self.test.as_ref().map(|test| fit::fit_images(test, shape)).transpose()?;
        let fitted = Self::new(self.kind, self.name, self.classes, train, test)?;
        Ok(Self { notes: self.notes, ..fitted })
    }
}

fn check_labels(name: &str, images: &Images, classes: usize) -> Result<(), DataError> {
    let outside = images.labels().iter().enumerate().find(|&(_, &label)| label as usize >= classes);
    outside.map_or(Ok(()), |(record, &label)| {
        let (path, found) = (PathBuf::from(name), label as usize);
        Err(DataError::LabelOutOfRange { path, record, expected: classes, found })
    })
}

/// Every part goes in after its length, so that no two data sets feed the same bytes to the hash.
fn digest(classes: &[String], train: &Images, test: Option<&Images>) -> String {
    let mut hash = Sha256::new_with_prefix(b"cdarts data set 1");
    let number = |hash: &mut Sha256, n: usize| hash.update((n as u64).to_le_bytes());
    number(&mut hash, classes.len());
    for class in classes {
        number(&mut hash, class.len());
        hash.update(class.as_bytes());
    }
    for images in [Some(train), test].into_iter().flatten() {
        let ImageShape { channels, height, width } = images.shape();
        for n in [images.len(), channels, height, width] {
            number(&mut hash, n);
        }
        for label in images.labels() {
            hash.update(label.to_le_bytes());
        }
        hash.update(images.all_pixels());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads the data set at `path`, or the embedded handwritten digits without one.
///
/// What is there is found out by looking, in this order:
///
/// 1. CIFAR-10 or CIFAR-100 in the binary version: the folder with the `.bin` files, or the one around it.
/// 2. `train` beside `test` and `val` (also `training`, `testing`, `valid`, `validation`; any case), each with
///    the same class folders. Without `test`, `val` is the test set; with it, the images of `val` join those of
///    `train`, for the program draws its own validation part.
/// 3. Class folders: every sub-folder is a class with its name, classes sorted by name as text. Images may lie
///    at any depth below; their order is that of their paths.
///
/// Images are PNG (`.png`) and JPEG (`.jpg`, `.jpeg`, `.jpe`, `.jfif`), recognised by content. Ignored are hidden
/// files and folders, `Thumbs.db` and the like, and notes, tables, scripts and archives beside the images
/// (`.txt`, `.csv`, `.json`, `.md`, `.py`, `.zip` and so on). Any other file is an error: it may be data.
///
/// Of an animated PNG the first picture counts. 16-bit values are scaled to 8, a palette is resolved, CMYK
/// becomes RGB, transparency is laid over white, and the orientation that a camera recorded is applied.
/// Grey images give one channel; where any file is stored in colour all get three
/// ([`LoadOptions::channels`] overrules both).
///
/// Where images differ in size and [`LoadOptions::size`] is not given, they become squares: as large as the
/// median of their shorter sides, rounded to a multiple of 8 and kept within 8 to 64 pixels, since search time
/// grows with the pixels. [`Dataset::notes`] says so.
///
/// # Errors
/// Any [`DataError`] about paths, files, images and classes; its hint says what to do.
pub fn load(path: Option<&Path>, options: &LoadOptions) -> Result<Dataset, DataError> {
    options.check()?;
    let Some(path) = path else { return fit_to(options, digits::read()?) };
    check_folder(path)?;
    match cifar::find(path)? {
        Some((set, folder)) => {
            let mut dataset = read_cifar(set, &folder, options)?;
            if folder != path {
                dataset.notes.push(format!(
                    "read {}; what else {} holds is not used",
                    folder.display(),
                    path.display()
                ));
            }
            Ok(dataset)
        }
        None => folder::read(path, options),
    }
}

fn read_cifar(set: CifarSet, folder: &Path, options: &LoadOptions) -> Result<Dataset, DataError> {
    fit_to(options, cifar::read(set, folder, options.fine_labels)?)
}

fn fit_to(options: &LoadOptions, dataset: Dataset) -> Result<Dataset, DataError> {
    let shape = options.target(dataset.shape);
    let images = dataset.train.len() + dataset.test.as_ref().map_or(0, |test| test.len());
    check_size(&dataset.name, images, shape, MAX_PIXEL_BYTES)?;
    dataset.fitted(shape)
}

/// That `images` of `shape` stay within `limit` bytes.
pub(crate) fn check_size(name: &str, images: usize, shape: ImageShape, limit: u64) -> Result<(), DataError> {
    let found = (images as u64).saturating_mul(shape.numel() as u64);
    if found > limit {
        return Err(DataError::TooLarge { name: name.to_owned(), expected: limit, found });
    }
    Ok(())
}

fn check_folder(path: &Path) -> Result<(), DataError> {
    match fs_err::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(DataError::NotAFolder { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(DataError::PathMissing { path: path.to_owned() })
        }
        Err(error) => Err(error.into()),
    }
}

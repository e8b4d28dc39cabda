//! A data set, and finding out what a path holds.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    Axes, DataError, ImageShape, Images, cifar, csv_list, digits, fit, folder, idx, images::MAX_CHANNELS,
    numpy,
};

/// Most pixel bytes of a data set that is not in files an image: all of it is held in memory, and 8 GiB is what a
/// machine that can train on it has to spare.
pub const MAX_PIXEL_BYTES: u64 = 8 << 30;
/// Pixel bytes above which pictures in files of their own stay there, unless [`LoadOptions`] say otherwise.
const STREAM_ABOVE: u64 = 2 << 30;

/// Where a data set comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// The embedded handwritten digits.
    Digits,
    /// CIFAR-10 in its binary or its Python version.
    Cifar10,
    /// CIFAR-100 in its binary or its Python version.
    Cifar100,
    /// A folder with a sub-folder of images for each class.
    Folder,
    /// A table of images in a CSV file.
    Csv,
    /// Files in the idx format of MNIST.
    Idx,
    /// A NumPy archive.
    Npz,
    /// A folder of NumPy arrays.
    Npy,
}

/// In words, as a sentence would name it.
impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Digits => "embedded handwritten digits",
            Self::Cifar10 => "CIFAR-10",
            Self::Cifar100 => "CIFAR-100",
            Self::Folder => "folder of images",
            Self::Csv => "CSV table of images",
            Self::Idx => "idx files",
            Self::Npz => "NumPy archive",
            Self::Npy => "NumPy arrays",
        })
    }
}

/// How to read; every field has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoadOptions {
    /// Height and width in pixels that every image is brought to: cut at the centre to their proportions, then
    /// scaled. Without it images keep their size where all have the same; see [`load`] for where they have not.
    pub size: Option<[usize; 2]>,
    /// Where `size` is none, the longest side that images keep; larger ones are scaled down in proportion.
    pub longest_side: Option<usize>,
    /// 1 for grey, 3 for colour. Without it, colour if any image is in colour; other numbers of channels stay as
    /// they are.
    pub channels: Option<usize>,
    /// CIFAR-100: its 100 fine classes (the default) instead of the 20 coarse ones.
    pub fine_labels: bool,
    /// Arrays of four axes: which one is that of the channels.
    pub axes: Axes,
    /// How many files that cannot be read may be left out; [`Dataset::skipped`] says which were.
    pub skip_broken: usize,
    /// Arrays of other than bytes: the values that become 0 and 255, as an earlier [`Dataset::value_range`] has
    /// them. Without it they are measured.
    pub value_range: Option<[f64; 2]>,
    /// Pixel bytes above which pictures in files of their own are not kept in memory, but decoded when needed.
    pub stream_above: u64,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            size: None,
            longest_side: None,
            channels: None,
            fine_labels: true,
            axes: Axes::Auto,
            skip_broken: 0,
            value_range: None,
            stream_above: STREAM_ABOVE,
        }
    }
}

impl LoadOptions {
    fn check(&self) -> Result<(), DataError> {
        let range = |option, expected: &str, found: String| {
            Err(DataError::OptionRange { option, expected: expected.to_owned(), found })
        };
        match (self.channels, self.size) {
            (Some(channels), _) if !(1..=MAX_CHANNELS).contains(&channels) => {
                range("channels", &format!("1 to {MAX_CHANNELS}"), channels.to_string())
            }
            (_, Some([h, w])) if !(1..=4096).contains(&h) || !(1..=4096).contains(&w) => {
                range("size", "1 to 4096 pixels each way", format!("{h}×{w}"))
            }
            _ => Ok(()),
        }
    }

    /// `native`, with what is set here in its place.
    pub(crate) fn target(&self, native: ImageShape) -> ImageShape {
        let longest = self.longest_side.unwrap_or(usize::MAX);
        let [height, width] = self.size.unwrap_or_else(|| native.sides_within(longest));
        ImageShape { channels: self.channels.unwrap_or(native.channels), height, width }
    }
}

/// A file that was left out because it cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedFile {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// How many images have a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeCount {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Number of images of that size.
    pub images: usize,
}

/// Labelled images with the names of their classes.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Where it comes from.
    pub kind: SourceKind,
    /// Short name: `digits`, `cifar10`, `cifar100` or that of the folder or file.
    pub name: String,
    /// Names of the classes; a label is an index into them.
    pub classes: Vec<String>,
    /// Shape of every image.
    pub shape: ImageShape,
    /// Images to train on, and to draw a test part from where there is no test set.
    pub train: Arc<Images>,
    /// The data set's own test images.
    pub test: Option<Arc<Images>>,
    /// How many images at the end of `train` are of the data set's own validation part.
    pub own_val: usize,
    /// Sizes that images had before they were brought to `shape`, ascending.
    pub sizes: Vec<SizeCount>,
    /// The values that became 0 and 255; none where the values were bytes.
    pub value_range: Option<[f64; 2]>,
    /// Files that were left out because they cannot be read.
    pub skipped: Vec<SkippedFile>,
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
        let images = train.len() + test.as_ref().map_or(0, Images::len);
        let sizes = vec![SizeCount { height: shape.height, width: shape.width, images }];
        let (train, test) = (Arc::new(train), test.map(Arc::new));
        let (value_range, skipped, notes) = (None, Vec::new(), Vec::new());
        Ok(Self {
            kind,
            name,
            classes,
            shape,
            train,
            test,
            own_val: 0,
            sizes,
            value_range,
            skipped,
            digest,
            notes,
        })
    }

    /// The same with all images scaled and converted to `shape`.
    fn fitted(self, shape: ImageShape) -> Result<Self, DataError> {
        if shape == self.shape {
            return Ok(self);
        }
        let train = fit::fit_images(&self.train, shape)?;
        let test = self.test.as_ref().map(|test| fit::fit_images(test, shape)).transpose()?;
        let digest = digest(&self.classes, &train, test.as_ref());
        Ok(Self { shape, train: Arc::new(train), test: test.map(Arc::new), digest, ..self })
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
    let mut hash = Sha256::new_with_prefix(b"cdarts data set 2");
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
        for pixels in images.digests() {
            hash.update(pixels);
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads the data set at `path`, or the embedded handwritten digits without one.
///
/// What is there is found out by looking. A file is one of these:
///
/// 1. `.npz`: a NumPy archive with the arrays of images and labels of each part, as MedMNIST has them
///    (`train_images`, `train_labels`, `val_…`, `test_…`; also `x_train` and `y_train`, or `x` and `y` alone).
/// 2. `.csv` or `.tsv`: a table whose first line names the columns `path` and `label` and perhaps `split` (`train`,
///    `val`, `test`; empty is `train`). Paths are relative to the table's folder.
/// 3. idx, as MNIST has them, perhaps compressed: `train-images-idx3-ubyte`, `emnist-letters-test-images-idx3-ubyte.gz`.
///    Those of the same prefix in the same folder belong to it. EMNIST's images are turned upright.
///
/// A folder is one of these, in this order:
///
/// 1. CIFAR-10 or CIFAR-100 in the binary or the Python version: the folder with the files, or the one around it. The
///    pickles of the Python version are taken apart, not executed.
/// 2. idx files of one prefix.
/// 3. NumPy arrays, as the NAS Unseen Data sets have them: `train_x.npy`, `train_y.npy`, `valid_x.npy` and so on; or a
///    single `.npz`.
/// 4. `train` beside `test` and `val` (also `training`, `testing`, `valid`, `validation`; any case), each with
///    the same class folders.
/// 5. Class folders: every sub-folder is a class with its name, classes sorted by name as text. Images may lie
///    at any depth below; their order is that of their paths.
///
/// Without `test`, `val` is the test set; with it, the images of `val` join those of `train`, for the program draws
/// its own validation part.
///
/// Arrays hold images `[n, h, w]`, `[n, h, w, c]` or `[n, c, h, w]` ([`Axes`]) of bytes, whole numbers or floats, any
/// number of channels. Values other than bytes become bytes: those from 0 to 1 and those from 0 to 255 by that range,
/// others by the range that the training images have, which [`Dataset::value_range`] keeps. Labels are `[n]`, `[n, 1]`
/// or `[n, classes]` with a single 1. Classes are the different labels of the training images; their names come from
/// `labels.txt` in the folder (`NAME.labels.txt` beside `NAME.npz`), a name a line, or from EMNIST's
/// `…-mapping.txt`, else they are the numbers.
///
/// Pictures are PNG (`.png`) and JPEG (`.jpg`, `.jpeg`, `.jpe`, `.jfif`), recognised by content. Ignored are hidden
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
    match is_folder(path)? {
        true => load_folder(path, options),
        false => load_file(path, options),
    }
}

fn load_file(path: &Path, options: &LoadOptions) -> Result<Dataset, DataError> {
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npz")) {
        return fit_to(options, numpy::open_npz(path)?.read(options)?);
    }
    if csv_list::is_named_so(path) {
        return csv_list::list(path)?.read(options);
    }
    match idx::is_named_so(path).then(|| idx::find(path)).transpose()?.flatten() {
        Some(arrays) => fit_to(options, arrays.read(options)?),
        None => Err(DataError::NotADataset { path: path.to_owned() }),
    }
}

fn load_folder(path: &Path, options: &LoadOptions) -> Result<Dataset, DataError> {
    if let Some(found) = cifar::find(path)? {
        let mut dataset = fit_to(options, found.read(options.fine_labels)?)?;
        if found.folder != path {
            let (read, around) = (found.folder.display(), path.display());
            dataset.notes.push(format!("read {read}; what else {around} holds is not used"));
        }
        return Ok(dataset);
    }
    if let Some(arrays) = idx::find(path)? {
        return fit_to(options, arrays.read(options)?);
    }
    match numpy::find(path)? {
        Some(arrays) => fit_to(options, arrays.read(options)?),
        None => folder::list(path)?.read(options),
    }
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

fn is_folder(path: &Path) -> Result<bool, DataError> {
    match fs_err::metadata(path) {
        Ok(metadata) => Ok(metadata.is_dir()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(DataError::PathMissing { path: path.to_owned() })
        }
        Err(error) => Err(error.into()),
    }
}

//! What can go wrong between a path and a batch: one enum, each variant with both sides of the mismatch and
//! the place where it was found (design sections 1 and 10).

use std::{
    io,
    path::{Path, PathBuf},
};

use image::ImageError;
use thiserror::Error;

/// An input that cannot become a data set, a split or a loader.
///
/// The message says what is wrong and where; [`DataError::hint`] says what to do about it where that is known.
#[derive(Debug, Error)]
pub enum DataError {
    /// The path does not exist.
    #[error("no such file or folder: {path}")]
    PathMissing {
        /// The path as given.
        path: PathBuf,
    },
    /// A file that holds no data set, to judge by its name.
    #[error("{path} is not a data set that is known here")]
    NotADataset {
        /// The path as given.
        path: PathBuf,
    },
    /// The operating system refused to read; its message carries the path.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A name on disk that is not text, so that it cannot name a class.
    #[error("the name of {path} is not valid UTF-8")]
    NameNotUtf8 {
        /// The folder.
        path: PathBuf,
    },
    /// Two layouts that exclude each other in one folder.
    #[error("{path} holds both {first} and {second}")]
    Ambiguous {
        /// The folder.
        path: PathBuf,
        /// One of the two.
        first: String,
        /// The other.
        second: String,
    },

    /// Images lie in the folder itself, and nothing says which class they are of.
    #[error("{path} holds images ({images}) but no sub-folder for each class")]
    NoClassFolders {
        /// The folder.
        path: PathBuf,
        /// How many images lie in it.
        images: usize,
    },
    /// No image anywhere below the folder.
    #[error("no images below {path}")]
    NoImages {
        /// The folder.
        path: PathBuf,
    },
    /// A class folder without an image.
    #[error("class {class:?} has no images: {path} is empty")]
    EmptyClass {
        /// The class.
        class: String,
        /// Its folder.
        path: PathBuf,
    },
    /// There is nothing to tell apart.
    #[error("{path} has one class, {class:?}; two are needed")]
    OneClass {
        /// The folder.
        path: PathBuf,
        /// The only class.
        class: String,
        /// Whether its folder has sub-folders, which are then probably the classes.
        nested: bool,
    },
    /// An image beside the folders of classes or parts, hence without a class.
    #[error("{path} lies in no class folder")]
    StrayImage {
        /// The image.
        path: PathBuf,
    },
    /// A folder beside `train` that is no known part of a data set.
    #[error("{path} lies beside a train folder and is not one of test, val")]
    UnexpectedFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A file that may or may not be data.
    #[error("{path} is neither an image nor a file known to be harmless")]
    UnknownFile {
        /// The file.
        path: PathBuf,
    },
    /// An image in a format that is not read.
    #[error("{path} is in the format {extension:?}; PNG and JPEG are read")]
    UnsupportedFormat {
        /// The file.
        path: PathBuf,
        /// Its extension.
        extension: String,
    },
    /// A file named like an image that cannot be decoded.
    #[error("cannot decode {path}")]
    Decode {
        /// The file.
        path: PathBuf,
        /// The decoder's reason.
        #[source]
        source: ImageError,
    },
    /// An image whose data ends before the picture does.
    #[error("{path} is cut off: its {found} bytes end before the picture does")]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Length of the file in bytes.
        found: usize,
    },
    /// Classes of the test images differ from those of the training images.
    #[error("classes differ: only in {train}: {only_train:?}; only in {test}: {only_test:?}")]
    ClassMismatch {
        /// Folder of the training images.
        train: PathBuf,
        /// Folder of the test images.
        test: PathBuf,
        /// Classes without a test folder.
        only_train: Vec<String>,
        /// Classes without a training folder.
        only_test: Vec<String>,
    },

    /// A file of a CIFAR set is missing.
    #[error("{file} of {set} is missing from {folder}")]
    MissingFile {
        /// Which set.
        set: &'static str,
        /// Name of the missing file.
        file: &'static str,
        /// Folder that holds the rest.
        folder: PathBuf,
    },
    /// A file of the Python version of CIFAR that does not hold what it should.
    #[error("{path}: {reason}")]
    Pickle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A CIFAR file that is not a whole number of records.
    #[error("{path}, record {record}: expected {expected} bytes, found {found}")]
    RecordLength {
        /// The file.
        path: PathBuf,
        /// Number of the incomplete record, from 0.
        record: usize,
        /// Bytes a record.
        expected: usize,
        /// Bytes that are left for it.
        found: usize,
    },
    /// A label that names no class.
    #[error("{path}, record {record}: label {found} is out of range, there are {expected} classes")]
    LabelOutOfRange {
        /// The file, or the name of a data set made in memory.
        path: PathBuf,
        /// Number of the record, from 0.
        record: usize,
        /// Number of classes.
        expected: usize,
        /// The label.
        found: usize,
    },
    /// A file of class names with the wrong number of lines.
    #[error("{path}: expected {expected} class names, found {found}")]
    ClassNames {
        /// The file.
        path: PathBuf,
        /// Number of classes of the set.
        expected: usize,
        /// Number of names in the file.
        found: usize,
    },
    /// A line of a table that does not hold what it should.
    #[error("{name}, line {line}: expected {expected}, found {found:?}")]
    TableLine {
        /// Name of the table.
        name: String,
        /// Line, from 1.
        line: usize,
        /// What is needed.
        expected: &'static str,
        /// What is there.
        found: String,
    },

    /// More files that cannot be read than may be left out.
    #[error("{found} images cannot be read, {allowed} may be left out: {first}{}", list(.others))]
    TooManyBroken {
        /// How many there are; where it is found by the heads of files, their pixels were not looked at.
        found: usize,
        /// How many may be left out.
        allowed: usize,
        /// What is wrong with the first one.
        first: Box<DataError>,
        /// Some of the others.
        others: Vec<PathBuf>,
    },
    /// A file that held another picture when it was looked at before.
    #[error("{path} has changed since the images were read")]
    Changed {
        /// The file.
        path: PathBuf,
    },

    /// Array files with images of a part and without their labels, or the other way round.
    #[error("{path} has no array {missing}; it has {}", named(.found))]
    MissingArray {
        /// The archive or folder.
        path: PathBuf,
        /// The array's usual name.
        missing: String,
        /// Names of the arrays there.
        found: Vec<String>,
    },
    /// A file that is not an array of numbers, or not all of one.
    #[error("{name}: {reason}")]
    BadArray {
        /// The file, or the entry and its archive.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Not as many values as an array's head says.
    #[error("{name}: its head says {expected} bytes of values, found {found}{}", if .found > .expected { " or more" } else { "" })]
    ArrayLength {
        /// The file, or the entry and its archive.
        name: String,
        /// Bytes that the head says.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// An array whose axes are not those of images or labels.
    #[error("{name} has the shape {found}; expected {expected}")]
    ArrayShape {
        /// The file, or the entry and its archive.
        name: String,
        /// What is needed.
        expected: String,
        /// Lengths of its axes.
        found: String,
    },
    /// Images whose axis of channels cannot be told from the others.
    #[error("{name} has the shape {found}, which leaves open whether the channels come first or last")]
    AmbiguousAxes {
        /// The file, or the entry and its archive.
        name: String,
        /// Lengths of its axes.
        found: String,
    },
    /// Not as many labels as images.
    #[error("{name} has {images} images, {labels_name} has {labels} labels")]
    LabelCount {
        /// The images.
        name: String,
        /// How many there are.
        images: usize,
        /// The labels.
        labels_name: String,
        /// How many there are.
        labels: usize,
    },
    /// A label that is no whole number of 0 or more.
    #[error("{name}, record {record}: {found} is not a label; expected a whole number of 0 or more")]
    BadLabel {
        /// The labels.
        name: String,
        /// Number of the record, from 0.
        record: usize,
        /// The value.
        found: String,
    },
    /// Several labels for one image.
    #[error(
        "{name}, record {record}: none or several of its {columns} classes hold; one label an image is read"
    )]
    ManyLabels {
        /// The labels.
        name: String,
        /// Number of the record, from 0.
        record: usize,
        /// Labels of a record.
        columns: usize,
    },
    /// A label that no training image has.
    #[error("{name}, record {record}: label {found} is out of range, no training image has it")]
    UnknownLabel {
        /// The labels.
        name: String,
        /// Number of the record, from 0.
        record: usize,
        /// The label.
        found: i64,
    },
    /// So many different labels that they are no classes.
    #[error("{name} has {found} different labels; at most {limit} classes are told apart")]
    NotClasses {
        /// The labels.
        name: String,
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// An image with a value that is infinite or not a number.
    #[error("{name}, record {record}: {found} is no shade")]
    NotFinite {
        /// The images.
        name: String,
        /// Number of the record, from 0.
        record: usize,
        /// The value.
        found: String,
    },
    /// A file that cannot be read as a table.
    #[error("cannot read the table {path}")]
    Csv {
        /// The file.
        path: PathBuf,
        /// The reader's reason.
        #[source]
        source: csv::Error,
    },
    /// A table of images without one of its columns.
    #[error("{path} has no column {missing}; its first line names {}", named(.found))]
    CsvColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        missing: &'static str,
        /// The columns there.
        found: Vec<String>,
    },
    /// A class that no training image has.
    #[error("{path} is of class {found:?}, which no training image has")]
    UnknownClass {
        /// The image.
        path: PathBuf,
        /// Its class.
        found: String,
    },

    /// Channels that cannot be made of those that images have.
    #[error("images have {found} channels, {expected} were asked for")]
    Channels {
        /// Channels asked for.
        expected: usize,
        /// Channels of the images.
        found: usize,
    },
    /// More pixels than are held in memory.
    #[error("{name} needs {found} bytes of pixels; at most {expected} are held in memory")]
    TooLarge {
        /// Name of the data set.
        name: String,
        /// The limit in bytes.
        expected: u64,
        /// Bytes needed.
        found: u64,
    },
    /// Pixels that do not make a whole number of images, or not as many as there are labels.
    #[error("expected {expected} pixel values for {labels} labels, found {found}")]
    PixelCount {
        /// Number of labels.
        labels: usize,
        /// Values that many images have.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// Test images of another shape than the training images.
    #[error("training images are {expected}, test images {found}")]
    ShapeMismatch {
        /// Shape of a training image.
        expected: String,
        /// Shape of a test image.
        found: String,
    },
    /// An option with a value outside its range.
    #[error("{option} must be {expected}, found {found}")]
    OptionRange {
        /// Name of the option.
        option: &'static str,
        /// The range in words.
        expected: String,
        /// The value.
        found: String,
    },
    /// A class with too few images to have one in each part.
    #[error("class {class:?} has {found} images; the split needs {expected}")]
    ClassTooSmall {
        /// The class.
        class: String,
        /// Images needed.
        expected: usize,
        /// Images there.
        found: usize,
    },
    /// An index of an image that does not exist.
    #[error("image {index} does not exist, there are {len}")]
    IndexOutOfRange {
        /// The index.
        index: usize,
        /// Number of images.
        len: usize,
    },
    /// A part of a data set without an image.
    #[error("no images to {purpose}")]
    NoIndices {
        /// What the images were wanted for.
        purpose: &'static str,
    },
    /// Statistics for another number of channels than the images have.
    #[error("normalisation is for {found} channels, images have {expected}")]
    NormalisationChannels {
        /// Channels of the images.
        expected: usize,
        /// Channels of the statistics.
        found: usize,
    },
}

impl DataError {
    /// What to do about it, where that is known: one line, no full stop at the end.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::PathMissing { .. } => {
                "check the path; without one, the embedded digits are used".to_owned()
            }
            Self::NotADataset { path } => not_a_dataset(path).to_owned(),
            Self::NameNotUtf8 { .. } => "rename it".to_owned(),
            Self::Ambiguous { .. } => "name the one to read, or move the other elsewhere".to_owned(),
            Self::NoClassFolders { .. } => {
                "make a sub-folder for each class, named after it, and move its images there; or name a CSV file \
                 with the columns path and label"
                    .to_owned()
            }
            Self::NoImages { .. } => {
                "expected one sub-folder a class with .png or .jpg files, the CIFAR, idx, .npy or .npz files, or a \
                 CSV file with the columns path and label"
                    .to_owned()
            }
            Self::EmptyClass { .. } => "add images to it, or remove the folder".to_owned(),
            Self::OneClass { path, class, nested: true } => {
                format!("if the classes are one level deeper, name {}", path.join(class).display())
            }
            Self::OneClass { .. } => {
                "two classes or more are needed; in a folder, each sub-folder is one".to_owned()
            }
            Self::StrayImage { .. } => "move it into a class folder, or out of the data set".to_owned(),
            Self::UnexpectedFolder { .. } => "keep only train, test and val side by side".to_owned(),
            Self::UnknownFile { .. } => "move it out of the data set, or give it its extension".to_owned(),
            Self::UnsupportedFormat { .. } => "convert it to PNG".to_owned(),
            Self::Decode { source: ImageError::Limits(_), .. } => {
                "the picture is too large to be decoded safely; scale it down first".to_owned()
            }
            Self::Decode { .. } => "open it in a viewer; if it is damaged, replace or remove it, or leave it out with \
                                    --skip-broken 1"
                .to_owned(),
            Self::Truncated { .. } => {
                "copy or download it again, remove it, or leave it out with --skip-broken 1".to_owned()
            }
            Self::TooManyBroken { found, .. } => {
                format!("replace or remove them, or leave them out with --skip-broken {found}")
            }
            Self::Changed { .. } => "leave the images alone while a run reads them".to_owned(),
            Self::ClassMismatch { .. } => "train and test need the same class folders".to_owned(),
            Self::MissingFile { .. } | Self::RecordLength { .. } => {
                "download and unpack the binary version again".to_owned()
            }
            Self::Pickle { .. } => {
                "download it again, or get the binary version of CIFAR (for C programs)".to_owned()
            }
            Self::MissingArray { .. } => {
                "images and labels go by pairs: train_images with train_labels, x_test with y_test, \
                 train-images-idx3-ubyte with train-labels-idx1-ubyte"
                    .to_owned()
            }
            Self::BadArray { .. } | Self::ArrayLength { .. } => {
                "copy or download it again, or save it anew with numpy.save or numpy.savez".to_owned()
            }
            Self::ArrayShape { .. } | Self::LabelCount { .. } => {
                "save one array of all images and one of their labels, in the same order".to_owned()
            }
            Self::AmbiguousAxes { .. } => {
                "say it with --set data.axes=channels-first or --set data.axes=channels-last".to_owned()
            }
            Self::ClassNames { .. } => "write a name a line, as many as there are classes".to_owned(),
            Self::BadLabel { .. } => "number the classes from 0".to_owned(),
            Self::ManyLabels { .. } => {
                "keep the images with one label, and save the labels as an array [n]".to_owned()
            }
            Self::UnknownLabel { .. } | Self::UnknownClass { .. } => {
                "every class needs training images; add some, or leave the class out".to_owned()
            }
            Self::NotClasses { .. } => "labels are to be numbers of classes, not measurements".to_owned(),
            Self::NotFinite { .. } => "replace such values, for example with numpy.nan_to_num".to_owned(),
            Self::Csv { .. } => "save it as UTF-8 text with as many fields in every line as in the first".to_owned(),
            Self::CsvColumn { .. } => {
                "the first line is to name the columns: path,label and, if there are parts, split".to_owned()
            }
            Self::TableLine { .. } => "correct the line".to_owned(),
            Self::Channels { .. } => "leave data.channels out, or save the images with other channels".to_owned(),
            Self::TooLarge { .. } => "choose a smaller image size, or fewer images".to_owned(),
            Self::ClassTooSmall { .. } => "add images to the class, or leave it out".to_owned(),
            _ => return None,
        };
        Some(hint)
    }
}

/// What to do with a file that is no data set.
fn not_a_dataset(path: &Path) -> &'static str {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref() {
        Some("npy") => "name the folder that holds the images and the labels (train_x.npy and train_y.npy)",
        Some("zip" | "gz" | "tgz" | "tar" | "bz2" | "xz" | "7z" | "rar") => "unpack it and name its folder",
        Some("bin") => "name the folder that holds the CIFAR files",
        _ => "name a folder, or a .npz, .csv or idx file",
    }
}

/// Paths behind a colon.
fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!(", {}", path.display())).collect()
}

fn named(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

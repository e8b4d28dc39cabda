//! What can go wrong between a path and a batch: one enum, each variant with both sides of the mismatch and
//! the place where it was found (design sections 1 and 10).

use std::{io, path::PathBuf};

use image::ImageError;
use thiserror::Error;

/// An input that cannot become a data set, a split or a loader.
///
/// The message says what is wrong and where; [`DataError::hint`] says what to do about it where that is known.
#[derive(Debug, Error)]
pub enum DataError {
    /// The path does not exist.
    #[error("no such folder: {path}")]
    PathMissing {
        /// The path as given.
        path: PathBuf,
    },
    /// A folder is needed and something else is there.
    #[error("not a folder: {path}")]
    NotAFolder {
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
    /// A CIFAR folder in the form meant for Python.
    #[error("{path} is a Python pickle")]
    Pickled {
        /// One of its files.
        path: PathBuf,
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
    /// A line of a table of digits that does not hold 64 values and a label.
    #[error("{name}, line {line}: expected {expected}, found {found:?}")]
    TableLine {
        /// Name of the table.
        name: &'static str,
        /// Line, from 1.
        line: usize,
        /// What is needed.
        expected: &'static str,
        /// What is there.
        found: String,
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
            Self::NotAFolder { .. } => "name the folder that holds the images or the CIFAR files".to_owned(),
            Self::NameNotUtf8 { .. } => "rename it".to_owned(),
            Self::Ambiguous { .. } => "name the one to read, or move the other elsewhere".to_owned(),
            Self::NoClassFolders { .. } => {
                "make a sub-folder for each class, named after it, and move its images there".to_owned()
            }
            Self::NoImages { .. } => {
                "expected one sub-folder a class with .png or .jpg files, or the CIFAR binary files"
                    .to_owned()
            }
            Self::EmptyClass { .. } => "add images to it, or remove the folder".to_owned(),
            Self::OneClass { path, class, nested: true } => {
                format!("if the classes are one level deeper, name {}", path.join(class).display())
            }
            Self::OneClass { .. } => "each sub-folder is a class; add a second one".to_owned(),
            Self::StrayImage { .. } => "move it into a class folder, or out of the data set".to_owned(),
            Self::UnexpectedFolder { .. } => "keep only train, test and val side by side".to_owned(),
            Self::UnknownFile { .. } => "move it out of the data set, or give it its extension".to_owned(),
            Self::UnsupportedFormat { .. } => "convert it to PNG".to_owned(),
            Self::Decode { source: ImageError::Limits(_), .. } => {
                "the picture is too large to be decoded safely; scale it down first".to_owned()
            }
            Self::Decode { .. } => "open it in a viewer; if it is damaged, replace or remove it".to_owned(),
            Self::Truncated { .. } => "copy or download it again, or remove it".to_owned(),
            Self::ClassMismatch { .. } => "train and test need the same class folders".to_owned(),
            Self::MissingFile { .. } | Self::RecordLength { .. } => {
                "download and unpack the binary version again".to_owned()
            }
            Self::Pickled { .. } => "get the binary version of CIFAR (for C programs)".to_owned(),
            Self::TooLarge { .. } => "choose a smaller image size, or fewer images".to_owned(),
            Self::ClassTooSmall { .. } => "add images to the class, or leave it out".to_owned(),
            _ => return None,
        };
        Some(hint)
    }
}

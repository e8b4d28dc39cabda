//! What the targets share: a folder that holds the rest of a data set, into which each input is written as the file
//! under test before the whole is read as a user would read it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cdarts_data::{LoadOptions, load};
use tempfile::TempDir;

/// A data set of which one file is under test.
pub struct Place {
    folder: TempDir,
    /// The file under test.
    file: PathBuf,
    /// What is read.
    path: PathBuf,
}

impl Place {
    /// `file` below a new folder is under test; `path` there is read; `others` do not change.
    pub fn new(file: &str, path: &str, others: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        for (name, bytes) in others {
            write(&at(name), bytes);
        }
        let (file, path) = (at(file), at(path));
        Self { folder, file, path }
    }

    /// Reads the data set with `bytes` as the file under test. Whatever they are, that gives a data set or an error with
    /// a message.
    pub fn read(&self, bytes: &[u8]) {
        write(&self.file, bytes);
        // Small pictures, so that the time goes to the readers.
        let options = LoadOptions { size: Some([4, 4]), ..LoadOptions::default() };
        if let Err(error) = load(Some(&self.path), &options) {
            assert!(!error.to_string().is_empty(), "{}", self.folder.path().display());
        }
    }
}

fn write(path: &Path, bytes: &[u8]) {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).expect("a folder");
    }
    fs::write(path, bytes).expect("a file");
}

/// An idx file of the same four labels.
pub const IDX_LABELS: &[u8] = b"\0\0\x08\x01\0\0\0\x04\0\x01\0\x01";
/// A `.npy` file of four labels.
pub const LABELS: &[u8] = b"\x93NUMPY\x01\0\x76\0{'descr': '|u1', 'fortran_order': False, 'shape': (4,), }                                                            \n\0\x01\0\x01";
/// A grey PNG of one pixel.
pub const PICTURE: &[u8] = b"\x89\x50\x4e\x47\x0d\x0a\x1a\x0a\x00\x00\x00\x0d\x49\x48\x44\x52\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00\x3a\x7e\x9b\x55\x00\x00\x00\x0a\x49\x44\x41\x54\x78\x9c\x63\xc8\x00\x00\x00\x6a\x00\x69\x39\x46\x4a\x8a\x00\x00\x00\x00\x49\x45\x4e\x44\xae\x42\x60\x82";

//! Pictures without classes, for a trained network to name: found, decoded and brought to the network's shape exactly
//! as those it was trained on.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::{DataError, ImageShape, Images, decode, fit::fit, folder};

/// The pictures at `path`: itself if it is a file, else all below the folder, in the order of their paths. A file
/// below the folder that is a picture in a format that is not read comes as an error of its own; what is no picture
/// by its name is passed over.
///
/// # Errors
/// [`DataError::PathMissing`]; [`DataError::NoImages`] for a folder without pictures; [`DataError::Io`].
pub fn find_pictures(path: &Path) -> Result<Vec<Result<PathBuf, DataError>>, DataError> {
    match fs_err::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Ok(vec![Ok(path.to_owned())]),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(DataError::PathMissing { path: path.to_owned() });
        }
        Err(error) => return Err(error.into()),
    }
    let mut found = Vec::new();
    for file in folder::files(path, usize::MAX) {
        let file = file?;
        match folder::is_picture(&file) {
            Ok(true) => found.push(Ok(file)),
            Ok(false) | Err(DataError::UnknownFile { .. }) => {}
            Err(error) => found.push(Err(error)),
        }
    }
    match found.is_empty() {
        true => Err(DataError::NoImages { path: path.to_owned() }),
        false => Ok(found),
    }
}

/// Pictures that were read, and those that could not be.
#[derive(Debug)]
pub struct Pictures {
    /// Those that were read; their labels are all 0.
    pub images: Images,
    /// The path of each of them.
    pub paths: Vec<PathBuf>,
    /// The paths of the others.
    pub failed: Vec<(PathBuf, DataError)>,
}

/// Decodes the pictures `paths` and brings them to `shape`.
///
/// # Errors
/// [`DataError::OptionRange`] for a `shape` that pictures cannot be brought to.
pub fn read_pictures(paths: &[PathBuf], shape: ImageShape) -> Result<Pictures, DataError> {
    // An unsuitable shape is told before a picture is brought to it.
    Images::new(shape, Vec::new(), Vec::new())?;
    let read = |path: &PathBuf| {
        let mut pixels = vec![0; shape.numel()];
        fit(decode::decode(path)?, shape, &mut pixels);
        Ok(pixels)
    };
    let (mut pixels, mut good, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for (path, picture) in paths.iter().zip(paths.par_iter().map(read).collect::<Vec<_>>()) {
        match picture {
            Ok(picture) => {
                pixels.extend(picture);
                good.push(path.clone());
            }
            Err(error) => failed.push((path.clone(), error)),
        }
    }
    let labels = vec![0; good.len()];
    Ok(Pictures { images: Images::new(shape, pixels, labels)?, paths: good, failed })
}

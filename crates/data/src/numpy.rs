//! Arrays of NumPy: one `.npz` with the arrays of all parts, as MedMNIST ships them, or a folder with a `.npy` file
//! for each, as the NAS Unseen Data sets do.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    DataError, SourceKind,
    arrays::{Array, ArrayPart, ArraySet, Place, open_zip},
    label_names,
    npy::read_header,
    part::Part,
};

/// What arrays of images and of labels are called beside the name of their part.
const IMAGES: &[&str] = &["images", "image", "imgs", "x", "data"];
const LABELS: &[&str] = &["labels", "label", "y", "targets"];
/// Most entries of an archive that are looked at.
const MAX_ENTRIES: usize = 10_000;

/// What an array holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holds {
    Images,
    Labels,
}

/// The meaning of an array's name, such as `train_images` or `x_test`; a name without a part is for training.
fn role(name: &str) -> Option<(Part, Holds)> {
    let name = name.to_ascii_lowercase();
    let holds = |word: &str| match word {
        word if IMAGES.contains(&word) => Some(Holds::Images),
        word if LABELS.contains(&word) => Some(Holds::Labels),
        _ => None,
    };
    match name.split_once(['_', '-']) {
        None => Some((Part::Train, holds(&name)?)),
        Some((first, second)) => match (Part::of(first), Part::of(second)) {
            (Some(part), None) => Some((part, holds(second)?)),
            (None, Some(part)) => Some((part, holds(first)?)),
            _ => None,
        },
    }
}

/// The arrays of an archive.
pub(crate) fn open_npz(path: &Path) -> Result<ArraySet, DataError> {
    let archive = open_zip(path)?;
    if archive.len() > MAX_ENTRIES {
        let reason = format!("it holds {} entries, at most {MAX_ENTRIES} are looked at", archive.len());
        return Err(DataError::BadArray { name: path.display().to_string(), reason });
    }
    let mut names: Vec<String> =
        archive.file_names().filter_map(|name| name.ok().map(|name| name.into_owned())).collect();
    names.sort();
    let arrays = names.iter().filter_map(|name| {
        let place = Place::Entry { archive: path.to_owned(), name: name.clone() };
        Some((name.strip_suffix(".npy")?.to_owned(), place))
    });
    let labels = path.with_extension("labels.txt");
    assemble(SourceKind::Npz, path, arrays.collect(), label_names::lines(&labels)?)
}

/// The arrays of a folder; none if it has no array of training images.
pub(crate) fn find(folder: &Path) -> Result<Option<ArraySet>, DataError> {
    let mut arrays = Vec::new();
    let mut archives = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        let Some((stem, extension)) =
            path.file_name().and_then(|name| name.to_str()).and_then(|name| name.rsplit_once('.'))
        else {
            continue;
        };
        match extension {
            "npy" if path.is_file() => arrays.push((stem.to_owned(), Place::File(path))),
            "npz" if path.is_file() => archives.push(path),
            _ => {}
        }
    }
    arrays.sort_by(|one, other| one.0.cmp(&other.0));
    archives.sort();
    let images = arrays.iter().any(|(name, _)| role(name).is_some());
    match (images, archives.as_slice()) {
        (true, _) => {
            let names = label_names::lines(&folder.join("labels.txt"))?;
            assemble(SourceKind::Npy, folder, arrays, names).map(Some)
        }
        (false, []) => Ok(None),
        (false, [archive]) => open_npz(archive).map(Some),
        (false, [first, second, ..]) => Err(DataError::Ambiguous {
            path: folder.to_owned(),
            first: first.display().to_string(),
            second: second.display().to_string(),
        }),
    }
}

/// Pairs images with labels, part by part.
fn assemble(
    kind: SourceKind,
    path: &Path,
    arrays: Vec<(String, Place)>,
    names: Option<(PathBuf, label_names::LabelNames)>,
) -> Result<ArraySet, DataError> {
    let mut roles: BTreeMap<(Part, Holds), (String, Place)> = BTreeMap::new();
    let (mut notes, found) = (Vec::new(), arrays.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
    for (name, place) in arrays {
        match role(&name) {
            Some(role) => {
                if let Some((first, _)) = roles.insert(role, (name.clone(), place)) {
                    return Err(DataError::Ambiguous { path: path.to_owned(), first, second: name });
                }
            }
            None => notes.push(format!("the array {name} is not used")),
        }
    }
    let mut parts = Vec::new();
    for part in Part::ALL {
        let mut open = |holds| {
            let array = roles.remove(&(part, holds));
            array.map(|(_, place)| Array::open(place, read_header)).transpose()
        };
        match (open(Holds::Images)?, open(Holds::Labels)?) {
            (Some(images), Some(labels)) => parts.push(ArrayPart { part, images, labels }),
            (None, None) if part != Part::Train => {}
            (images, _) => {
                let missing = if images.is_some() { "labels" } else { "images" };
                let missing = format!("{}_{missing}", part.name());
                return Err(DataError::MissingArray { path: path.to_owned(), missing, found });
            }
        }
    }
    let name =
        path.file_stem().map_or_else(|| "arrays".to_owned(), |name| name.to_string_lossy().into_owned());
    Ok(ArraySet { kind, name, path: path.to_owned(), parts, names, transposed: false, notes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_use_are_understood() {
        for (name, expected) in [
            ("train_images", Some((Part::Train, Holds::Images))),
            ("val_labels", Some((Part::Val, Holds::Labels))),
            ("valid_x", Some((Part::Val, Holds::Images))),
            ("test_y", Some((Part::Test, Holds::Labels))),
            ("x_train", Some((Part::Train, Holds::Images))),
            ("Y-Test", Some((Part::Test, Holds::Labels))),
            ("x", Some((Part::Train, Holds::Images))),
            ("labels", Some((Part::Train, Holds::Labels))),
            ("train_masks", None),
            ("train", None),
            ("train_test", None),
            ("weights", None),
        ] {
            assert_eq!(role(name), expected, "{name}");
        }
    }
}

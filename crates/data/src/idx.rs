//! Files in the idx format of MNIST (Y. LeCun, C. Cortes, C. Burges): two zero bytes, the type of the values, the
//! number of axes, the length of each axis and the values, all with the most significant byte first.

use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
};

use crate::{
    DataError, SourceKind,
    arrays::{Array, ArrayHeader, ArrayPart, ArraySet, Element, MAX_AXES, Place},
    label_names,
    part::Part,
};

/// Endings of the files' names, and of compressed ones.
const ENDINGS: &[&str] = &["-ubyte", "-byte", "-short", "-int", "-float", "-double"];
const COMPRESSED: &str = ".gz";

/// Reads the head.
pub(crate) fn read_header(reader: &mut dyn Read) -> Result<ArrayHeader, String> {
    let mut read = || {
        let mut word = [0; 4];
        reader.read_exact(&mut word).map_err(|error| format!("its head cannot be read: {error}"))?;
        Ok::<_, String>(word)
    };
    let magic = read()?;
    let element = match magic {
        [0, 0, 0x08, _] => Element::U8,
        [0, 0, 0x09, _] => Element::I8,
        [0, 0, 0x0B, _] => Element::I16,
        [0, 0, 0x0C, _] => Element::I32,
        [0, 0, 0x0D, _] => Element::F32,
        [0, 0, 0x0E, _] => Element::F64,
        other => return Err(format!("it does not begin as an idx file does: {other:02x?}")),
    };
    let axes = usize::from(magic[3]);
    if !(1..=MAX_AXES).contains(&axes) {
        return Err(format!("it has {axes} axes, 1 to {MAX_AXES} are read"));
    }
    let shape = (0..axes).map(|_| read().map(|length| u32::from_be_bytes(length) as usize));
    Ok(ArrayHeader { element, big_endian: true, shape: shape.collect::<Result<_, _>>()? })
}

/// What the name of a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    /// What stands before the part, such as `emnist-balanced-`.
    prefix: String,
    part: Part,
    labels: bool,
    compressed: bool,
}

/// Takes names such as `train-images-idx3-ubyte`, `t10k-labels.idx1-ubyte.gz` and
/// `emnist-letters-test-images-idx3-ubyte` apart.
fn parse(name: &str) -> Option<Name> {
    let plain = name.strip_suffix(COMPRESSED);
    let (compressed, name) = (plain.is_some(), plain.unwrap_or(name));
    let stem = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending))?;
    let stem =
        stem.strip_suffix(|c: char| c.is_ascii_digit())?.strip_suffix("idx")?.strip_suffix(['-', '.'])?;
    let (rest, labels) = match (stem.strip_suffix("-images"), stem.strip_suffix("-labels")) {
        (Some(rest), _) => (rest, false),
        (_, Some(rest)) => (rest, true),
        _ => return None,
    };
    let part = rest.rsplit('-').next()?;
    let prefix = rest.strip_suffix(part)?.to_owned();
    Some(Name { prefix, part: Part::of(part)?, labels, compressed })
}

/// Whether `path` is named as an idx file.
pub(crate) fn is_named_so(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).and_then(parse).is_some()
}

/// The files of a folder, or those that belong to the file `path`; none if there are none.
pub(crate) fn find(path: &Path) -> Result<Option<ArraySet>, DataError> {
    let named = path.file_name().and_then(|name| name.to_str()).and_then(parse);
    let (folder, wanted) = match named.filter(|_| path.is_file()) {
        // The folder of a name alone is the current one.
        Some(name) => {
            (path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")), Some(name.prefix))
        }
        None => (path, None),
    };
    let mut files: BTreeMap<(String, Part, bool), PathBuf> = BTreeMap::new();
    let mut found = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).and_then(parse) else { continue };
        if path.is_file() {
            found.push((name, path));
        }
    }
    // Unpacked files come last and take the place of those they were unpacked from.
    found.sort_by(|(one, one_path), (other, other_path)| {
        (!one.compressed, one_path).cmp(&(!other.compressed, other_path))
    });
    for (name, path) in found {
        if wanted.as_ref().is_none_or(|wanted| *wanted == name.prefix) {
            files.insert((name.prefix, name.part, name.labels), path);
        }
    }
    let mut prefixes: Vec<&String> = files.keys().map(|(prefix, ..)| prefix).collect();
    prefixes.dedup();
    match prefixes.as_slice() {
        [] => Ok(None),
        [prefix] => {
            let prefix = (*prefix).clone();
            assemble(folder, &prefix, files).map(Some)
        }
        [first, second, ..] => Err(DataError::Ambiguous {
            path: folder.to_owned(),
            first: format!("{first}train-images"),
            second: format!("{second}train-images"),
        }),
    }
}

fn assemble(
    folder: &Path,
    prefix: &str,
    mut files: BTreeMap<(String, Part, bool), PathBuf>,
) -> Result<ArraySet, DataError> {
    let found =
        files.values().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
    let mut parts = Vec::new();
    for part in Part::ALL {
        let mut open = |labels| {
            let path = files.remove(&(prefix.to_owned(), part, labels));
            let place = |path: PathBuf| match path.extension().is_some_and(|extension| extension == "gz") {
                true => Place::Gzip(path),
                false => Place::File(path),
            };
            path.map(|path| Array::open(place(path), read_header)).transpose()
        };
        match (open(false)?, open(true)?) {
            (Some(images), Some(labels)) => parts.push(ArrayPart { part, images, labels }),
            (None, None) if part != Part::Train => {}
            (images, _) => {
                let missing = if images.is_some() { "labels-idx1-ubyte" } else { "images-idx3-ubyte" };
                let missing = format!("{prefix}{}-{missing}", part.name());
                return Err(DataError::MissingArray { path: folder.to_owned(), missing, found });
            }
        }
    }
    // EMNIST stores its images column by column.
    let transposed = prefix.starts_with("emnist-");
    let notes = Vec::from_iter(transposed.then(|| "EMNIST's images are turned upright".to_owned()));
    let names = match label_names::codes(&folder.join(format!("{prefix}mapping.txt")))? {
        Some(names) => Some(names),
        None => label_names::lines(&folder.join("labels.txt"))?,
    };
    let name = match prefix.trim_end_matches('-') {
        "" => crate::folder::name(folder),
        prefix => prefix.to_owned(),
    };
    Ok(ArraySet { kind: SourceKind::Idx, name, path: folder.to_owned(), parts, names, transposed, notes })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_in_use_are_understood() {
        let name = |prefix: &str, part, labels, compressed| {
            Some(Name { prefix: prefix.to_owned(), part, labels, compressed })
        };
        for (text, expected) in [
            ("train-images-idx3-ubyte", name("", Part::Train, false, false)),
            ("t10k-labels-idx1-ubyte.gz", name("", Part::Test, true, true)),
            ("train-images.idx3-ubyte", name("", Part::Train, false, false)),
            ("emnist-balanced-test-images-idx3-ubyte.gz", name("emnist-balanced-", Part::Test, false, true)),
            ("train-images-idx4-float", name("", Part::Train, false, false)),
            ("train-images.png", None),
            ("images-idx3-ubyte", None),
            ("train-masks-idx3-ubyte", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn heads_are_read_and_others_told_apart() {
        let mnist = [0, 0, 8, 3, 0, 0, 0xEA, 0x60, 0, 0, 0, 28, 0, 0, 0, 28];
        let shape = vec![60_000, 28, 28];
        let expected = ArrayHeader { element: Element::U8, big_endian: true, shape };
        assert_eq!(read_header(&mut mnist.as_slice()), Ok(expected));
        for (bytes, said) in [
            (&[0, 0, 7, 3, 0, 0, 0, 1][..], "does not begin as an idx file"),
            (&[0x1F, 0x8B, 8, 0][..], "does not begin as an idx file"),
            (&[0, 0, 8, 0][..], "0 axes"),
            (&[0, 0, 8, 200][..], "200 axes"),
            (&mnist[..15], "cannot be read"),
            (&[], "cannot be read"),
        ] {
            let error = read_header(&mut &*bytes).unwrap_err();
            assert!(error.contains(said), "{bytes:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..40), element in 8_u8..15, axes in 0_u8..6) {
            let _ = read_header(&mut bytes.as_slice());
            let _ = read_header(&mut [&[0, 0, element, axes], bytes.as_slice()].concat().as_slice());
        }
    }
}

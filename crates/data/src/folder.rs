//! A folder of pictures with a sub-folder for each class, with or without `train` and `test` above them.
//!
//! Two passes: heads first, to settle the common shape and the memory before anything long starts; then every
//! picture is decoded, brought to that shape and written to its place.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use walkdir::{DirEntry, WalkDir};

use crate::{
    DataError, Dataset, ImageShape, Images, LoadOptions, MAX_PIXEL_BYTES, SourceKind,
    dataset::check_size,
    decode::{self, Header},
    fit::fit,
};

/// Extensions of the formats that are read, in lower case.
const IMAGES: &[&str] = &["png", "jpg", "jpeg", "jpe", "jfif"];
/// Extensions of pictures that are not read.
const OTHER_IMAGES: &[&str] = &[
    "gif", "bmp", "tif", "tiff", "webp", "avif", "heic", "heif", "jp2", "jxl", "ppm", "pgm", "pnm", "svg",
    "ico", "tga",
];
/// Extensions of what is found beside pictures: notes, tables, scripts, and the archives they came in.
const HARMLESS: &[&str] = &[
    "txt", "csv", "tsv", "json", "jsonl", "xml", "yaml", "yml", "toml", "md", "rst", "html", "pdf", "log",
    "md5", "sha256", "py", "ipynb", "sh", "zip", "tar", "gz", "tgz", "7z", "rar",
];
/// Names of files that file managers leave behind, or that explain a data set, in lower case.
const HARMLESS_NAMES: &[&str] = &["thumbs.db", "ehthumbs.db", "desktop.ini", "readme", "license", "licence"];
/// Names of folders that archivers and file servers leave behind.
const HARMLESS_FOLDERS: &[&str] = &["__MACOSX", "__pycache__", "@eaDir"];

/// Sides that the automatic target size is kept within, and the step it is rounded to (pixels).
const AUTO_SIDES: [usize; 2] = [8, 64];
const AUTO_STEP: usize = 8;

/// Which part of a data set a folder next to `train` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Train,
    Test,
    Val,
}

impl Part {
    fn of(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "train" | "training" => Some(Self::Train),
            "test" | "testing" => Some(Self::Test),
            "val" | "valid" | "validation" => Some(Self::Val),
            _ => None,
        }
    }
}

/// The folders that hold class folders.
struct Layout {
    train: Vec<PathBuf>,
    test: Option<PathBuf>,
    notes: Vec<String>,
}

/// The pictures of one part, sorted by class, then path.
struct Listing {
    classes: Vec<String>,
    files: Vec<(PathBuf, u32)>,
}

/// Reads the pictures below `root`.
pub(crate) fn read(root: &Path, options: &LoadOptions) -> Result<Dataset, DataError> {
    let Layout { train: roots, test: test_root, mut notes } = layout(root)?;
    let mut train = list(&roots[0])?;
    for more in &roots[1..] {
        let listing = list(more)?;
        check_same_classes(&roots[0], &train, more, &listing)?;
        train.files.extend(listing.files);
    }
    let test = test_root.map(|path| list(&path).map(|listing| (path, listing))).transpose()?;
    if let Some((path, listing)) = &test {
        check_same_classes(&roots[0], &train, path, listing)?;
    }
    let test_files = test.map(|(_, listing)| listing.files);

    notes.extend(twin_folders(&roots[0])?);
    let headers = read_headers(train.files.iter().chain(test_files.iter().flatten()).map(|(path, _)| path))?;
    let shape = common_shape(&headers, options, &mut notes);
    let name = name(root);
    check_size(&name, headers.len(), shape, MAX_PIXEL_BYTES)?;
    let train_images = decode_all(&train.files, shape)?;
    let test = test_files.map(|files| decode_all(&files, shape)).transpose()?;
    let dataset = Dataset::new(SourceKind::Folder, name, train.classes, train_images, test)?;
    Ok(Dataset { notes, ..dataset })
}

/// Last part of the path, also of `.` and `..`.
fn name(root: &Path) -> String {
    let full = fs_err::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    full.file_name().map_or_else(|| "images".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Whether `root` holds parts or classes.
///
/// It holds parts if one of its folders is called `train` and that one has folders of its own; a folder of that
/// name with pictures in it is a class of trains.
fn layout(root: &Path) -> Result<Layout, DataError> {
    let folders = folders(root)?;
    let [train, test, val] = [
        part(root, &folders, Part::Train)?,
        part(root, &folders, Part::Test)?,
        part(root, &folders, Part::Val)?,
    ];
    let Some(train) = train else {
        return Ok(Layout { train: vec![root.to_owned()], test: None, notes: vec![] });
    };
    let other = folders.iter().find(|(name, _)| Part::of(name).is_none());
    match (self::folders(train)?.is_empty(), other) {
        (true, Some(_)) => return Ok(Layout { train: vec![root.to_owned()], test: None, notes: vec![] }),
        (false, Some((_, path))) => return Err(DataError::UnexpectedFolder { path: path.clone() }),
        (_, None) => {}
    }
    if let Some(stray) = pictures(root, 1)?.into_iter().next() {
        return Err(DataError::StrayImage { path: stray });
    }
    let train = train.clone();
    Ok(match (test.cloned(), val.cloned()) {
        (Some(test), Some(val)) => {
            let notes = vec![format!("the images of {} join the training images", val.display())];
            Layout { train: vec![train, val], test: Some(test), notes }
        }
        (None, Some(val)) => {
            let notes = vec![format!("{} is the test set, there is no folder test", val.display())];
            Layout { train: vec![train], test: Some(val), notes }
        }
        (test, None) => Layout { train: vec![train], test, notes: vec![] },
    })
}

/// The folder that is `wanted`, of which there may be one.
fn part<'a>(
    root: &Path,
    folders: &'a [(String, PathBuf)],
    wanted: Part,
) -> Result<Option<&'a PathBuf>, DataError> {
    let mut found = folders.iter().filter(|(name, _)| Part::of(name) == Some(wanted));
    match (found.next(), found.next()) {
        (Some((first, _)), Some((second, _))) => {
            Err(DataError::Ambiguous { path: root.to_owned(), first: first.clone(), second: second.clone() })
        }
        (first, _) => Ok(first.map(|(_, path)| path)),
    }
}

/// Sub-folders by name as text, hidden and leftover ones left out.
fn folders(root: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(root)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        // Names first: editors leave hidden links behind that lead nowhere.
        if name.is_some_and(is_leftover_folder) || !fs_err::metadata(&path)?.is_dir() {
            continue;
        }
        match name {
            Some(name) => found.push((name.to_owned(), path)),
            None => return Err(DataError::NameNotUtf8 { path }),
        }
    }
    found.sort();
    Ok(found)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn is_leftover_folder(name: &str) -> bool {
    name.starts_with('.') || HARMLESS_FOLDERS.contains(&name)
}

/// Class folders of `root` and their pictures.
fn list(root: &Path) -> Result<Listing, DataError> {
    let folders = folders(root)?;
    let stray = pictures(root, 1)?;
    match (folders.as_slice(), stray.first()) {
        ([], None) => return Err(DataError::NoImages { path: root.to_owned() }),
        ([], Some(_)) => {
            return Err(DataError::NoClassFolders { path: root.to_owned(), images: stray.len() });
        }
        (_, Some(stray)) => return Err(DataError::StrayImage { path: stray.clone() }),
        _ => {}
    }
    let (mut files, mut empty) = (Vec::new(), None);
    for ((class, path), label) in folders.iter().zip(0..) {
        let pictures = pictures(path, usize::MAX)?;
        if pictures.is_empty() {
            empty.get_or_insert_with(|| DataError::EmptyClass { class: class.clone(), path: path.clone() });
        }
        files.extend(pictures.into_iter().map(|picture| (picture, label)));
    }
    if files.is_empty() {
        return Err(DataError::NoImages { path: root.to_owned() });
    }
    match (empty, folders.as_slice()) {
        (Some(empty), _) => Err(empty),
        (None, [(class, path)]) => {
            let (class, nested) = (class.clone(), !self::folders(path)?.is_empty());
            Err(DataError::OneClass { path: root.to_owned(), class, nested })
        }
        (None, _) => Ok(Listing { classes: folders.into_iter().map(|(name, _)| name).collect(), files }),
    }
}

/// A doubt worth saying: class folders that all have the same sub-folders look like parts of a data set under
/// names that are not known here (`training_set` and `test_set`, say), each with the real classes in it.
fn twin_folders(root: &Path) -> Result<Option<String>, DataError> {
    let mut within = Vec::new();
    for (_, path) in folders(root)? {
        within.push(folders(&path)?.into_iter().map(|(name, _)| name).collect::<Vec<_>>());
    }
    let twins = within.iter().all(|names| names.len() > 1 && *names == within[0]);
    Ok(twins.then(|| {
        let names = within[0].join(", ");
        format!("every class folder holds {names}; if those are the classes, call the folders above train and test")
    }))
}

/// Pictures up to `depth` folders below `folder`, in the order of their paths.
///
/// # Errors
/// [`DataError::UnsupportedFormat`] and [`DataError::UnknownFile`] for what is neither a picture nor harmless,
/// [`DataError::Io`] also for a link that leads nowhere or in a circle.
fn pictures(folder: &Path, depth: usize) -> Result<Vec<PathBuf>, DataError> {
    let mut found = Vec::new();
    for file in files(folder, depth) {
        let file = file?;
        if is_picture(&file)? {
            found.push(file);
        }
    }
    Ok(found)
}

/// Files up to `depth` folders below `folder`, in the order of their paths; hidden and leftover ones left out.
pub(crate) fn files(folder: &Path, depth: usize) -> impl Iterator<Item = Result<PathBuf, DataError>> {
    let wanted = |entry: &DirEntry| {
        let name = entry.file_name().to_string_lossy();
        entry.depth() == 0
            || !(name.starts_with('.') || entry.file_type().is_dir() && is_leftover_folder(&name))
    };
    let walk = WalkDir::new(folder).max_depth(depth).follow_links(true).sort_by_file_name();
    walk.into_iter().filter_entry(wanted).filter_map(|entry| match entry {
        Ok(entry) => (!entry.file_type().is_dir()).then(|| Ok(entry.into_path())),
        // A link that leads nowhere fails before `wanted` is asked.
        Err(error) if error.path().is_some_and(is_hidden) => None,
        Err(error) => Some(Err(std::io::Error::from(error).into())),
    })
}

/// Whether the file is to be decoded, judged by its name.
pub(crate) fn is_picture(path: &Path) -> Result<bool, DataError> {
    let lower = |part: Option<&std::ffi::OsStr>| {
        part.map(|part| part.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
    };
    let (name, extension) = (lower(path.file_name()), lower(path.extension()));
    let extension = extension.as_str();
    if IMAGES.contains(&extension) {
        Ok(true)
    } else if OTHER_IMAGES.contains(&extension) {
        Err(DataError::UnsupportedFormat { path: path.to_owned(), extension: extension.to_owned() })
    } else if HARMLESS.contains(&extension) || HARMLESS_NAMES.contains(&name.as_str()) {
        Ok(false)
    } else {
        Err(DataError::UnknownFile { path: path.to_owned() })
    }
}

fn check_same_classes(train: &Path, ours: &Listing, test: &Path, theirs: &Listing) -> Result<(), DataError> {
    if ours.classes == theirs.classes {
        return Ok(());
    }
    let only = |one: &Listing, other: &Listing| {
        one.classes.iter().filter(|class| !other.classes.contains(class)).cloned().collect()
    };
    Err(DataError::ClassMismatch {
        train: train.to_owned(),
        test: test.to_owned(),
        only_train: only(ours, theirs),
        only_test: only(theirs, ours),
    })
}

/// Heads of all files; the first error in their order counts, whichever thread meets one first.
fn read_headers<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Result<Vec<Header>, DataError> {
    let paths: Vec<_> = paths.collect();
    let headers: Vec<_> = paths.par_iter().map(|path| decode::header(path)).collect();
    headers.into_iter().collect()
}

/// The shape that all pictures are brought to: what `options` says, else what the pictures have in common.
fn common_shape(headers: &[Header], options: &LoadOptions, notes: &mut Vec<String>) -> ImageShape {
    let colour = headers.iter().filter(|header| header.colour).count();
    if options.channels.is_none() && (1..headers.len()).contains(&colour) {
        notes.push(format!("{colour} of {} images are in colour; all get three channels", headers.len()));
    }
    let channels = if colour > 0 { 3 } else { 1 };
    let sizes = || headers.iter().map(|header| [header.height, header.width]);
    let common = sizes().next().filter(|&first| sizes().all(|size| size == first));
    let [height, width] = options.size.or(common).unwrap_or_else(|| {
        let side = automatic_side(headers);
        notes.push(format!("images differ in size; all become {side}×{side}"));
        [side, side]
    });
    options.target(ImageShape { channels, height, width })
}

/// Median of the shorter sides, rounded to [`AUTO_STEP`] and kept within [`AUTO_SIDES`].
fn automatic_side(headers: &[Header]) -> usize {
    let mut sides: Vec<_> = headers.iter().map(|header| header.height.min(header.width)).collect();
    sides.sort_unstable();
    let median = sides[sides.len() / 2];
    let [least, most] = AUTO_SIDES;
    (median + AUTO_STEP / 2).div_euclid(AUTO_STEP).saturating_mul(AUTO_STEP).clamp(least, most)
}

/// All pictures at `shape`; the first error in their order counts.
fn decode_all(files: &[(PathBuf, u32)], shape: ImageShape) -> Result<Images, DataError> {
    let mut pixels = vec![0; files.len() * shape.numel()];
    let places = pixels.par_chunks_mut(shape.numel()).zip(files);
    let failed = places.find_map_first(|(out, (path, _))| match decode::decode(path) {
        Ok(image) => {
            fit(image, shape, out);
            None
        }
        Err(error) => Some(error),
    });
    match failed {
        Some(error) => Err(error),
        None => Images::new(shape, pixels, files.iter().map(|&(_, label)| label).collect()),
    }
}

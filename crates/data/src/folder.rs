//! A folder of pictures with a sub-folder for each class, with or without `train`, `val` and `test` above them.

use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::{
    DataError, SourceKind,
    files::{Picture, PictureList},
    part::{Part, note_on_val},
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

/// The folders that hold class folders.
struct Layout {
    /// The first one is to train on.
    parts: Vec<(Part, PathBuf)>,
    notes: Vec<String>,
}

impl Layout {
    /// Class folders alone.
    fn undivided(root: &Path) -> Self {
        Self { parts: vec![(Part::Train, root.to_owned())], notes: Vec::new() }
    }
}

/// The pictures of one part, sorted by class, then path.
struct Listing {
    classes: Vec<String>,
    files: Vec<(PathBuf, u32)>,
}

/// The pictures below `root`.
pub(crate) fn list(root: &Path) -> Result<PictureList, DataError> {
    let Layout { parts, mut notes } = layout(root)?;
    let mut pictures = Vec::new();
    let mut first: Option<(&PathBuf, Vec<String>)> = None;
    for (part, path) in &parts {
        let Listing { classes, files } = list_classes(path)?;
        match &first {
            Some((train, expected)) => check_same_classes(train, expected, path, &classes)?,
            None => first = Some((path, classes)),
        }
        pictures.extend(files.into_iter().map(|(path, label)| Picture { path, label, part: *part }));
    }
    let (train, classes) = first.unwrap_or((&parts[0].1, Vec::new()));
    notes.extend(twin_folders(train)?);
    let (kind, name, path) = (SourceKind::Folder, name(root), root.to_owned());
    Ok(PictureList { kind, name, path, classes, pictures, notes })
}

/// Last part of the path, also of `.` and `..`.
pub(crate) fn name(root: &Path) -> String {
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
        return Ok(Layout::undivided(root));
    };
    let other = folders.iter().find(|(name, _)| Part::of(name).is_none());
    match (self::folders(train)?.is_empty(), other) {
        (true, Some(_)) => return Ok(Layout::undivided(root)),
        (false, Some((_, path))) => return Err(DataError::UnexpectedFolder { path: path.clone() }),
        (_, None) => {}
    }
    if let Some(stray) = pictures(root, 1)?.into_iter().next() {
        return Err(DataError::StrayImage { path: stray });
    }
    let mut parts = vec![(Part::Train, train.clone())];
    let notes = val.map(|val| note_on_val(&val.display().to_string(), test.is_some()));
    match (val, test) {
        (Some(val), None) => parts.push((Part::Test, val.clone())),
        (val, test) => {
            parts.extend(val.map(|path| (Part::Val, path.clone())));
            parts.extend(test.map(|path| (Part::Test, path.clone())));
        }
    }
    Ok(Layout { parts, notes: Vec::from_iter(notes) })
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
fn list_classes(root: &Path) -> Result<Listing, DataError> {
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

fn check_same_classes(
    train: &Path,
    ours: &[String],
    test: &Path,
    theirs: &[String],
) -> Result<(), DataError> {
    if ours == theirs {
        return Ok(());
    }
    let only = |one: &[String], other: &[String]| {
        one.iter().filter(|class| !other.contains(class)).cloned().collect()
    };
    Err(DataError::ClassMismatch {
        train: train.to_owned(),
        test: test.to_owned(),
        only_train: only(ours, theirs),
        only_test: only(theirs, ours),
    })
}

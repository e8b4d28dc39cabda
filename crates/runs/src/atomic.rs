//! Whole files, written so that a reader sees the old content or the new, never a part: temporary name in the same
//! folder, sync, rename, sync of the folder.

use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use fs_err as fs;
use serde::Serialize;
use tempfile::NamedTempFile;

use crate::error::{Result, RunsError};

/// Temporary files are `.NAME.xxxxxx.tmp`, beside the file they will become.
const SUFFIX: &str = ".tmp";

/// Replaces the file at `path` by `bytes`, or leaves it as it was.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("metrics.json");
/// cdarts_runs::atomic::write(&path, b"{}")?;
/// cdarts_runs::atomic::write(&path, b"{\"test_accuracy\":0.98}")?;
/// assert_eq!(std::fs::read(&path)?, b"{\"test_accuracy\":0.98}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`RunsError::Io`] if anything cannot be written, synced or renamed; the temporary file is removed then.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |writer| writer.write_all(bytes))
}

/// Replaces the file at `path` by `value` as indented JSON.
///
/// # Errors
///
/// [`RunsError::Encode`] if `value` has no JSON form, else as [`write()`].
pub fn write_json<T: Serialize + ?Sized>(path: &Path, value: &T) -> Result<()> {
    let mut json = serde_json::to_vec_pretty(value)
        .map_err(|source| RunsError::Encode { path: path.to_owned(), source })?;
    json.push(b'\n');
    write(path, &json)
}

/// Replaces the file at `path` by what `fill` writes, without holding it in memory.
///
/// # Errors
///
/// As [`write()`], and whatever `fill` returns.
pub fn write_with(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let folder = folder_of(path);
    let temporary = write_temporary(path, folder, fill).map_err(RunsError::io("write", path))?;
    temporary.persist(path).map_err(|refused| RunsError::io("replace", path)(refused.error))?;
    sync_folder(folder)
}

/// Dropping the returned file removes it, so that every early return cleans up.
fn write_temporary(
    path: &Path,
    folder: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<NamedTempFile> {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(SUFFIX);
    // Others read run folders too; the default of a temporary file is its owner only.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut temporary = builder.tempfile_in(folder)?;
    let mut writer = BufWriter::with_capacity(1 << 16, &mut temporary);
    fill(&mut writer)?;
    writer.flush()?;
    drop(writer);
    temporary.as_file().sync_all()?;
    Ok(temporary)
}

/// Removes what writers that were killed left in `folder`. Call it only while no writer is at work there.
///
/// # Errors
///
/// [`RunsError::Io`] if the folder cannot be listed or a leftover not be removed.
pub fn remove_leftovers(folder: &Path) -> Result<()> {
    let failed = |source| RunsError::io("clean", folder)(source);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') && name.ends_with(SUFFIX) {
            fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}

/// A rename or a new file is on disk only once its folder is.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    // Elsewhere folders cannot be opened, and renames are written through.
    if cfg!(unix) {
        fs::File::open(folder).and_then(|file| file.sync_all()).map_err(RunsError::io("sync", folder))?;
    }
    Ok(())
}

/// The folder a file lies in; a bare name lies in the current one.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn replaces_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write(&path, b"old").unwrap();
        write_json(&path, &[1, 2]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "[\n  1,\n  2\n]\n");
        assert_eq!(names(folder.path()), ["a.json"]);
    }

    #[test]
    fn a_writer_that_fails_midway_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        write(&path, b"old").unwrap();
        let error = write_with(&path, |writer| {
            writer.write_all(&[7; 100_000])?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        })
        .unwrap_err();
        assert!(matches!(&error, RunsError::Io { path: at, .. } if *at == path));
        assert!(error.hint().unwrap().contains("disk is full"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["a.bin"]);
    }

    #[test]
    fn a_refused_rename_removes_the_temporary() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir_all(path.join("inside")).unwrap();
        assert!(matches!(write(&path, b"new"), Err(RunsError::Io { action: "replace", .. })));
        assert_eq!(names(folder.path()), ["taken"]);
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = write(Path::new("/nowhere/at/all.json"), b"").unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all.json"));
    }

    #[test]
    fn leftovers_go_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".a.json.Xy12.tmp", "a.json", ".hidden", "b.tmp"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        remove_leftovers(folder.path()).unwrap();
        assert_eq!(names(folder.path()), [".hidden", "a.json", "b.tmp"]);
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_what_the_umask_allows() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (plain, atomic) = (folder.path().join("plain"), folder.path().join("atomic"));
        fs::write(&plain, "").unwrap();
        write(&atomic, b"").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&atomic), mode(&plain));
    }
}

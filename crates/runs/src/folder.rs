//! The run folder: where each file lies, and who may write there.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;
use jiff::{Timestamp, civil::Date};

use crate::atomic::{folder_of, remove_leftovers, sync_folder};
use crate::error::{Result, RunsError};

const MANIFEST: &str = "manifest.json";
const LOCK: &str = "run.lock";

/// A run's folder. Made by [`RunFolder::create`] or [`RunFolder::open`] it holds the run's lock, so that no second
/// process writes there; made by [`RunFolder::view`] it is for reading.
///
/// ```
/// use cdarts_runs::{RunFolder, RunsError};
///
/// # let root = tempfile::tempdir()?;
/// let folder = RunFolder::create(&root.path().join("mine"))?;
/// assert!(folder.journal_path().ends_with("mine/journal.jsonl"));
/// assert!(matches!(RunFolder::create(folder.path()), Err(RunsError::RunExists { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// The lock goes when the file is closed, also by a crash.
    _lock: Option<fs::File>,
}

impl RunFolder {
    /// Makes a new run folder, with its subfolders, and takes its lock.
    ///
    /// # Errors
    ///
    /// [`RunsError::RunExists`] if `path` is anything but missing or an empty folder; [`RunsError::RunLocked`] if
    /// another process got there first; [`RunsError::Io`].
    pub fn create(path: &Path) -> Result<Self> {
        let failed = |source| RunsError::io("create", path)(source);
        let exists = || RunsError::RunExists { path: path.to_owned() };
        fs::create_dir_all(path).map_err(|source| match source.kind() {
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory => exists(),
            _ => failed(source),
        })?;
        if fs::read_dir(path).map_err(failed)?.next().is_some() {
            return Err(exists());
        }
        let lock = take_lock(path, true)?;
        let folder = Self { path: path.to_owned(), _lock: Some(lock) };
        for sub in [folder.checkpoints_path(), folder.genotypes_path(), folder.bundle_path()] {
            fs::create_dir(&sub).map_err(RunsError::io("create", &sub))?;
        }
        sync_folder(path)?;
        sync_folder(folder_of(path))?;
        Ok(folder)
    }

    /// Makes a new run folder under `root`, with the next free name of today: see [`default_name`].
    ///
    /// # Errors
    ///
    /// As [`RunFolder::create`], except that a name taken by another process meanwhile is no error.
    pub fn create_named(root: &Path, kind: &str, seed: u64) -> Result<Self> {
        // In UTC, as the manifest's time, so that runs sort alike wherever they were made.
        let today = Timestamp::now().to_zoned_datetime(jiff::tz::TimeZone::UTC).date();
        loop {
            match Self::create(&default_name(root, today, kind, seed)) {
                Err(RunsError::RunExists { .. } | RunsError::RunLocked { .. }) => {}
                made => return made,
            }
        }
    }

    /// Opens an existing run to go on with it, and takes its lock. Temporary files of a killed process are removed.
    ///
    /// # Errors
    ///
    /// [`RunsError::NotARun`] if there is no manifest; [`RunsError::RunLocked`] if another process writes the run;
    /// [`RunsError::Io`].
    pub fn open(path: &Path) -> Result<Self> {
        let mut folder = Self::view(path)?;
        folder._lock = Some(take_lock(path, false)?);
        for place in
            [folder.path(), &folder.checkpoints_path(), &folder.genotypes_path(), &folder.bundle_path()]
        {
            fs::create_dir_all(place).map_err(RunsError::io("create", place))?;
            remove_leftovers(place)?;
        }
        Ok(folder)
    }

    /// Opens an existing run for reading; it may be running meanwhile.
    ///
    /// # Errors
    ///
    /// [`RunsError::NotARun`] if there is no manifest.
    pub fn view(path: &Path) -> Result<Self> {
        if !path.join(MANIFEST).is_file() {
            return Err(RunsError::NotARun { path: path.to_owned(), missing: MANIFEST });
        }
        Ok(Self { path: path.to_owned(), _lock: None })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `manifest.json`: what was run, on what.
    #[must_use]
    pub fn manifest_path(&self) -> PathBuf {
        self.path.join(MANIFEST)
    }

    /// `config.toml`: the resolved configuration.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// `journal.jsonl`: what happened.
    #[must_use]
    pub fn journal_path(&self) -> PathBuf {
        self.path.join("journal.jsonl")
    }

    /// `checkpoints/`: see [`crate::Checkpoints`].
    #[must_use]
    pub fn checkpoints_path(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// `genotypes/`: one a cycle.
    #[must_use]
    pub fn genotypes_path(&self) -> PathBuf {
        self.path.join("genotypes")
    }

    /// `bundle/`: the found network.
    #[must_use]
    pub fn bundle_path(&self) -> PathBuf {
        self.path.join("bundle")
    }
}

/// The first free name of a run: `ROOT/2026-11-24-digits-s1`, then `…-s1-2`, `…-s1-3` and so on. `kind` is cut down
/// to letters, digits, `.`, `_` and `-`.
///
/// ```
/// use std::path::Path;
///
/// let date = cdarts_runs::Date::constant(2026, 11, 24);
/// let path = cdarts_runs::default_name(Path::new("nowhere"), date, "digits", 1);
/// assert_eq!(path, Path::new("nowhere/2026-11-24-digits-s1"));
/// ```
#[must_use]
pub fn default_name(root: &Path, date: Date, kind: &str, seed: u64) -> PathBuf {
    let kind: String =
        kind.chars().map(|c| if c.is_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect();
    let name = format!("{date}-{}-s{seed}", if kind.is_empty() { "run" } else { &kind });
    let first = root.join(&name);
    if !is_taken(&first) {
        return first;
    }
    let mut count = 2_u64;
    loop {
        let next = root.join(format!("{name}-{count}"));
        if !is_taken(&next) {
            return next;
        }
        count += 1;
    }
}

/// A dangling link is taken too.
fn is_taken(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn take_lock(folder: &Path, new: bool) -> Result<fs::File> {
    let path = folder.join(LOCK);
    let failed = |source| RunsError::io("lock", &path)(source);
    let locked = || RunsError::RunLocked {
        path: folder.to_owned(),
        holder: fs::read_to_string(&path)
            .ok()
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty()),
    };
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).truncate(false);
    let opened = if new { options.create_new(true).open(&path) } else { options.create(true).open(&path) };
    let mut file = match opened {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(locked()),
        opened => opened.map_err(failed)?,
    };
    match file.file().try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => return Err(locked()),
        Err(std::fs::TryLockError::Error(source)) => return Err(failed(source)),
    }
    file.set_len(0).map_err(failed)?;
    writeln!(file, "process {}", std::process::id()).map_err(failed)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(root: &Path) -> PathBuf {
        let folder = RunFolder::create(&root.join("run")).unwrap();
        fs::write(folder.manifest_path(), "{}").unwrap();
        folder.path().to_owned()
    }

    #[test]
    fn create_lays_the_folder_out() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(&root.path().join("deep/down/run")).unwrap();
        for sub in ["checkpoints", "genotypes", "bundle"] {
            assert!(folder.path().join(sub).is_dir(), "{sub}");
        }
        assert!(!folder.manifest_path().exists() && !folder.config_path().exists());
    }

    #[test]
    fn an_empty_folder_may_be_used_and_anything_else_not() {
        let root = tempfile::tempdir().unwrap();
        let empty = root.path().join("empty");
        fs::create_dir(&empty).unwrap();
        drop(RunFolder::create(&empty).unwrap());
        let exists = |path: &Path| matches!(RunFolder::create(path), Err(RunsError::RunExists { .. }));
        assert!(exists(&empty), "holds a run now");
        let full = root.path().join("full");
        fs::create_dir(&full).unwrap();
        fs::write(full.join("thesis.tex"), "").unwrap();
        assert!(exists(&full));
        assert!(exists(&full.join("thesis.tex")));
        assert!(exists(&full.join("thesis.tex/run")));
        assert_eq!(fs::read_dir(&full).unwrap().count(), 1, "a refusal writes nothing");
    }

    #[test]
    fn two_writers_exclude_each_other() {
        let root = tempfile::tempdir().unwrap();
        let path = run(root.path());
        let first = RunFolder::open(&path).unwrap();
        let error = RunFolder::open(&path).unwrap_err();
        let RunsError::RunLocked { path: locked, holder } = &error else { panic!("{error}") };
        assert_eq!((locked, holder.as_deref()), (&path, Some(&*format!("process {}", std::process::id()))));
        assert!(RunFolder::view(&path).is_ok(), "readers need no lock");
        drop(first);
        RunFolder::open(&path).unwrap();
    }

    #[test]
    fn open_needs_a_manifest() {
        let root = tempfile::tempdir().unwrap();
        for path in [root.path(), Path::new("/nowhere/at/all")] {
            let error = RunFolder::open(path).unwrap_err();
            assert!(matches!(&error, RunsError::NotARun { missing: "manifest.json", .. }), "{error}");
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn open_clears_what_a_killed_writer_left() {
        let root = tempfile::tempdir().unwrap();
        let path = run(root.path());
        let left = path.join("checkpoints/.000001.ckpt.abc123.tmp");
        fs::write(&left, "half").unwrap();
        RunFolder::open(&path).unwrap();
        assert!(!left.exists());
    }

    #[test]
    fn names_count_up_and_are_tame() {
        let root = tempfile::tempdir().unwrap();
        let date = Date::constant(2026, 1, 2);
        let name = |kind| {
            let path = default_name(root.path(), date, kind, 1);
            assert_eq!(path.parent(), Some(root.path()));
            path.file_name().unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(name("digits"), "2026-01-02-digits-s1");
        assert_eq!(name("../my photos"), "2026-01-02-..-my-photos-s1");
        assert_eq!(name(""), "2026-01-02-run-s1");
        fs::create_dir(root.path().join("2026-01-02-digits-s1")).unwrap();
        assert_eq!(name("digits"), "2026-01-02-digits-s1-2");
        fs::write(root.path().join("2026-01-02-digits-s1-2"), "").unwrap();
        assert_eq!(name("digits"), "2026-01-02-digits-s1-3");
    }

    #[test]
    fn many_at_once_get_a_folder_each() {
        let root = tempfile::tempdir().unwrap();
        let made: Vec<RunFolder> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| RunFolder::create_named(root.path(), "digits", 3))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
        });
        let names: std::collections::BTreeSet<_> = made.iter().map(RunFolder::path).collect();
        assert_eq!(names.len(), 8);
    }
}

//! The one error type of this crate. Every variant names the file, and both sides where two things disagree.

use std::io;
use std::path::{Path, PathBuf};

/// `Result` with [`RunsError`].
pub type Result<T, E = RunsError> = std::result::Result<T, E>;

/// What can go wrong with a run's files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunsError {
    // === files and folders ===
    /// The operating system refused.
    #[error("cannot {action} `{path}`")]
    Io {
        /// What was being done, in the infinitive: "write", "read", "lock".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A new run was to be written where something is already.
    #[error("`{path}` exists and is not empty: an existing run folder is never reused silently")]
    RunExists {
        /// The folder (or file) in the way.
        path: PathBuf,
    },
    /// Another process holds the run's lock.
    #[error("the run `{path}` is being written by {}", .holder.as_deref().unwrap_or("another process"))]
    RunLocked {
        /// The run folder.
        path: PathBuf,
        /// What the lock file says of its holder, if it could be read.
        holder: Option<String>,
    },
    /// The folder lacks what makes it a run.
    #[error("`{path}` is not a run folder: it has no `{missing}`")]
    NotARun {
        /// The folder.
        path: PathBuf,
        /// The file that should be in it.
        missing: &'static str,
    },

    // === manifest ===
    /// `manifest.json` does not hold a manifest.
    #[error("`{path}` is not a run's manifest")]
    BadManifest {
        /// The manifest.
        path: PathBuf,
        /// Where the reader stumbled.
        source: serde_json::Error,
    },

    // === any file with a schema ===
    /// The file was written by a version of the program whose format this one does not know.
    #[error("`{path}` has schema {found}; this version reads schema {expected}")]
    Schema {
        /// The file.
        path: PathBuf,
        /// The schema this version reads.
        expected: u32,
        /// The schema the file has.
        found: u32,
    },
    /// A value has no JSON form.
    #[error("cannot put into JSON what was to be written to `{path}`")]
    Encode {
        /// The file it was meant for.
        path: PathBuf,
        /// The writer's reason.
        source: serde_json::Error,
    },

    // === journal ===
    /// The first line is not a journal's.
    #[error("`{path}` is not a journal: its first line should be a journal header, found `{found}`")]
    NotAJournal {
        /// The file.
        path: PathBuf,
        /// The beginning of its first line.
        found: String,
    },
    /// A complete line of the journal is not a record.
    #[error("`{path}` line {line} is not a journal record")]
    BadLine {
        /// The journal.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// Where in the line the reader stumbled.
        source: serde_json::Error,
    },
    /// A record is missing, doubled or out of place.
    #[error("`{path}` line {line} has record {found} where record {expected} belongs")]
    OutOfSequence {
        /// The journal.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The sequence number that belongs there.
        expected: u64,
        /// The sequence number found.
        found: u64,
    },
    /// The journal ends before the record a resume starts from.
    #[error("`{path}` has {found} records; resuming needs at least {expected}")]
    JournalTooShort {
        /// The journal.
        path: PathBuf,
        /// Records needed.
        expected: u64,
        /// Complete records found.
        found: u64,
    },

    // === checkpoints ===
    /// A checkpoint file is not what was written.
    #[error("`{path}` is damaged: {section} should be {expected}, found {found}")]
    Damaged {
        /// The checkpoint.
        path: PathBuf,
        /// The part that does not verify: "magic", "header", "file length" or a section's name.
        section: String,
        /// The length or hash that should be there.
        expected: String,
        /// The length or hash that is there.
        found: String,
    },
    /// There are checkpoints, but none verifies.
    #[error("none of the {} checkpoints in `{path}` can be read; the newest: {}", .damaged.len(), first(.damaged))]
    AllDamaged {
        /// The checkpoint folder.
        path: PathBuf,
        /// What is wrong with each, newest first.
        damaged: Vec<RunsError>,
    },
    /// There is no checkpoint.
    #[error("`{path}` holds no checkpoint")]
    NoCheckpoint {
        /// The checkpoint folder.
        path: PathBuf,
    },
    /// The checkpoint belongs to another configuration or other data.
    #[error("`{path}` was written with another {what}: expected {expected}, found {found}")]
    OtherRun {
        /// The checkpoint.
        path: PathBuf,
        /// "configuration" or "data".
        what: &'static str,
        /// The hash of what this process was given.
        expected: String,
        /// The hash in the checkpoint.
        found: String,
    },
    /// A checkpoint lacks a part the reader needs.
    #[error("the checkpoint has no section `{section}`; it has: {}", .found.join(", "))]
    NoSection {
        /// The section asked for.
        section: String,
        /// The sections there are.
        found: Vec<String>,
    },
    /// Two sections of one checkpoint have the same name.
    #[error("the checkpoint to be written has two sections named `{section}`")]
    DoubleSection {
        /// The name.
        section: String,
    },
}

fn first(damaged: &[RunsError]) -> String {
    damaged.first().map_or_else(String::new, RunsError::to_string)
}

impl RunsError {
    /// What the reader of the error can do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Io { source, .. } => return io_hint(source.kind()).map(str::to_owned),
            Self::RunExists { path } => {
                return Some(format!(
                    "go on with that run by `--resume {}`, or give the new one another name with `--out`",
                    path.display()
                ));
            }
            Self::RunLocked { .. } => "wait for that process to end, or stop it; the lock goes with it",
            Self::NotARun { .. } => "name the folder that holds `manifest.json`, such as one under `runs/`",
            Self::Schema { expected, found, .. } if found > expected => {
                "read it with the newer version that wrote it"
            }
            Self::Schema { .. } => "read it with the older version that wrote it",
            Self::BadLine { .. } | Self::OutOfSequence { .. } => {
                "the journal was changed after it was written; a resume from a checkpoint before that line cuts it off"
            }
            Self::JournalTooShort { .. } => "journal and checkpoints are not of one run; restore the journal",
            Self::AllDamaged { .. } => {
                "the disk may be failing; restore the folder from a copy, or start a new run"
            }
            Self::NoCheckpoint { .. } => "the run stopped before its first checkpoint; start it anew",
            Self::OtherRun { what: "data", .. } => "resume with the images the run was started with",
            Self::OtherRun { .. } => {
                "resume with the run's own `config.toml`, or start a new run with the changed configuration"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// An `Io` error's maker, for `map_err`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

fn io_hint(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("the disk is full; free some space, then go on with `--resume`")
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            Some("choose a folder that you may write to with `--out`")
        }
        io::ErrorKind::NotFound => Some("check the spelling of the path"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_gets_advice_and_keeps_its_reason() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = RunsError::io("write", Path::new("runs/a/journal.jsonl"))(full);
        assert_eq!(error.to_string(), "cannot write `runs/a/journal.jsonl`");
        assert!(error.hint().unwrap().contains("--resume"));
        assert!(std::error::Error::source(&error).is_some());
    }

    #[test]
    fn a_schema_hint_points_the_right_way() {
        let schema = |found| RunsError::Schema { path: "j".into(), expected: 2, found };
        assert!(schema(3).hint().unwrap().contains("newer"));
        assert!(schema(1).hint().unwrap().contains("older"));
    }

    #[test]
    fn an_existing_run_names_both_ways_out() {
        let hint = RunsError::RunExists { path: "runs/a".into() }.hint().unwrap();
        assert!(hint.contains("--resume runs/a") && hint.contains("--out"), "{hint}");
    }
}

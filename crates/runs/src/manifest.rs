//! `manifest.json`: what was run, with what, on what machine. Written once, before the first step.

use std::path::Path;

use fs_err as fs;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::error::{Result, RunsError};

/// The schema of the manifests this version writes and reads.
pub const MANIFEST_SCHEMA: u32 = 1;

/// What a run was started with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_SCHEMA`].
    pub schema: u32,
    /// The program's version.
    pub version: String,
    /// The command as typed, program name first.
    pub command_line: Vec<String>,
    /// Hash of the resolved configuration.
    pub config_hash: String,
    /// The images.
    pub data: DataSummary,
    /// The seed everything random is drawn from.
    pub seed: u64,
    /// Threads of computation.
    pub threads: usize,
    /// The device computed on: "cpu", "vulkan:0", …
    pub device: String,
    /// The machine.
    pub machine: Machine,
    /// When the run began; in JSON RFC 3339, UTC.
    pub started_at: Timestamp,
}

/// The images of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSummary {
    /// What kind of source: "digits", "folder", "cifar10", …
    pub kind: String,
    /// The data set's name.
    pub name: String,
    /// Hash over pixels, labels and class names.
    pub digest: String,
    /// Images in all splits together.
    pub images: usize,
    /// Class names, by label.
    pub classes: Vec<String>,
    /// Shape of one image, `[c, h, w]`.
    pub shape: [usize; 3],
    /// Files that were left out because they cannot be read.
    #[serde(default)]
    pub skipped: Vec<SkippedFile>,
}

/// A file that was left out of a run's images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedFile {
    /// The file.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

/// The machine of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Operating system: "linux", "macos", "windows", …
    pub os: String,
    /// Instruction set: "x86_64", "aarch64", …
    pub arch: String,
    /// The processor's name for itself; "unknown" where the system does not tell.
    pub cpu: String,
    /// Processor cores this process may use.
    pub cores: usize,
}

impl Machine {
    /// The machine this runs on.
    #[must_use]
    pub fn detect() -> Self {
        let list = sysinfo::RefreshKind::nothing().with_cpu(sysinfo::CpuRefreshKind::nothing());
        let system = sysinfo::System::new_with_specifics(list).ok();
        let cpu =
            system.as_ref().and_then(|system| system.cpus().first()).map_or("", |cpu| cpu.brand().trim());
        Self {
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            cpu: if cpu.is_empty() { "unknown" } else { cpu }.to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// Read alone first, so that a manifest of another schema is called that and not broken.
#[derive(Deserialize)]
struct Schema {
    schema: u32,
}

impl Manifest {
    /// Writes the manifest, all or nothing.
    ///
    /// # Errors
    ///
    /// As [`atomic::write_json`].
    pub fn save(&self, path: &Path) -> Result<()> {
        atomic::write_json(path, self)
    }

    /// Reads a manifest. Keys that this version does not know are left out.
    ///
    /// # Errors
    ///
    /// [`RunsError::Schema`] for a manifest of another schema, [`RunsError::BadManifest`] for anything that is not
    /// a manifest, [`RunsError::Io`].
    pub fn load(path: &Path) -> Result<Self> {
        let json = fs::read(path).map_err(RunsError::io("read", path))?;
        let bad = |source| RunsError::BadManifest { path: path.to_owned(), source };
        let Schema { schema } = serde_json::from_slice(&json).map_err(bad)?;
        if schema != MANIFEST_SCHEMA {
            return Err(RunsError::Schema {
                path: path.to_owned(),
                expected: MANIFEST_SCHEMA,
                found: schema,
            });
        }
        serde_json::from_slice(&json).map_err(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            schema: MANIFEST_SCHEMA,
            version: "0.1.0".into(),
            command_line: vec!["cdarts".into(), "search".into(), "--set".into(), "search.cycles=2".into()],
            config_hash: "c0ffee".into(),
            data: DataSummary {
                kind: "digits".into(),
                name: "UCI handwritten digits".into(),
                digest: "abad1dea".into(),
                images: 1797,
                classes: (0..10).map(|digit| digit.to_string()).collect(),
                shape: [1, 8, 8],
                skipped: vec![SkippedFile { path: "a/1.png".into(), reason: "cut off".into() }],
            },
            seed: u64::MAX,
            threads: 2,
            device: "cpu".into(),
            machine: Machine::detect(),
            started_at: "2026-11-24T05:06:07Z".parse().unwrap(),
        }
    }

    #[test]
    fn comes_back_as_written_and_reads_well() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest.json");
        manifest().save(&path).unwrap();
        assert_eq!(Manifest::load(&path).unwrap(), manifest());
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(r#""started_at": "2026-11-24T05:06:07Z""#), "{text}");
    }

    #[test]
    fn what_is_not_a_manifest_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest.json");
        assert!(matches!(Manifest::load(&path), Err(RunsError::Io { action: "read", .. })));
        for text in ["", "{}", "[1]", r#"{"schema":1}"#, "\u{0}\u{1}"] {
            fs::write(&path, text).unwrap();
            assert!(matches!(Manifest::load(&path), Err(RunsError::BadManifest { .. })), "{text:?}");
        }
        fs::write(&path, r#"{"schema":7,"all":"new"}"#).unwrap();
        assert!(matches!(Manifest::load(&path), Err(RunsError::Schema { expected: 1, found: 7, .. })));
    }

    #[test]
    fn the_machine_is_known() {
        let machine = Machine::detect();
        assert!(machine.cores >= 1);
        assert!(!machine.cpu.is_empty() && !machine.os.is_empty() && !machine.arch.is_empty());
    }
}

//! What a run writes down, and reading it back after a crash: the run folder, its manifest, its journal and its
//! checkpoints.
//!
//! A run is a folder that somebody else can read without the program:
//!
//! ```text
//! runs/NAME/
//!   manifest.json    who, when, on what machine, over which data: written once, before the first step
//!   config.toml      the resolved configuration
//!   journal.jsonl    one event a line
//!   journal.cut.jsonl  what a resume cut off the journal, kept
//!   checkpoints/     000001.ckpt, 000002.ckpt, …
//!   genotypes/       one a cycle
//!   bundle/          the found network
//!   run.lock         held while a process writes the run
//! ```
//!
//! Everything here survives being stopped between any two bytes. Whole files go to a temporary name, are synced
//! and renamed ([`atomic`]); the journal only grows, and its torn last line is told apart from a bad one
//! ([`Journal`]); a checkpoint carries a hash of every part of it, and the newest that verifies is taken
//! ([`Checkpoints`]). To make the two agree, a trainer syncs the journal first and saves the checkpoint, with the
//! journal's sequence number in it, second; a resume then cuts the journal back to that number.

pub mod atomic;
mod checkpoint;
mod error;
mod event;
mod folder;
mod journal;
mod manifest;
mod number;
mod phase;

pub use checkpoint::{CHECKPOINT_SCHEMA, Checkpoint, CheckpointHeader, Checkpoints, Found};
pub use error::{Result, RunsError};
pub use event::{Event, Forecast, Record, comparable_records};
pub use folder::{RunFolder, default_name};
pub use jiff::{Timestamp, civil::Date};
pub use journal::{JOURNAL_SCHEMA, Journal, Scan};
pub use manifest::{DataSummary, MANIFEST_SCHEMA, Machine, Manifest, SkippedFile};
pub use phase::{Phase, Position};

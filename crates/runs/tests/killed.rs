//! A run whose process is killed again and again, at any moment, and resumed each time, must tell the same story as
//! one that was left alone: the journal without bookkeeping is the sequence of steps, none missing, none twice.

#![allow(missing_docs)]
#![expect(clippy::unwrap_used, reason = "a test's way to fail")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cdarts_runs::{
    CHECKPOINT_SCHEMA, Checkpoint, CheckpointHeader, Checkpoints, Event, Journal, Phase, Position, RunFolder,
    comparable_records,
};

const FOLDER: &str = "CDARTS_RUNS_TEST_KILLED";
const PHASE: Phase = Phase::Retrain { epoch: 0 };
const KILLS: u64 = 12;
/// Steps between two checkpoints.
const BETWEEN: usize = 7;
/// A writer that nobody kills ends by itself.
const LONGEST: Duration = Duration::from_secs(20);

fn step(step: usize) -> Event {
    let loss = 1.0 / (step as f64 + 3.0);
    let terms = BTreeMap::from([("classify".to_owned(), loss)]);
    Event::Step { phase: PHASE, step, terms, learning_rates: BTreeMap::new() }
}

fn save(checkpoints: &Checkpoints, journal: &mut Journal, step: usize) {
    let name = checkpoints.next_name().unwrap();
    let journal_seq = journal.append(Event::Checkpoint { phase: PHASE, step, name }).unwrap();
    journal.sync().unwrap();
    let header = CheckpointHeader {
        schema: CHECKPOINT_SCHEMA,
        version: "0.1.0".into(),
        config_hash: String::new(),
        data_digest: String::new(),
        position: Position { phase: PHASE, step },
        journal_seq,
        cycle_state: serde_json::Value::Null,
    };
    // Large enough that a kill can fall into the writing.
    let sections = vec![("weights".to_owned(), vec![step as u8; 300_000])];
    checkpoints.save(&Checkpoint { header, sections }).unwrap();
}

/// The process that gets killed; an empty test when run as one.
#[test]
fn writer() {
    let Some(path) = std::env::var_os(FOLDER) else { return };
    let folder = RunFolder::open(Path::new(&path)).unwrap();
    let checkpoints = Checkpoints::open(&folder.checkpoints_path()).unwrap();
    let found = checkpoints.load("", "").unwrap();
    assert!(found.damaged.is_empty(), "a kill damages no checkpoint: {:?}", found.damaged);
    let mut journal = Journal::open_at(&folder.journal_path(), found.checkpoint.header.journal_seq).unwrap();
    let Position { phase, step: first } = found.checkpoint.header.position;
    journal.append(Event::Resumed { phase, step: first }).unwrap();
    let start = Instant::now();
    for next in first.. {
        if start.elapsed() > LONGEST {
            return;
        }
        journal.append(step(next)).unwrap();
        if (next + 1) % BETWEEN == 0 {
            save(&checkpoints, &mut journal, next + 1);
        }
    }
}

/// Waits until the writer has saved a checkpoint of its own, however slow the disk.
fn wait_for_progress(run: &Path, writer: &mut Child) {
    let checkpoints = Checkpoints::open(&run.join("checkpoints")).unwrap();
    let before = checkpoints.next_name().unwrap();
    while checkpoints.next_name().unwrap() == before {
        assert!(
            writer.try_wait().unwrap().is_none(),
            "the writer ended by itself: it failed, or saved nothing"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn killed_and_resumed_is_like_never_stopped() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("run");
    {
        let folder = RunFolder::create(&path).unwrap();
        std::fs::write(folder.manifest_path(), "{}").unwrap();
        let mut journal = Journal::create(&folder.journal_path()).unwrap();
        journal.append(Event::RunStarted { version: "0.1.0".into(), seed: 1 }).unwrap();
        save(&Checkpoints::open(&folder.checkpoints_path()).unwrap(), &mut journal, 0);
    }
    for kill in 0..KILLS {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writer"])
            .env(FOLDER, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_for_progress(&path, &mut writer);
        std::thread::sleep(Duration::from_millis(3 * kill));
        writer.kill().unwrap();
        writer.wait().unwrap();
    }

    let records = Journal::read(&path.join("journal.jsonl")).unwrap();
    let told = comparable_records(&records);
    assert!(told.len() as u64 > KILLS * BETWEEN as u64, "every writer gets as far as a checkpoint");
    for (next, value) in told[1..].iter().enumerate() {
        let expected = serde_json::to_value(step(next)).unwrap();
        assert_eq!(*value, expected);
    }
    let resumed = records.iter().filter(|record| matches!(record.event, Event::Resumed { .. })).count();
    assert_eq!(resumed as u64, KILLS);
}

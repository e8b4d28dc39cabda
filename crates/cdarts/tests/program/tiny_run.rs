//! A run of two seconds, and what must be equal between two of them.

use std::path::Path;
use std::sync::OnceLock;

use cdarts::runs::{Event, Journal, Record, comparable_records};
use serde_json::Value;

use crate::invoke::{Call, Workplace};

/// Four steps an epoch; two cycles; every step in the journal.
pub const SETTINGS: [&str; 14] = [
    "data.test_fraction=0.8",
    "search.init_channels=2",
    "search.cells=[1,1]",
    "search.eval_cells=[1,1]",
    "search.cycles=2",
    "search.batch_size=48",
    "search.warmup_epochs=1",
    "retrain.epochs=2",
    "retrain.init_channels=4",
    "retrain.cells=[1,1]",
    "retrain.batch_size=96",
    "retrain.auxiliary_weight=0",
    "run.journal_steps=1",
    // So short that there is a checkpoint after nearly every step.
    "run.checkpoint_minutes=0.0002",
];

/// `command` with the settings of a tiny run, then `more`.
pub fn arguments<'a>(command: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    let settings = SETTINGS.iter().flat_map(|setting| ["--set", setting]);
    command.iter().copied().chain(settings).chain(more.iter().copied()).collect()
}

/// Searches in `workplace`/`name`.
pub fn search(workplace: &Workplace, name: &str, more: &[&str]) -> Call {
    workplace.succeed(&arguments(&["search", "--out", name], more))
}

/// What a run says that must not depend on stops, threads or the clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub genotype: String,
    pub test_accuracy: f64,
    pub records: Vec<Value>,
    pub weights: Vec<u8>,
}

impl Told {
    /// Reads a finished run; `result` is what `--json` printed.
    pub fn by(run: &Path, result: &str) -> Self {
        let result: Value = serde_json::from_str(result).unwrap();
        Self {
            genotype: result["genotype"].as_str().unwrap().to_owned(),
            test_accuracy: result["test_accuracy"].as_f64().unwrap(),
            records: comparable_records(&records(run)),
            weights: std::fs::read(run.join("bundle/model.safetensors")).unwrap(),
        }
    }
}

pub fn records(run: &Path) -> Vec<Record> {
    Journal::read(&run.join("journal.jsonl")).unwrap()
}

pub fn resumes(run: &Path) -> usize {
    records(run).iter().filter(|record| matches!(record.event, Event::Resumed { .. })).count()
}

/// What the run that was left alone says.
pub fn unbroken() -> &'static Told {
    static UNBROKEN: OnceLock<Told> = OnceLock::new();
    UNBROKEN.get_or_init(|| {
        let workplace = Workplace::new();
        let call = search(&workplace, "run", &["--json", "--progress", "none"]);
        Told::by(&workplace.path("run"), &call.stdout)
    })
}

//! Whole runs of a second on the built-in digits: left alone, or stopped every few steps and resumed.

use cdarts_data::LoadOptions;
use cdarts_runs::{Checkpoint, Checkpoints, Event, Journal, Phase, RunFolder, comparable_records};
use cdarts_search::config::{self, Config, Source};
use cdarts_search::{
    Circumstances, Ending, Ingredients, Observer, Outcome, Progress, Run, SearchError, device,
};
use cdarts_space::{Architecture, StageGenotypes};
use tempfile::TempDir;

/// Four steps an epoch, two cycles, two stages with both kinds of cell where there are two.
const RECIPE: &str = "
[data]
test_fraction = 0.8
crop_padding = 1
flip = false
[search]
init_channels = 2
stem_multiplier = 2
cells = [2, 1]
eval_cells = [2, 2]
cycles = 2
batch_size = 48
warmup_epochs = 1
arch_lr = 0.1
[retrain]
epochs = 1
init_channels = 4
cells = [2, 1]
batch_size = 96
auxiliary_weight = 0.0
cutout = 0
[run]
journal_steps = 1
checkpoint_minutes = 0.0
";

/// What a run says that must not depend on stops.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub records: Vec<serde_json::Value>,
    pub weights: Vec<u8>,
    pub genotype: String,
}

/// A run that has ended.
pub struct Ended {
    folder: TempDir,
    outcome: Outcome,
    pub resumes: usize,
}

struct StopAfter {
    steps: Option<usize>,
    done: usize,
}

impl Observer for StopAfter {
    fn progress(&mut self, _: &Progress) {
        self.done += 1;
    }

    fn event(&mut self, _: &Event) {}

    fn stop(&mut self) -> bool {
        self.steps.is_some_and(|steps| self.done >= steps)
    }
}

fn recipe(settings: &[&str]) -> Config {
    let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
    config::resolve(Some(Source { name: "the tiny recipe", text: RECIPE }), &settings).unwrap()
}

fn ingredients(config: &Config, genotype: Option<Architecture>) -> Ingredients {
    let options = LoadOptions { size: config.data.size.sides(), ..LoadOptions::default() };
    let dataset = cdarts_data::load(None, &options).unwrap();
    Ingredients { config: config.clone(), dataset, seed: 3, device: device("cpu").unwrap(), genotype }
}

/// Begins a run in a new folder.
pub fn begin(settings: &[&str]) -> Result<(TempDir, Run), SearchError> {
    begin_with(settings, None)
}

/// Begins the training of a given architecture in a new folder.
pub fn begin_training(settings: &[&str], genotype: Architecture) -> Result<(TempDir, Run), SearchError> {
    begin_with(settings, Some(genotype))
}

fn begin_with(settings: &[&str], genotype: Option<Architecture>) -> Result<(TempDir, Run), SearchError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let circumstances = Circumstances { command_line: vec![], device: "cpu".to_owned(), threads: 1 };
    let ingredients = ingredients(&recipe(settings), genotype);
    let run = Run::begin(ingredients, &circumstances, || RunFolder::create(&path))?;
    Ok((folder, run))
}

/// A run to its end.
pub fn run(settings: &[&str]) -> Ended {
    work(settings, None)
}

/// The same, stopped after every few steps and resumed.
pub fn broken_run(settings: &[&str], steps: usize) -> Ended {
    work(settings, Some(steps))
}

fn work(settings: &[&str], steps: Option<usize>) -> Ended {
    let (folder, mut run) = begin(settings).unwrap();
    let mut resumes = 0;
    loop {
        let ending = run.work(&mut StopAfter { steps, done: 0 }).unwrap();
        drop(run);
        if let Ending::Done(outcome) = ending {
            return Ended { folder, outcome, resumes };
        }
        resumes += 1;
        let path = folder.path().join("run");
        let resumed = Run::resume(ingredients(&recipe(settings), None), RunFolder::open(&path).unwrap());
        run = resumed.unwrap().0;
    }
}

impl Ended {
    pub fn told(&self) -> Told {
        let records = Journal::read(&self.run().journal_path()).unwrap();
        Told {
            records: comparable_records(&records),
            weights: std::fs::read(self.run().bundle_path().join("model.safetensors")).unwrap(),
            genotype: self.outcome.genotype.clone(),
        }
    }

    pub fn run(&self) -> RunFolder {
        RunFolder::view(&self.folder.path().join("run")).unwrap()
    }

    /// The found genotypes.
    pub fn found(&self) -> StageGenotypes {
        self.outcome.genotype.parse().unwrap()
    }

    /// The genotypes at the end of every cycle.
    pub fn cycles(&self) -> Vec<StageGenotypes> {
        let texts = self.events().into_iter().filter_map(|event| match event {
            Event::Genotype { text, .. } => Some(text),
            _ => None,
        });
        texts.map(|text| text.parse().unwrap()).collect()
    }

    /// What random search has scored, in order.
    pub fn candidates(&self) -> Vec<(String, f64)> {
        let candidates = self.events().into_iter().filter_map(|event| match event {
            Event::Candidate { text, accuracy, .. } => Some((text, accuracy)),
            _ => None,
        });
        candidates.collect()
    }

    /// All epochs, in order.
    pub fn epochs(&self) -> Vec<Phase> {
        let phases = self.events().into_iter().filter_map(|event| match event {
            Event::Epoch { phase, .. } => Some(phase),
            _ => None,
        });
        phases.collect()
    }

    fn events(&self) -> Vec<Event> {
        let records = Journal::read(&self.run().journal_path()).unwrap();
        records.into_iter().map(|record| record.event).collect()
    }

    /// The last checkpoint.
    pub fn checkpoint(&self) -> Checkpoint {
        let checkpoints = Checkpoints::open(&self.run().checkpoints_path()).unwrap();
        checkpoints.latest().unwrap().unwrap().checkpoint
    }
}

//! A run from its first epoch to the scored network: phases in order, the journal, checkpoints, and going on
//! after a stop (facts 1.3; design sections 5 and 8).

use std::collections::BTreeMap;
use std::time::Instant;

use burn::tensor::Device;
use cdarts_data::Dataset;
use cdarts_nets::WeightBank;
use cdarts_runs::{
    CHECKPOINT_SCHEMA, Checkpoint, CheckpointHeader, Checkpoints, DataSummary, Event, Journal,
    MANIFEST_SCHEMA, Machine, Manifest, Phase, Position, RunFolder, SkippedFile, Timestamp, atomic,
};
use cdarts_space::{Architecture, ImageShape, Skeleton, SkeletonPlan};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::SearchError;
use crate::bundle::{self, BundleModel};
use crate::config::{Config, Method};
use crate::discretise;
use crate::feed::{Feed, KINDS, kind};
use crate::method::Moment;
use crate::networks::{Batch, SearchNets};
use crate::optimisers::Optimisers;
use crate::pretrain::Pool;
use crate::retrain::{FoundState, evaluate};
use crate::schedule::{self, Plan};
use crate::scoreboard::Score;
use crate::state::Tally;
use crate::step::{Rates, SearchState, StepReport};
use crate::transfer;

/// What a run is made from.
pub struct Ingredients {
    /// Every choice.
    pub config: Config,
    /// The images.
    pub dataset: Dataset,
    /// Everything random follows from it.
    pub seed: u64,
    /// Where to compute.
    pub device: Device,
    /// The architecture to train; none to search for one.
    pub genotype: Option<Architecture>,
}

/// Facts for the manifest that only the program knows.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// The command as it was typed.
    pub command_line: Vec<String>,
    /// Name of the device.
    pub device: String,
    /// Number of threads.
    pub threads: usize,
}

/// Follows a run and may stop it.
pub trait Observer {
    /// After every step.
    fn progress(&mut self, progress: &Progress);

    /// After every event that went into the journal.
    fn event(&mut self, event: &Event);

    /// Whether to save and stop after this step.
    fn stop(&mut self) -> bool;
}

/// Where a run stands after a step.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The epoch.
    pub phase: Phase,
    /// Steps done in it.
    pub step: usize,
    /// Steps it has.
    pub steps: usize,
    /// Epochs done before it, and all there are.
    pub epochs: [usize; 2],
    /// The step's loss terms.
    pub terms: BTreeMap<&'static str, f64>,
    /// By network, the share of images classified rightly in this epoch so far.
    pub accuracy: BTreeMap<&'static str, f64>,
    /// Images a second, over the last steps of this kind.
    pub images_per_second: f64,
    /// Estimated seconds to the end of the run.
    pub seconds_left: f64,
}

/// What a run is going to do.
#[derive(Clone, Debug, Serialize)]
pub struct Overview {
    /// Number of images: training, validation, test.
    pub images: [usize; 3],
    /// Shape of an image: channels, height, width.
    pub shape: [usize; 3],
    /// Number of classes.
    pub classes: usize,
    /// Parameters of the search network; none when a given genotype is trained.
    pub search_params: Option<u64>,
    /// Parameters and multiply-adds of the found network where the genotype is known.
    pub found: Option<[u64; 2]>,
    /// Steps by kind of phase: pre-training of the bank, warm-up of the search network, of the evaluation network,
    /// joint, retraining.
    pub steps: [usize; KINDS],
    /// Epochs by kind of phase.
    pub epochs: [usize; KINDS],
}

/// How a run ended.
#[derive(Clone, Debug)]
pub enum Ending {
    /// All is done.
    Done(Outcome),
    /// Stopped on request, saved at this position.
    Stopped(Position),
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The run's folder.
    pub run_dir: String,
    /// The found genotype in its space's published text form; a file of stages where each stage has its own.
    pub genotype: String,
    /// Parameters of the found network, without auxiliary head.
    pub params: u64,
    /// Its multiply-adds for one image.
    pub macs: u64,
    /// Share of test images classified rightly; none where the network was not trained.
    pub test_accuracy: Option<f64>,
    /// Share of validation images classified rightly after the last epoch, where some were set aside.
    pub val_accuracy: Option<f64>,
    /// Seconds spent searching.
    pub seconds_search: f64,
    /// Seconds spent training the found network.
    pub seconds_retrain: f64,
    /// The run's seed.
    pub seed: u64,
    /// What a table of accuracies says, where one was consulted after the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Score>,
}

/// A run under way.
pub struct Run {
    pub(crate) config: Config,
    config_hash: String,
    dataset: Dataset,
    pub(crate) seed: u64,
    pub(crate) device: Device,
    pub(crate) plan: Plan,
    pub(crate) feed: Feed,
    pub(crate) specs: Specs,
    pub(crate) folder: RunFolder,
    pub(crate) journal: Journal,
    checkpoints: Checkpoints,
    pub(crate) position: Position,
    pub(crate) stage: Stage,
    /// While the bank is pre-trained.
    pub(crate) pool: Option<Pool>,
    pub(crate) memory: Memory,
    pace: Pace,
}

/// The three networks' layouts.
pub(crate) struct Specs {
    pub search: SkeletonPlan,
    pub eval: SkeletonPlan,
    found: Skeleton,
    found_plan: SkeletonPlan,
}

/// What is being trained.
pub(crate) enum Stage {
    /// The search networks and the bank between cycles.
    Search(Box<SearchState>, WeightBank),
    /// The found network.
    Found(Box<FoundState>),
}

/// The small part of a run's state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// What the evaluation network was built from, while there is one.
    pub eval_genotype: Option<Architecture>,
    /// The newest architecture.
    pub genotype: Option<Architecture>,
    /// What the epoch under way measured so far.
    pub tally: Tally,
    /// Accuracy on the validation part after the last epoch of the retraining.
    pub val_accuracy: Option<f64>,
    /// Seconds spent so far: search, retraining.
    pub seconds: [f64; 2],
    /// The largest eigenvalues at the ends of the cycles so far.
    pub eigenvalues: Vec<f64>,
    /// The newest genotype that raised no alarm.
    pub healthy: Option<Architecture>,
    /// Whether an alarm has ended the search.
    pub collapsed: bool,
    /// What the best random cells so far have scored.
    #[serde(default)]
    pub best_score: Option<f64>,
}

/// How long steps take.
struct Pace {
    /// Multiply-adds of a step by kind of phase, to guess what was not measured yet.
    work: [f64; KINDS],
    /// Seconds of a step by kind of phase, smoothed.
    seconds: [Option<f64>; KINDS],
    last_save: Instant,
}

impl Run {
    /// Begins a run in `folder`, which was just created. Everything that can be wrong with the configuration
    /// and the images is found here, before anything is written.
    ///
    /// # Errors
    /// Any [`SearchError`] about configuration, images and networks; [`SearchError::Runs`] where the folder
    /// cannot be written.
    pub fn begin(
        ingredients: Ingredients,
        circumstances: &Circumstances,
        folder: impl FnOnce() -> Result<RunFolder, cdarts_runs::RunsError>,
    ) -> Result<Self, SearchError> {
        let prepared = Prepared::new(ingredients)?;
        let folder = folder()?;
        prepared.manifest(circumstances)?.save(&folder.manifest_path())?;
        atomic::write(&folder.config_path(), prepared.config.to_toml()?.as_bytes())?;
        let mut journal = Journal::create(&folder.journal_path())?;
        journal.append(Event::RunStarted { version: VERSION.to_owned(), seed: prepared.seed })?;
        let checkpoints = Checkpoints::open(&folder.checkpoints_path())?;
        let mut run = prepared.into_run(folder, journal, checkpoints);
        if let Phase::Retrain { .. } = run.position.phase {
            run.enter_retraining()?;
        }
        run.save(&mut |_| {})?;
        Ok(run)
    }

    /// Takes a stopped run up again at its last good checkpoint.
    ///
    /// # Errors
    /// [`SearchError::Runs`] where the folder holds no usable checkpoint or one of another configuration or
    /// data set, [`SearchError::Weights`] and [`SearchError::State`] where it does not fit.
    pub fn resume(ingredients: Ingredients, folder: RunFolder) -> Result<(Self, Vec<String>), SearchError> {
        let prepared = Prepared::new(ingredients)?;
        let checkpoints = Checkpoints::open(&folder.checkpoints_path())?;
        let found = checkpoints.load(&prepared.config_hash, &prepared.dataset.digest)?;
        let warnings = found.damaged.iter().map(ToString::to_string).collect();
        let journal = Journal::open_at(&folder.journal_path(), found.checkpoint.header.journal_seq)?;
        let path = folder.checkpoints_path().join(&found.name);
        let mut run = prepared.into_run(folder, journal, checkpoints);
        run.restore(&found.checkpoint, &path)?;
        let Position { phase, step } = run.position;
        run.journal.append(Event::Resumed { phase, step })?;
        Ok((run, warnings))
    }

    /// The run's folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Where the run stands.
    pub fn position(&self) -> Position {
        self.position
    }

    /// What is still to be done.
    pub fn overview(&self) -> Overview {
        let ImageShape { channels, height, width } = self.specs.found.image();
        let mut epochs = [0; KINDS];
        self.plan.from(self.position.phase).for_each(|phase| epochs[kind(phase)] += 1);
        let genotype = match self.stage {
            Stage::Found(_) => self.memory.genotype.as_ref(),
            Stage::Search(..) => None,
        };
        Overview {
            images: self.feed.sizes,
            shape: [channels, height, width],
            classes: self.dataset.classes.len(),
            search_params: genotype.is_none().then(|| self.specs.search.search_cost().params),
            found: genotype.and_then(|genotype| self.found_cost(genotype).ok()),
            steps: self.feed.steps_from(&self.config, &self.plan, self.position.phase),
            epochs,
        }
    }

    /// Works until all is done or `observer` asks to stop.
    ///
    /// # Errors
    /// [`SearchError::NonFinite`] where a loss is lost; the last checkpoint is from before it.
    /// [`SearchError::Runs`] where the folder cannot be written.
    pub fn work(&mut self, observer: &mut dyn Observer) -> Result<Ending, SearchError> {
        while self.position.phase != Phase::Done {
            if !self.epoch(observer)? {
                return Ok(Ending::Stopped(self.position));
            }
        }
        self.finish(observer).map(Ending::Done)
    }

    /// One epoch, or what is left of it. False where the observer stopped it.
    fn epoch(&mut self, observer: &mut dyn Observer) -> Result<bool, SearchError> {
        let Position { phase, step } = self.position;
        if step == 0 && self.plan.builds_evalnet(phase) {
            self.build_evalnet(phase)?;
        }
        let steps = self.feed.steps(&self.config, phase);
        let mut batches = Batches::new(&self.feed, &self.plan, phase, step);
        for step in step..steps {
            let started = Instant::now();
            let Some(batch) = batches.next(&self.device)? else { break };
            let report = self.step(phase, step, &batch)?;
            self.check(phase, step, &report, observer)?;
            self.account(phase, started.elapsed().as_secs_f64());
            self.memory.tally.add(&report);
            self.position.step = step + 1;
            self.note_step(phase, step, &report, observer)?;
            observer.progress(&self.progress(phase, steps, &report, batch.images()));
            let last = step + 1 == steps;
            let stop = observer.stop();
            if !last && (stop || self.pace.save_is_due(&self.config)) {
                drop(batches);
                self.save(&mut |event| observer.event(event))?;
                if stop {
                    return Ok(false);
                }
                batches = Batches::new(&self.feed, &self.plan, phase, step + 1);
            }
        }
        self.end_epoch(phase, steps, observer)?;
        // A stop asked for during the last step ends the run here, after the epoch was closed and saved.
        Ok(self.position.phase == Phase::Done || !observer.stop())
    }

    fn step(&mut self, phase: Phase, step: usize, batch: &StepBatch) -> Result<StepReport, SearchError> {
        let (config, plan) = (&self.config, &self.plan);
        if let (Phase::PretrainBank { epoch }, Stage::Search(state, _), Some(pool), StepBatch::One(batch)) =
            (phase, &mut self.stage, &mut self.pool, batch)
        {
            return pool.step(&mut state.nets, batch, config, epoch, step);
        }
        Ok(match (&mut self.stage, batch) {
            (Stage::Search(state, _), StepBatch::One(batch)) => {
                let rates = rates(config, plan, phase);
                match phase {
                    Phase::WarmSupernet { .. } => state.warm_supernet(batch, rates, config),
                    _ => state.warm_eval(batch, rates, config),
                }
            }
            (Stage::Search(state, _), StepBatch::Pair { arch, weight }) => {
                let moment = Moment {
                    rates: rates(config, plan, phase),
                    penalty_weight: schedule::penalty_weight(config, phase),
                    temperature: schedule::gdas_temperature(config, plan, phase),
                    place: [self.seed, plan.weight_half_epoch(phase) as u64, step as u64],
                };
                state.architecture_step(arch, weight, &moment, config)
            }
            (Stage::Found(state), StepBatch::One(batch) | StepBatch::Pair { weight: batch, .. }) => {
                let epoch = phase.epoch().unwrap_or_default();
                let mask_seed = self.seed ^ ((epoch as u64) << 32) ^ ((step as u64) << 8) ^ 0xD5;
                state.step(batch, config, epoch, mask_seed)
            }
        })
    }

    fn check(
        &mut self,
        phase: Phase,
        step: usize,
        report: &StepReport,
        observer: &mut dyn Observer,
    ) -> Result<(), SearchError> {
        let Some(term) = report.non_finite() else { return Ok(()) };
        let term = term.to_owned();
        self.note(Event::NonFinite { phase, step, term: term.clone() }, observer)?;
        self.journal.sync()?;
        Err(SearchError::NonFinite { phase, step, term })
    }

    pub(crate) fn note(&mut self, event: Event, observer: &mut dyn Observer) -> Result<(), SearchError> {
        observer.event(&event);
        self.journal.append(event)?;
        Ok(())
    }

    fn note_step(
        &mut self,
        phase: Phase,
        step: usize,
        report: &StepReport,
        observer: &mut dyn Observer,
    ) -> Result<(), SearchError> {
        let every = self.config.run.journal_steps;
        if every == 0 || !step.is_multiple_of(every) {
            return Ok(());
        }
        let event = Event::Step {
            phase,
            step,
            terms: report.terms.iter().map(|(&name, &value)| (name.to_owned(), value)).collect(),
            learning_rates: self.learning_rates(phase),
        };
        self.note(event, observer)
    }

    fn learning_rates(&self, phase: Phase) -> BTreeMap<String, f64> {
        let rates = rates(&self.config, &self.plan, phase);
        let named: &[(&str, f64)] = match phase {
            Phase::PretrainBank { epoch } => &[("bank", schedule::bank_lr(&self.config, epoch))],
            Phase::WarmSupernet { .. } => &[("supernet", rates.supernet)],
            Phase::WarmEval { .. } => &[("eval", rates.eval)],
            Phase::Joint { .. } if self.plan.independent_cycles => &[("eval", rates.eval)],
            Phase::Joint { .. } => {
                &[("supernet", rates.supernet), ("eval", rates.eval), ("arch", rates.arch)]
            }
            Phase::Retrain { epoch } => &[("retrain", schedule::retrain_lr(&self.config, epoch))],
            Phase::Done => &[],
        };
        named.iter().map(|&(name, rate)| (name.to_owned(), rate)).collect()
    }

    /// Discretise, build, inherit (facts 1.3, steps 1 to 4); and where the search of a further stage begins, settle
    /// those before it.
    fn build_evalnet(&mut self, phase: Phase) -> Result<(), SearchError> {
        if self.plan.independent_cycles {
            return self.begin_candidate(phase.cycle().unwrap_or_default());
        }
        let Stage::Search(state, bank) = &mut self.stage else { return Ok(()) };
        let (config, plan) = (&self.config, &self.specs.eval);
        if self.plan.begins_further_search(phase) {
            state.nets.settle_stages(self.plan.search(phase));
            if config.search.clean_arch {
                state.nets.renew_arch(config, &self.specs.search, self.seed, &self.device);
                self.memory.genotype = None;
            }
        }
        let genotype = match &self.memory.genotype {
            Some(genotype) => genotype.clone(),
            None => discretise::best(&state.nets.arch)?,
        };
        if let Some(built) = &self.memory.eval_genotype {
            transfer::deposit(state, bank, config, plan, built);
        }
        transfer::build(state, bank, config, plan, &genotype, self.seed, &self.device);
        self.memory.eval_genotype = Some(genotype);
        Ok(())
    }

    fn end_epoch(
        &mut self,
        phase: Phase,
        steps: usize,
        observer: &mut dyn Observer,
    ) -> Result<(), SearchError> {
        let (terms, accuracy) = std::mem::take(&mut self.memory.tally).means();
        self.note(Event::Epoch { phase, steps, terms, accuracy }, observer)?;
        if self.plan.ends_cycle(phase) {
            match self.plan.independent_cycles {
                true => self.end_candidate(phase, observer)?,
                false => self.end_cycle(phase, observer)?,
            }
        }
        let next = if self.memory.collapsed { self.plan.after_search(phase) } else { self.plan.next(phase) };
        if !matches!(next, Phase::PretrainBank { .. })
            && let (Stage::Search(state, bank), Some(pool)) = (&mut self.stage, self.pool.take())
        {
            transfer::adopt(pool, state, bank, &self.config);
        }
        if let (Phase::Retrain { epoch }, Stage::Found(state), Some(loader)) =
            (phase, &self.stage, &self.feed.validation)
        {
            let started = Instant::now();
            let accuracy = evaluate(&state.net, loader, &self.device)?.accuracy();
            self.memory.seconds[1] += started.elapsed().as_secs_f64();
            self.memory.val_accuracy = Some(accuracy);
            self.note(Event::Validation { epoch, accuracy }, observer)?;
        }
        self.position = Position { phase: next, step: 0 };
        if matches!((self.position.phase, &self.stage), (Phase::Retrain { .. }, Stage::Search(..))) {
            self.enter_retraining()?;
        }
        self.save(&mut |event| observer.event(event))
    }

    /// The architecture weights give the next genotypes; at the end of a search always the best ones.
    fn end_cycle(&mut self, phase: Phase, observer: &mut dyn Observer) -> Result<(), SearchError> {
        let Stage::Search(state, _) = &mut self.stage else { return Ok(()) };
        let arch = &state.nets.arch;
        let cycle = phase.cycle().unwrap_or_default();
        let genotype = match self.plan.ends_search(phase) {
            true => discretise::best(arch)?,
            false => discretise::next(arch, state.nets.settled(), &self.config.search, self.seed, cycle)?,
        };
        let entropy = discretise::entropy(arch)?;
        self.keep_genotype(cycle, genotype, entropy, observer)?;
        self.watch(cycle, observer)
    }

    /// The newest genotype, to the run's folder and its journal.
    pub(crate) fn keep_genotype(
        &mut self,
        cycle: usize,
        genotype: Architecture,
        alpha_entropy: f64,
        observer: &mut dyn Observer,
    ) -> Result<(), SearchError> {
        let name = self.folder.genotypes_path().join(format!("cycle-{:03}", cycle + 1));
        bundle::write_genotypes(&name, &genotype)?;
        let (text, skip_count) = (genotype.to_string(), genotype.skip_count());
        self.memory.genotype = Some(genotype);
        self.note(Event::Genotype { cycle, text, skip_count, alpha_entropy }, observer)
    }

    fn enter_retraining(&mut self) -> Result<(), SearchError> {
        let Some(genotype) = self.memory.genotype.clone() else {
            return Err(SearchError::State {
                path: self.folder.path().to_owned(),
                reason: "there is no genotype to train".to_owned(),
            });
        };
        self.memory.eval_genotype = None;
        self.stage = Stage::Found(Box::new(self.fresh_found(&genotype)));
        Ok(())
    }

    /// The number of the search under way, see [`Plan::search`].
    pub(crate) fn search_under_way(&self) -> usize {
        self.plan.search(self.position.phase)
    }

    pub(crate) fn fresh_found(&self, genotype: &Architecture) -> FoundState {
        FoundState::new(&self.config, &self.specs.found_plan, genotype, self.seed, &self.device)
    }

    pub(crate) fn rebuild_evalnet(&self, nets: &mut SearchNets, genotype: &Architecture) {
        nets.build_evalnet(&self.config, &self.specs.eval, genotype, self.seed, &self.device);
    }

    /// Reads the test part, once, and writes the result.
    fn finish(&mut self, observer: &mut dyn Observer) -> Result<Outcome, SearchError> {
        if let Some(outcome) = bundle::read_metrics(&self.folder)? {
            return Ok(Outcome { run_dir: self.folder.path().display().to_string(), ..outcome });
        }
        let test = match &self.stage {
            Stage::Found(state) => Some(evaluate(&state.net, &self.feed.test, &self.device)?),
            Stage::Search(..) => None,
        };
        if let Some(score) = test {
            let event =
                Event::Test { accuracy: score.accuracy(), correct: score.correct, total: score.total };
            self.note(event, observer)?;
        }
        let Some(genotype) = self.memory.genotype.clone() else {
            return Err(SearchError::NoBundle { path: self.folder.path().to_owned() });
        };
        let [params, macs] = self.found_cost(&genotype)?;
        let [seconds_search, seconds_retrain] = self.memory.seconds;
        let outcome = Outcome {
            run_dir: self.folder.path().display().to_string(),
            genotype: genotype.to_string(),
            params,
            macs,
            test_accuracy: test.map(|score| score.accuracy()),
            val_accuracy: self.memory.val_accuracy,
            seconds_search,
            seconds_retrain,
            seed: self.seed,
            table: None,
        };
        self.note(Event::Finished { seconds_search, seconds_retrain }, observer)?;
        self.journal.sync()?;
        let model = BundleModel::new(
            self.specs.found.clone(),
            genotype.clone(),
            &self.dataset,
            &self.feed.normalisation,
            self.seed,
        );
        let net = match &self.stage {
            Stage::Found(state) => Some(&state.net),
            Stage::Search(..) => None,
        };
        bundle::write(&self.folder, &model, net, &outcome)?;
        Ok(outcome)
    }

    fn found_cost(&self, genotype: &Architecture) -> Result<[u64; 2], SearchError> {
        let cost = self.specs.found_plan.evaluation_cost(genotype, true)?;
        Ok([cost.params, cost.macs])
    }

    fn account(&mut self, phase: Phase, seconds: f64) {
        self.memory.seconds[usize::from(matches!(phase, Phase::Retrain { .. }))] += seconds;
        self.pace.measured(kind(phase), seconds);
    }

    fn progress(&self, phase: Phase, steps: usize, report: &StepReport, images: usize) -> Progress {
        let mut left = self.feed.steps_from(&self.config, &self.plan, phase);
        left[kind(phase)] -= self.position.step.min(left[kind(phase)]);
        let all = self.plan.from(self.plan.first()).count();
        let seconds = self.pace.seconds[kind(phase)].unwrap_or(f64::INFINITY);
        Progress {
            phase,
            step: self.position.step,
            steps,
            epochs: [all - self.plan.from(phase).count(), all],
            terms: report.terms.clone(),
            accuracy: self.memory.tally.accuracies(),
            images_per_second: images as f64 / seconds,
            seconds_left: self.pace.seconds_of(left),
        }
    }

    /// Writes a checkpoint: the journal first, to the disk, so that what the checkpoint points to is there.
    fn save(&mut self, observe: &mut dyn FnMut(&Event)) -> Result<(), SearchError> {
        let name = self.checkpoints.next_name()?;
        let Position { phase, step } = self.position;
        let event = Event::Checkpoint { phase, step, name };
        observe(&event);
        let journal_seq = self.journal.append(event)?;
        self.journal.sync()?;
        let path = self.folder.checkpoints_path();
        let header = CheckpointHeader {
            schema: CHECKPOINT_SCHEMA,
            version: VERSION.to_owned(),
            config_hash: self.config_hash.clone(),
            data_digest: self.dataset.digest.clone(),
            position: self.position,
            journal_seq,
            cycle_state: serde_json::to_value(&self.memory)
                .map_err(|error| SearchError::State { path: path.clone(), reason: error.to_string() })?,
        };
        let sections = self.sections(&path)?;
        self.checkpoints.save(&Checkpoint { header, sections })?;
        self.pace.last_save = Instant::now();
        Ok(())
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A run that was checked and has no folder yet.
struct Prepared {
    config: Config,
    config_hash: String,
    dataset: Dataset,
    seed: u64,
    device: Device,
    genotype: Option<Architecture>,
    plan: Plan,
    feed: Feed,
    specs: Specs,
}

impl Prepared {
    fn new(ingredients: Ingredients) -> Result<Self, SearchError> {
        let Ingredients { config, dataset, seed, device, genotype } = ingredients;
        config.validate()?;
        let shape = dataset.shape;
        let image = ImageShape { channels: shape.channels, height: shape.height, width: shape.width };
        let classes = dataset.classes.len();
        let found = config.retrain_spec(image, classes);
        let specs = Specs {
            search: config.search_spec(image, classes).plan()?,
            eval: config.eval_spec(image, classes).plan()?,
            found_plan: found.plan()?,
            found,
        };
        let plan = match &genotype {
            Some(genotype) => {
                specs.found_plan.check(genotype)?;
                Plan::of_retraining(&config)
            }
            None => {
                config.check_searched(&specs.search, "search.eval_cells", &specs.eval)?;
                config.check_searched(&specs.search, "retrain.cells", &specs.found_plan)?;
                config.check_settled(&specs.search, &specs.eval)?;
                Plan::of(&config)
            }
        };
        let feed = Feed::new(&dataset, &config, seed)?;
        let config_hash = hash(&config, genotype.as_ref(), seed)?;
        Ok(Self { config, config_hash, dataset, seed, device, genotype, plan, feed, specs })
    }

    fn manifest(&self, circumstances: &Circumstances) -> Result<Manifest, SearchError> {
        let shape = self.dataset.shape;
        let test = self.dataset.test.as_ref().map_or(0, |images| images.len());
        Ok(Manifest {
            schema: MANIFEST_SCHEMA,
            version: VERSION.to_owned(),
            command_line: circumstances.command_line.clone(),
            config_hash: self.config_hash.clone(),
            data: DataSummary {
                kind: self.dataset.kind.to_string(),
                name: self.dataset.name.clone(),
                digest: self.dataset.digest.clone(),
                images: self.dataset.train.len() + test,
                classes: self.dataset.classes.clone(),
                shape: [shape.channels, shape.height, shape.width],
                skipped: self.dataset.skipped.iter().map(skipped_file).collect(),
            },
            seed: self.seed,
            threads: circumstances.threads,
            device: circumstances.device.clone(),
            machine: Machine::detect(),
            started_at: Timestamp::now(),
        })
    }

    fn into_run(self, folder: RunFolder, journal: Journal, checkpoints: Checkpoints) -> Run {
        let nets = SearchNets::new(&self.config, &self.specs.search, self.seed, &self.device);
        let pretrains = matches!(self.plan.first(), Phase::PretrainBank { .. });
        let pool =
            pretrains.then(|| Pool::new(&self.config, &self.specs.eval, &nets, self.seed, &self.device));
        let state =
            SearchState { nets, optimisers: Optimisers::new(&self.config.search), grads: Default::default() };
        let memory = Memory { genotype: self.genotype, ..Memory::default() };
        Run {
            pace: Pace::new(&self.config, &self.specs),
            position: Position { phase: self.plan.first(), step: 0 },
            config: self.config,
            config_hash: self.config_hash,
            dataset: self.dataset,
            seed: self.seed,
            device: self.device,
            plan: self.plan,
            feed: self.feed,
            specs: self.specs,
            folder,
            journal,
            checkpoints,
            stage: Stage::Search(Box::new(state), WeightBank::default()),
            pool,
            memory,
        }
    }
}

fn skipped_file(file: &cdarts_data::SkippedFile) -> SkippedFile {
    SkippedFile { path: file.path.display().to_string(), reason: file.reason.clone() }
}

/// Of everything that decides the result but the data. How the run is kept does not.
fn hash(config: &Config, genotype: Option<&Architecture>, seed: u64) -> Result<String, SearchError> {
    let mut deciding = config.clone();
    deciding.run = crate::config::Preset::default().config().run;
    // What was read is told by the data's digest.
    deciding.data.path = String::new();
    deciding.data.skip_broken = 0;
    let text =
        format!("{}\n{seed}\n{}", deciding.to_toml()?, genotype.map(ToString::to_string).unwrap_or_default());
    Ok(Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect())
}

fn rates(config: &Config, plan: &Plan, phase: Phase) -> Rates {
    let search = &config.search;
    Rates {
        supernet: schedule::search_lr(config, plan, search.supernet_lr, phase),
        eval: schedule::search_lr(config, plan, search.eval_lr, phase),
        arch: search.arch_lr,
    }
}

/// The batches that an epoch's steps take.
enum Batches {
    One(cdarts_data::Batches),
    Pair { arch: cdarts_data::Batches, weight: cdarts_data::Batches },
}

enum StepBatch {
    One(Batch),
    Pair { arch: Batch, weight: Batch },
}

impl Batches {
    fn new(feed: &Feed, plan: &Plan, phase: Phase, step: usize) -> Self {
        let (weight_epoch, arch_epoch) = (plan.weight_half_epoch(phase), plan.arch_half_epoch(phase));
        let weight = || feed.weight_half.epoch(weight_epoch as u64, step);
        let arch = || feed.arch_half.epoch(arch_epoch as u64, step);
        match phase {
            // Numbered after those of the retraining: no two passes have the same order.
            Phase::PretrainBank { epoch } => {
                Self::One(feed.training.epoch((plan.retrain_epochs + epoch) as u64, step))
            }
            Phase::WarmSupernet { .. } => Self::One(weight()),
            Phase::WarmEval { .. } => Self::One(arch()),
            // A network of random cells learns from one half and is judged by the other.
            Phase::Joint { .. } if plan.independent_cycles => Self::One(weight()),
            Phase::Joint { .. } => Self::Pair { arch: arch(), weight: weight() },
            Phase::Retrain { .. } | Phase::Done => {
                Self::One(feed.training.epoch(phase.epoch().unwrap_or_default() as u64, step))
            }
        }
    }

    /// The next step's batches; an error is that of an image that is read while the run works.
    fn next(&mut self, device: &Device) -> Result<Option<StepBatch>, SearchError> {
        // Images need no gradient, but the device says that this is training.
        Ok(match self {
            Self::One(batches) => {
                batches.next().transpose()?.map(|batch| StepBatch::One(Batch::new(batch, device)))
            }
            Self::Pair { arch, weight } => {
                let both = arch.next().transpose()?.zip(weight.next().transpose()?);
                both.map(|(arch, weight)| StepBatch::Pair {
                    arch: Batch::new(arch, device),
                    weight: Batch::new(weight, device),
                })
            }
        })
    }
}

impl StepBatch {
    fn images(&self) -> usize {
        match self {
            Self::One(batch) => batch.classes.len(),
            Self::Pair { arch, weight } => arch.classes.len() + weight.classes.len(),
        }
    }
}

/// Weight of the newest step in the smoothed time of a step.
const PACE_MOMENTUM: f64 = 0.2;

impl Pace {
    fn new(config: &Config, specs: &Specs) -> Self {
        let search = specs.search.search_cost().macs as f64;
        // Which operations an evaluation network has is not known yet; a published cell stands for them.
        let cells = ["cdarts-cifar", "nas-bench-201-cell-1"].map(Architecture::published);
        let of = |plan: &SkeletonPlan| {
            let fitting = cells.iter().flatten().find_map(|cell| plan.evaluation_cost(cell, true).ok());
            fitting.map_or(search, |cost| cost.macs as f64)
        };
        let (eval, found) = (of(&specs.eval), of(&specs.found_plan));
        let bank = match config.search.sample_archs {
            0 => specs.eval.search_cost().macs as f64,
            samples => samples as f64 * eval,
        };
        let (batch, found_batch) = (config.search.batch_size as f64, config.retrain.batch_size as f64);
        let joint = batch
            * match config.search.method {
                Method::Cdarts if config.search.is_cyclic() => 2.0 * search + eval,
                Method::Cdarts | Method::DartsFirstOrder | Method::Gdas => 2.0 * search,
                Method::Random => eval,
                // The step ahead, its loss, the difference of two gradients, the search network.
                Method::DartsSecondOrder => 5.0 * search,
            };
        Self {
            work: [bank * found_batch, search * batch, eval * batch, joint, found * found_batch],
            seconds: [None; KINDS],
            last_save: Instant::now(),
        }
    }

    fn measured(&mut self, kind: usize, seconds: f64) {
        let before = self.seconds[kind].unwrap_or(seconds);
        self.seconds[kind] = Some(before + PACE_MOMENTUM * (seconds - before));
    }

    /// Seconds that steps take; kinds not measured yet are guessed by their multiply-adds.
    fn seconds_of(&self, steps: [usize; KINDS]) -> f64 {
        let measured = self.seconds.iter().zip(&self.work).filter_map(|(s, work)| s.map(|s| (s, *work)));
        let (seconds, work) = measured.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let guess = |kind: usize| self.work[kind] * seconds / work;
        (0..KINDS).map(|kind| steps[kind] as f64 * self.seconds[kind].unwrap_or_else(|| guess(kind))).sum()
    }

    fn save_is_due(&self, config: &Config) -> bool {
        let minutes = config.run.checkpoint_minutes;
        minutes > 0.0 && self.last_save.elapsed().as_secs_f64() > minutes * 60.0
    }
}

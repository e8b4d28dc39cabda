//! How long a run's steps take on this machine, measured by doing a few of them, and what a whole run takes by that.

use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use cdarts_data::{DataError, Dataset, Loader};
use cdarts_nets::FoundNet;
use cdarts_runs::Phase;
use cdarts_space::{Architecture, ImageShape};

use crate::SearchError;
use crate::config::{Config, Space};
use crate::feed::{Feed, KINDS, kind};
use crate::method::Moment;
use crate::networks::{Batch, SearchNets};
use crate::optimisers::Optimisers;
use crate::pretrain::Pool;
use crate::retrain::FoundState;
use crate::schedule::Plan;
use crate::step::{Rates, SearchState};

/// Steps of each kind that are timed, after one that takes its memory.
const TIMED: usize = 3;

/// Seconds that an epoch takes beside its steps: the journal and a checkpoint. Measured: 0.03 to 0.2.
const PER_EPOCH: f64 = 0.1;

/// The place of the found network's steps among the kinds.
const FOUND: usize = KINDS - 1;

/// Small rates: what is trained here is thrown away.
const RATES: Rates = Rates { supernet: 1e-4, eval: 1e-4, arch: 1e-4 };

/// Seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// Of a step by kind of phase.
    pub steps: [f64; KINDS],
    /// Of an image that the found network classifies.
    pub inference: f64,
}

/// What a run takes, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// The search.
    pub search: f64,
    /// The training of the found network, test included.
    pub retrain: f64,
}

impl Expected {
    /// Both.
    pub fn total(self) -> f64 {
        self.search + self.retrain
    }
}

/// A data set under a configuration, ready to be timed.
pub struct Trial<'a> {
    /// Loaders.
    pub feed: Feed,
    dataset: &'a Dataset,
    seed: u64,
    device: &'a Device,
}

impl<'a> Trial<'a> {
    /// Divides the images as a run would.
    ///
    /// # Errors
    /// Those of [`Feed::new`].
    pub fn new(
        config: &Config,
        dataset: &'a Dataset,
        seed: u64,
        device: &'a Device,
    ) -> Result<Self, SearchError> {
        config.validate()?;
        Ok(Self { feed: Feed::new(dataset, config, seed)?, dataset, seed, device })
    }

    /// Times a few steps of every kind that a run under `config` has. The evaluation and the found network get the
    /// paper's cells: which ones a search will find is not known.
    ///
    /// # Errors
    /// [`SearchError::Space`] for networks that cannot be built, [`SearchError::Data`] for images that cannot be read.
    pub fn time(&self, config: &Config, plan: &Plan) -> Result<Timing, SearchError> {
        let mut timing = self.time_found(config)?;
        if !matches!(plan.first(), Phase::Retrain { .. } | Phase::Done) {
            self.time_search(config, plan, &mut timing)?;
        }
        Ok(timing)
    }

    fn image(&self) -> ImageShape {
        let shape = self.dataset.shape;
        ImageShape { channels: shape.channels, height: shape.height, width: shape.width }
    }

    fn time_search(&self, config: &Config, plan: &Plan, timing: &mut Timing) -> Result<(), SearchError> {
        let (image, classes) = (self.image(), self.dataset.classes.len());
        let eval = config.eval_spec(image, classes).plan()?;
        let mut nets =
            SearchNets::new(config, &config.search_spec(image, classes).plan()?, self.seed, self.device);
        nets.build_evalnet(config, &eval, stand_in(config), self.seed, self.device);
        let optimisers = Optimisers::new(&config.search);
        let mut state = SearchState { nets, optimisers, grads: Default::default() };
        let place = [self.seed, 0, 0];
        let moment = Moment { rates: RATES, penalty_weight: 1.0, temperature: 1.0, place };
        let (weight, arch) = (self.batch(&self.feed.weight_half)?, self.batch(&self.feed.arch_half)?);
        timing.steps[kind(Phase::WarmSupernet { before_cycle: 0, epoch: 0 })] =
            seconds(|| drop(state.warm_supernet(&weight, RATES, config)));
        if plan.evaluation_network {
            timing.steps[kind(Phase::WarmEval { cycle: 0, epoch: 0 })] =
                seconds(|| drop(state.warm_eval(&arch, RATES, config)));
        }
        timing.steps[kind(Phase::Joint { cycle: 0, epoch: 0 })] =
            seconds(|| drop(state.architecture_step(&arch, &weight, &moment, config)));
        if plan.bank_epochs > 0 {
            let mut pool = Pool::new(config, &eval, &state.nets, self.seed, self.device);
            let mut failed = None;
            timing.steps[kind(Phase::PretrainBank { epoch: 0 })] = seconds(|| {
                failed = pool.step(&mut state.nets, &weight, config, 0, 0).err();
            });
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Times the training of the found network, and its use.
    ///
    /// # Errors
    /// As [`Self::time`].
    pub fn time_found(&self, config: &Config) -> Result<Timing, SearchError> {
        let cells = stand_in(config);
        let plan = config.found_spec(self.image(), self.dataset.classes.len(), &cells)?.plan()?;
        let state = FoundState::new(config, &plan, cells, self.seed, self.device);
        time_found(config, &self.feed, state, self.device)
    }

    fn batch(&self, loader: &Loader) -> Result<Batch, SearchError> {
        first(loader, self.device)
    }
}

/// Times steps of the found network and its use; it is trained by them and then no longer of use.
///
/// # Errors
/// [`SearchError::Data`] for images that cannot be read.
pub(crate) fn time_found(
    config: &Config,
    feed: &Feed,
    mut state: FoundState,
    device: &Device,
) -> Result<Timing, SearchError> {
    let batch = first(&feed.training, device)?;
    // In the last epoch drop path drops most, which costs least.
    let epoch = config.retrain.epochs / 2;
    let mut steps = [0.0; KINDS];
    steps[FOUND] = seconds(|| drop(state.step(&batch, config, epoch, 1)));
    let (net, plain) = (state.scored().valid(), first(&feed.test, &device.clone().without_autodiff())?);
    let inference = seconds(|| classify_once(&net, &plain)) / plain.classes.len().max(1) as f64;
    Ok(Timing { steps, inference })
}

fn classify_once(net: &FoundNet, batch: &Batch) {
    drop(net.forward(batch.images.clone()).into_data());
}

fn first(loader: &Loader, device: &Device) -> Result<Batch, SearchError> {
    match loader.epoch(0, 0).next() {
        Some(batch) => Ok(Batch::new(batch?, device)),
        None => Err(DataError::NoIndices { purpose: "time" }.into()),
    }
}

/// Published cells of the space that is searched.
fn stand_in(config: &Config) -> Architecture {
    let name = match config.search.space {
        Space::Darts => "cdarts-cifar",
        Space::NasBench201 => "nas-bench-201-cell-1",
    };
    Architecture::published(name).unwrap_or_else(|| unreachable!("both are published"))
}

/// Median of a few goes, after one that is not counted.
fn seconds(mut work: impl FnMut()) -> f64 {
    work();
    let mut times: [f64; TIMED] = std::array::from_fn(|_| {
        let started = Instant::now();
        work();
        started.elapsed().as_secs_f64()
    });
    times.sort_by(f64::total_cmp);
    times[TIMED / 2]
}

impl Timing {
    /// With the found network's times of `other`.
    pub fn with_found_of(mut self, other: &Self) -> Self {
        self.steps[FOUND] = other.steps[FOUND];
        Self { inference: other.inference, ..self }
    }

    /// What a run under `config` takes.
    pub fn expected(&self, config: &Config, plan: &Plan, feed: &Feed) -> Expected {
        let mut expected = Expected { search: 0.0, retrain: self.test(feed) };
        for phase in plan.from(plan.first()) {
            let epoch = self.epoch(config, feed, phase);
            match phase {
                Phase::Retrain { .. } => expected.retrain += epoch,
                _ => expected.search += epoch,
            }
        }
        expected
    }

    /// An epoch of `phase`, with the validation after it where the found network is trained.
    pub fn epoch(&self, config: &Config, feed: &Feed, phase: Phase) -> f64 {
        let validation = match (phase, &feed.validation) {
            (Phase::Retrain { .. }, Some(loader)) => loader.len() as f64 * self.inference,
            _ => 0.0,
        };
        feed.steps(config, phase) as f64 * self.steps[kind(phase)] + validation + self.beside(config, phase)
    }

    /// What an epoch of `phase` takes beside its steps and the validation: the watch for collapse at the end of a cycle,
    /// which asks for two gradients of the search network an iteration and one before; the journal; a checkpoint.
    pub(crate) fn beside(&self, config: &Config, phase: Phase) -> f64 {
        let gradients = match (phase, config.search.watch_iterations) {
            (Phase::Joint { epoch: 0, .. }, iterations @ 1..) => 2 * iterations + 1,
            _ => 0,
        };
        gradients as f64 * self.steps[kind(Phase::WarmSupernet { before_cycle: 0, epoch: 0 })] + PER_EPOCH
    }

    /// The test.
    pub fn test(&self, feed: &Feed) -> f64 {
        feed.test.len() as f64 * self.inference
    }

    /// Epochs of the found network that fit into `seconds`, 1 at least and [`MOST_EPOCHS`] at most.
    pub fn epochs_within(&self, seconds: f64, config: &Config, feed: &Feed) -> usize {
        let epochs = (seconds - self.test(feed)) / self.epoch(config, feed, Phase::Retrain { epoch: 0 });
        (epochs.floor().max(1.0) as usize).min(MOST_EPOCHS)
    }
}

/// More epochs than were published for CIFAR are not planned.
pub const MOST_EPOCHS: usize = 600;

//! What `cdarts bench` times: steps of a search at a chosen shape on random images, by the code that runs them.

use burn::tensor::{Device, Tensor};
use cdarts_data::ImageBatch;
use cdarts_nets::bench::{Extent, Isolated};
use cdarts_nets::laps::part;
use cdarts_nets::{ArchWeights, Features, Initialiser, Stem, Supernet, params};
use cdarts_space::cost::{self, Cost};
use cdarts_space::{Architecture, ImageShape, Op, PlanView, SkeletonPlan};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::SearchError;
use crate::config::{Config, Preset, Regularisation, Space};
use crate::networks::{Batch, SearchNets};
use crate::objective::cross_entropy;
use crate::optimisers::Optimisers;
use crate::retrain::FoundState;
use crate::step::{Rates, SearchState, StepReport};

/// The seed of all weights and images.
const SEED: u64 = 1;
/// Classes to tell apart.
const CLASSES: usize = 10;
/// Weight of the penalty in a search's first cycle.
const PENALTY: f64 = 5.0;
/// Half way through 600 epochs drop path has reached half its probability.
const RETRAIN_EPOCH: usize = 300;

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A search cell between inputs of three times its channels, forward and back.
    Cell,
    /// The search network with stem and cross entropy, forward and back.
    Supernet,
    /// A whole joint step: parts A and B, both networks, distillation, all optimisers.
    JointStep,
    /// A training step of a found network with auxiliary head, drop path and optimiser.
    RetrainStep,
    /// The search network of NAS-Bench-201 with cross entropy, forward and back.
    NasBench201,
    /// A dense 3×3 convolution with norm, forward and back.
    Dense,
    /// An operation at stride 1, forward and back.
    Operation(Op),
    /// FactorizedReduce, forward and back.
    FactorizedReduce,
}

/// How large the work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Channels of the first cell, or of the operation.
    pub channels: usize,
    /// Height and width of the images.
    pub size: usize,
    /// Images a batch.
    pub batch: usize,
}

impl Shape {
    fn image(self) -> ImageShape {
        ImageShape { channels: 3, height: self.size, width: self.size }
    }
}

/// What the work asks for, known before it is prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Multiply-adds of a step's forward passes.
    pub macs: u64,
    /// Bytes that a step holds at least: outputs kept for the way back, and parameters.
    pub bytes: u64,
}

/// Work that is ready to be done again and again.
pub struct Workload {
    /// Number of parameters, architecture weights and heads included.
    pub params: usize,
    step: Box<dyn FnMut() -> f64>,
}

impl Workload {
    /// Does a step. Returns a loss, or a value of the output.
    pub fn step(&mut self) -> f64 {
        (self.step)()
    }
}

impl Work {
    /// What a step at `shape` asks for.
    ///
    /// # Errors
    /// [`SearchError::Space`] for a shape that a network cannot have.
    pub fn effort(self, shape: Shape) -> Result<Effort, SearchError> {
        let Shape { channels, size, batch } = shape;
        let size = [size, size];
        Ok(match self {
            Self::Cell => effort(shape, &[(cost::search_cell(&Isolated::cell_plan(channels, size)), 1)]),
            Self::Supernet => effort(shape, &[(Networks::new(shape)?.search.search_cost(), 1)]),
            Self::NasBench201 => effort(shape, &[(nas_bench_201(shape)?.search_cost(), 1)]),
            Self::JointStep => Networks::new(shape)?.joint_effort()?,
            Self::RetrainStep => Networks::new(shape)?.retrain_effort()?,
            Self::Dense => effort(shape, &[(cost::dense_convolution(channels, 3, size), 1)]),
            Self::Operation(op) => effort(shape, &[(cost::single_operation(op, channels, size, false), 1)]),
            Self::FactorizedReduce => {
                let output = size.map(|side| side.div_ceil(2));
                let reduce = cost::single_operation(Op::SkipConnect, channels, output, true);
                // The input is larger than the output, and there is nothing else.
                let Effort { macs, bytes } = effort(shape, &[(reduce, 1)]);
                Effort {
                    macs,
                    bytes: bytes.saturating_add(4 * product(&[batch, channels, size[0], size[1]])),
                }
            }
        })
    }

    /// Builds networks, images and optimisers.
    ///
    /// # Errors
    /// As [`Self::effort`].
    pub fn prepare(self, shape: Shape) -> Result<Workload, SearchError> {
        let device = Device::flex().autodiff();
        let Shape { channels, size, batch } = shape;
        let extent = Extent { channels, size: [size, size], batch };
        match self {
            Self::Cell => Ok(isolated(Isolated::search_cell(extent, &device))),
            Self::Supernet => Ok(supernet(&Networks::new(shape)?.search, shape, &device)),
            Self::NasBench201 => Ok(supernet(&nas_bench_201(shape)?, shape, &device)),
            Self::JointStep => joint_step(shape, &device),
            Self::RetrainStep => retrain_step(shape, &device),
            Self::Dense => Ok(isolated(Isolated::dense(extent, &device))),
            Self::Operation(op) => Ok(isolated(Isolated::operation(op, extent, &device))),
            Self::FactorizedReduce => Ok(isolated(Isolated::factorized_reduce(extent, &device))),
        }
    }
}

fn product(factors: &[usize]) -> u64 {
    factors.iter().fold(1, |product: u64, &factor| product.saturating_mul(factor as u64))
}

/// The costs added up, each as many times as its part runs in a step.
fn effort(shape: Shape, parts: &[(Cost, u64)]) -> Effort {
    let batch = shape.batch as u64;
    let sum = |value: &dyn Fn(&Cost) -> u64| {
        parts.iter().fold(0, |sum: u64, (cost, runs)| sum.saturating_add(value(cost).saturating_mul(*runs)))
    };
    let values = sum(&Cost::output_values).saturating_mul(batch).saturating_add(sum(&|cost| cost.params));
    Effort { macs: sum(&|cost| cost.macs).saturating_mul(batch), bytes: values.saturating_mul(4) }
}

fn isolated(mut part: Isolated) -> Workload {
    Workload { params: part.params(), step: Box::new(move || f64::from(part.step())) }
}

/// The published CIFAR-10 recipe at a shape: configuration, plans and genotype.
struct Networks {
    shape: Shape,
    config: Config,
    search: SkeletonPlan,
    eval: SkeletonPlan,
    found: SkeletonPlan,
}

impl Networks {
    fn new(shape: Shape) -> Result<Self, SearchError> {
        let mut config = Preset::Corrected.config();
        (config.search.init_channels, config.retrain.init_channels) = (shape.channels, shape.channels);
        config.retrain.regularisation = Regularisation::Fixed;
        let image = shape.image();
        let search = config.search_spec(image, CLASSES).plan()?;
        let eval = config.eval_spec(image, CLASSES).plan()?;
        let found = config.retrain_spec(image, CLASSES).plan()?;
        Ok(Self { shape, config, search, eval, found })
    }

    fn joint_effort(&self) -> Result<Effort, SearchError> {
        let eval = self.eval.evaluation_cost(&genotype(), false)?;
        let mut parts = vec![(self.search.search_cost(), 2), (eval, 1)];
        let heads = PlanView::from(&self.search).distillation_heads();
        parts.extend(heads.iter().map(|head| (cost::head(head), 2)));
        let Effort { macs, bytes } = effort(self.shape, &parts);
        // Part B begins when part A's outputs are gone.
        let part_b = effort(self.shape, &parts[..1]).bytes / 2;
        Ok(Effort { macs, bytes: bytes - part_b })
    }

    fn retrain_effort(&self) -> Result<Effort, SearchError> {
        let mut parts = vec![(self.found.evaluation_cost(&genotype(), true)?, 1)];
        parts.extend(PlanView::from(&self.found).auxiliary_head().map(|head| (cost::head(&head), 1)));
        Ok(effort(self.shape, &parts))
    }
}

/// The cells that the paper shows.
fn genotype() -> Architecture {
    Architecture::published("cdarts-cifar")
        .unwrap_or_else(|| unreachable!("the published genotypes hold the paper's own"))
}

/// Random images with every class in turn.
fn batch(shape: Shape, seed: u64, device: &Device) -> Batch {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let Shape { size, batch, .. } = shape;
    let pixels = (0..3 * batch * size * size).map(|_| rng.random::<f32>() * 4.0 - 2.0).collect();
    let labels = (0..batch).map(|image| (image % CLASSES) as i64).collect();
    Batch::new(ImageBatch { pixels, labels, shape: [batch, 3, size, size], mixed: None }, device)
}

/// The published search network of NAS-Bench-201.
fn nas_bench_201(shape: Shape) -> Result<SkeletonPlan, SearchError> {
    let mut config = Preset::Corrected.config_for(Space::NasBench201);
    config.search.init_channels = shape.channels;
    Ok(config.search_spec(shape.image(), CLASSES).plan()?)
}

fn supernet(plan: &SkeletonPlan, shape: Shape, device: &Device) -> Workload {
    let init = Initialiser::new(SEED, device);
    let stem = Stem::of(plan, &mut init.at(0));
    let supernet = Supernet::new(plan, &init.at(1));
    let arch = match plan {
        SkeletonPlan::Darts(_) => ArchWeights::new(false, &init.at(2)),
        SkeletonPlan::NasBench201(_) => ArchWeights::of_nas_bench_201(&init.at(2)),
    };
    let batch = batch(shape, SEED, device);
    let params = params::count(&stem) + params::count(&supernet) + params::count(&arch);
    let step = move || {
        let Features { logits, .. } = supernet.forward(stem.forward(batch.images.clone()), &arch);
        let loss = cross_entropy(logits, batch.labels.clone(), 0.0);
        part("rest of the backward pass", || drop(loss.backward()));
        scalar(loss)
    };
    Workload { params, step: Box::new(step) }
}

fn scalar(loss: Tensor<1>) -> f64 {
    f64::from(loss.into_scalar::<f32>())
}

fn joint_step(shape: Shape, device: &Device) -> Result<Workload, SearchError> {
    let Networks { config, search, eval, .. } = Networks::new(shape)?;
    let mut nets = SearchNets::new(&config, &search, SEED, device);
    nets.build_evalnet(&config, &eval, genotype(), SEED, device);
    let params = params::count(&nets.stem)
        + params::count(&nets.supernet)
        + nets.evalnet.as_ref().map_or(0, params::count)
        + params::count(&nets.heads)
        + params::count(&nets.mixture)
        + params::count(&nets.arch);
    let rates = Rates {
        supernet: config.search.supernet_lr,
        eval: config.search.eval_lr,
        arch: config.search.arch_lr,
    };
    let mut state =
        SearchState { nets, optimisers: Optimisers::new(&config.search), grads: Default::default() };
    let (arch_batch, weight_batch) = (batch(shape, SEED, device), batch(shape, SEED + 1, device));
    let step = move || total(&state.joint(&arch_batch, &weight_batch, rates, PENALTY, &config));
    Ok(Workload { params, step: Box::new(step) })
}

fn total(report: &StepReport) -> f64 {
    report.terms.values().sum()
}

fn retrain_step(shape: Shape, device: &Device) -> Result<Workload, SearchError> {
    let Networks { config, found, .. } = Networks::new(shape)?;
    let mut state = FoundState::new(&config, &found, genotype(), SEED, device);
    let params = params::count(&state.net);
    let batch = batch(shape, SEED, device);
    let mut masks = SEED;
    let step = move || {
        masks += 1;
        total(&state.step(&batch, &config, RETRAIN_EPOCH, masks))
    };
    Ok(Workload { params, step: Box::new(step) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Facts 3.5, 3.6, section 4.
    #[test]
    fn the_networks_have_the_published_sizes() {
        let arch = 2 * 14 * 8;
        let shape = Shape { channels: 16, size: 32, batch: 1 };
        let params = |work: Work, shape| work.prepare(shape).unwrap().params;
        let heads = 417_290 + 433_674;
        let stem = 3 * 48 * 9 + 2 * 48;
        assert_eq!(params(Work::Supernet, shape), 1_930_618 + arch);
        assert_eq!(params(Work::NasBench201, shape), 1_685_328 + 650 + 6 * 5);
        assert_eq!(
            params(Work::JointStep, shape),
            1_930_618 + 805_306 - stem + heads + 3 + arch,
            "one stem, both networks, heads, mixture, architecture weights"
        );
        // An auxiliary head on 576 channels: 1×1 to 128, 2×2 to 768, their norms, linear.
        let auxiliary = 576 * 128 + 2 * 128 + 128 * 768 * 4 + 2 * 768 + 768 * 10 + 10;
        let wide = Shape { channels: 36, ..shape };
        assert_eq!(params(Work::RetrainStep, wide), 3_859_318 + auxiliary);
        // Two pre-processings; on 14 edges depthwise and pointwise weights of two 3×3, two 5×5, one of each dilated.
        let edge = 3 * (9 * 16 + 256) + 3 * (25 * 16 + 256);
        assert_eq!(params(Work::Cell, shape), 2 * 48 * 16 + 14 * edge + arch);
    }

    #[test]
    fn efforts_are_counts_by_hand() {
        let shape = Shape { channels: 16, size: 32, batch: 64 };
        let macs = |work: Work| work.effort(shape).unwrap().macs;
        let pixels = 64 * 32 * 32;
        assert_eq!(macs(Work::Dense), pixels * 16 * 16 * 9);
        assert_eq!(macs(Work::Operation(Op::MaxPool3x3)), 0);
        assert_eq!(macs(Work::Operation(Op::SepConv5x5)), pixels * 2 * (25 * 16 + 256));
        assert_eq!(macs(Work::FactorizedReduce), pixels / 4 * 256);
        let edge = 3 * (9 * 16 + 256) + 3 * (25 * 16 + 256);
        assert_eq!(macs(Work::Cell), pixels * (2 * 48 * 16 + 14 * edge));
        let joint = macs(Work::JointStep);
        assert!(joint > 2 * macs(Work::Supernet), "{joint}");
    }

    #[test]
    fn shapes_that_no_network_has_are_refused() {
        for work in [Work::Supernet, Work::NasBench201, Work::JointStep, Work::RetrainStep] {
            for (channels, size) in [(0, 32), (16, 0), (16, 2)] {
                let shape = Shape { channels, size, batch: 2 };
                assert!(matches!(work.effort(shape), Err(SearchError::Space(_))), "{work:?} {shape:?}");
                assert!(matches!(work.prepare(shape), Err(SearchError::Space(_))), "{work:?} {shape:?}");
            }
        }
    }

    #[test]
    fn steps_give_numbers_and_training_steps_move() {
        let shape = Shape { channels: 4, size: 8, batch: 4 };
        for work in [Work::JointStep, Work::RetrainStep] {
            let mut workload = work.prepare(shape).unwrap();
            let losses: Vec<f64> = (0..3).map(|_| workload.step()).collect();
            assert!(losses.iter().all(|loss| loss.is_finite()), "{work:?} {losses:?}");
            assert!(losses[0] != losses[1] && losses[1] != losses[2], "{work:?} {losses:?}");
        }
        let mut still = Work::Supernet.prepare(shape).unwrap();
        assert_eq!(still.step(), still.step(), "without an optimiser nothing changes");
    }
}

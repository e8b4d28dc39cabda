//! The configuration of a run: every choice there is, with its meaning. A run's folder holds it resolved.
//!
//! `search.*` are the published search options under the field's names (facts 2.1); every point where the
//! published code and we differ is a key here, set by the preset (facts section 10).

mod amount;
mod consistency;
mod presets;
mod read;

use cdarts_data::{AutoAugment, Axes, Halves};
use cdarts_space::{
    Architecture, CostLimits, ImageShape, NetworkSpec, ReductionPosition, Skeleton, SpaceError, Stem,
    nas_bench_201, widest,
};
use serde::{Deserialize, Serialize};

pub use amount::Amount;
pub use presets::Preset;
pub use read::{Source, resolve};

use crate::SearchError;

/// Everything that decides a run's result, besides the data and the seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the values not given come from.
    pub preset: Preset,
    /// The images.
    pub data: DataConfig,
    /// The cyclic search.
    pub search: SearchConfig,
    /// The training of the found network.
    pub retrain: RetrainConfig,
    /// How the run is kept.
    pub run: RunConfig,
}

/// Which images, how they are divided, and how they are varied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// A folder of class folders, of CIFAR, idx or .npy files, or a .npz or .csv file; empty for the embedded digits.
    pub path: String,
    /// Side of the images in pixels, or height and width; "auto" keeps theirs.
    pub size: ImageSize,
    /// 1 for grey, 3 for colour, 0 as the images are; other numbers of channels cannot be changed.
    pub channels: usize,
    /// Arrays of four axes: "channels-first" [n, c, h, w], "channels-last" [n, h, w, c], or "auto" by their lengths.
    pub axes: Axes,
    /// How many files that cannot be read are left out before it is an error.
    pub skip_broken: usize,
    /// CIFAR-100: its 100 fine classes, or its 20 coarse ones.
    pub fine_labels: bool,
    /// Share of each class kept for the test, where the data has no test set of its own.
    pub test_fraction: f64,
    /// Share of each class of the rest that is watched while the found network is trained; 0 for none.
    pub val_fraction: f64,
    /// How training images are halved for the search: "stratified", or "by-index" as published.
    pub halves: Halves,
    /// Random crop after padding with so many black pixels; 0 for none.
    pub crop_padding: usize,
    /// Least share of an image's area that a random window has, which is then scaled up; 0 for none. Published for
    /// ImageNet: 0.08.
    pub resized_crop: f64,
    /// Mirror every second image at random.
    pub flip: bool,
    /// How far brightness, contrast, saturation (0 to 1) and hue (0 to 0.5) are changed at random. Published for
    /// ImageNet: [0.4, 0.4, 0.4, 0.2].
    pub jitter: [f64; 4],
    /// AutoAugment's pairs of changes, found on "cifar" or "imagenet"; or "none".
    pub autoaugment: AutoAugment,
}

/// Size of the images that networks see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ImageSize {
    /// Height and width.
    Sides([usize; 2]),
    /// The same height and width.
    Square(usize),
    /// As the images are.
    Auto(Auto),
}

/// The word "auto".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auto {
    /// Decided from the data.
    Auto,
}

/// Layout of stages (facts 3.3, 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Stem at full size; stages reduce in their last cell.
    Cifar,
    /// Stem at an eighth of the size; stages reduce in their last cell.
    Imagenet,
    /// ResNet stem at a quarter of the size; stages reduce in their first cell.
    Resnet,
}

/// The cyclic search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchConfig {
    /// What is searched by: "cdarts", both networks in cycles; "darts-first-order", "darts-second-order" or "gdas", the
    /// search network alone, its labels and the architecture's in turns; "random", which each cycle trains a network
    /// of random cells from its start for `joint_epochs` on the weight half, and keeps the cells that classify the
    /// architecture half best. The three read no key of the evaluation network, the distillation or the penalty, and
    /// limit the norm of the search network's gradient only.
    pub method: Method,
    /// What the evaluation network has to say in "cdarts": "joint", both networks and the architecture go down one
    /// loss, as published; "separate", it learns in its own epochs (`eval_warmup_epochs`) only and teaches as it is;
    /// "none", there is no evaluation network. No distillation is `distill_weight = 0`, no penalty `penalty = 0`.
    pub feedback: Feedback,
    /// Temperature of the softmax in "gdas" at the search's begin and end; it changes linearly.
    pub gdas_temperature: [f64; 2],
    /// Which cells: "darts", or "nas-bench-201", whose network is a stem and three stages of as many cells. That space
    /// reads `cells` and `eval_cells` as three equal numbers, and neither `layout` nor `stem_multiplier`, here and in
    /// `retrain`. What the configuration does not say comes from the published recipe of the space.
    pub space: Space,
    /// Stem and place of the reductions.
    pub layout: Layout,
    /// Channels of a cell in the first stage, in both networks.
    pub init_channels: usize,
    /// Channels of the stem as a multiple of `init_channels`.
    pub stem_multiplier: usize,
    /// Cells of each stage of the search network.
    pub cells: Vec<usize>,
    /// Cells of each stage of the evaluation network.
    pub eval_cells: Vec<usize>,
    /// Give the evaluation network the cells of the search network; `eval_cells` is then not read.
    pub same_structure: bool,
    /// One classifier for both networks, or one each.
    pub share_classifier: bool,
    /// Search all stages at once; or one after another, earlier ones being their evaluation cells in both networks
    /// and their architecture weights frozen. Everything below then happens once a stage.
    pub one_stage: bool,
    /// One set of architecture weights for all stages, or one set, and one genotype, a stage.
    pub repeat_cell: bool,
    /// Draw the architecture weights of all stages still to be searched anew when a search begins: each stage's,
    /// where stages are searched one after another, and that which follows a pre-training of the bank.
    pub clean_arch: bool,
    /// Images a step.
    pub batch_size: usize,
    /// Epochs in which the search network is trained alone, before the first cycle.
    pub warmup_epochs: usize,
    /// By how many epochs that is shorter for each further stage, where stages are searched one after another.
    pub warmup_decay: usize,
    /// Cycles: build, inherit, warm up, optimise jointly, discretise.
    pub cycles: usize,
    /// Epochs in which a cycle's evaluation network is trained alone.
    pub eval_warmup_epochs: usize,
    /// Epochs of a cycle in which everything is optimised jointly.
    pub joint_epochs: usize,
    /// Part of a half that an epoch visits.
    pub epoch_fraction: f64,
    /// One step more than `epoch_fraction` says, as published (facts 10.11).
    pub epoch_overrun: bool,

    /// Learning rate of the search network, by SGD.
    pub supernet_lr: f64,
    /// Learning rate of the evaluation network, by SGD.
    pub eval_lr: f64,
    /// Where a cosine schedule ends.
    pub lr_min: f64,
    /// "cosine" over the whole search in closed form, or "constant" as published (facts 10.3).
    pub lr_schedule: LrSchedule,
    /// Momentum of both.
    pub momentum: f64,
    /// Weight decay of both.
    pub weight_decay: f64,
    /// Learning rate of the architecture weights, by Adam.
    pub arch_lr: f64,
    /// Decay rates of Adam's two moments.
    pub arch_betas: [f64; 2],
    /// Weight decay of the architecture weights.
    pub arch_weight_decay: f64,
    /// Largest L2 norm of a gradient; 0 for no limit.
    pub grad_clip: f64,
    /// What the norm is taken over: "per-optimiser", or "all-parameters" with stale gradients as published
    /// (facts 1.7, 10.7).
    pub clip_scope: ClipScope,
    /// Momentum and moments live on from cycle to cycle; published: thrown away (facts 10.3).
    pub keep_optimiser_state: bool,
    /// Weight decay and momentum also move parameters that a step gave no gradient, as published (facts 1.7).
    pub decay_idle: bool,

    /// Distance between the networks' outputs: "kl", "cosine", "mse" or "smooth-l1" (facts 1.4).
    pub distance: Distance,
    /// Weight of the distillation against the labels: multiplies the distance, divides the cross entropies.
    /// 0 switches distillation off.
    pub distill_weight: f64,
    /// Temperature of the softmax inside "kl"; its square multiplies every distance.
    pub distill_temperature: f64,
    /// Mean of "kl" over the "batch", or over every "element" as published (facts 10.13).
    pub kl_reduction: KlReduction,
    /// Keep the distillation from moving the evaluation network; published: both networks move.
    pub detach_teacher: bool,
    /// Learn how much each stage counts in the distillation, or fix it to equal shares.
    pub learn_stage_mixture: bool,
    /// Stages' outputs below each other ("stack"), or added ("sum").
    pub stage_ensemble: StageEnsemble,
    /// Keep the distillation heads as they were initialised.
    pub fix_heads: bool,

    /// Weight of the L1 penalty at the first cycle: on pooling and skip connections (facts 1.5), in NAS-Bench-201 on
    /// `none` (facts 6); 0 for none.
    pub penalty: f64,
    /// Part of the cycles after which the penalty has fallen to zero.
    pub penalty_ratio: f64,
    /// How often the penalty on architecture weights that stages share is counted; published: 3, once a stage
    /// (facts 10.7). Weights of a single stage are counted once.
    pub penalty_repeats: usize,

    /// Steps of Lanczos' method by which the largest eigenvalue of the Hessian of the search network's loss over the
    /// architecture weights is found at every cycle's end, on a batch of the architecture half; 0 for none. Each costs
    /// two forward and backward passes; as many as there are weights give it exactly.
    pub watch_iterations: usize,
    /// What an alarm does: "warn" tells the journal, "stop" ends the search with the genotype of its cycle, "rollback"
    /// with the newest that raised none. Alarms: more than half of the kept operations are skip or none; the largest
    /// eigenvalue has grown by more than a third in five cycles.
    pub on_collapse: OnCollapse,

    /// Train a weight for every edge beside the operations' (beta).
    pub edge_weights: bool,
    /// Affine batch norms in the search's evaluation network.
    pub eval_affine: bool,
    /// Inherit the edges that follow a skip connection in a node too; published: they start anew (facts 10.4).
    pub inherit_past_skip: bool,
    /// Draw the genotypes between cycles at random, as likely as the architecture weights make them. The last
    /// cycle's is always the best one.
    pub gumbel_sample: bool,
    /// What Gumbel noise is added to: "log-probabilities", which gives every node two edges; or "probabilities"
    /// without edge weights, as published, where draws are almost uniform and a node may have one edge (facts 10.12).
    pub gumbel_scores: GumbelScores,

    /// Epochs in which all operations of the weight bank are trained before the search, on both halves, by the
    /// recipe of `retrain` (facts 1.9); 0 leaves the bank empty.
    pub bank_pretrain_epochs: usize,
    /// Random architectures that a step of the pre-training adds up; 0 trains all operations at equal weights.
    pub sample_archs: usize,
    /// Learning rate of the evaluation network's cells as a multiple of `eval_lr` after a pre-training.
    pub pretrained_lr_factor: f64,
}

/// What a search goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Search and evaluation network jointly, in cycles.
    Cdarts,
    /// The search network alone; architecture weights go down the loss of the current weights.
    DartsFirstOrder,
    /// The search network alone; architecture weights go down the loss of the weights one step ahead.
    DartsSecondOrder,
    /// The search network alone, every edge with one operation that Gumbel noise draws.
    Gdas,
    /// One network of random cells after another.
    Random,
}

/// What the evaluation network has to say about the architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feedback {
    /// Both networks and the architecture go down one loss.
    Joint,
    /// It is trained alone and teaches as it is.
    Separate,
    /// It is never asked, and not there.
    None,
}

impl SearchConfig {
    /// Whether search and evaluation network take turns.
    pub fn is_cyclic(&self) -> bool {
        self.method == Method::Cdarts && self.feedback != Feedback::None
    }

    /// Whether a cycle has an evaluation network.
    pub fn has_evaluation_network(&self) -> bool {
        self.is_cyclic() || self.method == Method::Random
    }
}

/// A search space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Space {
    /// Normal and reduction cells of two inputs and eight operations (Liu et al., arXiv 1806.09055).
    #[default]
    Darts,
    /// One cell of six edges and five operations (Dong and Yang, arXiv 2001.00326).
    #[serde(rename = "nas-bench-201")]
    NasBench201,
}

/// What follows an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnCollapse {
    /// An entry in the journal.
    Warn,
    /// The end of the search.
    Stop,
    /// The end of the search, which goes back to before the alarm.
    Rollback,
}

/// How a learning rate changes over the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LrSchedule {
    /// Not at all.
    Constant,
    /// From the rate to `lr_min` along half a cosine, epoch by epoch.
    Cosine,
}

/// What a gradient's norm is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClipScope {
    /// The gradients of the coming optimiser step.
    PerOptimiser,
    /// All gradients there are, those of earlier steps included.
    AllParameters,
}

impl ClipScope {
    /// Whether the norm counts gradients of what the coming step does not move.
    pub fn counts_idle(self) -> bool {
        self == Self::AllParameters
    }
}

/// Distance between the outputs of both networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distance {
    /// Kullback-Leibler divergence of the search network's softmax from the evaluation network's.
    Kl,
    /// Negative cosine of the angle between them.
    Cosine,
    /// Mean squared difference.
    Mse,
    /// Mean Huber distance with threshold 1.
    SmoothL1,
}

/// What "kl" is the mean of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KlReduction {
    /// Rows: the divergence itself.
    Batch,
    /// Elements: the divergence divided by the number of classes.
    Element,
}

/// What Gumbel noise is added to when a genotype is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GumbelScores {
    /// The logarithm of an operation's probability, edge weights included.
    LogProbabilities,
    /// The probability itself.
    Probabilities,
}

/// How the stages' outputs are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageEnsemble {
    /// Below each other.
    Stack,
    /// Added up.
    Sum,
}

/// The training of the found network, from scratch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetrainConfig {
    /// Stem and place of the reductions.
    pub layout: Layout,
    /// Channels of a cell in the first stage, where neither of the two limits below is set.
    pub init_channels: usize,
    /// Most parameters, such as "3.3M"; 0 for no limit. With a limit the network gets as many channels as it allows, a
    /// multiple of 4.
    pub max_params: Amount,
    /// Most multiply-adds for an image, such as "600M"; likewise.
    pub max_macs: Amount,
    /// Channels of the stem as a multiple of `init_channels`.
    pub stem_multiplier: usize,
    /// Cells of each stage.
    pub cells: Vec<usize>,
    /// Images a step.
    pub batch_size: usize,
    /// Epochs over both halves; 0 ends the run with the search.
    pub epochs: usize,
    /// Part of both halves that an epoch visits, another part each time.
    pub epoch_fraction: f64,
    /// Epochs in which the rate rises linearly to its first value.
    pub warmup_epochs: usize,
    /// First learning rate, by SGD; it falls to 0 along half a cosine.
    pub lr: f64,
    /// Momentum.
    pub momentum: f64,
    /// "fixed" takes the two values below; "by-size" lets the number of parameters decide (facts 5.1).
    pub regularisation: Regularisation,
    /// Weight decay.
    pub weight_decay: f64,
    /// Probability of dropping an operation for an image in the last epoch; it rises linearly from 0.
    pub drop_path: f64,
    /// Largest L2 norm of the gradient; 0 for no limit.
    pub grad_clip: f64,
    /// Weight of the auxiliary head's loss; 0 for no head.
    pub auxiliary_weight: f64,
    /// Side in pixels of the square cut out of every image; 0 for none.
    pub cutout: usize,
    /// Share of the target given to all classes alike.
    pub label_smoothing: f64,
    /// Blend images and their targets in proportions from Beta(mixup, mixup); 0 for none.
    pub mixup: f64,
    /// Decay of an exponential moving average of weights and running statistics, taken at every step, which is what is
    /// scored and handed over; 0 for none. The first averages are shorter: step t decays by
    /// min(ema_decay, (1 + t) / (10 + t)).
    pub ema_decay: f64,
}

/// Where weight decay and drop path of the retraining come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Regularisation {
    /// From the configuration.
    Fixed,
    /// Below 3.0 M parameters 3e-4 and 0.2; between 3.0 M and 3.5 M 3e-4 and 0.3; otherwise 5e-4 and 0.3.
    BySize,
}

/// How a run is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Minutes after which a checkpoint is written within an epoch; there is one at every epoch's end anyway.
    pub checkpoint_minutes: f64,
    /// Steps between two entries of the journal within an epoch; 0 for none.
    pub journal_steps: usize,
    /// Cells by which the search network's order is compared with a table's, after a search that is given a table and
    /// does not train what it found; 0 for none. Each takes one pass over up to 1,000 validation images.
    pub ranking_cells: usize,
}

impl Layout {
    /// Stem and place of the reductions.
    pub fn parts(self) -> (Stem, ReductionPosition) {
        match self {
            Self::Cifar => (Stem::Cifar, ReductionPosition::Last),
            Self::Imagenet => (Stem::Imagenet, ReductionPosition::Last),
            Self::Resnet => (Stem::ResNet, ReductionPosition::First),
        }
    }
}

impl ImageSize {
    /// Height and width, where they are given.
    pub fn sides(self) -> Option<[usize; 2]> {
        match self {
            Self::Sides(sides) => Some(sides),
            Self::Square(side) => Some([side, side]),
            Self::Auto(_) => None,
        }
    }
}

impl Config {
    /// The search network for images of `image` and `classes` classes.
    pub fn search_spec(&self, image: ImageShape, classes: usize) -> Skeleton {
        let search = &self.search;
        let width = [search.init_channels, search.stem_multiplier];
        self.spec(search.layout, width, &search.cells, image, classes)
    }

    /// The evaluation network of the search: as wide as the search network, with its own depth. Methods without one
    /// have the search network's depth here.
    pub fn eval_spec(&self, image: ImageShape, classes: usize) -> Skeleton {
        let search = &self.search;
        let as_deep = search.same_structure || !search.has_evaluation_network();
        let cells = if as_deep { &search.cells } else { &search.eval_cells };
        self.spec(search.layout, [search.init_channels, search.stem_multiplier], cells, image, classes)
    }

    /// The found network.
    pub fn retrain_spec(&self, image: ImageShape, classes: usize) -> Skeleton {
        let found = &self.retrain;
        self.spec(found.layout, [found.init_channels, found.stem_multiplier], &found.cells, image, classes)
    }

    fn spec(
        &self,
        layout: Layout,
        [init_channels, stem_multiplier]: [usize; 2],
        cells: &[usize],
        image: ImageShape,
        classes: usize,
    ) -> Skeleton {
        match self.search.space {
            Space::Darts => {
                let (stem, reduction) = layout.parts();
                let cells_per_stage = cells.to_vec();
                Skeleton::Darts(NetworkSpec {
                    stem,
                    image,
                    classes,
                    init_channels,
                    stem_multiplier,
                    cells_per_stage,
                    reduction,
                })
            }
            Space::NasBench201 => Skeleton::NasBench201(nas_bench_201::NetworkSpec {
                image,
                classes,
                init_channels,
                // All stages have as many, see `check_combinations`.
                cells_per_stage: cells.first().copied().unwrap_or_default(),
            }),
        }
    }

    /// What the found network may cost.
    pub fn limits(&self) -> CostLimits {
        CostLimits { params: self.retrain.max_params.limit(), macs: self.retrain.max_macs.limit() }
    }

    /// The found network with the cells of `architecture`: where there are limits, as wide as they allow.
    ///
    /// # Errors
    /// Those of [`widest`].
    pub fn found_spec(
        &self,
        image: ImageShape,
        classes: usize,
        architecture: &Architecture,
    ) -> Result<Skeleton, SpaceError> {
        let (spec, limits) = (self.retrain_spec(image, classes), self.limits());
        if limits.any() { widest(&spec, architecture, limits) } else { Ok(spec) }
    }

    /// Checks what types cannot.
    ///
    /// # Errors
    /// [`SearchError::ConfigValue`] for the first value out of range.
    pub fn validate(&self) -> Result<(), SearchError> {
        let (search, retrain) = (&self.search, &self.retrain);
        let refuse = |key: &str, found: String, expected: &str| {
            Err(SearchError::ConfigValue { key: key.to_owned(), found, expected: expected.to_owned() })
        };
        let positive = [
            ("search.batch_size", search.batch_size),
            ("search.cycles", search.cycles),
            ("search.joint_epochs", search.joint_epochs),
            ("retrain.batch_size", retrain.batch_size),
        ];
        if let Some((key, found)) = positive.into_iter().find(|&(_, value)| value == 0) {
            return refuse(key, found.to_string(), "1 or more");
        }
        let not_negative = [
            ("search.supernet_lr", search.supernet_lr),
            ("search.eval_lr", search.eval_lr),
            ("search.lr_min", search.lr_min),
            ("search.weight_decay", search.weight_decay),
            ("search.arch_lr", search.arch_lr),
            ("search.arch_weight_decay", search.arch_weight_decay),
            ("search.grad_clip", search.grad_clip),
            ("search.distill_weight", search.distill_weight),
            ("search.penalty", search.penalty),
            ("search.pretrained_lr_factor", search.pretrained_lr_factor),
            ("retrain.lr", retrain.lr),
            ("retrain.weight_decay", retrain.weight_decay),
            ("retrain.grad_clip", retrain.grad_clip),
            ("retrain.auxiliary_weight", retrain.auxiliary_weight),
            ("run.checkpoint_minutes", self.run.checkpoint_minutes),
        ];
        if let Some((key, found)) = not_negative.into_iter().find(|&(_, v)| !(v.is_finite() && v >= 0.0)) {
            return refuse(key, found.to_string(), "a number of 0 or more");
        }
        let above_zero = [
            ("search.distill_temperature", search.distill_temperature),
            ("search.penalty_ratio", search.penalty_ratio),
            ("search.gdas_temperature", search.gdas_temperature[0]),
            ("search.gdas_temperature", search.gdas_temperature[1]),
        ];
        if let Some((key, found)) = above_zero.into_iter().find(|&(_, v)| !(v.is_finite() && v > 0.0)) {
            return refuse(key, found.to_string(), "a number above 0");
        }
        let below_one = [
            ("search.momentum", search.momentum),
            ("search.arch_betas", search.arch_betas[0]),
            ("search.arch_betas", search.arch_betas[1]),
            ("retrain.momentum", retrain.momentum),
            ("retrain.drop_path", retrain.drop_path),
            ("retrain.label_smoothing", retrain.label_smoothing),
            ("retrain.ema_decay", retrain.ema_decay),
        ];
        if let Some((key, found)) = below_one.into_iter().find(|&(_, v)| !(0.0..1.0).contains(&v)) {
            return refuse(key, found.to_string(), "0 or more and below 1");
        }
        if !(search.epoch_fraction > 0.0 && search.epoch_fraction <= 1.0) {
            return refuse(
                "search.epoch_fraction",
                search.epoch_fraction.to_string(),
                "above 0 and at most 1",
            );
        }
        self.check_combinations()
    }
}

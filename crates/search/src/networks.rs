//! Everything that a search trains. Modules, not fields of one network: a backward pass feeds each optimiser the
//! modules that are its own (design section 4).

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use cdarts_data::ImageBatch;
use cdarts_nets::laps::part;
use cdarts_nets::{
    ArchWeights, DistillHeads, EvalNet, EvalStage, Features, Initialiser, Mixing, NetOutput, StageMixture,
    State, Stem, Supernet,
};
use cdarts_space::{Architecture, SkeletonPlan};

use crate::config::{Config, StageEnsemble};
use crate::grads::HasGrads;
use crate::objective::cross_entropy;
use crate::optimisers::Owner;

/// Places below a run's seed; each gives an unrelated stream of initial values.
mod place {
    pub const STEM: usize = 0;
    pub const SUPERNET: usize = 1;
    pub const EVALNET: usize = 2;
    pub const HEADS: usize = 3;
    pub const MIXTURE: usize = 4;
    pub const ARCH: usize = 5;
    // 6 is the found network's.
    pub const LATER_ARCH: usize = 7;
}

/// The networks of a search.
#[derive(Clone, Debug)]
pub struct SearchNets {
    /// Shared by both networks.
    pub stem: Stem,
    /// The search network.
    pub supernet: Supernet,
    /// The evaluation network of the cycle, from the first cycle on.
    pub evalnet: Option<EvalNet>,
    /// Shared by both networks.
    pub heads: DistillHeads,
    /// Shared by both networks.
    pub mixture: StageMixture,
    /// The architecture weights.
    pub arch: ArchWeights,
    /// How many stages, from the first, have been searched: both networks run the evaluation network's cells there,
    /// and their architecture weights are frozen (facts 1.3).
    settled: usize,
    /// Whether the search network's classifier speaks for both.
    shared_classifier: bool,
}

/// A batch on the device.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[n, c, h, w]`
    pub images: Tensor<4>,
    /// `[n]`
    pub labels: Tensor<1, Int>,
    /// The labels on the host.
    pub classes: Vec<i64>,
    /// Where images were blended, the share that `labels` have in them, and the labels of the rest.
    pub mixed: Option<(f64, Tensor<1, Int>)>,
}

impl Batch {
    /// Moves a batch to `device`.
    pub fn new(batch: ImageBatch, device: &Device) -> Self {
        let n = batch.labels.len();
        let labels = |labels: Vec<i64>| Tensor::from_data(TensorData::new(labels, [n]), device);
        Self {
            images: Tensor::from_data(TensorData::new(batch.pixels, batch.shape), device),
            labels: labels(batch.labels.clone()),
            mixed: batch.mixed.map(|mixed| (mixed.share, labels(mixed.labels))),
            classes: batch.labels,
        }
    }

    /// How many rows of `logits` are largest at their image's class.
    pub fn correct(&self, logits: &Tensor<2>) -> usize {
        let classes = logits.dims()[1];
        let values: Vec<f32> = logits.clone().into_data().iter::<f32>().collect();
        values
            .chunks_exact(classes)
            .zip(&self.classes)
            .filter(|(row, class)| largest(row) as i64 == **class)
            .count()
    }
}

/// Place of the largest value; of equals the first.
pub(crate) fn largest<T: PartialOrd>(row: &[T]) -> usize {
    row.iter().enumerate().fold(0, |best, (place, value)| if *value > row[best] { place } else { best })
}

/// An optimiser's step, or whatever else is done to modules one by one.
pub(crate) trait Update {
    /// `cells` says whether the module is made of the evaluation network's cells.
    fn update<M: Module>(&mut self, module: &mut M, cells: bool);
}

/// Freshly drawn architecture weights; `plan` is the search network's.
pub(crate) fn arch_weights(config: &Config, plan: &SkeletonPlan, init: &Initialiser) -> ArchWeights {
    match plan {
        SkeletonPlan::NasBench201(_) => ArchWeights::of_nas_bench_201(init),
        SkeletonPlan::Darts(_) if config.search.repeat_cell => {
            ArchWeights::new(config.search.edge_weights, init)
        }
        SkeletonPlan::Darts(plan) => ArchWeights::by_stage(plan, config.search.edge_weights, init),
    }
}

impl SearchNets {
    /// Freshly initialised networks, without an evaluation network.
    pub fn new(config: &Config, plan: &SkeletonPlan, seed: u64, device: &Device) -> Self {
        let search = &config.search;
        let init = Initialiser::new(seed, device);
        let heads = DistillHeads::new(plan, &init.at(place::HEADS));
        let mixture =
            StageMixture::new(heads.len(), search.learn_stage_mixture, &mut init.at(place::MIXTURE));
        Self {
            stem: Stem::of(plan, &mut init.at(place::STEM)),
            supernet: Supernet::new(plan, &init.at(place::SUPERNET)),
            evalnet: None,
            heads: if search.fix_heads { heads.no_grad() } else { heads },
            mixture,
            arch: arch_weights(config, plan, &init.at(place::ARCH)),
            settled: 0,
            shared_classifier: search.share_classifier,
        }
    }

    /// Ends the search of the stages before `stage`: both networks keep the evaluation network's cells there.
    pub fn settle_stages(&mut self, stage: usize) {
        self.settled = stage;
        self.arch = self.arch.clone().freeze_before(stage);
    }

    /// Draws the architecture weights of all stages that are still searched anew; `plan` is the search network's.
    pub fn renew_arch(&mut self, config: &Config, plan: &SkeletonPlan, seed: u64, device: &Device) {
        let init = Initialiser::new(seed, device).at(place::LATER_ARCH).at(self.settled);
        self.arch = self.arch.clone().renewed_from(self.settled, arch_weights(config, plan, &init));
    }

    /// Whether both networks have one classifier.
    pub fn shared_classifier(&self) -> bool {
        self.shared_classifier
    }

    /// How many stages, from the first, have been searched.
    pub fn settled(&self) -> usize {
        self.settled
    }

    /// Builds a cycle's evaluation network, with the classifier of the one before. [`SkeletonPlan::check`] has
    /// accepted `plan` and `architecture`.
    pub fn build_evalnet(
        &mut self,
        config: &Config,
        plan: &SkeletonPlan,
        architecture: impl Into<Architecture>,
        seed: u64,
        device: &Device,
    ) {
        let init = Initialiser::new(seed, device).at(place::EVALNET);
        let built = EvalNet::new(plan, architecture, config.search.eval_affine, &init);
        let built = if self.shared_classifier { built.with_frozen_classifier() } else { built };
        self.evalnet = Some(match self.evalnet.take() {
            Some(before) => built.with_classifier_of(before),
            None => built,
        });
    }

    /// The modules that an optimiser owns. What both networks run belongs to the optimisers of both (facts 1.7).
    pub fn owned_by(&self, owner: Owner) -> Vec<&dyn HasGrads> {
        if owner == Owner::Arch {
            return vec![&self.arch];
        }
        let mut owned: Vec<&dyn HasGrads> = vec![&self.stem];
        match (owner, &self.evalnet) {
            (Owner::Eval, Some(evalnet)) => {
                owned.push(evalnet);
                if self.shared_classifier {
                    owned.push(self.supernet.classifier());
                }
            }
            _ => {
                owned.push(&self.supernet);
                owned.extend(self.settled_stages().iter().map(|stage| stage as &dyn HasGrads));
            }
        }
        owned.extend([&self.heads as &dyn HasGrads, &self.mixture]);
        owned
    }

    /// Hands the modules of [`Self::owned_by`] to an optimiser, for all but the architecture weights'.
    pub(crate) fn update(&mut self, owner: Owner, optimiser: &mut impl Update) {
        optimiser.update(&mut self.stem, false);
        match (owner, &mut self.evalnet) {
            (Owner::Eval, Some(evalnet)) => {
                evalnet.stages_mut().iter_mut().for_each(|stage| optimiser.update(stage, true));
                match self.shared_classifier {
                    true => optimiser.update(self.supernet.classifier_mut(), false),
                    false => optimiser.update(evalnet.classifier_mut(), false),
                }
            }
            (_, evalnet) => {
                optimiser.update(&mut self.supernet, false);
                let stages = evalnet.iter_mut().flat_map(|evalnet| evalnet.stages_mut());
                stages.take(self.settled).for_each(|stage| optimiser.update(stage, false));
            }
        }
        optimiser.update(&mut self.heads, false);
        optimiser.update(&mut self.mixture, false);
    }

    /// All modules.
    pub fn all(&self) -> Vec<&dyn HasGrads> {
        let mut all: Vec<&dyn HasGrads> = vec![&self.stem, &self.supernet];
        all.extend(self.evalnet.as_ref().map(|evalnet| evalnet as &dyn HasGrads));
        all.extend([&self.heads as &dyn HasGrads, &self.mixture, &self.arch]);
        all
    }

    /// The search network's features of the stem's two states.
    pub fn search_features(&self, stem: [State; 2]) -> Features {
        self.supernet.forward_behind(self.settled_stages(), stem, &self.arch.mixing())
    }

    /// The same networks, sharing all, of which the search network's stages ask for no gradient.
    pub fn with_frozen_cells(&self) -> Self {
        let Self { stem, supernet, evalnet, heads, mixture, arch, .. } = self;
        Self {
            stem: stem.clone(),
            supernet: supernet.with_frozen_cells(),
            evalnet: evalnet.clone(),
            heads: heads.clone(),
            mixture: mixture.clone(),
            arch: arch.clone(),
            ..*self
        }
    }

    /// The evaluation network's features of the stem's two states, where there is one.
    pub fn eval_features(&self, stem: [State; 2]) -> Option<Features> {
        let evalnet = self.evalnet.as_ref()?;
        Some(match self.shared_classifier {
            true => evalnet.forward_to(self.supernet.classifier(), stem, None),
            false => evalnet.forward(stem, None),
        })
    }

    /// Cross entropy of the search network's final logits, and these.
    pub fn search_label_loss(&self, batch: &Batch) -> (Tensor<1>, Tensor<2>) {
        self.mixed_label_loss(batch, &self.arch.mixing())
    }

    /// As [`Self::search_label_loss`], where operations are mixed by `mixing`.
    pub fn mixed_label_loss(&self, batch: &Batch, mixing: &Mixing) -> (Tensor<1>, Tensor<2>) {
        let stem = part("stem", || self.stem.forward(batch.images.clone()));
        let Features { logits, .. } =
            part("search network", || self.supernet.forward_behind(self.settled_stages(), stem, mixing));
        (part("losses", || cross_entropy(logits.clone(), batch.labels.clone(), 0.0)), logits)
    }

    fn settled_stages(&self) -> &[EvalStage] {
        self.evalnet.as_ref().map_or(&[], |evalnet| &evalnet.stages()[..self.settled])
    }

    /// What a network says at all stages, each weighed by its share, as one tensor.
    pub fn ensemble(&self, output: &NetOutput, config: &Config) -> Tensor<2> {
        match config.search.stage_ensemble {
            StageEnsemble::Stack => self.mixture.stack(output),
            StageEnsemble::Sum => self.mixture.sum(output),
        }
    }
}

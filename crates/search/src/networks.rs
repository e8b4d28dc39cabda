//! Everything that a search trains. Modules, not fields of one network: a backward pass feeds each optimiser the
//! modules that are its own (design section 4).

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use cdarts_data::ImageBatch;
use cdarts_nets::{
    ArchWeights, DistillHeads, EvalNet, Features, Initialiser, NetOutput, StageMixture, Stem, Supernet,
};
use cdarts_space::{Genotype, NetworkPlan};

use crate::config::{Config, StageEnsemble};
use crate::grads::HasGrads;
use crate::optimisers::Owner;

/// Places below a run's seed; each gives an unrelated stream of initial values.
mod place {
    pub const STEM: usize = 0;
    pub const SUPERNET: usize = 1;
    pub const EVALNET: usize = 2;
    pub const HEADS: usize = 3;
    pub const MIXTURE: usize = 4;
    pub const ARCH: usize = 5;
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
}

impl Batch {
    /// Moves a batch to `device`.
    pub fn new(batch: ImageBatch, device: &Device) -> Self {
        let n = batch.labels.len();
        Self {
            images: Tensor::from_data(TensorData::new(batch.pixels, batch.shape), device),
            labels: Tensor::from_data(TensorData::new(batch.labels.clone(), [n]), device),
            classes: batch.labels,
        }
    }

    /// How many rows of `logits` are largest at their image's class.
    pub fn correct(&self, logits: &Tensor<2>) -> usize {
        let classes = logits.dims()[1];
        let values: Vec<f32> = logits.clone().into_data().iter::<f32>().collect();
        let largest = |row: &[f32]| {
            row.iter().enumerate().fold(0, |best, (class, &v)| if v > row[best] { class } else { best })
                as i64
        };
        values.chunks_exact(classes).zip(&self.classes).filter(|(row, class)| largest(row) == **class).count()
    }
}

impl SearchNets {
    /// Freshly initialised networks, without an evaluation network.
    pub fn new(config: &Config, plan: &NetworkPlan, seed: u64, device: &Device) -> Self {
        let search = &config.search;
        let init = Initialiser::new(seed, device);
        let heads = DistillHeads::new(plan, &init.at(place::HEADS));
        let mixture =
            StageMixture::new(heads.len(), search.learn_stage_mixture, &mut init.at(place::MIXTURE));
        Self {
            stem: Stem::new(&plan.stem, &mut init.at(place::STEM)),
            supernet: Supernet::new(plan, &init.at(place::SUPERNET)),
            evalnet: None,
            heads: if search.fix_heads { heads.no_grad() } else { heads },
            mixture,
            arch: ArchWeights::new(search.edge_weights, &init.at(place::ARCH)),
        }
    }

    /// Builds a cycle's evaluation network, with the classifier of the one before.
    pub fn build_evalnet(
        &mut self,
        config: &Config,
        plan: &NetworkPlan,
        genotype: &Genotype,
        seed: u64,
        device: &Device,
    ) {
        let init = Initialiser::new(seed, device).at(place::EVALNET);
        let built = EvalNet::new(plan, genotype, config.search.eval_affine, &init);
        self.evalnet = Some(match self.evalnet.take() {
            Some(before) => built.with_classifier_of(before),
            None => built,
        });
    }

    /// The modules that an optimiser owns.
    pub fn owned_by(&self, owner: Owner) -> Vec<&dyn HasGrads> {
        let network: &dyn HasGrads = match (owner, &self.evalnet) {
            (Owner::Arch, _) => return vec![&self.arch],
            (Owner::Eval, Some(evalnet)) => evalnet,
            _ => &self.supernet,
        };
        vec![&self.stem, network, &self.heads, &self.mixture]
    }

    /// All modules.
    pub fn all(&self) -> Vec<&dyn HasGrads> {
        let mut all: Vec<&dyn HasGrads> = vec![&self.stem, &self.supernet];
        all.extend(self.evalnet.as_ref().map(|evalnet| evalnet as &dyn HasGrads));
        all.extend([&self.heads as &dyn HasGrads, &self.mixture, &self.arch]);
        all
    }

    /// The search network's features of `images`.
    pub fn search_features(&self, images: Tensor<4>) -> Features {
        self.supernet.forward(self.stem.forward(images), &self.arch)
    }

    /// What a network says at all stages, each weighed by its share, as one tensor.
    pub fn ensemble(&self, output: &NetOutput, config: &Config) -> Tensor<2> {
        match config.search.stage_ensemble {
            StageEnsemble::Stack => self.mixture.stack(output),
            StageEnsemble::Sum => self.mixture.sum(output),
        }
    }
}

//! Training all operations of the weight bank before the search (facts 1.9), at the depth of the evaluation network
//! and by the recipe of the retraining: its images, batches, rates and auxiliary loss.

use burn::tensor::{Device, Tensor};
use burn_optim::ModuleOptimizer;
use cdarts_nets::{ArchWeights, Features, Initialiser, Supernet};
use cdarts_space::SkeletonPlan;

use crate::SearchError;
use crate::config::Config;
use crate::discretise;
use crate::grads::GradBuffer;
use crate::networks::{Batch, SearchNets, arch_weights};
use crate::objective::cross_entropy;
use crate::optimisers::{sgd, step};
use crate::schedule;
use crate::step::StepReport;

/// Place of the pool below a run's seed.
const PLACE: usize = 8;
/// Every logit while all operations are trained at equal weights, as published.
const UNIFORM: f64 = 1e-3;

/// A network of mixed cells as deep as the evaluation network: the published "super layer pool".
pub struct Pool {
    /// The network, with the search network's classifier.
    pub net: Supernet,
    /// Its architecture weights: uniform, or the last that were drawn.
    pub arch: ArchWeights,
    /// Its SGD, which also trains the stem.
    pub optimiser: ModuleOptimizer,
    plan: SkeletonPlan,
    init: Initialiser,
}

impl Pool {
    /// A fresh pool; `plan` is the evaluation network's.
    pub fn new(config: &Config, plan: &SkeletonPlan, nets: &SearchNets, seed: u64, device: &Device) -> Self {
        let init = Initialiser::new(seed, device).at(PLACE);
        let mut net = Supernet::new(plan, &init.at(0));
        *net.classifier_mut() = nets.supernet.classifier().clone();
        let optimiser = sgd(config.retrain.momentum, config.retrain.weight_decay);
        let arch = arch_weights(config, plan, &init.at(1)).uniform(UNIFORM);
        Self { net, arch, optimiser, plan: plan.clone(), init: init.at(2) }
    }

    /// One step in `epoch`, of which it is the `number`th: cross entropy of the final logits and, weighed as in the
    /// retraining, of the last head's. Operations that no drawn architecture keeps stay as they are.
    ///
    /// # Errors
    /// [`SearchError::Space`] where architecture weights are no numbers.
    pub fn step(
        &mut self,
        nets: &mut SearchNets,
        batch: &Batch,
        config: &Config,
        epoch: usize,
        number: usize,
    ) -> Result<StepReport, SearchError> {
        let retrain = &config.retrain;
        let stem = nets.stem.forward(batch.images.clone());
        let features: Vec<Features> = match config.search.sample_archs {
            0 => vec![self.net.forward(stem, &self.arch)],
            samples => (0..samples)
                .map(|sample| {
                    let init = self.init.at(epoch).at(number).at(sample);
                    self.arch = arch_weights(config, &self.plan, &init);
                    let architecture = discretise::best(&self.arch)?;
                    Ok(self.net.discrete(&architecture).forward(stem.clone(), None))
                })
                .collect::<Result<_, SearchError>>()?,
        };
        let mut report = StepReport::default();
        let entropy = |logits| cross_entropy(logits, batch.labels.clone(), retrain.label_smoothing);
        let (mut classify, mut auxiliary) = (Vec::new(), Vec::new());
        for features in features {
            report.accuracy("bank", batch, &features.logits);
            let output = nets.heads.forward(features);
            classify.push(entropy(output.logits));
            if retrain.auxiliary_weight > 0.0 {
                auxiliary.extend(output.stage_logits.into_iter().next_back().map(entropy));
            }
        }
        let sum = |terms: Vec<Tensor<1>>| terms.into_iter().reduce(|sum, term| sum + term);
        let Some(mut loss) = sum(classify) else { return Ok(report) };
        report.term("classify", &loss);
        if let Some(auxiliary) = sum(auxiliary) {
            report.term("auxiliary", &auxiliary);
            loss = loss + auxiliary.mul_scalar(retrain.auxiliary_weight);
        }
        if report.non_finite().is_none() {
            let mut grads = GradBuffer::default();
            grads.absorb(&mut loss.backward(), &[&nets.stem, &self.net]);
            grads.clip(&[&nets.stem, &self.net], retrain.grad_clip);
            let lr = schedule::bank_lr(config, epoch);
            step(&mut self.optimiser, lr, &mut nets.stem, &mut grads);
            step(&mut self.optimiser, lr, &mut self.net, &mut grads);
        }
        Ok(report)
    }
}

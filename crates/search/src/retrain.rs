//! The found network: trained from scratch (facts section 5) and scored.

use burn::module::Module;
use burn_optim::ModuleOptimizer;
use cdarts_data::Loader;
use cdarts_nets::laps::part;
use cdarts_nets::{DropPath, FoundNet, Initialiser};
use cdarts_space::{Architecture, SkeletonPlan};

use burn::tensor::Device;

use crate::SearchError;
use crate::config::{Config, Regularisation};
use crate::grads::GradBuffer;
use crate::networks::{Batch, largest};
use crate::objective::label_loss;
use crate::optimisers::{sgd, step};
use crate::schedule;
use crate::scoring::classify;
use crate::step::StepReport;

/// Place of the found network below a run's seed.
const PLACE: usize = 6;

/// The found network and its optimiser.
pub struct FoundState {
    /// The network.
    pub net: FoundNet,
    /// Its SGD.
    pub optimiser: ModuleOptimizer,
    drop_path: f64,
}

/// Images classified rightly, and all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Score {
    /// Rightly.
    pub correct: usize,
    /// All.
    pub total: usize,
}

impl Score {
    /// Share of images classified rightly.
    pub fn accuracy(self) -> f64 {
        self.correct as f64 / self.total.max(1) as f64
    }
}

impl FoundState {
    /// A freshly initialised network of `plan` with the cells of `architecture`, which [`SkeletonPlan::check`] has
    /// accepted.
    pub fn new(
        config: &Config,
        plan: &SkeletonPlan,
        architecture: impl Into<Architecture>,
        seed: u64,
        device: &Device,
    ) -> Self {
        let auxiliary = config.retrain.auxiliary_weight > 0.0;
        let net = FoundNet::new(plan, architecture, auxiliary, &Initialiser::new(seed, device).at(PLACE));
        let (weight_decay, drop_path) = regularisation(config, net.params());
        Self { net, optimiser: sgd(config.retrain.momentum, weight_decay), drop_path }
    }

    /// One step in `epoch`; `mask_seed` decides what drop path drops.
    pub fn step(&mut self, batch: &Batch, config: &Config, epoch: usize, mask_seed: u64) -> StepReport {
        let retrain = &config.retrain;
        let mut report = StepReport::default();
        let probability = schedule::drop_path(self.drop_path, epoch, retrain.epochs);
        let mut drop_path = DropPath::new(probability, mask_seed);
        let output = self.net.forward_training(batch.images.clone(), &mut drop_path);
        report.accuracy("found", batch, &output.logits);

        let mut loss = label_loss(output.logits, batch, retrain.label_smoothing);
        report.term("classify", &loss);
        if let Some(logits) = output.auxiliary {
            let auxiliary = label_loss(logits, batch, retrain.label_smoothing);
            report.term("auxiliary", &auxiliary);
            loss = loss + auxiliary.mul_scalar(retrain.auxiliary_weight);
        }
        if report.non_finite().is_none() {
            let mut grads = GradBuffer::default();
            let mut fresh = part("rest of the backward pass", || loss.backward());
            part("gradients between steps", || grads.absorb(&mut fresh, &[&self.net]));
            grads.clip(&[&self.net], retrain.grad_clip);
            step(&mut self.optimiser, schedule::retrain_lr(config, epoch), &mut self.net, &mut grads);
        }
        report
    }
}

/// Weight decay and last drop path probability (facts 5.1).
fn regularisation(config: &Config, params: usize) -> (f64, f64) {
    match config.retrain.regularisation {
        Regularisation::Fixed => (config.retrain.weight_decay, config.retrain.drop_path),
        Regularisation::BySize if params < 3_000_000 => (3e-4, 0.2),
        Regularisation::BySize if params > 3_000_000 && params < 3_500_000 => (3e-4, 0.3),
        Regularisation::BySize => (5e-4, 0.3),
    }
}

/// Scores `net` on all images of `loader`.
///
/// # Errors
/// [`SearchError::Data`] for an image that is read only now and cannot be.
pub fn evaluate(net: &FoundNet, loader: &Loader, device: &Device) -> Result<Score, SearchError> {
    let mut score = Score { correct: 0, total: 0 };
    classify(&net.valid(), loader, device, |label, probabilities| {
        score.correct += usize::from(largest(probabilities) == label);
        score.total += 1;
    })?;
    Ok(score)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Preset;

    #[test]
    fn the_published_rule_depends_on_the_size() {
        let config = Preset::Official.config();
        for (params, expected) in [
            (2_999_999, (3e-4, 0.2)),
            (3_000_000, (5e-4, 0.3)),
            (3_200_000, (3e-4, 0.3)),
            (3_500_000, (5e-4, 0.3)),
            (3_859_318, (5e-4, 0.3)),
        ] {
            assert_eq!(regularisation(&config, params), expected, "{params}");
        }
    }
}

//! The images of a run: divided, measured, and handed out in an order that depends on the seed alone.

use std::sync::Arc;

use cdarts_data::{Augment, Dataset, Images, Loader, Normalisation, Split, SplitSpec, TestPart};
use cdarts_runs::Phase;

use crate::SearchError;
use crate::config::Config;
use crate::schedule::Plan;

/// Told apart from each other by the seed, so that no two passes share their order.
mod stream {
    pub const WEIGHT_HALF: u64 = 1;
    pub const ARCH_HALF: u64 = 2;
    pub const TRAINING: u64 = 3;
}

/// The loaders of a run.
#[derive(Clone)]
pub struct Feed {
    /// Trains the search network.
    pub weight_half: Loader,
    /// Trains the architecture weights and the evaluation network.
    pub arch_half: Loader,
    /// Both halves, for the found network.
    pub training: Loader,
    /// Watched while the found network is trained, where a part was set aside.
    pub validation: Option<Loader>,
    /// Read once.
    pub test: Loader,
    /// Mean and deviation of the training part.
    pub normalisation: Normalisation,
    /// Number of images: training, validation, test.
    pub sizes: [usize; 3],
}

impl Feed {
    /// Divides `dataset` as `config` and `seed` say.
    ///
    /// # Errors
    /// Those of the split and the loaders.
    pub fn new(dataset: &Dataset, config: &Config, seed: u64) -> Result<Self, SearchError> {
        let data = &config.data;
        let split = Split::new(
            dataset,
            &SplitSpec {
                seed,
                test_fraction: data.test_fraction,
                val_fraction: data.val_fraction,
                halves: data.halves,
            },
        )?;
        let training = split.training();
        let normalisation = Normalisation::measure(&dataset.train, &training)?;
        let augment = Augment {
            crop_padding: data.crop_padding,
            resized_crop: data.resized_crop,
            flip: data.flip,
            jitter: data.jitter,
            autoaugment: data.autoaugment,
            cutout: 0,
            mixup: 0.0,
        };
        let loader = |images: &Arc<Images>, indices: Vec<usize>, batch, augment, stream| {
            Loader::new(images.clone(), indices, batch, &normalisation, augment, seed ^ (stream << 56))
        };
        let (test_images, test_indices) = match (&split.test, &dataset.test) {
            (TestPart::HeldOut(indices), _) => (&dataset.train, indices.clone()),
            (TestPart::Own, Some(test)) => (test, (0..test.len()).collect()),
            // A split points to a test set only where the data set has one.
            (TestPart::Own, None) => (&dataset.train, Vec::new()),
        };
        let sizes = [training.len(), split.val.len(), test_indices.len()];
        let (search_batch, batch) = (config.search.batch_size, config.retrain.batch_size);
        let validation = match split.val.is_empty() {
            true => None,
            false => Some(loader(&dataset.train, split.val.clone(), batch, None, 0)?),
        };
        let found = Augment { cutout: config.retrain.cutout, mixup: config.retrain.mixup, ..augment };
        Ok(Self {
            weight_half: loader(
                &dataset.train,
                split.weight_half,
                search_batch,
                Some(augment),
                stream::WEIGHT_HALF,
            )?,
            arch_half: loader(
                &dataset.train,
                split.arch_half,
                search_batch,
                Some(augment),
                stream::ARCH_HALF,
            )?,
            training: loader(&dataset.train, training, batch, Some(found), stream::TRAINING)?,
            validation,
            test: loader(test_images, test_indices, batch, None, 0)?,
            normalisation,
            sizes,
        })
    }

    /// Steps of an epoch of `phase`.
    pub fn steps(&self, config: &Config, phase: Phase) -> usize {
        let (weight, arch) = (self.weight_half.steps_per_epoch(), self.arch_half.steps_per_epoch());
        let (search, overrun) = (config.search.epoch_fraction, config.search.epoch_overrun);
        match phase {
            Phase::PretrainBank { .. } | Phase::Retrain { .. } => {
                part_of(self.training.steps_per_epoch(), config.retrain.epoch_fraction, false)
            }
            Phase::WarmSupernet { .. } => part_of(weight, search, overrun),
            Phase::WarmEval { .. } => part_of(arch, search, overrun),
            Phase::Joint { .. } => part_of(weight.min(arch), search, overrun),
            Phase::Done => 0,
        }
    }

    /// Steps from `phase` to the end, by kind of phase: pre-training of the bank, warm-up of the search network, of
    /// the evaluation network, joint, retraining.
    pub fn steps_from(&self, config: &Config, plan: &Plan, phase: Phase) -> [usize; KINDS] {
        let mut steps = [0; KINDS];
        for phase in plan.from(phase) {
            steps[kind(phase)] += self.steps(config, phase);
        }
        steps
    }
}

/// How many kinds of phase there are.
pub const KINDS: usize = 5;

/// The kinds of phase, numbered.
pub(crate) fn kind(phase: Phase) -> usize {
    match phase {
        Phase::PretrainBank { .. } => 0,
        Phase::WarmSupernet { .. } => 1,
        Phase::WarmEval { .. } => 2,
        Phase::Joint { .. } => 3,
        Phase::Retrain { .. } | Phase::Done => 4,
    }
}

/// A fraction of `steps`, and one more where the published overrun is wanted; at least one.
fn part_of(steps: usize, fraction: f64, overrun: bool) -> usize {
    let part = (steps as f64 * fraction).floor() as usize;
    (part + usize::from(overrun)).clamp(1, steps.max(1))
}

#[cfg(test)]
mod tests {
    use super::part_of;

    #[test]
    fn the_published_epoch_runs_one_step_over() {
        // Facts 10.11: an epoch is cut after int(r · steps) steps, in fact one more, if there is one more.
        assert_eq!(part_of(626, 0.2, true), 126);
        assert_eq!(part_of(626, 0.2, false), 125);
        assert_eq!(part_of(391, 1.0, true), 391);
        assert_eq!(part_of(3, 0.1, false), 1);
    }
}

//! A run fitted into a time: how long to search, how wide to train, on how large images.
//!
//! A third of the time goes to the search. What a step takes is measured; the rest is arithmetic. How many epochs the
//! found network gets is settled once it is known, by what is left then (`run`).

use cdarts_runs::Phase;

use crate::SearchError;
use crate::config::Config;
use crate::feed::Feed;
use crate::schedule::Plan;
use crate::timing::{Expected, Timing, Trial};

/// Part of the time that a search gets.
const SEARCH: f64 = 0.35;

/// Cycles that a search should have, and the most that are planned: as many as were published.
const CYCLES: [usize; 2] = [6, 30];

/// Fewest cycles, where even these take more than their part.
const FEWEST_CYCLES: usize = 2;

/// Fewest steps of an epoch, where an epoch visits a part of the images only.
const FEWEST_STEPS: usize = 8;

/// Epochs that a network should have before a wider one is tried.
const EPOCHS: usize = 30;

/// Epochs below which each visits a part of the images only, so that the learning rate falls in more than a few steps.
const FEWEST_EPOCHS: usize = 8;

/// Widths that are tried.
const WIDTHS: [usize; 5] = [8, 12, 16, 24, 36];

/// Keys whose values were given and stay.
#[derive(Clone, Debug, Default)]
pub struct Given {
    keys: Vec<String>,
}

impl Given {
    /// By settings `key=value`.
    pub fn by(settings: &[String]) -> Self {
        let key = |setting: &String| setting.split('=').next().unwrap_or_default().trim().to_owned();
        Self { keys: settings.iter().map(key).collect() }
    }

    /// Whether `key` was.
    pub fn has(&self, key: &str) -> bool {
        self.keys.iter().any(|given| given == key)
    }
}

/// A configuration with the time that it takes.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// The configuration.
    pub config: Config,
    /// Its steps.
    pub timing: Timing,
    /// What it takes.
    pub expected: Expected,
}

impl Fitted {
    /// `config` as it is.
    ///
    /// # Errors
    /// Those of [`Trial::time`].
    pub fn unchanged(
        config: Config,
        plan: fn(&Config) -> Plan,
        trial: &Trial<'_>,
    ) -> Result<Self, SearchError> {
        let timing = trial.time(&config, &plan(&config))?;
        Ok(Self { expected: timing.expected(&config, &plan(&config), &trial.feed), config, timing })
    }

    /// Epochs of the search and of the found network, as many times more or fewer as fill `seconds`.
    pub fn scaled(mut self, seconds: f64, plan: fn(&Config) -> Plan, given: &Given, feed: &Feed) -> Self {
        let settled = given.has("retrain.epochs") || self.config.retrain.epochs == 0;
        let fixed = if settled { self.expected.retrain } else { 0.0 };
        let factor = (seconds - fixed).max(0.0) / (self.expected.total() - fixed);
        let mut scale = |key: &str, epochs: fn(&mut Config) -> &mut usize| {
            let epochs = epochs(&mut self.config);
            if *epochs > 0 && !given.has(key) {
                *epochs = ((*epochs as f64 * factor).round() as usize).max(1);
            }
        };
        scale("search.bank_pretrain_epochs", |config| &mut config.search.bank_pretrain_epochs);
        scale("search.warmup_epochs", |config| &mut config.search.warmup_epochs);
        scale("search.cycles", |config| &mut config.search.cycles);
        self.refresh(plan, feed);
        if !settled {
            let left = seconds - self.expected.search;
            self.config.retrain.epochs = self.timing.epochs_within(left, &self.config, feed);
            self.refresh(plan, feed);
        }
        self
    }

    /// Everything that a recipe leaves open, chosen so that `seconds` are filled.
    ///
    /// # Errors
    /// Those of [`Trial::time`].
    pub fn planned(
        mut self,
        seconds: f64,
        plan: fn(&Config) -> Plan,
        given: &Given,
        trial: &Trial<'_>,
    ) -> Result<Self, SearchError> {
        if plan(&self.config).cycles > 0 {
            self.plan_search(seconds * SEARCH, given, &trial.feed);
        }
        self.refresh(plan, &trial.feed);
        let left = seconds - self.expected.search;
        if !given.has("retrain.init_channels") && !self.config.limits().any() {
            self.plan_width(left, trial)?;
        }
        let epochs = self.timing.epochs_within(left, &self.config, &trial.feed);
        if !given.has("retrain.epoch_fraction") && !given.has("retrain.epochs") && epochs < FEWEST_EPOCHS {
            let all = FEWEST_EPOCHS as f64 * self.epoch(&trial.feed, Phase::Retrain { epoch: 0 });
            self.config.retrain.epoch_fraction = thousandths((left / all).clamp(0.001, 1.0));
        }
        if !given.has("retrain.epochs") {
            self.config.retrain.epochs = self.timing.epochs_within(left, &self.config, &trial.feed);
        }
        self.refresh(plan, &trial.feed);
        Ok(self)
    }

    /// Whether networks would see each image so rarely that smaller images are better.
    pub fn is_hurried(&self) -> bool {
        self.config.retrain.epochs as f64 * self.config.retrain.epoch_fraction < (EPOCHS / 3) as f64
    }

    fn refresh(&mut self, plan: fn(&Config) -> Plan, feed: &Feed) {
        self.expected = self.timing.expected(&self.config, &plan(&self.config), feed);
    }

    fn epoch(&self, feed: &Feed, phase: Phase) -> f64 {
        self.timing.epoch(&self.config, feed, phase)
    }

    /// As many cycles as fit, over parts of the images where only few would.
    fn plan_search(&mut self, seconds: f64, given: &Given, feed: &Feed) {
        let warmup = Phase::WarmSupernet { before_cycle: 0, epoch: 0 };
        let phases = [Phase::WarmEval { cycle: 0, epoch: 0 }, Phase::Joint { cycle: 0, epoch: 0 }];
        let times = |fitted: &Self| {
            let warmups = fitted.config.search.warmup_epochs as f64 * fitted.epoch(feed, warmup);
            let search = &fitted.config.search;
            let epochs = [search.eval_warmup_epochs, search.joint_epochs];
            let cycle: f64 =
                phases.iter().zip(epochs).map(|(&phase, n)| n as f64 * fitted.epoch(feed, phase)).sum();
            (warmups, cycle)
        };
        let (warmups, cycle) = times(self);
        if !given.has("search.epoch_fraction") {
            let steps = feed.weight_half.steps_per_epoch().min(feed.arch_half.steps_per_epoch());
            let least = (FEWEST_STEPS as f64 / steps.max(1) as f64).min(1.0);
            let search = &self.config.search;
            let counts = [
                search.warmup_epochs,
                CYCLES[0] * search.eval_warmup_epochs,
                CYCLES[0] * search.joint_epochs,
            ];
            let phases = [warmup, phases[0], phases[1]];
            // What does not depend on how many images an epoch visits.
            let beside: f64 = phases
                .iter()
                .zip(counts)
                .map(|(&phase, n)| n as f64 * self.timing.beside(&self.config, phase))
                .sum();
            let fraction = (seconds - beside) / (warmups + CYCLES[0] as f64 * cycle - beside);
            self.config.search.epoch_fraction = thousandths(fraction.clamp(least, 1.0));
        }
        if !given.has("search.cycles") {
            let (warmups, cycle) = times(self);
            let cycles = ((seconds - warmups) / cycle).floor().max(0.0) as usize;
            self.config.search.cycles = cycles.clamp(FEWEST_CYCLES, CYCLES[1]);
        }
    }

    /// The widest network that still gets [`EPOCHS`] epochs, else the narrowest.
    fn plan_width(&mut self, seconds: f64, trial: &Trial<'_>) -> Result<(), SearchError> {
        let epochs = |fitted: &Self| fitted.timing.epochs_within(seconds, &fitted.config, &trial.feed);
        let now = self.config.retrain.init_channels;
        let enough = epochs(self) >= EPOCHS;
        let (wider, narrower) =
            (WIDTHS.iter().filter(|&&w| w > now), WIDTHS.iter().rev().filter(|&&w| w < now));
        let others: Vec<usize> = if enough { wider.copied().collect() } else { narrower.copied().collect() };
        for width in others {
            let mut other = self.clone();
            other.config.retrain.init_channels = width;
            other.timing = self.timing.with_found_of(&trial.time_found(&other.config)?);
            let fits = epochs(&other) >= EPOCHS;
            if enough && !fits {
                break;
            }
            *self = other;
            if !enough && fits {
                break;
            }
        }
        Ok(())
    }
}

/// Rounded down, so that a configuration is readable; not to nothing.
fn thousandths(fraction: f64) -> f64 {
    ((fraction * 1e3).floor() / 1e3).max(1e-3)
}

#[cfg(test)]
mod tests {
    use cdarts_data::LoadOptions;

    use super::*;
    use crate::config::resolve;
    use crate::device;
    use crate::feed::KINDS;

    /// The digits with steps that take as long as they are said to, here and on any machine.
    fn fitted(settings: &[&str], step: f64) -> (Fitted, Feed) {
        let small = ["retrain.cutout=0", "data.crop_padding=1"];
        let settings: Vec<String> = settings.iter().chain(&small).map(ToString::to_string).collect();
        let config = resolve(None, &settings).unwrap();
        let dataset = cdarts_data::load(None, &LoadOptions::default()).unwrap();
        let feed = Feed::new(&dataset, &config, 1).unwrap();
        let timing = Timing { steps: [step; KINDS], inference: 0.0 };
        let expected = timing.expected(&config, &Plan::of(&config), &feed);
        (Fitted { config, timing, expected }, feed)
    }

    #[test]
    fn what_is_scaled_takes_the_time_that_there_is() {
        let settings = ["search.cycles=6", "retrain.epochs=40", "search.warmup_epochs=2"];
        for factor in [0.5, 1.0, 3.0] {
            let (fitted, feed) = fitted(&settings, 0.1);
            let seconds = fitted.expected.total() * factor;
            let fitted = fitted.scaled(seconds, Plan::of, &Given::default(), &feed);
            assert_eq!(fitted.config.search.cycles, (6.0 * factor) as usize);
            let share = fitted.expected.total() / seconds;
            assert!((0.93..=1.0).contains(&share), "{factor}: {share}");
        }
    }

    #[test]
    fn what_was_given_stays() {
        let (fitted, feed) = fitted(&["search.cycles=6", "retrain.epochs=40"], 0.1);
        let before = fitted.expected;
        let given = Given::by(&["search.cycles=6".to_owned(), " retrain.epochs = 40".to_owned()]);
        let seconds = before.total() * 2.0;
        let fitted = fitted.scaled(seconds, Plan::of, &given, &feed);
        assert_eq!((fitted.config.search.cycles, fitted.config.retrain.epochs), (6, 40));
    }

    #[test]
    fn a_search_gets_its_part_over_some_of_the_images_where_it_must() {
        for (seconds, step) in [(60.0, 0.01), (60.0, 0.1), (600.0, 0.1), (600.0, 2.0), (3_600.0, 0.1)] {
            let (mut fitted, feed) = fitted(&["search.batch_size=16", "search.warmup_epochs=2"], step);
            fitted.plan_search(seconds * SEARCH, &Given::default(), &feed);
            fitted.refresh(Plan::of, &feed);
            let search = &fitted.config.search;
            let least = search.cycles == FEWEST_CYCLES;
            let part = fitted.expected.search / seconds;
            assert!(part <= SEARCH * 1.02 || least, "{seconds} {step}: {part} {search:?}");
            assert!(part >= SEARCH * 0.8 || search.cycles == CYCLES[1], "{seconds} {step}: {part}");
            assert!(search.epoch_fraction == 1.0 || search.cycles <= CYCLES[0] + 1, "{search:?}");
        }
    }

    #[test]
    fn a_wider_network_has_to_get_its_epochs() {
        let settings = ["search.cells=[1,1,1]", "search.eval_cells=[1,1,1]", "retrain.cells=[1,1,1]"];
        let (fitted, _) = fitted(
            &[&settings[..], &["retrain.init_channels=12", "retrain.auxiliary_weight=0"]].concat(),
            1e-6,
        );
        let dataset = cdarts_data::load(None, &LoadOptions::default()).unwrap();
        let device = device("cpu").unwrap();
        let trial = Trial::new(&fitted.config, &dataset, 1, &device).unwrap();
        let width = |seconds: f64, step: f64| {
            let mut fitted = fitted.clone();
            fitted.timing.steps = [step; KINDS];
            fitted.plan_width(seconds, &trial).unwrap();
            fitted.config.retrain.init_channels
        };
        assert_eq!(width(1e9, 1e-3), WIDTHS[4], "all the time in the world");
        assert_eq!(width(0.01, 1e3), WIDTHS[0], "no time");
    }
}

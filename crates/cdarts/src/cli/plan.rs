//! What a run is going to do: read off a configuration, or chosen for images that come without one, within a time where
//! one is given.

use std::str::FromStr;
use std::time::Instant;

use cdarts_data::{Dataset, LoadOptions};
use cdarts_search::Config;
use cdarts_search::budget::{Fitted, Given};
use cdarts_search::config::{Auto, ImageSize};
use cdarts_search::device::Device;
use cdarts_search::recipe::{LONGEST_SIDE, Recipe};
use cdarts_search::schedule::Plan;
use cdarts_search::timing::Expected;
use cdarts_search::timing::Trial;

use super::options::{ConfigOptions, RunOptions, load, load_options, settle_data};
use crate::error::CliError;
use crate::terminal::{self, WARNING};

/// Longest side of images, in pixels, where larger ones would be seen too rarely.
const HURRIED_SIDE: usize = 32;

/// Part of a budget that is planned: the rest is for writing down the result and for a machine that has other work too.
const PLANNED: f64 = 0.96;

/// How long a run may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Seconds.
    pub seconds: f64,
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected a time such as 90s, 10m or 1h30m".to_owned();
        let duration: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
        let seconds = duration.as_secs_f64();
        if seconds > 0.0 { Ok(Self { seconds }) } else { Err(wrong()) }
    }
}

/// What is settled before a run begins.
pub struct Settled {
    /// Every choice.
    pub config: Config,
    /// The images.
    pub dataset: Dataset,
    /// Seconds from now on after which the run should end, where its last epochs are settled by that.
    pub budget: Option<f64>,
    /// What it takes, where that was measured.
    pub expected: Option<Expected>,
}

/// Settles configuration and images as `options` say; `retrains` where a given genotype is trained.
///
/// # Errors
/// Those of reading configuration and images, and of building networks.
pub fn settle(options: &RunOptions, seed: u64, device: &Device, retrains: bool) -> Result<Settled, CliError> {
    let started = Instant::now();
    let wanted = options.configuration();
    let mut config = wanted.resolve()?;
    settle_data(&mut config.data, options.data.as_deref(), options.skip_broken)?;
    let plan = if retrains { Plan::of_retraining } else { Plan::of };
    let clock = Clock { started, budget: options.budget };
    if wanted.config.is_none() && !config.data.path.is_empty() {
        return chosen(&wanted, config, plan, &clock, seed, device);
    }

    let dataset = load(&config.data, &load_options(&config.data))?;
    if options.budget.is_none() {
        return Ok(Settled { config, dataset, budget: None, expected: None });
    }
    let given = Given::by(&wanted.settings);
    let trial = Trial::new(&config, &dataset, seed, device)?;
    let fitted = Fitted::unchanged(config, plan, &trial)?;
    let fitted = match clock.left() {
        Some(left) => fitted.scaled(left, plan, &given, &trial.feed),
        None => fitted,
    };
    drop(trial);
    Ok(clock.settled(fitted, dataset, &given))
}

/// A run's time.
struct Clock {
    started: Instant,
    budget: Option<Budget>,
}

impl Clock {
    /// Seconds that are left to plan with.
    fn left(&self) -> Option<f64> {
        let spent = self.started.elapsed().as_secs_f64();
        self.budget.map(|budget| (budget.seconds * PLANNED - spent).max(0.0))
    }

    fn settled(&self, fitted: Fitted, dataset: Dataset, given: &Given) -> Settled {
        let spent = self.started.elapsed().as_secs_f64();
        let whole = spent + fitted.expected.total();
        if let Some(budget) = self.budget.filter(|budget| whole > 1.15 * budget.seconds) {
            let [whole, budget] = [whole, budget.seconds].map(crate::wording::seconds);
            let said = format!("this will take about {whole}, not {budget}: there is no smaller plan");
            terminal::label(WARNING, "warning", &said);
        }
        let settles = fitted.config.retrain.epochs > 0 && !given.has("retrain.epochs");
        Settled {
            expected: Some(fitted.expected),
            config: fitted.config,
            dataset,
            budget: self.left().filter(|_| settles),
        }
    }
}

/// A recipe for images without a configuration. `config` says how to read them.
fn chosen(
    wanted: &ConfigOptions,
    mut config: Config,
    plan: fn(&Config) -> Plan,
    clock: &Clock,
    seed: u64,
    device: &Device,
) -> Result<Settled, CliError> {
    let given = Given::by(&wanted.settings);
    let mut side = LONGEST_SIDE;
    loop {
        // What was said of size and channels counts; the recipe for the digits has the rest of the defaults.
        let options = LoadOptions { longest_side: Some(side), ..load_options(&config.data) };
        let dataset = load(&config.data, &options)?;
        let recipe = Recipe::for_dataset(&dataset).resolve(&wanted.settings)?;
        let (path, skip_broken) = (config.data.path, config.data.skip_broken);
        config = recipe;
        (config.data.path, config.data.skip_broken) = (path, skip_broken);
        config.data.size = ImageSize::Sides([dataset.shape.height, dataset.shape.width]);

        let trial = Trial::new(&config, &dataset, seed, device)?;
        let fitted = Fitted::unchanged(config.clone(), plan, &trial)?;
        let fitted = match clock.left() {
            Some(left) => fitted.planned(left, plan, &given, &trial)?,
            None => fitted,
        };
        drop(trial);
        let longest = dataset.shape.height.max(dataset.shape.width);
        let smaller = clock.budget.is_some() && fitted.is_hurried() && longest > HURRIED_SIDE;
        if !smaller || side == HURRIED_SIDE || given.has("data.size") {
            return Ok(clock.settled(fitted, dataset, &given));
        }
        side = HURRIED_SIDE;
        config.data.size = ImageSize::Auto(Auto::Auto);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, seconds) in
            [("90s", 90.0), ("10m", 600.0), ("1h30m", 5400.0), ("2h", 7200.0), ("10 min", 600.0)]
        {
            assert_eq!(text.parse(), Ok(Budget { seconds }), "{text}");
        }
        for wrong in ["", "10", "m", "-5m", "0s", "soon"] {
            assert!(wrong.parse::<Budget>().is_err(), "{wrong}");
        }
    }
}

//! Starting a run or taking one up again, and following it to its end: what `search` and `retrain` share.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use cdarts_data::{Dataset, LoadOptions};
use cdarts_runs::{Manifest, RunFolder};
use cdarts_search::config::{self, DataConfig, Source};
use cdarts_search::{Circumstances, Config, Ending, Ingredients, Outcome, Run, bundle};
use cdarts_space::Genotype;
use clap::Args;
use fs_err as fs;

use super::genotype;
use crate::error::{CliError, quoted};
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::progress::{Follower, ProgressMode};
use crate::summary;
use crate::terminal::{self, HINT, WARNING};

/// What no `--config` means.
pub const DEFAULT_RECIPE: Source<'static> = Source {
    name: "the recipe for the built-in digits",
    text: include_str!("../../../../configs/digits.toml"),
};

/// Where runs go.
const RUNS: &str = "runs";

#[derive(Debug, Args)]
pub struct ConfigOptions {
    /// Configuration file (TOML); without it, the recipe for the built-in digits
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Change one configuration value, such as search.cycles=8; may be repeated, the last one wins
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
}

#[derive(Debug, Args)]
pub struct DataOptions {
    /// Images: a folder with one sub-folder a class (PNG, JPEG), or the CIFAR-10 or CIFAR-100 binary files
    ///
    /// What is there is found out by looking. A folder may also hold `train` and `test` (or `val`), each with the
    /// class folders. Without this option and without `data.path` in the configuration: the built-in digits.
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,

    /// Threads to compute with [default: all cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
}

#[derive(Debug, Args)]
pub struct RunOptions {
    #[command(flatten)]
    config: ConfigOptions,

    #[command(flatten)]
    data: DataOptions,

    /// Everything random follows from it: same seed, same result [default: 1]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Where to compute [default: cpu]
    #[arg(long, value_name = "NAME")]
    device: Option<String>,

    /// Folder of the run, which must not exist yet [default: runs/DATE-DATA-sSEED]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    out: Option<PathBuf>,

    /// Go on with a run that was stopped or crashed
    #[arg(long, value_name = "RUN")]
    resume: Option<PathBuf>,

    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,

    /// How to show progress, on standard error
    #[arg(long, value_enum, value_name = "HOW", default_value_t = ProgressMode::Auto)]
    progress: ProgressMode,

    /// Check everything, say what would run, and stop; nothing is kept
    #[arg(long, conflicts_with = "resume")]
    dry_run: bool,
}

impl ConfigOptions {
    /// The resolved configuration.
    ///
    /// # Errors
    /// [`CliError::Io`] for a file that cannot be read; those of [`config::resolve`].
    pub fn resolve(&self) -> Result<Config, CliError> {
        let Some(path) = &self.config else {
            return Ok(config::resolve(Some(DEFAULT_RECIPE), &self.settings)?);
        };
        let text = fs::read_to_string(path)?;
        let name = path.display().to_string();
        Ok(config::resolve(Some(Source { name: &name, text: &text }), &self.settings)?)
    }

    fn is_empty(&self) -> bool {
        self.config.is_none() && self.settings.is_empty()
    }
}

impl DataOptions {
    /// Starts as many threads as were asked for, and says how many there are.
    ///
    /// # Errors
    /// [`CliError::Threads`] where the system does not grant them.
    pub fn start_threads(&self) -> Result<usize, CliError> {
        let threads = self.threads.map_or_else(default_threads, NonZeroUsize::get);
        let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
        builder.build_global().map_err(|source| CliError::Threads { threads, source })?;
        Ok(threads)
    }

    /// Puts the path that was given into `config`, and makes the one there independent of the current folder.
    ///
    /// # Errors
    /// [`CliError::PathNotUtf8`].
    pub fn settle_path(&self, config: &mut DataConfig) -> Result<(), CliError> {
        let path = self.data.clone().unwrap_or_else(|| PathBuf::from(&config.path));
        if !path.as_os_str().is_empty() {
            let path = std::path::absolute(path)?;
            config.path = path
                .into_os_string()
                .into_string()
                .map_err(|path| CliError::PathNotUtf8 { path: path.into() })?;
        }
        Ok(())
    }
}

fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Reads the images as `config` says.
///
/// # Errors
/// Those of [`cdarts_data::load`].
pub fn load(config: &DataConfig) -> Result<Dataset, CliError> {
    let options = LoadOptions {
        size: config.size.sides(),
        channels: (config.channels > 0).then_some(config.channels),
        fine_labels: config.fine_labels,
    };
    load_with(config, &options)
}

/// Reads the images at `config`'s path, as `options` say.
///
/// # Errors
/// As [`load`].
pub fn load_with(config: &DataConfig, options: &LoadOptions) -> Result<Dataset, CliError> {
    let path = (!config.path.is_empty()).then(|| Path::new(&config.path));
    let dataset = cdarts_data::load(path, options)?;
    for note in &dataset.notes {
        terminal::label(HINT, "note", note);
    }
    Ok(dataset)
}

/// Does what the options say; `genotype` is the one to train, none to search for one.
///
/// # Errors
/// Whatever ends it early.
pub fn run(options: &RunOptions, genotype: Option<Genotype>) -> Result<Exit, CliError> {
    match &options.resume {
        Some(path) => resume(options, path),
        None => begin(options, genotype),
    }
}

fn begin(options: &RunOptions, genotype: Option<Genotype>) -> Result<Exit, CliError> {
    let mut config = options.config.resolve()?;
    options.data.settle_path(&mut config.data)?;
    let name = options.device.as_deref().unwrap_or("cpu");
    let device = cdarts_search::device(name)?;
    let threads = options.data.start_threads()?;
    let dataset = load(&config.data)?;
    let seed = options.seed.unwrap_or(1);
    let circumstances =
        Circumstances { command_line: std::env::args().collect(), device: name.to_owned(), threads };

    let kind = dataset.name.clone();
    let (kept, out) = (genotype.clone(), options.out.clone());
    let ingredients = Ingredients { config, dataset, seed, device, genotype };
    if options.dry_run {
        return preview(options, ingredients, &circumstances);
    }
    let interrupt = Interrupt::listen()?;
    let run = Run::begin(ingredients, &circumstances, || {
        let folder = match &out {
            Some(path) => RunFolder::create(path)?,
            None => RunFolder::create_named(Path::new(RUNS), &kind, seed)?,
        };
        if let Some(genotype) = &kept {
            genotype::keep(&folder, genotype)?;
        }
        Ok(folder)
    })?;
    follow(options, run, interrupt)
}

/// Builds the whole run in a scratch folder, so that whatever would stop it stops this.
fn preview(
    options: &RunOptions,
    ingredients: Ingredients,
    circumstances: &Circumstances,
) -> Result<Exit, CliError> {
    let scratch = tempfile::tempdir()?;
    let run = Run::begin(ingredients, circumstances, || RunFolder::create(&scratch.path().join("run")))?;
    let overview = run.overview();
    if options.json {
        terminal::result(&serde_json::to_string_pretty(&overview)?)?;
    } else {
        terminal::result(&summary::overview(&overview))?;
    }
    Ok(Exit::Done)
}

fn resume(options: &RunOptions, path: &Path) -> Result<Exit, CliError> {
    let view = RunFolder::view(path)?;
    let manifest = Manifest::load(&view.manifest_path())?;
    let mut config = own_configuration(&view)?;
    refuse_other_configuration(options, &view, &config, manifest.seed)?;
    if let Some(outcome) = finished(&view)? {
        terminal::label(HINT, "note", "this run is complete; nothing is left to do");
        return show_outcome(options, &outcome);
    }

    options.data.settle_path(&mut config.data)?;
    let device = cdarts_search::device(options.device.as_deref().unwrap_or(&manifest.device))?;
    let folder = RunFolder::open(path)?;
    options.data.start_threads()?;
    let dataset = load(&config.data)?;
    let genotype = genotype::of_retraining(&folder)?;
    let interrupt = Interrupt::listen()?;
    let ingredients = Ingredients { config, dataset, seed: manifest.seed, device, genotype };
    let (run, warnings) = Run::resume(ingredients, folder)?;
    for warning in warnings {
        terminal::label(WARNING, "warning", &format!("{warning}; going on from the checkpoint before it"));
    }
    follow(options, run, interrupt)
}

/// The configuration that a run's folder holds.
///
/// # Errors
/// [`CliError::Io`] where it is missing; those of [`config::resolve`].
pub fn own_configuration(run: &RunFolder) -> Result<Config, CliError> {
    let options = ConfigOptions { config: Some(run.config_path()), settings: Vec::new() };
    options.resolve()
}

/// A run goes on with the configuration and the seed it was started with. Options that say the same are fine.
fn refuse_other_configuration(
    options: &RunOptions,
    run: &RunFolder,
    own: &Config,
    seed: u64,
) -> Result<(), CliError> {
    let mut differences = Vec::new();
    if !options.config.is_empty() {
        let base = options.config.config.clone().unwrap_or_else(|| run.config_path());
        let given =
            ConfigOptions { config: Some(base), settings: options.config.settings.clone() }.resolve()?;
        differences = config_differences(own, &given)?;
    }
    differences
        .extend(options.seed.filter(|&given| given != seed).map(|given| difference("seed", seed, given)));
    if differences.is_empty() {
        return Ok(());
    }
    Err(CliError::OtherConfiguration { path: run.path().to_owned(), differences })
}

/// Key by key what differs, except for the path of the images: those may have moved, and are known by their digest.
fn config_differences(own: &Config, given: &Config) -> Result<Vec<String>, CliError> {
    let (own, given) = (flat(own)?, flat(given)?);
    let differing = own.iter().zip(&given).filter(|(own, given)| own != given && own.0 != "data.path");
    Ok(differing.map(|((key, own), (_, given))| difference(key, own, given)).collect())
}

fn difference(key: &str, own: impl std::fmt::Display, given: impl std::fmt::Display) -> String {
    format!("{key} is {own} there and {given} here")
}

/// Keys with their values, always the same keys in the same order.
fn flat(config: &Config) -> Result<Vec<(String, serde_json::Value)>, CliError> {
    let mut flat = Vec::new();
    let serde_json::Value::Object(sections) = serde_json::to_value(config)? else { return Ok(flat) };
    for (section, value) in sections {
        match value {
            serde_json::Value::Object(keys) => {
                flat.extend(keys.into_iter().map(|(key, value)| (format!("{section}.{key}"), value)));
            }
            value => flat.push((section, value)),
        }
    }
    Ok(flat)
}

/// The result of a run that is complete.
fn finished(run: &RunFolder) -> Result<Option<Outcome>, CliError> {
    let outcome: Option<Outcome> = bundle::read_metrics(run)?;
    let run_dir = run.path().display().to_string();
    Ok(outcome.map(|outcome| Outcome { run_dir, ..outcome }))
}

fn follow(options: &RunOptions, mut run: Run, interrupt: Interrupt) -> Result<Exit, CliError> {
    let path = run.folder().path().to_owned();
    let mut follower = Follower::new(options.progress, interrupt);
    follower.introduce(&run.overview(), &path);
    let ending = run.work(&mut follower);
    follower.clear();
    match ending? {
        Ending::Done(outcome) => show_outcome(options, &outcome),
        Ending::Stopped(position) => {
            terminal::tell(&format!(
                "stopped and saved; {} comes next\ngo on with: cdarts search --resume {}",
                position.phase,
                quoted(&path),
            ));
            Ok(Exit::Interrupted)
        }
    }
}

fn show_outcome(options: &RunOptions, outcome: &Outcome) -> Result<Exit, CliError> {
    let text = if options.json { serde_json::to_string_pretty(outcome)? } else { summary::outcome(outcome)? };
    terminal::result(&text)?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use cdarts_search::Preset;

    use super::*;

    #[test]
    fn the_default_recipe_resolves() {
        let options = ConfigOptions { config: None, settings: vec!["search.cycles=9".to_owned()] };
        assert_eq!(options.resolve().unwrap().search.cycles, 9);
    }

    #[test]
    fn differences_name_both_sides_and_forgive_a_moved_folder() {
        let own = Preset::Corrected.config();
        let mut given = own.clone();
        given.data.path = "/elsewhere".to_owned();
        assert!(config_differences(&own, &given).unwrap().is_empty());
        given.search.cycles = 5;
        given.data.crop_padding = 0;
        let differences = config_differences(&own, &given).unwrap();
        let expected = ["data.crop_padding is 4 there and 0 here", "search.cycles is 30 there and 5 here"];
        assert_eq!(differences, expected);
    }

    #[test]
    fn paths_of_images_become_absolute_and_the_built_in_digits_stay() {
        let options = |data: Option<&str>| DataOptions { data: data.map(PathBuf::from), threads: None };
        let mut config = Preset::Corrected.config().data;
        options(None).settle_path(&mut config).unwrap();
        assert_eq!(config.path, "");
        options(Some("photos")).settle_path(&mut config).unwrap();
        assert_eq!(Path::new(&config.path), std::env::current_dir().unwrap().join("photos"));
        let before = config.path.clone();
        options(None).settle_path(&mut config).unwrap();
        assert_eq!(config.path, before);
    }
}

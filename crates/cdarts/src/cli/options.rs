//! Options that several commands share, and what they mean: the configuration and the images they name.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use cdarts_data::{DataError, Dataset, LoadOptions, SkippedFile};
use cdarts_search::Config;
use cdarts_search::config::{self, Amount, DataConfig, Source};
use clap::Args;
use fs_err as fs;

use super::plan::Budget;
use crate::error::CliError;
use crate::progress::ProgressMode;
use crate::terminal::{self, HINT, WARNING};

/// What no `--config` means.
const DEFAULT_RECIPE: Source<'static> = Source {
    name: "the recipe for the built-in digits",
    text: include_str!("../../../../configs/digits.toml"),
};

#[derive(Clone, Debug, Args)]
pub struct ConfigOptions {
    /// Configuration file (TOML) [default: a recipe of the program's own]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Change one configuration value, such as search.cycles=8; may be repeated, the last one wins
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub struct ThreadOptions {
    /// Threads to compute with [default: all cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
}

/// Options of `search` and `retrain`.
#[derive(Clone, Debug, Args)]
pub struct RunOptions {
    #[command(flatten)]
    pub config: ConfigOptions,

    /// Images: a folder with one sub-folder a class, a CSV table, or a data set as CIFAR, MNIST or MedMNIST ship it
    ///
    /// What is there is found out by looking: class folders of PNG and JPEG files, perhaps below `train`, `val` and
    /// `test`; a .csv file with the columns path and label, perhaps split; the folder of CIFAR-10 or CIFAR-100, binary
    /// or Python version; idx files as MNIST's, perhaps compressed; a .npz file as MedMNIST's; a folder of train_x.npy,
    /// train_y.npy and so on. `cdarts data inspect PATH` says what it sees. Without this option and without
    /// `data.path` in the configuration: the built-in digits. With --resume: where the run's images are now, if they
    /// have moved.
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,

    /// Leave out up to N image files that cannot be read, and say which [default: 0]
    #[arg(long, value_name = "N")]
    pub skip_broken: Option<usize>,

    /// How long the whole may take, such as 90s, 10m or 1h30m
    ///
    /// A few steps are timed on this machine. Of a configuration file, or of the recipe for the built-in digits, the numbers
    /// of epochs are scaled. Without a file, for images of your own, size and width are chosen too; what was given by
    /// `--set` stays. The run's config.toml says what was chosen: with it, and without this option, the run can be
    /// repeated exactly.
    #[arg(long, value_name = "TIME", conflicts_with = "resume")]
    pub budget: Option<Budget>,

    /// Give the found network the most channels that so many parameters allow, such as 3.3M; sets retrain.max_params
    #[arg(long, value_name = "N")]
    pub max_params: Option<Amount>,

    /// The same for multiply-adds an image, such as 600M; sets retrain.max_macs
    #[arg(long, value_name = "N")]
    pub max_macs: Option<Amount>,

    #[command(flatten)]
    pub threads: ThreadOptions,

    /// Everything random follows from it: same seed, same result [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub seed: Option<u64>,

    /// Where to compute [default: cpu]
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,

    /// Folder of the run, which must not exist yet [default: runs/DATE-DATA-sSEED]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub out: Option<PathBuf>,

    /// Go on with a run that was stopped or crashed
    #[arg(long, value_name = "RUN")]
    pub resume: Option<PathBuf>,

    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,

    /// How to show progress, on standard error
    #[arg(long, value_enum, value_name = "HOW", default_value_t = ProgressMode::Auto)]
    pub progress: ProgressMode,

    /// Check everything, say what would run, and stop; nothing is kept
    #[arg(long, conflicts_with = "resume")]
    pub dry_run: bool,
}

impl ConfigOptions {
    /// The resolved configuration.
    ///
    /// # Errors
    /// [`CliError::ConfigFile`] for a file that cannot be read; those of [`config::resolve`].
    pub fn resolve(&self) -> Result<Config, CliError> {
        let Some(path) = &self.config else {
            return Ok(config::resolve(Some(DEFAULT_RECIPE), &self.settings)?);
        };
        let text = fs::read_to_string(path).map_err(CliError::ConfigFile)?;
        let name = path.display().to_string();
        Ok(config::resolve(Some(Source { name: &name, text: &text }), &self.settings)?)
    }
}

impl RunOptions {
    /// What was said about the configuration, options that stand for keys included.
    pub fn configuration(&self) -> ConfigOptions {
        let mut all = self.config.clone();
        let limits = [("retrain.max_params", self.max_params), ("retrain.max_macs", self.max_macs)];
        let limits = limits.into_iter().filter_map(|(key, limit)| Some(format!("{key}={}", limit?)));
        all.settings.extend(limits);
        all
    }
}

impl ThreadOptions {
    /// Makes this thread one of as many as were asked for, and says how many there are. (Were the pool made of others only,
    /// every kernel would put this thread to sleep and wake it up again.)
    ///
    /// # Errors
    /// [`CliError::Threads`] where the system does not grant them.
    pub fn start(&self) -> Result<usize, CliError> {
        let threads = self.threads.map_or_else(default_threads, NonZeroUsize::get);
        let builder = rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread();
        builder.build_global().map_err(|source| CliError::Threads { threads, source })?;
        Ok(threads)
    }
}

fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Puts what was given about the images into `config`, and makes the path there independent of the current folder.
///
/// # Errors
/// [`CliError::PathNotUtf8`].
pub fn settle_data(
    config: &mut DataConfig,
    given: Option<&Path>,
    skip_broken: Option<usize>,
) -> Result<(), CliError> {
    config.skip_broken = skip_broken.unwrap_or(config.skip_broken);
    let path = given.unwrap_or(Path::new(&config.path));
    if !path.as_os_str().is_empty() {
        let path = std::path::absolute(path)?.into_os_string();
        config.path = path.into_string().map_err(|path| CliError::PathNotUtf8 { path: path.into() })?;
    }
    Ok(())
}

/// How to read the images, as `config` says.
pub fn load_options(config: &DataConfig) -> LoadOptions {
    LoadOptions {
        size: config.size.sides(),
        channels: (config.channels > 0).then_some(config.channels),
        fine_labels: config.fine_labels,
        axes: config.axes,
        skip_broken: config.skip_broken,
        ..LoadOptions::default()
    }
}

/// Reads the images at `config`'s path, as `options` say.
///
/// # Errors
/// Those of [`cdarts_data::load`].
pub fn load(config: &DataConfig, options: &LoadOptions) -> Result<Dataset, CliError> {
    let path = (!config.path.is_empty()).then(|| Path::new(&config.path));
    let dataset = cdarts_data::load(path, options)?;
    for note in &dataset.notes {
        terminal::label(HINT, "note", note);
    }
    for SkippedFile { path, reason } in &dataset.skipped {
        terminal::label(WARNING, "warning", &format!("left out {}: {reason}", path.display()));
    }
    Ok(dataset)
}

/// Reads the images of a run that was made before, whose path was perhaps `given` anew.
///
/// # Errors
/// [`CliError::ImagesMoved`]; those of [`load`].
pub fn load_again(
    config: &DataConfig,
    options: &LoadOptions,
    given: Option<&Path>,
) -> Result<Dataset, CliError> {
    match load(config, options) {
        Err(CliError::Data(DataError::PathMissing { path })) if given.is_none() => {
            Err(CliError::ImagesMoved { path })
        }
        loaded => loaded,
    }
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
    fn paths_of_images_become_absolute_and_the_built_in_digits_stay() {
        let mut config = Preset::Corrected.config().data;
        settle_data(&mut config, None, None).unwrap();
        assert_eq!(config.path, "");
        settle_data(&mut config, Some(Path::new("photos")), Some(3)).unwrap();
        assert_eq!(Path::new(&config.path), std::env::current_dir().unwrap().join("photos"));
        let before = config.path.clone();
        assert_eq!(config.skip_broken, 3);
        settle_data(&mut config, None, None).unwrap();
        assert_eq!((config.path, config.skip_broken), (before, 3));
    }
}

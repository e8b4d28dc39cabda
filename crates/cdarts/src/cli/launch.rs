//! Starting a run or taking one up again, and following it to its end: what `search` and `retrain` share.

use std::path::Path;

use cdarts_runs::{Manifest, RunFolder};
use cdarts_search::config::Space;
use cdarts_search::scoreboard::{self, Score};
use cdarts_search::{Circumstances, Config, Ending, Ingredients, Outcome, Run, SearchError, bundle};
use cdarts_space::Architecture;
use fs_err as fs;

use super::options::{ConfigOptions, RunOptions, load, load_again, load_options, settle_data};
use super::{genotype, table};
use crate::error::{CliError, quoted};
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::progress::Follower;
use crate::summary;
use crate::terminal::{self, HINT, WARNING};

/// Where runs go.
const RUNS: &str = "runs";

/// Does what the options say; `genotype` is the one to train, none to search for one. `table` is read after the end.
///
/// # Errors
/// Whatever ends it early.
pub fn run(
    options: &RunOptions,
    genotype: Option<Architecture>,
    table: Option<&Path>,
) -> Result<Exit, CliError> {
    match &options.resume {
        Some(path) => resume(options, path, table),
        None => begin(options, genotype, table),
    }
}

/// Refuses, before long work starts, a table that cannot be consulted after it.
fn check_table(config: &Config, table: Option<&Path>) -> Result<(), CliError> {
    let Some(path) = table else { return Ok(()) };
    if config.search.space != Space::NasBench201 {
        return Err(CliError::Search(SearchError::ConfigValue {
            key: "search.space".to_owned(),
            found: "\"darts\"".to_owned(),
            expected: "\"nas-bench-201\" where there is a --table".to_owned(),
        }));
    }
    fs::metadata(path)?;
    Ok(())
}

fn begin(
    options: &RunOptions,
    genotype: Option<Architecture>,
    table: Option<&Path>,
) -> Result<Exit, CliError> {
    let mut config = options.config.resolve()?;
    check_table(&config, table)?;
    settle_data(&mut config.data, options.data.as_deref(), options.skip_broken)?;
    let name = options.device.as_deref().unwrap_or("cpu");
    let device = cdarts_search::device(name)?;
    let threads = options.threads.start()?;
    let dataset = load(&config.data, &load_options(&config.data))?;
    let seed = options.seed.unwrap_or(1);
    let circumstances = Circumstances { command_line: command_line(), device: name.to_owned(), threads };

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
    follow(options, run, interrupt, table)
}

fn command_line() -> Vec<String> {
    std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect()
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

fn resume(options: &RunOptions, path: &Path, table: Option<&Path>) -> Result<Exit, CliError> {
    let view = RunFolder::view(path)?;
    let manifest = Manifest::load(&view.manifest_path())?;
    let mut config = own_configuration(&view)?;
    refuse_other_configuration(options, &view, &config, manifest.seed)?;
    check_table(&config, table)?;
    if let Some(mut outcome) = finished(&view)? {
        if let (Some(path), None) = (table, &outcome.table) {
            let found = scoreboard::standings(&outcome.genotype, &table::read(path)?)?;
            outcome.table = found.map(|found| Score { found, ..Score::default() });
        }
        terminal::label(HINT, "note", "this run is complete; nothing is left to do");
        return show_outcome(options, &outcome);
    }

    settle_data(&mut config.data, options.data.as_deref(), options.skip_broken)?;
    let device = cdarts_search::device(options.device.as_deref().unwrap_or(&manifest.device))?;
    let folder = RunFolder::open(path)?;
    options.threads.start()?;
    let dataset = load_again(&config.data, &load_options(&config.data), options.data.as_deref())?;
    let genotype = genotype::of_retraining(&folder)?;
    let interrupt = Interrupt::listen()?;
    let ingredients = Ingredients { config, dataset, seed: manifest.seed, device, genotype };
    let (run, warnings) = Run::resume(ingredients, folder)?;
    for warning in warnings {
        terminal::label(WARNING, "warning", &format!("{warning}; going on from the checkpoint before it"));
    }
    follow(options, run, interrupt, table)
}

/// The configuration that a run's folder holds.
///
/// # Errors
/// [`CliError::Io`] where it is missing; those of [`config::resolve`].
pub fn own_configuration(run: &RunFolder) -> Result<Config, CliError> {
    let options = ConfigOptions { config: Some(run.config_path()), settings: Vec::new() };
    options.resolve().map_err(|error| match error {
        CliError::ConfigFile(missing) => CliError::Io(missing),
        other => other,
    })
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

/// Key by key what differs, except for where the images are and which files may be left out: images are known by their
/// digest.
fn config_differences(own: &Config, given: &Config) -> Result<Vec<String>, CliError> {
    let (own, given) = (flat(own)?, flat(given)?);
    let deciding = |key: &str| !["data.path", "data.skip_broken"].contains(&key);
    let differing = own.iter().zip(&given).filter(|(own, given)| own != given && deciding(&own.0));
    Ok(differing.map(|((key, own), (_, given))| difference(key, own, given)).collect())
}

fn difference(key: &str, own: impl std::fmt::Display, given: impl std::fmt::Display) -> String {
    format!("{key}: {own} in the run, {given} given")
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

fn follow(
    options: &RunOptions,
    mut run: Run,
    interrupt: Interrupt,
    table: Option<&Path>,
) -> Result<Exit, CliError> {
    let path = run.folder().path().to_owned();
    let mut follower = Follower::new(options.progress, interrupt);
    follower.introduce(&run.overview(), &path);
    let ending = run.work(&mut follower);
    follower.clear();
    match ending? {
        Ending::Done(outcome) => {
            let outcome = match table {
                Some(path) => {
                    let wanted = format!("cell {}", outcome.genotype);
                    let consulted = run.consult(outcome, &table::read(path)?, &mut follower)?;
                    follower.clear();
                    consulted.ok_or_else(|| CliError::NotInTable { path: path.to_owned(), wanted })?
                }
                None => outcome,
            };
            show_outcome(options, &outcome)
        }
        Ending::Stopped(position) => {
            terminal::tell(&format!(
                "stopped and saved before step {} of {}\ngo on with: cdarts search --resume {}",
                position.step + 1,
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
    fn differences_name_both_sides_and_forgive_a_moved_folder() {
        let own = Preset::Corrected.config();
        let mut given = own.clone();
        given.data.path = "/elsewhere".to_owned();
        assert!(config_differences(&own, &given).unwrap().is_empty());
        given.search.cycles = 5;
        given.data.crop_padding = 0;
        let differences = config_differences(&own, &given).unwrap();
        let expected = ["data.crop_padding: 4 in the run, 0 given", "search.cycles: 30 in the run, 5 given"];
        assert_eq!(differences, expected);
    }
}

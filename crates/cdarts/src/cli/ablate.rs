//! `cdarts ablate`.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Instant;

use cdarts_runs::atomic;
use clap::Args;
use fs_err as fs;

use super::options::{ConfigOptions, settle_data};
use crate::ablation::report::Finished;
use crate::ablation::{Case, Grid, Job, Jobs, Search, State};
use crate::error::{CliError, quoted};
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::terminal::{self, ERROR, HINT};
use crate::wording::{percent, seconds};

/// Compare configurations: search each from the same seeds, and print what they come to
///
/// A case is a name and what it changes; the others are compared with the first, seed by seed. Every search runs in a
/// process of its own and is a run like any other, below the ablation's folder. Stopped or crashed, the same command
/// goes on where it was: nothing that was finished is done again, and more seeds or cases may be added.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cdarts ablate --case cdarts --case 'no-distillation search.distill_weight=0' --seeds 1..5
  cdarts ablate --config configs/darts-cifar10-quick.toml --data cifar-10-batches-bin/ \\
      --case 'kl search.distance=kl' --case 'mse search.distance=mse' --out ablations/distances")]
pub struct AblateArgs {
    /// A case: its name, and behind spaces what it changes; once for every case
    #[arg(long = "case", value_name = "NAME [KEY=VALUE]...", required = true)]
    cases: Vec<String>,

    /// The seeds, such as 1..5 or 1,4,7
    #[arg(long, value_name = "SEEDS", default_value = "1..3", value_parser = read_seeds)]
    seeds: Seeds,

    #[command(flatten)]
    config: ConfigOptions,

    /// Images, as for `cdarts search`
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,

    /// Most searches at a time; fewer run where memory has no room for more
    #[arg(long, value_name = "N", default_value = "1")]
    jobs: NonZeroUsize,

    /// Threads of each search [default: all cores, divided by the searches at a time]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,

    /// Accuracies of NAS-Bench-201's cells, looked up for what was found once all searches have ended
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,

    /// Folder of the ablation; one that is there is gone on with
    #[arg(long, value_name = "DIR", default_value = "ablation")]
    out: PathBuf,

    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

/// Each once, in the order given.
#[derive(Clone, Debug, PartialEq)]
struct Seeds(Vec<u64>);

fn read_seeds(text: &str) -> Result<Seeds, String> {
    const MOST: u64 = 10_000;
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| format!("`{text}` is no seed"));
    let mut seeds = Vec::new();
    for part in text.split(',') {
        let range: RangeInclusive<u64> = match part.split_once("..") {
            Some((first, last)) => number(first)?..=number(last.trim_start_matches('='))?,
            None => number(part)?..=number(part)?,
        };
        if range.is_empty() || range.end() - range.start() >= MOST {
            return Err(format!("`{part}` is no range of 1 to {MOST} seeds, the last one included"));
        }
        seeds.extend(range);
    }
    let mut once = Vec::new();
    seeds.into_iter().for_each(|seed| {
        if !once.contains(&seed) {
            once.push(seed);
        }
    });
    Ok(Seeds(once))
}

impl AblateArgs {
    pub fn run(&self) -> Result<Exit, CliError> {
        let grid = self.grid()?;
        if let Some(table) = &self.table {
            // A wrong path is told now, not after hours; the file is opened when all is done.
            fs::metadata(table)?;
        }
        grid.prepare()?;
        let interrupt = Interrupt::listen()?;
        let failed = self.search(&grid, &interrupt)?;
        if interrupt.asked() {
            terminal::tell("stopped and saved; the same command goes on");
            return Ok(Exit::Interrupted);
        }
        self.report(&grid)?;
        Ok(if failed == 0 { Exit::Done } else { Exit::Failed })
    }

    fn grid(&self) -> Result<Grid, CliError> {
        let mut cases = Vec::new();
        for text in &self.cases {
            let mut words = text.split_whitespace().map(str::to_owned);
            let name = words.next().unwrap_or_default();
            let settings: Vec<String> = words.collect();
            let options = ConfigOptions {
                config: self.config.config.clone(),
                settings: [&self.config.settings[..], &settings].concat(),
            };
            let mut config = options.resolve()?;
            settle_data(&mut config.data, self.data.as_deref(), None)?;
            cases.push(Case { name, settings, config });
        }
        Grid::new(self.out.clone(), cases, self.seeds.0.clone())
    }

    /// Runs what is left. How many failed.
    fn search(&self, grid: &Grid, interrupt: &Interrupt) -> Result<usize, CliError> {
        let searches = grid.searches();
        let mut jobs = Vec::new();
        for &search in &searches {
            match grid.state(search)? {
                State::Finished(_) => {}
                state => jobs.push(self.job(grid, search, matches!(state, State::Begun))?),
            }
        }
        let (all, mut left, mut failed) = (searches.len(), jobs.len(), 0);
        if left < all {
            let done = all - left;
            terminal::label(HINT, "note", &format!("{done} of {all} searches are finished already"));
        }
        let (started, first) = (Instant::now(), left);
        let name = |search: Search| format!("{} seed {}", grid.cases[search.case].name, search.seed);
        let begun = |job: &Job| terminal::tell(&format!("{}: started", name(job.search)));
        let ended = |job: &Job, status: ExitStatus| {
            if interrupt.asked() && !status.success() {
                return;
            }
            left -= 1;
            let said = match grid.state(job.search) {
                Ok(State::Finished(outcome)) if status.success() => {
                    let accuracy = outcome.test_accuracy.map_or_else(|| "not trained".to_owned(), percent);
                    let took = seconds(outcome.seconds_search + outcome.seconds_retrain);
                    format!("{accuracy} in {took}")
                }
                _ => {
                    failed += 1;
                    terminal::label(
                        ERROR,
                        "error",
                        &format!("{} failed; see {}", name(job.search), quoted(&job.log)),
                    );
                    "failed".to_owned()
                }
            };
            let remaining = started.elapsed().as_secs_f64() / (first - left) as f64 * left as f64;
            let time = if left > 0 { format!(", about {} left", seconds(remaining)) } else { String::new() };
            terminal::tell(&format!("{}: {said}  [{} of {all}{time}]", name(job.search), all - left));
        };
        Jobs::new(self.jobs.get()).work(jobs, interrupt, begun, ended)?;
        Ok(failed)
    }

    fn job(&self, grid: &Grid, search: Search, begun: bool) -> Result<Job, CliError> {
        let path = grid.run_path(search);
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = self.threads.map_or(cores / self.jobs, NonZeroUsize::get).max(1);
        let mut arguments: Vec<OsString> =
            ["search", "--json", "--progress", "auto", "--threads"].map(Into::into).into();
        arguments.push(threads.to_string().into());
        if begun {
            arguments.extend(["--resume".into(), path.into()]);
        } else {
            if path.exists() {
                // It was killed before its first checkpoint.
                fs::remove_dir_all(&path)?;
            }
            let config = grid.config_path(search);
            arguments.extend(["--config".into(), config.into(), "--out".into(), path.into()]);
            arguments.extend(["--seed".into(), search.seed.to_string().into()]);
        }
        Ok(Job { search, arguments, log: grid.log_path(search) })
    }

    fn report(&self, grid: &Grid) -> Result<(), CliError> {
        let mut outcomes = Vec::new();
        for search in grid.searches() {
            if let State::Finished(outcome) = grid.state(search)? {
                outcomes.push((search, *outcome));
            }
        }
        let report = Finished::new(grid, outcomes).report(self.table.as_deref())?;
        atomic::write_json(&grid.root().join("ablation.json"), &report)?;
        atomic::write(&grid.root().join("ablation.md"), report.markdown().as_bytes())?;
        terminal::result(&if self.json { serde_json::to_string_pretty(&report)? } else { report.text() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_ranges_and_lists() {
        let read = |text| read_seeds(text).map(|seeds| seeds.0);
        assert_eq!(read("1..3"), Ok(vec![1, 2, 3]));
        assert_eq!(read("7,1..2,7"), Ok(vec![7, 1, 2]));
        for wrong in ["", "a", "3..1", "0..99999", "1..", "-1"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}

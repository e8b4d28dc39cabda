//! `cdarts search`.

use std::path::PathBuf;

use clap::Args;

use super::launch;
use super::options::RunOptions;
use crate::error::CliError;
use crate::exit::Exit;

/// Search a network for a set of images, train it and score it
///
/// Without options: on the built-in handwritten digits, in about half a minute. Everything the run writes goes to a new
/// folder under `runs/`. Ctrl-C saves and stops; `--resume` goes on where the run stopped, also after a crash, and
/// ends with the same result as if it had never stopped.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cdarts search
  cdarts search --data photos/ --set data.size=32
  cdarts search --config configs/darts-cifar10-quick.toml --data cifar-10-batches-bin/ --seed 2
  cdarts search --set search.cycles=8 --set search.distance=kl --dry-run
  cdarts search --config configs/nas-bench-201-quick.toml --data cifar-10-batches-bin/ --table nas-bench-201.csv
  cdarts search --resume runs/2026-11-24-digits-s1
  cdarts search --json > result.json

`cdarts config show` prints every key that --set takes.")]
pub struct SearchArgs {
    #[command(flatten)]
    options: RunOptions,

    /// Table of NAS-Bench-201's accuracies to look the found cell up in; read after the search has ended
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
}

impl SearchArgs {
    pub fn run(&self) -> Result<Exit, CliError> {
        launch::run(&self.options, None, self.table.as_deref())
    }
}

//! `cdarts retrain`.

use clap::Args;

use super::genotype;
use super::launch;
use super::options::RunOptions;
use crate::error::CliError;
use crate::exit::Exit;

/// Train a given genotype from scratch and score it
///
/// The second half of `cdarts search`, with a genotype that is already known: a published one, one from a file, or
/// one that another run found.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cdarts retrain cdarts-cifar
  cdarts retrain runs/2026-11-24-digits-s1 --seed 2
  cdarts retrain darts-v2 --config configs/darts-cifar10.toml --data cifar-10-batches-bin/
  cdarts retrain nas-bench-201-cell-1 --config configs/nas-bench-201.toml --data cifar-10-batches-bin/
  cdarts retrain genotype.txt --set retrain.epochs=50 --set retrain.init_channels=24
  cdarts retrain --resume runs/2026-11-24-digits-s1-2

`cdarts show --list` names the published genotypes.")]
pub struct RetrainArgs {
    /// Name of a published genotype, a file, a run's folder, or the genotype itself
    #[arg(value_name = "GENOTYPE", required_unless_present = "resume", conflicts_with = "resume")]
    genotype: Option<String>,

    #[command(flatten)]
    options: RunOptions,
}

impl RetrainArgs {
    pub fn run(&self) -> Result<Exit, CliError> {
        let read = |text| Ok::<_, CliError>(genotype::read(text)?.architecture);
        let genotype = self.genotype.as_deref().map(read).transpose()?;
        launch::run(&self.options, genotype, None)
    }
}

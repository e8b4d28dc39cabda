//! The command line (design section 9). A doc comment here is a help text: its first line the short one.

mod ablate;
mod bench;
mod check;
mod completions;
mod config;
mod cost;
mod data;
mod eval;
mod explanations;
mod genotype;
mod launch;
mod options;
mod plan;
mod predict;
mod retrain;
mod search;
mod show;
mod table;

use clap::{Parser, Subcommand};

use crate::error::CliError;
use crate::exit::Exit;
use crate::terminal::STYLES;

/// Finds a convolutional network for your images, and trains it
///
/// Cyclic differentiable architecture search: a shallow search network holds every candidate operation on every
/// edge; a deep evaluation network is built from the best of them. Both are trained together, and what the deep one
/// learns guides the search. The found network is then trained from scratch and scored once on images that were
/// kept aside.
#[derive(Debug, Parser)]
#[command(name = "cdarts", version, styles = STYLES, after_help = "\
First steps:
  cdarts search                        on the built-in handwritten digits
  cdarts data inspect photos/          what is in a folder, before anything is trained
  cdarts search photos/                on a folder with one sub-folder of images a class
  cdarts search photos/ --budget 10m   the same, planned for ten minutes
  cdarts show runs/RUN                 what it found
  cdarts eval runs/RUN                 how good it is, class by class
  cdarts predict runs/RUN one.jpg      what it says of a picture

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 130 interrupted after saving.")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    Search(search::SearchArgs),
    Retrain(retrain::RetrainArgs),
    Eval(eval::EvalArgs),
    Predict(predict::PredictArgs),
    Show(show::ShowArgs),
    Cost(cost::CostArgs),
    Table(table::TableArgs),
    Ablate(ablate::AblateArgs),
    Data(data::DataArgs),
    Check(check::CheckArgs),
    Bench(bench::BenchArgs),
    Config(config::ConfigArgs),
    Completions(completions::CompletionsArgs),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Whatever ends it early.
    pub fn run(&self) -> Result<Exit, CliError> {
        match self {
            Self::Search(args) => args.run(),
            Self::Retrain(args) => args.run(),
            Self::Eval(args) => args.run(),
            Self::Predict(args) => args.run(),
            Self::Show(args) => args.run(),
            Self::Cost(args) => args.run(),
            Self::Table(args) => args.run(),
            Self::Ablate(args) => args.run(),
            Self::Data(args) => args.run(),
            Self::Check(args) => args.run(),
            Self::Bench(args) => args.run(),
            Self::Config(args) => args.run(),
            Self::Completions(args) => args.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

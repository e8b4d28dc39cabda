//! `cdarts config`.

use cdarts_search::config;
use clap::{Args, Subcommand};

use super::explanations::explained;
use super::options::ConfigOptions;
use crate::error::CliError;
use crate::exit::Exit;
use crate::terminal;

/// Show configurations
#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    Show(ShowArgs),
}

/// Print a configuration with every value it resolves to, each explained
///
/// Values come from the preset, then the file, then --set; later ones win. The output is itself a configuration file.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cdarts config show                                  what `cdarts search` does without options
  cdarts config show --preset official                the published CIFAR-10 recipe, as it was run
  cdarts config show --config mine.toml --set search.cycles=8
  cdarts config show > mine.toml")]
struct ShowArgs {
    #[command(flatten)]
    options: ConfigOptions,

    /// The values that configurations start from, and nothing else
    #[arg(long, value_name = "NAME", value_parser = ["corrected", "official"], conflicts_with = "config")]
    preset: Option<String>,
}

impl ConfigArgs {
    pub fn run(&self) -> Result<Exit, CliError> {
        let ConfigCommand::Show(args) = &self.command;
        args.run()
    }
}

impl ShowArgs {
    fn run(&self) -> Result<Exit, CliError> {
        let config = match &self.preset {
            Some(name) => {
                let first = std::iter::once(format!("preset={name}"));
                let settings: Vec<String> = first.chain(self.options.settings.iter().cloned()).collect();
                config::resolve(None, &settings)?
            }
            None => self.options.resolve()?,
        };
        terminal::result(explained(&config.to_toml()?).trim_end())?;
        Ok(Exit::Done)
    }
}

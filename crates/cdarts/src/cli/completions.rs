//! `cdarts completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use crate::error::CliError;
use crate::exit::Exit;
use crate::terminal;

/// Print a script that completes commands and options in a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cdarts completions bash > ~/.local/share/bash-completion/completions/cdarts
  cdarts completions zsh > ~/.zfunc/_cdarts
  cdarts completions fish > ~/.config/fish/completions/cdarts.fish")]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

impl CompletionsArgs {
    pub fn run(&self) -> Result<Exit, CliError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "cdarts", &mut script);
        terminal::result(String::from_utf8_lossy(&script).trim_end())?;
        Ok(Exit::Done)
    }
}

//! The `cdarts` program: reads the command line, does what it says, and ends with a number that says how it went.

mod ablation;
mod cli;
mod confusion;
mod error;
mod exit;
mod interrupt;
mod picture_file;
mod progress;
mod summary;
mod terminal;
mod wording;

use std::process::ExitCode;

use clap::Parser;

use cli::Cli;

fn main() -> ExitCode {
    cdarts_nets::keep_freed_memory();
    let exit = Cli::parse().command.run().unwrap_or_else(|error| {
        terminal::report(&error);
        error.exit()
    });
    exit.into()
}

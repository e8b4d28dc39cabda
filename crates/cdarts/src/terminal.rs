//! What reaches the terminal: results on standard output, everything else on standard error. Styles are taken off
//! where the stream is no terminal, under a non-empty `NO_COLOR` and on dumb terminals.

use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use clap::builder::Styles;

use crate::error::CliError;

/// Of the word "error".
pub const ERROR: Style = AnsiColor::Red.on_default().bold();
/// Of the word "warning".
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// Of the words "hint" and "note".
pub const HINT: Style = AnsiColor::Cyan.on_default().bold();
/// Of headings.
pub const HEADING: Style = Style::new().bold();

/// Styles of help texts.
pub const STYLES: Styles = Styles::styled()
    .header(HEADING)
    .usage(HEADING)
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Writes `text` and a line feed to standard output. A reader that has had enough, such as `head`, is no error.
///
/// # Errors
/// [`CliError::Output`], for example where output goes to a file on a full disk.
pub fn result(text: &str) -> Result<(), CliError> {
    let mut out = anstream::stdout();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::Output(error)),
        _ => Ok(()),
    }
}

/// Writes a line to standard error. Nothing can be said where that fails.
pub fn tell(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Writes `word: text` to standard error, the word in `style`.
pub fn label(style: Style, word: &str, text: &str) {
    tell(&format!("{style}{word}:{style:#} {text}"));
}

/// Columns of what is printed: those of the environment, else the terminal's; unlimited where output goes elsewhere.
pub fn width() -> usize {
    let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let measured = || terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0.into());
    told.filter(|&columns| columns > 0).or_else(measured).unwrap_or(usize::MAX)
}

/// Whether a bar can be drawn: standard error is a terminal that can move its cursor.
pub fn can_draw() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The error, its causes and what to do about it.
pub fn report(error: &CliError) {
    label(ERROR, "error", &error.to_string());
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        label(ERROR, "cause", &source.to_string());
        cause = source.source();
    }
    if let Some(hint) = error.hint() {
        label(HINT, "hint", &hint);
    }
}

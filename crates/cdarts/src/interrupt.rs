//! Ctrl-C and SIGTERM: the first asks a run to save and stop, the second ends the program at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::CliError;
use crate::exit::Exit;
use crate::terminal;

/// Whether the user asked to stop.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Takes over the signals from here on; before, they end the program, as there is nothing to save.
    ///
    /// # Errors
    /// [`CliError::Signals`] where the system refuses.
    pub fn listen() -> Result<Self, CliError> {
        let interrupt = Self::default();
        let asked = interrupt.clone();
        ctrlc::set_handler(move || {
            if asked.0.swap(true, Ordering::SeqCst) {
                std::process::exit(Exit::Interrupted.code().into());
            }
            terminal::tell("\nstopping after this step; once more stops at once, without saving");
        })?;
        Ok(interrupt)
    }

    /// Whether to stop.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

//! Several configurations, each searched from the same seeds, and what they come to: `cdarts ablate`.
//!
//! Searches run in processes of their own, so that one that fails or is killed takes no other with it. A table of known
//! accuracies is opened by [`report`] only, which takes finished searches: nothing can be chosen by it.

mod grid;
mod processes;
pub mod report;
mod statistics;

pub use grid::{Case, Grid, Search, State};
pub use processes::{Job, Jobs};

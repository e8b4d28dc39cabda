//! The cycle of cyclic differentiable architecture search (Yu et al., TPAMI 2022): a shallow search network and
//! a deep evaluation network, optimised jointly; then the found network, trained from scratch and scored.
//!
//! [`config`] holds every choice, [`schedule`] the order of phases, [`step`] what one step does, [`run`] a whole
//! run with its journal and checkpoints.

pub mod bench;
pub mod bundle;
pub mod check;
pub mod config;
pub mod device;
pub mod discretise;
mod error;
pub mod feed;
pub mod grads;
pub mod method;
pub mod networks;
pub mod objective;
pub mod optimisers;
pub mod pretrain;
mod random;
pub mod retrain;
pub mod run;
pub mod schedule;
pub mod scoreboard;
pub mod scoring;
mod state;
pub mod step;
pub mod transfer;
pub mod unrolled;
pub mod watch;

pub use bundle::Bundle;
pub use config::{Config, Preset};
pub use device::device;
pub use error::SearchError;
pub use run::{Circumstances, Ending, Ingredients, Observer, Outcome, Overview, Progress, Run};
pub use state::Tally;

//! Cyclic differentiable architecture search: from a set of labelled images to a trained convolutional network.
//! The project's libraries under one name; the program of the same name is built on them.
//!
//! ```
//! use cdarts::{search::Preset, space};
//!
//! // The network that the paper found on CIFAR-10, at the size it was published with.
//! let architecture = space::Architecture::published("cdarts-cifar").ok_or("not published")?;
//! let config = Preset::Corrected.config();
//! let image = space::ImageShape { channels: 3, height: 32, width: 32 };
//! let plan = config.retrain_spec(image, 10).plan()?;
//! let cost = plan.evaluation_cost(&architecture, true)?;
//! assert_eq!(cost.params, 3_859_318);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

/// Images from disk to batches.
pub use cdarts_data as data;
/// Networks as modules.
pub use cdarts_nets as nets;
/// What a run writes down, and reading it back.
pub use cdarts_runs as runs;
/// The cycle: configuration, phases, losses, training, the run.
pub use cdarts_search as search;
/// What an architecture is: genotypes, plans, costs, drawings.
pub use cdarts_space as space;

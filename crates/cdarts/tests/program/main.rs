//! The program as its users meet it: what it prints, how it ends, and that a run broken off at any moment comes to
//! the same end as one that was not.

#![allow(missing_docs)]
#![expect(clippy::unwrap_used, reason = "a test's way to fail")]

mod ablation;
mod bad_input;
mod bench;
mod costs;
mod data;
mod documents;
#[path = "../../../data/tests/support/mod.rs"]
mod formats;
mod images;
mod interruption;
mod invoke;
mod output;
mod pictures;
#[path = "../../../space/tests/support/published_costs.rs"]
mod published_costs;
mod stages;
mod table;
mod tiny_run;

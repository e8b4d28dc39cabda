//! The NAS-Bench-201 search space (Dong and Yang, arXiv 2001.00326; facts section 6): 15,625 cells, each of which
//! the benchmark has trained, so that a search can be scored without training what it found.
//!
//! A cell has one input, node 0. Each later node is the sum of one operation on every node before it, and node 3
//! is the output:
//!
//! ```text
//! edge    0       1       2       3       4       5
//!         1 <- 0  2 <- 0  2 <- 1  3 <- 0  3 <- 1  3 <- 2
//! ```
//!
//! The same cell stands everywhere in a network of three stages of equal length, with a residual block of stride 2
//! between two stages (see [`NetworkSpec`]).
//!
//! ```
//! use cdarts_space::nas_bench_201::{Genotype, Op, published};
//!
//! # fn main() -> Result<(), cdarts_space::SpaceError> {
//! let text = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|";
//! let genotype: Genotype = text.parse()?;
//! assert_eq!(genotype.op(3, 0), Op::SkipConnect);
//! assert_eq!(genotype.to_string(), text);
//! assert_eq!(published("nas-bench-201-cell-1"), Some(genotype));
//! # Ok(())
//! # }
//! ```

pub mod cost;

mod alphas;
mod genotype;
mod isomorphism;
mod json;
mod op;
mod plan;
mod published;
mod table;
mod table_csv;
mod text;

pub use alphas::Alphas;
pub use genotype::{CELLS, EDGES, Genotype, NODES, edge_index};
pub use isomorphism::Isomorphism;
pub(crate) use json::SPACE;
pub use op::Op;
pub use plan::{CellPlan, NetworkPlan, NetworkSpec, ReductionPlan, STAGES, StagePlan};
pub use published::{PUBLISHED, Published, published};
pub use table::{Best, ColumnStats, Standing, Table};

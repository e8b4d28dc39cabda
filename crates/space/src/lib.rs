//! What an architecture is, without tensors and without files: the operations of a search space, genotypes and
//! their text forms, the step from architecture weights to a genotype, the plan of a network (channels and sizes
//! of every cell), parameter and multiply-add counts, and drawings of cells.
//!
//! What stands here at the top belongs to the DARTS search space (Liu et al., arXiv 1806.09055);
//! [`nas_bench_201`] holds the same for NAS-Bench-201, with its table of accuracies. An [`Architecture`] is a
//! genotype of either.
//!
//! A DARTS cell has two inputs and four nodes. A node sums what its incoming edges bring; the cell's output is the
//! four nodes side by side along the channels:
//!
//! ```text
//! state   0         1         2        3        4        5
//!         cell k-2  cell k-1  node 0   node 1   node 2   node 3
//!
//! node i sums operations on states 0 to i + 1;  output = concat(2, 3, 4, 5)
//! ```
//!
//! ```
//! use cdarts_space::{CellKind, Genotype, Op};
//!
//! # fn main() -> Result<(), cdarts_space::SpaceError> {
//! let genotype: Genotype = "Genotype(
//!     normal=[[('sep_conv_3x3', 0), ('sep_conv_3x3', 1)], [('sep_conv_3x3', 1), ('sep_conv_3x3', 2)],
//!             [('sep_conv_3x3', 0), ('sep_conv_3x3', 1)], [('skip_connect', 0), ('skip_connect', 2)]],
//!     normal_concat=range(2, 6),
//!     reduce=[[('sep_conv_5x5', 1), ('max_pool_3x3', 0)], [('dil_conv_5x5', 2), ('skip_connect', 0)],
//!             [('sep_conv_3x3', 0), ('sep_conv_5x5', 1)], [('sep_conv_3x3', 0), ('dil_conv_5x5', 2)]],
//!     reduce_concat=range(2, 6))"
//!     .parse()?;
//! assert_eq!(genotype.cell(CellKind::Normal).nodes[3][0].op, Op::SkipConnect);
//! assert_eq!(Some(genotype), cdarts_space::published("cdarts-cifar"));
//! # Ok(())
//! # }
//! ```

pub mod cost;
pub mod drawing;
pub mod nas_bench_201;
pub mod ranking;

mod alphas;
mod architecture;
mod cursor;
mod discretise;
mod error;
mod genotype;
mod genotype_json;
mod genotype_text;
mod heads;
mod op;
mod plan;
mod published;
mod skeleton;
mod stages;

pub use alphas::{Alphas, CellAlphas};
pub use architecture::Architecture;
pub use discretise::{discretise, sample, sample_from_probabilities, scores};
pub use error::SpaceError;
pub use genotype::{CellGenotype, CellKind, EDGES, Edge, Genotype, NODES, edge_ends, edge_index, edges_of};
pub use genotype_json::{parse_stages, stages_to_json};
pub use heads::HeadPlan;
pub use op::Op;
pub use plan::{
    CellPlan, ImageShape, NetworkPlan, NetworkSpec, ReductionPosition, StagePlan, Stem, StemPlan,
};
pub use published::{PUBLISHED, Published, published};
pub use skeleton::{PlanView, Skeleton, SkeletonPlan};
pub use stages::StageGenotypes;

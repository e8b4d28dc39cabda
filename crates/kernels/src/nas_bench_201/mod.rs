//! Cells of NAS-Bench-201 (facts, section 6): four nodes of which the first is the input, six edges, five operations,
//! the output being the last node.
//!
//! As with DARTS cells a whole cell is one operation. All convolutions that leave a node share its activated planes and
//! are one dense product; skip connections and pooling ride along in the node's sum, where the pooled terms are added
//! up first and pooled once. On the way back one pooling of a node's gradient serves the states and the mixing weights.

mod backward;
mod cell;
mod layout;
mod plan;
pub mod reference;

pub use backward::CellGrads;
pub use cell::{CellInput, CellSaved};
pub use plan::{CellPlan, EDGES, Edge, NODES, Op, Path};

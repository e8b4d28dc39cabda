//! What NAS-Bench-201 has of its own (facts section 6): cells of one input and six edges, the residual block between
//! two stages, and architecture weights of the one cell that stands everywhere.

mod cell;
mod residual;
mod weights;

pub use cell::{EvalCell, SearchCell};
pub use residual::ResidualBlock;
pub use weights::CellWeights;

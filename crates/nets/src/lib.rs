//! The networks of cyclic differentiable architecture search (Yu et al., TPAMI 2022) as burn modules: the eight
//! operations, search and evaluation cells, both networks, stems, heads, architecture weights, and the bank that
//! carries weights from one evaluation network to the next.
//!
//! Training and inference differ by device, as everywhere in burn: on an autodiff device batch norms use and
//! record the batch's statistics; `module.valid()` gives the inference form.

pub mod arch;
mod average;
pub mod bank;
pub mod bench;
pub mod cell;
pub mod conv;
pub mod evalnet;
pub mod fused;
pub mod head;
pub mod init;
pub mod laps;
pub mod mixed;
pub mod nas_bench_201;
pub mod norm;
pub mod ops;
pub mod output;
pub mod params;
mod running;
pub mod stem;
pub mod supernet;
mod switch;
pub mod weights;

pub use arch::{ArchWeights, CellWeights, Mixing};
pub use average::moving_average;
pub use bank::{Moved, PastSkip, WeightBank};
pub use cdarts_kernels::keep_freed_memory;
pub use cell::DropPath;
pub use conv::Linear;
pub use evalnet::{EvalNet, EvalStage, FoundNet, FoundOutput};
pub use fused::State;
pub use head::Head;
pub use init::Initialiser;
pub use output::{DistillHeads, Features, NetOutput, StageMixture};
pub use stem::Stem;
pub use supernet::Supernet;

/// What can go wrong with stored weights.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetsError {
    /// Stored weights are not a safetensors file, or cannot be written as one.
    #[error("not a file of weights in the safetensors format: {0}")]
    Format(#[from] safetensors::SafeTensorError),
    /// A stored bank holds a tensor that belongs nowhere.
    #[error("the weight bank holds a tensor `{name}` that belongs to no cell")]
    BankTensor {
        /// The tensor's name.
        name: String,
    },
    /// A value that the network needs is not there.
    #[error("the file holds no tensor `{name}`")]
    Missing {
        /// The tensor's name.
        name: String,
    },
    /// A value has another shape.
    #[error("tensor `{name}` has shape {found:?}; the network needs {expected:?}")]
    Shape {
        /// The tensor's name.
        name: String,
        /// The network's shape.
        expected: Vec<usize>,
        /// The file's shape.
        found: Vec<usize>,
    },
    /// A value that the network has no place for.
    #[error("the file holds a tensor `{name}` that the network has no place for")]
    Unused {
        /// The tensor's name.
        name: String,
    },
}

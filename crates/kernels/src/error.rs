//! What the kernels refuse: wrong lengths, impossible plans, batches without a variance.

/// Why a kernel did not run. Nothing has been written to any output when one of these comes back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// A slice does not have the length that the plan and the batch ask for.
    #[error("{what}: expected {expected} values, found {found}")]
    Length {
        /// Which argument.
        what: &'static str,
        /// Length by the plan.
        expected: usize,
        /// Length of the slice.
        found: usize,
    },
    /// An argument is missing or present against the plan (affine parameters, say).
    #[error("{what}: expected {expected}, found {found}")]
    Argument {
        /// Which argument.
        what: &'static str,
        /// What the plan asks for.
        expected: &'static str,
        /// What was given.
        found: &'static str,
    },
    /// An edge starts at a state its node cannot see.
    #[error("edge {edge} into node {node}: source must be below {limit}, found {found}")]
    Source {
        /// Position in the list of edges.
        edge: usize,
        /// The edge's node, from 0.
        node: usize,
        /// Number of states that node sees (two inputs and all earlier nodes).
        limit: usize,
        /// The source asked for.
        found: usize,
    },
    /// An edge ends at a node the cell does not have.
    #[error("edge {edge}: node must be below {limit}, found {found}")]
    Node {
        /// Position in the list of edges.
        edge: usize,
        /// Number of nodes of the cell.
        limit: usize,
        /// The node asked for.
        found: usize,
    },
    /// A channel count, image size, kernel or batch of zero, or a kernel that does not fit the image.
    #[error("{what}: expected at least {minimum}, found {found}")]
    TooSmall {
        /// Which quantity.
        what: &'static str,
        /// Smallest usable value.
        minimum: usize,
        /// What was given.
        found: usize,
    },
    /// Batch statistics over a single value have no unbiased variance.
    #[error("batch norm needs more than one value a channel, found batch {batch} of {height}x{width}")]
    OneValue {
        /// Images in the batch.
        batch: usize,
        /// Height of the normalised planes.
        height: usize,
        /// Width of the normalised planes.
        width: usize,
    },
}

/// Checks one slice's length.
pub(crate) fn check(what: &'static str, expected: usize, found: usize) -> Result<(), KernelError> {
    if expected == found { Ok(()) } else { Err(KernelError::Length { what, expected, found }) }
}

/// Checks quantities, each with its name and its smallest usable value.
pub(crate) fn refuse_small(wanted: &[(&'static str, usize, usize)]) -> Result<(), KernelError> {
    match wanted.iter().find(|(_, found, minimum)| found < minimum) {
        Some(&(what, found, minimum)) => Err(KernelError::TooSmall { what, minimum, found }),
        None => Ok(()),
    }
}

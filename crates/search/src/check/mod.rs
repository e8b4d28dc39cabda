//! Every gradient of a search against central differences, on a network so small that this takes seconds.
//!
//! Differences are taken of losses in double precision on burn's own operations: L(x + h d) − L(x − h d) over 2 h, along
//! single coordinates and along random directions d of length 1 over a whole group of parameters. A gradient in double
//! precision on the same operations has to agree with them closely, one in single precision on the fused kernels as
//! closely as its rounding allows. Losses have kinks where a ReLU or a maximum changes sides; a difference across one
//! is wrong for a right gradient and right again with a smaller step, so the best of a few steps counts. A gradient
//! that is wrong is wrong for all of them.
//!
//! Errors are relative to the derivative, to the root mean square of the group's derivatives, or to a thousandth of
//! the loss, whichever is largest: below that a difference of losses says nothing.

mod difference;
mod groups;
mod point;
mod second_order;

use std::fmt;

use cdarts_space::SpaceError;
use serde::Serialize;

pub use groups::Group;
pub use point::Term;

use crate::config::{Config, Distance, Preset};

/// What is checked how thoroughly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Networks, images, coordinates and directions follow from it.
    pub seed: u64,
    /// Coordinates of each group.
    pub coordinates: usize,
    /// Random directions over each group.
    pub directions: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self { seed: 1, coordinates: 3, directions: 2 }
    }
}

/// How the networks are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Path {
    /// burn's own operations, in double precision.
    Stock,
    /// The fused CPU kernels, in single precision.
    Fused,
}

impl Path {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Stock, Self::Fused];
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stock => "stock",
            Self::Fused => "fused",
        })
    }
}

/// One comparison: a term's gradient with respect to a group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// How the gradient was computed.
    pub path: Path,
    /// Whether the search network had weighted edges (beta).
    pub edge_weights: bool,
    /// What was differentiated.
    pub term: Term,
    /// With respect to what.
    pub with_respect_to: Group,
    /// Coordinates and directions compared.
    pub values: usize,
    /// Whether the term depends on the group at all.
    pub depends: bool,
    /// The largest relative error.
    pub error: f64,
    /// The largest that is accepted.
    pub tolerance: f64,
}

impl Row {
    /// Whether gradient and differences agree.
    pub fn agrees(&self) -> bool {
        self.error <= self.tolerance
    }
}

/// All comparisons.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Path by path, term by term.
    pub rows: Vec<Row>,
    /// Differences that the smooth-L1 distance took in its quadratic branch and in its linear one.
    pub smooth_l1_branches: [usize; 2],
}

impl Report {
    /// What disagrees.
    pub fn disagreements(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| !row.agrees())
    }

    /// Whether everything agrees.
    pub fn agrees(&self) -> bool {
        self.disagreements().next().is_none()
    }
}

/// A fault put into gradients before they are compared, to see that the check finds it.
pub trait Fault {
    /// Changes the gradient of a term with respect to a group.
    fn gradient(&self, _: Path, _: Term, _: Group, _: &mut [f64]) {}

    /// What the Hessian-vector product of second-order DARTS is multiplied by, given the ε that it was divided by twice.
    fn product_factor(&self, _: f64) -> f64 {
        1.0
    }
}

struct NoFault;

impl Fault for NoFault {}

/// Checks every gradient.
///
/// # Errors
/// [`SpaceError`] never in practice: the networks are fixed.
pub fn gradients(setup: &Setup) -> Result<Report, SpaceError> {
    gradients_with(setup, &NoFault)
}

/// As [`gradients`], with a fault.
///
/// # Errors
/// As [`gradients`].
pub fn gradients_with(setup: &Setup, fault: &dyn Fault) -> Result<Report, SpaceError> {
    let (mut rows, mut smooth_l1_branches) = (Vec::new(), [0, 0]);
    for edge_weights in [false, true] {
        let losses = losses_with(setup, edge_weights, fault)?;
        smooth_l1_branches.iter_mut().zip(losses.smooth_l1_branches).for_each(|(sum, count)| *sum += count);
        rows.extend(losses.rows);
        let second_order = second_order_with(setup, edge_weights, &[fault])?;
        rows.extend(second_order.into_iter().flat_map(|report| report.rows));
    }
    rows.sort_by_key(|row| (row.path, row.term, row.with_respect_to));
    Ok(Report { rows, smooth_l1_branches })
}

/// The part about the losses of a joint step, with weighted edges or without.
///
/// # Errors
/// As [`gradients`].
pub fn losses_with(setup: &Setup, edge_weights: bool, fault: &dyn Fault) -> Result<Report, SpaceError> {
    difference::report(setup, &config(edge_weights), fault)
}

/// The part about second-order DARTS, with weighted edges or without: a report for each of several faults, which costs
/// little more than one.
///
/// # Errors
/// As [`gradients`].
pub fn second_order_with(
    setup: &Setup,
    edge_weights: bool,
    faults: &[&dyn Fault],
) -> Result<Vec<Report>, SpaceError> {
    let rows = second_order::rows(setup, &config(edge_weights), faults)?;
    Ok(rows.into_iter().map(|rows| Report { rows, smooth_l1_branches: [0, 0] }).collect())
}

/// Both kinds of cell in either network; a weight of the distillation that shows whether it divides and multiplies.
fn config(edge_weights: bool) -> Config {
    let mut config = Preset::Corrected.config();
    let search = &mut config.search;
    (search.init_channels, search.stem_multiplier) = (4, 2);
    (search.cells, search.eval_cells) = (vec![1, 1], vec![1, 1]);
    (search.distance, search.distill_weight, search.distill_temperature) = (Distance::SmoothL1, 1.5, 2.0);
    (search.fix_heads, search.edge_weights) = (false, edge_weights);
    config
}

//! Cells: two inputs, nodes that sum over edges, the nodes side by side as output (facts 3.2).

mod evaluation;
mod search;

use burn::module::Module;
use cdarts_space::CellPlan;

pub use evaluation::{DropPath, EvalCell};
pub use search::SearchCell;

use crate::fused::State;
use crate::init::Initialiser;
use crate::ops::{FactorizedReduce, ReluConvNorm};

/// Brings both inputs of a cell to its number of channels and the older one to the newer one's size.
#[derive(Module, Debug)]
pub struct Preprocess {
    two_back: TwoBack,
    one_back: ReluConvNorm,
}

/// The older input: halved where the cell before was a reduction.
#[derive(Module, Debug)]
enum TwoBack {
    Same(ReluConvNorm),
    Halved(FactorizedReduce),
}

impl Preprocess {
    /// As `plan` says; `affine` is for the batch norms.
    pub fn new(plan: &CellPlan, affine: bool, init: &Initialiser) -> Self {
        let (older, newer, channels) = (plan.channels_two_back, plan.channels_one_back, plan.channels);
        let two_back = if plan.previous_reduces {
            TwoBack::Halved(FactorizedReduce::new(older, channels, affine, &mut init.at(0)))
        } else {
            TwoBack::Same(ReluConvNorm::new(older, channels, affine, &mut init.at(0)))
        };
        Self { two_back, one_back: ReluConvNorm::new(newer, channels, affine, &mut init.at(1)) }
    }

    /// # Shapes
    /// - `two_back`: `[n, c'', h, w]`, or twice the size after a reduction
    /// - `one_back`: `[n, c', h, w]`
    /// - returns two of `[n, c, h, w]`
    pub fn forward(&self, two_back: State, one_back: State) -> [State; 2] {
        let two_back = match &self.two_back {
            TwoBack::Same(op) => op.forward(two_back),
            TwoBack::Halved(op) => op.forward_state(two_back),
        };
        [two_back, self.one_back.forward(one_back)]
    }
}

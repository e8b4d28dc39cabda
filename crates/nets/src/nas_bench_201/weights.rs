//! Architecture weights: one logit an operation and edge, the same in every cell.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use cdarts_space::nas_bench_201::{Alphas, EDGES, Op};

use crate::arch::{DEVIATION, frozen_at, host_values};
use crate::init::Initialiser;

/// The architecture weights of the cell.
#[derive(Module, Debug)]
pub struct CellWeights {
    /// `[6, 5]`
    alpha: Param<Tensor<2>>,
}

impl CellWeights {
    /// Logits near zero.
    pub fn new(init: &mut Initialiser) -> Self {
        Self { alpha: init.normal([EDGES, Op::COUNT], DEVIATION) }
    }

    pub(crate) fn uniform(self, value: f64) -> Self {
        Self { alpha: frozen_at(value, &self.alpha) }
    }

    /// # Shapes
    /// returns `[6, 5]`
    pub(crate) fn alpha(&self) -> Tensor<2> {
        self.alpha.val()
    }

    /// The raw logits on the host.
    pub fn logits(&self) -> Alphas {
        let values = host_values(self.alpha.val());
        let row = |edge: usize| std::array::from_fn(|op| values[edge * Op::COUNT + op]);
        Alphas { alpha: std::array::from_fn(row) }
    }

    /// The mean over the edges of |alpha| of the penalised operation, `none`, raw logits.
    ///
    /// # Shapes
    /// returns `[1]`
    pub fn penalised_l1(&self) -> Tensor<1> {
        let penalised = Op::ALL.into_iter().filter(|op| op.is_penalised()).map(Op::index);
        let columns = penalised.map(|op| self.alpha.val().slice([0..EDGES, op..op + 1]));
        Tensor::cat(columns.collect(), 1).abs().mean()
    }

    pub(crate) fn device(&self) -> burn::tensor::Device {
        self.alpha.val().device()
    }
}

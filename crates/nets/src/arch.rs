//! Architecture weights: alpha, one logit an operation and edge, and beta, one logit an edge (facts 1.1).

use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation::softmax};
use cdarts_space::{CellAlphas, CellKind, EDGES, NODES, Op, edges_of};

use crate::init::Initialiser;

/// Deviation of the initial logits.
const DEVIATION: f64 = 1e-3;

/// The architecture weights of both cells, shared by all cells of a kind.
#[derive(Module, Debug)]
pub struct ArchWeights {
    normal: CellWeights,
    reduce: CellWeights,
}

/// The architecture weights of one kind of cell.
#[derive(Module, Debug)]
pub struct CellWeights {
    /// `[14, 8]`
    alpha: Param<Tensor<2>>,
    /// `[14]`; absent where edges are not weighted, which makes a node the mean of its edges.
    beta: Option<Param<Tensor<1>>>,
}

impl ArchWeights {
    /// Logits near zero; `edge_weights` adds trainable beta.
    pub fn new(edge_weights: bool, init: &Initialiser) -> Self {
        let cell = |place: usize| {
            let mut init = init.at(place);
            CellWeights {
                alpha: init.normal([EDGES, Op::COUNT], DEVIATION),
                beta: edge_weights.then(|| init.normal([EDGES], DEVIATION)),
            }
        };
        Self { normal: cell(0), reduce: cell(1) }
    }

    /// The weights of one kind of cell.
    pub fn cell(&self, kind: CellKind) -> &CellWeights {
        match kind {
            CellKind::Normal => &self.normal,
            CellKind::Reduction => &self.reduce,
        }
    }

    /// The sum of |alpha| over the operations without weights, raw logits, both cells (facts 1.5).
    ///
    /// # Shapes
    /// returns `[1]`
    pub fn weight_free_l1(&self) -> Tensor<1> {
        self.normal.weight_free_l1() + self.reduce.weight_free_l1()
    }
}

impl CellWeights {
    /// What every operation on every edge is multiplied by: softmax of alpha over an edge's operations times
    /// softmax of beta over a node's edges. Without beta an edge of node i weighs 1/(i+2).
    ///
    /// # Shapes
    /// returns `[14, 8]`
    pub fn mixing(&self) -> Tensor<2> {
        let alpha = self.alpha.val();
        let device = alpha.device();
        let by_node = (0..NODES).map(|node| {
            let edges = edges_of(node);
            match &self.beta {
                Some(beta) => softmax(beta.val().slice([edges]), 0),
                None => Tensor::full([edges.len()], 1.0 / edges.len() as f64, &device),
            }
        });
        let edge_weights: Tensor<1> = Tensor::cat(by_node.collect(), 0);
        softmax(alpha, 1).mul(edge_weights.reshape([EDGES, 1]))
    }

    /// The raw logits on the host.
    pub fn logits(&self) -> CellAlphas {
        let values = host_values(self.alpha.val());
        let alpha = values.chunks_exact(Op::COUNT).map(|row| std::array::from_fn(|op| row[op])).collect();
        let beta = match &self.beta {
            Some(beta) => host_values(beta.val()),
            None => vec![0.0; EDGES],
        };
        CellAlphas { alpha, beta }
    }

    fn weight_free_l1(&self) -> Tensor<1> {
        let device = self.alpha.val().device();
        let mask: [f32; Op::COUNT] = Op::ALL.map(|op| if op.is_weight_free() { 1.0 } else { 0.0 });
        let mask = Tensor::<1>::from_floats(mask, &device).reshape([1, Op::COUNT as i32]);
        self.alpha.val().abs().mul(mask).sum()
    }
}

/// A tensor's values, row by row.
pub fn host_values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

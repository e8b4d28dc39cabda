//! The search network's cell: every edge holds every operation.

use burn::module::Module;
use burn::tensor::Tensor;
use cdarts_space::{CellPlan, NODES, edge_index};

use super::Preprocess;
use crate::init::Initialiser;
use crate::mixed::MixedOp;

/// A cell of 4 nodes and 14 mixed edges.
#[derive(Module, Debug)]
pub struct SearchCell {
    preprocess: Preprocess,
    edges: Vec<MixedOp>,
}

impl SearchCell {
    /// As `plan` says, batch norms without affine part.
    pub fn new(plan: &CellPlan, init: &Initialiser) -> Self {
        let preprocess = Preprocess::new(plan, false, &init.at(0));
        let edge = |node: usize, source: usize| {
            MixedOp::new(plan.channels, plan.kind.stride(source), &init.at(1 + edge_index(node, source)))
        };
        let edges = (0..NODES).flat_map(|node| (0..node + 2).map(move |source| edge(node, source))).collect();
        Self { preprocess, edges }
    }

    /// # Shapes
    /// - `two_back`, `one_back`: the outputs of the two cells before
    /// - `mixing`: `[14, 8]`, the weight of every operation on every edge
    /// - returns `[n, 4c, h', w']`
    pub fn forward(&self, two_back: Tensor<4>, one_back: Tensor<4>, mixing: &Tensor<2>) -> Tensor<4> {
        let mut states = Vec::from(self.preprocess.forward(two_back, one_back));
        for node in 0..NODES {
            let edge = |source: usize| {
                let index = edge_index(node, source);
                let weights = mixing.clone().slice([index..index + 1, 0..8]).reshape([8]);
                self.edges[index].forward(&states[source], weights)
            };
            let sum = (1..node + 2).fold(edge(0), |sum, source| sum + edge(source));
            states.push(sum);
        }
        Tensor::cat(states.split_off(2), 1)
    }
}

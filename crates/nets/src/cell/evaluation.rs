//! The evaluation network's cell: the edges and operations that a genotype kept, summed without weights.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use cdarts_space::{CellGenotype, CellPlan, Edge};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Preprocess;
use crate::init::Initialiser;
use crate::ops::Operation;

/// A discrete cell.
#[derive(Module, Debug)]
pub struct EvalCell {
    pub(crate) preprocess: Preprocess,
    pub(crate) nodes: Vec<EvalNode>,
    concat: Vec<usize>,
}

/// One node: its edges in the genotype's order.
#[derive(Module, Debug)]
pub struct EvalNode {
    pub(crate) ops: Vec<Operation>,
    sources: Vec<usize>,
}

/// Drops whole operations for single images while training (facts 3.1), the survivors made up for.
#[derive(Debug)]
pub struct DropPath {
    probability: f64,
    rng: ChaCha8Rng,
}

impl DropPath {
    /// Drops with `probability`; the masks follow from `seed` alone.
    pub fn new(probability: f64, seed: u64) -> Self {
        Self { probability, rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// # Shapes
    /// `[n, c, h, w]` → `[n, c, h, w]`, each image times 0 or 1 / (1 - probability)
    fn apply(&mut self, x: Tensor<4>) -> Tensor<4> {
        if self.probability <= 0.0 {
            return x;
        }
        let n = x.dims()[0];
        let keep = 1.0 - self.probability;
        let mask: Vec<f32> =
            (0..n).map(|_| if self.rng.random::<f64>() < keep { (1.0 / keep) as f32 } else { 0.0 }).collect();
        let mask = Tensor::from_data(TensorData::new(mask, [n, 1, 1, 1]), &x.device());
        x.mul(mask)
    }
}

impl EvalCell {
    /// The cell of `genotype` as `plan` says; `affine` is for the batch norms.
    pub fn new(plan: &CellPlan, genotype: &CellGenotype, affine: bool, init: &Initialiser) -> Self {
        let preprocess = Preprocess::new(plan, affine, &init.at(0));
        let operation = |node: usize, edge: &Edge| {
            let place = init.at(1 + cdarts_space::edge_index(node, edge.source));
            let mut init = place.at(edge.op.index());
            Operation::new(edge.op, plan.channels, plan.kind.stride(edge.source), affine, &mut init)
        };
        let node = |(node, edges): (usize, &Vec<Edge>)| EvalNode {
            ops: edges.iter().map(|edge| operation(node, edge)).collect(),
            sources: edges.iter().map(|edge| edge.source).collect(),
        };
        let nodes = genotype.nodes.iter().enumerate().map(node).collect();
        Self { preprocess, nodes, concat: genotype.concat.clone() }
    }

    /// # Shapes
    /// - `two_back`, `one_back`: the outputs of the two cells before
    /// - returns `[n, nodes kept · c, h', w']`
    pub fn forward(
        &self,
        two_back: Tensor<4>,
        one_back: Tensor<4>,
        mut drop_path: Option<&mut DropPath>,
    ) -> Tensor<4> {
        let mut states = Vec::from(self.preprocess.forward(two_back, one_back));
        for node in &self.nodes {
            let mut terms = node.ops.iter().zip(&node.sources).map(|(op, &source)| {
                let y = op.forward(states[source].clone());
                match drop_path.as_deref_mut() {
                    Some(drop_path) if !op.is_identity() => drop_path.apply(y),
                    _ => y,
                }
            });
            let sum = terms.next().map(|first| terms.fold(first, |sum, term| sum + term));
            // A genotype's node has at least one edge; the parser and the discretisation see to it.
            states.push(sum.unwrap_or_else(|| states[0].zeros_like()));
        }
        Tensor::cat(self.concat.iter().map(|&state| states[state].clone()).collect(), 1)
    }
}

//! The evaluation network's cell: the edges and operations that a genotype kept, summed without weights.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use cdarts_kernels::plan;
use cdarts_space::{CellGenotype, CellKind, CellPlan, Edge};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Preprocess;
use crate::fused::{Blocked, FusedCell, State, both, run_cell, sound};
use crate::init::Initialiser;
use crate::ops::Operation;

/// A discrete cell.
#[derive(Module, Debug)]
pub struct EvalCell {
    pub(crate) preprocess: Preprocess,
    pub(crate) nodes: Vec<EvalNode>,
    concat: Vec<usize>,
    channels: usize,
    reduces: bool,
    affine: bool,
}

/// One node: its edges in the genotype's order.
#[derive(Module, Debug)]
pub struct EvalNode {
    pub(crate) ops: Vec<Operation>,
    sources: Vec<usize>,
    /// Index of each operation in the space.
    kinds: Vec<usize>,
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
    pub(crate) fn apply(&mut self, x: Tensor<4>) -> Tensor<4> {
        if self.probability <= 0.0 {
            return x;
        }
        let n = x.dims()[0];
        let mask = Tensor::from_data(TensorData::new(self.draw(n), [n, 1, 1, 1]), &x.device());
        x.mul(mask)
    }

    /// What the outputs of `ops` are multiplied by, `[ops, n]`; nothing where all of them stay.
    pub(crate) fn multipliers<'a>(
        &mut self,
        ops: impl IntoIterator<Item = &'a Operation>,
        n: usize,
    ) -> Option<Vec<f32>> {
        if self.probability <= 0.0 {
            return None;
        }
        let row = |op: &Operation| if op.is_identity() { vec![1.0; n] } else { self.draw(n) };
        Some(ops.into_iter().flat_map(row).collect())
    }

    /// What each of `n` images is multiplied by.
    fn draw(&mut self, n: usize) -> Vec<f32> {
        let keep = 1.0 - self.probability;
        (0..n).map(|_| if self.rng.random::<f64>() < keep { (1.0 / keep) as f32 } else { 0.0 }).collect()
    }
}

impl EvalNode {
    /// The node of `edges` with their operations.
    pub(crate) fn new(edges: &[Edge], ops: Vec<Operation>) -> Self {
        let sources = edges.iter().map(|edge| edge.source).collect();
        Self { ops, sources, kinds: edges.iter().map(|edge| edge.op.index()).collect() }
    }
}

impl EvalCell {
    /// A cell of parts that are there already, batch norms without affine part.
    pub(crate) fn of_parts(
        preprocess: Preprocess,
        nodes: Vec<EvalNode>,
        concat: Vec<usize>,
        channels: usize,
        reduces: bool,
    ) -> Self {
        Self { preprocess, nodes, concat, channels, reduces, affine: false }
    }

    /// The cell of `genotype` as `plan` says; `affine` is for the batch norms.
    pub fn new(plan: &CellPlan, genotype: &CellGenotype, affine: bool, init: &Initialiser) -> Self {
        let preprocess = Preprocess::new(plan, affine, &init.at(0));
        let operation = |node: usize, edge: &Edge| {
            let place = init.at(1 + cdarts_space::edge_index(node, edge.source));
            let mut init = place.at(edge.op.index());
            Operation::new(edge.op, plan.channels, plan.kind.stride(edge.source), affine, &mut init)
        };
        let node = |(node, edges): (usize, &Vec<Edge>)| {
            EvalNode::new(edges, edges.iter().map(|edge| operation(node, edge)).collect())
        };
        let nodes = genotype.nodes.iter().enumerate().map(node).collect();
        Self {
            preprocess,
            nodes,
            concat: genotype.concat.clone(),
            channels: plan.channels,
            reduces: plan.kind == CellKind::Reduction,
            affine,
        }
    }

    /// # Shapes
    /// - `two_back`, `one_back`: the outputs of the two cells before
    /// - returns `[n, nodes kept · c, h', w']`
    pub fn forward(&self, two_back: State, one_back: State, mut drop_path: Option<&mut DropPath>) -> State {
        let [two_back, one_back] = self.preprocess.forward(two_back, one_back);
        let states = match both(two_back, one_back) {
            Err(states) => states,
            // The kernels put nodes side by side in their order.
            Ok(states) if self.concat != [2, 3, 4, 5] => states.map(|state| State::Blocked(state).plain()),
            Ok(states) => match run_cell(self.fused(&states[0], drop_path.as_deref_mut()), states.clone()) {
                Some(output) => return State::Blocked(output),
                None => states.map(|state| State::Blocked(state).plain()),
            },
        };
        State::Plain(self.forward_plain(states, drop_path))
    }

    fn fused(&self, state: &Blocked, drop_path: Option<&mut DropPath>) -> FusedCell<'_, plan::CellPlan> {
        let (n, size) = state.extent();
        let edge =
            |node: usize, source: usize, kind: usize| plan::Edge { node, source, op: plan::Op::ALL[kind] };
        let edges: Vec<plan::Edge> = self
            .nodes
            .iter()
            .enumerate()
            .flat_map(|(node, n)| n.sources.iter().zip(&n.kinds).map(move |(&s, &kind)| edge(node, s, kind)))
            .collect();
        let ops = || self.nodes.iter().flat_map(|node| &node.ops);
        let (weights, norms): (Vec<_>, Vec<_>) = ops().map(Operation::parts).unzip();
        FusedCell {
            kernel: sound(plan::CellPlan::with_edges(self.channels, size, self.reduces, &edges, self.affine))
                .in_blocks_of(state.channels.width),
            weights: weights.into_iter().flatten().collect(),
            norms: norms.concat(),
            mixing: None,
            drop: drop_path.and_then(|drop_path| drop_path.multipliers(ops(), n)),
        }
    }

    /// Edge by edge on burn's own operations: every device but the CPU, and the reference there.
    fn forward_plain(&self, states: [Tensor<4>; 2], mut drop_path: Option<&mut DropPath>) -> Tensor<4> {
        let mut states = Vec::from(states);
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

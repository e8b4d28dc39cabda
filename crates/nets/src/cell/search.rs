//! The search network's cell: every edge holds every operation.

use burn::module::Module;
use burn::tensor::Tensor;
use cdarts_kernels::plan::CellPlan;
use cdarts_space::{CellKind, CellPlan as Planned, Edge, Genotype, NODES, edge_ends, edge_index};

use super::Preprocess;
use super::evaluation::{EvalCell, EvalNode};
use crate::fused::{Blocked, FusedCell, State, both, run_cell, sound};
use crate::init::Initialiser;
use crate::mixed::MixedOp;

/// A cell of 4 nodes and 14 mixed edges.
#[derive(Module, Debug)]
pub struct SearchCell {
    pub(crate) preprocess: Preprocess,
    /// By [`edge_index`].
    pub(crate) edges: Vec<MixedOp>,
    channels: usize,
    reduces: bool,
}

impl SearchCell {
    /// As `plan` says, batch norms without affine part.
    pub fn new(plan: &Planned, init: &Initialiser) -> Self {
        let preprocess = Preprocess::new(plan, false, &init.at(0));
        let edge =
            |(index, (_, source))| MixedOp::new(plan.channels, plan.kind.stride(source), &init.at(1 + index));
        let edges = edge_ends().enumerate().map(edge).collect();
        Self { preprocess, edges, channels: plan.channels, reduces: plan.kind == CellKind::Reduction }
    }

    pub(crate) fn kind(&self) -> CellKind {
        if self.reduces { CellKind::Reduction } else { CellKind::Normal }
    }

    /// The cell that `genotype` keeps of this one; it shares this one's parameters.
    pub(crate) fn discrete(&self, genotype: &Genotype) -> EvalCell {
        let kept = genotype.cell(self.kind());
        let op =
            |node: usize, edge: Edge| self.edges[edge_index(node, edge.source)].ops[edge.op.index()].clone();
        let node = |(node, edges): (usize, &Vec<Edge>)| {
            EvalNode::new(edges, edges.iter().map(|&edge| op(node, edge)).collect())
        };
        let nodes = kept.nodes.iter().enumerate().map(node).collect();
        EvalCell::of_parts(self.preprocess.clone(), nodes, kept.concat.clone(), self.channels, self.reduces)
    }

    /// # Shapes
    /// - `two_back`, `one_back`: the outputs of the two cells before
    /// - `mixing`: `[14, 8]`, the weight of every operation on every edge
    /// - returns `[n, 4c, h', w']`
    pub fn forward(&self, two_back: State, one_back: State, mixing: &Tensor<2>) -> State {
        let [two_back, one_back] = self.preprocess.forward(two_back, one_back);
        let states = match both(two_back, one_back) {
            Err(states) => states,
            Ok(states) => match run_cell(self.fused(&states[0], mixing), states.clone()) {
                Some(output) => return State::Blocked(output),
                None => states.map(|state| State::Blocked(state).plain()),
            },
        };
        State::Plain(self.forward_plain(states, mixing))
    }

    fn fused(&self, state: &Blocked, mixing: &Tensor<2>) -> FusedCell<'_, CellPlan> {
        let (weights, norms): (Vec<_>, Vec<_>) = self.edges.iter().map(MixedOp::parts).unzip();
        FusedCell {
            kernel: sound(CellPlan::search(self.channels, state.extent().1, self.reduces))
                .in_blocks_of(state.channels.width),
            weights: weights.into_iter().flatten().collect(),
            norms: norms.concat(),
            mixing: Some(mixing.clone()),
            drop: None,
        }
    }

    /// Edge by edge on burn's own operations: every device but the CPU, and the reference there.
    fn forward_plain(&self, states: [Tensor<4>; 2], mixing: &Tensor<2>) -> Tensor<4> {
        let mut states = Vec::from(states);
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

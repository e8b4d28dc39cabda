//! Cells: a node is the sum of its edges, the last node is the output.

use burn::module::Module;
use burn::tensor::Tensor;
use cdarts_kernels::nas_bench_201 as kernels;
use cdarts_space::nas_bench_201::{CellPlan, EDGES, Genotype, NODES, Op, edge_index};

use crate::cell::DropPath;
use crate::fused::{Blocked, FusedCell, State, run_cell, sound};
use crate::init::Initialiser;
use crate::mixed::MixedOp;
use crate::ops::Operation;

/// The search network's cell: every operation on every edge.
#[derive(Module, Debug)]
pub struct SearchCell {
    /// In edge order.
    pub(crate) edges: Vec<MixedOp>,
    channels: usize,
}

/// The evaluation network's cell: the operation on each edge that a genotype keeps.
#[derive(Module, Debug)]
pub struct EvalCell {
    /// In edge order.
    pub(crate) ops: Vec<Operation>,
    /// Index of each operation in the space.
    kinds: Vec<usize>,
    channels: usize,
    affine: bool,
}

impl SearchCell {
    /// As `plan` says, batch norms without affine part.
    pub fn new(plan: &CellPlan, init: &Initialiser) -> Self {
        let edge = |index: usize| MixedOp::of_nas_bench_201(plan.channels, &init.at(index));
        Self { edges: (0..EDGES).map(edge).collect(), channels: plan.channels }
    }

    /// The cell that `genotype` keeps of this one; it shares this one's parameters.
    pub(crate) fn discrete(&self, genotype: &Genotype) -> EvalCell {
        let kept = self.edges.iter().zip(genotype.ops);
        EvalCell {
            ops: kept.map(|(edge, op)| edge.ops[op.index()].clone()).collect(),
            kinds: genotype.ops.map(Op::index).to_vec(),
            channels: self.channels,
            affine: false,
        }
    }

    /// # Shapes
    /// - `x`: `[n, c, h, w]`
    /// - `mixing`: `[6, 5]`, the weight of every operation on every edge
    /// - returns `[n, c, h, w]`
    pub fn forward(&self, x: State, mixing: &Tensor<2>) -> State {
        let x = match x {
            State::Plain(x) => x,
            State::Blocked(x) => match run_cell(self.fused(&x, mixing), [x.clone()]) {
                Some(output) => return State::Blocked(output),
                None => State::Blocked(x).plain(),
            },
        };
        State::Plain(nodes(x, |index, x| {
            let weights = mixing.clone().slice([index..index + 1, 0..Op::COUNT]).reshape([Op::COUNT]);
            self.edges[index].forward(x, weights)
        }))
    }

    fn fused(&self, x: &Blocked, mixing: &Tensor<2>) -> FusedCell<'_, kernels::CellPlan> {
        let (weights, norms): (Vec<_>, Vec<_>) = self.edges.iter().map(MixedOp::parts).unzip();
        FusedCell {
            kernel: sound(kernels::CellPlan::search(self.channels, x.extent().1)),
            weights: weights.into_iter().flatten().collect(),
            norms: norms.concat(),
            mixing: Some(mixing.clone()),
            drop: None,
        }
    }
}

impl EvalCell {
    /// The cell of `genotype` as `plan` says; `affine` is for the batch norms.
    pub fn new(plan: &CellPlan, genotype: &Genotype, affine: bool, init: &Initialiser) -> Self {
        let operation = |(index, op): (usize, Op)| {
            let mut init = init.at(index).at(op.index());
            Operation::of_nas_bench_201(op, plan.channels, affine, &mut init)
        };
        Self {
            ops: genotype.ops.into_iter().enumerate().map(operation).collect(),
            kinds: genotype.ops.map(Op::index).to_vec(),
            channels: plan.channels,
            affine,
        }
    }

    /// # Shapes
    /// `[n, c, h, w]` → `[n, c, h, w]`
    pub fn forward(&self, x: State, mut drop_path: Option<&mut DropPath>) -> State {
        let x = match x {
            State::Plain(x) => x,
            State::Blocked(x) => match run_cell(self.fused(&x, drop_path.as_deref_mut()), [x.clone()]) {
                Some(output) => return State::Blocked(output),
                None => State::Blocked(x).plain(),
            },
        };
        State::Plain(nodes(x, |index, x| {
            let y = self.ops[index].forward(x.clone());
            match drop_path.as_deref_mut() {
                Some(drop_path) if !self.ops[index].is_identity() => drop_path.apply(y),
                _ => y,
            }
        }))
    }

    fn fused(&self, x: &Blocked, drop_path: Option<&mut DropPath>) -> FusedCell<'_, kernels::CellPlan> {
        let (n, size) = x.extent();
        let edges: Vec<kernels::Edge> = ends()
            .zip(&self.kinds)
            .map(|((node, source), &kind)| kernels::Edge { node, source, op: kernels::Op::ALL[kind] })
            .collect();
        let (weights, norms): (Vec<_>, Vec<_>) = self.ops.iter().map(Operation::parts).unzip();
        FusedCell {
            kernel: sound(kernels::CellPlan::with_edges(self.channels, size, &edges, self.affine)),
            weights: weights.into_iter().flatten().collect(),
            norms: norms.concat(),
            mixing: None,
            drop: drop_path.and_then(|drop_path| drop_path.multipliers(&self.ops, n)),
        }
    }
}

/// Node and source of every edge, in edge order.
pub(crate) fn ends() -> impl Iterator<Item = (usize, usize)> {
    (1..NODES).flat_map(|node| (0..node).map(move |source| (node, source)))
}

/// The last node, where `edge` gives an edge's value by its index and its source.
fn nodes(x: Tensor<4>, mut edge: impl FnMut(usize, &Tensor<4>) -> Tensor<4>) -> Tensor<4> {
    let mut states = vec![x];
    for node in 1..NODES {
        let first = edge(edge_index(node, 0), &states[0]);
        let sum = (1..node).fold(first, |sum, source| sum + edge(edge_index(node, source), &states[source]));
        states.push(sum);
    }
    states.swap_remove(NODES - 1)
}

//! The plain reference of a cell, generic over the float; nothing here is fast.

use num_traits::Float;

use super::plan::{CellPlan, NODES, Op, Path};
use crate::reference::{Layer, Mix, Moments, ParamGrads, Params, Tape, Tensor, dense, run, run_back};

fn layers(path: &Path) -> Vec<Layer> {
    if let Some((weight, norm)) = path.conv {
        let (conv, weight) = dense(weight, 1, weight.shape[2] / 2, 0);
        return vec![Layer::Relu, Layer::Conv(conv, weight), Layer::Norm(norm)];
    }
    match path.op {
        Op::AvgPool3 => vec![Layer::AvgPool(1)],
        Op::Skip => vec![],
        _ => vec![Layer::Zero(1)],
    }
}

/// What [`cell_forward`] keeps: nodes and tapes.
#[derive(Debug, Clone)]
pub struct CellTape<T> {
    /// `[n, c, h, w]` each; the last is the output.
    pub nodes: Vec<Tensor<T>>,
    tapes: Vec<Tape<T>>,
}

impl<T: Float> CellTape<T> {
    /// Mean and biased variance of every batch norm in the plan's order.
    #[must_use]
    pub fn moments(&self) -> Vec<Moments<T>> {
        self.tapes.iter().flat_map(Tape::statistics).collect()
    }
}

/// A whole cell: nodes are weighted sums over the paths that enter them.
///
/// # Shapes
/// `x` and every node: `[n, c, h, w]`
#[must_use]
pub fn cell_forward<T: Float>(
    plan: &CellPlan,
    params: &Params<T>,
    mix: &Mix<T>,
    x: &Tensor<T>,
) -> CellTape<T> {
    let n = x.shape[0];
    let mut nodes = vec![x.clone()];
    let mut tapes: Vec<Option<Tape<T>>> = vec![None; plan.paths().len()];
    for node in 1..NODES {
        let mut sum = Tensor::zeros(x.shape);
        for (index, path) in plan.paths().iter().enumerate().filter(|(_, path)| path.node == node) {
            let tape = run(&layers(path), params, &nodes[path.source]);
            sum.add_scaled(&tape.output, |image| mix.at(index, path.edge, n, image));
            tapes[index] = Some(tape);
        }
        nodes.push(sum);
    }
    CellTape { nodes, tapes: tapes.into_iter().flatten().collect() }
}

/// Gradients of a cell.
#[derive(Debug, Clone)]
pub struct CellGrads<T> {
    /// Of the input.
    pub x: Tensor<T>,
    /// Of the parameters.
    pub params: ParamGrads<T>,
    /// Of the mixing weights, one a path.
    pub mix: Vec<T>,
}

/// Gradients of [`cell_forward`] from that of its output.
#[must_use]
pub fn cell_backward<T: Float>(
    plan: &CellPlan,
    params: &Params<T>,
    mix: &Mix<T>,
    tape: &CellTape<T>,
    grad: &Tensor<T>,
) -> CellGrads<T> {
    let n = grad.shape[0];
    let mut grads: Vec<Tensor<T>> = tape.nodes.iter().map(|node| Tensor::zeros(node.shape)).collect();
    grads[NODES - 1] = grad.clone();
    let mut param_grads = params.zero_grads();
    let mut mix_grads = vec![T::zero(); plan.paths().len()];
    for node in (1..NODES).rev() {
        for (index, path) in plan.paths().iter().enumerate().filter(|(_, path)| path.node == node) {
            let (node_grad, tape) = (grads[node].clone(), &tape.tapes[index]);
            let area = node_grad.data.len() / n.max(1);
            let products = node_grad.data.iter().zip(&tape.output.data).enumerate();
            mix_grads[index] =
                products.fold(T::zero(), |sum, (i, (&g, &y))| sum + g * y * mix.drop(path.edge, n, i / area));
            let mut scaled = Tensor::zeros(node_grad.shape);
            scaled.add_scaled(&node_grad, |image| mix.at(index, path.edge, n, image));
            let back = run_back(&layers(path), params, tape, scaled, &mut param_grads);
            grads[path.source].add_scaled(&back, |_| T::one());
        }
    }
    CellGrads { x: grads.swap_remove(0), params: param_grads, mix: mix_grads }
}

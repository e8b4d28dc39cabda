//! A whole cell as one operation: every edge, every operation, the sums at the nodes.

use burn::tensor::Tensor;
use cdarts_kernels::plan::CellPlan;
use cdarts_kernels::{Affine, Buffer, CellGrads, CellInput, Channels, LANES, RunningStats};

use super::flat::flat;
use super::operation::{Forward, Way, apply, constant, host, nothing, parent};
use super::{Blocked, WORKSPACE, sound};
use crate::norm::BatchNorm;

/// What a cell is made of, in the kernels' order.
pub(crate) struct FusedCell<'a> {
    /// Edges and operations.
    pub plan: CellPlan,
    /// Convolutions' weights.
    pub weights: Vec<Tensor<4>>,
    /// Batch norms.
    pub norms: Vec<&'a BatchNorm>,
    /// `[14, 8]`, in a search cell.
    pub mixing: Option<Tensor<2>>,
    /// `[edges, n]`: what drop path multiplies an edge by.
    pub drop: Option<Vec<f32>>,
}

/// The cell on its two pre-processed inputs; nothing where a norm would be over one value.
///
/// # Shapes
/// two of `[n, c/8, h, w, 8]` → `[n, 4 · c/8, h', w', 8]`
pub(crate) fn run_cell(cell: FusedCell<'_>, [s0, s1]: [Blocked; 2]) -> Option<Blocked> {
    let FusedCell { plan, weights, norms, mixing, drop } = cell;
    let (n, _) = s0.extent();
    let [h, w] = plan.output_size();
    let channels = Channels { groups: 4, per_group: plan.channels() };
    let shape = [n, channels.blocks(), h, w, LANES];
    let affine = plan.affine();
    let weights = if weights.is_empty() { None } else { Some(flat(weights)) };
    if !s0.tensor.device().is_autodiff() {
        let output = infer(&plan, n, [s0, s1], weights, &norms, mixing);
        return Some(Blocked { tensor: constant(output, shape), channels });
    }
    if n * h * w == 1 {
        return None;
    }
    let gains = |which: usize| {
        let tensors = norms.iter().filter_map(|norm| norm.affine_tensors());
        let tensors: Vec<Tensor<1>> =
            tensors.map(|[gain, bias]| if which == 0 { gain } else { bias }).collect();
        if tensors.is_empty() { nothing() } else { parent(Tensor::cat(tensors, 0)) }
    };
    let mixed = mixing.is_some();
    let parents = [
        parent(s0.tensor),
        parent(s1.tensor),
        weights.map_or_else(nothing, parent),
        mixing.map_or_else(nothing, parent),
        gains(0),
        gains(1),
    ];
    let tensor = apply(parents, shape, |parents| {
        let arguments = Arguments { n, parents, affine, mixed, drop };
        let mut output = WORKSPACE.take(plan.output_len(n));
        let saved = sound(plan.forward(&WORKSPACE, &arguments.input(), &mut output));
        let (stats, c) = (saved.stats(), plan.channels());
        for (index, norm) in norms.iter().enumerate() {
            let own = index * c..(index + 1) * c;
            norm.record(&stats.mean[own.clone()], &stats.var[own]);
        }
        let back = move |Way { output, grad, .. }: Way<'_, 6>| {
            let [s0, s1, rest @ ..] = arguments.parents.each_ref().map(|parent| parent.values().len());
            let [mut s0, mut s1] = [s0, s1].map(|len| WORKSPACE.take(len));
            let mut rest = rest.map(|len| vec![0.0; len]);
            let [weights, mix, gain, bias] = &mut rest;
            let grads = CellGrads {
                s0: &mut s0,
                s1: &mut s1,
                weights,
                affine: affine.then_some([&mut gain[..], &mut bias[..]]),
                mix: mixed.then_some(&mut mix[..]),
            };
            sound(plan.backward(&WORKSPACE, &arguments.input(), output, saved, grad, grads));
            let [weights, mix, gain, bias] = rest.map(|values| Some(values.into()));
            [Some(s0.into()), Some(s1.into()), weights, mix, gain, bias]
        };
        Forward { output: output.into(), keeps_output: true, back: Box::new(back) }
    });
    Some(Blocked { tensor, channels })
}

struct Arguments {
    n: usize,
    parents: [super::operation::Host; 6],
    affine: bool,
    mixed: bool,
    drop: Option<Vec<f32>>,
}

impl Arguments {
    fn input(&self) -> CellInput<'_> {
        let [s0, s1, weights, mix, gain, bias] = self.parents.each_ref().map(|parent| parent.values());
        CellInput {
            n: self.n,
            s0,
            s1,
            weights,
            affine: self.affine.then_some(Affine { gain, bias }),
            mix: self.mixed.then_some(mix),
            drop: self.drop.as_deref(),
        }
    }
}

fn infer(
    plan: &CellPlan,
    n: usize,
    [s0, s1]: [Blocked; 2],
    weights: Option<Tensor<1>>,
    norms: &[&BatchNorm],
    mixing: Option<Tensor<2>>,
) -> Buffer {
    let (s0, s1) = (host(s0.tensor), host(s1.tensor));
    let (weights, mixing) = (weights.map(host), mixing.map(host));
    let gains: Vec<[Vec<f32>; 2]> = norms.iter().filter_map(|norm| norm.affine_values()).collect();
    let [gain, bias] =
        [0, 1].map(|which| gains.iter().flat_map(|pair| pair[which].clone()).collect::<Vec<f32>>());
    let running: Vec<(Vec<f32>, Vec<f32>)> = norms.iter().map(|norm| norm.running_values()).collect();
    let mean: Vec<f32> = running.iter().flat_map(|(mean, _)| mean.clone()).collect();
    let var: Vec<f32> = running.iter().flat_map(|(_, var)| var.clone()).collect();
    let input = CellInput {
        n,
        s0: s0.values(),
        s1: s1.values(),
        weights: weights.as_ref().map_or(&[], |weights| weights.values()),
        affine: plan.affine().then_some(Affine { gain: &gain, bias: &bias }),
        mix: mixing.as_ref().map(|mixing| mixing.values()),
        drop: None,
    };
    let mut output = WORKSPACE.take(plan.output_len(n));
    sound(plan.infer(&WORKSPACE, &input, RunningStats { mean: &mean, var: &var }, &mut output));
    output
}

//! Cells of NAS-Bench-201: fast against the reference, and the same bits for any number of threads.
#![allow(missing_docs)]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod support;

use cdarts_kernels::nas_bench_201::{CellGrads, CellInput, CellPlan, Edge, Op, reference};
use cdarts_kernels::reference::{Mix, Moments, Params, Tensor};
use cdarts_kernels::{Affine, Channels, KernelError, Level, RunningStats, Workspace};
use proptest::prelude::*;
use support::{
    Bounds, Named, Random, assert_close, assert_threads_change_nothing, assert_unasked_changes_nothing,
    assert_workspace_is_reused, blocked, double, plain,
};

struct Case {
    plan: CellPlan,
    n: usize,
    x: Vec<f32>,
    weights: Vec<f32>,
    gain: Vec<f32>,
    bias: Vec<f32>,
    mix: Vec<f32>,
    drop: Option<Vec<f32>>,
    grad: Vec<f32>,
}

impl Case {
    fn new(plan: CellPlan, n: usize, seed: u64, drop: bool) -> Self {
        let mut random = Random(seed);
        let [h, w] = plan.size();
        let (norms, affine) = (plan.norms() * plan.channels(), plan.affine());
        let spread = if affine { 0.5 } else { 0.0 };
        let gain = random.values(norms).into_iter().map(|v| 1.0 + spread * v).collect();
        let bias = random.values(norms).into_iter().map(|v| spread * v).collect();
        let kept = |v: f32| if v > -0.4 { 1.0 / 0.7 } else { 0.0 };
        let drop = drop.then(|| random.values(plan.edges() * n).into_iter().map(kept).collect());
        Self {
            n,
            x: random.values(n * plan.channels() * h * w),
            weights: random.values(plan.weights_len()),
            gain,
            bias,
            mix: random.values(plan.paths().len()),
            drop,
            grad: random.values(n * plan.channels() * h * w),
            plan,
        }
    }

    fn fast(&self, workspace: &Workspace) -> Named {
        self.asking(workspace, [true; 2])
    }

    /// Asks for the gradients of weights, and of mixing weights, or does not.
    fn asking(&self, workspace: &Workspace, [weights_wanted, mix_wanted]: [bool; 2]) -> Named {
        let (plan, n, size) = (&self.plan, self.n, self.plan.size());
        let channels = Channels::new(plan.channels());
        let x = blocked(n, channels, size, &self.x);
        let input = CellInput {
            n,
            x: &x,
            weights: &self.weights,
            affine: plan.affine().then_some(Affine { gain: &self.gain, bias: &self.bias }),
            mix: Some(&self.mix),
            drop: self.drop.as_deref(),
        };
        let mut output = vec![f32::NAN; plan.state_len(n)];
        let saved = plan.forward(workspace, &input, &mut output).unwrap();
        let stats = saved.stats();
        let grad = blocked(n, channels, size, &self.grad);
        let (mut gx, mut weights) = (vec![f32::NAN; x.len()], vec![f32::NAN; self.weights.len()]);
        let (mut mix, mut gains) =
            (vec![f32::NAN; self.mix.len()], [0, 1].map(|_| vec![0.0; self.gain.len()]));
        let [gain, bias] = &mut gains;
        let affine = plan.affine().then_some([&mut gain[..], &mut bias[..]]);
        let grads = CellGrads {
            x: &mut gx,
            weights: weights_wanted.then_some(&mut weights[..]),
            affine,
            mix: mix_wanted.then_some(&mut mix[..]),
        };
        plan.backward(workspace, &input, saved, &grad, grads).unwrap();
        let mut inference = vec![f32::NAN; output.len()];
        let running = RunningStats { mean: &stats.mean, var: &stats.var };
        plan.infer(workspace, &input, running, &mut inference).unwrap();
        vec![
            ("output", plain(n, channels, size, &output)),
            ("mean", double(&stats.mean)),
            ("var", double(&stats.var)),
            ("inference", plain(n, channels, size, &inference)),
            ("grad x", plain(n, channels, size, &gx)),
            ("grad weights", double(&weights)),
            ("grad mix", double(&mix)),
            ("grad gain", double(&gains[0])),
            ("grad bias", double(&gains[1])),
        ]
    }

    fn reference<T: num_traits::Float>(&self) -> Named {
        let float = |values: &[f32]| values.iter().map(|&v| T::from(v).unwrap()).collect::<Vec<T>>();
        let wide = |values: &[T]| values.iter().map(|v| v.to_f64().unwrap()).collect::<Vec<f64>>();
        let (plan, [h, w]) = (&self.plan, self.plan.size());
        let params = |running| Params {
            weights: float(&self.weights),
            gain: float(&self.gain),
            bias: float(&self.bias),
            running,
        };
        let mix = Mix { mix: float(&self.mix), drop: self.drop.as_ref().map(|drop| float(drop)) };
        let tensor = |data: &[f32]| Tensor { shape: [self.n, plan.channels(), h, w], data: float(data) };
        let x = tensor(&self.x);
        let tape = reference::cell_forward(plan, &params(None), &mix, &x);
        let grads = reference::cell_backward(plan, &params(None), &mix, &tape, &tensor(&self.grad));
        let moments = tape.moments();
        let unbiased = |m: &Moments<T>| T::from(m.count as f64 / (m.count as f64 - 1.0)).unwrap();
        let mean: Vec<T> = moments.iter().flat_map(|m| m.mean.clone()).collect();
        let var: Vec<T> = moments.iter().flat_map(|m| m.var.iter().map(|&v| v * unbiased(m))).collect();
        let running = Some((mean.clone(), var.clone()));
        let inference = reference::cell_forward(plan, &params(running), &mix, &x);
        let affine = |grads: &[T]| if plan.affine() { wide(grads) } else { vec![0.0; grads.len()] };
        vec![
            ("output", wide(&tape.nodes[3].data)),
            ("mean", wide(&mean)),
            ("var", wide(&var)),
            ("inference", wide(&inference.nodes[3].data)),
            ("grad x", wide(&grads.x.data)),
            ("grad weights", wide(&grads.params.weights)),
            ("grad mix", wide(&grads.mix)),
            ("grad gain", affine(&grads.params.gain)),
            ("grad bias", affine(&grads.params.bias)),
        ]
    }

    fn compare(&self, level: Level) {
        let fast = self.fast(&Workspace::with_level(level));
        let (exact, single) = (self.reference::<f64>(), self.reference::<f32>());
        let [h, w] = self.plan.size();
        let bounds = Bounds::new(self.n * h * w, self.grad.len());
        let what = format!("c {} size {h}x{w} n {} {}", self.plan.channels(), self.n, level.name());
        for (((name, fast), (_, exact)), (_, single)) in fast.iter().zip(&exact).zip(&single) {
            assert_close(name, fast, [exact, single], &bounds, &what);
        }
    }
}

fn search(channels: usize, size: [usize; 2]) -> CellPlan {
    CellPlan::search(channels, size).unwrap()
}

#[test]
fn search_cells_match_the_reference() {
    for (channels, size, n) in [
        (16, [8, 8], 2),
        (8, [5, 7], 3),
        (3, [1, 4], 5),
        (24, [6, 2], 2),
        (11, [9, 9], 1),
        (1, [3, 3], 2),
        (40, [4, 1], 3),
    ] {
        Case::new(search(channels, size), n, 7, false).compare(Level::detect());
    }
}

#[test]
fn every_instruction_set_matches_the_reference() {
    for level in Level::available() {
        Case::new(search(12, [6, 5]), 2, 3, false).compare(level);
        Case::new(search(32, [3, 13]), 2, 3, false).compare(level);
        // Tiles of 2×2 and of 4×4.
        Case::new(search(9, [8, 6]), 2, 3, false).compare(level);
        Case::new(search(20, [16, 20]), 2, 3, false).compare(level);
        Case::new(search(8, [32, 8]), 2, 3, false).compare(level);
    }
}

#[test]
fn the_usual_sizes_match_the_reference() {
    for (channels, size) in [(16, 32), (32, 16), (64, 8)] {
        Case::new(search(channels, [size; 2]), 2, 11, false).compare(Level::detect());
    }
}

#[test]
fn a_mean_far_from_zero_costs_no_precision() {
    for size in [[8, 8], [16, 16]] {
        let mut case = Case::new(search(8, size), 4, 3, false);
        case.x.iter_mut().for_each(|v| *v += 20.0);
        case.compare(Level::detect());
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    for (channels, size) in [(13, [7, 6]), (24, [8, 8]), (24, [16, 16])] {
        let case = Case::new(search(channels, size), 37, 5, false);
        assert_threads_change_nothing(|| case.fast(&Workspace::new()));
    }
}

#[test]
fn what_nobody_asks_for_changes_nothing_else() {
    for (channels, size) in [(13, [7, 6]), (24, [16, 16])] {
        let case = Case::new(search(channels, size), 5, 5, false);
        assert_unasked_changes_nothing(|asked| case.asking(&Workspace::new(), asked));
    }
}

#[test]
fn a_workspace_is_reused() {
    for (channels, size) in [(8, [6, 6]), (24, [8, 8]), (24, [16, 16])] {
        let case = Case::new(search(channels, size), 4, 1, false);
        assert_workspace_is_reused(|workspace| case.fast(workspace));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let plan = |edge| CellPlan::with_edges(4, [3, 3], &[edge], false).map(|_| ());
    let edge = |node, source| Edge { node, source, op: Op::Skip };
    assert_eq!(plan(edge(4, 0)), Err(KernelError::Node { edge: 0, limit: 4, found: 4 }));
    assert_eq!(plan(edge(0, 0)), Err(KernelError::Node { edge: 0, limit: 4, found: 0 }));
    assert_eq!(plan(edge(2, 2)), Err(KernelError::Source { edge: 0, node: 2, limit: 2, found: 2 }));
    let refused = CellPlan::search(0, [3, 3]).map(|_| ());
    assert_eq!(refused, Err(KernelError::TooSmall { what: "channels", minimum: 1, found: 0 }));
    let cell = search(2, [1, 1]);
    let (x, weights) = (vec![0.0; cell.state_len(1)], vec![0.0; cell.weights_len()]);
    let input = CellInput { n: 1, x: &x, weights: &weights, affine: None, mix: None, drop: None };
    let mut output = x.clone();
    let mut run = |input: CellInput<'_>| cell.forward(&Workspace::new(), &input, &mut output).map(|_| ());
    assert_eq!(run(input), Err(KernelError::OneValue { batch: 1, height: 1, width: 1 }));
    let short = KernelError::Length { what: "mixing weights", expected: 30, found: 2 };
    assert_eq!(run(CellInput { mix: Some(&[1.0; 2]), ..input }), Err(short));
}

fn edge() -> impl Strategy<Value = Edge> {
    (1..4usize, 0..3usize, 0..5usize).prop_map(|(node, source, op)| Edge {
        node,
        source: source % node,
        op: Op::ALL[op],
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn discrete_cells_match_the_reference(
        edges in prop::collection::vec(edge(), 0..9),
        channels in 1..71usize,
        (h, w) in (1..10usize, 1..20usize),
        n in 1..6usize,
        affine: bool,
        seed: u64,
    ) {
        prop_assume!(n * h * w > 1);
        let plan = CellPlan::with_edges(channels, [h, w], &edges, affine).unwrap();
        Case::new(plan, n, seed, true).compare(Level::detect());
    }
}

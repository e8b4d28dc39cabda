//! Random cells run both ways, results side by side as named lists of `f64`.
#![allow(dead_code, reason = "each test file uses its part")]

use std::fmt;

use cdarts_kernels::plan::CellPlan;
use cdarts_kernels::reference::{self, Mix, Params, Tensor};
use cdarts_kernels::{
    Affine, CellGrads, CellInput, Channels, Width, Workspace, blocked_len, from_blocked, to_blocked,
};

/// A small generator with a fixed sequence for each seed (splitmix64).
pub struct Random(pub u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `-1..1`.
    pub fn value(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    pub fn values(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.value()).collect()
    }
}

pub type Named = Vec<(&'static str, Vec<f64>)>;

pub struct Case {
    pub plan: CellPlan,
    pub n: usize,
    pub s: [Vec<f32>; 2],
    pub weights: Vec<f32>,
    pub gain: Vec<f32>,
    pub bias: Vec<f32>,
    pub mix: Vec<f32>,
    pub drop: Option<Vec<f32>>,
    pub grad: Vec<f32>,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (c, size, n) = (self.plan.channels(), self.plan.input_size(), self.n);
        write!(f, "c {c} size {size:?} n {n} reduction {}", self.plan.reduction())
    }
}

impl Case {
    pub fn new(plan: CellPlan, n: usize, seed: u64, drop: bool) -> Self {
        let mut random = Random(seed);
        let [h, w] = plan.input_size();
        let [oh, ow] = plan.output_size();
        let norms = plan.norms() * plan.channels();
        let affine = plan.affine();
        let mut around_one = |len: usize| {
            random.values(len).into_iter().map(|v| if affine { 1.0 + v / 2.0 } else { 1.0 }).collect()
        };
        let gain = around_one(norms);
        let bias = random.values(norms).into_iter().map(|v| if affine { v } else { 0.0 }).collect();
        let s = [0; 2].map(|_| random.values(n * plan.channels() * h * w));
        let drop = drop.then(|| {
            random
                .values(plan.edges() * n)
                .into_iter()
                .map(|v| if v > -0.4 { 1.0 / 0.7 } else { 0.0 })
                .collect()
        });
        Self {
            n,
            s,
            weights: random.values(plan.weights_len()),
            gain,
            bias,
            mix: random.values(plan.paths().len()),
            drop,
            grad: random.values(n * 4 * plan.channels() * oh * ow),
            plan,
        }
    }

    fn channels(&self) -> Channels {
        Channels::new(self.plan.channels()).in_blocks_of(self.plan.width())
    }

    /// The same case on activations in blocks of `width`.
    pub fn in_blocks_of(self, width: Width) -> Self {
        Self { plan: self.plan.in_blocks_of(width), ..self }
    }

    fn nodes(&self) -> Channels {
        self.plan.output_channels()
    }

    pub fn with_input<T>(&self, f: impl FnOnce(&CellInput<'_>) -> T) -> T {
        let size = self.plan.input_size();
        let [s0, s1] = [0, 1].map(|i| blocked(self.n, self.channels(), size, &self.s[i]));
        let affine = Affine { gain: &self.gain, bias: &self.bias };
        f(&CellInput {
            n: self.n,
            s0: &s0,
            s1: &s1,
            weights: &self.weights,
            affine: self.plan.affine().then_some(affine),
            mix: Some(&self.mix),
            drop: self.drop.as_deref(),
        })
    }
}

pub fn blocked(n: usize, channels: Channels, size: [usize; 2], nchw: &[f32]) -> Vec<f32> {
    let mut blocked = vec![f32::NAN; blocked_len(n, channels, size)];
    to_blocked(n, channels, size, nchw, &mut blocked).unwrap();
    blocked
}

pub fn plain(n: usize, channels: Channels, size: [usize; 2], blocked: &[f32]) -> Vec<f64> {
    let mut nchw = vec![0.0; n * channels.real() * size[0] * size[1]];
    from_blocked(n, channels, size, blocked, &mut nchw).unwrap();
    double(&nchw)
}

pub fn double(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

pub fn run_fast(case: &Case, workspace: &Workspace) -> Named {
    run_asking(case, workspace, [true; 2])
}

/// Asks for the gradients of weights, and of mixing weights, or does not.
pub fn run_asking(case: &Case, workspace: &Workspace, [weights_wanted, mix_wanted]: [bool; 2]) -> Named {
    let plan = &case.plan;
    let (n, size) = (case.n, plan.output_size());
    case.with_input(|input| {
        let mut output = vec![f32::NAN; plan.output_len(n)];
        let saved = plan.forward(workspace, input, &mut output).unwrap();
        let stats = saved.stats();
        let grad = blocked(n, case.nodes(), size, &case.grad);
        let mut s = [0, 1].map(|_| vec![f32::NAN; input.s0.len()]);
        let mut weights = vec![f32::NAN; plan.weights_len()];
        let mut mix = vec![f32::NAN; plan.paths().len()];
        let mut affine = [0, 1].map(|_| vec![0.0; case.gain.len()]);
        let [s0, s1] = &mut s;
        let [gain, bias] = &mut affine;
        let grads = CellGrads {
            s0,
            s1,
            weights: weights_wanted.then_some(&mut weights[..]),
            affine: plan.affine().then_some([gain, bias]),
            mix: mix_wanted.then_some(&mut mix[..]),
        };
        plan.backward(workspace, input, &output, saved, &grad, grads).unwrap();
        let mut inference = vec![f32::NAN; plan.output_len(n)];
        let (mean, var) = (&stats.mean, &stats.var);
        let running = cdarts_kernels::RunningStats { mean, var };
        plan.infer(workspace, input, running, &mut inference).unwrap();
        let input_size = plan.input_size();
        vec![
            ("output", plain(n, case.nodes(), size, &output)),
            ("mean", double(&stats.mean)),
            ("var", double(&stats.var)),
            ("inference", plain(n, case.nodes(), size, &inference)),
            ("grad s0", plain(n, case.channels(), input_size, &s[0])),
            ("grad s1", plain(n, case.channels(), input_size, &s[1])),
            ("grad weights", double(&weights)),
            ("grad mix", double(&mix)),
            ("grad gain", double(&affine[0])),
            ("grad bias", double(&affine[1])),
        ]
    })
}

/// What is asked for has the same bits whether or not the gradients of weights, and of mixing weights, are.
pub fn assert_unasked_changes_nothing(run: impl Fn([bool; 2]) -> Named) {
    let all = run([true; 2]);
    for [weights, mix] in [[false, true], [true, false], [false; 2]] {
        for ((name, expected), (_, found)) in all.iter().zip(run([weights, mix])) {
            if (*name != "grad weights" || weights) && (*name != "grad mix" || mix) {
                assert_eq!(*expected, found, "{name}, weights asked for: {weights}, mix: {mix}");
            }
        }
    }
}

pub fn run_reference<T: num_traits::Float>(case: &Case) -> Named {
    let double = |values: &[f32]| values.iter().map(|&v| T::from(v).unwrap()).collect::<Vec<T>>();
    let wide = |values: Vec<T>| values.into_iter().map(|v| v.to_f64().unwrap()).collect::<Vec<f64>>();
    let plan = &case.plan;
    let params = |running| Params {
        weights: double(&case.weights),
        gain: double(&case.gain),
        bias: double(&case.bias),
        running,
    };
    let mix = Mix { mix: double(&case.mix), drop: case.drop.as_ref().map(|drop| double(drop)) };
    let [h, w] = plan.input_size();
    let [oh, ow] = plan.output_size();
    let shape = [case.n, plan.channels(), h, w];
    let [s0, s1] = [0, 1].map(|i| Tensor { shape, data: double(&case.s[i]) });
    let tape = reference::cell_forward(plan, &params(None), &mix, &s0, &s1);
    let grad = Tensor { shape: [case.n, 4 * plan.channels(), oh, ow], data: double(&case.grad) };
    let grads = reference::cell_backward(plan, &params(None), &mix, &tape, &grad);
    let moments = tape.moments();
    let unbiased = |m: &reference::Moments<T>| T::from(m.count as f64 / (m.count as f64 - 1.0)).unwrap();
    let mean: Vec<T> = moments.iter().flat_map(|m| m.mean.clone()).collect();
    let var: Vec<T> = moments.iter().flat_map(|m| m.var.iter().map(|&v| v * unbiased(m))).collect();
    let running = Some((mean.clone(), var.clone()));
    let inference = reference::cell_forward(plan, &params(running), &mix, &s0, &s1).output.data;
    let affine = |grads: Vec<T>| if plan.affine() { grads } else { vec![T::zero(); grads.len()] };
    let [g0, g1] = grads.inputs;
    vec![
        ("output", wide(tape.output.data)),
        ("mean", wide(mean)),
        ("var", wide(var)),
        ("inference", wide(inference)),
        ("grad s0", wide(g0.data)),
        ("grad s1", wide(g1.data)),
        ("grad weights", wide(grads.params.weights)),
        ("grad mix", wide(grads.mix)),
        ("grad gain", wide(affine(grads.params.gain))),
        ("grad bias", wide(affine(grads.params.bias))),
    ]
}

/// Fails where `run` gives other bits on two or five threads than on one.
pub fn assert_threads_change_nothing(run: impl Fn() -> Named + Sync) {
    let bits = |threads: usize| -> Vec<u64> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(&run).iter().flat_map(|(_, v)| v.iter().map(|v| v.to_bits())).collect()
    };
    let one = bits(1);
    assert_eq!(one, bits(2));
    assert_eq!(one, bits(5));
}

/// Fails where a second `run` gives other results than the first, or takes more buffers.
pub fn assert_workspace_is_reused(run: impl Fn(&Workspace) -> Named + Sync) {
    let workspace = Workspace::new();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        let first = run(&workspace);
        let held = workspace.idle_bytes();
        assert_eq!(first, run(&workspace));
        assert_eq!(held, workspace.idle_bytes());
    });
}

/// How far results may differ.
pub struct Bounds {
    /// Relative to the largest value.
    tolerance: f64,
    /// Values of order one in a parameter's gradient.
    terms: usize,
}

impl Bounds {
    /// For norms over `count` values and parameter gradients that are sums of `terms`. A norm over a handful of
    /// values magnifies rounding without limit, so there only gross errors are looked for.
    pub fn new(count: usize, terms: usize) -> Self {
        Self { tolerance: if count < 16 { 1e-2 } else { 1e-5 }, terms }
    }
}

/// Compares with the exact results; where plain loops in the same precision (`single`) lose more than the
/// tolerance, so may the kernels, within a factor. Where a parameter's gradient cancels (a weight that a norm makes
/// irrelevant), it is judged against a tenth of its usual size.
pub fn assert_close(name: &str, found: &[f64], [exact, single]: [&[f64]; 2], bounds: &Bounds, what: &str) {
    assert_eq!(found.len(), exact.len(), "{name}: {what}");
    let summed = ["grad weights", "grad mix", "grad gain", "grad bias"].contains(&name);
    let floor = if summed { 0.1 * (bounds.terms as f64).sqrt() } else { 0.2 };
    let scale = exact.iter().fold(floor, |m: f64, v| m.max(v.abs()));
    let loss = exact.iter().zip(single).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()));
    let allowed = (bounds.tolerance * scale).max(16.0 * loss);
    for (i, (&a, &b)) in found.iter().zip(exact).enumerate() {
        assert!(
            (a - b).abs() <= allowed,
            "{name}[{i}]: {a} against {b} (scale {scale}, loss {loss}): {what}"
        );
    }
}

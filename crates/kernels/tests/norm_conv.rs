//! Convolutions with norm: fast against the reference, and the same bits for any number of threads.
#![allow(missing_docs)]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod support;

use cdarts_kernels::reference::{self, NormConvTape, Params, Tensor};
use cdarts_kernels::{
    Affine, Channels, InputGrad, KernelError, NormConv, NormConvGrads, NormConvInput, RunningStats, Width,
    Workspace,
};
use proptest::prelude::*;
use support::{Bounds, Named, Random, assert_close, assert_threads_change_nothing, blocked, double, plain};

#[derive(Debug, Clone, Copy)]
enum Kind {
    Dense { kernel: usize, stride: usize, padding: usize, relu: bool },
    Reduce,
}

struct Case {
    kind: Kind,
    conv: NormConv,
    from: Channels,
    size: [usize; 2],
    n: usize,
    affine: bool,
    seed: u64,
    x: Vec<f32>,
    weights: Vec<f32>,
    gain: Vec<f32>,
    bias: Vec<f32>,
    grad: Vec<f32>,
}

/// What is asked of the input's gradient.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    Nothing,
    Write,
    Add,
}

/// What other readers of an input found before.
const OTHERS: f32 = 0.5;

impl Case {
    fn new(
        kind: Kind,
        from: Channels,
        to: usize,
        size: [usize; 2],
        n: usize,
        affine: bool,
        seed: u64,
    ) -> Self {
        let conv = match kind {
            Kind::Dense { kernel, stride, padding, relu } => {
                NormConv::dense(from, to, size, [kernel, stride, padding], relu, affine).unwrap()
            }
            Kind::Reduce => NormConv::factorized_reduce(from, to, size, affine).unwrap(),
        };
        let mut random = Random(seed);
        let [h, w] = conv.output_size();
        let scaled = |v: Vec<f32>, by: f32, around: f32| v.into_iter().map(|v| around + by * v).collect();
        let by = if affine { 0.5 } else { 0.0 };
        let x = random.values(n * from.real() * size[0] * size[1]);
        let weights = random.values(conv.weights_len());
        let gain = scaled(random.values(to), by, 1.0);
        let bias = scaled(random.values(to), by, 0.0);
        let grad = random.values(n * to * h * w);
        Self { kind, conv, from, size, n, affine, seed, x, weights, gain, bias, grad }
    }

    /// The same case on activations in blocks of `width`.
    fn in_blocks_of(&self, width: Width) -> Self {
        let from = self.from.in_blocks_of(width);
        let (to, affine) = (self.conv.output_channels().real(), self.affine);
        Self::new(self.kind, from, to, self.size, self.n, affine, self.seed)
    }

    fn fast(&self, workspace: &Workspace, ask_input: Ask, ask_weights: bool) -> Named {
        let (n, to, out) = (self.n, self.conv.output_channels(), self.conv.output_size());
        let x = blocked(n, self.from, self.size, &self.x);
        let affine = self.affine.then_some(Affine { gain: &self.gain, bias: &self.bias });
        let input = NormConvInput { n, x: &x, weights: &self.weights, affine };
        let mut output = vec![f32::NAN; self.conv.output_len(n)];
        let saved = self.conv.forward(workspace, &input, &mut output).unwrap();
        let stats = saved.stats();
        let mut inference = vec![f32::NAN; output.len()];
        let running = RunningStats { mean: &stats.mean, var: &stats.var };
        self.conv.infer(workspace, &input, running, &mut inference).unwrap();
        let grad = blocked(n, to, out, &self.grad);
        let others = if ask_input == Ask::Add { OTHERS } else { f32::NAN };
        let (mut gx, mut weights) = (vec![others; x.len()], vec![f32::NAN; self.weights.len()]);
        let mut gains = [0, 1].map(|_| vec![0.0; self.gain.len()]);
        let [gain, bias] = &mut gains;
        let grads = NormConvGrads {
            x: match ask_input {
                Ask::Nothing => InputGrad::Unwanted,
                Ask::Write => InputGrad::Write(&mut gx),
                Ask::Add => InputGrad::Add(&mut gx),
            },
            weights: ask_weights.then_some(&mut weights),
            affine: self.affine.then_some([gain, bias]),
        };
        self.conv.backward(workspace, &input, saved, &grad, grads).unwrap();
        if ask_input == Ask::Add {
            gx.iter_mut().for_each(|value| *value -= OTHERS);
        }
        vec![
            ("output", plain(n, to, out, &output)),
            ("mean", double(&stats.mean)),
            ("inference", plain(n, to, out, &inference)),
            ("grad weights", double(&weights)),
            ("grad gain", double(&gains[0])),
            ("grad bias", double(&gains[1])),
            ("grad x", plain(n, self.from, self.size, &gx)),
        ]
    }

    fn reference<T: num_traits::Float>(&self) -> Named {
        let wide = |values: &[T]| values.iter().map(|v| v.to_f64().unwrap()).collect::<Vec<f64>>();
        let float = |values: &[f32]| values.iter().map(|&v| T::from(v).unwrap()).collect::<Vec<T>>();
        let [h, w] = self.size;
        let x = Tensor { shape: [self.n, self.from.real(), h, w], data: float(&self.x) };
        let to = self.conv.output_channels().real();
        let params = |running| Params {
            weights: float(&self.weights),
            gain: float(&self.gain),
            bias: float(&self.bias),
            running,
        };
        let run = |params: &Params<T>| -> NormConvTape<T> {
            match self.kind {
                Kind::Dense { kernel, stride, padding, relu } => {
                    let shape = [to, self.from.real(), kernel, kernel];
                    reference::norm_conv(params, relu, shape, stride, padding, &x)
                }
                Kind::Reduce => reference::factorized_reduce_forward(params, to, &x),
            }
        };
        let tape = run(&params(None));
        let moments = &tape.moments()[0];
        let unbiased = T::from(moments.count as f64 / (moments.count as f64 - 1.0)).unwrap();
        let var = moments.var.iter().map(|&v| v * unbiased).collect();
        let inference = run(&params(Some((moments.mean.clone(), var))));
        let grad = Tensor { shape: tape.output().shape, data: float(&self.grad) };
        let (gx, grads) = tape.backward(&params(None), &grad);
        let affine = |grads: &[T]| if self.affine { wide(grads) } else { vec![0.0; grads.len()] };
        vec![
            ("output", wide(&tape.output().data)),
            ("mean", wide(&moments.mean)),
            ("inference", wide(&inference.output().data)),
            ("grad weights", wide(&grads.weights)),
            ("grad gain", affine(&grads.gain)),
            ("grad bias", affine(&grads.bias)),
            ("grad x", wide(&gx.data)),
        ]
    }

    fn compare(&self, ask_input: bool) {
        for width in Width::ALL {
            self.in_blocks_of(width).compare_one(ask_input);
        }
    }

    fn compare_one(&self, ask_input: bool) {
        let asked: &[Ask] = if ask_input { &[Ask::Write, Ask::Add] } else { &[Ask::Nothing] };
        asked.iter().for_each(|&ask| self.compare_asked(ask));
    }

    fn compare_asked(&self, ask: Ask) {
        let fast = self.fast(&Workspace::new(), ask, true);
        let (exact, single) = (self.reference::<f64>(), self.reference::<f32>());
        let what =
            format!("{:?} {:?} to {:?} n {}", self.kind, self.from, self.conv.output_channels(), self.n);
        let [h, w] = self.conv.output_size();
        let bounds = Bounds::new(self.n * h * w, self.grad.len());
        let asked = if ask == Ask::Nothing { fast.len() - 1 } else { fast.len() };
        for i in 0..asked {
            assert_close(fast[i].0, &fast[i].1, [&exact[i].1, &single[i].1], &bounds, &what);
        }
    }
}

#[test]
fn what_the_other_width_kept_is_refused() {
    // Sixteen channels take as many floats in either width, so lengths tell nothing.
    let case = Case::new(
        Kind::Dense { kernel: 1, stride: 1, padding: 0, relu: true },
        Channels::new(16),
        16,
        [4, 4],
        2,
        false,
        1,
    );
    let other = case.in_blocks_of(Width::Sixteen);
    let workspace = Workspace::new();
    let x = blocked(2, case.from, case.size, &case.x);
    let input = NormConvInput { n: 2, x: &x, weights: &case.weights, affine: None };
    let mut output = vec![0.0; x.len()];
    let saved = other.conv.forward(&workspace, &input, &mut output).unwrap();
    let grads = NormConvGrads { x: InputGrad::Unwanted, weights: None, affine: None };
    let refused = case.conv.backward(&workspace, &input, saved, &output, grads);
    let (expected, found) = ("this plan's", "another plan's");
    assert_eq!(refused, Err(KernelError::Argument { what: "saved values", expected, found }));
}

#[test]
fn the_usual_convolutions_match_the_reference() {
    let nodes = Channels::grouped(4, 12);
    let dense = |kernel, stride, padding, relu| Kind::Dense { kernel, stride, padding, relu };
    Case::new(dense(3, 1, 1, false), Channels::new(3), 48, [32, 32], 2, true, 1).compare(false);
    Case::new(dense(1, 1, 0, true), Channels::new(48), 16, [32, 32], 2, false, 2).compare(true);
    // By tiles of 4×4, in one strip and in several.
    Case::new(dense(3, 1, 1, true), Channels::new(20), 12, [16, 20], 2, true, 9).compare(true);
    Case::new(dense(3, 1, 1, true), nodes, 24, [16, 16], 2, true, 10).compare(true);
    Case::new(dense(3, 1, 1, true), Channels::new(9), 17, [32, 32], 2, false, 11).compare(true);
    Case::new(dense(1, 1, 0, true), nodes, 12, [16, 16], 3, true, 3).compare(true);
    Case::new(Kind::Reduce, nodes, 24, [16, 16], 3, true, 4).compare(true);
    Case::new(dense(2, 1, 0, true), Channels::new(128), 40, [5, 5], 2, false, 5).compare(true);
    Case::new(dense(3, 2, 1, false), Channels::new(20), 24, [13, 8], 2, false, 6).compare(true);
    Case::new(dense(7, 2, 3, false), Channels::new(3), 16, [14, 15], 2, true, 7).compare(true);
    Case::new(dense(3, 3, 0, true), Channels::new(9), 10, [11, 10], 2, true, 8).compare(true);
}

#[test]
fn frozen_weights_change_nothing_else() {
    for (kind, size) in [
        (Kind::Reduce, [7, 6]),
        (Kind::Dense { kernel: 2, stride: 1, padding: 0, relu: true }, [7, 6]),
        (Kind::Dense { kernel: 3, stride: 1, padding: 1, relu: true }, [7, 8]),
        (Kind::Dense { kernel: 3, stride: 1, padding: 1, relu: true }, [16, 16]),
    ] {
        let case = Case::new(kind, Channels::new(11), 9, size, 3, true, 4);
        let [all, frozen] = [true, false].map(|asked| case.fast(&Workspace::new(), Ask::Write, asked));
        for ((name, all), (_, frozen)) in all.iter().zip(&frozen) {
            if *name == "grad weights" {
                assert!(frozen.iter().all(|value| value.is_nan()), "nobody asked, nothing is written");
            } else {
                assert_eq!(all, frozen, "{name}");
            }
        }
    }
}

#[test]
fn a_mean_far_from_zero_costs_no_precision() {
    let kind = Kind::Dense { kernel: 1, stride: 1, padding: 0, relu: true };
    let mut case = Case::new(kind, Channels::new(8), 8, [8, 8], 4, false, 3);
    case.x.iter_mut().for_each(|v| *v += 40.0);
    case.compare(true);
}

#[test]
fn threads_do_not_change_a_bit() {
    let kind = Kind::Dense { kernel: 3, stride: 1, padding: 1, relu: true };
    for size in [[7, 8], [7, 9], [8, 8], [16, 16]] {
        let case = Case::new(kind, Channels::new(20), 12, size, 41, true, 9);
        assert_threads_change_nothing(|| case.fast(&Workspace::new(), Ask::Write, true));
    }
}

#[test]
fn what_others_left_in_the_workspace_changes_nothing() {
    let dense = |kernel, padding, relu| Kind::Dense { kernel, stride: 1, padding, relu };
    let shared = Workspace::new();
    for round in 0..2 {
        for (kind, channels, size) in [
            (dense(1, 0, true), 48, [16, 16]),
            (dense(3, 1, false), 20, [8, 8]),
            (Kind::Reduce, 11, [15, 14]),
            (dense(2, 0, true), 70, [5, 5]),
            (dense(3, 1, true), 9, [13, 15]),
        ] {
            let case = Case::new(kind, Channels::new(channels), 17, size, 3, true, 5 + round);
            for (ask, weights) in [(Ask::Write, true), (Ask::Add, true), (Ask::Write, false)] {
                let [own, others] =
                    [&Workspace::new(), &shared].map(|workspace| case.fast(workspace, ask, weights));
                let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                for ((name, own), (_, others)) in own.iter().zip(&others) {
                    assert_eq!(bits(own), bits(others), "{name} of {kind:?}");
                }
            }
        }
    }
}

#[test]
fn a_kernel_that_does_not_fit_is_refused() {
    let refused = NormConv::dense(Channels::new(3), 8, [2, 9], [5, 1, 1], false, false).map(|_| ());
    assert_eq!(refused, Err(KernelError::TooSmall { what: "padded height", minimum: 5, found: 4 }));
    let refused = NormConv::factorized_reduce(Channels::new(3), 0, [4, 4], false).map(|_| ());
    assert_eq!(refused, Err(KernelError::TooSmall { what: "output channels", minimum: 1, found: 0 }));
}

fn kind() -> impl Strategy<Value = Kind> {
    let dense = (1..6usize, 1..4usize, 0..4usize, any::<bool>())
        .prop_map(|(kernel, stride, padding, relu)| Kind::Dense { kernel, stride, padding, relu });
    prop_oneof![4 => dense, 1 => Just(Kind::Reduce)]
}

/// Kernel and padding of dense convolutions whose rows may stay multiples of four pixels.
fn window() -> impl Strategy<Value = (usize, usize)> {
    prop_oneof![Just((3, 1)), Just((5, 0)), Just((5, 2)), Just((5, 4))]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_of_fours_match_the_reference(
        (kernel, padding) in window(),
        relu: bool,
        groups in 1..3usize,
        per_group in 1..14usize,
        to in 1..36usize,
        (h, w) in (5..7usize, 2..4usize),
        n in 1..3usize,
        affine: bool,
        seed: u64,
    ) {
        let kind = Kind::Dense { kernel, stride: 1, padding, relu };
        Case::new(kind, Channels::grouped(groups, per_group), to, [h, 4 * w], n, affine, seed).compare(true);
    }

    #[test]
    fn convolutions_match_the_reference(
        kind in kind(),
        groups in 1..4usize,
        per_group in 1..24usize,
        to in 1..71usize,
        (h, w) in (1..10usize, 1..10usize),
        n in 1..6usize,
        affine: bool,
        seed: u64,
    ) {
        if let Kind::Dense { kernel, padding, .. } = kind {
            prop_assume!(h + 2 * padding >= kernel && w + 2 * padding >= kernel);
        }
        let case = Case::new(kind, Channels::grouped(groups, per_group), to, [h, w], n, affine, seed);
        let [oh, ow] = case.conv.output_size();
        prop_assume!(n * oh * ow > 1);
        case.compare(true);
    }
}

//! Average pooling, behind a ReLU and without: fast against plain loops in `f64`, and the same bits for any number of threads.
#![allow(missing_docs)]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod support;

use cdarts_kernels::{Channels, Level, MeanPool, Width, Workspace};
use proptest::prelude::*;
use support::{Named, Random, assert_threads_change_nothing, blocked, double, plain};

struct Case {
    n: usize,
    channels: Channels,
    size: [usize; 2],
    window: [usize; 2],
    stride: [usize; 2],
    relu: bool,
    x: Vec<f32>,
    grad: Vec<f32>,
}

impl Case {
    fn new(n: usize, channels: Channels, size: [usize; 2], window: [usize; 2], stride: [usize; 2]) -> Self {
        let mut random = Random(3);
        let x = random.values(n * channels.real() * size[0] * size[1]);
        let mut case = Self { n, channels, size, window, stride, relu: true, x, grad: vec![] };
        let [h, w] = case.pool().output_size();
        case.grad = random.values(n * channels.real() * h * w);
        case
    }

    fn pool(&self) -> MeanPool {
        let pool = MeanPool::new(self.channels, self.size, self.window, self.stride).unwrap();
        if self.relu { pool.behind_relu() } else { pool }
    }

    fn without_relu(self) -> Self {
        Self { relu: false, ..self }
    }

    fn fast(&self, level: Level) -> Named {
        let (pool, workspace) = (self.pool(), Workspace::with_level(level));
        let out = pool.output_size();
        let x = blocked(self.n, self.channels, self.size, &self.x);
        let grad = blocked(self.n, self.channels, out, &self.grad);
        let (mut y, mut grad_x) = (vec![f32::NAN; grad.len()], vec![f32::NAN; x.len()]);
        pool.forward(&workspace, self.n, &x, &mut y).unwrap();
        let read_back = if self.relu { &x[..] } else { &[] };
        pool.backward(&workspace, self.n, read_back, &grad, &mut grad_x).unwrap();
        vec![
            ("output", plain(self.n, self.channels, out, &y)),
            ("gradient", plain(self.n, self.channels, self.size, &grad_x)),
        ]
    }

    fn reference(&self) -> Named {
        let ([h, w], [oh, ow]) = (self.size, self.pool().output_size());
        let cells = (self.window[0] * self.window[1]) as f64;
        let (x, grad) = (double(&self.x), double(&self.grad));
        let (mut y, mut grad_x) = (vec![0.0; grad.len()], vec![0.0; x.len()]);
        for (to, (y, &g)) in y.iter_mut().zip(&grad).enumerate() {
            let (plane, oy, ox) = (to / (oh * ow), to / ow % oh, to % ow);
            for cell in 0..self.window[0] * self.window[1] {
                let row = oy * self.stride[0] + cell / self.window[1];
                let at = (plane * h + row) * w + ox * self.stride[1] + cell % self.window[1];
                if !self.relu || x[at] > 0.0 {
                    *y += x[at] / cells;
                    grad_x[at] += g / cells;
                }
            }
        }
        vec![("output", y), ("gradient", grad_x)]
    }

    fn compare(mut self, level: Level) {
        for width in Width::ALL {
            self.channels = self.channels.in_blocks_of(width);
            self.compare_one(level);
        }
    }

    fn compare_one(&self, level: Level) {
        for ((name, fast), (_, exact)) in self.fast(level).iter().zip(&self.reference()) {
            for (i, (a, b)) in fast.iter().zip(exact).enumerate() {
                assert!((a - b).abs() <= 2e-6 * (1.0 + b.abs()), "{name}[{i}]: {a} against {b}");
            }
        }
    }
}

#[test]
fn the_heads_windows_match_plain_loops_on_every_instruction_set() {
    for level in Level::available() {
        let nodes = Channels::grouped(4, 6);
        Case::new(3, nodes, [16, 16], [6, 6], [2, 2]).compare(level);
        Case::new(2, Channels::new(70), [8, 8], [5, 5], [3, 3]).compare(level);
        Case::new(2, Channels::new(96), [5, 5], [5, 5], [1, 1]).compare(level);
    }
}

#[test]
fn what_is_no_number_stays_none() {
    for level in Level::available() {
        let mut case = Case::new(1, Channels::new(8), [4, 4], [2, 2], [2, 2]).without_relu();
        case.x[0] = f32::NAN;
        assert!(case.fast(level)[0].1[0].is_nan(), "{}", level.name());
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let case = Case::new(37, Channels::new(13), [7, 6], [3, 2], [2, 1]);
    assert_threads_change_nothing(|| case.fast(Level::detect()));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_window_matches_plain_loops(
        n in 1..6usize,
        groups in 1..5usize,
        per_group in 1..20usize,
        window in [1..7usize, 1..7usize],
        beyond in [0..5usize, 0..5usize],
        stride in [1..4usize, 1..4usize],
        relu: bool,
    ) {
        let size = [0, 1].map(|d| window[d] + beyond[d]);
        let case = Case::new(n, Channels::grouped(groups, per_group), size, window, stride);
        let case = if relu { case } else { case.without_relu() };
        case.compare(Level::detect());
    }
}

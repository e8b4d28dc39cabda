//! The reference itself: small cases by hand, and every gradient against central differences in `f64`.
#![allow(missing_docs)]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod support;

use cdarts_kernels::plan::{CellPlan, Edge, Op};
use cdarts_kernels::reference::{self, Mix, Params, Tensor};
use support::{Random, double};

fn tensor(shape: [usize; 4], data: &[f64]) -> Tensor<f64> {
    Tensor { shape, data: data.to_vec() }
}

#[test]
fn average_pooling_counts_real_cells_only() {
    let ones = tensor([1, 1, 3, 4], &[1.0; 12]);
    assert_eq!(reference::avg_pool(&ones, 1).data, [1.0; 12]);
    let grad = reference::avg_pool_backward(&ones, 2, &tensor([1, 1, 2, 2], &[36.0; 4]));
    // Windows centred at (0, 0), (0, 2), (2, 0), (2, 2) hold 4, 6, 4, 6 cells.
    assert_eq!(grad.data, [9.0, 15.0, 6.0, 6.0, 18.0, 30.0, 12.0, 12.0, 9.0, 15.0, 6.0, 6.0]);
}

#[test]
fn the_first_of_equal_maxima_takes_the_gradient() {
    let flat = tensor([1, 1, 3, 3], &[2.0; 9]);
    let grad = reference::max_pool_backward(&flat, 1, &tensor([1, 1, 3, 3], &[1.0; 9]));
    assert_eq!(grad.data, [4.0, 2.0, 0.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn factorized_reduce_reads_both_diagonals() {
    let x: Vec<f64> = (1..=9).map(f64::from).collect();
    let params = Params {
        weights: vec![1.0, 1.0],
        gain: vec![1.0; 2],
        bias: vec![0.0; 2],
        running: Some((vec![0.0; 2], vec![1.0 - 1e-5; 2])),
    };
    let tape = reference::factorized_reduce_forward(&params, 2, &tensor([1, 1, 3, 3], &x));
    // Odd sizes round up; the shifted half sees zeros beyond the border.
    let expected = [1.0, 3.0, 7.0, 9.0, 5.0, 0.0, 0.0, 0.0];
    assert_eq!(tape.output().shape, [1, 2, 2, 2]);
    for (found, expected) in tape.output().data.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-12);
    }
}

#[test]
fn a_node_is_the_weighted_sum_of_its_paths() {
    let edges = [Edge { node: 0, source: 0, op: Op::Skip }, Edge { node: 0, source: 1, op: Op::MaxPool3 }];
    let plan = CellPlan::with_edges(1, [1, 2], false, &edges, false).unwrap();
    let params = Params { weights: vec![], gain: vec![], bias: vec![], running: None };
    let mix = Mix { mix: vec![2.0, 10.0], drop: Some(vec![1.0, 3.0]) };
    let (s0, s1) = (tensor([1, 1, 1, 2], &[1.0, -2.0]), tensor([1, 1, 1, 2], &[4.0, 5.0]));
    let tape = reference::cell_forward(&plan, &params, &mix, &s0, &s1);
    assert_eq!(tape.output.data, [152.0, 146.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
}

/// All numbers a cell depends on, so that one direction moves them all.
#[derive(Clone)]
struct Point {
    s: [Vec<f64>; 2],
    params: Params<f64>,
    mix: Mix<f64>,
}

impl Point {
    fn parts(&mut self) -> [&mut Vec<f64>; 6] {
        let [s0, s1] = &mut self.s;
        let Params { weights, gain, bias, .. } = &mut self.params;
        [s0, s1, weights, gain, bias, &mut self.mix.mix]
    }

    fn moved(&self, along: &[Vec<f64>], step: f64) -> Self {
        let mut moved = self.clone();
        for (part, along) in moved.parts().into_iter().zip(along) {
            part.iter_mut().zip(along).for_each(|(value, &along)| *value += step * along);
        }
        moved
    }

    fn run(&self, plan: &CellPlan, n: usize) -> reference::CellTape<f64> {
        let [h, w] = plan.input_size();
        let [s0, s1] = [0, 1].map(|i| tensor([n, plan.channels(), h, w], &self.s[i]));
        reference::cell_forward(plan, &self.params, &self.mix, &s0, &s1)
    }
}

fn check_gradients(plan: &CellPlan, n: usize, drop: bool, seed: u64) {
    let mut random = Random(seed);
    let mut values = |len: usize| double(&random.values(len));
    let [h, w] = plan.input_size();
    let state = n * plan.channels() * h * w;
    let norms = plan.norms() * plan.channels();
    let point = Point {
        s: [values(state), values(state)],
        params: Params {
            weights: values(plan.weights_len()),
            gain: values(norms),
            bias: values(norms),
            running: None,
        },
        mix: Mix { mix: values(plan.paths().len()), drop: drop.then(|| values(plan.edges() * n)) },
    };
    let tape = point.run(plan, n);
    let weight = values(tape.output.data.len());
    let grad = Tensor { shape: tape.output.shape, data: weight.clone() };
    let grads = reference::cell_backward(plan, &point.params, &point.mix, &tape, &grad);
    let [g0, g1] = grads.inputs;
    let all = [g0.data, g1.data, grads.params.weights, grads.params.gain, grads.params.bias, grads.mix];
    let loss =
        |point: &Point| point.run(plan, n).output.data.iter().zip(&weight).map(|(a, b)| a * b).sum::<f64>();
    for moving in 0..all.len() {
        let along: Vec<Vec<f64>> = (0..all.len())
            .map(|i| if i == moving { values(all[i].len()) } else { vec![0.0; all[i].len()] })
            .collect();
        let expected: f64 = all[moving].iter().zip(&along[moving]).map(|(a, b)| a * b).sum();
        let step = 1e-6;
        let found = (loss(&point.moved(&along, step)) - loss(&point.moved(&along, -step))) / (2.0 * step);
        assert!(
            (found - expected).abs() <= 1e-5 * (1.0 + expected.abs()),
            "part {moving}: {found} {expected}"
        );
    }
}

#[test]
fn gradients_of_search_cells_match_differences() {
    for reduction in [false, true] {
        let plan = CellPlan::search(3, [5, 4], reduction).unwrap();
        check_gradients(&plan, 2, false, 17);
    }
}

#[test]
fn gradients_of_eval_cells_match_differences() {
    let ops = [Op::SepConv5, Op::Skip, Op::MaxPool3, Op::DilConv5, Op::AvgPool3, Op::DilConv3, Op::SepConv3];
    let edges: Vec<Edge> = ops
        .iter()
        .enumerate()
        .map(|(i, &op)| Edge { node: i / 2, source: i % 3 % (i / 2 + 2), op })
        .collect();
    for reduction in [false, true] {
        let plan = CellPlan::with_edges(2, [6, 5], reduction, &edges, true).unwrap();
        check_gradients(&plan, 3, true, 23);
    }
}

#[test]
fn gradients_of_dense_convolutions_match_differences() {
    let mut random = Random(5);
    let mut values = |len: usize| double(&random.values(len));
    let shape = [4, 3, 3, 3];
    let x = tensor([2, 3, 6, 5], &values(180));
    let params = Params { weights: values(108), gain: values(4), bias: values(4), running: None };
    let run = |params: &Params<f64>, x: &Tensor<f64>| reference::norm_conv(params, true, shape, 2, 1, x);
    let tape = run(&params, &x);
    let weight = values(tape.output().data.len());
    let (gx, grads) = tape.backward(&params, &Tensor { shape: tape.output().shape, data: weight.clone() });
    let loss = |params: &Params<f64>, x: &Tensor<f64>| {
        run(params, x).output().data.iter().zip(&weight).map(|(a, b)| a * b).sum::<f64>()
    };
    let step = 1e-6;
    for i in (0..180).step_by(7) {
        let moved = |by: f64| {
            let mut x = x.clone();
            x.data[i] += by;
            loss(&params, &x)
        };
        let found = (moved(step) - moved(-step)) / (2.0 * step);
        assert!((found - gx.data[i]).abs() < 1e-5 * (1.0 + found.abs()), "x[{i}]: {found} {}", gx.data[i]);
    }
    for i in 0..108 {
        let moved = |by: f64| {
            let mut params = params.clone();
            params.weights[i] += by;
            loss(&params, &x)
        };
        let found = (moved(step) - moved(-step)) / (2.0 * step);
        let expected = grads.weights[i];
        assert!((found - expected).abs() < 1e-5 * (1.0 + found.abs()), "w[{i}]: {found} {expected}");
    }
}

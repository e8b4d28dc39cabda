//! Every kind of refusal, the layout conversions, and running statistics.
#![allow(missing_docs)]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod support;

use cdarts_kernels::plan::{CellPlan, Edge, Op};
use cdarts_kernels::{
    BatchStats, CellGrads, CellInput, Channels, KernelError, MeanPool, Width, Workspace, blocked_len,
    from_blocked, global_pool, global_pool_backward, to_blocked,
};
use proptest::prelude::*;
use support::Random;

fn input<'a>(plan: &CellPlan, state: &'a [f32], weights: &'a [f32]) -> CellInput<'a> {
    let n = state.len() / blocked_len(1, Channels::new(plan.channels()), plan.input_size());
    CellInput { n, s0: state, s1: state, weights, affine: None, mix: None, drop: None }
}

fn refusal(plan: &CellPlan, input: &CellInput<'_>, output: usize) -> KernelError {
    plan.forward(&Workspace::new(), input, &mut vec![0.0; output]).map(|_| ()).unwrap_err()
}

#[test]
fn edges_outside_the_cell_are_refused() {
    let refuse = |edges: &[Edge]| CellPlan::with_edges(4, [4, 4], false, edges, false).unwrap_err();
    let good = Edge { node: 1, source: 2, op: Op::Skip };
    assert_eq!(
        refuse(&[good, Edge { node: 4, source: 0, op: Op::Skip }]),
        KernelError::Node { edge: 1, limit: 4, found: 4 }
    );
    assert_eq!(
        refuse(&[good, good, Edge { node: 1, source: 3, op: Op::Skip }]),
        KernelError::Source { edge: 2, node: 1, limit: 3, found: 3 }
    );
}

#[test]
fn empty_shapes_are_refused() {
    let too_small = |what| Err(KernelError::TooSmall { what, minimum: 1, found: 0 });
    assert_eq!(CellPlan::search(0, [4, 4], false).map(|_| ()), too_small("channels"));
    assert_eq!(CellPlan::search(4, [0, 4], false).map(|_| ()), too_small("image height"));
    assert_eq!(CellPlan::search(4, [4, 0], false).map(|_| ()), too_small("image width"));
    let plan = CellPlan::search(4, [4, 4], false).unwrap();
    let weights = vec![0.0; plan.weights_len()];
    let failed = plan.forward(&Workspace::new(), &input(&plan, &[], &weights), &mut []).map(|_| ());
    assert_eq!(failed, too_small("batch"));
}

#[test]
fn wrong_lengths_name_the_argument() {
    let plan = CellPlan::search(4, [4, 4], false).unwrap();
    let state = vec![0.0; 2 * 8 * 16];
    let weights = vec![0.0; plan.weights_len()];
    let good = input(&plan, &state, &weights);
    let length = |what, expected, found| KernelError::Length { what, expected, found };
    assert_eq!(refusal(&plan, &CellInput { s0: &state[1..], ..good }, 1024), length("s0", 256, 255));
    assert_eq!(refusal(&plan, &CellInput { s1: &state[2..], ..good }, 1024), length("s1", 256, 254));
    let few = CellInput { weights: &weights[1..], ..good };
    assert_eq!(refusal(&plan, &few, 1024), length("weights", weights.len(), weights.len() - 1));
    assert_eq!(refusal(&plan, &good, 1023), length("cell output", 1024, 1023));
    let mix = CellInput { mix: Some(&state[..111]), ..good };
    assert_eq!(refusal(&plan, &mix, 1024), length("mixing weights", 112, 111));
    let drop = CellInput { drop: Some(&state[..27]), ..good };
    assert_eq!(refusal(&plan, &drop, 1024), length("drop-path multipliers", 28, 27));
}

#[test]
fn what_another_plan_kept_is_refused() {
    let plan = |channels| CellPlan::search(channels, [4, 4], false).unwrap();
    let state = vec![0.5; 2 * 8 * 16];
    let (other, weights) = (plan(3), vec![0.1; plan(4).weights_len()]);
    let mut output = vec![0.0; 1024];
    let other_input = input(&other, &state, &weights[..other.weights_len()]);
    let saved = other.forward(&Workspace::new(), &other_input, &mut output).unwrap();
    let [mut s0, mut s1, mut grads] = [state.clone(), state.clone(), weights.clone()];
    let grads = CellGrads { s0: &mut s0, s1: &mut s1, weights: Some(&mut grads), affine: None, mix: None };
    let own = plan(4);
    let own_input = input(&own, &state, &weights);
    let refused = own.backward(&Workspace::new(), &own_input, &output, saved, &output, grads);
    let (expected, found) = ("this plan's", "another plan's");
    assert_eq!(refused, Err(KernelError::Argument { what: "saved values", expected, found }));
}

#[test]
fn affine_parameters_must_fit_the_plan() {
    let plan = CellPlan::with_edges(4, [4, 4], false, &[Edge { node: 0, source: 0, op: Op::DilConv3 }], true);
    let plan = plan.unwrap();
    let state = vec![0.0; 2 * 8 * 16];
    let weights = vec![0.0; plan.weights_len()];
    let expected = KernelError::Argument { what: "affine", expected: "gains and biases", found: "none" };
    assert_eq!(refusal(&plan, &input(&plan, &state, &weights), 1024), expected);
}

#[test]
fn windows_that_do_not_fit_are_refused() {
    let refuse =
        |window, stride| MeanPool::new(Channels::new(3), [4, 5], window, stride).map(|_| ()).unwrap_err();
    let too_small = |what, minimum, found| KernelError::TooSmall { what, minimum, found };
    assert_eq!(refuse([5, 1], [1, 1]), too_small("image height", 5, 4));
    assert_eq!(refuse([1, 6], [1, 1]), too_small("image width", 6, 5));
    assert_eq!(refuse([0, 1], [1, 1]), too_small("window height", 1, 0));
    assert_eq!(refuse([1, 1], [1, 0]), too_small("horizontal stride", 1, 0));
    let pool = MeanPool::new(Channels::new(3), [4, 5], [2, 2], [2, 1]).unwrap();
    let failed = pool.forward(&Workspace::new(), 2, &[0.0; 320], &mut [0.0; 127]);
    assert_eq!(failed, Err(KernelError::Length { what: "output", expected: 128, found: 127 }));
    let failed = pool.backward(&Workspace::new(), 2, &[0.0; 320], &[0.0; 128], &mut [0.0; 319]);
    assert_eq!(failed, Err(KernelError::Length { what: "gradient of the input", expected: 320, found: 319 }));
}

#[test]
fn running_statistics_move_by_the_momentum() {
    let stats = BatchStats { mean: vec![1.0, 2.0], var: vec![3.0, 4.0] };
    let (mut mean, mut var) = (vec![0.0, 1.0], vec![1.0, 1.0]);
    stats.update(0.5, &mut mean, &mut var).unwrap();
    assert_eq!((mean, var), (vec![0.5, 1.5], vec![2.0, 2.5]));
    let failed = stats.update(0.5, &mut [0.0], &mut [0.0, 0.0]);
    assert_eq!(failed, Err(KernelError::Length { what: "running means", expected: 2, found: 1 }));
}

#[test]
fn sizes_agree_with_the_published_network() {
    // Facts 3.6: the search network of eight cells, stem and classifier has 1,930,618 parameters.
    let cell = |channels, reduction| CellPlan::search(channels, [32, 32], reduction).unwrap().weights_len();
    let mut total = 3 * 48 * 9 + 2 * 48 + 256 * 10 + 10;
    let (mut before, mut last, mut channels) = (48, 48, 16);
    for index in 0..8 {
        let reduction = index == 2 || index == 5;
        if reduction {
            channels *= 2;
        }
        total += before * channels + last * channels + cell(channels, reduction);
        (before, last) = (last, 4 * channels);
    }
    assert_eq!(total, 1_930_618);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn layouts_convert_back(n in 1..4usize, groups in 1..5usize, per_group in 1..20usize, h in 1..6usize, w in 1..6usize, sixteen: bool) {
        let channels = Channels::grouped(groups, per_group).in_blocks_of(Width::ALL[usize::from(sixteen)]);
        let nchw = Random(1).values(n * channels.real() * h * w);
        let mut blocked = vec![f32::NAN; blocked_len(n, channels, [h, w])];
        to_blocked(n, channels, [h, w], &nchw, &mut blocked).unwrap();
        prop_assert!(blocked.iter().all(|v| v.is_finite()));
        let total: f64 = nchw.iter().map(|&v| f64::from(v)).sum();
        let kept: f64 = blocked.iter().map(|&v| f64::from(v)).sum();
        prop_assert!((total - kept).abs() < 1e-9);
        let mut back = vec![f32::NAN; nchw.len()];
        from_blocked(n, channels, [h, w], &blocked, &mut back).unwrap();
        prop_assert_eq!(&back, &nchw);

        let mut pooled = vec![f32::NAN; n * channels.real()];
        global_pool(n, channels, [h, w], &blocked, &mut pooled).unwrap();
        for (mean, plane) in pooled.iter().zip(nchw.chunks(h * w)) {
            let expected = plane.iter().map(|&v| f64::from(v)).sum::<f64>() / (h * w) as f64;
            prop_assert!((f64::from(*mean) - expected).abs() < 1e-6);
        }
        let mut grad = vec![f32::NAN; blocked.len()];
        global_pool_backward(n, channels, [h, w], &pooled, &mut grad).unwrap();
        from_blocked(n, channels, [h, w], &grad, &mut back).unwrap();
        for (mean, plane) in pooled.iter().zip(back.chunks(h * w)) {
            prop_assert!(plane.iter().all(|&v| v == mean / (h * w) as f32));
        }
    }
}

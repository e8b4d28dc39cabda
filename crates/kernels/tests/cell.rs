//! Whole cells: fast against the reference, and the same bits for any number of threads.
#![allow(missing_docs)]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod support;

use cdarts_kernels::plan::{CellPlan, Edge, Op};
use cdarts_kernels::{KernelError, Level, Width, Workspace};
use proptest::prelude::*;
use support::{
    Bounds, Case, assert_close, assert_threads_change_nothing, assert_unasked_changes_nothing,
    assert_workspace_is_reused, run_asking, run_fast, run_reference,
};

fn compare(mut case: Case, level: Level) {
    let workspace = Workspace::with_level(level);
    let exact = run_reference::<f64>(&case);
    let single = run_reference::<f32>(&case);
    let [h, w] = case.plan.output_size();
    let bounds = Bounds::new(case.n * h * w, case.grad.len() / 4);
    for width in Width::ALL {
        case = case.in_blocks_of(width);
        let what = format!("{case} {} {width:?}", level.name());
        let fast = run_fast(&case, &workspace);
        for (((name, fast), (_, exact)), (_, single)) in fast.iter().zip(&exact).zip(&single) {
            assert_close(name, fast, [exact, single], &bounds, &what);
        }
    }
}

#[test]
fn search_cells_match_the_reference() {
    for reduction in [false, true] {
        for (channels, size, n) in [
            (16, [8, 8], 2),
            (8, [5, 7], 3),
            (3, [1, 4], 5),
            (24, [6, 2], 2),
            (11, [9, 9], 1),
            (1, [3, 3], 2),
        ] {
            let plan = CellPlan::search(channels, size, reduction).unwrap();
            compare(Case::new(plan, n, 7, false), Level::detect());
        }
    }
}

#[test]
fn every_instruction_set_matches_the_reference() {
    for level in Level::available() {
        for reduction in [false, true] {
            compare(Case::new(CellPlan::search(12, [6, 5], reduction).unwrap(), 2, 3, false), level);
        }
    }
}

#[test]
fn the_usual_sizes_match_the_reference() {
    for (channels, size) in [(16, 32), (32, 16)] {
        let edges =
            [Op::SepConv5, Op::DilConv5, Op::MaxPool3, Op::AvgPool3, Op::SepConv3, Op::DilConv3, Op::Skip];
        let edges: Vec<Edge> =
            edges.iter().enumerate().map(|(i, &op)| Edge { node: i / 2, source: i % 2, op }).collect();
        for reduction in [false, true] {
            let plan = CellPlan::with_edges(channels, [size; 2], reduction, &edges, true).unwrap();
            compare(Case::new(plan, 2, 11, true), Level::detect());
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    for reduction in [false, true] {
        for width in Width::ALL {
            let plan = CellPlan::search(13, [7, 6], reduction).unwrap().in_blocks_of(width);
            let case = Case::new(plan, 37, 5, false);
            assert_threads_change_nothing(|| run_fast(&case, &Workspace::new()));
        }
    }
}

#[test]
fn what_nobody_asks_for_changes_nothing_else() {
    for (channels, reduction) in [(13, false), (13, true), (40, false)] {
        let plan = CellPlan::search(channels, [7, 6], reduction).unwrap();
        // Images enough for groups of several, where sums of so many channels are large.
        let case = Case::new(plan, 9, 5, channels == 40);
        assert_unasked_changes_nothing(|asked| run_asking(&case, &Workspace::new(), asked));
    }
}

#[test]
fn equal_maxima_go_the_same_way() {
    for reduction in [false, true] {
        let edges = [0, 1, 2].map(|source| Edge { node: 1, source, op: Op::MaxPool3 });
        let plan = CellPlan::with_edges(9, [7, 6], reduction, &edges, false).unwrap();
        let mut case = Case::new(plan, 3, 2, false);
        case.s.iter_mut().flatten().for_each(|v| *v = (2.0 * *v).round());
        compare(case, Level::detect());
    }
}

#[test]
fn a_workspace_is_reused() {
    let case = Case::new(CellPlan::search(8, [6, 6], false).unwrap(), 4, 1, false);
    assert_workspace_is_reused(|workspace| run_fast(&case, workspace));
}

#[test]
fn one_value_has_no_variance() {
    let case = Case::new(CellPlan::search(2, [1, 1], false).unwrap(), 1, 1, false);
    let mut output = vec![0.0; case.plan.output_len(1)];
    let failed =
        case.with_input(|input| case.plan.forward(&Workspace::new(), input, &mut output).map(|_| ()));
    assert_eq!(failed, Err(KernelError::OneValue { batch: 1, height: 1, width: 1 }));
}

fn op() -> impl Strategy<Value = Op> {
    (0..8usize).prop_map(|op| Op::ALL[op])
}

fn edge() -> impl Strategy<Value = Edge> {
    (0..4usize, 0..5usize, op()).prop_map(|(node, source, op)| Edge { node, source: source % (node + 2), op })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn eval_cells_match_the_reference(
        edges in prop::collection::vec(edge(), 0..9),
        channels in 1..71usize,
        (h, w) in (1..10usize, 1..10usize),
        n in 1..6usize,
        reduction: bool,
        affine: bool,
        seed: u64,
    ) {
        let plan = CellPlan::with_edges(channels, [h, w], reduction, &edges, affine).unwrap();
        let [oh, ow] = plan.output_size();
        prop_assume!(n * oh * ow > 1);
        compare(Case::new(plan, n, seed, true), Level::detect());
    }
}

//! From architecture weights to genotypes (facts section 4).
#![allow(missing_docs)]

use cdarts_space::{
    Alphas, CellAlphas, CellKind, EDGES, Edge, NODES, Op, SpaceError, discretise, edge_index, edges_of,
    scores,
};
use proptest::prelude::*;

fn edge(op: Op, source: usize) -> Edge {
    Edge { op, source }
}

#[test]
fn ties_go_to_the_lower_operation_and_the_lower_edge() {
    let cell = discretise(&CellAlphas::zeros()).unwrap();
    assert_eq!(cell.nodes, vec![vec![edge(Op::MaxPool3x3, 0), edge(Op::MaxPool3x3, 1)]; NODES]);
    assert_eq!(cell.concat, [2, 3, 4, 5]);
}

#[test]
fn ties_between_rows_of_permuted_logits_are_exact() {
    // The same eight logits in another order on each edge: all best scores are equal.
    let logits = [0.3f32, -1.7, 2.9, 0.11, -0.4, 1.3, 0.7, -2.2];
    let mut alphas = CellAlphas::zeros();
    for row in 0..EDGES {
        // Turned to the left, except that `none` keeps the last logit.
        let turned = |op: usize| if op == 7 { logits[7] } else { logits[(op + row) % 7] };
        alphas.alpha[row] = std::array::from_fn(turned);
    }
    let cell = discretise(&alphas).unwrap();
    for edges in &cell.nodes {
        assert_eq!([edges[0].source, edges[1].source], [0, 1]);
    }
}

#[test]
fn the_best_edges_come_best_first() {
    let mut alphas = CellAlphas::zeros();
    alphas.alpha[edge_index(2, 1)][Op::DilConv5x5.index()] = 2.0;
    alphas.alpha[edge_index(2, 3)][Op::SepConv3x3.index()] = 3.0;
    alphas.alpha[edge_index(2, 0)][Op::SkipConnect.index()] = 1.0;
    let cell = discretise(&alphas).unwrap();
    assert_eq!(cell.nodes[2], [edge(Op::SepConv3x3, 3), edge(Op::DilConv5x5, 1)]);
}

#[test]
fn none_is_never_kept_but_lowers_its_edge() {
    let mut alphas = CellAlphas::zeros();
    for source in [0, 1] {
        alphas.alpha[edge_index(1, source)][Op::None.index()] = 5.0;
    }
    alphas.alpha[edge_index(1, 1)][Op::SepConv5x5.index()] = 0.5;
    let cell = discretise(&alphas).unwrap();
    // Source 2 has no `none` against it; of the two others the one with a preference is better.
    assert_eq!(cell.nodes[1], [edge(Op::MaxPool3x3, 2), edge(Op::SepConv5x5, 1)]);
    alphas.alpha.iter_mut().for_each(|row| row[Op::None.index()] = 100.0);
    assert!(discretise(&alphas).unwrap().edges().all(|(_, edge)| edge.op != Op::None));
}

#[test]
fn edge_weights_scale_the_scores_of_their_node() {
    let mut alphas = CellAlphas::zeros();
    alphas.alpha[edge_index(3, 4)][Op::SepConv3x3.index()] = 1.0;
    assert_eq!(discretise(&alphas).unwrap().nodes[3][0], edge(Op::SepConv3x3, 4));
    alphas.beta[edge_index(3, 4)] = -10.0;
    let cell = discretise(&alphas).unwrap();
    assert_eq!(cell.nodes[3], [edge(Op::MaxPool3x3, 0), edge(Op::MaxPool3x3, 1)]);
    // A constant beta cancels: the published setting has 0.1 everywhere.
    let constant = CellAlphas { beta: vec![0.1; EDGES], ..CellAlphas::zeros() };
    assert_eq!(scores(&constant).unwrap(), scores(&CellAlphas::zeros()).unwrap());
}

#[test]
fn scores_by_hand() {
    let mut alphas = CellAlphas::zeros();
    alphas.alpha[1][4] = 7f32.ln();
    alphas.beta[1] = 3f32.ln();
    let table = scores(&alphas).unwrap();
    // softmax(beta) = 1/4, 3/4; softmax(alpha) = 1/8 everywhere, and 7/14 against 1/14.
    let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-7, "{found} {expected}");
    close(table[0][0], 1.0 / 32.0);
    close(table[1][4], 3.0 / 8.0);
    close(table[1][0], 3.0 / 56.0);
}

#[test]
fn wrong_weights_are_refused() {
    let mut alphas = CellAlphas::zeros();
    alphas.alpha[3][7] = f32::NAN;
    let expected = SpaceError::NonFinite { what: "alpha", edge: 3, found: "NaN".to_owned() };
    assert_eq!(discretise(&alphas), Err(expected.clone()));
    assert_eq!(scores(&alphas), Err(expected.clone()));
    let both = Alphas { normal: CellAlphas::zeros(), reduce: alphas };
    assert_eq!(both.discretise(), Err(expected));
    let short = CellAlphas { alpha: vec![[0.0; 8]; 13], ..CellAlphas::zeros() };
    assert_eq!(discretise(&short), Err(SpaceError::EdgeCount { what: "alpha", found: 13 }));
}

fn any_logit() -> impl Strategy<Value = f32> {
    prop_oneof![4 => -5f32..5.0, 2 => prop::sample::select(vec![0.0f32, 1.0]), 1 => -1e38f32..1e38]
}

fn any_alphas() -> impl Strategy<Value = CellAlphas> {
    let row = prop::array::uniform8(any_logit());
    (prop::collection::vec(row, EDGES), prop::collection::vec(any_logit(), EDGES))
        .prop_map(|(alpha, beta)| CellAlphas { alpha, beta })
}

/// Whole numbers, whose differences are exact, and few of them, so that many are equal.
fn whole_alphas() -> impl Strategy<Value = CellAlphas> {
    let logit = || (-3i8..4).prop_map(f32::from);
    let row = prop::array::uniform8(logit());
    (prop::collection::vec(row, EDGES), prop::collection::vec(logit(), EDGES))
        .prop_map(|(alpha, beta)| CellAlphas { alpha, beta })
}

proptest! {
    #[test]
    fn a_discretised_cell_is_valid_and_best(alphas in any_alphas()) {
        let table = scores(&alphas).unwrap();
        let cell = discretise(&alphas).unwrap();
        prop_assert_eq!(cell.validate(CellKind::Normal), Ok(()));
        for (node, edges) in cell.nodes.iter().enumerate() {
            prop_assert_eq!(edges.len(), 2);
            prop_assert_ne!(edges[0].source, edges[1].source);
            let best = |source: usize| {
                let row = &table[edge_index(node, source)];
                row[..7].iter().fold(0.0, |best: f64, &score| best.max(score))
            };
            for edge in edges {
                prop_assert_eq!(table[edge_index(node, edge.source)][edge.op.index()], best(edge.source));
            }
            prop_assert!(best(edges[0].source) >= best(edges[1].source));
            let kept = [edges[0].source, edges[1].source];
            for source in (0..node + 2).filter(|source| !kept.contains(source)) {
                prop_assert!(best(source) <= best(edges[1].source));
            }
        }
    }

    #[test]
    fn a_constant_added_to_a_row_changes_nothing(
        alphas in whole_alphas(),
        row in 0..EDGES,
        constant in -64i8..64,
    ) {
        let mut moved = alphas.clone();
        moved.alpha[row].iter_mut().for_each(|logit| *logit += f32::from(constant));
        prop_assert_eq!(scores(&moved).unwrap(), scores(&alphas).unwrap());
        prop_assert_eq!(discretise(&moved).unwrap(), discretise(&alphas).unwrap());
    }

    #[test]
    fn a_constant_added_to_a_nodes_beta_changes_nothing(
        alphas in whole_alphas(),
        node in 0..NODES,
        constant in -64i8..64,
    ) {
        let mut moved = alphas.clone();
        moved.beta[edges_of(node)].iter_mut().for_each(|logit| *logit += f32::from(constant));
        prop_assert_eq!(discretise(&moved).unwrap(), discretise(&alphas).unwrap());
    }

    #[test]
    fn equal_scores_go_to_the_lower_operation_and_the_lower_edge(alphas in whole_alphas()) {
        let table = scores(&alphas).unwrap();
        for (node, edges) in discretise(&alphas).unwrap().nodes.iter().enumerate() {
            for edge in edges {
                let row = &table[edge_index(node, edge.source)];
                prop_assert!(row[..edge.op.index()].iter().all(|score| *score < row[edge.op.index()]));
            }
            let score = |edge: &Edge| table[edge_index(node, edge.source)][edge.op.index()];
            prop_assert!(score(&edges[0]) > score(&edges[1]) || edges[0].source < edges[1].source);
            for source in (0..edges[1].source).filter(|&source| source != edges[0].source) {
                let best = table[edge_index(node, source)][..7].iter().fold(0.0, |a: f64, &b| a.max(b));
                prop_assert!(best < score(&edges[1]), "a lower edge with the same score was passed over");
            }
        }
    }

    #[test]
    fn none_is_never_kept(alphas in any_alphas(), preference in 0f32..1e30) {
        let mut alphas = alphas;
        alphas.alpha.iter_mut().for_each(|row| row[Op::None.index()] = preference);
        prop_assert!(discretise(&alphas).unwrap().edges().all(|(_, edge)| edge.op != Op::None));
    }

    #[test]
    fn scores_are_shares_of_a_node(alphas in any_alphas()) {
        let table = scores(&alphas).unwrap();
        for node in 0..NODES {
            let sum: f64 = table[edges_of(node)].iter().flatten().sum();
            prop_assert!((sum - 1.0).abs() < 1e-12, "{}", sum);
        }
        let entropy = alphas.entropy().unwrap();
        prop_assert!((0.0..=8f64.ln() + 1e-12).contains(&entropy));
    }
}

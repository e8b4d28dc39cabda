//! Genotypes drawn at random from architecture weights (facts section 4, 10.12).
#![allow(missing_docs)]

use std::collections::HashMap;

use cdarts_space::{CellAlphas, CellKind, Edge, Op, discretise, sample, sample_from_probabilities, scores};
use proptest::prelude::*;

const DRAWS: usize = 20_000;

/// Standard Gumbel noise from a SplitMix64 generator.
fn gumbel(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let uniform = ((z ^ (z >> 31)) >> 11) as f64 + 0.5;
        -(-(uniform / (1u64 << 53) as f64).ln()).ln()
    }
}

/// Weights that prefer some operations, sources and `none`.
fn alphas() -> CellAlphas {
    let mut alphas = CellAlphas::zeros();
    for (edge, row) in alphas.alpha.iter_mut().enumerate() {
        *row = std::array::from_fn(|op| ((3 * edge + 5 * op) % 7) as f32 * 0.4);
    }
    alphas.beta.iter_mut().enumerate().for_each(|(edge, beta)| *beta = (edge % 3) as f32 * 0.5);
    alphas
}

/// How often each edge came first in node 1.
fn frequencies(mut draw: impl FnMut() -> Vec<Edge>) -> HashMap<(usize, Op), f64> {
    let mut counts = HashMap::new();
    for _ in 0..DRAWS {
        let first = draw()[0];
        *counts.entry((first.source, first.op)).or_insert(0.0) += 1.0 / DRAWS as f64;
    }
    counts
}

#[test]
fn the_best_drawn_edge_is_as_likely_as_its_score() {
    let alphas = alphas();
    let mut noise = gumbel(1);
    let counts = frequencies(|| sample(&alphas, &mut noise).unwrap().nodes.swap_remove(1));
    let table = &scores(&alphas).unwrap()[2..5];
    let all: f64 = table.iter().map(|row| row[..7].iter().sum::<f64>()).sum();
    for (source, row) in table.iter().enumerate() {
        for op in Op::kept() {
            let expected = row[op.index()] / all;
            let found = counts.get(&(source, op)).copied().unwrap_or(0.0);
            // Five standard errors.
            let error = 5.0 * (expected * (1.0 - expected) / DRAWS as f64).sqrt();
            assert!((found - expected).abs() < error, "{op} from {source}: {found} {expected}");
        }
    }
}

#[test]
fn the_published_draw_hardly_listens_to_the_weights_and_not_at_all_to_beta() {
    // One operation has nearly all the weight on every edge.
    let mut alphas = CellAlphas::zeros();
    alphas.alpha.iter_mut().for_each(|row| row[Op::SepConv3x3.index()] = 20.0);
    let share = |draw: &mut dyn FnMut() -> Vec<Edge>| {
        let drawn: Vec<Edge> = (0..4000).flat_map(|_| draw()).collect();
        drawn.iter().filter(|edge| edge.op == Op::SepConv3x3).count() as f64 / drawn.len() as f64
    };
    let (mut proper, mut published) = (gumbel(2), gumbel(2));
    let proper = share(&mut || sample(&alphas, &mut proper).unwrap().nodes.swap_remove(3));
    let published =
        share(&mut || sample_from_probabilities(&alphas, &mut published).unwrap().nodes.swap_remove(3));
    assert!(proper > 0.999, "{proper}");
    // e / (e + 6) of the draws, for probabilities of 1 and 0 in the place of logits.
    let expected = 1f64.exp() / (1f64.exp() + 6.0);
    assert!((published - expected).abs() < 0.02, "{published} {expected}");

    let other = CellAlphas { beta: (0..14).map(|edge| edge as f32).collect(), ..alphas.clone() };
    let draw = |alphas: &CellAlphas| sample_from_probabilities(alphas, &mut gumbel(3)).unwrap();
    assert_eq!(draw(&alphas), draw(&other));
    assert_ne!(
        (0..50).map(|seed| sample(&alphas, &mut gumbel(seed)).unwrap()).collect::<Vec<_>>(),
        (0..50).map(|seed| sample(&other, &mut gumbel(seed)).unwrap()).collect::<Vec<_>>()
    );
}

#[test]
fn the_published_draw_gives_edges_twice_and_nodes_with_one_edge() {
    let alphas = alphas();
    let mut noise = gumbel(4);
    let cells: Vec<_> = (0..300).map(|_| sample_from_probabilities(&alphas, &mut noise).unwrap()).collect();
    let nodes = || cells.iter().flat_map(|cell| &cell.nodes);
    assert!(nodes().any(|edges| edges.len() == 1));
    assert!(nodes().any(|edges| edges.len() == 2 && edges[0].source == edges[1].source));
    // All of them are genotypes that can be written, read and built.
    cells.iter().for_each(|cell| cell.validate(CellKind::Normal).unwrap());
}

#[test]
fn without_noise_a_sample_is_the_discretisation() {
    let alphas = alphas();
    assert_eq!(sample(&alphas, &mut || 0.0).unwrap(), discretise(&alphas).unwrap());
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    let mut alphas = alphas();
    alphas.alpha[3][1] = f32::NAN;
    assert!(sample(&alphas, &mut gumbel(1)).is_err());
    assert!(sample_from_probabilities(&alphas, &mut gumbel(1)).is_err());
}

proptest! {
    #[test]
    fn every_sample_keeps_two_different_sources_and_never_none(seed: u64, scale in 0.0..30f32) {
        let mut alphas = alphas();
        alphas.alpha.iter_mut().flatten().for_each(|logit| *logit *= scale);
        let cell = sample(&alphas, &mut gumbel(seed)).unwrap();
        prop_assert!(cell.validate(CellKind::Normal).is_ok());
        for edges in &cell.nodes {
            prop_assert_eq!(edges.len(), 2);
            prop_assert_ne!(edges[0].source, edges[1].source);
        }
    }
}

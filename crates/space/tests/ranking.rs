//! Rank correlation against values by hand and against the definitions.
#![allow(missing_docs)]

use cdarts_space::SpaceError;
use cdarts_space::ranking::{kendall_tau, spearman_rho};
use proptest::prelude::*;

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-12, "{found}, expected {expected}");
}

#[test]
fn without_ties_by_hand() {
    let a = [1.0, 2.0, 3.0, 4.0, 5.0];
    let b = [3.0, 1.0, 2.0, 5.0, 4.0];
    // Discordant: (1,2), (1,3), (4,5); concordant: the other seven of ten.
    close(kendall_tau(&a, &b).unwrap(), 0.4);
    // Differences of ranks 2, 1, 1, 1, 1: 1 - 6 * 8 / (5 * 24).
    close(spearman_rho(&a, &b).unwrap(), 0.6);
}

#[test]
fn with_ties_by_hand() {
    let a = [1.0, 1.0, 2.0, 3.0];
    let b = [1.0, 2.0, 2.0, 2.0];
    // Pairs: (1,2) tied in a; (2,3), (2,4), (3,4) tied in b; (1,3), (1,4) concordant.
    close(kendall_tau(&a, &b).unwrap(), 2.0 / (5.0f64 * 3.0).sqrt());
    // Ranks 1.5, 1.5, 3, 4 and 1, 3, 3, 3, about 2.5: products 1.5 - 0.5 + 0.25 + 0.75 = 2; squares 4.5 and 3.
    close(spearman_rho(&a, &b).unwrap(), 2.0 / (4.5f64 * 3.0).sqrt());
}

#[test]
fn known_values() {
    // Neighbours exchanged: 5 of 45 pairs disagree; ten differences of 1.
    let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0];
    let b = [2.0, 1.0, 4.0, 3.0, 6.0, 5.0, 8.0, 7.0, 10.0, 9.0];
    close(kendall_tau(&a, &b).unwrap(), 35.0 / 45.0);
    close(spearman_rho(&a, &b).unwrap(), 1.0 - 6.0 * 10.0 / 990.0);
    // SciPy 1.x: kendalltau([12, 2, 1, 12, 2], [1, 4, 7, 1, 0]) = -0.47140452079103173.
    close(
        kendall_tau(&[12.0, 2.0, 1.0, 12.0, 2.0], &[1.0, 4.0, 7.0, 1.0, 0.0]).unwrap(),
        -0.471_404_520_791_031_73,
    );
    // SciPy 1.x: spearmanr([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]) = 0.8207826816681233.
    close(
        spearman_rho(&[1.0, 2.0, 3.0, 4.0, 5.0], &[5.0, 6.0, 7.0, 8.0, 7.0]).unwrap(),
        0.820_782_681_668_123_3,
    );
}

#[test]
fn the_same_order_gives_one_exactly() {
    let a = [0.1, 0.7, 0.7, -3.0, f64::INFINITY, 0.0, -0.0];
    let opposite = a.map(|value| -value);
    for correlation in [kendall_tau, spearman_rho] {
        assert_eq!(correlation(&a, &a), Ok(1.0));
        assert_eq!(correlation(&a, &opposite), Ok(-1.0));
    }
}

#[test]
fn what_has_no_order_is_refused() {
    for correlation in [kendall_tau, spearman_rho] {
        assert_eq!(correlation(&[1.0, 2.0], &[1.0]), Err(SpaceError::RankingLengths { found: [2, 1] }));
        assert_eq!(
            correlation(&[1.0, 2.0], &[1.0, f64::NAN]),
            Err(SpaceError::RankingNan { side: 1, index: 1 })
        );
        assert_eq!(correlation(&[2.0, 2.0], &[1.0, 3.0]), Err(SpaceError::RankingTied { side: 0, found: 2 }));
        assert_eq!(
            correlation(&[1.0, 3.0], &[0.0, -0.0]),
            Err(SpaceError::RankingTied { side: 1, found: 2 })
        );
        assert_eq!(correlation(&[], &[]), Err(SpaceError::RankingTied { side: 0, found: 0 }));
        assert_eq!(correlation(&[1.0], &[1.0]), Err(SpaceError::RankingTied { side: 0, found: 1 }));
    }
}

/// Over all pairs, as the definition has it.
fn tau_by_definition(a: &[f64], b: &[f64]) -> f64 {
    let sign = |x: f64, y: f64| f64::from(i8::from(x > y) - i8::from(x < y));
    let (mut agreement, mut untied_a, mut untied_b) = (0.0, 0.0, 0.0);
    for i in 0..a.len() {
        for j in 0..i {
            let (in_a, in_b) = (sign(a[i], a[j]), sign(b[i], b[j]));
            agreement += in_a * in_b;
            untied_a += in_a.abs();
            untied_b += in_b.abs();
        }
    }
    agreement / f64::sqrt(untied_a * untied_b)
}

proptest! {
    #[test]
    fn tau_is_what_its_definition_says(pairs in prop::collection::vec((0u8..12, 0u8..12), 2..60)) {
        let (a, b): (Vec<f64>, Vec<f64>) = pairs.iter().map(|&(a, b)| (f64::from(a), f64::from(b))).unzip();
        if let Ok(tau) = kendall_tau(&a, &b) {
            prop_assert!((tau - tau_by_definition(&a, &b)).abs() < 1e-12);
            prop_assert_eq!(Ok(tau), kendall_tau(&b, &a));
        }
    }

    #[test]
    fn only_the_order_counts(pairs in prop::collection::vec((-9i8..9, -9i8..9), 2..40)) {
        let (a, b): (Vec<f64>, Vec<f64>) = pairs.iter().map(|&(a, b)| (f64::from(a), f64::from(b))).unzip();
        let stretched: Vec<f64> = a.iter().map(|value| value.exp()).collect();
        for correlation in [kendall_tau, spearman_rho] {
            prop_assert_eq!(correlation(&a, &b), correlation(&stretched, &b));
            if let Ok(found) = correlation(&a, &b) {
                prop_assert!(found.abs() <= 1.0 + 1e-12);
            }
        }
    }
}

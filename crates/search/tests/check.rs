//! Every gradient agrees with central differences; a wrong one does not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use cdarts_search::check::{
    Fault, Group, Path, Report, Row, Setup, Term, gradients, losses_with, second_order_with,
};

/// Enough to find a fault in a whole group.
const QUICK: Setup = Setup { seed: 1, coordinates: 0, directions: 1 };

fn listed<'a>(rows: impl Iterator<Item = &'a Row>) -> String {
    let line = |row: &Row| {
        let Row { path, edge_weights, term, with_respect_to, error, tolerance, .. } = row;
        format!("{path}, beta {edge_weights}, {term}, {with_respect_to}: {error:.1e} of {tolerance:.0e}")
    };
    rows.map(line).collect::<Vec<_>>().join("\n")
}

fn found(report: &Report) -> Vec<(Path, Term, Group)> {
    let mut found: Vec<_> =
        report.disagreements().map(|row| (row.path, row.term, row.with_respect_to)).collect();
    found.dedup();
    found
}

#[test]
fn every_gradient_agrees_on_both_paths() {
    let report = gradients(&Setup { coordinates: 1, directions: 1, ..Setup::default() }).unwrap();
    println!("{}", listed(report.rows.iter().filter(|row| row.depends)));
    assert!(report.agrees(), "{}", listed(report.disagreements()));
    let compared = |path, edge_weights, term, group| {
        report.rows.iter().any(|row| {
            row.depends
                && (row.path, row.edge_weights, row.term, row.with_respect_to)
                    == (path, edge_weights, term, group)
        })
    };
    for path in Path::ALL {
        for term in [Term::Kl, Term::Cosine, Term::Mse, Term::SmoothL1, Term::Total] {
            for group in Group::ALL {
                let beta = matches!(group, Group::BetaNormal | Group::BetaReduction);
                assert_eq!(compared(path, false, term, group), !beta, "{term} {group}");
                assert!(compared(path, true, term, group), "{term} {group}");
            }
        }
        assert!(compared(path, false, Term::HessianVector, Group::AlphaNormal));
        assert!(!compared(path, true, Term::Penalty, Group::SearchNormal));
        assert!(!compared(path, true, Term::SearchLabels, Group::EvalNormal));
    }
    let [quadratic, linear] = report.smooth_l1_branches;
    println!("smooth-L1: {quadratic} differences in the quadratic branch, {linear} in the linear one");
    assert!(quadratic >= 10 && linear >= 10, "both branches of smooth-L1: {quadratic}, {linear}");
}

/// Gradients that are wrong by a factor.
const BROKEN: [(Path, Term, Group, f64); 4] = [
    (Path::Stock, Term::Kl, Group::AlphaReduction, 1.01),
    (Path::Fused, Term::SmoothL1, Group::Mixture, 0.0),
    (Path::Fused, Term::Penalty, Group::AlphaNormal, -1.0),
    (Path::Fused, Term::Total, Group::SearchNormal, 1.1),
];

struct WrongFactors;

impl Fault for WrongFactors {
    fn gradient(&self, path: Path, term: Term, group: Group, gradient: &mut [f64]) {
        let broken = BROKEN.iter().find(|broken| (broken.0, broken.1, broken.2) == (path, term, group));
        gradient.iter_mut().for_each(|value| *value *= broken.map_or(1.0, |broken| broken.3));
    }
}

#[test]
fn gradients_that_are_broken_are_found_and_no_others_accused() {
    let report = losses_with(&QUICK, false, &WrongFactors).unwrap();
    let mut found = found(&report);
    found.sort();
    assert_eq!(found, BROKEN.map(|(path, term, group, _)| (path, term, group)));
}

/// The Hessian-vector product times a function of its ε.
struct WrongScale(fn(f64) -> f64);

impl Fault for WrongScale {
    fn product_factor(&self, epsilon: f64) -> f64 {
        (self.0)(epsilon)
    }
}

#[test]
fn every_known_wrong_scale_of_the_hessian_vector_product_is_found() {
    type Scale = fn(f64) -> f64;
    let scales: [(&str, Scale); 5] = [
        ("none", |_| 1.0),
        ("(p - n) / 2 * eps in the place of (p - n) / (2 * eps)", |eps| eps * eps),
        ("half of it forgotten", |_| 2.0),
        ("not divided by eps", |eps| eps),
        ("the sign turned", |_| -1.0),
    ];
    let faults = scales.map(|(_, scale)| WrongScale(scale));
    let faults: Vec<&dyn Fault> = faults.iter().map(|fault| fault as &dyn Fault).collect();
    let reports = second_order_with(&QUICK, false, &faults).unwrap();
    assert!(reports[0].agrees(), "{}", listed(reports[0].disagreements()));
    for ((name, _), report) in scales.iter().zip(&reports).skip(1) {
        let found = found(report);
        for (path, term) in [
            (Path::Stock, Term::HessianVector),
            (Path::Fused, Term::HessianVector),
            (Path::Stock, Term::SecondOrder),
        ] {
            let by = found.iter().any(|&(p, t, _)| (p, t) == (path, term));
            assert!(by, "{name}: not found by {path} {term}");
        }
    }
}

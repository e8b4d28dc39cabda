//! An early estimate of the score that a retraining will end with, from validation accuracies alone.
//!
//! Errors of a network fall as a power of the time it was trained (Hestness et al., arXiv 1712.00409), and once more as
//! the learning rate goes to 0. With k epochs of K done and a(k) = (1 − cos(π (k − 1) / K)) / 2, the part of the learning
//! rate that is gone,
//!
//! ```text
//! ln error(k) = c − b · ln k − g · a(k)
//! ```
//!
//! c and b are fitted by least squares to all epochs so far; g is a constant. The interval is that of a prediction by
//! linear regression, 90 %, whose residual variance is at least that of counting errors among so many images.

use std::f64::consts::PI;

use cdarts_runs::Forecast;

/// Epochs below which nothing can be said: two numbers are fitted.
const FEWEST: usize = 4;

/// Part of the epochs that has to be done.
const PART: f64 = 1.0 / 3.0;

/// What the end of the cosine takes off the logarithm of the error. Of 0 to 0.5 in steps of 0.05, the one with the least
/// mean error on the curves of `tests/fixtures/validation_curves.json` that are of seed 1.
const ANNEALING: f64 = 0.3;

/// The 95 % point of the normal distribution.
const Z: f64 = 1.644_854;

/// What accuracies on `images` validation images after each epoch so far say of the one after `epochs` epochs; none
/// where it is too early to say, or over.
pub fn forecast(validation: &[f64], images: usize, epochs: usize) -> Option<Forecast> {
    let done = validation.len();
    let enough = done >= FEWEST && done as f64 >= PART * epochs as f64;
    if !enough || done >= epochs || images == 0 {
        return None;
    }
    let images = images as f64;
    let time = |epoch: usize| (epoch as f64).ln();
    let annealed = |epoch: usize| ANNEALING * (1.0 - (PI * (epoch - 1) as f64 / epochs as f64).cos()) / 2.0;
    // No error at all has no logarithm; half an image stands for it.
    let error = |accuracy: f64| (1.0 - accuracy).max(0.5 / images);
    let points: Vec<(f64, f64)> =
        (1..=done).zip(validation).map(|(k, &share)| (time(k), error(share).ln() + annealed(k))).collect();

    let line = Line::fitted(&points);
    let log_error = (line.at(time(epochs)) - annealed(epochs)).min(0.0);
    let expected = log_error.exp();
    let counting = (1.0 - expected) / (images * expected);
    let deviation = (line.variance_at(time(epochs)) + line.residual.max(counting)).sqrt();
    let width = student_t(done - 2) * deviation;
    let accuracy = |log_error: f64| 1.0 - log_error.min(0.0).exp();
    Some(Forecast {
        accuracy: accuracy(log_error),
        low: accuracy(log_error + width),
        high: accuracy(log_error - width),
    })
}

/// A line through points by least squares.
struct Line {
    points: f64,
    centre: (f64, f64),
    slope: f64,
    spread: f64,
    /// Variance of the points about it.
    residual: f64,
}

impl Line {
    fn fitted(points: &[(f64, f64)]) -> Self {
        let n = points.len() as f64;
        let mean = |part: fn(&(f64, f64)) -> f64| points.iter().map(part).sum::<f64>() / n;
        let centre = (mean(|point| point.0), mean(|point| point.1));
        let spread: f64 = points.iter().map(|(x, _)| (x - centre.0).powi(2)).sum();
        let slope = points.iter().map(|(x, y)| (x - centre.0) * (y - centre.1)).sum::<f64>() / spread;
        let squares =
            points.iter().map(|(x, y)| (y - centre.1 - slope * (x - centre.0)).powi(2)).sum::<f64>();
        Self { points: n, centre, slope, spread, residual: squares / (n - 2.0) }
    }

    fn at(&self, x: f64) -> f64 {
        self.centre.1 + self.slope * (x - self.centre.0)
    }

    /// Of the line itself, there.
    fn variance_at(&self, x: f64) -> f64 {
        self.residual * (1.0 / self.points + (x - self.centre.0).powi(2) / self.spread)
    }
}

/// The 95 % point of Student's t, by four terms of Cornish and Fisher's expansion: within 1.3 % from two degrees of
/// freedom on.
fn student_t(freedom: usize) -> f64 {
    let n = freedom as f64;
    let [z3, z5, z7] = [3, 5, 7].map(|power| Z.powi(power));
    Z + (z3 + Z) / (4.0 * n)
        + (5.0 * z5 + 16.0 * z3 + 3.0 * Z) / (96.0 * n.powi(2))
        + (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * Z) / (384.0 * n.powi(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_is_that_of_the_tables() {
        for (freedom, expected) in
            [(2, 2.920), (3, 2.353), (5, 2.015), (10, 1.812), (30, 1.697), (1000, 1.646)]
        {
            assert!((student_t(freedom) / expected - 1.0).abs() < 0.013, "{freedom}: {}", student_t(freedom));
        }
    }

    #[test]
    fn a_curve_that_follows_the_formula_is_foretold() {
        let curve = |k: usize| {
            let annealed = ANNEALING * (1.0 - (PI * (k - 1) as f64 / 20.0).cos()) / 2.0;
            1.0 - (-0.4 * (k as f64).ln() - annealed).exp() * 0.8
        };
        let so_far: Vec<f64> = (1..=7).map(curve).collect();
        let told = forecast(&so_far, 1_000, 20).unwrap();
        assert!((told.accuracy - curve(20)).abs() < 1e-9, "{told:?}");
        // What is left is counting: √(p (1 − p) / n) times t(5), nearly symmetric.
        let counting = (curve(20) * (1.0 - curve(20)) / 1_000.0).sqrt() * student_t(5);
        assert!(((told.high - told.low) / (2.0 * counting) - 1.0).abs() < 0.02, "{told:?} {counting}");
        assert!(forecast(&so_far, 100, 20).unwrap().low < told.low, "fewer images say less");
    }

    #[test]
    fn it_may_be_too_early_or_too_late() {
        let curve = [0.3, 0.5, 0.6, 0.65, 0.68, 0.7];
        for (done, epochs, said) in
            [(3, 5, false), (4, 5, true), (4, 12, true), (4, 13, false), (6, 6, false), (0, 1, false)]
        {
            assert_eq!(forecast(&curve[..done], 100, epochs).is_some(), said, "{done} of {epochs}");
        }
    }

    #[test]
    fn odd_curves_give_shares() {
        for curve in [[0.0; 5], [1.0; 5], [0.9, 0.5, 0.3, 0.2, 0.0], [0.0, 1.0, 0.0, 1.0, 0.0]] {
            let Forecast { accuracy, low, high } = forecast(&curve, 50, 9).unwrap();
            assert!(0.0 <= low && low <= accuracy && accuracy <= high && high <= 1.0, "{curve:?}");
        }
    }
}

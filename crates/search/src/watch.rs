//! Watching for the collapse of a search: architecture weights that come to prefer connections without weights, and a
//! validation loss that grows sharp in them (Zela et al., "Understanding and Robustifying Differentiable Architecture
//! Search", ICLR 2020).

use cdarts_nets::{Features, params};
use cdarts_runs::Event;
use cdarts_space::Architecture;

use burn::tensor::TensorData;

use crate::SearchError;
use crate::config::OnCollapse;
use crate::discretise;
use crate::grads::GradBuffer;
use crate::networks::{Batch, SearchNets};
use crate::objective::cross_entropy;
use crate::run::{Observer, Run, Stage};

/// Length of the step along a direction that second derivatives are measured by. Logits differ by some 0.1 to 1: the
/// cubic term is small there, and rounding of the gradients smaller still.
const STEP: f64 = 0.05;
/// How many cycles back the largest eigenvalue is compared with, and by how much it may have grown (Zela et al.,
/// section 4.3: 5 and 1 / 0.75).
const WINDOW: usize = 5;
const GROWTH: f64 = 1.0 / 0.75;

impl Run {
    /// Measures the state of the architecture weights after a cycle and tells the journal; at an alarm does what the
    /// configuration says. `genotype` is what the cycle has found.
    pub(crate) fn watch(&mut self, cycle: usize, observer: &mut dyn Observer) -> Result<(), SearchError> {
        let Stage::Search(state, _) = &self.stage else { return Ok(()) };
        let best = discretise::best(&state.nets.arch)?;
        let iterations = self.config.search.watch_iterations;
        let batch = self.feed.arch_half.in_order().next().filter(|_| iterations > 0).transpose()?;
        let eigenvalue = batch.map(|batch| {
            let batch = Batch::new(batch, &self.device);
            Sharpness::new(&state.nets, &batch).largest_eigenvalue(iterations)
        });
        let eigenvalue = eigenvalue.filter(|value| value.is_finite());
        let entropy = discretise::entropy(&state.nets.arch)?;
        let alarm = alarm(&best, eigenvalue, &self.memory.eigenvalues);
        self.memory.eigenvalues.extend(eigenvalue);
        let event = Event::Watch {
            cycle,
            skip_count: best.skip_count(),
            none_count: best.none_count(),
            alpha_entropy: entropy,
            hessian_eigenvalue: eigenvalue,
            alarm: alarm.clone(),
        };
        self.note(event, observer)?;
        match (alarm, self.config.search.on_collapse) {
            (None, _) => self.memory.healthy = Some(best),
            (Some(_), OnCollapse::Warn) => {}
            (Some(_), on_collapse) => {
                let kept = match on_collapse {
                    OnCollapse::Rollback => self.memory.healthy.clone().unwrap_or(best),
                    _ => best,
                };
                self.note(Event::Collapse { cycle, text: kept.to_string() }, observer)?;
                self.memory.genotype = Some(kept);
                self.memory.collapsed = true;
            }
        }
        Ok(())
    }
}

/// What is wrong, in words.
fn alarm(best: &Architecture, eigenvalue: Option<f64>, before: &[f64]) -> Option<String> {
    let (idle, all) = (best.skip_count() + best.none_count(), best.op_count());
    if 2 * idle > all {
        return Some(format!("{idle} of {all} operations are skip or none"));
    }
    let earlier = before.len().checked_sub(WINDOW).map(|index| before[index])?;
    let now = eigenvalue.filter(|&now| earlier > 0.0 && now > GROWTH * earlier)?;
    Some(format!("the largest eigenvalue grew from {earlier:.4} to {now:.4} in {WINDOW} cycles"))
}

/// The curvature of the search network's loss in the architecture weights.
pub struct Sharpness<'a> {
    nets: &'a SearchNets,
    batch: &'a Batch,
    /// The weights, value by value, and which of them are searched.
    at: Vec<f64>,
    searched: Vec<bool>,
}

impl<'a> Sharpness<'a> {
    /// Of the cross entropy on `batch`, at the networks' own architecture weights.
    pub fn new(nets: &'a SearchNets, batch: &'a Batch) -> Self {
        let values = params::values(&nets.arch);
        let at: Vec<f64> =
            values.iter().flat_map(|value| value.data.iter::<f64>().collect::<Vec<_>>()).collect();
        let mut sharpness = Self { nets, batch, searched: vec![true; at.len()], at };
        let gradient = sharpness.gradient(&sharpness.at);
        sharpness.searched = gradient.iter().map(Option::is_some).collect();
        sharpness
    }

    /// The largest eigenvalue of the Hessian, by so many steps of Lanczos' method, each of which takes two gradients;
    /// with as many steps as there are weights, all of it.
    pub fn largest_eigenvalue(&self, iterations: usize) -> f64 {
        let dimension = self.searched.iter().filter(|&&searched| searched).count();
        lanczos(dimension, iterations, |direction| self.hessian_times(direction))
    }

    /// The Hessian times a direction of length 1 over the searched weights: the central difference of gradients.
    fn hessian_times(&self, direction: &[f64]) -> Vec<f64> {
        let side = |step: f64| {
            let mut moved = self.at.clone();
            let searched = moved.iter_mut().zip(&self.searched).filter(|(_, searched)| **searched);
            searched.zip(direction).for_each(|((value, _), along)| *value += step * along);
            self.gradient(&moved)
        };
        let (above, below) = (side(STEP), side(-STEP));
        above.into_iter().zip(below).filter_map(|(a, b)| Some((a? - b?) / (2.0 * STEP))).collect()
    }

    /// By weight; none for frozen ones.
    fn gradient(&self, at: &[f64]) -> Vec<Option<f64>> {
        let mut values = params::values(&self.nets.arch);
        let mut rest = at;
        for value in &mut values {
            let (own, later) = rest.split_at(value.data.num_elements());
            let own: Vec<f32> = own.iter().map(|&v| v as f32).collect();
            value.data = TensorData::new(own, value.data.shape().to_vec());
            rest = later;
        }
        let mut nets = self.nets.with_frozen_cells();
        nets.arch = params::with_values(nets.arch, &values);
        let Features { logits, .. } = nets.search_features(nets.stem.forward(self.batch.images.clone()));
        let loss = cross_entropy(logits, self.batch.labels.clone(), 0.0);
        let mut grads = GradBuffer::default();
        grads.absorb(&mut loss.backward(), &[&nets.arch]);
        let read = grads.read(&[&nets.arch]).into_iter().zip(&values);
        read.flat_map(|(grad, value)| match grad {
            Some(grad) => grad.into_iter().map(|g| Some(f64::from(g))).collect(),
            None => vec![None; value.data.num_elements()],
        })
        .collect()
    }
}

/// The largest eigenvalue of a symmetric matrix of which only products with vectors are known (Lanczos 1950, with full
/// reorthogonalisation).
fn lanczos(dimension: usize, iterations: usize, mut times: impl FnMut(&[f64]) -> Vec<f64>) -> f64 {
    // A start that is orthogonal to no likely eigenvector, the same in every run.
    let start: Vec<f64> = (0..dimension).map(|i| 1.0 + (i * 37 % 101) as f64 / 101.0).collect();
    let mut basis = vec![scaled(&start, 1.0 / norm(&start))];
    let (mut diagonal, mut beside) = (Vec::new(), Vec::new());
    for step in 0..iterations.min(dimension) {
        let mut next = times(&basis[step]);
        diagonal.push(dot(&next, &basis[step]));
        // Twice is enough.
        for vector in basis.iter().chain(&basis) {
            let along = dot(&next, vector);
            next.iter_mut().zip(vector).for_each(|(n, v)| *n -= along * v);
        }
        let length = norm(&next);
        if length <= 1e-9 * diagonal.iter().fold(1e-300, |most: f64, d: &f64| most.max(d.abs())) {
            break;
        }
        beside.push(length);
        basis.push(scaled(&next, 1.0 / length));
    }
    largest_of_tridiagonal(&diagonal, &beside)
}

/// The largest eigenvalue of a symmetric tridiagonal matrix, by bisection on the number of eigenvalues above a value.
fn largest_of_tridiagonal(diagonal: &[f64], beside: &[f64]) -> f64 {
    let reach = |i: usize| {
        let left = i.checked_sub(1).map_or(0.0, |left| beside[left]);
        left + if i + 1 < diagonal.len() { beside[i] } else { 0.0 }
    };
    let bounds = diagonal.iter().enumerate().map(|(i, d)| (d - reach(i), d + reach(i)));
    let Some((mut low, mut high)) = bounds.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) else {
        return f64::NAN;
    };
    let all_below = |x: f64| {
        let mut pivot = 1.0;
        diagonal.iter().enumerate().all(|(i, d)| {
            let coupling = i.checked_sub(1).map_or(0.0, |left| beside[left].powi(2));
            pivot = d - x - coupling / if pivot == 0.0 { f64::MIN_POSITIVE } else { pivot };
            pivot < 0.0
        })
    };
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if all_below(middle) { high = middle } else { low = middle }
    }
    0.5 * (low + high)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

fn scaled(a: &[f64], by: f64) -> Vec<f64> {
    a.iter().map(|v| v * by).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The product with I + c (e_i e_{i+1}ᵀ + its transpose): eigenvalues 1 + 2c cos(kπ / (n + 1)).
    fn chain(n: usize, c: f64) -> impl FnMut(&[f64]) -> Vec<f64> {
        move |v| {
            let at = |i: Option<usize>| i.and_then(|i| v.get(i)).copied().unwrap_or(0.0);
            (0..n).map(|i| v[i] + c * (at(i.checked_sub(1)) + at(Some(i + 1)))).collect()
        }
    }

    #[test]
    fn all_steps_give_the_largest_eigenvalue() {
        for (n, c) in [(1, 0.5), (2, -0.3), (7, 0.5), (30, -1.2)] {
            let expected = 1.0 + 2.0 * f64::abs(c) * (std::f64::consts::PI / (n + 1) as f64).cos();
            let found = lanczos(n, n, chain(n, c));
            assert!((found - expected).abs() < 1e-9, "{n} {c}: {found} {expected}");
        }
        // Few steps come near from below.
        let few = lanczos(30, 8, chain(30, 1.2));
        assert!(few > 3.0 && few < 3.4, "{few}");
        assert!((lanczos(3, 3, |v| scaled(v, -2.0)) + 2.0).abs() < 1e-12, "all eigenvalues alike");
    }

    #[test]
    fn alarms_are_stated() {
        let cell = |text: &str| text.parse::<Architecture>().unwrap();
        let good = Architecture::published("nas-bench-201-cell-3").unwrap();
        assert_eq!(alarm(&good, None, &[]), None, "three of six");
        let idle =
            cell("|skip_connect~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|skip_connect~1|nor_conv_3x3~2|");
        assert!(alarm(&idle, None, &[]).unwrap().contains("4 of 6"));
        let before = [0.1, 0.3, 0.3, 0.3, 0.3];
        assert_eq!(alarm(&good, Some(0.13), &before), None);
        assert!(alarm(&good, Some(0.14), &before).unwrap().contains("0.1000 to 0.1400"));
        assert_eq!(alarm(&good, Some(9.0), &before[1..]), None, "too few cycles to compare");
    }
}

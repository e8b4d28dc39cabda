//! The distance that distils the evaluation network's outputs into the search network (paper: introspective
//! distillation; facts 1.4).

use burn::tensor::Tensor;
use burn::tensor::activation::{log_softmax, softmax};

use crate::config::{Distance, KlReduction, SearchConfig};

/// Added to the product of the norms inside "cosine" where it is smaller, as published.
const COSINE_EPSILON: f64 = 1e-6;

/// `distill_weight` · T² · D(search, evaluation). T² multiplies every distance, as published.
///
/// # Shapes
/// - `search`, `evaluation`: `[rows, classes]`, stacked or summed over the stages
/// - returns `[1]`
pub fn distance(search: Tensor<2>, evaluation: Tensor<2>, config: &SearchConfig) -> Tensor<1> {
    let temperature = config.distill_temperature;
    let distance = match config.distance {
        Distance::Kl => kl(search, evaluation, temperature, config.kl_reduction),
        Distance::Cosine => cosine(search, evaluation),
        Distance::Mse => {
            let difference = search - evaluation;
            difference.clone().mul(difference).mean()
        }
        Distance::SmoothL1 => smooth_l1(search - evaluation),
    };
    distance.mul_scalar(config.distill_weight * temperature * temperature)
}

/// Σ q (log q − log p) with p, q the softmax of search and evaluation outputs divided by the temperature.
fn kl(search: Tensor<2>, evaluation: Tensor<2>, temperature: f64, reduction: KlReduction) -> Tensor<1> {
    let [rows, classes] = search.dims();
    let log_p = log_softmax(search.div_scalar(temperature), 1);
    let evaluation = evaluation.div_scalar(temperature);
    let (q, log_q) = (softmax(evaluation.clone(), 1), log_softmax(evaluation, 1));
    let sum = q.mul(log_q - log_p).sum();
    sum.div_scalar(match reduction {
        KlReduction::Batch => rows as f64,
        KlReduction::Element => (rows * classes) as f64,
    })
}

/// The negative mean over rows of the cosine between both outputs.
fn cosine(search: Tensor<2>, evaluation: Tensor<2>) -> Tensor<1> {
    let product = search.clone().mul(evaluation.clone()).sum_dim(1);
    let norm = |x: Tensor<2>| x.clone().mul(x).sum_dim(1).sqrt();
    let norms = norm(search).mul(norm(evaluation)).clamp_min(COSINE_EPSILON);
    product.div(norms).mean().neg()
}

/// The mean of 0.5 d² where |d| < 1 and |d| − 0.5 elsewhere.
fn smooth_l1(difference: Tensor<2>) -> Tensor<1> {
    // With m = min(|d|, 1) both branches are m (|d| − m / 2), whose derivative is the same without a mask.
    let size = difference.abs();
    let m = size.clone().clamp_max(1.0);
    m.clone().mul(size - m.mul_scalar(0.5)).mean()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::config::Preset;

    const SEARCH: [[f64; 3]; 2] = [[0.2, -1.5, 3.0], [1.0, 0.4, -0.7]];
    const EVALUATION: [[f64; 3]; 2] = [[1.0, -1.0, 0.5], [0.8, 0.1, -2.9]];

    fn softmax(row: [f64; 3]) -> [f64; 3] {
        let sum: f64 = row.iter().map(|v| (v / 2.0).exp()).sum();
        row.map(|v| (v / 2.0).exp() / sum)
    }

    /// The distances written as sums, in double precision.
    fn by_formula(kind: Distance, search: &[[f64; 3]; 2]) -> f64 {
        let rows = search.iter().zip(&EVALUATION);
        let elements = || search.iter().flatten().zip(EVALUATION.iter().flatten());
        match kind {
            Distance::Kl => {
                rows.map(|(s, e)| {
                    let (p, q) = (softmax(*s), softmax(*e));
                    (0..3).map(|i| q[i] * (q[i].ln() - p[i].ln())).sum::<f64>()
                })
                .sum::<f64>()
                    / 2.0
            }
            Distance::Cosine => {
                -rows
                    .map(|(s, e)| {
                        let dot =
                            |a: &[f64; 3], b: &[f64; 3]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
                        dot(s, e) / (dot(s, s) * dot(e, e)).sqrt()
                    })
                    .sum::<f64>()
                    / 2.0
            }
            Distance::Mse => elements().map(|(s, e)| (s - e).powi(2)).sum::<f64>() / 6.0,
            Distance::SmoothL1 => {
                elements()
                    .map(|(s, e)| {
                        let d = (s - e).abs();
                        if d < 1.0 { 0.5 * d * d } else { d - 0.5 }
                    })
                    .sum::<f64>()
                    / 6.0
            }
        }
    }

    fn tensor(rows: [[f64; 3]; 2], device: &Device) -> Tensor<2> {
        Tensor::from_floats(rows.map(|row| row.map(|v| v as f32)), device)
    }

    #[test]
    fn every_distance_and_its_gradient_are_the_formula() {
        let device = Device::flex().autodiff();
        let mut config = Preset::Corrected.config().search;
        (config.distill_weight, config.distill_temperature) = (1.5, 2.0);
        for kind in [Distance::Kl, Distance::Cosine, Distance::Mse, Distance::SmoothL1] {
            config.distance = kind;
            let search = tensor(SEARCH, &device).require_grad();
            let found = distance(search.clone(), tensor(EVALUATION, &device), &config);
            let grads = found.backward();
            let expected = 1.5 * 4.0 * by_formula(kind, &SEARCH);
            let value = f64::from(found.into_scalar::<f32>());
            assert!((value - expected).abs() < 1e-5 * expected.abs(), "{kind:?}: {value} {expected}");
            let gradient: Vec<f32> = search.grad(&grads).unwrap().into_data().try_to_vec().unwrap();
            for (index, &found) in gradient.iter().enumerate() {
                let moved = |step: f64| {
                    let mut moved = SEARCH;
                    moved[index / 3][index % 3] += step;
                    6.0 * by_formula(kind, &moved)
                };
                let expected = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                assert!((f64::from(found) - expected).abs() < 1e-4, "{kind:?} {index}: {found} {expected}");
            }
        }
    }

    #[test]
    fn the_published_reduction_divides_by_the_classes() {
        let device = Device::flex();
        let mut config = Preset::Corrected.config().search;
        config.distance = Distance::Kl;
        let value = |config: &SearchConfig| {
            distance(tensor(SEARCH, &device), tensor(EVALUATION, &device), config).into_scalar::<f32>()
        };
        let batch = value(&config);
        config.kl_reduction = KlReduction::Element;
        assert!((value(&config) * 3.0 - batch).abs() < 1e-6);
    }
}

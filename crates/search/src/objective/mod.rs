//! Losses (facts 1.4, 1.5): cross entropy, the distance between both networks' outputs, the penalty.

mod distill;
mod joint;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};
use cdarts_nets::laps::part;

pub use distill::distance;
pub use joint::JointLoss;
pub(crate) use joint::penalty;

use crate::networks::Batch;

/// Mean cross entropy; `smoothing` is the share of the target given to all classes alike (facts 5.1).
///
/// # Shapes
/// - `logits`: `[n, classes]`
/// - `labels`: `[n]`
/// - returns `[1]`
pub fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>, smoothing: f64) -> Tensor<1> {
    part("losses", || smoothed(logits, labels, smoothing))
}

fn smoothed(logits: Tensor<2>, labels: Tensor<1, Int>, smoothing: f64) -> Tensor<1> {
    let [n, _] = logits.dims();
    let log_probabilities = log_softmax(logits, 1);
    let of_labels = log_probabilities.clone().gather(1, labels.reshape([n, 1])).mean().neg();
    if smoothing == 0.0 {
        return of_labels;
    }
    let of_all = log_probabilities.mean().neg();
    of_labels.mul_scalar(1.0 - smoothing) + of_all.mul_scalar(smoothing)
}

/// The cross entropy of a batch's labels; of blended images, that of either label, each by its share (mixup).
///
/// # Shapes
/// - `logits`: `[n, classes]`
/// - returns `[1]`
pub fn label_loss(logits: Tensor<2>, batch: &Batch, smoothing: f64) -> Tensor<1> {
    let own = cross_entropy(logits.clone(), batch.labels.clone(), smoothing);
    match &batch.mixed {
        None => own,
        Some((share, others)) => {
            let other = cross_entropy(logits, others.clone(), smoothing);
            own.mul_scalar(*share) + other.mul_scalar(1.0 - share)
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn cross_entropy_is_the_formula() {
        let device = Device::flex();
        let logits = Tensor::<2>::from_floats([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]], &device);
        let labels = Tensor::<1, Int>::from_ints([1, 0], &device);
        let row = |z: [f64; 3], label: usize| {
            let sum: f64 = z.iter().map(|v| v.exp()).sum();
            let logs = z.map(|v| v - sum.ln());
            (-logs[label], -logs.iter().sum::<f64>() / 3.0)
        };
        let (a, b) = (row([1.0, 2.0, 0.5], 1), row([0.0, -1.0, 3.0], 0));
        for smoothing in [0.0, 0.1] {
            let expected = (1.0 - smoothing) * (a.0 + b.0) / 2.0 + smoothing * (a.1 + b.1) / 2.0;
            let found = cross_entropy(logits.clone(), labels.clone(), smoothing).into_scalar::<f32>();
            assert!((f64::from(found) - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}

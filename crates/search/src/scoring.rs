//! What a trained network says of images, and how good that is: accuracy, confusion of classes, calibration.

use burn::tensor::Device;
use cdarts_data::Loader;
use cdarts_nets::FoundNet;
use serde::Serialize;

use crate::networks::{Batch, largest};

/// How many of the most probable classes the wider accuracy looks at.
pub const TOP: usize = 5;

/// Ranges of confidence that the calibration is measured in, as in its source.
const BINS: usize = 15;

/// Gives `each` image's label and the probabilities of its classes, in the order of `loader`.
pub fn classify(net: &FoundNet, loader: &Loader, device: &Device, mut each: impl FnMut(usize, &[f64])) {
    let device = device.clone().without_autodiff();
    for batch in loader.in_order() {
        let batch = Batch::new(batch, &device);
        let logits = net.forward(batch.images.clone());
        let classes = logits.dims()[1];
        let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
        for (logits, &label) in logits.chunks_exact(classes).zip(&batch.classes) {
            each(label as usize, &softmax(logits));
        }
    }
}

/// In double precision, so that logits that differ stay apart.
fn softmax(logits: &[f32]) -> Vec<f64> {
    let most = f64::from(logits[largest(logits)]);
    let weights: Vec<f64> = logits.iter().map(|&logit| (f64::from(logit) - most).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// The `count` most probable classes, the most probable first; of equals the first.
pub fn ranked(probabilities: &[f64], count: usize) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..probabilities.len()).collect();
    classes.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    classes.truncate(count);
    classes
}

/// The score of a network on labelled images, gathered one by one.
#[derive(Clone, Debug)]
pub struct Scores {
    /// Images by class (row) and by what the network took them for (column).
    confusion: Vec<Vec<usize>>,
    within_top: usize,
    bins: Vec<Bin>,
}

/// Images whose confidence lies in one range.
#[derive(Clone, Copy, Debug, Default)]
struct Bin {
    images: usize,
    correct: usize,
    confidence: f64,
}

/// How far the probability of the class that the network names can be taken at its word (Guo et al., "On Calibration
/// of Modern Neural Networks", ICML 2017, formula 3).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// Mean distance between confidence and accuracy, over ranges of equal width, weighted by their images.
    pub expected_error: f64,
    /// Mean probability of the named classes.
    pub confidence: f64,
    /// The ranges that hold images, from low confidence to high.
    pub ranges: Vec<ConfidenceRange>,
}

/// One range of confidence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConfidenceRange {
    /// Number of images.
    pub images: usize,
    /// Mean probability of their named classes.
    pub confidence: f64,
    /// Share of them classified rightly.
    pub accuracy: f64,
}

impl Scores {
    /// No image yet, of `classes` classes.
    pub fn new(classes: usize) -> Self {
        Self { confusion: vec![vec![0; classes]; classes], within_top: 0, bins: vec![Bin::default(); BINS] }
    }

    /// Counts an image of class `label`.
    pub fn add(&mut self, label: usize, probabilities: &[f64]) {
        let named = largest(probabilities);
        self.confusion[label][named] += 1;
        self.within_top += usize::from(ranked(probabilities, TOP).contains(&label));
        let confidence = probabilities[named];
        let bin = &mut self.bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
        bin.images += 1;
        bin.correct += usize::from(named == label);
        bin.confidence += confidence;
    }

    /// Number of images.
    pub fn total(&self) -> usize {
        self.confusion.iter().flatten().sum()
    }

    /// Number of images classified rightly.
    pub fn correct(&self) -> usize {
        (0..self.confusion.len()).map(|class| self.confusion[class][class]).sum()
    }

    /// Share of images classified rightly.
    pub fn accuracy(&self) -> f64 {
        share(self.correct(), self.total()).unwrap_or(0.0)
    }

    /// Share of images whose class is among the [`TOP`] most probable; none where every class is.
    pub fn top_accuracy(&self) -> Option<f64> {
        (self.confusion.len() > TOP).then(|| share(self.within_top, self.total())).flatten()
    }

    /// Images by class (row) and by what the network took them for (column).
    pub fn confusion(&self) -> &[Vec<usize>] {
        &self.confusion
    }

    /// Share of the images of `class` that are recognised; none where there is no image of it.
    pub fn recall(&self, class: usize) -> Option<f64> {
        share(self.confusion[class][class], self.confusion[class].iter().sum())
    }

    /// Share of the images taken for `class` that are of it; none where no image is taken for it.
    pub fn precision(&self, class: usize) -> Option<f64> {
        share(self.confusion[class][class], self.confusion.iter().map(|row| row[class]).sum())
    }

    /// Pairs of a class and another it is taken for, most frequent first, with their images.
    pub fn mistakes(&self) -> Vec<(usize, usize, usize)> {
        let mut mistakes: Vec<(usize, usize, usize)> = Vec::new();
        for (class, row) in self.confusion.iter().enumerate() {
            let others = row.iter().enumerate().filter(|&(named, &images)| named != class && images > 0);
            mistakes.extend(others.map(|(named, &images)| (class, named, images)));
        }
        mistakes.sort_by_key(|&(_, _, images)| std::cmp::Reverse(images));
        mistakes
    }

    /// How far confidence and accuracy agree.
    pub fn calibration(&self) -> Calibration {
        let total = self.total().max(1) as f64;
        let filled: Vec<&Bin> = self.bins.iter().filter(|bin| bin.images > 0).collect();
        let distance = |bin: &&Bin| (bin.confidence - bin.correct as f64).abs();
        let ranges = filled.iter().map(|bin| ConfidenceRange {
            images: bin.images,
            confidence: bin.confidence / bin.images as f64,
            accuracy: bin.correct as f64 / bin.images as f64,
        });
        Calibration {
            expected_error: filled.iter().map(distance).sum::<f64>() / total,
            confidence: filled.iter().map(|bin| bin.confidence).sum::<f64>() / total,
            ranges: ranges.collect(),
        }
    }
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores() -> Scores {
        let mut scores = Scores::new(3);
        scores.add(0, &[0.9, 0.1, 0.0]);
        scores.add(0, &[0.2, 0.8, 0.0]);
        scores.add(1, &[0.0, 0.8, 0.2]);
        scores.add(1, &[0.3, 0.4, 0.3]);
        scores
    }

    #[test]
    fn classes_are_counted_by_row_and_column() {
        let scores = scores();
        assert_eq!(scores.confusion(), [vec![1, 1, 0], vec![0, 2, 0], vec![0, 0, 0]]);
        assert_eq!((scores.correct(), scores.total(), scores.accuracy()), (3, 4, 0.75));
        assert_eq!([0, 1, 2].map(|class| scores.recall(class)), [Some(0.5), Some(1.0), None]);
        assert_eq!([0, 1, 2].map(|class| scores.precision(class)), [Some(1.0), Some(2.0 / 3.0), None]);
        assert_eq!(scores.mistakes(), [(0, 1, 1)]);
    }

    #[test]
    fn calibration_is_the_weighted_distance_of_confidence_and_accuracy() {
        let calibration = scores().calibration();
        // Ranges: 0.4 (right), 0.8 and 0.8 (one of two right), 0.9 (right).
        let expected = (0.6 + (1.6_f64 - 1.0) + 0.1) / 4.0;
        assert!((calibration.expected_error - expected).abs() < 1e-12, "{calibration:?}");
        assert!((calibration.confidence - 2.9 / 4.0).abs() < 1e-12);
        assert_eq!(calibration.ranges.iter().map(|range| range.images).collect::<Vec<_>>(), [1, 2, 1]);
        assert_eq!(Scores::new(2).calibration().expected_error, 0.0);
    }

    #[test]
    fn the_wider_accuracy_looks_at_five_classes() {
        let mut scores = Scores::new(6);
        let probabilities = [0.3, 0.25, 0.2, 0.15, 0.07, 0.03];
        (0..6).for_each(|label| scores.add(label, &probabilities));
        assert_eq!(scores.top_accuracy(), Some(5.0 / 6.0));
        assert_eq!(Scores::new(5).top_accuracy(), None);
    }

    #[test]
    fn logits_that_hardly_differ_stay_apart_and_equal_ones_are_ranked_by_class() {
        let close = softmax(&[1.0, 1.0 + f32::EPSILON, 1.0]);
        assert_eq!(ranked(&close, 2), [1, 0]);
        assert!((close.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(softmax(&[-3e38, 3e38]).iter().all(|p| p.is_finite()));
    }
}

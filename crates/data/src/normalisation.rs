//! Mean and standard deviation of each channel (facts section 1.2).

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{DataError, ImageShape, Images};

/// Images that are measured where images are streamed.
const STREAMED: usize = 16_384;

/// Statistics that bring each channel to mean 0 and standard deviation 1: `(pixel / 255 - mean) / std`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// Mean of each channel, of pixels scaled to 0..1.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, of pixels scaled to 0..1; never 0.
    pub std: Vec<f32>,
}

impl Normalisation {
    /// The statistics over all pixels of the images `indices`.
    ///
    /// Give it training images only, or the test set leaks into the training. Pixels are counted, not summed as
    /// fractions, so the result depends on neither order nor threads. A channel without variation gets the
    /// deviation 1: it becomes 0 everywhere instead of infinite.
    ///
    /// Of images that are streamed, 16,384 spread evenly over `indices` are measured where there are more: what
    /// the others would add is less than the statistics' own spread, and decoding them takes hours.
    ///
    /// # Errors
    /// [`DataError::NoIndices`] without an image, [`DataError::IndexOutOfRange`]; those of [`Images::pixels`].
    pub fn measure(images: &Images, indices: &[usize]) -> Result<Self, DataError> {
        check_indices(images, indices, "measure the normalisation of")?;
        let shape = images.shape();
        let measured = if images.is_streamed() { indices.len().min(STREAMED) } else { indices.len() };
        let of_one = |nth: usize| {
            let mut counts = vec![[0_u64; 256]; shape.channels];
            let pixels = images.pixels(indices[nth * indices.len() / measured])?;
            for (plane, count) in pixels.chunks_exact(shape.plane()).zip(&mut counts) {
                for &value in plane {
                    count[usize::from(value)] += 1;
                }
            }
            Ok(counts)
        };
        // Counts are whole numbers, so that the order of the sums does not matter.
        let counts = (0..measured).into_par_iter().map(of_one).try_reduce(
            || vec![[0; 256]; shape.channels],
            |mut sum, counts| {
                sum.iter_mut().flatten().zip(counts.iter().flatten()).for_each(|(sum, count)| *sum += count);
                Ok::<_, DataError>(sum)
            },
        )?;
        let (mean, std) = counts.iter().map(moments).unzip();
        Ok(Self { mean, std })
    }

    /// The figures the published CIFAR-10 runs used (facts section 1.2).
    #[must_use]
    pub fn published_cifar10() -> Self {
        Self {
            mean: vec![0.491_399_68, 0.482_158_27, 0.446_531_24],
            std: vec![0.247_032_33, 0.243_485_05, 0.261_587_68],
        }
    }

    /// The figures of ImageNet that its published recipes share (facts section 1.2).
    #[must_use]
    pub fn published_imagenet() -> Self {
        Self { mean: vec![0.485, 0.456, 0.406], std: vec![0.229, 0.224, 0.225] }
    }

    /// That the statistics are those of images of `shape` and can be divided by.
    ///
    /// # Errors
    /// [`DataError::NormalisationChannels`]; [`DataError::OptionRange`] for a figure that is not finite or a
    /// deviation that is not above 0.
    pub fn check(&self, shape: ImageShape) -> Result<(), DataError> {
        for figures in [&self.mean, &self.std] {
            if figures.len() != shape.channels {
                return Err(DataError::NormalisationChannels {
                    expected: shape.channels,
                    found: figures.len(),
                });
            }
        }
        let sound = |(mean, std): &(&f32, &f32)| mean.is_finite() && std.is_finite() && **std > 0.0;
        match self.mean.iter().zip(&self.std).find(|pair| !sound(pair)) {
            None => Ok(()),
            Some((mean, std)) => Err(DataError::OptionRange {
                option: "normalisation",
                expected: "a finite mean and a deviation above 0".to_owned(),
                found: format!("mean {mean}, deviation {std}"),
            }),
        }
    }

    /// What each byte becomes, one table a channel: a look-up costs less than the arithmetic.
    pub(crate) fn tables(&self) -> Vec<[f32; 256]> {
        self.mean
            .iter()
            .zip(&self.std)
            .map(|(mean, std)| std::array::from_fn(|value| (value as f32 / 255.0 - mean) / std))
            .collect()
    }
}

/// Mean and deviation of values 0..=255 by how often each occurs, scaled to 0..1.
fn moments(counts: &[u64; 256]) -> (f32, f32) {
    let n: u64 = counts.iter().sum();
    let sum: u64 = counts.iter().zip(0..).map(|(count, value)| count * value).sum();
    let squares: u64 = counts.iter().zip(0..).map(|(count, value)| count * value * value).sum();
    let (n, mean) = (n as f64, sum as f64 / n as f64);
    let variance = (squares as f64 / n - mean * mean).max(0.0);
    let std = if variance > 0.0 { variance.sqrt() / 255.0 } else { 1.0 };
    ((mean / 255.0) as f32, std as f32)
}

/// That there are indices, and that each names an image.
pub(crate) fn check_indices(
    images: &Images,
    indices: &[usize],
    purpose: &'static str,
) -> Result<(), DataError> {
    if indices.is_empty() {
        return Err(DataError::NoIndices { purpose });
    }
    match indices.iter().find(|&&index| index >= images.len()) {
        Some(&index) => Err(DataError::IndexOutOfRange { index, len: images.len() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(channels: usize, pixels: Vec<u8>) -> Images {
        let n = pixels.len() / (2 * channels);
        Images::new(ImageShape { channels, height: 1, width: 2 }, pixels, vec![0; n]).unwrap()
    }

    #[test]
    fn black_and_white_have_mean_and_deviation_one_half() {
        let found = Normalisation::measure(&images(1, vec![0, 255, 255, 0]), &[0, 1]).unwrap();
        assert_eq!(found, Normalisation { mean: vec![0.5], std: vec![0.5] });
    }

    #[test]
    fn only_the_given_images_count() {
        let found = Normalisation::measure(&images(1, vec![0, 255, 17, 99]), &[0]).unwrap();
        assert_eq!(found, Normalisation { mean: vec![0.5], std: vec![0.5] });
    }

    #[test]
    fn constant_channel_becomes_zero() {
        let found = Normalisation::measure(&images(3, vec![51, 51, 0, 255, 7, 7]), &[0]).unwrap();
        assert_eq!(found.mean[..2], [0.2, 0.5]);
        assert_eq!(found.std, [1.0, 0.5, 1.0]);
        assert_eq!(found.tables()[0][51], 0.0);
        assert_eq!([found.tables()[1][0], found.tables()[1][255]], [-1.0, 1.0]);
    }

    #[test]
    fn nothing_to_measure_is_an_error() {
        let images = images(1, vec![0, 255]);
        assert!(matches!(Normalisation::measure(&images, &[]), Err(DataError::NoIndices { .. })));
        let outside = Normalisation::measure(&images, &[1]);
        assert!(matches!(outside, Err(DataError::IndexOutOfRange { index: 1, len: 1 })));
    }
}

//! Batch-norm statistics across images, and the coefficients that fold a norm into the passes beside it.
//!
//! Forward a norm is `a (y − centre) + b`; backward the gradient of its input is `k g + a (y − centre) + b`, with
//! one coefficient a channel each, so neither costs a pass of its own.

use crate::blocked::Channels;
use crate::crew::Crew;
use crate::error::{KernelError, check};
use crate::pixelwise::{Line, lanes};
use crate::plan::NORM_EPSILON;

/// Batch statistics of a list of norms, for the caller's running statistics.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchStats {
    /// Means `[norms, c]`.
    pub mean: Vec<f32>,
    /// Unbiased variances `[norms, c]`.
    pub var: Vec<f32>,
}

impl BatchStats {
    /// Moves running statistics towards these: `running = (1 − momentum) running + momentum batch`.
    ///
    /// # Errors
    /// [`KernelError::Length`] if a slice is not `[norms, c]`.
    pub fn update(&self, momentum: f32, mean: &mut [f32], var: &mut [f32]) -> Result<(), KernelError> {
        check("running means", self.mean.len(), mean.len())?;
        check("running variances", self.var.len(), var.len())?;
        for (running, batch) in [(mean, &self.mean), (var, &self.var)] {
            for (running, &batch) in running.iter_mut().zip(batch) {
                *running += momentum * (batch - *running);
            }
        }
        Ok(())
    }
}

/// Gains and biases `[norms, c]` of affine norms.
#[derive(Debug, Clone, Copy)]
pub struct Affine<'a> {
    /// Gains (weights).
    pub gain: &'a [f32],
    /// Biases.
    pub bias: &'a [f32],
}

/// Running statistics `[norms, c]`.
#[derive(Debug, Clone, Copy)]
pub struct RunningStats<'a> {
    /// Means.
    pub mean: &'a [f32],
    /// Variances.
    pub var: &'a [f32],
}

/// All norms of a cell, channels padded.
#[derive(Debug, Clone)]
pub(crate) struct Norms {
    channels: Channels,
    /// Mean, biased variance, gain and bias of each padded channel of each norm.
    mean: Vec<f64>,
    var: Vec<f64>,
    gain: Vec<f64>,
    bias: Vec<f64>,
    /// Forward coefficients `a (y − centre) + b`; the centre is the mean rounded to `f32`.
    centre: Vec<f32>,
    a: Vec<f32>,
    b: Vec<f32>,
    /// Values a channel in the batch.
    count: usize,
}

/// Coefficients of the way back, and the affine gradients that fall out.
#[derive(Debug, Clone)]
pub(crate) struct NormGrads {
    /// Coefficients `k g + a (y − centre) + b`.
    pub k: Vec<f32>,
    pub a: Vec<f32>,
    pub b: Vec<f32>,
    /// Gradients of gain and bias.
    pub gain: Vec<f64>,
    pub bias: Vec<f64>,
}

impl NormGrads {
    pub fn new(len: usize) -> Self {
        Self {
            k: vec![0.0; len],
            a: vec![0.0; len],
            b: vec![0.0; len],
            gain: vec![0.0; len],
            bias: vec![0.0; len],
        }
    }
}

impl Norms {
    /// Checks and pads the affine parameters.
    pub fn new(
        norms: usize,
        channels: Channels,
        affine: bool,
        given: Option<Affine<'_>>,
        count: usize,
    ) -> Result<Self, KernelError> {
        match (affine, given) {
            (true, None) => {
                return Err(KernelError::Argument {
                    what: "affine",
                    expected: "gains and biases",
                    found: "none",
                });
            }
            (false, Some(_)) => {
                return Err(KernelError::Argument {
                    what: "affine",
                    expected: "none",
                    found: "gains and biases",
                });
            }
            _ => {}
        }
        if let Some(given) = given {
            check("gains", norms * channels.real(), given.gain.len())?;
            check("biases", norms * channels.real(), given.bias.len())?;
        }
        let len = norms * channels.padded();
        let mut new = Self {
            channels,
            mean: vec![0.0; len],
            var: vec![1.0; len],
            gain: vec![1.0; len],
            bias: vec![0.0; len],
            centre: vec![0.0; len],
            a: vec![1.0; len],
            b: vec![0.0; len],
            count,
        };
        if let Some(given) = given {
            new.for_real(|new, at, real| {
                new.gain[at] = f64::from(given.gain[real]);
                new.bias[at] = f64::from(given.bias[real]);
            });
        }
        Ok(new)
    }

    /// Channels of each norm.
    pub fn channels(&self) -> Channels {
        self.channels
    }

    /// Calls `f(self, padded position, real position)` for every real channel of every norm.
    fn for_real(&mut self, mut f: impl FnMut(&mut Self, usize, usize)) {
        let (padded, real) = (self.channels.padded(), self.channels.real());
        for at in 0..self.mean.len() {
            if let Some(c) = self.channels.at(at % padded) {
                f(self, at, at / padded * real + c);
            }
        }
    }

    /// Takes given statistics instead of the batch's.
    pub fn set_running(&mut self, running: RunningStats<'_>) -> Result<(), KernelError> {
        let real = self.mean.len() / self.channels.padded().max(1) * self.channels.real();
        check("running means", real, running.mean.len())?;
        check("running variances", real, running.var.len())?;
        self.for_real(|new, at, real| {
            new.mean[at] = f64::from(running.mean[real]);
            new.var[at] = f64::from(running.var[real]);
        });
        (0..self.mean.len() / self.channels.padded().max(1)).for_each(|norm| self.fold(norm));
        Ok(())
    }

    /// Combines the images' means and sums of squared deviations, `[images, norms, 2, padded channels]`, of some norms;
    /// every image has `area` pixels. Images in order: the result does not depend on threads.
    pub fn finish(
        &mut self,
        crew: &mut Crew<'_>,
        norms: &[usize],
        stats: &[f64],
        images: usize,
        area: usize,
    ) {
        let mut found = vec![[vec![], vec![]]; norms.len()];
        crew.each(found.iter_mut().zip(norms), |_, (found, &norm)| {
            *found = self.combined(norm, stats, images, area);
        });
        for ([mean, var], &norm) in found.into_iter().zip(norms) {
            let range = self.range(norm);
            self.mean[range.clone()].copy_from_slice(&mean);
            self.var[range].copy_from_slice(&var);
            self.fold(norm);
        }
    }

    /// Mean and variance of a norm's channels.
    fn combined(&self, norm: usize, stats: &[f64], images: usize, area: usize) -> [Vec<f64>; 2] {
        let padded = self.channels.padded();
        let parts = || {
            stats.chunks_exact(stats.len() / images).map(|image| &image[2 * norm * padded..][..2 * padded])
        };
        let mut sums = vec![0f64; 2 * padded];
        parts().for_each(|part| sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += value));
        let mean: Vec<f64> = sums[..padded].iter().map(|sum| sum / images as f64).collect();
        let mut between = vec![0f64; padded];
        for part in parts() {
            let deviations = part.iter().zip(&mean).map(|(value, mean)| value - mean);
            between.iter_mut().zip(deviations).for_each(|(sum, deviation)| *sum += deviation * deviation);
        }
        let all = |(within, between): (&f64, f64)| (within + between * area as f64) / self.count as f64;
        let var = sums[padded..].iter().zip(between).map(all).collect();
        [mean, var]
    }

    fn fold(&mut self, norm: usize) {
        let padded = self.channels.padded();
        for at in norm * padded..(norm + 1) * padded {
            let scale = self.gain[at] * self.inv(at);
            self.centre[at] = self.mean[at] as f32;
            self.a[at] = scale as f32;
            self.b[at] = (self.bias[at] - scale * (self.mean[at] - f64::from(self.centre[at]))) as f32;
        }
    }

    /// Inverse standard deviation.
    fn inv(&self, at: usize) -> f64 {
        (self.var[at] + NORM_EPSILON).sqrt().recip()
    }

    /// Forward coefficients of one block of a norm.
    pub fn line(&self, norm: usize, block: usize) -> Line<'_> {
        let range = self.range(norm);
        let [centre, a, b] = [&self.centre, &self.a, &self.b]
            .map(|of| lanes(&of[range.clone()], self.channels.lanes(), block));
        Line { centre, a, b }
    }

    /// Backward coefficients of one block of a norm, without `k`.
    pub fn back_line<'a>(&'a self, grads: &'a NormGrads, norm: usize, block: usize) -> Line<'a> {
        let range = self.range(norm);
        let [centre, a, b] = [&self.centre, &grads.a, &grads.b]
            .map(|of| lanes(&of[range.clone()], self.channels.lanes(), block));
        Line { centre, a, b }
    }

    /// Padded channels of `norm` in a per-channel array.
    pub fn range(&self, norm: usize) -> std::ops::Range<usize> {
        norm * self.channels.padded()..(norm + 1) * self.channels.padded()
    }

    /// Statistics of the real channels.
    pub fn stats(&self) -> BatchStats {
        let padded = self.channels.padded();
        let unbiased = self.count as f64 / (self.count as f64 - 1.0);
        let mut stats = BatchStats { mean: vec![], var: vec![] };
        for at in (0..self.mean.len()).filter(|at| self.channels.at(at % padded).is_some()) {
            stats.mean.push(self.mean[at] as f32);
            stats.var.push((self.var[at] * unbiased) as f32);
        }
        stats
    }

    /// From the batch sums of `g (y − mean)` and of `g` (`g` being the gradient of the norm's output, `k` folded
    /// in), the coefficients of the gradient of `y` and the affine gradients.
    pub fn back(&self, norm: usize, dots: &[f64], sums: &[f64], grads: &mut NormGrads) {
        let count = self.count as f64;
        for (c, at) in self.range(norm).enumerate() {
            let inv = self.inv(at);
            let scale = self.gain[at] * inv;
            let along = inv * inv * dots[c] / count;
            let off = self.mean[at] - f64::from(self.centre[at]);
            grads.k[at] = scale as f32;
            grads.a[at] = (-scale * along) as f32;
            grads.b[at] = (scale * (along * off - sums[c] / count)) as f32;
            grads.gain[at] = inv * dots[c];
            grads.bias[at] = sums[c];
        }
    }

    /// The dot product of a gradient with the norm's output, over channels.
    pub fn output_dot(&self, norm: usize, dots: &[f64], sums: &[f64]) -> f64 {
        let each = |(c, at): (usize, usize)| self.gain[at] * self.inv(at) * dots[c] + self.bias[at] * sums[c];
        self.range(norm).enumerate().map(each).sum()
    }

    /// Copies a padded per-channel array's real channels into the caller's `[norms, c]`.
    pub fn unpad(&self, padded: &[f64], to: &mut [f32]) {
        let width = self.channels.padded();
        let real = (0..padded.len()).filter(|at| self.channels.at(at % width).is_some());
        to.iter_mut().zip(real).for_each(|(to, at)| *to = padded[at] as f32);
    }
}

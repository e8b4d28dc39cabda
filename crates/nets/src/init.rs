//! Initial values of parameters, drawn on the host so that they depend on a seed and a place only: not on the
//! device, the number of threads, or what was drawn before elsewhere.
//!
//! Distributions are PyTorch's defaults, which the published code uses: weights and linear biases uniform in
//! ±1/√fan_in, architecture weights 1e-3 · N(0, 1).

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A stream of initial values for one place in a network.
#[derive(Clone, Debug)]
pub struct Initialiser {
    key: u64,
    rng: ChaCha8Rng,
    device: Device,
}

impl Initialiser {
    /// The stream of `seed` on `device`. Parameters are made to require gradients where the device allows it.
    pub fn new(seed: u64, device: &Device) -> Self {
        let key = mix(seed);
        Self { key, rng: ChaCha8Rng::seed_from_u64(key), device: device.clone() }
    }

    /// The stream of a place below this one. It is the same whatever was drawn from `self`.
    pub fn at(&self, place: usize) -> Self {
        Self::new(self.key ^ mix(place as u64 + 1), &self.device)
    }

    /// The device that parameters are made on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Uniform in `[-bound, bound)`.
    pub fn uniform<const D: usize>(&mut self, shape: [usize; D], bound: f64) -> Param<Tensor<D>> {
        self.parameter(shape, |rng| (rng.random::<f64>() * 2.0 - 1.0) * bound)
    }

    /// Uniform in `[0, bound)`.
    pub fn positive<const D: usize>(&mut self, shape: [usize; D], bound: f64) -> Param<Tensor<D>> {
        self.parameter(shape, |rng| rng.random::<f64>() * bound)
    }

    /// Normal with mean 0 and the given deviation.
    pub fn normal<const D: usize>(&mut self, shape: [usize; D], deviation: f64) -> Param<Tensor<D>> {
        self.parameter(shape, |rng| standard_normal(rng) * deviation)
    }

    /// The same value everywhere.
    pub fn constant<const D: usize>(&self, shape: [usize; D], value: f32) -> Param<Tensor<D>> {
        Param::from_tensor(Tensor::full(shape, value, &self.device))
    }

    fn parameter<const D: usize>(
        &mut self,
        shape: [usize; D],
        mut draw: impl FnMut(&mut ChaCha8Rng) -> f64,
    ) -> Param<Tensor<D>> {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| draw(&mut self.rng) as f32).collect();
        Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), &self.device))
    }
}

/// Box and Muller's transform; the second value is left unused to keep the stream's position simple.
fn standard_normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

/// SplitMix64's finaliser: neighbouring seeds and places give unrelated streams.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(param: &Param<Tensor<1>>) -> Vec<f32> {
        crate::arch::host_values(param.val())
    }

    #[test]
    fn a_place_gives_the_same_values_whatever_was_drawn_before() {
        let device = Device::flex();
        let fresh = Initialiser::new(7, &device);
        let mut used = fresh.clone();
        used.uniform([100], 1.0);
        assert_eq!(values(&fresh.at(3).uniform([9], 1.0)), values(&used.at(3).uniform([9], 1.0)));
        assert_ne!(values(&fresh.at(3).uniform([9], 1.0)), values(&fresh.at(4).uniform([9], 1.0)));
    }

    #[test]
    fn normal_has_its_deviation() {
        let drawn = values(&Initialiser::new(1, &Device::flex()).normal([20_000], 0.5));
        let mean = drawn.iter().sum::<f32>() / drawn.len() as f32;
        let variance = drawn.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / drawn.len() as f32;
        // Four standard errors of 20,000 draws.
        assert!(mean.abs() < 0.0142 && (variance.sqrt() - 0.5).abs() < 0.01, "{mean} {variance}");
    }
}

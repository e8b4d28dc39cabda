//! Batch normalisation, with or without its affine part: search networks have none (facts 3.1).

use burn::module::{Module, Param};
use burn::tensor::{Tensor, module};

use crate::arch::host_values;
use crate::init::Initialiser;
use crate::running::Running;

/// Added to the variance before the root, as in PyTorch.
pub const EPSILON: f64 = 1e-5;
/// Weight of the newest batch in the running statistics, as in PyTorch.
pub const MOMENTUM: f64 = 0.1;

/// Batch normalisation over `[n, c, h, w]`, by channel.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// Scale and shift, where the normalisation is affine.
    affine: Option<Affine>,
    running_mean: Running,
    running_variance: Running,
}

/// Learned scale and shift by channel.
#[derive(Module, Debug)]
pub struct Affine {
    gamma: Param<Tensor<1>>,
    beta: Param<Tensor<1>>,
}

impl BatchNorm {
    /// Normalisation of `channels` channels; `affine` adds a learned scale (1 at first) and shift (0).
    pub fn new(channels: usize, affine: bool, init: &Initialiser) -> Self {
        let affine = affine
            .then(|| Affine { gamma: init.constant([channels], 1.0), beta: init.constant([channels], 0.0) });
        Self {
            affine,
            running_mean: Running::new(Tensor::zeros([channels], init.device())),
            running_variance: Running::new(Tensor::ones([channels], init.device())),
        }
    }

    /// Normalises with the batch's statistics, and counts them into the running ones, where the tensor is on
    /// an autodiff device (training); with the running statistics elsewhere.
    ///
    /// # Shapes
    /// `[n, c, h, w]` → `[n, c, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [n, c, h, w] = x.dims();
        let device = x.device();
        let like = (&device, x.dtype());
        let (gamma, beta) = match &self.affine {
            Some(affine) => (affine.gamma.val(), affine.beta.val()),
            None => (Tensor::ones([c], like), Tensor::zeros([c], like)),
        };
        if !device.is_autodiff() {
            let (mean, variance) = (self.running_mean.value(), self.running_variance.value());
            return module::batch_norm(x, gamma, beta, mean, variance, EPSILON);
        }
        let normed = module::batch_norm_train(x, gamma, beta, EPSILON);
        let samples = (n * h * w) as f64;
        // The running variance is the unbiased one, as in PyTorch; one sample has none.
        let unbiased = if samples > 1.0 { samples / (samples - 1.0) } else { 1.0 };
        update(&self.running_mean, normed.mean);
        update(&self.running_variance, normed.variance.mul_scalar(unbiased));
        normed.output
    }
}

/// What the fused kernels need of a norm.
impl BatchNorm {
    pub(crate) fn channels(&self) -> usize {
        self.running_mean.len()
    }

    pub(crate) fn is_affine(&self) -> bool {
        self.affine.is_some()
    }

    /// Scale and shift.
    pub(crate) fn affine_tensors(&self) -> Option<[Tensor<1>; 2]> {
        self.affine.as_ref().map(|affine| [affine.gamma.val(), affine.beta.val()])
    }

    /// Scale and shift on the host.
    pub(crate) fn affine_values(&self) -> Option<[Vec<f32>; 2]> {
        self.affine_tensors().map(|tensors| tensors.map(host_values))
    }

    /// Running mean and variance on the host.
    pub(crate) fn running_values(&self) -> (Vec<f32>, Vec<f32>) {
        (self.running_mean.values(), self.running_variance.values())
    }

    /// Counts a batch's mean and unbiased variance into the running statistics.
    pub(crate) fn record(&self, mean: &[f32], variance: &[f32]) {
        self.running_mean.approach(mean, MOMENTUM);
        self.running_variance.approach(variance, MOMENTUM);
    }
}

/// Moves a running statistic towards the batch's.
fn update(running: &Running, batch: Tensor<1>) {
    let kept = running.value().mul_scalar(1.0 - MOMENTUM);
    running.set(kept.add(batch.detach().mul_scalar(MOMENTUM)).detach());
}

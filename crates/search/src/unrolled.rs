//! The architecture gradient of second-order DARTS (Liu et al., "DARTS: Differentiable Architecture Search", ICLR 2019,
//! equations 6 to 8): that of the loss which the weights will have after their next step,
//!
//! ∇α L_val(w′, α) − ξ ∇²αw L_train(w, α) ∇w′ L_val(w′, α),   w′ = w − ξ (μ m + ∇w L_train(w, α) + λ w)
//!
//! with learning rate ξ, momentum μ, its buffer m and weight decay λ. The product is a central difference of gradients,
//! (∇α L_train(w + ε v, α) − ∇α L_train(w − ε v, α)) / (2 ε) with v = ∇w′ L_val(w′, α) and ε = 0.01 / ‖v‖.

use burn::module::Module;
use burn::tensor::Tensor;
use burn_optim::ModuleOptimizer;

use crate::grads::{GradBuffer, HasGrads};
use crate::networks::{Batch, SearchNets};
use crate::optimisers::step;

/// How far the weights are moved each way for the difference of gradients, as published.
pub const RADIUS: f64 = 0.01;

/// The parts of the gradient.
pub struct Unrolled {
    /// L_val(w′, α), `[1]`.
    pub validation: Tensor<1>,
    /// ∇α L_val(w′, α).
    pub direct: GradBuffer,
    /// ∇²αw L_train(w, α) ∇w′ L_val(w′, α).
    pub product: GradBuffer,
    /// The ε that the product was divided by twice.
    pub epsilon: f64,
}

/// The step that is looked ahead.
pub struct Unrolling<'a> {
    /// The networks; none is changed.
    pub nets: &'a SearchNets,
    /// The search network's SGD with its momentum; it is not changed either.
    pub optimiser: &'a ModuleOptimizer,
    /// Its learning rate.
    pub rate: f64,
    /// [`RADIUS`], but in a check of it.
    pub radius: f64,
}

impl Unrolling<'_> {
    /// The gradient where the step is taken on `train`.
    pub fn gradient(&self, train: &Batch, validation: &Batch) -> Unrolled {
        let ahead = self.ahead(train);
        let (validation, _) = ahead.search_label_loss(validation);
        let mut fresh = validation.backward();
        let mut direct = GradBuffer::default();
        direct.absorb(&mut fresh, &[&ahead.stem, &ahead.supernet, &ahead.arch]);
        let norm = direct.norm(&[&ahead.stem, &ahead.supernet]);
        // Without a direction there is no product.
        let epsilon = if norm > 0.0 { self.radius / norm } else { 0.0 };
        let product = self.product(train, &direct, epsilon);
        Unrolled { validation, direct, product, epsilon }
    }

    /// The networks after the step.
    pub fn ahead(&self, train: &Batch) -> SearchNets {
        let mut grads = GradBuffer::default();
        let (loss, _) = self.nets.mixed_label_loss(train, &self.nets.arch.clone().no_grad().mixing());
        grads.absorb(&mut loss.backward(), &[&self.nets.stem, &self.nets.supernet]);
        let mut ahead = self.nets.clone();
        let mut optimiser = self.optimiser.clone();
        step(&mut optimiser, self.rate, &mut ahead.stem, &mut grads);
        step(&mut optimiser, self.rate, &mut ahead.supernet, &mut grads);
        ahead
    }

    fn product(&self, train: &Batch, direction: &GradBuffer, epsilon: f64) -> GradBuffer {
        let mut product = GradBuffer::default();
        if epsilon == 0.0 {
            return product;
        }
        for sign in [1.0, -1.0] {
            let moved = self.moved(direction, sign * epsilon);
            let mut side = GradBuffer::default();
            let (loss, _) = moved.with_frozen_cells().search_label_loss(train);
            side.absorb(&mut loss.backward(), &[&moved.arch]);
            product.add(&[&moved.arch], &side, sign);
        }
        product.scale(&[&self.nets.arch], 1.0 / (2.0 * epsilon));
        product
    }

    /// The networks, the weights moved by `step` times `direction`.
    pub fn moved(&self, direction: &GradBuffer, step: f64) -> SearchNets {
        let mut nets = self.nets.clone();
        nets.stem = direction.moved(nets.stem, step);
        nets.supernet = direction.moved(nets.supernet, step);
        nets
    }
}

impl Unrolled {
    /// The gradient of `arch`, the architecture weights, where the step ahead has the given rate.
    pub fn of(&self, arch: &dyn HasGrads, rate: f64) -> GradBuffer {
        let mut gradient = GradBuffer::default();
        gradient.add(&[arch], &self.direct, 1.0);
        gradient.add(&[arch], &self.product, -rate);
        gradient
    }
}

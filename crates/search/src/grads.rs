//! Gradients between a backward pass and the optimisers' steps: kept by parameter, as PyTorch keeps them, so
//! that the published code's treatment of stale gradients can be reproduced (facts 1.7).

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, TensorData};
use burn_optim::GradientsParams;
use cdarts_nets::laps::part;
use cdarts_nets::params::without_statistics;
use rayon::prelude::*;

/// One gradient a parameter.
#[derive(Default)]
pub struct GradBuffer {
    held: GradientsParams,
}

/// A module whose gradients can be worked on.
pub trait HasGrads {
    /// Does `action` for every parameter, in the module's order.
    fn each(&self, buffer: &mut GradBuffer, action: Action<'_>);
}

/// What to do for every parameter.
pub enum Action<'a> {
    /// Take its gradient out of a backward pass and add it to the one held.
    Absorb(&'a mut Gradients),
    /// Forget its gradient.
    Clear,
    /// Set its gradient to zero, a missing one too: SGD then still decays and coasts.
    Zero,
    /// Copy its gradient to the host in its own precision, where there is one.
    Hand(&'a mut Vec<TensorData>),
    /// Multiply its gradient.
    Scale(f64),
    /// Add a multiple of another gradient of it.
    Add(&'a GradBuffer, f64),
    /// Copy its gradient for an optimiser.
    Copy(&'a mut GradientsParams),
    /// Copy its gradient to the host.
    Read(&'a mut Vec<Option<Vec<f32>>>),
    /// Take its gradient from the host, as read.
    Write(&'a mut std::vec::IntoIter<Option<Vec<f32>>>),
}

impl<M: Module> HasGrads for M {
    fn each(&self, buffer: &mut GradBuffer, action: Action<'_>) {
        // What is stored has a place for statistics too, always empty.
        let stored = matches!(action, Action::Read(_) | Action::Write(_));
        let mut visitor = Visitor { held: &mut buffer.held, action };
        match stored {
            true => self.visit(&mut visitor),
            false => without_statistics(|| self.visit(&mut visitor)),
        }
    }
}

impl GradBuffer {
    /// Takes the gradients of `modules` out of `fresh` and adds them to those held.
    pub fn absorb(&mut self, fresh: &mut Gradients, modules: &[&dyn HasGrads]) {
        modules.iter().for_each(|module| module.each(self, Action::Absorb(fresh)));
    }

    /// Forgets all gradients.
    pub fn clear_all(&mut self) {
        self.held = GradientsParams::new();
    }

    /// Forgets the gradients of `modules`.
    pub fn clear(&mut self, modules: &[&dyn HasGrads]) {
        modules.iter().for_each(|module| module.each(self, Action::Clear));
    }

    /// Sets the gradients of `modules` to zero.
    pub fn zero(&mut self, modules: &[&dyn HasGrads]) {
        modules.iter().for_each(|module| module.each(self, Action::Zero));
    }

    /// Scales the gradients of `modules` down to a common norm of at most `limit`; 0 is no limit.
    pub fn clip(&mut self, modules: &[&dyn HasGrads], limit: f64) {
        if limit == 0.0 {
            return;
        }
        part("clipping", || {
            let factor = limit / (self.norm(modules) + NORM_EPSILON);
            if factor < 1.0 {
                self.scale(modules, factor);
            }
        });
    }

    /// The common norm of the gradients of `modules`.
    pub fn norm(&mut self, modules: &[&dyn HasGrads]) -> f64 {
        let mut grads = Vec::new();
        modules.iter().for_each(|module| module.each(self, Action::Hand(&mut grads)));
        let squares: Vec<f64> = grads.par_iter().map(squares).collect();
        squares.iter().sum::<f64>().sqrt()
    }

    /// Adds `factor` times the gradients of `modules` that `other` holds.
    pub fn add(&mut self, modules: &[&dyn HasGrads], other: &Self, factor: f64) {
        modules.iter().for_each(|module| module.each(self, Action::Add(other, factor)));
    }

    /// Multiplies the gradients of `modules`.
    pub fn scale(&mut self, modules: &[&dyn HasGrads], factor: f64) {
        modules.iter().for_each(|module| module.each(self, Action::Scale(factor)));
    }

    /// `module`, its parameters moved by `step` times their gradients.
    pub fn moved<M: Module>(&self, module: M, step: f64) -> M {
        without_statistics(|| module.map(&mut Mover { held: &self.held, step }))
    }

    /// The gradients of `module` for an optimiser's step; they stay here too.
    pub fn of(&mut self, module: &dyn HasGrads) -> GradientsParams {
        let mut copied = GradientsParams::new();
        module.each(self, Action::Copy(&mut copied));
        copied
    }

    /// Host copies of the gradients of `modules`, one entry a parameter.
    pub fn read(&mut self, modules: &[&dyn HasGrads]) -> Vec<Option<Vec<f32>>> {
        let mut values = Vec::new();
        modules.iter().for_each(|module| module.each(self, Action::Read(&mut values)));
        values
    }

    /// Takes up what [`Self::read`] copied from the same modules.
    pub fn write(&mut self, modules: &[&dyn HasGrads], values: Vec<Option<Vec<f32>>>) {
        let mut values = values.into_iter();
        modules.iter().for_each(|module| module.each(self, Action::Write(&mut values)));
    }
}

/// Added to the norm before dividing by it, as PyTorch does.
const NORM_EPSILON: f64 = 1e-6;

/// The sum of a gradient's squares in double precision, in order.
fn squares(grad: &TensorData) -> f64 {
    match grad.as_slice::<f32>() {
        Ok(values) => values.iter().map(|&g| f64::from(g).powi(2)).sum(),
        Err(_) => grad.iter::<f64>().map(|g| g.powi(2)).sum(),
    }
}

struct Mover<'a> {
    held: &'a GradientsParams,
    step: f64,
}

impl ModuleMapper for Mover<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(grad) = self.held.get::<D>(param.id) else { return param };
        let old = param.val();
        let new = Tensor::from_inner(old.clone().inner() + grad.mul_scalar(self.step));
        Param::initialized(param.id, new.set_require_grad(old.is_require_grad()))
    }
}

struct Visitor<'a, 'b> {
    held: &'a mut GradientsParams,
    action: Action<'b>,
}

impl ModuleVisitor for Visitor<'_, '_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Self { held, action } = self;
        match action {
            Action::Absorb(fresh) if param.is_require_grad() => {
                if let Some(new) = param.val().grad_remove(fresh) {
                    let sum = match held.remove::<D>(param.id) {
                        Some(old) => old + new,
                        None => new,
                    };
                    held.register(param.id, sum);
                }
            }
            Action::Clear => drop(held.remove::<D>(param.id)),
            Action::Zero if param.is_require_grad() => {
                held.register(param.id, param.val().inner().zeros_like());
            }
            Action::Hand(grads) => {
                grads.extend(held.get::<D>(param.id).map(Tensor::into_data));
            }
            Action::Scale(factor) => {
                if let Some(grad) = held.remove::<D>(param.id) {
                    held.register(param.id, grad.mul_scalar(*factor));
                }
            }
            Action::Add(other, factor) => {
                if let Some(grad) = other.held.get::<D>(param.id) {
                    let grad = grad.mul_scalar(*factor);
                    let sum = match held.remove::<D>(param.id) {
                        Some(old) => old + grad,
                        None => grad,
                    };
                    held.register(param.id, sum);
                }
            }
            Action::Copy(copied) => {
                if let Some(grad) = held.get::<D>(param.id) {
                    copied.register(param.id, grad);
                }
            }
            Action::Read(values) => {
                let grad = held.get::<D>(param.id);
                values.push(grad.map(|grad| grad.into_data().iter::<f32>().collect()));
            }
            Action::Write(values) => {
                if let Some(Some(values)) = values.next() {
                    let like = param.val().inner();
                    let data = TensorData::new(values, like.dims());
                    held.register(param.id, Tensor::<D>::from_data(data, &like.device()));
                }
            }
            // Frozen parameters have no gradient.
            Action::Absorb(_) | Action::Zero => {}
        }
    }
}

//! The optimisers against their formulas as PyTorch has them (facts 1.7), and clipping by norm.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use cdarts_search::config::Preset;
use cdarts_search::grads::GradBuffer;
use cdarts_search::optimisers::{Optimisers, sgd, step};

#[derive(Module, Debug)]
struct Weights {
    weight: Param<Tensor<1>>,
    idle: Param<Tensor<1>>,
}

fn weights() -> Weights {
    let device = Device::flex().autodiff();
    Weights {
        weight: Param::from_tensor(Tensor::from_floats([1.0, -2.0], &device)),
        idle: Param::from_tensor(Tensor::from_floats([4.0], &device)),
    }
}

/// The gradient of Σ weight · [3, 4], whatever the weights are.
fn absorb(grads: &mut GradBuffer, module: &Weights) {
    let factors = Tensor::from_floats([3.0, 4.0], &Device::flex().autodiff());
    let loss = module.weight.val().mul(factors).sum();
    grads.absorb(&mut loss.backward(), &[module]);
}

fn values(param: &Param<Tensor<1>>) -> Vec<f64> {
    param.val().into_data().iter::<f64>().collect()
}

fn close(found: &[f64], expected: &[f64]) {
    assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-6), "{found:?} {expected:?}");
}

#[test]
fn sgd_has_undamped_momentum_and_coupled_decay() {
    let (lr, momentum, decay) = (0.1, 0.9, 0.01);
    let mut optimiser = sgd(momentum, decay);
    let mut module = weights();
    let (mut expected, mut velocity) = ([1.0, -2.0], [0.0, 0.0]);
    for _ in 0..3 {
        let mut grads = GradBuffer::default();
        absorb(&mut grads, &module);
        step(&mut optimiser, lr, &mut module, &mut grads);
        for (index, gradient) in [3.0, 4.0].into_iter().enumerate() {
            velocity[index] = momentum * velocity[index] + gradient + decay * expected[index];
            expected[index] -= lr * velocity[index];
        }
        close(&values(&module.weight), &expected);
    }
    // A parameter without a gradient stays where idle ones are left alone.
    close(&values(&module.idle), &[4.0]);
}

#[test]
fn a_zeroed_gradient_still_decays() {
    let mut optimiser = sgd(0.9, 0.01);
    let mut module = weights();
    let mut grads = GradBuffer::default();
    grads.zero(&[&module]);
    absorb(&mut grads, &module);
    step(&mut optimiser, 0.1, &mut module, &mut grads);
    close(&values(&module.idle), &[4.0 - 0.1 * 0.01 * 4.0]);
}

#[test]
fn adam_is_the_formula_with_the_published_betas() {
    let mut optimiser = Optimisers::new(&Preset::Official.config().search).arch;
    let mut module = weights();
    let (mut expected, mut first, mut second) = ([1.0_f64, -2.0], [0.0_f64; 2], [0.0_f64; 2]);
    for t in 1..=3 {
        let mut grads = GradBuffer::default();
        absorb(&mut grads, &module);
        step(&mut optimiser, 3e-4, &mut module, &mut grads);
        for (i, g) in [3.0_f64, 4.0].into_iter().enumerate() {
            first[i] = 0.5 * first[i] + 0.5 * g;
            second[i] = 0.999 * second[i] + 0.001 * g * g;
            let (m, v) = (first[i] / (1.0 - 0.5_f64.powi(t)), second[i] / (1.0 - 0.999_f64.powi(t)));
            expected[i] -= 3e-4 * m / (v.sqrt() + 1e-8);
        }
        close(&values(&module.weight), &expected);
    }
}

#[test]
fn clipping_scales_to_the_limit_and_leaves_small_gradients() {
    let module = weights();
    let norm = |grads: &mut GradBuffer| {
        let held = grads.read(&[&module]);
        held.into_iter().flatten().flatten().map(|g| f64::from(g).powi(2)).sum::<f64>().sqrt()
    };
    for (limit, expected) in [(2.0, 2.0), (50.0, 5.0), (0.0, 5.0)] {
        let mut grads = GradBuffer::default();
        absorb(&mut grads, &module);
        grads.clip(&[&module], limit);
        assert!((norm(&mut grads) - expected).abs() < 1e-5, "limit {limit}");
    }
}

#[test]
fn gradients_add_up_until_they_are_cleared_and_survive_being_stored() {
    let module = weights();
    let mut grads = GradBuffer::default();
    absorb(&mut grads, &module);
    absorb(&mut grads, &module);
    let held = grads.read(&[&module]);
    assert_eq!(held, [Some(vec![6.0, 8.0]), None]);
    let mut restored = GradBuffer::default();
    restored.write(&[&module], held.clone());
    assert_eq!(restored.read(&[&module]), held);
    grads.clear(&[&module]);
    assert_eq!(grads.read(&[&module]), [None, None]);
}

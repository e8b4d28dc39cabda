//! The search's three optimisers and the found network's one (facts 1.7, 5.1), with clipping by norm.
//!
//! `supernet_optim` owns stem, search network, heads and mixture; `eval_optim` owns stem, evaluation network,
//! heads and mixture; `arch_optim` owns the architecture weights. Stages that were searched before are the evaluation
//! network's and run in both. What two optimisers own has two momenta, as published.

use burn::module::Module;
use burn_optim::decay::WeightDecayConfig;
use burn_optim::momentum::MomentumConfig;
use burn_optim::{AdamConfig, ModuleOptimizer, SgdConfig};
use cdarts_nets::laps::part;
use cdarts_nets::params::without_statistics;

use crate::config::{ClipScope, SearchConfig};
use crate::grads::GradBuffer;
use crate::networks::{SearchNets, Update};

/// Added to the root of Adam's second moment, as PyTorch does.
const ADAM_EPSILON: f32 = 1e-8;

/// The three optimisers of a search.
pub struct Optimisers {
    /// SGD of the search network.
    pub supernet: ModuleOptimizer,
    /// SGD of the evaluation network.
    pub eval: ModuleOptimizer,
    /// Adam of the architecture weights.
    pub arch: ModuleOptimizer,
    /// What the evaluation network's cells multiply the learning rate by: pre-trained ones learn slower (facts 1.7).
    cells_factor: f64,
}

/// Which optimiser is about to step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// `supernet_optim`
    Supernet,
    /// `eval_optim`
    Eval,
    /// `arch_optim`
    Arch,
}

/// SGD without Nesterov's correction, its momentum undamped.
pub fn sgd(momentum: f64, weight_decay: f64) -> ModuleOptimizer {
    let momentum = MomentumConfig::new().with_momentum(momentum).with_dampening(0.0);
    SgdConfig::new().with_momentum(Some(momentum)).with_weight_decay(decay(weight_decay)).init()
}

fn decay(weight_decay: f64) -> Option<WeightDecayConfig> {
    (weight_decay > 0.0).then(|| WeightDecayConfig::new(weight_decay as f32))
}

impl Optimisers {
    /// New optimisers, without momentum.
    pub fn new(config: &SearchConfig) -> Self {
        let [beta_1, beta_2] = config.arch_betas.map(|beta| beta as f32);
        Self {
            supernet: sgd(config.momentum, config.weight_decay),
            eval: sgd(config.momentum, config.weight_decay),
            arch: AdamConfig::new()
                .with_beta_1(beta_1)
                .with_beta_2(beta_2)
                .with_epsilon(ADAM_EPSILON)
                .with_weight_decay(decay(config.arch_weight_decay))
                .init(),
            cells_factor: if config.bank_pretrain_epochs > 0 { config.pretrained_lr_factor } else { 1.0 },
        }
    }

    /// Makes room for a backward pass of which `owners` will take steps. Per optimiser, no gradient stays; over
    /// all parameters, those of other optimisers stay to be added to, as in the published code.
    pub fn prepare(owners: &[Owner], nets: &SearchNets, grads: &mut GradBuffer, config: &SearchConfig) {
        part("gradients between steps", || {
            match config.clip_scope {
                ClipScope::PerOptimiser => grads.clear_all(),
                ClipScope::AllParameters => {
                    owners.iter().for_each(|&owner| grads.clear(&nets.owned_by(owner)))
                }
            }
            if config.decay_idle {
                owners.iter().for_each(|&owner| grads.zero(&nets.owned_by(owner)));
            }
        });
    }

    /// Limits the norm of the gradients before a step of `owner`.
    pub fn clip(owner: Owner, nets: &SearchNets, grads: &mut GradBuffer, config: &SearchConfig) {
        match config.clip_scope {
            ClipScope::PerOptimiser => grads.clip(&nets.owned_by(owner), config.grad_clip),
            ClipScope::AllParameters => grads.clip(&nets.all(), config.grad_clip),
        }
    }

    /// One step of one optimiser on the modules that it owns.
    pub fn step(&mut self, owner: Owner, lr: f64, nets: &mut SearchNets, grads: &mut GradBuffer) {
        let optimiser = match owner {
            Owner::Supernet => &mut self.supernet,
            Owner::Eval => &mut self.eval,
            Owner::Arch => &mut self.arch,
        };
        match owner {
            Owner::Arch => step(optimiser, lr, &mut nets.arch, grads),
            _ => nets.update(owner, &mut Step { optimiser, lr, cells_lr: lr * self.cells_factor, grads }),
        }
    }
}

/// One step of an optimiser, on as many modules as are handed to it.
struct Step<'a> {
    optimiser: &'a mut ModuleOptimizer,
    lr: f64,
    cells_lr: f64,
    grads: &'a mut GradBuffer,
}

impl Update for Step<'_> {
    fn update<M: Module>(&mut self, module: &mut M, cells: bool) {
        step(self.optimiser, if cells { self.cells_lr } else { self.lr }, module, self.grads);
    }
}

/// One step on a module; parameters without a gradient stay.
pub fn step<M: Module>(optimiser: &mut ModuleOptimizer, lr: f64, module: &mut M, grads: &mut GradBuffer) {
    part("optimisers", || {
        without_statistics(|| *module = optimiser.step(lr, module.clone(), grads.of(module)));
    });
}

//! One step of each phase of the search (facts 1.3, 1.4).

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::Tensor;
use cdarts_nets::laps::part;
use cdarts_nets::{ArchWeights, Features, Mixing, State};

use crate::config::{Config, Feedback};
use crate::grads::GradBuffer;
use crate::networks::{Batch, SearchNets};
use crate::objective::{JointLoss, cross_entropy};
use crate::optimisers::{Optimisers, Owner};

/// The learning rates of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Of the search network.
    pub supernet: f64,
    /// Of the evaluation network.
    pub eval: f64,
    /// Of the architecture weights.
    pub arch: f64,
}

/// What a step measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepReport {
    /// Loss terms by name.
    pub terms: BTreeMap<&'static str, f64>,
    /// By network: images classified rightly, images seen.
    pub accuracy: BTreeMap<&'static str, (usize, usize)>,
}

impl StepReport {
    /// Notes a loss term.
    pub(crate) fn term(&mut self, name: &'static str, value: &Tensor<1>) {
        self.terms.insert(name, f64::from(value.clone().into_scalar::<f32>()));
    }

    /// Notes how a network did on a batch.
    pub(crate) fn accuracy(&mut self, network: &'static str, batch: &Batch, logits: &Tensor<2>) {
        self.accuracy.insert(network, (batch.correct(logits), batch.classes.len()));
    }

    /// With what a step that follows on it measured.
    pub(crate) fn extended(mut self, next: Self) -> Self {
        self.terms.extend(next.terms);
        self.accuracy.extend(next.accuracy);
        self
    }

    /// The first term that is not a finite number.
    pub fn non_finite(&self) -> Option<&'static str> {
        self.terms.iter().find(|(_, value)| !value.is_finite()).map(|(&name, _)| name)
    }
}

/// Networks, optimisers and gradients: what steps change.
pub struct SearchState {
    /// The networks.
    pub nets: SearchNets,
    /// Their optimisers.
    pub optimisers: Optimisers,
    /// Gradients that outlive a step.
    pub grads: GradBuffer,
}

impl SearchState {
    /// Trains the search network alone: cross entropy of its final logits.
    pub fn warm_supernet(&mut self, weight: &Batch, rates: Rates, config: &Config) -> StepReport {
        let mixing = self.arch_of_weight_step(config).mixing();
        self.train_supernet(weight, &mixing, rates, config)
    }

    /// The architecture weights for a step of the search network's: constants, unless clipping counts their gradients.
    /// Frozen before anything is made of them, because what no backward pass comes by stays in burn's graph.
    pub(crate) fn arch_of_weight_step(&self, config: &Config) -> ArchWeights {
        let arch = self.nets.arch.clone();
        if config.search.clip_scope.counts_idle() { arch } else { arch.no_grad() }
    }

    /// As [`Self::warm_supernet`], where operations are mixed by `mixing`.
    pub(crate) fn train_supernet(
        &mut self,
        weight: &Batch,
        mixing: &Mixing,
        rates: Rates,
        config: &Config,
    ) -> StepReport {
        let mut report = StepReport::default();
        self.prepare(&[Owner::Supernet], config);
        let (loss, logits) = self.nets.mixed_label_loss(weight, mixing);
        part("losses", || {
            report.term("supernet_classify", &loss);
            report.accuracy("supernet", weight, &logits);
        });
        if report.non_finite().is_none() {
            self.backward(loss);
            self.step(&[Owner::Supernet], rates, config);
        }
        report
    }

    /// Trains the evaluation network alone: cross entropy of its final logits.
    pub fn warm_eval(&mut self, arch: &Batch, rates: Rates, config: &Config) -> StepReport {
        let mut report = StepReport::default();
        self.prepare(&[Owner::Eval], config);
        let stem = self.stem(arch);
        let Some(Features { logits, .. }) = self.nets.eval_features(stem) else { return report };
        let loss = cross_entropy(logits.clone(), arch.labels.clone(), 0.0);
        report.term("eval_classify", &loss);
        report.accuracy("eval", arch, &logits);
        if report.non_finite().is_none() {
            self.backward(loss);
            self.step(&[Owner::Eval], rates, config);
        }
        report
    }

    /// Part A: both networks on a batch of the architecture half; labels, distillation and penalty; evaluation
    /// network and architecture weights step, or with separate feedback the architecture weights alone. Part B: the
    /// search network on a batch of the weight half, with the new architecture weights.
    pub fn joint(
        &mut self,
        arch: &Batch,
        weight: &Batch,
        rates: Rates,
        penalty_weight: f64,
        config: &Config,
    ) -> StepReport {
        let mut report = StepReport::default();
        let separate = config.search.feedback == Feedback::Separate;
        let owners: &[Owner] = if separate { &[Owner::Arch] } else { &[Owner::Eval, Owner::Arch] };
        self.prepare(owners, config);
        let stem = self.stem(arch);
        let search = part("search network", || match config.search.clip_scope.counts_idle() {
            true => self.nets.search_features(stem.clone()),
            false => self.nets.with_frozen_cells().search_features(stem.clone()),
        });
        let Some(eval) = part("evaluation network", || self.nets.eval_features(stem)) else { return report };
        let eval = if separate { eval.detach() } else { eval };
        let loss = part("losses", || {
            report.accuracy("eval", arch, &eval.logits);
            let loss = JointLoss::new(&self.nets, search, eval, &arch.labels, penalty_weight, config);
            loss.terms().for_each(|(name, term)| report.term(name, term));
            loss.total
        });
        if report.non_finite().is_some() {
            return report;
        }
        self.backward(loss);
        self.step(owners, rates, config);

        report.extended(self.warm_supernet(weight, rates, config))
    }

    /// Clears what gradients a step of `owners` must not see.
    pub(crate) fn prepare(&mut self, owners: &[Owner], config: &Config) {
        part("gradients between steps", || {
            Optimisers::prepare(owners, &self.nets, &mut self.grads, &config.search);
        });
    }

    fn stem(&self, batch: &Batch) -> [State; 2] {
        part("stem", || self.nets.stem.forward(batch.images.clone()))
    }

    fn backward(&mut self, loss: Tensor<1>) {
        let mut fresh = part("rest of the backward pass", || loss.backward());
        part("gradients between steps", || self.grads.absorb(&mut fresh, &self.nets.all()));
    }

    /// Clips and steps. Over all parameters the norm is taken once, before the first step, as published.
    fn step(&mut self, owners: &[Owner], rates: Rates, config: &Config) {
        let clipped = if config.search.clip_scope.counts_idle() { &owners[..1] } else { owners };
        part("clipping", || {
            for &owner in clipped {
                Optimisers::clip(owner, &self.nets, &mut self.grads, &config.search);
            }
        });
        for &owner in owners {
            let lr = match owner {
                Owner::Supernet => rates.supernet,
                Owner::Eval => rates.eval,
                Owner::Arch => rates.arch,
            };
            part("optimisers", || self.optimisers.step(owner, lr, &mut self.nets, &mut self.grads));
        }
    }
}

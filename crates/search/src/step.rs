//! One step of each phase of the search (facts 1.3, 1.4).

use std::collections::BTreeMap;

use burn::tensor::{Gradients, Tensor};
use cdarts_nets::{Features, NetOutput};

use crate::config::Config;
use crate::grads::GradBuffer;
use crate::networks::{Batch, SearchNets};
use crate::objective::{cross_entropy, distance};
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
        let mut report = StepReport::default();
        Optimisers::prepare(&[Owner::Supernet], &self.nets, &mut self.grads, &config.search);
        let Features { logits, .. } =
            self.nets.search_features(self.nets.stem.forward(weight.images.clone()));
        let loss = cross_entropy(logits.clone(), weight.labels.clone(), 0.0);
        report.term("supernet_classify", &loss);
        report.accuracy("supernet", weight, &logits);
        if report.non_finite().is_none() {
            self.backward(loss.backward());
            self.step(&[Owner::Supernet], rates, config);
        }
        report
    }

    /// Trains the evaluation network alone: cross entropy of its final logits.
    pub fn warm_eval(&mut self, arch: &Batch, rates: Rates, config: &Config) -> StepReport {
        let mut report = StepReport::default();
        Optimisers::prepare(&[Owner::Eval], &self.nets, &mut self.grads, &config.search);
        let stem = self.nets.stem.forward(arch.images.clone());
        let Some(Features { logits, .. }) = self.nets.eval_features(stem) else { return report };
        let loss = cross_entropy(logits.clone(), arch.labels.clone(), 0.0);
        report.term("eval_classify", &loss);
        report.accuracy("eval", arch, &logits);
        if report.non_finite().is_none() {
            self.backward(loss.backward());
            self.step(&[Owner::Eval], rates, config);
        }
        report
    }

    /// Part A: both networks on a batch of the architecture half; labels, distillation and penalty; evaluation
    /// network and architecture weights step. Part B: the search network on a batch of the weight half, with
    /// the new architecture weights.
    pub fn joint(
        &mut self,
        arch: &Batch,
        weight: &Batch,
        rates: Rates,
        penalty_weight: f64,
        config: &Config,
    ) -> StepReport {
        let mut report = StepReport::default();
        Optimisers::prepare(&[Owner::Eval, Owner::Arch], &self.nets, &mut self.grads, &config.search);
        let Some(loss) = self.joint_loss(arch, penalty_weight, config, &mut report) else { return report };
        if report.non_finite().is_some() {
            return report;
        }
        self.backward(loss.backward());
        self.step(&[Owner::Eval, Owner::Arch], rates, config);

        let part_b = self.warm_supernet(weight, rates, config);
        report.terms.extend(part_b.terms);
        report.accuracy.extend(part_b.accuracy);
        report
    }

    /// (CE_search + CE_eval) / a + a T² D + penalty, with a = `distill_weight`.
    fn joint_loss(
        &self,
        arch: &Batch,
        penalty_weight: f64,
        config: &Config,
        report: &mut StepReport,
    ) -> Option<Tensor<1>> {
        let nets = &self.nets;
        let stem = nets.stem.forward(arch.images.clone());
        let search = nets.search_features(stem.clone());
        let eval = nets.eval_features(stem)?;
        report.accuracy("eval", arch, &eval.logits);

        let search_classify = cross_entropy(search.logits.clone(), arch.labels.clone(), 0.0);
        let eval_classify = cross_entropy(eval.logits.clone(), arch.labels.clone(), 0.0);
        report.term("arch_classify", &search_classify);
        report.term("eval_classify", &eval_classify);
        let mut loss = search_classify + eval_classify;

        if config.search.distill_weight > 0.0 {
            let distill = self.distill(nets.heads.forward(search), nets.heads.forward(eval), config);
            report.term("distill", &distill);
            loss = loss.div_scalar(config.search.distill_weight) + distill;
        }
        if penalty_weight > 0.0 {
            let repeats = if nets.arch.is_by_stage() { 1 } else { config.search.penalty_repeats };
            let weight = penalty_weight * repeats as f64;
            let penalty = nets.arch.penalised_l1(nets.settled()).mul_scalar(weight);
            report.term("penalty", &penalty);
            loss = loss + penalty;
        }
        Some(loss)
    }

    fn distill(&self, search: NetOutput, eval: NetOutput, config: &Config) -> Tensor<1> {
        let teacher = self.nets.ensemble(&eval, config);
        let teacher = if config.search.detach_teacher { teacher.detach() } else { teacher };
        distance(self.nets.ensemble(&search, config), teacher, &config.search)
    }

    fn backward(&mut self, mut fresh: Gradients) {
        self.grads.absorb(&mut fresh, &self.nets.all());
    }

    /// Clips and steps. Over all parameters the norm is taken once, before the first step, as published.
    fn step(&mut self, owners: &[Owner], rates: Rates, config: &Config) {
        use crate::config::ClipScope;
        let clipped: &[Owner] = match config.search.clip_scope {
            ClipScope::AllParameters => &owners[..1],
            ClipScope::PerOptimiser => owners,
        };
        for &owner in clipped {
            Optimisers::clip(owner, &self.nets, &mut self.grads, &config.search);
        }
        for &owner in owners {
            let lr = match owner {
                Owner::Supernet => rates.supernet,
                Owner::Eval => rates.eval,
                Owner::Arch => rates.arch,
            };
            self.optimisers.step(owner, lr, &mut self.nets, &mut self.grads);
        }
    }
}

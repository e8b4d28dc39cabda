//! The loss of a joint step (facts 1.4): labels of both networks, distillation and penalty.

use burn::tensor::{Int, Tensor};
use cdarts_nets::Features;
use cdarts_nets::laps::part;

use super::{cross_entropy, distance};
use crate::config::{Config, Feedback};
use crate::networks::SearchNets;

/// (CE_search + CE_eval) / a + a T² D + penalty, with a = `distill_weight`; without distillation the division is left
/// out too. Every term is `[1]`.
#[derive(Clone, Debug)]
pub struct JointLoss {
    /// Cross entropy of the search network.
    pub arch_classify: Tensor<1>,
    /// Cross entropy of the evaluation network.
    pub eval_classify: Tensor<1>,
    /// The distance between both, weighed.
    pub distill: Option<Tensor<1>>,
    /// The L1 penalty, weighed.
    pub penalty: Option<Tensor<1>>,
    /// What is minimised.
    pub total: Tensor<1>,
}

impl JointLoss {
    /// Of what both networks say about the same images.
    ///
    /// # Shapes
    /// - `labels`: `[n]`
    pub fn new(
        nets: &SearchNets,
        search: Features,
        eval: Features,
        labels: &Tensor<1, Int>,
        penalty_weight: f64,
        config: &Config,
    ) -> Self {
        let weight = config.search.distill_weight;
        let arch_classify = cross_entropy(search.logits.clone(), labels.clone(), 0.0);
        let eval_classify = cross_entropy(eval.logits.clone(), labels.clone(), 0.0);
        let distill = (weight > 0.0).then(|| distillation(nets, search, eval, config));
        let penalty = (penalty_weight > 0.0).then(|| penalty(nets, penalty_weight, config));

        let mut total = arch_classify.clone() + eval_classify.clone();
        if let Some(distill) = &distill {
            total = total.div_scalar(weight) + distill.clone();
        }
        if let Some(penalty) = &penalty {
            total = total + penalty.clone();
        }
        Self { arch_classify, eval_classify, distill, penalty, total }
    }

    /// The terms by name.
    pub fn terms(&self) -> impl Iterator<Item = (&'static str, &Tensor<1>)> {
        let always = [("arch_classify", &self.arch_classify), ("eval_classify", &self.eval_classify)];
        let distill = self.distill.iter().map(|term| ("distill", term));
        always.into_iter().chain(distill).chain(self.penalty.iter().map(|term| ("penalty", term)))
    }
}

fn distillation(nets: &SearchNets, search: Features, eval: Features, config: &Config) -> Tensor<1> {
    let [search, eval] =
        [search, eval].map(|features| part("distillation heads", || nets.heads.forward(features)));
    let teacher = nets.ensemble(&eval, config);
    let fixed = config.search.detach_teacher || config.search.feedback == Feedback::Separate;
    let teacher = if fixed { teacher.detach() } else { teacher };
    part("losses", || distance(nets.ensemble(&search, config), teacher, &config.search))
}

/// The L1 penalty, weighed (facts 1.5).
pub(crate) fn penalty(nets: &SearchNets, weight: f64, config: &Config) -> Tensor<1> {
    let repeats = if nets.arch.is_by_stage() { 1 } else { config.search.penalty_repeats };
    nets.arch.penalised_l1(nets.settled()).mul_scalar(weight * repeats as f64)
}

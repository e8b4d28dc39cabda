//! What a network says: the same type for both, so that losses do not know which one spoke.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation::softmax};

use crate::fused::State;
use crate::head::Head;
use crate::init::Initialiser;

/// A forward pass without heads.
#[derive(Clone, Debug)]
pub struct Features {
    /// The last state of every stage.
    pub stages: Vec<State>,
    /// `[n, classes]`
    pub logits: Tensor<2>,
}

impl Features {
    /// The same values, through which no gradient flows back.
    pub fn detach(self) -> Self {
        Self { stages: self.stages.into_iter().map(State::detach).collect(), logits: self.logits.detach() }
    }
}

/// A forward pass seen through the distillation heads.
#[derive(Clone, Debug)]
pub struct NetOutput {
    /// `[n, classes]`
    pub logits: Tensor<2>,
    /// What the heads make of the inner stages, `[n, classes]` each.
    pub stage_logits: Vec<Tensor<2>>,
}

/// The distillation heads, one pair shared by both networks (facts 1.1).
#[derive(Module, Debug)]
pub struct DistillHeads {
    heads: Vec<Head>,
    /// The stage that each head reads.
    stages: Vec<usize>,
}

impl DistillHeads {
    /// The heads of `plan`.
    pub fn new<'a>(plan: impl Into<cdarts_space::PlanView<'a>>, init: &Initialiser) -> Self {
        Self::of_plans(&plan.into().distillation_heads(), init)
    }

    /// Heads of any shape, in stage order.
    pub fn of_plans(plans: &[cdarts_space::HeadPlan], init: &Initialiser) -> Self {
        Self {
            heads: plans.iter().enumerate().map(|(k, p)| Head::new(p, false, &mut init.at(k))).collect(),
            stages: plans.iter().map(|plan| plan.stage).collect(),
        }
    }

    /// Reads a network's stages.
    pub fn forward(&self, features: Features) -> NetOutput {
        let read = |(head, &stage): (&Head, &usize)| head.forward(features.stages[stage].clone());
        NetOutput {
            stage_logits: self.heads.iter().zip(&self.stages).map(read).collect(),
            logits: features.logits.clone(),
        }
    }

    /// Number of heads.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there is none, as in a network of one stage.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }
}

/// How much each stage's logits and the final ones count in the distillation: softmax of one logit each, shared
/// by both networks (facts 1.1, "ensemble vector").
#[derive(Module, Debug)]
pub struct StageMixture {
    /// `[heads + 1]`
    logits: Param<Tensor<1>>,
}

impl StageMixture {
    /// A mixture over `heads` heads and the final logits; learned ones start in `[0, 0.333)` as published.
    pub fn new(heads: usize, learned: bool, init: &mut Initialiser) -> Self {
        let logits =
            if learned { init.positive([heads + 1], 0.333) } else { init.constant([heads + 1], 0.333) };
        Self { logits: if learned { logits } else { logits.set_require_grad(false) } }
    }

    /// The outputs one below the other, heads first, each times its share.
    ///
    /// # Shapes
    /// returns `[(heads + 1) · n, classes]`
    pub fn stack(&self, output: &NetOutput) -> Tensor<2> {
        Tensor::cat(self.weighted(output), 0)
    }

    /// The outputs' sum, each times its share.
    ///
    /// # Shapes
    /// returns `[n, classes]`
    pub fn sum(&self, output: &NetOutput) -> Tensor<2> {
        Tensor::stack::<3>(self.weighted(output), 0).sum_dim(0).squeeze_dim(0)
    }

    fn weighted(&self, output: &NetOutput) -> Vec<Tensor<2>> {
        let shares = softmax(self.logits.val(), 0);
        let all = output.stage_logits.iter().chain(std::iter::once(&output.logits));
        all.enumerate()
            .map(|(index, logits)| {
                logits.clone().mul(shares.clone().slice([index..index + 1]).reshape([1, 1]))
            })
            .collect()
    }
}

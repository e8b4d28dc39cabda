//! The search network: stages of mixed cells, shallow (facts 1.1, 3.4).

use burn::module::Module;
use cdarts_space::{NetworkPlan, StageGenotypes};

use crate::arch::{ArchWeights, Mixing};
use crate::cell::SearchCell;
use crate::conv::Linear;
use crate::evalnet::{EvalNet, EvalStage};
use crate::fused::State;
use crate::init::Initialiser;
use crate::laps::part;
use crate::output::Features;

/// The search network without its stem, which it shares with the evaluation network. Built from the evaluation
/// network's plan, it is the published "super layer pool" (facts 1.1).
#[derive(Module, Debug)]
pub struct Supernet {
    pub(crate) stages: Vec<SearchStage>,
    classifier: Linear,
}

/// The cells between two reductions.
#[derive(Module, Debug)]
pub(crate) struct SearchStage {
    pub(crate) cells: Vec<SearchCell>,
}

impl Supernet {
    /// The network of `plan`.
    pub fn new(plan: &NetworkPlan, init: &Initialiser) -> Self {
        let stage = |(index, stage): (usize, &cdarts_space::StagePlan)| {
            let init = init.at(index);
            SearchStage {
                cells: stage.cells.iter().enumerate().map(|(k, c)| SearchCell::new(c, &init.at(k))).collect(),
            }
        };
        Self {
            stages: plan.stages.iter().enumerate().map(stage).collect(),
            classifier: Linear::new(plan.classifier_in, plan.classes, &mut init.at(usize::MAX - 1)),
        }
    }

    /// # Shapes
    /// - `stem`: the stem's two states
    /// - returns the stages' last states and logits `[n, classes]`
    pub fn forward(&self, stem: [State; 2], arch: &ArchWeights) -> Features {
        self.forward_behind(&[], stem, arch)
    }

    /// As [`Self::forward`], with the first stages replaced by `settled` ones of the evaluation network: where stages
    /// are searched one after another (facts 1.3).
    pub fn forward_behind(&self, settled: &[EvalStage], stem: [State; 2], arch: &ArchWeights) -> Features {
        part("search network", || self.features(settled, stem, arch))
    }

    fn features(&self, settled: &[EvalStage], stem: [State; 2], arch: &ArchWeights) -> Features {
        let mixing = arch.mixing();
        let mut states = stem;
        let mut stages = Vec::with_capacity(self.stages.len());
        for (index, stage) in self.stages.iter().enumerate() {
            states = match settled.get(index) {
                Some(settled) => settled.forward(states, None),
                None => stage.forward(states, index, &mixing),
            };
            stages.push(states[1].clone());
        }
        let [_, last] = states;
        Features { logits: self.classifier.forward_pooled(last), stages }
    }

    /// The network's classifier.
    pub fn classifier(&self) -> &Linear {
        &self.classifier
    }

    /// The same, to be trained or replaced.
    pub fn classifier_mut(&mut self) -> &mut Linear {
        &mut self.classifier
    }

    /// The part of this network that `genotypes` keep, as a discrete network that shares its parameters: what one
    /// learns the other has (facts 1.9, "sample_archs").
    pub fn discrete(&self, genotypes: &StageGenotypes) -> EvalNet {
        let stage = |(index, stage): (usize, &SearchStage)| EvalStage {
            cells: stage.cells.iter().map(|cell| cell.discrete(genotypes.of(index))).collect(),
        };
        EvalNet::of_parts(self.stages.iter().enumerate().map(stage).collect(), self.classifier.clone())
    }
}

impl SearchStage {
    fn forward(&self, [mut two_back, mut one_back]: [State; 2], stage: usize, mixing: &Mixing) -> [State; 2] {
        for cell in &self.cells {
            let state = cell.forward(two_back, one_back.clone(), mixing.of(stage, cell.kind()));
            (two_back, one_back) = (one_back, state);
        }
        [two_back, one_back]
    }
}

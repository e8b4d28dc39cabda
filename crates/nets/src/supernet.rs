//! The search network: stages of mixed cells, shallow (facts 1.1, 3.4).

use burn::module::Module;
use cdarts_space::{CellKind, NetworkPlan};

use crate::arch::ArchWeights;
use crate::cell::SearchCell;
use crate::conv::Linear;
use crate::fused::State;
use crate::init::Initialiser;
use crate::output::Features;

/// The search network without its stem, which it shares with the evaluation network.
#[derive(Module, Debug)]
pub struct Supernet {
    stages: Vec<SearchStage>,
    classifier: Linear,
}

/// The cells between two reductions.
#[derive(Module, Debug)]
struct SearchStage {
    cells: Vec<SearchCell>,
    /// Which of the cells reduce.
    reduces: Vec<bool>,
}

impl Supernet {
    /// The network of `plan`.
    pub fn new(plan: &NetworkPlan, init: &Initialiser) -> Self {
        let stage = |(index, stage): (usize, &cdarts_space::StagePlan)| {
            let init = init.at(index);
            SearchStage {
                cells: stage.cells.iter().enumerate().map(|(k, c)| SearchCell::new(c, &init.at(k))).collect(),
                reduces: stage.cells.iter().map(|cell| cell.kind == CellKind::Reduction).collect(),
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
        let normal = arch.cell(CellKind::Normal).mixing();
        let reduce = arch.cell(CellKind::Reduction).mixing();
        let [mut two_back, mut one_back] = stem;
        let mut stages = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            for (cell, &reduces) in stage.cells.iter().zip(&stage.reduces) {
                let mixing = if reduces { &reduce } else { &normal };
                let state = cell.forward(two_back, one_back.clone(), mixing);
                (two_back, one_back) = (one_back, state);
            }
            stages.push(one_back.clone());
        }
        Features { logits: self.classifier.forward_pooled(one_back), stages }
    }
}

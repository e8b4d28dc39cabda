//! The search network: stages of mixed cells, shallow (facts 1.1, 3.4).

use burn::module::Module;
use cdarts_space::{Architecture, PlanView};

use crate::arch::{ArchWeights, Mixing};
use crate::cell::SearchCell;
use crate::conv::Linear;
use crate::evalnet::{EvalNet, EvalStage};
use crate::fused::State;
use crate::init::Initialiser;
use crate::laps::part;
use crate::nas_bench_201::{self, ResidualBlock};
use crate::output::Features;
use crate::running::without_statistics;

/// The search network without its stem, which it shares with the evaluation network. Built from the evaluation
/// network's plan, it is the published "super layer pool" (facts 1.1).
#[derive(Module, Debug)]
pub struct Supernet {
    pub(crate) stages: Vec<SearchStage>,
    classifier: Linear,
}

/// The cells between two reductions, of one space or the other.
#[derive(Module, Debug)]
pub(crate) struct SearchStage {
    pub(crate) cells: Vec<SearchCell>,
    pub(crate) nas_bench_201: Vec<nas_bench_201::SearchCell>,
    /// Behind the cells of NAS-Bench-201, but for the last stage.
    pub(crate) reduction: Option<ResidualBlock>,
}

impl Supernet {
    /// The network of `plan`.
    pub fn new<'a>(plan: impl Into<PlanView<'a>>, init: &Initialiser) -> Self {
        let plan = plan.into();
        let [inputs, classes] = plan.classifier();
        Self {
            stages: (0..plan.stages()).map(|stage| SearchStage::new(plan, stage, &init.at(stage))).collect(),
            classifier: Linear::new(inputs, classes, &mut init.at(usize::MAX - 1)),
        }
    }

    /// # Shapes
    /// - `stem`: the stem's two states
    /// - returns the stages' last states and logits `[n, classes]`
    pub fn forward(&self, stem: [State; 2], arch: &ArchWeights) -> Features {
        self.forward_behind(&[], stem, &arch.mixing())
    }

    /// As [`Self::forward`], with the first stages replaced by `settled` ones of the evaluation network: where stages
    /// are searched one after another (facts 1.3).
    pub fn forward_behind(&self, settled: &[EvalStage], stem: [State; 2], mixing: &Mixing) -> Features {
        part("search network", || self.features(settled, stem, mixing))
    }

    fn features(&self, settled: &[EvalStage], stem: [State; 2], mixing: &Mixing) -> Features {
        let mut states = stem;
        let mut stages = Vec::with_capacity(self.stages.len());
        for (index, stage) in self.stages.iter().enumerate() {
            states = match settled.get(index) {
                Some(settled) => settled.forward(states, None),
                None => stage.forward(states, index, mixing),
            };
            stages.push(states[1].clone());
        }
        let [_, last] = states;
        Features { logits: self.classifier.forward_pooled(last), stages }
    }

    /// The same network, sharing all parameters and statistics, of whose stages no parameter asks for a gradient: for
    /// steps of the architecture weights.
    pub fn with_frozen_cells(&self) -> Self {
        let stages = without_statistics(|| self.stages.clone().no_grad());
        Self { stages, classifier: self.classifier.clone() }
    }

    /// The network's classifier.
    pub fn classifier(&self) -> &Linear {
        &self.classifier
    }

    /// The same, to be trained or replaced.
    pub fn classifier_mut(&mut self) -> &mut Linear {
        &mut self.classifier
    }

    /// The part of this network that `architecture` keeps, as a discrete network that shares its parameters: what one
    /// learns the other has (facts 1.9, "sample_archs"). Cells of another space than the network's are left out.
    pub fn discrete(&self, architecture: &Architecture) -> EvalNet {
        let stages = self.stages.iter().enumerate();
        EvalNet::of_parts(
            stages.map(|(index, stage)| stage.discrete(index, architecture)).collect(),
            self.classifier.clone(),
        )
    }
}

impl SearchStage {
    fn new(plan: PlanView<'_>, stage: usize, init: &Initialiser) -> Self {
        match plan {
            PlanView::Darts(plan) => {
                let cells = plan.stages[stage].cells.iter().enumerate();
                let cells = cells.map(|(k, cell)| SearchCell::new(cell, &init.at(k))).collect();
                Self { cells, nas_bench_201: Vec::new(), reduction: None }
            }
            PlanView::NasBench201(plan) => {
                let stage = &plan.stages[stage];
                let cells = stage.cells.iter().enumerate();
                Self {
                    cells: Vec::new(),
                    nas_bench_201: cells
                        .map(|(k, cell)| nas_bench_201::SearchCell::new(cell, &init.at(k)))
                        .collect(),
                    reduction: stage
                        .reduction
                        .as_ref()
                        .map(|block| ResidualBlock::new(block, &init.at(stage.cells.len()))),
                }
            }
        }
    }

    fn discrete(&self, stage: usize, architecture: &Architecture) -> EvalStage {
        let darts = architecture.as_darts().map(|genotypes| genotypes.of(stage));
        let nas_bench_201 = architecture.as_nas_bench_201();
        EvalStage {
            cells: darts.map_or_else(Vec::new, |g| self.cells.iter().map(|cell| cell.discrete(g)).collect()),
            nas_bench_201: nas_bench_201
                .map_or_else(Vec::new, |g| self.nas_bench_201.iter().map(|cell| cell.discrete(g)).collect()),
            reduction: self.reduction.clone(),
        }
    }

    fn forward(&self, [mut two_back, mut one_back]: [State; 2], stage: usize, mixing: &Mixing) -> [State; 2] {
        for cell in &self.cells {
            let state = cell.forward(two_back, one_back.clone(), mixing.of(stage, cell.kind()));
            (two_back, one_back) = (one_back, state);
        }
        for cell in &self.nas_bench_201 {
            one_back = cell.forward(one_back, mixing.nas_bench_201());
        }
        if let Some(reduction) = &self.reduction {
            one_back = reduction.forward(one_back);
        }
        [two_back, one_back]
    }
}

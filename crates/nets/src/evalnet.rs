//! The evaluation network: stages of discrete cells, deep (facts 1.1, 3.4); and the network that is trained
//! from scratch after the search, which is the same with its own stem and an auxiliary head.

use burn::module::Module;
use burn::tensor::Tensor;
use cdarts_space::{Genotype, NetworkPlan};

use crate::cell::{DropPath, EvalCell};
use crate::conv::Linear;
use crate::fused::State;
use crate::head::Head;
use crate::init::Initialiser;
use crate::output::Features;
use crate::stem::Stem;

/// The evaluation network without its stem, which it shares with the search network.
#[derive(Module, Debug)]
pub struct EvalNet {
    pub(crate) stages: Vec<EvalStage>,
    classifier: Linear,
}

/// The cells between two reductions.
#[derive(Module, Debug)]
pub(crate) struct EvalStage {
    pub(crate) cells: Vec<EvalCell>,
}

impl EvalNet {
    /// The network of `plan` with the cells of `genotype`; `affine` is for the cells' batch norms.
    pub fn new(plan: &NetworkPlan, genotype: &Genotype, affine: bool, init: &Initialiser) -> Self {
        let stage = |(index, stage): (usize, &cdarts_space::StagePlan)| {
            let init = init.at(index);
            let cell = |(k, cell): (usize, &cdarts_space::CellPlan)| {
                EvalCell::new(cell, genotype.cell(cell.kind), affine, &init.at(k))
            };
            EvalStage { cells: stage.cells.iter().enumerate().map(cell).collect() }
        };
        Self {
            stages: plan.stages.iter().enumerate().map(stage).collect(),
            classifier: Linear::new(plan.classifier_in, plan.classes, &mut init.at(usize::MAX - 1)),
        }
    }

    /// The same network with the classifier of `other`: the classifier lives on when the cells are rebuilt
    /// (facts 1.6).
    pub fn with_classifier_of(self, other: EvalNet) -> Self {
        Self { classifier: other.classifier, ..self }
    }

    /// # Shapes
    /// - `stem`: the stem's two states
    /// - returns the stages' last states and logits `[n, classes]`
    pub fn forward(&self, stem: [State; 2], mut drop_path: Option<&mut DropPath>) -> Features {
        let [mut two_back, mut one_back] = stem;
        let mut stages = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            for cell in &stage.cells {
                let state = cell.forward(two_back, one_back.clone(), drop_path.as_deref_mut());
                (two_back, one_back) = (one_back, state);
            }
            stages.push(one_back.clone());
        }
        Features { logits: self.classifier.forward_pooled(one_back), stages }
    }
}

/// The network that a search hands over: stem, discrete cells with affine norms, classifier, and an auxiliary
/// head that is used in training only.
#[derive(Module, Debug)]
pub struct FoundNet {
    stem: Stem,
    cells: EvalNet,
    auxiliary: Option<Head>,
}

/// What the found network says in training.
#[derive(Debug)]
pub struct FoundOutput {
    /// `[n, classes]`
    pub logits: Tensor<2>,
    /// `[n, classes]`, where there is an auxiliary head.
    pub auxiliary: Option<Tensor<2>>,
}

impl FoundNet {
    /// The network of `plan` with the cells of `genotype`, freshly initialised.
    pub fn new(plan: &NetworkPlan, genotype: &Genotype, auxiliary: bool, init: &Initialiser) -> Self {
        let head = auxiliary.then(|| plan.auxiliary_head()).flatten();
        Self {
            stem: Stem::new(&plan.stem, &mut init.at(0)),
            cells: EvalNet::new(plan, genotype, true, &init.at(1)),
            auxiliary: head.map(|head| Head::new(&head, true, &mut init.at(2))),
        }
    }

    /// # Shapes
    /// `[n, channels, h, w]` → `[n, classes]`
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.cells.forward(self.stem.forward(images), None).logits
    }

    /// As [`Self::forward`], with drop path and the auxiliary head.
    pub fn forward_training(&self, images: Tensor<4>, drop_path: &mut DropPath) -> FoundOutput {
        let Features { logits, mut stages } = self.cells.forward(self.stem.forward(images), Some(drop_path));
        let auxiliary =
            self.auxiliary.as_ref().map(|head| head.forward(stages.swap_remove(stages.len() - 2).plain()));
        FoundOutput { logits, auxiliary }
    }

    /// The network as it is used: the auxiliary head serves training only.
    pub fn without_auxiliary(self) -> Self {
        Self { auxiliary: None, ..self }
    }

    /// Number of parameters without the auxiliary head, which is how the field counts (facts 3.6).
    pub fn params(&self) -> usize {
        crate::params::count(&self.stem) + crate::params::count(&self.cells)
    }
}

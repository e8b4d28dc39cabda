//! The evaluation network: stages of discrete cells, deep (facts 1.1, 3.4); and the network that is trained
//! from scratch after the search, which is the same with its own stem and an auxiliary head.

use burn::module::Module;
use burn::tensor::Tensor;
use cdarts_space::{Architecture, PlanView};

use crate::cell::{DropPath, EvalCell};
use crate::conv::Linear;
use crate::fused::State;
use crate::head::Head;
use crate::init::Initialiser;
use crate::laps::part;
use crate::nas_bench_201::{self, ResidualBlock};
use crate::output::Features;
use crate::stem::Stem;

/// The evaluation network without its stem, which it shares with the search network.
#[derive(Module, Debug)]
pub struct EvalNet {
    pub(crate) stages: Vec<EvalStage>,
    classifier: Linear,
}

/// The cells between two reductions, of one space or the other.
#[derive(Module, Debug)]
pub struct EvalStage {
    pub(crate) cells: Vec<EvalCell>,
    pub(crate) nas_bench_201: Vec<nas_bench_201::EvalCell>,
    /// Behind the cells of NAS-Bench-201, but for the last stage.
    pub(crate) reduction: Option<ResidualBlock>,
}

impl EvalNet {
    /// The network of `plan` with the cells of `architecture`; `affine` is for the cells' batch norms.
    ///
    /// # Panics
    /// Where [`SkeletonPlan::check`](cdarts_space::SkeletonPlan::check) refuses the two together.
    pub fn new<'a>(
        plan: impl Into<PlanView<'a>>,
        architecture: impl Into<Architecture>,
        affine: bool,
        init: &Initialiser,
    ) -> Self {
        let (plan, architecture) = (plan.into(), architecture.into());
        let stage = |index: usize| EvalStage::new(plan, &architecture, index, affine, &init.at(index));
        let [inputs, classes] = plan.classifier();
        Self {
            stages: (0..plan.stages()).map(stage).collect(),
            classifier: Linear::new(inputs, classes, &mut init.at(usize::MAX - 1)),
        }
    }

    /// The same network with the classifier of `other`: the classifier lives on when the cells are rebuilt
    /// (facts 1.6).
    pub fn with_classifier_of(self, other: EvalNet) -> Self {
        Self { classifier: other.classifier, ..self }
    }

    /// The network's classifier.
    pub fn classifier(&self) -> &Linear {
        &self.classifier
    }

    pub(crate) fn of_parts(stages: Vec<EvalStage>, classifier: Linear) -> Self {
        Self { stages, classifier }
    }

    /// The same network with its classifier frozen, because another one speaks for it.
    pub fn with_frozen_classifier(self) -> Self {
        Self { classifier: self.classifier.no_grad(), ..self }
    }

    /// # Shapes
    /// - `stem`: the stem's two states
    /// - returns the stages' last states and logits `[n, classes]`
    pub fn forward(&self, stem: [State; 2], drop_path: Option<&mut DropPath>) -> Features {
        self.forward_to(&self.classifier, stem, drop_path)
    }

    /// As [`Self::forward`], read by another network's classifier.
    pub fn forward_to(
        &self,
        classifier: &Linear,
        stem: [State; 2],
        drop_path: Option<&mut DropPath>,
    ) -> Features {
        part("evaluation network", || self.features(classifier, stem, drop_path))
    }

    fn features(
        &self,
        classifier: &Linear,
        stem: [State; 2],
        mut drop_path: Option<&mut DropPath>,
    ) -> Features {
        let mut states = stem;
        let mut stages = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            states = stage.forward(states, drop_path.as_deref_mut());
            stages.push(states[1].clone());
        }
        let [_, last] = states;
        Features { logits: classifier.forward_pooled(last), stages }
    }

    /// The stages, in order.
    pub fn stages(&self) -> &[EvalStage] {
        &self.stages
    }

    /// The same, to be trained.
    pub fn stages_mut(&mut self) -> &mut [EvalStage] {
        &mut self.stages
    }

    /// The classifier, to be trained.
    pub fn classifier_mut(&mut self) -> &mut Linear {
        &mut self.classifier
    }
}

impl EvalStage {
    fn new(
        plan: PlanView<'_>,
        architecture: &Architecture,
        stage: usize,
        affine: bool,
        init: &Initialiser,
    ) -> Self {
        match (plan, architecture) {
            (PlanView::Darts(plan), Architecture::Darts(genotypes)) => {
                let genotype = genotypes.of(stage);
                let cells = plan.stages[stage].cells.iter().enumerate();
                let cells = cells
                    .map(|(k, cell)| EvalCell::new(cell, genotype.cell(cell.kind), affine, &init.at(k)))
                    .collect();
                Self { cells, nas_bench_201: Vec::new(), reduction: None }
            }
            (PlanView::NasBench201(plan), Architecture::NasBench201(genotype)) => {
                let stage = &plan.stages[stage];
                let cells = stage.cells.iter().enumerate();
                let cell = |(k, cell)| nas_bench_201::EvalCell::new(cell, genotype, affine, &init.at(k));
                let block = |block| ResidualBlock::new(block, &init.at(stage.cells.len()));
                Self {
                    cells: Vec::new(),
                    nas_bench_201: cells.map(cell).collect(),
                    reduction: stage.reduction.as_ref().map(block),
                }
            }
            _ => panic!("cells of {} in a network of another search space", architecture.space()),
        }
    }

    /// # Shapes
    /// the outputs of the two cells before the stage → those of its last two cells, older one first
    pub fn forward(
        &self,
        [mut two_back, mut one_back]: [State; 2],
        mut drop_path: Option<&mut DropPath>,
    ) -> [State; 2] {
        for cell in &self.cells {
            let state = cell.forward(two_back, one_back.clone(), drop_path.as_deref_mut());
            (two_back, one_back) = (one_back, state);
        }
        for cell in &self.nas_bench_201 {
            one_back = cell.forward(one_back, drop_path.as_deref_mut());
        }
        if let Some(reduction) = &self.reduction {
            one_back = reduction.forward(one_back);
        }
        [two_back, one_back]
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
    /// The network of `plan` with the cells of `architecture`, freshly initialised.
    ///
    /// # Panics
    /// As [`EvalNet::new`].
    pub fn new<'a>(
        plan: impl Into<PlanView<'a>>,
        architecture: impl Into<Architecture>,
        auxiliary: bool,
        init: &Initialiser,
    ) -> Self {
        let plan = plan.into();
        let head = auxiliary.then(|| plan.auxiliary_head()).flatten();
        Self {
            stem: Stem::of(plan, &mut init.at(0)),
            cells: EvalNet::new(plan, architecture, true, &init.at(1)),
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
            self.auxiliary.as_ref().map(|head| head.forward(stages.swap_remove(stages.len() - 2)));
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

//! The networks and images that are checked, and every loss term at them.

use std::fmt;

use burn::tensor::{DType, Device, Tensor};
use cdarts_data::ImageBatch;
use cdarts_nets::Features;
use cdarts_nets::params::in_double_precision;
use cdarts_space::{Genotype, ImageShape, SpaceError};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::Path;
use super::groups::{self, Direction, Group, Slot, Values, host, shifted};
use crate::config::{Config, Distance, SearchConfig};
use crate::networks::{Batch, SearchNets};
use crate::objective::{JointLoss, distance};

const IMAGE: ImageShape = ImageShape { channels: 2, height: 8, width: 8 };
const CLASSES: usize = 3;
const IMAGES: usize = 6;
/// Cells of the evaluation network.
const EVERY_OPERATION: &str = "Genotype(\
    normal=[[('sep_conv_3x3', 0), ('max_pool_3x3', 1)], [('dil_conv_5x5', 0), ('skip_connect', 2)], \
            [('avg_pool_3x3', 1), ('sep_conv_5x5', 3)], [('dil_conv_3x3', 2), ('sep_conv_3x3', 4)]], \
    normal_concat=range(2, 6), \
    reduce=[[('skip_connect', 0), ('sep_conv_5x5', 1)], [('max_pool_3x3', 0), ('dil_conv_3x3', 2)], \
            [('avg_pool_3x3', 1), ('dil_conv_5x5', 0)], [('sep_conv_3x3', 1), ('skip_connect', 3)]], \
    reduce_concat=range(2, 6))";
/// What the classifiers' parameters are multiplied by. As they begin, both networks say nearly the same, and no difference
/// reaches the linear branch of the smooth-L1 distance.
const CONFIDENCE: f64 = 12.0;
/// Weight of the penalty.
const PENALTY: f64 = 0.7;

/// What is differentiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Term {
    /// Cross entropy of the search network.
    SearchLabels,
    /// Cross entropy of the evaluation network.
    EvalLabels,
    /// Distillation by Kullback-Leibler divergence.
    Kl,
    /// Distillation by cosine.
    Cosine,
    /// Distillation by squared difference.
    Mse,
    /// Distillation by Huber distance.
    SmoothL1,
    /// The L1 penalty.
    Penalty,
    /// The weighted total of a joint step.
    Total,
    /// The Hessian-vector product of second-order DARTS.
    HessianVector,
    /// The whole gradient of second-order DARTS.
    SecondOrder,
}

impl Term {
    /// The terms of a joint step.
    pub(super) const LOSSES: [Self; 8] = [
        Self::SearchLabels,
        Self::EvalLabels,
        Self::Kl,
        Self::Cosine,
        Self::Mse,
        Self::SmoothL1,
        Self::Penalty,
        Self::Total,
    ];
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::SearchLabels => "labels, search network",
            Self::EvalLabels => "labels, evaluation network",
            Self::Kl => "distance kl",
            Self::Cosine => "distance cosine",
            Self::Mse => "distance mse",
            Self::SmoothL1 => "distance smooth-l1",
            Self::Penalty => "penalty",
            Self::Total => "weighted total",
            Self::HessianVector => "Hessian-vector product",
            Self::SecondOrder => "DARTS, second order",
        })
    }
}

/// Networks and images.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub nets: SearchNets,
    pub batch: Batch,
}

impl Point {
    /// Networks and images of `seed` in the precision of `path`, and which parameters they have.
    pub fn new(path: Path, config: &Config, seed: u64) -> Result<(Self, Vec<Slot>), SpaceError> {
        let device = Device::flex().autodiff();
        let [search, eval] =
            [config.search_spec(IMAGE, CLASSES).plan()?, config.eval_spec(IMAGE, CLASSES).plan()?];
        let mut nets = SearchNets::new(config, &search, seed, &device);
        let genotype: Genotype = EVERY_OPERATION.parse()?;
        nets.build_evalnet(config, &eval, &genotype, seed, &device);
        let batch = batch(path, seed);
        let mut slots = groups::slots(&nets, [&search, &eval]);
        slots.push(Slot { group: Group::Images, len: batch.images.dims().iter().product() });
        let nets = groups::scaled(&nets, &slots, Group::Classifiers, CONFIDENCE);
        let nets = if path == Path::Stock { wide(nets) } else { nets };
        Ok((Self { nets, batch }, slots))
    }

    /// Moved by `step` along a direction.
    pub fn moved(&self, direction: &Direction, step: f64) -> Self {
        let mut moved = self.clone();
        moved.nets = groups::moved(&self.nets, direction, step);
        if let Some(Some(direction)) = direction.last() {
            moved.batch.images = shifted(moved.batch.images, direction, step);
        }
        moved
    }

    /// Every term, in the order of [`Term::LOSSES`].
    pub fn losses(&self, config: &Config) -> Vec<f64> {
        self.terms(config).map_or_else(Vec::new, |terms| terms.into_iter().map(scalar).collect())
    }

    /// The gradient of a term, and its value.
    pub fn gradient(&self, term: usize, config: &Config) -> Option<(f64, Values)> {
        let mut point = self.clone();
        // A tensor of its own: the graph of the gradient before ended at the last one.
        point.batch.images = Tensor::from_inner(point.batch.images.inner()).require_grad();
        let term = point.terms(config)?.swap_remove(term);
        let grads = term.backward();
        let mut gradient = groups::gradients(&point.nets, &grads);
        let images = &point.batch.images;
        let none = || vec![0.0; images.dims().iter().product()];
        gradient.push(images.grad(&grads).map_or_else(none, host));
        Some((scalar(term), gradient))
    }

    /// How many differences between what both networks say are below 1, and how many are not.
    pub fn smooth_l1_branches(&self, config: &Config) -> [usize; 2] {
        let Some((search, eval)) = self.features() else { return [0, 0] };
        let [search, eval] = [search, eval].map(|features| host(self.said(features, config)));
        let linear = search.iter().zip(&eval).filter(|(search, eval)| (*search - *eval).abs() >= 1.0).count();
        [search.len() - linear, linear]
    }

    fn features(&self) -> Option<(Features, Features)> {
        let stem = self.nets.stem.forward(self.batch.images.clone());
        let search = self.nets.search_features(stem.clone());
        Some((search, self.nets.eval_features(stem)?))
    }

    /// What a network says, as the distances take it.
    fn said(&self, features: Features, config: &Config) -> Tensor<2> {
        self.nets.ensemble(&self.nets.heads.forward(features), config)
    }

    fn terms(&self, config: &Config) -> Option<Vec<Tensor<1>>> {
        let (search, eval) = self.features()?;
        let [said_search, said_eval] = [&search, &eval].map(|features| self.said(features.clone(), config));
        let distances = [Distance::Kl, Distance::Cosine, Distance::Mse, Distance::SmoothL1].map(|kind| {
            let config = SearchConfig { distance: kind, ..config.search.clone() };
            distance(said_search.clone(), said_eval.clone(), &config)
        });
        let JointLoss { arch_classify, eval_classify, penalty, total, .. } =
            JointLoss::new(&self.nets, search, eval, &self.batch.labels, PENALTY, config);
        let labels = [arch_classify, eval_classify];
        Some(labels.into_iter().chain(distances).chain(penalty).chain([total]).collect())
    }
}

fn wide(nets: SearchNets) -> SearchNets {
    let mut nets = nets;
    nets.stem = in_double_precision(nets.stem);
    nets.supernet = in_double_precision(nets.supernet);
    nets.evalnet = nets.evalnet.map(in_double_precision);
    nets.heads = in_double_precision(nets.heads);
    nets.mixture = in_double_precision(nets.mixture);
    nets.arch = in_double_precision(nets.arch);
    nets
}

/// Images without structure, so that no two pixels of a window are the same.
pub(super) fn batch(path: Path, seed: u64) -> Batch {
    let device = Device::flex().autodiff();
    let ImageShape { channels, height, width } = IMAGE;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let pixels = (0..IMAGES * channels * height * width).map(|_| rng.random_range(-2.0..2.0)).collect();
    let labels = (0..IMAGES).map(|image| (image % CLASSES) as i64).collect();
    let shape = [IMAGES, channels, height, width];
    let batch = Batch::new(ImageBatch { pixels, shape, labels, mixed: None }, &device);
    match path {
        Path::Fused => batch,
        Path::Stock => {
            Batch { images: Tensor::from_data(batch.images.to_data(), (&device, DType::F64)), ..batch }
        }
    }
}

pub(super) fn scalar(term: Tensor<1>) -> f64 {
    term.into_scalar()
}

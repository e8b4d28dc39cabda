//! Parameters and multiply-adds of a network, layer by layer (facts 3.1 to 3.6).
//!
//! Multiply-adds are those of convolutions and linear layers for one image. Batch norm, activations, pooling
//! and sums are not counted, as is usual in published figures.

use serde::{Deserialize, Serialize};

use crate::plan::halved;
use crate::{CellPlan, Edge, Genotype, HeadPlan, NODES, NetworkPlan, Op, SpaceError, Stem, edge_index};

/// Of a value in single precision.
const BYTES: u64 = 4;

/// What a network costs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Trainable parameters, architecture weights not counted.
    pub params: u64,
    /// Multiply-adds for one image.
    pub macs: u64,
    /// Bytes of the layers' outputs for one image in single precision, all of them together. Kept for the backward pass
    /// they are a lower bound of the memory a training step needs: inner results of an operation come on top.
    pub activation_bytes: u64,
    /// The parts, in the order they run.
    pub layers: Vec<LayerCost>,
}

/// What one layer costs. A candidate operation counts as one layer, whatever it is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerCost {
    /// Where it is: `stem.conv0`, `stages.0.cells.1.edges.4.sep_conv_3x3`, `classifier`, …
    pub name: String,
    /// Trainable parameters.
    pub params: u64,
    /// Multiply-adds for one image.
    pub macs: u64,
    /// Bytes of its output for one image in single precision.
    pub activation_bytes: u64,
    /// Channels, height and width of its output.
    pub out: [usize; 3],
}

impl Cost {
    /// Values that the layers put out for one image, added up.
    pub fn output_values(&self) -> u64 {
        self.activation_bytes / BYTES
    }

    pub(crate) fn push(&mut self, name: String, work: Work, out: [usize; 3]) {
        self.params = self.params.saturating_add(work.params);
        self.macs = self.macs.saturating_add(work.macs);
        let activation_bytes = product(&out).saturating_mul(BYTES);
        self.activation_bytes = self.activation_bytes.saturating_add(activation_bytes);
        self.layers.push(LayerCost { name, params: work.params, macs: work.macs, activation_bytes, out });
    }
}

/// Cost of the search network: every operation on every edge, batch norm without scale and shift in the
/// cells; with stem and classifier, without distillation heads.
pub fn search_network(plan: &NetworkPlan) -> Cost {
    let mut cost = Cost::default();
    stem(&mut cost, plan);
    candidates(&mut cost, plan);
    classifier(&mut cost, plan);
    cost
}

/// Cost of one cell of the search network.
pub fn search_cell(cell: &CellPlan) -> Cost {
    let mut cost = Cost::default();
    mixed_cell(&mut cost, "cell", cell);
    cost
}

/// Cost of an operation by itself, its batch norms without scale and shift; `size` is that of the output.
pub fn single_operation(op: Op, channels: usize, size: [usize; 2], strided: bool) -> Cost {
    let mut cost = Cost::default();
    let [height, width] = size;
    cost.push(op.to_string(), op_work(op, channels, size, strided, false), [channels, height, width]);
    cost
}

/// Cost of a dense convolution that keeps the size, with an affine norm.
pub fn dense_convolution(channels: usize, kernel: usize, size: [usize; 2]) -> Cost {
    let mut cost = Cost::default();
    let work = conv(channels, channels, [kernel, kernel], size).with_norm(channels, true);
    cost.push(format!("conv_{kernel}x{kernel}"), work, [channels, size[0], size[1]]);
    cost
}

/// Cost of the network that `genotypes` (one for all stages, or one for each) describe, with stem and
/// classifier, without auxiliary head. `affine` says whether the cells' batch norms have scale and shift: no
/// during the search, yes when retrained.
///
/// # Errors
///
/// [`SpaceError::GenotypeCount`] for another number of genotypes; what [`Genotype::validate`] finds.
pub fn evaluation_network(
    plan: &NetworkPlan,
    genotypes: &[Genotype],
    affine: bool,
) -> Result<Cost, SpaceError> {
    let stages = plan.stages.len();
    if genotypes.is_empty() || (genotypes.len() != 1 && genotypes.len() != stages) {
        return Err(SpaceError::GenotypeCount { expected: stages, found: genotypes.len() });
    }
    genotypes.iter().try_for_each(Genotype::validate)?;
    let mut cost = Cost::default();
    stem(&mut cost, plan);
    for (s, stage) in plan.stages.iter().enumerate() {
        let genotype = &genotypes[if genotypes.len() == 1 { 0 } else { s }];
        for (c, cell) in stage.cells.iter().enumerate() {
            let at = format!("stages.{s}.cells.{c}");
            preprocessing(&mut cost, &at, cell, affine);
            for (node, edge) in genotype.cell(cell.kind).edges() {
                operation(&mut cost, &at, cell, node, edge, affine);
            }
        }
    }
    classifier(&mut cost, plan);
    Ok(cost)
}

/// Cost of a distillation or auxiliary head.
pub fn head(plan: &HeadPlan) -> Cost {
    let mut cost = Cost::default();
    let [height, width] = plan.pooled_size();
    let conv1 =
        conv(plan.in_channels, plan.hidden, [1, 1], plan.pooled_size()).with_norm(plan.hidden, plan.affine);
    cost.push("conv1".to_owned(), conv1, [plan.hidden, height, width]);
    let [height, width] = plan.feature_size();
    let conv2 = conv(plan.hidden, plan.features, plan.conv_kernel, plan.feature_size())
        .with_norm(plan.features, plan.affine && plan.norm_after_conv);
    cost.push("conv2".to_owned(), conv2, [plan.features, height, width]);
    cost.push("classifier".to_owned(), linear(plan.features, plan.classes), [plan.classes, 1, 1]);
    cost
}

/// Parameters of a weight bank in which every slot is filled: all candidate operations and pre-processings
/// at the depth of the evaluation network, no stem, no classifier. A bank is never run, so it costs no
/// multiply-adds.
pub fn weight_bank(plan: &NetworkPlan) -> Cost {
    let mut cost = Cost::default();
    candidates(&mut cost, plan);
    cost.macs = 0;
    cost.layers.iter_mut().for_each(|layer| layer.macs = 0);
    cost
}

fn candidates(cost: &mut Cost, plan: &NetworkPlan) {
    for (s, stage) in plan.stages.iter().enumerate() {
        for (c, cell) in stage.cells.iter().enumerate() {
            mixed_cell(cost, &format!("stages.{s}.cells.{c}"), cell);
        }
    }
}

fn mixed_cell(cost: &mut Cost, at: &str, cell: &CellPlan) {
    preprocessing(cost, at, cell, false);
    for node in 0..NODES {
        for source in 0..node + 2 {
            for op in Op::ALL {
                operation(cost, at, cell, node, Edge { op, source }, false);
            }
        }
    }
}

fn stem(cost: &mut Cost, plan: &NetworkPlan) {
    let stem = &plan.stem;
    let (colours, channels) = (stem.in_channels, stem.out_channels);
    let layers: &[(usize, usize, usize, [usize; 2])] = match stem.kind {
        Stem::Cifar => &[(colours, channels, 3, stem.size_s1)],
        Stem::Imagenet => &[
            (colours, channels / 2, 3, halved(stem.image_size)),
            (channels / 2, channels, 3, stem.size_s0),
            (channels, channels, 3, stem.size_s1),
        ],
        Stem::ResNet => &[(colours, channels, 7, halved(stem.image_size))],
    };
    for (i, &(from, to, kernel, size)) in layers.iter().enumerate() {
        let work = conv(from, to, [kernel, kernel], size).with_norm(to, true);
        cost.push(format!("stem.conv{i}"), work, [to, size[0], size[1]]);
    }
}

fn classifier(cost: &mut Cost, plan: &NetworkPlan) {
    let work = linear(plan.classifier_in, plan.classes);
    cost.push("classifier".to_owned(), work, [plan.classes, 1, 1]);
}

/// A 1x1 convolution of each input to the cell's channels; a factorised reduction has the same counts.
fn preprocessing(cost: &mut Cost, at: &str, cell: &CellPlan, affine: bool) {
    let [height, width] = cell.size_one_back;
    for (i, from) in [cell.channels_two_back, cell.channels_one_back].into_iter().enumerate() {
        let work = conv(from, cell.channels, [1, 1], cell.size_one_back).with_norm(cell.channels, affine);
        cost.push(format!("{at}.preproc{i}"), work, [cell.channels, height, width]);
    }
}

fn operation(cost: &mut Cost, at: &str, cell: &CellPlan, node: usize, edge: Edge, affine: bool) {
    let strided = cell.kind.stride(edge.source) == 2;
    let work = op_work(edge.op, cell.channels, cell.out_size, strided, affine);
    let [height, width] = cell.out_size;
    let name = format!("{at}.edges.{}.{}", edge_index(node, edge.source), edge.op);
    cost.push(name, work, [cell.channels, height, width]);
}

/// `size` is that of the output.
fn op_work(op: Op, channels: usize, size: [usize; 2], strided: bool, affine: bool) -> Work {
    let separable = |kernel: usize, blocks: u64| {
        let depthwise = conv(1, channels, [kernel, kernel], size);
        let pointwise = conv(channels, channels, [1, 1], size);
        depthwise.plus(pointwise).with_norm(channels, affine).times(blocks)
    };
    match op {
        Op::SkipConnect if strided => conv(channels, channels, [1, 1], size).with_norm(channels, affine),
        Op::MaxPool3x3 | Op::AvgPool3x3 | Op::SkipConnect | Op::None => Work::default(),
        Op::SepConv3x3 => separable(3, 2),
        Op::SepConv5x5 => separable(5, 2),
        Op::DilConv3x3 => separable(3, 1),
        Op::DilConv5x5 => separable(5, 1),
    }
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Work {
    params: u64,
    macs: u64,
}

impl Work {
    fn plus(self, other: Work) -> Work {
        Work { params: self.params.saturating_add(other.params), macs: self.macs.saturating_add(other.macs) }
    }

    fn times(self, factor: u64) -> Work {
        Work { params: self.params.saturating_mul(factor), macs: self.macs.saturating_mul(factor) }
    }

    pub(crate) fn with_norm(self, channels: usize, affine: bool) -> Work {
        let params = if affine { 2 * channels as u64 } else { 0 };
        self.plus(Work { params, macs: 0 })
    }
}

/// A convolution without bias; `from` are the input channels that one output channel sees.
pub(crate) fn conv(from: usize, to: usize, kernel: [usize; 2], out_size: [usize; 2]) -> Work {
    let params = product(&[from, to, kernel[0], kernel[1]]);
    Work { params, macs: params.saturating_mul(product(&out_size)) }
}

pub(crate) fn linear(from: usize, to: usize) -> Work {
    let macs = product(&[from, to]);
    Work { params: macs.saturating_add(to as u64), macs }
}

/// Saturating: a plan may describe a network far too large to build, and its cost should say so.
fn product(factors: &[usize]) -> u64 {
    factors.iter().fold(1, |product: u64, &factor| product.saturating_mul(factor as u64))
}

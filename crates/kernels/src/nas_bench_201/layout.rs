//! Everything about a cell that does not depend on the batch: which convolutions leave which node, and where packed
//! weights, planes and sums lie.

use rayon::prelude::*;

use super::plan::{CellPlan, NODES, Path};
use crate::block::window;
use crate::blocked::{Channels, LANES};
use crate::dense::{PAIR, Reads};
use crate::depthwise::Padded;
use crate::plan::Weight;
use crate::pool::box_scratch;
use crate::workspace::{Buffer, Workspace};

/// The convolutions of one kernel that leave one node: one dense product.
#[derive(Debug)]
pub(super) struct Bundle {
    /// Index of each path, its weight and its norm.
    pub paths: Vec<(usize, Weight, usize)>,
    pub pairs: usize,
    /// First pair among the node's planes of gradients.
    pub first_pair: usize,
    pub reads: Reads,
    /// Position among packed weights, and among their gradients.
    pub at: usize,
}

/// All convolutions that leave one node.
#[derive(Debug)]
pub(super) struct Fan {
    pub bundles: Vec<Bundle>,
    /// Reads of the gradient of the node's activated planes from the planes of gradients.
    pub back: Reads,
    /// Position among the packed weights of the way back.
    pub back_at: usize,
}

impl Fan {
    /// Planes of pairs that hold the gradients of all raw outputs.
    pub fn pairs(&self) -> usize {
        self.bundles.iter().map(|bundle| bundle.pairs).sum()
    }
}

pub(super) struct Layout<'p> {
    pub plan: &'p CellPlan,
    pub channels: Channels,
    /// By node; nothing leaves the last one.
    pub fans: Vec<Fan>,
    pub packed_len: usize,
    pub packed_back_len: usize,
}

impl<'p> Layout<'p> {
    pub fn new(plan: &'p CellPlan) -> Self {
        let channels = Channels::new(plan.channels());
        let mut layout = Self { plan, channels, fans: vec![], packed_len: 0, packed_back_len: 0 };
        for state in 0..NODES - 1 {
            let fan = layout.fan(state);
            layout.fans.push(fan);
        }
        layout
    }

    fn fan(&mut self, state: usize) -> Fan {
        let mut bundles: Vec<Bundle> = vec![];
        let mut back = Reads { offsets: vec![], lanes: PAIR };
        for kernel in [3, 1] {
            let leaving = self.plan.paths().iter().enumerate().filter(|(_, path)| path.source == state);
            let paths: Vec<_> = leaving
                .filter(|(_, path)| path.op.kernel() == Some(kernel))
                .filter_map(|(index, path)| path.conv.map(|(weight, norm)| (index, weight, norm)))
                .collect();
            if !paths.is_empty() {
                let first_pair = bundles.iter().map(|bundle| bundle.pairs).sum();
                bundles.push(self.bundle(kernel, paths, first_pair, &mut back));
            }
        }
        let fan = Fan { bundles, back_at: self.packed_back_len, back };
        self.packed_back_len += fan.back.weights_len(self.blocks().div_ceil(2));
        fan
    }

    fn bundle(
        &mut self,
        kernel: usize,
        paths: Vec<(usize, Weight, usize)>,
        first_pair: usize,
        back: &mut Reads,
    ) -> Bundle {
        let plane = self.padded();
        let pairs = (paths.len() * self.blocks()).div_ceil(2);
        let steps: Vec<isize> = window(kernel, 1, kernel / 2)
            .into_iter()
            .map(|[dy, dx]| dy * plane.row() as isize + dx * LANES as isize)
            .collect();
        let read = |block: usize| {
            steps.iter().map(move |step| (block * plane.len() + plane.origin()).wrapping_add_signed(*step))
        };
        let reads = Reads { offsets: (0..self.blocks()).flat_map(read).collect(), lanes: LANES };
        let read_back = |pair: usize| {
            let origin = 2 * (pair * plane.len() + plane.origin());
            steps.iter().map(move |step| origin.wrapping_add_signed(-2 * step))
        };
        back.offsets.extend((first_pair..first_pair + pairs).flat_map(read_back));
        let bundle = Bundle { paths, pairs, first_pair, at: self.packed_len, reads };
        self.packed_len += bundle.reads.weights_len(pairs);
        bundle
    }

    /// Channel blocks of a node.
    pub fn blocks(&self) -> usize {
        self.channels.blocks()
    }

    /// Floats of one channel block of a node.
    pub fn area(&self) -> usize {
        let [h, w] = self.plan.size();
        h * w * LANES
    }

    /// Floats of one node's planes for one image.
    pub fn plane(&self) -> usize {
        self.blocks() * self.area()
    }

    /// Floats of one image's raw outputs (never zero, so that every image has a chunk).
    pub fn raw_image(&self) -> usize {
        (self.plan.norms() * self.plane()).max(1)
    }

    /// Padded block of a node.
    pub fn padded(&self) -> Padded {
        let [h, w] = self.plan.size();
        Padded { h, w, border: 1 }
    }

    /// Paths that enter `node`.
    pub fn entering(&self, node: usize) -> impl Iterator<Item = (usize, &Path)> {
        self.plan.paths().iter().enumerate().filter(move |(_, path)| path.node == node)
    }

    fn bundles(&self) -> impl Iterator<Item = &Bundle> {
        self.fans.iter().flat_map(|fan| &fan.bundles)
    }

    /// Calls `each(packed position, flat position)` for every weight of a bundle.
    fn each_weight(&self, bundle: &Bundle, mut each: impl FnMut(usize, usize)) {
        let (c, taps) = (self.plan.channels(), bundle.reads.offsets.len() / self.blocks());
        for (p, (_, weight, _)) in bundle.paths.iter().enumerate() {
            for to in 0..c {
                let column = bundle.reads.column(bundle.pairs, p * self.channels.padded() + to);
                for (i, at) in (weight.offset + to * c * taps..).take(c * taps).enumerate() {
                    let (from, tap) = (i / taps, i % taps);
                    each(column.at(from / LANES * taps + tap, from % LANES), at);
                }
            }
        }
    }

    /// Packs all weights for the way there.
    pub fn pack(&self, weights: &[f32], to: &mut [f32]) {
        let len = |bundle: &Bundle| bundle.reads.weights_len(bundle.pairs);
        split(to, self.bundles(), len).into_par_iter().for_each(|(bundle, part)| {
            part.fill(0.0);
            self.each_weight(bundle, |packed, at| part[packed] = weights[at]);
        });
    }

    /// Packs all weights for the way back: a read's sixteen lanes are channels of a raw output's gradient.
    pub fn pack_back(&self, weights: &[f32], to: &mut [f32]) {
        let inputs = self.blocks().div_ceil(2);
        let len = |fan: &Fan| fan.back.weights_len(inputs);
        split(to, self.fans.iter(), len).into_par_iter().for_each(|(fan, part)| {
            part.fill(0.0);
            let (c, mut read) = (self.plan.channels(), 0);
            for bundle in &fan.bundles {
                let taps = bundle.reads.offsets.len() / self.blocks();
                for from in 0..c {
                    let column = fan.back.column(inputs, from);
                    for (p, (_, weight, _)) in bundle.paths.iter().enumerate() {
                        for i in 0..c * taps {
                            let (to, tap) = (i / taps, i % taps);
                            let channel = p * self.channels.padded() + to;
                            let row = read + channel / PAIR * taps + tap;
                            part[column.at(row, channel % PAIR)] =
                                weights[weight.offset + (to * c + from) * taps + tap];
                        }
                    }
                }
                read += bundle.pairs * taps;
            }
        });
    }

    /// Copies packed gradients to the caller's flat ones.
    pub fn unpack_grads(&self, packed: &[f32], grads: &mut [f32]) {
        for bundle in self.bundles() {
            let part = &packed[bundle.at..];
            self.each_weight(bundle, |from, at| grads[at] = part[from]);
        }
    }
}

/// Cuts `whole` into one part an item.
fn split<'a, 't, T>(
    whole: &'a mut [f32],
    items: impl Iterator<Item = &'t T>,
    len: impl Fn(&T) -> usize,
) -> Vec<(&'t T, &'a mut [f32])> {
    let mut rest = whole;
    items
        .map(|item| {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(len(item));
            rest = after;
            (item, part)
        })
        .collect()
}

/// One task's buffers.
pub(super) struct Scratch {
    /// A node's activated planes inside a border of zeros.
    pub padded: Buffer,
    /// Planes of pairs of raw outputs' gradients, and the gradient of the activated planes; empty on the way there.
    pub grads: Buffer,
    pub relu_grad: Buffer,
    /// One channel block, and rows for pooling.
    pub pooled: Buffer,
    pub pool: Buffer,
}

impl Scratch {
    /// `back` says whether it is for the way back.
    pub fn new(layout: &Layout<'_>, workspace: &Workspace, back: bool) -> Self {
        let plane = layout.padded();
        let pairs = layout.fans.iter().map(Fan::pairs).max().unwrap_or(0);
        let back = usize::from(back);
        Self {
            padded: workspace.take_zeroed(layout.blocks() * plane.len()),
            grads: workspace.take_zeroed(back * pairs * 2 * plane.len()),
            relu_grad: workspace.take(back * layout.plane()),
            pooled: workspace.take(layout.area()),
            pool: workspace.take(box_scratch(plane.w)),
        }
    }
}

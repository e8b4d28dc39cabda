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
use crate::winograd::{Planes, Strip, TAPS, Tiling};
use crate::workspace::{Buffer, Workspace};

/// The convolutions of one kernel that leave one node: one dense product.
#[derive(Debug)]
pub(super) struct Bundle {
    /// Side of the kernel.
    pub kernel: usize,
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
    /// Reads of the gradient of the node's activated planes from the planes of gradients, but those of tiles.
    pub back: Reads,
    /// Position among the packed weights of the way back: those of tiles are first.
    pub back_at: usize,
    /// Number of the packed weights of tiles.
    pub tiled_len: usize,
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
    /// How 3×3 convolutions are computed, unless read by read.
    tiling: Option<Tiling>,
    /// By node; nothing leaves the last one.
    pub fans: Vec<Fan>,
    pub packed_len: usize,
    pub packed_back_len: usize,
}

impl<'p> Layout<'p> {
    pub fn new(plan: &'p CellPlan) -> Self {
        let channels = Channels::new(plan.channels());
        let tiling = Tiling::new(plan.size());
        let mut layout = Self { plan, channels, tiling, fans: vec![], packed_len: 0, packed_back_len: 0 };
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
        let (inputs, blocks) = (self.blocks().div_ceil(2), self.blocks());
        let tiled = bundles.iter().filter_map(|bundle| Some((bundle, self.tiling(bundle)?)));
        let tiled_len =
            tiled.map(|(bundle, tiling)| tiling.weights_len(bundle.paths.len() * blocks, inputs)).sum();
        let fan = Fan { bundles, back_at: self.packed_back_len, back, tiled_len };
        self.packed_back_len += tiled_len + fan.back.weights_len(inputs);
        fan
    }

    /// How a bundle is computed by tiles, if it is.
    pub fn tiling(&self, bundle: &Bundle) -> Option<Tiling> {
        self.tiling.filter(|_| bundle.kernel == 3)
    }

    /// Floats of a bundle's packed weights, and of their gradients.
    pub fn packed_bundle_len(&self, bundle: &Bundle) -> usize {
        match self.tiling(bundle) {
            Some(tiling) => tiling.weights_len(self.blocks(), bundle.pairs),
            None => bundle.reads.weights_len(bundle.pairs),
        }
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
        let bundle = Bundle { kernel, paths, pairs, first_pair, at: self.packed_len, reads };
        if self.tiling(&bundle).is_none() {
            back.offsets.extend((first_pair..first_pair + pairs).flat_map(read_back));
        }
        self.packed_len += self.packed_bundle_len(&bundle);
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
        Padded { h, w, border: 1, lanes: LANES }
    }

    /// First floats of a node's blocks.
    pub fn places(&self) -> Vec<usize> {
        (0..self.blocks()).map(|block| block * self.area()).collect()
    }

    /// First floats of a node's padded blocks.
    pub fn padded_blocks(&self) -> Vec<usize> {
        (0..self.blocks()).map(|block| block * self.padded().len()).collect()
    }

    /// A node's padded blocks, as tiles are read from them.
    pub fn planes<'a>(&self, data: &'a [f32], blocks: &'a [usize]) -> Planes<'a> {
        Planes { data, blocks, steps: [LANES, self.padded().row()] }
    }

    /// Paths that enter `node`.
    pub fn entering(&self, node: usize) -> impl Iterator<Item = (usize, &Path)> {
        self.plan.paths().iter().enumerate().filter(move |(_, path)| path.node == node)
    }

    fn bundles(&self) -> impl Iterator<Item = &Bundle> {
        self.fans.iter().flat_map(|fan| &fan.bundles)
    }

    /// Calls `each(channel of the bundle's output, flat position of its first weight)` for every channel.
    fn each_output(&self, bundle: &Bundle, mut each: impl FnMut(usize, usize)) {
        let c = self.plan.channels();
        for (p, (_, weight, _)) in bundle.paths.iter().enumerate() {
            for to in 0..c {
                let fan = c * bundle.kernel * bundle.kernel;
                each(p * self.channels.padded() + to, weight.offset + to * fan);
            }
        }
    }

    /// Packs all weights for the way there.
    pub fn pack(&self, weights: &[f32], to: &mut [f32]) {
        let len = |bundle: &Bundle| self.packed_bundle_len(bundle);
        split(to, self.bundles(), len).into_par_iter().for_each(|(bundle, part)| {
            part.fill(0.0);
            match self.tiling(bundle) {
                Some(tiling) => self.pack_tiled(tiling, bundle, weights, part),
                None => self.pack_direct(bundle, weights, part),
            }
        });
    }

    /// Where the rows of weights of a block's channels start: `row` floats a channel, from `first` on.
    fn rows(&self, block: usize, first: usize, row: usize) -> [Option<usize>; LANES] {
        std::array::from_fn(|lane| Some(first + self.channels.at(block * LANES + lane)? * row))
    }

    fn pack_tiled(&self, tiling: Tiling, bundle: &Bundle, weights: &[f32], part: &mut [f32]) {
        let (blocks, c) = (self.blocks(), self.plan.channels());
        for (p, (_, weight, _)) in bundle.paths.iter().enumerate() {
            for block in 0..blocks {
                for from in 0..c {
                    let firsts = self.rows(block, weight.offset + from * TAPS, c * TAPS);
                    let at = tiling.weight_at(blocks, (p * blocks + block) * LANES, from);
                    tiling.put_weights(weights, firsts, false, part, at);
                }
            }
        }
    }

    fn pack_direct(&self, bundle: &Bundle, weights: &[f32], part: &mut [f32]) {
        let taps = bundle.kernel * bundle.kernel;
        self.each_output(bundle, |to, first| {
            let column = bundle.reads.column(bundle.pairs, to);
            for (i, &weight) in weights[first..][..self.plan.channels() * taps].iter().enumerate() {
                let (from, tap) = (i / taps, i % taps);
                part[column.at(from / LANES * taps + tap, from % LANES)] = weight;
            }
        });
    }

    /// Packs all weights for the way back.
    pub fn pack_back(&self, weights: &[f32], to: &mut [f32]) {
        let inputs = self.blocks().div_ceil(2);
        let len = |fan: &Fan| fan.tiled_len + fan.back.weights_len(inputs);
        split(to, self.fans.iter(), len).into_par_iter().for_each(|(fan, part)| {
            part.fill(0.0);
            let (tiled, direct) = part.split_at_mut(fan.tiled_len);
            let mut read = 0;
            for bundle in &fan.bundles {
                match self.tiling(bundle) {
                    Some(tiling) => self.pack_tiled_back(tiling, bundle, weights, tiled),
                    None => {
                        self.pack_direct_back(bundle, weights, &fan.back, read, direct);
                        read += bundle.pairs * bundle.kernel * bundle.kernel;
                    }
                }
            }
        });
    }

    fn pack_tiled_back(&self, tiling: Tiling, bundle: &Bundle, weights: &[f32], part: &mut [f32]) {
        let blocks = bundle.paths.len() * self.blocks();
        for block in 0..self.blocks() {
            self.each_output(bundle, |to, first| {
                let at = tiling.weight_at(blocks, block * LANES, to);
                tiling.put_weights(weights, self.rows(block, first, TAPS), true, part, at);
            });
        }
    }

    /// A read's sixteen lanes are channels of a raw output's gradient; the bundle's first read is number `read`.
    fn pack_direct_back(
        &self,
        bundle: &Bundle,
        weights: &[f32],
        back: &Reads,
        read: usize,
        part: &mut [f32],
    ) {
        let (c, taps) = (self.plan.channels(), bundle.kernel * bundle.kernel);
        for from in 0..c {
            let column = back.column(self.blocks().div_ceil(2), from);
            self.each_output(bundle, |to, first| {
                for tap in 0..taps {
                    let at = column.at(read + to / PAIR * taps + tap, to % PAIR);
                    part[at] = weights[first + from * taps + tap];
                }
            });
        }
    }

    /// Copies packed gradients to the caller's flat ones.
    pub fn unpack_grads(&self, packed: &[f32], grads: &mut [f32]) {
        let mut paths: Vec<(&Bundle, usize, Weight)> = (self.bundles())
            .flat_map(|bundle| {
                bundle.paths.iter().enumerate().map(move |(p, &(_, weight, _))| (bundle, p, weight))
            })
            .collect();
        paths.sort_by_key(|(_, _, weight)| weight.offset);
        let parts = split(grads, paths.iter(), |(_, _, weight)| weight.len());
        parts.into_par_iter().for_each(|(&(bundle, p, _), grads)| {
            self.unpack_path(bundle, p, &packed[bundle.at..], grads);
        });
    }

    /// The gradients of the bundle's convolution number `p`, `[c, c, kernel, kernel]`.
    fn unpack_path(&self, bundle: &Bundle, p: usize, packed: &[f32], grads: &mut [f32]) {
        match self.tiling(bundle) {
            Some(tiling) => self.unpack_tiled(tiling, (bundle, p), packed, grads),
            None => self.unpack_direct(bundle, p, packed, grads),
        }
    }

    fn unpack_tiled(&self, tiling: Tiling, (bundle, p): (&Bundle, usize), packed: &[f32], grads: &mut [f32]) {
        let (blocks, c) = (self.blocks(), self.plan.channels());
        for block in 0..blocks {
            for from in 0..c {
                let at = tiling.grad_at(blocks, bundle.pairs, (p * blocks + block) * LANES, from);
                tiling.take_grads(packed, at, self.rows(block, from * TAPS, c * TAPS), grads);
            }
        }
    }

    fn unpack_direct(&self, bundle: &Bundle, p: usize, packed: &[f32], grads: &mut [f32]) {
        let taps = bundle.kernel * bundle.kernel;
        for (to, grads) in grads.chunks_exact_mut(self.plan.channels() * taps).enumerate() {
            let column = bundle.reads.column(bundle.pairs, p * self.channels.padded() + to);
            for (i, grad) in grads.iter_mut().enumerate() {
                let (from, tap) = (i / taps, i % taps);
                *grad = packed[column.at(from / LANES * taps + tap, from % LANES)];
            }
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
    /// Transforms, where convolutions are computed by tiles.
    pub strip: Option<Strip>,
}

impl Scratch {
    /// `back` says whether it is for the way back.
    pub fn new(layout: &Layout<'_>, workspace: &Workspace, back: bool) -> Self {
        let plane = layout.padded();
        let pairs = layout.fans.iter().map(Fan::pairs).max().unwrap_or(0);
        let strip = layout.tiling.map(|tiling| {
            let outputs =
                layout.fans.iter().flat_map(|fan| &fan.bundles).map(|bundle| 2 * bundle.pairs).max();
            let outputs = if back { outputs.unwrap_or(0) } else { 0 };
            Strip::new(tiling, workspace, outputs.max(layout.blocks()), outputs)
        });
        let back = usize::from(back);
        Self {
            strip,
            padded: workspace.take_zeroed(layout.blocks() * plane.len()),
            grads: workspace.take_zeroed(back * pairs * 2 * plane.len()),
            relu_grad: workspace.take(back * layout.plane()),
            pooled: workspace.take(layout.area()),
            pool: workspace.take(box_scratch(plane.w, LANES)),
        }
    }
}

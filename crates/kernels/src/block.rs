//! The fused convolution block: gather or depthwise → pointwise, in chunks that stay in the first-level cache,
//! with the batch norm's statistics on the way out and all gradients on the way back.
//!
//! Input blocks are read through *gathers*: a depthwise kernel is one gather with many weighted taps; the two
//! halves of FactorizedReduce are two gathers of one tap each; a dense k×k convolution is k² of them.

use std::ops::Range;

use rayon::prelude::*;

use crate::blocked::Channels;
use crate::depthwise::{self, Padded, Rows, Tap, Taps, depthwise};
use crate::norm::{NormGrads, Norms};
use crate::pixelwise::{Activate, Line, NormGrad, lanes, moments};
use crate::pointwise::{self, Pixels, pointwise};
use crate::simd::Simd;

/// Where the weights of a block lie in the caller's flat slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wiring {
    /// `[out, in, gathers]` from `at`, after the depthwise `[in, taps]` from `depthwise` if there is one.
    Dense { depthwise: usize, at: usize },
    /// Output channels below `half` from gather 0 (`[half, in]` at `first`), the rest from gather 1.
    Halves { half: usize, first: usize, second: usize },
}

/// Weights worth a thread's while to lay out.
const PACKED_AT_ONCE: usize = 1 << 14;

/// A convolution block's geometry.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub input: [usize; 2],
    pub output: [usize; 2],
    pub from: Channels,
    pub to: Channels,
    stride: usize,
    /// Displacements `(dy, dx)` of every gather's taps from its anchor.
    gathers: Vec<Vec<[isize; 2]>>,
    /// Width, dilation and padding of a trained depthwise kernel.
    kernel: Option<[usize; 3]>,
    wiring: Wiring,
    /// Whether a [pointwise](Self::is_pointwise) block reads a plane that is not activated yet: it is done chunk by chunk, in
    /// the first-level cache.
    activates: bool,
    /// Planes of the input, and of gathered gradients.
    pub plane: Padded,
    pub grad_plane: Padded,
    /// Every gather's taps in them: finding those for each image took as long as a pass over a small one.
    taps: Vec<Taps>,
    back_taps: Vec<BackTaps>,
    /// The pointwise products: all outputs from all virtual blocks, or each half of FactorizedReduce from its own where
    /// no block of outputs belongs to both.
    parts: Vec<Part>,
    packed: Packed,
}

/// Displacements of a `kernel` wide window.
pub(crate) fn window(kernel: usize, dilation: usize, padding: usize) -> Vec<[isize; 2]> {
    let place = |k: usize| (k * dilation) as isize - padding as isize;
    (0..kernel * kernel).map(|k| [place(k / kernel), place(k % kernel)]).collect()
}

/// Taps that gather gradients back to the input: at stride s, one list for each of the s² parities of its pixels.
#[derive(Debug, Clone)]
pub(crate) struct BackTaps {
    stride: usize,
    phases: Vec<Taps>,
}

impl BackTaps {
    /// The mirror of displacements `window` at `stride`, reading gradients in `plane`; taps are numbered as in
    /// the window, a block's weights each.
    pub fn new(window: &[[isize; 2]], stride: usize, plane: Padded) -> Self {
        let step = stride as isize;
        let phase = |parity: usize| {
            let (py, px) = ((parity / stride) as isize, (parity % stride) as isize);
            let shifts = window.iter().map(|&[dy, dx]| (py - dy, px - dx)).enumerate();
            let whole = shifts.filter(|(_, (y, x))| y.rem_euclid(step) == 0 && x.rem_euclid(step) == 0);
            let tap = |(k, (y, x)): (usize, (isize, isize))| Tap {
                at: [y.div_euclid(step), x.div_euclid(step)],
                weight: k * plane.lanes,
            };
            Taps::new(whole.map(tap).collect(), plane)
        };
        Self { stride, phases: (0..stride * stride).map(phase).collect() }
    }

    /// Adds to (or writes) a whole input plane `[h, w, b]` what it gathers from `g`.
    pub fn apply<S: Simd>(
        &self,
        s: S,
        (g, plane): (&[f32], Padded),
        weights: &[f32],
        [h, w]: [usize; 2],
        accumulate: bool,
        to: &mut [f32],
    ) {
        let stride = self.stride;
        for (parity, taps) in self.phases.iter().enumerate() {
            let (py, px) = (parity / stride, parity % stride);
            let count = |size: usize, parity: usize| size.saturating_sub(parity).div_ceil(stride);
            let rows = Rows {
                from: plane.origin(),
                from_row: plane.row(),
                stride: 1,
                to: (py * w + px) * S::LANES,
                to_row: stride * w * S::LANES,
                to_pixel: stride * S::LANES,
                rows: count(h, py),
                n: count(w, px),
                accumulate,
            };
            if !(accumulate && taps.is_empty()) {
                depthwise(s, g, taps, weights, to, &rows);
            }
        }
    }
}

/// Where a part's pointwise weights lie in the caller's slice.
struct Places {
    /// Where the weights of each padded output channel begin, none of padding; for FactorizedReduce once for each gather,
    /// none of the other half.
    rows: Vec<Vec<Option<usize>>>,
    /// Virtual input channels, none of padding; no stretch crosses a multiple of a pair of blocks.
    stretches: Vec<Stretch>,
    /// From the weight of a channel to that of the next.
    step: usize,
    /// Virtual input channels, padding included.
    sources: usize,
}

/// Virtual input channels whose weights follow each other, [`Places::step`] apart.
struct Stretch {
    /// The first channel.
    first: usize,
    len: usize,
    /// Which rows it meets.
    rows: usize,
    /// How far from the beginning of a row its weights lie.
    offset: usize,
}

impl Stretch {
    fn channels(&self) -> Range<usize> {
        self.first..self.first + self.len
    }
}

impl Places {
    /// Where the weights from a stretch to an output begin.
    fn at(&self, stretch: &Stretch, output: usize) -> Option<usize> {
        Some(self.rows[stretch.rows][output]? + stretch.offset)
    }

    fn outputs(&self) -> usize {
        self.rows[0].len()
    }

    /// As [`pointwise`] wants them forward: columns of outputs by pairs of blocks, a row for each source.
    fn pack_forward(&self, weights: &[f32], lanes: usize, packed: &mut [f32]) {
        let pair = 2 * lanes * self.sources;
        let pairs = packed.par_chunks_mut(pair).with_min_len(PACKED_AT_ONCE.div_ceil(pair)).enumerate();
        pairs.for_each(|(index, packed)| {
            packed.fill(0.0);
            let outputs = packed.len() / self.sources;
            for stretch in &self.stretches {
                let rows = &mut packed[stretch.first * outputs..][..stretch.len * outputs];
                for column in 0..outputs {
                    let Some(at) = self.at(stretch, index * 2 * lanes + column) else { continue };
                    let to = rows[column..].iter_mut().step_by(outputs);
                    to.zip(weights[at..].iter().step_by(self.step)).for_each(|(to, &weight)| *to = weight);
                }
            }
        });
    }

    /// As [`pointwise`] wants them on the way back: columns of sources by pairs of blocks, a row for each output.
    fn pack_backward(&self, weights: &[f32], lanes: usize, packed: &mut [f32]) {
        let pair = 2 * lanes * self.outputs();
        let pairs = packed.par_chunks_mut(pair).with_min_len(PACKED_AT_ONCE.div_ceil(pair)).enumerate();
        pairs.for_each(|(index, packed)| {
            packed.fill(0.0);
            let (first, sources) = (index * 2 * lanes, packed.len() / self.outputs());
            let own = |stretch: &&Stretch| (first..first + sources).contains(&stretch.first);
            for stretch in self.stretches.iter().filter(own) {
                let place = stretch.first - first;
                for (output, row) in packed.chunks_exact_mut(sources).enumerate() {
                    let Some(at) = self.at(stretch, output) else { continue };
                    let to = row[place..][..stretch.len].iter_mut();
                    to.zip(weights[at..].iter().step_by(self.step)).for_each(|(to, &weight)| *to = weight);
                }
            }
        });
    }
}

/// Positions of a block's packed weights and gradients.
#[derive(Debug, Clone, Copy, Default)]
struct Packed {
    depthwise: usize,
    forward: usize,
    backward: usize,
    len: usize,
}

/// Blocks of outputs, and the virtual blocks that they are a product of.
#[derive(Debug, Clone)]
struct Part {
    outputs: Range<usize>,
    sources: Range<usize>,
}

impl Part {
    /// Floats of the weights of outputs in blocks of `lanes`, from so many channels of every source.
    fn weights_len(&self, lanes: usize, used: usize) -> usize {
        self.outputs.len() * lanes * self.sources.len() * used
    }
}

/// Buffers for one block's work on one image.
#[derive(Debug)]
pub(crate) struct BlockScratch<'a> {
    /// Gathered (depthwise) chunk: [`Block::gathered_len`].
    pub gathered: &'a mut [f32],
    /// Gradient chunk: [`Block::grad_len`].
    pub grad: &'a mut [f32],
    /// Raw output chunk, as long, where [`RawGrad::y`] is made again.
    pub raw: &'a mut [f32],
    /// Gradients of the gathered values, a [`Block::grad_plane`] with a zero border for every virtual block; empty if nobody
    /// asks.
    pub planes: &'a mut [f32],
}

/// The gradient of a block's raw output `y`, made while reading: `k g + a (y − centre) + b`.
pub(crate) struct RawGrad<'a> {
    pub g: &'a [f32],
    /// Empty where it was not kept: a [`Block`] makes it again, chunk by chunk.
    pub y: &'a [f32],
    /// One coefficient a channel, an image's multiplier included.
    pub k: &'a [f32],
    pub norms: &'a Norms,
    pub grads: &'a NormGrads,
    pub norm: usize,
}

impl Block {
    fn new(
        [from, to]: [Channels; 2],
        [input, output]: [[usize; 2]; 2],
        stride: usize,
        gathers: Vec<Vec<[isize; 2]>>,
        kernel: Option<[usize; 3]>,
        wiring: Wiring,
    ) -> Self {
        let lanes = from.lanes();
        let [plane, grad_plane] = [input, output].map(|[h, w]| Padded { h, w, border: 0, lanes });
        let (taps, back_taps, parts, packed) = (vec![], vec![], vec![], Packed::default());
        let mut block = Self {
            input,
            output,
            from,
            to,
            stride,
            gathers,
            kernel,
            wiring,
            activates: false,
            plane,
            grad_plane,
            taps,
            back_taps,
            parts,
            packed,
        };
        block.parts = block.pointwise_parts();
        block.packed = block.packed_positions();
        block.set_borders(block.border(), block.grad_border());
        block
    }

    /// Borders of the planes, at least [`Block::border`] and [`Block::grad_border`].
    pub fn set_borders(&mut self, border: usize, grad_border: usize) {
        self.plane.border = border;
        self.grad_plane.border = grad_border;
        let plane = self.plane;
        let tap = |(k, &at): (usize, &[isize; 2])| Tap { at, weight: k * plane.lanes };
        let taps = |gather: &Vec<[isize; 2]>| Taps::new(gather.iter().enumerate().map(tap).collect(), plane);
        let back_taps = |gather: &Vec<[isize; 2]>| BackTaps::new(gather, self.stride, self.grad_plane);
        self.taps = self.gathers.iter().map(taps).collect();
        self.back_taps = self.gathers.iter().map(back_taps).collect();
    }

    /// ReLU-depthwise-pointwise of the cells' convolutions, without the ReLU.
    pub fn depthwise(
        channels: Channels,
        input: [usize; 2],
        stride: usize,
        [kernel, dilation]: [usize; 2],
        [depthwise, pointwise]: [usize; 2],
    ) -> Self {
        let padding = dilation * (kernel - 1) / 2;
        let sizes = [input, input.map(|side| side.div_ceil(stride))];
        let gathers = vec![window(kernel, dilation, padding)];
        let wiring = Wiring::Dense { depthwise, at: pointwise };
        let kernel = Some([kernel, dilation, padding]);
        Self::new([channels; 2], sizes, stride, gathers, kernel, wiring)
    }

    /// Both halves of FactorizedReduce; odd sizes round up, what lies outside counts as zero.
    pub fn factorized_reduce(
        from: Channels,
        to: usize,
        input: [usize; 2],
        [first, second]: [usize; 2],
    ) -> Self {
        let sizes = [input, input.map(|side| side.div_ceil(2))];
        let gathers = vec![vec![[0, 0]], vec![[1, 1]]];
        let wiring = Wiring::Halves { half: to / 2, first, second };
        Self::new([from, Channels::new(to).in_blocks_of(from.width)], sizes, 2, gathers, None, wiring)
    }

    /// A dense convolution with `[to, from, kernel, kernel]` weights from position 0.
    pub fn dense(
        from: Channels,
        to: usize,
        input: [usize; 2],
        [kernel, stride, padding]: [usize; 3],
    ) -> Self {
        let sizes = [input, input.map(|side| (side + 2 * padding - kernel) / stride + 1)];
        let gathers = window(kernel, 1, padding).into_iter().map(|tap| vec![tap]).collect();
        let wiring = Wiring::Dense { depthwise: 0, at: 0 };
        Self::new([from, Channels::new(to).in_blocks_of(from.width)], sizes, stride, gathers, None, wiring)
    }

    /// Border that the padded input needs.
    pub fn border(&self) -> usize {
        let reach = |axis: usize| {
            let taps = self.gathers.iter().flatten().map(move |tap| tap[axis]);
            let last =
                (self.output[axis] as isize - 1) * self.stride as isize + 1 - self.input[axis] as isize;
            taps.map(move |d| (-d).max(d + last)).max().unwrap_or(0)
        };
        usize::try_from(reach(0).max(reach(1))).unwrap_or(0)
    }

    /// Border that the planes of gathered gradients need.
    pub fn grad_border(&self) -> usize {
        let step = self.stride as isize;
        let reach = |axis: usize| {
            let taps = self.gathers.iter().flatten().map(move |tap| tap[axis]);
            let beyond = (self.input[axis] as isize - 1).div_euclid(step) + 1 - self.output[axis] as isize;
            taps.map(move |d| {
                let before = d.div_euclid(step) + isize::from(d.rem_euclid(step) != 0);
                let after = (step - 1 - d).div_euclid(step) + beyond;
                before.max(after)
            })
            .max()
            .unwrap_or(0)
        };
        usize::try_from(reach(0).max(reach(1))).unwrap_or(0)
    }

    /// The same, with the ReLU before it where that costs no pass of its own.
    pub fn behind_relu(self) -> Self {
        Self { activates: self.is_pointwise(), ..self }
    }

    /// Whether the block does the ReLU before it.
    pub fn activates(&self) -> bool {
        self.activates
    }

    /// Whether gathering would only copy: a 1×1 convolution at stride 1.
    pub fn is_pointwise(&self) -> bool {
        self.stride == 1 && self.kernel.is_none() && self.gathers == [[[0, 0]]]
    }

    /// Channels in a block.
    fn lanes(&self) -> usize {
        self.from.lanes()
    }

    /// Input blocks after gathering.
    pub fn virtual_blocks(&self) -> usize {
        self.gathers.len() * self.from.blocks()
    }

    /// Channels worth multiplying in each input block.
    fn used_lanes(&self) -> usize {
        self.from.per_group.min(self.lanes())
    }

    fn taps(&self) -> usize {
        self.gathers[0].len()
    }

    /// Rows of output worked on at a time: about 128 pixels, fewer when the channels would leave the cache.
    fn chunk_rows(&self) -> usize {
        let pixels = (512 / self.virtual_blocks().max(self.to.blocks())).clamp(16, 128);
        (pixels / self.output[1]).clamp(1, self.output[0])
    }

    /// Floats of [`BlockScratch::gathered`].
    pub fn gathered_len(&self) -> usize {
        self.virtual_blocks() * self.chunk_rows() * self.output[1] * self.lanes()
    }

    /// Floats of a chunk of raw outputs and, behind it, a pixel of each block.
    pub fn chunk_len(&self) -> usize {
        self.grad_len() + self.to.padded()
    }

    /// Floats of [`BlockScratch::grad`].
    pub fn grad_len(&self) -> usize {
        self.to.blocks() * self.chunk_rows() * self.output[1] * self.lanes()
    }

    fn pointwise_parts(&self) -> Vec<Part> {
        let (out, sources) = (self.to.blocks(), self.virtual_blocks());
        let (middle, own) = match self.wiring {
            Wiring::Halves { half, .. } if half > 0 && half.is_multiple_of(self.lanes()) => {
                (half / self.lanes(), self.from.blocks())
            }
            _ => (out, sources),
        };
        let first = Part { outputs: 0..middle, sources: 0..own };
        let second = Part { outputs: middle..out, sources: own..sources };
        let some = |part: &Part| !part.outputs.is_empty() && !part.sources.is_empty();
        [first, second].into_iter().filter(some).collect()
    }

    fn packed_positions(&self) -> Packed {
        let depthwise = self.virtual_blocks() * self.taps() * self.lanes();
        let pointwise =
            |lanes| self.parts.iter().map(|part| part.weights_len(self.lanes(), lanes)).sum::<usize>();
        let (forward, backward) = (pointwise(self.used_lanes()), pointwise(self.lanes()));
        Packed {
            depthwise: 0,
            forward: depthwise,
            backward: depthwise + forward,
            len: depthwise + forward + backward,
        }
    }

    /// Floats of the packed weights.
    pub fn packed_len(&self) -> usize {
        self.packed.len
    }

    /// Floats of the packed gradients: depthwise `[blocks, taps, b]`, then `[out, sources * b]` of every part.
    pub fn packed_grad_len(&self) -> usize {
        let packed = self.packed;
        self.packed_depthwise_grad() + packed.len - packed.backward
    }

    fn packed_depthwise_grad(&self) -> usize {
        if self.kernel.is_some() { self.virtual_blocks() * self.taps() * self.lanes() } else { 0 }
    }

    /// For every real channel of a depthwise kernel the flat positions of its weights, and where the first of them lies among
    /// the packed ones, `[blocks, taps, b]`.
    fn depthwise_weights(&self) -> impl Iterator<Item = (Range<usize>, usize)> {
        let (taps, lanes) = (self.taps(), self.lanes());
        let first = match (self.wiring, self.kernel) {
            (Wiring::Dense { depthwise, .. }, Some(_)) => Some(depthwise),
            _ => None,
        };
        (0..self.from.padded()).filter_map(move |padded| {
            let own = first? + self.from.at(padded)? * taps;
            Some((own..own + taps, padded / lanes * taps * lanes + padded % lanes))
        })
    }

    /// Flat positions of the block's weights, which lie together.
    pub fn weights(&self) -> Range<usize> {
        let fan = self.from.real();
        match self.wiring {
            Wiring::Dense { depthwise, at } => depthwise..at + self.to.real() * fan * self.gathers.len(),
            Wiring::Halves { half, first, second } => first..second + (self.to.real() - half) * fan,
        }
    }

    /// Where the weights of a part lie, from `lanes` channels of each of its virtual input blocks.
    fn places(&self, part: &Part, lanes: usize) -> Places {
        let (fan, gathers, blocks) = (self.from.real(), self.gathers.len(), self.from.blocks());
        let outputs = part.outputs.start * self.lanes()..part.outputs.end * self.lanes();
        let rows = |row: &dyn Fn(usize) -> Option<usize>| -> Vec<Option<usize>> {
            outputs.clone().map(|lane| self.to.at(lane).and_then(row)).collect()
        };
        let rows = match self.wiring {
            Wiring::Dense { at, .. } => vec![rows(&|to| Some(at + to * fan * gathers))],
            Wiring::Halves { half, first, second } => vec![
                rows(&|to| (to < half).then(|| first + to * fan)),
                rows(&|to| (to >= half).then(|| second + (to - half) * fan)),
            ],
        };
        let step = if matches!(self.wiring, Wiring::Dense { .. }) { gathers } else { 1 };
        let mut stretches: Vec<Stretch> = vec![];
        let sources = part.sources.clone().flat_map(|v| (0..lanes).map(move |lane| (v, lane)));
        for (place, (v, lane)) in sources.enumerate() {
            let Some(from) = self.from.at(v % blocks * self.lanes() + lane) else { continue };
            let (rows, offset) = match self.wiring {
                Wiring::Dense { .. } => (0, from * gathers + v / blocks),
                Wiring::Halves { .. } => (v / blocks, from),
            };
            match stretches.last_mut() {
                Some(last)
                    if place % (2 * self.lanes()) > 0
                        && (last.channels().end, last.rows) == (place, rows)
                        && last.offset + last.len * step == offset =>
                {
                    last.len += 1;
                }
                _ => stretches.push(Stretch { first: place, len: 1, rows, offset }),
            }
        }
        Places { rows, stretches, step, sources: part.sources.len() * lanes }
    }

    /// Lays the caller's weights out for the kernels.
    pub fn pack(&self, weights: &[f32], to: &mut [f32]) {
        let packed = self.packed;
        let used = self.used_lanes();
        let (depthwise, pointwise) = to[..packed.len].split_at_mut(packed.forward);
        depthwise.fill(if self.kernel.is_some() { 0.0 } else { 1.0 });
        for (own, at) in self.depthwise_weights() {
            let to = depthwise[at..].iter_mut().step_by(self.lanes());
            to.zip(&weights[own]).for_each(|(to, &weight)| *to = weight);
        }
        let (mut forward, mut backward) = pointwise.split_at_mut(packed.backward - packed.forward);
        for part in &self.parts {
            let (to, rest) = forward.split_at_mut(part.weights_len(self.lanes(), used));
            self.places(part, used).pack_forward(weights, self.lanes(), to);
            forward = rest;
            let (to, rest) = backward.split_at_mut(part.weights_len(self.lanes(), self.lanes()));
            self.places(part, self.lanes()).pack_backward(weights, self.lanes(), to);
            backward = rest;
        }
    }

    /// Hands packed gradients over in the caller's layout; `grads` are those of [`Block::weights`].
    pub fn unpack_grads(&self, packed: &[f32], grads: &mut [f32]) {
        let first = self.weights().start;
        let (depthwise, mut pointwise) = packed.split_at(self.packed_depthwise_grad());
        for (own, at) in self.depthwise_weights() {
            let from = depthwise[at..].iter().step_by(self.lanes());
            grads[own.start - first..][..own.len()].iter_mut().zip(from).for_each(|(to, &grad)| *to = grad);
        }
        for part in &self.parts {
            let (packed, rest) = pointwise.split_at(part.weights_len(self.lanes(), self.lanes()));
            let places = self.places(part, self.lanes());
            for (output, packed) in packed.chunks_exact(places.sources).enumerate() {
                for stretch in &places.stretches {
                    let Some(at) = places.at(stretch, output) else { continue };
                    let to = grads[at - first..].iter_mut().step_by(places.step);
                    to.zip(&packed[stretch.channels()]).for_each(|(to, &value)| *to = value);
                }
            }
            pointwise = rest;
        }
    }

    /// Output rows `row..row + rows` of all virtual blocks, and the distance between blocks: gathered, or where
    /// they lie if gathering would only copy.
    fn chunk<'c, S: Simd>(
        &self,
        s: S,
        packed: &[f32],
        x: &'c [f32],
        (row, rows): (usize, usize),
        gathered: &'c mut [f32],
    ) -> (&'c [f32], usize) {
        if self.plane.border == 0 && self.is_pointwise() {
            let (x, len) = (&x[row * self.plane.row()..], rows * self.output[1] * S::LANES);
            if !self.activates {
                return (x, self.plane.len());
            }
            for (x, to) in x.chunks(self.plane.len()).zip(gathered.chunks_exact_mut(len)) {
                let (x, w) = (&x[..len], len / S::LANES);
                Activate { x, w, line: Line::IDENTITY, floor: 0.0, to, to_row: len }.apply(s);
            }
            return (gathered, len);
        }
        self.gather(s, packed, x, (row, rows), gathered);
        (gathered, rows * self.output[1] * S::LANES)
    }

    /// Gathers output rows `row..row + rows` of all virtual blocks.
    fn gather<S: Simd>(&self, s: S, packed: &[f32], x: &[f32], (row, rows): (usize, usize), to: &mut [f32]) {
        let (plane, width) = (self.plane, self.output[1]);
        let chunk = rows * width * S::LANES;
        let per_block = self.taps() * S::LANES;
        for (v, to) in to.chunks_exact_mut(chunk).take(self.virtual_blocks()).enumerate() {
            let x = &x[v % self.from.blocks() * plane.len()..][..plane.len()];
            let rows = Rows {
                from: plane.origin() + row * self.stride * plane.row(),
                from_row: self.stride * plane.row(),
                stride: self.stride,
                to: 0,
                to_row: width * S::LANES,
                to_pixel: S::LANES,
                rows,
                n: width,
                accumulate: false,
            };
            let weights = &packed[v * per_block..][..per_block];
            depthwise(s, x, &self.taps[v / self.from.blocks()], weights, to, &rows);
        }
    }

    fn chunks(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (step, height) = (self.chunk_rows(), self.output[0]);
        (0..height).step_by(step).map(move |row| (row, step.min(height - row)))
    }

    /// All parts of `n` pixels in a row, forward; blocks of `x` and `y` are so many floats apart.
    fn multiply<S: Simd>(
        &self,
        s: S,
        mut w: &[f32],
        (x, x_block): (&[f32], usize),
        (y, y_block): (&mut [f32], usize),
        n: usize,
    ) {
        let lanes = self.used_lanes();
        for part in &self.parts {
            let (blocks, out) = (part.sources.len(), part.outputs.len());
            let pixels = Pixels { blocks, lanes, x_block, x_row: 0, out, y_block, y_row: 0, rows: 1, n };
            let x = &x[part.sources.start * x_block..];
            pointwise(s, x, w, &mut y[part.outputs.start * y_block..], &pixels);
            w = &w[part.weights_len(S::LANES, lanes)..];
        }
    }

    /// One image forward: `x` (planes of [`Block::plane`], activated) to raw `y`. With `stats`, this image's mean and sum of
    /// squared deviations of every output channel, `[2, padded channels]`.
    pub fn forward<S: Simd>(
        &self,
        s: S,
        packed: &[f32],
        x: &[f32],
        gathered: &mut [f32],
        y: &mut [f32],
        mut stats: Option<&mut [f64]>,
    ) {
        let at = self.packed;
        let (out, area, width) = (self.to.blocks(), self.output[0] * self.output[1], self.output[1]);
        if let Some(stats) = &mut stats {
            stats.fill(0.0);
        }
        for (row, rows) in self.chunks() {
            let n = rows * width;
            let start = row * width * S::LANES;
            let (from, x_block) = self.chunk(s, &packed[at.depthwise..at.forward], x, (row, rows), gathered);
            let w = &packed[at.forward..at.backward];
            self.multiply(s, w, (from, x_block), (&mut y[start..], area * S::LANES), n);
            for (block, y) in y.chunks_exact(area * S::LANES).take(out).enumerate() {
                if let Some(stats) = &mut stats {
                    add_moments(s, &y[start..][..n * S::LANES], lanes(y, S::LANES, 0), block, stats);
                }
            }
        }
        if let Some(stats) = stats {
            finish_moments(y, (area, S::LANES), area, stats);
        }
    }

    /// Statistics of [`Block::forward`] where nobody keeps its output: it is made chunk by chunk in `chunk`
    /// ([`Block::chunk_len`]).
    pub fn statistics<S: Simd>(
        &self,
        s: S,
        packed: &[f32],
        x: &[f32],
        [gathered, chunk]: [&mut [f32]; 2],
        stats: &mut [f64],
    ) {
        stats.fill(0.0);
        let (chunk, pivots) = chunk.split_at_mut(self.grad_len());
        self.each_chunk(s, packed, x, [gathered, chunk], |row, y| {
            if row == 0 {
                let firsts = y.chunks_exact(y.len() / self.to.blocks()).map(|y| &y[..S::LANES]);
                pivots
                    .chunks_exact_mut(S::LANES)
                    .zip(firsts)
                    .for_each(|(to, first)| to.copy_from_slice(first));
            }
            for (block, y) in y.chunks_exact(y.len() / self.to.blocks()).enumerate() {
                add_moments(s, y, lanes(pivots, S::LANES, block), block, stats);
            }
        });
        finish_moments(pivots, (1, S::LANES), self.output[0] * self.output[1], stats);
    }

    /// [`Block::forward`], normalised and activated: `max(line(y), 0)` inside the planes `to`. `chunk` is
    /// [`Block::chunk_len`] long.
    pub fn forward_activated<S: Simd>(
        &self,
        s: S,
        packed: &[f32],
        x: &[f32],
        [gathered, chunk]: [&mut [f32]; 2],
        (norms, norm): (&Norms, usize),
        (plane, to): (Padded, &mut [f32]),
    ) {
        self.each_chunk(s, packed, x, [gathered, chunk], |row, y| {
            for (block, x) in y.chunks_exact(y.len() / self.to.blocks()).enumerate() {
                let to = &mut to[block * plane.len()..][..plane.len()][plane.origin() + row * plane.row()..];
                let line = norms.line(norm, block);
                Activate { x, w: plane.w, line, floor: 0.0, to, to_row: plane.row() }.apply(s);
            }
        });
    }

    /// Calls `each(first row, [blocks, pixels, b])` with every chunk of the raw output.
    fn each_chunk<S: Simd>(
        &self,
        s: S,
        packed: &[f32],
        x: &[f32],
        [gathered, chunk]: [&mut [f32]; 2],
        mut each: impl FnMut(usize, &[f32]),
    ) {
        let at = self.packed;
        for (row, rows) in self.chunks() {
            let n = rows * self.output[1];
            let from = self.chunk(s, &packed[at.depthwise..at.forward], x, (row, rows), gathered);
            let w = &packed[at.forward..at.backward];
            self.multiply(s, w, from, (&mut *chunk, n * S::LANES), n);
            each(row, &chunk[..self.to.blocks() * n * S::LANES]);
        }
    }

    /// One image back: fills `scratch.planes` with the gradients of the gathered values and adds the weights'
    /// gradients to `grads` (packed; empty if nobody asks).
    pub fn backward_weights<S: Simd>(
        &self,
        s: S,
        packed: &[f32],
        x: &[f32],
        grad: &RawGrad<'_>,
        scratch: &mut BlockScratch<'_>,
        grads: &mut [f32],
    ) {
        let at = self.packed;
        let (out, area, width) = (self.to.blocks(), self.output[0] * self.output[1], self.output[1]);
        let wanted = !grads.is_empty();
        let (depthwise_grads, pointwise_grads) =
            grads.split_at_mut(if wanted { self.packed_depthwise_grad() } else { 0 });
        let (plane, to_plane) = (self.plane, self.grad_plane);
        for (row, rows) in self.chunks() {
            let n = rows * width;
            let weights = &packed[at.depthwise..at.forward];
            let (x, x_block) = if wanted || grad.y.is_empty() {
                self.chunk(s, weights, x, (row, rows), scratch.gathered)
            } else {
                (&[][..], 0)
            };
            if grad.y.is_empty() {
                let w = &packed[at.forward..at.backward];
                self.multiply(s, w, (x, x_block), (&mut *scratch.raw, n * S::LANES), n);
            }
            for block in 0..out {
                let range = block * area * S::LANES + row * width * S::LANES..;
                let g = &grad.g[range.clone()][..n * S::LANES];
                let y = if grad.y.is_empty() { &scratch.raw[block * n * S::LANES..] } else { &grad.y[range] };
                let y = &y[..n * S::LANES];
                let to = &mut scratch.grad[block * n * S::LANES..][..n * S::LANES];
                let line = grad.norms.back_line(grad.grads, grad.norm, block);
                NormGrad { g, y, k: lanes(grad.k, S::LANES, block), line, to }.apply(s);
            }
            let (mut w, mut to) = (&packed[at.backward..at.len], &mut *pointwise_grads);
            for part in &self.parts {
                let (blocks, out, len) =
                    (part.sources.len(), part.outputs.len(), part.weights_len(S::LANES, S::LANES));
                let g = &scratch.grad[part.outputs.start * n * S::LANES..];
                if wanted {
                    let (part_grads, rest) = std::mem::take(&mut to).split_at_mut(len);
                    let x = &x[part.sources.start * x_block..];
                    pointwise::WeightGrad { g, g_block: n * S::LANES, out, x, x_block, blocks, n }
                        .add_to(s, part_grads);
                    to = rest;
                }
                if !scratch.planes.is_empty() {
                    let pixels = Pixels {
                        blocks: out,
                        lanes: S::LANES,
                        x_block: n * S::LANES,
                        x_row: width * S::LANES,
                        out: blocks,
                        y_block: to_plane.len(),
                        y_row: to_plane.row(),
                        rows,
                        n: width,
                    };
                    let start =
                        part.sources.start * to_plane.len() + to_plane.origin() + row * to_plane.row();
                    pointwise(s, g, w, &mut scratch.planes[start..], &pixels);
                }
                w = &w[len..];
            }
        }
        let Some([kernel, dilation, padding]) = self.kernel else { return };
        let per_block = self.taps() * S::LANES;
        for (block, to) in depthwise_grads.chunks_exact_mut(per_block).enumerate() {
            depthwise::WeightGrad {
                g: &scratch.planes[block * to_plane.len()..][..to_plane.len()],
                g_plane: to_plane,
                x: &x[block * plane.len()..][..plane.len()],
                x_plane: plane,
                kernel,
                dilation,
                stride: self.stride,
                padding,
            }
            .add_to(s, to);
        }
    }

    /// After [`Block::backward_weights`]: the gradient of the activated input, written or added to `to`
    /// (`[blocks, h, w, b]`).
    pub fn backward_input<S: Simd>(
        &self,
        s: S,
        packed: &[f32],
        planes: &[f32],
        accumulate: bool,
        to: &mut [f32],
    ) {
        let plane = self.grad_plane;
        let area = self.input[0] * self.input[1] * S::LANES;
        let per_block = self.taps() * S::LANES;
        for (gather, taps) in self.back_taps.iter().enumerate() {
            for (block, to) in to.chunks_exact_mut(area).enumerate() {
                let v = gather * self.from.blocks() + block;
                let g = &planes[v * plane.len()..][..plane.len()];
                let weights = &packed[v * per_block..][..per_block];
                let add = accumulate || gather > 0;
                taps.apply(s, (g, plane), weights, self.input, add, to);
            }
        }
    }
}

/// An image's means and sums of squared deviations, `[2, padded channels]`, of planes of `pixels`. Stretches of 64
/// pixels keep the rounding of a few dozen additions.
pub(crate) fn channel_moments<S: Simd>(s: S, y: &[f32], pixels: usize, stats: &mut [f64]) {
    let stretch = 64 * S::LANES;
    stats.fill(0.0);
    for (block, plane) in y.chunks_exact(pixels * S::LANES).enumerate() {
        for part in plane.chunks(stretch) {
            add_moments(s, part, lanes(plane, S::LANES, 0), block, stats);
        }
    }
    finish_moments(y, (pixels, S::LANES), pixels, stats);
}

/// Adds to a block's `[2, padded channels]` the sums of `y − pivot` and of its square.
fn add_moments<S: Simd>(s: S, y: &[f32], pivot: &[f32], block: usize, stats: &mut [f64]) {
    let half = stats.len() / 2;
    for (which, part) in moments(s, y, pivot).into_iter().enumerate() {
        let sums = &mut stats[which * half + block * S::LANES..][..S::LANES];
        sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += f64::from(part));
    }
}

/// Makes means and sums of squared deviations of such sums over `count` values; the first ones of `y`, `[blocks, pixels,
/// lanes]`, were the pivots.
fn finish_moments(y: &[f32], (pixels, lanes): (usize, usize), count: usize, stats: &mut [f64]) {
    let (means, squares) = stats.split_at_mut(stats.len() / 2);
    for (channel, (mean, square)) in means.iter_mut().zip(squares).enumerate() {
        let pivot = y[channel / lanes * pixels * lanes + channel % lanes];
        let (sum, count) = (*mean, count as f64);
        *mean = f64::from(pivot) + sum / count;
        *square = (*square - sum * sum / count).max(0.0);
    }
}

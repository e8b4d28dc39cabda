//! A dense convolution of stride 1 on planes as they lie: nothing is gathered, and the gradient of the input is another
//! such convolution, of the output's gradient. 3×3 kernels are computed by tiles where both sides fill a channel block.

use crate::block::{RawGrad, channel_moments};
use crate::blocked::{Channels, LANES, Width};
use crate::dense::{PAIR, Product, Reads, Walk, WeightGrad};
use crate::depthwise::Padded;
use crate::pixelwise::{PairedNormGrad, lanes};
use crate::simd::Simd;
use crate::winograd::{Outputs, Planes, Strip, Tiling};
use crate::workspace::Workspace;

/// The convolution's geometry.
#[derive(Debug, Clone)]
pub(crate) struct Direct {
    from: Channels,
    to: Channels,
    input: [usize; 2],
    output: [usize; 2],
    kernel: usize,
    padding: usize,
    tiling: Option<Tiling>,
}

impl Direct {
    /// The convolution of `[to, from, kernel, kernel]` weights, where this way is the fast one: at 1×1 there is nothing
    /// to gather, and rows that are no multiple of four pixels leave single ones over.
    pub fn new(
        from: Channels,
        to: usize,
        input: [usize; 2],
        [kernel, stride, padding]: [usize; 3],
    ) -> Option<Self> {
        let output = input.map(|side| (side + 2 * padding + 1).saturating_sub(kernel));
        let fast = kernel > 1 && [input[1], output[1]].iter().all(|width| width % 4 == 0);
        let usable = stride == 1 && padding < kernel && from.width == Width::Eight;
        let tiles = [kernel, padding] == [3, 1] && from.real().min(to) >= LANES;
        let tiling = Tiling::new(output).filter(|_| tiles);
        let to = Channels::new(to);
        (fast && usable).then_some(Self { from, to, input, output, kernel, padding, tiling })
    }

    fn taps(&self) -> impl Iterator<Item = [usize; 2]> + use<> {
        let kernel = self.kernel;
        (0..kernel * kernel).map(move |tap| [tap / kernel, tap % kernel])
    }

    /// Input planes with the zeros that the convolution reads beyond them.
    fn plane(&self) -> Padded {
        let [h, w] = self.input;
        Padded { h, w, border: self.padding, lanes: LANES }
    }

    /// Planes of the output's gradient, as counted in pixels of a pair: twice the floats of [`Padded`]'s.
    fn grad_plane(&self) -> Padded {
        let [h, w] = self.output;
        Padded { h, w, border: self.kernel - 1 - self.padding, lanes: LANES }
    }

    fn pairs(channels: Channels) -> usize {
        channels.blocks().div_ceil(2)
    }

    /// Reads of the input, tap by tap, block by block.
    fn reads(&self) -> Reads {
        let plane = self.plane();
        let blocks = self.from.blocks();
        let at = |[y, x]: [usize; 2]| {
            (0..blocks).map(move |block| block * plane.len() + y * plane.row() + x * LANES)
        };
        Reads { offsets: self.taps().flat_map(at).collect(), lanes: self.from.per_group.min(LANES) }
    }

    /// Reads of the output's gradient, tap by tap, block by block.
    fn grad_reads(&self) -> Reads {
        let (plane, last) = (self.grad_plane(), self.kernel - 1);
        let blocks = self.to.blocks();
        let at = |[y, x]: [usize; 2]| {
            let tap = (last - y) * 2 * plane.row() + (last - x) * PAIR;
            (0..blocks).map(move |block| plane.paired(block) + tap)
        };
        Reads { offsets: self.taps().flat_map(at).collect(), lanes: LANES }
    }

    /// Floats of the packed weights.
    pub fn packed_len(&self) -> usize {
        let pairs = Self::pairs(self.from);
        let back = match self.tiling {
            Some(tiling) => tiling.weights_len(self.to.blocks(), pairs),
            None => self.grad_reads().weights_len(pairs),
        };
        self.packed_grad_len() + back
    }

    /// Floats of the packed gradients of the weights.
    pub fn packed_grad_len(&self) -> usize {
        let pairs = Self::pairs(self.to);
        match self.tiling {
            Some(tiling) => tiling.weights_len(self.from.blocks(), pairs),
            None => self.reads().weights_len(pairs),
        }
    }

    /// Calls `each(flat position, packed position)` for every weight.
    fn each_weight(&self, mut each: impl FnMut(usize, usize)) {
        let (reads, pairs) = (self.reads(), Self::pairs(self.to));
        self.each_channels(|to, from, flat| {
            let column = reads.column(pairs, to);
            for tap in 0..self.kernel * self.kernel {
                each(flat + tap, column.at(tap * self.from.blocks() + from / LANES, from % LANES));
            }
        });
    }

    /// Flat position of the first tap from a padded channel of the input to one of the output.
    fn flat(&self, to: usize, from: usize) -> Option<usize> {
        Some((self.to.at(to)? * self.from.real() + self.from.at(from)?) * self.kernel * self.kernel)
    }

    /// Calls `each(padded output channel, padded input channel, flat position of the first tap)`.
    fn each_channels(&self, mut each: impl FnMut(usize, usize, usize)) {
        for to in 0..self.to.padded() {
            for from in 0..self.from.padded() {
                if let Some(flat) = self.flat(to, from) {
                    each(to, from, flat);
                }
            }
        }
    }

    /// Lays the caller's weights out for both ways.
    pub fn pack(&self, weights: &[f32], packed: &mut [f32]) {
        packed.fill(0.0);
        let (forward, backward) = packed.split_at_mut(self.packed_grad_len());
        if let Some(tiling) = self.tiling {
            return self.pack_tiled(tiling, weights, [forward, backward]);
        }
        self.each_weight(|flat, at| forward[at] = weights[flat]);
        let (reads, pairs) = (self.grad_reads(), Self::pairs(self.from));
        self.each_channels(|to, from, flat| {
            let column = reads.column(pairs, from);
            for tap in 0..self.kernel * self.kernel {
                backward[column.at(tap * self.to.blocks() + to / LANES, to % LANES)] = weights[flat + tap];
            }
        });
    }

    fn pack_tiled(&self, tiling: Tiling, weights: &[f32], [forward, backward]: [&mut [f32]; 2]) {
        let [from_blocks, to_blocks] = [self.from, self.to].map(Channels::blocks);
        let real = |channels: Channels| (0..channels.padded()).filter(move |&c| channels.at(c).is_some());
        for to in (0..self.to.padded()).step_by(LANES) {
            for from in real(self.from) {
                let firsts = std::array::from_fn(|lane| self.flat(to + lane, from));
                let at = tiling.weight_at(from_blocks, to, from);
                tiling.put_weights(weights, firsts, false, forward, at);
            }
        }
        for from in (0..self.from.padded()).step_by(LANES) {
            for to in real(self.to) {
                let firsts = std::array::from_fn(|lane| self.flat(to, from + lane));
                tiling.put_weights(weights, firsts, true, backward, tiling.weight_at(to_blocks, from, to));
            }
        }
    }

    /// Hands packed gradients over in the caller's layout.
    pub fn unpack_grads(&self, packed: &[f32], grads: &mut [f32]) {
        if let Some(tiling) = self.tiling {
            return self.unpack_tiled(tiling, packed, grads);
        }
        self.each_weight(|flat, at| grads[flat] = packed[at]);
    }

    fn unpack_tiled(&self, tiling: Tiling, packed: &[f32], grads: &mut [f32]) {
        let (blocks, pairs) = (self.from.blocks(), Self::pairs(self.to));
        for to in (0..self.to.padded()).step_by(LANES) {
            for from in 0..self.from.padded() {
                let firsts = std::array::from_fn(|lane| self.flat(to + lane, from));
                tiling.take_grads(packed, tiling.grad_at(blocks, pairs, to, from), firsts, grads);
            }
        }
    }

    /// First floats of the blocks of a plane of `size`.
    fn places(channels: Channels, [h, w]: [usize; 2]) -> Vec<usize> {
        (0..channels.blocks()).map(|block| block * h * w * LANES).collect()
    }

    /// One image forward, as [`crate::block::Block::forward`].
    pub fn forward<S: Simd>(
        &self,
        s: S,
        workspace: &Workspace,
        packed: &[f32],
        x: &[f32],
        y: &mut [f32],
        stats: Option<&mut [f64]>,
    ) {
        let [rows, n] = self.output;
        let places = Self::places(self.to, self.output);
        if let Some(tiling) = self.tiling {
            let mut strip = Strip::new(tiling, workspace, self.from.blocks(), 0);
            let x = Planes { data: x, blocks: &self.plane_blocks(), steps: [LANES, self.plane().row()] };
            let w = &packed[..self.packed_grad_len()];
            let mut y = Outputs { data: &mut *y, blocks: &places, add: false };
            tiling.convolve(s, x, w, &mut strip, &mut y);
        } else {
            let walk = Walk { x_pixel: LANES, x_row: self.plane().row(), y_row: n * LANES, rows, n };
            let (reads, places) = (&self.reads(), &places[..]);
            Product { x, reads, w: packed, w_row: 0, places, y_pixel: LANES, walk }.store(s, y);
        }
        if let Some(stats) = stats {
            channel_moments(s, y, rows * n, stats);
        }
    }

    /// First floats of the blocks of the input's planes.
    fn plane_blocks(&self) -> Vec<usize> {
        (0..self.from.blocks()).map(|block| block * self.plane().len()).collect()
    }

    /// One image back: adds to `weights` (packed; empty if nobody asks) and writes the gradient of the activated input.
    pub fn backward<S: Simd>(
        &self,
        s: S,
        workspace: &Workspace,
        packed: &[f32],
        x: &[f32],
        grad: &RawGrad<'_>,
        (weights, to): (&mut [f32], Option<&mut [f32]>),
    ) {
        let mut planes = workspace.take_zeroed(Self::pairs(self.to) * 2 * self.grad_plane().len());
        self.grad_planes(s, grad, &mut planes);
        let packed = &packed[self.packed_grad_len()..];
        match self.tiling {
            Some(tiling) => self.tiles_back(s, tiling, workspace, packed, [x, &planes], (weights, to)),
            None => self.reads_back(s, packed, [x, &planes], (weights, to)),
        }
    }

    /// The raw output's gradient, in planes of pairs inside a border of zeros.
    fn grad_planes<S: Simd>(&self, s: S, grad: &RawGrad<'_>, planes: &mut [f32]) {
        let plane = self.grad_plane();
        let (to_row, origin) = (2 * plane.row(), 2 * plane.origin());
        let area = plane.h * plane.w * LANES;
        for block in 0..self.to.blocks() {
            let [g, y] = [grad.g, grad.y].map(|of| &of[block * area..][..area]);
            let line = grad.norms.back_line(grad.grads, grad.norm, block);
            let to = &mut planes[plane.paired(block) + origin..];
            PairedNormGrad { g, y, k: lanes(grad.k, LANES, block), line, w: plane.w, to, to_row }.apply(s);
        }
    }

    fn reads_back<S: Simd>(
        &self,
        s: S,
        packed: &[f32],
        [x, planes]: [&[f32]; 2],
        (weights, to): (&mut [f32], Option<&mut [f32]>),
    ) {
        let (plane, pairs) = (self.grad_plane(), Self::pairs(self.to));
        let (row, origin) = (2 * plane.row(), 2 * plane.origin());
        if !weights.is_empty() {
            let x_row = self.plane().row();
            let walk = Walk { x_pixel: LANES, x_row, y_row: row, rows: plane.h, n: plane.w };
            let (g, g_pair) = (&planes[origin..], 2 * plane.len());
            WeightGrad { x, reads: &self.reads(), g, g_pair, pairs, walk }.add_to(s, weights);
        }
        if let Some(to) = to {
            let [rows, n] = self.input;
            let walk = Walk { x_pixel: PAIR, x_row: row, y_row: n * LANES, rows, n };
            let (reads, places) = (&self.grad_reads(), &Self::places(self.from, self.input)[..]);
            Product { x: planes, reads, w: packed, w_row: 0, places, y_pixel: LANES, walk }.store(s, to);
        }
    }

    fn tiles_back<S: Simd>(
        &self,
        s: S,
        tiling: Tiling,
        workspace: &Workspace,
        packed: &[f32],
        [x, planes]: [&[f32]; 2],
        (weights, to): (&mut [f32], Option<&mut [f32]>),
    ) {
        let [from, outputs] = [self.from, self.to].map(Channels::blocks);
        let mut strip = Strip::new(tiling, workspace, from.max(outputs), outputs);
        let plane = self.grad_plane();
        let grad_blocks: Vec<usize> = (0..outputs).map(|block| plane.paired(block)).collect();
        let grad = Planes { data: planes, blocks: &grad_blocks, steps: [PAIR, 2 * plane.row()] };
        if !weights.is_empty() {
            let x = Planes { data: x, blocks: &self.plane_blocks(), steps: [LANES, self.plane().row()] };
            tiling.weight_grads(s, x, grad, &mut strip, weights);
        }
        if let Some(to) = to {
            let places = Self::places(self.from, self.input);
            let mut to = Outputs { data: to, blocks: &places, add: false };
            tiling.convolve(s, grad, packed, &mut strip, &mut to);
        }
    }
}

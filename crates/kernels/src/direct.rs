//! A dense convolution of stride 1 on planes as they lie: nothing is gathered, and the gradient of the input is another
//! such convolution, of the output's gradient.

use crate::block::{RawGrad, channel_moments};
use crate::blocked::{Channels, LANES};
use crate::dense::{PAIR, Product, Reads, Walk, WeightGrad};
use crate::depthwise::Padded;
use crate::pixelwise::{PairedNormGrad, lanes};
use crate::simd::Simd;

/// The convolution's geometry.
#[derive(Debug, Clone)]
pub(crate) struct Direct {
    from: Channels,
    to: Channels,
    input: [usize; 2],
    output: [usize; 2],
    kernel: usize,
    padding: usize,
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
        let usable = stride == 1 && padding < kernel;
        (fast && usable).then_some(Self { from, to: Channels::new(to), input, output, kernel, padding })
    }

    fn taps(&self) -> impl Iterator<Item = [usize; 2]> + use<> {
        let kernel = self.kernel;
        (0..kernel * kernel).map(move |tap| [tap / kernel, tap % kernel])
    }

    /// Input planes with the zeros that the convolution reads beyond them.
    fn plane(&self) -> Padded {
        let [h, w] = self.input;
        Padded { h, w, border: self.padding }
    }

    /// Planes of the output's gradient, as counted in pixels of a pair: twice the floats of [`Padded`]'s.
    fn grad_plane(&self) -> Padded {
        let [h, w] = self.output;
        Padded { h, w, border: self.kernel - 1 - self.padding }
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
            (0..blocks).map(move |block| block / 2 * 2 * plane.len() + tap + block % 2 * LANES)
        };
        Reads { offsets: self.taps().flat_map(at).collect(), lanes: LANES }
    }

    /// Floats of the packed weights.
    pub fn packed_len(&self) -> usize {
        self.packed_grad_len() + self.grad_reads().weights_len(Self::pairs(self.from))
    }

    /// Floats of the packed gradients of the weights.
    pub fn packed_grad_len(&self) -> usize {
        self.reads().weights_len(Self::pairs(self.to))
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

    /// Calls `each(padded output channel, padded input channel, flat position of the first tap)`.
    fn each_channels(&self, mut each: impl FnMut(usize, usize, usize)) {
        let taps = self.kernel * self.kernel;
        for (to, real_to) in (0..self.to.padded()).filter_map(|c| Some((c, self.to.at(c)?))) {
            for (from, real_from) in (0..self.from.padded()).filter_map(|c| Some((c, self.from.at(c)?))) {
                each(to, from, (real_to * self.from.real() + real_from) * taps);
            }
        }
    }

    /// Lays the caller's weights out for both ways.
    pub fn pack(&self, weights: &[f32], packed: &mut [f32]) {
        packed.fill(0.0);
        let (forward, backward) = packed.split_at_mut(self.packed_grad_len());
        self.each_weight(|flat, at| forward[at] = weights[flat]);
        let (reads, pairs) = (self.grad_reads(), Self::pairs(self.from));
        self.each_channels(|to, from, flat| {
            let column = reads.column(pairs, from);
            for tap in 0..self.kernel * self.kernel {
                backward[column.at(tap * self.to.blocks() + to / LANES, to % LANES)] = weights[flat + tap];
            }
        });
    }

    /// Hands packed gradients over in the caller's layout.
    pub fn unpack_grads(&self, packed: &[f32], grads: &mut [f32]) {
        self.each_weight(|flat, at| grads[flat] = packed[at]);
    }

    /// First floats of the blocks of a plane of `size`.
    fn places(channels: Channels, [h, w]: [usize; 2]) -> Vec<usize> {
        (0..channels.blocks()).map(|block| block * h * w * LANES).collect()
    }

    /// One image forward, as [`crate::block::Block::forward`].
    pub fn forward<S: Simd>(
        &self,
        s: S,
        packed: &[f32],
        x: &[f32],
        y: &mut [f32],
        stats: Option<&mut [f64]>,
    ) {
        let [rows, n] = self.output;
        let walk = Walk { x_pixel: LANES, x_row: self.plane().row(), y_row: n * LANES, rows, n };
        let places = Self::places(self.to, self.output);
        Product { x, reads: &self.reads(), w: packed, w_row: 0, places: &places, y_pixel: LANES, walk }.store(s, y);
        if let Some(stats) = stats {
            channel_moments(s, y, rows * n, stats);
        }
    }

    /// Floats of the planes that [`Direct::backward`] needs.
    pub fn planes_len(&self) -> usize {
        Self::pairs(self.to) * 2 * self.grad_plane().len()
    }

    /// One image back: adds to `weights` (packed; empty if nobody asks) and writes the gradient of the activated input.
    /// `planes` has zeros in its borders, and everywhere in the second half of an odd number of blocks.
    pub fn backward<S: Simd>(
        &self,
        s: S,
        packed: &[f32],
        x: &[f32],
        grad: &RawGrad<'_>,
        planes: &mut [f32],
        (weights, to): (&mut [f32], Option<&mut [f32]>),
    ) {
        let (plane, pairs) = (self.grad_plane(), Self::pairs(self.to));
        let (row, origin) = (2 * plane.row(), 2 * plane.origin());
        let area = plane.h * plane.w * LANES;
        for block in 0..self.to.blocks() {
            let [g, y] = [grad.g, grad.y].map(|of| &of[block * area..][..area]);
            let line = grad.norms.back_line(grad.grads, grad.norm, block);
            let to = &mut planes[block / 2 * 2 * plane.len() + origin + block % 2 * LANES..];
            PairedNormGrad { g, y, k: lanes(grad.k, block), line, w: plane.w, to, to_row: row }.apply(s);
        }
        if !weights.is_empty() {
            let x_row = self.plane().row();
            let walk = Walk { x_pixel: LANES, x_row, y_row: row, rows: plane.h, n: plane.w };
            let (g, g_pair) = (&planes[origin..], 2 * plane.len());
            WeightGrad { x, reads: &self.reads(), g, g_pair, pairs, walk }.add_to(s, weights);
        }
        if let Some(to) = to {
            let [rows, n] = self.input;
            let walk = Walk { x_pixel: PAIR, x_row: row, y_row: n * LANES, rows, n };
            let (w, places) = (&packed[self.packed_grad_len()..], Self::places(self.from, self.input));
            let reads = self.grad_reads();
            Product { x: planes, reads: &reads, w, w_row: 0, places: &places, y_pixel: LANES, walk }.store(s, to);
        }
    }
}

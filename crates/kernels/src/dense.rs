//! Dense convolutions without gathering: every output pixel is a sum over *reads*, displaced pixels of padded planes,
//! and the gradient of the weights is the same walk with another sum.
//!
//! Sixteen output channels (a *pair* of blocks, which may belong to different convolutions that read the same planes)
//! are one register where the processor has such; up to three pairs share each value read.

use std::ops::Range;

use crate::blocked::LANES;
use crate::simd::{Kernel, Simd};

/// Channels of a pair.
pub(crate) const PAIR: usize = 2 * LANES;

/// Pairs that share a value read: with eight pixels they fill 24 of 32 registers.
const GROUP: usize = 3;

/// Pairs in groups of at most three, as even as can be; weights and their gradients are laid out by group.
pub(crate) fn pair_groups(pairs: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    let groups = pairs.div_ceil(GROUP);
    (0..groups).map(move |g| g * pairs / groups..(g + 1) * pairs / groups)
}

/// Where an output pixel reads: positions of the reads for the first output, `lanes` channels each.
#[derive(Debug, Clone)]
pub(crate) struct Reads {
    pub offsets: Vec<usize>,
    pub lanes: usize,
}

impl Reads {
    /// Products a channel of output.
    pub fn fan(&self) -> usize {
        self.offsets.len() * self.lanes
    }

    /// Floats of the weights of `pairs` pairs.
    pub fn weights_len(&self, pairs: usize) -> usize {
        pairs * self.fan() * PAIR
    }

    /// Where the weights of output channel `channel` of `16 * pairs` lie.
    pub fn column(&self, pairs: usize, channel: usize) -> Column {
        Column::new(pairs, [self.offsets.len(), self.lanes], channel)
    }
}

/// The weights of one output channel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    first: usize,
    step: usize,
    lanes: usize,
}

impl Column {
    /// Of output channel `channel` of `16 * pairs`; the layout of all is `[groups][reads][lanes][pairs of the group][16]`.
    pub fn new(pairs: usize, [reads, lanes]: [usize; 2], channel: usize) -> Self {
        let pair = channel / PAIR;
        let group = pair_groups(pairs).find(|group| group.contains(&pair)).unwrap_or(0..1);
        let first = (group.start * reads * lanes + pair - group.start) * PAIR + channel % PAIR;
        Self { first, step: group.len() * PAIR, lanes }
    }

    /// Position of the weight of channel `lane` of read `read`.
    pub fn at(&self, read: usize, lane: usize) -> usize {
        self.first + (read * self.lanes + lane) * self.step
    }
}

/// Rows of pixels to walk over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walk {
    /// Floats between successive pixels' reads: 8, or 16 for planes of pairs or for stride 2.
    pub x_pixel: usize,
    /// Floats between rows of reads.
    pub x_row: usize,
    /// Floats between rows of outputs (or of their gradients).
    pub y_row: usize,
    /// Rows.
    pub rows: usize,
    /// Pixels in a row.
    pub n: usize,
}

impl Walk {
    fn check(&self, x: &[f32], reads: &Reads) {
        assert!(self.x_pixel == LANES || self.x_pixel == PAIR, "reads are 8 or 16 floats apart");
        let last = (self.rows - 1) * self.x_row + (self.n - 1) * self.x_pixel + reads.lanes;
        assert!(reads.offsets.iter().all(|offset| offset + last <= x.len()));
    }

    fn is_empty(&self, reads: &Reads) -> bool {
        self.rows == 0 || self.n == 0 || reads.offsets.is_empty()
    }
}

/// `y[channel] = Σ w x` for every pixel. `places` says where each output block's first pixel goes; pixels of a block
/// lie `y_pixel` floats apart. With an odd number of blocks the last pair's second half goes nowhere.
pub(crate) struct Product<'a> {
    pub x: &'a [f32],
    pub reads: &'a Reads,
    pub w: &'a [f32],
    /// Floats from one row's weights to the next row's; 0 where all rows have the same.
    pub w_row: usize,
    pub places: &'a [usize],
    pub y_pixel: usize,
    pub walk: Walk,
}

impl Product<'_> {
    /// Writes all outputs.
    pub fn store<S: Simd>(&self, s: S, y: &mut [f32]) {
        assert_eq!(S::LANES, LANES, "dense products know blocks of one width");
        if self.walk.is_empty(self.reads) {
            return;
        }
        self.walk.check(self.x, self.reads);
        let weights = self.reads.weights_len(self.places.len().div_ceil(2));
        assert!((self.walk.rows - 1) * self.w_row + weights <= self.w.len());
        let last = (self.walk.rows - 1) * self.walk.y_row + (self.walk.n - 1) * self.y_pixel + LANES;
        assert!(self.places.iter().all(|place| place + last <= y.len()));
        let y = y.as_mut_ptr();
        match self.walk.x_pixel {
            LANES => s.call(Tiles::<LANES> { of: self, y }),
            _ => s.call(Tiles::<PAIR> { of: self, y }),
        }
    }
}

struct Tiles<'a, const P: usize> {
    of: &'a Product<'a>,
    y: *mut f32,
}

impl<const P: usize> Kernel for Tiles<'_, P> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for group in pair_groups(self.of.places.len().div_ceil(2)) {
            // SAFETY: `Product::store` checked the extremes of reads, weights and outputs.
            unsafe {
                match group.len() {
                    _ if !S::WIDE => {
                        for pair in group.clone() {
                            self.rows::<S, 1>(&group, pair);
                        }
                    }
                    1 => self.rows::<S, 1>(&group, group.start),
                    2 => self.rows::<S, 2>(&group, group.start),
                    _ => self.rows::<S, 3>(&group, group.start),
                }
            }
        }
    }
}

impl<const P: usize> Tiles<'_, P> {
    /// `B` pairs from `pair` on, which belong to `group`.
    #[inline(always)]
    unsafe fn rows<S: Simd, const B: usize>(&self, group: &Range<usize>, pair: usize) {
        let n = self.of.walk.n;
        for row in 0..self.of.walk.rows {
            let mut i = 0;
            // SAFETY: tiles stay inside the row.
            unsafe {
                if S::WIDE {
                    while B == 1 && i + 16 <= n {
                        self.tile::<S, 16, B>(group, pair, row, i);
                        i += 16;
                    }
                    while i + 8 <= n {
                        self.tile::<S, 8, B>(group, pair, row, i);
                        i += 8;
                    }
                }
                while i + 4 <= n {
                    self.tile::<S, 4, B>(group, pair, row, i);
                    i += 4;
                }
                while i < n {
                    self.tile::<S, 1, B>(group, pair, row, i);
                    i += 1;
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn tile<S: Simd, const T: usize, const B: usize>(
        &self,
        group: &Range<usize>,
        pair: usize,
        row: usize,
        i: usize,
    ) {
        let Product { reads, walk, .. } = self.of;
        let step = group.len() * PAIR;
        let first = group.start * reads.fan() * PAIR + (pair - group.start) * PAIR;
        // SAFETY: the caller keeps pairs, row and pixels inside what `Product::store` checked.
        unsafe {
            let mut sums = [[S::splat_pair(0.0); B]; T];
            let mut w = self.of.w.as_ptr().add(row * self.of.w_row + first);
            let x = self.of.x.as_ptr().add(row * walk.x_row + i * P);
            for &offset in &reads.offsets {
                let x = x.add(offset);
                for lane in 0..reads.lanes {
                    let mut ws = [S::splat_pair(0.0); B];
                    for (b, v) in ws.iter_mut().enumerate() {
                        *v = S::load_pair(w.add(b * PAIR));
                    }
                    for (t, sums) in sums.iter_mut().enumerate() {
                        let v = S::splat_pair(*x.add(t * P + lane));
                        for (sum, &w) in sums.iter_mut().zip(&ws) {
                            *sum = S::fma_pair(w, v, *sum);
                        }
                    }
                    w = w.add(step);
                }
            }
            let at = row * walk.y_row + i * self.of.y_pixel;
            for b in 0..B {
                let places = &self.of.places[2 * (pair + b)..];
                let [low, high] =
                    [places.first(), places.get(1)].map(|place| place.map(|place| self.y.add(place + at)));
                for (t, sums) in sums.iter().enumerate() {
                    let halves = S::halves(sums[b]);
                    for (to, half) in [low, high].into_iter().zip(halves) {
                        if let Some(to) = to {
                            S::store(to.add(t * self.of.y_pixel), half);
                        }
                    }
                }
            }
        }
    }
}

/// `w[channel][read, lane] += Σ g x` over all pixels; `g` is planes of pairs `[pairs, .., 16]`, `g_pair` floats apart,
/// and the sums are laid out like the weights.
pub(crate) struct WeightGrad<'a> {
    pub x: &'a [f32],
    pub reads: &'a Reads,
    /// From the first pixel on.
    pub g: &'a [f32],
    pub g_pair: usize,
    pub pairs: usize,
    pub walk: Walk,
}

impl WeightGrad<'_> {
    /// Adds into `to`.
    pub fn add_to<S: Simd>(&self, s: S, to: &mut [f32]) {
        assert_eq!(S::LANES, LANES, "dense products know blocks of one width");
        if self.walk.is_empty(self.reads) || self.pairs == 0 {
            return;
        }
        self.walk.check(self.x, self.reads);
        let last = (self.walk.rows - 1) * self.walk.y_row + self.walk.n * PAIR;
        assert!((self.pairs - 1) * self.g_pair + last <= self.g.len());
        assert!(self.reads.weights_len(self.pairs) <= to.len());
        let to = to.as_mut_ptr();
        match self.walk.x_pixel {
            LANES => s.call(Outer::<LANES> { of: self, to }),
            _ => s.call(Outer::<PAIR> { of: self, to }),
        }
    }
}

struct Outer<'a, const P: usize> {
    of: &'a WeightGrad<'a>,
    to: *mut f32,
}

impl<const P: usize> Kernel for Outer<'_, P> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for group in pair_groups(self.of.pairs) {
            // SAFETY: `WeightGrad::add_to` checked the extremes of reads, gradients and sums.
            unsafe {
                match group.len() {
                    _ if !S::WIDE => {
                        for pair in group.clone() {
                            self.reads::<S, 1, 4, 1>(&group, pair);
                        }
                    }
                    1 => self.reads::<S, 2, 8, 1>(&group, group.start),
                    2 => self.reads::<S, 1, 8, 2>(&group, group.start),
                    _ => self.reads::<S, 1, 8, 3>(&group, group.start),
                }
            }
        }
    }
}

impl<const P: usize> Outer<'_, P> {
    /// All reads against `B` pairs, `R` reads and `L` lanes at a time where there are so many.
    #[inline(always)]
    unsafe fn reads<S: Simd, const R: usize, const L: usize, const B: usize>(
        &self,
        group: &Range<usize>,
        pair: usize,
    ) {
        let reads = self.of.reads;
        let step = group.len() * PAIR;
        let mut read = 0;
        // SAFETY: reads and lanes stay below their numbers.
        unsafe {
            let to = self.to.add(group.start * reads.fan() * PAIR + (pair - group.start) * PAIR);
            while read + R <= reads.offsets.len() {
                self.lanes::<S, R, L, B>(read, pair, to, step);
                read += R;
            }
            while read < reads.offsets.len() {
                self.lanes::<S, 1, L, B>(read, pair, to, step);
                read += 1;
            }
        }
    }

    #[inline(always)]
    unsafe fn lanes<S: Simd, const R: usize, const L: usize, const B: usize>(
        &self,
        read: usize,
        pair: usize,
        to: *mut f32,
        step: usize,
    ) {
        let mut lane = 0;
        // SAFETY: lanes stay below their number.
        unsafe {
            while lane + L <= self.of.reads.lanes {
                self.tile::<S, R, L, B>(read, lane, pair, to, step);
                lane += L;
            }
            while lane < self.of.reads.lanes {
                self.tile::<S, R, 1, B>(read, lane, pair, to, step);
                lane += 1;
            }
        }
    }

    /// Sums of `R` reads' `L` lanes and `B` pairs in registers over all pixels.
    #[inline(always)]
    unsafe fn tile<S: Simd, const R: usize, const L: usize, const B: usize>(
        &self,
        read: usize,
        lane: usize,
        pair: usize,
        to: *mut f32,
        step: usize,
    ) {
        let WeightGrad { x, reads, g, g_pair, walk, .. } = self.of;
        let at = |r: usize, l: usize, b: usize| ((read + r) * reads.lanes + lane + l) * step + b * PAIR;
        // SAFETY: the caller keeps reads, lanes and pairs inside what `WeightGrad::add_to` checked.
        unsafe {
            let mut sums = [[[S::splat_pair(0.0); B]; L]; R];
            for (r, sums) in sums.iter_mut().enumerate() {
                for (l, sums) in sums.iter_mut().enumerate() {
                    for (b, sum) in sums.iter_mut().enumerate() {
                        *sum = S::load_pair(to.add(at(r, l, b)));
                    }
                }
            }
            let mut places = [x.as_ptr(); R];
            for (r, place) in places.iter_mut().enumerate() {
                *place = place.add(reads.offsets[read + r] + lane);
            }
            for y in 0..walk.rows {
                let g = g.as_ptr().add(pair * g_pair + y * walk.y_row);
                for i in 0..walk.n {
                    let mut gs = [S::splat_pair(0.0); B];
                    for (b, v) in gs.iter_mut().enumerate() {
                        *v = S::load_pair(g.add(b * g_pair + i * PAIR));
                    }
                    for (place, sums) in places.iter().zip(&mut sums) {
                        let x = place.add(y * walk.x_row + i * P);
                        for (l, sums) in sums.iter_mut().enumerate() {
                            let v = S::splat_pair(*x.add(l));
                            for (sum, &g) in sums.iter_mut().zip(&gs) {
                                *sum = S::fma_pair(g, v, *sum);
                            }
                        }
                    }
                }
            }
            for (r, sums) in sums.iter().enumerate() {
                for (l, sums) in sums.iter().enumerate() {
                    for (b, &sum) in sums.iter().enumerate() {
                        S::store_pair(to.add(at(r, l, b)), sum);
                    }
                }
            }
        }
    }
}

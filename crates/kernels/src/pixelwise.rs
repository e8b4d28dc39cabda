//! What is done pixel by pixel on one channel block: normalise-on-read, statistics, the gradient of a norm, and
//! the weighted sums of a node. Every function takes planes `[pixels, b]` and a block's coefficients.

use crate::blocked::MAX_LANES;
use crate::simd::{Kernel, Simd};

/// One value a channel of a block of any width: narrow ones leave the rest unused.
pub(crate) type Lanes = [f32; MAX_LANES];

/// Pixels that keep independent sums going.
const UNROLL: usize = 4;

/// The values of block `block` in a per-channel array.
pub(crate) fn lanes(of: &[f32], lanes: usize, block: usize) -> &[f32] {
    &of[block * lanes..][..lanes]
}

fn pixels<S: Simd>(slices: &[usize]) -> usize {
    assert!(slices.windows(2).all(|pair| pair[0] == pair[1]), "planes of one block differ in length");
    slices[0] / S::LANES
}

/// A block's coefficients in a register.
///
/// # Safety
/// Inside a kernel only.
#[inline(always)]
unsafe fn load_lanes<S: Simd>(of: &[f32]) -> S::V {
    assert!(of.len() >= S::LANES, "a block has a coefficient a channel");
    // SAFETY: so many floats are there.
    unsafe { S::load(of.as_ptr()) }
}

/// Walks `$n` pixels, `$offset` being each one's position in floats.
macro_rules! each_pixel {
    ($n:expr, $offset:ident => $body:block) => {
        for i in 0..$n {
            let $offset = i * S::LANES;
            $body
        }
    };
}

/// A norm's channels of one block: `a (y − centre) + b`. Subtracting first keeps channels whose mean is large against
/// their deviation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    pub centre: &'a [f32],
    pub a: &'a [f32],
    pub b: &'a [f32],
}

impl Line<'_> {
    /// The slope times `k`.
    pub fn slope(&self, k: f32) -> Lanes {
        let mut slope = [0.0; MAX_LANES];
        slope.iter_mut().zip(self.a).for_each(|(slope, a)| *slope = a * k);
        slope
    }

    /// `x` itself.
    pub const IDENTITY: Self = Self { centre: &[0.0; MAX_LANES], a: &[1.0; MAX_LANES], b: &[0.0; MAX_LANES] };
}

/// A [`Line`] in registers.
#[derive(Clone, Copy)]
struct Coefficients<S: Simd> {
    centre: S::V,
    a: S::V,
    b: S::V,
}

impl<S: Simd> Coefficients<S> {
    /// # Safety
    /// Inside a kernel only.
    #[inline(always)]
    unsafe fn load(line: &Line<'_>) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let [centre, a, b] =
                [load_lanes::<S>(line.centre), load_lanes::<S>(line.a), load_lanes::<S>(line.b)];
            Self { centre, a, b }
        }
    }

    /// # Safety
    /// Inside a kernel only.
    #[inline(always)]
    unsafe fn at(self, y: S::V) -> S::V {
        // SAFETY: the caller's.
        unsafe { S::fma(self.a, S::sub(y, self.centre), self.b) }
    }
}

/// Writes rows of `w` pixels of `x` into rows `to_row` floats apart: `max(line(x), floor)`.
pub(crate) struct Activate<'a> {
    pub x: &'a [f32],
    pub w: usize,
    pub line: Line<'a>,
    pub floor: f32,
    pub to: &'a mut [f32],
    pub to_row: usize,
}

impl Activate<'_> {
    /// Does it.
    pub fn apply<S: Simd>(self, s: S) {
        let rows = self.x.len() / (self.w * S::LANES);
        assert!(rows == 0 || (rows - 1) * self.to_row + self.w * S::LANES <= self.to.len());
        s.call(self);
    }
}

impl Kernel for Activate<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let rows = self.x.len() / (self.w * S::LANES);
        // SAFETY: `apply` checked the last row.
        unsafe {
            let (line, floor) = (Coefficients::<S>::load(&self.line), S::splat(self.floor));
            for row in 0..rows {
                let x = self.x.as_ptr().add(row * self.w * S::LANES);
                let to = self.to.as_mut_ptr().add(row * self.to_row);
                each_pixel!(self.w, i => {
                    S::store(to.add(i), S::max(line.at(S::load(x.add(i))), floor));
                });
            }
        }
    }
}

/// Sums of `y − pivot` and of its square, which do not cancel where the mean is large.
pub(crate) fn moments<S: Simd>(s: S, y: &[f32], pivot: &[f32]) -> [Lanes; 2] {
    s.call(MomentSums { y, pivot })
}

struct MomentSums<'a> {
    y: &'a [f32],
    pivot: &'a [f32],
}

impl Kernel for MomentSums<'_> {
    type Out = [Lanes; 2];

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> [Lanes; 2] {
        let n = self.y.len() / S::LANES;
        // SAFETY: whole pixels of `y`.
        unsafe {
            let y = self.y.as_ptr();
            let pivot = load_lanes::<S>(self.pivot);
            let mut sums = [S::splat(0.0); UNROLL];
            let mut squares = [S::splat(0.0); UNROLL];
            for i in (0..n - n % UNROLL).step_by(UNROLL) {
                for u in 0..UNROLL {
                    let v = S::sub(S::load(y.add((i + u) * S::LANES)), pivot);
                    sums[u] = S::add(sums[u], v);
                    squares[u] = S::fma(v, v, squares[u]);
                }
            }
            for i in n - n % UNROLL..n {
                let v = S::sub(S::load(y.add(i * S::LANES)), pivot);
                sums[0] = S::add(sums[0], v);
                squares[0] = S::fma(v, v, squares[0]);
            }
            [fold::<S>(sums), fold::<S>(squares)]
        }
    }
}

/// Adds up unrolled sums.
///
/// # Safety
/// Inside a kernel only.
#[inline(always)]
unsafe fn fold<S: Simd>(sums: [S::V; UNROLL]) -> Lanes {
    let mut lanes = [0.0; MAX_LANES];
    // SAFETY: `lanes` has room for any vector.
    unsafe {
        let total = S::add(S::add(sums[0], sums[1]), S::add(sums[2], sums[3]));
        S::store(lanes.as_mut_ptr(), total);
    }
    lanes
}

/// Sums of `g (y − centre)` and of `g`.
pub(crate) fn dot<S: Simd>(s: S, g: &[f32], y: &[f32], centre: &[f32]) -> [Lanes; 2] {
    pixels::<S>(&[g.len(), y.len()]);
    s.call(DotSums { g, y, centre })
}

struct DotSums<'a> {
    g: &'a [f32],
    y: &'a [f32],
    centre: &'a [f32],
}

impl Kernel for DotSums<'_> {
    type Out = [Lanes; 2];

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> [Lanes; 2] {
        let n = self.y.len() / S::LANES;
        // SAFETY: `dot` checked that both have `n` pixels.
        unsafe {
            let (g, y, centre) = (self.g.as_ptr(), self.y.as_ptr(), load_lanes::<S>(self.centre));
            let mut dots = [S::splat(0.0); UNROLL];
            let mut sums = [S::splat(0.0); UNROLL];
            for i in (0..n - n % UNROLL).step_by(UNROLL) {
                for u in 0..UNROLL {
                    let v = S::load(g.add((i + u) * S::LANES));
                    dots[u] = S::fma(v, S::sub(S::load(y.add((i + u) * S::LANES)), centre), dots[u]);
                    sums[u] = S::add(sums[u], v);
                }
            }
            for i in n - n % UNROLL..n {
                let v = S::load(g.add(i * S::LANES));
                dots[0] = S::fma(v, S::sub(S::load(y.add(i * S::LANES)), centre), dots[0]);
                sums[0] = S::add(sums[0], v);
            }
            [fold::<S>(dots), fold::<S>(sums)]
        }
    }
}

/// One plane of several that are read together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Term<'a> {
    pub y: &'a [f32],
    pub centre: &'a [f32],
    /// Weight of the plane; [`dots`] has no use for it.
    pub a: Lanes,
}

/// Coefficients of several planes. A loop in the place of a closure's call: what is not inlined lacks the instructions.
#[inline(always)]
unsafe fn term_lanes<S: Simd, const P: usize>(
    terms: &[Term<'_>; P],
    of: impl for<'t> Fn(&'t Term<'_>) -> &'t [f32],
) -> [S::V; P] {
    // SAFETY: the caller's.
    unsafe {
        let mut vectors = [S::splat(0.0); P];
        for (v, term) in vectors.iter_mut().zip(terms) {
            *v = load_lanes::<S>(of(term));
        }
        vectors
    }
}

/// Planes read at a time: several streams keep more of memory's bandwidth busy than one.
const STREAMS: usize = 4;

/// `to = bias + Σ a (y − centre)` over all terms.
pub(crate) fn weighted_sum<S: Simd>(s: S, bias: &[f32], terms: &[Term<'_>], to: &mut [f32]) {
    if terms.is_empty() {
        return to.chunks_exact_mut(S::LANES).for_each(|pixel| pixel.copy_from_slice(&bias[..S::LANES]));
    }
    assert!(terms.iter().all(|term| term.y.len() == to.len()));
    s.call(WeightedSum { bias: Some(bias), terms, to });
}

/// `to += Σ a (y − centre)` over all terms.
pub(crate) fn add_weighted<S: Simd>(s: S, terms: &[Term<'_>], to: &mut [f32]) {
    assert!(terms.iter().all(|term| term.y.len() == to.len()));
    s.call(WeightedSum { bias: None, terms, to });
}

struct WeightedSum<'a> {
    /// What the sum begins with; else with what is there.
    bias: Option<&'a [f32]>,
    terms: &'a [Term<'a>],
    to: &'a mut [f32],
}

impl Kernel for WeightedSum<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(mut self) {
        let (groups, rest) = self.terms.as_chunks::<STREAMS>();
        // SAFETY: `weighted_sum` checked that all planes have the same pixels.
        unsafe {
            for (i, group) in groups.iter().enumerate() {
                self.add::<S, STREAMS>(group, self.bias.filter(|_| i == 0));
            }
            // The last few together: a pass for each would read and write the sum as often.
            let first = self.bias.filter(|_| groups.is_empty());
            match *rest {
                [a] => self.add::<S, 1>(&[a], first),
                [a, b] => self.add::<S, 2>(&[a, b], first),
                [a, b, c] => self.add::<S, 3>(&[a, b, c], first),
                _ => {}
            }
        }
    }
}

impl WeightedSum<'_> {
    #[inline(always)]
    unsafe fn add<S: Simd, const P: usize>(&mut self, terms: &[Term<'_>; P], bias: Option<&[f32]>) {
        // SAFETY: as in `run`.
        unsafe {
            let to = self.to.as_mut_ptr();
            let first = bias.is_some();
            let bias = load_lanes::<S>(bias.unwrap_or(&[0.0; MAX_LANES]));
            let y = terms.each_ref().map(|term| term.y.as_ptr());
            let a = term_lanes::<S, P>(terms, |term| &term.a);
            let centre = term_lanes::<S, P>(terms, |term| term.centre);
            each_pixel!(self.to.len() / S::LANES, i => {
                let mut sum = if first { bias } else { S::load(to.add(i)) };
                for p in 0..P {
                    sum = S::fma(a[p], S::sub(S::load(y[p].add(i)), centre[p]), sum);
                }
                S::store(to.add(i), sum);
            });
        }
    }
}

/// For every term the sum of `g (y − centre)`, and last the sum of `g`.
pub(crate) fn dots<S: Simd>(s: S, g: &[f32], terms: &[Term<'_>]) -> Vec<Lanes> {
    assert!(terms.iter().all(|term| term.y.len() == g.len()));
    s.call(Dots { g, terms })
}

struct Dots<'a> {
    g: &'a [f32],
    terms: &'a [Term<'a>],
}

impl Kernel for Dots<'_> {
    type Out = Vec<Lanes>;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> Vec<Lanes> {
        let mut sums = vec![[0.0; MAX_LANES]; self.terms.len() + 1];
        let (groups, rest) = self.terms.as_chunks::<STREAMS>();
        // SAFETY: `dots` checked that all planes have the same pixels.
        unsafe {
            for (i, group) in groups.iter().enumerate() {
                self.add::<S, STREAMS>(group, i * STREAMS, &mut sums);
            }
            for (i, term) in rest.iter().enumerate() {
                self.add::<S, 1>(&[*term], groups.len() * STREAMS + i, &mut sums);
            }
        }
        sums
    }
}

impl Dots<'_> {
    #[inline(always)]
    unsafe fn add<S: Simd, const P: usize>(&self, terms: &[Term<'_>; P], first: usize, sums: &mut [Lanes]) {
        // Short stretches, then their sums: rounding stays that of a few dozen additions.
        const STRETCH: usize = 64;
        let n = self.g.len() / S::LANES;
        // SAFETY: as in `run`.
        unsafe {
            let g = self.g.as_ptr();
            let y = terms.each_ref().map(|term| term.y.as_ptr());
            let centre = term_lanes::<S, P>(terms, |term| term.centre);
            let mut totals = ([S::splat(0.0); P], S::splat(0.0));
            for start in (0..n).step_by(STRETCH) {
                let mut part = ([S::splat(0.0); P], S::splat(0.0));
                for i in start..n.min(start + STRETCH) {
                    let v = S::load(g.add(i * S::LANES));
                    part.1 = S::add(part.1, v);
                    for p in 0..P {
                        part.0[p] = S::fma(v, S::sub(S::load(y[p].add(i * S::LANES)), centre[p]), part.0[p]);
                    }
                }
                totals.1 = S::add(totals.1, part.1);
                for p in 0..P {
                    totals.0[p] = S::add(totals.0[p], part.0[p]);
                }
            }
            for p in 0..P {
                S::store(sums[first + p].as_mut_ptr(), totals.0[p]);
            }
            S::store(sums[self.terms.len()].as_mut_ptr(), totals.1);
        }
    }
}

/// Gradient of a norm's input: `to = k g + line(y)`.
pub(crate) struct NormGrad<'a> {
    pub g: &'a [f32],
    pub y: &'a [f32],
    pub k: &'a [f32],
    pub line: Line<'a>,
    pub to: &'a mut [f32],
}

impl NormGrad<'_> {
    /// Does it.
    pub fn apply<S: Simd>(self, s: S) {
        pixels::<S>(&[self.g.len(), self.y.len(), self.to.len()]);
        s.call(self);
    }
}

impl Kernel for NormGrad<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: `apply` checked that all have the same pixels.
        unsafe {
            let (g, y, to) = (self.g.as_ptr(), self.y.as_ptr(), self.to.as_mut_ptr());
            let (k, line) = (load_lanes::<S>(self.k), Coefficients::<S>::load(&self.line));
            let next = y.wrapping_add(self.y.len());
            let next_g = g.wrapping_add(self.y.len());
            each_pixel!(self.y.len() / S::LANES, i => {
                S::prefetch(next.wrapping_add(i));
                S::prefetch(next_g.wrapping_add(i));
                S::store(to.add(i), S::fma(k, S::load(g.add(i)), line.at(S::load(y.add(i)))));
            });
        }
    }
}

/// As [`NormGrad`], into every second block of eight floats of rows `to_row` floats apart: half of a plane of pairs.
pub(crate) struct PairedNormGrad<'a> {
    pub g: &'a [f32],
    pub y: &'a [f32],
    pub k: &'a [f32],
    pub line: Line<'a>,
    pub w: usize,
    pub to: &'a mut [f32],
    pub to_row: usize,
}

impl PairedNormGrad<'_> {
    /// Does it.
    pub fn apply<S: Simd>(self, s: S) {
        let rows = pixels::<S>(&[self.g.len(), self.y.len()]) / self.w;
        assert!(rows == 0 || (rows - 1) * self.to_row + (2 * self.w - 1) * S::LANES <= self.to.len());
        s.call(self);
    }
}

impl Kernel for PairedNormGrad<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let row = self.w * S::LANES;
        // SAFETY: `apply` checked that both have the same pixels, and the last row.
        unsafe {
            let (k, line) = (load_lanes::<S>(self.k), Coefficients::<S>::load(&self.line));
            for y in 0..self.y.len() / row {
                let (g, from) = (self.g.as_ptr().add(y * row), self.y.as_ptr().add(y * row));
                let to = self.to.as_mut_ptr().add(y * self.to_row);
                each_pixel!(self.w, i => {
                    S::store(to.add(2 * i), S::fma(k, S::load(g.add(i)), line.at(S::load(from.add(i)))));
                });
            }
        }
    }
}

/// `to = line(x)` or `to += line(x)`.
pub(crate) struct Scale<'a> {
    pub x: &'a [f32],
    pub line: Line<'a>,
    pub accumulate: bool,
    pub to: &'a mut [f32],
}

impl Scale<'_> {
    /// Does it.
    pub fn apply<S: Simd>(self, s: S) {
        pixels::<S>(&[self.x.len(), self.to.len()]);
        s.call(self);
    }
}

impl Kernel for Scale<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: `apply` checked that both have the same pixels.
        unsafe {
            let (x, to) = (self.x.as_ptr(), self.to.as_mut_ptr());
            let line = Coefficients::<S>::load(&self.line);
            if self.accumulate {
                each_pixel!(self.x.len() / S::LANES, i => {
                    let sum = S::add(line.b, S::load(to.add(i)));
                    S::store(to.add(i), Coefficients { b: sum, ..line }.at(S::load(x.add(i))));
                });
            } else {
                each_pixel!(self.x.len() / S::LANES, i => {
                    S::store(to.add(i), line.at(S::load(x.add(i))));
                });
            }
        }
    }
}

/// What a gradient through a ReLU is added to.
#[derive(Clone, Copy)]
pub(crate) enum Base<'a> {
    /// Nothing: it is written.
    Zero,
    /// What is there.
    Own,
    Other(&'a [f32]),
}

/// `to = base + (x > 0 ? g : 0)`: the gradient through a ReLU.
pub(crate) fn where_positive<S: Simd>(s: S, x: &[f32], g: &[f32], base: Base<'_>, to: &mut [f32]) {
    pixels::<S>(&[x.len(), g.len(), to.len()]);
    if let Base::Other(base) = base {
        pixels::<S>(&[base.len(), to.len()]);
    }
    s.call(Positive { x, g, base, to });
}

struct Positive<'a> {
    x: &'a [f32],
    g: &'a [f32],
    base: Base<'a>,
    to: &'a mut [f32],
}

impl Kernel for Positive<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the wrapper checked that all have the same pixels.
        unsafe {
            let (x, g, to) = (self.x.as_ptr(), self.g.as_ptr(), self.to.as_mut_ptr());
            let base = match self.base {
                Base::Zero => None,
                Base::Own => Some(to.cast_const()),
                Base::Other(base) => Some(base.as_ptr()),
            };
            let zero = S::splat(0.0);
            each_pixel!(self.x.len() / S::LANES, i => {
                let passed = S::select_gt(S::load(x.add(i)), zero, S::load(g.add(i)), zero);
                let sum = if let Some(base) = base { S::add(S::load(base.add(i)), passed) } else { passed };
                S::store(to.add(i), sum);
            });
        }
    }
}

/// Gradient through normalise and ReLU, in place: `g = (line(y) > 0) ? g : 0`; returns the sums of
/// `g (y − centre)` and of `g`.
pub(crate) fn relu_norm_back<S: Simd>(s: S, y: &[f32], line: Line<'_>, g: &mut [f32]) -> [Lanes; 2] {
    pixels::<S>(&[y.len(), g.len()]);
    s.call(ReluNormBack { y, line, g })
}

struct ReluNormBack<'a> {
    y: &'a [f32],
    line: Line<'a>,
    g: &'a mut [f32],
}

impl Kernel for ReluNormBack<'_> {
    type Out = [Lanes; 2];

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> [Lanes; 2] {
        let n = self.y.len() / S::LANES;
        // SAFETY: the wrapper checked that both have `n` pixels.
        unsafe {
            let (y, g) = (self.y.as_ptr(), self.g.as_mut_ptr());
            let (line, zero) = (Coefficients::<S>::load(&self.line), S::splat(0.0));
            let mut dots = [zero; UNROLL];
            let mut sums = [zero; UNROLL];
            let mut pixel = |i: usize, u: usize| {
                let v = S::load(y.add(i * S::LANES));
                let passed = S::select_gt(line.at(v), zero, S::load(g.add(i * S::LANES)), zero);
                S::store(g.add(i * S::LANES), passed);
                dots[u] = S::fma(passed, S::sub(v, line.centre), dots[u]);
                sums[u] = S::add(sums[u], passed);
            };
            for i in (0..n - n % UNROLL).step_by(UNROLL) {
                for u in 0..UNROLL {
                    pixel(i + u, u);
                }
            }
            for i in n - n % UNROLL..n {
                pixel(i, 0);
            }
            [fold::<S>(dots), fold::<S>(sums)]
        }
    }
}

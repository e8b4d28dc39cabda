//! 3×3 max and average pooling of one channel block, padding 1 (padded cells not counted): facts 3.1.
//!
//! Both pools of a state are made in one pass and shared by all edges that leave it; the gradient of the
//! maximum goes to the first of equal values in reading order, without branches.

use std::ops::Range;

use crate::depthwise::Padded;
use crate::simd::{Kernel, Simd};

/// Size of the pooled side.
const fn pooled(size: usize, stride: usize) -> usize {
    size.div_ceil(stride)
}

/// Cells of a window centred at `centre` that lie inside `0..size`.
const fn cells(centre: usize, size: usize) -> usize {
    let below = if centre > 0 { 1 } else { 0 };
    let above = if centre + 1 < size { 1 } else { 0 };
    1 + below + above
}

/// Scratch floats that [`pools`] needs for rows of `w` pixels of so many lanes.
pub(crate) const fn pools_scratch(w: usize, lanes: usize) -> usize {
    2 * (w + 2) * lanes
}

/// Writes rows `rows` of the maxima and averages of `x` (`[h, w, b]`) to `max` and `avg`.
pub(crate) fn pools<S: Simd>(
    s: S,
    x: &[f32],
    ([h, w], stride): ([usize; 2], usize),
    rows: Range<usize>,
    scratch: &mut [f32],
    [max, avg]: [&mut [f32]; 2],
) {
    let out = rows.len() * pooled(w, stride) * S::LANES;
    assert!(rows.end <= pooled(h, stride));
    assert!(x.len() == h * w * S::LANES && max.len() == out && avg.len() == out);
    assert!(scratch.len() >= pools_scratch(w, S::LANES));
    let (tallest, total) = scratch.split_at_mut((w + 2) * S::LANES);
    s.call(Pools { x, h, w, stride, rows, tallest, total, max, avg });
}

struct Pools<'a> {
    x: &'a [f32],
    h: usize,
    w: usize,
    stride: usize,
    rows: Range<usize>,
    tallest: &'a mut [f32],
    total: &'a mut [f32],
    max: &'a mut [f32],
    avg: &'a mut [f32],
}

impl Kernel for Pools<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (h, w, stride) = (self.h, self.w, self.stride);
        let ow = pooled(w, stride);
        let (tall, total) = (self.tallest.as_mut_ptr(), self.total.as_mut_ptr());
        // SAFETY: `pools` checked all lengths; rows are clamped, columns lie inside a border of one.
        unsafe {
            for edge in [0, (w + 1) * S::LANES] {
                S::store(tall.add(edge), S::splat(f32::NEG_INFINITY));
                S::store(total.add(edge), S::splat(0.0));
            }
            for (row, y) in self.rows.map(|oy| oy * stride).enumerate() {
                let middle = self.x.as_ptr().add(y * w * S::LANES);
                // A row outside repeats the middle one: harmless to a maximum, weighted zero in the sum.
                let (above, has_above) = if y > 0 { (middle.sub(w * S::LANES), 1.0) } else { (middle, 0.0) };
                let (below, has_below) =
                    if y + 1 < h { (middle.add(w * S::LANES), 1.0) } else { (middle, 0.0) };
                let (has_above, has_below) = (S::splat(has_above), S::splat(has_below));
                for i in (0..w * S::LANES).step_by(S::LANES) {
                    let (a, m, b) = (S::load(above.add(i)), S::load(middle.add(i)), S::load(below.add(i)));
                    S::store(tall.add(i + S::LANES), S::max(S::max(a, b), m));
                    S::store(total.add(i + S::LANES), S::fma(a, has_above, S::fma(b, has_below, m)));
                }
                let rows = cells(y, h) as f32;
                let inner = S::splat(1.0 / (3.0 * rows));
                for ox in 0..ow {
                    let from = ox * stride * S::LANES;
                    let to = (row * ow + ox) * S::LANES;
                    let three = |p: *const f32| {
                        (
                            S::load(p.add(from)),
                            S::load(p.add(from + S::LANES)),
                            S::load(p.add(from + 2 * S::LANES)),
                        )
                    };
                    let (l, m, r) = three(tall);
                    S::store(self.max.as_mut_ptr().add(to), S::max(S::max(l, m), r));
                    let (l, m, r) = three(total);
                    let columns = cells(ox * stride, w);
                    let share = if columns == 3 { inner } else { S::splat(1.0 / (rows * columns as f32)) };
                    S::store(self.avg.as_mut_ptr().add(to), S::mul(S::add(S::add(l, r), m), share));
                }
            }
        }
    }
}

/// Scratch floats that [`max_pool_back`] needs.
pub(crate) const fn max_scratch(h: usize, w: usize, lanes: usize) -> usize {
    2 * (h + 2) * (w + 2) * lanes
}

/// Adds to `to` (`[h, w, b]`) the gradient of the maxima of `x`.
pub(crate) fn max_pool_back<S: Simd>(
    s: S,
    x: &[f32],
    [h, w]: [usize; 2],
    stride: usize,
    g: &[f32],
    scratch: &mut [f32],
    to: &mut [f32],
) {
    let plane = Padded { h, w, border: 1, lanes: S::LANES };
    assert!(x.len() == h * w * S::LANES && to.len() == x.len());
    assert!(g.len() == pooled(h, stride) * pooled(w, stride) * S::LANES);
    assert!(scratch.len() >= max_scratch(h, w, S::LANES));
    let (padded, sums) = scratch.split_at_mut(plane.len());
    s.call(MaxBack { x, plane, stride, g, padded, sums: &mut sums[..plane.len()], to });
}

struct MaxBack<'a> {
    x: &'a [f32],
    plane: Padded,
    stride: usize,
    g: &'a [f32],
    padded: &'a mut [f32],
    sums: &'a mut [f32],
    to: &'a mut [f32],
}

impl Kernel for MaxBack<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Padded { h, w, .. } = self.plane;
        let row = self.plane.row();
        let (oh, ow) = (pooled(h, self.stride), pooled(w, self.stride));
        self.padded.fill(f32::NEG_INFINITY);
        self.sums.fill(0.0);
        for (y, from) in self.x.chunks_exact(w * S::LANES).enumerate() {
            self.padded[(y + 1) * row + S::LANES..][..w * S::LANES].copy_from_slice(from);
        }
        // SAFETY: `max_pool_back` checked all lengths; windows lie inside the border of one.
        unsafe {
            for oy in 0..oh {
                for ox in 0..ow {
                    let corner = oy * self.stride * row + ox * self.stride * S::LANES;
                    let x = self.padded.as_ptr().add(corner);
                    let mut best = S::load(x);
                    let mut which = S::splat(0.0);
                    for k in 1..9 {
                        let v = S::load(x.add(k / 3 * row + k % 3 * S::LANES));
                        which = S::select_gt(v, best, S::splat(k as f32), which);
                        best = S::select_gt(v, best, v, best);
                    }
                    let g = S::load(self.g.as_ptr().add((oy * ow + ox) * S::LANES));
                    let to = self.sums.as_mut_ptr().add(corner);
                    for k in 0..9 {
                        let to = to.add(k / 3 * row + k % 3 * S::LANES);
                        let part = S::keep_eq(which, S::splat(k as f32), g);
                        S::store(to, S::add(S::load(to), part));
                    }
                }
            }
            for (y, to) in self.to.chunks_exact_mut(w * S::LANES).enumerate() {
                let from = self.sums.as_ptr().add((y + 1) * row + S::LANES);
                for i in (0..w * S::LANES).step_by(S::LANES) {
                    let to = to.as_mut_ptr().add(i);
                    S::store(to, S::add(S::load(to), S::load(from.add(i))));
                }
            }
        }
    }
}

/// Writes the shares of an average's gradient, `g / cells`, inside the padded plane `to`.
pub(crate) fn avg_shares<S: Simd>(
    s: S,
    g: &[f32],
    [h, w]: [usize; 2],
    stride: usize,
    plane: Padded,
    to: &mut [f32],
) {
    assert!(plane.h == pooled(h, stride) && plane.w == pooled(w, stride) && plane.lanes == S::LANES);
    assert!(g.len() == plane.h * plane.w * S::LANES && to.len() >= plane.len());
    s.call(Shares { g, h, w, stride, plane, to });
}

struct Shares<'a> {
    g: &'a [f32],
    h: usize,
    w: usize,
    stride: usize,
    plane: Padded,
    to: &'a mut [f32],
}

impl Kernel for Shares<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: `avg_shares` checked both lengths.
        unsafe {
            for oy in 0..self.plane.h {
                let g = self.g.as_ptr().add(oy * self.plane.w * S::LANES);
                let to = self.to.as_mut_ptr().add(self.plane.origin() + oy * self.plane.row());
                let rows = cells(oy * self.stride, self.h) as f32;
                for ox in 0..self.plane.w {
                    let share = S::splat(1.0 / (rows * cells(ox * self.stride, self.w) as f32));
                    S::store(to.add(ox * S::LANES), S::mul(S::load(g.add(ox * S::LANES)), share));
                }
            }
        }
    }
}

/// Scratch floats that [`BoxSum`] needs for rows of `w` pixels.
pub(crate) const fn box_scratch(w: usize, lanes: usize) -> usize {
    (w + 2) * lanes
}

/// 3×3 average pooling at stride 1 of one block, or its transpose: sums over windows, divided by each window's cells
/// after or before.
pub(crate) struct BoxSum<'a> {
    /// `[h, w, b]`
    pub x: &'a [f32],
    pub size: [usize; 2],
    /// Gradient of the pooling instead of the pooling.
    pub transpose: bool,
    /// Add to the output instead of replacing it.
    pub accumulate: bool,
    pub scratch: &'a mut [f32],
    /// `[h, w, b]`
    pub to: &'a mut [f32],
}

impl BoxSum<'_> {
    /// Does it.
    pub fn apply<S: Simd>(self, s: S) {
        let [h, w] = self.size;
        assert!(self.x.len() == h * w * S::LANES && self.to.len() == self.x.len());
        assert!(self.scratch.len() >= box_scratch(w, S::LANES));
        s.call(self);
    }
}

impl Kernel for BoxSum<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let [h, w] = self.size;
        let row = w * S::LANES;
        let share = |at: usize, size: usize| 1.0 / cells(at, size) as f32;
        let before = |y: usize| if self.transpose { share(y, h) } else { 1.0 };
        let (inner, end) = (1.0 / 3.0, share(0, w));
        // SAFETY: `apply` checked all lengths; rows are clamped, columns lie inside a border of one.
        unsafe {
            let total = self.scratch.as_mut_ptr();
            S::store(total, S::splat(0.0));
            S::store(total.add(row + S::LANES), S::splat(0.0));
            for y in 0..h {
                let middle = self.x.as_ptr().add(y * row);
                // A row outside repeats the middle one, weighted zero.
                let (above, up) = if y > 0 { (middle.sub(row), before(y - 1)) } else { (middle, 0.0) };
                let (below, down) = if y + 1 < h { (middle.add(row), before(y + 1)) } else { (middle, 0.0) };
                let [up, own, down] = [up, before(y), down].map(|v| S::splat(v));
                for i in (0..row).step_by(S::LANES) {
                    let (a, m, b) = (S::load(above.add(i)), S::load(middle.add(i)), S::load(below.add(i)));
                    S::store(total.add(i + S::LANES), S::fma(a, up, S::fma(b, down, S::mul(m, own))));
                }
                // Windows at a row's ends have fewer columns: their own share of a sum, or of what is summed.
                let (after, end) = if self.transpose {
                    let ends = if w == 1 { &[1][..] } else { &[1, w] };
                    for at in ends.iter().map(|x| total.add(x * S::LANES)) {
                        S::store(at, S::mul(S::load(at), S::splat(end / inner)));
                    }
                    (1.0, inner)
                } else {
                    (share(y, h), end)
                };
                let [inner, end] = [inner, end].map(|v| S::splat(after * v));
                let to = self.to.as_mut_ptr().add(y * row);
                for x in 0..w {
                    let at = total.add(x * S::LANES);
                    let sum =
                        S::add(S::add(S::load(at), S::load(at.add(2 * S::LANES))), S::load(at.add(S::LANES)));
                    let factor = if x == 0 || x + 1 == w { end } else { inner };
                    let to = to.add(x * S::LANES);
                    let old = if self.accumulate { S::load(to) } else { S::splat(0.0) };
                    S::store(to, S::fma(sum, factor, old));
                }
            }
        }
    }
}

//! Depthwise convolution of one channel block: a list of taps run over rows of a zero-padded plane.
//!
//! The same loop serves every kernel width, dilation and stride, and the gradient of the input: there the taps
//! are mirrored, and at stride 2 each of the four parities of the input has its own list.

use crate::blocked::LANES;
use crate::simd::{Kernel, Simd};

/// A plane `[h, w, 8]` inside a border of zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Padded {
    /// Rows inside.
    pub h: usize,
    /// Pixels in a row inside.
    pub w: usize,
    /// Pixels of border on every side.
    pub border: usize,
}

impl Padded {
    /// Floats from one row to the next.
    pub const fn row(self) -> usize {
        (self.w + 2 * self.border) * LANES
    }

    /// Floats of the whole plane.
    pub const fn len(self) -> usize {
        (self.h + 2 * self.border) * self.row()
    }

    /// Position of the first pixel inside.
    pub const fn origin(self) -> usize {
        self.border * (self.row() + LANES)
    }
}

/// One tap: where it reads relative to its output's anchor, and its eight weights' position (both in floats).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tap {
    pub offset: isize,
    pub weight: usize,
}

/// Taps of one kernel, with the extremes that bounds checks need.
#[derive(Debug, Clone)]
pub(crate) struct Taps {
    list: Vec<Tap>,
    low: isize,
    high: isize,
    weights: usize,
}

impl Taps {
    /// A list of taps.
    pub fn new(list: Vec<Tap>) -> Self {
        let offsets = || list.iter().map(|tap| tap.offset);
        let (low, high) = (offsets().min().unwrap_or(0), offsets().max().unwrap_or(0));
        let weights = list.iter().map(|tap| tap.weight + LANES).max().unwrap_or(0);
        Self { list, low, high, weights }
    }

    /// Whether nothing is read.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// Rows of output pixels from rows of anchors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows {
    /// Position of the first anchor.
    pub from: usize,
    /// Floats between anchors of successive rows.
    pub from_row: usize,
    /// Pixels between anchors in a row: 1 or 2.
    pub stride: usize,
    /// Position of the first output.
    pub to: usize,
    /// Floats between rows of output.
    pub to_row: usize,
    /// Floats between output pixels.
    pub to_pixel: usize,
    /// Number of rows.
    pub rows: usize,
    /// Output pixels in a row.
    pub n: usize,
    /// Add to the output instead of replacing it.
    pub accumulate: bool,
}

/// Runs `taps` over the rows.
pub(crate) fn depthwise<S: Simd>(s: S, x: &[f32], taps: &Taps, w: &[f32], y: &mut [f32], rows: &Rows) {
    if rows.rows == 0 || rows.n == 0 {
        return;
    }
    let last = rows.from + (rows.rows - 1) * rows.from_row + (rows.n - 1) * rows.stride * LANES + LANES;
    assert!(rows.from as isize + taps.low >= 0 && last as isize + taps.high <= x.len() as isize);
    assert!(taps.weights <= w.len());
    assert!(rows.to + (rows.rows - 1) * rows.to_row + (rows.n - 1) * rows.to_pixel + LANES <= y.len());
    // SAFETY: the first and the last position of either slice were just checked.
    let (x, y) = unsafe { (x.as_ptr().add(rows.from), y.as_mut_ptr().add(rows.to)) };
    let (w, taps) = (w.as_ptr(), &taps.list[..]);
    match rows.stride {
        // Kernels three and five wide run a row of taps at a time.
        1 if taps.len() % 5 == 0 => s.call(TapRows::<1, 5> { x, taps, w, y, rows }),
        1 if taps.len() % 3 == 0 => s.call(TapRows::<1, 3> { x, taps, w, y, rows }),
        1 => s.call(TapRows::<1, 1> { x, taps, w, y, rows }),
        2 if taps.len() % 5 == 0 => s.call(TapRows::<2, 5> { x, taps, w, y, rows }),
        2 if taps.len() % 3 == 0 => s.call(TapRows::<2, 3> { x, taps, w, y, rows }),
        2 => s.call(TapRows::<2, 1> { x, taps, w, y, rows }),
        _ => {
            let one = Rows { n: 1, rows: 1, ..*rows };
            for (row, i) in (0..rows.rows).flat_map(|row| (0..rows.n).map(move |i| (row, i))) {
                // SAFETY: inside the range checked above.
                let (x, y) = unsafe {
                    let x = x.add(row * rows.from_row + i * rows.stride * LANES);
                    (x, y.add(row * rows.to_row + i * rows.to_pixel))
                };
                s.call(TapRows::<1, 1> { x, taps, w, y, rows: &one });
            }
        }
    }
}

struct TapRows<'a, const STRIDE: usize, const K: usize> {
    x: *const f32,
    taps: &'a [Tap],
    w: *const f32,
    y: *mut f32,
    rows: &'a Rows,
}

impl<const STRIDE: usize, const K: usize> Kernel for TapRows<'_, STRIDE, K> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for row in 0..self.rows.rows {
            let mut i = 0;
            // SAFETY: `depthwise` checked the extremes of every tap and output.
            unsafe {
                if S::WIDE {
                    while i + 16 <= self.rows.n {
                        self.tile::<S, 16>(row, i);
                        i += 16;
                    }
                }
                while i + 8 <= self.rows.n {
                    self.tile::<S, 8>(row, i);
                    i += 8;
                }
                if i + 4 <= self.rows.n {
                    self.tile::<S, 4>(row, i);
                    i += 4;
                }
                while i < self.rows.n {
                    self.tile::<S, 1>(row, i);
                    i += 1;
                }
            }
        }
    }
}

impl<const STRIDE: usize, const K: usize> TapRows<'_, STRIDE, K> {
    #[inline(always)]
    unsafe fn tile<S: Simd, const T: usize>(&self, row: usize, i: usize) {
        // SAFETY: the caller keeps `row` and `i + T` inside the checked rows.
        unsafe {
            let x = self.x.add(row * self.rows.from_row + i * STRIDE * LANES);
            let y = self.y.add(row * self.rows.to_row + i * self.rows.to_pixel);
            let mut sums = [S::splat(0.0); T];
            if self.rows.accumulate {
                for (t, sum) in sums.iter_mut().enumerate() {
                    *sum = S::load(y.add(t * self.rows.to_pixel));
                }
            }
            for taps in self.taps.as_chunks::<K>().0 {
                for tap in taps {
                    let w = S::load(self.w.add(tap.weight));
                    let x = x.offset(tap.offset);
                    for (t, sum) in sums.iter_mut().enumerate() {
                        *sum = S::fma(w, S::load(x.add(t * STRIDE * LANES)), *sum);
                    }
                }
            }
            for (t, &sum) in sums.iter().enumerate() {
                S::store(y.add(t * self.rows.to_pixel), sum);
            }
        }
    }
}

/// Adds the gradient of a depthwise kernel's `k × k × 8` weights, from the output's gradient (padded plane `g`)
/// and the padded input `x`. Supports k of 3 and 5, stride 1 and 2, any dilation.
pub(crate) struct WeightGrad<'a> {
    pub g: &'a [f32],
    pub g_plane: Padded,
    pub x: &'a [f32],
    pub x_plane: Padded,
    pub kernel: usize,
    pub dilation: usize,
    pub stride: usize,
    pub padding: usize,
}

impl WeightGrad<'_> {
    /// Adds into `to` (`[k * k, 8]`).
    pub fn add_to<S: Simd>(&self, s: S, to: &mut [f32]) {
        let Self { g_plane, x_plane, stride, padding, dilation, kernel, .. } = *self;
        assert!(g_plane.len() <= self.g.len() && x_plane.len() <= self.x.len() && padding <= x_plane.border);
        assert!(to.len() >= kernel * kernel * LANES);
        let reach = |o: usize, size: usize| (o - 1) * stride + (kernel - 1) * dilation < size + 2 * padding;
        assert!(reach(g_plane.h, x_plane.h + stride) && reach(g_plane.w, x_plane.w + stride));
        assert!((g_plane.h - 1) * stride + (kernel - 1) * dilation - padding < x_plane.h + x_plane.border);
        assert!((g_plane.w - 1) * stride + (kernel - 1) * dilation - padding < x_plane.w + x_plane.border);
        // SAFETY: both origins lie inside their planes; so does the first tap, since padding <= border.
        let (g, x) = unsafe {
            let x = self.x.as_ptr().add(x_plane.origin() - padding * (x_plane.row() + LANES));
            (self.g.as_ptr().add(g_plane.origin()), x)
        };
        let shape = Shape {
            g,
            g_row: g_plane.row(),
            h: g_plane.h,
            w: g_plane.w,
            x,
            x_row: x_plane.row(),
            dilation,
            to: to.as_mut_ptr(),
        };
        match (kernel, stride) {
            (3, 1) => s.call(Grad3::<1>(shape)),
            (3, 2) => s.call(Grad3::<2>(shape)),
            (5, 1) => s.call(Grad5::<1>(shape)),
            (5, 2) => s.call(Grad5::<2>(shape)),
            _ => unreachable!("the cells have depthwise kernels of 3 and 5 at stride 1 and 2"),
        }
    }
}

struct Shape {
    g: *const f32,
    g_row: usize,
    h: usize,
    w: usize,
    x: *const f32,
    x_row: usize,
    dilation: usize,
    to: *mut f32,
}

struct Grad3<const STRIDE: usize>(Shape);

impl<const STRIDE: usize> Kernel for Grad3<STRIDE> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: `WeightGrad::add_to` checked the extremes.
        unsafe { self.0.rows_of_taps::<S, STRIDE, 3, 3>(0) }
    }
}

struct Grad5<const STRIDE: usize>(Shape);

impl<const STRIDE: usize> Kernel for Grad5<STRIDE> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: `WeightGrad::add_to` checked the extremes.
        unsafe {
            self.0.rows_of_taps::<S, STRIDE, 5, 2>(0);
            self.0.rows_of_taps::<S, STRIDE, 5, 2>(2);
            self.0.rows_of_taps::<S, STRIDE, 5, 1>(4);
        }
    }
}

impl Shape {
    /// All pixels against `R` rows of a kernel `K` wide, sums in registers.
    #[inline(always)]
    unsafe fn rows_of_taps<S: Simd, const STRIDE: usize, const K: usize, const R: usize>(&self, ky: usize) {
        // SAFETY: the caller checked that every tap of every pixel lies inside the planes.
        unsafe {
            let mut sums = [[S::splat(0.0); K]; R];
            let to = self.to.add(ky * K * LANES);
            for (r, sums) in sums.iter_mut().enumerate() {
                for (k, sum) in sums.iter_mut().enumerate() {
                    *sum = S::load(to.add((r * K + k) * LANES));
                }
            }
            for oy in 0..self.h {
                let mut g = self.g.add(oy * self.g_row);
                let mut x = self.x.add((oy * STRIDE + ky * self.dilation) * self.x_row);
                for _ in 0..self.w {
                    let grad = S::load(g);
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let x = x.add(r * self.dilation * self.x_row);
                        for (k, sum) in sums.iter_mut().enumerate() {
                            *sum = S::fma(grad, S::load(x.add(k * self.dilation * LANES)), *sum);
                        }
                    }
                    g = g.add(LANES);
                    x = x.add(STRIDE * LANES);
                }
            }
            for (r, sums) in sums.iter().enumerate() {
                for (k, &sum) in sums.iter().enumerate() {
                    S::store(to.add((r * K + k) * LANES), sum);
                }
            }
        }
    }
}

//! Depthwise convolution of one channel block: a grid of taps run over rows of a zero-padded plane.
//!
//! The same loop serves every kernel width, dilation and stride, and the gradient of the input: there the taps
//! are mirrored, and at stride 2 each of the four parities of the input has its own.

use crate::simd::{Kernel, Simd};

/// A plane `[h, w, b]` inside a border of zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Padded {
    /// Rows inside.
    pub h: usize,
    /// Pixels in a row inside.
    pub w: usize,
    /// Pixels of border on every side.
    pub border: usize,
    /// Channels in a block.
    pub lanes: usize,
}

impl Padded {
    /// Floats from one row to the next.
    pub const fn row(self) -> usize {
        (self.w + 2 * self.border) * self.lanes
    }

    /// Floats of the whole plane.
    pub const fn len(self) -> usize {
        (self.h + 2 * self.border) * self.row()
    }

    /// Position of the first pixel inside.
    pub const fn origin(self) -> usize {
        self.border * (self.row() + self.lanes)
    }

    /// First float of a channel block among such planes of pairs of blocks.
    pub const fn paired(self, block: usize) -> usize {
        block / 2 * 2 * self.len() + block % 2 * self.lanes
    }

    /// Zeros in the borders of such planes.
    pub fn clear_borders(self, planes: &mut [f32]) {
        let (row, edge) = (self.row(), self.border * self.lanes);
        if edge == 0 {
            return;
        }
        for plane in planes.chunks_exact_mut(self.len()) {
            let (above, rest) = plane.split_at_mut(self.border * row);
            let (inside, below) = rest.split_at_mut(self.h * row);
            above.fill(0.0);
            below.fill(0.0);
            for line in inside.chunks_exact_mut(row) {
                line[..edge].fill(0.0);
                line[row - edge..].fill(0.0);
            }
        }
    }
}

/// One tap: where it reads relative to its output's anchor in pixels down and right, and its weights' position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tap {
    pub at: [isize; 2],
    pub weight: usize,
}

/// Taps on a regular grid, as all kernels, their mirrors and the parities of those are. Positions are in floats.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Taps {
    rows: usize,
    columns: usize,
    /// Pixels from one column to the next.
    dilation: usize,
    /// Channels in a block.
    lanes: usize,
    /// The upper left tap, and from one row of taps to the next.
    first: isize,
    row: isize,
    /// Weights of the upper left tap, and from one to the next row and column.
    weight: usize,
    weight_steps: [isize; 2],
    /// One after the last float of the farthest weights.
    weights: usize,
}

impl Taps {
    /// The taps of `list` in such planes.
    pub fn new(mut list: Vec<Tap>, plane: Padded) -> Self {
        let (row, lanes) = (plane.row(), plane.lanes);
        list.sort_unstable();
        let Some(&Tap { at: [top, left], weight }) = list.first() else { return Self::default() };
        let columns = list.iter().take_while(|tap| tap.at[0] == top).count();
        let (beside, below) =
            (list[1.min(columns - 1)], list[if columns < list.len() { columns } else { 0 }]);
        let floats = |[y, x]: [isize; 2]| y * row as isize + x * lanes as isize;
        let weight_step = |tap: Tap| tap.weight as isize - weight as isize;
        let taps = Self {
            rows: list.len() / columns,
            columns,
            dilation: (beside.at[1] - left).max(1) as usize,
            lanes,
            first: floats([top, left]),
            row: floats([below.at[0] - top, 0]),
            weight,
            weight_steps: [weight_step(below), weight_step(beside)],
            weights: list.iter().map(|tap| tap.weight + lanes).max().unwrap_or(0),
        };
        let regular = list.iter().enumerate().all(|(i, tap)| {
            let (y, x) = (i / columns, i % columns);
            floats(tap.at) == taps.offset(y, x) && tap.weight == taps.weight_at(y, x)
        });
        assert!(regular && taps.rows * columns == list.len(), "taps do not form a grid");
        taps
    }

    /// Whether nothing is read.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    fn offset(&self, y: usize, x: usize) -> isize {
        self.first + y as isize * self.row + (x * self.dilation * self.lanes) as isize
    }

    #[inline(always)]
    fn weight_at(&self, y: usize, x: usize) -> usize {
        let [down, right] = self.weight_steps;
        self.weight.wrapping_add_signed(y as isize * down + x as isize * right)
    }

    /// The smallest and the largest offset.
    fn extremes(&self) -> (isize, isize) {
        (self.first, self.offset(self.rows.saturating_sub(1), self.columns.saturating_sub(1)))
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
    let (low, high) = taps.extremes();
    let last = rows.from + (rows.rows - 1) * rows.from_row + (rows.n - 1) * rows.stride * S::LANES + S::LANES;
    assert!(rows.from as isize + low >= 0 && last as isize + high <= x.len() as isize);
    assert!(taps.weights <= w.len() && (taps.lanes == S::LANES || taps.is_empty()));
    assert!(rows.to + (rows.rows - 1) * rows.to_row + (rows.n - 1) * rows.to_pixel + S::LANES <= y.len());
    // SAFETY: the first and the last position of either slice were just checked.
    let (x, y) = unsafe { (x.as_ptr().add(rows.from), y.as_mut_ptr().add(rows.to)) };
    let walk = Walk { x, taps, w: w.as_ptr(), y, rows };
    match (rows.stride, taps.columns, taps.dilation) {
        (1, 3, 1) => s.call(Slide::<1, 3, 1>(walk)),
        (1, 5, 1) => s.call(Slide::<1, 5, 1>(walk)),
        (1, 3, 2) => s.call(Slide::<1, 3, 2>(walk)),
        (1, 5, 2) => s.call(Slide::<1, 5, 2>(walk)),
        (1, 2, 1) => s.call(Slide::<1, 2, 1>(walk)),
        (1, 0 | 1, _) => s.call(Slide::<1, 1, 1>(walk)),
        (2, 3, 1) => s.call(Slide::<2, 3, 1>(walk)),
        (2, 5, 1) => s.call(Slide::<2, 5, 1>(walk)),
        (2, 3, 2) => s.call(Slide::<2, 3, 2>(walk)),
        (2, 5, 2) => s.call(Slide::<2, 5, 2>(walk)),
        (2, 0 | 1, _) => s.call(Slide::<2, 1, 1>(walk)),
        (_, 0 | 1, _) => {
            let one = Rows { n: 1, rows: 1, ..*rows };
            for (row, i) in (0..rows.rows).flat_map(|row| (0..rows.n).map(move |i| (row, i))) {
                // SAFETY: inside the range checked above.
                let (x, y) = unsafe {
                    let x = x.add(row * rows.from_row + i * rows.stride * S::LANES);
                    (x, y.add(row * rows.to_row + i * rows.to_pixel))
                };
                s.call(Slide::<1, 1, 1>(Walk { x, y, rows: &one, ..walk }));
            }
        }
        _ => {
            unreachable!("the cells have depthwise kernels of 3 and 5 at stride 1 and 2, dilated by 1 and 2")
        }
    }
}

#[derive(Clone, Copy)]
struct Walk<'a> {
    x: *const f32,
    taps: &'a Taps,
    w: *const f32,
    y: *mut f32,
    rows: &'a Rows,
}

/// Rows of `COLUMNS` taps `DILATION` pixels apart slid over the pixels: a row's weights stay in registers, and each pixel
/// read serves all outputs that want it. Reading it anew for every tap left the loads of the first-level cache as busy as
/// the arithmetic, and both half idle.
struct Slide<'a, const STRIDE: usize, const COLUMNS: usize, const DILATION: usize>(Walk<'a>);

impl<const STRIDE: usize, const COLUMNS: usize, const DILATION: usize> Kernel
    for Slide<'_, STRIDE, COLUMNS, DILATION>
{
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let n = self.0.rows.n;
        for row in 0..self.0.rows.rows {
            let mut i = 0;
            // SAFETY: `depthwise` checked the extremes of every tap and output.
            unsafe {
                while COLUMNS == 5 && S::WIDE && i + 16 <= n {
                    self.tile::<S, 16>(row, i);
                    i += 16;
                }
                while i + 8 <= n {
                    self.tile::<S, 8>(row, i);
                    i += 8;
                }
                if i + 4 <= n {
                    self.tile::<S, 4>(row, i);
                    i += 4;
                }
                while i < n {
                    self.tile::<S, 1>(row, i);
                    i += 1;
                }
            }
        }
    }
}

/// Reads the pixels that `T` outputs want one after the other and does `$body` for each and every output and column that
/// it counts for. Written out: as a loop over an index what is summed would stay in memory.
macro_rules! slide {
    ($from:expr, |$t:ident, $column:ident, $x:ident| $body:expr) => {
        slide!(@pixels $from, $t, $column, $x, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38)
    };
    (@pixels $from:expr, $t:ident, $column:ident, $x:ident, $body:expr, $($pixel:literal)*) => {$(
        if $pixel < (T - 1) * STRIDE + (COLUMNS - 1) * DILATION + 1 {
            let $x = S::load($from.add($pixel * S::LANES));
            slide!(@columns $pixel, $t, $column, $body, 0 1 2 3 4);
        }
    )*};
    (@columns $pixel:literal, $t:ident, $column:ident, $body:expr, $($at:literal)*) => {$(
        if $at < COLUMNS
            && $pixel + 1 > $at * DILATION
            && ($pixel - $at * DILATION) % STRIDE == 0
            && ($pixel - $at * DILATION) / STRIDE < T
        {
            let ($t, $column) = (($pixel - $at * DILATION) / STRIDE, $at);
            $body
        }
    )*};
}

impl<const STRIDE: usize, const COLUMNS: usize, const DILATION: usize> Slide<'_, STRIDE, COLUMNS, DILATION> {
    #[inline(always)]
    unsafe fn tile<S: Simd, const T: usize>(&self, row: usize, i: usize) {
        const { assert!((T - 1) * STRIDE + (COLUMNS - 1) * DILATION < 39, "`slide!` lists every pixel") };
        let Walk { x, taps, w, y, rows } = self.0;
        // SAFETY: the caller keeps `row` and `i + T` inside the checked rows.
        unsafe {
            let x = x.add(row * rows.from_row + i * STRIDE * S::LANES);
            let y = y.add(row * rows.to_row + i * rows.to_pixel);
            let mut sums = [S::splat(0.0); T];
            if rows.accumulate {
                for (t, sum) in sums.iter_mut().enumerate() {
                    *sum = S::load(y.add(t * rows.to_pixel));
                }
            }
            for r in 0..taps.rows {
                let mut ws = [S::splat(0.0); COLUMNS];
                for (k, v) in ws.iter_mut().enumerate() {
                    *v = S::load(w.add(taps.weight_at(r, k)));
                }
                let x = x.offset(taps.first + r as isize * taps.row);
                slide!(x, |t, column, v| sums[t] = S::fma(ws[column], v, sums[t]));
            }
            for (t, &sum) in sums.iter().enumerate() {
                S::store(y.add(t * rows.to_pixel), sum);
            }
        }
    }
}

/// Adds the gradient of a depthwise kernel's `k × k × b` weights, from the output's gradient (padded plane `g`)
/// and the padded input `x`. Supports k of 3 and 5, stride 1 and 2, dilation 1 and 2.
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
    /// Adds into `to` (`[k * k, b]`).
    pub fn add_to<S: Simd>(&self, s: S, to: &mut [f32]) {
        let Self { g_plane, x_plane, stride, padding, dilation, kernel, .. } = *self;
        assert!(g_plane.lanes == S::LANES && x_plane.lanes == S::LANES);
        assert!(g_plane.len() <= self.g.len() && x_plane.len() <= self.x.len() && padding <= x_plane.border);
        assert!(to.len() >= kernel * kernel * S::LANES);
        let reach = |o: usize, size: usize| (o - 1) * stride + (kernel - 1) * dilation < size + 2 * padding;
        assert!(reach(g_plane.h, x_plane.h + stride) && reach(g_plane.w, x_plane.w + stride));
        assert!((g_plane.h - 1) * stride + (kernel - 1) * dilation - padding < x_plane.h + x_plane.border);
        assert!((g_plane.w - 1) * stride + (kernel - 1) * dilation - padding < x_plane.w + x_plane.border);
        // SAFETY: both origins lie inside their planes; so does the first tap, since padding <= border.
        let (g, x) = unsafe {
            let x = self.x.as_ptr().add(x_plane.origin() - padding * (x_plane.row() + S::LANES));
            (self.g.as_ptr().add(g_plane.origin()), x)
        };
        let shape = Shape {
            g,
            g_row: g_plane.row(),
            h: g_plane.h,
            w: g_plane.w,
            x,
            x_row: x_plane.row(),
            to: to.as_mut_ptr(),
        };
        match (kernel, stride, dilation) {
            (3, 1, 1) => s.call(Grad::<1, 3, 1>(shape)),
            (3, 1, 2) => s.call(Grad::<1, 3, 2>(shape)),
            (3, 2, 1) => s.call(Grad::<2, 3, 1>(shape)),
            (3, 2, 2) => s.call(Grad::<2, 3, 2>(shape)),
            (5, 1, 1) => s.call(Grad::<1, 5, 1>(shape)),
            (5, 1, 2) => s.call(Grad::<1, 5, 2>(shape)),
            (5, 2, 1) => s.call(Grad::<2, 5, 1>(shape)),
            (5, 2, 2) => s.call(Grad::<2, 5, 2>(shape)),
            _ => unreachable!(
                "the cells have depthwise kernels of 3 and 5 at stride 1 and 2, dilated by 1 and 2"
            ),
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
    to: *mut f32,
}

/// All pixels against rows of `COLUMNS` taps, sums in registers: as many rows at a time as there are registers for.
struct Grad<const STRIDE: usize, const COLUMNS: usize, const DILATION: usize>(Shape);

impl<const STRIDE: usize, const COLUMNS: usize, const DILATION: usize> Kernel
    for Grad<STRIDE, COLUMNS, DILATION>
{
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: `WeightGrad::add_to` checked the extremes.
        unsafe {
            match COLUMNS {
                3 => self.rows::<S, 3>(0),
                _ if S::WIDE => self.rows::<S, 5>(0),
                _ => {
                    self.rows::<S, 2>(0);
                    self.rows::<S, 2>(2);
                    self.rows::<S, 1>(4);
                }
            }
        }
    }
}

impl<const STRIDE: usize, const COLUMNS: usize, const DILATION: usize> Grad<STRIDE, COLUMNS, DILATION> {
    /// `R` rows of taps from row `first` on.
    #[inline(always)]
    unsafe fn rows<S: Simd, const R: usize>(&self, first: usize) {
        let shape = &self.0;
        // SAFETY: the caller checked that every tap of every pixel lies inside the planes.
        unsafe {
            let mut sums = [[S::splat(0.0); COLUMNS]; R];
            let to = shape.to.add(first * COLUMNS * S::LANES);
            for (r, sums) in sums.iter_mut().enumerate() {
                for (k, sum) in sums.iter_mut().enumerate() {
                    *sum = S::load(to.add((r * COLUMNS + k) * S::LANES));
                }
            }
            for oy in 0..shape.h {
                let g = shape.g.add(oy * shape.g_row);
                let x = shape.x.add((oy * STRIDE + first * DILATION) * shape.x_row);
                let mut i = 0;
                while i + 4 <= shape.w {
                    self.tile::<S, R, 4>(g.add(i * S::LANES), x.add(i * STRIDE * S::LANES), &mut sums);
                    i += 4;
                }
                while i < shape.w {
                    self.tile::<S, R, 1>(g.add(i * S::LANES), x.add(i * STRIDE * S::LANES), &mut sums);
                    i += 1;
                }
            }
            for (r, sums) in sums.iter().enumerate() {
                for (k, &sum) in sums.iter().enumerate() {
                    S::store(to.add((r * COLUMNS + k) * S::LANES), sum);
                }
            }
        }
    }

    /// `T` pixels.
    #[inline(always)]
    unsafe fn tile<S: Simd, const R: usize, const T: usize>(
        &self,
        g: *const f32,
        x: *const f32,
        sums: &mut [[S::V; COLUMNS]; R],
    ) {
        // SAFETY: as in `rows`.
        unsafe {
            let mut grads = [S::splat(0.0); T];
            for (t, grad) in grads.iter_mut().enumerate() {
                *grad = S::load(g.add(t * S::LANES));
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = x.add(r * DILATION * self.0.x_row);
                slide!(x, |t, column, v| sums[column] = S::fma(grads[t], v, sums[column]));
            }
        }
    }
}

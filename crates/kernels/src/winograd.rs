//! Dense 3×3 convolutions of stride 1 as F(2×2, 3×3) and F(4×4, 3×3) of Winograd (Lavin and Gray, "Fast Algorithms for
//! Convolutional Neural Networks", 2016): a tile of outputs takes 16 products a pair of channels in the place of 36, or
//! 36 in the place of 144.
//!
//! With the transforms `A`, `B`, `G` of that paper, `d` a window of inputs and `g` a kernel, a tile of outputs is
//! `Aᵀ (G g Gᵀ ⊙ Bᵀ d B) A`; the gradient of the kernel is `Gᵀ (Σ (A y Aᵀ) ⊙ (Bᵀ d B)) G`, with the output's gradient `y`.
//! The sums over channels and tiles are the dense products of [`crate::dense`], one for each of the *points* of a
//! transformed tile.

use crate::blocked::LANES;
use crate::dense::{Column, PAIR, Product, Reads, Walk, WeightGrad};
use crate::simd::{Kernel, Simd};
use crate::workspace::{Buffer, Workspace};

/// Weights of a kernel.
pub(crate) const TAPS: usize = 9;

/// Tiles of a strip times their points, at the most unless the fewest rows that fill registers are more: a strip's
/// transforms should stay in the nearest caches, and the products' weights be read seldom.
const STRIP: usize = 1152;

/// Tiles of 4×4 that a plane must have: with fewer, the products read more weights than they save arithmetic.
const LARGE: usize = 16;

/// Values of eight kernels side by side.
type Lanes = [f32; LANES];

/// Weights of eight kernels side by side.
type Kernels = [Lanes; TAPS];

/// The transforms of a line, for tiles of `M` outputs a side: `N = M + 2` points.
trait Lines<const M: usize, const N: usize>: Copy {
    /// `Bᵀ d`.
    unsafe fn window<S: Simd>(self, d: [S::V; N]) -> [S::V; N];
    /// `Aᵀ m`.
    unsafe fn gather<S: Simd>(self, m: [S::V; N]) -> [S::V; M];
    /// `A y`.
    unsafe fn spread<S: Simd>(self, y: [S::V; M]) -> [S::V; N];
    /// `G g`.
    fn kernel(self, g: [Lanes; 3]) -> [Lanes; N];
    /// `Gᵀ u`.
    fn kernel_grad(self, u: [Lanes; N]) -> [Lanes; 3];
}

/// F(2, 3) on the points 0, ±1, ∞, as the paper gives it.
#[derive(Debug, Clone, Copy)]
struct F2;

impl Lines<2, 4> for F2 {
    #[inline(always)]
    unsafe fn window<S: Simd>(self, [a, b, c, d]: [S::V; 4]) -> [S::V; 4] {
        // SAFETY: the caller's.
        unsafe { [S::sub(a, c), S::add(b, c), S::sub(c, b), S::sub(b, d)] }
    }

    #[inline(always)]
    unsafe fn gather<S: Simd>(self, [a, b, c, d]: [S::V; 4]) -> [S::V; 2] {
        // SAFETY: the caller's.
        unsafe { [S::add(S::add(a, b), c), S::sub(S::sub(b, c), d)] }
    }

    #[inline(always)]
    unsafe fn spread<S: Simd>(self, [a, b]: [S::V; 2]) -> [S::V; 4] {
        // SAFETY: the caller's.
        unsafe { [a, S::add(a, b), S::sub(a, b), S::sub(S::splat(0.0), b)] }
    }

    fn kernel(self, g: [Lanes; 3]) -> [Lanes; 4] {
        let half = |sign: f32| each(g, |[a, b, c]| 0.5 * (a + sign * b + c));
        [g[0], half(1.0), half(-1.0), g[2]]
    }

    fn kernel_grad(self, u: [Lanes; 4]) -> [Lanes; 3] {
        [
            each(u, |[a, b, c, _]| a + 0.5 * (b + c)),
            each(u, |[_, b, c, _]| 0.5 * (b - c)),
            each(u, |[_, b, c, d]| 0.5 * (b + c) + d),
        ]
    }
}

/// F(4, 3) on the points 0, ±1/√2, ±√2, ∞ in the place of the paper's 0, ±1, ±2, ∞: a quarter of the rounding error.
#[derive(Debug, Clone, Copy)]
struct F4;

const NEAR: f32 = std::f32::consts::FRAC_1_SQRT_2;
const FAR: f32 = std::f32::consts::SQRT_2;

impl Lines<4, 6> for F4 {
    #[inline(always)]
    unsafe fn window<S: Simd>(self, d: [S::V; 6]) -> [S::V; 6] {
        // SAFETY: the caller's.
        unsafe {
            let (even, odd) =
                (times::<S>(-2.0, d[2], d[4]), times::<S>(-FAR, d[1], S::mul(S::splat(NEAR), d[3])));
            let (even_far, odd_far) =
                (times::<S>(-0.5, d[2], d[4]), times::<S>(-NEAR, d[1], S::mul(S::splat(FAR), d[3])));
            [
                times::<S>(-2.5, d[2], S::add(d[0], d[4])),
                S::add(even, odd),
                S::sub(even, odd),
                S::add(even_far, odd_far),
                S::sub(even_far, odd_far),
                times::<S>(-2.5, d[3], S::add(d[1], d[5])),
            ]
        }
    }

    #[inline(always)]
    unsafe fn gather<S: Simd>(self, m: [S::V; 6]) -> [S::V; 4] {
        // SAFETY: the caller's.
        unsafe {
            let (even, odd) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
            let (even_far, odd_far) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
            [
                S::add(m[0], S::add(even, even_far)),
                times::<S>(NEAR, odd, S::mul(S::splat(FAR), odd_far)),
                times::<S>(0.5, even, S::add(even_far, even_far)),
                times::<S>(0.5 * NEAR, odd, times::<S>(2.0 * FAR, odd_far, m[5])),
            ]
        }
    }

    #[inline(always)]
    unsafe fn spread<S: Simd>(self, [a, b, c, d]: [S::V; 4]) -> [S::V; 6] {
        // SAFETY: the caller's.
        unsafe {
            let (even, odd) = (times::<S>(0.5, c, a), S::mul(S::splat(NEAR), times::<S>(0.5, d, b)));
            let (even_far, odd_far) = (times::<S>(2.0, c, a), S::mul(S::splat(FAR), times::<S>(2.0, d, b)));
            [a, S::add(even, odd), S::sub(even, odd), S::add(even_far, odd_far), S::sub(even_far, odd_far), d]
        }
    }

    fn kernel(self, g: [Lanes; 3]) -> [Lanes; 6] {
        let near = |sign: f32| each(g, |[a, b, c]| (a + sign * NEAR * b + 0.5 * c) / -1.5);
        let far = |sign: f32| each(g, |[a, b, c]| (a + sign * FAR * b + 2.0 * c) / 6.0);
        [g[0], near(1.0), near(-1.0), far(1.0), far(-1.0), g[2]]
    }

    fn kernel_grad(self, u: [Lanes; 6]) -> [Lanes; 3] {
        [
            each(u, |[a, b, c, d, e, _]| a - (b + c) / 1.5 + (d + e) / 6.0),
            each(u, |[_, b, c, d, e, _]| NEAR * (c - b) / 1.5 + FAR * (d - e) / 6.0),
            each(u, |[_, b, c, d, e, f]| (d + e - b - c) / 3.0 + f),
        ]
    }
}

/// `k v + sum`.
#[inline(always)]
unsafe fn times<S: Simd>(k: f32, v: S::V, sum: S::V) -> S::V {
    // SAFETY: the caller's.
    unsafe { S::fma(S::splat(k), v, sum) }
}

fn each<const N: usize>(of: [Lanes; N], value: impl Fn([f32; N]) -> f32) -> Lanes {
    std::array::from_fn(|lane| value(of.map(|of| of[lane])))
}

/// Outputs on a side of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Two,
    Four,
}

impl Side {
    const fn outputs(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// Points of a transformed tile.
    const fn points(self) -> usize {
        let side = self.outputs() + 2;
        side * side
    }
}

/// How planes are cut into tiles, and tiles into strips that are transformed together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiling {
    side: Side,
    rows: usize,
    columns: usize,
    /// Rows of tiles in a strip.
    strip: usize,
}

impl Tiling {
    /// The tiling of planes of such height and width; `None` where tiles would not fill the products' registers.
    pub fn new(size: [usize; 2]) -> Option<Self> {
        let large = Self::of(Side::Four, size).filter(|tiling| tiling.rows * tiling.columns >= LARGE);
        large.or_else(|| Self::of(Side::Two, size))
    }

    fn of(side: Side, size: [usize; 2]) -> Option<Self> {
        let [rows, columns] = size.map(|pixels| pixels / side.outputs());
        let fills = |strip: &usize| rows % strip == 0 && (strip * columns).is_multiple_of(4);
        let filling = (1..=rows).filter(fills);
        let fits = |strip: &usize| strip * columns * side.points() <= STRIP;
        let strip = filling.clone().take_while(fits).last().or(filling.min())?;
        let whole = size.iter().all(|pixels| pixels % side.outputs() == 0);
        whole.then_some(Self { side, rows, columns, strip })
    }

    /// Tiles of a strip.
    fn tiles(self) -> usize {
        self.strip * self.columns
    }

    /// First rows of tiles.
    fn strips(self) -> impl Iterator<Item = usize> {
        (0..self.rows).step_by(self.strip)
    }

    /// Floats from one point to the next of `blocks` transformed channel blocks, `[blocks, tiles, 8]` each. A line more
    /// than there is to hold: a tile's points would share one set of the nearest cache where these are powers of two.
    fn point(self, blocks: usize) -> usize {
        blocks * self.tiles() * LANES + PAIR
    }

    /// Floats of a strip's transformed channel blocks.
    fn strip_len(self, blocks: usize) -> usize {
        self.side.points() * self.point(blocks)
    }

    /// Number and upper left pixel of every tile of the strip from `row` on.
    #[inline(always)]
    fn strip_tiles(self, row: usize) -> impl Iterator<Item = (usize, [usize; 2])> {
        let side = self.side.outputs();
        (0..self.strip).flat_map(move |down| {
            (0..self.columns).map(move |x| (down * self.columns + x, [side * (row + down), side * x]))
        })
    }

    /// Height and width of the planes.
    fn size(self) -> [usize; 2] {
        [self.rows, self.columns].map(|tiles| tiles * self.side.outputs())
    }

    fn reads(self, blocks: usize) -> Reads {
        Reads { offsets: (0..blocks).map(|block| block * self.tiles() * LANES).collect(), lanes: LANES }
    }
}

/// A strip's transforms, for one task.
pub(crate) struct Strip {
    windows: Buffer,
    grads: Buffer,
    products: Buffer,
}

impl Strip {
    /// For that many blocks of windows, and blocks of gradients, at once.
    pub fn new(tiling: Tiling, workspace: &Workspace, windows: usize, grads: usize) -> Self {
        Self {
            windows: workspace.take(tiling.strip_len(windows)),
            grads: workspace.take(tiling.strip_len(grads.next_multiple_of(2))),
            products: workspace.take(tiling.strip_len(2)),
        }
    }
}

/// Channel blocks inside borders of zeros that windows and gradients are read from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planes<'a> {
    pub data: &'a [f32],
    /// First float of each block, its border included.
    pub blocks: &'a [usize],
    /// Floats between pixels, and between rows.
    pub steps: [usize; 2],
}

impl Planes<'_> {
    /// Asserts that planes of `size` and their borders lie inside the data.
    fn check(&self, [h, w]: [usize; 2]) {
        let [pixel, row] = self.steps;
        let last = (h + 1) * row + (w + 1) * pixel + LANES;
        assert!(self.blocks.iter().all(|block| block + last <= self.data.len()));
    }

    /// Floats from a block's start to the first pixel inside the border.
    fn inside(&self) -> usize {
        self.steps.iter().sum()
    }
}

impl Tiling {
    /// Floats of the transformed weights from `from_blocks` channel blocks to `pairs` pairs of blocks.
    pub fn weights_len(self, from_blocks: usize, pairs: usize) -> usize {
        self.side.points() * from_blocks * LANES * pairs * PAIR
    }

    /// Position among transformed weights `[pairs, points, from, 16]` of the first point of a channel of output and one of
    /// input; and floats from point to point.
    pub fn weight_at(self, from_blocks: usize, to: usize, from: usize) -> [usize; 2] {
        let point = from_blocks * LANES * PAIR;
        [to / PAIR * self.side.points() * point + from * PAIR + to % PAIR, point]
    }

    /// Position among gradients of transformed weights `[points, weights of a dense product]` of the first point of a channel
    /// of output and one of input; and floats from point to point.
    pub fn grad_at(self, from_blocks: usize, pairs: usize, to: usize, from: usize) -> [usize; 2] {
        let fan = from_blocks * LANES;
        [Column::new(pairs, [from_blocks, LANES], to).at(from / LANES, from % LANES), pairs * fan * PAIR]
    }

    /// Puts the transforms of the kernels whose first weights are at `firsts` where [`Tiling::weight_at`] says of the first of
    /// them, which is the first of its block; turned around if `turned`.
    pub fn put_weights(
        self,
        weights: &[f32],
        firsts: [Option<usize>; LANES],
        turned: bool,
        to: &mut [f32],
        at: [usize; 2],
    ) {
        let mut kernels = kernels(weights, firsts);
        if turned {
            kernels.reverse();
        }
        match self.side {
            Side::Two => put(transform(F2, &kernels).as_flattened(), to, at),
            Side::Four => put(transform(F4, &kernels).as_flattened(), to, at),
        }
    }

    /// Takes the gradients of the kernels whose first weights are at `firsts` from those of their transforms, which lie where
    /// [`Tiling::grad_at`] says of the first of them, which is the first of its block.
    pub fn take_grads(
        self,
        transformed: &[f32],
        [at, step]: [usize; 2],
        firsts: [Option<usize>; LANES],
        grads: &mut [f32],
    ) {
        let point = |point: usize| transformed[at + point * step..].as_chunks().0[0];
        let kernels = match self.side {
            Side::Two => transform_grad(F2, point),
            Side::Four => transform_grad(F4, point),
        };
        for (lane, first) in present(firsts) {
            for (grad, taps) in grads[first..][..TAPS].iter_mut().zip(&kernels) {
                *grad = taps[lane];
            }
        }
    }
}

/// Lanes that have a kernel, and its first weight.
fn present(firsts: [Option<usize>; LANES]) -> impl Iterator<Item = (usize, usize)> {
    firsts.into_iter().enumerate().filter_map(|(lane, first)| Some((lane, first?)))
}

/// The kernels whose first weights are at `firsts`; zeros where there is none.
fn kernels(weights: &[f32], firsts: [Option<usize>; LANES]) -> Kernels {
    let mut kernels = [[0.0; LANES]; TAPS];
    for (lane, first) in present(firsts) {
        for (taps, &weight) in kernels.iter_mut().zip(&weights[first..][..TAPS]) {
            taps[lane] = weight;
        }
    }
    kernels
}

fn put(points: &[Lanes], to: &mut [f32], [at, step]: [usize; 2]) {
    for (point, values) in points.iter().enumerate() {
        to[at + point * step..][..LANES].copy_from_slice(values);
    }
}

/// `G g Gᵀ` of each kernel.
fn transform<const M: usize, const N: usize>(lines: impl Lines<M, N>, kernels: &Kernels) -> [[Lanes; N]; N] {
    let columns: [[Lanes; N]; 3] =
        std::array::from_fn(|x| lines.kernel(std::array::from_fn(|y| kernels[3 * y + x])));
    std::array::from_fn(|y| lines.kernel(columns.map(|column| column[y])))
}

/// The gradient `Gᵀ u G` of each kernel, from those of the transforms' points.
fn transform_grad<const M: usize, const N: usize>(
    lines: impl Lines<M, N>,
    u: impl Fn(usize) -> Lanes,
) -> Kernels {
    let columns: [[Lanes; 3]; N] =
        std::array::from_fn(|x| lines.kernel_grad(std::array::from_fn(|y| u(N * y + x))));
    let rows: [[Lanes; 3]; 3] = std::array::from_fn(|y| lines.kernel_grad(columns.map(|column| column[y])));
    std::array::from_fn(|tap| rows[tap / 3][tap % 3])
}

/// Where outputs go: the first float of each block of `[h, w, 8]`.
#[derive(Debug)]
pub(crate) struct Outputs<'a> {
    pub data: &'a mut [f32],
    pub blocks: &'a [usize],
    /// Add to what is there.
    pub add: bool,
}

impl Tiling {
    /// The convolution of `x` by transformed weights `w` (see [`Tiling::weight_at`]).
    pub fn convolve<S: Simd>(self, s: S, x: Planes<'_>, w: &[f32], strip: &mut Strip, y: &mut Outputs<'_>) {
        let from = x.blocks.len();
        let (reads, w_row) = (self.reads(from), from * LANES * PAIR);
        let halves = [0, self.tiles() * LANES];
        let (x_row, y_row) = (self.point(from), self.point(2));
        let walk = Walk { x_pixel: LANES, x_row, y_row, rows: self.side.points(), n: self.tiles() };
        for row in self.strips() {
            self.windows(s, row, x, &mut strip.windows);
            for (pair, blocks) in y.blocks.chunks(2).enumerate() {
                let (x, places) = (&strip.windows[..], &halves[..blocks.len()]);
                let w = &w[pair * self.side.points() * w_row..][..self.side.points() * w_row];
                Product { x, reads: &reads, w, w_row, places, y_pixel: LANES, walk }
                    .store(s, &mut strip.products);
                self.outputs(s, row, &strip.products, Outputs { data: &mut *y.data, blocks, add: y.add });
            }
        }
    }

    /// Adds to the gradients of the transformed weights (see [`Tiling::grad_at`]).
    pub fn weight_grads<S: Simd>(
        self,
        s: S,
        x: Planes<'_>,
        grad: Planes<'_>,
        strip: &mut Strip,
        to: &mut [f32],
    ) {
        let (from, pairs) = (x.blocks.len(), grad.blocks.len().div_ceil(2));
        let (reads, g_pair) = (self.reads(from), self.tiles() * PAIR);
        let walk = Walk { x_pixel: LANES, x_row: 0, y_row: 0, rows: 1, n: self.tiles() };
        for row in self.strips() {
            self.windows(s, row, x, &mut strip.windows);
            self.grads(s, row, grad, &mut strip.grads);
            for (point, to) in to.chunks_exact_mut(reads.weights_len(pairs)).enumerate() {
                let x = &strip.windows[point * self.point(from)..];
                let g = &strip.grads[point * self.point(2 * pairs)..];
                WeightGrad { x, reads: &reads, g, g_pair, pairs, walk }.add_to(s, to);
            }
        }
    }

    /// `Bᵀ d B` of a strip's windows, `[points, blocks, tiles, 8]`.
    fn windows<S: Simd>(self, s: S, row: usize, x: Planes<'_>, to: &mut [f32]) {
        assert_eq!(S::LANES, LANES, "tiles know blocks of one width");
        x.check(self.size());
        assert!(row + self.strip <= self.rows && self.strip_len(x.blocks.len()) <= to.len());
        let to = to.as_mut_ptr();
        match self.side {
            Side::Two => s.call(Windows { lines: F2, tiling: self, row, x, to }),
            Side::Four => s.call(Windows { lines: F4, tiling: self, row, x, to }),
        }
    }

    /// `A y Aᵀ` of a strip's tiles, `[points, pairs, tiles, 16]`.
    fn grads<S: Simd>(self, s: S, row: usize, y: Planes<'_>, to: &mut [f32]) {
        assert_eq!(S::LANES, LANES, "tiles know blocks of one width");
        y.check(self.size());
        let blocks = y.blocks.len().next_multiple_of(2);
        assert!(row + self.strip <= self.rows && self.strip_len(blocks) <= to.len());
        let to = to.as_mut_ptr();
        match self.side {
            Side::Two => s.call(Grads { lines: F2, tiling: self, row, y, to }),
            Side::Four => s.call(Grads { lines: F4, tiling: self, row, y, to }),
        }
    }

    /// `Aᵀ m A` of a strip's products, `[points, 2, tiles, 8]`.
    fn outputs<S: Simd>(self, s: S, row: usize, products: &[f32], to: Outputs<'_>) {
        assert_eq!(S::LANES, LANES, "tiles know blocks of one width");
        let area = self.size().iter().product::<usize>() * LANES;
        assert!(to.blocks.len() <= 2 && to.blocks.iter().all(|block| block + area <= to.data.len()));
        assert!(row + self.strip <= self.rows && self.strip_len(2) <= products.len());
        let products = products.as_ptr();
        match self.side {
            Side::Two => s.call(Tiles { lines: F2, tiling: self, row, products, to }),
            Side::Four => s.call(Tiles { lines: F4, tiling: self, row, products, to }),
        }
    }
}

// Loops in the place of closures: what is not inlined here lacks the instructions of its caller.

/// `N` vectors, `step` floats apart.
#[inline(always)]
unsafe fn load<S: Simd, const N: usize>(from: *const f32, step: usize) -> [S::V; N] {
    // SAFETY: the caller vouches for `N` vectors.
    unsafe {
        let mut line = [S::splat(0.0); N];
        for (i, v) in line.iter_mut().enumerate() {
            *v = S::load(from.add(i * step));
        }
        line
    }
}

#[inline(always)]
unsafe fn store<S: Simd, const N: usize>(line: [S::V; N], to: *mut f32, step: usize) {
    for (i, v) in line.into_iter().enumerate() {
        // SAFETY: the caller vouches for `N` vectors.
        unsafe { S::store(to.add(i * step), v) };
    }
}

/// Column `i` of `H` rows.
#[inline(always)]
unsafe fn column<S: Simd, const H: usize, const W: usize>(rows: &[[S::V; W]; H], i: usize) -> [S::V; H] {
    // SAFETY: the caller's.
    let mut column = [unsafe { S::splat(0.0) }; H];
    for (v, row) in column.iter_mut().zip(rows) {
        *v = row[i];
    }
    column
}

struct Windows<'a, L, const M: usize, const N: usize> {
    lines: L,
    tiling: Tiling,
    row: usize,
    x: Planes<'a>,
    to: *mut f32,
}

impl<L: Lines<M, N>, const M: usize, const N: usize> Kernel for Windows<'_, L, M, N> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { lines, tiling, row, x, to } = self;
        let ([pixel, line], point) = (x.steps, tiling.point(x.blocks.len()));
        for (block, from) in x.blocks.iter().enumerate() {
            for (tile, [down, across]) in tiling.strip_tiles(row) {
                // SAFETY: `Tiling::windows` checked the planes, the rows of tiles and the room for transforms, and
                // chose the lines of the tiling's side.
                unsafe {
                    let x = x.data.as_ptr().add(from + down * line + across * pixel);
                    let to = to.add((block * tiling.tiles() + tile) * LANES);
                    let mut rows = [[S::splat(0.0); N]; N];
                    for (y, row) in rows.iter_mut().enumerate() {
                        *row = lines.window::<S>(load::<S, N>(x.add(y * line), pixel));
                    }
                    for i in 0..N {
                        store::<S, N>(
                            lines.window::<S>(column::<S, N, N>(&rows, i)),
                            to.add(i * point),
                            N * point,
                        );
                    }
                }
            }
        }
    }
}

struct Grads<'a, L, const M: usize, const N: usize> {
    lines: L,
    tiling: Tiling,
    row: usize,
    y: Planes<'a>,
    to: *mut f32,
}

impl<L: Lines<M, N>, const M: usize, const N: usize> Kernel for Grads<'_, L, M, N> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { lines, tiling, row, y, to: transforms } = self;
        let ([pixel, line], point) = (y.steps, tiling.point(y.blocks.len().next_multiple_of(2)));
        for (block, from) in y.blocks.iter().enumerate() {
            let to = block / 2 * tiling.tiles() * PAIR + block % 2 * LANES;
            for (tile, [down, across]) in tiling.strip_tiles(row) {
                // SAFETY: `Tiling::grads` checked the planes, the rows of tiles and the room for transforms, and
                // chose the lines of the tiling's side.
                unsafe {
                    let y = y.data.as_ptr().add(from + y.inside() + down * line + across * pixel);
                    let to = transforms.add(to + tile * PAIR);
                    let mut rows = [[S::splat(0.0); N]; M];
                    for (row, points) in rows.iter_mut().enumerate() {
                        *points = lines.spread::<S>(load::<S, M>(y.add(row * line), pixel));
                    }
                    for i in 0..N {
                        store::<S, N>(
                            lines.spread::<S>(column::<S, M, N>(&rows, i)),
                            to.add(i * point),
                            N * point,
                        );
                    }
                }
            }
        }
    }
}

struct Tiles<'a, L, const M: usize, const N: usize> {
    lines: L,
    tiling: Tiling,
    row: usize,
    products: *const f32,
    to: Outputs<'a>,
}

impl<L: Lines<M, N>, const M: usize, const N: usize> Kernel for Tiles<'_, L, M, N> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { lines, tiling, row, products, to } = self;
        let (point, line) = (tiling.point(2), M * tiling.columns * LANES);
        for (block, at) in to.blocks.iter().enumerate() {
            for (tile, [down, across]) in tiling.strip_tiles(row) {
                // SAFETY: `Tiling::outputs` checked the products, the rows of tiles and the outputs, and chose the
                // lines of the tiling's side.
                unsafe {
                    let y = to.data.as_mut_ptr().add(at + down * line + across * LANES);
                    let m = products.add((block * tiling.tiles() + tile) * LANES);
                    let mut rows = [[S::splat(0.0); M]; N];
                    for (row, sums) in rows.iter_mut().enumerate() {
                        *sums = lines.gather::<S>(load::<S, N>(m.add(row * N * point), point));
                    }
                    for i in 0..M {
                        let mut sums = lines.gather::<S>(column::<S, N, M>(&rows, i));
                        let y = y.add(i * LANES);
                        if to.add {
                            for (sum, before) in sums.iter_mut().zip(load::<S, M>(y, line)) {
                                *sum = S::add(*sum, before);
                            }
                        }
                        store::<S, M>(sums, y, line);
                    }
                }
            }
        }
    }
}

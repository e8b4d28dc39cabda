//! Dense 3×3 convolutions of stride 1 as F(2×2, 3×3) of Winograd (Lavin and Gray, "Fast Algorithms for Convolutional
//! Neural Networks", 2016): a tile of 2×2 outputs takes 16 products a pair of channels in the place of 36.
//!
//! With the transforms `A`, `B`, `G` of that paper, `d` a window of 4×4 inputs and `g` a kernel, a tile of outputs is
//! `Aᵀ (G g Gᵀ ⊙ Bᵀ d B) A`; the gradient of the kernel is `Gᵀ (Σ (A y Aᵀ) ⊙ (Bᵀ d B)) G`, with the output's gradient `y`.
//! The sums over channels and tiles are the dense products of [`crate::dense`], one for each of the 16 *points* of a
//! transformed tile.

use crate::blocked::LANES;
use crate::dense::{Column, PAIR, Product, Reads, Walk, WeightGrad};
use crate::pixelwise::lanes;
use crate::simd::{Kernel, Simd};
use crate::workspace::{Buffer, Workspace};

/// Points of a transformed tile.
const POINTS: usize = SIDE * SIDE;
const SIDE: usize = 4;
/// Weights of a kernel.
pub(crate) const TAPS: usize = 9;

/// Tiles of a strip: its transforms should stay in the nearest caches, and the products' weights be read seldom.
const STRIP: usize = 64;

/// How planes are cut into tiles, and tiles into strips that are transformed together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiling {
    rows: usize,
    columns: usize,
    /// Rows of tiles in a strip.
    strip: usize,
}

impl Tiling {
    /// The tiling of planes of such height and width; `None` where tiles would not fill the products' registers.
    pub fn new([h, w]: [usize; 2]) -> Option<Self> {
        let (rows, columns) = (h / 2, w / 2);
        let fills = |strip: &usize| rows % strip == 0 && (strip * columns).is_multiple_of(4);
        let filling = (1..=rows).filter(fills);
        let strip = filling.clone().take_while(|strip| strip * columns <= STRIP).last().or(filling.min())?;
        (h % 2 == 0 && w % 2 == 0).then_some(Self { rows, columns, strip })
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
        POINTS * self.point(blocks)
    }

    /// Number and upper left pixel of every tile of the strip from `row` on.
    #[inline(always)]
    fn strip_tiles(self, row: usize) -> impl Iterator<Item = (usize, [usize; 2])> {
        (0..self.strip).flat_map(move |down| {
            (0..self.columns).map(move |x| (down * self.columns + x, [2 * (row + down), 2 * x]))
        })
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
    /// Asserts that `rows` rows of `pixels` pixels lie inside the data.
    fn check(&self, [rows, pixels]: [usize; 2]) {
        let [pixel, row] = self.steps;
        let last = (rows - 1) * row + (pixels - 1) * pixel + LANES;
        assert!(self.blocks.iter().all(|block| block + last <= self.data.len()));
    }

    /// Floats from a block's start to the first pixel inside the border.
    fn inside(&self) -> usize {
        self.steps.iter().sum()
    }
}

/// Weights of eight kernels side by side, `[9, 8]`.
type Kernels = [[f32; LANES]; TAPS];

/// The kernels whose first weights are at `firsts`; zeros where there is none.
fn kernels(weights: &[f32], firsts: [Option<usize>; LANES]) -> Kernels {
    let mut kernels = [[0.0; LANES]; TAPS];
    for (lane, first) in firsts.into_iter().enumerate().filter_map(|(lane, first)| Some((lane, first?))) {
        for (taps, &weight) in kernels.iter_mut().zip(&weights[first..][..TAPS]) {
            taps[lane] = weight;
        }
    }
    kernels
}

/// Puts the transforms of the kernels whose first weights are at `firsts` where [`weight_at`] says of the first of them,
/// which is the first of its block.
pub(crate) fn put_weights(
    weights: &[f32],
    firsts: [Option<usize>; LANES],
    turned: bool,
    to: &mut [f32],
    [at, step]: [usize; 2],
) {
    let mut kernels = kernels(weights, firsts);
    if turned {
        kernels.reverse();
    }
    for (point, values) in transform(&kernels).into_iter().enumerate() {
        to[at + point * step..][..LANES].copy_from_slice(&values);
    }
}

fn each<const N: usize>(of: [[f32; LANES]; N], value: impl Fn([f32; N]) -> f32) -> [f32; LANES] {
    std::array::from_fn(|lane| value(of.map(|of| of[lane])))
}

/// `G g Gᵀ` of each kernel.
fn transform(kernels: &Kernels) -> [[f32; LANES]; POINTS] {
    let line = |of: [[f32; LANES]; 3]| {
        [of[0], each(of, |[a, b, c]| 0.5 * (a + b + c)), each(of, |[a, b, c]| 0.5 * (a - b + c)), of[2]]
    };
    let columns: [[[f32; LANES]; SIDE]; 3] =
        std::array::from_fn(|x| line(std::array::from_fn(|y| kernels[3 * y + x])));
    let rows: [[[f32; LANES]; SIDE]; SIDE] = std::array::from_fn(|y| line(columns.map(|column| column[y])));
    std::array::from_fn(|point| rows[point / SIDE][point % SIDE])
}

/// Takes the gradients of the kernels whose first weights are at `firsts` from those of their transforms, which lie where
/// [`grad_at`] says of the first of them, which is the first of its block.
pub(crate) fn take_grads(
    transformed: &[f32],
    [at, step]: [usize; 2],
    firsts: [Option<usize>; LANES],
    grads: &mut [f32],
) {
    let point = |point: usize| lanes(&transformed[at + point * step..], 0);
    let kernels = kernel_grads(std::array::from_fn(|i| *point(i)));
    for (lane, first) in firsts.into_iter().enumerate().filter_map(|(lane, first)| Some((lane, first?))) {
        for (grad, taps) in grads[first..][..TAPS].iter_mut().zip(&kernels) {
            *grad = taps[lane];
        }
    }
}

/// The gradient `Gᵀ u G` of each kernel, from those of the transforms.
fn kernel_grads(u: [[f32; LANES]; POINTS]) -> Kernels {
    let line = |of: [[f32; LANES]; SIDE]| {
        [
            each(of, |[a, b, c, _]| a + 0.5 * (b + c)),
            each(of, |[_, b, c, _]| 0.5 * (b - c)),
            each(of, |[_, b, c, d]| 0.5 * (b + c) + d),
        ]
    };
    let columns: [[[f32; LANES]; 3]; SIDE] =
        std::array::from_fn(|x| line(std::array::from_fn(|y| u[SIDE * y + x])));
    let rows: [[[f32; LANES]; 3]; 3] = std::array::from_fn(|y| line(columns.map(|column| column[y])));
    std::array::from_fn(|tap| rows[tap / 3][tap % 3])
}

/// Position among transformed weights `[pairs, 16, from, 16]` of the first point of a channel of output and one of input;
/// and floats from point to point.
pub(crate) fn weight_at(from_blocks: usize, to: usize, from: usize) -> [usize; 2] {
    let point = from_blocks * LANES * PAIR;
    [to / PAIR * POINTS * point + from * PAIR + to % PAIR, point]
}

/// Floats of the transformed weights from `from_blocks` channel blocks to `pairs` pairs of blocks.
pub(crate) fn weights_len(from_blocks: usize, pairs: usize) -> usize {
    POINTS * from_blocks * LANES * pairs * PAIR
}

/// Position among gradients of transformed weights `[16, weights of a dense product]` of the first point of a channel of
/// output and one of input; and floats from point to point.
pub(crate) fn grad_at(from_blocks: usize, pairs: usize, to: usize, from: usize) -> [usize; 2] {
    let fan = from_blocks * LANES;
    [Column::new(pairs, [from_blocks, LANES], to).at(from / LANES, from % LANES), pairs * fan * PAIR]
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
    /// The convolution of `x` by transformed weights `w` (see [`weight_at`]).
    pub fn convolve<S: Simd>(self, s: S, x: Planes<'_>, w: &[f32], strip: &mut Strip, y: &mut Outputs<'_>) {
        let from = x.blocks.len();
        let (reads, w_row) = (self.reads(from), from * LANES * PAIR);
        let halves = [0, self.tiles() * LANES];
        let (x_row, y_row) = (self.point(from), self.point(2));
        let walk = Walk { x_pixel: LANES, x_row, y_row, rows: POINTS, n: self.tiles() };
        for row in self.strips() {
            self.windows(s, row, x, &mut strip.windows);
            for (pair, blocks) in y.blocks.chunks(2).enumerate() {
                let (x, places) = (&strip.windows[..], &halves[..blocks.len()]);
                let w = &w[pair * POINTS * w_row..][..POINTS * w_row];
                Product { x, reads: &reads, w, w_row, places, y_pixel: LANES, walk }
                    .store(s, &mut strip.products);
                self.outputs(s, row, &strip.products, Outputs { data: &mut *y.data, blocks, add: y.add });
            }
        }
    }

    /// Adds to the gradients of the transformed weights (see [`grad_at`]).
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

    /// `Bᵀ d B` of a strip's windows, `[16, blocks, tiles, 8]`.
    fn windows<S: Simd>(self, s: S, row: usize, x: Planes<'_>, to: &mut [f32]) {
        x.check([2 * self.rows + 2, 2 * self.columns + 2]);
        assert!(row + self.strip <= self.rows && self.strip_len(x.blocks.len()) <= to.len());
        s.call(Windows { tiling: self, row, x, to: to.as_mut_ptr() });
    }

    /// `A y Aᵀ` of a strip's tiles, `[16, pairs, tiles, 16]`.
    fn grads<S: Simd>(self, s: S, row: usize, y: Planes<'_>, to: &mut [f32]) {
        y.check([2 * self.rows + 2, 2 * self.columns + 2]);
        let blocks = y.blocks.len().next_multiple_of(2);
        assert!(row + self.strip <= self.rows && self.strip_len(blocks) <= to.len());
        s.call(Grads { tiling: self, row, y, to: to.as_mut_ptr() });
    }

    /// `Aᵀ m A` of a strip's products, `[16, 2, tiles, 8]`.
    fn outputs<S: Simd>(self, s: S, row: usize, products: &[f32], to: Outputs<'_>) {
        let area = 4 * self.rows * self.columns * LANES;
        assert!(to.blocks.len() <= 2 && to.blocks.iter().all(|block| block + area <= to.data.len()));
        assert!(row + self.strip <= self.rows && self.strip_len(2) <= products.len());
        s.call(Tiles { tiling: self, row, products: products.as_ptr(), to });
    }
}

struct Windows<'a> {
    tiling: Tiling,
    row: usize,
    x: Planes<'a>,
    to: *mut f32,
}

impl Kernel for Windows<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { tiling, row, x, to } = self;
        let ([pixel, line], point) = (x.steps, tiling.point(x.blocks.len()));
        for (block, from) in x.blocks.iter().enumerate() {
            for (tile, [down, across]) in tiling.strip_tiles(row) {
                // SAFETY: `Tiling::windows` checked the planes, the rows of tiles and the room for transforms.
                unsafe {
                    let x = x.data.as_ptr().add(from + down * line + across * pixel);
                    window::<S>(x, [pixel, line], to.add((block * tiling.tiles() + tile) * LANES), point);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn window<S: Simd>(x: *const f32, [pixel, line]: [usize; 2], to: *mut f32, point: usize) {
    // SAFETY: the caller vouches for 4×4 pixels and for the 16 points.
    unsafe {
        let across = |y: usize| -> [S::V; SIDE] {
            let d: [S::V; SIDE] = std::array::from_fn(|i| S::load(x.add(y * line + i * pixel)));
            [S::sub(d[0], d[2]), S::add(d[1], d[2]), S::sub(d[2], d[1]), S::sub(d[1], d[3])]
        };
        let put = |y: usize, i: usize, v: S::V| S::store(to.add((y * SIDE + i) * point), v);
        // In the order that keeps the fewest rows in registers.
        let (third, first) = (across(2), across(0));
        for i in 0..SIDE {
            put(0, i, S::sub(first[i], third[i]));
        }
        let second = across(1);
        for i in 0..SIDE {
            put(1, i, S::add(second[i], third[i]));
            put(2, i, S::sub(third[i], second[i]));
        }
        let fourth = across(3);
        for i in 0..SIDE {
            put(3, i, S::sub(second[i], fourth[i]));
        }
    }
}

struct Grads<'a> {
    tiling: Tiling,
    row: usize,
    y: Planes<'a>,
    to: *mut f32,
}

impl Kernel for Grads<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { tiling, row, y, to: transforms } = self;
        let ([pixel, line], point) = (y.steps, tiling.point(y.blocks.len().next_multiple_of(2)));
        for (block, from) in y.blocks.iter().enumerate() {
            let to = block / 2 * tiling.tiles() * PAIR + block % 2 * LANES;
            for (tile, [down, across]) in tiling.strip_tiles(row) {
                // SAFETY: `Tiling::grads` checked the planes, the rows of tiles and the room for transforms.
                unsafe {
                    let y = y.data.as_ptr().add(from + y.inside() + down * line + across * pixel);
                    grad::<S>(y, [pixel, line], transforms.add(to + tile * PAIR), point);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn grad<S: Simd>(y: *const f32, [pixel, line]: [usize; 2], to: *mut f32, point: usize) {
    // SAFETY: the caller vouches for 2×2 pixels and for the 16 points.
    unsafe {
        let zero = S::splat(0.0);
        let spread = |[a, b]: [S::V; 2]| [a, S::add(a, b), S::sub(a, b), S::sub(zero, b)];
        let columns: [[S::V; SIDE]; 2] =
            std::array::from_fn(|i| spread([S::load(y.add(i * pixel)), S::load(y.add(line + i * pixel))]));
        for (row, pair) in columns[0].into_iter().zip(columns[1]).enumerate() {
            for (i, v) in spread(pair.into()).into_iter().enumerate() {
                S::store(to.add((row * SIDE + i) * point), v);
            }
        }
    }
}

struct Tiles<'a> {
    tiling: Tiling,
    row: usize,
    products: *const f32,
    to: Outputs<'a>,
}

impl Kernel for Tiles<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { tiling, row, products, to } = self;
        let (point, line) = (tiling.point(2), 2 * tiling.columns * LANES);
        for (block, at) in to.blocks.iter().enumerate() {
            for (tile, [down, across]) in tiling.strip_tiles(row) {
                // SAFETY: `Tiling::outputs` checked the products, the rows of tiles and the outputs.
                unsafe {
                    let y = to.data.as_mut_ptr().add(at + down * line + across * LANES);
                    let products = products.add((block * tiling.tiles() + tile) * LANES);
                    outputs::<S>(products, point, y, line, to.add);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn outputs<S: Simd>(m: *const f32, point: usize, y: *mut f32, line: usize, add: bool) {
    // SAFETY: the caller vouches for the 16 points and for 2×2 pixels.
    unsafe {
        let gather = |row: usize| -> [S::V; 2] {
            let m: [S::V; SIDE] = std::array::from_fn(|i| S::load(m.add((row * SIDE + i) * point)));
            [S::add(S::add(m[0], m[1]), m[2]), S::sub(S::sub(m[1], m[2]), m[3])]
        };
        let put = |to: *mut f32, sum: S::V| S::store(to, if add { S::add(S::load(to), sum) } else { sum });
        let [first, second, third, fourth] = [gather(0), gather(1), gather(2), gather(3)];
        for i in 0..2 {
            let y = y.add(i * LANES);
            put(y, S::add(S::add(first[i], second[i]), third[i]));
            put(y.add(line), S::sub(S::sub(second[i], third[i]), fourth[i]));
        }
    }
}

//! Pointwise (1×1) convolution of a chunk of pixels that lies in the first-level cache, and the gradient of
//! its weights.

use crate::simd::{Kernel, Simd};

/// Rows of pixels: input blocks `x_block` apart, output blocks `y_block` apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pixels {
    /// Input blocks.
    pub blocks: usize,
    /// Channels used in each input block.
    pub lanes: usize,
    /// Floats between input blocks.
    pub x_block: usize,
    /// Floats between input rows.
    pub x_row: usize,
    /// Output blocks.
    pub out: usize,
    /// Floats between output blocks.
    pub y_block: usize,
    /// Floats between output rows.
    pub y_row: usize,
    /// Rows.
    pub rows: usize,
    /// Pixels in a row.
    pub n: usize,
}

/// `y[o] = Σ_i w[o][i] x[i]`; `w` is `[out / 2, blocks * lanes, 2, b]`, and behind it `[blocks * lanes, b]` of a last block
/// without a partner.
pub(crate) fn pointwise<S: Simd>(s: S, x: &[f32], w: &[f32], y: &mut [f32], pixels: &Pixels) {
    let p = *pixels;
    if p.rows == 0 || p.n == 0 || p.out == 0 || p.blocks == 0 {
        return;
    }
    let last = |block, blocks: usize, row| (blocks - 1) * block + (p.rows - 1) * row + p.n * S::LANES;
    assert!(last(p.x_block, p.blocks, p.x_row) <= x.len() && last(p.y_block, p.out, p.y_row) <= y.len());
    assert!(p.lanes <= S::LANES && p.out * p.blocks * p.lanes * S::LANES <= w.len());
    s.call(Product { x: x.as_ptr(), w: w.as_ptr(), y: y.as_mut_ptr(), p });
}

struct Product {
    x: *const f32,
    w: *const f32,
    y: *mut f32,
    p: Pixels,
}

impl Kernel for Product {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: `pointwise` checked the last position of all three.
        unsafe {
            let mut o = 0;
            while o + 2 <= self.p.out {
                self.pair::<S>(o);
                o += 2;
            }
            if o < self.p.out {
                self.single::<S>(o);
            }
        }
    }
}

/// Rows in tiles of so many pixels, the largest first where it is worth its registers.
macro_rules! tiles {
    ($self:ident, $tile:ident, $o:expr, $($wide:literal if $when:expr),*) => {
        for row in 0..$self.p.rows {
            let mut i = 0;
            $(while $when && i + $wide <= $self.p.n {
                $self.$tile::<S, $wide>($o, row, i);
                i += $wide;
            })*
            while i < $self.p.n {
                $self.$tile::<S, 1>($o, row, i);
                i += 1;
            }
        }
    };
}

impl Product {
    #[inline(always)]
    unsafe fn pair<S: Simd>(&self, o: usize) {
        // SAFETY: tiles stay inside the row.
        unsafe {
            tiles!(self, pair_tile, o, 16 if S::WIDE && S::PAIR_IS_ONE_REGISTER, 8 if S::WIDE, 4 if true)
        }
    }

    #[inline(always)]
    unsafe fn single<S: Simd>(&self, o: usize) {
        // SAFETY: tiles stay inside the row.
        unsafe { tiles!(self, single_tile, o, 16 if S::WIDE, 8 if true, 4 if true) }
    }

    /// Both blocks of a pair.
    #[inline(always)]
    unsafe fn pair_tile<S: Simd, const T: usize>(&self, o: usize, row: usize, i: usize) {
        let p = &self.p;
        // SAFETY: the caller keeps `o + 1`, `row` and `i + T` inside what `pointwise` checked.
        unsafe {
            let mut sums = [S::splat_pair(0.0); T];
            let mut w = self.w.add(o * p.blocks * p.lanes * S::LANES);
            for block in 0..p.blocks {
                let x = self.x.add(block * p.x_block + row * p.x_row + i * S::LANES);
                for lane in 0..p.lanes {
                    let ws = S::load_pair(w);
                    for (t, sum) in sums.iter_mut().enumerate() {
                        *sum = S::fma_pair(ws, S::splat_pair(*x.add(t * S::LANES + lane)), *sum);
                    }
                    w = w.add(2 * S::LANES);
                }
            }
            let y = self.y.add(o * p.y_block + row * p.y_row + i * S::LANES);
            for (t, &sum) in sums.iter().enumerate() {
                let [low, high] = S::halves(sum);
                S::store(y.add(t * S::LANES), low);
                S::store(y.add(p.y_block + t * S::LANES), high);
            }
        }
    }

    #[inline(always)]
    unsafe fn single_tile<S: Simd, const T: usize>(&self, o: usize, row: usize, i: usize) {
        let p = &self.p;
        // SAFETY: the caller keeps `o`, `row` and `i + T` inside what `pointwise` checked.
        unsafe {
            let mut sums = [S::splat(0.0); T];
            let mut w = self.w.add(o * p.blocks * p.lanes * S::LANES);
            for block in 0..p.blocks {
                let x = self.x.add(block * p.x_block + row * p.x_row + i * S::LANES);
                for lane in 0..p.lanes {
                    let ws = S::load(w);
                    for (t, sum) in sums.iter_mut().enumerate() {
                        *sum = S::fma(ws, S::splat(*x.add(t * S::LANES + lane)), *sum);
                    }
                    w = w.add(S::LANES);
                }
            }
            let y = self.y.add(o * p.y_block + row * p.y_row + i * S::LANES);
            for (t, &sum) in sums.iter().enumerate() {
                S::store(y.add(t * S::LANES), sum);
            }
        }
    }
}

/// `w[o][i] += Σ_pixels g[o] x[i]`: `g` in blocks `g_block` apart, `x` in blocks `x_block` apart, `n` pixels;
/// `w` is `[out * b, blocks * b]`.
pub(crate) struct WeightGrad<'a> {
    pub g: &'a [f32],
    pub g_block: usize,
    pub out: usize,
    pub x: &'a [f32],
    pub x_block: usize,
    pub blocks: usize,
    pub n: usize,
}

impl WeightGrad<'_> {
    /// Adds into `to`.
    pub fn add_to<S: Simd>(&self, s: S, to: &mut [f32]) {
        if self.n == 0 || self.out == 0 || self.blocks == 0 {
            return;
        }
        assert!((self.out - 1) * self.g_block + self.n * S::LANES <= self.g.len());
        assert!((self.blocks - 1) * self.x_block + self.n * S::LANES <= self.x.len());
        assert!(self.out * self.blocks * S::LANES * S::LANES <= to.len());
        s.call(Outer { shape: self, to: to.as_mut_ptr() });
    }
}

struct Outer<'a, 'b> {
    shape: &'a WeightGrad<'b>,
    to: *mut f32,
}

impl Kernel for Outer<'_, '_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let blocks = self.shape.blocks;
        for out in 0..self.shape.out {
            // SAFETY: `add_to` checked the last position of all three.
            unsafe {
                for lane in (0..S::LANES).step_by(8) {
                    for block in (0..blocks / 2 * 2).step_by(2) {
                        if S::WIDE {
                            self.pair_tile::<S, 8>(out, lane, block);
                        } else {
                            self.pair_tile::<S, 4>(out, lane, block);
                            self.pair_tile::<S, 4>(out, lane + 4, block);
                        }
                    }
                    if blocks % 2 == 1 {
                        self.single_tile::<S, 8>(out, lane, blocks - 1);
                    }
                }
            }
        }
    }
}

impl Outer<'_, '_> {
    /// `O` channels of output block `out` from `lane` on, against both blocks of a pair.
    #[inline(always)]
    unsafe fn pair_tile<S: Simd, const O: usize>(&self, out: usize, lane: usize, block: usize) {
        let shape = self.shape;
        let row = shape.blocks * S::LANES;
        // SAFETY: `run` keeps `out`, `lane + O` and `block + 1` inside what `add_to` checked.
        unsafe {
            let to = self.to.add((out * S::LANES + lane) * row + block * S::LANES);
            let mut sums = [S::splat_pair(0.0); O];
            for (o, sum) in sums.iter_mut().enumerate() {
                *sum = S::load_pair(to.add(o * row));
            }
            let g = shape.g.as_ptr().add(out * shape.g_block + lane);
            let x = shape.x.as_ptr().add(block * shape.x_block);
            for i in (0..shape.n).map(|i| i * S::LANES) {
                let xs = S::join(S::load(x.add(i)), S::load(x.add(shape.x_block + i)));
                for (o, sum) in sums.iter_mut().enumerate() {
                    *sum = S::fma_pair(S::splat_pair(*g.add(i + o)), xs, *sum);
                }
            }
            for (o, &sum) in sums.iter().enumerate() {
                S::store_pair(to.add(o * row), sum);
            }
        }
    }

    /// The same against a block without a partner.
    #[inline(always)]
    unsafe fn single_tile<S: Simd, const O: usize>(&self, out: usize, lane: usize, block: usize) {
        let shape = self.shape;
        let row = shape.blocks * S::LANES;
        // SAFETY: `run` keeps `out`, `lane + O` and `block` inside what `add_to` checked.
        unsafe {
            let to = self.to.add((out * S::LANES + lane) * row + block * S::LANES);
            let mut sums = [S::splat(0.0); O];
            for (o, sum) in sums.iter_mut().enumerate() {
                *sum = S::load(to.add(o * row));
            }
            let g = shape.g.as_ptr().add(out * shape.g_block + lane);
            let x = shape.x.as_ptr().add(block * shape.x_block);
            for i in (0..shape.n).map(|i| i * S::LANES) {
                let xs = S::load(x.add(i));
                for (o, sum) in sums.iter_mut().enumerate() {
                    *sum = S::fma(S::splat(*g.add(i + o)), xs, *sum);
                }
            }
            for (o, &sum) in sums.iter().enumerate() {
                S::store(to.add(o * row), sum);
            }
        }
    }
}

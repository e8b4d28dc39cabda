//! Pointwise (1×1) convolution of a chunk of pixels that lies in the first-level cache, and the gradient of
//! its weights.

use crate::blocked::LANES;
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

/// `y[o] = Σ_i w[o][i] x[i]`; `w` is `[out, blocks * lanes, 8]`.
pub(crate) fn pointwise<S: Simd>(s: S, x: &[f32], w: &[f32], y: &mut [f32], pixels: &Pixels) {
    let p = *pixels;
    if p.rows == 0 || p.n == 0 || p.out == 0 || p.blocks == 0 {
        return;
    }
    let last = |block, blocks: usize, row| (blocks - 1) * block + (p.rows - 1) * row + p.n * LANES;
    assert!(last(p.x_block, p.blocks, p.x_row) <= x.len() && last(p.y_block, p.out, p.y_row) <= y.len());
    assert!(p.lanes <= LANES && p.out * p.blocks * p.lanes * LANES <= w.len());
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
                self.outputs::<S, 2>(o);
                o += 2;
            }
            if o < self.p.out {
                self.outputs::<S, 1>(o);
            }
        }
    }
}

impl Product {
    #[inline(always)]
    unsafe fn outputs<S: Simd, const B: usize>(&self, o: usize) {
        for row in 0..self.p.rows {
            let mut i = 0;
            // SAFETY: tiles stay inside the row.
            unsafe {
                if S::WIDE || B == 1 {
                    while i + 8 <= self.p.n {
                        self.tile::<S, 8, B>(o, row, i);
                        i += 8;
                    }
                }
                while i + 4 <= self.p.n {
                    self.tile::<S, 4, B>(o, row, i);
                    i += 4;
                }
                while i < self.p.n {
                    self.tile::<S, 1, B>(o, row, i);
                    i += 1;
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn tile<S: Simd, const T: usize, const B: usize>(&self, o: usize, row: usize, i: usize) {
        let p = &self.p;
        let fan = p.blocks * p.lanes;
        // SAFETY: the caller keeps `o + B`, `row` and `i + T` inside what `pointwise` checked.
        unsafe {
            let mut sums = [[S::splat(0.0); B]; T];
            let mut w = self.w.add(o * fan * LANES);
            for block in 0..p.blocks {
                let x = self.x.add(block * p.x_block + row * p.x_row + i * LANES);
                for lane in 0..p.lanes {
                    let mut ws = [S::splat(0.0); B];
                    for (b, v) in ws.iter_mut().enumerate() {
                        *v = S::load(w.add(b * fan * LANES));
                    }
                    for (t, sums) in sums.iter_mut().enumerate() {
                        let v = S::splat(*x.add(t * LANES + lane));
                        for (sum, &w) in sums.iter_mut().zip(&ws) {
                            *sum = S::fma(w, v, *sum);
                        }
                    }
                    w = w.add(LANES);
                }
            }
            // Two plain loops: an index the compiler cannot resolve would keep all sums in memory.
            let y = self.y.add(o * p.y_block + row * p.y_row + i * LANES);
            for (t, sums) in sums.iter().enumerate() {
                for (b, &sum) in sums.iter().enumerate() {
                    S::store(y.add(b * p.y_block + t * LANES), sum);
                }
            }
        }
    }
}

/// `w[o][i] += Σ_pixels g[o] x[i]`: `g` in blocks `g_block` apart, `x` in blocks `x_block` apart, `n` pixels;
/// `w` is `[out * 8, blocks * 8]`.
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
        assert!((self.out - 1) * self.g_block + self.n * LANES <= self.g.len());
        assert!((self.blocks - 1) * self.x_block + self.n * LANES <= self.x.len());
        assert!(self.out * self.blocks * LANES * LANES <= to.len());
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
            let mut block = 0;
            // SAFETY: `add_to` checked the last position of all three.
            unsafe {
                while block + 2 <= blocks {
                    if S::WIDE {
                        self.tile::<S, 8, 2>(out, 0, block);
                    } else {
                        self.tile::<S, 4, 2>(out, 0, block);
                        self.tile::<S, 4, 2>(out, 4, block);
                    }
                    block += 2;
                }
                if block < blocks {
                    self.tile::<S, 8, 1>(out, 0, block);
                }
            }
        }
    }
}

impl Outer<'_, '_> {
    #[inline(always)]
    unsafe fn tile<S: Simd, const O: usize, const B: usize>(&self, out: usize, lane: usize, block: usize) {
        let shape = self.shape;
        let row = shape.blocks * LANES;
        // SAFETY: `run` keeps `out`, `lane + O` and `block + B` inside what `add_to` checked.
        unsafe {
            let to = self.to.add((out * LANES + lane) * row + block * LANES);
            let mut sums = [[S::splat(0.0); B]; O];
            for (o, sums) in sums.iter_mut().enumerate() {
                for (b, sum) in sums.iter_mut().enumerate() {
                    *sum = S::load(to.add(o * row + b * LANES));
                }
            }
            let g = shape.g.as_ptr().add(out * shape.g_block + lane);
            let x = shape.x.as_ptr().add(block * shape.x_block);
            for i in 0..shape.n {
                let mut xs = [S::splat(0.0); B];
                for (b, v) in xs.iter_mut().enumerate() {
                    *v = S::load(x.add(b * shape.x_block + i * LANES));
                }
                for (o, sums) in sums.iter_mut().enumerate() {
                    let v = S::splat(*g.add(i * LANES + o));
                    for (sum, &x) in sums.iter_mut().zip(&xs) {
                        *sum = S::fma(v, x, *sum);
                    }
                }
            }
            for (o, sums) in sums.iter().enumerate() {
                for (b, &sum) in sums.iter().enumerate() {
                    S::store(to.add(o * row + b * LANES), sum);
                }
            }
        }
    }
}

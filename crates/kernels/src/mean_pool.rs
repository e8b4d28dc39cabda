//! Average pooling without padding: behind a ReLU the way into the heads, and with the whole plane as its window the way
//! out of them (facts 3.5); without one what NAS-Bench-201's residual blocks halve their input with.

use rayon::prelude::*;

use crate::blocked::{Channels, blocked_len};
use crate::error::{KernelError, check, refuse_small};
use crate::simd::{Job, Kernel, Simd};
use crate::workspace::Workspace;

/// The mean over windows, of `x` or of `max(x, 0)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeanPool {
    channels: Channels,
    size: [usize; 2],
    window: [usize; 2],
    stride: [usize; 2],
    relu: bool,
}

impl MeanPool {
    /// Windows of height and width `window`, `stride` pixels apart, in images of `size`.
    ///
    /// # Errors
    /// [`KernelError::TooSmall`] for no channels, an empty window, a stride of zero or an image smaller than the
    /// window.
    pub fn new(
        channels: Channels,
        size: [usize; 2],
        window: [usize; 2],
        stride: [usize; 2],
    ) -> Result<Self, KernelError> {
        refuse_small(&[
            ("channels", channels.real(), 1),
            ("window height", window[0], 1),
            ("window width", window[1], 1),
            ("vertical stride", stride[0], 1),
            ("horizontal stride", stride[1], 1),
            ("image height", size[0], window[0]),
            ("image width", size[1], window[1]),
        ])?;
        Ok(Self { channels, size, window, stride, relu: false })
    }

    /// The same of `max(x, 0)`.
    #[must_use]
    pub fn behind_relu(self) -> Self {
        Self { relu: true, ..self }
    }

    /// Height and width of the output.
    #[must_use]
    pub fn output_size(&self) -> [usize; 2] {
        [0, 1].map(|d| (self.size[d] - self.window[d]) / self.stride[d] + 1)
    }

    /// Length of the output `[n, c/b, h', w', b]`.
    #[must_use]
    pub fn output_len(&self, n: usize) -> usize {
        blocked_len(n, self.channels, self.output_size())
    }

    fn input_len(&self, n: usize) -> usize {
        blocked_len(n, self.channels, self.size)
    }

    /// Pools `x`, `[n, c/b, h, w, b]`, into `output`, `[n, c/b, h', w', b]`.
    ///
    /// # Errors
    /// [`KernelError::Length`] if a slice does not fit `n` and the plan.
    pub fn forward(
        &self,
        workspace: &Workspace,
        n: usize,
        x: &[f32],
        output: &mut [f32],
    ) -> Result<(), KernelError> {
        check("input", self.input_len(n), x.len())?;
        check("output", self.output_len(n), output.len())?;
        workspace.level().dispatch_at(self.channels.width, Forward { pool: self, x, output });
        Ok(())
    }

    /// Gradient of [`MeanPool::forward`] into `grad_x`, which is overwritten. Without a ReLU `x` is not read and may be
    /// empty.
    ///
    /// # Errors
    /// [`KernelError::Length`] if a slice does not fit `n` and the plan.
    pub fn backward(
        &self,
        workspace: &Workspace,
        n: usize,
        x: &[f32],
        grad_output: &[f32],
        grad_x: &mut [f32],
    ) -> Result<(), KernelError> {
        if self.relu {
            check("input", self.input_len(n), x.len())?;
        }
        check("gradient of the output", self.output_len(n), grad_output.len())?;
        check("gradient of the input", self.input_len(n), grad_x.len())?;
        workspace.level().dispatch_at(self.channels.width, Backward { pool: self, x, grad_output, grad_x });
        Ok(())
    }

    /// Floats of one block's plane of the input, and of the output.
    fn planes(&self) -> [usize; 2] {
        [self.size, self.output_size()].map(|[h, w]| h * w * self.channels.lanes())
    }

    fn share(&self) -> f32 {
        1.0 / (self.window[0] * self.window[1]) as f32
    }

    /// Floats from a row to the next, from a window's first pixel to the one's below, and to the one's beside.
    fn steps(&self) -> [usize; 3] {
        let row = self.size[1] * self.channels.lanes();
        [row, self.stride[0] * row, self.stride[1] * self.channels.lanes()]
    }
}

struct Forward<'a> {
    pool: &'a MeanPool,
    x: &'a [f32],
    output: &'a mut [f32],
}

impl Job for Forward<'_> {
    type Out = ();

    fn run<S: Simd>(self, s: S) {
        let Self { pool, x, output } = self;
        let [input, out] = pool.planes();
        let planes = x.par_chunks_exact(input).zip(output.par_chunks_exact_mut(out));
        planes.for_each(|(x, y)| s.call(Means { pool, x, y }));
    }
}

/// One block's plane; lengths are those of [`MeanPool::planes`].
struct Means<'a> {
    pool: &'a MeanPool,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Means<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { pool, x, y } = self;
        let [row, down, right] = pool.steps();
        let [height, width] = pool.window;
        let wide = pool.output_size()[1];
        // SAFETY: windows lie inside the plane by the plan, and both planes have the plan's lengths.
        unsafe {
            let (zero, share) = (S::splat(0.0), S::splat(pool.share()));
            for (i, to) in y.chunks_exact_mut(S::LANES).enumerate() {
                let from = x.as_ptr().add(i / wide * down + i % wide * right);
                let mut total = zero;
                for dy in 0..height {
                    let mut sum = zero;
                    for dx in 0..width {
                        let v = S::load(from.add(dy * row + dx * S::LANES));
                        sum = S::add(sum, if pool.relu { S::max(v, zero) } else { v });
                    }
                    total = S::add(total, sum);
                }
                S::store(to.as_mut_ptr(), S::mul(total, share));
            }
        }
    }
}

struct Backward<'a> {
    pool: &'a MeanPool,
    x: &'a [f32],
    grad_output: &'a [f32],
    grad_x: &'a mut [f32],
}

impl Job for Backward<'_> {
    type Out = ();

    fn run<S: Simd>(self, s: S) {
        let Self { pool, x, grad_output, grad_x } = self;
        let [input, out] = pool.planes();
        let planes = grad_output.par_chunks_exact(out).zip(grad_x.par_chunks_exact_mut(input)).enumerate();
        planes.for_each(|(plane, (g, to))| {
            let x = pool.relu.then(|| &x[plane * input..][..input]);
            s.call(Spread { pool, x, g, to });
        });
    }
}

/// One block's plane; lengths are those of [`MeanPool::planes`].
struct Spread<'a> {
    pool: &'a MeanPool,
    /// Where a ReLU lets gradients through; `None` without one.
    x: Option<&'a [f32]>,
    g: &'a [f32],
    to: &'a mut [f32],
}

impl Kernel for Spread<'_> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { pool, x, g, to } = self;
        let [row, down, right] = pool.steps();
        let [height, width] = pool.window;
        let wide = pool.output_size()[1];
        to.fill(0.0);
        // SAFETY: windows lie inside the plane by the plan, and the planes that are read have the plan's lengths.
        unsafe {
            let (zero, share) = (S::splat(0.0), S::splat(pool.share()));
            for (i, g) in g.chunks_exact(S::LANES).enumerate() {
                let first = to.as_mut_ptr().add(i / wide * down + i % wide * right);
                let part = S::mul(S::load(g.as_ptr()), share);
                for at in (0..height).flat_map(|dy| (0..width).map(move |dx| dy * row + dx * S::LANES)) {
                    S::store(first.add(at), S::add(S::load(first.add(at)), part));
                }
            }
            for (x, to) in x.unwrap_or(&[]).chunks_exact(S::LANES).zip(to.chunks_exact_mut(S::LANES)) {
                let passed = S::select_gt(S::load(x.as_ptr()), zero, S::load(to.as_ptr()), zero);
                S::store(to.as_mut_ptr(), passed);
            }
        }
    }
}

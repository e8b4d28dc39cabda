//! CPU kernels for DARTS cells: slices in, slices out, no tensor library.
//!
//! The searched networks are chains of small, memory-bound operations. Here a whole cell is *one* operation with
//! a hand-written way back ([`plan::CellPlan`]), and so is a convolution with its norm ([`NormConv`]: the cells'
//! pre-processing, stems, heads); [`MeanPool`] is the pooling of heads and residual blocks. Everything has a plain,
//! generic reference beside it ([`mod@reference`]).
//!
//! - Activations are blocked, `[n, c/b, h, w, b]` with `b` of 8 or 16 ([`Width`], [`Channels`], [`to_blocked`],
//!   [`from_blocked`]); padding channels are zero on the way in and stay zero.
//! - Batch norms are the only points where images meet: a cell is a sequence of passes over the batch, and inside
//!   a pass one task owns an image and runs all that leaves one state while its planes are in cache.
//! - Kept for the way back: raw outputs before a norm, nothing else. Buffers come from a [`Workspace`] that lives
//!   as long as the network.
//! - Work is split over the caller and the current rayon pool, whose threads are held for a whole operation, in fixed
//!   groups of images that are summed in a fixed order: the same bits for any number of threads.
//! - Instructions (AVX2, AVX-512, NEON, portable) are chosen at run time ([`Level`]).
//!
//! ```
//! use cdarts_kernels::plan::CellPlan;
//! use cdarts_kernels::{CellGrads, CellInput, Channels, Workspace, blocked_len};
//!
//! # fn main() -> Result<(), cdarts_kernels::KernelError> {
//! let (n, channels, size) = (2, 4, [6, 6]);
//! let plan = CellPlan::search(channels, size, false)?;
//! let workspace = Workspace::new();
//! let state = vec![0.5; blocked_len(n, Channels::new(channels), size)];
//! let weights = vec![0.1; plan.weights_len()];
//! let mix = vec![1.0 / 8.0; plan.paths().len()];
//! let input =
//!     CellInput { n, s0: &state, s1: &state, weights: &weights, affine: None, mix: Some(&mix), drop: None };
//! let mut output = vec![0.0; plan.output_len(n)];
//! let saved = plan.forward(&workspace, &input, &mut output)?;
//!
//! let grad = vec![1.0; output.len()];
//! let (mut s0, mut s1) = (state.clone(), state.clone());
//! let (mut grad_weights, mut grad_mix) = (weights.clone(), mix.clone());
//! let grads = CellGrads {
//!     s0: &mut s0,
//!     s1: &mut s1,
//!     weights: Some(&mut grad_weights),
//!     affine: None,
//!     mix: Some(&mut grad_mix),
//! };
//! plan.backward(&workspace, &input, &output, saved, &grad, grads)?;
//! # Ok(())
//! # }
//! ```

mod arguments;
mod block;
mod blocked;
mod cell;
mod cell_backward;
mod crew;
mod dense;
mod depthwise;
mod direct;
mod error;
mod groups;
mod mean_pool;
pub mod nas_bench_201;
mod norm;
mod norm_conv;
mod pixelwise;
pub mod plan;
mod pointwise;
mod pool;
pub mod reference;
mod scratch;
mod simd;
mod winograd;
mod workspace;

pub use blocked::{
    Channels, Width, blocked_len, from_blocked, global_pool, global_pool_backward, to_blocked,
};
pub use cell::{CellInput, CellSaved};
pub use cell_backward::CellGrads;
pub use error::KernelError;
pub use mean_pool::MeanPool;
pub use norm::{Affine, BatchStats, RunningStats};
pub use norm_conv::{InputGrad, NormConv, NormConvGrads, NormConvInput, NormConvSaved};
pub use simd::Level;
pub use workspace::{Buffer, Workspace, keep_freed_memory};

//! The eight operations of the DARTS space (facts 3.1), the five of NAS-Bench-201 (facts 6), and the 1×1
//! pre-processing.
//!
//! All of them map `[n, c, h, w]` to `[n, c, ⌈h/s⌉, ⌈w/s⌉]` for a stride s of 1 or 2.

mod conv_block;
mod factorized_reduce;
mod pool;

use burn::module::Module;
use burn::tensor::Tensor;
use cdarts_space::{Op, nas_bench_201};

pub use conv_block::{DilConv, ReluConvNorm, SepConv};
pub use factorized_reduce::FactorizedReduce;
pub use pool::{Pool, PoolKind};

use crate::conv::ConvShape;
use crate::fused::State;
use crate::init::Initialiser;
use crate::norm::BatchNorm;

/// One operation of a space, built.
#[derive(Module, Debug)]
pub enum Operation {
    /// Maximum or average pooling.
    Pool(Pool),
    /// The input as it is: a skip connection at stride 1.
    Identity(Identity),
    /// A skip connection at stride 2.
    FactorizedReduce(FactorizedReduce),
    /// Separable convolution.
    SepConv(SepConv),
    /// Dilated separable convolution.
    DilConv(DilConv),
    /// ReLU, dense convolution, batch norm.
    NorConv(ReluConvNorm),
    /// No connection.
    Zero(Zero),
}

/// The input as it is.
#[derive(Module, Debug)]
pub struct Identity {
    stride: usize,
}

/// No connection.
#[derive(Module, Debug)]
pub struct Zero {
    stride: usize,
}

impl Operation {
    /// Builds `op` over `channels` channels at `stride` 1 or 2; `affine` is for its batch norms.
    pub fn new(op: Op, channels: usize, stride: usize, affine: bool, init: &mut Initialiser) -> Self {
        match op {
            Op::MaxPool3x3 => Self::Pool(Pool::new(PoolKind::Max, stride)),
            Op::AvgPool3x3 => Self::Pool(Pool::new(PoolKind::Average, stride)),
            Op::SkipConnect if stride == 1 => Self::Identity(Identity { stride }),
            Op::SkipConnect => {
                Self::FactorizedReduce(FactorizedReduce::new(channels, channels, affine, init))
            }
            Op::SepConv3x3 => Self::SepConv(SepConv::new(channels, 3, stride, affine, init)),
            Op::SepConv5x5 => Self::SepConv(SepConv::new(channels, 5, stride, affine, init)),
            Op::DilConv3x3 => Self::DilConv(DilConv::new(channels, 3, stride, affine, init)),
            Op::DilConv5x5 => Self::DilConv(DilConv::new(channels, 5, stride, affine, init)),
            Op::None => Self::Zero(Zero { stride }),
        }
    }

    /// Builds `op` of NAS-Bench-201 over `channels` channels; `affine` is for its batch norm.
    pub fn of_nas_bench_201(
        op: nas_bench_201::Op,
        channels: usize,
        affine: bool,
        init: &mut Initialiser,
    ) -> Self {
        match (op, op.kernel()) {
            (_, Some(kernel)) => {
                let shape = ConvShape::dense(channels, channels, kernel, 1);
                Self::NorConv(ReluConvNorm::of_shape(shape, affine, init))
            }
            (nas_bench_201::Op::SkipConnect, None) => Self::Identity(Identity { stride: 1 }),
            (nas_bench_201::Op::AvgPool3x3, None) => Self::Pool(Pool::new(PoolKind::Average, 1)),
            _ => Self::Zero(Zero { stride: 1 }),
        }
    }

    /// Whether this is a skip connection that changes nothing: drop path leaves it alone (facts 3.1).
    pub fn is_identity(&self) -> bool {
        matches!(self, Self::Identity(_))
    }

    /// Convolutions' weights and batch norms, in the kernels' order.
    pub(crate) fn parts(&self) -> (Vec<Tensor<4>>, Vec<&BatchNorm>) {
        if let Self::NorConv(op) = self {
            let (weight, norm) = op.parts();
            return (vec![weight], vec![norm]);
        }
        let parts = match self {
            Self::SepConv(op) => op.parts(),
            Self::DilConv(op) => op.parts(),
            Self::FactorizedReduce(op) => vec![op.parts()],
            Self::NorConv(_) | Self::Pool(_) | Self::Identity(_) | Self::Zero(_) => Vec::new(),
        };
        let (weights, norms): (Vec<[Tensor<4>; 2]>, Vec<&BatchNorm>) = parts.into_iter().unzip();
        (weights.into_iter().flatten().collect(), norms)
    }

    /// # Shapes
    /// `[n, c, h, w]` → `[n, c, ⌈h/s⌉, ⌈w/s⌉]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Pool(op) => op.forward(x),
            Self::Identity(_) => x,
            Self::FactorizedReduce(op) => op.forward(x),
            Self::SepConv(op) => op.forward(x),
            Self::DilConv(op) => op.forward(x),
            Self::NorConv(op) => op.forward(State::Plain(x)).plain(),
            Self::Zero(op) => op.forward(x),
        }
    }
}

impl Zero {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [n, c, h, w] = x.dims();
        let shape = [n, c, h.div_ceil(self.stride), w.div_ceil(self.stride)];
        Tensor::zeros(shape, (&x.device(), x.dtype()))
    }
}

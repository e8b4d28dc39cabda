//! Stems: from pixels to the first two states (facts 3.3).

use burn::module::Module;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Tensor, activation::relu, module};
use cdarts_space::{Stem as StemKind, StemPlan};

use crate::conv::{Conv, ConvShape};
use crate::fused::{ConvKind, State, norm_conv};
use crate::init::Initialiser;
use crate::laps::part;
use crate::norm::BatchNorm;

/// A stem of one of the published layouts; its batch norms are affine.
#[derive(Module, Debug)]
pub enum Stem {
    /// One 3×3 convolution at full size.
    Cifar(ConvNorm),
    /// Three 3×3 convolutions of stride 2.
    Imagenet(ImagenetStem),
    /// A 7×7 convolution and a pooling, each of stride 2.
    ResNet(ConvNorm),
}

/// Convolution and batch norm.
#[derive(Module, Debug)]
pub struct ConvNorm {
    conv: Conv,
    norm: BatchNorm,
}

/// The three convolutions of the ImageNet stem.
#[derive(Module, Debug)]
pub struct ImagenetStem {
    half: ConvNorm,
    quarter: ConvNorm,
    eighth: ConvNorm,
}

impl ConvNorm {
    /// Freshly initialised.
    pub(crate) fn new(shape: ConvShape, init: &mut Initialiser) -> Self {
        Self { conv: Conv::new(shape, init), norm: BatchNorm::new(shape.out_channels, true, init) }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.norm.forward(self.conv.forward(x))
    }

    /// As [`Self::forward`] for a 3×3 convolution of stride 1, in the layout that `x` has.
    pub(crate) fn forward_state(&self, x: State) -> State {
        if let State::Blocked(x) = &x
            && let Some(y) = norm_conv(
                x,
                ConvKind::Dense { window: [3, 1, 1], relu: false },
                vec![self.conv.weight()],
                &self.norm,
            )
        {
            return State::Blocked(y);
        }
        State::Plain(self.forward(x.plain()))
    }
}

impl Stem {
    /// The stem of `plan`.
    pub fn new(plan: &StemPlan, init: &mut Initialiser) -> Self {
        let (input, output) = (plan.in_channels, plan.out_channels);
        match plan.kind {
            StemKind::Cifar => Self::Cifar(ConvNorm::new(ConvShape::dense(input, output, 3, 1), init)),
            StemKind::Imagenet => Self::Imagenet(ImagenetStem {
                half: ConvNorm::new(ConvShape::dense(input, output / 2, 3, 2), init),
                quarter: ConvNorm::new(ConvShape::dense(output / 2, output, 3, 2), init),
                eighth: ConvNorm::new(ConvShape::dense(output, output, 3, 2), init),
            }),
            StemKind::ResNet => Self::ResNet(ConvNorm::new(ConvShape::dense(input, output, 7, 2), init)),
        }
    }

    /// # Shapes
    /// `[n, channels, h, w]` → the states of the two cells before the first, `[n, c, h', w']` each; with the
    /// ImageNet stem the older one is twice the newer one's size.
    pub fn forward(&self, x: Tensor<4>) -> [State; 2] {
        part("stem", || match self {
            Self::Cifar(stem) => {
                let state = stem.forward_state(State::new(x));
                [state.clone(), state]
            }
            Self::Imagenet(stem) => {
                let quarter = stem.quarter.forward(relu(stem.half.forward(x)));
                let eighth = stem.eighth.forward(relu(quarter.clone()));
                [State::new(quarter), State::new(eighth)]
            }
            Self::ResNet(stem) => {
                let pool = MaxPoolOptions::new([3, 3]).with_stride([2, 2]).with_padding([1, 1]);
                let state = State::new(module::max_pool2d(relu(stem.forward(x)), pool));
                [state.clone(), state]
            }
        })
    }
}

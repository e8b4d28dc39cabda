//! Stems: from pixels to the first two states (facts 3.3).

use burn::module::Module;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Tensor, activation::relu, module};
use cdarts_kernels::Width;
use cdarts_space::{PlanView, Stem as StemKind, StemPlan};

use crate::conv::{Conv, ConvShape};
use crate::fused::{ConvKind, State, block_width, norm_conv};
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
    /// Of its input's channel blocks, where it brings that into the kernels' layout.
    #[module(skip)]
    width: Width,
}

/// The three convolutions of the ImageNet stem.
#[derive(Module, Debug)]
pub struct ImagenetStem {
    half: ConvNorm,
    quarter: ConvNorm,
    eighth: ConvNorm,
    /// Of the states' channel blocks.
    #[module(skip)]
    width: Width,
}

impl ConvNorm {
    /// Freshly initialised.
    pub(crate) fn new(shape: ConvShape, init: &mut Initialiser) -> Self {
        let (conv, norm) = (Conv::new(shape, init), BatchNorm::new(shape.out_channels, true, init));
        Self { conv, norm, width: Width::default() }
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
    /// The stem of the network `plan`: its states are in the blocks that suit the network's cells.
    pub fn of<'a>(plan: impl Into<PlanView<'a>>, init: &mut Initialiser) -> Self {
        let plan = plan.into();
        let mut stem = Self::new(&plan.stem(), init);
        let (Self::Cifar(ConvNorm { width, .. })
        | Self::Imagenet(ImagenetStem { width, .. })
        | Self::ResNet(ConvNorm { width, .. })) = &mut stem;
        *width = block_width(plan);
        stem
    }

    /// The stem of `plan`, its states in blocks of eight.
    pub fn new(plan: &StemPlan, init: &mut Initialiser) -> Self {
        let (input, output) = (plan.in_channels, plan.out_channels);
        match plan.kind {
            StemKind::Cifar => Self::Cifar(ConvNorm::new(ConvShape::dense(input, output, 3, 1), init)),
            StemKind::Imagenet => Self::Imagenet(ImagenetStem {
                half: ConvNorm::new(ConvShape::dense(input, output / 2, 3, 2), init),
                quarter: ConvNorm::new(ConvShape::dense(output / 2, output, 3, 2), init),
                eighth: ConvNorm::new(ConvShape::dense(output, output, 3, 2), init),
                width: Width::default(),
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
                let state = stem.forward_state(State::in_blocks_of(stem.width, x));
                [state.clone(), state]
            }
            Self::Imagenet(stem) => {
                let quarter = stem.quarter.forward(relu(stem.half.forward(x)));
                let eighth = stem.eighth.forward(relu(quarter.clone()));
                [quarter, eighth].map(|x| State::in_blocks_of(stem.width, x))
            }
            Self::ResNet(stem) => {
                let pool = MaxPoolOptions::new([3, 3]).with_stride([2, 2]).with_padding([1, 1]);
                let pooled = module::max_pool2d(relu(stem.forward(x)), pool);
                let state = State::in_blocks_of(stem.width, pooled);
                [state.clone(), state]
            }
        })
    }
}

//! (ReLU →) convolution → batch norm as one operation: the cells' pre-processing (1×1 and FactorizedReduce,
//! facts 3.1), stems (3.3), heads (3.5) and NAS-Bench-201's dense convolutions. Those of stride 1 with rows of whole
//! fours of pixels run in place ([`Direct`], 3×3 ones by tiles), the rest gathers ([`Block`]).

use rayon::prelude::*;

use crate::block::{Block, BlockScratch, RawGrad};
use crate::blocked::{Channels, MAX_LANES, blocked_len};
use crate::cell::activate;
use crate::crew::{Crew, with_crew};
use crate::direct::Direct;
use crate::error::{KernelError, check, refuse_small};
use crate::groups::GroupSums;
use crate::norm::{Affine, BatchStats, NormGrads, Norms, RunningStats};
use crate::pixelwise::{Base, Scale, Term, add_weighted, dot, where_positive};
use crate::scratch::ScratchPool;
use crate::simd::{Job, Simd};
use crate::workspace::{Buffer, Workspace};

/// A convolution without bias and its norm.
#[derive(Debug, Clone)]
pub struct NormConv {
    block: Block,
    /// Takes the block's place where it is faster.
    direct: Option<Direct>,
    relu: bool,
    affine: bool,
    weights: usize,
}

/// Arguments of a [`NormConv`].
#[derive(Debug, Clone, Copy)]
pub struct NormConvInput<'a> {
    /// Images.
    pub n: usize,
    /// Input `[n, from/b, h, w, b]`.
    pub x: &'a [f32],
    /// Weights: `[to, from, k, k]`; for FactorizedReduce `[to / 2, from]` followed by `[to − to / 2, from]`.
    pub weights: &'a [f32],
    /// Gain and bias `[to]`; present exactly if the norm is affine.
    pub affine: Option<Affine<'a>>,
}

/// What the forward pass keeps: raw outputs and their statistics.
#[derive(Debug)]
pub struct NormConvSaved {
    raw: Buffer,
    /// The weights as the kernels want them.
    packed: Buffer,
    norms: Norms,
    n: usize,
}

impl NormConvSaved {
    /// Bytes kept.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.raw.bytes() + self.packed.bytes()
    }

    /// Batch statistics, for the running statistics.
    #[must_use]
    pub fn stats(&self) -> BatchStats {
        self.norms.stats()
    }
}

/// Where the gradients of a [`NormConv`] go. Every slice but a sum is overwritten.
#[derive(Debug)]
pub struct NormConvGrads<'a> {
    /// Of the input.
    pub x: InputGrad<'a>,
    /// Of the weights; `None` where they are frozen.
    pub weights: Option<&'a mut [f32]>,
    /// Of gain and bias; present exactly if the norm is affine.
    pub affine: Option<[&'a mut [f32]; 2]>,
}

/// What is done with the gradient of an input.
#[derive(Debug)]
pub enum InputGrad<'a> {
    /// Nobody asks, as in a stem.
    Unwanted,
    /// It is written.
    Write(&'a mut [f32]),
    /// It is added to what other readers of the input found.
    Add(&'a mut [f32]),
}

impl<'a> InputGrad<'a> {
    /// The values, and whether they are added to.
    fn parts(self) -> (Option<&'a mut [f32]>, bool) {
        match self {
            Self::Unwanted => (None, false),
            Self::Write(values) => (Some(values), false),
            Self::Add(values) => (Some(values), true),
        }
    }
}

impl NormConv {
    /// ReLU → 1×1 convolution → norm: the pre-processing of an input of the same size.
    ///
    /// # Errors
    /// [`KernelError::TooSmall`] for no channels or an empty image.
    pub fn pointwise(from: Channels, to: usize, size: [usize; 2], affine: bool) -> Result<Self, KernelError> {
        Self::dense(from, to, size, [1, 1, 0], true, affine)
    }

    /// A dense convolution → norm, with a ReLU before it if `relu`.
    ///
    /// `[kernel, stride, padding]` as in PyTorch.
    ///
    /// # Errors
    /// [`KernelError::TooSmall`] for no channels, an empty image or one that the kernel does not fit.
    pub fn dense(
        from: Channels,
        to: usize,
        size: [usize; 2],
        [kernel, stride, padding]: [usize; 3],
        relu: bool,
        affine: bool,
    ) -> Result<Self, KernelError> {
        let needs = |side: usize| (side + 2 * padding, kernel);
        let fits = size.map(needs);
        let wanted = [
            ("input channels", from.real(), 1),
            ("output channels", to, 1),
            ("image height", size[0], 1),
            ("image width", size[1], 1),
            ("kernel", kernel, 1),
            ("stride", stride, 1),
            ("padded height", fits[0].0, fits[0].1),
            ("padded width", fits[1].0, fits[1].1),
        ];
        refuse_small(&wanted)?;
        let block = Block::dense(from, to, size, [kernel, stride, padding]);
        let direct = Direct::new(from, to, size, [kernel, stride, padding]);
        let block = if relu && direct.is_none() { block.behind_relu() } else { block };
        Ok(Self { block, direct, relu, affine, weights: to * from.real() * kernel * kernel })
    }

    /// ReLU → FactorizedReduce → norm: the pre-processing of an input twice as large. Odd sizes round up.
    ///
    /// # Errors
    /// [`KernelError::TooSmall`] for no channels or an empty image.
    pub fn factorized_reduce(
        from: Channels,
        to: usize,
        size: [usize; 2],
        affine: bool,
    ) -> Result<Self, KernelError> {
        let wanted = [
            ("input channels", from.real(), 1),
            ("output channels", to, 1),
            ("image height", size[0], 1),
            ("image width", size[1], 1),
        ];
        refuse_small(&wanted)?;
        let block = Block::factorized_reduce(from, to, size, [0, to / 2 * from.real()]);
        Ok(Self { block, direct: None, relu: true, affine, weights: to * from.real() })
    }

    /// Length of the weights.
    #[must_use]
    pub fn weights_len(&self) -> usize {
        self.weights
    }

    /// Channels of the output.
    #[must_use]
    pub fn output_channels(&self) -> Channels {
        self.block.to
    }

    /// Height and width of the output.
    #[must_use]
    pub fn output_size(&self) -> [usize; 2] {
        self.block.output
    }

    /// Length of the output `[n, to/b, h', w', b]`.
    #[must_use]
    pub fn output_len(&self, n: usize) -> usize {
        blocked_len(n, self.block.to, self.block.output)
    }

    fn check_input(&self, input: &NormConvInput<'_>) -> Result<(), KernelError> {
        refuse_small(&[("batch", input.n, 1)])?;
        check("input", blocked_len(input.n, self.block.from, self.block.input), input.x.len())?;
        check("weights", self.weights, input.weights.len())
    }

    /// Training mode: the norm uses the batch's statistics.
    ///
    /// # Shapes
    /// See [`NormConvInput`]; `output` is `[n, to/b, h', w', b]`.
    ///
    /// # Errors
    /// [`KernelError::Length`] or [`KernelError::Argument`] for arguments against the plan,
    /// [`KernelError::OneValue`] for a norm over one value.
    pub fn forward(
        &self,
        workspace: &Workspace,
        input: &NormConvInput<'_>,
        output: &mut [f32],
    ) -> Result<NormConvSaved, KernelError> {
        self.check_input(input)?;
        check("output", self.output_len(input.n), output.len())?;
        let [height, width] = self.output_size();
        let count = input.n * height * width;
        if count == 1 {
            return Err(KernelError::OneValue { batch: input.n, height, width });
        }
        let norms = Norms::new(1, self.block.to, self.affine, input.affine, count)?;
        let packed = self.pack(workspace, input.weights);
        let saved = NormConvSaved { raw: workspace.take(output.len()), packed, norms, n: input.n };
        Ok(workspace
            .level()
            .dispatch_at(self.block.from.width, Forward { conv: self, workspace, input, output, saved }))
    }

    /// Inference mode: the norm uses the given statistics `[to]`.
    ///
    /// # Shapes
    /// As [`NormConv::forward`].
    ///
    /// # Errors
    /// [`KernelError::Length`] or [`KernelError::Argument`] for arguments against the plan.
    pub fn infer(
        &self,
        workspace: &Workspace,
        input: &NormConvInput<'_>,
        running: RunningStats<'_>,
        output: &mut [f32],
    ) -> Result<(), KernelError> {
        self.check_input(input)?;
        check("output", self.output_len(input.n), output.len())?;
        let mut norms = Norms::new(1, self.block.to, self.affine, input.affine, 0)?;
        norms.set_running(running)?;
        workspace.level().dispatch_at(
            self.block.from.width,
            Infer { conv: self, workspace, input, output, norms: &norms },
        );
        Ok(())
    }

    /// Gradients of [`NormConv::forward`].
    ///
    /// # Shapes
    /// `grad_output`: `[n, to/b, h', w', b]`; its padding channels must be zero.
    ///
    /// # Errors
    /// [`KernelError::Length`] or [`KernelError::Argument`] for arguments against the plan or the saved batch.
    pub fn backward(
        &self,
        workspace: &Workspace,
        input: &NormConvInput<'_>,
        saved: NormConvSaved,
        grad_output: &[f32],
        grads: NormConvGrads<'_>,
    ) -> Result<(), KernelError> {
        self.check_input(input)?;
        check("saved batch", input.n, saved.n)?;
        if saved.norms.channels() != self.block.to {
            let (expected, found) = ("this plan's", "another plan's");
            return Err(KernelError::Argument { what: "saved values", expected, found });
        }
        check("saved values", self.output_len(input.n), saved.raw.len())?;
        check("saved weights", self.packed_len(), saved.packed.len())?;
        check("gradient of the output", self.output_len(input.n), grad_output.len())?;
        if let Some(weights) = &grads.weights {
            check("gradient of the weights", self.weights, weights.len())?;
        }
        if let InputGrad::Write(x) | InputGrad::Add(x) = &grads.x {
            check("gradient of the input", input.x.len(), x.len())?;
        }
        if grads.affine.is_some() != self.affine {
            let name = |some: bool| if some { "gain and bias" } else { "none" };
            let (expected, found) = (name(self.affine), name(grads.affine.is_some()));
            return Err(KernelError::Argument { what: "affine gradients", expected, found });
        }
        if let Some([gain, bias]) = &grads.affine {
            check("gradient of the gain", self.block.to.real(), gain.len())?;
            check("gradient of the bias", self.block.to.real(), bias.len())?;
        }
        workspace.level().dispatch_at(
            self.block.from.width,
            Backward { conv: self, workspace, input, saved, grad_output, grads },
        );
        Ok(())
    }

    fn input_image(&self) -> usize {
        blocked_len(1, self.block.from, self.block.input)
    }

    fn packed_len(&self) -> usize {
        self.direct.as_ref().map_or_else(|| self.block.packed_len(), Direct::packed_len)
    }

    fn pack(&self, workspace: &Workspace, weights: &[f32]) -> Buffer {
        let mut packed = workspace.take(self.packed_len());
        match &self.direct {
            Some(direct) => direct.pack(weights, &mut packed),
            None => self.block.pack(weights, &mut packed),
        }
        packed
    }

    /// What the convolution reads of one image: where it does the ReLU itself, the input, else a padded and activated copy in
    /// `padded`, whose border is zero.
    fn read<'x, S: Simd>(
        &self,
        s: S,
        input: &NormConvInput<'x>,
        image: usize,
        padded: &'x mut [f32],
    ) -> &'x [f32] {
        let len = self.input_image();
        let x = &input.x[image * len..][..len];
        if self.block.activates() {
            return x;
        }
        let floor = if self.relu { 0.0 } else { f32::NEG_INFINITY };
        activate(s, x, None, floor, self.block.plane, padded);
        padded
    }

    fn raw<S: Simd>(
        &self,
        s: S,
        job: &RawJob<'_>,
        image: usize,
        scratch: &mut Scratch,
        y: &mut [f32],
        stats: Option<&mut [f64]>,
    ) {
        let Scratch { padded, gathered, .. } = scratch;
        let x = self.read(s, job.input, image, padded);
        match &self.direct {
            Some(direct) => direct.forward(s, job.workspace, job.packed, x, y, stats),
            None => self.block.forward(s, job.packed, x, gathered, y, stats),
        }
    }
}

/// One task's buffers.
struct Scratch {
    /// An activated input, its border zero.
    padded: Buffer,
    gathered: Buffer,
    /// On the way back: a chunk of the output's gradient, and that of the gathered values, its border zero.
    grad: Buffer,
    planes: Buffer,
    /// The gradient of the activated input.
    relu_grad: Buffer,
}

impl Scratch {
    /// For the way there, and back with or without the input's gradient.
    fn new(conv: &NormConv, workspace: &Workspace, input_grad: bool) -> Self {
        let (block, by_block) = (&conv.block, conv.direct.is_none());
        let take = |needed: bool, len: usize| workspace.take(if needed { len } else { 0 });
        let mut padded = take(!block.activates(), block.from.blocks() * block.plane.len());
        block.plane.clear_borders(&mut padded);
        let mut planes = take(by_block && input_grad, block.virtual_blocks() * block.grad_plane.len());
        block.grad_plane.clear_borders(&mut planes);
        Self {
            padded,
            gathered: take(by_block, block.gathered_len()),
            grad: take(by_block, block.grad_len()),
            planes,
            relu_grad: take(input_grad && !block.activates(), conv.input_image()),
        }
    }
}

struct RawJob<'a> {
    workspace: &'a Workspace,
    input: &'a NormConvInput<'a>,
    packed: &'a [f32],
}

/// `a x + b` of all blocks of one image.
fn normalise<S: Simd>(s: S, norms: &Norms, raw: &[f32], to: &mut [f32], area: usize) {
    for (block, (x, to)) in raw.chunks_exact(area).zip(to.chunks_exact_mut(area)).enumerate() {
        Scale { x, line: norms.line(0, block), accumulate: false, to }.apply(s);
    }
}

struct Forward<'a> {
    conv: &'a NormConv,
    workspace: &'a Workspace,
    input: &'a NormConvInput<'a>,
    output: &'a mut [f32],
    saved: NormConvSaved,
}

impl Job for Forward<'_> {
    type Out = NormConvSaved;

    fn run<S: Simd>(self, s: S) -> NormConvSaved {
        let Self { conv, workspace, input, output, mut saved } = self;
        let n = input.n;
        let (len, padded) = (output.len() / n, conv.block.to.padded());
        let [h, w] = conv.block.output;
        let mut stats = vec![0f64; n * 2 * padded];
        let job = RawJob { workspace, input, packed: &saved.packed };
        let pool = ScratchPool::new(|| Scratch::new(conv, workspace, false));
        with_crew(n, |crew| {
            let parts = saved.raw.chunks_mut(len).zip(stats.chunks_mut(2 * padded));
            crew.each(parts, |image, (raw, stats)| {
                pool.with(|scratch| conv.raw(s, &job, image, scratch, raw, Some(stats)));
            });
            saved.norms.finish(crew, &[0], &stats, n, h * w);
            let pairs = saved.raw.chunks(len).zip(output.chunks_mut(len));
            crew.each(pairs, |_, (raw, to)| normalise(s, &saved.norms, raw, to, h * w * S::LANES));
        });
        saved
    }
}

struct Infer<'a> {
    conv: &'a NormConv,
    workspace: &'a Workspace,
    input: &'a NormConvInput<'a>,
    output: &'a mut [f32],
    norms: &'a Norms,
}

impl Job for Infer<'_> {
    type Out = ();

    fn run<S: Simd>(self, s: S) {
        let Self { conv, workspace, input, output, norms } = self;
        let packed = conv.pack(workspace, input.weights);
        let len = output.len() / input.n;
        let [h, w] = conv.block.output;
        let job = RawJob { workspace, input, packed: &packed };
        let pool = ScratchPool::new(|| (Scratch::new(conv, workspace, false), workspace.take(len)));
        output.par_chunks_mut(len).enumerate().with_max_len(1).for_each(|(image, to)| {
            pool.with(|(scratch, raw)| {
                conv.raw(s, &job, image, scratch, raw, None);
                normalise(s, norms, raw, to, h * w * S::LANES);
            });
        });
    }
}

struct Backward<'a> {
    conv: &'a NormConv,
    workspace: &'a Workspace,
    input: &'a NormConvInput<'a>,
    saved: NormConvSaved,
    grad_output: &'a [f32],
    grads: NormConvGrads<'a>,
}

impl Job for Backward<'_> {
    type Out = ();

    fn run<S: Simd>(self, s: S) {
        let Self { conv, workspace, input, saved, grad_output, grads } = self;
        let direct = conv.direct.as_ref();
        let len = direct.map_or_else(|| conv.block.packed_grad_len(), Direct::packed_grad_len);
        let len = if grads.weights.is_some() { len } else { 0 };
        let mut sums = GroupSums::new(workspace, input.n, len);
        let group = sums.images;
        let (x, adds) = grads.x.parts();
        let mut weights = sums.sums.chunks_exact_mut(len.max(1));
        let input_wanted = x.is_some();
        let mut x = x.into_iter().flat_map(|x| x.chunks_mut(group * conv.input_image()));
        let groups = (0..input.n).step_by(group);
        let groups = groups.map(|first| (first, weights.next().unwrap_or_default(), x.next()));
        let pool = ScratchPool::new(|| Scratch::new(conv, workspace, input_wanted));
        let coefficients = with_crew(input.n, |crew| {
            let coefficients = conv.norm_grads(s, crew, &saved, grad_output);
            let packed = &saved.packed;
            let base = if adds { Base::Own } else { Base::Zero };
            let back = Back {
                s,
                conv,
                workspace,
                input,
                saved: &saved,
                grad_output,
                grads: &coefficients,
                packed,
                base,
            };
            crew.each(groups, |_, (first, weights, x)| {
                weights.fill(0.0);
                let mut x = x.into_iter().flat_map(|x| x.chunks_exact_mut(conv.input_image()));
                pool.with(|scratch| {
                    for image in first..input.n.min(first + group) {
                        back.image(image, scratch, weights, x.next());
                    }
                });
            });
            coefficients
        });
        if let Some(to) = grads.weights {
            match direct {
                Some(direct) => direct.unpack_grads(sums.total(), to),
                None => conv.block.unpack_grads(sums.total(), to),
            }
        }
        if let Some([gain, bias]) = grads.affine {
            saved.norms.unpad(&coefficients.gain, gain);
            saved.norms.unpad(&coefficients.bias, bias);
        }
    }
}

impl NormConv {
    /// Batch sums of the gradient, and the norm's coefficients from them.
    fn norm_grads<S: Simd>(
        &self,
        s: S,
        crew: &mut Crew<'_>,
        saved: &NormConvSaved,
        grad_output: &[f32],
    ) -> NormGrads {
        let padded = self.block.to.padded();
        let len = saved.raw.len() / saved.n;
        let area = self.block.output[0] * self.block.output[1] * S::LANES;
        let mut parts = vec![0f64; saved.n * 2 * padded];
        let images = saved.raw.chunks(len).zip(grad_output.chunks(len)).zip(parts.chunks_mut(2 * padded));
        crew.each(images, |_, ((raw, g), parts)| {
            for (block, (y, g)) in raw.chunks_exact(area).zip(g.chunks_exact(area)).enumerate() {
                let sums = dot(s, g, y, saved.norms.line(0, block).centre);
                for (i, sum) in sums.into_iter().enumerate() {
                    let to = &mut parts[i * padded + block * S::LANES..][..S::LANES];
                    to.iter_mut().zip(sum).for_each(|(to, sum)| *to = f64::from(sum));
                }
            }
        });
        let mut totals = vec![0f64; 2 * padded];
        for part in parts.chunks_exact(2 * padded) {
            totals.iter_mut().zip(part).for_each(|(total, &part)| *total += part);
        }
        let mut grads = NormGrads::new(padded);
        saved.norms.back(0, &totals[..padded], &totals[padded..], &mut grads);
        grads
    }
}

struct Back<'a, S> {
    s: S,
    conv: &'a NormConv,
    workspace: &'a Workspace,
    input: &'a NormConvInput<'a>,
    saved: &'a NormConvSaved,
    grad_output: &'a [f32],
    grads: &'a NormGrads,
    packed: &'a [f32],
    /// What the input's gradient is added to.
    base: Base<'a>,
}

impl<S: Simd> Back<'_, S> {
    /// One image: adds to the packed weight gradients, writes the input's or adds to it.
    fn image(&self, image: usize, scratch: &mut Scratch, weights: &mut [f32], x: Option<&mut [f32]>) {
        let Scratch { padded, gathered, grad, planes, relu_grad } = scratch;
        // Only the weights' gradients read it.
        let read =
            if weights.is_empty() { padded } else { self.conv.read(self.s, self.input, image, padded) };
        let len = self.saved.raw.len() / self.saved.n;
        let at = image * len..(image + 1) * len;
        let (g, y) = (&self.grad_output[at.clone()], &self.saved.raw[at]);
        let (norms, grads) = (&self.saved.norms, self.grads);
        let raw = RawGrad { g, y, k: &grads.k, norms, grads, norm: 0 };
        if let Some(direct) = &self.conv.direct {
            return self.direct_image(direct, read, &raw, image, (weights, relu_grad), x);
        }
        let mut scratch = BlockScratch { gathered, grad, raw: &mut [], planes };
        self.conv.block.backward_weights(self.s, self.packed, read, &raw, &mut scratch, weights);
        if let Some(to) = x {
            self.input_grad(image, planes, relu_grad, to);
        }
    }

    fn direct_image(
        &self,
        direct: &Direct,
        padded: &[f32],
        raw: &RawGrad<'_>,
        image: usize,
        (weights, relu_grad): (&mut [f32], &mut [f32]),
        x: Option<&mut [f32]>,
    ) {
        let mut back = |to: Option<&mut [f32]>| {
            direct.backward(self.s, self.workspace, self.packed, padded, raw, (&mut *weights, to));
        };
        match x {
            Some(to) if self.conv.relu || matches!(self.base, Base::Own) => {
                back(Some(&mut *relu_grad));
                self.hand_over(image, relu_grad, to);
            }
            x => back(x),
        }
    }

    /// Gives out the gradient of an image's input behind the ReLU; without one it is added.
    fn hand_over(&self, image: usize, grad: &[f32], to: &mut [f32]) {
        let len = self.conv.input_image();
        if self.conv.relu {
            return where_positive(self.s, &self.input.x[image * len..][..len], grad, self.base, to);
        }
        let all = Term { y: grad, centre: &[0.0; MAX_LANES], a: [1.0; MAX_LANES] };
        add_weighted(self.s, &[all], to);
    }

    fn input_grad(&self, image: usize, planes: &[f32], relu_grad: &mut [f32], to: &mut [f32]) {
        let block = &self.conv.block;
        if !self.conv.relu {
            let adds = matches!(self.base, Base::Own);
            return block.backward_input(self.s, self.packed, planes, adds, to);
        }
        if block.activates() {
            return self.hand_over(image, planes, to);
        }
        block.backward_input(self.s, self.packed, planes, false, relu_grad);
        self.hand_over(image, relu_grad, to);
    }
}

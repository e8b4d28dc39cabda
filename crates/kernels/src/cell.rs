//! A whole cell as one operation: buffers, packed weights, and the forward passes. Facts 3.2; the way back is
//! in `cell_backward.rs`.
//!
//! Batch norms are the only points where images meet, so a cell is a sequence of passes over the batch with a
//! barrier between them; inside a pass one task owns an image and runs everything that leaves one state while
//! that state's planes are in its cache. Raw (un-normalised) convolution outputs are all that is kept, and with few
//! channels not even those between the blocks of separable convolutions.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use crate::arguments::Weighting;
use crate::block::{Block, BlockScratch};
use crate::blocked::{Channels, MAX_LANES, blocked_len};
use crate::crew::{Crew, with_crew};
use crate::depthwise::Padded;
use crate::error::{KernelError, check, refuse_small};
use crate::groups::{group_count, group_size};
use crate::norm::{Affine, BatchStats, Norms, RunningStats};
use crate::pixelwise::{Activate, Line, Term, weighted_sum};
use crate::plan::{CellPlan, NODES, Op, Path};
use crate::pool::{max_scratch, pools, pools_scratch};
use crate::scratch::ScratchPool;
use crate::simd::{Job, Simd};
use crate::workspace::{Buffer, Workspace};

/// Arguments of a cell.
#[derive(Debug, Clone, Copy)]
pub struct CellInput<'a> {
    /// Images.
    pub n: usize,
    /// Input of the cell before last, `[n, c/b, h, w, b]`.
    pub s0: &'a [f32],
    /// Input of the last cell, `[n, c/b, h, w, b]`.
    pub s1: &'a [f32],
    /// Flat convolution weights, laid out as [`CellPlan::paths`] says. The way back uses those of the forward pass.
    pub weights: &'a [f32],
    /// Gains and biases `[norms, c]`; present exactly if the plan is affine.
    pub affine: Option<Affine<'a>>,
    /// Mixing weight of each path (softmax times edge weight); `None` sums paths plainly.
    pub mix: Option<&'a [f32]>,
    /// Drop-path multipliers `[edges, n]`, already divided by the keep probability.
    pub drop: Option<&'a [f32]>,
}

impl<'a> CellInput<'a> {
    pub(crate) fn weighting(&self) -> Weighting<'a> {
        Weighting { n: self.n, mix: self.mix, drop: self.drop }
    }
}

/// What the forward pass keeps for the way back: raw convolution outputs and their statistics, and where all things lie.
#[derive(Debug)]
pub struct CellSaved {
    pub(crate) layout: Arc<Layout>,
    pub(crate) raw: Buffer,
    /// The weights as the kernels want them.
    pub(crate) packed: Buffer,
    pub(crate) norms: Norms,
    pub(crate) n: usize,
}

impl CellSaved {
    /// Bytes kept (besides the caller's inputs and output).
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.raw.bytes() + self.packed.bytes()
    }

    /// Batch statistics of every norm, for the running statistics.
    #[must_use]
    pub fn stats(&self) -> BatchStats {
        self.norms.stats()
    }
}

/// A path's convolution blocks and where their packed weights and gradients start.
#[derive(Debug)]
pub(crate) struct Conv {
    pub block: Block,
    pub packed: usize,
    pub grads: usize,
}

/// Everything about a cell that does not depend on the batch.
#[derive(Debug)]
pub(crate) struct Layout {
    pub plan: CellPlan,
    /// Blocks of each path.
    pub convs: Vec<Vec<Conv>>,
    pub packed_len: usize,
    pub grads_len: usize,
    /// Border of all padded states, and of all planes of gathered gradients.
    pub border: usize,
    pub grad_border: usize,
    pub channels: Channels,
    /// Place of each norm's raw outputs among those kept, in planes.
    kept: Vec<Option<usize>>,
    kept_planes: usize,
}

/// Most channels of a cell whose separable convolutions make again what is between their blocks. Those planes are a third
/// of what a search cell keeps: 117 of 352 MB with 16 channels at 32×32 and 64 images. Making them again there takes 2 to
/// 7 % of the processor time of two threads and 15 % of one, and with 64 channels 19 %: products grow, planes do not.
const REMADE: usize = 32;

impl Layout {
    pub fn new(plan: &CellPlan) -> Self {
        let mut layout = Self {
            plan: plan.clone(),
            convs: vec![],
            packed_len: 0,
            grads_len: 0,
            border: 1,
            grad_border: 1,
            channels: plan.state_channels(),
            kept: vec![],
            kept_planes: 0,
        };
        for path in plan.paths() {
            let convs = path_blocks(plan, path).into_iter().map(|block| layout.place(block)).collect();
            layout.convs.push(convs);
            for norm in 0..path.norms() {
                let remade = norm + 1 < path.norms() && plan.channels() <= REMADE;
                layout.kept.push((!remade).then_some(layout.kept_planes));
                layout.kept_planes += usize::from(!remade);
            }
        }
        let (border, grad_border) = (layout.border, layout.grad_border);
        layout.convs.iter_mut().flatten().for_each(|conv| conv.block.set_borders(border, grad_border));
        layout
    }

    fn place(&mut self, block: Block) -> Conv {
        let conv = Conv { packed: self.packed_len, grads: self.grads_len, block };
        self.packed_len += conv.block.packed_len();
        self.grads_len += conv.block.packed_grad_len();
        self.border = self.border.max(conv.block.border());
        self.grad_border = self.grad_border.max(conv.block.grad_border());
        conv
    }

    /// Channel blocks of a state.
    pub fn blocks(&self) -> usize {
        self.channels.blocks()
    }

    /// Floats of one channel block of a node's plane.
    pub fn area(&self) -> usize {
        let [h, w] = self.plan.output_size();
        h * w * self.channels.lanes()
    }

    /// Rows of a node that are pooled and summed at a time: about 128 pixels.
    fn band_rows(&self) -> usize {
        let [h, w] = self.plan.output_size();
        (128 / w).clamp(1, h)
    }

    /// Floats of such a band of one channel block.
    fn band_len(&self) -> usize {
        self.band_rows() * self.plan.output_size()[1] * self.channels.lanes()
    }

    /// Floats of one node's planes for one image.
    pub fn plane(&self) -> usize {
        self.blocks() * self.area()
    }

    /// Floats of one input's planes for one image.
    pub fn input_plane(&self) -> usize {
        let [h, w] = self.plan.input_size();
        self.blocks() * h * w * self.channels.lanes()
    }

    /// Floats of one image's raw outputs (never zero, so that every image has a chunk).
    pub fn raw_image(&self) -> usize {
        (self.kept_planes * self.plane()).max(1)
    }

    /// Where a norm's raw outputs lie in those of an image; nowhere if they are not kept.
    pub fn kept(&self, norm: usize) -> Option<Range<usize>> {
        let first = self.kept[norm]? * self.plane();
        Some(first..first + self.plane())
    }

    /// The raw outputs of a path's last norm, which are always kept.
    pub fn last_raw<'x>(&self, path: &Path, raw: &'x [f32]) -> &'x [f32] {
        self.kept(path.norm + path.norms() - 1).map_or(&[], |at| &raw[at])
    }

    /// Paths that leave `state`.
    pub fn leaving(&self, state: usize) -> impl Iterator<Item = (usize, &Path)> {
        self.plan.paths().iter().enumerate().filter(move |(_, path)| path.source == state)
    }

    /// Pools and identities that leave `state`.
    pub fn weightless(&self, state: usize) -> impl Iterator<Item = (usize, &Path)> {
        self.leaving(state).filter(|(_, path)| path.norms() == 0 && path.op != Op::None)
    }

    /// Paths that enter `node`.
    pub fn entering(&self, node: usize) -> impl Iterator<Item = (usize, &Path)> {
        self.plan.paths().iter().enumerate().filter(move |(_, path)| path.node == node)
    }

    /// Padded plane of a state.
    pub fn padded(&self, state: usize) -> Padded {
        let [h, w] = self.plan.state_size(state);
        Padded { h, w, border: self.border, lanes: self.channels.lanes() }
    }

    /// Padded plane of gathered gradients.
    pub fn grad_plane(&self) -> Padded {
        let [h, w] = self.plan.output_size();
        Padded { h, w, border: self.grad_border, lanes: self.channels.lanes() }
    }

    /// Packs all weights, each block on its own.
    pub fn pack(&self, weights: &[f32], to: &mut [f32]) {
        let mut rest = to;
        let mut parts = vec![];
        for conv in self.convs.iter().flatten() {
            let (part, after) = rest.split_at_mut(conv.block.packed_len());
            parts.push((conv, part));
            rest = after;
        }
        parts.into_par_iter().for_each(|(conv, part)| conv.block.pack(weights, part));
    }

    /// Hands all packed gradients over in the caller's layout, each block on its own.
    pub fn unpack_grads(&self, packed: &[f32], to: &mut [f32]) {
        let mut rest = to;
        let mut parts = vec![];
        for conv in self.convs.iter().flatten() {
            // Blocks lie in the caller's weights in the order that they are applied, without gaps.
            let (part, after) = rest.split_at_mut(conv.block.weights().len());
            parts.push((&conv.block, &packed[conv.grads..][..conv.block.packed_grad_len()], part));
            rest = after;
        }
        parts.into_par_iter().for_each(|(block, packed, part)| block.unpack_grads(packed, part));
    }

    /// The packed weights of one block.
    pub fn packed<'a>(&self, conv: &Conv, packed: &'a [f32]) -> &'a [f32] {
        &packed[conv.packed..][..conv.block.packed_len()]
    }
}

fn path_blocks(plan: &CellPlan, path: &Path) -> Vec<Block> {
    let channels = plan.state_channels();
    let offset = |i: usize| path.weights[i].offset;
    if path.reduces() {
        let to = plan.channels();
        return vec![Block::factorized_reduce(channels, to, plan.input_size(), [offset(0), offset(1)])];
    }
    let Some((kernel, dilation, blocks)) = path.op.conv() else { return vec![] };
    let block = |b: usize| {
        let (input, stride) =
            if b == 0 { (plan.state_size(path.source), path.stride) } else { (plan.output_size(), 1) };
        Block::depthwise(channels, input, stride, [kernel, dilation], [offset(2 * b), offset(2 * b + 1)])
    };
    (0..blocks).map(block).collect()
}

/// One task's buffers.
pub(crate) struct Scratch {
    /// A padded input state, a padded state of the nodes' size, and what is between the blocks of a separable convolution.
    padded: [Buffer; 3],
    /// The latter before its norm, where that is not kept.
    pub middle: Buffer,
    pub gathered: Buffer,
    pub grad: Buffer,
    pub raw: Buffer,
    pub planes: Buffer,
    /// Both pools of one channel block, of one state or of a band of each, and what they need.
    pub pooled: [Buffer; 2],
    pub pool: Buffer,
    /// Gradient of an activated state (backward only).
    pub relu_grad: Buffer,
}

impl Scratch {
    pub fn new(layout: &Layout, workspace: &Workspace) -> Self {
        let blocks = || layout.convs.iter().flatten().map(|conv| &conv.block);
        let most = |f: fn(&Block) -> usize| blocks().map(f).max().unwrap_or(0);
        let ([h, w], lanes) = (layout.plan.input_size(), layout.channels.lanes());
        let padded = [0, 2, 2].map(|state| layout.blocks() * layout.padded(state).len());
        Self {
            padded: padded.map(|len| workspace.take_zeroed(len)),
            gathered: workspace.take(most(Block::gathered_len)),
            middle: workspace.take(layout.plane()),
            grad: workspace.take(most(Block::grad_len)),
            raw: workspace.take(most(Block::chunk_len)),
            planes: workspace.take_zeroed(most(Block::virtual_blocks).max(1) * layout.grad_plane().len()),
            pooled: [0; 2].map(|_| workspace.take(layout.area().max((NODES + 1) * layout.band_len()))),
            pool: workspace.take(pools_scratch(w, lanes).max(max_scratch(h, w, lanes))),
            relu_grad: workspace.take(layout.input_plane()),
        }
    }

    /// Everything a block's way back needs, from a padded input.
    pub fn for_back(&mut self, source: Source) -> BackScratch<'_> {
        BackScratch {
            padded: &mut self.padded[source.index()],
            middle: &self.middle,
            block: BlockScratch {
                gathered: &mut self.gathered,
                grad: &mut self.grad,
                raw: &mut self.raw,
                planes: &mut self.planes,
            },
            relu_grad: &mut self.relu_grad,
        }
    }
}

/// A task's buffers on the way back through one block.
pub(crate) struct BackScratch<'a> {
    pub padded: &'a mut [f32],
    pub middle: &'a [f32],
    pub block: BlockScratch<'a>,
    /// Room for an activated state's gradient.
    pub relu_grad: &'a mut [f32],
}

/// What a convolution block reads.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    State(usize),
    /// The output of a separable convolution's first block.
    Middle,
}

impl Source {
    /// Which of [`Scratch::padded`].
    fn index(self) -> usize {
        match self {
            Self::State(state) => usize::from(state >= 2),
            Self::Middle => 2,
        }
    }

    /// Its padded plane.
    pub fn plane(self, layout: &Layout) -> Padded {
        layout.padded(if let Self::State(state) = self { state } else { 2 })
    }
}

/// `max(x, floor)` of all blocks into the interior of padded planes, normalised before if there is a norm.
pub(crate) fn activate<S: Simd>(
    s: S,
    x: &[f32],
    norm: Option<(&Norms, usize)>,
    floor: f32,
    plane: Padded,
    to: &mut [f32],
) {
    let area = plane.h * plane.w * S::LANES;
    for (block, x) in x.chunks_exact(area).enumerate() {
        let line = norm.map_or(Line::IDENTITY, |(norms, norm)| norms.line(norm, block));
        let to = &mut to[block * plane.len()..][..plane.len()][plane.origin()..];
        Activate { x, w: plane.w, line, floor, to, to_row: plane.row() }.apply(s);
    }
}

pub(crate) fn check_input(plan: &CellPlan, input: &CellInput<'_>) -> Result<(), KernelError> {
    let channels = plan.state_channels();
    refuse_small(&[("batch", input.n, 1)])?;
    let state = blocked_len(input.n, channels, plan.input_size());
    check("s0", state, input.s0.len())?;
    check("s1", state, input.s1.len())?;
    plan.lengths().check_input(input.weights, input.weighting())
}

impl CellPlan {
    /// Length of a cell's output for `n` images, `[n, 4 * c/b, h', w', b]`: the nodes one after the other.
    #[must_use]
    pub fn output_len(&self, n: usize) -> usize {
        blocked_len(n, self.output_channels(), self.output_size())
    }

    /// Runs the cell in training mode: batch norms use the batch's statistics.
    ///
    /// Work is split over the current rayon pool; the result does not depend on its size.
    ///
    /// # Shapes
    /// See [`CellInput`]; `output` is `[n, 4 * c/b, h', w', b]`.
    ///
    /// # Errors
    /// [`KernelError::Length`] or [`KernelError::Argument`] for arguments against the plan,
    /// [`KernelError::OneValue`] for a norm over one value.
    pub fn forward(
        &self,
        workspace: &Workspace,
        input: &CellInput<'_>,
        output: &mut [f32],
    ) -> Result<CellSaved, KernelError> {
        check_input(self, input)?;
        check("cell output", self.output_len(input.n), output.len())?;
        let [height, width] = self.output_size();
        let count = input.n * height * width;
        if count == 1 && self.norms() > 0 {
            return Err(KernelError::OneValue { batch: input.n, height, width });
        }
        let layout = workspace.layout(self);
        let norms = Norms::new(self.norms(), layout.channels, self.affine(), input.affine, count)?;
        let raw = workspace.take(input.n * layout.raw_image());
        let mut packed = workspace.take(layout.packed_len);
        layout.pack(input.weights, &mut packed);
        let saved = CellSaved { layout, raw, packed, norms, n: input.n };
        Ok(workspace.level().dispatch_at(self.width(), TrainForward { workspace, input, output, saved }))
    }

    /// Runs the cell in inference mode: batch norms use the given statistics, nothing is kept.
    ///
    /// # Shapes
    /// As [`CellPlan::forward`].
    ///
    /// # Errors
    /// [`KernelError::Length`] or [`KernelError::Argument`] for arguments against the plan.
    pub fn infer(
        &self,
        workspace: &Workspace,
        input: &CellInput<'_>,
        running: RunningStats<'_>,
        output: &mut [f32],
    ) -> Result<(), KernelError> {
        check_input(self, input)?;
        check("cell output", self.output_len(input.n), output.len())?;
        let layout = workspace.layout(self);
        let mut norms = Norms::new(self.norms(), layout.channels, self.affine(), input.affine, 0)?;
        norms.set_running(running)?;
        workspace
            .level()
            .dispatch_at(self.width(), Infer { layout: &layout, workspace, input, output, norms: &norms });
        Ok(())
    }
}

/// What every forward pass over one image reads.
pub(crate) struct Forward<'a, S> {
    pub s: S,
    pub layout: &'a Layout,
    pub input: &'a CellInput<'a>,
    pub packed: &'a [f32],
    pub norms: &'a Norms,
}

/// One image's parts of the batch buffers.
struct Image<'a> {
    index: usize,
    raw: &'a mut [f32],
    nodes: &'a mut [f32],
    /// `[norms, 2, padded channels]`; `None` in inference.
    stats: Option<&'a mut [f64]>,
}

impl<S: Simd> Forward<'_, S> {
    /// The planes of a state: an input, or an earlier node.
    pub fn state<'x>(&'x self, state: usize, image: usize, nodes: &'x [f32]) -> &'x [f32] {
        let (len, plane) = (self.layout.input_plane(), self.layout.plane());
        match state {
            0 => &self.input.s0[image * len..][..len],
            1 => &self.input.s1[image * len..][..len],
            _ => &nodes[(state - 2) * plane..][..plane],
        }
    }

    /// One block's raw outputs where they are kept, else their statistics only.
    fn conv(
        &self,
        conv: &Conv,
        norm: usize,
        source: Source,
        scratch: &mut Scratch,
        raw: &mut [f32],
        stats: Option<&mut [f64]>,
    ) {
        let per_norm = 2 * self.layout.channels.padded();
        let stats = stats.map(|stats| &mut stats[norm * per_norm..][..per_norm]);
        let x = &*scratch.padded[source.index()];
        let packed = self.layout.packed(conv, self.packed);
        match (self.layout.kept(norm), stats) {
            (Some(at), stats) => {
                conv.block.forward(self.s, packed, x, &mut scratch.gathered, &mut raw[at], stats)
            }
            (None, Some(stats)) => {
                let buffers = [&mut scratch.gathered[..], &mut scratch.raw[..]];
                conv.block.statistics(self.s, packed, x, buffers, stats);
            }
            (None, None) => {}
        }
    }

    /// The padded, activated copy of a state.
    pub fn activate_state(&self, state: usize, x: &[f32], scratch: &mut Scratch) {
        let source = Source::State(state);
        activate(self.s, x, None, 0.0, source.plane(self.layout), &mut scratch.padded[source.index()]);
    }

    /// First blocks of all convolutions that leave `state`.
    fn first_blocks(&self, state: usize, scratch: &mut Scratch, image: &mut Image<'_>) {
        let mut ready = false;
        for (index, path) in self.layout.leaving(state) {
            let Some(conv) = self.layout.convs[index].first() else { continue };
            if !ready {
                self.activate_state(state, self.state(state, image.index, image.nodes), scratch);
                ready = true;
            }
            let stats = image.stats.as_deref_mut();
            self.conv(conv, path.norm, Source::State(state), scratch, image.raw, stats);
        }
    }

    /// Separable convolutions that leave `state`, each with whether its first block's output is not kept.
    pub fn separable(&self, state: usize) -> impl Iterator<Item = (usize, &Path, bool)> {
        let separable = self.layout.leaving(state).filter(|(_, path)| path.norms() == 2);
        separable.map(|(index, path)| (index, path, self.layout.kept(path.norm).is_none()))
    }

    /// The normalised, activated output of a separable convolution's first block, padded. Where it was not kept it is
    /// made again from the activated state.
    fn activate_middle(
        &self,
        (index, path): (usize, &Path),
        state: usize,
        scratch: &mut Scratch,
        raw: &[f32],
    ) {
        let (s, norm, plane) = (self.s, (self.norms, path.norm), Source::Middle.plane(self.layout));
        let [inputs @ .., to] = &mut scratch.padded;
        if let Some(at) = self.layout.kept(path.norm) {
            return activate(s, &raw[at], Some(norm), 0.0, plane, to);
        }
        let conv = &self.layout.convs[index][0];
        let (packed, x) = (self.layout.packed(conv, self.packed), &inputs[Source::State(state).index()]);
        let buffers = [&mut scratch.gathered[..], &mut scratch.raw[..]];
        conv.block.forward_activated(s, packed, x, buffers, norm, (plane, to));
    }

    /// The raw output of a separable convolution's first block, made again in [`Scratch::middle`] from the activated state.
    pub fn remake_middle(&self, index: usize, state: usize, scratch: &mut Scratch) {
        let conv = &self.layout.convs[index][0];
        let (packed, x) =
            (self.layout.packed(conv, self.packed), &scratch.padded[Source::State(state).index()]);
        conv.block.forward(self.s, packed, x, &mut scratch.gathered, &mut scratch.middle, None);
    }

    /// Second blocks of the separable convolutions that leave `state`.
    fn second_blocks(&self, state: usize, scratch: &mut Scratch, image: &mut Image<'_>) {
        if self.separable(state).any(|(.., remade)| remade) {
            self.activate_state(state, self.state(state, image.index, image.nodes), scratch);
        }
        for (index, path, _) in self.separable(state) {
            self.activate_middle((index, path), state, scratch, image.raw);
            let stats = image.stats.as_deref_mut();
            let conv = &self.layout.convs[index][1];
            self.conv(conv, path.norm + 1, Source::Middle, scratch, image.raw, stats);
        }
    }

    /// A node: the weighted sum over the paths that enter it, band by band.
    fn node(&self, node: usize, scratch: &mut Scratch, image: &mut Image<'_>) {
        let (area, plane, band) = (self.layout.area(), self.layout.plane(), self.layout.band_len());
        let (earlier, rest) = image.nodes.split_at_mut(node * plane);
        for (block, to) in rest[..plane].chunks_exact_mut(area).enumerate() {
            for (index, to) in to.chunks_mut(band).enumerate() {
                let band = Band { block, start: index * band, len: to.len() };
                self.pool_band(node, &band, image.index, earlier, scratch);
                self.sum_band(node, &band, (image.index, image.raw, earlier), scratch, to);
            }
        }
    }

    /// One channel block of a state.
    fn block<'x>(&'x self, state: usize, block: usize, image: usize, nodes: &'x [f32]) -> &'x [f32] {
        let [h, w] = self.layout.plan.state_size(state);
        let len = h * w * S::LANES;
        &self.state(state, image, nodes)[block * len..][..len]
    }

    /// A band of the pools of every state that a pool takes to the node, one behind the other by state.
    fn pool_band(&self, node: usize, band: &Band, image: usize, earlier: &[f32], scratch: &mut Scratch) {
        let is_pool = |path: &Path| matches!(path.op, Op::MaxPool3 | Op::AvgPool3);
        let row = self.layout.plan.output_size()[1] * S::LANES;
        let rows = band.start / row..(band.start + band.len) / row;
        for state in 0..node + 2 {
            let pools_of = |(_, path): &(usize, &Path)| path.source == state && is_pool(path);
            let Some((_, path)) = self.layout.entering(node).find(pools_of) else { continue };
            let x = self.block(state, band.block, image, earlier);
            let geometry = (self.layout.plan.state_size(state), path.stride);
            let to = scratch.pooled.each_mut().map(|pooled| &mut pooled[state * band.len..][..band.len]);
            pools(self.s, x, geometry, rows.clone(), &mut scratch.pool, to);
        }
    }

    fn sum_band(
        &self,
        node: usize,
        band: &Band,
        (image, raw, earlier): (usize, &[f32], &[f32]),
        scratch: &Scratch,
        to: &mut [f32],
    ) {
        let mut bias = [0f64; MAX_LANES];
        let mut terms = Vec::with_capacity(self.layout.entering(node).count());
        for (index, path) in self.layout.entering(node) {
            let k = self.input.weighting().at(index, path.edge, image);
            let pooled = |which: usize| &scratch.pooled[which][path.source * band.len..][..band.len];
            let y = match path.op {
                _ if path.norms() > 0 => {
                    let line = self.norms.line(path.norm + path.norms() - 1, band.block);
                    bias.iter_mut().zip(line.b).for_each(|(bias, &b)| *bias += f64::from(k) * f64::from(b));
                    let y = &self.layout.last_raw(path, raw)[band.block * self.layout.area()..];
                    terms.push(Term {
                        y: &y[band.start..][..band.len],
                        centre: line.centre,
                        a: line.slope(k),
                    });
                    continue;
                }
                Op::MaxPool3 => pooled(0),
                Op::AvgPool3 => pooled(1),
                Op::Skip => &self.block(path.source, band.block, image, earlier)[band.start..][..band.len],
                _ => continue,
            };
            terms.push(Term { y, centre: &[0.0; MAX_LANES], a: [k; MAX_LANES] });
        }
        weighted_sum(self.s, &bias.map(|bias| bias as f32), &terms, to);
    }
}

/// Rows of one channel block: so many floats from one on.
struct Band {
    block: usize,
    start: usize,
    len: usize,
}

struct Infer<'a> {
    layout: &'a Layout,
    workspace: &'a Workspace,
    input: &'a CellInput<'a>,
    output: &'a mut [f32],
    norms: &'a Norms,
}

impl Job for Infer<'_> {
    type Out = ();

    fn run<S: Simd>(self, s: S) {
        let mut packed = self.workspace.take(self.layout.packed_len);
        self.layout.pack(self.input.weights, &mut packed);
        let pool = ScratchPool::new(|| Scratch::new(self.layout, self.workspace));
        let forward =
            Forward { s, layout: self.layout, input: self.input, packed: &packed, norms: self.norms };
        let group = group_size(self.input.n);
        let output = NODES * self.layout.plane();
        self.output.par_chunks_mut(group * output).enumerate().with_max_len(1).for_each(|(g, nodes)| {
            let mut raw = self.workspace.take(self.layout.raw_image());
            pool.with(|scratch| {
                for (i, nodes) in nodes.chunks_exact_mut(output).enumerate() {
                    let mut image = Image { index: g * group + i, raw: &mut raw, nodes, stats: None };
                    for state in 0..NODES + 2 {
                        if state >= 2 {
                            forward.node(state - 2, scratch, &mut image);
                        }
                        forward.first_blocks(state, scratch, &mut image);
                        forward.second_blocks(state, scratch, &mut image);
                    }
                }
            });
        });
    }
}

struct TrainForward<'a> {
    workspace: &'a Workspace,
    input: &'a CellInput<'a>,
    output: &'a mut [f32],
    saved: CellSaved,
}

/// A pass over the batch: what is done with each image before the next barrier.
#[derive(Debug, Clone, Copy)]
enum Pass {
    /// First blocks of both inputs.
    Inputs,
    /// Second blocks of both inputs.
    InputsAgain,
    /// A node, and the first blocks that leave it.
    Node(usize),
    /// Second blocks that leave a node.
    NodeAgain(usize),
}

impl Pass {
    /// All passes of a cell in order.
    const ALL: [Self; 2 * NODES + 2] = [
        Self::Inputs,
        Self::InputsAgain,
        Self::Node(0),
        Self::NodeAgain(0),
        Self::Node(1),
        Self::NodeAgain(1),
        Self::Node(2),
        Self::NodeAgain(2),
        Self::Node(3),
        Self::NodeAgain(3),
    ];

    fn states(self) -> std::ops::Range<usize> {
        match self {
            Self::Inputs | Self::InputsAgain => 0..2,
            Self::Node(node) | Self::NodeAgain(node) => node + 2..node + 3,
        }
    }

    /// Norms whose statistics are complete after the pass.
    fn norms(self, layout: &Layout) -> Vec<usize> {
        let second = matches!(self, Self::InputsAgain | Self::NodeAgain(_));
        let paths = self.states().flat_map(|state| layout.leaving(state));
        paths
            .filter(|(_, p)| p.norms() > usize::from(second))
            .map(|(_, p)| p.norm + usize::from(second))
            .collect()
    }
}

impl Job for TrainForward<'_> {
    type Out = CellSaved;

    fn run<S: Simd>(self, s: S) -> CellSaved {
        let Self { workspace, input, output, mut saved } = self;
        let layout = &*saved.layout;
        let pool = ScratchPool::new(|| Scratch::new(layout, workspace));
        let per_image = (layout.plan.norms() * 2 * layout.channels.padded()).max(1);
        let mut stats = workspace.take_doubles(input.n * per_image);
        let [h, w] = layout.plan.output_size();
        with_crew(group_count(input.n), |crew| {
            for pass in Pass::ALL {
                let norms = pass.norms(layout);
                if norms.is_empty() && !matches!(pass, Pass::Node(_)) {
                    continue;
                }
                let forward = Forward { s, layout, input, packed: &saved.packed, norms: &saved.norms };
                run_pass(&forward, crew, &pool, pass, &mut saved.raw, output, &mut stats);
                saved.norms.finish(crew, &norms, &stats, input.n, h * w);
            }
        });
        drop(pool);
        saved
    }
}

fn run_pass<S: Simd>(
    forward: &Forward<'_, S>,
    crew: &mut Crew<'_>,
    pool: &ScratchPool<'_, Scratch>,
    pass: Pass,
    raw: &mut [f32],
    output: &mut [f32],
    stats: &mut [f64],
) {
    let n = forward.input.n;
    let group = group_size(n);
    let (raw_image, nodes_image, stats_image) = (raw.len() / n, output.len() / n, stats.len() / n);
    let groups = raw
        .chunks_mut(group * raw_image)
        .zip(output.chunks_mut(group * nodes_image))
        .zip(stats.chunks_mut(group * stats_image));
    crew.each(groups, |g, ((raw, nodes), stats)| {
        let raw = raw.chunks_exact_mut(raw_image);
        let images = raw.zip(nodes.chunks_exact_mut(nodes_image)).zip(stats.chunks_exact_mut(stats_image));
        pool.with(|scratch| {
            for (i, ((raw, nodes), stats)) in images.enumerate() {
                let mut image = Image { index: g * group + i, raw, nodes, stats: Some(stats) };
                one_image(forward, pass, scratch, &mut image);
            }
        });
    });
}

fn one_image<S: Simd>(forward: &Forward<'_, S>, pass: Pass, scratch: &mut Scratch, image: &mut Image<'_>) {
    match pass {
        Pass::Inputs => (0..2).for_each(|state| forward.first_blocks(state, scratch, image)),
        Pass::InputsAgain => (0..2).for_each(|state| forward.second_blocks(state, scratch, image)),
        Pass::Node(node) => {
            forward.node(node, scratch, image);
            forward.first_blocks(node + 2, scratch, image);
        }
        Pass::NodeAgain(node) => forward.second_blocks(node + 2, scratch, image),
    }
}

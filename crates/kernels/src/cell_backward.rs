//! A whole cell backward: the forward passes mirrored, with a barrier wherever a norm needs batch sums.
//!
//! A norm's gradient is affine in the gradient of its output and its raw input, so what a barrier yields is
//! three coefficients a channel. Everything but raw outputs is recomputed in cache; the gradient of a separable
//! convolution's second block overwrites that block's saved output.

use std::ops::Range;

use crate::arguments::GradLengths;
use crate::block::{BackTaps, RawGrad, window};
use crate::blocked::MAX_LANES;
use crate::cell::{
    BackScratch, CellInput, CellSaved, Conv, Forward, Layout, Scratch, Source, activate, check_input,
};
use crate::crew::{Crew, with_crew};
use crate::error::{KernelError, check};
use crate::groups::GroupSums;
use crate::norm::{NormGrads, Norms};
use crate::pixelwise::{Base, Lanes, Term, add_weighted, dots, relu_norm_back, weighted_sum, where_positive};
use crate::plan::{CellPlan, NODES, Op, Path};
use crate::pool::{avg_shares, max_pool_back, pools};
use crate::scratch::ScratchPool;
use crate::simd::{Job, Simd};
use crate::workspace::Workspace;

/// Where a cell's gradients go. Every slice is overwritten.
#[derive(Debug)]
pub struct CellGrads<'a> {
    /// Of the first input, `[n, c/b, h, w, b]`.
    pub s0: &'a mut [f32],
    /// Of the second input, `[n, c/b, h, w, b]`.
    pub s1: &'a mut [f32],
    /// Of the flat convolution weights; `None` if nobody asks.
    pub weights: Option<&'a mut [f32]>,
    /// Of gains and biases, `[norms, c]` each; present exactly if the plan is affine.
    pub affine: Option<[&'a mut [f32]; 2]>,
    /// Of the mixing weights, one a path; `None` if nobody asks.
    pub mix: Option<&'a mut [f32]>,
}

fn check_grads(plan: &CellPlan, input: &CellInput<'_>, grads: &CellGrads<'_>) -> Result<(), KernelError> {
    check("gradient of s0", input.s0.len(), grads.s0.len())?;
    check("gradient of s1", input.s1.len(), grads.s1.len())?;
    plan.lengths().check_grads(GradLengths {
        weights: grads.weights.as_ref().map(|weights| weights.len()),
        mix: grads.mix.as_ref().map(|mix| mix.len()),
        affine: grads.affine.as_ref().map(|pair| pair.each_ref().map(|grads| grads.len())),
    })
}

impl CellPlan {
    /// Gradients of [`CellPlan::forward`], whose arguments, output and saved values are given back.
    ///
    /// # Shapes
    /// `output`, `grad_output`: `[n, 4 * c/b, h', w', b]`; padding channels of `grad_output` must be zero.
    ///
    /// # Errors
    /// [`KernelError::Length`] or [`KernelError::Argument`] for arguments against the plan or the saved batch.
    pub fn backward(
        &self,
        workspace: &Workspace,
        input: &CellInput<'_>,
        output: &[f32],
        saved: CellSaved,
        grad_output: &[f32],
        grads: CellGrads<'_>,
    ) -> Result<(), KernelError> {
        check_input(self, input)?;
        check("cell output", self.output_len(input.n), output.len())?;
        check("gradient of the cell's output", self.output_len(input.n), grad_output.len())?;
        check_grads(self, input, &grads)?;
        check("saved batch", input.n, saved.n)?;
        if saved.layout.plan != *self {
            let (expected, found) = ("this plan's", "another plan's");
            return Err(KernelError::Argument { what: "saved values", expected, found });
        }
        let job = Backward { workspace, input, output, saved, grad_output, grads };
        workspace.level().dispatch_at(self.width(), job);
        Ok(())
    }
}

struct Backward<'a> {
    workspace: &'a Workspace,
    input: &'a CellInput<'a>,
    output: &'a [f32],
    saved: CellSaved,
    grad_output: &'a [f32],
    grads: CellGrads<'a>,
}

/// Places in one image's batch sums, in units of padded channels.
#[derive(Clone, Copy)]
struct Sums {
    paths: usize,
    padded: usize,
}

impl Sums {
    /// Sum of a node's gradient times a path's (centred) output.
    fn dot(self, path: usize) -> Range<usize> {
        self.at(path)
    }

    /// Sum of a node's gradient.
    fn node(self, node: usize) -> Range<usize> {
        self.at(self.paths + node)
    }

    /// Sums at the norm between the blocks of a separable convolution: `g (y − mean)`, then `g`.
    fn middle(self, path: usize, which: usize) -> Range<usize> {
        self.at(self.paths + NODES + 2 * path + which)
    }

    fn at(self, index: usize) -> Range<usize> {
        index * self.padded..(index + 1) * self.padded
    }

    fn len(self) -> usize {
        (3 * self.paths + NODES) * self.padded
    }
}

#[derive(Debug, Clone, Copy)]
enum Pass {
    /// The last node's gradient is that of the output; its batch sums.
    Start,
    /// Second blocks of the separable convolutions that leave these states.
    SecondBlocks(usize, usize),
    /// The rest of what leaves these states; batch sums of the node whose gradient is now complete.
    FirstBlocks(usize, usize),
}

impl Pass {
    /// All passes in order.
    const ALL: [Self; 11] = [
        Self::Start,
        Self::SecondBlocks(5, 6),
        Self::FirstBlocks(5, 6),
        Self::SecondBlocks(4, 5),
        Self::FirstBlocks(4, 5),
        Self::SecondBlocks(3, 4),
        Self::FirstBlocks(3, 4),
        Self::SecondBlocks(2, 3),
        Self::FirstBlocks(2, 3),
        Self::SecondBlocks(0, 2),
        Self::FirstBlocks(0, 2),
    ];

    fn is_idle(self, layout: &Layout) -> bool {
        match self {
            Self::Start => false,
            Self::SecondBlocks(from, to) => {
                (from..to).flat_map(|state| layout.leaving(state)).all(|(_, path)| path.norms() < 2)
            }
            // The last node leads nowhere, and its gradient was complete at the start.
            Self::FirstBlocks(from, _) => from == NODES + 1,
        }
    }
}

/// One image's parts of the batch buffers.
struct Image<'a> {
    index: usize,
    raw: &'a mut [f32],
    nodes: &'a mut [f32],
    inputs: [&'a mut [f32]; 2],
    sums: &'a mut [f64],
    /// The group's packed weight gradients, if they are wanted.
    weights: &'a mut [f32],
}

/// What somebody asks for besides the gradients of the inputs and of norms.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    weights: bool,
    mix: bool,
}

struct Reverse<'a, S> {
    forward: Forward<'a, S>,
    output: &'a [f32],
    grad_output: &'a [f32],
    grads: &'a NormGrads,
    wanted: Wanted,
    places: Sums,
    /// Gradient taps of average pooling at stride 1 and 2.
    avg_taps: &'a [BackTaps; 2],
}

/// Nine weights of one, for the average's gradient.
const ONES: [f32; 9 * MAX_LANES] = [1.0; 9 * MAX_LANES];

impl Job for Backward<'_> {
    type Out = ();

    fn run<S: Simd>(self, s: S) {
        let Self { workspace, input, output, saved, grad_output, grads } = self;
        let CellSaved { layout, mut raw, packed, norms, n } = saved;
        let CellGrads { s0, s1, weights: to_weights, affine, mix: to_mix } = grads;
        let layout = &*layout;
        let pool = ScratchPool::new(|| Scratch::new(layout, workspace));
        let mut nodes = workspace.take(n * NODES * layout.plane());
        let wanted = Wanted { weights: to_weights.is_some(), mix: to_mix.is_some() };
        let grads_len = if wanted.weights { layout.grads_len } else { 0 };
        // Never empty, so that every group has a chunk.
        let mut weights = GroupSums::new(workspace, n, grads_len.max(1));
        let places = Sums { paths: layout.plan.paths().len(), padded: layout.channels.padded() };
        let mut sums = workspace.take_doubles(n * places.len());
        let mut norm_grads = NormGrads::new(layout.plan.norms() * layout.channels.padded());
        let mut mix = vec![0f64; places.paths];
        let avg_taps = [1, 2].map(|stride| BackTaps::new(&window(3, 1, 1), stride, layout.grad_plane()));
        with_crew(weights.groups, |crew| {
            for pass in Pass::ALL.into_iter().filter(|pass| !pass.is_idle(layout)) {
                let forward = Forward { s, layout, input, packed: &packed, norms: &norms };
                let grads = &norm_grads;
                let reverse =
                    Reverse { forward, output, grad_output, grads, wanted, places, avg_taps: &avg_taps };
                let inputs = [&mut *s0, &mut *s1];
                run_pass(&reverse, crew, &pool, pass, &mut raw, &mut nodes, inputs, &mut sums, &mut weights);
                let barrier = Barrier { layout, input, norms: &norms, places, sums: &sums };
                barrier.after(pass, wanted, &mut norm_grads, &mut mix);
            }
        });
        if let Some(to) = to_mix {
            to.iter_mut().zip(&mix).for_each(|(to, &value)| *to = value as f32);
        }
        if let Some([gain, bias]) = affine {
            norms.unpad(&norm_grads.gain, gain);
            norms.unpad(&norm_grads.bias, bias);
        }
        if let Some(to) = to_weights {
            layout.unpack_grads(weights.total(), to);
        }
    }
}

/// What is computed from batch sums between passes.
struct Barrier<'a> {
    layout: &'a Layout,
    input: &'a CellInput<'a>,
    norms: &'a Norms,
    places: Sums,
    sums: &'a [f64],
}

impl Barrier<'_> {
    fn after(&self, pass: Pass, wanted: Wanted, grads: &mut NormGrads, mix: &mut [f64]) {
        match pass {
            Pass::Start => self.entering(NODES - 1, grads, mix),
            Pass::SecondBlocks(from, to) => {
                let paths = (from..to).flat_map(|state| self.layout.leaving(state));
                for (index, path) in paths.filter(|(_, path)| path.norms() == 2) {
                    let [dots, sums] = [0, 1].map(|i| self.total(self.places.middle(index, i), |_| 1.0));
                    self.norms.back(path.norm, &dots, &sums, grads);
                }
            }
            Pass::FirstBlocks(from, to) => {
                // Else nobody has written their sums.
                if wanted.mix {
                    for (index, path) in (from..to).flat_map(|state| self.layout.weightless(state)) {
                        mix[index] = self.total(self.places.dot(index), self.drop(path)).iter().sum();
                    }
                }
                if from >= 2 {
                    self.entering(from - 2, grads, mix);
                }
            }
        }
    }

    /// Coefficients of the last norm of every path into `node`, and the paths' mixing gradients.
    fn entering(&self, node: usize, grads: &mut NormGrads, mix: &mut [f64]) {
        for (index, path) in self.layout.entering(node).filter(|(_, path)| path.norms() > 0) {
            let norm = path.norm + path.norms() - 1;
            let [dots, sums] =
                [self.places.dot(index), self.places.node(node)].map(|at| self.total(at, self.drop(path)));
            mix[index] = self.norms.output_dot(norm, &dots, &sums);
            let k = self.input.mix.map_or(1.0, |mix| f64::from(mix[index]));
            let scale = |of: Vec<f64>| of.into_iter().map(|v| v * k).collect::<Vec<f64>>();
            self.norms.back(norm, &scale(dots), &scale(sums), grads);
        }
    }

    fn drop(&self, path: &Path) -> impl Fn(usize) -> f64 {
        let first = path.edge * self.input.n;
        move |image| self.input.drop.map_or(1.0, |drop| f64::from(drop[first + image]))
    }

    /// Sum over images, in order.
    fn total(&self, at: Range<usize>, scale: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut total = vec![0f64; at.len()];
        for (image, sums) in self.sums.chunks_exact(self.places.len()).enumerate() {
            let k = scale(image);
            total.iter_mut().zip(&sums[at.clone()]).for_each(|(total, &part)| *total += k * part);
        }
        total
    }
}

#[allow(clippy::too_many_arguments)]
fn run_pass<S: Simd>(
    reverse: &Reverse<'_, S>,
    crew: &mut Crew<'_>,
    pool: &ScratchPool<'_, Scratch>,
    pass: Pass,
    raw: &mut [f32],
    nodes: &mut [f32],
    [s0, s1]: [&mut [f32]; 2],
    sums: &mut [f64],
    weights: &mut GroupSums,
) {
    let n = reverse.forward.input.n;
    let (group, group_weights) = (weights.images, weights.len);
    let image_raw = raw.len() / n;
    let (image_nodes, image_input, image_sums) = (nodes.len() / n, s0.len() / n, (sums.len() / n).max(1));
    let groups = raw
        .chunks_mut(group * image_raw)
        .zip(nodes.chunks_mut(group * image_nodes))
        .zip(s0.chunks_mut(group * image_input))
        .zip(s1.chunks_mut(group * image_input))
        .zip(sums.chunks_mut(group * image_sums))
        .zip(weights.sums.chunks_mut(group_weights));
    crew.each(groups, |g, (((((raw, nodes), s0), s1), sums), weights)| {
        let images = raw
            .chunks_exact_mut(image_raw)
            .zip(nodes.chunks_exact_mut(image_nodes))
            .zip(s0.chunks_exact_mut(image_input))
            .zip(s1.chunks_exact_mut(image_input))
            .zip(sums.chunks_exact_mut(image_sums));
        if matches!(pass, Pass::Start) {
            weights.fill(0.0);
        }
        pool.with(|scratch| {
            for (i, ((((raw, nodes), s0), s1), sums)) in images.enumerate() {
                let index = g * group + i;
                let mut image = Image { index, raw, nodes, inputs: [s0, s1], sums, weights: &mut *weights };
                reverse.image(pass, scratch, &mut image);
            }
        });
    });
}

impl<S: Simd> Reverse<'_, S> {
    fn image(&self, pass: Pass, scratch: &mut Scratch, image: &mut Image<'_>) {
        match pass {
            Pass::Start => {
                let last = (NODES - 1) * self.layout().plane();
                if let Some(outer) = self.outer_grad(NODES + 1, image.index) {
                    image.nodes[last..].copy_from_slice(outer);
                }
                self.batch_sums(NODES - 1, image);
            }
            Pass::SecondBlocks(from, to) => {
                (from..to).for_each(|state| self.second_blocks(state, scratch, image));
            }
            Pass::FirstBlocks(from, to) => {
                for state in from..to {
                    self.first_blocks(state, scratch, image);
                    self.pools_and_skips(state, scratch, image);
                }
                if from >= 2 {
                    self.batch_sums(from - 2, image);
                }
            }
        }
    }

    fn layout(&self) -> &Layout {
        self.forward.layout
    }

    /// A block's part of the group's weight gradients, empty if nobody asks.
    fn weight_grads<'w>(&self, conv: &Conv, weights: &'w mut [f32]) -> &'w mut [f32] {
        if self.wanted.weights { &mut weights[conv.grads..][..conv.block.packed_grad_len()] } else { &mut [] }
    }

    /// Sums of a node's gradient, plain and against the raw outputs of the paths that enter it.
    fn batch_sums(&self, node: usize, image: &mut Image<'_>) {
        let s = self.forward.s;
        let (area, plane) = (self.layout().area(), self.layout().plane());
        for (block, g) in image.nodes[node * plane..][..plane].chunks_exact(area).enumerate() {
            let normed = || self.layout().entering(node).filter(|(_, path)| path.norms() > 0);
            let mut terms = Vec::with_capacity(normed().count());
            for (_, path) in normed() {
                let norm = path.norm + path.norms() - 1;
                let y = &self.layout().last_raw(path, image.raw)[block * area..][..area];
                terms.push(Term {
                    y,
                    centre: self.forward.norms.line(norm, block).centre,
                    a: [1.0; MAX_LANES],
                });
            }
            let sums = dots(s, g, &terms);
            for ((index, _), &along) in normed().zip(&sums) {
                store_sums(s, &mut image.sums[self.places.dot(index)], block, along);
            }
            store_sums(s, &mut image.sums[self.places.node(node)], block, sums[terms.len()]);
        }
    }

    /// `k` of a norm's gradient with the path's multiplier for this image folded in.
    fn scaled(&self, norm: usize, k: f32) -> Vec<f32> {
        self.grads.k[self.forward.norms.range(norm)].iter().map(|scale| scale * k).collect()
    }

    fn second_blocks(&self, state: usize, scratch: &mut Scratch, image: &mut Image<'_>) {
        let Forward { s, norms, .. } = self.forward;
        let (area, len) = (self.layout().area(), self.layout().plane());
        if self.forward.separable(state).any(|(.., remade)| remade) {
            self.forward.activate_state(state, self.state(state, image.index), scratch);
        }
        for (index, path, remade) in self.forward.separable(state) {
            if remade {
                self.forward.remake_middle(index, state, scratch);
            }
            let conv = &self.layout().convs[index][1];
            let norm = path.norm + 1;
            let k = self.scaled(norm, self.forward.input.weighting().at(index, path.edge, image.index));
            let g = &image.nodes[path.node * len..][..len];
            let packed = self.layout().packed(conv, self.forward.packed);
            let BackScratch { padded, middle, block: mut back, .. } = scratch.for_back(Source::Middle);
            let grads = self.weight_grads(conv, image.weights);
            let Some(at) = self.layout().kept(norm) else { continue };
            let (before, second) = image.raw[..at.end].split_at_mut(at.start);
            let first = if remade { middle } else { &before[at.start - len..] };
            if self.wanted.weights {
                let plane = Source::Middle.plane(self.layout());
                activate(s, first, Some((norms, path.norm)), 0.0, plane, padded);
            }
            let grad = RawGrad { g, y: second, k: &k, norms, grads: self.grads, norm };
            conv.block.backward_weights(s, packed, padded, &grad, &mut back, grads);
            conv.block.backward_input(s, packed, back.planes, false, second);
            for (block, (y, g)) in first.chunks_exact(area).zip(second.chunks_exact_mut(area)).enumerate() {
                let sums = relu_norm_back(s, y, norms.line(path.norm, block), g);
                for (which, part) in sums.into_iter().enumerate() {
                    store_sums(s, &mut image.sums[self.places.middle(index, which)], block, part);
                }
            }
        }
    }

    /// First blocks of all convolutions that leave `state`, down to the state's gradient, which begins here.
    fn first_blocks(&self, state: usize, scratch: &mut Scratch, image: &mut Image<'_>) {
        let Forward { s, norms, .. } = self.forward;
        let len = self.layout().plane();
        let source = Source::State(state);
        let x = self.state(state, image.index);
        let mut begun = false;
        for (index, path) in self.layout().leaving(state) {
            let Some(conv) = self.layout().convs[index].first() else { continue };
            if !begun {
                self.forward.activate_state(state, x, scratch);
            }
            let is_last = path.norms() == 1;
            let k =
                if is_last { self.forward.input.weighting().at(index, path.edge, image.index) } else { 1.0 };
            let k = self.scaled(path.norm, k);
            let last = self.layout().last_raw(path, image.raw);
            // A second block's gradient took the place of its output.
            let g = if is_last { &image.nodes[path.node * len..][..len] } else { last };
            let y = self.layout().kept(path.norm).map_or(&[][..], |at| &image.raw[at]);
            let grad = RawGrad { g, y, k: &k, norms, grads: self.grads, norm: path.norm };
            let packed = self.layout().packed(conv, self.forward.packed);
            let BackScratch { padded, block: mut back, relu_grad, .. } = scratch.for_back(source);
            let grads = self.weight_grads(conv, image.weights);
            conv.block.backward_weights(s, packed, padded, &grad, &mut back, grads);
            conv.block.backward_input(s, packed, back.planes, begun, &mut relu_grad[..x.len()]);
            begun = true;
        }
        let to = &mut *grads_of(image.nodes, &mut image.inputs, state, len).0;
        let outer = self.outer_grad(state, image.index);
        match outer {
            _ if begun => {
                let base = outer.map_or(Base::Zero, Base::Other);
                where_positive(s, x, &scratch.relu_grad[..x.len()], base, to);
            }
            Some(outer) => to.copy_from_slice(outer),
            None => to.fill(0.0),
        }
    }

    /// What the gradient of a state begins with: a node's part of the output's gradient.
    fn outer_grad(&self, state: usize, image: usize) -> Option<&[f32]> {
        let len = self.layout().plane();
        let node = state.checked_sub(2)?;
        Some(&self.grad_output[(image * NODES + node) * len..][..len])
    }

    fn state(&self, state: usize, image: usize) -> &[f32] {
        let nodes = NODES * self.layout().plane();
        self.forward.state(state, image, &self.output[image * nodes..][..nodes])
    }

    /// Pools and identities that leave `state`: their batch sums, and their part of the state's gradient.
    fn pools_and_skips(&self, state: usize, scratch: &mut Scratch, image: &mut Image<'_>) {
        let [h, w] = self.layout().plan.state_size(state);
        let len = h * w * S::LANES;
        for (block, x) in self.state(state, image.index).chunks_exact(len).enumerate() {
            if self.wanted.mix {
                self.weightless_sums((state, block, x), scratch, image);
            }
            self.weightless_grads((state, block, x), scratch, image);
        }
    }

    fn stride(&self, state: usize) -> usize {
        if self.layout().plan.reduction() && state < 2 { 2 } else { 1 }
    }

    /// For each node the sums of its gradient times the pools of one block of the state and times the block itself.
    fn weightless_sums(
        &self,
        (state, block, x): (usize, usize, &[f32]),
        scratch: &mut Scratch,
        image: &mut Image<'_>,
    ) {
        let (s, size, area) = (self.forward.s, self.layout().plan.state_size(state), self.layout().area());
        if self.layout().weightless(state).any(|(_, path)| path.op != Op::Skip) {
            let [max, avg] = &mut scratch.pooled;
            let rows = 0..self.layout().plan.output_size()[0];
            let to = [&mut max[..area], &mut avg[..area]];
            pools(s, x, (size, self.stride(state)), rows, &mut scratch.pool, to);
        }
        for node in 0..NODES {
            let paths = || self.layout().weightless(state).filter(|(_, path)| path.node == node);
            let values = |path: &Path| match path.op {
                Op::MaxPool3 => &scratch.pooled[0][..area],
                Op::AvgPool3 => &scratch.pooled[1][..area],
                _ => x,
            };
            let term = |(_, path)| Term { y: values(path), centre: &[0.0; MAX_LANES], a: [1.0; MAX_LANES] };
            let terms: Vec<Term<'_>> = paths().map(term).collect();
            if terms.is_empty() {
                continue;
            }
            let g = &image.nodes[node * self.layout().plane() + block * area..][..area];
            for ((index, _), along) in paths().zip(dots(s, g, &terms)) {
                store_sums(s, &mut image.sums[self.places.dot(index)], block, along);
            }
        }
    }

    /// Adds to the gradient of one block of the state what comes back through pools and identities.
    fn weightless_grads(
        &self,
        (state, block, x): (usize, usize, &[f32]),
        scratch: &mut Scratch,
        image: &mut Image<'_>,
    ) {
        let (s, size, stride) = (self.forward.s, self.layout().plan.state_size(state), self.stride(state));
        let (area, len) = (self.layout().area(), self.layout().plane());
        let (mine, later) = grads_of(image.nodes, &mut image.inputs, state, len);
        let to = &mut mine[block * x.len()..][..x.len()];
        let first = state.saturating_sub(1);
        let terms = |op: Op| -> Vec<Term<'_>> {
            let paths = self.layout().weightless(state).filter(|(_, path)| path.op == op);
            let term = |(index, path): (usize, &Path)| {
                let k = self.forward.input.weighting().at(index, path.edge, image.index);
                let y = &later[(path.node - first) * len + block * area..][..area];
                Term { y, centre: &[0.0; MAX_LANES], a: [k; MAX_LANES] }
            };
            paths.map(term).collect()
        };
        let [max, avg, skip] = [Op::MaxPool3, Op::AvgPool3, Op::Skip].map(terms);
        // The pooled values are spent: their buffers take the gradients of the pools.
        let [max_grad, avg_grad] = scratch.pooled.each_mut().map(|pooled| &mut pooled[..area]);
        if !max.is_empty() {
            weighted_sum(s, &[0.0; MAX_LANES], &max, max_grad);
            max_pool_back(s, x, size, stride, max_grad, &mut scratch.pool, to);
        }
        if !avg.is_empty() {
            weighted_sum(s, &[0.0; MAX_LANES], &avg, avg_grad);
            let plane = self.layout().grad_plane();
            avg_shares(s, avg_grad, size, stride, plane, &mut scratch.planes);
            self.avg_taps[stride - 1].apply(s, (&scratch.planes, plane), &ONES, size, true, to);
        }
        add_weighted(s, &skip, to);
    }
}

/// The gradient of a state in its image's buffers, and those of all nodes behind it.
fn grads_of<'a>(
    nodes: &'a mut [f32],
    inputs: &'a mut [&mut [f32]; 2],
    state: usize,
    len: usize,
) -> (&'a mut [f32], &'a [f32]) {
    match state {
        0 | 1 => (inputs[state], nodes),
        _ => {
            let (mine, later) = nodes.split_at_mut((state - 1) * len);
            (&mut mine[(state - 2) * len..], later)
        }
    }
}

fn store_sums<S: Simd>(_: S, to: &mut [f64], block: usize, part: Lanes) {
    to[block * S::LANES..][..S::LANES].iter_mut().zip(part).for_each(|(to, part)| *to = f64::from(part));
}

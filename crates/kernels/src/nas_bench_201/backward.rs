//! The way back: nodes from last to first. When a node's gradient is complete, its batch sums are taken and its skip
//! connections and pools sent on; when the sums have become norms' coefficients, the convolutions that leave the node
//! before it complete that one's gradient.

use super::cell::{CellInput, CellSaved, Forward, INNER, check_input};
use super::layout::{Bundle, Fan, Layout, Scratch};
use super::plan::{CellPlan, NODES, Op, Path};
use crate::arguments::GradLengths;
use crate::blocked::{LANES, MAX_LANES};
use crate::crew::{Crew, with_crew};
use crate::dense::{PAIR, Product, Walk, WeightGrad};
use crate::error::{KernelError, check};
use crate::groups::GroupSums;
use crate::norm::{NormGrads, Norms};
use crate::pixelwise::{
    Base, Lanes, Line, PairedNormGrad, Scale, Term, dots, lanes, weighted_sum, where_positive,
};
use crate::pool::BoxSum;
use crate::scratch::ScratchPool;
use crate::simd::{Job, Simd};
use crate::winograd::{Outputs, Planes};
use crate::workspace::Workspace;

/// Where a cell's gradients go. Every slice is overwritten.
#[derive(Debug)]
pub struct CellGrads<'a> {
    /// Of the input, `[n, c/8, h, w, 8]`.
    pub x: &'a mut [f32],
    /// Of the flat convolution weights; `None` if nobody asks.
    pub weights: Option<&'a mut [f32]>,
    /// Of gains and biases, `[norms, c]` each; present exactly if the plan is affine.
    pub affine: Option<[&'a mut [f32]; 2]>,
    /// Of the mixing weights, one a path; `None` if nobody asks.
    pub mix: Option<&'a mut [f32]>,
}

fn check_grads(plan: &CellPlan, input: &CellInput<'_>, grads: &CellGrads<'_>) -> Result<(), KernelError> {
    check("gradient of the input", input.x.len(), grads.x.len())?;
    plan.lengths().check_grads(GradLengths {
        weights: grads.weights.as_ref().map(|weights| weights.len()),
        mix: grads.mix.as_ref().map(|mix| mix.len()),
        affine: grads.affine.as_ref().map(|pair| pair.each_ref().map(|grads| grads.len())),
    })
}

impl CellPlan {
    /// Gradients of [`CellPlan::forward`], whose arguments and saved values are given back.
    ///
    /// # Shapes
    /// `grad_output`: `[n, c/8, h, w, 8]`; its padding channels must be zero.
    ///
    /// # Errors
    /// [`KernelError::Length`] or [`KernelError::Argument`] for arguments against the plan or the saved batch.
    pub fn backward(
        &self,
        workspace: &Workspace,
        input: &CellInput<'_>,
        saved: CellSaved,
        grad_output: &[f32],
        grads: CellGrads<'_>,
    ) -> Result<(), KernelError> {
        check_input(self, input)?;
        check("gradient of the cell's output", self.state_len(input.n), grad_output.len())?;
        check_grads(self, input, &grads)?;
        check("saved batch", input.n, saved.n)?;
        let layout = Layout::new(self);
        check("saved values", input.n * layout.raw_image(), saved.raw.len())?;
        check("saved nodes", input.n * INNER * layout.plane(), saved.inner.len())?;
        workspace.level().dispatch(Backward { layout: &layout, workspace, input, saved, grad_output, grads });
        Ok(())
    }
}

struct Backward<'a> {
    layout: &'a Layout<'a>,
    workspace: &'a Workspace,
    input: &'a CellInput<'a>,
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
    fn dot(self, path: usize) -> std::ops::Range<usize> {
        path * self.padded..(path + 1) * self.padded
    }

    /// Sum of a node's gradient.
    fn node(self, node: usize) -> std::ops::Range<usize> {
        self.dot(self.paths + node)
    }

    fn len(self) -> usize {
        (self.paths + NODES) * self.padded
    }
}

impl Job for Backward<'_> {
    type Out = ();

    fn run<S: Simd>(self, s: S) {
        let Self { layout, workspace, input, saved, grad_output, grads } = self;
        let n = input.n;
        let mut packed = workspace.take(layout.packed_back_len);
        layout.pack_back(input.weights, &mut packed);
        let pool = ScratchPool::new(|| Scratch::new(layout, workspace, true));
        let mut inner = workspace.take(n * INNER * layout.plane());
        let weights_wanted = grads.weights.is_some();
        let grads_len = if weights_wanted { layout.packed_len } else { 0 };
        // Never empty, so that every group has a chunk.
        let mut weights = GroupSums::new(workspace, n, grads_len.max(1));
        let places = Sums { paths: layout.plan.paths().len(), padded: layout.channels.padded() };
        // Zeros, because nobody writes the sums of `none`, which are read with the others.
        let mut sums = vec![0f64; n * places.len()];
        let mut norm_grads = NormGrads::new(layout.plan.norms() * layout.channels.padded());
        let mut mix = vec![0f64; places.paths];
        with_crew(weights.groups, |crew| {
            for node in (0..NODES).rev() {
                let forward = Forward { s, layout, input, packed: &packed, norms: &saved.norms };
                let reverse = Reverse {
                    forward,
                    saved: &saved,
                    grad_output,
                    grads: &norm_grads,
                    weights_wanted,
                    places,
                };
                let planes = [&mut inner[..], &mut *grads.x];
                run_pass(&reverse, crew, &pool, node, planes, &mut weights, &mut sums);
                let barrier = Barrier { layout, input, norms: &saved.norms, places, sums: &sums };
                barrier.after(node, &mut norm_grads, &mut mix);
            }
        });
        if let Some(to) = grads.mix {
            to.iter_mut().zip(&mix).for_each(|(to, &value)| *to = value as f32);
        }
        if let Some([gain, bias]) = grads.affine {
            saved.norms.unpad(&norm_grads.gain, gain);
            saved.norms.unpad(&norm_grads.bias, bias);
        }
        if let Some(to) = grads.weights {
            layout.unpack_grads(weights.total(), to);
        }
    }
}

/// What is computed from batch sums between passes.
struct Barrier<'a> {
    layout: &'a Layout<'a>,
    input: &'a CellInput<'a>,
    norms: &'a Norms,
    places: Sums,
    sums: &'a [f64],
}

impl Barrier<'_> {
    /// Coefficients of the norms that enter `node`, and its paths' mixing gradients.
    fn after(&self, node: usize, grads: &mut NormGrads, mix: &mut [f64]) {
        for (index, path) in self.layout.entering(node) {
            let dots = self.total(self.places.dot(index), path);
            let Some((_, norm)) = path.conv else {
                mix[index] = dots.iter().sum();
                continue;
            };
            let sums = self.total(self.places.node(node), path);
            mix[index] = self.norms.output_dot(norm, &dots, &sums);
            let k = self.input.mix.map_or(1.0, |mix| f64::from(mix[index]));
            let [dots, sums] = [dots, sums].map(|of| of.into_iter().map(|v| v * k).collect::<Vec<f64>>());
            self.norms.back(norm, &dots, &sums, grads);
        }
    }

    /// Sum over images, in order, each times the path's drop multiplier.
    fn total(&self, at: std::ops::Range<usize>, path: &Path) -> Vec<f64> {
        let mut total = vec![0f64; at.len()];
        for (image, sums) in self.sums.chunks_exact(self.places.len()).enumerate() {
            let k = self.input.drop.map_or(1.0, |drop| f64::from(drop[path.edge * self.input.n + image]));
            total.iter_mut().zip(&sums[at.clone()]).for_each(|(total, &part)| *total += k * part);
        }
        total
    }
}

/// One image's parts of the batch buffers.
struct Image<'a> {
    index: usize,
    /// Gradients of the inner nodes.
    inner: &'a mut [f32],
    x: &'a mut [f32],
    sums: &'a mut [f64],
    /// The group's packed weight gradients, if they are wanted.
    weights: &'a mut [f32],
}

struct Reverse<'a, S> {
    forward: Forward<'a, S>,
    saved: &'a CellSaved,
    grad_output: &'a [f32],
    grads: &'a NormGrads,
    /// Whether somebody asks for the weights' gradients.
    weights_wanted: bool,
    places: Sums,
}

fn run_pass<S: Simd>(
    reverse: &Reverse<'_, S>,
    crew: &mut Crew<'_>,
    pool: &ScratchPool<'_, Scratch>,
    node: usize,
    [inner, x]: [&mut [f32]; 2],
    weights: &mut GroupSums,
    sums: &mut [f64],
) {
    let n = reverse.forward.input.n;
    let (group, group_weights) = (weights.images, weights.len);
    let [inner_image, plane] = [inner.len() / n, x.len() / n];
    let image_sums = (sums.len() / n).max(1);
    let groups = inner
        .chunks_mut(group * inner_image)
        .zip(x.chunks_mut(group * plane))
        .zip(sums.chunks_mut(group * image_sums))
        .zip(weights.sums.chunks_mut(group_weights));
    crew.each(groups, |g, (((inner, x), sums), weights)| {
        let images = inner
            .chunks_exact_mut(inner_image)
            .zip(x.chunks_exact_mut(plane))
            .zip(sums.chunks_exact_mut(image_sums));
        if node == NODES - 1 {
            weights.fill(0.0);
        }
        pool.with(|scratch| {
            for (i, ((inner, x), sums)) in images.enumerate() {
                let mut image = Image { index: g * group + i, inner, x, sums, weights: &mut *weights };
                reverse.convolutions(node, scratch, &mut image);
                reverse.node(node, scratch, &mut image);
            }
        });
    });
}

impl<S: Simd> Reverse<'_, S> {
    fn layout(&self) -> &Layout<'_> {
        self.forward.layout
    }

    fn state(&self, state: usize, image: usize) -> &[f32] {
        let inner = INNER * self.layout().plane();
        self.forward.state(state, image, &self.saved.inner[image * inner..][..inner])
    }

    fn raw(&self, norm: usize, image: usize) -> &[f32] {
        let (len, plane) = (self.layout().raw_image(), self.layout().plane());
        &self.saved.raw[image * len + norm * plane..][..plane]
    }

    /// The planes of a node's gradient.
    fn grad<'x>(&'x self, node: usize, image: usize, inner: &'x [f32]) -> &'x [f32] {
        let plane = self.layout().plane();
        match node {
            3 => &self.grad_output[image * plane..][..plane],
            _ => &inner[(node - 1) * plane..][..plane],
        }
    }

    /// All convolutions that leave `state`: their weights' gradients if they are wanted, and their part of the state's.
    fn convolutions(&self, state: usize, scratch: &mut Scratch, image: &mut Image<'_>) {
        let Some(fan) = self.layout().fans.get(state).filter(|fan| !fan.bundles.is_empty()) else { return };
        let (s, layout) = (self.forward.s, self.layout());
        let x = self.state(state, image.index);
        if self.weights_wanted {
            self.forward.activate(x, scratch);
        }
        for bundle in &fan.bundles {
            self.raw_grads(bundle, image.index, image.inner, &mut scratch.grads);
        }
        self.direct(fan, scratch, image.weights);
        self.tiled(fan, scratch, image.weights);
        let to = match state {
            0 => &mut *image.x,
            _ => &mut image.inner[(state - 1) * layout.plane()..][..layout.plane()],
        };
        where_positive(s, x, &scratch.relu_grad, Base::Own, to);
    }

    /// Convolutions computed read by read: adds to the weights' gradients if they are wanted, writes that of the activated planes.
    fn direct(&self, fan: &Fan, scratch: &mut Scratch, weight_grads: &mut [f32]) {
        let (s, layout) = (self.forward.s, self.layout());
        let ([h, w], plane) = (layout.plan.size(), layout.padded());
        let bundles = if self.weights_wanted { &fan.bundles[..] } else { &[] };
        for bundle in bundles.iter().filter(|bundle| layout.tiling(bundle).is_none()) {
            let first = 2 * (bundle.first_pair * plane.len() + plane.origin());
            let (x, reads, pairs) = (&scratch.padded[..], &bundle.reads, bundle.pairs);
            let (g, g_pair) = (&scratch.grads[first..], 2 * plane.len());
            let walk = Walk { x_pixel: LANES, x_row: plane.row(), y_row: 2 * plane.row(), rows: h, n: w };
            let to = &mut weight_grads[bundle.at..][..reads.weights_len(pairs)];
            WeightGrad { x, reads, g, g_pair, pairs, walk }.add_to(s, to);
        }
        let places = layout.places();
        let weights = fan.back.weights_len(places.len().div_ceil(2));
        let product = Product {
            x: &scratch.grads,
            reads: &fan.back,
            w: &self.forward.packed[fan.back_at + fan.tiled_len..][..weights],
            w_row: 0,
            places: &places,
            y_pixel: LANES,
            walk: Walk { x_pixel: PAIR, x_row: 2 * plane.row(), y_row: w * LANES, rows: h, n: w },
        };
        product.store(s, &mut scratch.relu_grad);
    }

    /// Convolutions computed by tiles: adds to the weights' gradients if they are wanted, and to that of the activated planes.
    fn tiled(&self, fan: &Fan, scratch: &mut Scratch, weight_grads: &mut [f32]) {
        let (s, layout) = (self.forward.s, self.layout());
        let Scratch { padded, grads, relu_grad, strip: Some(strip), .. } = scratch else { return };
        let (sources, places) = (layout.padded_blocks(), layout.places());
        let plane = layout.padded();
        for bundle in &fan.bundles {
            let Some(tiling) = layout.tiling(bundle) else { continue };
            let raw_blocks: Vec<usize> = (0..bundle.paths.len() * layout.blocks())
                .map(|block| plane.paired(2 * bundle.first_pair + block))
                .collect();
            let grad = Planes { data: grads, blocks: &raw_blocks, steps: [PAIR, 2 * plane.row()] };
            let w = &self.forward.packed[fan.back_at..][..fan.tiled_len];
            let mut to = Outputs { data: relu_grad, blocks: &places, add: !fan.back.offsets.is_empty() };
            if self.weights_wanted {
                let to = &mut weight_grads[bundle.at..][..layout.packed_bundle_len(bundle)];
                tiling.weight_grads(s, layout.planes(padded, &sources), grad, strip, to);
            }
            tiling.convolve(s, grad, w, strip, &mut to);
        }
    }

    /// The gradients of a bundle's raw outputs, in planes of pairs.
    fn raw_grads(&self, bundle: &Bundle, image: usize, inner: &[f32], to: &mut [f32]) {
        let (layout, plane) = (self.layout(), self.layout().padded());
        let (area, blocks) = (layout.area(), layout.blocks());
        for (p, &(index, _, norm)) in bundle.paths.iter().enumerate() {
            let path = &layout.plan.paths()[index];
            let by = self.forward.input.weighting().at(index, path.edge, image);
            let k: Vec<f32> = self.grads.k[self.forward.norms.range(norm)].iter().map(|k| k * by).collect();
            let (g, y) = (self.grad(path.node, image, inner), self.raw(norm, image));
            for block in 0..blocks {
                let at = plane.paired(2 * bundle.first_pair + p * blocks + block);
                PairedNormGrad {
                    g: &g[block * area..][..area],
                    y: &y[block * area..][..area],
                    k: lanes(&k, LANES, block),
                    line: self.forward.norms.back_line(self.grads, norm, block),
                    w: plane.w,
                    to: &mut to[at + 2 * plane.origin()..],
                    to_row: 2 * plane.row(),
                }
                .apply(self.forward.s);
            }
        }
    }

    /// A node whose gradient is complete: its batch sums, and what goes back through skip connections and pools.
    fn node(&self, node: usize, scratch: &mut Scratch, image: &mut Image<'_>) {
        if node == 0 {
            return;
        }
        let plane = self.layout().plane();
        let (earlier, rest) = image.inner.split_at_mut((node - 1).min(INNER) * plane);
        let g = if node == NODES - 1 { self.grad(node, image.index, &[]) } else { &rest[..plane] };
        for (block, g) in g.chunks_exact(self.layout().area()).enumerate() {
            let pools = self.pool_back(node, g, scratch);
            let pooled = pools.then_some(&scratch.pooled[..]);
            self.batch_sums(node, block, (g, pooled), image.index, image.sums);
            for source in 0..node {
                let to = match source {
                    0 => &mut *image.x,
                    _ => &mut earlier[(source - 1) * plane..][..plane],
                };
                let to = &mut to[block * self.layout().area()..][..self.layout().area()];
                self.send_on((source, node), (g, pooled), image.index, to);
            }
        }
    }

    /// The gradient before pooling, in scratch, if a pool enters the node.
    fn pool_back(&self, node: usize, g: &[f32], scratch: &mut Scratch) -> bool {
        let pools = self.layout().entering(node).any(|(_, path)| path.op == Op::AvgPool3);
        if pools {
            BoxSum {
                x: g,
                size: self.layout().plan.size(),
                transpose: true,
                accumulate: false,
                scratch: &mut scratch.pool,
                to: &mut scratch.pooled,
            }
            .apply(self.forward.s);
        }
        pools
    }

    /// Sums of a node's gradient, plain and against the outputs of the paths that enter it.
    fn batch_sums(
        &self,
        node: usize,
        block: usize,
        (g, pooled): (&[f32], Option<&[f32]>),
        image: usize,
        to: &mut [f64],
    ) {
        let area = self.layout().area();
        let (mut direct, mut pools) = (vec![], vec![]);
        for (index, path) in self.layout().entering(node) {
            let (y, centre) = match path.conv {
                Some((_, norm)) => (self.raw(norm, image), self.forward.norms.line(norm, block).centre),
                None => (self.state(path.source, image), &[0.0; MAX_LANES][..]),
            };
            let term = Term { y: &y[block * area..][..area], centre, a: [1.0; MAX_LANES] };
            match path.op {
                Op::None => {}
                Op::AvgPool3 => pools.push((index, term)),
                _ => direct.push((index, term)),
            }
        }
        let mut against = |g: &[f32], of: &[(usize, Term<'_>)]| {
            let terms: Vec<Term<'_>> = of.iter().map(|(_, term)| *term).collect();
            let sums = dots(self.forward.s, g, &terms);
            for ((index, _), &along) in of.iter().zip(&sums) {
                store_sums(&mut to[self.places.dot(*index)], block, along);
            }
            sums[terms.len()]
        };
        if let Some(pooled) = pooled {
            against(pooled, &pools);
        }
        let sum = against(g, &direct);
        store_sums(&mut to[self.places.node(node)], block, sum);
    }

    /// What skip connections and pools from `source` to `node` give the source's gradient. The last node comes first
    /// and writes.
    fn send_on(
        &self,
        (source, node): (usize, usize),
        (g, pooled): (&[f32], Option<&[f32]>),
        image: usize,
        to: &mut [f32],
    ) {
        let mut terms = vec![];
        for (index, path) in self.layout().entering(node).filter(|(_, path)| path.source == source) {
            let y = match path.op {
                Op::Skip => Some(g),
                Op::AvgPool3 => pooled,
                _ => None,
            };
            let k = self.forward.input.weighting().at(index, path.edge, image);
            terms.extend(y.map(|y| Term { y, centre: &[0.0; MAX_LANES], a: [k; MAX_LANES] }));
        }
        if node == NODES - 1 {
            return weighted_sum(self.forward.s, &[0.0; MAX_LANES], &terms, to);
        }
        for Term { y, a, .. } in &terms {
            let line = Line { a, ..Line::IDENTITY };
            Scale { x: y, line, accumulate: true, to: &mut *to }.apply(self.forward.s);
        }
    }
}

fn store_sums(to: &mut [f64], block: usize, part: Lanes) {
    to[block * LANES..][..LANES].iter_mut().zip(part).for_each(|(to, part)| *to = f64::from(part));
}

//! The way there. A pass over the batch ends where norms need its statistics: a node and the convolutions that leave
//! it are one pass, image by image.

use rayon::prelude::*;

use super::layout::{Bundle, Layout, Scratch};
use super::plan::{CellPlan, NODES, Op};
use crate::arguments::Weighting;
use crate::block::channel_moments;
use crate::blocked::{LANES, MAX_LANES, blocked_len};
use crate::cell::activate;
use crate::crew::{Crew, with_crew};
use crate::dense::{Product, Walk};
use crate::error::{KernelError, check, refuse_small};
use crate::groups::{group_count, group_size};
use crate::norm::{Affine, BatchStats, Norms, RunningStats};
use crate::pixelwise::{Term, weighted_sum};
use crate::pool::BoxSum;
use crate::scratch::ScratchPool;
use crate::simd::{Job, Simd};
use crate::winograd::Outputs;
use crate::workspace::{Buffer, Workspace};

/// Arguments of a cell.
#[derive(Debug, Clone, Copy)]
pub struct CellInput<'a> {
    /// Images.
    pub n: usize,
    /// Node 0, `[n, c/8, h, w, 8]`.
    pub x: &'a [f32],
    /// Flat convolution weights, laid out as [`CellPlan::paths`] says.
    pub weights: &'a [f32],
    /// Gains and biases `[norms, c]`; present exactly if the plan is affine.
    pub affine: Option<Affine<'a>>,
    /// Mixing weight of each path; `None` sums paths plainly.
    pub mix: Option<&'a [f32]>,
    /// Drop-path multipliers `[edges, n]`, already divided by the keep probability.
    pub drop: Option<&'a [f32]>,
}

impl<'a> CellInput<'a> {
    pub(super) fn weighting(&self) -> Weighting<'a> {
        Weighting { n: self.n, mix: self.mix, drop: self.drop }
    }
}

/// What the forward pass keeps for the way back: raw convolution outputs with their statistics, and the inner nodes.
#[derive(Debug)]
pub struct CellSaved {
    pub(super) raw: Buffer,
    pub(super) inner: Buffer,
    pub(super) norms: Norms,
    pub(super) n: usize,
}

impl CellSaved {
    /// Bytes kept (besides the caller's input).
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.raw.bytes() + self.inner.bytes()
    }

    /// Batch statistics of every norm, for the running statistics.
    #[must_use]
    pub fn stats(&self) -> BatchStats {
        self.norms.stats()
    }
}

/// Nodes that are neither input nor output.
pub(super) const INNER: usize = NODES - 2;

pub(super) fn check_input(plan: &CellPlan, input: &CellInput<'_>) -> Result<(), KernelError> {
    refuse_small(&[("batch", input.n, 1)])?;
    check("input", plan.state_len(input.n), input.x.len())?;
    plan.lengths().check_input(input.weights, input.weighting())
}

impl CellPlan {
    /// Length of any node for `n` images, `[n, c/8, h, w, 8]`.
    #[must_use]
    pub fn state_len(&self, n: usize) -> usize {
        blocked_len(n, crate::Channels::new(self.channels()), self.size())
    }

    /// Runs the cell in training mode: batch norms use the batch's statistics.
    ///
    /// Work is split over the current rayon pool; the result does not depend on its size.
    ///
    /// # Shapes
    /// See [`CellInput`]; `output` is `[n, c/8, h, w, 8]`.
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
        check("cell output", self.state_len(input.n), output.len())?;
        let [height, width] = self.size();
        let count = input.n * height * width;
        if count == 1 && self.norms() > 0 {
            return Err(KernelError::OneValue { batch: input.n, height, width });
        }
        let layout = Layout::new(self);
        let norms = Norms::new(self.norms(), layout.channels, self.affine(), input.affine, count)?;
        let raw = workspace.take(input.n * layout.raw_image());
        let inner = workspace.take(input.n * INNER * layout.plane());
        let saved = CellSaved { raw, inner, norms, n: input.n };
        Ok(workspace.level().dispatch(Training { layout: &layout, workspace, input, output, saved }))
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
        check("cell output", self.state_len(input.n), output.len())?;
        let layout = Layout::new(self);
        let mut norms = Norms::new(self.norms(), layout.channels, self.affine(), input.affine, 0)?;
        norms.set_running(running)?;
        workspace.level().dispatch(Inference { layout: &layout, workspace, input, output, norms: &norms });
        Ok(())
    }
}

/// One image's parts of the batch buffers.
struct Image<'a> {
    index: usize,
    raw: &'a mut [f32],
    inner: &'a mut [f32],
    output: &'a mut [f32],
    /// `[norms, 2, padded channels]`; `None` in inference.
    stats: Option<&'a mut [f64]>,
}

/// What every forward pass over one image reads.
pub(super) struct Forward<'a, S> {
    pub s: S,
    pub layout: &'a Layout<'a>,
    pub input: &'a CellInput<'a>,
    pub packed: &'a [f32],
    pub norms: &'a Norms,
}

impl<S: Simd> Forward<'_, S> {
    /// The planes of a node but the last.
    pub fn state<'x>(&'x self, state: usize, image: usize, inner: &'x [f32]) -> &'x [f32] {
        let plane = self.layout.plane();
        match state {
            0 => &self.input.x[image * plane..][..plane],
            _ => &inner[(state - 1) * plane..][..plane],
        }
    }

    /// A node's planes after the ReLU, in scratch.
    pub fn activate(&self, x: &[f32], scratch: &mut Scratch) {
        activate(self.s, x, None, 0.0, self.layout.padded(), &mut scratch.padded);
    }

    fn pass(&self, node: usize, scratch: &mut Scratch, image: &mut Image<'_>) {
        if node > 0 {
            self.node(node, scratch, image);
        }
        if node == NODES - 1 || self.layout.fans[node].bundles.is_empty() {
            return;
        }
        self.activate(self.state(node, image.index, image.inner), scratch);
        for bundle in &self.layout.fans[node].bundles {
            self.convolutions(bundle, scratch, image);
        }
    }

    fn convolutions(&self, bundle: &Bundle, scratch: &mut Scratch, image: &mut Image<'_>) {
        let (area, plane) = (self.layout.area(), self.layout.plane());
        let places: Vec<usize> = (bundle.paths.iter())
            .flat_map(|&(_, _, norm)| (0..self.layout.blocks()).map(move |block| norm * plane + block * area))
            .collect();
        let w = &self.packed[bundle.at..][..self.layout.packed_bundle_len(bundle)];
        match (self.layout.tiling(bundle), &mut scratch.strip) {
            (Some(tiling), Some(strip)) => {
                let sources = self.layout.padded_blocks();
                let x = self.layout.planes(&scratch.padded, &sources);
                let mut y = Outputs { data: &mut *image.raw, blocks: &places, add: false };
                tiling.convolve(self.s, x, w, strip, &mut y);
            }
            _ => {
                let [h, n] = self.layout.plan.size();
                let x_row = self.layout.padded().row();
                let walk = Walk { x_pixel: LANES, x_row, y_row: n * LANES, rows: h, n };
                let (x, reads, places) = (&scratch.padded[..], &bundle.reads, &places[..]);
                Product { x, reads, w, w_row: 0, places, y_pixel: LANES, walk }.store(self.s, image.raw);
            }
        }
        let Some(stats) = &mut image.stats else { return };
        let per_norm = 2 * self.layout.channels.padded();
        for &(_, _, norm) in &bundle.paths {
            let raw = &image.raw[norm * plane..][..plane];
            channel_moments(self.s, raw, area / LANES, &mut stats[norm * per_norm..][..per_norm]);
        }
    }

    /// A node: the weighted sum over the paths that enter it.
    fn node(&self, node: usize, scratch: &mut Scratch, image: &mut Image<'_>) {
        let plane = self.layout.plane();
        let (earlier, to) = if node == NODES - 1 {
            (&*image.inner, &mut *image.output)
        } else {
            let (earlier, rest) = image.inner.split_at_mut((node - 1) * plane);
            (&*earlier, &mut rest[..plane])
        };
        for (block, to) in to.chunks_exact_mut(self.layout.area()).enumerate() {
            self.node_block(node, block, scratch, (image.index, image.raw, earlier), to);
        }
    }

    fn node_block(
        &self,
        node: usize,
        block: usize,
        scratch: &mut Scratch,
        (image, raw, earlier): (usize, &[f32], &[f32]),
        to: &mut [f32],
    ) {
        let (area, plane) = (self.layout.area(), self.layout.plane());
        let mut bias = [0f64; MAX_LANES];
        let (mut terms, mut pooled) = (vec![], vec![]);
        for (index, path) in self.layout.entering(node) {
            let k = self.input.weighting().at(index, path.edge, image);
            if let Some((_, norm)) = path.conv {
                let line = self.norms.line(norm, block);
                bias.iter_mut().zip(line.b).for_each(|(bias, &b)| *bias += f64::from(k) * f64::from(b));
                let y = &raw[norm * plane + block * area..][..area];
                terms.push(Term { y, centre: line.centre, a: line.slope(k) });
                continue;
            }
            let y = &self.state(path.source, image, earlier)[block * area..][..area];
            let term = Term { y, centre: &[0.0; MAX_LANES], a: [k; MAX_LANES] };
            match path.op {
                Op::Skip => terms.push(term),
                Op::AvgPool3 => pooled.push(term),
                _ => {}
            }
        }
        weighted_sum(self.s, &bias.map(|bias| bias as f32), &terms, to);
        if !pooled.is_empty() {
            weighted_sum(self.s, &[0.0; MAX_LANES], &pooled, &mut scratch.pooled);
            let (x, size) = (&scratch.pooled[..], self.layout.plan.size());
            BoxSum { x, size, transpose: false, accumulate: true, scratch: &mut scratch.pool, to }
                .apply(self.s);
        }
    }
}

struct Inference<'a> {
    layout: &'a Layout<'a>,
    workspace: &'a Workspace,
    input: &'a CellInput<'a>,
    output: &'a mut [f32],
    norms: &'a Norms,
}

impl Job for Inference<'_> {
    type Out = ();

    fn run<S: Simd>(self, s: S) {
        let Self { layout, workspace, input, output, norms } = self;
        let mut packed = workspace.take(layout.packed_len);
        layout.pack(input.weights, &mut packed);
        let pool = ScratchPool::new(|| Scratch::new(layout, workspace, false));
        let forward = Forward { s, layout, input, packed: &packed, norms };
        let group = group_size(input.n);
        output.par_chunks_mut(group * layout.plane()).enumerate().for_each(|(g, output)| {
            let mut raw = workspace.take(layout.raw_image());
            let mut inner = workspace.take(INNER * layout.plane());
            pool.with(|scratch| {
                for (i, output) in output.chunks_exact_mut(layout.plane()).enumerate() {
                    let (raw, inner) = (&mut raw[..], &mut inner[..]);
                    let mut image = Image { index: g * group + i, raw, inner, output, stats: None };
                    (0..NODES).for_each(|node| forward.pass(node, scratch, &mut image));
                }
            });
        });
    }
}

struct Training<'a> {
    layout: &'a Layout<'a>,
    workspace: &'a Workspace,
    input: &'a CellInput<'a>,
    output: &'a mut [f32],
    saved: CellSaved,
}

impl Job for Training<'_> {
    type Out = CellSaved;

    fn run<S: Simd>(self, s: S) -> CellSaved {
        let Self { layout, workspace, input, output, mut saved } = self;
        let mut packed = workspace.take(layout.packed_len);
        layout.pack(input.weights, &mut packed);
        let pool = ScratchPool::new(|| Scratch::new(layout, workspace, false));
        let per_norm = 2 * layout.channels.padded();
        let per_image = (layout.plan.norms() * per_norm).max(1);
        let mut stats = vec![0f64; input.n * per_image];
        let [h, w] = layout.plan.size();
        with_crew(group_count(input.n), |crew| {
            for node in 0..NODES {
                let norms: Vec<usize> = match layout.fans.get(node) {
                    Some(fan) => fan.bundles.iter().flat_map(|b| b.paths.iter().map(|path| path.2)).collect(),
                    None => vec![],
                };
                if node == 0 && norms.is_empty() {
                    continue;
                }
                let forward = Forward { s, layout, input, packed: &packed, norms: &saved.norms };
                let planes = [&mut saved.raw[..], &mut saved.inner, &mut *output];
                run_pass(&forward, crew, &pool, node, planes, &mut stats);
                saved.norms.finish(crew, &norms, &stats, input.n, h * w);
            }
        });
        saved
    }
}

fn run_pass<S: Simd>(
    forward: &Forward<'_, S>,
    crew: &mut Crew<'_>,
    pool: &ScratchPool<'_, Scratch>,
    node: usize,
    [raw, inner, output]: [&mut [f32]; 3],
    stats: &mut [f64],
) {
    let n = forward.input.n;
    let group = group_size(n);
    let [raw_image, inner_image, plane] = [raw.len() / n, inner.len() / n, output.len() / n];
    let stats_image = stats.len() / n;
    let groups = raw
        .chunks_mut(group * raw_image)
        .zip(inner.chunks_mut(group * inner_image))
        .zip(output.chunks_mut(group * plane))
        .zip(stats.chunks_mut(group * stats_image));
    crew.each(groups, |g, (((raw, inner), output), stats)| {
        let images = raw
            .chunks_exact_mut(raw_image)
            .zip(inner.chunks_exact_mut(inner_image))
            .zip(output.chunks_exact_mut(plane))
            .zip(stats.chunks_exact_mut(stats_image));
        pool.with(|scratch| {
            for (i, (((raw, inner), output), stats)) in images.enumerate() {
                let stats = Some(stats);
                let mut image = Image { index: g * group + i, raw, inner, output, stats };
                forward.pass(node, scratch, &mut image);
            }
        });
    });
}

//! What a cell computes: its paths (an operation on an edge), and where each path's parameters lie.
//!
//! Facts 3.1 (operations, index order) and 3.2 (cell). Parameters of a cell are one flat slice, batch norms
//! one flat list, so that a whole cell is one operation with few arguments.

use crate::arguments::Lengths;
use crate::blocked::{Channels, Width};
use crate::error::{KernelError, refuse_small};

/// Nodes of a cell.
pub const NODES: usize = 4;
/// Edges of a search cell: every node sees both inputs and all earlier nodes.
pub const SEARCH_EDGES: usize = 14;
/// Epsilon of every batch norm.
pub const NORM_EPSILON: f64 = 1e-5;
/// Share of the new batch in the running statistics.
pub const NORM_MOMENTUM: f32 = 0.1;

/// A candidate operation of the DARTS space, in the published index order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Op {
    /// 3×3 max pooling, padding 1, no norm.
    MaxPool3,
    /// 3×3 average pooling, padding 1, padded cells not counted, no norm.
    AvgPool3,
    /// Identity at stride 1, FactorizedReduce at stride 2.
    Skip,
    /// Two blocks of ReLU, depthwise 3×3, pointwise, norm; the first carries the stride.
    SepConv3,
    /// The same with 5×5.
    SepConv5,
    /// ReLU, depthwise 3×3 with dilation 2, pointwise, norm.
    DilConv3,
    /// The same with 5×5.
    DilConv5,
    /// Zero.
    None,
}

impl Op {
    /// All operations in index order.
    pub const ALL: [Self; 8] = [
        Self::MaxPool3,
        Self::AvgPool3,
        Self::Skip,
        Self::SepConv3,
        Self::SepConv5,
        Self::DilConv3,
        Self::DilConv5,
        Self::None,
    ];

    /// Kernel width, dilation and number of blocks of the convolutions; `None` for the rest.
    #[must_use]
    pub const fn conv(self) -> Option<(usize, usize, usize)> {
        match self {
            Self::SepConv3 => Some((3, 1, 2)),
            Self::SepConv5 => Some((5, 1, 2)),
            Self::DilConv3 => Some((3, 2, 1)),
            Self::DilConv5 => Some((5, 2, 1)),
            _ => None,
        }
    }
}

/// One edge of a discrete cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// Node it ends at, from 0.
    pub node: usize,
    /// State it starts from: 0 and 1 are the cell's inputs, 2 + i is node i.
    pub source: usize,
    /// Its operation.
    pub op: Op,
}

/// An operation on an edge, with the place of its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Path {
    /// Index of the edge: into the drop-path multipliers.
    pub edge: usize,
    /// Node it ends at.
    pub node: usize,
    /// State it starts from.
    pub source: usize,
    /// Its operation.
    pub op: Op,
    /// 2 for edges from the inputs of a reduction cell, else 1.
    pub stride: usize,
    /// Its convolution weights in the order they are applied.
    pub weights: Vec<Weight>,
    /// Index of its first batch norm; it has [`Path::norms`] of them.
    pub norm: usize,
}

impl Path {
    /// Whether the operation is FactorizedReduce.
    #[must_use]
    pub fn reduces(&self) -> bool {
        self.op == Op::Skip && self.stride == 2
    }

    /// Batch norms of the path: 2 for separable convolutions, 1 for dilated ones and FactorizedReduce, else 0.
    #[must_use]
    pub fn norms(&self) -> usize {
        if self.reduces() { 1 } else { self.op.conv().map_or(0, |(_, _, blocks)| blocks) }
    }
}

/// A convolution weight inside a cell's flat weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight {
    /// First value.
    pub offset: usize,
    /// PyTorch's shape `[out, in / groups, k, k]`.
    pub shape: [usize; 4],
}

impl Weight {
    /// Number of values.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.shape[0] * self.shape[1] * self.shape[2] * self.shape[3]
    }

    /// Whether it holds nothing (the first half of a one-channel FactorizedReduce).
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A cell as the kernels run it: node i is the sum over its paths of `mix × drop × op(source)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellPlan {
    channels: usize,
    size: [usize; 2],
    reduction: bool,
    affine: bool,
    width: Width,
    paths: Vec<Path>,
    edges: usize,
    weights: usize,
    norms: usize,
}

impl CellPlan {
    /// A search cell: 14 edges (node by node, sources ascending) with all eight operations each, norms not
    /// affine. Path `8 * edge + op` has mixing weight `mix[edge][op]`.
    ///
    /// `size` is height and width of the inputs.
    ///
    /// # Errors
    /// [`KernelError::TooSmall`] for no channels or an empty image.
    pub fn search(channels: usize, size: [usize; 2], reduction: bool) -> Result<Self, KernelError> {
        let mut edges = Vec::with_capacity(SEARCH_EDGES * Op::ALL.len());
        for node in 0..NODES {
            for source in 0..node + 2 {
                edges.extend(Op::ALL.map(|op| Edge { node, source, op }));
            }
        }
        let mut plan = Self::with_edges(channels, size, reduction, &edges, false)?;
        for (index, path) in plan.paths.iter_mut().enumerate() {
            path.edge = index / Op::ALL.len();
        }
        plan.edges = SEARCH_EDGES;
        Ok(plan)
    }

    /// A discrete cell with exactly the given edges, in the given order; a node may have any number of them.
    /// Path i is edge i.
    ///
    /// # Errors
    /// [`KernelError::Node`] or [`KernelError::Source`] for an edge that does not fit the cell,
    /// [`KernelError::TooSmall`] for no channels or an empty image.
    pub fn with_edges(
        channels: usize,
        size: [usize; 2],
        reduction: bool,
        edges: &[Edge],
        affine: bool,
    ) -> Result<Self, KernelError> {
        refuse_small(&[
            ("channels", channels, 1),
            ("image height", size[0], 1),
            ("image width", size[1], 1),
        ])?;
        let paths = Vec::with_capacity(edges.len());
        let (width, edge_count) = (Width::default(), edges.len());
        let mut plan =
            Self { channels, size, reduction, affine, width, paths, edges: edge_count, weights: 0, norms: 0 };
        for (index, edge) in edges.iter().enumerate() {
            plan.push(index, edge)?;
        }
        Ok(plan)
    }

    fn push(&mut self, index: usize, edge: &Edge) -> Result<(), KernelError> {
        let &Edge { node, source, op } = edge;
        if node >= NODES {
            return Err(KernelError::Node { edge: index, limit: NODES, found: node });
        }
        if source >= node + 2 {
            return Err(KernelError::Source { edge: index, node, limit: node + 2, found: source });
        }
        let stride = if self.reduction && source < 2 { 2 } else { 1 };
        let mut path = Path { edge: index, node, source, op, stride, weights: vec![], norm: self.norms };
        for shape in weight_shapes(self.channels, &path) {
            let weight = Weight { offset: self.weights, shape };
            self.weights += weight.len();
            path.weights.push(weight);
        }
        self.norms += path.norms();
        self.paths.push(path);
        Ok(())
    }

    /// The same cell on activations in blocks of `width`; else they are in blocks of eight.
    #[must_use]
    pub fn in_blocks_of(self, width: Width) -> Self {
        Self { width, ..self }
    }

    /// Channels in a block of the activations.
    #[must_use]
    pub fn width(&self) -> Width {
        self.width
    }

    /// Channels of a state as it lies in memory.
    pub(crate) fn state_channels(&self) -> Channels {
        Channels::new(self.channels).in_blocks_of(self.width)
    }

    /// Channels of the output: those of four nodes.
    #[must_use]
    pub fn output_channels(&self) -> Channels {
        Channels::grouped(NODES, self.channels).in_blocks_of(self.width)
    }

    pub(crate) fn lengths(&self) -> Lengths {
        Lengths {
            weights: self.weights,
            paths: self.paths.len(),
            edges: self.edges,
            affine: self.affine.then_some(self.norms * self.channels),
        }
    }

    /// Channels of every state and node.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Height and width of the two inputs.
    #[must_use]
    pub fn input_size(&self) -> [usize; 2] {
        self.size
    }

    /// Height and width of the nodes: halved, rounded up, in a reduction cell.
    #[must_use]
    pub fn output_size(&self) -> [usize; 2] {
        if self.reduction { self.size.map(|side| side.div_ceil(2)) } else { self.size }
    }

    /// Height and width of a state.
    #[must_use]
    pub fn state_size(&self, state: usize) -> [usize; 2] {
        if state < 2 { self.input_size() } else { self.output_size() }
    }

    /// Whether edges from the inputs have stride 2.
    #[must_use]
    pub fn reduction(&self) -> bool {
        self.reduction
    }

    /// Whether the norms have a gain and a bias.
    #[must_use]
    pub fn affine(&self) -> bool {
        self.affine
    }

    /// All paths; mixing weights come in this order.
    #[must_use]
    pub fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// Number of edges: rows of the drop-path multipliers.
    #[must_use]
    pub fn edges(&self) -> usize {
        self.edges
    }

    /// Length of the flat convolution weights.
    #[must_use]
    pub fn weights_len(&self) -> usize {
        self.weights
    }

    /// Number of batch norms. Gains, biases and statistics are flat `[norms, channels]`.
    #[must_use]
    pub fn norms(&self) -> usize {
        self.norms
    }
}

fn weight_shapes(channels: usize, path: &Path) -> Vec<[usize; 4]> {
    if path.reduces() {
        let half = channels / 2;
        return vec![[half, channels, 1, 1], [channels - half, channels, 1, 1]];
    }
    let Some((kernel, _, blocks)) = path.op.conv() else { return vec![] };
    [[channels, 1, kernel, kernel], [channels, channels, 1, 1]].repeat(blocks)
}

//! What a cell computes: its paths (an operation on an edge), and where each path's parameters lie.

use crate::arguments::Lengths;
use crate::error::{KernelError, refuse_small};
use crate::plan::Weight;

/// Nodes of a cell, the input included.
pub const NODES: usize = 4;
/// Edges of a cell: every node sees all nodes before it.
pub const EDGES: usize = NODES * (NODES - 1) / 2;

/// An operation, in the published index order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Op {
    /// Zero.
    None,
    /// Identity.
    Skip,
    /// ReLU, 1×1 convolution, norm.
    Conv1,
    /// ReLU, 3×3 convolution with padding 1, norm.
    Conv3,
    /// 3×3 average pooling, padding 1, padded cells not counted, no norm.
    AvgPool3,
}

impl Op {
    /// All operations in index order.
    pub const ALL: [Self; 5] = [Self::None, Self::Skip, Self::Conv1, Self::Conv3, Self::AvgPool3];

    /// Side of the convolution's kernel; `None` for the rest.
    #[must_use]
    pub const fn kernel(self) -> Option<usize> {
        match self {
            Self::Conv1 => Some(1),
            Self::Conv3 => Some(3),
            _ => None,
        }
    }
}

/// An operation on an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// Node it ends at, from 1.
    pub node: usize,
    /// Node it starts from, below `node`.
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
    /// Node it ends at, from 1.
    pub node: usize,
    /// Node it starts from.
    pub source: usize,
    /// Its operation.
    pub op: Op,
    /// Its convolution's weight and the index of its norm.
    pub conv: Option<(Weight, usize)>,
}

/// A cell as the kernels run it: a node is the sum over its paths of `mix × drop × op(source)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellPlan {
    channels: usize,
    size: [usize; 2],
    affine: bool,
    paths: Vec<Path>,
    edges: usize,
    weights: usize,
    norms: usize,
}

impl CellPlan {
    /// A search cell: all five operations on every edge, norms not affine. Path `5 * edge + op` has mixing weight
    /// `mix[edge][op]`; edges are in the order 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2.
    ///
    /// # Errors
    /// [`KernelError::TooSmall`] for no channels or an empty image.
    pub fn search(channels: usize, size: [usize; 2]) -> Result<Self, KernelError> {
        let pairs = (1..NODES).flat_map(|node| (0..node).map(move |source| (node, source)));
        let edges: Vec<Edge> =
            pairs.flat_map(|(node, source)| Op::ALL.map(|op| Edge { node, source, op })).collect();
        let mut plan = Self::with_edges(channels, size, &edges, false)?;
        for (index, path) in plan.paths.iter_mut().enumerate() {
            path.edge = index / Op::ALL.len();
        }
        plan.edges = EDGES;
        Ok(plan)
    }

    /// A cell with exactly the given edges, in the given order; any two nodes may have several between them. Path i is
    /// edge i.
    ///
    /// # Errors
    /// [`KernelError::Node`] or [`KernelError::Source`] for an edge that does not fit the cell,
    /// [`KernelError::TooSmall`] for no channels or an empty image.
    pub fn with_edges(
        channels: usize,
        size: [usize; 2],
        edges: &[Edge],
        affine: bool,
    ) -> Result<Self, KernelError> {
        refuse_small(&[
            ("channels", channels, 1),
            ("image height", size[0], 1),
            ("image width", size[1], 1),
        ])?;
        let paths = Vec::with_capacity(edges.len());
        let mut plan = Self { channels, size, affine, paths, edges: edges.len(), weights: 0, norms: 0 };
        for (index, edge) in edges.iter().enumerate() {
            plan.push(index, edge)?;
        }
        Ok(plan)
    }

    fn push(&mut self, index: usize, edge: &Edge) -> Result<(), KernelError> {
        let &Edge { node, source, op } = edge;
        if !(1..NODES).contains(&node) {
            return Err(KernelError::Node { edge: index, limit: NODES, found: node });
        }
        if source >= node {
            return Err(KernelError::Source { edge: index, node, limit: node, found: source });
        }
        let conv = op.kernel().map(|kernel| {
            let shape = [self.channels, self.channels, kernel, kernel];
            let weight = Weight { offset: self.weights, shape };
            (weight, self.norms)
        });
        if let Some((weight, _)) = conv {
            self.weights += weight.len();
            self.norms += 1;
        }
        self.paths.push(Path { edge: index, node, source, op, conv });
        Ok(())
    }

    pub(crate) fn lengths(&self) -> Lengths {
        Lengths {
            weights: self.weights,
            paths: self.paths.len(),
            edges: self.edges,
            affine: self.affine.then_some(self.norms * self.channels),
        }
    }

    /// Channels of every node.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Height and width of every node.
    #[must_use]
    pub fn size(&self) -> [usize; 2] {
        self.size
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

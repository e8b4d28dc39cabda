//! What every kind of picture needs to know of a cell, whatever search space it belongs to.

use crate::{CellGenotype, CellKind, Genotype, Op, nas_bench_201};

/// The cells of a genotype, ready to be drawn.
///
/// The functions that draw take whatever turns into one: a reference to a genotype of either search space.
#[derive(Debug, Clone)]
pub struct Picture {
    pub(super) title: String,
    pub(super) cells: Vec<CellGraph>,
    /// How many cells stand side by side.
    pub(super) columns: usize,
    /// Those that a legend explains.
    pub(super) families: &'static [Family],
    /// What the lines into the output mean.
    pub(super) output: &'static str,
    /// What the inputs and the output are.
    pub(super) states: &'static str,
}

/// A cell as a graph. A state is an input or, behind the inputs, a node.
#[derive(Debug, Clone)]
pub(super) struct CellGraph {
    /// Unique in the picture, a word.
    pub id: String,
    /// In the middle of a text.
    pub name: String,
    pub title: String,
    /// Which cell's output each input is, as an index of c.
    pub inputs: &'static [&'static str],
    pub nodes: usize,
    /// Number of the first node.
    pub first_number: usize,
    pub edges: Vec<GraphEdge>,
    /// Nodes that the output is made of, and how.
    pub outputs: Vec<usize>,
    pub output: &'static str,
}

/// An edge into `node`, which counts from 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct GraphEdge {
    pub source: usize,
    pub node: usize,
    pub op: &'static str,
    /// The operation where room is short.
    pub label: &'static str,
    pub family: Family,
    /// Whether the cell beside this one lacks it.
    pub is_changed: bool,
}

impl CellGraph {
    /// The edges that can be drawn and are worth it.
    pub fn drawn_edges(&self) -> impl Iterator<Item = &GraphEdge> {
        self.edges.iter().filter(|edge| edge.source < self.state(edge.node) && edge.family != Family::None)
    }

    /// State of a node.
    pub fn state(&self, node: usize) -> usize {
        self.inputs.len() + node
    }

    /// The cell as one of two side by side.
    fn beside(&self, other: &Self, id: &str, name: &str) -> Self {
        let edge = |edge: &GraphEdge| GraphEdge { is_changed: !other.edges.contains(edge), ..*edge };
        Self {
            id: format!("{}_{id}", self.id),
            name: format!("{}, {name}", self.name),
            title: format!("{}, {name}", self.title),
            edges: self.edges.iter().map(edge).collect(),
            ..self.clone()
        }
    }

    /// The number that a node is called by.
    pub fn number(&self, node: usize) -> usize {
        self.first_number + node
    }

    pub(super) fn of_darts(cell: &CellGenotype, kind: CellKind) -> Self {
        let (id, name, title) = match kind {
            CellKind::Normal => ("normal", "normal cell", "Normal cell"),
            CellKind::Reduction => ("reduction", "reduction cell", "Reduction cell"),
        };
        let edge = |(node, edge): (usize, crate::Edge)| GraphEdge {
            source: edge.source,
            node,
            op: edge.op.name(),
            label: darts_label(edge.op),
            family: Family::of_darts(edge.op),
            is_changed: false,
        };
        let nodes = cell.nodes.len();
        let output = cell.concat.iter().filter_map(|state| state.checked_sub(2));
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            title: title.to_owned(),
            inputs: &["k-2", "k-1"],
            nodes,
            first_number: 0,
            edges: cell.edges().map(edge).collect(),
            outputs: output.filter(|&node| node < nodes).collect(),
            output: "concat nodes",
        }
    }

    fn of_nas_bench_201(genotype: &nas_bench_201::Genotype) -> Self {
        let edge = |(node, source, op): (usize, usize, nas_bench_201::Op)| GraphEdge {
            source,
            node: node - 1,
            op: op.name(),
            label: nas_bench_201_label(op),
            family: Family::of_nas_bench_201(op),
            is_changed: false,
        };
        let nodes = nas_bench_201::NODES - 1;
        Self {
            id: "cell".to_owned(),
            name: "cell".to_owned(),
            title: "NAS-Bench-201 cell".to_owned(),
            inputs: &["k-1"],
            nodes,
            first_number: 1,
            edges: genotype.edges().map(edge).collect(),
            outputs: vec![nodes - 1],
            output: "node",
        }
    }
}

/// What stands at the ends of a picture of a DARTS cell.
const DARTS_STATES: &str =
    "c(k−2), c(k−1): outputs of the two cells before; c(k): output of this one; 0 to 3: nodes";
const NAS_BENCH_201_STATES: &str =
    "c(k−1): output of the cell before; c(k): output of this one; 1 to 3: nodes";

impl Picture {
    fn of_darts(title: &str, cells: Vec<CellGraph>) -> Self {
        let families = &[Family::Separable, Family::Dilated, Family::Pooling, Family::Skip];
        let columns = cells.len();
        Self {
            title: title.to_owned(),
            cells,
            columns,
            families,
            output: "concatenation",
            states: DARTS_STATES,
        }
    }

    /// Each cell of two pictures of one search space side by side, under the names given; edges that only one of them
    /// has are marked.
    pub fn comparison([before, after]: [Self; 2], names: [&str; 2]) -> Self {
        let title = format!("{}: {} and {}", before.title, names[0], names[1]);
        let pairs = before.cells.iter().zip(&after.cells);
        let cells = pairs
            .flat_map(|(before, after)| {
                [before.beside(after, "before", names[0]), after.beside(before, "after", names[1])]
            })
            .collect();
        Self { title, cells, columns: 2, ..before }
    }

    /// Whether any edge is marked.
    pub(super) fn is_comparison(&self) -> bool {
        self.cells.iter().flat_map(|cell| &cell.edges).any(|edge| edge.is_changed)
    }

    pub(super) fn of_darts_cell(cell: &CellGenotype, kind: CellKind) -> Self {
        let graph = CellGraph::of_darts(cell, kind);
        Self::of_darts(&graph.title.clone(), vec![graph])
    }
}

impl From<&Genotype> for Picture {
    fn from(genotype: &Genotype) -> Self {
        let cells = CellKind::ALL.map(|kind| CellGraph::of_darts(genotype.cell(kind), kind));
        Self::of_darts("Normal and reduction cell", cells.into())
    }
}

impl From<&nas_bench_201::Genotype> for Picture {
    fn from(genotype: &nas_bench_201::Genotype) -> Self {
        let graph = CellGraph::of_nas_bench_201(genotype);
        let families = &[Family::Convolution3x3, Family::Convolution1x1, Family::Pooling, Family::Skip];
        Self {
            title: graph.title.clone(),
            cells: vec![graph],
            columns: 1,
            families,
            output: "output",
            states: NAS_BENCH_201_STATES,
        }
    }
}

// ---- operations -----------------------------------------------------------------------------------

/// Operations that look alike in a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Separable,
    Dilated,
    Convolution3x3,
    Convolution1x1,
    Pooling,
    Skip,
    /// Not drawn.
    None,
}

impl Family {
    fn of_darts(op: Op) -> Family {
        match op {
            Op::SepConv3x3 | Op::SepConv5x5 => Family::Separable,
            Op::DilConv3x3 | Op::DilConv5x5 => Family::Dilated,
            Op::MaxPool3x3 | Op::AvgPool3x3 => Family::Pooling,
            Op::SkipConnect => Family::Skip,
            Op::None => Family::None,
        }
    }

    fn of_nas_bench_201(op: nas_bench_201::Op) -> Family {
        use nas_bench_201::Op;
        match op {
            Op::NorConv3x3 => Family::Convolution3x3,
            Op::NorConv1x1 => Family::Convolution1x1,
            Op::AvgPool3x3 => Family::Pooling,
            Op::SkipConnect => Family::Skip,
            Op::None => Family::None,
        }
    }

    /// As the legend names it.
    pub fn title(self) -> &'static str {
        match self {
            Family::Separable => "separable convolution",
            Family::Dilated => "dilated convolution",
            Family::Convolution3x3 => "3×3 convolution",
            Family::Convolution1x1 => "1×1 convolution",
            Family::Pooling => "3×3 pooling",
            Family::Skip => "skip connection",
            Family::None => "no connection",
        }
    }

    /// Fill behind white writing, at least 4.5:1 in contrast; legible on light and on dark pages.
    pub fn colour(self) -> &'static str {
        match self {
            Family::Separable | Family::Convolution3x3 => "#2563eb",
            Family::Dilated | Family::Convolution1x1 => "#7c3aed",
            Family::Pooling => "#b45309",
            Family::Skip => "#0f766e",
            Family::None => "#64748b",
        }
    }

    /// For thin lines on dark pages.
    pub fn light_colour(self) -> &'static str {
        match self {
            Family::Separable | Family::Convolution3x3 => "#60a5fa",
            Family::Dilated | Family::Convolution1x1 => "#a78bfa",
            Family::Pooling => "#f59e0b",
            Family::Skip => "#2dd4bf",
            Family::None => "#94a3b8",
        }
    }

    /// Class in the picture's style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Family::Separable => "sep",
            Family::Dilated => "dil",
            Family::Convolution3x3 => "conv3",
            Family::Convolution1x1 => "conv1",
            Family::Pooling => "pool",
            Family::Skip => "skip",
            Family::None => "none",
        }
    }
}

fn darts_label(op: Op) -> &'static str {
    match op {
        Op::MaxPool3x3 => "max pool",
        Op::AvgPool3x3 => "avg pool",
        Op::SkipConnect => "skip",
        Op::SepConv3x3 => "sep 3×3",
        Op::SepConv5x5 => "sep 5×5",
        Op::DilConv3x3 => "dil 3×3",
        Op::DilConv5x5 => "dil 5×5",
        Op::None => "none",
    }
}

fn nas_bench_201_label(op: nas_bench_201::Op) -> &'static str {
    use nas_bench_201::Op;
    match op {
        Op::NorConv3x3 => "conv 3×3",
        Op::NorConv1x1 => "conv 1×1",
        Op::AvgPool3x3 => "avg pool",
        Op::SkipConnect => "skip",
        Op::None => "none",
    }
}

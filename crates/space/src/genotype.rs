//! A genotype: which operations on which edges of the normal and the reduction cell (facts section 4).

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::genotype_json::Document;
use crate::{Op, SpaceError};

/// Nodes of a cell.
pub const NODES: usize = 4;

/// Edges of a cell when every node sees the two inputs and all earlier nodes: 2 + 3 + 4 + 5.
pub const EDGES: usize = NODES * (NODES + 3) / 2;

/// Index of the edge from `source` to `node` among the cell's [`EDGES`] edges.
///
/// `source` counts the states a node can see: 0 = cell k-2, 1 = cell k-1, 2.. = earlier nodes, so it is
/// below `node + 2`.
pub fn edge_index(node: usize, source: usize) -> usize {
    debug_assert!(source < node + 2, "node {node} has no source {source}");
    node * (node + 3) / 2 + source
}

/// Node and source of each of the [`EDGES`] edges, in the order of [`edge_index`].
pub fn edge_ends() -> impl Iterator<Item = (usize, usize)> {
    (0..NODES).flat_map(|node| (0..node + 2).map(move |source| (node, source)))
}

/// Indices of all edges that can enter `node`.
pub fn edges_of(node: usize) -> Range<usize> {
    edge_index(node, 0)..edge_index(node, 0) + node + 2
}

/// Which of the two cells of a genotype.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CellKind {
    /// Stride 1 everywhere: the size stays.
    Normal,
    /// Edges from the two inputs have stride 2: the size halves.
    Reduction,
}

impl CellKind {
    /// Both kinds, in the order genotypes list them.
    pub const ALL: [CellKind; 2] = [CellKind::Normal, CellKind::Reduction];

    /// Stride of an edge from `source` in a cell of this kind: 2 from the inputs of a reduction cell, else 1.
    pub fn stride(self, source: usize) -> usize {
        if self == CellKind::Reduction && source < 2 { 2 } else { 1 }
    }
}

impl fmt::Display for CellKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            CellKind::Normal => "normal",
            CellKind::Reduction => "reduction",
        })
    }
}

/// One kept edge of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// The operation on it.
    pub op: Op,
    /// Where it comes from: 0 = cell k-2, 1 = cell k-1, 2.. = nodes.
    pub source: usize,
}

/// The kept edges of one cell.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellGenotype {
    /// Edges into each node, best first (the order in which weights are inherited).
    pub nodes: Vec<Vec<Edge>>,
    /// States concatenated as the output, in channel order; node i is state i + 2.
    pub concat: Vec<usize>,
}

impl CellGenotype {
    /// A cell whose output is all its nodes in order.
    pub fn new(nodes: Vec<Vec<Edge>>) -> Self {
        Self { nodes, concat: (2..NODES + 2).collect() }
    }

    /// All edges with their node, in the order of the genotype.
    pub fn edges(&self) -> impl Iterator<Item = (usize, Edge)> + '_ {
        self.nodes.iter().enumerate().flat_map(|(node, edges)| edges.iter().map(move |&edge| (node, edge)))
    }

    /// How many kept edges are skip connections; many of them are the sign of a collapsed search.
    pub fn skip_count(&self) -> usize {
        self.edges().filter(|(_, edge)| edge.op == Op::SkipConnect).count()
    }

    /// Checks that the cell belongs to the space; `kind` only names it in errors.
    ///
    /// # Errors
    ///
    /// The first of: another number of nodes than [`NODES`], a node without edges, a source that the node
    /// cannot see, `none` or a repeated edge, a concatenation that is not every node once.
    pub fn validate(&self, kind: CellKind) -> Result<(), SpaceError> {
        if self.nodes.len() != NODES {
            return Err(SpaceError::NodeCount { cell: kind, found: self.nodes.len() });
        }
        for (node, edges) in self.nodes.iter().enumerate() {
            validate_node(kind, node, edges)?;
        }
        validate_concat(kind, &self.concat)
    }
}

pub(crate) fn validate_node(cell: CellKind, node: usize, edges: &[Edge]) -> Result<(), SpaceError> {
    if edges.is_empty() {
        return Err(SpaceError::NodeWithoutEdges { cell, node });
    }
    for (i, edge) in edges.iter().enumerate() {
        validate_edge(cell, node, edge.op, edge.source as u64)?;
        if edges[..i].contains(edge) {
            return Err(SpaceError::RepeatedEdge { cell, node, op: edge.op, source_state: edge.source });
        }
    }
    Ok(())
}

pub(crate) fn validate_edge(cell: CellKind, node: usize, op: Op, source: u64) -> Result<(), SpaceError> {
    let limit = node + 2;
    if source >= limit as u64 {
        return Err(SpaceError::SourceOutOfRange { cell, node, limit, found: source });
    }
    if op == Op::None {
        return Err(SpaceError::NoneKept { cell, node });
    }
    Ok(())
}

pub(crate) fn validate_concat(cell: CellKind, concat: &[usize]) -> Result<(), SpaceError> {
    for &state in concat {
        validate_concat_state(cell, state as u64)?;
    }
    let every_node = concat.len() == NODES && (2..NODES + 2).all(|state| concat.contains(&state));
    if !every_node {
        return Err(SpaceError::ConcatNotEveryNode { cell, found: concat.to_vec() });
    }
    Ok(())
}

pub(crate) fn validate_concat_state(cell: CellKind, state: u64) -> Result<(), SpaceError> {
    let in_range = (2..NODES as u64 + 2).contains(&state);
    if in_range { Ok(()) } else { Err(SpaceError::ConcatOutOfRange { cell, found: state }) }
}

/// The normal and the reduction cell of a network.
///
/// It parses from any of its text forms and prints as the published one (see [`Genotype::from_str`]).
///
/// [`Genotype::from_str`]: std::str::FromStr::from_str
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "Document", try_from = "Document")]
pub struct Genotype {
    /// The cell that keeps the size.
    pub normal: CellGenotype,
    /// The cell that halves the size.
    pub reduce: CellGenotype,
}

impl Genotype {
    /// The cell of one kind.
    pub fn cell(&self, kind: CellKind) -> &CellGenotype {
        match kind {
            CellKind::Normal => &self.normal,
            CellKind::Reduction => &self.reduce,
        }
    }

    /// Skip connections in both cells.
    pub fn skip_count(&self) -> usize {
        self.normal.skip_count() + self.reduce.skip_count()
    }

    /// Checks both cells, see [`CellGenotype::validate`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn validate(&self) -> Result<(), SpaceError> {
        CellKind::ALL.into_iter().try_for_each(|kind| self.cell(kind).validate(kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_numbered_without_gaps() {
        let numbers: Vec<usize> =
            (0..NODES).flat_map(|node| (0..node + 2).map(move |source| edge_index(node, source))).collect();
        assert_eq!(numbers, (0..EDGES).collect::<Vec<_>>());
        let ranges: Vec<usize> = (0..NODES).flat_map(edges_of).collect();
        assert_eq!(ranges, numbers);
        assert_eq!(EDGES, 14);
    }
}

//! A cell of the space: one operation on each of its six edges.

use serde::{Deserialize, Serialize};

use super::Op;
use super::json::Document;

/// Nodes of a cell, the input included.
pub const NODES: usize = 4;

/// Edges of a cell: every node sees all nodes before it.
pub const EDGES: usize = NODES * (NODES - 1) / 2;

/// Cells of the space: five operations on six edges.
pub const CELLS: usize = Op::COUNT.pow(EDGES as u32);

/// Index of the edge from `source` to `node` among the cell's [`EDGES`] edges, `source` being below `node` and
/// `node` from 1 to 3: the order 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2.
pub fn edge_index(node: usize, source: usize) -> usize {
    debug_assert!(source < node && node < NODES, "no edge leads from node {source} to node {node}");
    node * (node - 1) / 2 + source
}

/// A cell. Any six operations are one; many compute the same (see [`Isomorphism`](super::Isomorphism)).
///
/// It parses from the benchmark's text and from this crate's JSON, and prints as the former (see
/// [`Genotype::from_str`](std::str::FromStr::from_str)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "Document<'static>", try_from = "Document<'_>")]
pub struct Genotype {
    /// The operations in edge order.
    pub ops: [Op; EDGES],
}

impl Genotype {
    /// The operation on the edge from `source` to `node`, `source` being below `node` and `node` from 1 to 3.
    pub fn op(&self, node: usize, source: usize) -> Op {
        self.ops[edge_index(node, source)]
    }

    /// Node, source and operation of every edge, in edge order.
    pub fn edges(&self) -> impl Iterator<Item = (usize, usize, Op)> + '_ {
        let pairs = (1..NODES).flat_map(|node| (0..node).map(move |source| (node, source)));
        pairs.zip(self.ops).map(|((node, source), op)| (node, source, op))
    }

    /// Edges with this operation; many `skip_connect` or `none` are the sign of a collapsed search.
    pub fn count(&self, op: Op) -> usize {
        self.ops.iter().filter(|&&kept| kept == op).count()
    }

    /// All [`CELLS`] cells, the last edge changing fastest. This is not the benchmark's order, which only a table
    /// knows.
    pub fn all() -> impl Iterator<Item = Genotype> {
        (0..CELLS).map(Self::from_ordinal)
    }

    /// Position in [`Genotype::all`].
    pub fn ordinal(&self) -> usize {
        self.ops.iter().fold(0, |ordinal, op| ordinal * Op::COUNT + op.index())
    }

    fn from_ordinal(ordinal: usize) -> Self {
        let digit = |edge: usize| ordinal / Op::COUNT.pow((EDGES - 1 - edge) as u32) % Op::COUNT;
        Self { ops: std::array::from_fn(|edge| Op::ALL[digit(edge)]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_numbered_in_the_published_order() {
        let cell = Genotype { ops: [Op::SkipConnect; EDGES] };
        let pairs: Vec<(usize, usize)> = cell.edges().map(|(node, source, _)| (node, source)).collect();
        assert_eq!(pairs, [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]);
        let numbers: Vec<usize> = pairs.iter().map(|&(node, source)| edge_index(node, source)).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn all_cells_are_there_once() {
        let all: Vec<Genotype> = Genotype::all().collect();
        assert_eq!(all.len(), 15_625);
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "strictly ascending, so without repetition");
        assert!(all.iter().enumerate().all(|(i, cell)| cell.ordinal() == i));
        // Each operation on a fifth of all edges.
        for op in Op::ALL {
            assert_eq!(all.iter().map(|cell| cell.count(op)).sum::<usize>(), CELLS * EDGES / Op::COUNT);
        }
    }
}

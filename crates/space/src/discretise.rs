//! From architecture weights to a genotype (facts section 4; Liu et al., arXiv 1806.09055, section 2.4, with
//! the edge weights of PC-DARTS, arXiv 1907.05737, section 3.3).

use crate::alphas::softmax;
use crate::{CellAlphas, CellGenotype, EDGES, Edge, NODES, Op, SpaceError, edges_of};

/// Edges kept for each node.
const KEPT: usize = 2;

/// Score of every operation on every edge: softmax(beta) over the edges that enter the same node, times
/// softmax(alpha) over the eight operations. One row an edge, in edge order; each node's rows sum to 1.
///
/// # Errors
///
/// As [`CellAlphas::validate`].
pub fn scores(alphas: &CellAlphas) -> Result<Vec<[f64; Op::COUNT]>, SpaceError> {
    alphas.validate()?;
    let mut table = vec![[0.0; Op::COUNT]; EDGES];
    for node in 0..NODES {
        let shares = softmax(&alphas.beta[edges_of(node)]);
        for (edge, share) in edges_of(node).zip(shares) {
            for (score, p) in table[edge].iter_mut().zip(softmax(&alphas.alpha[edge])) {
                *score = share * p;
            }
        }
    }
    Ok(table)
}

/// The cell that the weights stand for: on each edge the best operation other than `none`, for each node the
/// two edges with the best scores, best first. Equal scores go to the lower operation and to the lower edge.
///
/// `none` takes its part in the softmax, so an edge that prefers it scores low, but it is never kept.
///
/// # Errors
///
/// As [`CellAlphas::validate`].
pub fn discretise(alphas: &CellAlphas) -> Result<CellGenotype, SpaceError> {
    Ok(best_cell(&scores(alphas)?))
}

/// A cell drawn at random, as likely as the weights make it: independent Gumbel noise is added to the logarithm of
/// every score, then the best are kept as [`discretise`] keeps them (Gumbel-top-k: Kool et al., arXiv 1903.06059).
/// Every node has two edges from different sources.
///
/// `gumbel` gives the next value of the noise, -ln(-ln u) with u uniform in (0, 1).
///
/// # Errors
///
/// As [`CellAlphas::validate`].
pub fn sample(alphas: &CellAlphas, gumbel: &mut dyn FnMut() -> f64) -> Result<CellGenotype, SpaceError> {
    let mut table = scores(alphas)?;
    for row in &mut table {
        Op::kept().for_each(|op| row[op.index()] = row[op.index()].ln() + gumbel());
    }
    Ok(best_cell(&table))
}

/// A cell drawn as the published code draws it (facts section 4): for each node, two independent draws from all
/// pairs of edge and operation, with the *probabilities* softmax(alpha) in the place of logits and without beta.
/// Since probabilities lie between 0 and 1 all pairs are almost equally likely; a node gets two operations on one
/// edge, or a single edge where both draws agree. What was drawn stands in the order of edges and operations.
///
/// # Errors
///
/// As [`CellAlphas::validate`].
pub fn sample_from_probabilities(
    alphas: &CellAlphas,
    gumbel: &mut dyn FnMut() -> f64,
) -> Result<CellGenotype, SpaceError> {
    alphas.validate()?;
    let mut draw = |node: usize| {
        let mut best = (f64::NEG_INFINITY, Edge { op: Op::MaxPool3x3, source: 0 });
        for (source, edge) in edges_of(node).enumerate() {
            let probabilities = softmax(&alphas.alpha[edge]);
            for op in Op::kept() {
                let score = probabilities[op.index()] + gumbel();
                if score > best.0 {
                    best = (score, Edge { op, source });
                }
            }
        }
        best.1
    };
    let node = |node: usize| {
        let mut edges: Vec<Edge> = (0..KEPT).map(|_| draw(node)).collect();
        edges.sort_by_key(|edge| (edge.source, edge.op.index()));
        edges.dedup();
        edges
    };
    Ok(CellGenotype::new((0..NODES).map(node).collect()))
}

fn best_cell(table: &[[f64; Op::COUNT]]) -> CellGenotype {
    CellGenotype::new((0..NODES).map(|node| best_edges(&table[edges_of(node)])).collect())
}

/// The [`KEPT`] best edges of a node, given the scores of its edges in the order of their sources.
fn best_edges(rows: &[[f64; Op::COUNT]]) -> Vec<Edge> {
    let mut candidates: Vec<(f64, Edge)> = rows
        .iter()
        .enumerate()
        .map(|(source, row)| {
            let op = best_op(row);
            (row[op.index()], Edge { op, source })
        })
        .collect();
    // A stable sort: of equal scores the lower source stays in front.
    candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
    candidates.into_iter().take(KEPT).map(|(_, edge)| edge).collect()
}

fn best_op(row: &[f64; Op::COUNT]) -> Op {
    Op::kept().fold(Op::MaxPool3x3, |best, op| if row[op.index()] > row[best.index()] { op } else { best })
}

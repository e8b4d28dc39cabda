//! A genotype as a table for the terminal.

use crate::{CellGenotype, CellKind, Edge, Genotype};

/// Width of one cell's column.
const COLUMN: usize = 24;

/// Both cells beside each other, a line an edge, at most 72 columns wide, in plain ASCII.
pub fn text(genotype: &Genotype) -> String {
    let cells = CellKind::ALL.map(|kind| genotype.cell(kind));
    let mut lines = vec![row("", CellKind::ALL.map(|kind| format!("{kind} cell")))];
    let nodes = cells.map(|cell| cell.nodes.len()).into_iter().max().unwrap_or(0);
    for node in 0..nodes {
        let edges = cells.map(|cell| cell.nodes.get(node).map_or(&[][..], Vec::as_slice));
        for line in 0..edges[0].len().max(edges[1].len()) {
            let heading = if line == 0 { format!("node {node}") } else { String::new() };
            lines.push(row(&heading, edges.map(|edges| edges.get(line).map(written).unwrap_or_default())));
        }
    }
    lines.push(row("output", cells.map(output)));
    lines.concat()
}

fn row(heading: &str, columns: [String; 2]) -> String {
    let [left, right] = columns;
    format!("{}\n", format!("{heading:<8}  {left:<COLUMN$}  {right}").trim_end())
}

fn written(edge: &Edge) -> String {
    format!("{:<14}{}", edge.op, source(edge.source))
}

fn source(state: usize) -> String {
    match state {
        0 => "c(k-2)".to_owned(),
        1 => "c(k-1)".to_owned(),
        _ => format!("node {}", state - 2),
    }
}

fn output(cell: &CellGenotype) -> String {
    let nodes: Vec<String> = super::concatenated(cell).map(|node| node.to_string()).collect();
    format!("concat nodes {}", nodes.join(" "))
}

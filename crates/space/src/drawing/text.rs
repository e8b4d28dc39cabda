//! A genotype as a table for the terminal.

use super::Picture;
use super::graph::{CellGraph, GraphEdge};

/// Least width of one cell's column.
const COLUMN: usize = 24;

/// Width of the nodes' names.
const HEADING: usize = 8;
/// Between two columns.
const BETWEEN: usize = 2;

/// The cells beside each other, a line an edge, at most 72 columns wide unless names are longer, in plain ASCII. Unlike
/// a drawing it also lists edges with `none`. An edge that the cell beside lacks is marked with an asterisk.
pub fn text(picture: impl Into<Picture>) -> String {
    text_within(picture, usize::MAX)
}

/// As [`text`], but with as few cells beside each other as `width` columns demand, the others below.
pub fn text_within(picture: impl Into<Picture>, width: usize) -> String {
    let Picture { cells, columns, .. } = picture.into();
    let names = cells.iter().map(|cell| cell.name.chars().count());
    let column = names.max().unwrap_or(0).max(COLUMN);
    let beside = (width.saturating_sub(HEADING) / (BETWEEN + column)).clamp(1, columns.max(1));
    let tables: Vec<String> = cells.chunks(beside).map(|cells| table(cells, column)).collect();
    tables.join("\n")
}

fn table(cells: &[CellGraph], width: usize) -> String {
    let row = |heading: &str, columns: Vec<String>| row(heading, &columns, width);
    let mut lines = vec![row("", cells.iter().map(|cell| cell.name.clone()).collect())];
    let nodes = cells.iter().map(|cell| cell.nodes).max().unwrap_or(0);
    for node in 0..nodes {
        let entering: Vec<Vec<String>> = cells.iter().map(|cell| entering(cell, node)).collect();
        let longest = entering.iter().map(Vec::len).max().unwrap_or(0);
        for line in 0..longest {
            let heading = match (line, cells.first()) {
                (0, Some(cell)) => format!("node {}", cell.number(node)),
                _ => String::new(),
            };
            let columns = entering.iter().map(|edges| edges.get(line).cloned().unwrap_or_default());
            lines.push(row(&heading, columns.collect()));
        }
    }
    lines.push(row("output", cells.iter().map(output).collect()));
    lines.concat()
}

fn row(heading: &str, columns: &[String], width: usize) -> String {
    let columns: String = columns.iter().map(|column| format!("{:BETWEEN$}{column:<width$}", "")).collect();
    format!("{}\n", format!("{heading:<HEADING$}{columns}").trim_end())
}

fn entering(cell: &CellGraph, node: usize) -> Vec<String> {
    let written = |edge: &GraphEdge| {
        let mark = if edge.is_changed { " *" } else { "" };
        format!("{:<14}{}{mark}", edge.op, state(cell, edge.source))
    };
    cell.edges.iter().filter(|edge| edge.node == node).map(written).collect()
}

fn state(cell: &CellGraph, state: usize) -> String {
    match (cell.inputs.get(state), cell.inputs.len()) {
        // The only input is the node in front of the first.
        (Some(_), 1) => format!("node {}", cell.first_number - 1),
        (Some(index), _) => format!("c({index})"),
        (None, inputs) => format!("node {}", cell.number(state - inputs)),
    }
}

fn output(cell: &CellGraph) -> String {
    let nodes: Vec<String> = cell.outputs.iter().map(|&node| cell.number(node).to_string()).collect();
    format!("{} {}", cell.output, nodes.join(" "))
}

//! A genotype as source for Graphviz's `dot`.

use super::Picture;
use super::graph::CellGraph;

/// The cells as one directed graph from left to right, a cluster each.
pub fn dot(picture: impl Into<Picture>) -> String {
    // Graphviz stacks clusters from the bottom up.
    let clusters: Vec<String> = picture.into().cells.iter().rev().map(cluster).collect();
    format!(
        "digraph genotype {{\n  rankdir=LR;\n  fontname=\"sans-serif\";\n  \
         node [fontname=\"sans-serif\", shape=box, style=rounded, height=0.4];\n  \
         edge [fontname=\"sans-serif\", fontsize=11];\n{}}}\n",
        clusters.concat()
    )
}

fn cluster(cell: &CellGraph) -> String {
    let id = &cell.id;
    let mut lines =
        vec![format!("subgraph cluster_{id} {{"), format!("  label=\"{}\";", escaped(&cell.name))];
    for (state, index) in cell.inputs.iter().enumerate() {
        lines.push(format!("  {id}_{state} [label=<c<sub>{index}</sub>>];"));
    }
    lines.push(format!("  {id}_out [label=<c<sub>k</sub>>];"));
    for node in 0..cell.nodes {
        let (state, number) = (cell.state(node), cell.number(node));
        lines.push(format!("  {id}_{state} [label=\"{number}\", shape=circle];"));
    }
    for edge in cell.drawn_edges() {
        lines.push(format!(
            "  {id}_{} -> {id}_{} [label=\"{}\", color=\"{colour}\", fontcolor=\"{colour}\"{}];",
            edge.source,
            cell.state(edge.node),
            edge.label,
            if edge.is_changed { ", style=bold, penwidth=3" } else { "" },
            colour = edge.family.colour(),
        ));
    }
    for &node in &cell.outputs {
        lines.push(format!("  {id}_{} -> {id}_out [color=\"#94a3b8\"];", cell.state(node)));
    }
    lines.push("}".to_owned());
    lines.iter().map(|line| format!("  {line}\n")).collect()
}

/// For use between quotation marks.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

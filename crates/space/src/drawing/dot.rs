//! A genotype as source for Graphviz's `dot`.

use super::{Family, concatenated, drawable, short_name};
use crate::{CellKind, Genotype};

/// Both cells as one directed graph from left to right, a cluster each.
pub fn dot(genotype: &Genotype) -> String {
    // Graphviz stacks clusters from the bottom up.
    let clusters: Vec<String> = CellKind::ALL.iter().rev().map(|&kind| cluster(genotype, kind)).collect();
    format!(
        "digraph genotype {{\n  rankdir=LR;\n  fontname=\"sans-serif\";\n  \
         node [fontname=\"sans-serif\", shape=box, style=rounded, height=0.4];\n  \
         edge [fontname=\"sans-serif\", fontsize=11];\n{}}}\n",
        clusters.concat()
    )
}

fn cluster(genotype: &Genotype, kind: CellKind) -> String {
    let cell = genotype.cell(kind);
    let mut lines = vec![
        format!("subgraph cluster_{kind} {{"),
        format!("  label=\"{kind} cell\";"),
        format!("  {} [label=<c<sub>k-2</sub>>];", state(kind, 0)),
        format!("  {} [label=<c<sub>k-1</sub>>];", state(kind, 1)),
        format!("  {kind}_out [label=<c<sub>k</sub>>];"),
    ];
    for node in 0..cell.nodes.len() {
        lines.push(format!("  {} [label=\"{node}\", shape=circle];", state(kind, node + 2)));
    }
    for (node, edge) in drawable(cell) {
        lines.push(format!(
            "  {} -> {} [label=\"{}\", color=\"{colour}\", fontcolor=\"{colour}\"];",
            state(kind, edge.source),
            state(kind, node + 2),
            short_name(edge.op),
            colour = Family::of(edge.op).colour(),
        ));
    }
    for node in concatenated(cell) {
        lines.push(format!("  {} -> {kind}_out [color=\"#94a3b8\"];", state(kind, node + 2)));
    }
    lines.push("}".to_owned());
    lines.iter().map(|line| format!("  {line}\n")).collect()
}

fn state(kind: CellKind, state: usize) -> String {
    format!("{kind}_{state}")
}

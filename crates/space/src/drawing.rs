//! Pictures of cells: as SVG, as Graphviz source, as a table for the terminal.
//!
//! All of them show what a genotype says, so they are the same bytes for the same genotype. An edge that no
//! cell can have (a source that does not come before its node) is left out: validate first.

mod dot;
mod layout;
mod svg;
mod text;

pub use dot::dot;
pub use svg::{cell_svg, svg};
pub use text::text;

use crate::{CellGenotype, Edge, Op};

/// The edges that can be drawn, with their node.
fn drawable(cell: &CellGenotype) -> impl Iterator<Item = (usize, Edge)> + '_ {
    cell.edges().filter(|(node, edge)| edge.source < node + 2)
}

/// The nodes that the output is made of.
fn concatenated(cell: &CellGenotype) -> impl Iterator<Item = usize> + '_ {
    cell.concat.iter().filter_map(|state| state.checked_sub(2)).filter(|&node| node < cell.nodes.len())
}

/// Operations that look alike in a picture.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Separable,
    Dilated,
    Pooling,
    Skip,
    None,
}

impl Family {
    /// Those that a legend explains.
    const SHOWN: [Family; 4] = [Family::Separable, Family::Dilated, Family::Pooling, Family::Skip];

    fn of(op: Op) -> Family {
        match op {
            Op::SepConv3x3 | Op::SepConv5x5 => Family::Separable,
            Op::DilConv3x3 | Op::DilConv5x5 => Family::Dilated,
            Op::MaxPool3x3 | Op::AvgPool3x3 => Family::Pooling,
            Op::SkipConnect => Family::Skip,
            Op::None => Family::None,
        }
    }

    /// As the legend names it.
    fn title(self) -> &'static str {
        match self {
            Family::Separable => "separable convolution",
            Family::Dilated => "dilated convolution",
            Family::Pooling => "3×3 pooling",
            Family::Skip => "skip connection",
            Family::None => "no connection",
        }
    }

    /// Fill behind white writing, at least 4.5:1 in contrast; legible on light and on dark pages.
    fn colour(self) -> &'static str {
        match self {
            Family::Separable => "#2563eb",
            Family::Dilated => "#7c3aed",
            Family::Pooling => "#b45309",
            Family::Skip => "#0f766e",
            Family::None => "#64748b",
        }
    }

    /// For thin lines on dark pages.
    fn light_colour(self) -> &'static str {
        match self {
            Family::Separable => "#60a5fa",
            Family::Dilated => "#a78bfa",
            Family::Pooling => "#f59e0b",
            Family::Skip => "#2dd4bf",
            Family::None => "#94a3b8",
        }
    }

    /// Class in the picture's style sheet.
    fn class(self) -> &'static str {
        match self {
            Family::Separable => "sep",
            Family::Dilated => "dil",
            Family::Pooling => "pool",
            Family::Skip => "skip",
            Family::None => "none",
        }
    }
}

/// An operation's name where room is short.
fn short_name(op: Op) -> &'static str {
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

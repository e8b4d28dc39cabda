//! Pictures of cells: as SVG, as Graphviz source, as a table for the terminal.
//!
//! All of them show what a genotype says, so they are the same bytes for the same genotype. An edge that no
//! cell can have (a source that does not come before its node) is left out of drawings: validate first.

mod dot;
mod graph;
mod layout;
mod svg;
mod text;

pub use dot::dot;
pub use graph::Picture;
pub use svg::{cell_svg, svg};
pub use text::{text, text_within};

//! Cells that CDARTS has published, by name (facts section 6).

use super::{EDGES, Genotype, Op};

/// A published cell's name and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The name, as [`published`] takes it.
    pub name: &'static str,
    /// Who published it and what it was searched on.
    pub origin: &'static str,
    ops: [Op; EDGES],
}

use Op::{None as NO, NorConv1x1 as C1, NorConv3x3 as C3, SkipConnect as SK};

/// All published cells of this space. They were published by their accuracies: each is the only cell of the
/// benchmark with its three test accuracies.
pub const PUBLISHED: &[Published] = &[
    Published {
        name: "nas-bench-201-cell-1",
        origin: "CDARTS (arXiv 2006.10724, TPAMI 2023), first of three searches on CIFAR-10",
        ops: [C3, C3, C3, SK, C1, C3],
    },
    Published {
        name: "nas-bench-201-cell-2",
        origin: "CDARTS (arXiv 2006.10724, TPAMI 2023), second of three searches on CIFAR-10",
        ops: [C3, C3, C3, SK, NO, C1],
    },
    Published {
        name: "nas-bench-201-cell-3",
        origin: "CDARTS (arXiv 2006.10724, TPAMI 2023), third of three searches on CIFAR-10",
        ops: [C3, SK, C3, SK, SK, C3],
    },
];

impl Published {
    /// The cell itself.
    pub fn genotype(&self) -> Genotype {
        Genotype { ops: self.ops }
    }
}

/// The published cell of this name (see [`PUBLISHED`]).
pub fn published(name: &str) -> Option<Genotype> {
    PUBLISHED.iter().find(|known| known.name == name).map(Published::genotype)
}

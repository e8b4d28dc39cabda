//! Genotypes that papers have published, by name (facts section 4).

use crate::{CellGenotype, Edge, Genotype, Op};

/// A published genotype's name and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The name, as [`published`] takes it.
    pub name: &'static str,
    /// Who published it and what it was searched on.
    pub origin: &'static str,
    normal: Cell,
    reduce: Cell,
}

/// Two edges for each of four nodes.
type Cell = [[(Op, usize); 2]; 4];

use Op::{
    AvgPool3x3 as A3, DilConv3x3 as D3, DilConv5x5 as D5, MaxPool3x3 as M3, SepConv3x3 as S3,
    SepConv5x5 as S5, SkipConnect as SK,
};

/// All published genotypes.
#[rustfmt::skip]
pub const PUBLISHED: &[Published] = &[
    Published {
        name: "cdarts-cifar",
        origin: "CDARTS (arXiv 2006.10724, TPAMI 2023), searched on CIFAR-10",
        normal: [[(S3, 0), (S3, 1)], [(S3, 1), (S3, 2)], [(S3, 0), (S3, 1)], [(SK, 0), (SK, 2)]],
        reduce: [[(S5, 1), (M3, 0)], [(D5, 2), (SK, 0)], [(S3, 0), (S5, 1)], [(S3, 0), (D5, 2)]],
    },
    Published {
        name: "cdarts-imagenet",
        origin: "CDARTS (arXiv 2006.10724, TPAMI 2023), searched on ImageNet",
        normal: [[(S3, 1), (S3, 0)], [(S3, 0), (S5, 2)], [(S5, 2), (S3, 1)], [(S3, 1), (S5, 4)]],
        reduce: [[(S5, 1), (A3, 0)], [(M3, 1), (D5, 2)], [(S5, 1), (D5, 2)], [(S3, 3), (D3, 4)]],
    },
    Published {
        name: "darts-v1",
        origin: "DARTS first order (arXiv 1806.09055), searched on CIFAR-10",
        normal: [[(S3, 1), (S3, 0)], [(SK, 0), (S3, 1)], [(SK, 0), (S3, 1)], [(S3, 0), (SK, 2)]],
        reduce: [[(M3, 0), (M3, 1)], [(SK, 2), (M3, 0)], [(M3, 0), (SK, 2)], [(SK, 2), (A3, 0)]],
    },
    Published {
        name: "darts-v2",
        origin: "DARTS second order (arXiv 1806.09055), searched on CIFAR-10",
        normal: [[(S3, 0), (S3, 1)], [(S3, 0), (S3, 1)], [(S3, 1), (SK, 0)], [(SK, 0), (D3, 2)]],
        reduce: [[(M3, 0), (M3, 1)], [(SK, 2), (M3, 1)], [(M3, 0), (SK, 2)], [(SK, 2), (M3, 1)]],
    },
    Published {
        name: "pdarts",
        origin: "P-DARTS (arXiv 1904.12760), searched on CIFAR-10",
        normal: [[(SK, 0), (D3, 1)], [(SK, 0), (S3, 1)], [(S3, 1), (S3, 3)], [(S3, 0), (D5, 4)]],
        reduce: [[(A3, 0), (S5, 1)], [(S3, 0), (D5, 2)], [(M3, 0), (D3, 1)], [(D3, 1), (D5, 3)]],
    },
    Published {
        name: "pcdarts-cifar",
        origin: "PC-DARTS (arXiv 1907.05737), searched on CIFAR-10",
        normal: [[(S3, 1), (SK, 0)], [(S3, 0), (D3, 1)], [(S5, 0), (S3, 1)], [(A3, 0), (D3, 1)]],
        reduce: [[(S5, 1), (M3, 0)], [(S5, 1), (S5, 2)], [(S3, 0), (S3, 3)], [(S3, 1), (S3, 2)]],
    },
    Published {
        name: "pcdarts-imagenet",
        origin: "PC-DARTS (arXiv 1907.05737), searched on ImageNet",
        normal: [[(SK, 1), (S3, 0)], [(S3, 0), (SK, 1)], [(S3, 1), (S3, 3)], [(S3, 1), (D5, 4)]],
        reduce: [[(S3, 0), (SK, 1)], [(D5, 2), (M3, 1)], [(S3, 2), (S3, 1)], [(S5, 0), (S3, 3)]],
    },
    Published {
        name: "cdarts-2019-cifar",
        origin: "CDARTS preview of December 2019, searched on CIFAR-10",
        normal: [[(S3, 1), (S3, 0)], [(S3, 1), (S3, 0)], [(S3, 1), (S3, 2)], [(SK, 0), (S3, 1)]],
        reduce: [[(M3, 0), (M3, 1)], [(M3, 0), (M3, 1)], [(M3, 0), (M3, 1)], [(M3, 4), (M3, 0)]],
    },
    Published {
        name: "cdarts-2019-imagenet",
        origin: "CDARTS preview of December 2019, searched on ImageNet",
        normal: [[(S5, 1), (S5, 0)], [(S3, 0), (S5, 1)], [(S3, 1), (S3, 3)], [(S3, 2), (S3, 4)]],
        reduce: [[(M3, 1), (A3, 0)], [(M3, 2), (A3, 0)], [(S5, 3), (M3, 2)], [(A3, 4), (M3, 2)]],
    },
    Published {
        name: "cdarts-2020-cifar",
        origin: "CDARTS preview of February 2020, searched on CIFAR-10",
        normal: [[(S3, 1), (S3, 0)], [(S5, 1), (S5, 0)], [(S3, 0), (S3, 1)], [(SK, 0), (SK, 4)]],
        reduce: [[(S3, 0), (SK, 1)], [(S3, 0), (S5, 1)], [(SK, 0), (D3, 1)], [(S5, 0), (S3, 2)]],
    },
];

impl Published {
    /// The genotype itself.
    pub fn genotype(&self) -> Genotype {
        let cell = |nodes: &Cell| {
            let edges =
                |node: &[(Op, usize); 2]| node.iter().map(|&(op, source)| Edge { op, source }).collect();
            CellGenotype::new(nodes.iter().map(edges).collect())
        };
        Genotype { normal: cell(&self.normal), reduce: cell(&self.reduce) }
    }
}

/// The published genotype of this name (see [`PUBLISHED`]).
pub fn published(name: &str) -> Option<Genotype> {
    PUBLISHED.iter().find(|known| known.name == name).map(Published::genotype)
}

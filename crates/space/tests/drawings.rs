//! Drawings of cells: snapshots of one, and what every drawing must hold.
#![allow(missing_docs)]

use cdarts_space::drawing::{Picture, cell_svg, dot, svg, text, text_within};
use cdarts_space::{
    Architecture, CellGenotype, CellKind, Edge, Genotype, Op, PUBLISHED, nas_bench_201, published,
};

#[test]
fn snapshots() {
    let genotype = published("cdarts-cifar").unwrap();
    insta::assert_snapshot!("text", text(&genotype));
    insta::assert_snapshot!("dot", dot(&genotype));
    insta::assert_snapshot!("svg_of_one_cell", cell_svg(&genotype.normal, CellKind::Normal));
}

#[test]
fn snapshots_of_nas_bench_201() {
    let genotype = nas_bench_201::published("nas-bench-201-cell-2").unwrap();
    insta::assert_snapshot!("nas_bench_201_text", text(&genotype));
    insta::assert_snapshot!("nas_bench_201_dot", dot(&genotype));
    insta::assert_snapshot!("nas_bench_201_svg", svg(&genotype));
    let architecture = Architecture::from(genotype);
    let drawings = [text, dot, svg].map(|draw| draw(architecture.pictures().remove(0)));
    assert_eq!(drawings, [text(&genotype), dot(&genotype), svg(&genotype)]);
}

#[test]
fn edges_of_nas_bench_201_are_drawn_once_unless_they_are_none() {
    for genotype in nas_bench_201::Genotype::all().step_by(37) {
        let edges = 6 - genotype.count(nas_bench_201::Op::None);
        let picture = svg(&genotype);
        assert_eq!(picture.matches("<g class=\"label\">").count(), edges, "{genotype}");
        assert_eq!(picture.matches("<circle").count(), 3);
        // The way of node 3 into the output, and one line in the legend.
        assert_eq!(picture.matches("<path class=\"concat\"").count(), 2);
        assert!(!picture.contains("NaN") && !picture.contains("inf"));
        assert_eq!(dot(&genotype).matches(" -> ").count(), edges + 1);
        let table = text(&genotype);
        assert_eq!(table.lines().count(), 1 + 6 + 1);
        assert!(table.lines().all(|line| line.is_ascii() && line.len() <= 72), "{table}");
    }
}

#[test]
fn every_edge_is_drawn_once() {
    for known in PUBLISHED {
        let genotype = known.genotype();
        let picture = svg(&genotype);
        assert_eq!(picture.matches("<g class=\"label\">").count(), 16, "{}", known.name);
        assert_eq!(picture.matches("<polygon").count(), 16, "{}", known.name);
        // Four nodes a cell, and one line in the legend.
        assert_eq!(picture.matches("<path class=\"concat\"").count(), 8 + 1, "{}", known.name);
        assert_eq!(dot(&genotype).matches(" -> ").count(), 16 + 8, "{}", known.name);
        let table = text(&genotype);
        assert_eq!(table.lines().count(), 1 + 8 + 1, "{}", known.name);
        assert!(table.lines().all(|line| line.is_ascii() && line.len() <= 72), "{table}");
    }
}

#[test]
fn two_genotypes_side_by_side_mark_what_only_one_has() {
    let [before, after] = ["darts-v1", "darts-v2"].map(|name| published(name).unwrap());
    let lacking = |a: &Genotype, b: &Genotype| {
        let cells = [(&a.normal, &b.normal), (&a.reduce, &b.reduce)];
        let lacking = |(a, b): (&CellGenotype, &CellGenotype)| {
            a.edges().filter(|edge| !b.edges().any(|other| other == *edge)).count()
        };
        cells.into_iter().map(lacking).sum::<usize>()
    };
    let changed = lacking(&before, &after) + lacking(&after, &before);
    assert!(changed > 0);
    let picture = || Picture::comparison([(&before).into(), (&after).into()], ["<cycle 1>", "cycle 2"]);
    // One more in the legend.
    assert_eq!(svg(picture()).matches("<rect class=\"changed\"").count(), changed + 1);
    assert!(
        svg(picture()).contains("Normal cell, &lt;cycle 1>")
            && svg(picture()).contains("Normal cell, cycle 2")
    );
    assert_eq!(dot(picture()).matches("penwidth=3").count(), changed);
    assert_eq!(text(picture()).matches('*').count(), changed);
    let same = || Picture::comparison([(&before).into(), (&before).into()], ["a", "b"]);
    assert!(!svg(same()).contains("<rect class=\"changed\"") && !text(same()).contains('*'));
}

#[test]
fn narrow_tables_stand_below_each_other() {
    for known in PUBLISHED {
        let genotype = known.genotype();
        let wide = text(&genotype);
        let widest = wide.lines().map(str::len).max().unwrap();
        assert_eq!(text_within(&genotype, 8 + 2 * (2 + 24)), wide, "{widest}");
        for width in [59, 40, 34] {
            let narrow = text_within(&genotype, width);
            assert!(narrow.lines().all(|line| line.len() <= width), "{narrow}");
            assert_eq!(narrow.lines().count(), 2 * 10 + 1, "two tables and a line between");
            let edges = |table: &str| table.matches("c(k-").count() + table.matches("  node ").count();
            assert_eq!(narrow.matches("c(k-").count(), wide.matches("c(k-").count());
            assert!(edges(&narrow) > 0 && narrow.find("reduction cell") > narrow.find("output"), "{narrow}");
        }
    }
}

#[test]
fn the_picture_needs_nothing_from_outside_and_is_the_same_each_time() {
    for known in PUBLISHED {
        let picture = svg(&known.genotype());
        assert_eq!(picture, svg(&known.genotype()));
        assert!(!picture.replace("http://www.w3.org/2000/svg", "").contains("http"));
        for tag in ["<g", "<svg", "<text", "<style", "<title", "<tspan"] {
            let opened =
                picture.matches(&format!("{tag} ")).count() + picture.matches(&format!("{tag}>")).count();
            assert_eq!(opened, picture.matches(&tag.replace('<', "</")).count(), "{tag}");
        }
        assert!(!picture.contains("NaN") && !picture.contains("inf"));
    }
}

#[test]
fn unusual_cells_are_drawn_too() {
    let all_ops = |node: usize| Op::ALL.iter().map(|&op| Edge { op, source: node % 2 }).collect();
    let crowded = CellGenotype::new((0..4).map(all_ops).collect());
    // All but `none`.
    assert_eq!(cell_svg(&crowded, CellKind::Reduction).matches("<g class=\"label\">").count(), 28);
    // Not a cell of the space: what can be drawn is drawn.
    let broken = CellGenotype {
        nodes: vec![vec![Edge { op: Op::SkipConnect, source: 9 }], vec![]],
        concat: vec![0, 2, 99],
    };
    let genotype = Genotype { normal: broken, reduce: CellGenotype { nodes: vec![], concat: vec![] } };
    assert!(genotype.validate().is_err());
    for drawing in [svg(&genotype), dot(&genotype), text(&genotype)] {
        assert!(!drawing.is_empty() && !drawing.contains("NaN") && !drawing.contains("inf"));
    }
}

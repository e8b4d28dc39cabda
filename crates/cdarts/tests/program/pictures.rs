//! Cells as files and as text, in every form.

use std::fs;

use cdarts::space::PUBLISHED;
use image::Rgba;

use crate::invoke::{Workplace, finished};

/// The colour of writing on light pages.
const INK: Rgba<u8> = Rgba([0x0f, 0x17, 0x2a, 0xff]);
const WHITE: Rgba<u8> = Rgba([0xff; 4]);

/// The number behind `name="` in the first tag.
fn attribute(svg: &str, name: &str) -> f64 {
    let start = svg.find(&format!(" {name}=\"")).unwrap() + name.len() + 3;
    svg[start..].split('"').next().unwrap().parse().unwrap()
}

#[cfg(feature = "png")]
#[test]
fn a_png_has_the_drawing_s_size_and_shows_shapes_and_writing() {
    let workplace = Workplace::new();
    for (what, against) in
        [("cdarts-cifar", None), ("darts-v1", Some("darts-v2")), ("nas-bench-201-cell-1", None)]
    {
        let against: Vec<&str> = against.into_iter().flat_map(|other| ["--against", other]).collect();
        let call = [&["show", what][..], &against, &["--out", "cells.PNG", "--out", "cells.svg"]].concat();
        let told = workplace.succeed(&call).stderr;
        assert_eq!(told, "wrote cells.PNG\nwrote cells.svg\n");
        let svg = fs::read_to_string(workplace.path("cells.svg")).unwrap();
        let bytes = fs::read(workplace.path("cells.PNG")).unwrap();
        let picture =
            image::load_from_memory_with_format(&bytes, image::ImageFormat::Png).unwrap().to_rgba8();
        let size = ["width", "height"].map(|side| (2.0 * attribute(&svg, side)).ceil() as u32);
        assert_eq!([picture.width(), picture.height()], size, "{what}");
        let of = |colour: Rgba<u8>| picture.pixels().filter(|&&pixel| pixel == colour).count();
        let all = (size[0] * size[1]) as usize;
        assert!(of(WHITE) > all / 2 && of(WHITE) < all * 95 / 100, "{what}: {} of {all} white", of(WHITE));
        // Writing that found no font leaves none of it.
        assert!(of(INK) > 1000, "{what}: {} of ink", of(INK));
        for colour in ["#2563eb", "#0f766e"] {
            let channel = |at: usize| u8::from_str_radix(&colour[at..at + 2], 16).unwrap();
            let count = of(Rgba([channel(1), channel(3), channel(5), 0xff]));
            assert!(count > 1000, "{what}: {count} of {colour}");
        }
    }
}

#[test]
fn endings_say_how_to_draw_and_unknown_ones_which_there_are() {
    let workplace = Workplace::new();
    let name = "darts-v2";
    workplace.succeed(&["show", name, "--out", "cells.gv", "--out", "cells.txt"]);
    assert!(fs::read_to_string(workplace.path("cells.gv")).unwrap().starts_with("digraph"));
    let table = fs::read_to_string(workplace.path("cells.txt")).unwrap();
    let shown = workplace.succeed(&["show", name]).stdout;
    assert!(table.contains("reduction cell") && shown.contains(table.trim_end()), "{shown}");
    for (path, found) in [("cells.pdf", "found .pdf"), ("cells", "it has none"), ("cells.png.", "found .")] {
        let refused = workplace.call(&["show", name, "--out", path]);
        assert_eq!(refused.code, Some(2), "{path}");
        for expected in [".svg, .png, .dot, .gv, .txt", found] {
            assert!(refused.stderr.contains(expected), "{path}: {}", refused.stderr);
        }
        assert!(!workplace.path(path).exists());
    }
}

#[test]
fn narrow_terminals_get_narrow_tables() {
    let workplace = Workplace::new();
    for known in PUBLISHED {
        let shown = finished(workplace.command(&["show", known.name]).env("COLUMNS", "40")).stdout;
        let table = shown.lines().filter(|line| line.starts_with("node ") || line.starts_with("  "));
        let lines: Vec<&str> = table.collect();
        assert!(lines.len() >= 16, "{shown}");
        assert!(lines.iter().all(|line| line.len() <= 40), "{shown}");
        let piped = finished(workplace.command(&["show", known.name]).env_remove("COLUMNS")).stdout;
        let beside = |line: &str| line.contains("normal cell") && line.contains("reduction cell");
        assert!(piped.lines().any(beside) && !piped.contains('\x1b'), "{piped}");
    }
}

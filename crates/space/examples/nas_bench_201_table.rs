//! How fast the table of NAS-Bench-201 is read and asked.
//!
//! `cargo run --release -p cdarts-space --example nas_bench_201_table -- FILE`
#![expect(clippy::print_stdout, reason = "a figure to read is what it is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use cdarts_space::nas_bench_201::{PUBLISHED, Table};

const REPEATS: usize = 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("name a table in CSV")?;
    let mut times = Vec::new();
    for _ in 0..REPEATS {
        let start = Instant::now();
        let table = Table::parse(std::fs::read(&path)?)?;
        let loaded = start.elapsed();
        for known in PUBLISHED {
            let row = table.row_of(&known.genotype()).ok_or("the table lacks a published cell")?;
            black_box(
                (0..table.columns().len()).map(|column| table.standing(column, row)).collect::<Vec<_>>(),
            );
        }
        times.push([loaded, start.elapsed() - loaded]);
    }
    for (what, part) in [("load", 0), ("3 queries", 1)] {
        let mut sorted: Vec<Duration> = times.iter().map(|time| time[part]).collect();
        sorted.sort_unstable();
        println!(
            "{what}: {:.2?}, median of {REPEATS} (worst {:.2?})",
            sorted[REPEATS / 2],
            sorted[REPEATS - 1]
        );
    }
    Ok(())
}

//! Every kernel beside its bound, on one core in processor time: `cargo bench -p cdarts-kernels --bench bounds`.
//!
//! The bound is the longer of what the arithmetic takes at the measured rate of multiply-adds and what the bytes take at
//! the rate measured for reading a buffer as large as all that the kernel touches ([`work`] counts both). Beside it stand
//! both one after the other: what a core takes that does not compute while it waits for memory.

#![expect(clippy::print_stdout, reason = "a benchmark reports on stdout")]

mod roofs;
mod work;

use roofs::{bytes_a_second, flops_a_second, seconds};
use work::{BATCH, Bench, Case, Cost, KERNELS, cases};

const RUNS: usize = 9;

/// Rates measured once: arithmetic, and reading buffers of growing size.
struct Roofs {
    flops: f64,
    reads: Vec<(usize, f64)>,
}

impl Roofs {
    fn measure() -> Self {
        let reads = [16usize, 256, 1024, 4096, 16384, 65536, 262_144].map(|kilobytes| kilobytes << 10);
        Self { flops: flops_a_second(), reads: reads.map(|bytes| (bytes, bytes_a_second(bytes))).to_vec() }
    }

    fn print(&self) {
        println!("one core: {:.1} GFLOP/s by multiply-adds", self.flops / 1e9);
        for (bytes, rate) in &self.reads {
            println!("  reading {:>9} KiB {:7.1} GB/s", bytes >> 10, rate / 1e9);
        }
    }

    /// The rate of the largest measured buffer that is no larger: a bound must not ask for too much time.
    fn rate(&self, footprint: usize) -> f64 {
        let fits = self.reads.iter().rev().find(|(bytes, _)| *bytes <= footprint);
        fits.or(self.reads.first()).map_or(f64::INFINITY, |(_, rate)| *rate)
    }

    /// Seconds of the arithmetic and of the bytes.
    fn bounds(&self, cost: &Cost, footprint: usize) -> [f64; 2] {
        [cost.flops / self.flops, cost.bytes / self.rate(footprint)]
    }
}

/// Least seconds of both ways, and the bytes that they touch.
fn time(bench: &mut Bench) -> ([f64; 2], usize) {
    let mut least = [f64::INFINITY; 2];
    let mut footprint = 0;
    for _ in 0..RUNS {
        let start = seconds();
        let saved = bench.forward();
        let middle = seconds();
        footprint = bench.footprint(&saved);
        let again = seconds();
        bench.backward(saved);
        let end = seconds();
        least = [least[0].min(middle - start), least[1].min(end - again)];
    }
    (least, footprint)
}

fn row(roofs: &Roofs, case: &Case) {
    let mut bench = Bench::new(case);
    let (times, footprint) = time(&mut bench);
    for ((way, time), cost) in ["forward", "backward"].into_iter().zip(times).zip(bench.costs()) {
        let [arithmetic, memory] = roofs.bounds(&cost, footprint);
        let (bound, both) = (arithmetic.max(memory), arithmetic + memory);
        println!(
            "{:42} {way:8} {:8.2} {:8.1} {:8.1} {:8.2} {:6.0} % {:8.2} {:6.0} %",
            case.to_string(),
            time * 1e3,
            cost.flops / time / 1e9,
            cost.bytes / time / 1e9,
            bound * 1e3,
            100.0 * bound / time,
            both * 1e3,
            100.0 * both / time,
        );
    }
}

/// All rows whose name contains the first argument that is not an option.
fn table() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let roofs = Roofs::measure();
    roofs.print();
    println!("batch {BATCH}, one core, least of {RUNS} runs in processor time");
    println!(
        "{:42} {:8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "kernel", "way", "ms", "GFLOP/s", "GB/s", "bound ms", "share", "both ms", "share"
    );
    cases(&KERNELS)
        .iter()
        .filter(|case| case.to_string().contains(&wanted))
        .for_each(|case| row(&roofs, case));
}

fn main() {
    match rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build() {
        Ok(pool) => pool.install(table),
        Err(error) => println!("no pool of one thread: {error}"),
    }
}

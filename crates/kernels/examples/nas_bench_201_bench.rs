//! Times one search cell of NAS-Bench-201, forward and backward: milliseconds (least and median of the runs), GFLOP/s,
//! and bytes kept for the way back.
//!
//! `cargo run --release --example nas_bench_201_bench -- [channels] [size] [batch] [runs]`

#![expect(clippy::print_stdout, reason = "a benchmark reports on stdout")]

use std::time::Instant;

use cdarts_kernels::nas_bench_201::{CellGrads, CellInput, CellPlan, EDGES};
use cdarts_kernels::{KernelError, Workspace};

fn ramp(len: usize, scale: f32) -> Vec<f32> {
    let mut state = 1u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / (1 << 23) as f32 - 1.0) * scale
    };
    (0..len).map(next).collect()
}

fn report(name: &str, gflop: f64, runs: &mut [f64]) {
    runs.sort_by(f64::total_cmp);
    let (least, median) = (runs[0], runs[runs.len() / 2]);
    println!("{name:10} {least:8.2} ms least, {median:8.2} ms median {:6.1} GFLOP/s", gflop / least * 1e3);
}

fn main() -> Result<(), KernelError> {
    let mut args = std::env::args().skip(1);
    let mut number = |default: usize| args.next().and_then(|a| a.parse().ok()).unwrap_or(default);
    let (channels, side, n, runs) = (number(16), number(32), number(32), number(15));
    let workspace = Workspace::new();
    let plan = CellPlan::search(channels, [side, side])?;
    let x = ramp(plan.state_len(n), 1.0);
    let weights = ramp(plan.weights_len(), 0.3);
    let mix: Vec<f32> = (0..plan.paths().len()).map(|i| 0.15 + 0.02 * (i % 5) as f32).collect();
    let input = CellInput { n, x: &x, weights: &weights, affine: None, mix: Some(&mix), drop: None };
    let mut output = vec![0f32; plan.state_len(n)];
    let grad = ramp(output.len(), 1.0);
    let (mut gx, mut gw, mut gmix) = (x.clone(), weights.clone(), mix.clone());
    let mut times = [vec![], vec![]];
    let mut kept = 0;
    for _ in 0..runs {
        let start = Instant::now();
        let saved = plan.forward(&workspace, &input, &mut output)?;
        times[0].push(start.elapsed().as_secs_f64() * 1e3);
        kept = saved.bytes();
        let middle = Instant::now();
        let grads = CellGrads { x: &mut gx, weights: &mut gw, affine: None, mix: Some(&mut gmix) };
        plan.backward(&workspace, &input, saved, &grad, grads)?;
        times[1].push(middle.elapsed().as_secs_f64() * 1e3);
    }
    let macs = EDGES * 10 * channels * channels * side * side * n;
    let gflop = 2.0 * macs as f64 / 1e9;
    println!(
        "{} threads, {}, c {channels}, {side}x{side}, batch {n}: {gflop:.2} GFLOP forward, {:.1} MB kept",
        rayon::current_num_threads(),
        workspace.level().name(),
        kept as f64 / 1e6
    );
    report("forward", gflop, &mut times[0]);
    report("backward", 2.0 * gflop, &mut times[1]);
    Ok(())
}

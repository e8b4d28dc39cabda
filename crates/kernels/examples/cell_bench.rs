//! Times one search cell, forward and backward, with both pre-processing convolutions: milliseconds (least and
//! median of the runs), GFLOP/s, and bytes kept for the way back.
//!
//! `cargo run --release --example cell_bench -- [channels] [size] [batch] [runs] [reduction]`

#![expect(clippy::print_stdout, reason = "a benchmark reports on stdout")]

use std::time::Instant;

use cdarts_kernels::plan::CellPlan;
use cdarts_kernels::{
    CellGrads, CellInput, Channels, KernelError, NormConv, NormConvGrads, NormConvInput, Workspace,
    blocked_len,
};

/// Multiply-adds of a cell's convolutions, forward, for one output pixel and edge.
fn cell_macs(channels: usize) -> f64 {
    let (c, pointwise) = (channels as f64, channels as f64 * channels as f64);
    [(9.0, 2.0), (25.0, 2.0), (9.0, 1.0), (25.0, 1.0)]
        .iter()
        .map(|(taps, b)| b * (taps * c + pointwise))
        .sum()
}

fn ramp(len: usize, scale: f32) -> Vec<f32> {
    let mut state = 1u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / (1 << 23) as f32 - 1.0) * scale
    };
    (0..len).map(next).collect()
}

struct Times(Vec<(&'static str, Vec<f64>)>);

impl Times {
    fn add(&mut self, name: &'static str, from: Instant) {
        let ms = from.elapsed().as_secs_f64() * 1e3;
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, runs)) => runs.push(ms),
            None => self.0.push((name, vec![ms])),
        }
    }
}

fn main() -> Result<(), KernelError> {
    let mut args = std::env::args().skip(1);
    let mut number = |default: usize| args.next().and_then(|a| a.parse().ok()).unwrap_or(default);
    let (channels, side, n, runs) = (number(16), number(32), number(64), number(9));
    let reduction = number(0) == 1;
    let workspace = Workspace::new();
    let size = [side, side];
    let plan = CellPlan::search(channels, size, reduction)?;
    let (wide, narrow) = (Channels::new(3 * channels), Channels::new(channels));
    let before = NormConv::pointwise(wide, channels, size, false)?;
    let x = ramp(blocked_len(n, wide, size), 1.0);
    let weights = ramp(plan.weights_len(), 0.3);
    let before_weights = ramp(before.weights_len(), 0.3);
    let mix: Vec<f32> = (0..plan.paths().len()).map(|i| 0.03 + 0.001 * (i % 8) as f32).collect();
    let mut states = [0, 1].map(|_| vec![0f32; blocked_len(n, narrow, size)]);
    let mut output = vec![0f32; plan.output_len(n)];
    let grad = ramp(output.len(), 1.0);
    let mut grad_states = states.clone();
    let mut grad_x = x.clone();
    let (mut grad_weights, mut grad_before) = (weights.clone(), before_weights.clone());
    let mut grad_mix = mix.clone();
    let mut times = Times(vec![]);
    let mut kept = 0;
    for _ in 0..runs {
        let start = Instant::now();
        let input = NormConvInput { n, x: &x, weights: &before_weights, affine: None };
        let [s0, s1] = &mut states;
        let before0 = before.forward(&workspace, &input, s0)?;
        let before1 = before.forward(&workspace, &input, s1)?;
        times.add("pre-processing forward", start);
        let middle = Instant::now();
        let cell = CellInput { n, s0, s1, weights: &weights, affine: None, mix: Some(&mix), drop: None };
        let saved = plan.forward(&workspace, &cell, &mut output)?;
        times.add("cell forward", middle);
        kept = saved.bytes() + before0.bytes() + before1.bytes();
        let middle = Instant::now();
        let [g0, g1] = &mut grad_states;
        let grads =
            CellGrads { s0: g0, s1: g1, weights: &mut grad_weights, affine: None, mix: Some(&mut grad_mix) };
        plan.backward(&workspace, &cell, &output, saved, &grad, grads)?;
        times.add("cell backward", middle);
        let middle = Instant::now();
        for (saved, g) in [(before0, &grad_states[0]), (before1, &grad_states[1])] {
            let grads = NormConvGrads { x: Some(&mut grad_x), weights: Some(&mut grad_before), affine: None };
            before.backward(&workspace, &input, saved, g, grads)?;
        }
        times.add("pre-processing backward", middle);
        times.add("all", start);
    }
    let [h, w] = plan.output_size();
    let forward = 2.0 * cell_macs(channels) * 14.0 * (n * h * w) as f64 / 1e9;
    println!(
        "{} threads, {}, c {channels}, {side}x{side}, batch {n}, reduction {reduction}: {:.2} GFLOP forward, \
         {:.0} MB kept, {:.0} MB of scratch",
        rayon_threads(),
        workspace.level().name(),
        forward,
        kept as f64 / 1e6,
        workspace.idle_bytes() as f64 / 1e6 - kept as f64 / 1e6,
    );
    for (name, mut runs) in times.0 {
        runs.sort_by(f64::total_cmp);
        let least = runs[0];
        let rate = match name {
            "cell forward" => format!("{:6.1} GFLOP/s", forward / least * 1e3),
            "cell backward" => format!("{:6.1} GFLOP/s (two passes' worth)", 2.0 * forward / least * 1e3),
            _ => String::new(),
        };
        println!("{name:24} {least:8.1} ms least, {:8.1} ms median {rate}", runs[runs.len() / 2]);
    }
    Ok(())
}

fn rayon_threads() -> usize {
    rayon::current_num_threads()
}

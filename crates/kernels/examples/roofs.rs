//! Measures this machine's roofs on one core: fused multiply-adds, and reading from each cache and from memory.
//!
//! `cargo run --release --example roofs`

#![expect(clippy::print_stdout, reason = "a benchmark reports on stdout")]

use std::hint::black_box;
use std::time::Instant;

/// Least seconds of several runs.
fn least(runs: usize, mut work: impl FnMut()) -> f64 {
    let once = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    (0..runs).map(|_| once(&mut work)).fold(f64::INFINITY, f64::min)
}

#[cfg(target_arch = "x86_64")]
mod fma {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    const CHAINS: usize = 12;
    pub const STEPS: usize = 1 << 20;

    #[target_feature(enable = "avx2,fma")]
    pub fn avx2() -> f32 {
        let (a, b) = (_mm256_set1_ps(black_box(0.999)), _mm256_set1_ps(black_box(0.001)));
        let mut sums = [_mm256_set1_ps(black_box(1.0)); CHAINS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, a, b);
            }
        }
        sums.into_iter().map(|v| _mm256_cvtss_f32(v)).sum()
    }

    #[target_feature(enable = "avx512f")]
    pub fn avx512() -> f32 {
        let (a, b) = (_mm512_set1_ps(black_box(0.999)), _mm512_set1_ps(black_box(0.001)));
        let mut sums = [_mm512_set1_ps(black_box(1.0)); CHAINS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, a, b);
            }
        }
        sums.into_iter().map(|v| _mm512_cvtss_f32(v)).sum()
    }

    pub fn flops(lanes: usize) -> f64 {
        (2 * lanes * CHAINS * STEPS) as f64
    }
}

#[cfg(target_arch = "x86_64")]
fn arithmetic() {
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the features were just detected.
        let seconds = least(9, || _ = black_box(unsafe { fma::avx2() }));
        println!("avx2 fma    {:7.1} GFLOP/s", fma::flops(8) / seconds / 1e9);
    }
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the feature was just detected.
        let seconds = least(9, || _ = black_box(unsafe { fma::avx512() }));
        println!("avx512 fma  {:7.1} GFLOP/s", fma::flops(16) / seconds / 1e9);
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn arithmetic() {}

/// Sum in enough chains, and wide enough, that only loads limit it.
#[inline(always)]
fn chains(data: &[f32]) -> f32 {
    let mut sums = [0f32; 64];
    data.as_chunks::<64>().0.iter().for_each(|c| sums.iter_mut().zip(c).for_each(|(s, v)| *s += v));
    sums.iter().sum()
}

#[cfg(target_arch = "x86_64")]
fn sum(data: &[f32]) -> f32 {
    #[target_feature(enable = "avx2")]
    fn wide(data: &[f32]) -> f32 {
        chains(data)
    }
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the feature was just detected.
        unsafe { wide(data) }
    } else {
        chains(data)
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn sum(data: &[f32]) -> f32 {
    chains(data)
}

fn read(name: &str, bytes: usize) {
    let data = vec![1f32; bytes / 4];
    let repeats = (1usize << 28) / bytes;
    let seconds = least(7, || (0..repeats.max(1)).for_each(|_| _ = black_box(sum(black_box(&data)))));
    println!("read {name:7}{:7.1} GB/s", (bytes * repeats.max(1)) as f64 / seconds / 1e9);
}

fn write(bytes: usize) {
    let mut data = vec![1f32; bytes / 4];
    let seconds = least(5, || black_box(&mut data).fill(2.0));
    println!("write DRAM {:7.1} GB/s", bytes as f64 / seconds / 1e9);
}

fn main() {
    arithmetic();
    read("L1", 16 << 10);
    read("L2", 512 << 10);
    read("L3", 8 << 20);
    read("DRAM", 256 << 20);
    write(256 << 20);
}

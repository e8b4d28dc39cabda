//! This machine's roofs on one core: multiply-adds, and reading buffers of any size.

use std::hint::black_box;

/// Processor time of this thread in seconds, which a busy machine leaves alone.
#[cfg(target_os = "linux")]
pub fn seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Seconds since the first call.
#[cfg(not(target_os = "linux"))]
pub fn seconds() -> f64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed().as_secs_f64()
}

/// Least seconds of several runs.
fn least(runs: usize, mut work: impl FnMut()) -> f64 {
    let once = |work: &mut dyn FnMut()| {
        let start = seconds();
        work();
        seconds() - start
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

/// Additions and multiplications a second by fused multiply-adds; infinite where that is not measured.
#[cfg(target_arch = "x86_64")]
pub fn flops_a_second() -> f64 {
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the feature was just detected.
        return fma::flops(16) / least(9, || _ = black_box(unsafe { fma::avx512() }));
    }
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the features were just detected.
        return fma::flops(8) / least(9, || _ = black_box(unsafe { fma::avx2() }));
    }
    f64::INFINITY
}

/// Additions and multiplications a second by fused multiply-adds; infinite where that is not measured.
#[cfg(not(target_arch = "x86_64"))]
pub fn flops_a_second() -> f64 {
    f64::INFINITY
}

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

/// Bytes a second that are read from a buffer of `bytes`.
pub fn bytes_a_second(bytes: usize) -> f64 {
    let data = vec![1f32; bytes / 4];
    let repeats = ((1usize << 28) / bytes).max(1);
    let seconds = least(7, || (0..repeats).for_each(|_| _ = black_box(sum(black_box(&data)))));
    (bytes * repeats) as f64 / seconds
}

//! One vector of eight or sixteen `f32`, and the run-time choice of the instructions behind it.
//!
//! A kernel is a value with a [`Kernel::run`] generic over [`Simd`]; [`Simd::call`] compiles it once for each
//! instruction set, as a function of its own that carries the target feature, so that neither build flags nor
//! the surrounding code decide how it is compiled. A value of a `Simd` type proves that the processor has
//! the instructions: only [`Level`] makes one.

use crate::blocked::Width;

/// Instructions the kernels can use on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Level {
    /// Plain Rust, on every machine.
    pub const PORTABLE: Self = Self(Kind::Portable);

    /// All levels this machine has, slowest first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), expect(unused_mut))]
        let mut levels = vec![Self::PORTABLE];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            levels.push(Self(Kind::Avx2));
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
                levels.push(Self(Kind::Avx512));
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            levels.push(Self(Kind::Neon));
        }
        levels
    }

    /// The fastest level this machine has.
    #[must_use]
    pub fn detect() -> Self {
        Self::available().pop().unwrap_or(Self::PORTABLE)
    }

    /// Name for reports: `portable`, `avx2`, `avx512`, `neon`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => "neon",
        }
    }

    /// The width of channel blocks that suits cells of so many channels: sixteen where the processor has such vectors and
    /// there are channels to fill them, else eight.
    #[must_use]
    pub fn width(self, channels: usize) -> Width {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 if channels > Width::Eight.lanes() => Width::Sixteen,
            _ => Width::Eight,
        }
    }

    /// Runs `job` with this level's vectors of eight.
    pub(crate) fn dispatch<J: Job>(self, job: J) -> J::Out {
        match self.0 {
            Kind::Portable => job.run(Portable::<8>(())),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => job.run(Avx2(())),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => job.run(Avx512(())),
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => job.run(Neon(())),
        }
    }

    /// Runs `job` with this level's vectors of `width`.
    pub(crate) fn dispatch_at<J: Job>(self, width: Width, job: J) -> J::Out {
        match (width, self.0) {
            (Width::Eight, _) => self.dispatch(job),
            (Width::Sixteen, Kind::Portable) => job.run(Portable::<16>(())),
            #[cfg(target_arch = "x86_64")]
            (Width::Sixteen, Kind::Avx2) => job.run(Double(Avx2(()))),
            #[cfg(target_arch = "x86_64")]
            (Width::Sixteen, Kind::Avx512) => job.run(WideAvx512(())),
            #[cfg(target_arch = "aarch64")]
            (Width::Sixteen, Kind::Neon) => job.run(Double(Neon(()))),
        }
    }
}

/// Work that is generic over the vector but itself contains no vector code.
pub(crate) trait Job {
    /// Its result.
    type Out;
    /// Does it.
    fn run<S: Simd>(self, simd: S) -> Self::Out;
}

/// A hot loop: compiled as one function for each instruction set.
pub(crate) trait Kernel {
    /// Its result.
    type Out;
    /// The loop; must be `#[inline(always)]`.
    ///
    /// # Safety
    /// Only [`Simd::call`] may call it, and the kernel's pointers must cover what its wrapper asserted.
    unsafe fn run<S: Simd>(self) -> Self::Out;
}

/// Lanes of `f32`: a channel block's.
///
/// # Safety
/// Every method is unsafe because it needs the target features of the function [`Simd::call`] makes;
/// `load` and `store` besides need [`Simd::LANES`] valid floats at the pointer.
#[allow(clippy::missing_safety_doc)]
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// The vector.
    type V: Copy;
    /// Its lanes.
    const LANES: usize;
    /// Whether there are 32 vector registers (else 16): sets the tile sizes.
    const WIDE: bool;
    /// Runs a kernel under this type's target features.
    fn call<K: Kernel>(self, kernel: K) -> K::Out;
    unsafe fn load(from: *const f32) -> Self::V;
    unsafe fn store(to: *mut f32, v: Self::V);
    /// Hints that the line at `from` is read soon; any address will do.
    #[inline(always)]
    unsafe fn prefetch(_from: *const f32) {}
    unsafe fn splat(value: f32) -> Self::V;
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, fused where the instructions are.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// `a > b ? yes : no`, lane by lane.
    unsafe fn select_gt(a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V;
    /// `a == b ? yes : 0`, lane by lane.
    unsafe fn keep_eq(a: Self::V, b: Self::V, yes: Self::V) -> Self::V;

    /// Two vectors side by side: one register where vectors of eight lanes are half of one.
    type Pair: Copy;
    /// Whether a pair fits into one register.
    const PAIR_IS_ONE_REGISTER: bool;
    unsafe fn load_pair(from: *const f32) -> Self::Pair;
    unsafe fn store_pair(to: *mut f32, pair: Self::Pair);
    unsafe fn splat_pair(value: f32) -> Self::Pair;
    /// `a * b + c`, fused where the instructions are.
    unsafe fn fma_pair(a: Self::Pair, b: Self::Pair, c: Self::Pair) -> Self::Pair;
    unsafe fn halves(pair: Self::Pair) -> [Self::V; 2];
    unsafe fn join(low: Self::V, high: Self::V) -> Self::Pair;
}

/// Pairs made of two vectors.
macro_rules! pair_of_vectors {
    () => {
        type Pair = [Self::V; 2];
        const PAIR_IS_ONE_REGISTER: bool = false;

        #[inline(always)]
        unsafe fn load_pair(from: *const f32) -> Self::Pair {
            // SAFETY: the caller vouches for both vectors.
            unsafe { [Self::load(from), Self::load(from.add(Self::LANES))] }
        }
        #[inline(always)]
        unsafe fn store_pair(to: *mut f32, [low, high]: Self::Pair) {
            // SAFETY: the caller vouches for both vectors.
            unsafe {
                Self::store(to, low);
                Self::store(to.add(Self::LANES), high);
            }
        }
        #[inline(always)]
        unsafe fn splat_pair(value: f32) -> Self::Pair {
            // SAFETY: the caller's.
            unsafe { [Self::splat(value); 2] }
        }
        #[inline(always)]
        unsafe fn fma_pair(a: Self::Pair, b: Self::Pair, c: Self::Pair) -> Self::Pair {
            // SAFETY: the caller's.
            unsafe { [Self::fma(a[0], b[0], c[0]), Self::fma(a[1], b[1], c[1])] }
        }
        #[inline(always)]
        unsafe fn halves(pair: Self::Pair) -> [Self::V; 2] {
            pair
        }
        #[inline(always)]
        unsafe fn join(low: Self::V, high: Self::V) -> Self::Pair {
            [low, high]
        }
    };
}

/// Plain Rust; compilers turn it into whatever the build's baseline has.
#[derive(Clone, Copy)]
pub(crate) struct Portable<const N: usize>(());

fn zip<const N: usize>(a: [f32; N], b: [f32; N], f: impl Fn(f32, f32) -> f32) -> [f32; N] {
    std::array::from_fn(|lane| f(a[lane], b[lane]))
}

impl<const N: usize> Simd for Portable<N> {
    type V = [f32; N];
    const LANES: usize = N;
    const WIDE: bool = false;
    pair_of_vectors!();

    fn call<K: Kernel>(self, kernel: K) -> K::Out {
        #[inline(never)]
        fn run<const N: usize, K: Kernel>(kernel: K) -> K::Out {
            // SAFETY: plain Rust needs no features; the kernel's wrapper checked its pointers.
            unsafe { kernel.run::<Portable<N>>() }
        }
        run::<N, K>(kernel)
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        // SAFETY: the caller vouches for the floats.
        unsafe { from.cast::<Self::V>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, v: Self::V) {
        // SAFETY: the caller vouches for the floats.
        unsafe { to.cast::<Self::V>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::V {
        [value; N]
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| x + y)
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| x - y)
    }
    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| x * y)
    }
    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        std::array::from_fn(|lane| a[lane] * b[lane] + c[lane])
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| if x > y { x } else { y })
    }
    #[inline(always)]
    unsafe fn select_gt(a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V {
        std::array::from_fn(|lane| if a[lane] > b[lane] { yes[lane] } else { no[lane] })
    }
    #[inline(always)]
    unsafe fn keep_eq(a: Self::V, b: Self::V, yes: Self::V) -> Self::V {
        std::array::from_fn(|lane| if a[lane] == b[lane] { yes[lane] } else { 0.0 })
    }
}

/// Twice the lanes of `S`, for blocks wider than its registers.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[derive(Clone, Copy)]
pub(crate) struct Double<S>(S);

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod double {
    use super::{Double, Kernel, Simd};

    macro_rules! both {
        ($($vector:ident),+ => $half:expr) => {{
            // SAFETY: the caller's.
            unsafe { [{ $(let $vector = $vector[0];)+ $half }, { $(let $vector = $vector[1];)+ $half }] }
        }};
    }

    /// A kernel for both halves.
    struct Doubled<K>(K);

    impl<K: Kernel> Kernel for Doubled<K> {
        type Out = K::Out;

        #[inline(always)]
        unsafe fn run<S: Simd>(self) -> K::Out {
            // SAFETY: the caller's.
            unsafe { self.0.run::<Double<S>>() }
        }
    }

    impl<S: Simd> Simd for Double<S> {
        type V = [S::V; 2];
        const LANES: usize = 2 * S::LANES;
        const WIDE: bool = false;
        pair_of_vectors!();

        fn call<K: Kernel>(self, kernel: K) -> K::Out {
            self.0.call(Doubled(kernel))
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self::V {
            // SAFETY: the caller's.
            unsafe { [S::load(from), S::load(from.add(S::LANES))] }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, v: Self::V) {
            // SAFETY: the caller's.
            unsafe {
                S::store(to, v[0]);
                S::store(to.add(S::LANES), v[1]);
            }
        }
        #[inline(always)]
        unsafe fn prefetch(from: *const f32) {
            // SAFETY: the caller's.
            unsafe { S::prefetch(from) }
        }
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self::V {
            // SAFETY: the caller's.
            unsafe { [S::splat(value); 2] }
        }
        #[inline(always)]
        unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
            both!(a, b => S::add(a, b))
        }
        #[inline(always)]
        unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
            both!(a, b => S::sub(a, b))
        }
        #[inline(always)]
        unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
            both!(a, b => S::mul(a, b))
        }
        #[inline(always)]
        unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            both!(a, b, c => S::fma(a, b, c))
        }
        #[inline(always)]
        unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
            both!(a, b => S::max(a, b))
        }
        #[inline(always)]
        unsafe fn select_gt(a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V {
            both!(a, b, yes, no => S::select_gt(a, b, yes, no))
        }
        #[inline(always)]
        unsafe fn keep_eq(a: Self::V, b: Self::V, yes: Self::V) -> Self::V {
            both!(a, b, yes => S::keep_eq(a, b, yes))
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512, WideAvx512};

#[cfg(target_arch = "x86_64")]
#[allow(unused_unsafe, reason = "intrinsics are safe to call where the build's baseline has the features")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Kernel, Simd};

    /// AVX2 and FMA.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2(pub(super) ());

    /// The same 256-bit vectors with AVX-512's 32 registers and masks; pairs of them are 512-bit vectors.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512(pub(super) ());

    /// AVX-512's vectors of 512 bits.
    #[derive(Clone, Copy)]
    pub(crate) struct WideAvx512(pub(super) ());

    macro_rules! under_features {
        ($body:expr) => {{
            // SAFETY: runs inside the function `Simd::call` made, which has the features; pointers are the
            // caller's promise.
            unsafe { $body }
        }};
    }

    /// What all of them have alike.
    macro_rules! call_under {
        ($name:ident, $features:literal) => {
            fn call<K: Kernel>(self, kernel: K) -> K::Out {
                #[target_feature(enable = $features)]
                #[inline(never)]
                fn run<K: Kernel>(kernel: K) -> K::Out {
                    // SAFETY: this function has the features; the kernel's wrapper checked its pointers.
                    unsafe { kernel.run::<$name>() }
                }
                // SAFETY: a value of this type exists only where the features were detected.
                unsafe { run(kernel) }
            }
            #[inline(always)]
            unsafe fn prefetch(from: *const f32) {
                under_features!(_mm_prefetch::<_MM_HINT_T1>(from.cast()))
            }
        };
    }

    macro_rules! impl_simd {
        ($name:ident, $features:literal, $wide:literal, { $($pair:tt)* }) => {
            impl Simd for $name {
                type V = __m256;
                const LANES: usize = 8;
                const WIDE: bool = $wide;
                call_under!($name, $features);
                $($pair)*

                #[inline(always)]
                unsafe fn load(from: *const f32) -> __m256 {
                    under_features!(_mm256_loadu_ps(from))
                }
                #[inline(always)]
                unsafe fn store(to: *mut f32, v: __m256) {
                    under_features!(_mm256_storeu_ps(to, v))
                }
                #[inline(always)]
                unsafe fn splat(value: f32) -> __m256 {
                    under_features!(_mm256_set1_ps(value))
                }
                #[inline(always)]
                unsafe fn add(a: __m256, b: __m256) -> __m256 {
                    under_features!(_mm256_add_ps(a, b))
                }
                #[inline(always)]
                unsafe fn sub(a: __m256, b: __m256) -> __m256 {
                    under_features!(_mm256_sub_ps(a, b))
                }
                #[inline(always)]
                unsafe fn mul(a: __m256, b: __m256) -> __m256 {
                    under_features!(_mm256_mul_ps(a, b))
                }
                #[inline(always)]
                unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
                    under_features!(_mm256_fmadd_ps(a, b, c))
                }
                #[inline(always)]
                unsafe fn max(a: __m256, b: __m256) -> __m256 {
                    under_features!(_mm256_max_ps(a, b))
                }
                #[inline(always)]
                unsafe fn select_gt(a: __m256, b: __m256, yes: __m256, no: __m256) -> __m256 {
                    under_features!(_mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_GT_OQ>(a, b)))
                }
                #[inline(always)]
                unsafe fn keep_eq(a: __m256, b: __m256, yes: __m256) -> __m256 {
                    under_features!(_mm256_and_ps(yes, _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b)))
                }
            }
        };
    }

    impl_simd!(Avx2, "avx2,fma", false, {
        pair_of_vectors!();
    });
    impl_simd!(Avx512, "avx2,fma,avx512f,avx512vl", true, {
        type Pair = __m512;
        const PAIR_IS_ONE_REGISTER: bool = true;

        #[inline(always)]
        unsafe fn load_pair(from: *const f32) -> __m512 {
            under_features!(_mm512_loadu_ps(from))
        }
        #[inline(always)]
        unsafe fn store_pair(to: *mut f32, pair: __m512) {
            under_features!(_mm512_storeu_ps(to, pair))
        }
        #[inline(always)]
        unsafe fn splat_pair(value: f32) -> __m512 {
            under_features!(_mm512_set1_ps(value))
        }
        #[inline(always)]
        unsafe fn fma_pair(a: __m512, b: __m512, c: __m512) -> __m512 {
            under_features!(_mm512_fmadd_ps(a, b, c))
        }
        #[inline(always)]
        unsafe fn halves(pair: __m512) -> [__m256; 2] {
            under_features!({
                let high = _mm512_extractf64x4_pd::<1>(_mm512_castps_pd(pair));
                [_mm512_castps512_ps256(pair), _mm256_castpd_ps(high)]
            })
        }
        #[inline(always)]
        unsafe fn join(low: __m256, high: __m256) -> __m512 {
            under_features!({
                let low = _mm512_castps_pd(_mm512_castps256_ps512(low));
                _mm512_castpd_ps(_mm512_insertf64x4::<1>(low, _mm256_castps_pd(high)))
            })
        }
    });

    impl Simd for WideAvx512 {
        type V = __m512;
        const LANES: usize = 16;
        const WIDE: bool = true;
        call_under!(WideAvx512, "avx2,fma,avx512f,avx512vl");
        pair_of_vectors!();

        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m512 {
            under_features!(_mm512_loadu_ps(from))
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, v: __m512) {
            under_features!(_mm512_storeu_ps(to, v))
        }
        #[inline(always)]
        unsafe fn splat(value: f32) -> __m512 {
            under_features!(_mm512_set1_ps(value))
        }
        #[inline(always)]
        unsafe fn add(a: __m512, b: __m512) -> __m512 {
            under_features!(_mm512_add_ps(a, b))
        }
        #[inline(always)]
        unsafe fn sub(a: __m512, b: __m512) -> __m512 {
            under_features!(_mm512_sub_ps(a, b))
        }
        #[inline(always)]
        unsafe fn mul(a: __m512, b: __m512) -> __m512 {
            under_features!(_mm512_mul_ps(a, b))
        }
        #[inline(always)]
        unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
            under_features!(_mm512_fmadd_ps(a, b, c))
        }
        #[inline(always)]
        unsafe fn max(a: __m512, b: __m512) -> __m512 {
            under_features!(_mm512_max_ps(a, b))
        }
        #[inline(always)]
        unsafe fn select_gt(a: __m512, b: __m512, yes: __m512, no: __m512) -> __m512 {
            under_features!(_mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b), no, yes))
        }
        #[inline(always)]
        unsafe fn keep_eq(a: __m512, b: __m512, yes: __m512) -> __m512 {
            under_features!(_mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b), yes))
        }
    }
}

#[cfg(target_arch = "aarch64")]
pub(crate) use arm::Neon;

#[cfg(target_arch = "aarch64")]
#[allow(unused_unsafe, reason = "intrinsics are safe to call where the build's baseline has the features")]
mod arm {
    use std::arch::aarch64::*;

    use super::{Kernel, Simd};

    /// Two NEON vectors of four.
    #[derive(Clone, Copy)]
    pub(crate) struct Neon(pub(super) ());

    macro_rules! both {
        ($($vector:ident),+ => $lane:expr) => {{
            // SAFETY: runs inside the function `Simd::call` made, which has NEON.
            unsafe { ({ $(let $vector = $vector.0;)+ $lane }, { $(let $vector = $vector.1;)+ $lane }) }
        }};
    }

    impl Simd for Neon {
        type V = (float32x4_t, float32x4_t);
        const LANES: usize = 8;
        pair_of_vectors!();
        // 32 registers of four lanes hold sixteen of these vectors.
        const WIDE: bool = false;

        fn call<K: Kernel>(self, kernel: K) -> K::Out {
            #[target_feature(enable = "neon")]
            #[inline(never)]
            fn run<K: Kernel>(kernel: K) -> K::Out {
                // SAFETY: this function has NEON; the kernel's wrapper checked its pointers.
                unsafe { kernel.run::<Neon>() }
            }
            // SAFETY: a value of this type exists only where NEON was detected.
            unsafe { run(kernel) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self::V {
            // SAFETY: the caller vouches for the floats.
            unsafe { (vld1q_f32(from), vld1q_f32(from.add(4))) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, v: Self::V) {
            // SAFETY: the caller vouches for the floats.
            unsafe {
                vst1q_f32(to, v.0);
                vst1q_f32(to.add(4), v.1);
            }
        }
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self::V {
            // SAFETY: runs inside the function `Simd::call` made, which has NEON.
            unsafe { (vdupq_n_f32(value), vdupq_n_f32(value)) }
        }
        #[inline(always)]
        unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
            both!(a, b => vaddq_f32(a, b))
        }
        #[inline(always)]
        unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
            both!(a, b => vsubq_f32(a, b))
        }
        #[inline(always)]
        unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
            both!(a, b => vmulq_f32(a, b))
        }
        #[inline(always)]
        unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            both!(a, b, c => vfmaq_f32(c, a, b))
        }
        #[inline(always)]
        unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
            both!(a, b => vbslq_f32(vcgtq_f32(a, b), a, b))
        }
        #[inline(always)]
        unsafe fn select_gt(a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V {
            both!(a, b, yes, no => vbslq_f32(vcgtq_f32(a, b), yes, no))
        }
        #[inline(always)]
        unsafe fn keep_eq(a: Self::V, b: Self::V, yes: Self::V) -> Self::V {
            both!(a, b, yes => vbslq_f32(vceqq_f32(a, b), yes, vdupq_n_f32(0.0)))
        }
    }
}

//! Every kernel: `cargo bench -p cdarts-kernels --bench kernels [FILTER]`. Bytes and items (additions and multiplications) a
//! second, and what is allocated.

mod work;

use divan::{AllocProfiler, Bencher};
use work::{Case, KERNELS, cases};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench(args = cases(&KERNELS), sample_count = 20, sample_size = 1)]
fn forward(bencher: Bencher<'_, '_>, case: &Case) {
    work::forward(bencher, case);
}

#[divan::bench(args = cases(&KERNELS), sample_count = 20, sample_size = 1)]
fn backward(bencher: Bencher<'_, '_>, case: &Case) {
    work::backward(bencher, case);
}

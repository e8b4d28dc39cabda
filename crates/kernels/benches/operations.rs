//! Operations of the DARTS space as cells of four edges: `cargo bench -p cdarts-kernels --bench operations`. Bytes and items (additions and multiplications) a second,
//! and what is allocated.

mod work;

use cdarts_kernels::plan::Op;
use divan::{AllocProfiler, Bencher};
use work::{Case, Kernel, cases};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const KERNELS: [Kernel; 11] = [
    Kernel::Operation(Op::SepConv3),
    Kernel::Operation(Op::SepConv5),
    Kernel::Operation(Op::DilConv3),
    Kernel::Operation(Op::DilConv5),
    Kernel::Operation(Op::MaxPool3),
    Kernel::Operation(Op::AvgPool3),
    Kernel::Operation(Op::Skip),
    Kernel::Reducing(Op::SepConv3),
    Kernel::Reducing(Op::DilConv5),
    Kernel::Reducing(Op::MaxPool3),
    Kernel::Reducing(Op::Skip),
];

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

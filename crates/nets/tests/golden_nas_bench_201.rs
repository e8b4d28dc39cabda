//! Operations, residual block, cells and networks of NAS-Bench-201 against PyTorch in double precision
//! (`tools/golden/nas_bench_201.py`): outputs and all gradients, on burn's own operations and on the fused kernels alike.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "how near the bounds are is worth seeing")]

mod support;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use cdarts_nets::arch::host_values;
use cdarts_nets::nas_bench_201::{EvalCell, ResidualBlock, SearchCell};
use cdarts_nets::ops::Operation;
use cdarts_nets::{ArchWeights, EvalNet, Initialiser, State, Stem, Supernet};
use cdarts_space::ImageShape;
use cdarts_space::nas_bench_201::{CellPlan, Genotype, NetworkPlan, NetworkSpec, Op, ReductionPlan};

use support::golden::{GRADIENT, Golden, PATHS, compare_network, gradients, input, on, weighted};

fn golden() -> Golden {
    Golden::open(env!("CARGO_MANIFEST_DIR"), "nas_bench_201")
}

fn init() -> Initialiser {
    Initialiser::new(0, &Device::flex().autodiff())
}

/// The script's name of a genotype.
fn genotype(name: &str) -> Genotype {
    match name {
        "every-operation" => Genotype { ops: [4, 3, 2, 0, 1, 4].map(|index| Op::ALL[index]) },
        _ => cdarts_space::nas_bench_201::published(name).unwrap(),
    }
}

/// Images, channels, height and width of the cases of even and of odd size.
fn shape_of(size: &str) -> [usize; 4] {
    if size == "even" { [2, 5, 8, 6] } else { [2, 8, 7, 5] }
}

fn state(path: &str, x: Tensor<4>) -> State {
    if path == "stock" { State::Plain(x) } else { State::new(x) }
}

/// Compares a module's output on one generated tensor, and all gradients.
fn compare_module<M: Module>(
    golden: &Golden,
    (case, path): (&str, &str),
    shape: [usize; 4],
    module: M,
    forward: impl FnOnce(&M, Tensor<4>) -> Tensor<4>,
) {
    let values = golden.generator(case);
    let module = values.fill(module, "");
    let x = input(&values, "input", shape, 2.0);
    let output = on(path, || forward(&module, x.clone()));
    let mut comparison = golden.compare(case, path);
    // `none` is a constant: a term without weight keeps its input in the graph.
    let loss = x.clone().sum().mul_scalar(0.0) + weighted(&values, "output", &output);
    comparison.output("output", output);
    let grads = loss.backward();
    let mut found = gradients("", &module, &grads);
    found.insert("input".to_owned(), host_values(x.grad(&grads).unwrap()));
    comparison.group("gradient", &found, GRADIENT);
    comparison.finish();
}

#[test]
fn operations() {
    let golden = golden();
    for size in ["even", "odd"] {
        let shape = shape_of(size);
        for op in Op::ALL {
            // The fused ones run in the cells below.
            let module = Operation::of_nas_bench_201(op, shape[1], true, &mut init());
            let case = format!("{op}/{size}");
            compare_module(&golden, (&case, "stock"), shape, module, |op, x| op.forward(x));
        }
    }
}

#[test]
fn residual_blocks() {
    let golden = golden();
    for (size, path) in [("even", "stock"), ("even", "fused"), ("odd", "stock"), ("odd", "fused")] {
        let [_, channels, height, width] = shape_of(size);
        let image = ImageShape { channels: 3, height, width };
        let plan =
            NetworkSpec { image, classes: 2, init_channels: channels, cells_per_stage: 1 }.plan().unwrap();
        let reduction: &ReductionPlan = plan.stages[0].reduction.as_ref().unwrap();
        let block = ResidualBlock::new(reduction, &init());
        let case = format!("residual_block/{size}");
        compare_module(&golden, (&case, path), shape_of(size), block, |block, x| {
            block.forward(state(path, x)).plain()
        });
    }
}

/// Compares a cell in training and in inference, with the gradient of its mixing weights where it has some.
fn compare_cell<M: Module>(
    golden: &Golden,
    (case, path): (&str, &str),
    cell: M,
    mixed: bool,
    forward: impl Fn(&M, State, &Tensor<2>) -> State,
) {
    let values = golden.generator(case);
    let cell = values.fill(cell, "");
    let x = input(&values, "x", [4, 5, 6, 5], 2.0);
    let mixing = input(&values, "mixing", [6, 5], 1.0);
    let run = |cell: &M, x: Tensor<4>, mixing: &Tensor<2>| {
        on(path, || forward(cell, state(path, x), mixing).plain())
    };
    let output = run(&cell, x.clone(), &mixing);
    let mut comparison = golden.compare(case, path);
    let loss = weighted(&values, "output", &output);
    comparison.output("output", output);
    let grads = loss.backward();
    let mut found = gradients("", &cell, &grads);
    found.insert("x".to_owned(), host_values(x.grad(&grads).unwrap()));
    if mixed {
        found.insert("mixing".to_owned(), host_values(mixing.grad(&grads).unwrap()));
    }
    comparison.group("gradient", &found, GRADIENT);
    comparison.output("inference/output", run(&cell.valid(), x.inner(), &mixing.inner()));
    comparison.finish();
}

#[test]
fn cells() {
    let golden = golden();
    let plan = CellPlan { channels: 5, size: [6, 5] };
    for path in PATHS {
        let cell = SearchCell::new(&plan, &init());
        compare_cell(&golden, ("search/cell", path), cell, true, |cell, x, mixing| cell.forward(x, mixing));
        for name in ["nas-bench-201-cell-1", "nas-bench-201-cell-2", "every-operation"] {
            let cell = EvalCell::new(&plan, &genotype(name), true, &init());
            let case = format!("evaluation/{name}");
            compare_cell(&golden, (&case, path), cell, false, |cell, x, _| cell.forward(x, None));
        }
    }
}

fn network_plan(cells_per_stage: usize) -> NetworkPlan {
    let image = ImageShape { channels: 3, height: 8, width: 10 };
    NetworkSpec { image, classes: 5, init_channels: 4, cells_per_stage }.plan().unwrap()
}

fn stem() -> (Stem, [usize; 4]) {
    (Stem::of(&network_plan(1), &mut init()), [6, 3, 8, 10])
}

#[test]
fn networks() {
    let golden = golden();
    for path in PATHS {
        let arch = ArchWeights::of_nas_bench_201(&init());
        let net = Supernet::new(&network_plan(1), &init());
        compare_network(&golden, ("search/network", path), stem(), (net, Some(arch)), |net, stem, arch| {
            net.forward(stem, arch.unwrap())
        });
        for (case, affine) in [("evaluation/network/plain", false), ("evaluation/network/affine", true)] {
            let net = EvalNet::new(&network_plan(2), genotype("nas-bench-201-cell-2"), affine, &init());
            compare_network(&golden, (case, path), stem(), (net, None::<ArchWeights>), |net, stem, _| {
                net.forward(stem, None)
            });
        }
    }
}

//! Operations, heads, stems, cells and networks against PyTorch in double precision (`tools/golden/`): outputs and all
//! gradients, on burn's own operations and on the fused kernels alike.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "how near the bounds are is worth seeing")]

mod support;

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use cdarts_kernels::plan::{self, CellPlan};
use cdarts_kernels::{Affine, CellGrads, CellInput, Channels, Workspace, from_blocked, to_blocked};
use cdarts_nets::arch::host_values;
use cdarts_nets::cell::{EvalCell, SearchCell};
use cdarts_nets::ops::{FactorizedReduce, Operation, ReluConvNorm};
use cdarts_nets::{ArchWeights, EvalNet, Head, Initialiser, State, Stem, Supernet};
use cdarts_space::{
    CellKind, CellPlan as PlannedCell, HeadPlan, ImageShape, NetworkPlan, NetworkSpec, Op, ReductionPosition,
    Stem as StemKind, StemPlan, published,
};

use support::golden::{
    GRADIENT, Generator, Golden, OUTPUT, PATHS, compare_network, gradients, input, on, parameters, weighted,
};

fn golden(name: &str) -> Golden {
    Golden::open(env!("CARGO_MANIFEST_DIR"), name)
}

fn init() -> Initialiser {
    Initialiser::new(0, &Device::flex().autodiff())
}

/// Compares a module's outputs, the gradients of its parameters and that of its input, which has `shape`.
fn compare_module<M: Module, const D: usize>(
    golden: &Golden,
    (case, path): (&str, &str),
    shape: [usize; 4],
    module: M,
    forward: impl FnOnce(&M, Tensor<4>) -> Vec<Tensor<D>>,
) {
    let values = golden.generator(case);
    let module = values.fill(module, "");
    let x = input(&values, "input", shape, 2.0);
    let outputs = on(path, || forward(&module, x.clone()));
    let mut comparison = golden.compare(case, path);
    // `none` is a constant: a term without weight keeps its input in the graph.
    let mut loss = x.clone().sum().mul_scalar(0.0);
    for (name, output) in ["output", "second"].into_iter().zip(outputs) {
        loss = loss + weighted(&values, name, &output);
        comparison.output(name, output);
    }
    let grads = loss.backward();
    let mut found = gradients("", &module, &grads);
    found.insert("input".to_owned(), host_values(x.grad(&grads).unwrap()));
    comparison.group("gradient", &found, GRADIENT);
    comparison.finish();
}

/// A case's operation and stride, where it is one of an operation, and the shape of its input.
fn operation(case: &str) -> Option<(Op, usize, [usize; 4])> {
    let mut fields = case.split('/');
    Some((Op::from_name(fields.next()?)?, fields.next()?.parse().unwrap(), shape_of(fields.next()?)))
}

/// Images, channels, height and width of the cases of even and of odd size.
fn shape_of(size: &str) -> [usize; 4] {
    if size == "even" { [2, 5, 8, 6] } else { [2, 8, 7, 5] }
}

#[test]
fn operations() {
    let golden = golden("ops");
    for case in golden.cases() {
        if let Some((op, stride, shape)) = operation(case) {
            let module = Operation::new(op, shape[1], stride, true, &mut init());
            compare_module(&golden, (case, "stock"), shape, module.clone(), |op, x| vec![op.forward(x)]);
            fused_operation(
                &golden,
                case,
                shape,
                module,
                CellPlan::with_edges(
                    shape[1],
                    [shape[2], shape[3]],
                    stride == 2,
                    &[plan::Edge { node: 0, source: 0, op: plan::Op::ALL[op.index()] }],
                    true,
                )
                .unwrap(),
            );
        }
    }
}

/// An operation as a cell of one edge.
fn fused_operation(golden: &Golden, case: &str, [n, c, h, w]: [usize; 4], module: Operation, plan: CellPlan) {
    let values = golden.generator(case);
    let module = values.fill(module, "");
    let ([oh, ow], channels) = (plan.output_size(), Channels::new(c));
    let blocked = |plain: &[f32], size: [usize; 2]| {
        let mut to = vec![0.0; cdarts_kernels::blocked_len(n, channels, size)];
        to_blocked(n, channels, size, plain, &mut to).unwrap();
        to
    };
    let plain = |blocked: &[f32], size: [usize; 2]| {
        let mut to = vec![0.0; n * c * size[0] * size[1]];
        from_blocked(n, channels, size, blocked, &mut to).unwrap();
        to
    };
    let named = parameters(&module);
    let flat = |kind: &str| -> Vec<f32> {
        let of_kind = named.iter().filter(|(name, _)| name.ends_with(kind));
        of_kind.flat_map(|(_, data)| data.iter::<f32>().collect::<Vec<f32>>()).collect()
    };
    let (weights, gain, bias) = (flat("weight"), flat("gamma"), flat("beta"));
    let data = values.uniform("input", [n, c, h, w], 2.0);
    let s0 = blocked(data.as_slice::<f32>().unwrap(), [h, w]);
    let s1 = vec![0.0; s0.len()];
    let affine = Some(Affine { gain: &gain, bias: &bias });
    let cell = CellInput { n, s0: &s0, s1: &s1, weights: &weights, affine, mix: None, drop: None };
    let mut output = vec![0.0; plan.output_len(n)];
    let workspace = Workspace::new();
    let saved = plan.forward(&workspace, &cell, &mut output).unwrap();
    // The other three nodes have no edges.
    let node = output.len() / (4 * n);
    let of_first: Vec<f32> =
        output.chunks_exact(4 * node).flat_map(|image| &image[..node]).copied().collect();
    assert_eq!(output.iter().filter(|&&v| v != 0.0).count(), of_first.iter().filter(|&&v| v != 0.0).count());
    let mut comparison = golden.compare(case, "fused");
    comparison.check("output", &plain(&of_first, [oh, ow]), OUTPUT);

    let coefficients = values.uniform("coefficient/output", [n, c, oh, ow], 1.0);
    let of_first = blocked(coefficients.as_slice::<f32>().unwrap(), [oh, ow]);
    let mut grad = vec![0.0; output.len()];
    grad.chunks_exact_mut(4 * node)
        .zip(of_first.chunks_exact(node))
        .for_each(|(to, from)| to[..node].copy_from_slice(from));
    let (mut grad_s0, mut grad_s1) = (vec![0.0; s0.len()], vec![0.0; s1.len()]);
    let (mut grad_weights, mut grad_gain, mut grad_bias) =
        (vec![0.0; weights.len()], vec![0.0; gain.len()], vec![0.0; bias.len()]);
    let grads = CellGrads {
        s0: &mut grad_s0,
        s1: &mut grad_s1,
        weights: Some(&mut grad_weights),
        affine: Some([&mut grad_gain, &mut grad_bias]),
        mix: None,
    };
    plan.backward(&workspace, &cell, &output, saved, &grad, grads).unwrap();
    let mut found = BTreeMap::from([("input".to_owned(), plain(&grad_s0, [h, w]))]);
    for (kind, values) in [("weight", &grad_weights), ("gamma", &grad_gain), ("beta", &grad_bias)] {
        let mut rest = values.as_slice();
        for (name, data) in named.iter().filter(|(name, _)| name.ends_with(kind)) {
            let (own, others) = rest.split_at(data.num_elements());
            found.insert(name.clone(), own.to_vec());
            rest = others;
        }
        assert!(rest.is_empty());
    }
    comparison.group("gradient", &found, GRADIENT);
    comparison.finish();
}

#[test]
fn pre_processing() {
    let golden = golden("ops");
    for size in ["even", "odd"] {
        for path in PATHS {
            let (shape, case) = (shape_of(size), format!("factorized_reduce/{size}"));
            let reduce = FactorizedReduce::new(shape[1], 7, true, &mut init());
            compare_module(&golden, (&case, path), shape, reduce, |op, x| {
                vec![op.forward_state(State::new(x)).plain()]
            });
            let case = format!("relu_conv_norm/{size}");
            let conv = ReluConvNorm::new(shape[1], 6, false, &mut init());
            compare_module(&golden, (&case, path), shape, conv, |op, x| {
                vec![op.forward(State::new(x)).plain()]
            });
        }
    }
}

#[test]
fn heads() {
    let golden = golden("heads");
    let published = |size: usize, pool: usize, stride: usize, affine: bool, norm_after_conv: bool| HeadPlan {
        stage: 0,
        in_channels: 5,
        size: [size; 2],
        pool: [pool; 2],
        pool_stride: [stride; 2],
        conv_kernel: [2; 2],
        hidden: 6,
        features: 10,
        classes: 4,
        norm_after_conv,
        affine,
    };
    for (case, images, plan) in [
        ("distillation/16", 3, published(16, 6, 2, false, true)),
        ("distillation/8", 8, published(8, 6, 2, false, true)),
        ("auxiliary/cifar", 8, published(8, 5, 3, true, true)),
        ("auxiliary/imagenet", 8, published(7, 5, 2, true, false)),
    ] {
        let head = Head::new(&plan, plan.affine, &mut init());
        let shape = [images, plan.in_channels, plan.size[0], plan.size[1]];
        for path in PATHS {
            compare_module(&golden, (case, path), shape, head.clone(), |head, x| {
                vec![head.forward(State::new(x))]
            });
        }
    }
}

#[test]
fn stems() {
    let golden = golden("stems");
    for (case, kind, out_channels, shape) in [
        ("cifar", StemKind::Cifar, 12, [2, 3, 9, 8]),
        ("imagenet", StemKind::Imagenet, 8, [3, 3, 16, 24]),
        ("resnet", StemKind::ResNet, 6, [2, 3, 16, 20]),
    ] {
        for path in PATHS {
            let [_, in_channels, h, w] = shape;
            let (image_size, size) = ([h, w], [0, 0]);
            let plan = StemPlan { kind, in_channels, image_size, out_channels, size_s0: size, size_s1: size };
            let stem = Stem::new(&plan, &mut init());
            compare_module(&golden, (case, path), shape, stem, |stem, x| {
                stem.forward(x).map(State::plain).into()
            });
        }
    }
}

#[test]
fn values_are_those_of_the_scripts() {
    // `uniform("a", [4])` and `labels("a", 4, 10)` of `tools/golden/values.py`.
    let values = Generator::new(1);
    let units = [3_522_287.0_f32, -5_397_701.0, 4_340_885.0, -1_724_396.0].map(|unit| unit / 8_388_608.0);
    assert_eq!(values.uniform("a", [4], 1.0).as_slice::<f32>().unwrap(), units);
    assert_eq!(values.labels("a", 4, 10), [7, 1, 7, 3]);
}

/// A cell's channels, those of the two cells before it, whether it and the one before reduce, and its newer input's size.
type CellCase = (usize, usize, usize, bool, bool, [usize; 2]);

fn cell_plan((channels, two_back, one_back, reduces, previous_reduces, size): CellCase) -> PlannedCell {
    let half = |side: usize| if reduces { side.div_ceil(2) } else { side };
    PlannedCell {
        kind: if reduces { CellKind::Reduction } else { CellKind::Normal },
        channels,
        channels_two_back: two_back,
        channels_one_back: one_back,
        previous_reduces,
        size_two_back: size.map(|side| if previous_reduces { 2 * side } else { side }),
        size_one_back: size,
        out_size: size.map(half),
    }
}

/// The inputs of a cell and, of a search cell, the weights of its operations.
fn cell_inputs(values: &Generator, plan: &PlannedCell) -> ([Tensor<4>; 2], Tensor<2>) {
    let state =
        |name: &str, channels: usize, [h, w]: [usize; 2]| input(values, name, [4, channels, h, w], 2.0);
    let two_back = state("two_back", plan.channels_two_back, plan.size_two_back);
    let one_back = state("one_back", plan.channels_one_back, plan.size_one_back);
    ([two_back, one_back], input(values, "mixing", [14, 8], 1.0))
}

fn compare_cell<M: Module>(
    golden: &Golden,
    (case, path): (&str, &str),
    plan: &PlannedCell,
    cell: M,
    mixed: bool,
    forward: impl Fn(&M, [State; 2], &Tensor<2>) -> State,
) {
    let values = golden.generator(case);
    let cell = values.fill(cell, "");
    let (states, mixing) = cell_inputs(&values, plan);
    let run = |cell: &M, states: [Tensor<4>; 2], mixing: &Tensor<2>| {
        on(path, || forward(cell, states.map(State::new), mixing).plain())
    };
    let output = run(&cell, states.clone(), &mixing);
    let mut comparison = golden.compare(case, path);
    let grads = weighted(&values, "output", &output).backward();
    comparison.output("output", output);
    let mut found = gradients("", &cell, &grads);
    for (name, state) in ["two_back", "one_back"].into_iter().zip(&states) {
        found.insert(name.to_owned(), host_values(state.grad(&grads).unwrap()));
    }
    if mixed {
        found.insert("mixing".to_owned(), host_values(mixing.grad(&grads).unwrap()));
    }
    comparison.group("gradient", &found, GRADIENT);
    let inference = run(&cell.valid(), states.map(Tensor::inner), &mixing.inner());
    comparison.output("inference/output", inference);
    comparison.finish();
}

#[test]
fn search_cells() {
    let golden = golden("cells");
    for (case, plan) in [
        ("search/normal", (5, 7, 6, false, false, [6, 5])),
        ("search/reduction", (8, 4, 6, true, false, [8, 6])),
        ("search/after_reduction", (4, 3, 6, false, true, [4, 5])),
    ] {
        let plan = cell_plan(plan);
        for path in PATHS {
            let cell = SearchCell::new(&plan, &init());
            compare_cell(&golden, (case, path), &plan, cell, true, |cell, [older, newer], mixing| {
                cell.forward(older, newer, mixing)
            });
        }
    }
}

#[test]
fn evaluation_cells() {
    let golden = golden("cells");
    for (case, genotype, plan, affine) in [
        ("evaluation/normal", "cdarts-cifar", (5, 7, 6, false, false, [6, 5]), true),
        ("evaluation/reduction", "cdarts-cifar", (8, 4, 6, true, false, [8, 6]), true),
        ("evaluation/after_reduction", "cdarts-imagenet", (8, 3, 6, false, true, [4, 5]), false),
        ("evaluation/reduction_again", "cdarts-imagenet", (4, 3, 6, true, true, [7, 6]), false),
    ] {
        let (plan, genotype) = (cell_plan(plan), published(genotype).unwrap());
        for path in PATHS {
            let cell = EvalCell::new(&plan, genotype.cell(plan.kind), affine, &init());
            compare_cell(&golden, (case, path), &plan, cell, false, |cell, [older, newer], _| {
                cell.forward(older, newer, None)
            });
        }
    }
}

fn network_plan(
    stem: StemKind,
    init_channels: usize,
    stem_multiplier: usize,
    [h, w]: [usize; 2],
) -> NetworkPlan {
    NetworkSpec {
        stem,
        image: ImageShape { channels: 3, height: h, width: w },
        classes: 5,
        init_channels,
        stem_multiplier,
        cells_per_stage: vec![2, 1],
        reduction: ReductionPosition::Last,
    }
    .plan()
    .unwrap()
}

/// The stem of a network, and the shape of its images.
fn behind(plan: &NetworkPlan, images: usize) -> (Stem, [usize; 4]) {
    let [height, width] = plan.stem.image_size;
    (Stem::of(plan, &mut init()), [images, 3, height, width])
}

#[test]
fn networks() {
    let golden = golden("networks");
    for path in PATHS {
        let plan = network_plan(StemKind::Cifar, 2, 3, [8, 10]);
        let (net, arch) = (Supernet::new(&plan, &init()), ArchWeights::new(true, &init()));
        compare_network(&golden, ("search", path), behind(&plan, 6), (net, Some(arch)), |net, stem, arch| {
            net.forward(stem, arch.unwrap())
        });
        for (case, genotype, plan, images) in [
            ("evaluation/cifar", "cdarts-cifar", network_plan(StemKind::Cifar, 4, 3, [8, 10]), 6),
            ("evaluation/imagenet", "cdarts-imagenet", network_plan(StemKind::Imagenet, 4, 1, [24, 32]), 4),
        ] {
            let net = EvalNet::new(&plan, published(genotype).unwrap(), true, &init());
            compare_network(
                &golden,
                (case, path),
                behind(&plan, images),
                (net, None::<ArchWeights>),
                |net, stem, _| net.forward(stem, None),
            );
        }
    }
}

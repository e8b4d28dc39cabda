//! Whole networks on the fused kernels against the same networks on burn's own operations: outputs, every
//! gradient, running statistics, inference.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Distribution, Gradients, Tensor};
use cdarts_nets::{
    ArchWeights, DistillHeads, DropPath, EvalNet, Features, Initialiser, State, Stem, Supernet, weights,
};
use cdarts_space::{
    Genotype, ImageShape, NetworkPlan, NetworkSpec, PlanView, ReductionPosition, Stem as StemKind,
    nas_bench_201, published,
};

/// Largest distance of two gradients, relative to their length. Both paths work in 32 bits and add up in another
/// order; norms over few values amplify that, and a ReLU that flips moves single gradients by a percent. A wrong edge,
/// weight or mask moves them by their own size. The kernels themselves are held to 1e-5 of a 64-bit reference in their
/// own crate.
const TOLERANCE: f32 = 0.03;

fn plan(stem: StemKind, image: [usize; 2], init_channels: usize, cells: &[usize]) -> NetworkPlan {
    let [height, width] = image;
    NetworkSpec {
        stem,
        image: ImageShape { channels: 3, height, width },
        classes: 5,
        init_channels,
        stem_multiplier: 2,
        cells_per_stage: cells.to_vec(),
        reduction: ReductionPosition::Last,
    }
    .plan()
    .unwrap()
}

fn images<'a>(n: usize, plan: impl Into<PlanView<'a>>) -> Tensor<4> {
    let device = Device::flex().autodiff();
    device.seed(7);
    let [h, w] = plan.into().stem().image_size;
    Tensor::random([n, 3, h, w], Distribution::Normal(0.0, 1.0), &device)
}

fn plain(states: [State; 2]) -> [State; 2] {
    states.map(|state| State::Plain(state.plain()))
}

/// A loss that every output takes part in.
fn loss(features: Features) -> Tensor<1> {
    let stages = features.stages.into_iter().map(|state| state.plain().tanh().mean());
    stages.fold(features.logits.tanh().sum(), |sum, stage| sum + stage)
}

struct Collect<'a>(&'a Gradients, Vec<Vec<f32>>);

impl ModuleVisitor for Collect<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = param.val().grad(self.0) {
            self.1.push(cdarts_nets::arch::host_values(grad));
        }
    }
}

fn gradients<M: Module>(module: &M, grads: &Gradients) -> Vec<Vec<f32>> {
    let mut collect = Collect(grads, Vec::new());
    module.visit(&mut collect);
    collect.1
}

fn close(name: &str, fused: &[f32], stock: &[f32]) {
    assert_eq!(fused.len(), stock.len(), "{name}");
    let length = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
    let distance = length(&mut fused.iter().zip(stock).map(|(a, b)| a - b));
    let scale = length(&mut stock.iter().copied()).max(1e-3);
    assert!(distance <= TOLERANCE * scale, "{name}: {distance} apart, {scale} long");
}

fn all_close(name: &str, fused: &[Vec<f32>], stock: &[Vec<f32>]) {
    assert!(!fused.is_empty() && fused.len() == stock.len(), "{name}: {} {}", fused.len(), stock.len());
    fused.iter().zip(stock).for_each(|(a, b)| close(name, a, b));
}

#[test]
fn search_networks_agree() {
    for (stem, image, channels, cells) in [
        (StemKind::Cifar, [8, 8], 8, vec![1, 1]),
        (StemKind::Cifar, [9, 13], 5, vec![2, 1]),
        // Wide enough for blocks of sixteen channels, where the processor has such vectors.
        (StemKind::Cifar, [8, 10], 12, vec![1, 1]),
        (StemKind::Imagenet, [64, 64], 4, vec![1, 1]),
    ] {
        let plan = plan(stem, image, channels, &cells);
        let init = Initialiser::new(3, &Device::flex().autodiff());
        let stem = Stem::of(&plan, &mut init.at(0));
        let arch = ArchWeights::new(true, &init.at(1));
        let net = Supernet::new(&plan, &init.at(2));
        let run = |fused: bool| {
            let states = stem.forward(images(4, &plan));
            let states = if fused { states } else { plain(states) };
            assert_eq!(matches!(states[0], State::Blocked(_)), fused);
            let features = net.forward(states, &arch);
            let logits = cdarts_nets::arch::host_values(features.logits.clone());
            let grads = loss(features).backward();
            (logits, gradients(&net, &grads), gradients(&arch, &grads), gradients(&stem, &grads))
        };
        let (fused, stock) = (run(true), run(false));
        close("logits", &fused.0, &stock.0);
        all_close("network", &fused.1, &stock.1);
        all_close("architecture", &fused.2, &stock.2);
        all_close("stem", &fused.3, &stock.3);
    }
}

#[test]
fn frozen_cells_have_no_gradient_and_change_no_other() {
    let plan = plan(StemKind::Cifar, [8, 8], 12, &[1, 1]);
    let init = Initialiser::new(3, &Device::flex().autodiff());
    let stem = Stem::of(&plan, &mut init.at(0));
    let arch = ArchWeights::new(true, &init.at(1));
    let net = Supernet::new(&plan, &init.at(2));
    let run = |asked: &Supernet, fused: bool| {
        let states = stem.forward(images(4, &plan));
        let features = asked.forward(if fused { states } else { plain(states) }, &arch);
        let logits = cdarts_nets::arch::host_values(features.logits.clone());
        let grads = loss(features).backward();
        let others =
            [gradients(&arch, &grads), gradients(&stem, &grads), gradients(net.classifier(), &grads)];
        // Of the network itself, as optimisers see it, whichever was asked.
        (logits, others, gradients(&net, &grads))
    };
    for fused in [true, false] {
        let (logits, others, all) = run(&net, fused);
        let before = weights::to_bytes(&net).unwrap();
        let (frozen_logits, frozen_others, rest) = run(&net.with_frozen_cells(), fused);
        assert!(before != weights::to_bytes(&net).unwrap(), "running statistics are shared, and move");
        assert_eq!((logits, &others), (frozen_logits, &frozen_others), "fused: {fused}");
        assert!(all.len() > others[2].len());
        assert_eq!(rest, others[2], "fused: {fused}");
    }
}

/// As the published code draws cells at random: nodes with one edge, two operations on one edge.
fn drawn() -> Genotype {
    "Genotype(normal=[[('max_pool_3x3', 0)], [('sep_conv_3x3', 1), ('dil_conv_3x3', 1)], [('skip_connect', 2)],
                      [('sep_conv_5x5', 4), ('skip_connect', 4)]], normal_concat=range(2, 6),
              reduce=[[('skip_connect', 1), ('sep_conv_3x3', 1)], [('dil_conv_5x5', 0)], [('avg_pool_3x3', 3)],
                      [('max_pool_3x3', 0), ('avg_pool_3x3', 0)]], reduce_concat=range(2, 6))"
        .parse()
        .unwrap()
}

#[test]
fn evaluation_networks_agree_with_drop_path_in_training_and_in_inference() {
    for name in ["cdarts-cifar", "darts-v1", "pcdarts-imagenet", "cdarts-2019-cifar", "drawn"] {
        for (affine, channels) in [(false, 6), (true, 6), (true, 12)] {
            let plan = plan(StemKind::Cifar, [8, 10], channels, &[2, 1]);
            let init = Initialiser::new(4, &Device::flex().autodiff());
            let stem = Stem::of(&plan, &mut init.at(0));
            let genotype = published(name).unwrap_or_else(drawn);
            let run = |fused: bool| {
                let net = EvalNet::new(&plan, &genotype, affine, &init.at(1));
                let states = stem.forward(images(6, &plan));
                let states = if fused { states } else { plain(states) };
                let mut drop_path = DropPath::new(0.3, 5);
                let features = net.forward(states.clone(), Some(&mut drop_path));
                let logits = cdarts_nets::arch::host_values(features.logits.clone());
                let grads = loss(features).backward();
                let stored = weights::to_bytes(&net).unwrap();
                let inner = states.map(|state| {
                    let x = state.plain().inner();
                    if fused { State::new(x) } else { State::Plain(x) }
                });
                let inferred = cdarts_nets::arch::host_values(net.valid().forward(inner, None).logits);
                (logits, gradients(&net, &grads), stored.len(), inferred)
            };
            let (fused, stock) = (run(true), run(false));
            close("logits", &fused.0, &stock.0);
            all_close(name, &fused.1, &stock.1);
            assert_eq!(fused.2, stock.2);
            close("inference", &fused.3, &stock.3);
        }
    }
}

#[test]
fn one_value_norms_fall_back() {
    // One image whose last stage is a single pixel: the kernels refuse a norm over one value.
    let plan = plan(StemKind::Cifar, [8, 8], 4, &[1, 1, 1, 1]);
    let init = Initialiser::new(4, &Device::flex().autodiff());
    let net = EvalNet::new(&plan, published("darts-v2").unwrap(), true, &init.at(1));
    let features = net.forward(Stem::of(&plan, &mut init.at(0)).forward(images(1, &plan)), None);
    assert!(cdarts_nets::arch::host_values(features.logits).iter().all(|value| value.is_finite()));
}

#[test]
fn distillation_heads_agree_trained_and_frozen() {
    // Inner stages of 16 and 8 pixels as published, of 5 and 7, and of one row, where the second kernel is not square.
    for (image, channels, cells, n) in [
        ([32, 32], 3, vec![1, 1, 1], 2),
        ([9, 13], 3, vec![1, 1], 5),
        ([8, 24], 3, vec![1, 1, 1, 1], 4),
        ([16, 16], 10, vec![1, 1], 3),
    ] {
        let plan = plan(StemKind::Cifar, image, channels, &cells);
        let init = Initialiser::new(5, &Device::flex().autodiff());
        let stem = Stem::of(&plan, &mut init.at(0));
        let net = Supernet::new(&plan, &init.at(1));
        let arch = ArchWeights::new(false, &init.at(2));
        let heads = DistillHeads::new(&plan, &init.at(3));
        assert_eq!(heads.len(), cells.len() - 1);
        for heads in [heads.clone(), heads.no_grad()] {
            let run = |fused: bool| {
                let mut features = net.forward(stem.forward(images(n, &plan)), &arch);
                if !fused {
                    features.stages =
                        features.stages.into_iter().map(|state| State::Plain(state.plain())).collect();
                }
                let output = heads.forward(features);
                let logits: Vec<Vec<f32>> =
                    output.stage_logits.iter().cloned().map(cdarts_nets::arch::host_values).collect();
                let loss = output
                    .stage_logits
                    .into_iter()
                    .fold(output.logits.tanh().sum(), |sum, logits| sum + logits.tanh().sum());
                let grads = loss.backward();
                (logits, gradients(&heads, &grads), gradients(&net, &grads))
            };
            let (fused, stock) = (run(true), run(false));
            all_close("stage logits", &fused.0, &stock.0);
            assert_eq!(fused.1.len(), stock.1.len());
            fused.1.iter().zip(&stock.1).for_each(|(a, b)| close("heads", a, b));
            all_close("network", &fused.2, &stock.2);
        }
    }
}

fn nas_bench_201_plan(
    image: [usize; 2],
    init_channels: usize,
    cells_per_stage: usize,
) -> nas_bench_201::NetworkPlan {
    let [height, width] = image;
    let image = ImageShape { channels: 3, height, width };
    nas_bench_201::NetworkSpec { image, classes: 5, init_channels, cells_per_stage }.plan().unwrap()
}

#[test]
fn search_networks_of_nas_bench_201_agree() {
    for (image, channels, cells) in [([8, 8], 8, 1), ([9, 13], 5, 2), ([12, 6], 16, 1)] {
        let plan = nas_bench_201_plan(image, channels, cells);
        let init = Initialiser::new(3, &Device::flex().autodiff());
        let arch = ArchWeights::of_nas_bench_201(&init.at(1));
        let run = |fused: bool| {
            // Built anew: a forward pass moves the running statistics.
            let stem = Stem::of(&plan, &mut init.at(0));
            let net = Supernet::new(&plan, &init.at(2));
            let states = stem.forward(images(4, &plan));
            let states = if fused { states } else { plain(states) };
            let features = net.forward(states, &arch);
            assert!(features.stages.iter().all(|state| matches!(state, State::Blocked(_)) == fused));
            let logits = cdarts_nets::arch::host_values(features.logits.clone());
            let grads = loss(features).backward();
            let inner = stem.forward(images(4, &plan)).map(|state| state.plain().inner());
            let inner = inner.map(|x| if fused { State::new(x) } else { State::Plain(x) });
            let inferred = cdarts_nets::arch::host_values(net.valid().forward(inner, &arch.valid()).logits);
            (logits, gradients(&net, &grads), gradients(&arch, &grads), gradients(&stem, &grads), inferred)
        };
        let (fused, stock) = (run(true), run(false));
        close("logits", &fused.0, &stock.0);
        all_close("network", &fused.1, &stock.1);
        all_close("architecture", &fused.2, &stock.2);
        all_close("stem", &fused.3, &stock.3);
        close("inference", &fused.4, &stock.4);
    }
}

#[test]
fn evaluation_networks_of_nas_bench_201_agree_with_drop_path_in_training_and_in_inference() {
    let published =
        [1, 2, 3].map(|cell| nas_bench_201::published(&format!("nas-bench-201-cell-{cell}")).unwrap());
    let op = |index: usize| nas_bench_201::Op::ALL[index];
    let drawn =
        [[4, 2, 1, 3, 0, 4], [0, 1, 4, 4, 2, 2]].map(|ops| nas_bench_201::Genotype { ops: ops.map(op) });
    for genotype in published.into_iter().chain(drawn) {
        for affine in [false, true] {
            let plan = nas_bench_201_plan([8, 11], 6, 1);
            let init = Initialiser::new(4, &Device::flex().autodiff());
            let stem = Stem::of(&plan, &mut init.at(0));
            let run = |fused: bool| {
                let net = EvalNet::new(&plan, genotype, affine, &init.at(1));
                let states = stem.forward(images(6, &plan));
                let states = if fused { states } else { plain(states) };
                let mut drop_path = DropPath::new(0.3, 5);
                let features = net.forward(states.clone(), Some(&mut drop_path));
                let logits = cdarts_nets::arch::host_values(features.logits.clone());
                let grads = loss(features).backward();
                let inner = states.map(|state| {
                    let x = state.plain().inner();
                    if fused { State::new(x) } else { State::Plain(x) }
                });
                let inferred = cdarts_nets::arch::host_values(net.valid().forward(inner, None).logits);
                (logits, gradients(&net, &grads), gradients(&stem, &grads), inferred)
            };
            let (fused, stock) = (run(true), run(false));
            let name = format!("{genotype}, affine {affine}");
            close(&name, &fused.0, &stock.0);
            all_close(&name, &fused.1, &stock.1);
            all_close(&name, &fused.2, &stock.2);
            close(&name, &fused.3, &stock.3);
        }
    }
}

#[test]
fn cells_of_nas_bench_201_take_blocks_of_any_width() {
    use cdarts_kernels::Width;
    use cdarts_nets::nas_bench_201::{EvalCell, SearchCell};
    let device = Device::flex().autodiff();
    let plan = &nas_bench_201_plan([6, 5], 3, 1).stages[0].cells[0];
    let genotype = nas_bench_201::published("nas-bench-201-cell-1").unwrap();
    let init = Initialiser::new(1, &device);
    let found = EvalCell::new(plan, &genotype, true, &init.at(0));
    let mixed = SearchCell::new(plan, &init.at(1));
    let mixing = Tensor::<2>::full([6, 5], 0.2, &device);
    let x = Tensor::<4>::random([2, 3, 6, 5], Distribution::Normal(0.0, 1.0), &device).require_grad();
    let outputs = [Width::Eight, Width::Sixteen].map(|width| {
        let state = || State::in_blocks_of(width, x.clone());
        let outputs = [found.forward(state(), None), mixed.forward(state(), &mixing)].map(State::plain);
        let [found, mixed] = outputs.clone();
        let grad = x.grad(&(found.powi_scalar(2).sum() + mixed.powi_scalar(2).sum()).backward()).unwrap();
        let [found, mixed] = outputs.map(cdarts_nets::arch::host_values);
        [found, mixed, cdarts_nets::arch::host_values(grad)]
    });
    assert_eq!(outputs[0], outputs[1]);
}

#[test]
fn residual_blocks_halve_odd_sides_by_what_is_left() {
    // A shortcut of ones behind branches of zeros: the mean of what lies in the window.
    use cdarts_nets::nas_bench_201::ResidualBlock;
    let plan = nas_bench_201_plan([5, 3], 1, 1).stages[0].reduction.unwrap();
    let device = Device::flex();
    let block = ResidualBlock::new(&plan, &Initialiser::new(1, &device));
    let zeroed = cdarts_nets::params::values(&block);
    let zeroed: Vec<_> = zeroed
        .into_iter()
        .map(|value| {
            let shape = value.data.shape().to_vec();
            let fill = if shape == [2, 1, 1, 1] { 1.0 } else { 0.0 };
            let data = burn::tensor::TensorData::new(vec![fill; shape.iter().product()], shape);
            cdarts_nets::params::Value { data, ..value }
        })
        .collect();
    let block = cdarts_nets::params::with_values(block, &zeroed);
    let pixels: Vec<f32> = (0..15).map(|v| v as f32).collect();
    let x = Tensor::<4>::from_data(burn::tensor::TensorData::new(pixels, [1, 1, 5, 3]), &device);
    // Rows (0, 1), (2, 3), (4); columns (0, 1), (2).
    let expected = [2.0, 3.5, 8.0, 9.5, 12.5, 14.0].repeat(2);
    for state in [State::Plain(x.clone()), State::new(x)] {
        let found = block.forward(state).plain();
        assert_eq!(found.dims(), [1, 2, 3, 2]);
        assert_eq!(cdarts_nets::arch::host_values(found), expected);
    }
}

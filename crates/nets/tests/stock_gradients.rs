//! How far gradients on burn's own CPU operations are from those in double precision, operation by operation, alone and in
//! networks of eight cells; beside them the fused kernels. Deep networks amplify rounding, and a ReLU or a maximum that
//! takes another side in single precision moves whatever lies behind it, so that single networks tell little: there the
//! median over several is held to a bound.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "how near the bounds are is worth seeing")]

mod support;

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{DType, Device, Tensor, module};
use cdarts_nets::params::in_double_precision;
use cdarts_nets::{ArchWeights, EvalNet, Features, Initialiser, State, Stem, Supernet};
use cdarts_space::{
    CellGenotype, Edge, Genotype, ImageShape, NetworkPlan, NetworkSpec, Op, ReductionPosition,
    Stem as StemKind,
};

use support::golden::{Generator, PATHS, difference, gradients, on};

const CLASSES: usize = 10;

fn device() -> Device {
    Device::flex().autodiff()
}

/// A generated tensor in a precision, that gradients are asked of.
fn input<const D: usize>(values: &Generator, name: &str, shape: [usize; D], dtype: DType) -> Tensor<D> {
    Tensor::from_data(values.uniform(name, shape, 2.0), (&device(), dtype)).require_grad()
}

// ---- single operations ----------------------------------------------------------------------------

/// Gradients of a weighted sum over an operation's output, by input.
fn alone<const N: usize>(
    shapes: [[usize; 4]; N],
    dtype: DType,
    operation: &impl Fn([Tensor<4>; N]) -> Tensor<4>,
) -> [Vec<f64>; N] {
    let values = Generator::new(11);
    let inputs: [Tensor<4>; N] =
        std::array::from_fn(|at| input(&values, &format!("input{at}"), shapes[at], dtype));
    let output = operation(inputs.clone());
    let coefficients = input(&values, "coefficient", output.dims(), dtype).detach();
    let grads = output.mul(coefficients).sum().backward();
    inputs.map(|input| input.grad(&grads).unwrap().into_data().iter::<f64>().collect())
}

/// The largest error of single precision in any gradient.
fn check<const N: usize>(
    name: &str,
    shapes: [[usize; 4]; N],
    bound: f64,
    operation: impl Fn([Tensor<4>; N]) -> Tensor<4>,
) {
    let [single, double] = [DType::F32, DType::F64].map(|dtype| alone(shapes, dtype, &operation));
    let errors = single.iter().zip(&double).map(|(single, double)| {
        assert!(double.iter().any(|&value| value != 0.0), "{name} {shapes:?}: no gradient");
        let single: Vec<f32> = single.iter().map(|&value| value as f32).collect();
        difference(&single, double)
    });
    let worst = errors.fold(0.0, f64::max);
    println!("{name:<28} {shapes:?} {worst:.1e}");
    assert!(worst < bound, "{name} {shapes:?}: {worst:.1e}, allowed {bound:.0e}");
}

#[test]
fn single_operations_are_right_to_rounding() {
    const BOUND: f64 = 2e-6;
    for [n, c, side] in [[2, 8, 8], [4, 16, 32], [8, 8, 16]] {
        let images = [n, c, side, side];
        for (name, out, kernel, stride, dilation, groups) in [
            ("1x1 convolution", 16, 1, 1, 1, 1),
            ("1x1 convolution, stride 2", 4, 1, 2, 1, 1),
            ("3x3 convolution", 16, 3, 1, 1, 1),
            ("3x3 convolution, stride 2", 16, 3, 2, 1, 1),
            ("depthwise 3x3", c, 3, 1, 1, c),
            ("depthwise 5x5, stride 2", c, 5, 2, 1, c),
            ("dilated 3x3", c, 3, 1, 2, c),
            ("dilated 5x5, stride 2", c, 5, 2, 2, c),
        ] {
            let options =
                || ConvOptions::new([stride; 2], [dilation * (kernel / 2); 2], [dilation; 2], groups);
            check(name, [images, [out, c / groups, kernel, kernel]], BOUND, |[x, weight]| {
                module::conv2d(x, weight, None, options())
            });
        }
        check("batch norm", [images], BOUND, |[x]| {
            let like = (&x.device(), x.dtype());
            module::batch_norm_train(x, Tensor::ones([c], like), Tensor::zeros([c], like), 1e-5).output
        });
        check("batch norm, far from 0", [images], 1e-4, |[x]| {
            let like = (&x.device(), x.dtype());
            module::batch_norm_train(x + 30.0, Tensor::ones([c], like), Tensor::zeros([c], like), 1e-5).output
        });
        for stride in [1, 2] {
            check("max pool", [images], BOUND, |[x]| {
                let options = MaxPoolOptions::new([3, 3]).with_stride([stride; 2]).with_padding([1, 1]);
                module::max_pool2d(x, options)
            });
            check("average pool", [images], BOUND, |[x]| {
                let options = AvgPoolOptions::new([3, 3]).with_stride([stride; 2]).with_padding([1, 1]);
                module::avg_pool2d(x, options.with_count_include_pad(false))
            });
        }
        check("mean of a plane", [images], BOUND, |[x]| x.mean_dim(3).mean_dim(2));
        check("log softmax", [images], BOUND, |[x]| log_softmax(x, 1));
        let mixing = [1, c, 1, 1];
        check("product with a row", [images, mixing], BOUND, |[x, mixing]| x.mul(mixing));
    }
}

// ---- networks of eight cells ----------------------------------------------------------------------

fn plan(side: usize, init_channels: usize) -> NetworkPlan {
    NetworkSpec {
        stem: StemKind::Cifar,
        image: ImageShape { channels: 3, height: side, width: side },
        classes: CLASSES,
        init_channels,
        stem_multiplier: 3,
        cells_per_stage: vec![3, 3, 2],
        reduction: ReductionPosition::Last,
    }
    .plan()
    .unwrap()
}

/// Cells of one operation.
fn only(op: Op) -> Genotype {
    let node = |node: usize| vec![Edge { op, source: node + 1 }, Edge { op, source: node }];
    let cell = CellGenotype::new((0..4).map(node).collect());
    Genotype { normal: cell.clone(), reduce: cell }
}

/// A network with its stem.
struct Network<M, A> {
    stem: Stem,
    net: M,
    arch: A,
}

impl<M: Module, A: Module> Network<M, A> {
    /// Gradients of a cross entropy with soft labels, by name. Images are moved by `noise` times their size.
    fn gradients(
        self,
        [n, side]: [usize; 2],
        (seed, dtype, noise): (u64, DType, f64),
        forward: &impl Fn(&M, [State; 2], &A) -> Features,
    ) -> BTreeMap<String, Vec<f64>> {
        let values = Generator::new(seed);
        let Self { mut stem, mut net, mut arch } = self;
        if dtype == DType::F64 {
            (stem, net, arch) =
                (in_double_precision(stem), in_double_precision(net), in_double_precision(arch));
        }
        let shape = [n, 3, side, side];
        let images = input(&values, "images", shape, dtype).detach();
        let images = images + input(&values, "noise", shape, dtype).detach().mul_scalar(noise);
        let labels = input(&values, "labels", [n, CLASSES], dtype).detach();
        let logits = forward(&net, stem.forward(images), &arch).logits;
        let grads = log_softmax(logits, 1).mul(labels.abs()).mean().neg().backward();
        let mut found = gradients("stem.", &stem, &grads);
        found.extend(gradients("net.", &net, &grads));
        found.extend(gradients("arch.", &arch, &grads));
        found.into_iter().map(|(name, values)| (name, values.into_iter().map(f64::from).collect())).collect()
    }

    /// The median over all parameters of the error by each of [`SOURCES`]. Clones would share running statistics, of which
    /// each precision needs its own.
    fn errors(
        built: impl Fn() -> Self,
        shape: [usize; 2],
        seed: u64,
        forward: impl Fn(&M, [State; 2], &A) -> Features,
    ) -> [f64; 3] {
        let double = built().gradients(shape, (seed, DType::F64, 0.0), &forward);
        let error = |found: BTreeMap<String, Vec<f64>>| {
            let errors = found.iter().map(|(name, found)| {
                let found: Vec<f32> = found.iter().map(|&value| value as f32).collect();
                difference(&found, &double[name])
            });
            median(errors.collect())
        };
        let [stock, fused] =
            PATHS.map(|path| error(on(path, || built().gradients(shape, (seed, DType::F32, 0.0), &forward))));
        [stock, fused, error(built().gradients(shape, (seed, DType::F64, NOISE), &forward))]
    }
}

/// Where errors come from: single precision on burn's operations, on the kernels; nothing but noise in the images.
const SOURCES: [&str; 3] = ["stock", "fused", "noise"];
/// About the rounding of single precision.
const NOISE: f64 = 6e-8;
/// Networks of each kind.
const SEEDS: u64 = 7;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The errors of a network of eight cells of one operation, or of the search network.
fn errors(op: Option<Op>, seed: u64) -> [f64; 3] {
    let [n, side, channels] = [4, 8, 4];
    let (plan, init) = (plan(side, channels), Initialiser::new(seed, &device()));
    let stem = || Stem::of(&plan, &mut init.at(9));
    let arch = || ArchWeights::new(false, &init);
    let Some(op) = op else {
        let built = || Network { stem: stem(), net: Supernet::new(&plan, &init), arch: arch() };
        return Network::errors(built, [n, side], seed, |net, states, arch| net.forward(states, arch));
    };
    let net = || EvalNet::new(&plan, only(op), false, &init);
    let built = || Network { stem: stem(), net: net(), arch: arch() };
    Network::errors(built, [n, side], seed, |net, states, _| net.forward(states, None))
}

/// In double precision too, noise of the size of single precision's rounding moves gradients by some 1e-5 where no ReLU and
/// no maximum takes another side by it, and by up to 1e-2 where one does. So the least error over some networks is bounded,
/// which an operation that is wrong would raise, and not the others.
#[test]
fn networks_of_eight_cells_are_right_to_rounding_where_no_relu_takes_another_side() {
    let ops = Op::ALL.into_iter().filter(|&op| op != Op::None).map(Some);
    for op in ops.chain([None]) {
        let name = op.map_or("search network", Op::name);
        let found: Vec<[f64; 3]> = (1..=SEEDS).map(|seed| errors(op, seed)).collect();
        for (at, source) in SOURCES.into_iter().enumerate() {
            let mut errors: Vec<f64> = found.iter().map(|errors| errors[at]).collect();
            errors.sort_by(f64::total_cmp);
            let told: Vec<String> = errors.iter().map(|error| format!("{error:.1e}")).collect();
            println!("{name:<14} {source}: {}", told.join(" "));
            assert!(errors[0] < 2e-4, "{name} {source}: {errors:?}");
        }
    }
}

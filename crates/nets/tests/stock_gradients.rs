//! How far gradients on burn's own CPU operations are from those in double precision, operation by operation.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "how near the bounds are is worth seeing")]

mod support;

use burn::tensor::activation::log_softmax;
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{DType, Device, Tensor, module};

use support::golden::{Generator, difference};

fn device() -> Device {
    Device::flex().autodiff()
}

/// A generated tensor in a precision, that gradients are asked of.
fn input<const D: usize>(values: &Generator, name: &str, shape: [usize; D], dtype: DType) -> Tensor<D> {
    Tensor::from_data(values.uniform(name, shape, 2.0), (&device(), dtype)).require_grad()
}

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

//! (ReLU →) convolution → batch norm as one operation: pre-processing and stem.

use burn::tensor::Tensor;
use cdarts_kernels::{Affine, InputGrad, NormConv, NormConvGrads, NormConvInput, RunningStats};

use super::flat::flat;
use super::operation::{Forward, Values, Way, apply, constant, host, nothing, parent};
use super::{Blocked, WORKSPACE, sound};
use crate::norm::BatchNorm;

/// Which convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ConvKind {
    /// ReLU and 1×1.
    Pointwise,
    /// ReLU and FactorizedReduce.
    FactorizedReduce,
    /// Dense: kernel, stride and padding, and whether a ReLU comes first.
    Dense { window: [usize; 3], relu: bool },
}

/// The operation on `x`; nothing where a norm would be over one value.
pub(crate) fn norm_conv(
    x: &Blocked,
    kind: ConvKind,
    weights: Vec<Tensor<4>>,
    norm: &BatchNorm,
) -> Option<Blocked> {
    let (n, size) = x.extent();
    let (from, to, affine) = (x.channels, norm.channels(), norm.is_affine());
    let conv = sound(match kind {
        ConvKind::Pointwise => NormConv::pointwise(from, to, size, affine),
        ConvKind::FactorizedReduce => NormConv::factorized_reduce(from, to, size, affine),
        ConvKind::Dense { window, relu } => NormConv::dense(from, to, size, window, relu, affine),
    });
    let [h, w] = conv.output_size();
    let channels = conv.output_channels();
    let shape = [n, channels.blocks(), h, w, channels.lanes()];
    let weights = flat(weights);
    if !x.tensor.device().is_autodiff() {
        let (x, weights, gains) = (host(x.tensor.clone()), host(weights), norm.affine_values());
        let (mean, var) = norm.running_values();
        let mut output = WORKSPACE.take(conv.output_len(n));
        let input = NormConvInput {
            n,
            x: x.values(),
            weights: weights.values(),
            affine: gains.as_ref().map(|[gain, bias]| Affine { gain, bias }),
        };
        let running = RunningStats { mean: &mean, var: &var };
        sound(conv.infer(&WORKSPACE, &input, running, &mut output));
        return Some(Blocked { tensor: constant(output, shape), channels });
    }
    if n * h * w == 1 {
        return None;
    }
    let [gain, bias] = match norm.affine_tensors() {
        Some(tensors) => tensors.map(parent),
        None => [nothing(), nothing()],
    };
    let parents = [parent(x.tensor.clone()), parent(weights), gain, bias];
    let tensor = apply(parents, shape, |[x, weights, gain, bias]| {
        let mut output = WORKSPACE.take(conv.output_len(n));
        let input = NormConvInput {
            n,
            x: x.values(),
            weights: weights.values(),
            affine: affine.then(|| Affine { gain: gain.values(), bias: bias.values() }),
        };
        let saved = sound(conv.forward(&WORKSPACE, &input, &mut output));
        let stats = saved.stats();
        norm.record(&stats.mean, &stats.var);
        let back = move |Way { grad, wanted, begun, .. }: Way<'_, 4>| {
            let input = NormConvInput {
                n,
                x: x.values(),
                weights: weights.values(),
                affine: affine.then(|| Affine { gain: gain.values(), bias: bias.values() }),
            };
            let others = begun[0].take_if(|values| matches!(values, Values::Pooled(_)));
            let (mut grad_x, adds) = match others {
                Some(Values::Pooled(others)) => (Some(others), true),
                _ => (wanted[0].then(|| WORKSPACE.take(x.values().len())), false),
            };
            let mut grad_weights = wanted[1].then(|| WORKSPACE.take(weights.values().len()));
            let mut grad_gain = vec![0.0; gain.values().len()];
            let mut grad_bias = vec![0.0; bias.values().len()];
            let grads = NormConvGrads {
                x: match grad_x.as_deref_mut() {
                    None => InputGrad::Unwanted,
                    Some(sum) if adds => InputGrad::Add(sum),
                    Some(values) => InputGrad::Write(values),
                },
                weights: grad_weights.as_deref_mut(),
                affine: affine.then_some([&mut grad_gain[..], &mut grad_bias[..]]),
            };
            sound(conv.backward(&WORKSPACE, &input, saved, grad, grads));
            let [x, weights] = [grad_x, grad_weights].map(|grads| grads.map(Values::from));
            let [gain, bias] = [grad_gain, grad_bias].map(|grads| Some(Values::from(grads)));
            [x, weights, gain, bias]
        };
        Forward { output: output.into(), keeps_output: false, back: Box::new(back) }
    });
    Some(Blocked { tensor, channels })
}

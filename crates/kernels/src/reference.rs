//! The plain reference: every operation as loops over `[n, c, h, w]`, forward and backward, generic over the
//! float, and whole cells composed of them. Facts 3.1 and 3.2; nothing here is fast.

use num_traits::Float;

use crate::plan::{CellPlan, NODES, NORM_EPSILON, Op, Path, Weight};

/// A dense activation `[n, c, h, w]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor<T> {
    /// `[n, c, h, w]`.
    pub shape: [usize; 4],
    /// Values, last dimension fastest.
    pub data: Vec<T>,
}

impl<T: Float> Tensor<T> {
    /// All zeros.
    #[must_use]
    pub fn zeros(shape: [usize; 4]) -> Self {
        Self { shape, data: vec![T::zero(); shape.iter().product()] }
    }

    /// Position of one value.
    #[must_use]
    pub fn index(&self, [n, c, y, x]: [usize; 4]) -> usize {
        ((n * self.shape[1] + c) * self.shape[2] + y) * self.shape[3] + x
    }

    fn at(&self, n: usize, c: usize, y: isize, x: isize) -> Option<usize> {
        let (y, x) = (usize::try_from(y).ok()?, usize::try_from(x).ok()?);
        (y < self.shape[2] && x < self.shape[3]).then(|| self.index([n, c, y, x]))
    }

    fn map(&self, f: impl Fn(T) -> T) -> Self {
        Self { shape: self.shape, data: self.data.iter().map(|&v| f(v)).collect() }
    }

    pub(crate) fn add_scaled(&mut self, other: &Self, scale: impl Fn(usize) -> T) {
        let image = self.data.len() / self.shape[0].max(1);
        for (i, (a, &b)) in self.data.iter_mut().zip(&other.data).enumerate() {
            *a = *a + scale(i / image) * b;
        }
    }

    fn positions(&self) -> impl Iterator<Item = [usize; 4]> + use<T> {
        let [n, c, h, w] = self.shape;
        (0..n * c * h * w).map(move |i| [i / (c * h * w), i / (h * w) % c, i / w % h, i % w])
    }
}

/// Geometry of a convolution without bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv {
    /// `[out, in / groups, k, k]`.
    pub shape: [usize; 4],
    /// Step.
    pub stride: usize,
    /// Zeros on every side.
    pub padding: usize,
    /// Distance between taps.
    pub dilation: usize,
    /// 1, or the number of channels for a depthwise convolution.
    pub groups: usize,
    /// Where output (0, 0) is centred: FactorizedReduce's second half starts at pixel (1, 1).
    pub shift: usize,
}

impl Conv {
    fn output(&self, size: usize) -> usize {
        // A shifted half keeps the unshifted half's size: what lies outside counts as zero.
        (size + 2 * self.padding).saturating_sub(self.dilation * (self.shape[2] - 1) + 1) / self.stride + 1
    }

    /// Visits every (input, weight, output) triple of positions.
    fn visit<T: Float>(&self, x: &Tensor<T>, y: &Tensor<T>, mut each: impl FnMut(usize, usize, usize)) {
        let [out, fan, kernel, _] = self.shape;
        for position @ [n, co, oy, ox] in y.positions() {
            let to = y.index(position);
            let group = co * self.groups / out;
            for (ci, ky, kx) in
                (0..fan * kernel * kernel).map(|i| (i / (kernel * kernel), i / kernel % kernel, i % kernel))
            {
                let place = |o: usize, k: usize| {
                    (o * self.stride + k * self.dilation + self.shift) as isize - self.padding as isize
                };
                if let Some(from) = x.at(n, group * fan + ci, place(oy, ky), place(ox, kx)) {
                    each(from, ((co * fan + ci) * kernel + ky) * kernel + kx, to);
                }
            }
        }
    }

    /// Output of the convolution.
    #[must_use]
    pub fn forward<T: Float>(&self, x: &Tensor<T>, weight: &[T]) -> Tensor<T> {
        let [n, _, h, w] = x.shape;
        let mut y = Tensor::zeros([n, self.shape[0], self.output(h), self.output(w)]);
        let mut data = std::mem::take(&mut y.data);
        self.visit(x, &y, |from, k, to| data[to] = data[to] + x.data[from] * weight[k]);
        y.data = data;
        y
    }

    /// Gradient of the input; the weight's is added to `grad_weight`.
    #[must_use]
    pub fn backward<T: Float>(
        &self,
        x: &Tensor<T>,
        weight: &[T],
        grad: &Tensor<T>,
        grad_weight: &mut [T],
    ) -> Tensor<T> {
        let mut grad_x = Tensor::zeros(x.shape);
        self.visit(x, grad, |from, k, to| {
            grad_x.data[from] = grad_x.data[from] + weight[k] * grad.data[to];
            grad_weight[k] = grad_weight[k] + x.data[from] * grad.data[to];
        });
        grad_x
    }
}

/// `max(x, 0)`.
#[must_use]
pub fn relu<T: Float>(x: &Tensor<T>) -> Tensor<T> {
    x.map(|v| if v > T::zero() { v } else { T::zero() })
}

/// Gradient of [`relu`]: passes where the input was positive.
#[must_use]
pub fn relu_backward<T: Float>(x: &Tensor<T>, grad: &Tensor<T>) -> Tensor<T> {
    let data = x.data.iter().zip(&grad.data);
    Tensor { shape: x.shape, data: data.map(|(&x, &g)| if x > T::zero() { g } else { T::zero() }).collect() }
}

fn pool_size(size: usize, stride: usize) -> usize {
    (size - 1) / stride + 1
}

fn window<T: Float>(x: &Tensor<T>, stride: usize, [n, c, oy, ox]: [usize; 4]) -> Vec<usize> {
    let place = |o: usize, k: usize| (o * stride + k) as isize - 1;
    (0..9).filter_map(|k| x.at(n, c, place(oy, k / 3), place(ox, k % 3))).collect()
}

fn pool_output<T: Float>(x: &Tensor<T>, stride: usize) -> Tensor<T> {
    let [n, c, h, w] = x.shape;
    Tensor::zeros([n, c, pool_size(h, stride), pool_size(w, stride)])
}

/// The largest of a window, the first in reading order when several are equal.
fn argmax<T: Float>(x: &Tensor<T>, window: &[usize]) -> usize {
    window.iter().skip(1).fold(window[0], |best, &i| if x.data[i] > x.data[best] { i } else { best })
}

/// 3×3 max pooling with padding 1.
#[must_use]
pub fn max_pool<T: Float>(x: &Tensor<T>, stride: usize) -> Tensor<T> {
    let mut y = pool_output(x, stride);
    for position in y.positions() {
        let to = y.index(position);
        y.data[to] = x.data[argmax(x, &window(x, stride, position))];
    }
    y
}

/// Gradient of [`max_pool`]: all of it to the largest of each window.
#[must_use]
pub fn max_pool_backward<T: Float>(x: &Tensor<T>, stride: usize, grad: &Tensor<T>) -> Tensor<T> {
    let mut grad_x = Tensor::zeros(x.shape);
    for position in grad.positions() {
        let best = argmax(x, &window(x, stride, position));
        grad_x.data[best] = grad_x.data[best] + grad.data[grad.index(position)];
    }
    grad_x
}

/// 3×3 average pooling with padding 1; padded cells do not count.
#[must_use]
pub fn avg_pool<T: Float>(x: &Tensor<T>, stride: usize) -> Tensor<T> {
    let mut y = pool_output(x, stride);
    for position in y.positions() {
        let (to, window) = (y.index(position), window(x, stride, position));
        let sum = window.iter().fold(T::zero(), |sum, &i| sum + x.data[i]);
        y.data[to] = sum / float(window.len() as f64);
    }
    y
}

/// Gradient of [`avg_pool`].
#[must_use]
pub fn avg_pool_backward<T: Float>(x: &Tensor<T>, stride: usize, grad: &Tensor<T>) -> Tensor<T> {
    let mut grad_x = Tensor::zeros(x.shape);
    for position in grad.positions() {
        let window = window(x, stride, position);
        let share = grad.data[grad.index(position)] / float(window.len() as f64);
        window.iter().for_each(|&i| grad_x.data[i] = grad_x.data[i] + share);
    }
    grad_x
}

fn float<T: Float>(value: f64) -> T {
    T::from(value).unwrap_or_else(T::nan)
}

/// Mean and biased variance of every channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments<T> {
    /// Mean.
    pub mean: Vec<T>,
    /// Variance, divided by the count.
    pub var: Vec<T>,
    /// Values a channel; 0 for given (running) statistics, through which no gradient flows.
    pub count: usize,
}

impl<T: Float> Moments<T> {
    /// Statistics of a batch.
    #[must_use]
    pub fn of(x: &Tensor<T>) -> Self {
        let [n, c, h, w] = x.shape;
        let count = n * h * w;
        let sums = |f: &dyn Fn(usize, T) -> T| {
            let mut sums = vec![T::zero(); c];
            for (position, &v) in x.positions().zip(&x.data) {
                sums[position[1]] = sums[position[1]] + f(position[1], v);
            }
            sums.into_iter().map(|s| s / float(count as f64)).collect::<Vec<T>>()
        };
        let mean = sums(&|_, v| v);
        let var = sums(&|c, v| (v - mean[c]) * (v - mean[c]));
        Self { mean, var, count }
    }

    fn inv(&self, c: usize) -> T {
        (self.var[c] + float(NORM_EPSILON)).sqrt().recip()
    }
}

/// `gain × (x − mean) / sqrt(var + ε) + bias`.
#[must_use]
pub fn batch_norm<T: Float>(x: &Tensor<T>, moments: &Moments<T>, gain: &[T], bias: &[T]) -> Tensor<T> {
    let mut y = x.clone();
    for (position, v) in x.positions().zip(&mut y.data) {
        let c = position[1];
        *v = (*v - moments.mean[c]) * moments.inv(c) * gain[c] + bias[c];
    }
    y
}

/// Gradient of [`batch_norm`]; `(input, gain, bias)`.
#[must_use]
pub fn batch_norm_backward<T: Float>(
    x: &Tensor<T>,
    moments: &Moments<T>,
    gain: &[T],
    grad: &Tensor<T>,
) -> (Tensor<T>, Vec<T>, Vec<T>) {
    let c = x.shape[1];
    let (mut grad_gain, mut grad_bias) = (vec![T::zero(); c], vec![T::zero(); c]);
    let hat = |i: usize, c: usize| (x.data[i] - moments.mean[c]) * moments.inv(c);
    for (i, position) in x.positions().enumerate() {
        let c = position[1];
        grad_gain[c] = grad_gain[c] + grad.data[i] * hat(i, c);
        grad_bias[c] = grad_bias[c] + grad.data[i];
    }
    let share = if moments.count == 0 { T::zero() } else { float(1.0 / moments.count as f64) };
    let mut grad_x = Tensor::zeros(x.shape);
    for (i, position) in x.positions().enumerate() {
        let c = position[1];
        let centred = grad.data[i] - share * (grad_bias[c] + hat(i, c) * grad_gain[c]);
        grad_x.data[i] = gain[c] * moments.inv(c) * centred;
    }
    (grad_x, grad_gain, grad_bias)
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Layer {
    Relu,
    Conv(Conv, Weight),
    /// Two convolutions side by side.
    Halves([(Conv, Weight); 2]),
    Norm(usize),
    MaxPool(usize),
    AvgPool(usize),
    Zero(usize),
}

pub(crate) fn dense(weight: Weight, stride: usize, padding: usize, shift: usize) -> (Conv, Weight) {
    (Conv { shape: weight.shape, stride, padding, dilation: 1, groups: 1, shift }, weight)
}

fn layers(path: &Path, channels: usize) -> Vec<Layer> {
    if let Some((kernel, dilation, blocks)) = path.op.conv() {
        let padding = dilation * (kernel - 1) / 2;
        let block = |b: usize| {
            let stride = if b == 0 { path.stride } else { 1 };
            let (depthwise, pointwise) = (path.weights[2 * b], path.weights[2 * b + 1]);
            let conv = Conv { shape: depthwise.shape, stride, padding, dilation, groups: channels, shift: 0 };
            let (one, pointwise) = dense(pointwise, 1, 0, 0);
            [
                Layer::Relu,
                Layer::Conv(conv, depthwise),
                Layer::Conv(one, pointwise),
                Layer::Norm(path.norm + b),
            ]
        };
        return (0..blocks).flat_map(block).collect();
    }
    match path.op {
        Op::MaxPool3 => vec![Layer::MaxPool(path.stride)],
        Op::AvgPool3 => vec![Layer::AvgPool(path.stride)],
        Op::Skip if path.stride == 1 => vec![],
        Op::Skip => factorized_reduce([path.weights[0], path.weights[1]], path.norm),
        _ => vec![Layer::Zero(path.stride)],
    }
}

fn factorized_reduce(weights: [Weight; 2], norm: usize) -> Vec<Layer> {
    let halves = [dense(weights[0], 2, 0, 0), dense(weights[1], 2, 0, 1)];
    vec![Layer::Relu, Layer::Halves(halves), Layer::Norm(norm)]
}

/// Parameters and norm statistics of a cell or a pre-processing layer, flat as in [`CellPlan`].
#[derive(Debug, Clone, PartialEq)]
pub struct Params<T> {
    /// Convolution weights.
    pub weights: Vec<T>,
    /// Gains `[norms, c]`.
    pub gain: Vec<T>,
    /// Biases `[norms, c]`.
    pub bias: Vec<T>,
    /// Given statistics, `(mean, biased variance)` each `[norms, c]`; `None` takes the batch's.
    pub running: Option<(Vec<T>, Vec<T>)>,
}

/// Gradients of [`Params`].
#[derive(Debug, Clone, PartialEq)]
pub struct ParamGrads<T> {
    /// Convolution weights.
    pub weights: Vec<T>,
    /// Gains `[norms, c]`.
    pub gain: Vec<T>,
    /// Biases `[norms, c]`.
    pub bias: Vec<T>,
}

impl<T: Float> Params<T> {
    pub(crate) fn zero_grads(&self) -> ParamGrads<T> {
        let zeros = |of: &[T]| vec![T::zero(); of.len()];
        ParamGrads { weights: zeros(&self.weights), gain: zeros(&self.gain), bias: zeros(&self.bias) }
    }

    fn slice(&self, weight: Weight) -> &[T] {
        &self.weights[weight.offset..][..weight.len()]
    }
}

/// Inputs and moments of each layer of a path, kept for the way back.
#[derive(Debug, Clone)]
pub(crate) struct Tape<T> {
    inputs: Vec<Tensor<T>>,
    moments: Vec<Option<Moments<T>>>,
    pub(crate) output: Tensor<T>,
}

impl<T: Float> Tape<T> {
    /// Moments of the path's norms, in order.
    pub(crate) fn statistics(&self) -> impl Iterator<Item = Moments<T>> {
        self.moments.iter().flatten().cloned()
    }
}

pub(crate) fn run<T: Float>(layers: &[Layer], params: &Params<T>, x: &Tensor<T>) -> Tape<T> {
    let mut tape = Tape { inputs: vec![], moments: vec![], output: x.clone() };
    for layer in layers {
        let x = tape.output;
        let mut used = None;
        tape.output = match layer {
            Layer::Relu => relu(&x),
            Layer::Conv(conv, weight) => conv.forward(&x, params.slice(*weight)),
            Layer::Halves(halves) => {
                let [a, b] = halves.map(|(conv, weight)| conv.forward(&x, params.slice(weight)));
                concat(&[&a, &b])
            }
            Layer::Norm(norm) => {
                let range = norm * x.shape[1]..(norm + 1) * x.shape[1];
                let moments = match &params.running {
                    None => Moments::of(&x),
                    Some((mean, var)) => Moments {
                        mean: mean[range.clone()].to_vec(),
                        var: var[range.clone()].to_vec(),
                        count: 0,
                    },
                };
                let y = batch_norm(&x, &moments, &params.gain[range.clone()], &params.bias[range]);
                used = Some(moments);
                y
            }
            Layer::MaxPool(stride) => max_pool(&x, *stride),
            Layer::AvgPool(stride) => avg_pool(&x, *stride),
            Layer::Zero(stride) => pool_output(&x, *stride),
        };
        tape.inputs.push(x);
        tape.moments.push(used);
    }
    tape
}

pub(crate) fn run_back<T: Float>(
    layers: &[Layer],
    params: &Params<T>,
    tape: &Tape<T>,
    grad: Tensor<T>,
    grads: &mut ParamGrads<T>,
) -> Tensor<T> {
    let mut grad = grad;
    for ((layer, x), moments) in layers.iter().zip(&tape.inputs).zip(&tape.moments).rev() {
        let mut conv_back = |conv: &Conv, weight: Weight, grad: &Tensor<T>| {
            let grad_weight = &mut grads.weights[weight.offset..][..weight.len()];
            conv.backward(x, params.slice(weight), grad, grad_weight)
        };
        grad = match layer {
            Layer::Relu => relu_backward(x, &grad),
            Layer::Conv(conv, weight) => conv_back(conv, *weight, &grad),
            Layer::Halves([(a, wa), (b, wb)]) => {
                let (ga, gb) = split(&grad, a.shape[0]);
                let mut sum = conv_back(a, *wa, &ga);
                sum.add_scaled(&conv_back(b, *wb, &gb), |_| T::one());
                sum
            }
            Layer::Norm(norm) => {
                let range = norm * x.shape[1]..(norm + 1) * x.shape[1];
                let Some(moments) = moments else { continue };
                let (gx, gain, bias) = batch_norm_backward(x, moments, &params.gain[range.clone()], &grad);
                for (to, from) in [(&mut grads.gain, gain), (&mut grads.bias, bias)] {
                    to[range.clone()].iter_mut().zip(from).for_each(|(a, b)| *a = *a + b);
                }
                gx
            }
            Layer::MaxPool(stride) => max_pool_backward(x, *stride, &grad),
            Layer::AvgPool(stride) => avg_pool_backward(x, *stride, &grad),
            Layer::Zero(_) => Tensor::zeros(x.shape),
        };
    }
    grad
}

fn concat<T: Float>(parts: &[&Tensor<T>]) -> Tensor<T> {
    let [n, _, h, w] = parts[0].shape;
    let channels = parts.iter().map(|p| p.shape[1]).sum();
    let mut data = Vec::with_capacity(n * channels * h * w);
    for image in 0..n {
        for part in parts {
            let len = part.shape[1] * h * w;
            data.extend_from_slice(&part.data[image * len..][..len]);
        }
    }
    Tensor { shape: [n, channels, h, w], data }
}

/// Channels below `at` and the rest.
fn split<T: Float>(whole: &Tensor<T>, at: usize) -> (Tensor<T>, Tensor<T>) {
    let [n, c, h, w] = whole.shape;
    let part = |channels: std::ops::Range<usize>| {
        let mut part = Tensor::zeros([n, channels.len(), h, w]);
        for position in part.positions() {
            let [n, c, y, x] = position;
            let to = part.index(position);
            part.data[to] = whole.data[whole.index([n, c + channels.start, y, x])];
        }
        part
    };
    (part(0..at), part(at..c))
}

/// How paths are weighted: `mix[path] × drop[edge][image]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix<T> {
    /// One weight a path.
    pub mix: Vec<T>,
    /// `[edges, n]` drop-path multipliers, already divided by the keep probability; `None` for ones.
    pub drop: Option<Vec<T>>,
}

impl<T: Float> Mix<T> {
    /// What an edge is multiplied by for one of `n` images.
    pub(crate) fn drop(&self, edge: usize, n: usize, image: usize) -> T {
        self.drop.as_ref().map_or(T::one(), |drop| drop[edge * n + image])
    }

    /// What a path is multiplied by for one of `n` images.
    pub(crate) fn at(&self, path: usize, edge: usize, n: usize, image: usize) -> T {
        self.mix[path] * self.drop(edge, n, image)
    }
}

/// What [`cell_forward`] keeps: states, tapes and the output.
#[derive(Debug, Clone)]
pub struct CellTape<T> {
    states: Vec<Tensor<T>>,
    tapes: Vec<Tape<T>>,
    /// Concatenation of the nodes `[n, 4c, h, w]`.
    pub output: Tensor<T>,
}

impl<T: Float> CellTape<T> {
    /// Mean and biased variance of every batch norm in the plan's order.
    #[must_use]
    pub fn moments(&self) -> Vec<Moments<T>> {
        self.tapes.iter().flat_map(Tape::statistics).collect()
    }
}

/// A whole cell: nodes are weighted sums over their paths, the output their concatenation.
///
/// # Shapes
/// `s0`, `s1`: `[n, c, h, w]` as the plan says; output `[n, 4c, h', w']`.
#[must_use]
pub fn cell_forward<T: Float>(
    plan: &CellPlan,
    params: &Params<T>,
    mix: &Mix<T>,
    s0: &Tensor<T>,
    s1: &Tensor<T>,
) -> CellTape<T> {
    let n = s0.shape[0];
    let [h, w] = plan.output_size();
    let mut states = vec![s0.clone(), s1.clone()];
    let mut tapes: Vec<Option<Tape<T>>> = vec![None; plan.paths().len()];
    for node in 0..NODES {
        let mut state = Tensor::zeros([n, plan.channels(), h, w]);
        for (index, path) in plan.paths().iter().enumerate().filter(|(_, p)| p.node == node) {
            let tape = run(&layers(path, plan.channels()), params, &states[path.source]);
            state.add_scaled(&tape.output, |image| mix.at(index, path.edge, n, image));
            tapes[index] = Some(tape);
        }
        states.push(state);
    }
    let nodes: Vec<&Tensor<T>> = states[2..].iter().collect();
    let output = concat(&nodes);
    CellTape { states, tapes: tapes.into_iter().flatten().collect(), output }
}

/// Gradients of a cell.
#[derive(Debug, Clone)]
pub struct CellGrads<T> {
    /// Of both inputs.
    pub inputs: [Tensor<T>; 2],
    /// Of the parameters.
    pub params: ParamGrads<T>,
    /// Of the mixing weights, one a path.
    pub mix: Vec<T>,
}

/// Gradients of [`cell_forward`] from that of its output.
#[must_use]
pub fn cell_backward<T: Float>(
    plan: &CellPlan,
    params: &Params<T>,
    mix: &Mix<T>,
    tape: &CellTape<T>,
    grad: &Tensor<T>,
) -> CellGrads<T> {
    let n = grad.shape[0];
    let c = plan.channels();
    let mut grads: Vec<Tensor<T>> = tape.states.iter().map(|s| Tensor::zeros(s.shape)).collect();
    let mut param_grads = params.zero_grads();
    let mut mix_grads = vec![T::zero(); plan.paths().len()];
    for node in (0..NODES).rev() {
        let (_, rest) = split(grad, node * c);
        grads[node + 2].add_scaled(&split(&rest, c).0, |_| T::one());
        for (index, path) in plan.paths().iter().enumerate().filter(|(_, p)| p.node == node) {
            let node_grad = grads[node + 2].clone();
            let path_tape = &tape.tapes[index];
            let mut dropped = Tensor::zeros(node_grad.shape);
            dropped.add_scaled(&node_grad, |image| mix.drop(path.edge, n, image));
            let dot = dropped.data.iter().zip(&path_tape.output.data);
            mix_grads[index] = dot.fold(T::zero(), |sum, (&g, &y)| sum + g * y);
            let scaled = dropped.map(|g| g * mix.mix[index]);
            let back = run_back(&layers(path, c), params, path_tape, scaled, &mut param_grads);
            grads[path.source].add_scaled(&back, |_| T::one());
        }
    }
    grads.truncate(2);
    let s1 = grads.pop();
    let s0 = grads.pop();
    let empty = || Tensor::zeros([0; 4]);
    let inputs = [s0.unwrap_or_else(empty), s1.unwrap_or_else(empty)];
    CellGrads { inputs, params: param_grads, mix: mix_grads }
}

/// A convolution with batch norm, as [`crate::NormConv`] runs it fast.
#[derive(Debug, Clone)]
pub struct NormConvTape<T> {
    layers: Vec<Layer>,
    tape: Tape<T>,
}

impl<T: Float> NormConvTape<T> {
    /// The normalised output `[n, out, h', w']`.
    #[must_use]
    pub fn output(&self) -> &Tensor<T> {
        &self.tape.output
    }

    /// Statistics of the norm.
    #[must_use]
    pub fn moments(&self) -> Vec<Moments<T>> {
        self.tape.statistics().collect()
    }

    /// Gradients of input and parameters.
    #[must_use]
    pub fn backward(&self, params: &Params<T>, grad: &Tensor<T>) -> (Tensor<T>, ParamGrads<T>) {
        let mut grads = params.zero_grads();
        let input = run_back(&self.layers, params, &self.tape, grad.clone(), &mut grads);
        (input, grads)
    }
}

/// (ReLU →) dense convolution → norm. `weights` is `[out, in, k, k]`.
#[must_use]
pub fn norm_conv<T: Float>(
    params: &Params<T>,
    relu: bool,
    shape: [usize; 4],
    stride: usize,
    padding: usize,
    x: &Tensor<T>,
) -> NormConvTape<T> {
    let (conv, weight) = dense(Weight { offset: 0, shape }, stride, padding, 0);
    let mut layers = vec![Layer::Conv(conv, weight), Layer::Norm(0)];
    if relu {
        layers.insert(0, Layer::Relu);
    }
    let tape = run(&layers, params, x);
    NormConvTape { layers, tape }
}

/// FactorizedReduce from `x`'s channels to `out`. `weights` is `[out / 2, in]` followed by the rest.
#[must_use]
pub fn factorized_reduce_forward<T: Float>(params: &Params<T>, out: usize, x: &Tensor<T>) -> NormConvTape<T> {
    let c = x.shape[1];
    let first = Weight { offset: 0, shape: [out / 2, c, 1, 1] };
    let second = Weight { offset: first.len(), shape: [out - out / 2, c, 1, 1] };
    let layers = factorized_reduce([first, second], 0);
    let tape = run(&layers, params, x);
    NormConvTape { layers, tape }
}

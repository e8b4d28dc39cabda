//! A whole cell as one operation: every edge, every operation, the sums at the nodes.

use burn::tensor::Tensor;
use cdarts_kernels::{
    Affine, BatchStats, CellGrads, CellInput, CellSaved, Channels, KernelError, RunningStats, nas_bench_201,
    plan,
};

use super::flat::flat;
use super::operation::{Forward, Host, Values, Way, apply, constant, host, nothing, parent};
use super::{Blocked, WORKSPACE, sound};
use crate::norm::BatchNorm;

/// What a cell is made of, in the order of its kernel.
pub(crate) struct FusedCell<'a, K> {
    /// Edges and operations.
    pub kernel: K,
    /// Convolutions' weights.
    pub weights: Vec<Tensor<4>>,
    /// Batch norms.
    pub norms: Vec<&'a BatchNorm>,
    /// `[edges, operations]`, in a search cell.
    pub mixing: Option<Tensor<2>>,
    /// `[edges, n]`: what drop path multiplies an edge by.
    pub drop: Option<Vec<f32>>,
}

/// A cell of one of the search spaces, ready to run.
pub(crate) trait CellKernel: Send + 'static {
    /// What the way back needs of the way there.
    type Saved: Send + 'static;

    /// Whether the way back reads the output.
    const KEEPS_OUTPUT: bool;

    /// Channels, height and width of the output.
    fn output(&self) -> (Channels, [usize; 2]);

    /// Channels of a batch norm.
    fn channels(&self) -> usize;

    /// Whether batch norms are affine.
    fn affine(&self) -> bool;

    fn forward(&self, given: &Arguments, output: &mut [f32]) -> Result<Self::Saved, KernelError>;

    fn infer(
        &self,
        given: &Arguments,
        running: RunningStats<'_>,
        output: &mut [f32],
    ) -> Result<(), KernelError>;

    /// Fills the gradients that there is room for.
    fn backward(
        &self,
        given: &Arguments,
        output: &[f32],
        saved: Self::Saved,
        grad: &[f32],
        grads: Grads<'_>,
    ) -> Result<(), KernelError>;

    /// Statistics of the batch, norm by norm.
    fn stats(saved: &Self::Saved) -> BatchStats;
}

/// Two inputs, weights, mixing weights, gains, biases; empty where a cell has less.
const ARGUMENTS: usize = 6;

/// Where the gradients of a cell's arguments go.
pub(crate) struct Grads<'a> {
    inputs: [&'a mut [f32]; 2],
    /// `None` if nobody asks.
    weights: Option<&'a mut [f32]>,
    /// `None` if nobody asks.
    mix: Option<&'a mut [f32]>,
    /// Of gains and biases, where there are any.
    affine: Option<[&'a mut [f32]; 2]>,
}

/// What a cell computes with.
pub(crate) struct Arguments {
    n: usize,
    values: [Host; ARGUMENTS],
    affine: bool,
    mixed: bool,
    drop: Option<Vec<f32>>,
}

impl Arguments {
    fn affine(&self) -> Option<Affine<'_>> {
        let [_, _, _, _, gain, bias] = self.values.each_ref().map(Host::values);
        self.affine.then_some(Affine { gain, bias })
    }

    fn mix(&self) -> Option<&[f32]> {
        self.mixed.then(|| self.values[3].values())
    }
}

/// The cell on its inputs, of which there are one or two; nothing where a norm would be over one value. Inputs in channel
/// blocks of another width than the kernel's are laid out anew.
///
/// # Shapes
/// each of `[n, c/b, h, w, b]` → the kernel's output, `[n, c'/b, h', w', b]`
pub(crate) fn run_cell<K: CellKernel, const INPUTS: usize>(
    cell: FusedCell<'_, K>,
    inputs: [Blocked; INPUTS],
) -> Option<Blocked> {
    let FusedCell { kernel, weights, norms, mixing, drop } = cell;
    let (n, _) = inputs[0].extent();
    let training = inputs[0].tensor.device().is_autodiff();
    let (channels, [h, w]) = kernel.output();
    if training && n * h * w == 1 {
        return None;
    }
    let (affine, mixed) = (kernel.affine(), mixing.is_some());
    let mut inputs = inputs.into_iter().map(|input| input.in_blocks_of(channels.width).tensor);
    let (first, second) = (inputs.next(), inputs.next());
    let weights = (!weights.is_empty()).then(|| flat(weights));
    let [gain, bias] = gains(&norms);
    let shape = [n, channels.blocks(), h, w, channels.lanes()];
    let len = shape.iter().product();
    if !training {
        let values = [
            on_host(first),
            on_host(second),
            on_host(weights),
            on_host(mixing),
            on_host(gain),
            on_host(bias),
        ];
        let (mean, var) = running(&norms);
        let mut output = WORKSPACE.take(len);
        let running = RunningStats { mean: &mean, var: &var };
        sound(kernel.infer(&Arguments { n, values, affine, mixed, drop }, running, &mut output));
        return Some(Blocked { tensor: constant(output, shape), channels });
    }
    let parents = [
        first.map_or_else(nothing, parent),
        second.map_or_else(nothing, parent),
        weights.map_or_else(nothing, parent),
        mixing.map_or_else(nothing, parent),
        gain.map_or_else(nothing, parent),
        bias.map_or_else(nothing, parent),
    ];
    let tensor = apply(parents, shape, |values| {
        let given = Arguments { n, values, affine, mixed, drop };
        let mut output = WORKSPACE.take(len);
        let saved = sound(kernel.forward(&given, &mut output));
        record(&norms, &K::stats(&saved), kernel.channels());
        let back = move |Way { output, grad, wanted, .. }: Way<'_, ARGUMENTS>| {
            let [first, second, weights, mix, gain, bias] =
                given.values.each_ref().map(|value| value.values().len());
            let [_, _, weights_wanted, mix_wanted, ..] = wanted;
            let [mut first, mut second] = [first, second].map(|len| WORKSPACE.take(len));
            let mut weights = weights_wanted.then(|| WORKSPACE.take(weights));
            let mut mix = mix_wanted.then(|| vec![0.0; mix]);
            let [mut gain, mut bias] = [gain, bias].map(|len| vec![0.0; len]);
            let grads = Grads {
                inputs: [&mut first, &mut second],
                weights: weights.as_deref_mut(),
                mix: mix.as_deref_mut(),
                affine: given.affine.then_some([&mut gain, &mut bias]),
            };
            sound(kernel.backward(&given, output, saved, grad, grads));
            let [first, second] = [first, second].map(|grads| Some(Values::from(grads)));
            let (weights, mix) = (weights.map(Values::from), mix.map(Values::from));
            let [gain, bias] = [gain, bias].map(|grads| Some(Values::from(grads)));
            [first, second, weights, mix, gain, bias]
        };
        Forward { output: output.into(), keeps_output: K::KEEPS_OUTPUT, back: Box::new(back) }
    });
    Some(Blocked { tensor, channels })
}

fn on_host<const D: usize>(tensor: Option<Tensor<D>>) -> Host {
    tensor.map_or_else(Host::empty, host)
}

/// Gains and biases of all norms that have them, one behind the other.
fn gains(norms: &[&BatchNorm]) -> [Option<Tensor<1>>; 2] {
    let pairs: Vec<[Tensor<1>; 2]> = norms.iter().filter_map(|norm| norm.affine_tensors()).collect();
    [0, 1].map(|which| {
        let tensors: Vec<Tensor<1>> = pairs.iter().map(|pair| pair[which].clone()).collect();
        (!tensors.is_empty()).then(|| Tensor::cat(tensors, 0))
    })
}

/// Running means and variances of all norms.
fn running(norms: &[&BatchNorm]) -> (Vec<f32>, Vec<f32>) {
    let (means, variances): (Vec<_>, Vec<_>) = norms.iter().map(|norm| norm.running_values()).unzip();
    (means.concat(), variances.concat())
}

fn record(norms: &[&BatchNorm], stats: &BatchStats, channels: usize) {
    for (index, norm) in norms.iter().enumerate() {
        let own = index * channels..(index + 1) * channels;
        norm.record(&stats.mean[own.clone()], &stats.var[own]);
    }
}

fn darts_input(given: &Arguments) -> CellInput<'_> {
    let [s0, s1, weights, ..] = given.values.each_ref().map(Host::values);
    let (affine, mix, drop) = (given.affine(), given.mix(), given.drop.as_deref());
    CellInput { n: given.n, s0, s1, weights, affine, mix, drop }
}

impl CellKernel for plan::CellPlan {
    type Saved = CellSaved;

    const KEEPS_OUTPUT: bool = true;

    fn output(&self) -> (Channels, [usize; 2]) {
        (self.output_channels(), self.output_size())
    }

    fn channels(&self) -> usize {
        self.channels()
    }

    fn affine(&self) -> bool {
        self.affine()
    }

    fn forward(&self, given: &Arguments, output: &mut [f32]) -> Result<CellSaved, KernelError> {
        self.forward(&WORKSPACE, &darts_input(given), output)
    }

    fn infer(
        &self,
        given: &Arguments,
        running: RunningStats<'_>,
        output: &mut [f32],
    ) -> Result<(), KernelError> {
        self.infer(&WORKSPACE, &darts_input(given), running, output)
    }

    fn backward(
        &self,
        given: &Arguments,
        output: &[f32],
        saved: CellSaved,
        grad: &[f32],
        Grads { inputs: [s0, s1], weights, mix, affine }: Grads<'_>,
    ) -> Result<(), KernelError> {
        let grads = CellGrads { s0, s1, weights, affine, mix };
        self.backward(&WORKSPACE, &darts_input(given), output, saved, grad, grads)
    }

    fn stats(saved: &CellSaved) -> BatchStats {
        saved.stats()
    }
}

fn nas_bench_201_input(given: &Arguments) -> nas_bench_201::CellInput<'_> {
    let [x, _, weights, ..] = given.values.each_ref().map(Host::values);
    let (affine, mix, drop) = (given.affine(), given.mix(), given.drop.as_deref());
    nas_bench_201::CellInput { n: given.n, x, weights, affine, mix, drop }
}

impl CellKernel for nas_bench_201::CellPlan {
    type Saved = nas_bench_201::CellSaved;

    const KEEPS_OUTPUT: bool = false;

    fn output(&self) -> (Channels, [usize; 2]) {
        (Channels::new(self.channels()), self.size())
    }

    fn channels(&self) -> usize {
        self.channels()
    }

    fn affine(&self) -> bool {
        self.affine()
    }

    fn forward(&self, given: &Arguments, output: &mut [f32]) -> Result<Self::Saved, KernelError> {
        self.forward(&WORKSPACE, &nas_bench_201_input(given), output)
    }

    fn infer(
        &self,
        given: &Arguments,
        running: RunningStats<'_>,
        output: &mut [f32],
    ) -> Result<(), KernelError> {
        self.infer(&WORKSPACE, &nas_bench_201_input(given), running, output)
    }

    fn backward(
        &self,
        given: &Arguments,
        _: &[f32],
        saved: Self::Saved,
        grad: &[f32],
        Grads { inputs: [x, _], weights, mix, affine }: Grads<'_>,
    ) -> Result<(), KernelError> {
        let grads = nas_bench_201::CellGrads { x, weights, affine, mix };
        self.backward(&WORKSPACE, &nas_bench_201_input(given), saved, grad, grads)
    }

    fn stats(saved: &Self::Saved) -> BatchStats {
        saved.stats()
    }
}

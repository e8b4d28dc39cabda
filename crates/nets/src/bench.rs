//! A cell, an operation or a layer by itself, forward and back from a given gradient: what benchmarks time.

use burn::tensor::{Device, Tensor, TensorData};
use cdarts_kernels::{Width, plan};
use cdarts_space::{CellKind, CellPlan, Op};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::arch::ArchWeights;
use crate::cell::SearchCell;
use crate::conv::ConvShape;
use crate::fused::{Blocked, FusedCell, State, cell_width, run_cell, sound, upstream};
use crate::init::Initialiser;
use crate::laps::part;
use crate::ops::{FactorizedReduce, Operation};
use crate::params::count;
use crate::stem::ConvNorm;

/// The seed of all weights, inputs and gradients.
const SEED: u64 = 1;

/// What an isolated part is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Channels of the part.
    pub channels: usize,
    /// Height and width of its input.
    pub size: [usize; 2],
    /// Images.
    pub batch: usize,
}

/// A part of a network with random inputs.
pub struct Isolated {
    params: usize,
    name: &'static str,
    forward: Box<dyn Fn() -> State>,
    /// The gradient of the output, drawn when its shape is known.
    upstream: Option<State>,
}

impl Isolated {
    /// A normal search cell between two inputs of three times its channels, with its architecture weights.
    pub fn search_cell(extent: Extent, device: &Device) -> Self {
        let Extent { channels, size, .. } = extent;
        let init = Initialiser::new(SEED, device);
        let cell = SearchCell::new(&Self::cell_plan(channels, size), &init.at(0));
        let arch = ArchWeights::new(false, &init.at(1));
        let wide = Extent { channels: 3 * channels, ..extent };
        let inputs = [2, 3].map(|place| input(cell_width(channels), wide, init.at(place)));
        Self::new("search cell", count(&cell) + count(&arch), move || {
            let [two_back, one_back] = inputs.clone();
            cell.forward(two_back, one_back, &arch.cell(0, CellKind::Normal).mixing())
        })
    }

    /// The plan of [`Self::search_cell`].
    pub fn cell_plan(channels: usize, size: [usize; 2]) -> CellPlan {
        CellPlan {
            kind: CellKind::Normal,
            channels,
            channels_two_back: channels.saturating_mul(3),
            channels_one_back: channels.saturating_mul(3),
            previous_reduces: false,
            size_two_back: size,
            size_one_back: size,
            out_size: size,
        }
    }

    /// An operation of the space at stride 1, without scale and shift: a cell of a single edge.
    pub fn operation(op: Op, extent: Extent, device: &Device) -> Self {
        let init = Initialiser::new(SEED, device);
        let operation = Operation::new(op, extent.channels, 1, false, &mut init.at(0));
        let width = cell_width(extent.channels);
        let (x, other) =
            (input(width, extent, init.at(1)), State::in_blocks_of(width, values(extent, init.at(2))));
        Self::new("operation", count(&operation), move || single_edge(op, &operation, &x, &other))
    }

    /// FactorizedReduce without scale and shift, as in front of a cell that follows a reduction.
    pub fn factorized_reduce(extent: Extent, device: &Device) -> Self {
        let init = Initialiser::new(SEED, device);
        let operation = FactorizedReduce::new(extent.channels, extent.channels, false, &mut init.at(0));
        let x = input(cell_width(extent.channels), extent, init.at(1));
        Self::new("FactorizedReduce", count(&operation), move || operation.forward_state(x.clone()))
    }

    /// A dense 3×3 convolution with an affine norm, as in stems.
    pub fn dense(extent: Extent, device: &Device) -> Self {
        let init = Initialiser::new(SEED, device);
        let shape = ConvShape::dense(extent.channels, extent.channels, 3, 1);
        let layer = ConvNorm::new(shape, &mut init.at(0));
        let x = input(Width::Eight, extent, init.at(1));
        Self::new("dense convolution", count(&layer), move || layer.forward_state(x.clone()))
    }

    fn new(name: &'static str, params: usize, forward: impl Fn() -> State + 'static) -> Self {
        Self { params, name, forward: Box::new(forward), upstream: None }
    }

    /// Number of parameters, architecture weights included.
    pub fn params(&self) -> usize {
        self.params
    }

    /// Forward, then back to all parameters and inputs from the same random gradient each time. Returns a value of the
    /// output.
    pub fn step(&mut self) -> f32 {
        let output = part(self.name, &self.forward);
        let gradient = self.upstream.get_or_insert_with(|| random_like(&output)).clone();
        let (value, zero) = match (output, gradient) {
            (State::Blocked(x), State::Blocked(g)) => (first(&x.tensor), upstream(x.tensor, g.tensor)),
            (x, g) => {
                let x = x.plain();
                (first(&x), upstream(x, g.plain()))
            }
        };
        part("rest of the backward pass", || drop(zero.backward()));
        value
    }
}

fn single_edge(op: Op, operation: &Operation, x: &State, other: &State) -> State {
    let (State::Blocked(x), State::Blocked(other)) = (x, other) else {
        return State::Plain(operation.forward(x.clone().plain()));
    };
    let (weights, norms) = operation.parts();
    let edge = plan::Edge { node: 0, source: 0, op: plan::Op::ALL[op.index()] };
    let size = x.extent().1;
    let cell = FusedCell {
        kernel: sound(plan::CellPlan::with_edges(x.channels.real(), size, false, &[edge], false))
            .in_blocks_of(x.channels.width),
        weights,
        norms,
        mixing: None,
        drop: None,
    };
    match run_cell(cell, [x.clone(), other.clone()]) {
        Some(output) => State::Blocked(output),
        None => State::Plain(operation.forward(State::Blocked(x.clone()).plain())),
    }
}

/// `[n, c, h, w]`, standard normal, outside the graph.
fn values(extent: Extent, mut init: Initialiser) -> Tensor<4> {
    let Extent { channels, size: [h, w], batch } = extent;
    init.normal([batch, channels, h, w], 1.0).val().inner()
}

/// Random values whose gradient is wanted.
fn input(width: Width, extent: Extent, init: Initialiser) -> State {
    match State::in_blocks_of(width, values(extent, init)) {
        State::Plain(x) => State::Plain(x.autodiff().require_grad()),
        State::Blocked(x) => State::Blocked(Blocked { tensor: x.tensor.autodiff().require_grad(), ..x }),
    }
}

/// Uniform in ±1 in the same layout; padding channels stay zero.
fn random_like(state: &State) -> State {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut draw = || rng.random::<f32>() * 2.0 - 1.0;
    match state {
        State::Plain(x) => State::Plain(filled(x, |_| draw())),
        State::Blocked(x) => {
            let [_, blocks, h, w, _] = x.tensor.dims();
            let lanes = x.channels.lanes();
            let channel = |index: usize| index / (h * w * lanes) % blocks * lanes + index % lanes;
            let value = |index| if x.channels.at(channel(index)).is_some() { draw() } else { 0.0 };
            State::Blocked(Blocked { tensor: filled(&x.tensor, value), channels: x.channels })
        }
    }
}

/// A tensor shaped like `x` with a value for each position.
fn filled<const D: usize>(x: &Tensor<D>, value: impl FnMut(usize) -> f32) -> Tensor<D> {
    let shape = x.dims();
    let values: Vec<f32> = (0..shape.iter().product()).map(value).collect();
    Tensor::from_data(TensorData::new(values, shape), &x.device())
}

fn first<const D: usize>(x: &Tensor<D>) -> f32 {
    x.clone().slice([const { 0..1 }; D]).into_scalar()
}

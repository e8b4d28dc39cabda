//! The kernels that are timed, with what each must compute and move.
#![allow(dead_code, reason = "each bench uses its part")]
#![allow(clippy::expect_used, reason = "a benchmark that cannot run has nothing to report")]

use std::cell::RefCell;
use std::fmt;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};

use cdarts_kernels::plan::{CellPlan, Edge, NODES, Op};
use cdarts_kernels::{
    Affine, CellGrads, CellInput, CellSaved, Channels, InputGrad, Level, MeanPool, NormConv, NormConvGrads,
    NormConvInput, NormConvSaved, Width, Workspace, blocked_len, nas_bench_201,
};

/// Images of a batch.
pub const BATCH: usize = 64;

/// All that is timed.
pub const KERNELS: [Kernel; 18] = [
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
    Kernel::SearchCell,
    Kernel::Preprocess,
    Kernel::FactorizedReduce,
    Kernel::Dense3,
    Kernel::Dense1,
    Kernel::ReluPool,
    Kernel::NasBench201,
];

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// An operation of the DARTS space on four edges that leave one state, one to each node.
    Operation(Op),
    /// The same at stride 2.
    Reducing(Op),
    /// A normal search cell.
    SearchCell,
    /// The 1×1 pre-processing of a search cell's input: three times as many channels in.
    Preprocess,
    /// FactorizedReduce as pre-processing.
    FactorizedReduce,
    /// A dense 3×3 convolution with norm.
    Dense3,
    /// A dense 1×1 convolution with norm.
    Dense1,
    /// ReLU and 5×5 average pooling at stride 3, as in a head.
    ReluPool,
    /// A search cell of NAS-Bench-201.
    NasBench201,
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operation = |op: Op| match op {
            Op::MaxPool3 => "max_pool_3x3",
            Op::AvgPool3 => "avg_pool_3x3",
            Op::Skip => "skip_connect",
            Op::SepConv3 => "sep_conv_3x3",
            Op::SepConv5 => "sep_conv_5x5",
            Op::DilConv3 => "dil_conv_3x3",
            Op::DilConv5 => "dil_conv_5x5",
            Op::None => "none",
        };
        match *self {
            Self::Operation(op) => write!(f, "4 {}", operation(op)),
            Self::Reducing(op) => write!(f, "4 {} stride 2", operation(op)),
            Self::SearchCell => f.write_str("search cell"),
            Self::Preprocess => f.write_str("1x1 pre-processing"),
            Self::FactorizedReduce => f.write_str("factorized reduce"),
            Self::Dense3 => f.write_str("dense 3x3"),
            Self::Dense1 => f.write_str("dense 1x1"),
            Self::ReluPool => f.write_str("relu pool"),
            Self::NasBench201 => f.write_str("nas-bench-201 cell"),
        }
    }
}

/// A kernel at a size.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The kernel.
    pub kernel: Kernel,
    /// Channels of its output.
    pub channels: usize,
    /// Height and width of its input.
    pub side: usize,
    /// Instructions.
    pub level: Level,
}

impl Case {
    /// The width of blocks that its network would choose.
    fn width(&self) -> Width {
        match self.kernel {
            Kernel::NasBench201 | Kernel::Dense3 => Width::Eight,
            _ => self.level.width(self.channels),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, channels, side, level } = self;
        write!(f, "{kernel}, {channels} of {side}x{side}, {}", level.name())
    }
}

/// The usual sizes of `kernels` with the fastest instructions, and the first kernel without any.
pub fn cases(kernels: &[Kernel]) -> Vec<Case> {
    let sized = |&kernel: &Kernel| {
        [(16, 32), (64, 8)].map(|(channels, side)| Case { kernel, channels, side, level: Level::detect() })
    };
    let mut cases: Vec<Case> = kernels.iter().flat_map(sized).collect();
    if let (Some(&first), true) = (cases.first(), Level::detect() != Level::PORTABLE) {
        cases.push(Case { level: Level::PORTABLE, ..first });
    }
    cases
}

/// What a kernel must do at least, one way.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// Additions and multiplications of convolutions, pools and sums; those that are made again on the way back included,
    /// except what lies between two blocks, which the kernels keep or make again.
    pub flops: f64,
    /// Bytes from and to buffers of the whole batch. A write counts twice: its line is read before.
    pub bytes: f64,
}

impl Cost {
    fn add(&mut self, flops: f64, floats: f64) {
        self.flops += flops;
        self.bytes += 4.0 * floats;
    }
}

#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
enum Plan {
    Cell(CellPlan),
    Conv(NormConv),
    Pool(MeanPool),
    NasBench201(nas_bench_201::CellPlan),
}

/// What a way forward keeps.
pub enum Saved {
    /// Of a DARTS cell.
    Cell(CellSaved),
    /// Of a convolution with norm.
    Conv(NormConvSaved),
    /// Of a pooling.
    Nothing,
    /// Of a cell of NAS-Bench-201.
    NasBench201(nas_bench_201::CellSaved),
}

/// A kernel with its buffers.
pub struct Bench {
    plan: Plan,
    workspace: Workspace,
    x: [Vec<f32>; 2],
    weights: Vec<f32>,
    mix: Vec<f32>,
    output: Vec<f32>,
    grad: Vec<f32>,
    grad_x: [Vec<f32>; 2],
    grad_weights: Vec<f32>,
    grad_mix: Vec<f32>,
    /// Floats of the input's real channels, and of the output's without concatenation.
    planes: [f64; 2],
    channels: f64,
    affine: bool,
}

fn ramp(len: usize, scale: f32) -> Vec<f32> {
    let mut state = 1u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / (1 << 23) as f32 - 1.0) * scale
    };
    (0..len).map(next).collect()
}

fn plan(case: &Case) -> Plan {
    let (c, size) = (case.channels, [case.side; 2]);
    let width = case.width();
    let [wide, narrow] = [3 * c, c].map(|c| Channels::new(c).in_blocks_of(width));
    let four = |op, reduction| {
        let edges: Vec<Edge> = (0..NODES).map(|node| Edge { node, source: 0, op }).collect();
        let plan = CellPlan::with_edges(c, size, reduction, &edges, false).expect("a cell of four edges");
        Plan::Cell(plan.in_blocks_of(width))
    };
    let dense =
        |shape| Plan::Conv(NormConv::dense(narrow, c, size, shape, false, true).expect("a convolution"));
    match case.kernel {
        Kernel::Operation(op) => four(op, false),
        Kernel::Reducing(op) => four(op, true),
        Kernel::SearchCell => {
            let plan = CellPlan::search(c, size, false).expect("a search cell");
            Plan::Cell(plan.in_blocks_of(width))
        }
        Kernel::Preprocess => Plan::Conv(NormConv::pointwise(wide, c, size, false).expect("a convolution")),
        Kernel::FactorizedReduce => {
            Plan::Conv(NormConv::factorized_reduce(wide, c, size, false).expect("a reduction"))
        }
        Kernel::Dense3 => dense([3, 1, 1]),
        Kernel::Dense1 => dense([1, 1, 0]),
        Kernel::ReluPool => {
            let pool = MeanPool::new(narrow, size, [5; 2], [3; 2]).expect("a pooling");
            Plan::Pool(pool.behind_relu())
        }
        Kernel::NasBench201 => {
            Plan::NasBench201(nas_bench_201::CellPlan::search(c, size).expect("a search cell"))
        }
    }
}

impl Bench {
    /// Random inputs and gradients for a case.
    pub fn new(case: &Case) -> Self {
        let size = [case.side; 2];
        let plan = plan(case);
        let wide = matches!(case.kernel, Kernel::Preprocess | Kernel::FactorizedReduce);
        let from = Channels::new(if wide { 3 * case.channels } else { case.channels });
        let from = from.in_blocks_of(case.width());
        let (weights, paths, output, nodes) = match &plan {
            Plan::Cell(plan) => (plan.weights_len(), plan.paths().len(), plan.output_len(BATCH), NODES),
            Plan::Conv(conv) => (conv.weights_len(), 2 * case.channels, conv.output_len(BATCH), 1),
            Plan::Pool(pool) => (0, 0, pool.output_len(BATCH), 1),
            Plan::NasBench201(plan) => (plan.weights_len(), plan.paths().len(), plan.state_len(BATCH), 1),
        };
        let x = [1.0, 0.9].map(|scale| ramp(blocked_len(BATCH, from, size), scale));
        let (weights, mix) = (ramp(weights, 0.3), (0..paths).map(|i| 0.1 + 0.01 * (i % 8) as f32).collect());
        Self {
            plan,
            workspace: Workspace::with_level(case.level),
            planes: [x[0].len(), output / nodes].map(|len| len as f64),
            channels: case.channels as f64,
            affine: matches!(case.kernel, Kernel::Dense3 | Kernel::Dense1),
            grad_x: x.clone(),
            x,
            grad_weights: weights.clone(),
            weights,
            grad: ramp(output, 1.0),
            output: vec![0.0; output],
            grad_mix: Vec::clone(&mix),
            mix,
        }
    }

    fn conv_input(&self) -> NormConvInput<'_> {
        let c = self.channels as usize;
        let affine = self.affine.then(|| Affine { gain: &self.mix[..c], bias: &self.mix[c..] });
        NormConvInput { n: BATCH, x: &self.x[0], weights: &self.weights, affine }
    }

    /// One way forward.
    pub fn forward(&mut self) -> Saved {
        let mut output = std::mem::take(&mut self.output);
        let workspace = &self.workspace;
        let [s0, s1] = &self.x;
        let saved = match &self.plan {
            Plan::Cell(plan) => {
                let (weights, mix) = (&self.weights, Some(&self.mix[..]));
                let input = CellInput { n: BATCH, s0, s1, weights, affine: None, mix, drop: None };
                plan.forward(workspace, &input, &mut output).map(Saved::Cell)
            }
            Plan::Conv(conv) => conv.forward(workspace, &self.conv_input(), &mut output).map(Saved::Conv),
            Plan::Pool(pool) => pool.forward(workspace, BATCH, s0, &mut output).map(|()| Saved::Nothing),
            Plan::NasBench201(plan) => {
                let (weights, mix) = (&self.weights, Some(&self.mix[..]));
                let input =
                    nas_bench_201::CellInput { n: BATCH, x: s0, weights, affine: None, mix, drop: None };
                plan.forward(workspace, &input, &mut output).map(Saved::NasBench201)
            }
        };
        self.output = output;
        saved.expect("buffers of the plan's lengths")
    }

    /// One way back from what a way forward kept.
    pub fn backward(&mut self, saved: Saved) {
        let [mut g0, mut g1] = std::mem::take(&mut self.grad_x);
        let mut weights = std::mem::take(&mut self.grad_weights);
        let mut mix = std::mem::take(&mut self.grad_mix);
        let workspace = &self.workspace;
        let [s0, s1] = &self.x;
        let done = match (&self.plan, saved) {
            (Plan::Cell(plan), Saved::Cell(saved)) => {
                let input = CellInput {
                    n: BATCH,
                    s0,
                    s1,
                    weights: &self.weights,
                    affine: None,
                    mix: Some(&self.mix),
                    drop: None,
                };
                let (weights, mix) = (&mut weights[..], Some(&mut mix[..]));
                let grads = CellGrads { s0: &mut g0, s1: &mut g1, weights: Some(weights), affine: None, mix };
                plan.backward(workspace, &input, &self.output, saved, &self.grad, grads)
            }
            (Plan::Conv(conv), Saved::Conv(saved)) => {
                let (gain, bias) = mix.split_at_mut(self.channels as usize);
                let affine = self.affine.then_some([gain, bias]);
                let grads =
                    NormConvGrads { x: InputGrad::Write(&mut g0), weights: Some(&mut weights), affine };
                conv.backward(workspace, &self.conv_input(), saved, &self.grad, grads)
            }
            (Plan::Pool(pool), _) => pool.backward(workspace, BATCH, s0, &self.grad, &mut g0),
            (Plan::NasBench201(plan), Saved::NasBench201(saved)) => {
                let (w, m) = (&self.weights, Some(&self.mix[..]));
                let input = nas_bench_201::CellInput {
                    n: BATCH,
                    x: s0,
                    weights: w,
                    affine: None,
                    mix: m,
                    drop: None,
                };
                let (weights, mix) = (&mut weights[..], Some(&mut mix[..]));
                let grads =
                    nas_bench_201::CellGrads { x: &mut g0, weights: Some(weights), affine: None, mix };
                plan.backward(workspace, &input, saved, &self.grad, grads)
            }
            _ => unreachable!("a kernel keeps its own kind of values"),
        };
        done.expect("buffers of the plan's lengths");
        (self.grad_x, self.grad_weights, self.grad_mix) = ([g0, g1], weights, mix);
    }

    /// Bytes that both ways touch.
    pub fn footprint(&self, saved: &Saved) -> usize {
        let kept = match saved {
            Saved::Cell(saved) => saved.bytes(),
            Saved::Conv(saved) => saved.bytes(),
            Saved::NasBench201(saved) => saved.bytes(),
            Saved::Nothing => 0,
        };
        let buffers = [&self.x[0], &self.output, &self.grad, &self.grad_x[0]];
        kept + buffers.iter().map(|buffer| 4 * buffer.len()).sum::<usize>()
    }

    /// What forward and backward cost at least.
    pub fn costs(&self) -> [Cost; 2] {
        let mut costs = [Cost::default(); 2];
        match &self.plan {
            Plan::Cell(plan) => self.cell_costs(plan, &mut costs),
            Plan::Conv(_) => {
                let [input, output] = self.planes;
                let flops = 2.0 * self.weights.len() as f64 * output / self.channels;
                costs[0].add(flops, input + 5.0 * output);
                costs[1].add(2.0 * flops, 4.0 * output + 3.0 * input);
            }
            Plan::Pool(_) => {
                let [input, output] = self.planes;
                costs[0].add(25.0 * output + input, input + 2.0 * output);
                costs[1].add(25.0 * output + input, 3.0 * input + output);
            }
            Plan::NasBench201(plan) => {
                let plane = self.planes[1];
                let c = self.channels;
                for kernel in plan.paths().iter().filter_map(|path| path.op.kernel()) {
                    let flops = 2.0 * plane * c * (kernel * kernel) as f64;
                    costs[0].add(flops, 3.0 * plane);
                    costs[1].add(2.0 * flops, 2.0 * plane);
                }
                costs[0].add(0.0, 2.0 * 3.0 * plane + 3.0 * plane);
                costs[1].add(0.0, 4.0 * plane + 3.0 * plane);
            }
        }
        costs
    }

    fn cell_costs(&self, plan: &CellPlan, [forward, backward]: &mut [Cost; 2]) {
        let [input, plane] = self.planes;
        let c = self.channels;
        for path in plan.paths() {
            let mixed = 2.0 * plane;
            match path.op.conv() {
                Some((kernel, _, blocks)) => {
                    let (blocks, taps) = (blocks as f64, (kernel * kernel) as f64);
                    let flops = 2.0 * blocks * plane * (taps + c);
                    // What is between two blocks need not be kept.
                    forward.add(flops + mixed, 3.0 * plane);
                    // A second block's gradient takes the place of its output and is read again.
                    let moved = if blocks > 1.0 { 4.0 } else { 2.0 };
                    backward.add(2.0 * flops + 2.0 * blocks * plane * taps + mixed, moved * plane);
                }
                None if path.reduces() => {
                    forward.add(2.0 * plane * c + mixed, 3.0 * plane);
                    backward.add(4.0 * plane * c + mixed, 2.0 * plane);
                }
                None if path.op == Op::None => {}
                None => {
                    // Maxima and sums of three rows, then of three columns; back, a share or a choice a cell.
                    let flops = if path.op == Op::Skip { 0.0 } else { 4.0 * plane };
                    forward.add(flops + mixed, 0.0);
                    backward.add(3.0 * flops + 2.0 * mixed, 0.0);
                }
            }
        }
        let inputs = [0, 1].into_iter().filter(|s| plan.paths().iter().any(|path| path.source == *s)).count();
        let nodes = NODES as f64 * plane;
        forward.add(0.0, inputs as f64 * input + 2.0 * nodes);
        // The output's gradient is copied; inputs are read and their gradients written.
        backward.add(0.0, 3.0 * nodes + 3.0 * inputs as f64 * input);
    }
}

/// Times ways forward; an item is an addition or a multiplication.
pub fn forward(bencher: Bencher<'_, '_>, case: &Case) {
    let mut bench = Bench::new(case);
    let [cost, _] = bench.costs();
    counted(bencher, cost).bench_local(|| drop(bench.forward()));
}

/// Times ways back, each from its own way forward, which is not timed.
pub fn backward(bencher: Bencher<'_, '_>, case: &Case) {
    let bench = RefCell::new(Bench::new(case));
    let [_, cost] = bench.borrow().costs();
    counted(bencher, cost)
        .with_inputs(|| bench.borrow_mut().forward())
        .bench_local_values(|saved| bench.borrow_mut().backward(saved));
}

fn counted<'a, 'b>(bencher: Bencher<'a, 'b>, cost: Cost) -> Bencher<'a, 'b> {
    bencher.counter(ItemsCount::new(cost.flops as u64)).counter(BytesCount::new(cost.bytes as u64))
}

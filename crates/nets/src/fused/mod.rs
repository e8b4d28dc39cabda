//! The fused CPU kernels as differentiable operations (design section 6). On the CPU whole cells run as one
//! operation each; on every other device, networks are made of burn's own operations.
//!
//! Activations pass between fused operations in the kernels' layout, `[n, c/b, h, w, b]`, as a [`State`].

mod cell;
mod conv;
mod flat;
mod layout;
mod operation;
mod pool;
mod readers;
mod upstream;

use std::cell::Cell;
use std::sync::LazyLock;

use burn::tensor::{DType, Device, Tensor};
use cdarts_kernels::{Channels, KernelError, Width, Workspace};
use cdarts_space::PlanView;

pub(crate) use cell::{FusedCell, run_cell};
pub(crate) use conv::{ConvKind, norm_conv};
pub(crate) use layout::pooled;
pub(crate) use pool::{mean_pool, relu_global_pool};
pub(crate) use upstream::upstream;

use crate::switch;

/// Buffers of all networks: they are used one after the other, and fresh memory costs more than arithmetic.
static WORKSPACE: LazyLock<Workspace> = LazyLock::new(Workspace::new);

thread_local! {
    static STOCK: Cell<bool> = const { Cell::new(false) };
}

/// Runs `action` with networks on burn's own operations on the CPU too, as on every other device: what the kernels
/// are compared with.
pub fn on_stock_operations<T>(action: impl FnOnce() -> T) -> T {
    switch::on(&STOCK, action)
}

/// An activation between two parts of a network.
#[derive(Clone, Debug)]
pub enum State {
    /// `[n, c, h, w]`
    Plain(Tensor<4>),
    /// In the kernels' layout.
    Blocked(Blocked),
}

/// An activation in the kernels' layout.
#[derive(Clone, Debug)]
pub struct Blocked {
    /// `[n, c/b, h, w, b]`; padding channels are zero.
    pub(crate) tensor: Tensor<5>,
    pub(crate) channels: Channels,
}

impl State {
    /// The same values, through which no gradient flows back.
    pub fn detach(self) -> Self {
        match self {
            Self::Plain(x) => Self::Plain(x.detach()),
            Self::Blocked(x) => Self::Blocked(Blocked { tensor: x.tensor.detach(), ..x }),
        }
    }

    /// As [`Self::in_blocks_of`] eight.
    pub fn new(x: Tensor<4>) -> Self {
        Self::in_blocks_of(Width::Eight, x)
    }

    /// Moves `x` into the kernels' layout, in channel blocks of `width`, where its device is the CPU and its values have
    /// the kernels' precision, except [`on_stock_operations`].
    pub fn in_blocks_of(width: Width, x: Tensor<4>) -> Self {
        if on_cpu(&x.device()) && x.dtype() == DType::F32 && !STOCK.get() {
            Self::Blocked(layout::to_blocked(width, x))
        } else {
            Self::Plain(x)
        }
    }

    /// The activation as `[n, c, h, w]`.
    pub fn plain(self) -> Tensor<4> {
        match self {
            Self::Plain(x) => x,
            Self::Blocked(x) => layout::from_blocked(x),
        }
    }

    /// The sum, in the layout that this has.
    pub(crate) fn plus(self, other: Tensor<4>) -> Self {
        match self {
            Self::Plain(x) => Self::Plain(x + other),
            Self::Blocked(x) => Self::Blocked(Blocked {
                tensor: x.tensor + layout::to_blocked(x.channels.width, other).tensor,
                ..x
            }),
        }
    }
}

impl Blocked {
    /// The same values in channel blocks of `width`.
    pub(crate) fn in_blocks_of(self, width: Width) -> Self {
        if self.channels.width == width {
            return self;
        }
        layout::to_blocked(width, layout::from_blocked(self))
    }

    /// Number of images, and their height and width.
    pub(crate) fn extent(&self) -> (usize, [usize; 2]) {
        let [n, _, h, w, _] = self.tensor.dims();
        (n, [h, w])
    }
}

/// Both states where both are in the kernels' layout, in blocks of one width; otherwise both in the plain one.
pub(crate) fn both(a: State, b: State) -> Result<[Blocked; 2], [Tensor<4>; 2]> {
    match (a, b) {
        (State::Blocked(a), State::Blocked(b)) if a.channels.width == b.channels.width => Ok([a, b]),
        (a, b) => Err([a.plain(), b.plain()]),
    }
}

/// The width of channel blocks that suits a network's cells; those of NAS-Bench-201 have one.
pub(crate) fn block_width(plan: PlanView<'_>) -> Width {
    match plan {
        PlanView::Darts(plan) => {
            let cells = plan.stages.iter().flat_map(|stage| &stage.cells);
            let narrowest = cells.map(|cell| cell.channels).min().unwrap_or(0);
            cell_width(narrowest)
        }
        PlanView::NasBench201(_) => Width::Eight,
    }
}

/// The width of channel blocks that suits DARTS cells of so many channels here.
pub(crate) fn cell_width(channels: usize) -> Width {
    WORKSPACE.level().width(channels)
}

fn on_cpu(device: &Device) -> bool {
    device.clone().without_autodiff() == Device::flex()
}

/// The kernels check lengths against their plan, and plans here are made from the tensors' own shapes.
pub(crate) fn sound<T>(result: Result<T, KernelError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("a kernel was called against its plan: {error}"),
    }
}

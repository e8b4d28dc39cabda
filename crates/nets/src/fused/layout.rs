//! Into and out of the kernels' layout, at a network's ends.

use burn::tensor::Tensor;
use cdarts_kernels::{Channels, Width, blocked_len};
use cdarts_kernels::{from_blocked as leave, global_pool, global_pool_backward, to_blocked as enter};

use super::operation::{Forward, Way, apply, constant, host, parent};
use super::{Blocked, sound};

/// `[n, c, h, w]` → `[n, c/b, h, w, b]`
pub(super) fn to_blocked(width: Width, x: Tensor<4>) -> Blocked {
    let [n, c, h, w] = x.dims();
    let (channels, size) = (Channels::new(c).in_blocks_of(width), [h, w]);
    let shape = [n, channels.blocks(), h, w, channels.lanes()];
    let convert = move |from: &[f32]| {
        let mut to = vec![0.0; blocked_len(n, channels, size)];
        sound(enter(n, channels, size, from, &mut to));
        to
    };
    let back = move |grad: &[f32]| {
        let mut to = vec![0.0; n * c * h * w];
        sound(leave(n, channels, size, grad, &mut to));
        to
    };
    Blocked { tensor: linear(x, shape, convert, back), channels }
}

/// `[n, c/b, h, w, b]` → `[n, c, h, w]`
pub(super) fn from_blocked(x: Blocked) -> Tensor<4> {
    let (channels, (n, size)) = (x.channels, x.extent());
    let shape = [n, channels.real(), size[0], size[1]];
    let convert = move |from: &[f32]| {
        let mut to = vec![0.0; shape.iter().product()];
        sound(leave(n, channels, size, from, &mut to));
        to
    };
    let back = move |grad: &[f32]| {
        let mut to = vec![0.0; blocked_len(n, channels, size)];
        sound(enter(n, channels, size, grad, &mut to));
        to
    };
    linear(x.tensor, shape, convert, back)
}

/// The mean of every channel's plane.
///
/// # Shapes
/// `[n, c/b, h, w, b]` → `[n, c]`
pub(crate) fn pooled(x: Blocked) -> Tensor<2> {
    let (channels, (n, size)) = (x.channels, x.extent());
    let shape = [n, channels.real()];
    let pool = move |from: &[f32]| {
        let mut to = vec![0.0; n * channels.real()];
        sound(global_pool(n, channels, size, from, &mut to));
        to
    };
    let back = move |grad: &[f32]| {
        let mut to = vec![0.0; blocked_len(n, channels, size)];
        sound(global_pool_backward(n, channels, size, grad, &mut to));
        to
    };
    linear(x.tensor, shape, pool, back)
}

/// A linear function of one tensor, whose way back needs no more than the gradient.
fn linear<const D: usize, const E: usize>(
    x: Tensor<D>,
    shape: [usize; E],
    forward: impl FnOnce(&[f32]) -> Vec<f32>,
    back: impl FnOnce(&[f32]) -> Vec<f32> + Send + 'static,
) -> Tensor<E> {
    if !x.device().is_autodiff() {
        return constant(forward(host(x).values()), shape);
    }
    apply([parent(x)], shape, |[x]| {
        let back = move |Way { grad, wanted: [wanted], .. }: Way<'_, 1>| [wanted.then(|| back(grad).into())];
        Forward { output: forward(x.values()).into(), keeps_output: false, back: Box::new(back) }
    })
}

//! ReLU → average pooling as one operation: the heads' ends.

use burn::tensor::Tensor;
use cdarts_kernels::{LANES, ReluPool};

use super::operation::{Forward, Way, apply, constant, host, parent};
use super::{Blocked, WORKSPACE, layout, sound};

/// Means of max(x, 0) over windows.
///
/// # Shapes
/// `[n, c/8, h, w, 8]` → `[n, c/8, h', w', 8]`
pub(crate) fn relu_pool(x: Blocked, window: [usize; 2], stride: [usize; 2]) -> Blocked {
    let (channels, (n, size)) = (x.channels, x.extent());
    let pool = sound(ReluPool::new(channels, size, window, stride));
    let [h, w] = pool.output_size();
    let shape = [n, channels.blocks(), h, w, LANES];
    let forward = move |x: &[f32]| {
        let mut output = WORKSPACE.take(pool.output_len(n));
        sound(pool.forward(&WORKSPACE, n, x, &mut output));
        output
    };
    if !x.tensor.device().is_autodiff() {
        let tensor = constant(forward(host(x.tensor).values()), shape);
        return Blocked { tensor, channels };
    }
    let tensor = apply([parent(x.tensor)], shape, |[x]| {
        let output = forward(x.values());
        let back = move |Way { grad, wanted: [wanted], .. }: Way<'_, 1>| {
            [wanted.then(|| {
                let mut grad_x = vec![0.0; x.values().len()];
                sound(pool.backward(&WORKSPACE, n, x.values(), grad, &mut grad_x));
                grad_x.into()
            })]
        };
        Forward { output: output.into(), keeps_output: false, back: Box::new(back) }
    });
    Blocked { tensor, channels }
}

/// The mean of max(x, 0) over every channel's plane.
///
/// # Shapes
/// `[n, c/8, h, w, 8]` → `[n, c]`
pub(crate) fn relu_global_pool(x: Blocked) -> Tensor<2> {
    let (channels, (n, size)) = (x.channels, x.extent());
    let pooled = relu_pool(x, size, [1, 1]);
    layout::from_blocked(pooled).reshape([n, channels.real()])
}

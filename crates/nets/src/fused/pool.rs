//! Average pooling as one operation: the heads' beginnings and ends, and the residual blocks' halving.

use burn::tensor::Tensor;
use cdarts_kernels::MeanPool;

use super::operation::{Forward, Host, Way, apply, constant, host, parent};
use super::{Blocked, WORKSPACE, layout, sound};

/// Means over windows, of max(x, 0) if `relu`.
///
/// # Shapes
/// `[n, c/b, h, w, b]` → `[n, c/b, h', w', b]`
pub(crate) fn mean_pool(x: Blocked, window: [usize; 2], stride: [usize; 2], relu: bool) -> Blocked {
    let (channels, (n, size)) = (x.channels, x.extent());
    let pool = sound(MeanPool::new(channels, size, window, stride));
    let pool = if relu { pool.behind_relu() } else { pool };
    let [h, w] = pool.output_size();
    let shape = [n, channels.blocks(), h, w, channels.lanes()];
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
        let (output, len) = (forward(x.values()), x.values().len());
        let read_back = if relu { x } else { Host::empty() };
        let back = move |Way { grad, wanted: [wanted], .. }: Way<'_, 1>| {
            [wanted.then(|| {
                let mut grad_x = WORKSPACE.take(len);
                sound(pool.backward(&WORKSPACE, n, read_back.values(), grad, &mut grad_x));
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
/// `[n, c/b, h, w, b]` → `[n, c]`
pub(crate) fn relu_global_pool(x: Blocked) -> Tensor<2> {
    let (channels, (n, size)) = (x.channels, x.extent());
    let pooled = mean_pool(x, size, [1, 1], true);
    layout::from_blocked(pooled).reshape([n, channels.real()])
}

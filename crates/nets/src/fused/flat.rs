//! Many weights as one tensor, so that an operation on a whole cell has few parents.

use burn::tensor::Tensor;
use cdarts_kernels::Buffer;

use super::WORKSPACE;
use super::operation::{Forward, Host, Parent, Values, Way, apply, constant, host, nothing, parent};

/// Weights that one operation puts one behind the other: as many as a search cell has, and more.
const MANY: usize = 192;
/// As many as most discrete cells have: places without a weight cost time too.
const FEW: usize = 32;

/// Weights one behind the other.
pub(super) fn flat(weights: Vec<Tensor<4>>) -> Tensor<1> {
    if !weights.iter().any(|weight| weight.device().is_autodiff()) {
        return unchanging(weights.into_iter().map(host));
    }
    let weights: Vec<Parent> = weights.into_iter().map(parent).collect();
    if !weights.iter().any(Parent::is_tracked) {
        return Tensor::from_inner(unchanging(weights.into_iter().map(Host::of)));
    }
    if weights.len() <= FEW {
        return part::<FEW>(&mut weights.into_iter());
    }
    let pieces = weights.len().div_ceil(MANY);
    let mut weights = weights.into_iter();
    let mut parts: Vec<Tensor<1>> = (0..pieces).map(|_| part::<MANY>(&mut weights)).collect();
    if parts.len() == 1 { parts.swap_remove(0) } else { Tensor::cat(parts, 0) }
}

/// Weights one behind the other, outside the graph.
fn unchanging(weights: impl Iterator<Item = Host>) -> Tensor<1> {
    let values = joined(&weights.collect::<Vec<_>>());
    let len = values.len();
    constant(values, [len])
}

/// The next weights, `N` at most.
fn part<const N: usize>(weights: &mut impl Iterator<Item = Parent>) -> Tensor<1> {
    let missing = nothing();
    let weights: [Parent; N] = std::array::from_fn(|_| weights.next().unwrap_or_else(|| missing.clone()));
    let len = weights.iter().map(|weight| weight.primitive().layout().num_elements()).sum();
    apply(weights, [len], |weights: [Host; N]| {
        let lens = weights.each_ref().map(|weight| weight.values().len());
        let back = move |Way { grad, wanted, .. }: Way<'_, N>| {
            let mut rest = grad;
            std::array::from_fn(|i| {
                let own = rest.split_off(..lens[i])?;
                wanted[i].then(|| Values::from(own.to_vec()))
            })
        };
        Forward { output: joined(&weights).into(), keeps_output: false, back: Box::new(back) }
    })
}

fn joined(weights: &[Host]) -> Buffer {
    let mut joined = WORKSPACE.take(weights.iter().map(|weight| weight.values().len()).sum());
    let mut rest = &mut joined[..];
    for weight in weights.iter().map(Host::values) {
        let (to, after) = rest.split_at_mut(weight.len());
        to.copy_from_slice(weight);
        rest = after;
    }
    joined
}

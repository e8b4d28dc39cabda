//! Many weights as one tensor, so that an operation on a whole cell has few parents.

use burn::tensor::Tensor;

use super::operation::{Forward, Host, Parent, Values, Way, apply, constant, host, nothing, parent};

/// Weights that one operation puts one behind the other. Each operation costs a node of burn's graph, whatever it
/// does, and a search cell has some 170 weights.
const PARENTS: usize = 32;

/// Weights one behind the other.
pub(super) fn flat(weights: Vec<Tensor<4>>) -> Tensor<1> {
    if !weights.iter().any(|weight| weight.device().is_autodiff()) {
        return unchanging(weights.into_iter().map(host));
    }
    let weights: Vec<Parent> = weights.into_iter().map(parent).collect();
    if weights.iter().all(|weight| !weight.is_tracked()) {
        return Tensor::from_inner(unchanging(weights.into_iter().map(Host::of)));
    }
    let missing = nothing();
    let mut weights = weights.into_iter().peekable();
    let mut parts = Vec::new();
    while weights.peek().is_some() {
        parts.push(part(std::array::from_fn(|_| weights.next().unwrap_or_else(|| missing.clone()))));
    }
    if parts.len() == 1 { parts.swap_remove(0) } else { Tensor::cat(parts, 0) }
}

/// Weights one behind the other, outside the graph.
fn unchanging(weights: impl Iterator<Item = Host>) -> Tensor<1> {
    let values = joined(&weights.collect::<Vec<_>>());
    let len = values.len();
    constant(values, [len])
}

fn part(weights: [Parent; PARENTS]) -> Tensor<1> {
    let len = weights.iter().map(|weight| weight.primitive().layout().num_elements()).sum();
    apply(weights, [len], |weights: [Host; PARENTS]| {
        let lens = weights.each_ref().map(|weight| weight.values().len());
        let back = move |Way { grad, wanted, .. }: Way<'_, PARENTS>| {
            let mut rest = grad;
            std::array::from_fn(|i| {
                let own = rest.split_off(..lens[i])?;
                wanted[i].then(|| Values::from(own.to_vec()))
            })
        };
        Forward { output: joined(&weights).into(), keeps_output: false, back: Box::new(back) }
    })
}

fn joined(weights: &[Host]) -> Vec<f32> {
    weights.iter().map(Host::values).collect::<Vec<_>>().concat()
}

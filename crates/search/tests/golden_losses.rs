//! Losses against PyTorch in double precision (`tools/golden/losses.py`): every distance, cross entropy and the penalty,
//! values and all gradients.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "how near the bounds are is worth seeing")]

#[path = "../../nets/tests/support/golden.rs"]
mod golden;

use burn::tensor::{Device, Int, Tensor, TensorData};
use cdarts_nets::arch::host_values;
use cdarts_nets::{ArchWeights, Initialiser};
use cdarts_search::config::{Distance, KlReduction, Preset};
use cdarts_search::objective::{cross_entropy, distance};

use golden::{GRADIENT, Golden, gradients};

fn golden(name: &str) -> Golden {
    Golden::open(env!("CARGO_MANIFEST_DIR"), name)
}

fn device() -> Device {
    Device::flex().autodiff()
}

fn integers(values: &[i64]) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), &device())
}

/// Compares a loss of tensors `[9, 5]` and its gradients.
fn compare_loss<const N: usize>(
    case: &str,
    inputs: [&str; N],
    loss: impl FnOnce([Tensor<2>; N]) -> Tensor<1>,
) {
    let golden = golden("losses");
    let values = golden.generator(case);
    let tensors =
        inputs.map(|name| Tensor::from_data(values.uniform(name, [9, 5], 3.0), &device()).require_grad());
    let loss = loss(tensors.clone());
    let grads = loss.backward();
    let mut comparison = golden.compare(case, "stock");
    comparison.output("loss", loss);
    let gradient = |tensor: Tensor<2>| host_values(tensor.grad(&grads).unwrap());
    let found = inputs.into_iter().map(str::to_owned).zip(tensors.map(gradient)).collect();
    comparison.group("gradient", &found, GRADIENT);
    comparison.finish();
}

#[test]
fn distances() {
    let compare = |case: &str, kind: Distance, reduction: KlReduction| {
        let mut config = Preset::Corrected.config().search;
        (config.distance, config.kl_reduction) = (kind, reduction);
        (config.distill_weight, config.distill_temperature) = (1.5, 3.0);
        compare_loss(&format!("distance/{case}"), ["search", "evaluation"], |[search, evaluation]| {
            distance(search, evaluation, &config)
        });
    };
    compare("kl/batch", Distance::Kl, KlReduction::Batch);
    compare("kl/element", Distance::Kl, KlReduction::Element);
    compare("cosine", Distance::Cosine, KlReduction::Batch);
    compare("mse", Distance::Mse, KlReduction::Batch);
    compare("smooth-l1", Distance::SmoothL1, KlReduction::Batch);
}

#[test]
fn cross_entropies() {
    for (case, smoothing) in [("cross_entropy/0.0", 0.0), ("cross_entropy/0.1", 0.1)] {
        let labels = golden("losses").generator(case).labels("labels", 9, 5);
        compare_loss(case, ["logits"], |[logits]| cross_entropy(logits, integers(&labels), smoothing));
    }
}

#[test]
fn penalties() {
    let golden = golden("losses");
    for preset in [Preset::Official, Preset::Corrected] {
        let repeats = preset.config().search.penalty_repeats;
        let case = format!("penalty/{repeats}");
        let arch =
            golden.generator(&case).fill(ArchWeights::new(true, &Initialiser::new(0, &device())), "arch.");
        let loss = arch.penalised_l1(0).mul_scalar(0.7 * repeats as f64);
        let found = gradients("", &arch, &loss.backward());
        let found = found.into_iter().map(|(name, grad)| (name.replace("sets.0.", "arch."), grad)).collect();
        let mut comparison = golden.compare(&case, "stock");
        comparison.output("loss", loss);
        comparison.group("gradient", &found, GRADIENT);
        comparison.finish();
    }
}

//! From one cycle's evaluation network to the next (facts 1.3 steps 1 to 4, 1.6).

use burn::tensor::Device;
use cdarts_nets::{PastSkip, WeightBank};
use cdarts_space::{Genotype, NetworkPlan};

use crate::config::Config;
use crate::optimisers::Optimisers;
use crate::step::SearchState;

/// What inheritance does where a node keeps a skip connection.
pub fn past_skip(config: &Config) -> PastSkip {
    if config.search.inherit_past_skip { PastSkip::Move } else { PastSkip::LeaveOut }
}

/// Builds the cycle's evaluation network, fills it from the bank, and renews the optimisers where they are not
/// kept. Gradients of the cycle before are gone either way.
pub fn build(
    state: &mut SearchState,
    bank: &WeightBank,
    config: &Config,
    plan: &NetworkPlan,
    genotype: &Genotype,
    seed: u64,
    device: &Device,
) {
    state.nets.build_evalnet(config, plan, genotype, seed, device);
    if let Some(evalnet) = &mut state.nets.evalnet {
        bank.inherit(evalnet, plan, genotype, past_skip(config));
    }
    if !config.search.keep_optimiser_state {
        state.optimisers = Optimisers::new(&config.search);
    }
    state.grads = Default::default();
}

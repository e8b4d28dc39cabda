//! From one cycle's evaluation network to the next (facts 1.3 steps 1 to 4, 1.6), and from the pre-trained bank to
//! the first (1.9).

use burn::tensor::Device;
use cdarts_nets::{PastSkip, WeightBank, params};
use cdarts_space::{Architecture, SkeletonPlan};

use crate::config::Config;
use crate::optimisers::Optimisers;
use crate::pretrain::Pool;
use crate::step::SearchState;

/// What inheritance does where a node keeps a skip connection.
pub fn past_skip(config: &Config) -> PastSkip {
    if config.search.inherit_past_skip { PastSkip::Move } else { PastSkip::LeaveOut }
}

/// Puts the weights of the evaluation network into the bank. `built` is what it was built from, whatever
/// was found since: the published code took a newer one after a second joint epoch (facts 10.22).
pub fn deposit(
    state: &SearchState,
    bank: &mut WeightBank,
    config: &Config,
    plan: &SkeletonPlan,
    built: &Architecture,
) {
    if let Some(evalnet) = &state.nets.evalnet {
        bank.deposit(evalnet, plan, built, past_skip(config));
    }
}

/// Builds the cycle's evaluation network, fills it from the bank, and renews the optimisers where they are not
/// kept. Gradients of the cycle before are gone either way.
pub fn build(
    state: &mut SearchState,
    bank: &WeightBank,
    config: &Config,
    plan: &SkeletonPlan,
    architecture: &Architecture,
    seed: u64,
    device: &Device,
) {
    state.nets.build_evalnet(config, plan, architecture, seed, device);
    if let Some(evalnet) = &mut state.nets.evalnet {
        bank.inherit(evalnet, plan, architecture, past_skip(config));
    }
    if !config.search.keep_optimiser_state {
        state.optimisers = Optimisers::new(&config.search);
    }
    state.grads = Default::default();
}

/// Ends the pre-training: its operations go to the bank, its classifier to the search network, and its architecture
/// weights too where no fresh ones are wanted.
pub fn adopt(pool: Pool, state: &mut SearchState, bank: &mut WeightBank, config: &Config) {
    bank.deposit_all(&pool.net);
    let classifier = state.nets.supernet.classifier_mut();
    *classifier = params::with_values(classifier.clone(), &params::values(pool.net.classifier()));
    if !config.search.clean_arch {
        state.nets.arch = params::with_values(state.nets.arch.clone(), &params::values(&pool.arch));
    }
}

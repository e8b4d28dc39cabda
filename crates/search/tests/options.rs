//! The options of the published search (facts 2.1): each does what it says to networks and bank.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod tiny;

use burn::module::Module;
use burn::tensor::Device;
use cdarts_nets::{ArchWeights, PastSkip, WeightBank, params};
use cdarts_search::config::{Config, Preset};
use cdarts_search::optimisers::Optimisers;
use cdarts_search::pretrain::Pool;
use cdarts_search::step::SearchState;
use cdarts_search::{discretise, transfer};
use cdarts_space::{Alphas, Architecture, CellKind, Op, SkeletonPlan, cost, edge_index, published};

use tiny::nets::{RATES, batch, bytes, config, eval_plan, search_plan, state};

fn device() -> Device {
    Device::flex().autodiff()
}

/// Two stages, both kinds of cell in the first, weights of their own.
fn by_stage() -> Config {
    let mut config = config(Preset::Corrected);
    config.search.repeat_cell = false;
    config.search.cells = vec![2, 1];
    config
}

fn one_after_another() -> Config {
    let mut config = by_stage();
    config.search.one_stage = false;
    config
}

/// Which values of two modules of the same shape differ.
fn moved<M: Module>(before: &M, after: &M) -> Vec<bool> {
    let values =
        |module: &M| params::values(module).into_iter().map(|value| value.data.into_bytes().to_vec());
    values(before).zip(values(after)).map(|(before, after)| before != after).collect()
}

fn joint(state: &mut SearchState, config: &Config) {
    state.joint(&batch(1), &batch(2), RATES, 0.5, config);
}

#[test]
fn a_stage_without_a_reduction_cell_keeps_its_reduction_weights() {
    let config = by_stage();
    let mut state = state(&config);
    let before = state.nets.arch.logits();
    assert_ne!(before[0].normal, before[1].normal, "stages start differently");
    joint(&mut state, &config);
    let after = state.nets.arch.logits();
    let moved = |stage: usize, cell: fn(&Alphas) -> &cdarts_space::CellAlphas| {
        cell(&before[stage]) != cell(&after[stage])
    };
    assert!(moved(0, |set| &set.normal) && moved(0, |set| &set.reduce) && moved(1, |set| &set.normal));
    assert!(!moved(1, |set| &set.reduce), "facts 3.7: frozen");
}

#[test]
fn every_stage_gets_the_genotype_of_its_own_weights() {
    let config = by_stage();
    let state = state(&config);
    let found = discretise::best(&state.nets.arch).unwrap();
    let genotypes = found.as_darts().unwrap();
    let expected: Vec<_> =
        state.nets.arch.logits().iter().map(|alphas| alphas.discretise().unwrap()).collect();
    assert_eq!(genotypes.as_slice(), expected);
    assert_eq!(genotypes.as_slice().len(), 2);
}

#[test]
fn weights_of_a_single_stage_are_penalised_once_and_settled_ones_not_at_all() {
    let mut config = by_stage();
    config.search.penalty_repeats = 3;
    let mut state = state(&config);
    let size = |cell: &cdarts_space::CellAlphas| -> f64 {
        cell.alpha.iter().flat_map(|row| &row[..3]).map(|logit| f64::from(logit.abs())).sum()
    };
    let sets = state.nets.arch.logits();
    let all = size(&sets[0].normal) + size(&sets[0].reduce) + size(&sets[1].normal);
    let penalty =
        |state: &mut SearchState| state.joint(&batch(1), &batch(2), RATES, 2.0, &config).terms["penalty"];
    let found = penalty(&mut state);
    assert!((found - 2.0 * all).abs() < 1e-6, "{found} {all}");
    state.nets.settle_stages(1);
    let second = 2.0 * size(&state.nets.arch.logits()[1].normal);
    let found = penalty(&mut state);
    assert!((found - second).abs() < 1e-6, "{found} {second}");
}

#[test]
fn a_settled_stage_is_the_evaluation_networks_in_both_and_its_weights_stay() {
    let config = one_after_another();
    let mut state = state(&config);
    let image = || state_features(&state);
    let before = image();
    state.nets.settle_stages(1);
    let after = state_features(&state);
    assert_ne!(before.0, after.0, "the search network runs other cells now");
    assert_eq!(after.0[0], after.1[0], "both networks run the same first stage");
    assert_eq!(before.1, after.1, "the evaluation network is what it was");

    let (nets, arch) = (state.nets.clone(), state.nets.arch.logits());
    joint(&mut state, &config);
    let now = state.nets.arch.logits();
    assert_eq!(now[0], arch[0]);
    assert_ne!(now[1].normal, arch[1].normal);

    // The warm-up of the search network trains the settled cells, and not the search network's own in their place.
    let mut state =
        SearchState { nets, optimisers: Optimisers::new(&config.search), grads: Default::default() };
    let before = state.nets.clone();
    state.warm_supernet(&batch(3), RATES, &config);
    let stages =
        |nets: &cdarts_search::networks::SearchNets| nets.evalnet.as_ref().unwrap().stages().to_vec();
    assert!(moved(&stages(&before)[0], &stages(&state.nets)[0]).into_iter().any(|moved| moved));
    assert!(!moved(&stages(&before)[1], &stages(&state.nets)[1]).into_iter().any(|moved| moved));
    let supernet = moved(&before.supernet, &state.nets.supernet);
    assert!(supernet.iter().any(|&moved| moved) && supernet.iter().any(|&moved| !moved));
}

/// The end of every stage, in the search and in the evaluation network.
fn state_features(state: &SearchState) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
    let stem = state.nets.stem.forward(batch(5).images);
    let ends = |features: cdarts_nets::Features| {
        features.stages.into_iter().map(|end| cdarts_nets::arch::host_values(end.plain())).collect()
    };
    (ends(state.nets.search_features(stem.clone())), ends(state.nets.eval_features(stem).unwrap()))
}

#[test]
fn a_further_search_may_start_from_fresh_weights() {
    let config = one_after_another();
    let mut state = state(&config);
    let before = state.nets.arch.logits();
    state.nets.settle_stages(1);
    state.nets.renew_arch(&config, &search_plan(&config), 1, &device());
    let after = state.nets.arch.logits();
    assert_eq!(before[0], after[0]);
    assert_ne!(before[1], after[1]);
    joint(&mut state, &config);
    assert_eq!(state.nets.arch.logits()[0], after[0]);
    assert_ne!(state.nets.arch.logits()[1].normal, after[1].normal, "they can be trained");
}

#[test]
fn weights_go_back_to_the_slots_they_came_from_after_any_number_of_joint_epochs() {
    // Facts 10.22: the published code takes the newest genotype, which after a second joint epoch is not the one
    // that the evaluation network was built from.
    let config = config(Preset::Corrected);
    let (mut state, plan) = (state(&config), eval_plan(&config));
    let built = Architecture::from(published("cdarts-cifar").unwrap());
    let mut bank = WeightBank::default();
    for _ in 0..2 {
        joint(&mut state, &config);
    }
    let newest = discretise::best(&state.nets.arch).unwrap();
    assert_ne!(newest, built);
    let trained = state.nets.evalnet.clone().unwrap();
    transfer::deposit(&state, &mut bank, &config, &plan, &built);
    transfer::build(&mut state, &bank, &config, &plan, &newest, 1, &device());
    transfer::deposit(&state, &mut bank, &config, &plan, &newest);
    transfer::build(&mut state, &bank, &config, &plan, &built, 1, &device());
    assert_eq!(bytes(&trained), bytes(state.nets.evalnet.as_ref().unwrap()));
}

#[test]
fn one_classifier_is_trained_by_both_networks() {
    for shared in [false, true] {
        let mut config = config(Preset::Corrected);
        config.search.share_classifier = shared;
        let mut state = state(&config);
        let before = state.nets.clone();
        state.warm_eval(&batch(1), RATES, &config);
        let supernet = moved(before.supernet.classifier(), state.nets.supernet.classifier());
        assert_eq!(supernet, [shared; 2]);
        let own = |nets: &cdarts_search::networks::SearchNets| {
            nets.evalnet.clone().unwrap().classifier_mut().clone()
        };
        assert_eq!(moved(&own(&before), &own(&state.nets)), [!shared; 2]);
    }
}

#[test]
fn the_search_depth_serves_the_evaluation_network_too() {
    // Facts 10.23: the published bank is then as deep as before and fits no cell behind the third.
    let mut config = config(Preset::Official);
    (config.search.cells, config.search.eval_cells) = (vec![2, 2], vec![3, 3]);
    config.search.same_structure = true;
    assert_eq!(eval_plan(&config), search_plan(&config));
    let mut state = state(&config);
    joint(&mut state, &config);
    let built = Architecture::from(published("cdarts-cifar").unwrap());
    let (plan, mut bank) = (eval_plan(&config), WeightBank::default());
    let trained = state.nets.evalnet.clone().unwrap();
    transfer::deposit(&state, &mut bank, &config, &plan, &built);
    let mut fresh = trained.clone();
    let moved = bank.inherit(&mut fresh, &plan, &built, PastSkip::LeaveOut);
    assert_eq!(moved.slots, bank.len());
}

#[test]
fn edge_weights_are_trained_and_decide_the_edges() {
    let mut config = config(Preset::Corrected);
    config.search.edge_weights = true;
    let mut state = state(&config);
    let before = state.nets.arch.logits();
    joint(&mut state, &config);
    let after = state.nets.arch.logits();
    assert!(before[0].normal.beta.iter().zip(&after[0].normal.beta).all(|(before, after)| before != after));

    // The two edges with the largest weights are kept, whatever the operations' weights are.
    let favoured = [edge_index(3, 1), edge_index(3, 4)];
    let mut values = params::values(&state.nets.arch);
    let beta = (0..14).map(|edge| if favoured.contains(&edge) { 5.0_f32 } else { 0.0 }).collect::<Vec<_>>();
    values[1].data = burn::tensor::TensorData::new(beta, [14]);
    let arch: ArchWeights = params::with_values(state.nets.arch.clone(), &values);
    let found = discretise::best(&arch).unwrap();
    let genotypes = found.as_darts().unwrap();
    let mut sources: Vec<usize> = genotypes.of(0).normal.nodes[3].iter().map(|edge| edge.source).collect();
    sources.sort_unstable();
    assert_eq!(sources, [1, 4]);
}

#[test]
fn draws_depend_on_seed_and_cycle_alone_and_leave_settled_stages() {
    let mut config = one_after_another().search;
    config.gumbel_sample = true;
    let arch = state(&one_after_another()).nets.arch;
    let of_darts = |found: Architecture| found.as_darts().unwrap().clone();
    let draw =
        |settled, seed, cycle| of_darts(discretise::next(&arch, settled, &config, seed, cycle).unwrap());
    assert_eq!(draw(0, 1, 0), draw(0, 1, 0));
    assert_ne!(draw(0, 1, 0), draw(0, 1, 1));
    assert_ne!(draw(0, 1, 0), draw(0, 2, 0));
    let best = of_darts(discretise::best(&arch).unwrap());
    let settled = draw(1, 1, 0);
    assert_eq!(settled.of(0), best.of(0));
    assert_eq!(settled.of(1), draw(0, 1, 0).of(1));
    assert_ne!(settled.of(1), best.of(1));
}

fn pool(config: &Config) -> (SearchState, Pool) {
    let state = state(config);
    let pool = Pool::new(config, &eval_plan(config), &state.nets, 1, &device());
    (state, pool)
}

#[test]
fn a_pre_trained_bank_holds_every_slot_and_the_first_evaluation_network_inherits_all() {
    let mut config = config(Preset::Corrected);
    config.search.bank_pretrain_epochs = 1;
    let (mut state, mut pool) = pool(&config);
    let fresh = (pool.net.clone(), state.nets.clone());
    pool.step(&mut state.nets, &batch(1), &config, 0, 0).unwrap();
    let trained = moved(&fresh.0, &pool.net);
    assert!(trained.iter().all(|&moved| moved), "every operation is trained at equal weights");
    assert!(moved(&fresh.1.stem, &state.nets.stem).iter().all(|&moved| moved));
    assert_eq!(bytes(&fresh.1.heads), bytes(&state.nets.heads));

    let plan = eval_plan(&config);
    let mut bank = WeightBank::default();
    let all = bank.deposit_all(&pool.net);
    let SkeletonPlan::Darts(darts) = &plan else { panic!("a plan of another space") };
    assert_eq!(all.parameters as u64, cost::weight_bank(darts).params);
    let classifier = bytes(pool.net.classifier());
    transfer::adopt(pool, &mut state, &mut bank, &config);
    assert_eq!(bytes(state.nets.supernet.classifier()), classifier, "the classifier is the search network's");
    let genotype = published("pdarts").unwrap();
    let built = state.nets.evalnet.as_mut().unwrap();
    *built = cdarts_nets::EvalNet::new(&plan, &genotype, false, &cdarts_nets::Initialiser::new(9, &device()));
    assert_eq!(bank.inherit(built, &plan, &genotype, PastSkip::Move).passed_over, 0);
}

#[test]
fn drawn_architectures_train_their_own_operations_only() {
    let mut config = config(Preset::Corrected);
    (config.search.bank_pretrain_epochs, config.search.sample_archs) = (1, 1);
    let (mut state, mut pool) = pool(&config);
    let mut before = WeightBank::default();
    before.deposit_all(&pool.net);
    pool.step(&mut state.nets, &batch(1), &config, 0, 0).unwrap();
    let drawn = discretise::best(&pool.arch).unwrap();
    let discrete = |net: &cdarts_nets::Supernet| params::values(&net.discrete(&drawn));
    let kept: Vec<u64> = discrete(&pool.net).iter().map(|value| value.id.val()).collect();

    let fresh = Pool::new(&config, &eval_plan(&config), &tiny::nets::state(&config).nets, 1, &device());
    let all = params::values(&pool.net).into_iter().zip(moved(&fresh.net, &pool.net));
    for (value, moved) in all {
        assert_eq!(moved, kept.contains(&value.id.val()), "{:?}", value.data.shape());
    }
    // Another step draws another architecture, the same one the same.
    pool.step(&mut state.nets, &batch(1), &config, 0, 1).unwrap();
    let second = discretise::best(&pool.arch).unwrap();
    assert_ne!(second, drawn);
    pool.step(&mut state.nets, &batch(1), &config, 0, 0).unwrap();
    assert_eq!(discretise::best(&pool.arch).unwrap(), drawn);
}

#[test]
fn several_drawn_architectures_add_up() {
    let mut config = config(Preset::Corrected);
    (config.search.bank_pretrain_epochs, config.search.sample_archs) = (1, 3);
    let (mut state, mut pool) = pool(&config);
    let report = pool.step(&mut state.nets, &batch(1), &config, 0, 0).unwrap();
    assert!(
        report.terms["classify"] > 2.0 * 3f64.ln(),
        "three cross entropies: {}",
        report.terms["classify"]
    );
}

#[test]
fn the_search_goes_on_with_the_pre_trainings_weights_unless_fresh_ones_are_wanted() {
    for clean in [false, true] {
        let mut config = config(Preset::Corrected);
        (config.search.bank_pretrain_epochs, config.search.clean_arch) = (1, clean);
        let (mut state, pool) = pool(&config);
        let fresh = state.nets.arch.logits();
        transfer::adopt(pool, &mut state, &mut WeightBank::default(), &config);
        let arch = state.nets.arch.logits();
        if clean {
            assert_eq!(arch, fresh);
        } else {
            assert!(arch[0].normal.alpha.iter().flatten().all(|&logit| logit == 1e-3));
        }
        joint(&mut state, &config);
        assert_ne!(state.nets.arch.logits(), arch, "they can be trained");
    }
}

#[test]
fn pre_trained_cells_learn_at_a_tenth_of_the_rate() {
    let change = |epochs: usize| {
        let mut config = config(Preset::Corrected);
        config.search.bank_pretrain_epochs = epochs;
        let mut state = state(&config);
        let before = params::values(state.nets.evalnet.as_ref().unwrap());
        state.warm_eval(&batch(1), RATES, &config);
        let after = params::values(state.nets.evalnet.as_ref().unwrap());
        let values = |value: &params::Value| value.data.iter::<f64>().collect::<Vec<_>>();
        let pairs = before.iter().zip(&after).map(|(before, after)| {
            values(before).iter().zip(values(after)).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
        });
        pairs.collect::<Vec<f64>>()
    };
    let (full, slow) = (change(0), change(1));
    let cells = full.len() - 2;
    for (index, (full, slow)) in full.iter().zip(&slow).enumerate() {
        let expected = if index < cells { 0.1 } else { 1.0 };
        assert!((slow / full - expected).abs() < 0.01, "parameter {index}: {full} {slow}");
    }
}

#[test]
fn a_drawn_network_shares_the_pools_parameters_and_says_what_an_evaluation_network_would() {
    let config = config(Preset::Corrected);
    let (state, pool) = pool(&config);
    let (genotype, plan) = (published("darts-v2").unwrap(), eval_plan(&config));
    let mut bank = WeightBank::default();
    bank.deposit_all(&pool.net);
    let init = cdarts_nets::Initialiser::new(9, &device());
    let mut net = cdarts_nets::EvalNet::new(&plan, &genotype, false, &init);
    bank.inherit(&mut net, &plan, &genotype, PastSkip::Move);
    let stem = state.nets.stem.forward(batch(1).images);
    let logits = |features: cdarts_nets::Features| cdarts_nets::arch::host_values(features.logits);
    let expected = logits(net.forward_to(pool.net.classifier(), stem.clone(), None));
    assert_eq!(logits(pool.net.discrete(&(&genotype).into()).forward(stem, None)), expected);
    assert!(genotype.cell(CellKind::Normal).edges().any(|(_, edge)| edge.op == Op::SkipConnect));
}

//! One step of each phase on a tiny network: what moves, what does not, and which terms there are (facts 1.4).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod tiny;

use cdarts_search::config::{ClipScope, Config, Feedback, Method, Preset};
use cdarts_search::method::Moment;
use cdarts_search::networks::SearchNets;
use cdarts_search::step::{Rates, SearchState, StepReport};
use cdarts_search::unrolled::{RADIUS, Unrolling};

use tiny::nets::{RATES, batch, bytes, config, moment, state};

/// Which modules a step moved: stem, search network, evaluation network, heads, mixture, architecture weights.
fn moved(config: &Config, step: impl FnOnce(&mut SearchState) -> StepReport) -> ([bool; 6], StepReport) {
    let mut state = state(config);
    let all = |nets: &SearchNets| {
        let evalnet = nets.evalnet.as_ref().unwrap();
        [
            bytes(&nets.stem),
            bytes(&nets.supernet),
            bytes(evalnet),
            bytes(&nets.heads),
            bytes(&nets.mixture),
            bytes(&nets.arch),
        ]
    };
    let before = all(&state.nets);
    let report = step(&mut state);
    let after = all(&state.nets);
    (std::array::from_fn(|index| before[index] != after[index]), report)
}

fn joint(config: &Config) -> ([bool; 6], StepReport) {
    moved(config, |state| state.joint(&batch(1), &batch(2), RATES, 0.5, config))
}

#[test]
fn warm_ups_move_one_network_each() {
    let config = config(Preset::Corrected);
    let (supernet, _) = moved(&config, |state| state.warm_supernet(&batch(1), RATES, &config));
    assert_eq!(supernet, [true, true, false, false, false, false]);
    let (eval, _) = moved(&config, |state| state.warm_eval(&batch(1), RATES, &config));
    assert_eq!(eval, [true, false, true, false, false, false]);
}

#[test]
fn gradients_that_no_optimiser_asks_for_are_not_missed() {
    // Clipped over all parameters every gradient is computed, clipped one by one only those that a step takes. Without a
    // limit, both are the same step.
    let after = |scope: ClipScope, share_classifier: bool| {
        let mut config = config(Preset::Corrected);
        (config.search.clip_scope, config.search.grad_clip) = (scope, 0.0);
        config.search.share_classifier = share_classifier;
        let mut state = state(&config);
        state.joint(&batch(1), &batch(2), RATES, 0.5, &config);
        let SearchNets { stem, supernet, evalnet, mixture, arch, .. } = &state.nets;
        [bytes(stem), bytes(supernet), bytes(evalnet.as_ref().unwrap()), bytes(mixture), bytes(arch)]
    };
    for share_classifier in [false, true] {
        let [each, all] =
            [ClipScope::PerOptimiser, ClipScope::AllParameters].map(|scope| after(scope, share_classifier));
        assert!(each == all, "shared classifier: {share_classifier}");
    }
}

#[test]
fn a_joint_step_moves_all_but_fixed_heads() {
    let mut config = config(Preset::Corrected);
    let (with_fixed_heads, report) = joint(&config);
    assert_eq!(with_fixed_heads, [true, true, true, false, true, true]);
    let terms: Vec<&str> = report.terms.keys().copied().collect();
    assert_eq!(terms, ["arch_classify", "distill", "eval_classify", "penalty", "supernet_classify"]);
    config.search.fix_heads = false;
    assert_eq!(joint(&config).0, [true; 6]);
    config.search.learn_stage_mixture = false;
    assert_eq!(joint(&config).0, [true, true, true, true, false, true]);
}

#[test]
fn without_distillation_there_is_no_term_and_the_mixture_stays() {
    let mut config = config(Preset::Corrected);
    config.search.distill_weight = 0.0;
    let (moved, report) = joint(&config);
    assert!(!report.terms.contains_key("distill"));
    assert!(!moved[4]);
}

#[test]
fn the_published_penalty_counts_three_times() {
    let [corrected, official] =
        [Preset::Corrected, Preset::Official].map(|preset| joint(&config(preset)).1.terms["penalty"]);
    assert!((official - 3.0 * corrected).abs() < 1e-5 * official, "{official} {corrected}");
}

#[test]
fn a_detached_teacher_is_not_moved_by_the_distillation() {
    let mut config = config(Preset::Corrected);
    config.search.grad_clip = 0.0;
    let evalnet = |config: &Config| {
        let mut state = state(config);
        state.joint(&batch(1), &batch(2), RATES, 0.0, config);
        bytes(state.nets.evalnet.as_ref().unwrap())
    };
    let attached = evalnet(&config);
    config.search.detach_teacher = true;
    let detached = evalnet(&config);
    config.search.distill_weight = 0.0;
    assert_ne!(attached, detached);
    assert_eq!(detached, evalnet(&config), "only the labels move a detached evaluation network");
}

#[test]
fn the_norm_over_all_parameters_counts_stale_gradients() {
    // Part B's gradients stay with the search network until the next part A, as published.
    let held = |preset: Preset| {
        let config = config(preset);
        let mut state = state(&config);
        state.joint(&batch(1), &batch(2), RATES, 0.0, &config);
        let evalnet = state.nets.evalnet.clone().unwrap();
        let grads = state.grads.read(&[&evalnet]);
        grads.iter().flatten().count()
    };
    assert!(held(Preset::Official) > 0);
    assert_eq!(held(Preset::Corrected), 0);
}

#[test]
fn the_same_step_twice_gives_the_same_bits() {
    let config = config(Preset::Official);
    let run = || {
        let mut state = state(&config);
        let reports: Vec<StepReport> =
            (0..3).map(|seed| state.joint(&batch(seed), &batch(seed + 9), RATES, 0.3, &config)).collect();
        (reports, bytes(&state.nets.arch), bytes(&state.nets.supernet))
    };
    assert_eq!(run(), run());
}

fn with_method(method: Method) -> Config {
    let mut config = config(Preset::Corrected);
    config.search.method = method;
    config
}

#[test]
fn darts_moves_the_search_network_and_the_architecture_alone() {
    for method in [Method::DartsFirstOrder, Method::DartsSecondOrder, Method::Gdas] {
        let config = with_method(method);
        let step = |state: &mut SearchState| {
            state.architecture_step(&batch(1), &batch(2), &moment(RATES, 0.5), &config)
        };
        let (moved, report) = moved(&config, step);
        assert_eq!(moved, [true, true, false, false, false, true], "{method:?}");
        let terms: Vec<&str> = report.terms.keys().copied().collect();
        assert_eq!(terms, ["arch_classify", "supernet_classify"]);
    }
}

#[test]
fn feedback_decides_whether_the_evaluation_network_is_moved_and_asked() {
    let with_feedback = |feedback: Feedback| {
        let mut config = config(Preset::Corrected);
        config.search.feedback = feedback;
        let (moved, report) = moved(&config, |state| {
            state.architecture_step(&batch(1), &batch(2), &moment(RATES, 0.5), &config)
        });
        (moved, report.terms.keys().copied().collect::<Vec<_>>(), bytes(&stepped(&config).nets.arch))
    };
    let (moved, terms, joint) = with_feedback(Feedback::Joint);
    assert_eq!(moved, [true, true, true, false, true, true]);
    let (moved, all_terms, separate) = with_feedback(Feedback::Separate);
    assert_eq!(moved, [true, true, false, false, false, true], "the teacher stays as it is");
    assert_eq!(all_terms, terms);
    assert_eq!(separate, joint, "from the same networks, the architecture's gradient is the same");
    let (moved, terms, none) = with_feedback(Feedback::None);
    assert_eq!(moved, [true, true, false, false, false, true]);
    assert_eq!(terms, ["arch_classify", "penalty", "supernet_classify"]);
    assert_ne!(none, joint);
}

fn stepped(config: &Config) -> SearchState {
    let mut state = state(config);
    state.architecture_step(&batch(1), &batch(2), &moment(RATES, 0.5), config);
    state
}

#[test]
fn random_search_trains_the_evaluation_network_alone() {
    let config = with_method(Method::Random);
    let step =
        |state: &mut SearchState| state.architecture_step(&batch(1), &batch(2), &moment(RATES, 0.5), &config);
    let (moved, report) = moved(&config, step);
    assert_eq!(moved, [true, false, true, false, false, false]);
    assert_eq!(report.terms.keys().copied().collect::<Vec<_>>(), ["eval_classify"]);
}

#[test]
fn gdas_draws_another_operation_each_step_and_the_same_for_the_same_step() {
    let config = with_method(Method::Gdas);
    let loss = |place: [u64; 3]| {
        let moment = Moment { place, ..moment(RATES, 0.0) };
        state(&config).architecture_step(&batch(1), &batch(2), &moment, &config).terms["arch_classify"]
    };
    let losses = [[1, 0, 0], [1, 0, 1], [1, 1, 0], [2, 0, 0]].map(loss);
    assert_eq!(losses[0], loss([1, 0, 0]));
    for other in &losses[1..] {
        assert_ne!(losses[0], *other, "{losses:?}");
    }
}

#[test]
fn looking_ahead_changes_the_architectures_gradient_only_where_there_is_a_step() {
    let gradient = |method: Method, rate: f64| {
        let config = with_method(method);
        let mut state = state(&config);
        let rates = Rates { supernet: rate, ..RATES };
        state.architecture_step(&batch(1), &batch(2), &moment(rates, 0.0), &config);
        bytes(&state.nets.arch)
    };
    let first = gradient(Method::DartsFirstOrder, 0.1);
    assert_eq!(first, gradient(Method::DartsFirstOrder, 0.0), "the first order does not look ahead");
    assert_eq!(first, gradient(Method::DartsSecondOrder, 0.0), "a step of no length leads nowhere");
    assert_ne!(first, gradient(Method::DartsSecondOrder, 0.1));
}

#[test]
fn looking_ahead_takes_the_step_that_the_optimiser_will_take_and_leaves_everything_as_it_was() {
    // With the momentum of a step before, and weight decay.
    let config = with_method(Method::DartsSecondOrder);
    let mut state = state(&config);
    state.warm_supernet(&batch(3), RATES, &config);
    let held = |state: &SearchState| {
        (bytes(&state.nets.supernet), state.optimisers.supernet.into_bytes().unwrap().to_vec())
    };
    let before = held(&state);
    let unrolling = Unrolling {
        nets: &state.nets,
        optimiser: &state.optimisers.supernet,
        rate: RATES.supernet,
        radius: RADIUS,
    };
    let unrolled = unrolling.gradient(&batch(2), &batch(1));
    let ahead = unrolling.ahead(&batch(2));
    assert!(unrolled.epsilon > 0.0);
    assert_eq!(held(&state), before);

    let mut config = config;
    config.search.grad_clip = 0.0;
    state.warm_supernet(&batch(2), RATES, &config);
    assert_eq!(bytes(&ahead.supernet), bytes(&state.nets.supernet));
    assert_eq!(bytes(&ahead.stem), bytes(&state.nets.stem));
}

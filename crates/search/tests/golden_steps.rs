//! Whole joint steps against PyTorch in double precision (`tools/golden/steps.py`): every term, every gradient and what
//! every parameter becomes, on burn's own operations and on the fused kernels alike.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "how near the bounds are is worth seeing")]

#[path = "../../nets/tests/support/golden.rs"]
mod golden;

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use cdarts_nets::{DistillHeads, Initialiser};
use cdarts_search::config::{Config, Distance, Preset, Space, StageEnsemble};
use cdarts_search::networks::{Batch, SearchNets};
use cdarts_search::objective::JointLoss;
use cdarts_search::optimisers::Optimisers;
use cdarts_search::step::{Rates, SearchState};
use cdarts_space::{Architecture, HeadPlan, ImageShape, PlanView};

use golden::{GRADIENT, Generator, Golden, OUTPUT, PATHS, gradients, on, parameters};

const RATES: Rates = Rates { supernet: 0.05, eval: 0.04, arch: 0.003 };
const PENALTY: f64 = 0.2;
const CLASSES: usize = 3;
const IMAGES: [usize; 4] = [6, 3, 12, 10];
/// Largest error of a loss within ten steps, each of which carries the errors of those before.
const CURVE: f64 = 1e-3;

fn device() -> Device {
    Device::flex().autodiff()
}

fn golden(name: &str) -> Golden {
    Golden::open(env!("CARGO_MANIFEST_DIR"), name)
}

/// What `tools/golden/steps.py` calls so.
const CASES: [&str; 5] =
    ["official", "corrected", "other", "nas-bench-201/official", "nas-bench-201/corrected"];

fn config(case: &str) -> Config {
    let preset = if case.ends_with("official") { Preset::Official } else { Preset::Corrected };
    if case.starts_with("nas-bench-201") {
        let mut config = preset.config_for(Space::NasBench201);
        config.search.init_channels = 4;
        (config.search.cells, config.search.eval_cells) = (vec![1; 3], vec![1; 3]);
        return config;
    }
    let mut config = preset.config();
    let search = &mut config.search;
    (search.init_channels, search.stem_multiplier) = (2, 3);
    (search.cells, search.eval_cells) = (vec![1, 1], vec![2, 1]);
    if case == "other" {
        (search.distance, search.distill_weight, search.detach_teacher) = (Distance::Kl, 0.5, true);
        (search.stage_ensemble, search.edge_weights) = (StageEnsemble::Sum, true);
        (search.fix_heads, search.decay_idle, search.weight_decay) = (false, true, 1e-3);
    }
    config
}

fn state(values: &Generator, config: &Config) -> SearchState {
    let [_, channels, height, width] = IMAGES;
    let image = ImageShape { channels, height, width };
    let search_plan = config.search_spec(image, CLASSES).plan().unwrap();
    let eval_plan = config.eval_spec(image, CLASSES).plan().unwrap();
    let mut nets = SearchNets::new(config, &search_plan, 1, &device());
    let genotype = match config.search.space {
        Space::Darts => "cdarts-cifar",
        Space::NasBench201 => "nas-bench-201-cell-2",
    };
    nets.build_evalnet(config, &eval_plan, Architecture::published(genotype).unwrap(), 1, &device());
    nets.stem = values.fill(nets.stem, "stem.");
    nets.supernet = values.fill(nets.supernet, "supernet.");
    nets.evalnet = nets.evalnet.map(|evalnet| values.fill(evalnet, "evalnet."));
    // Narrower than the published ones, so that their gradients take no megabytes.
    let narrow = |head| HeadPlan { hidden: 6, features: 10, ..head };
    let plans: Vec<HeadPlan> =
        PlanView::from(&search_plan).distillation_heads().into_iter().map(narrow).collect();
    let heads = DistillHeads::of_plans(&plans, &Initialiser::new(1, &device()));
    let heads = values.fill(heads, "heads.");
    nets.heads = if config.search.fix_heads { heads.no_grad() } else { heads };
    nets.mixture = values.fill(nets.mixture, "mixture.");
    nets.arch = values.fill(nets.arch, "arch.");
    SearchState { nets, optimisers: Optimisers::new(&config.search), grads: Default::default() }
}

fn batch(values: &Generator, name: &str) -> Batch {
    let classes = values.labels(&format!("{name}/labels"), IMAGES[0], CLASSES);
    Batch {
        images: Tensor::from_data(values.uniform(&format!("{name}/images"), IMAGES, 2.0), &device()),
        labels: Tensor::from_data(TensorData::new(classes.clone(), [IMAGES[0]]), &device()),
        classes,
        mixed: None,
    }
}

/// All trained parameters by name; heads that are `fixed` are none.
fn trained(nets: &SearchNets, fixed: bool) -> BTreeMap<String, Vec<f32>> {
    fn of<M: Module>(name: &str, module: &M) -> impl Iterator<Item = (String, Vec<f32>)> {
        let parameters = parameters(module).into_iter();
        let name = name.to_owned();
        parameters.map(move |(place, data)| (format!("{name}.{place}"), data.try_to_vec().unwrap()))
    }
    of("stem", &nets.stem)
        .chain(of("supernet", &nets.supernet))
        .chain(of("evalnet", nets.evalnet.as_ref().unwrap()))
        .chain(of("heads", &nets.heads).filter(|_| !fixed))
        .chain(of("mixture", &nets.mixture))
        .chain(of("arch", &nets.arch))
        .collect()
}

/// The gradients of the first step's part A.
fn gradient(state: &SearchState, batch: &Batch, config: &Config) -> BTreeMap<String, Vec<f32>> {
    let nets = &state.nets;
    let stem = nets.stem.forward(batch.images.clone());
    let (search, eval) = (nets.search_features(stem.clone()), nets.eval_features(stem).unwrap());
    let grads = JointLoss::new(nets, search, eval, &batch.labels, PENALTY, config).total.backward();
    let mut found = gradients("stem.", &nets.stem, &grads);
    found.extend(gradients("supernet.", &nets.supernet, &grads));
    found.extend(gradients("evalnet.", nets.evalnet.as_ref().unwrap(), &grads));
    found.extend(gradients("heads.", &nets.heads, &grads));
    found.extend(gradients("mixture.", &nets.mixture, &grads));
    found.extend(gradients("arch.", &nets.arch, &grads));
    found
}

/// The gradients of part B's loss, before any step.
fn search_gradient(state: &SearchState, batch: &Batch) -> BTreeMap<String, Vec<f32>> {
    let nets = &state.nets;
    let grads = nets.search_label_loss(batch).0.backward();
    let mut found = gradients("stem.", &nets.stem, &grads);
    found.extend(gradients("supernet.", &nets.supernet, &grads));
    found.extend(gradients("arch.", &nets.arch, &grads));
    found
}

/// The terms of joint step number `step`.
fn joint(state: &mut SearchState, values: &Generator, step: usize, config: &Config) -> BTreeMap<String, f32> {
    let halves = ["arch", "weight"].map(|half| batch(values, &format!("{half}{step}")));
    let report = state.joint(&halves[0], &halves[1], RATES, PENALTY, config);
    report.terms.into_iter().map(|(name, value)| (name.to_owned(), value as f32)).collect()
}

#[test]
fn joint_steps() {
    let golden = golden("steps");
    for name in CASES {
        for path in PATHS {
            let (case, config) = (format!("{name}/step"), config(name));
            let values = golden.generator(&case);
            let mut state = state(&values, &config);
            let (heads, fixed) = (parameters(&state.nets.heads), config.search.fix_heads);
            let mut comparison = golden.compare(&case, path);
            on(path, || {
                let found = gradient(&state, &batch(&values, "arch0"), &config);
                comparison.group("gradient", &found, GRADIENT);
                let found = search_gradient(&state, &batch(&values, "weight0"));
                comparison.group("gradient_search", &found, GRADIENT);
                for step in [0, 1] {
                    let before = trained(&state.nets, fixed);
                    let terms = joint(&mut state, &values, step, &config);
                    let terms = terms.into_iter().map(|(name, value)| (name, vec![value])).collect();
                    comparison.group(&format!("terms{step}"), &terms, OUTPUT);
                    let moved = trained(&state.nets, fixed).into_iter().map(|(name, after)| {
                        let by = after.iter().zip(&before[&name]).map(|(after, before)| after - before);
                        (name, by.collect())
                    });
                    comparison.group(&format!("moved{step}"), &moved.collect(), GRADIENT);
                }
            });
            comparison.finish();
            let bytes = |data: &[(String, TensorData)]| -> Vec<Vec<u8>> {
                data.iter().map(|(_, data)| data.as_bytes().to_vec()).collect()
            };
            let unmoved = bytes(&heads) == bytes(&parameters(&state.nets.heads));
            assert_eq!(unmoved, fixed, "{name}");
        }
    }
}

#[test]
fn curves_of_ten_joint_steps() {
    let golden = golden("steps");
    for name in CASES.into_iter().filter(|&name| name != "other") {
        for path in PATHS {
            let (case, config) = (format!("{name}/curve"), config(name));
            let values = golden.generator(&case);
            let mut state = state(&values, &config);
            let mut curve: BTreeMap<String, Vec<f32>> = BTreeMap::new();
            on(path, || {
                for step in 0..10 {
                    for (name, value) in joint(&mut state, &values, step, &config) {
                        curve.entry(name).or_default().push(value);
                    }
                }
            });
            let mut comparison = golden.compare(&case, path);
            comparison.group("curve", &curve, CURVE);
            comparison.finish();
        }
    }
}

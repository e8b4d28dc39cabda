//! Searches in NAS-Bench-201 (facts section 6) by the same trainer: steps, whole runs, stops, the table.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod tiny;

use std::fs;

use cdarts_nets::WeightBank;
use cdarts_runs::{Event, Journal};
use cdarts_search::config::{Config, Preset, Space};
use cdarts_search::networks::SearchNets;
use cdarts_search::optimisers::Optimisers;
use cdarts_search::step::SearchState;
use cdarts_search::{Ending, discretise, transfer};
use cdarts_space::nas_bench_201::Table;
use cdarts_space::{Architecture, ImageShape, SkeletonPlan};

use tiny::nets::{RATES, batch, bytes};
use tiny::runs::{begin, broken_run, run};

const SPACE: [&str; 10] = [
    "search.space=nas-bench-201",
    "search.cells=[1,1,1]",
    "search.eval_cells=[2,2,2]",
    "search.eval_affine=true",
    "search.fix_heads=false",
    "search.warmup_epochs=0",
    "retrain.cells=[1,1,1]",
    "retrain.drop_path=0.2",
    "retrain.regularisation=fixed",
    "data.val_fraction=0.2",
];

fn and<'a>(more: &[&'a str]) -> Vec<&'a str> {
    SPACE.iter().chain(more).copied().collect()
}

fn config() -> Config {
    let mut config = Preset::Corrected.config_for(Space::NasBench201);
    let search = &mut config.search;
    search.init_channels = 4;
    (search.cells, search.eval_cells) = (vec![1; 3], vec![2; 3]);
    config
}

fn plans(config: &Config) -> [SkeletonPlan; 2] {
    let image = ImageShape { channels: 1, height: 8, width: 8 };
    [config.search_spec(image, 3), config.eval_spec(image, 3)].map(|spec| spec.plan().unwrap())
}

fn state(config: &Config) -> SearchState {
    let device = cdarts_search::device("cpu").unwrap();
    let [search, eval] = plans(config);
    let mut nets = SearchNets::new(config, &search, 1, &device);
    let cell = discretise::best(&nets.arch).unwrap();
    nets.build_evalnet(config, &eval, cell, 1, &device);
    SearchState { nets, optimisers: Optimisers::new(&config.search), grads: Default::default() }
}

#[test]
fn a_joint_step_moves_everything_and_penalises_none() {
    let config = config();
    let mut state = state(&config);
    let before = state.nets.clone();
    let penalty: f32 =
        before.arch.nas_bench_201().unwrap().logits().alpha.iter().map(|row| row[0].abs()).sum();
    let report = state.joint(&batch(1), &batch(2), RATES, 0.5, &config);
    let expected = f64::from(penalty) / 6.0 * 0.5;
    assert!((report.terms["penalty"] - expected).abs() < 1e-6 * expected, "{report:?} {expected}");
    let after = &state.nets;
    assert_ne!(bytes(&before.arch), bytes(&after.arch));
    assert_ne!(bytes(&before.supernet), bytes(&after.supernet));
    assert_ne!(bytes(&before.heads), bytes(&after.heads));
    assert_ne!(bytes(before.evalnet.as_ref().unwrap()), bytes(after.evalnet.as_ref().unwrap()));
    assert_ne!(bytes(&before.stem), bytes(&after.stem));
}

#[test]
fn the_next_evaluation_network_inherits_what_its_cell_shares_with_the_last() {
    let config = config();
    let mut state = state(&config);
    let (device, [_, plan]) = (cdarts_search::device("cpu").unwrap(), plans(&config));
    let built = Architecture::published("nas-bench-201-cell-1").unwrap();
    let mut bank = WeightBank::default();
    transfer::build(&mut state, &bank, &config, &plan, &built, 1, &device);
    state.warm_eval(&batch(1), RATES, &config);
    let trained = bytes(state.nets.evalnet.as_ref().unwrap());
    transfer::deposit(&state, &mut bank, &config, &plan, &built);
    transfer::build(&mut state, &bank, &config, &plan, &built, 1, &device);
    assert_eq!(bytes(state.nets.evalnet.as_ref().unwrap()), trained);
}

#[test]
fn a_run_ends_with_a_cell_and_stops_change_nothing() {
    for preset in ["preset=corrected", "preset=official"] {
        let settings = and(&[preset, "search.gumbel_sample=true", "search.cycles=3"]);
        let (whole, broken) = (run(&settings), broken_run(&settings, 3));
        assert!(broken.resumes > 3);
        assert_eq!(whole.told(), broken.told());
        let bundle = whole.run().bundle_path();
        let cell: Architecture = fs::read_to_string(bundle.join("genotype.json")).unwrap().parse().unwrap();
        assert!(cell.as_nas_bench_201().is_some());
        assert_eq!(cell.to_string(), whole.told().genotype);
        assert!(whole.told().genotype.starts_with('|'));
        assert!(!bundle.join("genotypes.json").exists());
        let read = cdarts_search::bundle::read(whole.run().path(), &cdarts_search::device("cpu").unwrap());
        assert_eq!(read.unwrap().model.genotype, cell);
    }
}

struct Silent;

impl cdarts_search::Observer for Silent {
    fn progress(&mut self, _: &cdarts_search::Progress) {}

    fn event(&mut self, _: &Event) {}

    fn stop(&mut self) -> bool {
        false
    }
}

/// A table of all cells whose accuracy is their number of 3×3 convolutions.
fn table() -> Table {
    use cdarts_space::nas_bench_201::{Genotype, Op};
    let line = |(index, cell): (usize, Genotype)| {
        format!("{index},{cell},{}\n", 10.0 * cell.count(Op::NorConv3x3) as f64 + 1.0)
    };
    let lines: String = Genotype::all().enumerate().map(line).collect();
    Table::parse(format!("index,arch,counted\n{lines}").into_bytes()).unwrap()
}

#[test]
fn the_table_is_consulted_after_the_end() {
    let settings = and(&["retrain.epochs=0", "run.ranking_cells=12"]);
    let (_folder, mut run) = begin(&settings).unwrap();
    let Ending::Done(outcome) = run.work(&mut Silent).unwrap() else { panic!("nobody stopped it") };
    let told = run.consult(outcome, &table(), &mut Silent).unwrap().unwrap();
    let cell: Architecture = told.genotype.parse().unwrap();
    let score = told.table.clone().unwrap();
    let convolutions = cell.as_nas_bench_201().unwrap().count(cdarts_space::nas_bench_201::Op::NorConv3x3);
    assert_eq!(score.found["counted"].accuracy, 10.0 * convolutions as f64 + 1.0);
    assert_eq!(score.ranking["counted"].cells, 12);
    let events = Journal::read(&run.folder().journal_path()).unwrap();
    let tail: Vec<&Event> = events.iter().rev().take(3).map(|record| &record.event).collect();
    assert!(matches!(tail[2], Event::Finished { .. }), "{tail:?}");
    assert!(matches!(tail[1], Event::Table { accuracy, .. } if *accuracy == score.found["counted"].accuracy));
    assert!(matches!(tail[0], Event::Ranking { cells: 12, .. }));
    let kept: Option<cdarts_search::Outcome> = cdarts_search::bundle::read_metrics(run.folder()).unwrap();
    assert_eq!(kept, Some(told));
}

/// Megabytes that the process holds.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let pages: usize =
        fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    (pages * 4096) >> 20
}

#[test]
#[cfg(target_os = "linux")]
fn ordering_cells_keeps_nothing_of_each() {
    let settings = and(&["retrain.epochs=0", "run.ranking_cells=300"]);
    let (_folder, mut run) = begin(&settings).unwrap();
    let Ending::Done(outcome) = run.work(&mut Silent).unwrap() else { panic!("nobody stopped it") };
    let before = resident();
    let told = run.consult(outcome, &table(), &mut Silent).unwrap().unwrap();
    assert_eq!(told.table.unwrap().ranking["counted"].cells, 300);
    let grown = resident().saturating_sub(before);
    assert!(grown < 200, "{grown} MB more, from {before} MB");
}

#[test]
fn genotypes_of_the_other_space_are_refused() {
    let refused = |settings: &[&str], genotype: &str| {
        tiny::runs::begin_training(settings, Architecture::published(genotype).unwrap()).err().unwrap()
    };
    let error = refused(&SPACE, "cdarts-cifar");
    assert!(error.to_string().contains("nas-bench-201"), "{error}");
    assert!(error.hint().unwrap().contains("search.space=darts"));
    assert!(refused(&[], "nas-bench-201-cell-1").hint().unwrap().contains("search.space=nas-bench-201"));
}

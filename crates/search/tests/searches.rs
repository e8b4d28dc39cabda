//! Whole searches with the options of the published code (facts 2.1): each runs to its end, acts, and ends the same
//! when it is stopped and resumed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod tiny;

use cdarts_nets::WeightBank;
use cdarts_runs::Phase;
use cdarts_search::SearchError;
use cdarts_space::{Architecture, StageGenotypes, parse_stages};

use tiny::runs::{begin, broken_run, run};

const ONE_AFTER_ANOTHER: [&str; 4] =
    ["search.one_stage=false", "search.repeat_cell=false", "search.eval_cells=[3,1]", "retrain.cells=[2,2]"];

/// With other settings.
fn and<'a>(settings: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    settings.iter().chain(more).copied().collect()
}

#[test]
fn stages_are_searched_one_after_another() {
    // Facts 10.5: the published code stops at the second stage.
    let settings = and(&ONE_AFTER_ANOTHER, &["search.warmup_epochs=2", "search.warmup_decay=1"]);
    for preset in ["preset=corrected", "preset=official"] {
        let ended = run(&and(&settings, &[preset]));
        let warm = |before_cycle, epoch| Phase::WarmSupernet { before_cycle, epoch };
        let cycle = |cycle| [Phase::WarmEval { cycle, epoch: 0 }, Phase::Joint { cycle, epoch: 0 }];
        let mut expected = vec![warm(0, 0), warm(0, 1)];
        expected.extend([cycle(0), cycle(1)].concat());
        expected.push(warm(2, 0));
        expected.extend([cycle(2), cycle(3)].concat());
        expected.push(Phase::Retrain { epoch: 0 });
        assert_eq!(ended.epochs(), expected);

        let cycles = ended.cycles();
        assert_eq!(cycles.len(), 4);
        assert_eq!(cycles[1].of(0), cycles[3].of(0), "a settled stage keeps what its search found");
        assert_ne!(cycles[1].of(1), cycles[3].of(1), "the next stage is searched on");
        assert_eq!(ended.found(), cycles[3]);
    }
}

#[test]
fn every_stage_has_its_own_genotype_in_all_files() {
    let ended = run(&ONE_AFTER_ANOTHER[1..]);
    let (found, folder) = (ended.found(), ended.run());
    assert_eq!(found.as_slice().len(), 2);
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap();
    let (bundle, genotypes) = (folder.bundle_path(), folder.genotypes_path());
    assert_eq!(parse_stages(&read(bundle.join("genotypes.json"))).unwrap(), found.as_slice());
    for file in [bundle.join("genotype.json"), genotypes.join("cycle-002.json")] {
        assert_eq!(read(file).parse::<StageGenotypes>().unwrap(), found);
    }
    for svg in ["genotype-stage-1.svg", "genotype-stage-2.svg"] {
        assert!(read(bundle.join(svg)).starts_with("<svg"));
    }
    assert!(genotypes.join("cycle-001-stage-2.svg").is_file());
    let device = cdarts_search::device("cpu").unwrap();
    let bundle = cdarts_search::bundle::read(folder.path(), &device).unwrap();
    assert_eq!(bundle.model.genotype, Architecture::Darts(found));
}

#[test]
fn the_published_file_of_stages_is_written_for_a_shared_genotype_too() {
    let ended = run(&[]);
    let text = std::fs::read_to_string(ended.run().bundle_path().join("genotypes.json")).unwrap();
    assert_eq!(parse_stages(&text).unwrap(), vec![ended.found().of(0).clone(); 2]);
}

#[test]
fn genotypes_between_cycles_are_drawn_and_the_last_is_the_best() {
    // With weights that stand still, the best genotype is the same in every cycle.
    let still = ["search.arch_lr=0", "search.cycles=3", "search.penalty=0"];
    let best = run(&still).cycles();
    assert!(best.iter().all(|genotypes| genotypes == &best[0]));
    for scores in ["search.gumbel_scores=log-probabilities", "search.gumbel_scores=probabilities"] {
        let drawn = run(&and(&still, &["search.gumbel_sample=true", scores])).cycles();
        assert!(drawn[0] != best[0] && drawn[1] != best[0] && drawn[0] != drawn[1], "{scores}");
        assert_eq!(drawn[2], best[0], "{scores}");
        let edges: Vec<usize> = drawn[..2]
            .iter()
            .flat_map(|genotypes| &genotypes.of(0).normal.nodes)
            .map(|edges| {
                edges.iter().map(|edge| edge.source).collect::<std::collections::BTreeSet<_>>().len()
            })
            .collect();
        let proper = edges.iter().all(|&sources| sources == 2);
        assert_eq!(proper, scores.ends_with("log-probabilities"), "{scores}: {edges:?}");
    }
}

#[test]
fn a_cycle_may_have_several_joint_epochs() {
    let ended = run(&["search.joint_epochs=3", "search.eval_warmup_epochs=0"]);
    let joint = |cycle| (0..3).map(move |epoch| Phase::Joint { cycle, epoch });
    let cycles: Vec<Phase> = ended.epochs().into_iter().filter(|phase| phase.cycle().is_some()).collect();
    assert_eq!(cycles, (0..2).flat_map(joint).collect::<Vec<_>>());
    assert_eq!(ended.cycles().len(), 2, "one genotype a cycle");
}

#[test]
fn the_bank_is_full_after_its_pre_training() {
    let [held, all] = [0, 1].map(|epochs| {
        let epochs = format!("search.bank_pretrain_epochs={epochs}");
        let ended = run(&["retrain.epochs=0", &epochs]);
        WeightBank::from_bytes(ended.checkpoint().section("bank").unwrap()).unwrap().len()
    });
    // Eval cells [2, 2]: 4 pre-processings; on 14 edges 4 convolutions, and on the 8 strided ones a reduction.
    assert_eq!(all, 4 + 4 * 14 * 4 + 8);
    assert!(held > 0 && held < all, "{held} {all}");
}

#[test]
fn every_stem_and_ensemble_runs_to_its_end() {
    let four_stages = ["search.cells=[1,1,1,1]", "search.eval_cells=[1,2,1,2]", "retrain.cells=[1,1,1,1]"];
    let three_stages = ["search.cells=[1,1,1]", "search.eval_cells=[2,2,1]", "retrain.cells=[1,1,1]"];
    let common = ["data.size=32", "data.test_fraction=0.9", "retrain.auxiliary_weight=0.4"];
    let resnet = ["search.layout=resnet", "retrain.layout=resnet", "search.stage_ensemble=sum"];
    let imagenet = ["search.layout=imagenet", "retrain.layout=imagenet", "search.fix_heads=false"];
    for settings in
        [[&common[..], &four_stages, &resnet].concat(), [&common[..], &three_stages, &imagenet].concat()]
    {
        assert_eq!(run(&settings).cycles().len(), 2, "{settings:?}");
    }
}

#[test]
fn a_kind_of_cell_that_is_not_searched_is_refused() {
    let refused = |settings: &[&str]| match begin(settings) {
        Err(SearchError::ConfigValue { key, expected, .. }) => (key, expected),
        other => panic!("{:?}", other.map(|_| ())),
    };
    let (key, expected) = refused(&["search.repeat_cell=false", "search.cells=[1,1]"]);
    assert_eq!(key, "search.eval_cells");
    assert!(expected.contains("search.repeat_cell = true"), "{expected}");
    let same = ["search.repeat_cell=false", "search.cells=[1,1]", "search.same_structure=true"];
    assert_eq!(refused(&same).0, "retrain.cells");
}

#[test]
fn a_stage_that_the_next_one_cannot_follow_is_refused() {
    let single = ["search.cells=[2,1]", "search.eval_cells=[1,1]", "retrain.cells=[2,1]"];
    let one_after_another = and(&ONE_AFTER_ANOTHER[..2], &single);
    match begin(&and(&one_after_another, &["search.stem_multiplier=3"])) {
        Err(SearchError::ConfigValue { key, expected, .. }) => {
            assert_eq!(key, "search.eval_cells");
            assert!(expected.contains("search.one_stage = true"), "{expected}");
        }
        other => panic!("{:?}", other.map(|_| ())),
    }
    assert!(begin(&and(&single, &["search.repeat_cell=false", "search.stem_multiplier=3"])).is_ok());
}

/// Stopped after every few steps, a run says the same.
fn unchanged_by_stops(settings: &[&str]) {
    let whole = run(settings).told();
    // An epoch has four steps: a stop after every third comes at every place in one, and between two.
    let broken = broken_run(settings, 3);
    assert!(broken.resumes > 3);
    assert_eq!(broken.told(), whole, "{settings:?}");
}

#[test]
fn stops_change_nothing_where_stages_are_searched_one_after_another() {
    unchanged_by_stops(&and(&ONE_AFTER_ANOTHER, &["search.cycles=1"]));
    unchanged_by_stops(&and(
        &ONE_AFTER_ANOTHER,
        &["search.cycles=1", "preset=official", "search.clean_arch=false"],
    ));
}

#[test]
fn stops_change_nothing_where_the_bank_is_pre_trained() {
    let epochs = ["search.bank_pretrain_epochs=2", "search.cycles=1", "retrain.epoch_fraction=0.8"];
    unchanged_by_stops(&epochs);
    unchanged_by_stops(&and(&epochs, &["search.sample_archs=2", "search.clean_arch=false"]));
}

#[test]
fn stops_change_nothing_for_all_other_options_together() {
    unchanged_by_stops(&[
        "search.repeat_cell=false",
        "search.eval_cells=[3,1]",
        "search.share_classifier=true",
        "search.edge_weights=true",
        "search.gumbel_sample=true",
        "search.joint_epochs=2",
        "search.fix_heads=false",
        "search.stage_ensemble=sum",
    ]);
    unchanged_by_stops(&["preset=official", "search.same_structure=true", "search.gumbel_sample=true"]);
}

#[test]
fn methods_without_evaluation_network_end_with_a_trained_one_and_stops_change_nothing() {
    for method in [
        "search.method=darts-first-order",
        "search.method=darts-second-order",
        "search.method=gdas",
        "search.feedback=none",
    ] {
        // Without evaluation network its depth is not read.
        let settings = [method, "search.eval_cells=[1]"];
        let whole = run(&settings);
        let joint = |cycle| Phase::Joint { cycle, epoch: 0 };
        let warm = Phase::WarmSupernet { before_cycle: 0, epoch: 0 };
        assert_eq!(whole.epochs(), [warm, joint(0), joint(1), Phase::Retrain { epoch: 0 }], "{method}");
        assert_eq!(whole.cycles().last(), Some(&whole.found()));
        let broken = broken_run(&settings, 3);
        assert!(broken.resumes > 2);
        assert_eq!(broken.told(), whole.told(), "{method}");
    }
}

#[test]
fn random_search_keeps_the_best_of_its_cells_and_stops_change_nothing() {
    for space in
        [&[][..], &["search.space=nas-bench-201", "search.cells=[1,1,1]", "search.eval_cells=[1,1,1]"]]
    {
        let mut settings = vec!["search.method=random", "search.cycles=4", "search.joint_epochs=2"];
        settings.extend(["retrain.cells=[1,1,1]"].iter().filter(|_| !space.is_empty()));
        settings.extend(space);
        let whole = run(&settings);
        let joint = |cycle, epoch| Phase::Joint { cycle, epoch };
        let epochs: Vec<Phase> = (0..4).flat_map(|cycle| [joint(cycle, 0), joint(cycle, 1)]).collect();
        assert_eq!(whole.epochs()[..8], epochs);
        let candidates = whole.candidates();
        assert_eq!(candidates.len(), 4);
        assert!(candidates.iter().any(|(text, _)| *text != candidates[0].0), "{candidates:?}");
        // Of equally good ones the first.
        let best = candidates
            .iter()
            .rev()
            .fold(&candidates[3], |best, one| if one.1 >= best.1 { one } else { best });
        assert_eq!(whole.told().genotype, best.0);
        let broken = broken_run(&settings, 3);
        assert!(broken.resumes > 2);
        assert_eq!(broken.told(), whole.told());
    }
}

//! Runs that find a genotype for each stage, through every command that reads them.

use cdarts::space::StageGenotypes;
use serde_json::Value;

use crate::invoke::{Workplace, files};
use crate::tiny_run::{Told, arguments, search};

/// Two stages, searched one after another; the first holds both kinds of cell.
const BY_STAGE: [&str; 12] = [
    "--set",
    "search.one_stage=false",
    "--set",
    "search.repeat_cell=false",
    "--set",
    "search.cells=[2,1]",
    "--set",
    "search.eval_cells=[2,1]",
    "--set",
    "search.cycles=1",
    "--set",
    "search.arch_lr=0.1",
];

#[test]
fn a_run_with_a_genotype_a_stage_can_be_looked_at_counted_scored_and_trained_again() {
    let workplace = Workplace::new();
    let said = search(&workplace, "run", &[&BY_STAGE[..], &["--json"]].concat());
    let told = Told::by(&workplace.path("run"), &said.stdout);
    let found: StageGenotypes = told.genotype.parse().unwrap();
    assert_eq!(found.as_slice().len(), 2);

    let shown = workplace.succeed(&["show", "run", "--out", "cells.svg", "--out", "cells.dot"]).stdout;
    assert!(shown.contains("stage 1\n") && shown.contains("stage 2\n"), "{shown}");
    for name in ["cells-stage-1.svg", "cells-stage-2.svg", "cells-stage-1.dot", "cells-stage-2.dot"] {
        assert!(workplace.path(name).is_file(), "{name} of {:?}", files(&workplace.path(".")));
    }
    assert_eq!(workplace.succeed(&["show", "run", "--text"]).stdout.trim(), told.genotype);

    let result: Value = serde_json::from_str(&said.stdout).unwrap();
    let network = ["--cells", "1,1", "--channels", "4", "--size", "8"];
    let cost = workplace.succeed(&[&["cost", "run/bundle/genotypes.json", "--json"], &network[..]].concat());
    let cost: Value = serde_json::from_str(&cost.stdout).unwrap();
    // The digits are grey: the stem has two input channels less, 9 weights for each of its 12 channels.
    assert_eq!(cost["params"].as_u64().unwrap() - 2 * 9 * 12, result["params"].as_u64().unwrap());
    let refused = workplace.call(&["cost", "run"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("expected 1 or 3 genotypes, found 2"), "{}", refused.stderr);

    let score = workplace.succeed(&["eval", "run", "--json"]).stdout;
    let score: Value = serde_json::from_str(&score).unwrap();
    assert_eq!(score["accuracy"].as_f64(), Some(told.test_accuracy));

    let again = workplace.succeed(&arguments(&["retrain", "run", "--out", "again", "--json"], &[]));
    let again = Told::by(&workplace.path("again"), &again.stdout);
    assert_eq!((&again.genotype, &again.weights), (&told.genotype, &told.weights));
}

#[test]
fn a_pre_training_is_announced_and_shown() {
    let workplace = Workplace::new();
    let settings = ["--dry-run", "--set", "search.bank_pretrain_epochs=3"];
    let said = workplace.succeed(&arguments(&["search"], &settings)).stdout;
    assert!(said.contains("pre-training of the weight bank: 3 epochs"), "{said}");
}

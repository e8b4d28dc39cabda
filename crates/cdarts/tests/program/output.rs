//! What the program prints when all goes well.

use std::fs;

use serde_json::Value;

use crate::images;
use crate::invoke::{Workplace, finished};
use crate::tiny_run::{arguments, search, unbroken};

const COMMANDS: [&str; 13] = [
    "search",
    "retrain",
    "eval",
    "predict",
    "show",
    "cost",
    "table",
    "ablate",
    "data",
    "check",
    "bench",
    "config",
    "completions",
];

#[test]
fn help() {
    let workplace = Workplace::new();
    let text = |arguments: &[&str]| workplace.succeed(arguments).stdout;
    insta::assert_snapshot!("help", text(&["--help"]));
    for command in COMMANDS {
        insta::assert_snapshot!(format!("help-{command}"), text(&[command, "--help"]));
    }
    for command in ["query", "best", "stats"] {
        insta::assert_snapshot!(format!("help-table-{command}"), text(&["table", command, "--help"]));
    }
    insta::assert_snapshot!("help-data-inspect", text(&["data", "inspect", "--help"]));
    insta::assert_snapshot!("help-config-show", text(&["config", "show", "--help"]));
}

#[test]
fn a_finished_run_can_be_looked_at_scored_and_trained_again() {
    let workplace = Workplace::new();
    let said = search(&workplace, "run", &[]);
    let told = unbroken();
    let correct = told.records.iter().find(|record| record["event"] == "test").unwrap()["correct"].clone();
    assert!(said.stdout.contains(&format!("({correct} of 1,438 images)")), "{}", said.stdout);
    for expected in ["next            cdarts eval run ", "cdarts show run --out cells.svg"] {
        assert!(said.stdout.contains(expected), "{}", said.stdout);
    }

    let score: Value = serde_json::from_str(&workplace.succeed(&["eval", "run", "--json"]).stdout).unwrap();
    assert_eq!((score["accuracy"].as_f64(), &score["correct"]), (Some(told.test_accuracy), &correct));
    let classes = score["classes"].as_array().unwrap();
    let sum = |key: &str| classes.iter().map(|class| class[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!((Some(sum("correct")), sum("total")), (correct.as_u64(), 1438));

    assert_eq!(workplace.succeed(&["show", "run", "--text"]).stdout.trim(), told.genotype);
    workplace.succeed(&["show", "run", "--out", "cells.svg", "--out", "cells.dot"]);
    assert!(fs::read_to_string(workplace.path("cells.svg")).unwrap().starts_with("<svg"));
    assert!(fs::read_to_string(workplace.path("cells.dot")).unwrap().contains("digraph"));

    let compared = ["show", "run", "--cycle", "1", "--against", "2", "--out", "compared.svg"];
    let shown = workplace.succeed(&compared).stdout;
    assert!(shown.contains("normal cell, cycle 1") && shown.contains("reduction cell, cycle 2"), "{shown}");
    let drawn = fs::read_to_string(workplace.path("compared.svg")).unwrap();
    let marks = shown.matches(" *").count();
    assert_eq!(drawn.matches("<rect class=\"changed\"").count(), if marks > 0 { marks + 1 } else { 0 });
    let shown = workplace.succeed(&["show", "run", "--against", "darts-v2"]).stdout;
    assert!(shown.contains("normal cell, run") && shown.contains("normal cell, darts-v2"), "{shown}");
    let refused = workplace.call(&["show", "run", "--cycle", "99"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("has no cycle 99"), "{}", refused.stderr);

    // The genotype is the same and so is all that training draws from the seed.
    let again = workplace.succeed(&arguments(&["retrain", "run", "--out", "again", "--json"], &[]));
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(again["genotype"].as_str(), Some(told.genotype.as_str()));
    assert_eq!(again["test_accuracy"].as_f64(), Some(told.test_accuracy));
    assert_eq!(
        fs::read(workplace.path("again/bundle/model.safetensors")).unwrap(),
        told.weights,
        "trained again from the same seed"
    );
}

#[test]
fn other_images_of_the_same_classes_are_scored_in_the_network_s_shape() {
    let workplace = Workplace::new();
    images::folder(&workplace.path("pets"), &["cat", "dog", "mouse"], 40, 8);
    let pets = ["--data", "pets", "--set", "data.test_fraction=0.2"];
    search(&workplace, "run", &pets);
    images::folder(&workplace.path("new/train"), &["cat", "dog", "mouse"], 2, 20);
    images::folder(&workplace.path("new/test"), &["cat", "dog", "mouse"], 5, 20);
    images::folder(&workplace.path("plain"), &["cat", "dog", "mouse"], 7, 12);
    for (data, part, total) in [("new", "test folder", 15), ("plain", "all images", 21)] {
        let score = workplace.succeed(&["eval", "run", "--data", data, "--json"]).stdout;
        let score: Value = serde_json::from_str(&score).unwrap();
        assert_eq!((score["part"].as_str(), score["total"].as_u64()), (Some(part), Some(total)), "{data}");
    }

    images::folder(&workplace.path("birds"), &["crow", "owl"], 5, 8);
    let refused = workplace.call(&["eval", "run", "--data", "birds"]);
    assert_eq!(refused.code, Some(1));
    for expected in ["3 classes (cat, dog, mouse)", "2 classes (crow, owl)", "hint: "] {
        assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    }
}

#[test]
fn json_is_one_object_and_pipes_get_no_escape_codes() {
    let workplace = Workplace::new();
    for (mode, lines_are_json) in [("auto", false), ("bar", false), ("json", true), ("none", false)] {
        let call = search(&workplace, mode, &["--json", "--progress", mode, "--set", "search.cycles=1"]);
        let result: Value = serde_json::from_str(&call.stdout).unwrap();
        let mut keys: Vec<&str> = result.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        let expected = [
            "genotype",
            "init_channels",
            "macs",
            "params",
            "run_dir",
            "seconds_retrain",
            "seconds_search",
            "seed",
            "test_accuracy",
            "val_accuracy",
        ];
        assert_eq!(keys, expected);
        assert_eq!(result["run_dir"], mode);
        assert!(!(call.stdout.contains('\x1b') || call.stderr.contains('\x1b')), "{mode}: {}", call.stderr);
        if lines_are_json {
            let phases: Vec<Value> =
                call.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(phases[0]["event"], "overview");
            assert_eq!(phases.last().unwrap()["event"], "finished");
        }
        assert_eq!(call.stderr.is_empty(), mode == "none", "{}", call.stderr);
    }
}

#[test]
fn colour_comes_when_forced_and_goes_when_unwanted() {
    let workplace = Workplace::new();
    let coloured = |variables: &[(&str, &str)]| {
        let mut command = workplace.command(&["show", "resnet"]);
        finished(command.envs(variables.iter().copied())).stderr.contains('\x1b')
    };
    assert!(coloured(&[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    assert!(coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "")]));
    assert!(!coloured(&[]));
}

#[test]
fn a_reader_that_has_had_enough_is_no_error() {
    let workplace = Workplace::new();
    let mut child = workplace
        .command(&["cost", "darts-v2", "--json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn narrow_terminals_are_served() {
    let workplace = Workplace::new();
    for command in COMMANDS {
        let call = finished(workplace.command(&[command, "--help"]).env("COLUMNS", "40"));
        assert_eq!(call.code, Some(0), "{command}");
    }
}

#[test]
fn a_dry_run_says_what_would_run_and_keeps_nothing() {
    let workplace = Workplace::new();
    let search = workplace.succeed(&["search", "--dry-run"]).stdout;
    insta::assert_snapshot!("dry-run-search", search);
    let retrain = workplace.succeed(&["retrain", "cdarts-cifar", "--dry-run"]).stdout;
    insta::assert_snapshot!("dry-run-retrain", retrain);
    assert_eq!(fs::read_dir(workplace.path("")).unwrap().count(), 0);
}

#[test]
fn runs_without_a_name_get_one_each() {
    let workplace = Workplace::new();
    let names = [(); 2].map(|()| {
        let call = workplace.succeed(&arguments(&["search", "--json", "--set", "search.cycles=1"], &[]));
        let result: Value = serde_json::from_str(&call.stdout).unwrap();
        result["run_dir"].as_str().unwrap().to_owned()
    });
    assert!(names[0].starts_with("runs/20") && names[0].ends_with("-digits-s1"), "{names:?}");
    assert_eq!(names[1], format!("{}-2", names[0]));
}

#[test]
fn published_sizes_are_counted() {
    let workplace = Workplace::new();
    for (arguments, params) in [
        (&["cdarts-cifar"][..], 3_859_318_u64),
        (&["darts-v2"], 3_349_342),
        (&["cdarts-cifar", "--layout", "search"], 805_306),
    ] {
        let arguments: Vec<&str> = ["cost", "--json"].iter().chain(arguments).copied().collect();
        let counted: Value = serde_json::from_str(&workplace.succeed(&arguments).stdout).unwrap();
        assert_eq!(counted["params"].as_u64(), Some(params), "{arguments:?}");
        let layers = counted["layers"].as_array().unwrap();
        let sum: u64 = layers.iter().map(|layer| layer["params"].as_u64().unwrap()).sum();
        assert_eq!(sum, params);
    }
}

#[test]
fn a_shown_configuration_is_one() {
    let workplace = Workplace::new();
    let shown =
        workplace.succeed(&["config", "show", "--preset", "official", "--set", "search.cycles=3"]).stdout;
    assert!(shown.contains("\n# Cycles: "), "{shown}");
    fs::write(workplace.path("shown.toml"), &shown).unwrap();
    assert_eq!(workplace.succeed(&["config", "show", "--config", "shown.toml"]).stdout, shown);
}

#[test]
fn every_shell_gets_its_completions() {
    let workplace = Workplace::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = workplace.succeed(&["completions", shell]).stdout;
        assert!(script.contains("cdarts") && script.contains("retrain"), "{shell}");
    }
}

#[test]
fn pictures_are_named_and_broken_ones_do_not_hide_the_rest() {
    let workplace = Workplace::new();
    let classes = ["cat", "dog", "mouse"];
    images::folder(&workplace.path("pets"), &classes, 40, 8);
    images::folder(&workplace.path("new"), &classes, 12, 20);
    search(&workplace, "run", &["--data", "pets", "--set", "data.test_fraction=0.2"]);
    let succeed =
        |arguments: &[&str]| -> Value { serde_json::from_str(&workplace.succeed(arguments).stdout).unwrap() };
    let score = succeed(&["eval", "run", "--data", "new", "--confusion", "taken-for.svg", "--json"]);
    assert!(fs::read_to_string(workplace.path("taken-for.svg")).unwrap().starts_with("<svg"));

    let said = succeed(&["predict", "run", "new", "--top", "9", "--json"]);
    let predictions = said["predictions"].as_array().unwrap();
    assert_eq!((predictions.len(), said["failed"].as_array().unwrap().len()), (36, 0));
    for (row, class) in classes.iter().enumerate() {
        for (column, named) in classes.iter().enumerate() {
            let below = |path: &Value| path.as_str().unwrap().starts_with(&format!("new/{class}/"));
            let count =
                predictions.iter().filter(|one| below(&one["path"]) && one["class"] == *named).count();
            assert_eq!(score["confusion"][row][column].as_u64(), Some(count as u64), "{class} as {named}");
        }
    }
    for prediction in predictions {
        let top = prediction["top"].as_array().unwrap();
        let sum: f64 = top.iter().map(|named| named["probability"].as_f64().unwrap()).sum();
        assert!(top.len() == 3 && (sum - 1.0).abs() < 1e-9, "{prediction}");
    }

    fs::write(workplace.path("new/cat/0.png"), b"not a picture").unwrap();
    fs::write(workplace.path("new/dog/notes.xyz"), b"passed over").unwrap();
    let call = workplace.call(&["predict", "run", "new/cat/0.png", "new/dog", "--csv", "--top", "2"]);
    assert_eq!(call.code, Some(1));
    assert!(call.stderr.contains("new/cat/0.png"), "{}", call.stderr);
    let lines: Vec<&str> = call.stdout.lines().collect();
    assert_eq!((lines[0], lines.len()), ("path,class,probability,class_2,probability_2", 13));
    let table = workplace.succeed(&["predict", "run", "new/mouse/3.png"]).stdout;
    assert!(table.starts_with("new/mouse/3.png  ") && table.trim_end().ends_with('%'), "{table}");
    let nowhere = workplace.call(&["predict", "run", "nowhere"]);
    assert!(nowhere.code == Some(1) && nowhere.stderr.contains("nowhere"), "{}", nowhere.stderr);
}

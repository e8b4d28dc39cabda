//! `cdarts ablate`: cases by seeds, compared in pairs, broken off and gone on with.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::invoke::Workplace;
use crate::tiny_run::SETTINGS;

const CASES: [&str; 4] = ["--case", "cdarts", "--case", "no-distillation search.distill_weight=0"];

fn ablate<'a>(cases: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    let settings = SETTINGS.iter().flat_map(|setting| ["--set", setting]);
    ["ablate"].into_iter().chain(cases.iter().copied()).chain(settings).chain(more.iter().copied()).collect()
}

#[test]
fn cases_are_compared_seed_by_seed() {
    let workplace = Workplace::new();
    let call = workplace.succeed(&ablate(&CASES, &["--seeds", "1..2", "--json", "--jobs", "2"]));
    let report: Value = serde_json::from_str(&call.stdout).unwrap();
    assert_eq!(report["measures"][0]["name"], "test accuracy, %");
    let cases = report["measures"][0]["cases"].as_array().unwrap();
    let values = |case: usize| -> Vec<f64> {
        cases[case]["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    };
    for (case, name) in ["cdarts", "no-distillation"].iter().enumerate() {
        for (place, seed) in [1, 2].into_iter().enumerate() {
            let metrics = workplace.path(&format!("ablation/{name}/seed-{seed}/bundle/metrics.json"));
            let metrics: Value = serde_json::from_str(&fs::read_to_string(metrics).unwrap()).unwrap();
            assert_eq!(metrics["test_accuracy"].as_f64().unwrap() * 100.0, values(case)[place]);
        }
    }
    let difference = (values(1)[0] - values(0)[0] + values(1)[1] - values(0)[1]) / 2.0;
    assert!((cases[1]["difference"]["mean"].as_f64().unwrap() - difference).abs() < 1e-9);
    assert!(cases[0]["difference"].is_null());
    let written = fs::read_to_string(workplace.path("ablation/ablation.md")).unwrap();
    assert!(
        written.contains("| no-distillation") && written.contains("search.distill_weight=0"),
        "{written}"
    );

    // All is there: nothing is searched again, and the table is the same.
    let started = Instant::now();
    let again = workplace.succeed(&ablate(&CASES, &["--seeds", "1..2", "--json"]));
    assert_eq!(again.stdout, call.stdout);
    assert!(again.stderr.contains("4 of 4 searches are finished already"), "{}", again.stderr);
    assert!(started.elapsed() < Duration::from_secs(2));

    let other = ["--case", "cdarts search.cycles=1"];
    let refused = workplace.call(&ablate(&other, &[]));
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("`cdarts`") && refused.stderr.contains("--out"), "{}", refused.stderr);
}

#[test]
fn what_was_broken_off_goes_on() {
    let workplace = Workplace::new();
    let arguments = ablate(&CASES, &["--seeds", "1", "--json"]);
    let mut child = workplace.command(&arguments).stderr(std::process::Stdio::null()).spawn().unwrap();
    let checkpoints = workplace.path("ablation/no-distillation/seed-1/checkpoints");
    let started = Instant::now();
    while !fs::read_dir(&checkpoints).is_ok_and(|mut entries| entries.next().is_some()) {
        assert!(started.elapsed() < Duration::from_secs(120), "the second search never began");
        sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // The search that ran has a process of its own, which goes on to its end.
    let lock = workplace.path("ablation/no-distillation/seed-1/bundle/metrics.json");
    while !lock.exists() {
        assert!(started.elapsed() < Duration::from_secs(120), "the search did not go on");
        sleep(Duration::from_millis(20));
    }
    sleep(Duration::from_millis(200));
    let finished = workplace.path("ablation/cdarts/seed-1/bundle/metrics.json");
    let before = fs::metadata(&finished).unwrap().modified().unwrap();
    let report: Value = serde_json::from_str(&workplace.succeed(&arguments).stdout).unwrap();
    assert_eq!(fs::metadata(&finished).unwrap().modified().unwrap(), before, "it was not done again");
    assert_eq!(report["measures"][0]["cases"][1]["summary"]["n"], 1);
}

#[test]
fn bad_cases_are_refused_before_anything_runs() {
    let workplace = Workplace::new();
    for (arguments, expected) in [
        (&["ablate", "--case", "a", "--case", "a"][..], "`a`"),
        (&["ablate", "--case", "../b"], "`../b`"),
        (&["ablate", "--case", "a search.cyles=3"], "search.cycles"),
        (&["ablate", "--case", "a", "--seeds", "3..1"], "3..1"),
        (&["ablate", "--case", "a", "--config", "none.toml"], "none.toml"),
        (&["ablate"], "--case"),
    ] {
        let call = workplace.call(arguments);
        assert_eq!(call.code, Some(2), "{arguments:?}: {}", call.stderr);
        assert!(call.stderr.contains(expected), "{arguments:?}: {}", call.stderr);
    }
    let missing = workplace.call(&["ablate", "--case", "a", "--table", "none.csv"]);
    assert!(missing.code == Some(1) && missing.stderr.contains("none.csv"), "{}", missing.stderr);
    assert_eq!(fs::read_dir(workplace.path("")).unwrap().count(), 0);
}

//! `cdarts bench`: every name does its work, and says what `tools/bench/compare` wants to know.

use serde_json::Value;

use crate::invoke::Workplace;

/// Names with the smallest channels and size that they take.
const NAMES: [(&str, usize, usize); 13] = [
    ("cell", 1, 1),
    ("supernet", 1, 8),
    ("joint-step", 1, 8),
    ("retrain-step", 1, 8),
    ("nas-bench-201", 1, 8),
    ("dense", 1, 1),
    ("max-pool-3x3", 1, 1),
    ("avg-pool-3x3", 1, 1),
    ("sep-conv-3x3", 1, 1),
    ("sep-conv-5x5", 1, 1),
    ("dil-conv-3x3", 1, 1),
    ("dil-conv-5x5", 1, 1),
    ("factorized-reduce", 1, 1),
];

fn measured(arguments: &[&str]) -> Value {
    let all: Vec<&str> = ["bench", "--json", "--steps", "2", "--threads", "1"]
        .into_iter()
        .chain(arguments.iter().copied())
        .collect();
    serde_json::from_str(&Workplace::new().succeed(&all).stdout).unwrap()
}

#[test]
fn every_name_runs_its_smallest_and_an_odd_shape() {
    for (name, channels, size) in NAMES {
        for (channels, size, batch) in [(channels, size, 2), (channels + 4, size + 1, 3)] {
            let [c, s, n] = [channels, size, batch].map(|number| number.to_string());
            let result = measured(&[name, "--channels", &c, "--size", &s, "--batch", &n]);
            let number = |key: &str| result[key].as_u64().unwrap() as usize;
            assert_eq!(result["name"], name);
            let found = ["channels", "size", "batch", "threads"].map(number);
            assert_eq!(found, [channels, size, batch, 1], "{name}");
            let times = result["ms"].as_array().unwrap();
            assert!(
                times.len() == 2 && times.iter().all(|ms| ms.as_f64().unwrap() > 0.0),
                "{name} {times:?}"
            );
            assert!(result["peak_mb"].is_null() || result["peak_mb"].as_f64().unwrap() > 1.0);
            assert_eq!(result["params"].as_u64() == Some(0), name.contains("pool"), "{name}");
        }
    }
}

#[test]
fn one_image_of_one_pixel_and_stock_operations_work_too() {
    for name in ["cell", "sep-conv-3x3", "max-pool-3x3", "dense"] {
        measured(&[name, "--channels", "2", "--size", "1", "--batch", "1"]);
        measured(&[name, "--channels", "2", "--size", "5", "--batch", "2", "--stock"]);
    }
}

#[test]
fn a_profile_adds_up_to_the_step() {
    let result = measured(&["joint-step", "--channels", "4", "--size", "8", "--batch", "8", "--profile"]);
    let parts = result["profile"].as_array().unwrap();
    let of = |part: &Value| part["ms"].as_f64().unwrap();
    let sum: f64 = parts.iter().map(of).sum();
    let times: Vec<f64> = result["ms"].as_array().unwrap().iter().map(|ms| ms.as_f64().unwrap()).collect();
    let mean = times.iter().sum::<f64>() / times.len() as f64;
    assert!((sum - mean).abs() < 0.05 * mean, "{sum} of {mean}");
    for (name, way) in [
        ("search network", "forward"),
        ("search network", "backward"),
        ("evaluation network", "forward"),
        ("evaluation network", "backward"),
        ("heads", "forward"),
        ("heads", "backward"),
        ("losses", "forward"),
        ("clipping", "forward"),
        ("optimisers", "forward"),
    ] {
        let part = parts.iter().find(|part| part["part"] == name && part["way"] == way);
        assert!(part.is_some_and(|part| of(part) > 0.0), "{name} {way}: {parts:?}");
    }
}

#[test]
fn the_text_has_what_the_object_has() {
    let workplace = Workplace::new();
    let text = workplace
        .succeed(&["bench", "cell", "--channels", "4", "--size", "8", "--batch", "2", "--profile"])
        .stdout;
    for expected in [
        "cell: C=4, 8x8, batch 2\n",
        "10 steps after one to warm up",
        "\ntime            ",
        "\narithmetic      ",
        "\nparameters      7,376\n",
        "\npeak memory     ",
        "  search cell, backward ",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
}

//! Cells of NAS-Bench-201: their table, their size, their picture.

use std::fs;

use serde_json::Value;

use crate::invoke::Workplace;

const FEW: &str = include_str!("../../../space/tests/fixtures/nas_bench_201_few.csv");

fn with_table() -> Workplace {
    let workplace = Workplace::new();
    fs::write(workplace.path("few.csv"), FEW).unwrap();
    workplace
}

fn json(workplace: &Workplace, arguments: &[&str]) -> Value {
    serde_json::from_str(&workplace.succeed(arguments).stdout).unwrap()
}

#[test]
fn answers_in_words() {
    let workplace = with_table();
    let calls: [&[&str]; 4] = [
        &["table", "query", "nas-bench-201-cell-2", "--table", "few.csv"],
        &["table", "best", "--table", "few.csv"],
        &["table", "best", "--table", "few.csv", "--count", "4"],
        &["table", "stats", "--table", "few.csv"],
    ];
    let said: Vec<String> = calls
        .iter()
        .map(|arguments| format!("$ cdarts {}\n{}", arguments.join(" "), workplace.succeed(arguments).stdout))
        .collect();
    insta::assert_snapshot!("table", said.join("\n"));
}

#[test]
fn answers_as_json() {
    let workplace = with_table();
    let stats = json(&workplace, &["table", "stats", "--table", "few.csv", "--json"]);
    assert_eq!(stats["rows"], 46);
    let column = &stats["cifar10_test"];
    assert_eq!((&column["best"], &column["best_count"]), (&Value::from(94.3733), &Value::from(2)));
    let best_arch = column["best_arch"].as_str().unwrap();
    let accuracies: Vec<f64> =
        FEW.lines().skip(1).map(|line| line.rsplit(',').next().unwrap().parse().unwrap()).collect();
    let mean = accuracies.iter().sum::<f64>() / accuracies.len() as f64;
    assert!((column["mean"].as_f64().unwrap() - mean).abs() < 1e-9);

    let best = json(&workplace, &["table", "best", "--table", "few.csv", "--json"]);
    let best = best["cifar10_test"].as_array().unwrap();
    assert_eq!((best.len(), best[0]["arch"].as_str()), (2, Some(best_arch)));
    assert_eq!((&best[0]["rank"], &best[1]["rank"]), (&Value::from(1), &Value::from(1)));

    let query = |arch: &str| json(&workplace, &["table", "query", arch, "--table", "few.csv", "--json"]);
    let third = query("9930");
    assert_eq!(
        third["arch"],
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    );
    assert_eq!(third, query(third["arch"].as_str().unwrap()));
    let standing = &third["cifar10_test"];
    assert_eq!((&standing["accuracy"], &standing["rank"]), (&Value::from(94.3633), &Value::from(3)));
    assert!((standing["percentile"].as_f64().unwrap() - 100.0 * 44.0 / 46.0).abs() < 1e-9);
    assert!((standing["regret"].as_f64().unwrap() - 0.01).abs() < 1e-9);
}

#[test]
fn the_whole_benchmark() {
    let Some(table) = std::env::var_os("CDARTS_NAS_BENCH_201") else {
        eprintln!("skipped: CDARTS_NAS_BENCH_201 names no table of all cells");
        return;
    };
    let workplace = Workplace::new();
    let table = table.to_str().unwrap();
    let stats = json(&workplace, &["table", "stats", "--table", table, "--json"]);
    assert_eq!((&stats["rows"], &stats["cifar10_test"]["best"]), (&15_625.into(), &94.3733.into()));
    let first = json(&workplace, &["table", "query", "nas-bench-201-cell-1", "--table", table, "--json"]);
    assert_eq!((&first["cifar10_test"]["rank"], &first["index"]), (&1.into(), &13_714.into()));
}

#[test]
fn a_cell_is_shown_and_counted() {
    let workplace = Workplace::new();
    let cell = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|none~1|nor_conv_1x1~2|";
    insta::assert_snapshot!(
        "show-nas-bench-201",
        workplace.succeed(&["show", "nas-bench-201-cell-2"]).stdout
    );
    assert_eq!(workplace.succeed(&["show", "nas-bench-201-cell-2", "--text"]).stdout.trim(), cell);
    workplace.succeed(&["show", cell, "--out", "cell.svg", "--out", "cell.dot"]);
    assert!(fs::read_to_string(workplace.path("cell.svg")).unwrap().contains("NAS-Bench-201 cell"));
    assert!(fs::read_to_string(workplace.path("cell.dot")).unwrap().contains("digraph"));
    for (arguments, params) in [
        (&["nas-bench-201-cell-1"][..], 1_073_338_u64),
        (&[cell], 830_298),
        (&["nas-bench-201-cell-3", "--layout", "nas-bench-201"], 802_298),
    ] {
        let arguments: Vec<&str> = ["cost", "--json"].iter().chain(arguments).copied().collect();
        assert_eq!(json(&workplace, &arguments)["params"].as_u64(), Some(params), "{arguments:?}");
    }
    let small =
        ["cost", cell, "--json", "--channels", "8", "--cells", "2", "--size", "12x9", "--classes", "3"];
    let small = json(&workplace, &small);
    assert_eq!(small["genotype"], cell);
    assert_eq!(small["network"]["cells_per_stage"], 2);
    let outputs: Vec<&Value> =
        small["layers"].as_array().unwrap().iter().map(|layer| &layer["out"]).collect();
    assert_eq!(*outputs[outputs.len() - 2], serde_json::json!([32, 3, 3]));
}

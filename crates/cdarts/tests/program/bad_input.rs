//! What the program says to what it cannot use. Every message is kept in one snapshot, to be read as a whole.

use std::fs;

use crate::images;
use crate::invoke::{Workplace, files};
use crate::tiny_run::{Told, arguments, resumes, search, unbroken};

/// The call, how it ended and what it said, with the workplace's own path taken out.
fn told(workplace: &Workplace, arguments: &[&str]) -> String {
    let call = workplace.call(arguments);
    assert_ne!(call.code, Some(0), "{arguments:?}");
    assert_eq!(call.stdout, "", "{arguments:?}");
    let own = workplace.path("").canonicalize().unwrap();
    let said = call.stderr.replace(own.to_str().unwrap(), "[HERE]");
    let typed: Vec<String> = arguments.iter().map(|argument| format!("{argument:?}")).collect();
    format!("$ cdarts {}\n{said}exit {}\n\n", typed.join(" ").replace('"', ""), call.code.unwrap())
}

fn all_told(workplace: &Workplace, calls: &[&[&str]]) -> String {
    calls.iter().map(|arguments| told(workplace, arguments)).collect()
}

#[test]
fn images() {
    let workplace = Workplace::new();
    let make = |name: &str, classes: &[&str]| images::folder(&workplace.path(name), classes, 8, 8);
    fs::write(workplace.path("file"), "").unwrap();
    fs::create_dir(workplace.path("nothing")).unwrap();
    make("one-class", &["cat"]);
    make("empty-class", &["cat", "dog"]);
    fs::create_dir(workplace.path("empty-class/mouse")).unwrap();
    make("cut-short", &["cat", "dog"]);
    let picture = workplace.path("cut-short/dog/3.png");
    let whole = fs::read(&picture).unwrap();
    fs::write(&picture, &whole[..whole.len() / 2]).unwrap();
    make("no-image", &["cat", "dog"]);
    fs::write(workplace.path("no-image/cat/0.png"), "a shopping list").unwrap();
    make("too-few", &["cat", "dog"]);
    images::folder(&workplace.path("too-few"), &["mouse"], 2, 8);
    make("too-small", &["cat", "dog"]);
    let cifar = workplace.path("cifar-10-batches-bin");
    fs::create_dir(&cifar).unwrap();
    for batch in
        ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]
    {
        fs::write(cifar.join(format!("{batch}.bin")), vec![0; 3073 * 2 - 1]).unwrap();
    }
    let calls: &[&[&str]] = &[
        &["search", "--data", "nowhere"],
        &["search", "--data", "file"],
        &["search", "--data", "nothing"],
        &["search", "--data", "one-class"],
        &["search", "--data", "empty-class"],
        &["search", "--data", "cut-short"],
        &["search", "--data", "no-image"],
        &["search", "--data", "too-few"],
        &["search", "--data", "too-small", "--set", "data.size=4"],
        &["search", "--data", "cifar-10-batches-bin"],
        &["retrain", "darts-v2", "--data", "nowhere"],
    ];
    insta::assert_snapshot!("bad-images", all_told(&workplace, calls));
    assert!(!workplace.path("runs").exists(), "nothing is written before all is known to be right");
}

#[test]
fn configurations_and_options() {
    let workplace = Workplace::new();
    fs::write(workplace.path("broken.toml"), "[search\ncycles = 3\n").unwrap();
    fs::write(workplace.path("unknown.toml"), "[search]\ncycels = 3\n").unwrap();
    let calls: &[&[&str]] = &[
        &["search", "--config", "missing.toml"],
        &["search", "--config", "broken.toml"],
        &["search", "--config", "unknown.toml"],
        &["search", "--set", "search.zzzzzzzzzzzzzz=1"],
        &["search", "--set", "cycles"],
        &["search", "--set", "search.cycles=many"],
        &["search", "--set", "search.cycles=0"],
        &["search", "--set", "search.distance=manhattan"],
        &["search", "--set", "search.cells=[1]"],
        &["search", "--set", "retrain.init_channels=0"],
        &["search", "--device", "abacus"],
        &["search", "--threads", "0"],
        &["search", "--seed", "-1"],
        &["search", "--sed", "1"],
        &["search", "--resume", "run", "--out", "other"],
        &["retrain"],
        &["eval"],
        &["show"],
        &["config", "show", "--preset", "offical"],
        &["serach"],
    ];
    insta::assert_snapshot!("bad-configurations", all_told(&workplace, calls));
    assert!(!workplace.path("runs").exists());
}

#[test]
fn genotypes() {
    let workplace = Workplace::new();
    let known = cdarts::space::published("darts-v1").unwrap().to_string();
    fs::write(workplace.path("list.txt"), "eggs, milk").unwrap();
    fs::write(workplace.path("binary"), [0xff, 0xfe, 0x00]).unwrap();
    fs::create_dir(workplace.path("folder")).unwrap();
    let late = known.replacen("('max_pool_3x3', 1)", "('max_pool_3x3', 2)", 1);
    let unknown = known.replacen("max_pool_3x3", "max_pool_5x5", 1);
    let calls: &[&[&str]] = &[
        &["show", "cdarts-cifr"],
        &["show", "resnet"],
        &["show", "list.txt"],
        &["show", "binary"],
        &["show", "folder"],
        &["show", "Genotype(normal=[])"],
        &["show", "{}"],
        &["show", &late],
        &["retrain", &unknown],
        &["cost", "darts-v2", "--channels", "0"],
        &["cost", "darts-v2", "--cells", "1,0"],
        &["cost", "darts-v2", "--size", "4"],
        &["cost", "darts-v2", "--size", "big"],
    ];
    insta::assert_snapshot!("bad-genotypes", all_told(&workplace, calls));
}

#[test]
fn benchmarks() {
    let workplace = Workplace::new();
    let calls: &[&[&str]] = &[
        &["bench", "joint-stp"],
        &["bench", "cell", "--channels", "0"],
        &["bench", "cell", "--size", "big"],
        &["bench", "cell", "--batch", "-1"],
        &["bench", "cell", "--steps", "0"],
        &["bench", "supernet", "--size", "4"],
        &["bench", "joint-step", "--size", "7"],
    ];
    insta::assert_snapshot!("bad-benchmarks", all_told(&workplace, calls));
    let vast = workplace.call(&["bench", "cell", "--channels", "65536", "--size", "65536"]);
    assert_eq!(vast.code, Some(2));
    assert!(vast.stderr.contains("MB of memory") && vast.stderr.contains("--batch"), "{}", vast.stderr);
}

#[test]
fn cells_and_tables_of_nas_bench_201() {
    let workplace = Workplace::new();
    let cell = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|";
    let header = "index,arch,cifar10_test\n";
    let file = |name: &str, text: &str| fs::write(workplace.path(name), text).unwrap();
    file("good.csv", &format!("{header}7,{cell},91.99\n"));
    file("header.csv", &format!("number,arch,cifar10_test\n7,{cell},91.99\n"));
    file("nan.csv", &format!("{header}7,{cell},nan\n"));
    file("twice.csv", &format!("{header}7,{cell},91.99\n8,{cell},91.99\n"));
    file("short.csv", &format!("{header}7,{cell}\n"));
    file("cell.csv", &format!("{header}7,{},91.99\n", cell.replace("skip_connect", "skip")));
    file("empty.csv", "");
    file("binary.csv", "index,arch,test\n7,\u{0},1\n");
    let stats = |table: &'static str| ["table", "stats", "--table", table];
    let calls: &[&[&str]] = &[
        &["table"],
        &["table", "query", cell],
        &["table", "query", "nas-bench-201-cell-9", "--table", "good.csv"],
        &["table", "query", "darts-v2", "--table", "good.csv"],
        &["table", "query", "|nor_conv_3x3~0|+|none~0|none~0|", "--table", "good.csv"],
        &["table", "query", "nas-bench-201-cell-1", "--table", "good.csv"],
        &["table", "query", "15625", "--table", "good.csv"],
        &["table", "best", "--table", "good.csv", "--count", "many"],
        &stats("missing.csv"),
        &stats("header.csv"),
        &stats("nan.csv"),
        &stats("twice.csv"),
        &stats("short.csv"),
        &stats("cell.csv"),
        &stats("empty.csv"),
        &stats("binary.csv"),
        &["cost", cell, "--layout", "imagenet"],
        &["cost", "darts-v2", "--layout", "nas-bench-201"],
        &["cost", cell, "--cells", "5,5,5"],
        &["cost", cell, "--size", "2"],
        &["show", &cell.replace("skip_connect", "skip")],
        &["retrain", cell],
    ];
    insta::assert_snapshot!("bad-nas-bench-201", all_told(&workplace, calls));
}

#[test]
fn runs() {
    let workplace = Workplace::new();
    search(&workplace, "run", &["--set", "retrain.epochs=0", "--progress", "none"]);
    images::folder(&workplace.path("cats"), &["cat", "dog"], 8, 8);
    fs::create_dir(workplace.path("folder")).unwrap();
    fs::write(workplace.path("file"), "").unwrap();
    let before = files(&workplace.path("run"));
    let calls: &[&[&str]] = &[
        &["search", "--resume", "nowhere"],
        &["search", "--resume", "folder"],
        &["search", "--resume", "run", "--set", "search.cycles=7", "--seed", "5"],
        &["search", "--resume", "run", "--config", "missing.toml"],
        &["search", "--out", "run"],
        &["search", "--out", "file"],
        &["eval", "folder"],
        &["eval", "run"],
    ];
    insta::assert_snapshot!("bad-runs", all_told(&workplace, calls));
    assert_eq!(files(&workplace.path("run")), before, "a refusal writes nothing");
}

#[test]
fn options_that_say_what_the_run_says_are_no_reason_to_refuse_it() {
    let workplace = Workplace::new();
    let first = search(&workplace, "run", &["--json"]);
    let again = workplace.succeed(&arguments(&["search", "--resume", "run", "--seed", "1", "--json"], &[]));
    assert_eq!(again.stdout, first.stdout);
    assert!(again.stderr.contains("this run is complete"), "{}", again.stderr);
    assert_eq!(resumes(&workplace.path("run")), 0, "a complete run is left as it is");
}

#[test]
fn a_damaged_checkpoint_is_told_and_the_one_before_it_taken() {
    let workplace = Workplace::new();
    let call = arguments(&["search", "--out", "run", "--json"], &[]);
    workplace.stop_at(&call, |event| event["phase"] == "joint", |child| child.kill().unwrap());
    let checkpoints = || {
        let mut found = files(&workplace.path("run/checkpoints"));
        found.retain(|path| path.extension().is_some_and(|extension| extension == "ckpt"));
        found
    };
    let damage = |path: &std::path::Path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let saved: Vec<(std::path::PathBuf, Vec<u8>)> =
        checkpoints().into_iter().map(|path| (path.clone(), fs::read(&path).unwrap())).collect();
    assert!(saved.len() >= 2, "{saved:?}");

    checkpoints().iter().for_each(|path| damage(path));
    let refused = workplace.call(&["search", "--resume", "run", "--json"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));
    assert!(refused.stderr.starts_with("error: none of the "), "{}", refused.stderr);
    assert!(refused.stderr.contains("run/checkpoints/0000"), "{}", refused.stderr);
    assert!(refused.stderr.contains("\nhint: "), "{}", refused.stderr);

    for (path, bytes) in saved {
        fs::write(path, bytes).unwrap();
    }
    damage(checkpoints().last().unwrap());
    let call = workplace.succeed(&["search", "--resume", "run", "--json"]);
    let warning = call.stderr.lines().find(|line| line.starts_with("warning: ")).unwrap();
    assert!(warning.contains("is damaged") && warning.contains(".ckpt"), "{warning}");
    assert_eq!(&Told::by(&workplace.path("run"), &call.stdout), unbroken());
}

#[test]
fn images_of_a_run_may_move_but_not_change() {
    let workplace = Workplace::new();
    images::folder(&workplace.path("pets"), &["cat", "dog"], 40, 8);
    let call = arguments(
        &["search", "--out", "run", "--data", "pets", "--json"],
        &["--set", "data.test_fraction=0.2"],
    );
    workplace.stop_at(&call, |event| event["phase"] == "joint", |child| child.kill().unwrap());
    fs::rename(workplace.path("pets"), workplace.path("moved")).unwrap();

    let gone = workplace.call(&["search", "--resume", "run"]);
    assert_eq!(gone.code, Some(1));
    assert!(gone.stderr.contains("no longer at") && gone.stderr.contains("--data PATH"), "{}", gone.stderr);

    images::folder(&workplace.path("others"), &["cat", "dog"], 41, 8);
    let others = workplace.call(&["search", "--resume", "run", "--data", "others"]);
    assert_eq!(others.code, Some(1));
    assert!(others.stderr.contains("written with another data"), "{}", others.stderr);

    workplace.succeed(&["search", "--resume", "run", "--data", "moved"]);
    let own = workplace.succeed(&["eval", "run", "--data", "moved", "--json"]);
    assert!(own.stdout.contains("test part of the run"), "{}", own.stdout);
}

//! Data sets of every make, from a look at them to a trained network.

use std::fs;
use std::path::Path;

use cdarts::runs::{Event, Record};
use serde_json::Value;

use crate::formats::{npy, npz, write};
use crate::images;
use crate::invoke::Workplace;
use crate::tiny_run::{arguments, records, search};

const CLASSES: usize = 3;

/// Images `[n, …]` whose brightness tells their class, with a pattern that differs from image to image.
fn array(n: usize, image: &[usize]) -> Vec<u8> {
    let numel: usize = image.iter().product();
    let value = |number: usize, at: usize| (number % CLASSES * 70 + (at * 13 + number * 7) % 40) as u8;
    let values: Vec<u8> = (0..n).flat_map(|number| (0..numel).map(move |at| value(number, at))).collect();
    npy("|u1", &[&[n], image].concat(), &values)
}

fn labels(n: usize, shape: &[usize]) -> Vec<u8> {
    npy("|u1", shape, &(0..n).map(|number| (number % CLASSES) as u8).collect::<Vec<_>>())
}

/// MedMNIST's six arrays in an archive.
fn medmnist(path: &Path) {
    let parts = [("train", 90), ("val", 12), ("test", 15)];
    let entries: Vec<(String, Vec<u8>)> = parts
        .iter()
        .flat_map(|&(part, n)| {
            [(format!("{part}_images"), array(n, &[28, 28])), (format!("{part}_labels"), labels(n, &[n, 1]))]
        })
        .collect();
    let entries: Vec<(&str, Vec<u8>)> =
        entries.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    fs::write(path, npz(&entries, true)).unwrap();
}

/// The arrays of the NAS Unseen Data sets in a folder.
fn unseen(folder: &Path, image: &[usize]) {
    for (part, n) in [("train", 90), ("valid", 12), ("test", 15)] {
        write(folder, &format!("{part}_x.npy"), &array(n, image));
        write(folder, &format!("{part}_y.npy"), &labels(n, &[n]));
    }
}

fn result(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Searches, trains, scores again and trains the found genotype once more. Returns the network's image.
fn search_to_the_end(workplace: &Workplace, data: &str) -> Value {
    let run = format!("{data}-run");
    let more = ["--data", data, "--json", "--progress", "none", "--set", "data.crop_padding=1"];
    let found = result(&search(workplace, &run, &more).stdout);
    let score = result(&workplace.succeed(&["eval", &run, "--json"]).stdout);
    assert_eq!((&score["accuracy"], &score["total"]), (&found["test_accuracy"], &Value::from(15)));
    let again = format!("{data}-again");
    let again = arguments(&["retrain", &run, "--out", &again], &more);
    let again = result(&workplace.succeed(&again).stdout);
    assert_eq!(again["test_accuracy"], found["test_accuracy"]);
    let model = fs::read_to_string(workplace.path(&run).join("bundle/model.json")).unwrap();
    result(&model)["network"]["image"].clone()
}

#[test]
fn arrays_of_any_channels_and_sides_are_searched_and_trained_to_the_end() {
    let workplace = Workplace::new();
    medmnist(&workplace.path("breastmnist.npz"));
    fs::write(workplace.path("breastmnist.labels.txt"), "benign\nmalignant\nnormal\n").unwrap();
    unseen(&workplace.path("chesseract"), &[12, 8, 8]);
    unseen(&workplace.path("gutenberg"), &[1, 27, 18]);
    for (data, channels, height, width) in
        [("breastmnist.npz", 1, 28, 28), ("chesseract", 12, 8, 8), ("gutenberg", 1, 27, 18)]
    {
        let image = search_to_the_end(&workplace, data);
        assert_eq!(
            (&image["channels"], &image["height"], &image["width"]),
            (&Value::from(channels), &Value::from(height), &Value::from(width)),
            "{data}"
        );
    }
    let names = fs::read_to_string(workplace.path("breastmnist.npz-run/bundle/labels.txt")).unwrap();
    assert_eq!(names, "benign\nmalignant\nnormal\n");
}

#[test]
fn broken_files_stop_a_run_or_are_left_out_and_written_down() {
    let workplace = Workplace::new();
    images::folder(&workplace.path("photos"), &["cat", "dog"], 40, 8);
    let broken = workplace.path("photos/dog/7.png");
    fs::write(&broken, "a shopping list").unwrap();
    let arguments =
        arguments(&["search", "--out", "run", "--data", "photos"], &["--set", "data.test_fraction=0.2"]);
    let refused = workplace.call(&arguments);
    assert_eq!(refused.code, Some(1));
    for said in ["photos/dog/7.png", "--skip-broken 1"] {
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
    }
    assert!(!workplace.path("run").exists());

    let done = workplace.succeed(&[&arguments[..], &["--skip-broken", "1"]].concat());
    assert!(done.stderr.contains("left out ") && done.stderr.contains("photos/dog/7.png"), "{}", done.stderr);
    let manifest = result(&fs::read_to_string(workplace.path("run/manifest.json")).unwrap());
    let skipped = manifest["data"]["skipped"].as_array().unwrap();
    assert_eq!((skipped.len(), &manifest["data"]["images"]), (1, &Value::from(79)));
    assert!(skipped[0]["path"].as_str().unwrap().ends_with("photos/dog/7.png"), "{skipped:?}");
    assert!(skipped[0]["reason"].as_str().unwrap().contains("decode"), "{skipped:?}");

    // The run remembers how many may be left out.
    let score = result(&workplace.succeed(&["eval", "run", "--json"]).stdout);
    assert_eq!((score["skipped"].as_array().unwrap().len(), &score["total"]), (1, &Value::from(16)));
    fs::write(workplace.path("photos/cat/3.png"), "").unwrap();
    assert!(workplace.call(&["eval", "run"]).stderr.contains("--skip-broken 2"));
    workplace.succeed(&["eval", "run", "--skip-broken", "2"]);
}

#[test]
fn inspect_counts_what_is_there_and_suggests_what_can_be_searched() {
    let workplace = Workplace::new();
    images::folder(&workplace.path("photos/train"), &["cat", "dog"], 9, 8);
    images::folder(&workplace.path("photos/test"), &["cat", "dog"], 3, 8);
    fs::write(workplace.path("photos/train/cat/8.png"), "a shopping list").unwrap();
    // Equal to that of the training part, as are all of the test part; and one under two names.
    fs::copy(workplace.path("photos/train/cat/1.png"), workplace.path("photos/train/dog/copy.png")).unwrap();

    let told = workplace.succeed(&["data", "inspect", "photos"]);
    insta::assert_snapshot!("inspect", told.stdout);
    let report = result(&workplace.succeed(&["data", "inspect", "photos", "--json"]).stdout);
    let counts = |part: &str| report["images"][part].as_u64().unwrap();
    assert_eq!((counts("train"), counts("val"), counts("test")), (18, 0, 6));
    assert_eq!(report["classes"][0]["train"], 8);
    assert_eq!((&report["kind"], report["broken"].as_array().unwrap().len()), (&Value::from("folder"), 1));
    assert_eq!(report["duplicates"]["across_parts"], 6);
    assert_eq!(report["duplicates"]["across_classes"], 1);

    // The suggested lines are a configuration.
    let (_, toml) = told.stdout.split_once("[data]\n").unwrap();
    fs::write(workplace.path("mine.toml"), format!("[data]\n{toml}")).unwrap();
    let call = ["search", "--config", "mine.toml", "--data", "photos", "--skip-broken", "1", "--dry-run"];
    workplace.succeed(&call);

    let digits = result(&workplace.succeed(&["data", "inspect", "--json"]).stdout);
    assert_eq!((&digits["name"], &digits["images"]["train"]), (&Value::from("digits"), &Value::from(1797)));
}

#[test]
fn images_without_a_configuration_get_one_that_repeats_the_run() {
    let workplace = Workplace::new();
    images::folder(&workplace.path("photos"), &["cat", "dog", "mouse"], 30, 70);
    let small =
        ["--set", "search.cycles=2", "--set", "retrain.init_channels=4", "--set", "data.crop_padding=2"];
    let call = ["search", "photos", "--budget", "1s", "--out", "run", "--json"];
    let planned = workplace.succeed(&[&call[..], &small].concat());
    for said in
        ["search          8 channels, 1+1+1 cells", "2 cycles", "training        4 channels, 2+2+1 cells"]
    {
        assert!(planned.stderr.contains(said), "{said} is not in: {}", planned.stderr);
    }
    assert!(planned.stderr.contains("the time left is enough to train the found network for 1 epoch"));
    // Larger ones would take too long.
    let config = fs::read_to_string(workplace.path("run/config.toml")).unwrap();
    assert!(config.contains("size = [32, 32]") && config.contains("crop_padding = 2"), "{config}");

    let repeat = ["search", "--config", "run/config.toml", "--out", "again", "--json", "--progress", "none"];
    let (planned, repeated) = (result(&planned.stdout), result(&workplace.succeed(&repeat).stdout));
    assert_eq!(planned["genotype"], repeated["genotype"]);
    let weights = |run: &str| fs::read(workplace.path(run).join("bundle/model.safetensors")).unwrap();
    assert_eq!(weights("run"), weights("again"), "the configuration says all that was chosen");
    workplace.succeed(&["predict", "run", "photos/cat/1.png"]);
}

#[test]
fn a_budget_scales_the_epochs_of_a_configuration_and_of_nothing_else() {
    let workplace = Workplace::new();
    let tiny = workplace.succeed(&arguments(&["config", "show"], &["--set", "run.checkpoint_minutes=0"]));
    fs::write(workplace.path("tiny.toml"), tiny.stdout).unwrap();
    let call =
        ["search", "--config", "tiny.toml", "--budget", "3s", "--out", "run", "--set", "search.cycles=1"];
    workplace.succeed(&call);
    let config = fs::read_to_string(workplace.path("run/config.toml")).unwrap();
    let epochs = config.lines().find_map(|line| line.strip_prefix("epochs = ")).unwrap().parse();
    let trained = |record: &Record| matches!(record.event, Event::Validation { .. });
    let trained = records(&workplace.path("run")).iter().filter(|record| trained(record)).count();
    assert_eq!(epochs, Ok(trained), "the configuration says how many epochs there were");
    assert!(config.contains("cycles = 1\n") && config.contains("init_channels = 4\n"), "{config}");

    for (value, said) in [("10", "90s"), ("0m", "90s"), ("soon", "1h30m")] {
        let refused = workplace.call(&["search", "--budget", value]);
        assert!(refused.code == Some(2) && refused.stderr.contains(said), "{}", refused.stderr);
    }
    let both = workplace.call(&["search", "photos", "--data", "photos"]);
    assert_eq!(both.code, Some(2), "{}", both.stderr);
}

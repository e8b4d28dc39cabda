//! What a run says before it works and after.

use std::path::Path;

use cdarts_runs::{Event, Journal, RunFolder};
use cdarts_search::scoreboard::Ranking;
use cdarts_search::{Outcome, Overview};
use cdarts_space::drawing::Picture;
use cdarts_space::nas_bench_201::Standing;
use cdarts_space::{Architecture, drawing};

use crate::error::{CliError, quoted};
use crate::wording::{count, counted, percent, seconds};

/// The kinds of phase, as [`Overview::steps`] counts them.
const WORK: [&str; 5] = [
    "pre-training of the weight bank",
    "warm-up of the search network",
    "warm-up of evaluation networks",
    "both networks and the architecture",
    "training of the found network",
];

/// Width of the column of names.
const NAMES: usize = 16;

/// What is going to happen.
pub fn overview(overview: &Overview) -> String {
    let [training, validation, test] = overview.images.map(|images| count(images as u64));
    let [channels, height, width] = overview.shape;
    let mut lines = vec![
        row(
            "images",
            &format!("{training} for training, {validation} for validation, {test} kept for the test"),
        ),
        row("", &format!("{} classes, {channels}×{height}×{width}", count(overview.classes as u64))),
    ];
    if let Some(params) = overview.search_params {
        lines.push(row("search network", &format!("{} parameters", count(params))));
    }
    if let Some([params, macs]) = overview.found {
        lines.push(row("network", &format!("{} parameters, {} multiply-adds", count(params), count(macs))));
    }
    let mut heading = "work";
    for ((what, &epochs), &steps) in WORK.iter().zip(&overview.epochs).zip(&overview.steps) {
        if epochs > 0 {
            let work = format!("{} of {}", counted(epochs, "epoch"), counted(steps.div_ceil(epochs), "step"));
            lines.push(row(heading, &format!("{what}: {work}")));
            heading = "";
        }
    }
    lines.join("\n")
}

/// What came out, and what to type next.
///
/// # Errors
/// [`CliError::Space`] and [`CliError::Runs`] where the run's folder was changed by another hand.
pub fn outcome(outcome: &Outcome) -> Result<String, CliError> {
    let architecture: Architecture = outcome.genotype.parse()?;
    let path = Path::new(&outcome.run_dir);
    let mut lines = vec![cells(&architecture)];
    match test_score(path)? {
        Some([correct, total]) => {
            let share = percent(correct as f64 / total as f64);
            let of = format!("{} of {} images", count(correct as u64), count(total as u64));
            lines.push(row("test accuracy", &format!("{share} ({of})")));
        }
        None => lines.push(row("test accuracy", "the found network was not trained (retrain.epochs is 0)")),
    }
    if let Some(accuracy) = outcome.val_accuracy {
        lines.push(row("validation", &percent(accuracy)));
    }
    for (column, standing) in outcome.table.iter().flat_map(|table| &table.found) {
        let Standing { accuracy, rank, regret, .. } = standing;
        let rank = count(*rank as u64);
        lines.push(row(
            "table",
            &format!("{column} {accuracy:.4} %, rank {rank}, {regret:.4} below the best"),
        ));
    }
    for (column, ranking) in outcome.table.iter().flat_map(|table| &table.ranking) {
        let Ranking { cells, kendall_tau, spearman_rho, .. } = ranking;
        lines.push(row(
            "ranking",
            &format!("{column} tau {kendall_tau:.3}, rho {spearman_rho:.3} over {cells} cells"),
        ));
    }
    lines.push(row("parameters", &count(outcome.params)));
    lines.push(row("multiply-adds", &format!("{} an image", count(outcome.macs))));
    let (search, retrain) = (seconds(outcome.seconds_search), seconds(outcome.seconds_retrain));
    lines.push(row("time", &format!("{search} for the search, {retrain} for the training")));
    lines.push(row("run folder", &outcome.run_dir));
    lines.push(String::new());
    lines.extend(next_commands(path, outcome.test_accuracy.is_some()));
    Ok(lines.join("\n"))
}

/// The cells as tables, under the names of their stages where each has its own.
pub fn cells(architecture: &Architecture) -> String {
    tables(&architecture.pictures())
}

/// Pictures as tables, likewise.
pub fn tables(pictures: &[Picture]) -> String {
    let alone = pictures.len() == 1;
    let stage = |(stage, picture): (usize, &Picture)| match alone {
        true => drawing::text(picture.clone()),
        false => format!("stage {}\n{}\n", stage + 1, drawing::text(picture.clone())),
    };
    pictures.iter().enumerate().map(stage).collect()
}

fn next_commands(run: &Path, trained: bool) -> Vec<String> {
    let run = quoted(run);
    let of_network: &[(String, &str)] = &match trained {
        true => vec![
            (format!("cdarts eval {run}"), "score it class by class"),
            (format!("cdarts predict {run} IMAGE"), "name the class of a picture"),
        ],
        false => vec![(format!("cdarts retrain {run}"), "train the found network")],
    };
    let cells = [(format!("cdarts show {run} --svg cells.svg"), "draw its cells")];
    let commands = [of_network, &cells].concat();
    let width = commands.iter().map(|(command, _)| command.chars().count()).max().unwrap_or(0);
    let lines = std::iter::once("next").chain(std::iter::repeat("")).zip(commands);
    lines
        .map(|(heading, (command, purpose))| row(heading, &format!("{command:<width$}  {purpose}")))
        .collect()
}

/// Images of the test part classified rightly, and all, as the journal has them.
fn test_score(run: &Path) -> Result<Option<[usize; 2]>, CliError> {
    let records = Journal::read(&RunFolder::view(run)?.journal_path())?;
    Ok(records.iter().rev().find_map(|record| match record.event {
        Event::Test { correct, total, .. } => Some([correct, total]),
        _ => None,
    }))
}

/// A name and its value, in two columns.
pub fn row(name: &str, value: &str) -> String {
    format!("{name:<NAMES$}{value}")
}

//! `cdarts check`.

use std::collections::BTreeMap;

use cdarts_search::check::{self, Group, Path, Report, Row, Setup, Term};
use clap::Args;
use serde::Serialize;

use crate::error::CliError;
use crate::exit::Exit;
use crate::terminal;
use crate::wording::counted;

/// Check every gradient of a search against finite differences
///
/// On a network of a few channels, with normal and reduction cells, with weighted edges (beta) and without: the labels'
/// losses of both networks, every distance of the distillation, the penalty and their weighted total, each with respect
/// to architecture weights, stage mixture, network weights and images; and the Hessian-vector product and the whole
/// gradient of second-order DARTS.
///
/// Differences are central ones of losses in double precision on burn's own operations ("stock"), along single
/// coordinates and along random directions over all parameters of a kind. The gradient in double precision on the same
/// operations must agree with them, and so must that in single precision on the fused CPU kernels ("fused"), as closely
/// as rounding allows. A difference across a kink of a ReLU or of max pooling is wrong by itself, so that the best of a
/// few steps counts; a wrong gradient disagrees at all of them. Errors are relative to the derivative, to the root mean
/// square of its kind, or to a thousandth of the loss, whichever is largest.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cdarts check
  cdarts check --seed 7 --coordinates 50
  cdarts check --json

Exit code 1 where something disagrees.")]
pub struct CheckArgs {
    /// Networks, images, coordinates and directions follow from it
    #[arg(long, value_name = "N", default_value_t = Setup::default().seed)]
    seed: u64,

    /// Single coordinates of each kind
    #[arg(long, value_name = "N", default_value_t = Setup::default().coordinates)]
    coordinates: usize,

    /// Random directions over each kind
    #[arg(long, value_name = "N", default_value_t = Setup::default().directions)]
    directions: usize,

    /// Print everything as one JSON object
    #[arg(long)]
    json: bool,
}

/// The report as `--json` prints it.
#[derive(Serialize)]
struct Printed<'a> {
    agrees: bool,
    seed: u64,
    smooth_l1_branches: [usize; 2],
    rows: Vec<PrintedRow<'a>>,
}

#[derive(Serialize)]
struct PrintedRow<'a> {
    #[serde(flatten)]
    row: &'a Row,
    agrees: bool,
}

impl CheckArgs {
    pub fn run(&self) -> Result<Exit, CliError> {
        let Self { seed, coordinates, directions, json } = *self;
        let report = check::gradients(&Setup { seed, coordinates, directions })?;
        let text = if json {
            let rows = report.rows.iter().map(|row| PrintedRow { row, agrees: row.agrees() }).collect();
            let smooth_l1_branches = report.smooth_l1_branches;
            serde_json::to_string_pretty(&Printed {
                agrees: report.agrees(),
                seed,
                smooth_l1_branches,
                rows,
            })?
        } else {
            table(&report)
        };
        terminal::result(&text)?;
        Ok(if report.agrees() { Exit::Done } else { Exit::Failed })
    }
}

/// A line for each path, term and kind of parameter that the term depends on; with weighted edges and without together.
fn table(report: &Report) -> String {
    let mut lines: BTreeMap<(Path, Term, Group), Line> = BTreeMap::new();
    for row in report.rows.iter().filter(|row| row.depends || !row.agrees()) {
        lines.entry((row.path, row.term, row.with_respect_to)).or_default().add(row);
    }
    let mut text = format!(
        "{:<6} {:<26} {:<35} {:>6} {:>9} {:>9}\n",
        "path", "term", "with respect to", "values", "error", "allowed"
    );
    for ((path, term, group), line) in &lines {
        let verdict = if line.agrees { "ok" } else { "FAIL" };
        let Line { values, error, tolerance, .. } = line;
        text += &format!(
            "{path:<6} {term:<26} {group:<35} {values:>6} {error:>9.1e} {tolerance:>9.0e} {verdict}\n"
        );
    }
    let failed = lines.values().filter(|line| !line.agrees).count();
    let compared: usize = lines.values().map(|line| line.values).sum();
    let lines = counted(lines.len(), "gradient");
    let [quadratic, linear] = report.smooth_l1_branches;
    text += &format!("smooth-l1: {quadratic} differences below 1, {linear} above\n");
    text + &match failed {
        0 => format!("{lines}, {} compared: all agree", counted(compared, "value")),
        _ => format!("{lines}, {} compared: {failed} disagree", counted(compared, "value")),
    }
}

/// Rows taken together.
struct Line {
    values: usize,
    error: f64,
    tolerance: f64,
    agrees: bool,
}

impl Default for Line {
    fn default() -> Self {
        Self { values: 0, error: 0.0, tolerance: 0.0, agrees: true }
    }
}

impl Line {
    fn add(&mut self, row: &Row) {
        self.values += row.values;
        self.error = self.error.max(row.error);
        self.tolerance = row.tolerance;
        self.agrees &= row.agrees();
    }
}

//! What the finished searches of an ablation come to: per measure a table of cases, as text, Markdown and JSON, with the
//! protocol in words.

use std::path::Path;

use cdarts_search::Outcome;
use cdarts_space::Architecture;
use cdarts_space::nas_bench_201::Table;
use fs_err as fs;
use serde::Serialize;

use super::statistics::{Difference, Summary};
use super::{Grid, Search};
use crate::error::CliError;
use crate::wording::{counted, seconds};

/// All that an ablation found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Where its searches lie.
    pub ablation_dir: String,
    /// How it was done, a sentence each.
    pub protocol: Vec<String>,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// What was measured, and what came out.
    pub measures: Vec<Measure>,
}

/// One quantity in every case.
#[derive(Debug, Serialize)]
pub struct Measure {
    /// What it is.
    pub name: String,
    /// In the order of the cases.
    pub cases: Vec<CaseResult>,
}

/// One quantity in one case.
#[derive(Debug, Serialize)]
pub struct CaseResult {
    /// The case.
    pub name: String,
    /// By seed, in the order of the seeds; none where there is no value.
    pub values: Vec<Option<f64>>,
    /// Over the seeds; none where there is no value.
    pub summary: Option<Summary>,
    /// From the first case, seed by seed; none for the first itself.
    pub difference: Option<Difference>,
    /// Mean seconds that a search and its training took.
    pub seconds: Option<f64>,
}

/// The results of finished searches. Only from here on may a table be read.
pub struct Finished<'a> {
    grid: &'a Grid,
    outcomes: Vec<(Search, Outcome)>,
}

impl<'a> Finished<'a> {
    /// Of the searches that ended.
    pub fn new(grid: &'a Grid, outcomes: Vec<(Search, Outcome)>) -> Self {
        Self { grid, outcomes }
    }

    /// The report; `table` names a file with known accuracies of NAS-Bench-201's cells.
    ///
    /// # Errors
    /// [`CliError::BadTable`], [`CliError::NotInTable`]; [`CliError::Space`] for a result that is no architecture.
    pub fn report(&self, table: Option<&Path>) -> Result<Report, CliError> {
        let mut measures = vec![
            self.measure("test accuracy, %", |outcome| Ok(outcome.test_accuracy.map(|share| share * 100.0)))?,
            self.measure("validation accuracy, %", |outcome| {
                Ok(outcome.val_accuracy.map(|share| share * 100.0))
            })?,
            self.measure("parameters", |outcome| Ok(Some(outcome.params as f64)))?,
        ];
        if let Some(path) = table {
            measures.extend(self.looked_up(path)?);
        }
        measures.retain(|measure| measure.cases.iter().any(|case| case.summary.is_some()));
        Ok(Report {
            ablation_dir: self.grid.root().display().to_string(),
            protocol: self.protocol(table),
            seeds: self.grid.seeds.clone(),
            measures,
        })
    }

    /// The found cells' accuracies in every column of the table at `path`.
    fn looked_up(&self, path: &Path) -> Result<Vec<Measure>, CliError> {
        let table = Table::parse(fs::read(path)?)
            .map_err(|reason| CliError::BadTable { path: path.to_owned(), reason })?;
        let accuracy = |outcome: &Outcome, column: usize| -> Result<Option<f64>, CliError> {
            let Architecture::NasBench201(cell) = outcome.genotype.parse()? else { return Ok(None) };
            let row = table.row_of(&cell).ok_or_else(|| CliError::NotInTable {
                path: path.to_owned(),
                wanted: format!("cell {cell}"),
            })?;
            Ok(Some(table.accuracy(column, row)))
        };
        let of_column = |(column, name): (usize, &str)| {
            self.measure(&format!("table's {name}, %"), |outcome| accuracy(outcome, column))
        };
        table.columns().enumerate().map(of_column).collect()
    }

    fn measure(
        &self,
        name: &str,
        value: impl Fn(&Outcome) -> Result<Option<f64>, CliError>,
    ) -> Result<Measure, CliError> {
        let mut values = Vec::new();
        for case in 0..self.grid.cases.len() {
            let of_seed = |&seed| match self.outcome(Search { case, seed }) {
                Some(outcome) => value(outcome),
                None => Ok(None),
            };
            values.push(self.grid.seeds.iter().map(of_seed).collect::<Result<Vec<_>, CliError>>()?);
        }
        let cases = self.grid.cases.iter().enumerate().map(|(case, of)| {
            let present: Vec<f64> = values[case].iter().flatten().copied().collect();
            let pairs = values[case].iter().zip(&values[0]);
            let pairs: Vec<(f64, f64)> =
                pairs.filter_map(|(own, first)| Some(((*own)?, (*first)?))).collect();
            CaseResult {
                name: of.name.clone(),
                values: values[case].clone(),
                summary: Summary::of(&present),
                difference: if case > 0 { Difference::of(&pairs) } else { None },
                seconds: self.seconds(case),
            }
        });
        Ok(Measure { name: name.to_owned(), cases: cases.collect() })
    }

    fn outcome(&self, search: Search) -> Option<&Outcome> {
        self.outcomes.iter().find(|(of, _)| *of == search).map(|(_, outcome)| outcome)
    }

    fn seconds(&self, case: usize) -> Option<f64> {
        let of_case = self.outcomes.iter().filter(|(search, _)| search.case == case);
        let seconds: Vec<f64> =
            of_case.map(|(_, outcome)| outcome.seconds_search + outcome.seconds_retrain).collect();
        Summary::of(&seconds).map(|summary| summary.mean)
    }

    fn protocol(&self, table: Option<&Path>) -> Vec<String> {
        let Grid { cases, seeds, .. } = self.grid;
        let all = cases.len() * seeds.len();
        let data = match cases[0].config.data.path.as_str() {
            "" => "the built-in handwritten digits".to_owned(),
            path => path.to_owned(),
        };
        let mut said = vec![
            format!("{} with {} each, on {data}.", counted(cases.len(), "case"), counted(seeds.len(), "seed")),
            format!("{} of {all} searches ended.", self.outcomes.len()),
            "The same seed draws the same split, the same order of images and the same initial values in every case; \
             differences are taken seed by seed, their interval is Student's at 95 %."
                .to_owned(),
            "Every search chooses by its own data; test images are read once, after its last epoch.".to_owned(),
        ];
        for case in cases {
            let settings = match case.settings.is_empty() {
                true => "the base configuration".to_owned(),
                false => case.settings.join(", "),
            };
            said.push(format!("{}: {settings}.", case.name));
        }
        if let Some(path) = table {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
            said.push(format!(
                "{name} was opened after all searches had ended, and only to read the found cells' rows."
            ));
        }
        said
    }
}

impl Report {
    /// The tables, for a terminal.
    pub fn text(&self) -> String {
        let tables = self.measures.iter().map(|measure| measure.table(false));
        tables.chain([self.protocol.join("\n")]).collect::<Vec<_>>().join("\n\n")
    }

    /// The tables, as Markdown.
    pub fn markdown(&self) -> String {
        let tables = self.measures.iter().map(|measure| measure.table(true));
        let protocol = self.protocol.iter().map(|sentence| format!("- {sentence}")).collect::<Vec<_>>();
        tables.chain([protocol.join("\n")]).collect::<Vec<_>>().join("\n\n") + "\n"
    }
}

impl Measure {
    fn table(&self, markdown: bool) -> String {
        let heading =
            [self.name.as_str(), "mean", "deviation", "least", "largest", "from the first", "n", "time"];
        let mut rows = vec![heading.map(str::to_owned)];
        rows.extend(self.cases.iter().map(CaseResult::row));
        // A rule of Markdown has three characters at least.
        let width =
            |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3);
        let widths: Vec<usize> = (0..heading.len()).map(width).collect();
        let line = |row: &[String; 8]| {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            let cells: Vec<String> = cells.collect();
            if markdown {
                format!("| {} |", cells.join(" | "))
            } else {
                cells.join("  ").trim_end().to_owned()
            }
        };
        let mut lines: Vec<String> = rows.iter().map(line).collect();
        if markdown {
            let rule = widths.iter().enumerate().map(|(column, &width)| match column {
                0 => "-".repeat(width),
                _ => format!("{}:", "-".repeat(width.saturating_sub(1))),
            });
            lines.insert(1, format!("| {} |", rule.collect::<Vec<_>>().join(" | ")));
        }
        lines.join("\n")
    }
}

impl CaseResult {
    fn row(&self) -> [String; 8] {
        let none = || "-".to_owned();
        let number =
            |value: f64| if value.abs() < 1000.0 { format!("{value:.2}") } else { format!("{value:.0}") };
        let summary = self.summary;
        let of = |value: fn(Summary) -> f64| summary.map_or_else(none, |summary| number(value(summary)));
        let difference = self.difference.map_or_else(none, |Difference { mean, margin, .. }| {
            let sign = if mean < 0.0 { "" } else { "+" };
            let margin = margin.map_or_else(String::new, |margin| format!(" ± {}", number(margin)));
            format!("{sign}{}{margin}", number(mean))
        });
        [
            self.name.clone(),
            of(|summary| summary.mean),
            summary.and_then(|summary| summary.deviation).map_or_else(none, number),
            of(|summary| summary.least),
            of(|summary| summary.most),
            difference,
            summary.map_or(0, |summary| summary.n).to_string(),
            self.seconds.map_or_else(none, seconds),
        ]
    }
}

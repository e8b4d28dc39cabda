//! `cdarts table`.

use std::path::{Path, PathBuf};

use cdarts_space::Architecture;
use cdarts_space::nas_bench_201::{Best, Genotype, Standing, Table};
use clap::{Args, Subcommand};
use fs_err as fs;
use serde::{Serialize, Serializer};

use super::genotype;
use crate::error::CliError;
use crate::exit::Exit;
use crate::summary::row;
use crate::terminal;
use crate::wording::count;

/// Look cells up in a table of NAS-Bench-201's accuracies
///
/// The table is CSV with the columns `index`, `arch` and one column of accuracies in percent for each data set.
/// `tools/nas_bench_201_table.py` makes it from the official NATS-Bench files.
#[derive(Debug, Args)]
pub struct TableArgs {
    #[command(subcommand)]
    command: TableCommand,
}

#[derive(Debug, Subcommand)]
enum TableCommand {
    Query(QueryArgs),
    Best(BestArgs),
    Stats(StatsArgs),
}

#[derive(Debug, Args)]
struct TableOptions {
    /// The table
    #[arg(long, value_name = "FILE")]
    table: PathBuf,

    /// Print everything as one JSON object
    #[arg(long)]
    json: bool,
}

/// Print where a cell stands: accuracy, rank, percentile and regret
///
/// Equal cells share a rank. The percentile is the percentage of cells that are no better, 100 for the best; the
/// regret is the distance to the best accuracy in percentage points.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cdarts table query nas-bench-201-cell-1 --table nas-bench-201.csv
  cdarts table query 9930 --table nas-bench-201.csv
  cdarts table query '|nor_conv_3x3~0|+|...' --table nas-bench-201.csv --json")]
struct QueryArgs {
    /// The cell as text, its index in the benchmark, a published name, a file, or a run's folder
    #[arg(value_name = "ARCH")]
    arch: String,

    #[command(flatten)]
    options: TableOptions,
}

/// Print the best cells of each column
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cdarts table best --table nas-bench-201.csv
  cdarts table best --table nas-bench-201.csv --count 10 --json")]
struct BestArgs {
    /// How many; cells that equal the last of them are also printed
    #[arg(long, value_name = "N", default_value_t = 1)]
    count: usize,

    #[command(flatten)]
    options: TableOptions,
}

/// Print the number of cells, and the best and the mean accuracy of each column
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cdarts table stats --table nas-bench-201.csv
  cdarts table stats --table nas-bench-201.csv --json

Of several best cells, the one with the lowest index is named.")]
struct StatsArgs {
    #[command(flatten)]
    options: TableOptions,
}

impl TableArgs {
    pub fn run(&self) -> Result<Exit, CliError> {
        let text = match &self.command {
            TableCommand::Query(args) => args.answer(),
            TableCommand::Best(args) => args.answer(),
            TableCommand::Stats(args) => args.answer(),
        }?;
        terminal::result(&text)?;
        Ok(Exit::Done)
    }
}

impl TableOptions {
    fn read(&self) -> Result<Table, CliError> {
        read(&self.table)
    }

    fn print(&self, answer: &impl Serialize, text: impl FnOnce() -> String) -> Result<String, CliError> {
        if self.json { Ok(serde_json::to_string_pretty(answer)?) } else { Ok(text()) }
    }
}

/// Reads a table.
///
/// # Errors
/// [`CliError::Io`] for a file that cannot be read, [`CliError::BadTable`] for one that is no table.
pub fn read(path: &Path) -> Result<Table, CliError> {
    let csv = fs::read(path)?;
    Table::parse(csv).map_err(|reason| CliError::BadTable { path: path.to_owned(), reason })
}

/// What there is to say of each column, in the order of the table.
struct ByColumn<'a, T>(Vec<(&'a str, T)>);

impl<'a, T> ByColumn<'a, T> {
    fn of(table: &'a Table, say: impl Fn(usize) -> T) -> Self {
        Self(table.columns().enumerate().map(|(column, name)| (name, say(column))).collect())
    }

    /// Width of the longest name.
    fn width(&self) -> usize {
        self.0.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max("column".len())
    }
}

impl<T: Serialize> Serialize for ByColumn<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, said)| (name, said)))
    }
}

// ---- query ----------------------------------------------------------------------------------------

#[derive(Serialize)]
struct Found<'a> {
    arch: String,
    index: u64,
    #[serde(flatten)]
    standings: ByColumn<'a, Standing>,
}

impl QueryArgs {
    fn answer(&self) -> Result<String, CliError> {
        // An argument that names no cell is told before the table is read.
        let wanted = Wanted::read(&self.arch)?;
        let table = self.options.read()?;
        let row = wanted.row(&table).ok_or_else(|| CliError::NotInTable {
            path: self.options.table.clone(),
            wanted: wanted.to_string(),
        })?;
        let found = Found {
            arch: table.genotype(row).to_string(),
            index: table.index(row),
            standings: ByColumn::of(&table, |column| table.standing(column, row)),
        };
        self.options.print(&found, || found.text(table.rows()))
    }
}

impl Found<'_> {
    fn text(&self, rows: usize) -> String {
        let width = self.standings.width();
        let mut lines = vec![
            row("cell", &self.arch),
            row("index", &self.index.to_string()),
            String::new(),
            format!("{:<width$}  accuracy  {:>16}  percentile   regret", "column", "rank"),
        ];
        for (name, standing) in &self.standings.0 {
            let Standing { accuracy, rank, percentile, regret } = standing;
            let rank = format!("{} of {}", count(*rank as u64), count(rows as u64));
            lines.push(format!(
                "{name:<width$}  {accuracy:>8.4}  {rank:>16}  {percentile:>10.2}  {regret:>7.4}"
            ));
        }
        lines.join("\n")
    }
}

/// What was asked for.
enum Wanted {
    /// A place in the benchmark's enumeration.
    Index(u64),
    Cell(Genotype),
}

impl Wanted {
    fn read(arch: &str) -> Result<Self, CliError> {
        if let Ok(index) = arch.parse() {
            return Ok(Self::Index(index));
        }
        let given = genotype::read(arch)?;
        match given.architecture {
            Architecture::NasBench201(cell) => Ok(Self::Cell(cell)),
            Architecture::Darts(_) => Err(given.of_other_space("nas-bench-201")),
        }
    }

    fn row(&self, table: &Table) -> Option<usize> {
        match self {
            Self::Index(index) => table.row_at(*index),
            Self::Cell(cell) => table.row_of(cell),
        }
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Index(index) => write!(f, "index {index}"),
            Self::Cell(cell) => write!(f, "cell {cell}"),
        }
    }
}

// ---- best -----------------------------------------------------------------------------------------

#[derive(Serialize)]
struct Ranked {
    rank: usize,
    accuracy: f64,
    index: u64,
    arch: String,
}

impl From<Best> for Ranked {
    fn from(best: Best) -> Self {
        let Best { rank, accuracy, index, genotype } = best;
        Self { rank, accuracy, index, arch: genotype.to_string() }
    }
}

impl BestArgs {
    fn answer(&self) -> Result<String, CliError> {
        let table = self.options.read()?;
        let best = ByColumn::of(&table, |column| -> Vec<Ranked> {
            table.best(column, self.count).into_iter().map(Ranked::from).collect()
        });
        self.options.print(&best, || {
            let columns = best.0.iter().map(|(name, ranked)| {
                let lines = ranked.iter().map(|Ranked { rank, accuracy, index, arch }| {
                    format!("\n{:>6}  {accuracy:>8.4}  {index:>6}  {arch}", count(*rank as u64))
                });
                format!("{name}\n  rank  accuracy   index  cell{}", lines.collect::<String>())
            });
            columns.collect::<Vec<_>>().join("\n\n")
        })
    }
}

// ---- stats ----------------------------------------------------------------------------------------

#[derive(Serialize)]
struct Stats<'a> {
    rows: usize,
    #[serde(flatten)]
    columns: ByColumn<'a, ColumnStats>,
}

#[derive(Serialize)]
struct ColumnStats {
    best: f64,
    best_arch: String,
    /// How many cells have the best accuracy.
    best_count: usize,
    mean: f64,
}

impl StatsArgs {
    fn answer(&self) -> Result<String, CliError> {
        let table = self.options.read()?;
        let columns = ByColumn::of(&table, |column| {
            let stats = table.stats(column);
            ColumnStats {
                best: stats.best,
                best_arch: stats.best_genotype.to_string(),
                best_count: stats.best_count,
                mean: stats.mean,
            }
        });
        let stats = Stats { rows: table.rows(), columns };
        self.options.print(&stats, || stats.text())
    }
}

impl Stats<'_> {
    fn text(&self) -> String {
        let width = self.columns.width();
        let mut lines = vec![
            row("cells", &count(self.rows as u64)),
            String::new(),
            format!("{:<width$}      mean      best  best cell", "column"),
        ];
        for (name, ColumnStats { best, best_arch, best_count, mean }) in &self.columns.0 {
            let others = match best_count {
                1 => String::new(),
                _ => format!(" (and {} more)", count(*best_count as u64 - 1)),
            };
            lines.push(format!("{name:<width$}  {mean:>8.4}  {best:>8.4}  {best_arch}{others}"));
        }
        lines.join("\n")
    }
}

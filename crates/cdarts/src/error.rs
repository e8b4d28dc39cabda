//! What can go wrong in the program itself, and how each error of the libraries ends it.

use std::io;
use std::path::PathBuf;

use cdarts_data::DataError;
use cdarts_runs::RunsError;
use cdarts_search::SearchError;
use cdarts_space::SpaceError;

use crate::exit::Exit;

/// An error that ends the program, with a remedy where one is known ([`CliError::hint`]).
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    // Arguments
    /// A text that names or describes no genotype.
    #[error("`{given}` is no published genotype, file, run folder or genotype text")]
    NoGenotype {
        /// The argument.
        given: String,
        /// The most similar published name.
        nearest: Option<&'static str>,
    },
    /// A text that was to be a genotype and is not.
    #[error("{origin} does not hold a genotype: {reason}")]
    BadGenotype {
        /// The file, or "the argument".
        origin: String,
        /// What is wrong with it.
        reason: SpaceError,
        /// A published genotype in the form that was tried.
        example: &'static str,
    },
    /// A genotype of a search space that the command is not about.
    #[error("expected a genotype of the search space {expected}, found one of {found}: {origin}")]
    OtherSpace {
        /// Where the genotype came from.
        origin: String,
        /// The space that the command is about.
        expected: &'static str,
        /// The genotype's.
        found: &'static str,
    },
    /// A network layout that belongs to another search space.
    #[error("the layout `{layout}` is not for genotypes of the search space {space}")]
    LayoutOfOtherSpace {
        /// The layout.
        layout: String,
        /// The genotype's space.
        space: &'static str,
    },
    /// Numbers of cells where one holds for every stage.
    #[error("expected one number of cells, that of every stage of a NAS-Bench-201 network, found {found}")]
    OneNumberOfCells {
        /// How many there were.
        found: usize,
    },
    /// A run that has not ended its first cycle.
    #[error("the run `{path}` has no genotype yet")]
    NoGenotypeYet {
        /// The run's folder.
        path: PathBuf,
    },
    /// A cycle that a run did not get to.
    #[error("the run `{path}` has no cycle {cycle}")]
    NoCycle {
        /// The run's folder.
        path: PathBuf,
        /// The cycle asked for, from 1.
        cycle: usize,
    },
    /// A path that cannot be written into a configuration.
    #[error("the path {path} is not valid UTF-8")]
    PathNotUtf8 {
        /// The path.
        path: PathBuf,
    },

    /// A configuration file that cannot be read; the message carries the path.
    #[error(transparent)]
    ConfigFile(io::Error),

    // Resuming
    /// Options that contradict the run to be resumed.
    #[error("the run `{path}` was started with another configuration: {}", .differences.join("; "))]
    OtherConfiguration {
        /// The run's folder.
        path: PathBuf,
        /// Key by key, both sides.
        differences: Vec<String>,
    },

    /// The images of a run are not where they were.
    #[error("the images of the run are no longer at `{path}`")]
    ImagesMoved {
        /// Where they were.
        path: PathBuf,
    },

    // Ablations
    /// A case whose name is no folder's, or another case's.
    #[error(
        "`{name}` cannot be the name of a case: it is another's, or more than letters, digits, `-`, `_`, `+` and `.`"
    )]
    CaseName {
        /// The name.
        name: String,
    },
    /// A case that was searched with another configuration before.
    #[error("the case `{name}` was begun with another configuration, {path}")]
    OtherCase {
        /// The case.
        name: String,
        /// The configuration that it was begun with.
        path: PathBuf,
    },

    // Tables
    /// A table with a mistake in it.
    #[error("the table {path}: {reason}")]
    BadTable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        reason: SpaceError,
    },
    /// A cell that a table does not hold.
    #[error("the table {path} does not hold {wanted}")]
    NotInTable {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: String,
    },

    // Pictures
    /// A drawing that has no form as pixels.
    #[error("cannot draw {path}: {reason}")]
    Picture {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },

    // Benchmarks
    /// Work that cannot fit into the machine's memory.
    #[error("the work needs more than {} MB of memory; this machine has {} MB", .needed >> 20, .there >> 20)]
    BeyondMemory {
        /// Bytes, at least.
        needed: u64,
        /// The machine's bytes.
        there: u64,
    },
    /// A step that ended in something else than a number.
    #[error("step {step} of the work gave {value}, which is not a finite number")]
    StepNotFinite {
        /// The step; 0 is the one that warms up.
        step: usize,
        /// Its result.
        value: f64,
    },

    // Input and output
    /// The operating system refused; its message carries the path.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Results could not be written to standard output.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    /// Signals could not be taken over.
    #[error("cannot listen for Ctrl-C")]
    Signals(#[from] ctrlc::Error),
    /// The threads could not be started.
    #[error("cannot start {threads} threads")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// The reason.
        source: rayon::ThreadPoolBuildError,
    },
    /// A result has no JSON form.
    #[error("cannot write the result as JSON")]
    Json(#[from] serde_json::Error),
    /// A result has no CSV form.
    #[error("cannot write the result as CSV")]
    Csv(#[from] csv::Error),

    // Libraries
    /// Configuration, training, a found network.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// Images.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Genotypes and network layouts.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// Run folders.
    #[error(transparent)]
    Runs(#[from] RunsError),
}

impl CliError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoGenotype { nearest: Some(nearest), .. } => {
                return Some(format!("did you mean `{nearest}`?"));
            }
            Self::NoGenotype { nearest: None, .. } => "`cdarts show --list` names the published ones",
            Self::BadGenotype { example, .. } => {
                return Some(format!("`cdarts show {example} --text` prints one as an example"));
            }
            Self::OtherSpace { .. } => "`cdarts show --list` names published ones of every search space",
            Self::LayoutOfOtherSpace { .. } => "without --layout, the genotype's space decides",
            Self::Picture { .. } => "draw an .svg instead",
            Self::BadTable { .. } => {
                "tools/nas_bench_201_table.py writes a table from the official NATS-Bench files"
            }
            Self::NoGenotypeYet { path } => {
                return Some(format!("go on with it: cdarts search --resume {}", quoted(path)));
            }
            Self::NoCycle { .. } => {
                "cycles count from 1; the run's folder genotypes/ has a file for each that has ended"
            }
            Self::OtherConfiguration { .. } => {
                "leave those options out to go on with the run as it is, or start a new run without --resume"
            }
            Self::OtherCase { .. } => "give the case another name, or the ablation another folder with --out",
            Self::ConfigFile(_) => "`cdarts config show > FILE` writes one to start from",
            Self::Search(SearchError::NoBundle { path }) => {
                let run = quoted(path);
                return Some(format!(
                    "go on with it by `cdarts search --resume {run}`, or, where it ended without training \
                     (retrain.epochs = 0), train what it found: `cdarts retrain {run}`"
                ));
            }
            Self::BeyondMemory { .. } => "ask for less by --batch, --channels or --size",
            Self::StepNotFinite { .. } => "time fewer steps by --steps; real images train without this",
            Self::ImagesMoved { .. } => "name the place where they are now with --data PATH",
            Self::Search(SearchError::OtherData { .. }) => {
                "`labels.txt` in the run's bundle lists the classes; class folders need the same names"
            }
            Self::Search(error) => return error.hint(),
            Self::Data(error) => return error.hint(),
            Self::Runs(error) => return error.hint(),
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// How the program ends with it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::NoGenotype { .. }
            | Self::BadGenotype { .. }
            | Self::OtherSpace { .. }
            | Self::LayoutOfOtherSpace { .. }
            | Self::OneNumberOfCells { .. }
            | Self::NoCycle { .. }
            | Self::BeyondMemory { .. }
            | Self::PathNotUtf8 { .. }
            | Self::ConfigFile(_)
            | Self::OtherConfiguration { .. }
            | Self::CaseName { .. }
            | Self::OtherCase { .. }
            | Self::Space(_) => Exit::Usage,
            Self::Search(error) => exit_of(error),
            _ => Exit::Failed,
        }
    }
}

fn exit_of(error: &SearchError) -> Exit {
    match error {
        SearchError::ConfigSyntax { .. }
        | SearchError::ConfigSetting { .. }
        | SearchError::ConfigKey { .. }
        | SearchError::ConfigType { .. }
        | SearchError::ConfigValue { .. }
        | SearchError::Device { .. }
        | SearchError::Space(_) => Exit::Usage,
        _ => Exit::Failed,
    }
}

/// A path as it can be typed into a shell.
pub fn quoted(path: &std::path::Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

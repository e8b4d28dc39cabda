//! Cases × seeds, and the folder that their searches lie in: `OUT/CASE/config.toml`, `OUT/CASE/seed-N/`,
//! `OUT/CASE/seed-N.log`.

use std::path::{Path, PathBuf};

use cdarts_runs::{RunFolder, atomic};
use cdarts_search::{Config, Outcome, bundle};
use fs_err as fs;

use crate::error::CliError;

/// One configuration.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is called.
    pub name: String,
    /// What it changes of the base configuration, `KEY=VALUE` each.
    pub settings: Vec<String>,
    /// What comes of it.
    pub config: Config,
}

/// All searches of an ablation.
#[derive(Clone, Debug)]
pub struct Grid {
    root: PathBuf,
    /// The cases; the others are compared with the first.
    pub cases: Vec<Case>,
    /// The seeds, each searched in every case.
    pub seeds: Vec<u64>,
}

/// One search: a place in the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Search {
    /// Number of the case.
    pub case: usize,
    /// The seed.
    pub seed: u64,
}

/// How far a search is.
#[derive(Clone, Debug)]
pub enum State {
    /// There is nothing of it.
    Missing,
    /// It can be gone on with.
    Begun,
    /// Its result.
    Finished(Box<Outcome>),
}

impl Grid {
    /// Searches of `cases` below `root`.
    ///
    /// # Errors
    /// [`CliError::CaseName`] for a name that is no folder's, or that two cases share.
    pub fn new(root: PathBuf, cases: Vec<Case>, seeds: Vec<u64>) -> Result<Self, CliError> {
        for (number, case) in cases.iter().enumerate() {
            let plain = |c: char| c.is_alphanumeric() || "-_.+".contains(c);
            let folder = !case.name.is_empty() && case.name.chars().all(plain) && !case.name.starts_with('.');
            if !folder || cases[..number].iter().any(|other| other.name == case.name) {
                return Err(CliError::CaseName { name: case.name.clone() });
            }
        }
        Ok(Self { root, cases, seeds })
    }

    /// Makes the folders of the cases and writes down their configurations; those that are there must be the same.
    ///
    /// # Errors
    /// [`CliError::OtherCase`]; those of writing and reading.
    pub fn prepare(&self) -> Result<(), CliError> {
        for case in &self.cases {
            let path = self.root.join(&case.name).join("config.toml");
            let text = case.config.to_toml()?;
            if path.is_file() {
                if fs::read_to_string(&path)? != text {
                    return Err(CliError::OtherCase { name: case.name.clone(), path });
                }
                continue;
            }
            fs::create_dir_all(self.root.join(&case.name))?;
            atomic::write(&path, text.as_bytes())?;
        }
        Ok(())
    }

    /// Where all lies.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All searches, seed by seed: a grid that is broken off compares whole seeds.
    pub fn searches(&self) -> Vec<Search> {
        let of_seed = |&seed| (0..self.cases.len()).map(move |case| Search { case, seed });
        self.seeds.iter().flat_map(of_seed).collect()
    }

    /// The configuration file of a search.
    pub fn config_path(&self, search: Search) -> PathBuf {
        self.root.join(&self.cases[search.case].name).join("config.toml")
    }

    /// The run's folder.
    pub fn run_path(&self, search: Search) -> PathBuf {
        self.root.join(&self.cases[search.case].name).join(format!("seed-{}", search.seed))
    }

    /// What the search said.
    pub fn log_path(&self, search: Search) -> PathBuf {
        self.run_path(search).with_extension("log")
    }

    /// How far a search is.
    ///
    /// # Errors
    /// Where its folder cannot be read.
    pub fn state(&self, search: Search) -> Result<State, CliError> {
        let path = self.run_path(search);
        if !path.exists() {
            return Ok(State::Missing);
        }
        let folder = RunFolder::view(&path)?;
        if let Some(outcome) = bundle::read_metrics(&folder)? {
            return Ok(State::Finished(Box::new(outcome)));
        }
        let checkpoints = folder.checkpoints_path();
        let begun = checkpoints.is_dir() && fs::read_dir(checkpoints)?.next().is_some();
        Ok(if begun { State::Begun } else { State::Missing })
    }
}

//! From what a user names to a genotype: a published name, a run's folder, a file, or the text itself.

use std::path::{Path, PathBuf};

use cdarts_runs::{Manifest, RunFolder, RunsError, atomic};
use cdarts_space::{Architecture, PUBLISHED, SpaceError, nas_bench_201};
use fs_err as fs;

use crate::error::CliError;

/// A genotype, or one for each stage, and where it came from.
#[derive(Debug)]
pub struct Given {
    /// The genotype, of either search space.
    pub architecture: Architecture,
    /// In words.
    pub origin: String,
    /// The run's folder, where it came from one.
    pub run: Option<PathBuf>,
}

impl Given {
    /// The error that it is not of the space `expected`.
    pub fn of_other_space(&self, expected: &'static str) -> CliError {
        CliError::OtherSpace { origin: self.origin.clone(), expected, found: self.architecture.space() }
    }
}

/// Names and origins of all published genotypes.
pub fn published() -> impl Iterator<Item = (&'static str, &'static str)> {
    let darts = PUBLISHED.iter().map(|known| (known.name, known.origin));
    darts.chain(nas_bench_201::PUBLISHED.iter().map(|known| (known.name, known.origin)))
}

/// Finds the genotype that `text` names or holds.
///
/// # Errors
/// [`CliError::NoGenotype`], [`CliError::BadGenotype`], [`CliError::NoGenotypeYet`]; [`CliError::Runs`] for a folder
/// that is no run.
pub fn read(text: &str) -> Result<Given, CliError> {
    if let Some((name, origin)) = published().find(|(name, _)| *name == text)
        && let Some(architecture) = Architecture::published(name)
    {
        return Ok(Given { architecture, origin: format!("{name}: {origin}"), run: None });
    }
    let path = Path::new(text);
    if path.is_dir() {
        return of_run(path);
    }
    if path.exists() {
        let architecture = of_file(path)?;
        return Ok(Given { architecture, origin: path.display().to_string(), run: None });
    }
    if looks_like_text(text) {
        let architecture = parse(text, "the argument")?;
        return Ok(Given { architecture, origin: "given as text".to_owned(), run: None });
    }
    Err(CliError::NoGenotype { given: text.to_owned(), nearest: nearest(text) })
}

/// What the run at `path` had found when a cycle, counted from 1, ended.
///
/// # Errors
/// [`CliError::NoCycle`]; [`CliError::Runs`] for a folder that is no run.
pub fn of_cycle(path: &Path, cycle: usize) -> Result<Given, CliError> {
    let folder = RunFolder::view(path)?;
    let file = folder.genotypes_path().join(format!("cycle-{cycle:03}.json"));
    if !file.is_file() {
        return Err(CliError::NoCycle { path: path.to_owned(), cycle });
    }
    let origin = format!("{}: cycle {cycle}", file.display());
    Ok(Given { architecture: of_file(&file)?, origin, run: Some(path.to_owned()) })
}

/// The genotype that a run was told to train, where it was; a resume needs it again.
pub fn of_retraining(folder: &RunFolder) -> Result<Option<Architecture>, CliError> {
    let path = given_path(folder);
    if !path.is_file() {
        return Ok(None);
    }
    of_file(&path).map(Some)
}

/// Keeps the genotype that a run trains in its folder.
pub fn keep(folder: &RunFolder, genotype: &Architecture) -> Result<(), RunsError> {
    atomic::write(&given_path(folder), (genotype.to_json() + "\n").as_bytes())
}

fn given_path(folder: &RunFolder) -> PathBuf {
    folder.path().join("genotype.json")
}

/// The final genotype, else the given one, else the newest cycle's.
fn of_run(path: &Path) -> Result<Given, CliError> {
    let folder = RunFolder::view(path)?;
    let kept = [folder.bundle_path().join("genotype.json"), given_path(&folder)];
    let found = match kept.into_iter().find(|path| path.is_file()) {
        Some(path) => Some(path),
        None => newest_cycle(&folder.genotypes_path())?,
    };
    let file = found.ok_or_else(|| CliError::NoGenotypeYet { path: path.to_owned() })?;
    let Manifest { data, seed, .. } = Manifest::load(&folder.manifest_path())?;
    let origin = format!("{}: run on {} with seed {seed}", file.display(), data.name);
    Ok(Given { architecture: of_file(&file)?, origin, run: Some(path.to_owned()) })
}

/// Cycles are numbered with as many digits as it takes, so the longest name of the last ones is the newest.
fn newest_cycle(folder: &Path) -> Result<Option<PathBuf>, CliError> {
    let mut newest: Option<PathBuf> = None;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let rank = |path: &PathBuf| (path.as_os_str().len(), path.clone());
        let is_cycle = path.extension().is_some_and(|extension| extension == "json");
        if is_cycle && newest.as_ref().is_none_or(|newest| rank(newest) < rank(&path)) {
            newest = Some(path);
        }
    }
    Ok(newest)
}

fn of_file(path: &Path) -> Result<Architecture, CliError> {
    let bytes = fs::read(path)?;
    parse(&String::from_utf8_lossy(&bytes), &path.display().to_string())
}

fn parse(text: &str, origin: &str) -> Result<Architecture, CliError> {
    let text = text.trim();
    let bad = |reason: SpaceError| CliError::BadGenotype {
        origin: origin.to_owned(),
        reason,
        example: if text.starts_with('|') { "nas-bench-201-cell-1" } else { "cdarts-cifar" },
    };
    text.parse().map_err(bad)
}

/// Names hold neither brackets nor braces nor bars.
fn looks_like_text(text: &str) -> bool {
    text.contains(['(', '{', '|'])
}

fn nearest(text: &str) -> Option<&'static str> {
    published()
        .map(|(name, _)| (strsim::damerau_levenshtein(name, text), name))
        .min()
        .filter(|(distance, name)| *distance <= name.len() / 3)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_texts_and_files_give_the_same_genotype() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["darts-v2", "nas-bench-201-cell-3"] {
            let expected = Architecture::published(name).unwrap();
            let file = folder.path().join(name).with_extension("txt");
            fs::write(&file, format!("\n{expected}\n")).unwrap();
            for given in [name, &expected.to_string(), &expected.to_json(), file.to_str().unwrap()] {
                assert_eq!(read(given).unwrap().architecture, expected, "{given}");
            }
        }
    }

    #[test]
    fn a_file_of_stages_gives_one_genotype_a_stage() {
        let stages =
            ["darts-v1", "darts-v2", "pdarts"].map(|name| cdarts_space::published(name).unwrap().clone());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("genotypes.json");
        fs::write(&file, cdarts_space::stages_to_json(&stages)).unwrap();
        let read = read(file.to_str().unwrap()).unwrap().architecture;
        assert_eq!(read.as_darts().unwrap().as_slice(), stages);
    }

    #[test]
    fn a_misspelt_name_gets_the_nearest_and_other_words_none() {
        let nearest = |text| match read(text).unwrap_err() {
            CliError::NoGenotype { nearest, .. } => nearest,
            other => panic!("{other}"),
        };
        assert_eq!(nearest("cdarts-cifra"), Some("cdarts-cifar"));
        assert_eq!(nearest("dartsv2"), Some("darts-v2"));
        assert_eq!(nearest("resnet"), None);
    }

    #[test]
    fn the_newest_cycle_is_the_last_by_number() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(newest_cycle(folder.path()).unwrap(), None);
        for name in
            ["cycle-009.json", "cycle-999.json", "cycle-1000.json", "cycle-1000.svg", "cycle-010.json"]
        {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(newest_cycle(folder.path()).unwrap(), Some(folder.path().join("cycle-1000.json")));
    }
}

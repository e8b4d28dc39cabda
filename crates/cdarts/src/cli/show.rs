//! `cdarts show`.

use std::path::{Path, PathBuf};

use cdarts_runs::{Manifest, RunFolder};
use cdarts_search::config::Space;
use cdarts_search::{Preset, bundle};
use cdarts_space::drawing::{self, Picture};
use cdarts_space::{Architecture, ImageShape, Skeleton};
use clap::Args;

use super::{genotype, launch};
use crate::error::CliError;
use crate::exit::Exit;
use crate::summary::{self, row};
use crate::terminal;
use crate::wording::count;

/// Show a genotype: its cells, and the size of the network made of them
///
/// The size is that of the run's found network, or of the network that CIFAR-10 results are published with: 36
/// channels and 20 cells, in NAS-Bench-201 16 channels and 15 cells. `cdarts cost` counts others.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cdarts show cdarts-cifar
  cdarts show runs/2026-11-24-digits-s1 --svg cells.svg
  cdarts show genotype.txt --dot cells.dot
  cdarts show runs/2026-11-24-digits-s1 --cycle 1 --against 3 --svg changed.svg
  cdarts show runs/2026-11-24-digits-s1 --against darts-v2
  cdarts show nas-bench-201-cell-1
  cdarts show \"Genotype(normal=[...], ...)\"
  cdarts show --list")]
pub struct ShowArgs {
    /// Name of a published genotype, a file, a run's folder, or the genotype itself
    #[arg(value_name = "GENOTYPE", required_unless_present = "list")]
    what: Option<String>,

    /// The genotype that a run found in this cycle, counted from 1
    #[arg(long, value_name = "N")]
    cycle: Option<usize>,

    /// Side by side with another, what differs marked: a later cycle of the run, or any genotype
    #[arg(long, value_name = "N|GENOTYPE")]
    against: Option<String>,

    /// Draw it as SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// Write it as Graphviz source
    #[arg(long, value_name = "FILE")]
    dot: Option<PathBuf>,

    /// Print only its text, in the form that genotypes are published in
    #[arg(long)]
    text: bool,

    /// List the published genotypes
    #[arg(long, conflicts_with_all = ["what", "cycle", "against", "svg", "dot", "text"])]
    list: bool,
}

impl ShowArgs {
    pub fn run(&self) -> Result<Exit, CliError> {
        let Some(what) = &self.what else { return list() };
        let given = match self.cycle {
            Some(cycle) => genotype::of_cycle(Path::new(what), cycle)?,
            None => genotype::read(what)?,
        };
        let pictures = match &self.against {
            Some(against) => {
                let pictures = self.compared(what, &given, against)?;
                terminal::result(summary::tables(&pictures).trim_end())?;
                pictures
            }
            None if self.text => {
                terminal::result(&given.architecture.to_string())?;
                given.architecture.pictures()
            }
            None => {
                terminal::result(&described(&given)?)?;
                given.architecture.pictures()
            }
        };
        write(self.svg.as_deref(), &pictures, drawing::svg)?;
        write(self.dot.as_deref(), &pictures, drawing::dot)?;
        Ok(Exit::Done)
    }

    /// The cells of both side by side, stage by stage.
    fn compared(
        &self,
        what: &str,
        before: &genotype::Given,
        against: &str,
    ) -> Result<Vec<Picture>, CliError> {
        let cycle = |number: usize| format!("cycle {number}");
        let (after, after_name) = match against.parse() {
            Ok(number) => (genotype::of_cycle(Path::new(what), number)?, cycle(number)),
            Err(_) => (genotype::read(against)?, named(against)),
        };
        let before_name = self.cycle.map_or_else(|| named(what), cycle);
        if before.architecture.space() != after.architecture.space() {
            return Err(after.of_other_space(before.architecture.space()));
        }
        let (before, after) = (before.architecture.pictures(), after.architecture.pictures());
        // One genotype for all stages stands beside each of several.
        let stages = before.len().max(after.len());
        let of = |pictures: &[Picture], stage: usize| pictures[stage.min(pictures.len() - 1)].clone();
        let pair = |stage| [of(&before, stage), of(&after, stage)];
        Ok((0..stages).map(|stage| Picture::comparison(pair(stage), [&before_name, &after_name])).collect())
    }
}

/// What a genotype is called in a picture: the last part of a path, but no long text.
fn named(what: &str) -> String {
    let last = Path::new(what).file_name().map(|name| name.to_string_lossy().into_owned());
    last.filter(|name| name.len() <= LONGEST_NAME).unwrap_or_else(|| "given".to_owned())
}

/// Longest name in a picture.
const LONGEST_NAME: usize = 32;

fn list() -> Result<Exit, CliError> {
    let width = genotype::published().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: Vec<String> =
        genotype::published().map(|(name, origin)| format!("{name:<width$}  {origin}")).collect();
    terminal::result(&lines.join("\n"))?;
    Ok(Exit::Done)
}

fn write(path: Option<&Path>, pictures: &[Picture], draw: fn(Picture) -> String) -> Result<(), CliError> {
    let Some(path) = path else { return Ok(()) };
    for written in bundle::write_pictures(path, pictures.to_vec(), draw)? {
        terminal::tell(&format!("wrote {}", written.display()));
    }
    Ok(())
}

fn described(given: &genotype::Given) -> Result<String, CliError> {
    let skeleton = match &given.run {
        Some(run) => found_network(run)?,
        None => published_network(&given.architecture),
    };
    let network = match &given.run {
        Some(_) => "the run's found network".to_owned(),
        None => format!("{} channels, {} cells, CIFAR-10", skeleton.init_channels(), skeleton.cells()),
    };
    let cost = skeleton.plan()?.evaluation_cost(&given.architecture, true)?;
    Ok([
        given.origin.clone(),
        String::new(),
        summary::cells(&given.architecture),
        row("network", &network),
        row("parameters", &count(cost.params)),
        row("multiply-adds", &format!("{} an image", count(cost.macs))),
    ]
    .join("\n"))
}

fn found_network(run: &Path) -> Result<Skeleton, CliError> {
    let folder = RunFolder::view(run)?;
    let data = Manifest::load(&folder.manifest_path())?.data;
    let [channels, height, width] = data.shape;
    let config = launch::own_configuration(&folder)?;
    Ok(config.retrain_spec(ImageShape { channels, height, width }, data.classes.len()))
}

fn published_network(architecture: &Architecture) -> Skeleton {
    let space = match architecture {
        Architecture::Darts(_) => Space::Darts,
        Architecture::NasBench201(_) => Space::NasBench201,
    };
    let image = ImageShape { channels: 3, height: 32, width: 32 };
    Preset::Official.config_for(space).retrain_spec(image, 10)
}

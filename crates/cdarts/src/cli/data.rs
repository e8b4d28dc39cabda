//! `cdarts data`.

use std::path::PathBuf;

use cdarts_data::{Duplicates, ImagePlace, Inspection, LoadOptions, PartCounts, SkippedFile};
use cdarts_search::recipe::Recipe;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::options::ThreadOptions;
use crate::error::CliError;
use crate::exit::Exit;
use crate::summary::row;
use crate::terminal;
use crate::wording::{count, counted};

/// Look at images before anything is trained
#[derive(Debug, Args)]
pub struct DataArgs {
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(Debug, Subcommand)]
enum DataCommand {
    Inspect(InspectArgs),
}

/// Say what a data set holds: kind, classes, sizes, broken files, duplicates, and a configuration to start from
///
/// Every image is read, so that what is broken shows now and not in the middle of a search.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cdarts data inspect photos/
  cdarts data inspect breastmnist.npz
  cdarts data inspect table.csv --json
  cdarts data inspect                         the built-in digits

The last lines are TOML: put them into a file, and search with --config FILE --data PATH.")]
struct InspectArgs {
    /// Folder or file, as --data of `cdarts search` takes it [default: the built-in digits]
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,

    #[command(flatten)]
    threads: ThreadOptions,

    /// Print everything as one JSON object
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    inspection: &'a Inspection,
    suggested: Recipe,
}

impl DataArgs {
    pub fn run(&self) -> Result<Exit, CliError> {
        let DataCommand::Inspect(args) = &self.command;
        args.run()
    }
}

impl InspectArgs {
    fn run(&self) -> Result<Exit, CliError> {
        self.threads.start()?;
        let options = LoadOptions { skip_broken: usize::MAX, ..LoadOptions::default() };
        let dataset = cdarts_data::load(self.path.as_deref(), &options)?;
        let (inspection, suggested) = (Inspection::of(&dataset)?, Recipe::for_dataset(&dataset));
        let text = match self.json {
            true => serde_json::to_string_pretty(&Report { inspection: &inspection, suggested })?,
            false => told(&inspection, &suggested),
        };
        terminal::result(&text)?;
        Ok(Exit::Done)
    }
}

fn told(inspection: &Inspection, suggested: &Recipe) -> String {
    let Inspection { kind, name, shape, images, classes, .. } = inspection;
    let mut lines = vec![
        row("data", &format!("{name}, {kind}")),
        row("images", &parts(images)),
        row("shape", &format!("{shape} (channels, height, width)")),
    ];
    lines.extend(sizes(inspection).map(|sizes| row("sizes", &sizes)));
    for (heading, figures) in [("mean", &inspection.mean), ("deviation", &inspection.std)] {
        let figures: Vec<String> = figures.iter().map(|figure| format!("{figure:.4}")).collect();
        lines.push(row(heading, &figures.join(" ")));
    }
    lines.extend(inspection.notes.iter().map(|note| row("note", note)));

    lines.push(String::new());
    let most = classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0).max("class".len());
    lines.push(format!("{:most$}  {:>9} {:>9} {:>9}", "class", "train", "val", "test"));
    for class in classes {
        let [train, val, test] =
            [class.images.train, class.images.val, class.images.test].map(|images| count(images as u64));
        lines.push(format!("{:most$}  {train:>9} {val:>9} {test:>9}", class.name));
    }

    lines.push(String::new());
    lines.push(row("broken", &counted(inspection.broken.len(), "file")));
    for SkippedFile { path, reason } in &inspection.broken {
        // The reason begins with the path wherever it names it.
        let place = path.display().to_string();
        lines.push(row(
            "",
            &if reason.contains(&place) { reason.clone() } else { format!("{place}: {reason}") },
        ));
    }
    lines.extend(duplicates(&inspection.duplicates));
    lines.push(String::new());
    lines.push("# a configuration to start from, for a few minutes to an hour on a CPU".to_owned());
    lines.push(suggested.toml());
    lines.join("\n")
}

fn parts(images: &PartCounts) -> String {
    let PartCounts { train, val, test } = images;
    let named = [(train, "train"), (val, "val"), (test, "test")];
    let there = named.iter().filter(|(images, _)| **images > 0);
    let there: Vec<String> =
        there.map(|(images, name)| format!("{} {name}", count(**images as u64))).collect();
    format!("{} ({})", count(images.total() as u64), there.join(", "))
}

/// The sizes that images had, where that is more than one or another than they have now.
fn sizes(inspection: &Inspection) -> Option<String> {
    let sizes = &inspection.sizes;
    let (first, last) = (sizes.first()?, sizes.last()?);
    let (height, width) = (inspection.shape.height, inspection.shape.width);
    if sizes.len() == 1 && (first.height, first.width) == (height, width) {
        return None;
    }
    let most = sizes.iter().max_by_key(|size| size.images)?;
    let told = |size: &cdarts_data::SizeCount| format!("{}×{}", size.height, size.width);
    Some(format!(
        "{}, from {} to {}, most often {} ({})",
        counted(sizes.len(), "size"),
        told(first),
        told(last),
        told(most),
        counted(most.images, "image")
    ))
}

fn duplicates(duplicates: &Duplicates) -> Vec<String> {
    let Duplicates { across_parts, across_classes, within_parts, named } = duplicates;
    let mut lines = vec![
        row("duplicates", &format!("{} in more than one part", counted(*across_parts, "picture"))),
        row("", &format!("{} in more than one class", counted(*across_classes, "picture"))),
        row("", &format!("{} more than once in a part", counted(*within_parts, "picture"))),
    ];
    for group in named {
        let places: Vec<String> = group.iter().take(4).map(place).collect();
        let more = if group.len() > 4 { format!(" and {} more", group.len() - 4) } else { String::new() };
        lines.push(row("", &format!("{}{more}", places.join(" = "))));
    }
    lines
}

fn place(ImagePlace { part, index, class, file }: &ImagePlace) -> String {
    match file {
        Some(file) => file.display().to_string(),
        None => format!("{} image {index} ({class})", part.name()),
    }
}

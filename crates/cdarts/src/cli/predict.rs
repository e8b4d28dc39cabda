//! `cdarts predict`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cdarts_data::{DataError, ImageShape, Loader, Pictures, find_pictures, read_pictures};
use cdarts_search::scoring::ranked;
use cdarts_search::{Bundle, bundle, device};
use clap::Args;
use serde::Serialize;

use super::options::ThreadOptions;
use crate::error::CliError;
use crate::exit::Exit;
use crate::terminal::{self, ERROR};
use crate::wording::percent;

/// Pictures that are held in memory at a time.
const CHUNK: usize = 1024;
/// Pictures that go through the network together.
const BATCH: usize = 64;

/// Name the classes of pictures with the network that a run found
///
/// Pictures are brought to the network's size and normalised exactly as those it was trained on. A folder's pictures
/// are taken with those of the folders below it. What cannot be read is said on standard error, the rest is named all
/// the same, and the program ends with 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cdarts predict runs/2026-11-24-photos-s1 one.jpg two.png
  cdarts predict runs/2026-11-24-photos-s1 new-photos/ --top 3
  cdarts predict runs/2026-11-24-photos-s1 new-photos/ --csv > named.csv")]
pub struct PredictArgs {
    /// Folder of a finished run
    #[arg(value_name = "RUN")]
    run: PathBuf,

    /// Pictures (PNG, JPEG), and folders of pictures
    #[arg(value_name = "IMAGE|FOLDER", required = true)]
    pictures: Vec<PathBuf>,

    /// How many of the most probable classes to print for a picture
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    top: u32,

    /// Print one JSON object
    #[arg(long, conflicts_with = "csv")]
    json: bool,

    /// Print comma-separated values: path, class, probability, and so on for the next ones
    #[arg(long)]
    csv: bool,

    #[command(flatten)]
    threads: ThreadOptions,

    /// Where to compute
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    device: String,
}

/// All that was found out, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Predictions {
    run_dir: String,
    predictions: Vec<Prediction>,
    failed: Vec<Failure>,
}

/// One picture.
#[derive(Debug, Serialize)]
struct Prediction {
    path: String,
    /// The most probable class, and its probability.
    #[serde(flatten)]
    first: Named,
    /// As many as were asked for, the most probable first.
    top: Vec<Named>,
}

#[derive(Clone, Debug, Serialize)]
struct Named {
    class: String,
    probability: f64,
}

/// A picture that could not be read.
#[derive(Debug, Serialize)]
struct Failure {
    path: String,
    error: String,
}

impl PredictArgs {
    pub fn run(&self) -> Result<Exit, CliError> {
        let bundle = bundle::read(&self.run, &device(&self.device)?)?;
        self.threads.start()?;
        let mut said =
            Predictions { run_dir: self.run.display().to_string(), predictions: vec![], failed: vec![] };
        let mut paths = Vec::new();
        for given in &self.pictures {
            for found in find_pictures(given)? {
                match found {
                    Ok(path) => paths.push(path),
                    Err(error) => said.fail(given, &error),
                }
            }
        }
        for paths in paths.chunks(CHUNK) {
            self.name(&bundle, paths, &mut said)?;
        }
        let text = match (self.json, self.csv) {
            (true, _) => serde_json::to_string_pretty(&said)?,
            (_, true) => said.csv(self.top(&bundle))?,
            _ => said.table(),
        };
        terminal::result(&text)?;
        Ok(if said.failed.is_empty() { Exit::Done } else { Exit::Failed })
    }

    fn top(&self, bundle: &Bundle) -> usize {
        (self.top as usize).min(bundle.model.classes.len())
    }

    /// Names the pictures `paths`.
    fn name(&self, bundle: &Bundle, paths: &[PathBuf], said: &mut Predictions) -> Result<(), CliError> {
        let image = bundle.model.network.image();
        let shape = ImageShape { channels: image.channels, height: image.height, width: image.width };
        let Pictures { images, paths, failed } = read_pictures(paths, shape)?;
        failed.iter().for_each(|(path, error)| said.fail(path, error));
        if images.is_empty() {
            return Ok(());
        }
        let indices = (0..images.len()).collect();
        let loader = Loader::new(Arc::new(images), indices, BATCH, &bundle.model.normalisation(), None, 0)?;
        let mut paths = paths.iter();
        bundle.classify(&loader, |_, probabilities| {
            let named = |class: usize| Named {
                class: bundle.model.classes[class].clone(),
                probability: probabilities[class],
            };
            let top: Vec<Named> = ranked(probabilities, self.top(bundle)).into_iter().map(named).collect();
            if let (Some(path), Some(first)) = (paths.next(), top.first().cloned()) {
                said.predictions.push(Prediction { path: path.display().to_string(), first, top });
            }
        })?;
        Ok(())
    }
}

impl Predictions {
    fn fail(&mut self, path: &Path, error: &DataError) {
        terminal::label(ERROR, "error", &error.to_string());
        self.failed.push(Failure { path: path.display().to_string(), error: error.to_string() });
    }

    fn table(&self) -> String {
        let widest = |texts: &mut dyn Iterator<Item = &str>| texts.map(|text| text.chars().count()).max();
        let paths = widest(&mut self.predictions.iter().map(|prediction| prediction.path.as_str()));
        let names = self.predictions.iter().flat_map(|prediction| &prediction.top);
        let names = widest(&mut names.map(|named| named.class.as_str()));
        let (paths, names) = (paths.unwrap_or(0), names.unwrap_or(0));
        let line = |prediction: &Prediction| {
            let named = prediction.top.iter().map(|Named { class, probability }| {
                format!("  {class:<names$}  {:>8}", percent(*probability))
            });
            format!("{:<paths$}{}", prediction.path, named.collect::<String>())
        };
        self.predictions.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn csv(&self, top: usize) -> Result<String, CliError> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut heading = vec!["path".to_owned(), "class".to_owned(), "probability".to_owned()];
        for place in 2..=top {
            heading.extend([format!("class_{place}"), format!("probability_{place}")]);
        }
        writer.write_record(&heading)?;
        for Prediction { path, top, .. } in &self.predictions {
            let named = top.iter().flat_map(|named| [named.class.clone(), named.probability.to_string()]);
            writer.write_record(std::iter::once(path.clone()).chain(named))?;
        }
        let bytes = writer.into_inner().map_err(|error| CliError::Output(error.into_error()))?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }
}

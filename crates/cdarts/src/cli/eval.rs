//! `cdarts eval`.

use std::path::PathBuf;

use cdarts_data::{Dataset, LoadOptions, Loader};
use cdarts_runs::{Manifest, RunFolder};
use cdarts_search::feed::Feed;
use cdarts_search::networks::Batch;
use cdarts_search::{Bundle, Config, SearchError, bundle, device};
use clap::Args;
use serde::Serialize;

use super::launch;
use super::options::{ThreadOptions, load_again, load_options, settle_path};
use crate::error::CliError;
use crate::exit::Exit;
use crate::summary::row;
use crate::terminal;
use crate::wording::{count, percent};

/// Score the network that a run found, class by class
///
/// On the run's own test images, which gives the accuracy that the run reported; or with --data on other images of
/// the same classes, which are brought to the network's size: their test folder if there is one, else all of them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cdarts eval runs/2026-11-24-digits-s1
  cdarts eval runs/2026-11-24-photos-s1 --data new-photos/
  cdarts eval runs/2026-11-24-photos-s1 --json")]
pub struct EvalArgs {
    /// Folder of a finished run
    #[arg(value_name = "RUN")]
    run: PathBuf,

    /// Other images to score it on, of the same classes [default: the run's own test images]
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,

    #[command(flatten)]
    threads: ThreadOptions,

    /// Print the score as one JSON object
    #[arg(long)]
    json: bool,
}

/// A label that no class has.
const OTHER: i64 = -1;

/// The score, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Evaluation {
    run_dir: String,
    /// Name of the data set.
    data: String,
    /// Which of its images.
    part: &'static str,
    accuracy: f64,
    correct: usize,
    total: usize,
    classes: Vec<ClassScore>,
}

#[derive(Debug, Serialize)]
struct ClassScore {
    name: String,
    correct: usize,
    total: usize,
    /// `correct / total`; none where there is no image of the class.
    recall: Option<f64>,
}

impl EvalArgs {
    pub fn run(&self) -> Result<Exit, CliError> {
        let folder = RunFolder::view(&self.run)?;
        let bundle = bundle::read(&self.run, &device("cpu")?)?;
        let mut config = launch::own_configuration(&folder)?;
        let seed = Manifest::load(&folder.manifest_path())?.seed;
        settle_path(&mut config.data, self.data.as_deref())?;
        self.threads.start()?;

        let dataset = self.load(&bundle, &config)?;
        let (part, loader) = images(&bundle, &dataset, &config, seed)?;
        let classes = score(&bundle, &loader)?;
        let (correct, total) =
            classes.iter().fold((0, 0), |sum, class| (sum.0 + class.correct, sum.1 + class.total));
        let evaluation = Evaluation {
            run_dir: self.run.display().to_string(),
            data: dataset.name.clone(),
            part,
            accuracy: correct as f64 / total.max(1) as f64,
            correct,
            total,
            classes,
        };
        let text = if self.json { serde_json::to_string_pretty(&evaluation)? } else { evaluation.table() };
        terminal::result(&text)?;
        Ok(Exit::Done)
    }

    /// Reads the images in the network's shape. Those of the run itself come out as the run had them.
    fn load(&self, bundle: &Bundle, config: &Config) -> Result<Dataset, CliError> {
        let image = bundle.model.network.image();
        let options = LoadOptions {
            size: Some([image.height, image.width]),
            channels: Some(image.channels),
            ..load_options(&config.data)
        };
        let dataset = load_again(&config.data, &options, self.data.as_deref())?;
        if dataset.classes != bundle.model.classes {
            let named = |classes: &[String]| format!("{} classes ({})", classes.len(), classes.join(", "));
            let (expected, found) = (named(&bundle.model.classes), named(&dataset.classes));
            return Err(SearchError::OtherData { expected, found }.into());
        }
        Ok(dataset)
    }
}

/// The images to score, and which part of the data set they are.
fn images(
    bundle: &Bundle,
    dataset: &Dataset,
    config: &Config,
    seed: u64,
) -> Result<(&'static str, Loader), CliError> {
    if dataset.digest == bundle.model.data_digest {
        return Ok(("test part of the run", Feed::new(dataset, config, seed)?.test));
    }
    let (part, images) = match &dataset.test {
        Some(test) => ("test folder", test),
        None => ("all images", &dataset.train),
    };
    let normalisation = bundle.model.normalisation();
    let indices = (0..images.len()).collect();
    let batch = config.retrain.batch_size;
    Ok((part, Loader::new(images.clone(), indices, batch, &normalisation, None, 0)?))
}

/// Classifies every image of `loader`.
fn score(bundle: &Bundle, loader: &Loader) -> Result<Vec<ClassScore>, CliError> {
    let device = device("cpu")?.without_autodiff();
    let mut classes: Vec<ClassScore> = bundle
        .model
        .classes
        .iter()
        .map(|name| ClassScore { name: name.clone(), correct: 0, total: 0, recall: None })
        .collect();
    for batch in loader.in_order() {
        let batch = Batch::new(batch, &device);
        let logits = bundle.net.forward(batch.images.clone());
        for (label, score) in (0..).zip(&mut classes) {
            // With every other class taken out of question, those counted are this one's.
            let own = |&class: &i64| if class == label { class } else { OTHER };
            let masked = Batch { classes: batch.classes.iter().map(own).collect(), ..batch.clone() };
            score.total += masked.classes.iter().filter(|&&class| class == label).count();
            score.correct += masked.correct(&logits);
        }
    }
    for class in &mut classes {
        class.recall = (class.total > 0).then(|| class.correct as f64 / class.total as f64);
    }
    Ok(classes)
}

impl Evaluation {
    fn table(&self) -> String {
        let of = |correct, total| format!("{} of {} images", count(correct as u64), count(total as u64));
        let mut lines = vec![
            row("images", &format!("{}, {}", self.data, self.part)),
            row("accuracy", &format!("{} ({})", percent(self.accuracy), of(self.correct, self.total))),
            String::new(),
        ];
        let width = self.classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0);
        for ClassScore { name, correct, total, recall } in &self.classes {
            let recall = recall.map_or_else(|| "-".to_owned(), percent);
            lines.push(format!("{name:<width$}  {recall:>9}  {}", of(*correct, *total)));
        }
        lines.join("\n")
    }
}

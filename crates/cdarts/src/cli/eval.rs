//! `cdarts eval`.

use std::path::PathBuf;

use cdarts_data::{Dataset, LoadOptions, Loader, SkippedFile};
use cdarts_runs::{Manifest, RunFolder, atomic};
use cdarts_search::feed::Feed;
use cdarts_search::scoring::{Calibration, Scores};
use cdarts_search::{Bundle, Config, SearchError, bundle, device};
use clap::Args;
use serde::Serialize;

use super::launch;
use super::options::{ThreadOptions, load_again, load_options, settle_data};
use crate::confusion;
use crate::error::CliError;
use crate::exit::Exit;
use crate::summary::row;
use crate::terminal;
use crate::wording::{count, counted, percent};

/// Score the network that a run found, class by class
///
/// Accuracy, recall and precision of every class, which classes are taken for which, and calibration: how far the
/// network's probabilities can be taken at their word.
///
/// On the run's own test images, which gives the accuracy that the run reported; or with --data on other images of
/// the same classes, which are brought to the network's size: their test folder if there is one, else all of them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cdarts eval runs/2026-11-24-digits-s1
  cdarts eval runs/2026-11-24-photos-s1 --data new-photos/
  cdarts eval runs/2026-11-24-photos-s1 --confusion confusion.svg
  cdarts eval runs/2026-11-24-photos-s1 --json")]
pub struct EvalArgs {
    /// Folder of a finished run
    #[arg(value_name = "RUN")]
    run: PathBuf,

    /// Other images to score it on, of the same classes [default: the run's own test images]
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,

    /// Leave out up to N image files that cannot be read, and say which [default: as the run]
    #[arg(long, value_name = "N")]
    skip_broken: Option<usize>,

    /// Draw which classes are taken for which, as SVG
    #[arg(long, value_name = "FILE")]
    confusion: Option<PathBuf>,

    #[command(flatten)]
    threads: ThreadOptions,

    /// Where to compute
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    device: String,

    /// Print the score as one JSON object
    #[arg(long)]
    json: bool,
}

/// Most mistakes that are listed.
const MISTAKES: usize = 5;

/// The score, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Evaluation {
    run_dir: String,
    /// Name of the data set.
    data: String,
    /// Which of its images.
    part: &'static str,
    accuracy: f64,
    /// Share of images whose class is among the five most probable; none where there are no more classes.
    top5_accuracy: Option<f64>,
    correct: usize,
    total: usize,
    calibration: Calibration,
    classes: Vec<ClassScore>,
    /// Images by class (row) and by what they were taken for (column), in the order of `classes`.
    confusion: Vec<Vec<usize>>,
    #[serde(skip)]
    mistakes: Vec<(usize, usize, usize)>,
    /// Files that were left out because they cannot be read.
    skipped: Vec<SkippedFile>,
}

#[derive(Debug, Serialize)]
struct ClassScore {
    name: String,
    correct: usize,
    total: usize,
    /// Share of the class's images that are recognised; none where there is no image of it.
    recall: Option<f64>,
    /// Share of the images taken for the class that are of it; none where there is none.
    precision: Option<f64>,
}

impl EvalArgs {
    pub fn run(&self) -> Result<Exit, CliError> {
        let folder = RunFolder::view(&self.run)?;
        let bundle = bundle::read(&self.run, &device(&self.device)?)?;
        let mut config = launch::own_configuration(&folder)?;
        let seed = Manifest::load(&folder.manifest_path())?.seed;
        settle_data(&mut config.data, self.data.as_deref(), self.skip_broken)?;
        self.threads.start()?;

        let dataset = self.load(&bundle, &config)?;
        let (part, loader) = images(&bundle, &dataset, &config, seed)?;
        let evaluation =
            Evaluation::new(self.run.display().to_string(), part, &dataset, &bundle.score(&loader)?);
        if let Some(path) = &self.confusion {
            let title = format!("{}, {part}: {} right", dataset.name, percent(evaluation.accuracy));
            let drawn = confusion::svg(&title, &dataset.classes, &evaluation.confusion);
            atomic::write(path, drawn.as_bytes())?;
        }
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
            value_range: bundle.model.value_range,
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

impl Evaluation {
    fn new(run_dir: String, part: &'static str, dataset: &Dataset, scores: &Scores) -> Self {
        let class = |(class, name): (usize, &String)| ClassScore {
            name: name.clone(),
            correct: scores.confusion()[class][class],
            total: scores.confusion()[class].iter().sum(),
            recall: scores.recall(class),
            precision: scores.precision(class),
        };
        Self {
            run_dir,
            data: dataset.name.clone(),
            part,
            accuracy: scores.accuracy(),
            top5_accuracy: scores.top_accuracy(),
            correct: scores.correct(),
            total: scores.total(),
            calibration: scores.calibration(),
            classes: dataset.classes.iter().enumerate().map(class).collect(),
            confusion: scores.confusion().to_vec(),
            mistakes: scores.mistakes(),
            skipped: dataset.skipped.clone(),
        }
    }

    fn table(&self) -> String {
        let of = |correct, total| format!("{} of {} images", count(correct as u64), count(total as u64));
        let mut lines = vec![
            row("images", &format!("{}, {}", self.data, self.part)),
            row("accuracy", &format!("{} ({})", percent(self.accuracy), of(self.correct, self.total))),
        ];
        lines.extend(self.top5_accuracy.map(|share| row("top 5", &percent(share))));
        let Calibration { expected_error, confidence, .. } = &self.calibration;
        lines.push(row(
            "calibration",
            &format!("{} mean confidence, {} expected error", percent(*confidence), percent(*expected_error)),
        ));
        lines.push(String::new());
        let width = self.classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0).max(5);
        lines.push(format!("{:<width$}     recall  precision", "class"));
        for ClassScore { name, correct, total, recall, precision } in &self.classes {
            let [recall, precision] =
                [recall, precision].map(|share| share.map_or_else(|| "-".to_owned(), percent));
            lines.push(format!("{name:<width$}  {recall:>9}  {precision:>9}  {}", of(*correct, *total)));
        }
        if let Some(table) = confusion::table(&self.names(), &self.confusion) {
            lines.extend([String::new(), table]);
        } else if !self.mistakes.is_empty() {
            lines.extend([String::new(), "most frequent mistakes".to_owned()]);
            lines.extend(self.mistakes.iter().take(MISTAKES).map(|&(class, named, images)| {
                let [class, named] = [class, named].map(|class| &self.classes[class].name);
                format!("  {class} taken for {named}: {}", counted(images, "image"))
            }));
        }
        lines.join("\n")
    }

    fn names(&self) -> Vec<String> {
        self.classes.iter().map(|class| class.name.clone()).collect()
    }
}

//! The found network as it leaves a run: `bundle/model.json` says what it is and how images reach it,
//! `bundle/model.safetensors` holds its weights, `bundle/metrics.json` its score. `bundle/genotypes.json` is the file
//! that the published code reads, of which there is none for NAS-Bench-201.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use cdarts_data::{Dataset, Loader, Normalisation};
use cdarts_nets::{FoundNet, Initialiser, weights};
use cdarts_runs::{RunFolder, RunsError, atomic};
use cdarts_space::drawing::{self, Picture};
use cdarts_space::{Architecture, Skeleton};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::SearchError;
use crate::scoring::{Scores, classify};

/// Version of the bundle's form.
const SCHEMA: u32 = 1;
const MODEL: &str = "model.json";
const WEIGHTS: &str = "model.safetensors";
const METRICS: &str = "metrics.json";

/// What the found network is, and how images reach it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BundleModel {
    /// Version of this form.
    pub schema: u32,
    /// Layout.
    pub network: Skeleton,
    /// Cells: of all stages, or a list with those of each.
    pub genotype: Architecture,
    /// Names of the classes, in the order of the logits.
    pub classes: Vec<String>,
    /// Mean of each channel of pixels in 0 to 1.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel.
    pub std: Vec<f32>,
    /// Values that become 0 and 255 where images are arrays of other than bytes; none where they were bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_range: Option<[f64; 2]>,
    /// Digest of the data set it was trained on.
    pub data_digest: String,
    /// The run's seed, which with the data decides what was held out.
    pub seed: u64,
}

/// A found network, read back.
pub struct Bundle {
    /// What it is.
    pub model: BundleModel,
    /// The network, ready for inference.
    pub net: FoundNet,
    device: Device,
}

impl Bundle {
    /// Gives `each` image's label and the probabilities of its classes, in the order of `loader`.
    ///
    /// # Errors
    /// [`SearchError::Data`] for an image that is read only now and cannot be.
    pub fn classify(&self, loader: &Loader, each: impl FnMut(usize, &[f64])) -> Result<(), SearchError> {
        classify(&self.net, loader, &self.device, each)
    }

    /// Scores the network on all images of `loader`.
    ///
    /// # Errors
    /// Those of [`Bundle::classify`].
    pub fn score(&self, loader: &Loader) -> Result<Scores, SearchError> {
        let mut scores = Scores::new(self.model.classes.len());
        self.classify(loader, |label, probabilities| scores.add(label, probabilities))?;
        Ok(scores)
    }
}

impl BundleModel {
    /// A description of the network that was trained on `dataset`.
    pub fn new(
        network: Skeleton,
        genotype: Architecture,
        dataset: &Dataset,
        normalisation: &Normalisation,
        seed: u64,
    ) -> Self {
        let Normalisation { mean, std } = normalisation.clone();
        Self {
            schema: SCHEMA,
            network,
            genotype,
            classes: dataset.classes.clone(),
            mean,
            std,
            value_range: dataset.value_range,
            data_digest: dataset.digest.clone(),
            seed,
        }
    }

    /// The statistics that images are normalised with.
    pub fn normalisation(&self) -> Normalisation {
        Normalisation { mean: self.mean.clone(), std: self.std.clone() }
    }
}

/// Writes the bundle of a run; `metrics` is what the program prints at the end.
///
/// # Errors
/// [`SearchError::Runs`] where a file cannot be written, [`SearchError::Nets`] where weights have no stored
/// form.
pub fn write(
    folder: &RunFolder,
    model: &BundleModel,
    net: Option<&FoundNet>,
    metrics: &impl Serialize,
) -> Result<(), SearchError> {
    let path = folder.bundle_path();
    write_genotypes(&path.join("genotype"), &model.genotype)?;
    if let Some(genotypes) = model.genotype.as_darts() {
        let published = genotypes.to_published_json(model.network.stages());
        atomic::write(&path.join("genotypes.json"), published.as_bytes())?;
    }
    atomic::write(&path.join("labels.txt"), (model.classes.join("\n") + "\n").as_bytes())?;
    if let Some(net) = net {
        atomic::write(&path.join(WEIGHTS), &weights::to_bytes(&net.clone().without_auxiliary())?)?;
        atomic::write_json(&path.join(MODEL), model)?;
    }
    write_metrics(folder, metrics)
}

/// Writes what the program prints at the end.
///
/// # Errors
/// [`SearchError::Runs`] where the file cannot be written.
pub fn write_metrics(folder: &RunFolder, metrics: &impl Serialize) -> Result<(), SearchError> {
    Ok(atomic::write_json(&folder.bundle_path().join(METRICS), metrics)?)
}

/// Writes an architecture to `name`.json, and its cells to `name`.svg, as [`write_pictures`] does.
///
/// # Errors
/// [`SearchError::Runs`] where a file cannot be written.
pub fn write_genotypes(name: &Path, architecture: &Architecture) -> Result<(), SearchError> {
    atomic::write(&name.with_extension("json"), architecture.to_json().as_bytes())?;
    write_pictures(&name.with_extension("svg"), architecture.pictures(), drawing::svg)?;
    Ok(())
}

/// Draws cells to the file `path`; where there are several pictures, one a stage, to NAME-stage-1.EXTENSION and so on. Says which files
/// were written.
///
/// # Errors
/// [`RunsError`] where a file cannot be written.
pub fn write_pictures(
    path: &Path,
    pictures: Vec<Picture>,
    draw: fn(Picture) -> String,
) -> Result<Vec<PathBuf>, RunsError> {
    let alone = pictures.len() == 1;
    let write = |(stage, picture)| {
        let path = if alone { path.to_owned() } else { of_stage(path, stage + 1) };
        atomic::write(&path, draw(picture).as_bytes())?;
        Ok(path)
    };
    pictures.into_iter().enumerate().map(write).collect()
}

fn of_stage(path: &Path, stage: usize) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-stage-{stage}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// Reads the bundle of the run at `run`.
///
/// # Errors
/// [`SearchError::NoBundle`] where the run has no trained network; [`SearchError::State`] and
/// [`SearchError::Weights`] where its files are damaged.
pub fn read(run: &Path, device: &Device) -> Result<Bundle, SearchError> {
    let path = RunFolder::view(run)?.bundle_path();
    let model_path = path.join(MODEL);
    if !model_path.is_file() {
        return Err(SearchError::NoBundle { path: run.to_owned() });
    }
    let damaged = |reason: String| SearchError::State { path: model_path.clone(), reason };
    let text = fs::read_to_string(&model_path).map_err(|error| damaged(error.to_string()))?;
    let model: BundleModel = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
    let plan = model.network.plan()?;
    plan.check(&model.genotype)?;

    let weights_path = path.join(WEIGHTS);
    let misfit = |reason: String| SearchError::Weights {
        path: weights_path.clone(),
        section: "network".to_owned(),
        reason,
    };
    let bytes = fs::read(&weights_path).map_err(|error| misfit(error.to_string()))?;
    let device = device.clone().without_autodiff();
    let init = Initialiser::new(0, &device);
    let net = FoundNet::new(&plan, &model.genotype, false, &init);
    let net = weights::from_bytes(net, &bytes).map_err(|error| misfit(error.to_string()))?;
    Ok(Bundle { model, net, device })
}

/// The metrics that a finished run printed.
///
/// # Errors
/// [`SearchError::State`] where the file cannot be read.
pub fn read_metrics<T: for<'a> Deserialize<'a>>(folder: &RunFolder) -> Result<Option<T>, SearchError> {
    let path = folder.bundle_path().join(METRICS);
    if !path.is_file() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path)
        .map_err(|error| SearchError::State { path: path.clone(), reason: error.to_string() })?;
    let metrics = serde_json::from_str(&text)
        .map_err(|error| SearchError::State { path: path.clone(), reason: error.to_string() })?;
    Ok(Some(metrics))
}

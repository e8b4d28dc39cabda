//! A run's state as sections of a checkpoint, and back.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use burn::store::{ModuleRecord, RecordError};
use burn::tensor::Bytes;
use burn_optim::ModuleOptimizer;
use cdarts_nets::WeightBank;
use cdarts_runs::{Checkpoint, Phase};
use serde::{Deserialize, Serialize};

use crate::SearchError;
use crate::optimisers::Optimisers;
use crate::run::{Run, Stage};
use crate::step::{SearchState, StepReport};

/// Means over an epoch under way, every step counted alike.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    terms: BTreeMap<String, (f64, usize)>,
    accuracy: BTreeMap<String, (usize, usize)>,
}

impl Tally {
    /// Adds a step.
    pub fn add(&mut self, report: &StepReport) {
        for (&name, &value) in &report.terms {
            let (sum, count) = self.terms.entry(name.to_owned()).or_default();
            (*sum, *count) = (*sum + value, *count + 1);
        }
        for (&name, &(correct, total)) in &report.accuracy {
            let sums = self.accuracy.entry(name.to_owned()).or_default();
            *sums = (sums.0 + correct, sums.1 + total);
        }
    }

    /// The means: loss terms, accuracies.
    pub fn means(self) -> (BTreeMap<String, f64>, BTreeMap<String, f64>) {
        let terms = self.terms.into_iter().map(|(name, (sum, count))| (name, sum / count as f64)).collect();
        let accuracy =
            self.accuracy.into_iter().map(|(name, (c, total))| (name, c as f64 / total as f64)).collect();
        (terms, accuracy)
    }

    /// The accuracies so far.
    pub fn accuracies(&self) -> BTreeMap<&'static str, f64> {
        let known = ["bank", "supernet", "eval", "found"];
        known
            .into_iter()
            .filter_map(|name| {
                let &(correct, total) = self.accuracy.get(name)?;
                Some((name, correct as f64 / total as f64))
            })
            .collect()
    }
}

type Sections = Vec<(String, Vec<u8>)>;

impl Run {
    /// Everything that training changes, as bytes by name.
    pub(crate) fn sections(&mut self, path: &Path) -> Result<Sections, SearchError> {
        let mut writer = Writer { path, sections: Vec::new() };
        match &mut self.stage {
            // The finished network stays with the last checkpoint; the searched ones are no longer needed.
            Stage::Found(state) => {
                writer.module("found", &state.net)?;
                writer.optimiser("found_optim", &state.optimiser)?;
                if let Some(average) = &state.average {
                    writer.module("found_average", &average.net)?;
                    let updates = average.updates.to_le_bytes().to_vec();
                    writer.sections.push(("found_average_updates".to_owned(), updates));
                }
            }
            Stage::Search(state, bank) => {
                let SearchState { nets, optimisers, grads } = &mut **state;
                writer.module("stem", &nets.stem)?;
                writer.module("supernet", &nets.supernet)?;
                writer.module("heads", &nets.heads)?;
                writer.module("mixture", &nets.mixture)?;
                writer.module("arch", &nets.arch)?;
                if let Some(evalnet) = &nets.evalnet {
                    writer.module("evalnet", evalnet)?;
                }
                writer.optimiser("supernet_optim", &optimisers.supernet)?;
                writer.optimiser("eval_optim", &optimisers.eval)?;
                writer.optimiser("arch_optim", &optimisers.arch)?;
                writer.sections.push(("bank".to_owned(), bank.to_bytes()?));
                writer.sections.push(("grads".to_owned(), pack(grads.read(&nets.all()))));
                if let Some(pool) = &self.pool {
                    writer.module("pool", &pool.net)?;
                    writer.module("pool_arch", &pool.arch)?;
                    writer.optimiser("pool_optim", &pool.optimiser)?;
                }
            }
        }
        Ok(writer.sections)
    }

    /// Takes up the state of a checkpoint, which lies at `path`.
    pub(crate) fn restore(&mut self, checkpoint: &Checkpoint, path: &Path) -> Result<(), SearchError> {
        self.position = checkpoint.header.position;
        self.memory = serde_json::from_value(checkpoint.header.cycle_state.clone())
            .map_err(|error| SearchError::State { path: path.to_owned(), reason: error.to_string() })?;
        self.restore_epochs()?;
        let reader = Reader { path, checkpoint };
        let searching = checkpoint.sections.iter().any(|(name, _)| name == "supernet");
        if searching { self.restore_search(&reader) } else { self.restore_found(&reader) }
    }

    /// Under a budget the checkpoint's number of epochs counts: a configuration is written before the first checkpoint that
    /// goes by it.
    fn restore_epochs(&mut self) -> Result<(), SearchError> {
        let (begun, given) = (self.memory.retrain_epochs, self.config.retrain.epochs);
        if begun != given && self.memory.budget.is_none() {
            let expected = format!("{begun}, which the run was begun with");
            let key = "retrain.epochs".to_owned();
            return Err(SearchError::ConfigValue { key, found: given.to_string(), expected });
        }
        self.set_retrain_epochs(begun);
        Ok(())
    }

    fn restore_found(&mut self, reader: &Reader<'_>) -> Result<(), SearchError> {
        let Some(genotype) = self.memory.genotype.clone() else {
            return Err(reader.misfit("found", "there is no genotype with it"));
        };
        let mut state = self.fresh_found(&genotype)?;
        reader.module("found", &mut state.net)?;
        reader.optimiser("found_optim", &mut state.optimiser)?;
        if let Some(average) = &mut state.average {
            reader.module("found_average", &mut average.net)?;
            let updates = reader.checkpoint.section("found_average_updates")?;
            let updates = updates.try_into().map_err(|_| {
                reader.misfit("found_average_updates", "the section does not have the length of a number")
            })?;
            average.updates = u64::from_le_bytes(updates);
        }
        self.stage = Stage::Found(Box::new(state));
        Ok(())
    }

    fn restore_search(&mut self, reader: &Reader<'_>) -> Result<(), SearchError> {
        let Stage::Search(state, _) = &self.stage else {
            return Err(reader.misfit("supernet", "the run trains a given genotype"));
        };
        self.pool = match (self.position.phase, self.pool.take()) {
            (Phase::PretrainBank { .. }, Some(mut pool)) => {
                reader.module("pool", &mut pool.net)?;
                reader.module("pool_arch", &mut pool.arch)?;
                reader.optimiser("pool_optim", &mut pool.optimiser)?;
                Some(pool)
            }
            _ => None,
        };
        let mut nets = state.nets.clone();
        nets.settle_stages(self.search_under_way());
        reader.module("stem", &mut nets.stem)?;
        reader.module("supernet", &mut nets.supernet)?;
        reader.module("heads", &mut nets.heads)?;
        reader.module("mixture", &mut nets.mixture)?;
        reader.module("arch", &mut nets.arch)?;
        if let Some(genotype) = &self.memory.eval_genotype {
            self.rebuild_evalnet(&mut nets, genotype);
            if let Some(evalnet) = &mut nets.evalnet {
                reader.module("evalnet", evalnet)?;
            }
        }
        let mut optimisers = Optimisers::new(&self.config.search);
        reader.optimiser("supernet_optim", &mut optimisers.supernet)?;
        reader.optimiser("eval_optim", &mut optimisers.eval)?;
        reader.optimiser("arch_optim", &mut optimisers.arch)?;
        let bank = WeightBank::from_bytes(reader.checkpoint.section("bank")?)?;
        let mut grads = crate::grads::GradBuffer::default();
        let values = unpack(reader.checkpoint.section("grads")?)
            .ok_or_else(|| reader.misfit("grads", "the section is cut short"))?;
        grads.write(&nets.all(), values);
        self.stage = Stage::Search(Box::new(SearchState { nets, optimisers, grads }), bank);
        Ok(())
    }
}

struct Writer<'a> {
    path: &'a Path,
    sections: Sections,
}

impl Writer<'_> {
    fn module<M: Module>(&mut self, name: &str, module: &M) -> Result<(), SearchError> {
        self.push(name, module.clone().into_record().into_bytes())
    }

    fn optimiser(&mut self, name: &str, optimiser: &ModuleOptimizer) -> Result<(), SearchError> {
        self.push(name, optimiser.into_bytes())
    }

    fn push(&mut self, name: &str, bytes: Result<Bytes, RecordError>) -> Result<(), SearchError> {
        let bytes = bytes.map_err(|error| misfit(self.path, name, &error.to_string()))?;
        self.sections.push((name.to_owned(), bytes.to_vec()));
        Ok(())
    }
}

struct Reader<'a> {
    path: &'a Path,
    checkpoint: &'a Checkpoint,
}

impl Reader<'_> {
    fn module<M: Module>(&self, name: &str, module: &mut M) -> Result<(), SearchError> {
        let refused = |error: RecordError| self.misfit(name, &error.to_string());
        let record = ModuleRecord::from_bytes(self.bytes(name)?).map_err(refused)?;
        *module = module.clone().try_load_record(record).map_err(refused)?;
        Ok(())
    }

    fn optimiser(&self, name: &str, optimiser: &mut ModuleOptimizer) -> Result<(), SearchError> {
        *optimiser = optimiser
            .clone()
            .from_bytes(self.bytes(name)?)
            .map_err(|error| self.misfit(name, &error.to_string()))?;
        Ok(())
    }

    fn bytes(&self, name: &str) -> Result<Bytes, SearchError> {
        Ok(Bytes::from_bytes_vec(self.checkpoint.section(name)?.to_vec()))
    }

    fn misfit(&self, section: &str, reason: &str) -> SearchError {
        misfit(self.path, section, reason)
    }
}

fn misfit(path: &Path, section: &str, reason: &str) -> SearchError {
    SearchError::Weights { path: path.to_owned(), section: section.to_owned(), reason: reason.to_owned() }
}

/// Gradients as bytes: for each its number of values plus one, or 0 where there is none; then the values.
fn pack(grads: Vec<Option<Vec<f32>>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for grad in grads {
        let length = grad.as_ref().map_or(0, |grad| grad.len() as u64 + 1);
        bytes.extend(length.to_le_bytes());
        bytes.extend(grad.into_iter().flatten().flat_map(f32::to_le_bytes));
    }
    bytes
}

fn unpack(mut bytes: &[u8]) -> Option<Vec<Option<Vec<f32>>>> {
    let mut grads = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = u64::from_le_bytes(*length);
        bytes = rest;
        if length == 0 {
            grads.push(None);
            continue;
        }
        let size = usize::try_from(length - 1).ok()?.checked_mul(4)?;
        let (values, rest) = bytes.split_at_checked(size)?;
        grads.push(Some(
            values.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        ));
        bytes = rest;
    }
    bytes.is_empty().then_some(grads)
}

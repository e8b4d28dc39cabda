//! What a table of NAS-Bench-201's accuracies says of a search that has ended. Nothing here can be called before: it
//! takes the outcome, which there is only then.

use std::collections::BTreeMap;

use burn::module::Module;
use cdarts_data::Loader;
use cdarts_nets::Features;
use cdarts_runs::{Event, Phase};
use cdarts_space::nas_bench_201::{Genotype, Standing, Table};
use cdarts_space::{Architecture, SpaceError, ranking};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::SearchError;
use crate::bundle;
use crate::networks::{Batch, SearchNets};
use crate::run::{Observer, Outcome, Run, Stage};

/// Most validation images that the search network classifies for a cell.
const IMAGES: usize = 1000;
/// Tells the draw of cells from all others of a seed.
const PURPOSE: u64 = 0x7261_6e6b;

/// What a table says, column by column.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Where the found cell stands.
    pub found: BTreeMap<String, Standing>,
    /// How well the search network orders cells, where that was asked for.
    pub ranking: BTreeMap<String, Ranking>,
}

/// The agreement of two orders of the same cells: by the search network's validation accuracy with inherited weights,
/// and by the table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// Cells, drawn at random without repetition.
    pub cells: usize,
    /// Validation images classified for each.
    pub images: usize,
    /// Kendall's tau-b.
    pub kendall_tau: f64,
    /// Spearman's rho.
    pub spearman_rho: f64,
}

impl Run {
    /// Looks the found cell up, compares orders where the search network is still there, and writes both to the
    /// journal and the bundle. Nothing where the table does not hold the cell.
    ///
    /// # Errors
    /// [`SearchError::Space`] for an outcome of another space; [`SearchError::Runs`] where the folder cannot be
    /// written.
    pub fn consult(
        &mut self,
        outcome: Outcome,
        table: &Table,
        observer: &mut dyn Observer,
    ) -> Result<Option<Outcome>, SearchError> {
        let Some(found) = standings(&outcome.genotype, table)? else { return Ok(None) };
        let ranking = self.rank(table)?;
        for (column, standing) in &found {
            let Standing { accuracy, rank, percentile, regret } = *standing;
            let column = column.clone();
            self.note(Event::Table { column, accuracy, rank, percentile, regret }, observer)?;
        }
        for (column, ranking) in &ranking {
            let Ranking { cells, images, kendall_tau, spearman_rho } = *ranking;
            let column = column.clone();
            self.note(Event::Ranking { column, cells, images, kendall_tau, spearman_rho }, observer)?;
        }
        let outcome = Outcome { table: Some(Score { found, ranking }), ..outcome };
        self.journal.sync()?;
        bundle::write_metrics(&self.folder, &outcome)?;
        Ok(Some(outcome))
    }

    /// Compares the search network's order of drawn cells with the table's. Nothing where none are to be drawn, there
    /// was no search network or the found one was trained, which ends it, no validation images were set aside, or all values
    /// of one side are equal.
    fn rank(&self, table: &Table) -> Result<BTreeMap<String, Ranking>, SearchError> {
        let (Stage::Search(state, _), Some(loader), Phase::Done) =
            (&self.stage, &self.feed.validation, self.position.phase)
        else {
            return Ok(BTreeMap::new());
        };
        if self.plan.independent_cycles {
            return Ok(BTreeMap::new());
        }
        let rows = draw(table, self.config.run.ranking_cells, self.seed);
        let mut opinions = Vec::with_capacity(rows.len());
        let mut images = 0;
        for &row in &rows {
            let score = self.opinion(&state.nets, &table.genotype(row), loader)?;
            images = score.1;
            opinions.push(score.0 as f64 / score.1.max(1) as f64);
        }
        let mut found = BTreeMap::new();
        for (column, name) in table.columns().enumerate() {
            let accuracies: Vec<f64> = rows.iter().map(|&row| table.accuracy(column, row)).collect();
            let orders = [ranking::kendall_tau, ranking::spearman_rho]
                .map(|correlation| correlation(&opinions, &accuracies).ok());
            if let [Some(kendall_tau), Some(spearman_rho)] = orders {
                let ranking = Ranking { cells: rows.len(), images, kendall_tau, spearman_rho };
                found.insert(name.to_owned(), ranking);
            }
        }
        Ok(found)
    }

    /// Images that the part of the search network that `cell` keeps classifies rightly, and all. Batch norms use the
    /// batch's statistics: the running ones are those of all operations mixed. So it runs where gradients are made, but
    /// asks for none: nothing would be kept for a way back that never comes.
    fn opinion(
        &self,
        nets: &SearchNets,
        cell: &Genotype,
        loader: &Loader,
    ) -> Result<(usize, usize), SearchError> {
        let net = nets.supernet.discrete(&Architecture::from(cell)).no_grad();
        let stem = nets.stem.clone().no_grad();
        let (mut correct, mut total) = (0, 0);
        for batch in loader.in_order() {
            if total >= IMAGES {
                break;
            }
            let batch = Batch::new(batch?, &self.device);
            let Features { logits, .. } = net.forward(stem.forward(batch.images.clone()), None);
            correct += batch.correct(&logits);
            total += batch.classes.len();
        }
        Ok((correct, total))
    }
}

/// Where a cell stands, by column; nothing where the table does not hold it.
///
/// # Errors
/// [`SearchError::Space`] for a genotype of another space.
pub fn standings(genotype: &str, table: &Table) -> Result<Option<BTreeMap<String, Standing>>, SearchError> {
    let architecture: Architecture = genotype.parse()?;
    let Some(cell) = architecture.as_nas_bench_201() else {
        let found = architecture.space().to_owned();
        return Err(SpaceError::Space { expected: "nas-bench-201", found }.into());
    };
    let Some(row) = table.row_of(cell) else { return Ok(None) };
    let columns = table.columns().enumerate();
    Ok(Some(columns.map(|(column, name)| (name.to_owned(), table.standing(column, row))).collect()))
}

/// So many rows of the table, without repetition.
fn draw(table: &Table, count: usize, seed: u64) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..table.rows()).collect();
    rows.shuffle(&mut ChaCha8Rng::seed_from_u64(seed ^ PURPOSE));
    rows.truncate(count);
    rows
}

//! Random search: every cycle trains a network of random cells from its start on the weight half. The cells whose
//! network classifies the architecture half best are found. No candidate leaves anything to the next.

use burn::module::Module;
use cdarts_nets::{Features, WeightBank};
use cdarts_runs::{Event, Phase};

use crate::SearchError;
use crate::discretise;
use crate::networks::{Batch, SearchNets};
use crate::optimisers::Optimisers;
use crate::run::{Observer, Run, Stage};
use crate::transfer;

impl Run {
    /// Draws cells and builds their network.
    pub(crate) fn begin_candidate(&mut self, cycle: usize) -> Result<(), SearchError> {
        let Stage::Search(state, _) = &mut self.stage else { return Ok(()) };
        let cells = discretise::random(&state.nets.arch, self.seed, cycle)?;
        let seed = self.seed.wrapping_add(cycle as u64);
        state.nets = SearchNets::new(&self.config, &self.specs.search, seed, &self.device);
        state.optimisers = Optimisers::new(&self.config.search);
        let (bank, plan) = (WeightBank::default(), &self.specs.eval);
        transfer::build(state, &bank, &self.config, plan, &cells, seed, &self.device);
        self.memory.eval_genotype = Some(cells);
        Ok(())
    }

    /// Scores the network and keeps its cells if they are the best so far.
    pub(crate) fn end_candidate(
        &mut self,
        phase: Phase,
        observer: &mut dyn Observer,
    ) -> Result<(), SearchError> {
        let Stage::Search(state, _) = &self.stage else { return Ok(()) };
        let Some(cells) = self.memory.eval_genotype.clone() else { return Ok(()) };
        let accuracy = self.score_candidate(&state.nets, self.feed.steps(&self.config, phase))?;
        let entropy = discretise::entropy(&state.nets.arch.clone().uniform(0.0))?;
        let cycle = phase.cycle().unwrap_or_default();
        self.note(Event::Candidate { cycle, text: cells.to_string(), accuracy }, observer)?;
        let best = match &self.memory.genotype {
            Some(best) if self.memory.best_score.is_some_and(|score| score >= accuracy) => best.clone(),
            _ => {
                self.memory.best_score = Some(accuracy);
                cells
            }
        };
        self.keep_genotype(cycle, best, entropy, observer)
    }

    /// Share of the first images of the architecture half, `batches` of them and not augmented, that the network
    /// classifies rightly.
    fn score_candidate(&self, nets: &SearchNets, batches: usize) -> Result<f64, SearchError> {
        let Some(net) = &nets.evalnet else { return Ok(0.0) };
        let classifier = if nets.shared_classifier() { nets.supernet.classifier() } else { net.classifier() };
        let (classifier, net, stem) = (classifier.valid(), net.valid(), nets.stem.valid());
        let (mut correct, mut total) = (0, 0);
        for batch in self.feed.arch_half.in_order().take(batches.max(1)) {
            let batch = Batch::new(batch?, &self.device.clone().without_autodiff());
            let Features { logits, .. } =
                net.forward_to(&classifier, stem.forward(batch.images.clone()), None);
            correct += batch.correct(&logits);
            total += batch.classes.len();
        }
        Ok(correct as f64 / total.max(1) as f64)
    }
}

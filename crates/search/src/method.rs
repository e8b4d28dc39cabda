//! A step of the joint phase by each method: CDARTS, and DARTS of first and second order (Liu et al., ICLR 2019,
//! algorithm 1), which have the search network alone and only its labels.

use crate::config::{Config, Method};
use crate::grads::GradBuffer;
use crate::networks::Batch;
use crate::optimisers::Owner;
use crate::step::{Rates, SearchState, StepReport};
use crate::unrolled::{RADIUS, Unrolling};

impl SearchState {
    /// A step of the configured method on a batch of each half.
    pub fn architecture_step(
        &mut self,
        arch: &Batch,
        weight: &Batch,
        rates: Rates,
        penalty_weight: f64,
        config: &Config,
    ) -> StepReport {
        match config.search.method {
            Method::Cdarts => self.joint(arch, weight, rates, penalty_weight, config),
            Method::DartsFirstOrder => self.alternate(Self::first_order, arch, weight, rates, config),
            Method::DartsSecondOrder => self.alternate(Self::second_order, arch, weight, rates, config),
        }
    }

    /// Architecture weights on a batch of the architecture half, then the search network on one of the weight half.
    /// As published, only the search network's gradient is clipped.
    fn alternate(
        &mut self,
        gradient: impl FnOnce(&Self, &Batch, &Batch, Rates, &mut StepReport) -> GradBuffer,
        arch: &Batch,
        weight: &Batch,
        rates: Rates,
        config: &Config,
    ) -> StepReport {
        let mut report = StepReport::default();
        self.prepare(&[Owner::Arch], config);
        let gradient = gradient(self, arch, weight, rates, &mut report);
        if report.non_finite().is_some() {
            return report;
        }
        self.grads.add(&[&self.nets.arch], &gradient, 1.0);
        self.optimisers.step(Owner::Arch, rates.arch, &mut self.nets, &mut self.grads);

        report.extended(self.warm_supernet(weight, rates, config))
    }

    /// ∇α L_val(w, α)
    fn first_order(&self, arch: &Batch, _: &Batch, _: Rates, report: &mut StepReport) -> GradBuffer {
        let (loss, _) = self.nets.search_label_loss(arch);
        report.term("arch_classify", &loss);
        let mut gradient = GradBuffer::default();
        if report.non_finite().is_none() {
            gradient.absorb(&mut loss.backward(), &[&self.nets.arch]);
        }
        gradient
    }

    /// ∇α L_val(w′(α), α), see [`crate::unrolled`].
    fn second_order(
        &self,
        arch: &Batch,
        weight: &Batch,
        rates: Rates,
        report: &mut StepReport,
    ) -> GradBuffer {
        let unrolling = Unrolling {
            nets: &self.nets,
            optimiser: &self.optimisers.supernet,
            rate: rates.supernet,
            radius: RADIUS,
        };
        let unrolled = unrolling.gradient(weight, arch);
        report.term("arch_classify", &unrolled.validation);
        unrolled.of(&self.nets.arch, rates.supernet)
    }
}

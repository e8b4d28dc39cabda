//! A step of the joint phase by each method: CDARTS; DARTS of first and second order (Liu et al., ICLR 2019,
//! algorithm 1) and GDAS (Dong and Yang, CVPR 2019), which have the search network alone and only its labels; random
//! search, which trains one network of random cells after another.

use cdarts_nets::Mixing;

use crate::config::{Config, Feedback, Method};
use crate::discretise::gumbel_noise;
use crate::grads::GradBuffer;
use crate::networks::Batch;
use crate::objective::penalty;
use crate::optimisers::Owner;
use crate::step::{Rates, SearchState, StepReport};
use crate::unrolled::{RADIUS, Unrolling};

/// Tells the draws of GDAS from all others of a seed.
const PURPOSE: u64 = 0x6764_6173;

/// What changes from step to step.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Learning rates.
    pub rates: Rates,
    /// Weight of the L1 penalty.
    pub penalty_weight: f64,
    /// Of the softmax that GDAS draws operations by.
    pub temperature: f64,
    /// The run's seed, the epoch's and the step's number: what is drawn follows from them.
    pub place: [u64; 3],
}

impl Moment {
    /// Gumbel noise for one of the step's two passes.
    fn gumbel(&self, pass: u64) -> impl FnMut() -> f64 {
        let [seed, epoch, step] = self.place;
        gumbel_noise([seed, PURPOSE, epoch, 2 * step + pass])
    }
}

impl SearchState {
    /// A step of the configured method on a batch of each half.
    pub fn architecture_step(
        &mut self,
        arch: &Batch,
        weight: &Batch,
        moment: &Moment,
        config: &Config,
    ) -> StepReport {
        let rates = moment.rates;
        let gradient = match config.search.method {
            Method::Cdarts if config.search.feedback == Feedback::None => Self::labels_and_penalty,
            Method::Cdarts => return self.joint(arch, weight, rates, moment.penalty_weight, config),
            Method::Random => return self.warm_eval(weight, rates, config),
            Method::DartsFirstOrder => Self::first_order,
            Method::DartsSecondOrder => Self::second_order,
            Method::Gdas => Self::drawn,
        };
        let step = Alternating { arch, weight, moment, config };
        self.alternate(gradient, &step)
    }

    /// Architecture weights on a batch of the architecture half, then the search network on one of the weight half.
    /// As DARTS is published, only the search network's gradient is clipped.
    fn alternate(
        &mut self,
        gradient: fn(&Self, &Alternating<'_>, &mut StepReport) -> GradBuffer,
        step: &Alternating<'_>,
    ) -> StepReport {
        let Alternating { weight, moment, config, .. } = *step;
        let mut report = StepReport::default();
        self.prepare(&[Owner::Arch], config);
        let gradient = gradient(self, step, &mut report);
        if report.non_finite().is_some() {
            return report;
        }
        self.grads.add(&[&self.nets.arch], &gradient, 1.0);
        self.optimisers.step(Owner::Arch, moment.rates.arch, &mut self.nets, &mut self.grads);

        let arch = self.arch_of_weight_step(config);
        let mixing = match config.search.method {
            Method::Gdas => arch.drawn_mixing(moment.temperature, &mut moment.gumbel(1)),
            _ => arch.mixing(),
        };
        report.extended(self.train_supernet(weight, &mixing, moment.rates, config))
    }

    /// ∇α L_val(w, α)
    fn first_order(&self, step: &Alternating<'_>, report: &mut StepReport) -> GradBuffer {
        self.label_gradient(step, &self.nets.arch.mixing(), 0.0, report)
    }

    /// ∇α of L_val(w, α) and the penalty: CDARTS where the evaluation network is never asked.
    fn labels_and_penalty(&self, step: &Alternating<'_>, report: &mut StepReport) -> GradBuffer {
        self.label_gradient(step, &self.nets.arch.mixing(), step.moment.penalty_weight, report)
    }

    /// ∇α L_val(w, α) where each edge has one operation.
    fn drawn(&self, step: &Alternating<'_>, report: &mut StepReport) -> GradBuffer {
        let moment = step.moment;
        let mixing = self.nets.arch.drawn_mixing(moment.temperature, &mut moment.gumbel(0));
        self.label_gradient(step, &mixing, 0.0, report)
    }

    fn label_gradient(
        &self,
        step: &Alternating<'_>,
        mixing: &Mixing,
        penalty_weight: f64,
        report: &mut StepReport,
    ) -> GradBuffer {
        // Whatever clipping counts, only the architecture weights' gradient leaves here.
        let (mut loss, _) = self.nets.with_frozen_cells().mixed_label_loss(step.arch, mixing);
        report.term("arch_classify", &loss);
        if penalty_weight > 0.0 {
            let penalty = penalty(&self.nets, penalty_weight, step.config);
            report.term("penalty", &penalty);
            loss = loss + penalty;
        }
        let mut gradient = GradBuffer::default();
        if report.non_finite().is_none() {
            gradient.absorb(&mut loss.backward(), &[&self.nets.arch]);
        }
        gradient
    }

    /// ∇α L_val(w′(α), α), see [`crate::unrolled`].
    fn second_order(&self, step: &Alternating<'_>, report: &mut StepReport) -> GradBuffer {
        let rate = step.moment.rates.supernet;
        let unrolling =
            Unrolling { nets: &self.nets, optimiser: &self.optimisers.supernet, rate, radius: RADIUS };
        let unrolled = unrolling.gradient(step.weight, step.arch);
        report.term("arch_classify", &unrolled.validation);
        unrolled.of(&self.nets.arch, rate)
    }
}

/// What a step of an alternating method is given.
#[derive(Clone, Copy)]
struct Alternating<'a> {
    arch: &'a Batch,
    weight: &'a Batch,
    moment: &'a Moment,
    config: &'a Config,
}

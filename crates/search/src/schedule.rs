//! The order of a run's phases (facts 1.3) and everything that changes with time: learning rates, the penalty,
//! drop path. Pure arithmetic.

use std::f64::consts::PI;

use cdarts_runs::Phase;

use crate::config::{Config, LrSchedule, Method};

/// How many epochs a run has of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Epochs of the weight bank's operations.
    pub bank_epochs: usize,
    /// Searches one after another: one for each stage, or a single one for all.
    pub searches: usize,
    /// Epochs of the search network alone, before the first search.
    pub warmup_epochs: usize,
    /// By how many that is less for each further search.
    pub warmup_decay: usize,
    /// Cycles of a search.
    pub cycles: usize,
    /// Epochs of a cycle's evaluation network alone.
    pub eval_warmup_epochs: usize,
    /// Joint epochs of a cycle.
    pub joint_epochs: usize,
    /// Epochs of the found network.
    pub retrain_epochs: usize,
    /// Whether cycles have an evaluation network.
    pub evaluation_network: bool,
    /// Whether every cycle is a search of its own, by a network of random cells.
    pub independent_cycles: bool,
}

impl Plan {
    /// The plan of a whole run.
    pub fn of(config: &Config) -> Self {
        let search = &config.search;
        let independent_cycles = search.method == Method::Random;
        Self {
            bank_epochs: search.bank_pretrain_epochs,
            searches: if search.one_stage { 1 } else { search.cells.len() },
            warmup_epochs: if independent_cycles { 0 } else { search.warmup_epochs },
            warmup_decay: search.warmup_decay,
            cycles: search.cycles,
            eval_warmup_epochs: if search.is_cyclic() { search.eval_warmup_epochs } else { 0 },
            joint_epochs: search.joint_epochs,
            retrain_epochs: config.retrain.epochs,
            evaluation_network: search.has_evaluation_network(),
            independent_cycles,
        }
    }

    /// The plan of training a given genotype.
    pub fn of_retraining(config: &Config) -> Self {
        let retrain_epochs = config.retrain.epochs;
        Self {
            bank_epochs: 0,
            searches: 1,
            warmup_epochs: 0,
            warmup_decay: 0,
            cycles: 0,
            eval_warmup_epochs: 0,
            joint_epochs: 0,
            retrain_epochs,
            evaluation_network: false,
            independent_cycles: false,
        }
    }

    /// Where a run begins.
    pub fn first(&self) -> Phase {
        if self.bank_epochs > 0 { Phase::PretrainBank { epoch: 0 } } else { self.before_cycle(0) }
    }

    /// What follows an epoch of `phase`.
    pub fn next(&self, phase: Phase) -> Phase {
        match phase {
            Phase::PretrainBank { epoch } if epoch + 1 < self.bank_epochs => {
                Phase::PretrainBank { epoch: epoch + 1 }
            }
            Phase::PretrainBank { .. } => self.before_cycle(0),
            Phase::WarmSupernet { before_cycle, epoch }
                if epoch + 1 < self.warmup_of(self.search_of(before_cycle)) =>
            {
                Phase::WarmSupernet { before_cycle, epoch: epoch + 1 }
            }
            Phase::WarmSupernet { before_cycle, .. } => self.cycle(before_cycle),
            Phase::WarmEval { cycle, epoch } if epoch + 1 < self.eval_warmup_epochs => {
                Phase::WarmEval { cycle, epoch: epoch + 1 }
            }
            Phase::WarmEval { cycle, .. } => self.joint(cycle),
            Phase::Joint { cycle, epoch } if epoch + 1 < self.joint_epochs => {
                Phase::Joint { cycle, epoch: epoch + 1 }
            }
            Phase::Joint { cycle, .. } => self.before_cycle(cycle + 1),
            Phase::Retrain { epoch } if epoch + 1 < self.retrain_epochs => {
                Phase::Retrain { epoch: epoch + 1 }
            }
            Phase::Retrain { .. } | Phase::Done => Phase::Done,
        }
    }

    /// What follows an epoch of `phase` where the search ends with it.
    pub fn after_search(&self, phase: Phase) -> Phase {
        match phase {
            Phase::Retrain { .. } | Phase::Done => self.next(phase),
            _ => self.cycle(self.all_cycles()),
        }
    }

    /// All phases from `phase` on, without [`Phase::Done`].
    pub fn from(&self, phase: Phase) -> impl Iterator<Item = Phase> {
        let plan = *self;
        std::iter::successors(Some(phase), move |&phase| Some(plan.next(phase)))
            .take_while(|&phase| phase != Phase::Done)
    }

    /// The search that a phase belongs to, which is the first stage that is still searched in it: 0 where all stages
    /// are searched at once.
    pub fn search(&self, phase: Phase) -> usize {
        match phase {
            Phase::PretrainBank { .. } => 0,
            Phase::WarmSupernet { before_cycle: cycle, .. }
            | Phase::WarmEval { cycle, .. }
            | Phase::Joint { cycle, .. } => self.search_of(cycle),
            Phase::Retrain { .. } | Phase::Done => self.searches - 1,
        }
    }

    /// Whether a further search begins with this epoch.
    pub fn begins_further_search(&self, phase: Phase) -> bool {
        let search = self.search(phase);
        search > 0 && phase == self.before_cycle(search * self.cycles)
    }

    /// Whether an evaluation network is built before this epoch: in every cycle, and for the stages that were
    /// searched before.
    pub fn builds_evalnet(&self, phase: Phase) -> bool {
        match phase {
            Phase::WarmSupernet { .. } => self.begins_further_search(phase),
            Phase::WarmEval { epoch, .. } => epoch == 0,
            Phase::Joint { epoch, .. } => {
                epoch == 0 && self.eval_warmup_epochs == 0 && self.evaluation_network
            }
            _ => false,
        }
    }

    /// Whether this epoch ends its cycle.
    pub fn ends_cycle(&self, phase: Phase) -> bool {
        matches!(phase, Phase::Joint { epoch, .. } if epoch + 1 == self.joint_epochs)
    }

    /// Whether this epoch ends its search.
    pub fn ends_search(&self, phase: Phase) -> bool {
        self.ends_cycle(phase) && phase.cycle().is_some_and(|cycle| (cycle + 1).is_multiple_of(self.cycles))
    }

    /// How many epochs over the weight half came before; for a phase that visits it.
    pub fn weight_half_epoch(&self, phase: Phase) -> usize {
        let warmups = |searches: usize| (0..searches).map(|search| self.warmup_of(search)).sum::<usize>();
        let search = self.search(phase);
        match phase {
            Phase::WarmSupernet { before_cycle, epoch } => {
                warmups(search) + before_cycle * self.joint_epochs + epoch
            }
            Phase::Joint { cycle, epoch } => warmups(search + 1) + cycle * self.joint_epochs + epoch,
            _ => 0,
        }
    }

    /// How many epochs over the architecture half came before; for a phase that visits it.
    pub fn arch_half_epoch(&self, phase: Phase) -> usize {
        let before = |cycle| cycle * (self.eval_warmup_epochs + self.joint_epochs);
        match phase {
            Phase::WarmEval { cycle, epoch } => before(cycle) + epoch,
            Phase::Joint { cycle, epoch } => before(cycle) + self.eval_warmup_epochs + epoch,
            _ => 0,
        }
    }

    /// Part of what its networks are trained for that lies before an epoch, 0 to 1.
    fn progress(&self, phase: Phase) -> f64 {
        match phase {
            Phase::Joint { epoch, .. } if self.independent_cycles => epoch as f64 / self.joint_epochs as f64,
            _ => self.search_progress(phase),
        }
    }

    /// Part of its search that lies before an epoch, 0 to 1.
    fn search_progress(&self, phase: Phase) -> f64 {
        let per_search = self.cycles * (self.eval_warmup_epochs + self.joint_epochs);
        let search = self.search(phase);
        let all = self.warmup_of(search) + per_search;
        let before = match phase {
            Phase::PretrainBank { .. } => 0,
            Phase::WarmSupernet { epoch, .. } => epoch,
            Phase::WarmEval { .. } | Phase::Joint { .. } => {
                self.warmup_of(search) + self.arch_half_epoch(phase) - search * per_search
            }
            Phase::Retrain { .. } | Phase::Done => all,
        };
        before as f64 / all.max(1) as f64
    }

    fn search_of(&self, cycle: usize) -> usize {
        cycle.checked_div(self.cycles).unwrap_or(0).min(self.searches - 1)
    }

    /// Warm-up epochs of a search.
    fn warmup_of(&self, search: usize) -> usize {
        self.warmup_epochs.saturating_sub(search * self.warmup_decay)
    }

    /// The warm-up that comes before a cycle, where it begins a search that has one; else the cycle.
    fn before_cycle(&self, cycle: usize) -> Phase {
        let begins_search = cycle == 0 || cycle.is_multiple_of(self.cycles) && cycle < self.all_cycles();
        if begins_search && self.warmup_of(self.search_of(cycle)) > 0 {
            Phase::WarmSupernet { before_cycle: cycle, epoch: 0 }
        } else {
            self.cycle(cycle)
        }
    }

    fn all_cycles(&self) -> usize {
        self.searches * self.cycles
    }

    fn cycle(&self, cycle: usize) -> Phase {
        if cycle < self.all_cycles() {
            if self.eval_warmup_epochs > 0 { Phase::WarmEval { cycle, epoch: 0 } } else { self.joint(cycle) }
        } else if self.retrain_epochs > 0 {
            Phase::Retrain { epoch: 0 }
        } else {
            Phase::Done
        }
    }

    fn joint(&self, cycle: usize) -> Phase {
        if self.joint_epochs > 0 { Phase::Joint { cycle, epoch: 0 } } else { self.before_cycle(cycle + 1) }
    }
}

/// Half a cosine from `from` to `to` in closed form, as `progress` goes from 0 to 1. The recursive form that
/// the published ImageNet run used multiplies errors of its warm-up (facts 5.2).
pub fn cosine(from: f64, to: f64, progress: f64) -> f64 {
    to + 0.5 * (from - to) * (1.0 + (PI * progress).cos())
}

/// The search's learning rate for a network whose first rate is `first`.
pub fn search_lr(config: &Config, plan: &Plan, first: f64, phase: Phase) -> f64 {
    match config.search.lr_schedule {
        LrSchedule::Constant => first,
        LrSchedule::Cosine => cosine(first, config.search.lr_min.min(first), plan.progress(phase)),
    }
}

/// The temperature of GDAS in an epoch.
pub fn gdas_temperature(config: &Config, plan: &Plan, phase: Phase) -> f64 {
    let [from, to] = config.search.gdas_temperature;
    from + (to - from) * plan.progress(phase)
}

/// The retraining's learning rate in an epoch: linear warm-up times a cosine to 0 (facts 5.1, 5.2).
pub fn retrain_lr(config: &Config, epoch: usize) -> f64 {
    let retrain = &config.retrain;
    let scheduled = cosine(retrain.lr, 0.0, epoch as f64 / retrain.epochs.max(1) as f64);
    if epoch < retrain.warmup_epochs {
        scheduled * (epoch + 1) as f64 / retrain.warmup_epochs as f64
    } else {
        scheduled
    }
}

/// The learning rate in an epoch of the bank's pre-training: a cosine to 0 (facts 1.9).
pub fn bank_lr(config: &Config, epoch: usize) -> f64 {
    cosine(config.retrain.lr, 0.0, epoch as f64 / config.search.bank_pretrain_epochs.max(1) as f64)
}

/// Probability of dropping a path in an epoch of the retraining (facts 5.1).
pub fn drop_path(last: f64, epoch: usize, epochs: usize) -> f64 {
    last * epoch as f64 / epochs.max(1) as f64
}

/// Weight of the L1 penalty in a joint epoch: falls linearly from `search.penalty` and stays at 0 once
/// `search.penalty_ratio` of the search's joint epochs are over (facts 1.5).
pub fn penalty_weight(config: &Config, phase: Phase) -> f64 {
    let search = &config.search;
    let Phase::Joint { cycle, epoch } = phase else { return 0.0 };
    let cycle = cycle.checked_rem(search.cycles).unwrap_or(0);
    let before = (cycle * search.joint_epochs + epoch) as f64;
    let all = (search.cycles * search.joint_epochs) as f64;
    (search.penalty * (1.0 - before / (all * search.penalty_ratio))).max(0.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Preset;

    fn plans() -> impl Strategy<Value = Plan> {
        let before = (0..3_usize, 1..4_usize, 0..4_usize, 0..3_usize);
        (before, 0..5_usize, 0..3_usize, 0..3_usize, 0..4_usize).prop_map(
            |(before, cycles, eval_warmup_epochs, joint_epochs, retrain_epochs)| {
                let (bank_epochs, searches, warmup_epochs, warmup_decay) = before;
                Plan {
                    bank_epochs,
                    // Without cycles there is no second search.
                    searches: if cycles > 0 { searches } else { 1 },
                    warmup_epochs,
                    warmup_decay,
                    cycles,
                    eval_warmup_epochs,
                    joint_epochs,
                    retrain_epochs,
                    evaluation_network: true,
                    independent_cycles: false,
                }
            },
        )
    }

    fn warmups(plan: &Plan) -> usize {
        (0..plan.searches).map(|search| plan.warmup_epochs.saturating_sub(search * plan.warmup_decay)).sum()
    }

    proptest! {
        #[test]
        fn every_plan_ends_with_every_epoch_once_and_in_order(plan in plans()) {
            let phases: Vec<Phase> = plan.from(plan.first()).take(1000).collect();
            let expected = plan.bank_epochs
                + warmups(&plan)
                + plan.searches * plan.cycles * (plan.eval_warmup_epochs + plan.joint_epochs)
                + plan.retrain_epochs;
            // Cycles without any epoch do not exist.
            prop_assert_eq!(phases.len(), expected);
            prop_assert!(phases.windows(2).all(|pair| pair[0] < pair[1]));
        }

        #[test]
        fn every_further_search_begins_once_with_an_evaluation_network_and_ends_once(plan in plans()) {
            prop_assume!(plan.joint_epochs > 0);
            let phases: Vec<Phase> = plan.from(plan.first()).collect();
            let begins: Vec<usize> = phases.iter().filter(|&&phase| plan.begins_further_search(phase))
                .map(|&phase| plan.search(phase)).collect();
            prop_assert_eq!(begins, (1..plan.searches).collect::<Vec<_>>());
            prop_assert!(phases.iter().all(|&p| !plan.begins_further_search(p) || plan.builds_evalnet(p)));
            let ends = phases.iter().filter(|&&phase| plan.ends_search(phase)).count();
            prop_assert_eq!(ends, if plan.cycles > 0 { plan.searches } else { 0 });
            let numbers: Vec<usize> = phases.iter().map(|&phase| plan.search(phase)).collect();
            prop_assert!(numbers.windows(2).all(|pair| pair[0] <= pair[1]));
        }

        #[test]
        fn resuming_anywhere_visits_exactly_the_rest(plan in plans(), at in 0..40_usize) {
            let phases: Vec<Phase> = plan.from(plan.first()).collect();
            if let Some(&phase) = phases.get(at) {
                prop_assert_eq!(plan.from(phase).collect::<Vec<_>>(), phases[at..].to_vec());
            }
        }

        #[test]
        fn every_pass_over_a_half_has_its_own_number(plan in plans()) {
            let phases: Vec<Phase> = plan.from(plan.first()).collect();
            let weight: Vec<usize> = phases.iter()
                .filter(|phase| matches!(phase, Phase::WarmSupernet { .. } | Phase::Joint { .. }))
                .map(|&phase| plan.weight_half_epoch(phase)).collect();
            let arch: Vec<usize> = phases.iter()
                .filter(|phase| matches!(phase, Phase::WarmEval { .. } | Phase::Joint { .. }))
                .map(|&phase| plan.arch_half_epoch(phase)).collect();
            prop_assert_eq!(&weight, &(0..weight.len()).collect::<Vec<_>>());
            prop_assert_eq!(&arch, &(0..arch.len()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_published_penalty_falls_to_zero_after_twenty_cycles() {
        let config = Preset::Official.config();
        let at = |cycle| penalty_weight(&config, Phase::Joint { cycle, epoch: 0 });
        assert_eq!(at(0), 5.0);
        // Facts 1.5: zero at t = 22.01 with two warm-up epochs, so after 20.01 cycles.
        assert!(at(20) > 0.0 && at(20) < 0.01, "{}", at(20));
        assert_eq!(at(21), 0.0);
        assert_eq!(penalty_weight(&config, Phase::WarmEval { cycle: 0, epoch: 0 }), 0.0);
    }

    #[test]
    fn the_imagenet_rate_is_the_closed_form() {
        let mut config = Preset::Corrected.config();
        (config.retrain.lr, config.retrain.epochs, config.retrain.warmup_epochs) = (0.5, 250, 5);
        let warmup: Vec<f64> = (0..5).map(|epoch| retrain_lr(&config, epoch)).collect();
        for (found, expected) in warmup.iter().zip([0.1, 0.2, 0.3, 0.4, 0.5]) {
            // The cosine has moved by less than 0.1 % after four of 250 epochs.
            assert!((found / expected - 1.0).abs() < 1e-3, "{warmup:?}");
        }
        assert!((retrain_lr(&config, 125) - 0.25).abs() < 1e-12);
    }

    #[test]
    fn a_cosine_search_ends_near_its_minimum_and_a_constant_one_stays() {
        let (corrected, official) = (Preset::Corrected.config(), Preset::Official.config());
        let plan = Plan::of(&corrected);
        let last = Phase::Joint { cycle: 29, epoch: 0 };
        assert_eq!(search_lr(&corrected, &plan, 0.08, plan.first()), 0.08);
        assert!(search_lr(&corrected, &plan, 0.08, last) < 0.0011);
        assert_eq!(search_lr(&official, &plan, 0.08, last), 0.08);
    }

    #[test]
    fn every_stages_search_starts_at_the_full_rate_and_the_full_penalty() {
        let mut config = Preset::Corrected.config();
        let search = &mut config.search;
        (search.one_stage, search.repeat_cell) = (false, false);
        (search.warmup_epochs, search.warmup_decay, search.cycles) = (2, 1, 5);
        let plan = Plan::of(&config);
        let warm = |before_cycle| Phase::WarmSupernet { before_cycle, epoch: 0 };
        assert_eq!([warm(0), warm(5)].map(|phase| search_lr(&config, &plan, 0.08, phase)), [0.08; 2]);
        // The third stage has no warm-up left.
        let third = Phase::WarmEval { cycle: 10, epoch: 0 };
        assert_eq!(plan.next(Phase::Joint { cycle: 9, epoch: 0 }), third);
        assert_eq!(search_lr(&config, &plan, 0.08, third), 0.08);
        let penalty = |cycle| penalty_weight(&config, Phase::Joint { cycle, epoch: 0 });
        assert_eq!([0, 5, 10].map(penalty), [5.0; 3]);
        assert!(penalty(4) == 0.0 && penalty(9) == 0.0);
    }
}

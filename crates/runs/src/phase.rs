//! Where a run is: the one value that trainer loop, resume point, progress bar, journal and dashboard share.
//!
//! Names of the phases: facts section 1.3 (warm-up of the search network, then per cycle a warm-up of the
//! evaluation network and joint epochs), pre-training: 1.9, retraining: facts section 5. What comes after what
//! is the trainer's plan; this file only orders the phases in time.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The part of a run that is under way. All indices count from 0; only `Display` counts from 1.
///
/// In JSON a phase is tagged: `{"phase":"joint","cycle":3,"epoch":0}`. Phases compare by the time at which they
/// come in a run.
///
/// ```
/// use cdarts_runs::Phase;
///
/// let joint = Phase::Joint { cycle: 3, epoch: 0 };
/// assert_eq!(joint.to_string(), "joint cycle 4 epoch 1");
/// assert!(joint < Phase::WarmEval { cycle: 4, epoch: 0 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// All operations of the weight bank are trained on both halves.
    PretrainBank {
        /// Epoch of the pre-training.
        epoch: usize,
    },
    /// The search network is trained alone on the weight half.
    WarmSupernet {
        /// The cycle that comes after this warm-up: 0, but for the later stages of a search stage by stage.
        #[serde(default, skip_serializing_if = "is_first")]
        before_cycle: usize,
        /// Epoch of the warm-up.
        epoch: usize,
    },
    /// A fresh evaluation network is trained alone on the architecture half.
    WarmEval {
        /// Cycle of the search.
        cycle: usize,
        /// Epoch within the cycle's warm-up.
        epoch: usize,
    },
    /// Both networks and the architecture weights are optimised jointly.
    Joint {
        /// Cycle of the search.
        cycle: usize,
        /// Epoch within the cycle's joint part.
        epoch: usize,
    },
    /// The found network is trained from scratch on both halves.
    Retrain {
        /// Epoch of the retraining.
        epoch: usize,
    },
    /// Nothing is left to do.
    Done,
}

fn is_first(cycle: &usize) -> bool {
    *cycle == 0
}

impl Phase {
    /// The phase's tag, as in JSON: `"pretrain_bank"`, `"warm_supernet"`, `"warm_eval"`, `"joint"`, `"retrain"` or
    /// `"done"`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PretrainBank { .. } => "pretrain_bank",
            Self::WarmSupernet { .. } => "warm_supernet",
            Self::WarmEval { .. } => "warm_eval",
            Self::Joint { .. } => "joint",
            Self::Retrain { .. } => "retrain",
            Self::Done => "done",
        }
    }

    /// The cycle, where the phase is part of one.
    #[must_use]
    pub fn cycle(self) -> Option<usize> {
        match self {
            Self::WarmEval { cycle, .. } | Self::Joint { cycle, .. } => Some(cycle),
            Self::PretrainBank { .. } | Self::WarmSupernet { .. } | Self::Retrain { .. } | Self::Done => None,
        }
    }

    /// The epoch within the phase; none once the run is done.
    #[must_use]
    pub fn epoch(self) -> Option<usize> {
        match self {
            Self::PretrainBank { epoch }
            | Self::WarmSupernet { epoch, .. }
            | Self::WarmEval { epoch, .. }
            | Self::Joint { epoch, .. }
            | Self::Retrain { epoch } => Some(epoch),
            Self::Done => None,
        }
    }

    /// Sorts by time: what comes before, in or after the cycles; the cycle; what comes before it and its parts; the
    /// epoch.
    fn time(self) -> (u8, usize, u8, usize) {
        match self {
            Self::PretrainBank { epoch } => (0, 0, 0, epoch),
            Self::WarmSupernet { before_cycle, epoch } => (1, before_cycle, 0, epoch),
            Self::WarmEval { cycle, epoch } => (1, cycle, 1, epoch),
            Self::Joint { cycle, epoch } => (1, cycle, 2, epoch),
            Self::Retrain { epoch } => (2, 0, 0, epoch),
            Self::Done => (3, 0, 0, 0),
        }
    }
}

impl Ord for Phase {
    fn cmp(&self, other: &Self) -> Ordering {
        self.time().cmp(&other.time())
    }
}

impl PartialOrd for Phase {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PretrainBank { epoch } => write!(f, "bank pre-training epoch {}", epoch + 1),
            Self::WarmSupernet { before_cycle: 0, epoch } => {
                write!(f, "supernet warm-up epoch {}", epoch + 1)
            }
            Self::WarmSupernet { before_cycle, epoch } => {
                write!(f, "supernet warm-up before cycle {} epoch {}", before_cycle + 1, epoch + 1)
            }
            Self::WarmEval { cycle, epoch } => {
                write!(f, "evaluation warm-up cycle {} epoch {}", cycle + 1, epoch + 1)
            }
            Self::Joint { cycle, epoch } => write!(f, "joint cycle {} epoch {}", cycle + 1, epoch + 1),
            Self::Retrain { epoch } => write!(f, "retrain epoch {}", epoch + 1),
            Self::Done => f.write_str("done"),
        }
    }
}

/// A point in a run: the next step to do.
///
/// In JSON the phase's fields and the step lie side by side: `{"phase":"retrain","epoch":9,"step":0}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The phase, with its epoch.
    #[serde(flatten)]
    pub phase: Phase,
    /// The next step to do within the epoch, counted from 0.
    pub step: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.phase {
            Phase::Done => self.phase.fmt(f),
            phase => write!(f, "{phase} step {}", self.step + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A whole small run, written out in the order of facts section 1.3; its second stage begins with cycle 2.
    fn run() -> Vec<Phase> {
        let mut phases = vec![
            Phase::PretrainBank { epoch: 0 },
            Phase::WarmSupernet { before_cycle: 0, epoch: 0 },
            Phase::WarmSupernet { before_cycle: 0, epoch: 1 },
        ];
        for cycle in 0..3 {
            if cycle == 2 {
                phases.push(Phase::WarmSupernet { before_cycle: 2, epoch: 0 });
            }
            phases.push(Phase::WarmEval { cycle, epoch: 0 });
            phases.push(Phase::WarmEval { cycle, epoch: 1 });
            phases.push(Phase::Joint { cycle, epoch: 0 });
            phases.push(Phase::Joint { cycle, epoch: 1 });
        }
        phases.extend([Phase::Retrain { epoch: 0 }, Phase::Retrain { epoch: 1 }, Phase::Done]);
        phases
    }

    #[test]
    fn order_is_the_order_of_time() {
        let phases = run();
        for (i, a) in phases.iter().enumerate() {
            for (j, b) in phases.iter().enumerate() {
                assert_eq!(a.cmp(b), i.cmp(&j), "{a} against {b}");
            }
        }
    }

    #[test]
    fn people_count_from_one() {
        let text: Vec<String> = run().iter().map(Phase::to_string).collect();
        assert_eq!(text[0], "bank pre-training epoch 1");
        assert_eq!(text[1], "supernet warm-up epoch 1");
        assert_eq!(text[4], "evaluation warm-up cycle 1 epoch 2");
        assert_eq!(text[9], "joint cycle 2 epoch 1");
        assert_eq!(text[11], "supernet warm-up before cycle 3 epoch 1");
        assert_eq!(text[16], "retrain epoch 1");
        assert_eq!(text[18], "done");
        let position = Position { phase: Phase::Joint { cycle: 3, epoch: 0 }, step: 11 };
        assert_eq!(position.to_string(), "joint cycle 4 epoch 1 step 12");
        assert_eq!(Position { phase: Phase::Done, step: 0 }.to_string(), "done");
    }

    #[test]
    fn json_has_the_documented_form() {
        let position = Position { phase: Phase::Joint { cycle: 3, epoch: 0 }, step: 7 };
        assert_eq!(
            serde_json::to_string(&position).unwrap(),
            r#"{"phase":"joint","cycle":3,"epoch":0,"step":7}"#
        );
        assert_eq!(serde_json::to_string(&Phase::Done).unwrap(), r#"{"phase":"done"}"#);
        let first = Phase::WarmSupernet { before_cycle: 0, epoch: 1 };
        assert_eq!(serde_json::to_string(&first).unwrap(), r#"{"phase":"warm_supernet","epoch":1}"#);
        assert_eq!(serde_json::from_str::<Phase>(r#"{"phase":"warm_supernet","epoch":1}"#).unwrap(), first);
        let later = Phase::WarmSupernet { before_cycle: 4, epoch: 0 };
        let json = r#"{"phase":"warm_supernet","before_cycle":4,"epoch":0}"#;
        assert_eq!(serde_json::to_string(&later).unwrap(), json);
    }

    #[test]
    fn name_is_the_json_tag() {
        for phase in run() {
            let json = serde_json::to_value(phase).unwrap();
            assert_eq!(json["phase"], phase.name());
            assert_eq!(json.get("cycle").and_then(|c| c.as_u64()), phase.cycle().map(|c| c as u64));
            assert_eq!(json.get("epoch").and_then(|e| e.as_u64()), phase.epoch().map(|e| e as u64));
        }
    }

    proptest! {
        #[test]
        fn positions_survive_json(kind in 0..6_u8, cycle: usize, epoch: usize, step: usize) {
            let phase = match kind {
                0 => Phase::WarmSupernet { before_cycle: cycle, epoch },
                5 => Phase::PretrainBank { epoch },
                1 => Phase::WarmEval { cycle, epoch },
                2 => Phase::Joint { cycle, epoch },
                3 => Phase::Retrain { epoch },
                _ => Phase::Done,
            };
            let position = Position { phase, step };
            let json = serde_json::to_string(&position).unwrap();
            prop_assert_eq!(serde_json::from_str::<Position>(&json).unwrap(), position);
        }
    }
}

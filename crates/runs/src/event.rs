//! What a journal's lines say. The event enum is the contract between the trainer and everything that shows a
//! run: progress bar, report and dashboard read these and nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::number;
use crate::phase::Phase;

/// One line of the journal.
///
/// ```
/// use cdarts_runs::{Event, Record};
///
/// let line = r#"{"seq":0,"at_seconds":0.0,"event":"run_started","version":"0.1.0","seed":1}"#;
/// let record: Record = serde_json::from_str(line)?;
/// assert_eq!(record.event, Event::RunStarted { version: "0.1.0".into(), seed: 1 });
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Position in the journal, from 0, without gaps.
    pub seq: u64,
    /// Seconds of wall time the run has been worked on, pauses between a stop and a resume not counted.
    pub at_seconds: f64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened in a run.
///
/// Loss terms are logged each by itself, keyed by name (`"classify"`, `"distill"`, …), as the mean over the
/// examples seen. Values may be NaN or infinite. Accuracies are shares of 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The first record of every journal.
    RunStarted {
        /// The program's version.
        version: String,
        /// The seed everything random is drawn from.
        seed: u64,
    },
    /// A stopped run goes on.
    Resumed {
        /// The phase it goes on in.
        #[serde(flatten)]
        phase: Phase,
        /// The next step to do.
        step: usize,
    },
    /// A step within an epoch; written every few steps, not for each.
    Step {
        /// The phase, with its epoch.
        #[serde(flatten)]
        phase: Phase,
        /// The step, counted from 0 within the epoch.
        step: usize,
        /// Loss terms of this step.
        #[serde(with = "number::by_name")]
        terms: BTreeMap<String, f64>,
        /// Learning rates by optimiser: `"bank"`, `"supernet"`, `"eval"`, `"arch"`, `"retrain"`.
        #[serde(with = "number::by_name")]
        learning_rates: BTreeMap<String, f64>,
    },
    /// An epoch has ended.
    Epoch {
        /// The phase, with its epoch.
        #[serde(flatten)]
        phase: Phase,
        /// Steps done in it.
        steps: usize,
        /// Loss terms, averaged over the epoch.
        #[serde(with = "number::by_name")]
        terms: BTreeMap<String, f64>,
        /// Accuracy on the epoch's own batches, by network: `"bank"`, `"supernet"`, `"eval"`, `"found"`.
        #[serde(with = "number::by_name")]
        accuracy: BTreeMap<String, f64>,
    },
    /// The architecture weights were discretised at the end of a cycle.
    Genotype {
        /// The cycle that has ended.
        cycle: usize,
        /// The genotype in its text form; a file of stages where each stage has its own.
        text: String,
        /// Skip connections among the kept operations, of the stage that has the most: many of them are the sign of
        /// a collapse.
        skip_count: usize,
        /// Mean entropy of the architecture softmax over all edges, in nats.
        #[serde(with = "number::scalar")]
        alpha_entropy: f64,
    },
    /// Random cells were scored at the end of a cycle.
    Candidate {
        /// The cycle that has ended.
        cycle: usize,
        /// The cells in their text form.
        text: String,
        /// Share of images of the architecture half that their network classified rightly.
        #[serde(with = "number::scalar")]
        accuracy: f64,
    },
    /// The state of the architecture weights at the end of a cycle: whether the search is collapsing.
    Watch {
        /// The cycle that has ended.
        cycle: usize,
        /// Skip connections of what the weights prefer.
        skip_count: usize,
        /// Edges without connection of what they prefer.
        none_count: usize,
        /// Mean entropy of the architecture softmax over all edges, in nats.
        #[serde(with = "number::scalar")]
        alpha_entropy: f64,
        /// Largest eigenvalue of the Hessian of the search network's loss in them, on a batch of the architecture
        /// half; none where it is switched off.
        hessian_eigenvalue: Option<f64>,
        /// What is wrong, if anything.
        alarm: Option<String>,
    },
    /// The search ends here because of an alarm.
    Collapse {
        /// The cycle that has ended.
        cycle: usize,
        /// The genotype that the run goes on with.
        text: String,
    },
    /// A loss term was NaN or infinite.
    NonFinite {
        /// The phase, with its epoch.
        #[serde(flatten)]
        phase: Phase,
        /// The step that produced it.
        step: usize,
        /// The term's name.
        term: String,
    },
    /// A checkpoint is about to be saved; it holds this record's sequence number.
    Checkpoint {
        /// The phase it will resume in.
        #[serde(flatten)]
        phase: Phase,
        /// The step it will resume with.
        step: usize,
        /// Its file name.
        name: String,
    },
    /// The network under retraining was scored on held-out training data.
    Validation {
        /// The retraining epoch.
        epoch: usize,
        /// Share of examples classified rightly.
        #[serde(with = "number::scalar")]
        accuracy: f64,
    },
    /// The test split was read, once, at the end.
    Test {
        /// `correct / total`.
        #[serde(with = "number::scalar")]
        accuracy: f64,
        /// Examples classified rightly.
        correct: usize,
        /// Examples in the test split.
        total: usize,
    },
    /// The found cell was looked up in a table of accuracies, once, after the end.
    Table {
        /// The table's column: a data set.
        column: String,
        /// In percent.
        #[serde(with = "number::scalar")]
        accuracy: f64,
        /// One more than there are better cells.
        rank: usize,
        /// Cells in percent of all that are no better.
        #[serde(with = "number::scalar")]
        percentile: f64,
        /// Percentage points below the best.
        #[serde(with = "number::scalar")]
        regret: f64,
    },
    /// How well the search network orders cells, compared with a table of accuracies after the end.
    Ranking {
        /// The table's column: a data set.
        column: String,
        /// Cells compared, drawn at random.
        cells: usize,
        /// Validation images that the search network classified for each.
        images: usize,
        /// Kendall's tau-b.
        #[serde(with = "number::scalar")]
        kendall_tau: f64,
        /// Spearman's rho.
        #[serde(with = "number::scalar")]
        spearman_rho: f64,
    },
    /// The run is complete.
    Finished {
        /// Wall time of the search, in seconds.
        seconds_search: f64,
        /// Wall time of the retraining, in seconds.
        seconds_retrain: f64,
    },
}

impl Event {
    /// Whether the event tells of the machinery rather than of the result. A run that was stopped and resumed
    /// differs from one that never was in these events only.
    #[must_use]
    pub fn is_bookkeeping(&self) -> bool {
        matches!(self, Self::Resumed { .. } | Self::Checkpoint { .. })
    }
}

/// Top-level keys that hold wall times, or that shift when bookkeeping is left out.
const NOT_COMPARED: [&str; 4] = ["seq", "at_seconds", "seconds_search", "seconds_retrain"];

impl Record {
    /// The record without wall times and without its sequence number, which a resume shifts. Equal values mean
    /// that the same happened; NaN equals NaN here.
    #[must_use]
    pub fn comparable(&self) -> serde_json::Value {
        // A record holds nothing that JSON cannot: keys are strings, and numbers were taken care of.
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Some(fields) = value.as_object_mut() {
            for key in NOT_COMPARED {
                fields.remove(key);
            }
        }
        value
    }
}

/// What two journals of the same run must agree on: every record that is not bookkeeping, in comparable form.
#[must_use]
pub fn comparable_records(records: &[Record]) -> Vec<serde_json::Value> {
    records.iter().filter(|record| !record.event.is_bookkeeping()).map(Record::comparable).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn phase() -> impl Strategy<Value = Phase> {
        (0..5_u8, 0..99_usize, 0..999_usize).prop_map(|(kind, cycle, epoch)| match kind {
            0 => Phase::WarmSupernet { before_cycle: cycle, epoch },
            1 => Phase::WarmEval { cycle, epoch },
            2 => Phase::Joint { cycle, epoch },
            3 => Phase::Retrain { epoch },
            _ => Phase::Done,
        })
    }

    fn finite() -> impl Strategy<Value = f64> {
        any::<f64>().prop_filter("NaN is unequal to itself", |value| !value.is_nan())
    }

    fn by_name() -> impl Strategy<Value = BTreeMap<String, f64>> {
        proptest::collection::btree_map("\\PC{0,12}", finite(), 0..4)
    }

    /// Any event but those with NaN, which would make comparisons by `==` fail.
    pub(crate) fn event() -> impl Strategy<Value = Event> {
        let text = ".{0,20}";
        prop_oneof![
            (text, any::<u64>()).prop_map(|(version, seed)| Event::RunStarted { version, seed }),
            (phase(), any::<usize>()).prop_map(|(phase, step)| Event::Resumed { phase, step }),
            (phase(), any::<usize>(), by_name(), by_name()).prop_map(
                |(phase, step, terms, learning_rates)| Event::Step { phase, step, terms, learning_rates }
            ),
            (phase(), any::<usize>(), by_name(), by_name())
                .prop_map(|(phase, steps, terms, accuracy)| Event::Epoch { phase, steps, terms, accuracy }),
            (any::<usize>(), text, any::<usize>(), finite()).prop_map(
                |(cycle, text, skip_count, alpha_entropy)| {
                    Event::Genotype { cycle, text, skip_count, alpha_entropy }
                }
            ),
            (any::<usize>(), text, finite()).prop_map(|(cycle, text, accuracy)| Event::Candidate {
                cycle,
                text,
                accuracy
            }),
            (
                [any::<usize>(), any::<usize>(), any::<usize>()],
                finite(),
                proptest::option::of(0.0..1e9),
                proptest::option::of(text)
            )
                .prop_map(
                    |([cycle, skip_count, none_count], alpha_entropy, hessian_eigenvalue, alarm)| {
                        Event::Watch {
                            cycle,
                            skip_count,
                            none_count,
                            alpha_entropy,
                            hessian_eigenvalue,
                            alarm,
                        }
                    }
                ),
            (any::<usize>(), text).prop_map(|(cycle, text)| Event::Collapse { cycle, text }),
            (phase(), any::<usize>(), text).prop_map(|(phase, step, term)| Event::NonFinite {
                phase,
                step,
                term
            }),
            (phase(), any::<usize>(), text).prop_map(|(phase, step, name)| Event::Checkpoint {
                phase,
                step,
                name
            }),
            (any::<usize>(), finite()).prop_map(|(epoch, accuracy)| Event::Validation { epoch, accuracy }),
            (finite(), any::<usize>(), any::<usize>()).prop_map(|(accuracy, correct, total)| Event::Test {
                accuracy,
                correct,
                total
            }),
            (text, finite(), any::<usize>(), finite(), finite()).prop_map(
                |(column, accuracy, rank, percentile, regret)| Event::Table {
                    column,
                    accuracy,
                    rank,
                    percentile,
                    regret
                }
            ),
            (text, any::<usize>(), any::<usize>(), finite(), finite()).prop_map(
                |(column, cells, images, kendall_tau, spearman_rho)| Event::Ranking {
                    column,
                    cells,
                    images,
                    kendall_tau,
                    spearman_rho
                }
            ),
            (0.0..1e9, 0.0..1e9).prop_map(|(seconds_search, seconds_retrain)| Event::Finished {
                seconds_search,
                seconds_retrain
            }),
        ]
    }

    #[test]
    fn a_line_is_flat() {
        let event = Event::Step {
            phase: Phase::Joint { cycle: 3, epoch: 0 },
            step: 20,
            terms: BTreeMap::from([("classify".to_owned(), 0.1), ("distill".to_owned(), f64::NAN)]),
            learning_rates: BTreeMap::from([("arch".to_owned(), 3e-4)]),
        };
        let line = serde_json::to_string(&Record { seq: 5, at_seconds: 1.5, event }).unwrap();
        assert_eq!(
            line,
            r#"{"seq":5,"at_seconds":1.5,"event":"step","phase":"joint","cycle":3,"epoch":0,"step":20,"#
                .to_owned()
                + r#""terms":{"classify":0.1,"distill":"NaN"},"learning_rates":{"arch":0.0003}}"#
        );
    }

    #[test]
    fn wall_times_and_numbering_are_not_compared() {
        let finished = |seq, at_seconds, seconds_search| Record {
            seq,
            at_seconds,
            event: Event::Finished { seconds_search, seconds_retrain: 1.0 },
        };
        assert_eq!(finished(3, 10.0, 9.0).comparable(), finished(4, 20.0, 19.0).comparable());
        let validation =
            |accuracy| Record { seq: 0, at_seconds: 0.0, event: Event::Validation { epoch: 2, accuracy } };
        assert_ne!(validation(0.5).comparable(), validation(0.5_f64.next_up()).comparable());
        assert_eq!(validation(f64::NAN).comparable(), validation(f64::NAN).comparable());
    }

    #[test]
    fn bookkeeping_is_left_out() {
        let phase = Phase::Retrain { epoch: 0 };
        let events = [
            Event::RunStarted { version: "1".into(), seed: 2 },
            Event::Checkpoint { phase, step: 0, name: "000001.ckpt".into() },
            Event::Resumed { phase, step: 0 },
            Event::Validation { epoch: 0, accuracy: 0.9 },
        ];
        let records: Vec<Record> =
            (0..).zip(events).map(|(seq, event)| Record { seq, at_seconds: 0.0, event }).collect();
        let compared = comparable_records(&records);
        assert_eq!(compared, [records[0].comparable(), records[3].comparable()]);
    }

    #[test]
    fn unknown_events_are_errors() {
        let line = r#"{"seq":0,"at_seconds":0.0,"event":"party"}"#;
        let error = serde_json::from_str::<Record>(line).unwrap_err().to_string();
        assert!(error.contains("party"), "{error}");
    }

    proptest! {
        #[test]
        fn records_survive_json(event in event(), seq: u64, at_seconds in 0.0..1e9) {
            let record = Record { seq, at_seconds, event };
            let line = serde_json::to_string(&record).unwrap();
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
        }
    }
}

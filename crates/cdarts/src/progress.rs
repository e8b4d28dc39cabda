//! Following a run: a bar where a terminal can draw one, a line an epoch elsewhere, JSON for programs. All of it on
//! standard error.

use std::collections::BTreeMap;
use std::path::Path;

use cdarts_runs::Event;
use cdarts_search::{Observer, Overview, Progress};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::interrupt::Interrupt;
use crate::summary;
use crate::terminal;
use crate::wording::{counted, percent, seconds};

/// How to show progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// A bar on a terminal, a line an epoch elsewhere
    #[default]
    Auto,
    /// A bar
    Bar,
    /// A JSON object a line: one for every step and every event of the journal
    Json,
    /// Nothing
    None,
}

/// Shows a run's progress and passes on the wish to stop.
pub struct Follower {
    view: View,
    interrupt: Interrupt,
    /// The line of the epoch that has just ended; events that follow at once add to it.
    line: Option<String>,
    /// Epochs done and all there are, and seconds left, after the last step.
    standing: ([usize; 2], f64),
    estimated: bool,
}

enum View {
    Bar(ProgressBar),
    Lines,
    Json,
    Nothing,
}

/// Steps before the time left is worth telling: the first is slower, for it takes its memory.
const STEPS_TO_ESTIMATE: usize = 3;

/// The wide bar takes what the rest of its line leaves; the second line is cut at the terminal's edge.
const TEMPLATE: &str = "{prefix} {wide_bar:.cyan/dim} {pos}/{len}\n{wide_msg}";

impl Follower {
    /// Shows as `mode` says; stops when `interrupt` was asked to.
    pub fn new(mode: ProgressMode, interrupt: Interrupt) -> Self {
        let view = match mode {
            ProgressMode::Auto if terminal::can_draw() => View::Bar(bar()),
            ProgressMode::Auto => View::Lines,
            ProgressMode::Bar => View::Bar(bar()),
            ProgressMode::Json => View::Json,
            ProgressMode::None => View::Nothing,
        };
        Self { view, interrupt, line: None, standing: ([0, 0], f64::NAN), estimated: false }
    }

    /// Says what is going to happen, and where it is written down.
    pub fn introduce(&self, overview: &Overview, run: &Path) {
        let run = run.display().to_string();
        match &self.view {
            View::Bar(_) | View::Lines => {
                terminal::tell(&summary::overview(overview));
                terminal::tell(&summary::row("run folder", &run));
            }
            View::Json => tell_json(&json!({ "event": "overview", "run_dir": run, "overview": overview })),
            View::Nothing => {}
        }
    }

    /// Takes the bar off the screen.
    pub fn clear(&mut self) {
        self.flush();
        if let View::Bar(bar) = &self.view {
            bar.finish_and_clear();
        }
    }

    fn say(&self, line: &str) {
        match &self.view {
            View::Bar(bar) => bar.suspend(|| terminal::tell(line)),
            View::Lines => terminal::tell(line),
            View::Json | View::Nothing => {}
        }
    }

    fn flush(&mut self) {
        if let Some(line) = self.line.take() {
            let (_, left) = self.standing;
            let left = if left.is_finite() { format!("  {} left", seconds(left)) } else { String::new() };
            self.say(&(line + &left));
        }
    }

    fn estimate(&mut self, progress: &Progress) {
        if !self.estimated && progress.step >= STEPS_TO_ESTIMATE.min(progress.steps) {
            self.estimated = true;
            self.say(&summary::row(
                "time",
                &format!("about {}, by the first steps", seconds(progress.seconds_left)),
            ));
        }
    }
}

impl Observer for Follower {
    fn progress(&mut self, progress: &Progress) {
        self.standing = (progress.epochs, progress.seconds_left);
        self.estimate(progress);
        match &self.view {
            View::Bar(bar) => {
                let [before, all] = progress.epochs;
                bar.set_length(progress.steps as u64);
                bar.set_position(progress.step as u64);
                bar.set_prefix(format!("{} [{}/{all}]", progress.phase, before + 1));
                bar.set_message(format!(
                    "{} left  {:.0} images/s  {}",
                    seconds(progress.seconds_left),
                    progress.images_per_second,
                    measured(&progress.terms, &progress.accuracy)
                ));
            }
            View::Json => tell_json(&as_json(progress)),
            View::Lines | View::Nothing => {}
        }
    }

    fn event(&mut self, event: &Event) {
        if let View::Json = self.view {
            // An event that has no JSON form would have stopped the journal.
            tell_json(&serde_json::to_value(event).unwrap_or_default());
            return;
        }
        match (event, &mut self.line) {
            (Event::Epoch { phase, terms, accuracy, .. }, _) => {
                self.flush();
                let [before, all] = self.standing.0;
                self.line = Some(format!(
                    "[{:>width$}/{all}] {phase}  {}",
                    before + 1,
                    measured(terms, accuracy),
                    width = all.to_string().len(),
                ));
            }
            (Event::Genotype { skip_count, alpha_entropy, .. }, Some(line)) => {
                let skips = counted(*skip_count, "skip");
                line.push_str(&format!("  genotype: {skips}, entropy {alpha_entropy:.2} nats"));
            }
            (Event::Candidate { accuracy, .. }, Some(line)) => {
                line.push_str(&format!("  candidate {}", percent(*accuracy)));
            }
            (Event::Watch { hessian_eigenvalue, alarm, .. }, Some(line)) => {
                if let Some(eigenvalue) = hessian_eigenvalue {
                    line.push_str(&format!(", eigenvalue {eigenvalue:.3}"));
                }
                if let Some(alarm) = alarm {
                    line.push_str(&format!("  ALARM: {alarm}"));
                }
            }
            (Event::Validation { accuracy, .. }, Some(line)) => {
                line.push_str(&format!("  validation {}", percent(*accuracy)));
            }
            (Event::Step { .. }, _) => {}
            _ => self.flush(),
        }
    }

    fn stop(&mut self) -> bool {
        self.interrupt.asked()
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(1);
    if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
        bar.set_style(style);
    }
    bar
}

/// `loss eval 0.512 supernet 0.731  accuracy eval 91.02 %`
fn measured<N: AsRef<str>>(terms: &BTreeMap<N, f64>, accuracy: &BTreeMap<N, f64>) -> String {
    let loss = |(name, value): (&N, &f64)| {
        let name = name.as_ref().trim_end_matches("_classify");
        format!(" {name} {value:.3}")
    };
    let losses: String = terms.iter().map(loss).collect();
    let shares: String =
        accuracy.iter().map(|(name, &share)| format!(" {} {}", name.as_ref(), percent(share))).collect();
    format!("loss{losses}  accuracy{shares}")
}

fn as_json(progress: &Progress) -> Value {
    let mut value = json!({
        "event": "progress",
        "step": progress.step,
        "steps": progress.steps,
        "epochs": progress.epochs,
        "terms": progress.terms,
        "accuracy": progress.accuracy,
        "images_per_second": progress.images_per_second,
        "seconds_left": progress.seconds_left,
    });
    if let (Some(fields), Ok(Value::Object(phase))) =
        (value.as_object_mut(), serde_json::to_value(progress.phase))
    {
        fields.extend(phase);
    }
    value
}

fn tell_json(value: &Value) {
    terminal::tell(&value.to_string());
}

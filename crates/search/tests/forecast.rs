//! The early estimate of the final score, tried on curves of retrainings that ended: `fixtures/validation_curves.json`,
//! validation accuracies of `cdarts retrain` and `cdarts search`, epoch by epoch. Those of seed 1 chose the estimate's one
//! constant; the others did not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use cdarts_search::forecast::forecast;
use serde::Deserialize;

#[derive(Deserialize)]
struct Curve {
    name: String,
    images: usize,
    accuracy: Vec<f64>,
}

/// How estimates did.
#[derive(Debug, Default)]
struct Record {
    estimates: usize,
    within: usize,
    missed_by: f64,
    bias: f64,
    width: f64,
}

impl Record {
    fn add(&mut self, curve: &Curve) {
        let epochs = curve.accuracy.len();
        let end = curve.accuracy[epochs - 1];
        for done in 1..epochs {
            let Some(told) = forecast(&curve.accuracy[..done], curve.images, epochs) else { continue };
            self.estimates += 1;
            self.within += usize::from((told.low..=told.high).contains(&end));
            self.missed_by += (told.accuracy - end).abs();
            self.bias += told.accuracy - end;
            self.width += told.high - told.low;
        }
    }

    fn of(&self, sum: f64) -> f64 {
        sum / self.estimates as f64
    }
}

#[test]
fn nine_of_ten_runs_end_within_the_interval() {
    let curves: Vec<Curve> = serde_json::from_str(include_str!("fixtures/validation_curves.json")).unwrap();
    let (mut chosen_by, mut held_out) = (Record::default(), Record::default());
    for curve in &curves {
        if curve.name.ends_with("seed 1") { &mut chosen_by } else { &mut held_out }.add(curve);
    }
    for (name, record) in [("seed 1", chosen_by), ("other seeds", held_out)] {
        let within = record.of(record.within as f64);
        let [missed, bias, width] = [record.missed_by, record.bias, record.width].map(|sum| record.of(sum));
        println!(
            "{name}: {} estimates, {within:.3} within, missed by {missed:.4}, bias {bias:+.4}, width {width:.3}",
            record.estimates
        );
        assert!(record.estimates >= 50, "{name}: {record:?}");
        assert!(within >= 0.9, "{name}: {within} within");
        assert!(missed < 0.025 && bias.abs() < 0.02, "{name}: missed by {missed}, {bias}");
        // An interval from 0 to 1 would hold everything and say nothing.
        assert!(width < 0.15, "{name}: {width} wide");
    }
}

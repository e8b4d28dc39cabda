//! Architecture weights: raw logits as the search network learns them (facts section 6).

use serde::{Deserialize, Serialize};

use super::{EDGES, Genotype, Op};
use crate::SpaceError;
use crate::alphas::{entropy, finite, softmax};

/// Raw logits of the one cell that stands everywhere in the network: no softmax has been taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alphas {
    /// One row an edge, in edge order; one logit an operation, in index order.
    pub alpha: [[f32; Op::COUNT]; EDGES],
}

impl Alphas {
    /// All logits zero: every operation weighs the same.
    pub fn zeros() -> Self {
        Self { alpha: [[0.0; Op::COUNT]; EDGES] }
    }

    /// Checks the values.
    ///
    /// # Errors
    ///
    /// [`SpaceError::NonFinite`] for a logit that is NaN or infinite.
    pub fn validate(&self) -> Result<(), SpaceError> {
        let mut logits =
            self.alpha.iter().enumerate().flat_map(|(edge, row)| row.iter().map(move |&l| (edge, l)));
        logits.try_for_each(|(edge, logit)| finite("alpha", edge, logit))
    }

    /// Weight of every operation on every edge: the softmax of each row.
    ///
    /// # Errors
    ///
    /// As [`Alphas::validate`].
    pub fn weights(&self) -> Result<[[f64; Op::COUNT]; EDGES], SpaceError> {
        self.validate()?;
        let mut weights = [[0.0; Op::COUNT]; EDGES];
        for (row, logits) in weights.iter_mut().zip(&self.alpha) {
            row.copy_from_slice(&softmax(logits));
        }
        Ok(weights)
    }

    /// Mean over the edges of the entropy of the weights, in nats: ln 5 when nothing is decided, 0 when everything
    /// is.
    ///
    /// # Errors
    ///
    /// As [`Alphas::validate`].
    pub fn entropy(&self) -> Result<f64, SpaceError> {
        let total: f64 = self.weights()?.iter().map(|row| entropy(row)).sum();
        Ok(total / EDGES as f64)
    }

    /// A cell drawn at random, as likely as the weights make it: on every edge the operation whose logit plus Gumbel
    /// noise is largest (Gumbel-max).
    ///
    /// `gumbel` gives the next value of the noise, -ln(-ln u) with u uniform in (0, 1).
    ///
    /// # Errors
    ///
    /// As [`Alphas::validate`].
    pub fn sample(&self, gumbel: &mut dyn FnMut() -> f64) -> Result<Genotype, SpaceError> {
        self.validate()?;
        let draw = |row: &[f32; Op::COUNT]| {
            let noisy = Op::ALL.map(|op| (f64::from(row[op.index()]) + gumbel(), op));
            noisy.into_iter().fold(noisy[0], |best, one| if one.0 > best.0 { one } else { best }).1
        };
        Ok(Genotype { ops: self.alpha.each_ref().map(draw) })
    }

    /// The cell that the weights stand for: on every edge the operation that weighs most, `none` included; of equal
    /// ones that with the lower index.
    ///
    /// # Errors
    ///
    /// As [`Alphas::validate`].
    pub fn discretise(&self) -> Result<Genotype, SpaceError> {
        self.validate()?;
        let best = |row: &[f32; Op::COUNT]| {
            Op::ALL
                .into_iter()
                .fold(Op::None, |best, op| if row[op.index()] > row[best.index()] { op } else { best })
        };
        Ok(Genotype { ops: self.alpha.each_ref().map(best) })
    }
}

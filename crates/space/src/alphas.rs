//! Architecture weights of a cell: raw logits as the search network learns them (facts 1.1).

use serde::{Deserialize, Serialize};

use crate::{EDGES, Genotype, Op, SpaceError, discretise};

/// Raw logits of one cell: no softmax has been taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellAlphas {
    /// One row an edge ([`EDGES`] rows), one logit an operation in index order.
    pub alpha: Vec<[f32; Op::COUNT]>,
    /// One logit an edge; the softmax is taken over the edges that enter the same node.
    pub beta: Vec<f32>,
}

impl CellAlphas {
    /// All logits zero: every operation and every edge weighs the same.
    pub fn zeros() -> Self {
        Self { alpha: vec![[0.0; Op::COUNT]; EDGES], beta: vec![0.0; EDGES] }
    }

    /// Checks shape and values.
    ///
    /// # Errors
    ///
    /// [`SpaceError::EdgeCount`] for another number of rows than [`EDGES`], [`SpaceError::NonFinite`] for
    /// a logit that is NaN or infinite.
    pub fn validate(&self) -> Result<(), SpaceError> {
        for (what, found) in [("alpha", self.alpha.len()), ("beta", self.beta.len())] {
            if found != EDGES {
                return Err(SpaceError::EdgeCount { what, found });
            }
        }
        for (edge, row) in self.alpha.iter().enumerate() {
            row.iter().try_for_each(|&logit| finite("alpha", edge, logit))?;
        }
        self.beta.iter().enumerate().try_for_each(|(edge, &logit)| finite("beta", edge, logit))
    }

    /// Mean over the edges of the entropy of softmax(alpha), in nats: ln 8 when nothing is decided, 0 when
    /// everything is.
    ///
    /// # Errors
    ///
    /// As [`CellAlphas::validate`].
    pub fn entropy(&self) -> Result<f64, SpaceError> {
        self.validate()?;
        let total: f64 = self.alpha.iter().map(|row| entropy(&softmax(row))).sum();
        Ok(total / EDGES as f64)
    }
}

pub(crate) fn finite(what: &'static str, edge: usize, logit: f32) -> Result<(), SpaceError> {
    if logit.is_finite() {
        Ok(())
    } else {
        Err(SpaceError::NonFinite { what, edge, found: logit.to_string() })
    }
}

/// Softmax in double precision. The sum runs over the sorted terms, so that rows holding the same logits in
/// another order give the same probabilities to the last bit and ties stay ties.
pub(crate) fn softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().fold(f64::NEG_INFINITY, |largest, &logit| largest.max(f64::from(logit)));
    let terms: Vec<f64> = logits.iter().map(|&logit| (f64::from(logit) - largest).exp()).collect();
    let mut sorted = terms.clone();
    sorted.sort_by(f64::total_cmp);
    let sum: f64 = sorted.iter().sum();
    terms.into_iter().map(|term| term / sum).collect()
}

/// In nats.
pub(crate) fn entropy(probabilities: &[f64]) -> f64 {
    // The limit of p ln p at 0 is 0; the product itself would be NaN.
    -probabilities.iter().filter(|&&p| p > 0.0).map(|p| p * p.ln()).sum::<f64>()
}

/// Raw logits of both cells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alphas {
    /// Of the normal cell.
    pub normal: CellAlphas,
    /// Of the reduction cell.
    pub reduce: CellAlphas,
}

impl Alphas {
    /// The genotype these weights stand for, see [`discretise()`].
    ///
    /// # Errors
    ///
    /// As [`CellAlphas::validate`].
    pub fn discretise(&self) -> Result<Genotype, SpaceError> {
        Ok(Genotype { normal: discretise(&self.normal)?, reduce: discretise(&self.reduce)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_runs_from_ln_8_to_0() {
        let mut alphas = CellAlphas::zeros();
        assert!((alphas.entropy().unwrap() - 8f64.ln()).abs() < 1e-12);
        alphas.alpha.iter_mut().for_each(|row| row[3] = 1e4);
        assert_eq!(alphas.entropy().unwrap(), 0.0);
        // Half of the rows decided: the mean of both.
        alphas.alpha[..7].fill([0.0; 8]);
        assert!((alphas.entropy().unwrap() - 8f64.ln() / 2.0).abs() < 1e-12);
    }

    #[test]
    fn entropy_of_two_operations_by_hand() {
        let mut alphas = CellAlphas::zeros();
        // Two logits ln 3 above and at the level of each other, the rest out of reach: p = 3/4, 1/4.
        alphas.alpha.fill([3f32.ln(), 0.0, -200.0, -200.0, -200.0, -200.0, -200.0, -200.0]);
        let by_hand = -(0.75 * 0.75f64.ln() + 0.25 * 0.25f64.ln());
        assert!((alphas.entropy().unwrap() - by_hand).abs() < 1e-7);
    }

    #[test]
    fn wrong_shapes_and_values_are_named() {
        let mut alphas = CellAlphas::zeros();
        alphas.alpha[5][2] = f32::NAN;
        assert_eq!(
            alphas.validate(),
            Err(SpaceError::NonFinite { what: "alpha", edge: 5, found: "NaN".to_owned() })
        );
        let mut alphas = CellAlphas::zeros();
        alphas.beta[13] = f32::NEG_INFINITY;
        assert!(matches!(alphas.validate(), Err(SpaceError::NonFinite { what: "beta", edge: 13, .. })));
        let mut alphas = CellAlphas::zeros();
        alphas.beta.pop();
        assert_eq!(alphas.entropy(), Err(SpaceError::EdgeCount { what: "beta", found: 13 }));
        alphas.alpha.clear();
        assert_eq!(alphas.validate(), Err(SpaceError::EdgeCount { what: "alpha", found: 0 }));
    }
}

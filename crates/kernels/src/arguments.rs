//! What cells of every space take and give besides their states: weights, mixing weights and drop path, and the
//! gradients of parameters.

use crate::error::{KernelError, check};

/// Lengths that a plan asks of its arguments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lengths {
    pub weights: usize,
    pub paths: usize,
    pub edges: usize,
    /// Of the gains and of the biases, each; `None` where norms are not affine.
    pub affine: Option<usize>,
}

/// How paths are weighted in a batch of `n` images: `mix[path] × drop[edge][image]`, ones where there is none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weighting<'a> {
    pub n: usize,
    pub mix: Option<&'a [f32]>,
    pub drop: Option<&'a [f32]>,
}

/// Lengths of the gradients that the caller has room for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GradLengths {
    pub weights: Option<usize>,
    pub mix: Option<usize>,
    pub affine: Option<[usize; 2]>,
}

impl Weighting<'_> {
    /// A path's multiplier for one image.
    pub fn at(self, path: usize, edge: usize, image: usize) -> f32 {
        let mix = self.mix.map_or(1.0, |mix| mix[path]);
        mix * self.drop.map_or(1.0, |drop| drop[edge * self.n + image])
    }
}

impl Lengths {
    /// Checks what a pass over a batch takes; the affine part is checked with the norms.
    pub fn check_input(&self, weights: &[f32], weighting: Weighting<'_>) -> Result<(), KernelError> {
        check("weights", self.weights, weights.len())?;
        if let Some(mix) = weighting.mix {
            check("mixing weights", self.paths, mix.len())?;
        }
        if let Some(drop) = weighting.drop {
            check("drop-path multipliers", self.edges * weighting.n, drop.len())?;
        }
        Ok(())
    }

    /// Checks where the way back puts its gradients.
    pub fn check_grads(&self, found: GradLengths) -> Result<(), KernelError> {
        if let Some(weights) = found.weights {
            check("gradient of weights", self.weights, weights)?;
        }
        if let Some(mix) = found.mix {
            check("gradient of mixing weights", self.paths, mix)?;
        }
        match (self.affine, found.affine) {
            (None, None) => Ok(()),
            (Some(expected), Some([gain, bias])) => {
                check("gradient of gains", expected, gain)?;
                check("gradient of biases", expected, bias)
            }
            (expected, found) => {
                let name = |some: bool| if some { "gains and biases" } else { "none" };
                let (expected, found) = (name(expected.is_some()), name(found.is_some()));
                Err(KernelError::Argument { what: "affine gradients", expected, found })
            }
        }
    }
}

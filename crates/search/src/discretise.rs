//! From a search's architecture weights to genotypes: the best ones, or between cycles drawn at random
//! (facts section 4).

use cdarts_nets::ArchWeights;
use cdarts_space::{
    Alphas, Architecture, CellAlphas, CellGenotype, CellKind, Genotype, SpaceError, StageGenotypes, sample,
    sample_from_probabilities,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::config::{GumbelScores, SearchConfig};

/// Tells these draws from all others of a seed.
const PURPOSE: u64 = 0x6775_6d62_656c;

/// The same for random cells.
const RANDOM: u64 = 0x7261_6e64_6f6d;

/// What the architecture weights prefer: one genotype for all stages, or one a stage.
///
/// # Errors
/// [`SpaceError::NonFinite`] for weights that are no numbers.
pub fn best(arch: &ArchWeights) -> Result<Architecture, SpaceError> {
    if let Some(cell) = arch.nas_bench_201() {
        return Ok(cell.logits().discretise()?.into());
    }
    let stages = arch.logits().iter().map(Alphas::discretise).collect::<Result<_, _>>()?;
    Ok(StageGenotypes::new(stages)?.into())
}

/// What the cycle after `cycle` builds its evaluation network from. Where it is drawn at random, the
/// draw follows from `seed` and `cycle` alone; the `settled` first stages keep what their search has found.
///
/// # Errors
/// As [`best`].
pub fn next(
    arch: &ArchWeights,
    settled: usize,
    config: &SearchConfig,
    seed: u64,
    cycle: usize,
) -> Result<Architecture, SpaceError> {
    match config.gumbel_sample {
        true => draw(arch, settled, config.gumbel_scores, [seed, PURPOSE, cycle as u64]),
        false => best(arch),
    }
}

/// Random cells, whatever the architecture weights are: every operation and every edge as likely as the others. They
/// follow from `seed` and `cycle` alone.
///
/// # Errors
/// None that can occur.
pub fn random(arch: &ArchWeights, seed: u64, cycle: usize) -> Result<Architecture, SpaceError> {
    let uniform = arch.clone().uniform(0.0);
    draw(&uniform, 0, GumbelScores::LogProbabilities, [seed, RANDOM, cycle as u64])
}

fn draw(
    arch: &ArchWeights,
    settled: usize,
    scores: GumbelScores,
    [seed, purpose, cycle]: [u64; 3],
) -> Result<Architecture, SpaceError> {
    if let Some(cell) = arch.nas_bench_201() {
        return Ok(cell.logits().sample(&mut gumbel_noise([seed, purpose, cycle, 0]))?.into());
    }
    let genotype = |(stage, alphas): (usize, &Alphas)| {
        if stage < settled {
            return alphas.discretise();
        }
        let draw = |kind: CellKind, alphas: &CellAlphas| {
            draw_cell(alphas, scores, [seed, purpose, cycle, (2 * stage + kind as usize) as u64])
        };
        Ok(Genotype {
            normal: draw(CellKind::Normal, &alphas.normal)?,
            reduce: draw(CellKind::Reduction, &alphas.reduce)?,
        })
    };
    let stages = arch.logits().iter().enumerate().map(genotype).collect::<Result<_, _>>()?;
    Ok(StageGenotypes::new(stages)?.into())
}

fn draw_cell(alphas: &CellAlphas, scores: GumbelScores, place: [u64; 4]) -> Result<CellGenotype, SpaceError> {
    let mut gumbel = gumbel_noise(place);
    match scores {
        GumbelScores::LogProbabilities => sample(alphas, &mut gumbel),
        GumbelScores::Probabilities => sample_from_probabilities(alphas, &mut gumbel),
    }
}

/// Gumbel noise, value by value, that follows from `place` alone.
pub(crate) fn gumbel_noise(place: [u64; 4]) -> impl FnMut() -> f64 {
    let mut key = [0; 32];
    for (bytes, word) in key.chunks_exact_mut(8).zip(place) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    let mut rng = ChaCha8Rng::from_seed(key);
    // 1 - u lies in (0, 1]; at 1 the inner logarithm is 0 and the outer one would be infinite.
    move || -(-(1.0 - rng.random::<f64>()).ln()).max(f64::MIN_POSITIVE).ln()
}

/// Mean entropy of softmax(alpha) over the edges of all cells that are searched, in nats.
///
/// # Errors
/// As [`best`].
pub fn entropy(arch: &ArchWeights) -> Result<f64, SpaceError> {
    if let Some(cell) = arch.nas_bench_201() {
        return cell.logits().entropy();
    }
    let entropies: Vec<f64> =
        arch.searched_from(0).map(|cell| cell.logits().entropy()).collect::<Result<_, _>>()?;
    Ok(entropies.iter().sum::<f64>() / entropies.len().max(1) as f64)
}

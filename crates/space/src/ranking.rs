//! How well two opinions on the same things agree: rank correlation, as used to compare a search network's opinion
//! with a benchmark's table.

use std::cmp::Ordering;

use crate::SpaceError;

/// Kendall's tau-b of two rankings (Kendall, Biometrika 33(3), 1945): concordant minus discordant pairs, over the
/// geometric mean of the pairs that each ranking does not tie. 1 for the same order, -1 for the opposite one.
///
/// Takes O(n log n) steps by counting the exchanges of a merge sort (Knight, JASA 61(314), 1966).
///
/// ```
/// use cdarts_space::ranking::kendall_tau;
///
/// # fn main() -> Result<(), cdarts_space::SpaceError> {
/// // Of six pairs, five agree and one does not.
/// assert!((kendall_tau(&[1.0, 2.0, 3.0, 4.0], &[10.0, 30.0, 20.0, 40.0])? - 4.0 / 6.0).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`SpaceError::RankingLengths`] for another number of values on the two sides, [`SpaceError::RankingNan`],
/// [`SpaceError::RankingTied`] if all values of one side are equal (or there are fewer than two): no order can agree
/// with none.
pub fn kendall_tau(a: &[f64], b: &[f64]) -> Result<f64, SpaceError> {
    check(a, b)?;
    let mut pairs: Vec<(f64, f64)> = a.iter().copied().zip(b.iter().copied()).collect();
    pairs.sort_unstable_by(|x, y| compare(x.0, y.0).then(compare(x.1, y.1)));
    let tied_in_a = tied_pairs(&pairs, |x, y| x.0 == y.0);
    let tied_in_both = tied_pairs(&pairs, |x, y| x == y);
    let mut seconds: Vec<f64> = pairs.iter().map(|pair| pair.1).collect();
    let discordant = sort_counting_exchanges(&mut seconds);
    let tied_in_b = tied_pairs(&seconds, |x, y| x == y);

    let all = pairs_of(a.len());
    // Exact: below 2^53 for fewer than a hundred million values.
    let concordant_less_discordant =
        (all + tied_in_both) as f64 - (tied_in_a + tied_in_b) as f64 - 2.0 * discordant as f64;
    let untied = |tied: u64| (all - tied) as f64;
    // One root of the product: equal orders then give 1 exactly.
    Ok(concordant_less_discordant / (untied(tied_in_a) * untied(tied_in_b)).sqrt())
}

/// Spearman's rho of two rankings: the correlation of the ranks, tied values sharing the mean of theirs. 1 for the
/// same order, -1 for the opposite one.
///
/// # Errors
///
/// As [`kendall_tau`].
pub fn spearman_rho(a: &[f64], b: &[f64]) -> Result<f64, SpaceError> {
    check(a, b)?;
    let (a, b) = (average_ranks(a), average_ranks(b));
    // Ranks have the same mean whatever is tied.
    let mean = (a.len() as f64 + 1.0) / 2.0;
    let product =
        |x: &[f64], y: &[f64]| -> f64 { x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum() };
    Ok(product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt())
}

/// Rank of every value from 1 for the smallest; equal values share the mean of their ranks. The values must not be
/// NaN.
fn average_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&i, &j| compare(values[i], values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for tied in order.chunk_by(|&i, &j| values[i] == values[j]) {
        let rank = before as f64 + (tied.len() as f64 + 1.0) / 2.0;
        tied.iter().for_each(|&i| ranks[i] = rank);
        before += tied.len();
    }
    ranks
}

fn check(a: &[f64], b: &[f64]) -> Result<(), SpaceError> {
    if a.len() != b.len() {
        return Err(SpaceError::RankingLengths { found: [a.len(), b.len()] });
    }
    for (side, values) in [a, b].into_iter().enumerate() {
        if let Some(index) = values.iter().position(|value| value.is_nan()) {
            return Err(SpaceError::RankingNan { side, index });
        }
    }
    for (side, values) in [a, b].into_iter().enumerate() {
        if values.iter().all(|&value| value == values[0]) {
            return Err(SpaceError::RankingTied { side, found: values.len() });
        }
    }
    Ok(())
}

/// Only for values that are not NaN. Zero and negative zero are equal, which `total_cmp` would not have.
fn compare(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}

fn pairs_of(n: usize) -> u64 {
    let n = n as u64;
    n * n.saturating_sub(1) / 2
}

/// Pairs within the runs of equal items.
fn tied_pairs<T>(sorted: &[T], equal: impl Fn(&T, &T) -> bool) -> u64 {
    sorted.chunk_by(equal).map(|run| pairs_of(run.len())).sum()
}

/// Sorts, and returns how many pairs stood in the wrong order.
fn sort_counting_exchanges(values: &mut [f64]) -> u64 {
    let mut exchanges = 0;
    let mut merged = values.to_vec();
    let mut width = 1;
    while width < values.len() {
        for (from, to) in values.chunks(2 * width).zip(merged.chunks_mut(2 * width)) {
            exchanges += merge(from.split_at(width.min(from.len())), to);
        }
        values.copy_from_slice(&merged);
        width *= 2;
    }
    exchanges
}

fn merge((left, right): (&[f64], &[f64]), merged: &mut [f64]) -> u64 {
    let (mut i, mut j, mut exchanges) = (0, 0, 0);
    for slot in merged {
        let takes_right = i == left.len() || (j < right.len() && right[j] < left[i]);
        if takes_right {
            *slot = right[j];
            j += 1;
            exchanges += (left.len() - i) as u64;
        } else {
            *slot = left[i];
            i += 1;
        }
    }
    exchanges
}

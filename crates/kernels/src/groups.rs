//! Groups of images: what is summed over a batch is summed within each group and then over the groups, both in order.
//! Groups, not threads, decide the order of summation: the same bits for any number of threads.

use rayon::prelude::*;

/// Most groups a batch is cut into.
const MAX_GROUPS: usize = 32;

/// Images in each group of a batch.
pub(crate) const fn group_size(n: usize) -> usize {
    n.div_ceil(MAX_GROUPS)
}

/// Adds the later groups' sums, `per_group` values each, to the first's.
pub(crate) fn sum_groups(sums: &mut [f32], per_group: usize) {
    const STRETCH: usize = 4096;
    let (total, rest) = sums.split_at_mut(per_group);
    total.par_chunks_mut(STRETCH).enumerate().for_each(|(i, total)| {
        for group in rest.chunks_exact(per_group) {
            let part = &group[i * STRETCH..][..total.len()];
            total.iter_mut().zip(part).for_each(|(sum, &part)| *sum += part);
        }
    });
}

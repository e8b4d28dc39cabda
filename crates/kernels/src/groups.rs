//! Groups of images: what is summed over a batch is summed within each group and then over the groups, both in order.
//! Groups, not threads, decide the order of summation: the same bits for any number of threads.

use rayon::prelude::*;

use crate::workspace::{Buffer, Workspace};

/// Most groups a batch is cut into.
const MAX_GROUPS: usize = 32;
/// Groups that there are at least, where there are so many images: what keeps eight threads busy.
const MIN_GROUPS: usize = 8;
/// Floats that all groups' sums may take before there are fewer groups: they are cleared, filled and added up, and should
/// stay in the second cache meanwhile. A group of its own for each of 32 images of a search cell with 64 channels would be
/// 60 MB. Twice as many floats make a joint step 6 % longer. The price: where sums are large, more than eight threads gain
/// nothing.
const MAX_SUMS: usize = 1 << 19;

/// Images in each group of a batch of which nothing large is summed.
pub(crate) const fn group_size(n: usize) -> usize {
    n.div_ceil(MAX_GROUPS)
}

/// How many groups of that size `n` images make.
pub(crate) const fn group_count(n: usize) -> usize {
    n.div_ceil(group_size(n))
}

/// Sums over a batch, such as gradients of weights: one set a group.
pub(crate) struct GroupSums {
    /// Images in each group.
    pub images: usize,
    /// How many groups there are.
    pub groups: usize,
    /// All groups' sums.
    pub sums: Buffer,
    /// Values in each group's sums.
    pub len: usize,
}

impl GroupSums {
    /// Room for the sums of `n` images, `len` for each group. Whoever works on a group's first image clears its sums before.
    pub fn new(workspace: &Workspace, n: usize, len: usize) -> Self {
        let images = n.div_ceil((MAX_SUMS / len.max(1)).clamp(MIN_GROUPS, MAX_GROUPS));
        let groups = n.div_ceil(images);
        Self { images, groups, sums: workspace.take(groups * len), len }
    }

    /// Adds the later groups' sums to the first's.
    pub fn total(&mut self) -> &[f32] {
        const STRETCH: usize = 4096;
        let (total, rest) = self.sums.split_at_mut(self.len);
        if self.len > 0 {
            total.par_chunks_mut(STRETCH).enumerate().for_each(|(i, total)| {
                for group in rest.chunks_exact(self.len) {
                    let part = &group[i * STRETCH..][..total.len()];
                    total.iter_mut().zip(part).for_each(|(sum, &part)| *sum += part);
                }
            });
        }
        total
    }
}

//! Gradients of a state that several operations read, added up on all threads into a buffer of the workspace: burn would
//! copy the buffer and add on one thread.

use std::cell::RefCell;
use std::collections::HashSet;

use burn::backend::autodiff::NodeId;
use cdarts_kernels::Buffer;
use rayon::prelude::*;

thread_local! {
    /// States of which a reader's gradient is with burn.
    static READ: RefCell<HashSet<NodeId>> = RefCell::default();
}

/// States remembered at most, more than a pass has: the rest is left by operations that are not ours. To forget one costs no
/// more than burn's own addition.
const MOST: usize = 4096;

/// Floats that a thread adds at a time.
const PART: usize = 1 << 14;

/// Notes that a gradient of `state` goes to burn, and says whether one went before.
pub(super) fn again(state: NodeId) -> bool {
    READ.with_borrow_mut(|read| {
        if read.len() == MOST {
            read.clear();
        }
        !read.insert(state)
    })
}

/// Forgets `state`, whose readers are done.
pub(super) fn done(state: NodeId) {
    READ.with_borrow_mut(|read| read.remove(&state));
}

/// Adds what other readers found to the gradient of the newest.
pub(super) fn add(newest: &mut Buffer, others: &[f32]) {
    let parts = newest.par_chunks_mut(PART).zip(others.par_chunks(PART));
    parts.for_each(|(sum, part)| sum.iter_mut().zip(part).for_each(|(sum, value)| *sum += value));
}

#[cfg(test)]
mod tests {
    use super::super::WORKSPACE;
    use super::*;

    #[test]
    fn every_value_is_added_whatever_the_length() {
        for len in [1, PART, 3 * PART + 5] {
            let mut newest = WORKSPACE.take(len);
            newest.iter_mut().enumerate().for_each(|(index, value)| *value = index as f32);
            let others: Vec<f32> = (0..len).map(|index| 0.5 * index as f32).collect();
            add(&mut newest, &others);
            assert!(newest.iter().enumerate().all(|(index, &sum)| sum == 1.5 * index as f32), "{len}");
        }
    }

    #[test]
    fn a_state_is_known_from_its_first_reader_until_it_is_done() {
        let state = NodeId::new();
        assert_eq!([(); 3].map(|()| again(state)), [false, true, true]);
        done(state);
        assert!(!again(state));
        (0..MOST).for_each(|_| assert!(!again(NodeId::new())));
        assert!(!again(state), "forgotten among too many");
    }
}

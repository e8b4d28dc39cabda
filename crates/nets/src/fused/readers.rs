//! Gradients of a state that several operations read. Burn holds what the first of them found and gives it back to the next: a
//! convolution adds to the same buffer, for others [`add`] does it on all threads. Burn would copy it and add on one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::backend::autodiff::NodeId;
use burn::backend::flex::FlexTensor;
use cdarts_kernels::Buffer;
use rayon::prelude::*;

use super::operation::Values;

thread_local! {
    /// States of which a reader's gradient is with burn.
    static READ: RefCell<HashMap<NodeId, Arc<Loan>>> = RefCell::default();
}

/// States remembered at most, more than a pass has: the rest is left by operations that are not ours. To forget one costs no
/// more than burn's own addition.
const MOST: usize = 4096;

/// Floats that a thread adds at a time.
const PART: usize = 1 << 14;

/// A buffer that burn has in a tensor.
struct Loan {
    /// Where its values begin.
    address: usize,
    end: Mutex<End>,
}

/// What becomes of a lent buffer when the tensor goes.
enum End {
    /// It goes to the workspace.
    Unclaimed,
    /// It is kept for who claimed it.
    Claimed,
    Kept(Buffer),
}

impl Loan {
    fn end(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What owns a tensor's memory while it is lent.
pub(super) struct Lent {
    /// There until the tensor goes.
    values: Option<Buffer>,
    loan: Arc<Loan>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.values.as_ref().map_or(&[], AsRef::as_ref)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut end = self.loan.end();
        if let (End::Claimed, Some(values)) = (&*end, self.values.take()) {
            *end = End::Kept(values);
        }
    }
}

/// A gradient of `state` that goes to burn, to be asked for by [`begun`].
pub(super) fn lend(state: NodeId, values: Buffer) -> Lent {
    let loan = Arc::new(Loan { address: values.as_ptr() as usize, end: Mutex::new(End::Unclaimed) });
    READ.with_borrow_mut(|read| {
        if read.len() == MOST {
            read.clear();
        }
        read.insert(state, Arc::clone(&loan));
    });
    Lent { values: Some(values), loan }
}

/// What other readers of `state` found, if one of them lent it, given that burn gives its gradient up: the buffer itself, or
/// where burn has made other values of it a copy of those.
pub(super) fn begun(state: NodeId, give_up: impl FnOnce() -> FlexTensor) -> Option<Values> {
    let loan = READ.with_borrow_mut(|read| read.remove(&state))?;
    let gradient = give_up().to_contiguous();
    let values = gradient.as_slice::<f32>().unwrap_or_default();
    if values.as_ptr() as usize != loan.address || !gradient.is_unique() {
        return Some(Values::Own(values.to_vec()));
    }
    // Burn gives no second handle to an inner node's gradient, so the buffer comes home with this one.
    *loan.end() = End::Claimed;
    drop(gradient);
    match std::mem::replace(&mut *loan.end(), End::Unclaimed) {
        End::Kept(values) => Some(Values::Pooled(values)),
        End::Unclaimed | End::Claimed => panic!("a gradient outlived the only tensor that had it"),
    }
}

/// Forgets `state`, whose readers are done.
pub(super) fn done(state: NodeId) {
    READ.with_borrow_mut(|read| read.remove(&state));
}

/// Adds what other readers found to the gradient of the newest.
pub(super) fn add(newest: &mut [f32], others: &[f32]) {
    let parts = newest.par_chunks_mut(PART).zip(others.par_chunks(PART));
    parts.for_each(|(sum, part)| sum.iter_mut().zip(part).for_each(|(sum, value)| *sum += value));
}

#[cfg(test)]
mod tests {
    use super::super::WORKSPACE;
    use super::super::operation::pooled;
    use super::*;

    fn buffer(values: [f32; 2]) -> Buffer {
        let mut buffer = WORKSPACE.take(2);
        buffer.copy_from_slice(&values);
        buffer
    }

    /// A gradient of `state` as burn holds it.
    fn with_burn(state: NodeId, values: [f32; 2]) -> FlexTensor {
        pooled(lend(state, buffer(values)), [2])
    }

    #[test]
    fn every_value_is_added_whatever_the_length() {
        for len in [1, PART, 3 * PART + 5] {
            let mut newest: Vec<f32> = (0..len).map(|index| index as f32).collect();
            let others: Vec<f32> = (0..len).map(|index| 0.5 * index as f32).collect();
            add(&mut newest, &others);
            assert!(newest.iter().enumerate().all(|(index, &sum)| sum == 1.5 * index as f32), "{len}");
        }
    }

    #[test]
    fn the_next_reader_gets_the_same_buffer() {
        let state = NodeId::new();
        let lent = with_burn(state, [1.0, 2.0]);
        let address = lent.as_slice::<f32>().unwrap().as_ptr();
        let Some(Values::Pooled(back)) = begun(state, || lent) else { panic!("it was lent") };
        assert_eq!((&back[..], back.as_ptr()), (&[1.0, 2.0][..], address));
        assert!(begun(state, || panic!("nobody has it")).is_none());
    }

    #[test]
    fn what_burn_made_of_it_is_copied() {
        let state = NodeId::new();
        let lent = with_burn(state, [1.0, 2.0]);
        let other = pooled(buffer([5.0, 6.0]), [2]);
        let Some(Values::Own(sum)) = begun(state, || other) else { panic!("not the buffer that was lent") };
        assert_eq!(sum, [5.0, 6.0]);
        drop(lent);
        let lent = with_burn(state, [1.0, 2.0]);
        let Some(Values::Own(copy)) = begun(state, || lent.clone()) else { panic!("somebody else reads it") };
        assert_eq!(copy, [1.0, 2.0]);
    }

    #[test]
    fn nothing_is_known_of_a_state_that_is_done_or_forgotten() {
        let state = NodeId::new();
        let never = || panic!("burn keeps it");
        assert!(begun(state, never).is_none());
        let _lent = with_burn(state, [1.0, 2.0]);
        done(state);
        assert!(begun(state, never).is_none());
        let _lent = with_burn(state, [1.0, 2.0]);
        let _others: Vec<_> = (0..MOST).map(|_| lend(NodeId::new(), WORKSPACE.take(0))).collect();
        assert!(begun(state, never).is_none());
    }
}

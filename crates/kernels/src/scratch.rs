//! Buffers for as many tasks as run at once.

use std::sync::{Mutex, PoisonError};

/// Sets of scratch buffers, made when a task finds none idle.
pub(crate) struct ScratchPool<'a, S> {
    idle: Mutex<Vec<S>>,
    make: Box<dyn Fn() -> S + Sync + 'a>,
}

impl<'a, S> ScratchPool<'a, S> {
    pub fn new(make: impl Fn() -> S + Sync + 'a) -> Self {
        Self { idle: Mutex::default(), make: Box::new(make) }
    }

    /// Runs `task` with scratch that no other task has.
    pub fn with(&self, task: impl FnOnce(&mut S)) {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut scratch = idle.unwrap_or_else(&self.make);
        task(&mut scratch);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
    }
}

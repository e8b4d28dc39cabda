//! Passes over a batch that follow each other closely. The pool's threads are called once for all of them and spin in
//! between, because to put a thread to sleep and to wake it takes as long as a kernel on an image.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Turns of waiting between two offers to let another thread have the core.
const POLITE: usize = 64;
/// Turns after which a thread sleeps between looks, a fraction of a millisecond: nothing waits that long on free cores.
const PATIENT: usize = 1 << 14;
/// A short sleep.
const NAP: Duration = Duration::from_micros(50);

/// The caller and those threads of the pool that have time.
pub(crate) struct Crew {
    /// For each thread the next of the tasks that are its own.
    next: Vec<AtomicUsize>,
    /// What is to be done now.
    open: Mutex<Option<Open>>,
    /// Helpers that are at it. Grows only while `open` is held and is not empty.
    inside: AtomicUsize,
    /// Changes with every pass.
    pass: AtomicUsize,
    dismissed: AtomicBool,
}

/// A pass that helpers may join.
#[derive(Clone, Copy)]
struct Open {
    task: *const (dyn Fn(usize) + Sync),
    tasks: usize,
}

// SAFETY: the task may be called from any thread; how long it may be is up to `Crew::run`.
unsafe impl Send for Open {}

/// Does `work` with a crew.
pub(crate) fn with_crew<R>(work: impl FnOnce(&Crew) -> R) -> R {
    let crew = Crew::new(rayon::current_num_threads());
    rayon::in_place_scope(|scope| {
        let crew = &crew;
        (1..crew.next.len()).for_each(|place| scope.spawn(move |_| crew.help(place)));
        let _dismissal = Dismissal(crew);
        work(crew)
    })
}

impl Crew {
    fn new(threads: usize) -> Self {
        Self {
            next: (0..threads.max(1)).map(|_| AtomicUsize::default()).collect(),
            open: Mutex::default(),
            inside: AtomicUsize::default(),
            pass: AtomicUsize::default(),
            dismissed: AtomicBool::default(),
        }
    }

    /// Calls `task` with every part and its index, and ends when all are done.
    pub fn each<P: Send>(&self, parts: impl Iterator<Item = P>, task: impl Fn(usize, P) + Sync) {
        let parts: Vec<Mutex<Option<P>>> = parts.map(|part| Mutex::new(Some(part))).collect();
        self.run(parts.len(), &|index| {
            let part = parts[index].lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(part) = part {
                task(index, part);
            }
        });
    }

    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        for (place, next) in self.next.iter().enumerate() {
            next.store(self.first(place, tasks), Ordering::Relaxed);
        }
        // SAFETY: only the lifetime changes. Helpers call the task between `enter` and `leave`; `Closing` lets none enter any
        // more and waits until all have left, before the borrow ends, even if a task of ours panics.
        let task: &'static (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(task) };
        let closing = Closing(self);
        *self.open() = Some(Open { task, tasks });
        self.pass.fetch_add(1, Ordering::Release);
        self.work(0, tasks, task);
        drop(closing);
    }

    /// The first of the tasks that are the own ones of the thread at `place`.
    fn first(&self, place: usize, tasks: usize) -> usize {
        place * tasks / self.next.len()
    }

    /// The thread's own tasks, then those that others have not begun.
    fn work(&self, place: usize, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        let threads = self.next.len();
        for owner in (place..place + threads).map(|place| place % threads) {
            let end = self.first(owner + 1, tasks);
            loop {
                let index = self.next[owner].fetch_add(1, Ordering::Relaxed);
                if index >= end {
                    break;
                }
                task(index);
            }
        }
    }

    fn help(&self, place: usize) {
        let mut seen = 0;
        loop {
            wait_until(|| {
                self.pass.load(Ordering::Acquire) != seen || self.dismissed.load(Ordering::Acquire)
            });
            if self.dismissed.load(Ordering::Acquire) {
                return;
            }
            seen = self.pass.load(Ordering::Acquire);
            let Some((open, _leaving)) = self.enter() else { continue };
            // SAFETY: we are inside, so `run` has not ended.
            self.work(place, open.tasks, unsafe { &*open.task });
        }
    }

    fn enter(&self) -> Option<(Open, Leaving<'_>)> {
        let open = self.open();
        let pass = (*open)?;
        self.inside.fetch_add(1, Ordering::Relaxed);
        Some((pass, Leaving(self)))
    }

    fn open(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the helpers go when the work is done, or has panicked.
struct Dismissal<'a>(&'a Crew);

impl Drop for Dismissal<'_> {
    fn drop(&mut self) {
        self.0.dismissed.store(true, Ordering::Release);
    }
}

/// Ends a pass: nobody enters any more, all who are inside leave.
struct Closing<'a>(&'a Crew);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        *self.0.open() = None;
        wait_until(|| self.0.inside.load(Ordering::Acquire) == 0);
    }
}

struct Leaving<'a>(&'a Crew);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::Release);
    }
}

fn wait_until(ready: impl Fn() -> bool) {
    let mut turns = 0usize;
    while !ready() {
        turns += 1;
        match turns {
            PATIENT.. => thread::sleep(NAP),
            _ if turns.is_multiple_of(POLITE) => thread::yield_now(),
            _ => std::hint::spin_loop(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use rayon::ThreadPoolBuilder;

    use super::*;

    fn on_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
        ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
    }

    #[test]
    fn every_part_is_done_once_in_every_pass() {
        for (threads, parts) in [(1, 5), (2, 0), (2, 1), (3, 32), (5, 3)] {
            let counts = on_threads(threads, || {
                let mut counts = vec![0; parts];
                with_crew(|crew| {
                    for pass in 0..200 {
                        crew.each(counts.iter_mut(), |index, count| {
                            assert_eq!(*count, pass * (index + 1));
                            *count += index + 1;
                        });
                    }
                });
                counts
            });
            assert_eq!(counts, (1..=parts).map(|part| 200 * part).collect::<Vec<_>>(), "{threads} threads");
        }
    }

    #[test]
    fn threads_that_are_busy_elsewhere_are_not_waited_for() {
        on_threads(2, || {
            let free = AtomicBool::default();
            rayon::scope(|scope| {
                scope.spawn(|_| wait_until(|| free.load(Ordering::Acquire)));
                // The other thread has taken that up, or this one finds it when it is free.
                thread::sleep(Duration::from_millis(5));
                let done = AtomicUsize::default();
                let crew = Crew::new(2);
                crew.each(0..10, |_, _| {
                    done.fetch_add(1, Ordering::Relaxed);
                });
                assert_eq!(done.load(Ordering::Relaxed), 10);
                free.store(true, Ordering::Release);
            });
        });
    }

    #[test]
    fn a_panic_in_a_task_ends_in_the_caller() {
        for bad in [0, 31] {
            let outcome = on_threads(2, || {
                catch_unwind(AssertUnwindSafe(|| {
                    with_crew(|crew| crew.each(0..32, |index, _| assert_ne!(index, bad, "a fault")));
                }))
            });
            assert!(outcome.is_err());
        }
    }
}

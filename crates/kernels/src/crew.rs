//! Passes over a batch that follow each other closely. The pool's threads are called once for all of them and spin in
//! between, because to put a thread to sleep and to wake it takes as long as a kernel on an image.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Turns of waiting between two offers to let another thread have the core: some microseconds.
const POLITE: usize = 64;
/// How long a thread waits awake. Between two passes it is some 50 microseconds, for a last image up to ten times that.
const PATIENCE: Duration = Duration::from_millis(2);
/// How long it sleeps then between looks.
const NAP: Duration = Duration::from_micros(50);

thread_local! {
    /// Whether this thread works in a crew.
    static ENGAGED: Cell<bool> = const { Cell::new(false) };
}

/// Does `work` with a crew for passes of at most so many tasks. Threads of the pool that help have time for nothing else
/// meanwhile. Inside of another crew's work there is nobody to help.
pub(crate) fn with_crew<R>(tasks: usize, work: impl FnOnce(&mut Crew<'_>) -> R) -> R {
    let threads = if ENGAGED.get() { 1 } else { rayon::current_num_threads().min(tasks).max(1) };
    let shared = Shared::new(threads);
    rayon::in_place_scope(|scope| {
        let shared = &shared;
        let _dismissal = Dismissal(shared);
        (1..threads).for_each(|place| scope.spawn(move |_| shared.help(place)));
        let _engagement = Engagement::begin();
        work(&mut Crew(shared))
    })
}

/// The caller and those threads of the pool that have time.
pub(crate) struct Crew<'a>(&'a Shared);

impl Crew<'_> {
    /// Calls `task` with every part and its index, and ends when all are done.
    pub fn each<P: Send>(&mut self, parts: impl Iterator<Item = P>, task: impl Fn(usize, P) + Sync) {
        let parts: Vec<Mutex<Option<P>>> = parts.map(|part| Mutex::new(Some(part))).collect();
        let task = |index: usize| {
            let part = parts[index].lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(part) = part {
                task(index, part);
            }
        };
        match parts.len() {
            few @ ..2 => (0..few).for_each(task),
            many => self.0.run(many, &task),
        }
    }
}

struct Shared {
    /// For each thread the next of the tasks that are its own.
    next: Vec<AtomicUsize>,
    /// What is to be done now.
    open: Mutex<Option<Open>>,
    /// Helpers that are at it. Grows only while `open` is held and is not empty.
    inside: AtomicUsize,
    /// Whether a helper's task has panicked.
    failed: AtomicBool,
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

// SAFETY: the task may be called from any thread; how long it may be is up to `Shared::run`.
unsafe impl Send for Open {}

impl Shared {
    fn new(threads: usize) -> Self {
        Self {
            next: (0..threads).map(|_| AtomicUsize::default()).collect(),
            open: Mutex::default(),
            inside: AtomicUsize::default(),
            failed: AtomicBool::default(),
            pass: AtomicUsize::default(),
            dismissed: AtomicBool::default(),
        }
    }

    /// Called by one thread, and not from within a task.
    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        for (place, next) in self.next.iter().enumerate() {
            next.store(self.first(place, tasks), Ordering::Relaxed);
        }
        // SAFETY: only the lifetime changes. Helpers call the task while they count as `inside`; `Closing` lets none enter any
        // more and waits until all have left, before the borrow ends, even if a task of ours panics.
        let task: &'static (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(task) };
        let closing = Closing(self);
        *self.open() = Some(Open { task, tasks });
        self.pass.fetch_add(1, Ordering::Release);
        self.work(0, tasks, task);
        drop(closing);
        assert!(!self.failed.load(Ordering::Relaxed), "a task has panicked on another thread");
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
        if ENGAGED.get() {
            return;
        }
        let _engagement = Engagement::begin();
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
struct Dismissal<'a>(&'a Shared);

impl Drop for Dismissal<'_> {
    fn drop(&mut self) {
        self.0.dismissed.store(true, Ordering::Release);
    }
}

/// Ends a pass: nobody enters any more, all who are inside leave.
struct Closing<'a>(&'a Shared);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        *self.0.open() = None;
        wait_until(|| self.0.inside.load(Ordering::Acquire) == 0);
    }
}

struct Leaving<'a>(&'a Shared);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.failed.store(true, Ordering::Relaxed);
        }
        self.0.inside.fetch_sub(1, Ordering::Release);
    }
}

/// Marks this thread as one that works in a crew.
struct Engagement {
    before: bool,
}

impl Engagement {
    fn begin() -> Self {
        Self { before: ENGAGED.replace(true) }
    }
}

impl Drop for Engagement {
    fn drop(&mut self) {
        ENGAGED.set(self.before);
    }
}

fn wait_until(ready: impl Fn() -> bool) {
    let mut since = None;
    for turn in 1usize.. {
        if ready() {
            return;
        }
        if !turn.is_multiple_of(POLITE) {
            std::hint::spin_loop();
        } else if since.get_or_insert_with(Instant::now).elapsed() < PATIENCE {
            thread::yield_now();
        } else {
            thread::sleep(NAP);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use rayon::ThreadPoolBuilder;
    use rayon::prelude::*;

    use super::*;

    fn on_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
        ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
    }

    /// Passes over some counts by a crew: what each count comes to.
    fn counted(parts: usize, passes: usize) -> Vec<usize> {
        let mut counts = vec![0; parts];
        with_crew(parts, |crew| {
            for pass in 0..passes {
                crew.each(counts.iter_mut(), |index, count| {
                    assert_eq!(*count, pass * (index + 1));
                    *count += index + 1;
                });
            }
        });
        counts
    }

    fn expected(parts: usize, passes: usize) -> Vec<usize> {
        (1..=parts).map(|part| passes * part).collect()
    }

    #[test]
    fn every_part_is_done_once_in_every_pass() {
        for (threads, parts) in [(1, 5), (2, 0), (2, 1), (2, 2), (3, 32), (5, 3)] {
            let counts = on_threads(threads, || counted(parts, 200));
            assert_eq!(counts, expected(parts, 200), "{threads} threads");
        }
    }

    #[test]
    fn threads_that_are_busy_elsewhere_are_not_waited_for() {
        let (busy, free) = (AtomicBool::default(), AtomicBool::default());
        let counts = on_threads(2, || {
            rayon::in_place_scope(|scope| {
                scope.spawn(|_| {
                    busy.store(true, Ordering::Release);
                    wait_until(|| free.load(Ordering::Acquire));
                });
                wait_until(|| busy.load(Ordering::Acquire));
                let counts = counted(7, 50);
                free.store(true, Ordering::Release);
                counts
            })
        });
        assert_eq!(counts, expected(7, 50));
    }

    #[test]
    fn many_callers_share_a_small_pool() {
        let all: Vec<Vec<usize>> =
            on_threads(2, || (0..16).into_par_iter().map(|_| counted(7, 50)).collect());
        assert!(all.iter().all(|counts| *counts == expected(7, 50)));
        thread::scope(|scope| {
            let callers: Vec<_> = (0..4).map(|_| scope.spawn(|| counted(9, 50))).collect();
            for caller in callers {
                assert_eq!(caller.join().unwrap(), expected(9, 50));
            }
        });
    }

    #[test]
    fn a_crew_and_the_pool_can_be_used_inside_of_a_task() {
        let sums = on_threads(3, || {
            let mut sums = [0; 6];
            with_crew(6, |crew| {
                crew.each(sums.iter_mut(), |_, sum| {
                    let inner: usize = counted(4, 3).into_par_iter().sum();
                    *sum = inner;
                });
            });
            sums
        });
        assert_eq!(sums, [expected(4, 3).iter().sum::<usize>(); 6]);
    }

    #[test]
    fn a_panic_in_a_task_ends_in_the_caller_before_the_next_pass() {
        for bad in [0, 31] {
            let next = AtomicBool::default();
            let outcome = on_threads(2, || {
                catch_unwind(AssertUnwindSafe(|| {
                    with_crew(32, |crew| {
                        crew.each(0..32, |index, _| assert_ne!(index, bad, "a fault"));
                        next.store(true, Ordering::Relaxed);
                    });
                }))
            });
            assert!(outcome.is_err());
            assert!(!next.load(Ordering::Relaxed));
        }
    }
}

//! Where the time of a step goes: its parts by name, timed only while somebody watches.

use std::cell::RefCell;
use std::time::{Duration, Instant};

thread_local! {
    static CLOCK: RefCell<Option<Clock>> = const { RefCell::new(None) };
}

/// Which way a part of a network was gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Way {
    /// From the images to the loss, or work that has no way back.
    Forward,
    /// From the loss to the gradients.
    Backward,
}

/// A part of a step and how long it took, without the parts inside it.
pub type Lap = (&'static str, Way, Duration);

struct Clock {
    /// The parts under way, the innermost last.
    open: Vec<(&'static str, Way)>,
    since: Instant,
    laps: Vec<Lap>,
}

impl Clock {
    /// Gives the time since the last change to the innermost part.
    fn settle(&mut self) {
        let now = Instant::now();
        let elapsed = now - self.since;
        self.since = now;
        let Some(&(name, way)) = self.open.last() else { return };
        match self.laps.iter_mut().find(|lap| (lap.0, lap.1) == (name, way)) {
            Some(lap) => lap.2 += elapsed,
            None => self.laps.push((name, way, elapsed)),
        }
    }
}

/// Does `action` and says how long each [`part`] of it took, in the order of their first appearance. What lies in no
/// part counts to `rest`; all of them together are the whole.
pub fn watch<T>(rest: &'static str, action: impl FnOnce() -> T) -> (T, Vec<Lap>) {
    let clock = Clock { open: vec![(rest, Way::Forward)], since: Instant::now(), laps: Vec::new() };
    let before = CLOCK.replace(Some(clock));
    let result = action();
    let laps = CLOCK.replace(before).map_or_else(Vec::new, |mut clock| {
        clock.settle();
        clock.laps
    });
    (result, laps)
}

/// Does `action` as the part `name` of a step.
pub fn part<T>(name: &'static str, action: impl FnOnce() -> T) -> T {
    within((name, Way::Forward), action)
}

/// Does `action` as the way back of the part `name`; without a name, as whatever is under way.
pub(crate) fn way_back<T>(name: Option<&'static str>, action: impl FnOnce() -> T) -> T {
    match name {
        Some(name) => within((name, Way::Backward), action),
        None => action(),
    }
}

/// The part under way.
pub(crate) fn current() -> Option<&'static str> {
    CLOCK.with_borrow(|clock| clock.as_ref()?.open.last().map(|&(name, _)| name))
}

fn within<T>(key: (&'static str, Way), action: impl FnOnce() -> T) -> T {
    change(|open| open.push(key));
    let result = action();
    change(|open| {
        open.pop();
    });
    result
}

fn change(change: impl FnOnce(&mut Vec<(&'static str, Way)>)) {
    CLOCK.with_borrow_mut(|clock| {
        if let Some(clock) = clock {
            clock.settle();
            change(&mut clock.open);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(milliseconds: u64) {
        std::thread::sleep(Duration::from_millis(milliseconds));
    }

    #[test]
    fn parts_exclude_the_parts_inside_them_and_add_up_to_the_whole() {
        let start = Instant::now();
        let ((), laps) = watch("rest", || {
            part("outer", || {
                pause(20);
                way_back(Some("inner"), || pause(40));
            });
            part("outer", || pause(5));
            pause(10);
        });
        let whole = start.elapsed();
        let names: Vec<_> = laps.iter().map(|&(name, way, _)| (name, way)).collect();
        assert_eq!(names, [("rest", Way::Forward), ("outer", Way::Forward), ("inner", Way::Backward)]);
        let of = |index: usize| laps[index].2.as_secs_f64() * 1e3;
        assert!(of(0) >= 10.0 && of(1) >= 25.0 && of(2) >= 40.0, "{laps:?}");
        let sum: Duration = laps.iter().map(|lap| lap.2).sum();
        assert!(sum <= whole && sum >= Duration::from_millis(75), "{laps:?} {whole:?}");
    }

    #[test]
    fn nothing_is_kept_where_nobody_watches() {
        assert_eq!(part("alone", current), None);
        let (inside, laps) = watch("rest", || part("seen", current));
        assert_eq!(inside, Some("seen"));
        assert_eq!(laps.len(), 2);
        assert_eq!(current(), None);
    }
}

//! What holds on a thread for as long as an action takes.

use std::cell::Cell;
use std::thread::LocalKey;

/// A switch of a thread.
pub(crate) type Switch = LocalKey<Cell<bool>>;

/// Does `action` with `switch` on; however it ends, the switch is then as before.
pub(crate) fn on<T>(switch: &'static Switch, action: impl FnOnce() -> T) -> T {
    struct Restore(&'static Switch, bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    let _restore = Restore(switch, switch.replace(true));
    action()
}

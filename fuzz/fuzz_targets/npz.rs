//! An archive of arrays.
#![no_main]

use std::sync::LazyLock;

use cdarts_fuzz::Place;
use libfuzzer_sys::fuzz_target;

static PLACE: LazyLock<Place> = LazyLock::new(|| Place::new("set.npz", "set.npz", &[]));

fuzz_target!(|bytes: &[u8]| PLACE.read(bytes));

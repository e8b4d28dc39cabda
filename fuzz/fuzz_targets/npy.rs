//! Images in a `.npy` file.
#![no_main]

use std::sync::LazyLock;

use cdarts_fuzz::{LABELS, Place};
use libfuzzer_sys::fuzz_target;

static PLACE: LazyLock<Place> = LazyLock::new(|| Place::new("train_x.npy", "", &[("train_y.npy", LABELS)]));

fuzz_target!(|bytes: &[u8]| PLACE.read(bytes));

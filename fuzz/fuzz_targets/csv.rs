//! A table of pictures.
#![no_main]

use std::sync::LazyLock;

use cdarts_fuzz::{PICTURE, Place};
use libfuzzer_sys::fuzz_target;

static PLACE: LazyLock<Place> =
    LazyLock::new(|| Place::new("table.csv", "table.csv", &[("a", PICTURE), ("b", PICTURE)]));

fuzz_target!(|bytes: &[u8]| PLACE.read(bytes));

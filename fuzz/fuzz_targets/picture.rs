//! A picture in a class folder.
#![no_main]

use std::sync::LazyLock;

use cdarts_fuzz::{PICTURE, Place};
use libfuzzer_sys::fuzz_target;

static PLACE: LazyLock<Place> =
    LazyLock::new(|| Place::new("a/1.png", "", &[("a/2.png", PICTURE), ("b/1.png", PICTURE)]));

fuzz_target!(|bytes: &[u8]| PLACE.read(bytes));

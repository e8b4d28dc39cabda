//! Images in a compressed idx file.
#![no_main]

use std::sync::LazyLock;

use cdarts_fuzz::{IDX_LABELS, Place};
use libfuzzer_sys::fuzz_target;

static PLACE: LazyLock<Place> = LazyLock::new(|| {
    Place::new("train-images-idx3-ubyte.gz", "", &[("train-labels-idx1-ubyte", IDX_LABELS)])
});

fuzz_target!(|bytes: &[u8]| PLACE.read(bytes));

//! Images in an idx file.
#![no_main]

use std::sync::LazyLock;

use cdarts_fuzz::Place;
use libfuzzer_sys::fuzz_target;

static PLACE: LazyLock<Place> = LazyLock::new(|| {
    Place::new(
        "train-images-idx3-ubyte",
        "",
        &[("train-labels-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x04\0\x01\0\x01")],
    )
});

fuzz_target!(|bytes: &[u8]| PLACE.read(bytes));

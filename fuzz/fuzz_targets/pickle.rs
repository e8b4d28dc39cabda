//! A file of CIFAR's Python version.
#![no_main]

use std::sync::LazyLock;

use cdarts_fuzz::Place;
use libfuzzer_sys::fuzz_target;

/// A dictionary with no labels and no images.
const EMPTY: &[u8] = b"\x80\x02}(U\x06labels]U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x00M\x00\x0C\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xFF\xFF\xFF\xFFJ\xFF\xFF\xFF\xFFK\x00tb\x89U\x00tbu.";
const OTHERS: [(&str, &[u8]); 6] = [
    ("data_batch_1", EMPTY),
    ("data_batch_2", EMPTY),
    ("data_batch_3", EMPTY),
    ("data_batch_4", EMPTY),
    ("data_batch_5", EMPTY),
    (
        "batches.meta",
        b"\x80\x02}U\x0blabel_names](U\x010U\x011U\x012U\x013U\x014U\x015U\x016U\x017U\x018U\x019es.",
    ),
];

static PLACE: LazyLock<Place> = LazyLock::new(|| Place::new("test_batch", "", &OTHERS));

fuzz_target!(|bytes: &[u8]| PLACE.read(bytes));

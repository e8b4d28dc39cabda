//! Splits: complete, disjoint, stratified, and the same for the same seed.
#![allow(missing_docs)]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::collections::BTreeSet;

use cdarts_data::{
    DataError, Dataset, Halves, ImageShape, Images, LoadOptions, SourceKind, Split, SplitSpec, TestPart, load,
};
use proptest::prelude::*;

const PIXEL: ImageShape = ImageShape { channels: 1, height: 1, width: 1 };

/// `counts[k]` images of class `k`, interleaved, with or without a test set.
fn dataset(counts: &[usize], own_test: bool) -> Dataset {
    let most = counts.iter().max().copied().unwrap_or(0);
    let labels: Vec<u32> = (0..most)
        .flat_map(|round| (0..counts.len()).filter(move |&class| counts[class] > round))
        .map(|class| class as u32)
        .collect();
    let images = Images::new(PIXEL, vec![0; labels.len()], labels).unwrap();
    let classes = (0..counts.len()).map(|class| format!("class {class}")).collect();
    let test = own_test.then(|| Images::new(PIXEL, vec![0], vec![0]).unwrap());
    Dataset::new(SourceKind::Folder, "made", classes, images, test).unwrap()
}

fn parts(split: &Split) -> [&[usize]; 4] {
    let test = match &split.test {
        TestPart::Own => [].as_slice(),
        TestPart::HeldOut(indices) => indices,
    };
    [&split.weight_half, &split.arch_half, &split.val, test]
}

fn of_class(dataset: &Dataset, part: &[usize], class: usize) -> usize {
    part.iter().filter(|&&index| dataset.train.label(index) as usize == class).count()
}

proptest! {
    #[test]
    fn parts_are_disjoint_complete_and_hold_every_class(
        counts in proptest::collection::vec(4_usize..30, 1..5),
        own_test: bool,
        by_index: bool,
        test_fraction in 0.01_f64..0.99,
        val_fraction in prop_oneof![Just(0.0), 0.01_f64..0.99],
        seed: u64,
    ) {
        let dataset = dataset(&counts, own_test);
        let halves = if by_index { Halves::ByIndex } else { Halves::Stratified };
        let spec = SplitSpec { seed, test_fraction, val_fraction, halves };
        let split = Split::new(&dataset, &spec).unwrap();

        let all: Vec<usize> = parts(&split).concat();
        prop_assert_eq!(all.len(), dataset.train.len());
        prop_assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), dataset.train.len());
        prop_assert!(parts(&split).iter().all(|part| part.is_sorted()));
        prop_assert!(split.weight_half.len().abs_diff(split.arch_half.len()) <= 1);
        prop_assert_eq!(split.training().len(), split.weight_half.len() + split.arch_half.len());
        prop_assert!(split.training().is_sorted());

        for (class, &count) in counts.iter().enumerate() {
            let [weight, arch, val, test] = parts(&split).map(|part| of_class(&dataset, part, class));
            prop_assert_eq!(weight + arch + val + test, count);
            prop_assert_eq!(test == 0, own_test);
            prop_assert_eq!(val == 0, val_fraction == 0.0);
            prop_assert!(weight + arch >= 2);
            if !by_index {
                prop_assert!(weight.abs_diff(arch) <= 1);
            }
        }
        if by_index {
            prop_assert!(split.weight_half.last() < split.arch_half.first());
        }
        prop_assert_eq!(&Split::new(&dataset, &spec).unwrap(), &split);
    }

    #[test]
    fn test_and_val_do_not_depend_on_how_the_rest_is_halved(seed: u64) {
        let dataset = dataset(&[20, 31, 17], false);
        let spec = |halves| SplitSpec { seed, test_fraction: 0.2, val_fraction: 0.1, halves };
        let one = Split::new(&dataset, &spec(Halves::Stratified)).unwrap();
        let other = Split::new(&dataset, &spec(Halves::ByIndex)).unwrap();
        prop_assert_eq!((one.training(), one.val, one.test), (other.training(), other.val, other.test));
    }
}

#[test]
fn published_cut_of_cifar() {
    let dataset = dataset(&[5000; 10], true);
    let spec = SplitSpec { halves: Halves::ByIndex, ..SplitSpec::default() };
    let split = Split::new(&dataset, &spec).unwrap();
    assert_eq!(split.weight_half, (0..25_000).collect::<Vec<_>>());
    assert_eq!(split.arch_half, (25_000..50_000).collect::<Vec<_>>());
    assert_eq!((split.val.len(), split.test), (0, TestPart::Own));
}

#[test]
fn digits_are_split_in_fixed_numbers() {
    let digits = load(None, &LoadOptions::default()).unwrap();
    let split = Split::new(&digits, &SplitSpec::default()).unwrap();
    let lengths = parts(&split).map(<[usize]>::len);
    // A fifth of each class, rounded: 36 36 35 37 36 36 36 36 35 36.
    assert_eq!(lengths, [719, 719, 0, 359]);
    let other = Split::new(&digits, &SplitSpec { seed: 1, ..SplitSpec::default() }).unwrap();
    assert_ne!(split, other);
}

#[test]
fn small_class_is_named_with_what_it_needs() {
    for (own_test, val_fraction, expected) in
        [(true, 0.0, 2), (true, 0.1, 3), (false, 0.0, 3), (false, 0.1, 4)]
    {
        let spec = SplitSpec { val_fraction, ..SplitSpec::default() };
        Split::new(&dataset(&[9, expected], own_test), &spec).unwrap();
        let error = Split::new(&dataset(&[9, expected - 1], own_test), &spec).unwrap_err();
        match error {
            DataError::ClassTooSmall { class, expected: needed, found } => {
                assert_eq!((class.as_str(), needed, found), ("class 1", expected, expected - 1));
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn class_without_images_is_an_error() {
    let error = Split::new(&dataset(&[9, 0], true), &SplitSpec::default()).unwrap_err();
    assert_eq!(error.to_string(), "class \"class 1\" has 0 images; the split needs 2");
}

#[test]
fn shares_outside_their_range_are_errors() {
    let (with, without) = (dataset(&[9, 9], true), dataset(&[9, 9], false));
    let spec =
        |test_fraction, val_fraction| SplitSpec { test_fraction, val_fraction, ..SplitSpec::default() };
    for test in [0.0, 1.0, -0.1, f64::NAN, f64::INFINITY] {
        let error = Split::new(&without, &spec(test, 0.0)).unwrap_err();
        assert!(matches!(error, DataError::OptionRange { option: "test_fraction", .. }), "{test}: {error}");
        Split::new(&with, &spec(test, 0.0)).unwrap();
    }
    for val in [1.0, -0.1, f64::NAN] {
        let error = Split::new(&without, &spec(0.2, val)).unwrap_err();
        assert!(matches!(error, DataError::OptionRange { option: "val_fraction", .. }), "{val}: {error}");
    }
}

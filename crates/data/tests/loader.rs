//! Loaders: every image once an epoch, the same batches for the same seed, wherever an epoch is entered.
#![allow(missing_docs)]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::sync::Arc;

use cdarts_data::{Augment, AutoAugment, DataError, ImageBatch, ImageShape, Images, Loader, Normalisation};
use proptest::prelude::*;

/// `n` images of 1×4×4; image `i` has label `i` and no two pixels alike.
fn images(n: usize) -> Arc<Images> {
    let shape = ImageShape { channels: 1, height: 4, width: 4 };
    let pixels = (0..n).flat_map(|image| (0..16).map(move |at| (image * 31 + at * 16) as u8)).collect();
    Arc::new(Images::new(shape, pixels, (0..n as u32).collect()).unwrap())
}

fn raw() -> Normalisation {
    Normalisation { mean: vec![0.0], std: vec![1.0] }
}

const ALL: Option<Augment> = Some(Augment {
    crop_padding: 2,
    resized_crop: 0.3,
    flip: true,
    jitter: [0.4, 0.4, 0.4, 0.2],
    autoaugment: AutoAugment::Cifar,
    cutout: 2,
    mixup: 0.0,
});

fn loader(n: usize, batch: usize, augment: Option<Augment>, seed: u64) -> Loader {
    Loader::new(images(n), (0..n).collect(), batch, &raw(), augment, seed).unwrap()
}

fn labels(batches: impl Iterator<Item = ImageBatch>) -> Vec<i64> {
    batches.flat_map(|batch| batch.labels).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_image_once_an_epoch_and_no_lone_last_one(
        n in 1_usize..50, batch in 1_usize..12, epoch: u64, seed: u64,
    ) {
        let loader = loader(n, batch, None, seed);
        let batches: Vec<_> = loader.epoch(epoch, 0).collect();
        prop_assert_eq!(batches.len(), loader.steps_per_epoch());
        let (last, others) = batches.split_last().unwrap();
        prop_assert!(others.iter().all(|one| one.len() == batch));
        prop_assert!(last.len() <= batch + 1);
        prop_assert!(last.len() > 1 || batch == 1 || n == 1);
        for one in &batches {
            prop_assert_eq!(one.shape, [one.len(), 1, 4, 4]);
            prop_assert_eq!(one.pixels.len(), one.len() * 16);
        }
        let mut seen = labels(batches.into_iter());
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..n as i64).collect::<Vec<_>>());
    }

    #[test]
    fn entering_late_gives_exactly_the_rest(
        n in 1_usize..40, batch in 1_usize..9, epoch in 0_u64..5, first in 0_usize..45, seed: u64,
    ) {
        let loader = loader(n, batch, ALL, seed);
        let rest: Vec<_> = loader.epoch(epoch, 0).skip(first).collect();
        let late = loader.epoch(epoch, first);
        prop_assert_eq!(late.len(), rest.len());
        prop_assert_eq!(late.collect::<Vec<_>>(), rest);
    }

    #[test]
    fn augmentation_belongs_to_the_image_not_to_its_place(n in 2_usize..20, pick in 0_usize..20, seed: u64) {
        let pick = pick % n;
        let alone = Loader::new(images(n), vec![pick], 1, &raw(), ALL, seed).unwrap();
        let alone = alone.epoch(3, 0).next().unwrap();
        let among = loader(n, 1, ALL, seed).epoch(3, 0).find(|batch| batch.labels == [pick as i64]).unwrap();
        prop_assert_eq!(alone, among);
    }
}

#[test]
fn order_differs_between_epochs_and_seeds_only() {
    let order = |seed, epoch| labels(loader(30, 4, None, seed).epoch(epoch, 0));
    assert_eq!(order(0, 0), order(0, 0));
    assert_ne!(order(0, 0), order(0, 1));
    assert_ne!(order(0, 0), order(1, 0));
    let by_batch = labels(loader(30, 7, ALL, 0).epoch(0, 0));
    assert_eq!(by_batch, order(0, 0));
}

/// A change here changes every published result: raise the version of the run format with it.
#[test]
fn order_of_seed_0_is_pinned() {
    assert_eq!(labels(loader(10, 4, None, 0).epoch(0, 0)), [0, 7, 8, 4, 9, 2, 3, 5, 6, 1]);
}

#[test]
fn in_order_is_plain_and_ordered() {
    let loader = Loader::new(images(9), vec![8, 2, 5], 2, &raw(), ALL, 0).unwrap();
    let batches: Vec<_> = loader.in_order().collect();
    assert_eq!(batches.len(), 1, "a last batch of one joins the one before");
    assert_eq!(batches[0].labels, [8, 2, 5]);
    let expected: Vec<f32> = [8, 2, 5]
        .iter()
        .flat_map(|&index| images(9).pixels(index).to_vec())
        .map(|v| f32::from(v) / 255.0)
        .collect();
    assert_eq!(batches[0].pixels, expected);
}

#[test]
fn augmented_epochs_differ_from_each_other_and_from_plain() {
    let sorted = |loader: &Loader, epoch| {
        let mut images: Vec<_> = loader.epoch(epoch, 0).map(|batch| (batch.labels, batch.pixels)).collect();
        images.sort_by(|a, b| a.0.cmp(&b.0));
        images
    };
    let augmented = loader(20, 1, ALL, 0);
    assert_ne!(sorted(&augmented, 0), sorted(&augmented, 1));
    let plain = loader(20, 1, None, 0);
    assert_eq!(sorted(&plain, 0), sorted(&plain, 1));
    assert_ne!(sorted(&plain, 0), sorted(&augmented, 0));
}

#[test]
fn dropped_iterators_end_their_threads() {
    let images = images(200);
    let loader = Loader::new(Arc::clone(&images), (0..200).collect(), 2, &raw(), ALL, 0).unwrap();
    for taken in [0, 1, 2, 3, 50, 100] {
        let mut epoch = loader.epoch(0, 0);
        assert_eq!(epoch.by_ref().take(taken).count(), taken);
        drop(epoch);
    }
    drop(loader);
    // Every thread held a share; joined threads hold none.
    assert_eq!(Arc::strong_count(&images), 1);
}

#[test]
fn finished_epoch_stays_finished() {
    let loader = loader(5, 2, None, 0);
    let mut epoch = loader.epoch(0, 0);
    assert_eq!((epoch.len(), epoch.by_ref().count(), epoch.len()), (2, 2, 0));
    assert!(epoch.next().is_none());
    assert_eq!(loader.epoch(0, 99).len(), 0);
}

#[test]
fn epochs_can_be_read_side_by_side_and_from_other_threads() {
    let loader = loader(40, 4, ALL, 7);
    let alone: Vec<_> = loader.epoch(0, 0).collect();
    let zipped: Vec<_> = loader.epoch(0, 0).zip(loader.epoch(1, 0)).map(|(one, _)| one).collect();
    assert_eq!(zipped, alone);
    let elsewhere = std::thread::spawn(move || loader.epoch(0, 0).collect::<Vec<_>>()).join().unwrap();
    assert_eq!(elsewhere, alone);
}

#[test]
fn wrong_arguments_are_errors() {
    let make = |indices: Vec<usize>, batch, normalisation: &Normalisation, augment| {
        Loader::new(images(3), indices, batch, normalisation, augment, 0).map(|_| ()).unwrap_err()
    };
    assert!(matches!(make(vec![0], 0, &raw(), None), DataError::OptionRange { option: "batch", .. }));
    assert!(matches!(make(vec![], 1, &raw(), None), DataError::NoIndices { .. }));
    assert!(matches!(make(vec![0, 3], 1, &raw(), None), DataError::IndexOutOfRange { index: 3, len: 3 }));
    let colour = Normalisation::published_cifar10();
    assert!(matches!(
        make(vec![0], 1, &colour, None),
        DataError::NormalisationChannels { expected: 1, found: 3 }
    ));
    for (mean, std) in [(f32::NAN, 1.0), (0.0, 0.0), (0.0, -1.0), (0.0, f32::INFINITY)] {
        let wrong = Normalisation { mean: vec![mean], std: vec![std] };
        assert!(matches!(
            make(vec![0], 1, &wrong, None),
            DataError::OptionRange { option: "normalisation", .. }
        ));
    }
    let cutout = Some(Augment { cutout: 16, ..Augment::default() });
    assert!(matches!(make(vec![0], 1, &raw(), cutout), DataError::OptionRange { option: "cutout", .. }));
}

#[test]
fn mixup_blends_images_with_others_of_their_batch_and_says_which() {
    let mixing = Some(Augment { mixup: 0.7, ..Augment::default() });
    let plain: Vec<ImageBatch> = loader(20, 6, Some(Augment::default()), 4).epoch(3, 0).collect();
    let mixed: Vec<ImageBatch> = loader(20, 6, mixing, 4).epoch(3, 0).collect();
    let mut shares = Vec::new();
    for (plain, mixed) in plain.iter().zip(&mixed) {
        assert_eq!((&plain.labels, plain.mixed.is_none()), (&mixed.labels, true));
        let mix = mixed.mixed.as_ref().unwrap();
        shares.push(mix.share);
        let image = |label: i64| {
            let place = plain.labels.iter().position(|&other| other == label).unwrap();
            &plain.pixels[place * 16..(place + 1) * 16]
        };
        for (place, (&own, &other)) in mixed.labels.iter().zip(&mix.labels).enumerate() {
            let blended = image(own).iter().zip(image(other));
            for (found, (own, other)) in mixed.pixels[place * 16..].iter().zip(blended) {
                let expected = mix.share as f32 * own + (1.0 - mix.share) as f32 * other;
                assert!((found - expected).abs() < 1e-6);
            }
        }
    }
    assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
    assert!(shares.windows(2).all(|pair| pair[0] != pair[1]), "every batch draws its own: {shares:?}");
    let again: Vec<ImageBatch> = loader(20, 6, mixing, 4).epoch(3, 1).collect();
    assert_eq!(again[..], mixed[1..], "wherever the epoch is entered");
    assert!(loader(20, 6, mixing, 4).in_order().all(|batch| batch.mixed.is_none()));
}

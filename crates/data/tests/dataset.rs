//! Data sets in memory: checks, digest, and the embedded digits.
#![allow(missing_docs)]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use cdarts_data::{
    DataError, Dataset, Halves, ImageShape, Images, LoadOptions, Normalisation, SourceKind, SplitSpec, load,
};

fn images(shape: [usize; 3], pixels: &[u8], labels: &[u32]) -> Images {
    let [channels, height, width] = shape;
    Images::new(ImageShape { channels, height, width }, pixels.to_vec(), labels.to_vec()).unwrap()
}

fn dataset(classes: &[&str], train: Images, test: Option<Images>) -> Result<Dataset, DataError> {
    let classes = classes.iter().map(|&class| class.to_owned()).collect();
    Dataset::new(SourceKind::Folder, "made", classes, train, test)
}

#[test]
fn digest_tells_any_difference() {
    let digest = |classes: &[&str], train, test| dataset(classes, train, test).unwrap().digest;
    let same = || digest(&["a", "b"], images([1, 1, 2], &[1, 2, 3, 4], &[0, 1]), None);
    assert_eq!(same(), same());
    assert_eq!(same().len(), 64);
    let others = [
        digest(&["a", "c"], images([1, 1, 2], &[1, 2, 3, 4], &[0, 1]), None),
        digest(&["ab", ""], images([1, 1, 2], &[1, 2, 3, 4], &[0, 1]), None),
        digest(&["a", "b"], images([1, 1, 2], &[1, 2, 3, 5], &[0, 1]), None),
        digest(&["a", "b"], images([1, 1, 2], &[1, 2, 3, 4], &[1, 0]), None),
        digest(&["a", "b"], images([1, 2, 1], &[1, 2, 3, 4], &[0, 1]), None),
        digest(&["a", "b"], images([1, 1, 2], &[1, 2], &[0]), Some(images([1, 1, 2], &[3, 4], &[1]))),
    ];
    let distinct: std::collections::BTreeSet<_> = others.iter().cloned().chain([same()]).collect();
    assert_eq!(distinct.len(), 7);
}

/// Runs carry this digest in their manifest and refuse to resume on another one.
#[test]
fn digest_of_the_digits_is_pinned() {
    let digits = load(None, &LoadOptions::default()).unwrap();
    assert_eq!(digits.digest, "b1a10a3f19adae192f2341ffe94a22cde422f354332cf168f71bc4cee5b9f174");
}

#[test]
fn digits_can_be_scaled_and_coloured() {
    let options = LoadOptions { size: Some([16, 16]), channels: Some(3), ..LoadOptions::default() };
    let digits = load(None, &options).unwrap();
    assert_eq!((digits.shape.to_string().as_str(), digits.train.len()), ("3×16×16", 1797));
    assert_eq!(
        (digits.kind.to_string().as_str(), digits.name.as_str()),
        ("embedded handwritten digits", "digits")
    );
    let image = digits.train.pixels(0).unwrap();
    assert_eq!(image[..256], image[256..512]);
    assert!(image.iter().any(|&value| value > 200));
}

#[test]
fn parts_that_do_not_belong_together() {
    let shape = dataset(&["a"], images([1, 1, 2], &[1, 2], &[0]), Some(images([1, 2, 1], &[1, 2], &[0])))
        .unwrap_err();
    assert_eq!(shape.to_string(), "training images are 1×1×2, test images 1×2×1");
    let label = dataset(&["a", "b"], images([1, 1, 1], &[1, 2], &[0, 2]), None).unwrap_err();
    assert!(matches!(label, DataError::LabelOutOfRange { record: 1, expected: 2, found: 2, .. }), "{label}");
    let label =
        dataset(&["a"], images([1, 1, 1], &[1], &[0]), Some(images([1, 1, 1], &[1], &[1]))).unwrap_err();
    assert!(matches!(label, DataError::LabelOutOfRange { record: 0, expected: 1, found: 1, .. }), "{label}");
}

#[test]
fn images_of_wrong_length_or_shape() {
    let shape = ImageShape { channels: 1, height: 2, width: 2 };
    let short = Images::new(shape, vec![0; 7], vec![0, 0]).unwrap_err();
    assert!(matches!(short, DataError::PixelCount { labels: 2, expected: 8, found: 7 }), "{short}");
    for wrong in [ImageShape { channels: 0, ..shape }, ImageShape { height: 0, ..shape }] {
        assert!(matches!(Images::new(wrong, vec![], vec![]), Err(DataError::OptionRange { .. })));
    }
}

#[test]
fn digits_normalise_to_mean_0_and_deviation_1() {
    let digits = load(None, &LoadOptions::default()).unwrap();
    let all: Vec<usize> = (0..1797).collect();
    let found = Normalisation::measure(&digits.train, &all).unwrap();
    // Mean of the raw values is 4.884165 of 16.
    assert!((found.mean[0] - 0.305_26).abs() < 1e-3, "{found:?}");
    assert!((found.std[0] - 0.376).abs() < 1e-2, "{found:?}");
}

#[test]
fn configuration_text_forms() {
    let spec: SplitSpec = serde_json::from_str(r#"{"halves": "by-index", "val_fraction": 0.1}"#).unwrap();
    assert_eq!(spec, SplitSpec { halves: Halves::ByIndex, val_fraction: 0.1, ..SplitSpec::default() });
    assert!(serde_json::from_str::<SplitSpec>(r#"{"half": 1}"#).is_err());
    let options: LoadOptions = serde_json::from_str(r#"{"size": [32, 32]}"#).unwrap();
    assert_eq!(options, LoadOptions { size: Some([32, 32]), ..LoadOptions::default() });
    assert_eq!(serde_json::to_string(&SourceKind::Cifar10).unwrap(), r#""cifar10""#);
}

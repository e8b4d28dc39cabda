//! CIFAR binary files: small sets made here, and CIFAR-10 itself where `CDARTS_CIFAR10` names the folder that
//! holds `cifar-10-batches-bin` and `images`.
#![allow(missing_docs)]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]
#![expect(clippy::print_stdout, reason = "a skipped test says so")]

use std::path::{Path, PathBuf};

use cdarts_data::{DataError, Dataset, LoadOptions, Normalisation, SourceKind, load};
use image::{ImageFormat, Rgb, RgbImage};
use proptest::prelude::*;
use tempfile::TempDir;

const PIXELS: usize = 3072;

/// Planes of picture `number`, no two alike and none symmetric.
fn planes(number: usize) -> Vec<u8> {
    (0..PIXELS).map(|at| ((at / 1024 + 1) * (at % 1024) + number * 53 + at % 32 * 7) as u8).collect()
}

fn record(labels: &[u8], number: usize) -> Vec<u8> {
    [labels, &planes(number)].concat()
}

/// Two images in each training file, labels 0 to 9 in turn; picture numbers count on.
fn cifar10(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for file in 0..5 {
        let records: Vec<_> = (2 * file..2 * file + 2).flat_map(|n| record(&[n as u8], n)).collect();
        std::fs::write(folder.join(format!("data_batch_{}.bin", file + 1)), records).unwrap();
    }
    std::fs::write(folder.join("test_batch.bin"), record(&[3], 10)).unwrap();
    let names: Vec<_> = (0..10).map(|class| format!("class{class}")).collect();
    // The published file ends in an empty line.
    std::fs::write(folder.join("batches.meta.txt"), names.join("\n") + "\n\n").unwrap();
}

fn cifar100(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("train.bin"), [record(&[19, 99], 0), record(&[0, 7], 1)].concat()).unwrap();
    std::fs::write(folder.join("test.bin"), record(&[4, 0], 2)).unwrap();
    let names = |n: usize, kind| (0..n).map(|class| format!("{kind}{class}\n")).collect::<String>();
    std::fs::write(folder.join("fine_label_names.txt"), names(100, "fine")).unwrap();
    std::fs::write(folder.join("coarse_label_names.txt"), names(20, "coarse")).unwrap();
}

fn made(make: impl Fn(&Path)) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    let path = folder.path().to_owned();
    (folder, path)
}

fn load_default(path: &Path) -> Result<Dataset, DataError> {
    load(Some(path), &LoadOptions::default())
}

#[test]
fn cifar10_is_read_in_the_order_of_its_files() {
    let (_folder, path) = made(cifar10);
    let dataset = load_default(&path).unwrap();
    assert_eq!((dataset.kind, dataset.name.as_str()), (SourceKind::Cifar10, "cifar10"));
    assert_eq!(dataset.classes[9], "class9");
    assert_eq!(dataset.train.labels(), (0..10).collect::<Vec<_>>());
    assert!((0..10).all(|index| *dataset.train.pixels(index).unwrap() == planes(index)));
    let test = dataset.test.unwrap();
    assert_eq!((test.labels(), &*test.pixels(0).unwrap()), ([3].as_slice(), planes(10).as_slice()));
    assert_eq!(dataset.notes, ["a part of CIFAR-10: 10 training and 1 test images of 50000 and 10000"]);
}

#[test]
fn folder_around_the_files_will_do() {
    let (_folder, path) = made(|path| cifar10(&path.join("cifar-10-batches-bin")));
    let dataset = load_default(&path).unwrap();
    assert_eq!((dataset.kind, dataset.notes.len()), (SourceKind::Cifar10, 2));
    let direct = load_default(&path.join("cifar-10-batches-bin")).unwrap();
    assert_eq!(dataset.digest, direct.digest);

    cifar100(&path.join("cifar-100-binary"));
    assert!(matches!(load_default(&path), Err(DataError::Ambiguous { .. })));
}

#[test]
fn cifar100_has_fine_and_coarse_labels() {
    let (_folder, path) = made(cifar100);
    let fine = load_default(&path).unwrap();
    assert_eq!(
        (fine.kind, fine.classes.len(), fine.train.labels()),
        (SourceKind::Cifar100, 100, [99, 7].as_slice())
    );
    assert_eq!(*fine.train.pixels(1).unwrap(), planes(1));
    let coarse = load(Some(&path), &LoadOptions { fine_labels: false, ..LoadOptions::default() }).unwrap();
    assert_eq!((coarse.classes.len(), coarse.train.labels()), (20, [19, 0].as_slice()));
    assert_eq!(coarse.classes[19], "coarse19");
    assert_ne!(coarse.digest, fine.digest);
}

#[test]
fn size_and_channels_apply_here_too() {
    let (_folder, path) = made(cifar10);
    let options = LoadOptions { size: Some([16, 16]), channels: Some(1), ..LoadOptions::default() };
    let dataset = load(Some(&path), &options).unwrap();
    assert_eq!(dataset.shape.to_string(), "1×16×16");
    assert_eq!((dataset.train.len(), dataset.test.unwrap().shape()), (10, dataset.shape));
    assert_eq!(dataset.notes.len(), 1);
}

#[test]
fn missing_files_are_named() {
    for (make, files) in [
        (cifar10 as fn(&Path), &["data_batch_3.bin", "test_batch.bin", "batches.meta.txt"]),
        (cifar100, &["train.bin", "test.bin", "fine_label_names.txt"]),
    ] {
        for missing in files {
            let (_folder, path) = made(make);
            std::fs::remove_file(path.join(missing)).unwrap();
            let error = load_default(&path).unwrap_err();
            assert!(matches!(&error, DataError::MissingFile { file, .. } if file == missing), "{error}");
            assert!(error.hint().is_some());
        }
    }
}

#[test]
fn incomplete_records_are_counted() {
    let (_folder, path) = made(cifar10);
    let file = path.join("data_batch_2.bin");
    let whole = std::fs::read(&file).unwrap();
    for (keep, record, found) in [(whole.len() - 1, 1, PIXELS), (PIXELS + 1 + 5, 1, 5), (7, 0, 7), (0, 0, 0)]
    {
        std::fs::write(&file, &whole[..keep]).unwrap();
        let error = load_default(&path).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{}, record {record}: expected 3073 bytes, found {found}", file.display())
        );
    }
}

#[test]
fn labels_out_of_range_are_named() {
    let (_folder, path) = made(cifar10);
    let file = path.join("test_batch.bin");
    std::fs::write(&file, [record(&[9], 0), record(&[10], 1)].concat()).unwrap();
    let error = load_default(&path).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{}, record 1: label 10 is out of range, there are 10 classes", file.display())
    );

    let (_folder, path) = made(cifar100);
    std::fs::write(path.join("test.bin"), record(&[20, 0], 1)).unwrap();
    load_default(&path).unwrap();
    let coarse = load(Some(&path), &LoadOptions { fine_labels: false, ..LoadOptions::default() });
    assert!(matches!(coarse, Err(DataError::LabelOutOfRange { record: 0, expected: 20, found: 20, .. })));
}

#[test]
fn wrong_number_of_class_names() {
    let (_folder, path) = made(cifar10);
    std::fs::write(path.join("batches.meta.txt"), "one\ntwo\n").unwrap();
    assert!(matches!(load_default(&path), Err(DataError::ClassNames { expected: 10, found: 2, .. })));
}

/// The same pictures through both readers: a transposed or interleaved image would not survive it.
#[test]
fn binary_and_png_give_the_same_pixels() {
    let (folder, path) = made(|path| cifar10(&path.join("bin")));
    for number in 0..11 {
        let (part, class) = if number < 10 { ("train", number) } else { ("test", 3) };
        let planes = planes(number);
        let picture = RgbImage::from_fn(32, 32, |x, y| {
            let at = (y * 32 + x) as usize;
            Rgb([planes[at], planes[1024 + at], planes[2048 + at]])
        });
        let file = path.join(format!("png/{part}/class{class}/{number}.png"));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        picture.save_with_format(file, ImageFormat::Png).unwrap();
    }
    let binary = load_default(&path.join("bin")).unwrap();
    // Every class needs a test folder.
    for class in (0..10).filter(|&class| class != 3) {
        let from = path.join(format!("png/train/class{class}/{class}.png"));
        let to = path.join(format!("png/test/class{class}/{class}.png"));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap();
    }
    let png = load_default(&path.join("png")).unwrap();
    assert_eq!(binary.train, png.train);
    assert_eq!(binary.classes, png.classes);
    assert_eq!(binary.test.unwrap().pixels(0).unwrap(), png.test.unwrap().pixels(3).unwrap());
    drop(folder);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..7000), names: String) {
        let (_folder, path) = made(cifar10);
        std::fs::write(path.join("data_batch_5.bin"), bytes).unwrap();
        std::fs::write(path.join("batches.meta.txt"), names).unwrap();
        let _ = load_default(&path);
    }
}

/// The folder that `CDARTS_CIFAR10` names, or nothing after saying so.
fn real_cifar() -> Option<PathBuf> {
    let folder = std::env::var_os("CDARTS_CIFAR10").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: CDARTS_CIFAR10 is not set");
    }
    folder
}

#[test]
fn real_cifar10_has_its_published_statistics() {
    let Some(folder) = real_cifar() else { return };
    let dataset = load_default(&folder).unwrap();
    assert_eq!((dataset.train.len(), dataset.test.as_ref().unwrap().len()), (50_000, 10_000));
    let mut counts = [0; 10];
    dataset.train.labels().iter().for_each(|&label| counts[label as usize] += 1);
    assert_eq!(counts, [5000; 10]);
    let all: Vec<usize> = (0..50_000).collect();
    let measured = Normalisation::measure(&dataset.train, &all).unwrap();
    let published = Normalisation::published_cifar10();
    // The copy at hand may have been through JPEG, which moves both figures by less than this.
    for (measured, published) in [(measured.mean, published.mean), (measured.std, published.std)] {
        for (a, b) in measured.iter().zip(&published) {
            assert!((a - b).abs() < 2e-3, "{measured:?} against {published:?}");
        }
    }
}

/// A few JPEGs of each class: each must be among the images of its class in the binary files, pixel for pixel
/// but for rounding between two decoders.
#[test]
fn real_cifar10_is_the_same_through_both_readers() {
    let Some(folder) = real_cifar() else { return };
    let binary = load_default(&folder.join("cifar-10-batches-bin")).unwrap();
    let sample = tempfile::tempdir().unwrap();
    for class in &binary.classes {
        let to = sample.path().join(class);
        std::fs::create_dir_all(&to).unwrap();
        let from = folder.join("images/test").join(class);
        let mut files: Vec<_> = std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in &files[..3] {
            std::fs::copy(file, to.join(file.file_name().unwrap())).unwrap();
        }
    }
    let jpegs = load_default(sample.path()).unwrap();
    assert_eq!(jpegs.classes, binary.classes);
    let test = binary.test.unwrap();
    for index in 0..jpegs.train.len() {
        let (pixels, label) = (jpegs.train.pixels(index).unwrap(), jpegs.train.label(index));
        let close = |other: &[u8]| pixels.iter().zip(other).all(|(a, b)| a.abs_diff(*b) <= 4);
        let twins =
            (0..test.len()).filter(|&at| test.label(at) == label && close(&test.pixels(at).unwrap())).count();
        assert!(twins >= 1, "JPEG {index} of class {label} is not among the binary images");
    }
}

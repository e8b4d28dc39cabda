//! Every format that is read: the same pictures through all of them, the layouts of published sets, and what each kind
//! of damage is answered with.
#![allow(missing_docs)]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod support;

use std::path::{Path, PathBuf};

use cdarts_data::{
    Axes, DataError, Dataset, ImageShape, LoadOptions, Loader, Normalisation, SourceKind, load,
};
use image::{Rgb, RgbImage};
use proptest::prelude::*;
use support::{cifar_batch, cifar_names, gzip, idx, npy, npz, write};
use tempfile::TempDir;

const SHAPE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };
const IMAGES: usize = 20;

/// Planes `[3, 32, 32]` of picture `number`, no two alike and none symmetric.
fn planes(number: usize) -> Vec<u8> {
    (0..3072).map(|at| ((at / 1024 + 1) * (at % 1024) + number * 53 + at % 32 * 7) as u8).collect()
}

fn all_planes(numbers: std::ops::Range<usize>) -> Vec<u8> {
    numbers.flat_map(planes).collect()
}

/// Planes as `[h, w, c]`.
fn interleaved(planes: &[u8]) -> Vec<u8> {
    let images = planes.chunks_exact(3072);
    images
        .flat_map(|image| (0..1024).flat_map(move |at| [0, 1, 2].map(|plane| image[plane * 1024 + at])))
        .collect()
}

fn picture(number: usize) -> RgbImage {
    let planes = planes(number);
    RgbImage::from_fn(32, 32, |x, y| {
        let at = (y * 32 + x) as usize;
        Rgb([planes[at], planes[1024 + at], planes[2048 + at]])
    })
}

/// Training images: two a class; test images: one of class 3.
fn labels() -> Vec<u8> {
    (0..IMAGES).map(|image| (image / 2) as u8).collect()
}

fn names() -> Vec<String> {
    (0..10).map(|class| format!("class{class}")).collect()
}

fn le<const N: usize>(values: impl IntoIterator<Item = [u8; N]>) -> Vec<u8> {
    values.into_iter().flatten().collect()
}

fn load_at(path: &Path) -> Result<Dataset, DataError> {
    load(Some(path), &LoadOptions::default())
}

fn cifar_python(folder: &Path) -> PathBuf {
    for file in 0..5 {
        let numbers = 4 * file..4 * file + 4;
        let batch = cifar_batch("labels", &labels()[numbers.clone()], &all_planes(numbers));
        write(folder, &format!("data_batch_{}", file + 1), &batch);
    }
    write(folder, "test_batch", &cifar_batch("labels", &[3], &planes(99)));
    write(folder, "batches.meta", &cifar_names("label_names", &names()));
    folder.to_owned()
}

/// The pictures in every format, each with a note of what it is.
fn every_format(folder: &Path) -> Vec<(&'static str, PathBuf)> {
    let mut formats = Vec::new();
    let (train, test) = (all_planes(0..IMAGES), planes(99));
    let names_file = names().join("\n");

    let binary = folder.join("cifar-binary");
    let record = |label: u8, planes: &[u8]| [&[label], planes].concat();
    for file in 0..5 {
        let records: Vec<u8> =
            (4 * file..4 * file + 4).flat_map(|n| record(labels()[n], &planes(n))).collect();
        write(&binary, &format!("data_batch_{}.bin", file + 1), &records);
    }
    write(&binary, "test_batch.bin", &record(3, &test));
    write(&binary, "batches.meta.txt", names_file.as_bytes());
    formats.push(("CIFAR binary", binary));
    formats.push(("CIFAR pickles", cifar_python(&folder.join("cifar-python"))));

    for (name, descr, values) in [
        ("bytes", "|u1", [train.clone(), test.clone()]),
        ("16 bits", "<u2", [&train, &test].map(|v| le(v.iter().map(|&v| u16::from(v).to_le_bytes())))),
        ("64 bits", "<i8", [&train, &test].map(|v| le(v.iter().map(|&v| i64::from(v).to_le_bytes())))),
        ("big end first", ">i4", [&train, &test].map(|v| le(v.iter().map(|&v| i32::from(v).to_be_bytes())))),
        (
            "fractions",
            "<f4",
            [&train, &test].map(|v| le(v.iter().map(|&v| (f32::from(v) / 255.0).to_le_bytes()))),
        ),
        ("doubles", "<f8", [&train, &test].map(|v| le(v.iter().map(|&v| f64::from(v).to_le_bytes())))),
    ] {
        let folder = folder.join(name);
        let [train, test] = values;
        write(&folder, "train_x.npy", &npy(descr, &[IMAGES, 3, 32, 32], &train));
        write(
            &folder,
            "train_y.npy",
            &npy("<i8", &[IMAGES], &le(labels().iter().map(|&l| i64::from(l).to_le_bytes()))),
        );
        write(&folder, "test_x.npy", &npy(descr, &[1, 3, 32, 32], &test));
        write(&folder, "test_y.npy", &npy("<i8", &[1], &3_i64.to_le_bytes()));
        write(&folder, "labels.txt", names_file.as_bytes());
        formats.push((name, folder));
    }
    for (name, compressed) in [("npz", false), ("compressed npz", true)] {
        let entries = [
            ("train_images", npy("|u1", &[IMAGES, 32, 32, 3], &interleaved(&train))),
            ("train_labels", npy("|u1", &[IMAGES, 1], &labels())),
            ("test_images", npy("|u1", &[1, 32, 32, 3], &interleaved(&test))),
            ("test_labels", npy("|u1", &[1, 1], &[3])),
        ];
        let file = write(folder, &format!("{name}.npz"), &npz(&entries, compressed));
        write(folder, &format!("{name}.labels.txt"), names_file.as_bytes());
        formats.push((name, file));
    }
    for (name, pack, ending) in [
        ("idx", <[u8]>::to_vec as fn(&[u8]) -> Vec<u8>, ""),
        ("packed idx", gzip as fn(&[u8]) -> Vec<u8>, ".gz"),
    ] {
        let folder = folder.join(name);
        write(
            &folder,
            &format!("train-images-idx4-ubyte{ending}"),
            &pack(&idx(&[IMAGES, 3, 32, 32], &train)),
        );
        write(&folder, &format!("train-labels-idx1-ubyte{ending}"), &pack(&idx(&[IMAGES], &labels())));
        write(&folder, &format!("t10k-images.idx4-ubyte{ending}"), &pack(&idx(&[1, 3, 32, 32], &test)));
        write(&folder, &format!("t10k-labels.idx1-ubyte{ending}"), &pack(&idx(&[1], &[3])));
        write(&folder, "labels.txt", names_file.as_bytes());
        formats.push((name, folder));
    }
    let mut table = "path,label,split\n".to_owned();
    for number in 0..IMAGES {
        let class = format!("class{}", labels()[number]);
        let file = folder.join("folder").join(&class).join(format!("{number:02}.png"));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        picture(number).save(file).unwrap();
        table += &format!("folder/{class}/{number:02}.png,{class},train\n");
    }
    picture(99).save(folder.join("99.png")).unwrap();
    table += "99.png,class3,test\n";
    formats.push(("table", write(folder, "table.csv", table.as_bytes())));
    formats.push(("class folders", folder.join("folder")));
    formats
}

#[test]
fn the_same_pictures_through_every_reader_give_the_same_tensors() {
    let folder = tempfile::tempdir().unwrap();
    let formats = every_format(folder.path());
    let batches = |dataset: &Dataset| {
        let indices: Vec<usize> = (0..IMAGES).collect();
        let normalisation = Normalisation::measure(&dataset.train, &indices).unwrap();
        let loader = Loader::new(dataset.train.clone(), indices, 8, &normalisation, None, 0).unwrap();
        loader.in_order().map(Result::unwrap).collect::<Vec<_>>()
    };
    let expected = load_at(&formats[0].1).unwrap();
    assert_eq!(*expected.train.pixels(7).unwrap(), planes(7));
    for (name, path) in &formats {
        let found = load_at(path).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((found.shape, &found.classes), (SHAPE, &expected.classes), "{name}");
        assert!(batches(&found) == batches(&expected), "{name}: another tensor");
        if *name != "class folders" {
            assert_eq!(found.digest, expected.digest, "{name}");
            assert_eq!(*found.test.unwrap().pixels(0).unwrap(), planes(99), "{name}");
        }
    }
}

#[test]
fn scaling_does_not_depend_on_the_reader() {
    let folder = tempfile::tempdir().unwrap();
    let options = LoadOptions { size: Some([20, 12]), channels: Some(1), ..LoadOptions::default() };
    let digests: std::collections::BTreeSet<_> = every_format(folder.path())
        .iter()
        .filter(|(name, _)| *name != "class folders")
        .map(|(_, path)| load(Some(path), &options).unwrap().digest)
        .collect();
    assert_eq!(digests.len(), 1);
}

/// A folder with files written from bytes.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn with(self, name: &str, bytes: &[u8]) -> Self {
        write(self.path(), name, bytes);
        self
    }

    /// The error that reading `name` ends with; it has to say the file and a remedy.
    fn error(&self, name: &str, culprit: &str) -> DataError {
        let error = load_at(&self.path().join(name)).unwrap_err();
        assert!(error.to_string().contains(culprit), "{culprit} is not in: {error}");
        assert!(error.hint().is_some_and(|hint| hint.len() > 10), "no remedy: {error}");
        error
    }
}

/// MedMNIST's layout: six arrays, labels `[n, 1]`, images `[n, h, w]` or `[n, h, w, 3]`.
fn medmnist(channels: usize, compressed: bool) -> Vec<u8> {
    let image = |part: usize, n: usize| {
        let shape = if channels == 1 { vec![n, 28, 28] } else { vec![n, 28, 28, channels] };
        let values: Vec<u8> =
            (0..n * 784 * channels).map(|at| (at * 7 + part * 31 + at / 784 * 5) as u8).collect();
        npy("|u1", &shape, &values)
    };
    let labels = |n: usize| npy("|u1", &[n, 1], &(0..n).map(|at| (at % 3) as u8).collect::<Vec<_>>());
    let entries = [
        ("train_images", image(0, 12)),
        ("train_labels", labels(12)),
        ("val_images", image(1, 6)),
        ("val_labels", labels(6)),
        ("test_images", image(2, 9)),
        ("test_labels", labels(9)),
    ];
    npz(&entries, compressed)
}

#[test]
fn medmnist_archives() {
    for channels in [1, 3] {
        let place = Place::new().with("breastmnist.npz", &medmnist(channels, true));
        let dataset = load_at(&place.path().join("breastmnist.npz")).unwrap();
        assert_eq!((dataset.kind, dataset.name.as_str()), (SourceKind::Npz, "breastmnist"));
        assert_eq!(dataset.shape, ImageShape { channels, height: 28, width: 28 });
        assert_eq!((dataset.train.len(), dataset.own_val, dataset.test.as_ref().unwrap().len()), (18, 6, 9));
        assert_eq!(dataset.classes, ["0", "1", "2"]);
        assert!(dataset.notes.iter().any(|note| note.contains("val_images.npy") && note.contains("join")));
        // The folder around a single archive will do.
        assert_eq!(load_at(place.path()).unwrap().digest, dataset.digest);
    }
    let place = Place::new().with("a.npz", &medmnist(1, true)).with("b.npz", &medmnist(1, true));
    assert!(matches!(place.error("", "a.npz"), DataError::Ambiguous { .. }));
}

#[test]
fn unseen_data_folders_of_any_channels_and_sides() {
    for (shape, expected) in [
        ([1, 27, 18], [1, 27, 18]),
        ([12, 8, 8], [12, 8, 8]),
        ([27, 18, 1], [1, 27, 18]),
        ([16, 16, 5], [5, 16, 16]),
        ([7, 20, 30], [7, 20, 30]),
    ] {
        let [a, b, c] = shape;
        let n = 6;
        let values: Vec<u8> = (0..n * a * b * c).map(|at| (at % 251) as u8).collect();
        let place = ["train", "valid", "test"].iter().fold(Place::new(), |place, part| {
            let labels = le((0..n).map(|at| (at as i64 % 2).to_le_bytes()));
            place
                .with(&format!("{part}_x.npy"), &npy("|u1", &[n, a, b, c], &values))
                .with(&format!("{part}_y.npy"), &npy("<i8", &[n], &labels))
        });
        let dataset = load_at(place.with("metadata", b"{}").path());
        let dataset = dataset.unwrap();
        let ImageShape { channels, height, width } = dataset.shape;
        assert_eq!([channels, height, width], expected, "{shape:?}");
        assert_eq!((dataset.train.len(), dataset.own_val, dataset.kind), (12, 6, SourceKind::Npy));
        assert!(dataset.notes.iter().any(|note| note.contains("are taken as [n, ")), "{:?}", dataset.notes);
        // Value at channel 0, row 0, column 1: the next one in memory, or one whole pixel on.
        let step = if expected == shape { 1 } else { channels };
        assert_eq!(dataset.train.pixels(0).unwrap()[1], step as u8);
    }
}

#[test]
fn axes_that_cannot_be_told_are_asked_for() {
    let place = Place::new()
        .with("x_train.npy", &npy("|u1", &[4, 8, 8, 8], &[7; 2048]))
        .with("y_train.npy", &npy("|u1", &[4], &[0, 1, 0, 1]));
    let error = place.error("", "x_train.npy");
    assert!(matches!(&error, DataError::AmbiguousAxes { .. }), "{error}");
    assert!(error.hint().unwrap().contains("data.axes=channels-first"));
    for axes in [Axes::ChannelsFirst, Axes::ChannelsLast] {
        assert!(load(Some(place.path()), &LoadOptions { axes, ..LoadOptions::default() }).is_ok());
    }
}

#[test]
fn labels_may_be_floats_or_columns_of_ones_and_need_not_begin_at_0() {
    let images = npy("|u1", &[4, 2, 2], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
    let read = |labels: Vec<u8>| {
        let place = Place::new().with("x.npy", &images).with("y.npy", &labels);
        load_at(place.path()).unwrap()
    };
    let floats = read(npy("<f4", &[4], &le([1_f32, 5.0, 1.0, 26.0].map(f32::to_le_bytes))));
    assert_eq!(
        (floats.classes, floats.train.labels()),
        (vec!["1".into(), "5".into(), "26".into()], &[0, 1, 0, 2][..])
    );
    assert_eq!(floats.notes, ["labels go from 1 to 26, 23 of them without an image"]);
    let ones = read(npy("|b1", &[4, 3], &[1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]));
    assert_eq!(ones.train.labels(), [0, 2, 1, 2]);
}

#[test]
fn values_beyond_bytes_are_scaled_by_the_training_images() {
    let labels = npy("|u1", &[2], &[0, 1]);
    let place = Place::new()
        .with("x_train.npy", &npy("<f4", &[2, 1, 2], &le([-2_f32, 0.0, 1.0, 2.0].map(f32::to_le_bytes))))
        .with("y_train.npy", &labels)
        .with("x_test.npy", &npy("<f4", &[2, 1, 2], &le([-9_f32, 9.0, -1.0, 0.0].map(f32::to_le_bytes))))
        .with("y_test.npy", &labels);
    let dataset = load_at(place.path()).unwrap();
    assert_eq!(dataset.value_range, Some([-2.0, 2.0]));
    assert_eq!([0, 1].map(|index| dataset.train.pixels(index).unwrap().to_vec()), [[0, 128], [191, 255]]);
    let test = dataset.test.unwrap();
    assert_eq!([0, 1].map(|index| test.pixels(index).unwrap().to_vec()), [[0, 255], [64, 128]]);
    // A range that is given, as of an earlier data set, is kept.
    let options = LoadOptions { value_range: Some([-4.0, 4.0]), ..LoadOptions::default() };
    assert_eq!(*load(Some(place.path()), &options).unwrap().train.pixels(0).unwrap(), [64, 128]);
}

#[test]
fn mnist_and_emnist() {
    let image = |transposed: bool| -> Vec<u8> {
        (0..4)
            .flat_map(|n| (0..9).map(move |at| n * 50 + if transposed { at % 3 * 3 + at / 3 } else { at }))
            .collect()
    };
    let files = |place: Place, prefix: &str, ending: &str, transposed: bool| {
        place
            .with(&format!("{prefix}train-images-idx3-ubyte{ending}"), &idx(&[4, 3, 3], &image(transposed)))
            .with(&format!("{prefix}train-labels-idx1-ubyte{ending}"), &idx(&[4], &[1, 2, 1, 2]))
    };
    let mnist = files(Place::new(), "", "", false);
    let dataset = load_at(mnist.path()).unwrap();
    assert_eq!(
        (dataset.kind, &dataset.classes[..]),
        (SourceKind::Idx, &["1".to_owned(), "2".to_owned()][..])
    );
    assert_eq!(dataset.name, mnist.path().file_name().unwrap().to_str().unwrap());

    let emnist = files(Place::new(), "emnist-letters-", "", true)
        .with("emnist-letters-mapping.txt", b"1 65 97\n2 66 98\n");
    let letters = load_at(emnist.path()).unwrap();
    assert_eq!(
        (letters.name.as_str(), &letters.classes[..]),
        ("emnist-letters", &["A".to_owned(), "B".to_owned()][..])
    );
    assert_eq!(letters.train, dataset.train, "EMNIST is upright");

    // Two sets side by side: the name of a file chooses.
    let both = files(emnist, "emnist-digits-", "", true);
    assert!(matches!(both.error("", "emnist-digits-train-images"), DataError::Ambiguous { .. }));
    let chosen = load_at(&both.path().join("emnist-letters-train-labels-idx1-ubyte")).unwrap();
    assert_eq!(chosen.digest, letters.digest);
}

#[test]
fn cifar_100_pickles_have_fine_and_coarse_labels() {
    let both = |fine: &[u8], coarse: &[u8], planes: &[u8]| {
        // Both lists in one dictionary: the second batch's list goes before the closing `u.`.
        let mut bytes = cifar_batch("fine_labels", fine, planes);
        bytes.truncate(bytes.len() - 2);
        bytes.extend(b"U\x0dcoarse_labels](");
        bytes.extend(coarse.iter().flat_map(|&label| [b'K', label]));
        bytes.extend(b"eu.");
        bytes
    };
    let names = |n: usize, kind: &str| (0..n).map(|class| format!("{kind}{class}")).collect::<Vec<_>>();
    let mut meta = cifar_names("fine_label_names", &names(100, "fine"));
    meta.truncate(meta.len() - 2);
    meta.extend(&cifar_names("coarse_label_names", &names(20, "coarse"))[4..]);
    let place = Place::new()
        .with("cifar-100-python/train", &both(&[99, 7], &[19, 0], &all_planes(0..2)))
        .with("cifar-100-python/test", &both(&[0], &[4], &planes(2)))
        .with("cifar-100-python/meta", &meta);
    let fine = load_at(place.path()).unwrap();
    assert_eq!(
        (fine.kind, fine.train.labels(), fine.classes[99].as_str()),
        (SourceKind::Cifar100, &[99, 7][..], "fine99")
    );
    let coarse = LoadOptions { fine_labels: false, ..LoadOptions::default() };
    let coarse = load(Some(place.path()), &coarse).unwrap();
    assert_eq!((coarse.train.labels(), coarse.classes[19].as_str()), (&[19, 0][..], "coarse19"));
}

#[test]
fn damaged_pickles_name_the_file_and_the_way_out() {
    for (change, said) in [
        ((|bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2)) as fn(&mut Vec<u8>), "in the middle of"),
        (|bytes| bytes.clear(), "it ends at byte 0"),
        (|bytes| *bytes = b"cos\nsystem\n(U\x04truetR.".to_vec(), "os.system, which is code"),
        (|bytes| *bytes = b"<html>not found</html>".to_vec(), "opcode 0x3C"),
        (
            |bytes| *bytes = cifar_batch("labels", &[0, 1, 2, 10], &all_planes(0..4)),
            "record 3: label 10 is out of range",
        ),
        (
            |bytes| *bytes = cifar_batch("labels", &[0, 1, 2], &all_planes(0..4)),
            "for 3 labels its array is [4, 3072]",
        ),
        (|bytes| *bytes = cifar_batch("classes", &[0], &planes(0)), "no list of numbers called labels"),
    ] {
        let place = Place::new();
        let folder = cifar_python(&place.path().join("cifar-10-batches-py"));
        let mut bytes = std::fs::read(folder.join("data_batch_3")).unwrap();
        change(&mut bytes);
        std::fs::write(folder.join("data_batch_3"), bytes).unwrap();
        let error = place.error("", "data_batch_3");
        assert!(error.to_string().contains(said), "{said} is not in: {error}");
        assert!(error.hint().unwrap().contains("binary version"));
    }
    let place = Place::new();
    let folder = cifar_python(place.path());
    std::fs::remove_file(folder.join("batches.meta")).unwrap();
    assert!(matches!(place.error("", "batches.meta"), DataError::MissingFile { .. }));
}

/// A folder of arrays with one of them replaced.
fn arrays_with(name: &str, bytes: &[u8]) -> Place {
    Place::new()
        .with("train_x.npy", &npy("|u1", &[4, 2, 2], &[9; 16]))
        .with("train_y.npy", &npy("|u1", &[4], &[0, 1, 0, 1]))
        .with("test_x.npy", &npy("|u1", &[1, 2, 2], &[9; 4]))
        .with("test_y.npy", &npy("|u1", &[1], &[1]))
        .with(name, bytes)
}

#[test]
fn damaged_arrays_name_the_file_and_the_way_out() {
    let huge = |descr: &str, shape: &[usize]| npy(descr, shape, b"");
    for (name, bytes, said) in [
        ("train_x.npy", npy("|u1", &[4, 2, 2], &[9; 15]), "its head says 16 bytes of values, found 15"),
        ("train_x.npy", npy("|u1", &[4, 2, 2], &[9; 17]), "found 17 or more"),
        ("train_x.npy", b"PK\x03\x04 and more".to_vec(), "does not begin as a .npy file does"),
        ("train_x.npy", b"".to_vec(), "cannot be read"),
        ("train_x.npy", npy("|O", &[4, 2, 2], &[9; 16]), "values of type \"|O\" are not read"),
        ("train_x.npy", npy("|u1", &[4, 4], &[9; 16]), "expected [n, h, w]"),
        ("train_x.npy", npy("|u1", &[3, 2, 2], &[9; 12]), "has 3 images"),
        (
            "train_x.npy",
            huge("|u1", &[1_000_000, 1_000, 1_000]),
            "says 1000000000000 bytes of values, found 0",
        ),
        ("train_x.npy", huge("<f8", &[usize::MAX, usize::MAX, 2]), "more than there can be"),
        (
            "train_x.npy",
            npy(
                "<f4",
                &[4, 2, 2],
                &le([0.5, 0.5, 0.5, 0.5, f32::NAN, 0.0, 0.0, 1.0]
                    .repeat(2)
                    .into_iter()
                    .map(f32::to_le_bytes)),
            ),
            "record 1: NaN",
        ),
        ("train_y.npy", npy("|u1", &[4], &[0, 0, 0, 0]), "has one class, \"0\""),
        ("train_y.npy", npy("|i1", &[4], &[0, 255, 0, 1]), "record 1: -1 is not a label"),
        (
            "train_y.npy",
            npy("<f4", &[4], &le([0.0, 0.5, 1.0, 1.0].map(f32::to_le_bytes))),
            "record 1: 0.5 is not a label",
        ),
        (
            "train_y.npy",
            npy("|u1", &[4, 2], &[0, 1, 1, 0, 1, 1, 0, 1]),
            "record 2: none or several of its 2 classes",
        ),
        ("test_y.npy", npy("|u1", &[1], &[2]), "label 2 is out of range"),
        ("test_x.npy", npy("|u1", &[1, 2, 3], &[9; 6]), "expected [n, 2, 2]"),
        ("test_x.npy", npy("|u1", &[0, 2, 2], &[]), "has 0 images"),
    ] {
        let culprit = name.trim_end_matches(".npy");
        let error =
            arrays_with(name, &bytes).error("", if said.contains("[n, h") { "train_x" } else { culprit });
        assert!(error.to_string().contains(said), "{said} is not in: {error}");
    }
    let place = arrays_with("test_x.npy", b"");
    std::fs::remove_file(place.path().join("test_x.npy")).unwrap();
    let error = place.error("", "test_images");
    assert!(error.to_string().contains("it has test_y, train_x, train_y"), "{error}");
    let error = place.error("train_x.npy", "train_x.npy");
    assert!(error.hint().unwrap().contains("name the folder"));
    let named = arrays_with("labels.txt", b"cat\n");
    assert!(matches!(named.error("", "labels.txt"), DataError::ClassNames { expected: 2, found: 1, .. }));
}

#[test]
fn damaged_archives_name_the_file_and_the_way_out() {
    let whole = medmnist(1, true);
    let place = |bytes: &[u8]| Place::new().with("set.npz", bytes);
    let cut = place(&whole[..whole.len() / 2]).error("set.npz", "set.npz");
    assert!(matches!(cut, DataError::BadArray { .. }), "{cut}");
    assert!(matches!(place(b"").error("set.npz", "set.npz"), DataError::BadArray { .. }));
    let text = place(b"<html>not found</html>").error("set.npz", "set.npz");
    assert!(matches!(text, DataError::BadArray { .. }), "{text}");

    let without = npz(&[("weights", npy("|u1", &[1], &[1]))], false);
    let error = place(&without).error("set.npz", "train_images");
    assert!(matches!(error, DataError::MissingArray { .. }), "{error}");

    // Damage inside the values is found by their check sum.
    let entries = |images: Vec<u8>| npz(&[("x", images), ("y", npy("|u1", &[4], &[0, 1, 0, 1]))], false);
    let mut bytes = entries(npy("|u1", &[4, 50, 50], &[9; 10_000]));
    let at = bytes.windows(200).position(|window| window == [9; 200]).unwrap();
    bytes[at + 100] = 8;
    let error = place(&bytes).error("set.npz", "x.npy in ");
    assert!(error.to_string().to_lowercase().contains("checksum"), "{error}");
}

#[test]
fn small_archives_that_announce_or_hold_far_too_much() {
    // A head that claims 10^12 values.
    let claims = npz(
        &[("x", npy("|u1", &[1_000_000, 1_000, 1_000], b"")), ("y", npy("|u1", &[1_000_000], b""))],
        true,
    );
    let place = Place::new().with("claims.npz", &claims);
    let error = place.error("claims.npz", "claims");
    assert!(matches!(error, DataError::TooLarge { found: 1_000_000_000_000, .. }), "{error}");

    // 64 MB of zeros in 64 kB, behind the few values that the head says.
    let mut image = npy("|u1", &[2, 2, 2], &[1, 2, 3, 4, 5, 6, 7, 8]);
    image.extend(vec![0; 64 << 20]);
    let bomb = npz(&[("x", image.clone()), ("y", npy("|u1", &[2], &[0, 1]))], true);
    assert!(bomb.len() < 100_000);
    let error = Place::new().with("bomb.npz", &bomb).error("bomb.npz", "x.npy in ");
    assert!(matches!(error, DataError::ArrayLength { expected: 8, found: 9, .. }), "{error}");

    let mut values = vec![1; 8];
    values.extend(vec![0; 64 << 20]);
    let place = Place::new()
        .with("train-images-idx3-ubyte.gz", &gzip(&idx(&[2, 2, 2], &values)))
        .with("train-labels-idx1-ubyte.gz", &gzip(&idx(&[2], &[0, 1])));
    let error = place.error("", "train-images-idx3-ubyte.gz");
    assert!(matches!(error, DataError::ArrayLength { expected: 8, found: 9, .. }), "{error}");
    let place = place
        .with("train-images-idx3-ubyte.gz", &gzip(&idx(&[4_000_000, 1_000, 1_000], &[])))
        .with("train-labels-idx1-ubyte.gz", &gzip(&idx(&[4_000_000], &[])));
    assert!(matches!(load_at(place.path()), Err(DataError::TooLarge { .. })));
}

#[test]
fn damaged_idx_files_name_the_file_and_the_way_out() {
    let place = |name: &str, bytes: &[u8]| {
        Place::new()
            .with("train-images-idx3-ubyte", &idx(&[4, 2, 2], &[9; 16]))
            .with("train-labels-idx1-ubyte", &idx(&[4], &[0, 1, 0, 1]))
            .with("t10k-images-idx3-ubyte", &idx(&[1, 2, 2], &[9; 4]))
            .with("t10k-labels-idx1-ubyte", &idx(&[1], &[1]))
            .with(name, bytes)
    };
    for (name, bytes, said) in [
        ("train-images-idx3-ubyte", idx(&[4, 2, 2], &[9; 15]), "says 16 bytes of values, found 15"),
        ("train-images-idx3-ubyte", gzip(&idx(&[4, 2, 2], &[9; 16])), "does not begin as an idx file"),
        ("train-images-idx3-ubyte", idx(&[4, 4], &[9; 16]), "expected [n, h, w]"),
        ("train-images-idx3-ubyte", idx(&[5, 2, 2], &[9; 20]), "5 images"),
        ("train-images-idx3-ubyte", idx(&[4_000_000_000, 1000, 1000], &[]), "says 4000000000000000 bytes"),
        ("train-labels-idx1-ubyte", idx(&[4], &[7; 4]), "has one class, \"7\""),
        ("t10k-labels-idx1-ubyte", idx(&[1], &[9]), "label 9 is out of range"),
    ] {
        let error = place(name, &bytes).error("", name);
        assert!(error.to_string().contains(said), "{said} is not in: {error}");
    }
    let packed = gzip(&idx(&[4, 2, 2], &[9; 16]));
    let cut = place("train-images-idx3-ubyte.gz", &packed[..packed.len() - 9]);
    std::fs::remove_file(cut.path().join("train-images-idx3-ubyte")).unwrap();
    let error = cut.error("", "train-images-idx3-ubyte.gz");
    assert!(matches!(error, DataError::BadArray { .. } | DataError::ArrayLength { .. }), "{error}");
    std::fs::remove_file(cut.path().join("train-labels-idx1-ubyte")).unwrap();
    assert!(matches!(cut.error("", "train-labels-idx1-ubyte"), DataError::MissingArray { .. }));
}

/// A table of eight grey pictures named by their shade.
fn table(text: &str) -> Place {
    let place = Place::new();
    for shade in 0..8_u8 {
        let picture = image::GrayImage::from_pixel(4, 4, image::Luma([shade]));
        picture.save(place.path().join(format!("{shade}.png"))).unwrap();
    }
    place.with("table.csv", text.as_bytes())
}

#[test]
fn tables_with_and_without_splits() {
    let place = table("label, filename\n10, 3.png\n9, 1.png\n10, 0.png\n");
    let dataset = load_at(&place.path().join("table.csv")).unwrap();
    assert_eq!((dataset.kind, dataset.name.as_str()), (SourceKind::Csv, "table"));
    assert_eq!(
        (&dataset.classes[..], dataset.train.labels()),
        (&["9".to_owned(), "10".to_owned()][..], &[1, 0, 1][..])
    );
    let shades = |images: &cdarts_data::Images| {
        (0..images.len()).map(|at| images.pixels(at).unwrap()[0]).collect::<Vec<_>>()
    };
    assert_eq!(shades(&dataset.train), [3, 1, 0]);

    let place = table("\u{FEFF}path,class,split\n0.png,a,test\n1.png,b,train\n2.png,a,\n3.png,\"b\",valid\n");
    let dataset = load_at(&place.path().join("table.csv")).unwrap();
    assert_eq!(
        (shades(&dataset.train), shades(&dataset.test.unwrap()), dataset.own_val),
        (vec![1, 2, 3], vec![0], 1)
    );
}

#[test]
fn damaged_tables_name_the_line_and_the_way_out() {
    for (text, said) in [
        ("", "has no column path; its first line names none"),
        ("path,colour\n0.png,a\n", "has no column label; its first line names path, colour"),
        ("path,label\n", "no images below"),
        ("path,label\n0.png,a\n1.png,\n", "line 3: expected a label"),
        ("path,label\n,a\n1.png,b\n", "line 2: expected the path of an image"),
        ("path,label\n0.png,a\n1.png,a\n", "has one class, \"a\""),
        (
            "path,label,split\n0.png,a,\n1.png,b,later\n",
            "line 3: expected the split train, val or test, found \"later\"",
        ),
        (
            "path,label,split\n0.png,a,\n1.png,b,\n2.png,c,test\n",
            "is of class \"c\", which no training image has",
        ),
        ("path,label\n0.png,a,b,c\n", "cannot read the table"),
        ("path,label\n0.png,a\n1.png,b\n9.png,b\n", "9.png"),
    ] {
        let place = table(text);
        let error = load_at(&place.path().join("table.csv")).unwrap_err();
        assert!(error.to_string().contains(said), "{said} is not in: {error}");
        assert!(error.to_string().contains(&place.path().display().to_string()), "no path: {error}");
        assert!(error.hint().is_some() || matches!(error, DataError::Io(_)), "no remedy: {error}");
    }
}

#[test]
fn files_that_hold_no_data_set_say_what_to_name() {
    for (name, remedy) in [
        ("photos.zip", "unpack it"),
        ("cifar-10-binary.tar.gz", "unpack it"),
        ("data_batch_1.bin", "name the folder"),
        ("photo.png", "name a folder"),
    ] {
        let error = Place::new().with(name, b"?").error(name, name);
        assert!(matches!(&error, DataError::NotADataset { .. }), "{error}");
        assert!(error.hint().unwrap().contains(remedy), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_damage_makes_a_reader_panic(
        which in 0_usize..5,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        keep in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (name, entry) = [
            ("set.npz", "set.npz"),
            ("", "train_x.npy"),
            ("", "train-images-idx3-ubyte"),
            ("", "train-images-idx3-ubyte.gz"),
            ("table.csv", "table.csv"),
        ][which];
        let idx_images = idx(&[4, 2, 2], &[9; 16]);
        let mut bytes = match which {
            0 => medmnist(1, false),
            1 => npy("<f4", &[4, 2, 2], &[9; 64]),
            2 => idx_images,
            3 => gzip(&idx_images),
            _ => b"path,label,split\n0.png,a,train\n1.png,b,test\n2.png,b,val\n3.png,b,train\n".to_vec(),
        };
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(keep) = keep {
            bytes.truncate(keep.index(bytes.len()));
        }
        let place = if which == 4 { table("") } else { Place::new() };
        let place = match which {
            1 => place.with("train_y.npy", &npy("|u1", &[4], &[0, 1, 0, 1])),
            2 | 3 => place.with("train-labels-idx1-ubyte", &idx(&[4], &[0, 1, 0, 1])),
            _ => place,
        };
        let place = place.with(entry, &bytes);
        let _ = load_at(&place.path().join(name));
    }
}

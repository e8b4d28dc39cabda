//! Folders of pictures: what is read, in which order and shape, and what each kind of disorder is answered with.
#![allow(missing_docs)]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::path::{Path, PathBuf};

use cdarts_data::{
    Augment, Axes, DataError, Dataset, ImageShape, LoadOptions, Loader, Normalisation, SourceKind, load,
};
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use tempfile::TempDir;

/// A folder that is removed afterwards, with files written by path.
struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(self, path: &str, bytes: &[u8]) -> Self {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        self
    }

    fn image(self, path: &str, image: impl Into<DynamicImage>, format: ImageFormat) -> Self {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, format).unwrap();
        self.write(path, bytes.get_ref())
    }

    /// A grey PNG of 8×8, all of one value.
    fn grey(self, path: &str, value: u8) -> Self {
        self.image(path, GrayImage::from_pixel(8, 8, Luma([value])), ImageFormat::Png)
    }

    /// A grey PNG of the given columns and rows.
    fn sized(self, path: &str, width: u32, height: u32) -> Self {
        self.image(path, GrayImage::new(width, height), ImageFormat::Png)
    }

    fn folder(self, path: &str) -> Self {
        std::fs::create_dir_all(self.path(path)).unwrap();
        self
    }

    fn load_with(&self, options: &LoadOptions) -> Result<Dataset, DataError> {
        load(Some(self.0.path()), options)
    }

    fn load(&self) -> Dataset {
        self.load_with(&LoadOptions::default()).unwrap()
    }

    fn error(&self) -> DataError {
        self.load_with(&LoadOptions::default()).unwrap_err()
    }
}

/// First pixel of each training image, in order.
fn values(dataset: &Dataset) -> Vec<u8> {
    (0..dataset.train.len()).map(|index| dataset.train.pixels(index).unwrap()[0]).collect()
}

#[test]
fn classes_and_images_come_in_the_order_of_their_names() {
    let tree = Tree::new()
        .grey("dog/2.png", 4)
        .grey("dog/1.png", 3)
        .grey("cat/b/z.png", 2)
        .grey("cat/a.png", 1)
        .grey("Zebra/x.PNG", 0);
    let dataset = tree.load();
    assert_eq!(dataset.kind, SourceKind::Folder);
    assert_eq!(dataset.classes, ["Zebra", "cat", "dog"]);
    assert_eq!(dataset.train.labels(), [0, 1, 1, 2, 2]);
    assert_eq!(values(&dataset), [0, 1, 2, 3, 4]);
    assert_eq!(dataset.shape, ImageShape { channels: 1, height: 8, width: 8 });
    assert!(dataset.test.is_none() && dataset.notes.is_empty());
    assert_eq!(dataset.name, tree.0.path().file_name().unwrap().to_str().unwrap());
}

#[test]
fn what_is_known_to_be_harmless_is_passed_over() {
    let tree = Tree::new()
        .grey("a/1.png", 1)
        .grey("b/1.png", 2)
        .write("README", b"about")
        .write("labels.csv", b"a,b")
        .write("a/.DS_Store", b"?")
        .write("a/Thumbs.db", b"?")
        .write("b/notes.txt", b"?")
        .write("pets.tar.gz", b"?")
        .write(".git/config", b"?")
        .write("__MACOSX/a/._1.png", b"?")
        .write("b/.hidden.png", b"?");
    assert_eq!(values(&tree.load()), [1, 2]);
}

#[test]
fn content_counts_more_than_the_extension() {
    let tree = Tree::new()
        .image("a/x.jpg", GrayImage::from_pixel(8, 8, Luma([7])), ImageFormat::Png)
        .grey("b/x.png", 9);
    assert_eq!(values(&tree.load()), [7, 9]);
}

#[test]
fn train_and_test_folders() {
    let tree = Tree::new()
        .grey("Train/a/1.png", 1)
        .grey("Train/b/1.png", 2)
        .grey("test/a/1.png", 3)
        .grey("test/b/1.png", 4);
    let dataset = tree.load();
    assert_eq!(values(&dataset), [1, 2]);
    let test = dataset.test.unwrap();
    assert_eq!(
        (test.pixels(0).unwrap()[0], test.pixels(1).unwrap()[0], test.labels()),
        (3, 4, [0, 1].as_slice())
    );
    assert!(dataset.notes.is_empty());
}

#[test]
fn val_is_the_test_set_only_where_there_is_none() {
    let train = || Tree::new().grey("train/a/1.png", 1).grey("train/b/1.png", 2);
    let tree = train().grey("val/a/1.png", 3).grey("val/b/1.png", 4);
    let dataset = tree.load();
    assert_eq!((values(&dataset), dataset.test.unwrap().len()), (vec![1, 2], 2));
    assert_eq!(dataset.notes, [format!("{} is the test set, there is no other", tree.path("val").display())]);

    let tree = tree.grey("test/a/1.png", 5).grey("test/b/1.png", 6);
    let dataset = tree.load();
    assert_eq!((values(&dataset), dataset.test.unwrap().pixels(0).unwrap()[0]), (vec![1, 2, 3, 4], 5));
    assert_eq!(dataset.train.labels(), [0, 1, 0, 1]);
    assert_eq!(dataset.notes.len(), 1);

    let dataset = train().load();
    assert_eq!((values(&dataset), dataset.test), (vec![1, 2], None));
}

#[test]
fn class_of_trains_is_a_class() {
    let tree = Tree::new().grey("car/1.png", 1).grey("train/1.png", 2);
    assert_eq!(tree.load().classes, ["car", "train"]);
}

#[test]
fn colour_is_taken_if_any_file_has_it() {
    let tree = Tree::new().grey("a/1.png", 5).image(
        "b/1.png",
        RgbImage::from_pixel(8, 8, Rgb([1, 2, 3])),
        ImageFormat::Png,
    );
    let dataset = tree.load();
    assert_eq!(dataset.shape.channels, 3);
    let planes = |index: usize| [0, 64, 128].map(|at| dataset.train.pixels(index).unwrap()[at]);
    assert_eq!([planes(0), planes(1)], [[5, 5, 5], [1, 2, 3]]);
    assert_eq!(dataset.notes, ["1 of 2 images are in colour; all get three channels"]);

    let grey = tree.load_with(&LoadOptions { channels: Some(1), ..LoadOptions::default() }).unwrap();
    assert_eq!((grey.shape.channels, grey.notes.len()), (1, 0));
}

#[test]
fn common_size_is_kept_whatever_it_is() {
    let dataset = Tree::new().sized("a/1.png", 90, 70).sized("b/1.png", 90, 70).load();
    assert_eq!(dataset.shape, ImageShape { channels: 1, height: 70, width: 90 });
}

#[test]
fn mixed_sizes_become_squares_of_the_median_side() {
    for (sides, expected) in [([20, 27, 90], 24), ([20, 28, 90], 32), ([2, 3, 3], 8), ([500, 600, 700], 64)] {
        let tree = Tree::new()
            .sized("a/1.png", sides[0], 1000)
            .sized("a/2.png", 1000, sides[1])
            .sized("b/1.png", sides[2], sides[2]);
        let dataset = tree.load();
        assert_eq!((dataset.shape.height, dataset.shape.width), (expected, expected), "{sides:?}");
        assert_eq!(dataset.notes, [format!("images differ in size; all become {expected}×{expected}")]);
    }
}

#[test]
fn size_can_be_given() {
    let tree = Tree::new().sized("a/1.png", 90, 70).sized("b/1.png", 30, 20);
    let dataset = tree.load_with(&LoadOptions { size: Some([16, 12]), ..LoadOptions::default() }).unwrap();
    assert_eq!(dataset.shape, ImageShape { channels: 1, height: 16, width: 12 });
    assert!(dataset.notes.is_empty());
}

/// `tests/fixtures/make.py` says what is in each file.
#[test]
fn unusual_files_decode_to_the_same_picture() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let red_blue = [[255, 0, 0], [0, 0, 255]];
    for (file, expected) in [
        ("cmyk.jpg", red_blue),
        ("progressive.jpg", red_blue),
        ("restart.jpg", red_blue),
        ("palette.png", red_blue),
        ("palette-transparent.png", [[255, 0, 0], [255, 255, 255]]),
        ("animated.png", red_blue),
    ] {
        let bytes = std::fs::read(fixtures.join(file)).unwrap();
        let dataset =
            Tree::new().write(&format!("a/{file}"), &bytes).write(&format!("b/{file}"), &bytes).load();
        assert_eq!(dataset.shape, ImageShape { channels: 3, height: 8, width: 16 }, "{file}");
        let pixels = dataset.train.pixels(0).unwrap();
        for (column, colour) in [2, 13].into_iter().zip(expected) {
            let found = [0, 128, 256].map(|plane| pixels[plane + column]);
            assert!(
                found.iter().zip(colour).all(|(&a, b): (&u8, u8)| a.abs_diff(b) <= 6),
                "{file}, column {column}: {found:?}"
            );
        }
    }
}

#[test]
fn paths_that_are_no_folders() {
    let tree = Tree::new().write("file.txt", b"");
    let missing = load(Some(&tree.path("nothing")), &LoadOptions::default()).unwrap_err();
    assert!(matches!(&missing, DataError::PathMissing { path } if *path == tree.path("nothing")));
    let file = load(Some(&tree.path("file.txt")), &LoadOptions::default()).unwrap_err();
    assert!(matches!(&file, DataError::NotADataset { path } if *path == tree.path("file.txt")));
    assert!(missing.hint().is_some() && file.hint().is_some());
}

#[test]
fn folders_without_classes() {
    let empty = Tree::new().error();
    assert!(matches!(empty, DataError::NoImages { .. }), "{empty}");
    let notes = Tree::new().write("a/x.txt", b"").write("b/x.txt", b"").error();
    assert!(matches!(notes, DataError::NoImages { .. }), "{notes}");

    let flat = Tree::new().grey("1.png", 0).grey("2.png", 0).error();
    assert!(matches!(flat, DataError::NoClassFolders { images: 2, .. }), "{flat}");
    assert!(flat.hint().unwrap().contains("sub-folder for each class"));

    let tree = Tree::new().grey("train/1.png", 0);
    let flat = tree.error();
    assert!(matches!(&flat, DataError::NoClassFolders { path, .. } if *path == tree.path("train")), "{flat}");
}

#[test]
fn class_folders_that_are_empty_alone_or_mixed_with_images() {
    let tree = Tree::new().grey("a/1.png", 0).grey("b/1.png", 0).folder("c");
    let empty = tree.error();
    assert!(
        matches!(&empty, DataError::EmptyClass { class, path } if class == "c" && *path == tree.path("c")),
        "{empty}"
    );

    let alone = Tree::new().grey("a/1.png", 0).error();
    assert!(matches!(&alone, DataError::OneClass { class, nested: false, .. } if class == "a"), "{alone}");
    let tree = Tree::new().grey("animals/cat/1.png", 0).grey("animals/dog/1.png", 0);
    let nested = tree.error();
    assert!(matches!(nested, DataError::OneClass { nested: true, .. }), "{nested}");
    assert!(nested.hint().unwrap().ends_with(&tree.path("animals").display().to_string()));

    let tree = Tree::new().grey("a/1.png", 0).grey("b/1.png", 0).grey("stray.jpg", 0);
    let stray = tree.error();
    assert!(matches!(&stray, DataError::StrayImage { path } if *path == tree.path("stray.jpg")), "{stray}");
    let tree = Tree::new().grey("train/a/1.png", 0).grey("train/b/1.png", 0).grey("stray.jpg", 0);
    assert!(matches!(tree.error(), DataError::StrayImage { path } if path == tree.path("stray.jpg")));
}

#[test]
fn parts_under_other_names_are_doubted() {
    let tree = Tree::new()
        .grey("training_set/cat/1.png", 0)
        .grey("training_set/dog/1.png", 0)
        .grey("test_set/cat/1.png", 0)
        .grey("test_set/dog/1.png", 0);
    let notes = tree.load().notes;
    assert_eq!(notes.len(), 1);
    assert!(notes[0].starts_with("every class folder holds cat, dog; if those"), "{notes:?}");
    assert!(tree.grey("test_set/cow/1.png", 0).load().notes.is_empty());
}

#[test]
fn files_that_may_be_data() {
    let tree = Tree::new().grey("a/1.png", 0).grey("b/1.png", 0);
    let tree = tree.write("b/2.webp", b"RIFF");
    let other = tree.error();
    assert!(
        matches!(&other, DataError::UnsupportedFormat { extension, .. } if extension == "webp"),
        "{other}"
    );
    let tree = Tree::new().grey("a/1.png", 0).grey("b/1.png", 0).write("a/photo", b"?");
    let unknown = tree.error();
    assert!(
        matches!(&unknown, DataError::UnknownFile { path } if *path == tree.path("a/photo")),
        "{unknown}"
    );
}

#[test]
fn files_that_are_no_images() {
    for content in [b"".as_slice(), b"not an image at all, just text", b"RIFF\x10\0\0\0WEBPVP8 "] {
        let tree = Tree::new().grey("a/1.png", 0).grey("b/1.png", 0).write("b/2.png", content);
        let error = tree.error();
        assert!(matches!(&error, DataError::Decode { path, .. } if *path == tree.path("b/2.png")), "{error}");
        assert!(std::error::Error::source(&error).is_some() && error.hint().is_some());
    }
}

#[test]
fn truncated_files() {
    let noisy = RgbImage::from_fn(40, 40, |x, y| {
        Rgb([(x * 37 % 251) as u8, (y * 91 % 241) as u8, (x * y % 239) as u8])
    });
    for (format, file) in [(ImageFormat::Jpeg, "b/1.jpg"), (ImageFormat::Png, "b/1.png")] {
        let tree =
            Tree::new().image("a/1.png", noisy.clone(), ImageFormat::Png).image(file, noisy.clone(), format);
        assert_eq!(tree.load().train.len(), 2);
        let whole = std::fs::read(tree.path(file)).unwrap();
        for keep in [whole.len() / 2, whole.len() * 9 / 10] {
            std::fs::write(tree.path(file), &whole[..keep]).unwrap();
            let error = tree.error();
            match &error {
                DataError::Truncated { path, found } => {
                    assert_eq!((path, *found, format), (&tree.path(file), keep, ImageFormat::Jpeg));
                }
                DataError::Decode { path, .. } => {
                    assert_eq!((path, format), (&tree.path(file), ImageFormat::Png))
                }
                other => panic!("{other}"),
            }
        }
    }
}

#[test]
fn first_damaged_file_is_reported_whatever_the_threads_do() {
    let mut tree = Tree::new();
    for index in 0..60 {
        tree = tree.grey(&format!("{}/{index:02}.png", ["a", "b"][index % 2]), 0);
    }
    for damaged in ["a/30.png", "b/07.png", "a/44.png"] {
        tree = tree.write(damaged, b"nothing");
    }
    for _ in 0..5 {
        let error = tree.error();
        let DataError::TooManyBroken { found: 3, allowed: 0, first, others } = &error else {
            panic!("{error}")
        };
        assert!(matches!(&**first, DataError::Decode { path, .. } if *path == tree.path("a/30.png")));
        assert_eq!(*others, [tree.path("a/44.png"), tree.path("b/07.png")]);
        assert!(error.hint().unwrap().ends_with("--skip-broken 3"));
    }
}

#[test]
fn small_file_that_announces_a_huge_picture() {
    let mut header = b"IHDR".to_vec();
    header.extend(60_000_u32.to_be_bytes());
    header.extend(60_000_u32.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    let mut crc = flate2::Crc::new();
    crc.update(&header);
    let mut data_crc = flate2::Crc::new();
    data_crc.update(b"IDAT");
    let bytes = [
        b"\x89PNG\r\n\x1a\n\0\0\0\x0d".as_slice(),
        &header,
        &crc.sum().to_be_bytes(),
        b"\0\0\0\0IDAT",
        &data_crc.sum().to_be_bytes(),
    ];
    let tree = Tree::new().grey("a/1.png", 0).grey("b/1.png", 0).write("b/bomb.png", &bytes.concat());
    let error = tree.error();
    let DataError::Decode { source, .. } = &error else { panic!("{error}") };
    assert!(matches!(source, image::ImageError::Limits(_)), "{source}");
    assert!(error.hint().unwrap().contains("too large"));
}

#[test]
fn test_folder_with_other_classes() {
    let tree = Tree::new()
        .grey("train/a/1.png", 0)
        .grey("train/b/1.png", 0)
        .grey("test/b/1.png", 0)
        .grey("test/c/1.png", 0);
    match tree.error() {
        DataError::ClassMismatch { only_train, only_test, .. } => {
            assert_eq!((only_train, only_test), (vec!["a".to_owned()], vec!["c".to_owned()]));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn folders_beside_train() {
    let tree = Tree::new().grey("train/a/1.png", 0).grey("train/b/1.png", 0).grey("extra/a/1.png", 0);
    let error = tree.error();
    assert!(matches!(&error, DataError::UnexpectedFolder { path } if *path == tree.path("extra")), "{error}");
    let tree = Tree::new().grey("train/a/1.png", 0).grey("test/a/1.png", 0).grey("testing/a/1.png", 0);
    let error = tree.error();
    assert!(matches!(&error, DataError::Ambiguous { .. }), "{error}");
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_circles_found() {
    let tree = Tree::new().grey("a/1.png", 1).grey("b/1.png", 2);
    std::os::unix::fs::symlink(tree.path("a/1.png"), tree.path("b/2.png")).unwrap();
    std::os::unix::fs::symlink("nobody@nowhere", tree.path(".#notes.txt")).unwrap();
    assert_eq!(values(&tree.load()), [1, 2, 1]);
    std::os::unix::fs::symlink(tree.path("b"), tree.path("b/circle")).unwrap();
    assert!(matches!(tree.error(), DataError::Io(_)));
    std::fs::remove_file(tree.path("b/circle")).unwrap();
    std::os::unix::fs::symlink(tree.path("gone"), tree.path("b/3.png")).unwrap();
    let error = tree.error();
    assert!(matches!(&error, DataError::Io(cause) if cause.to_string().contains("3.png")), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn class_names_must_be_text() {
    use std::os::unix::ffi::OsStrExt;
    let tree = Tree::new().grey("a/1.png", 1);
    std::fs::create_dir(tree.0.path().join(std::ffi::OsStr::from_bytes(b"caf\xE9"))).unwrap();
    assert!(matches!(tree.error(), DataError::NameNotUtf8 { .. }));
}

#[test]
fn options_outside_their_range() {
    let tree = Tree::new().grey("a/1.png", 1).grey("b/1.png", 2);
    for options in [
        LoadOptions { channels: Some(0), ..LoadOptions::default() },
        LoadOptions { size: Some([0, 8]), ..LoadOptions::default() },
        LoadOptions { size: Some([8, 5000]), ..LoadOptions::default() },
    ] {
        assert!(matches!(tree.load_with(&options), Err(DataError::OptionRange { .. })), "{options:?}");
    }
}

/// Noise, so that any mix-up shows.
fn noisy(seed: u32) -> RgbImage {
    RgbImage::from_fn(20, 16, |x, y| Rgb([x, y, x * y].map(|v| (v * 37 + seed * 11) as u8)))
}

fn noisy_tree() -> Tree {
    (0..12).fold(Tree::new(), |tree, number| {
        let part = ["train", "train", "test"][number as usize / 4];
        let file = format!("{part}/{}/{number:02}.png", ["a", "b"][number as usize % 2]);
        tree.image(&file, noisy(number), ImageFormat::Png)
    })
}

const STREAM: LoadOptions = LoadOptions {
    size: Some([8, 12]),
    longest_side: None,
    channels: None,
    fine_labels: true,
    axes: Axes::Auto,
    skip_broken: 0,
    value_range: None,
    stream_above: 0,
};

#[test]
fn too_large_for_memory_means_decoded_when_needed_and_the_same() {
    let tree = noisy_tree();
    let kept = tree.load_with(&LoadOptions { stream_above: u64::MAX, ..STREAM }).unwrap();
    let streamed = tree.load_with(&STREAM).unwrap();
    assert!(streamed.train.is_streamed() && !kept.train.is_streamed());
    assert_eq!((&streamed.digest, streamed.train.labels()), (&kept.digest, kept.train.labels()));
    assert_eq!(streamed.notes.len(), 1);
    let read = |dataset: &Dataset| {
        let (train, test) = (dataset.train.clone(), dataset.test.clone().unwrap());
        let all: Vec<usize> = (0..train.len()).collect();
        let normalisation = Normalisation::measure(&train, &all).unwrap();
        let augment = Some(Augment { crop_padding: 2, flip: true, cutout: 4, ..Augment::default() });
        let loader = Loader::new(train, all, 3, &normalisation, augment, 5).unwrap();
        let tests = Loader::new(test, vec![0, 1, 2, 3], 3, &normalisation, None, 5).unwrap();
        let batches: Vec<_> = loader.epoch(2, 0).chain(tests.in_order()).map(Result::unwrap).collect();
        (normalisation, batches)
    };
    assert_eq!(read(&streamed), read(&kept));
}

#[test]
fn streamed_file_that_changes_ends_the_epoch_with_its_path() {
    let tree = noisy_tree();
    let dataset = tree.load_with(&STREAM).unwrap();
    let normalisation = Normalisation::measure(&dataset.train, &[0]).unwrap();
    let loader = Loader::new(dataset.train.clone(), (0..8).collect(), 2, &normalisation, None, 0).unwrap();
    let errors = || loader.in_order().filter_map(Result::err).collect::<Vec<_>>();
    assert!(errors().is_empty());

    noisy(99).save(tree.path("train/b/01.png")).unwrap();
    assert!(matches!(&errors()[..], [DataError::Changed { path }] if *path == tree.path("train/b/01.png")));
    std::fs::write(tree.path("train/b/01.png"), b"gone").unwrap();
    assert!(
        matches!(&errors()[..], [DataError::Decode { path, .. }] if *path == tree.path("train/b/01.png"))
    );
    std::fs::remove_file(tree.path("train/b/01.png")).unwrap();
    assert!(matches!(&errors()[..], [DataError::Io(_)]));
    // The error is the last item: images 0, 2, 4, 6 are of class a, 1 is the first of class b.
    let mut epoch = loader.in_order();
    assert_eq!(epoch.by_ref().take_while(Result::is_ok).count(), 2);
    assert!(epoch.next().is_none() && epoch.len() == 0);
}

#[test]
fn broken_files_are_left_out_up_to_a_number() {
    for stream_above in [0, u64::MAX] {
        let tree = noisy_tree();
        let whole = std::fs::read(tree.path("train/b/05.png")).unwrap();
        // One fails by its head, one by its pixels, and one of the test images.
        let tree = tree
            .write("train/a/02.png", b"no picture")
            .write("train/b/05.png", &whole[..whole.len() / 2])
            .write("test/a/08.png", b"");
        for allowed in [0, 1, 2] {
            let options = LoadOptions { skip_broken: allowed, stream_above, ..STREAM };
            let error = tree.load_with(&options).unwrap_err();
            assert!(matches!(error, DataError::TooManyBroken { found: 2.., .. }), "{allowed}: {error}");
        }
        let options = LoadOptions { skip_broken: 3, stream_above, ..STREAM };
        let dataset = tree.load_with(&options).unwrap();
        let skipped: Vec<_> = dataset.skipped.iter().map(|file| file.path.clone()).collect();
        let expected = ["train/a/02.png", "test/a/08.png", "train/b/05.png"].map(|path| tree.path(path));
        assert_eq!(skipped, expected);
        assert!(dataset.skipped.iter().all(|file| file.reason.contains("cannot decode")));

        // What is left is what a folder without them gives.
        expected.iter().for_each(|path| std::fs::remove_file(path).unwrap());
        let clean = tree.load_with(&LoadOptions { stream_above, ..STREAM }).unwrap();
        assert!(clean.skipped.is_empty());
        assert_eq!(
            (&clean.digest, &clean.train, &clean.test),
            (&dataset.digest, &dataset.train, &dataset.test)
        );
        assert_eq!(clean.train.file(2), Some(tree.path("train/a/06.png").as_path()));
    }
}

#[test]
fn class_whose_files_are_all_broken_is_named() {
    let tree = Tree::new().grey("a/1.png", 1).grey("b/1.png", 2).write("c/1.png", b"no picture");
    let error = tree.load_with(&LoadOptions { skip_broken: 5, ..LoadOptions::default() }).unwrap_err();
    assert!(matches!(&error, DataError::EmptyClass { class, .. } if class == "c"), "{error}");
}

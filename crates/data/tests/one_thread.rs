//! A loader where the thread that reads its batches is the only one of rayon's pool, as with `--threads 1`.
#![allow(missing_docs)]

use std::{process, sync::Arc, thread, time::Duration};

use cdarts_data::{DataError, LoadOptions, Loader, Normalisation, load};
use image::GrayImage;

#[test]
fn batches_arrive_though_no_other_thread_decodes_them() {
    thread::spawn(|| {
        thread::sleep(Duration::from_secs(60));
        eprintln!("no batch after a minute: the loader waits for a thread that waits for it");
        process::exit(1);
    });
    rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = |number: usize| folder.path().join(["a", "b"][number % 2]).join(format!("{number:02}.png"));
    for number in 0..24 {
        std::fs::create_dir_all(file(number).parent().unwrap()).unwrap();
        GrayImage::from_fn(8, 8, |x, _| [(10 * number + x as usize) as u8].into())
            .save(file(number))
            .unwrap();
    }
    let options = LoadOptions { stream_above: 0, ..LoadOptions::default() };
    let images = load(Some(folder.path()), &options).unwrap().train;
    assert!(images.is_streamed(), "decoded when they are needed, on the pool");
    let count = images.len();
    let raw = Normalisation { mean: vec![0.0], std: vec![1.0] };
    let loader = Loader::new(Arc::clone(&images), (0..count).collect(), 2, &raw, None, 1).unwrap();

    let read: usize = loader.epoch(0, 0).map(|batch| batch.unwrap().len()).sum();
    assert_eq!(read, count);

    // Left in the middle, while more is being prepared.
    assert_eq!(loader.epoch(1, 0).next().unwrap().unwrap().len(), 2);

    (0..24).for_each(|number| std::fs::write(file(number), b"no picture any more").unwrap());
    let errors: Vec<DataError> = loader.epoch(2, 0).filter_map(Result::err).collect();
    assert_eq!(errors.len(), 1, "an error ends the epoch");
}

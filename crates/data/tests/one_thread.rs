//! A loader where the thread that reads its batches is the only one of rayon's pool, as with `--threads 1`.
#![allow(missing_docs)]

use std::{process, sync::Arc, thread, time::Duration};

use cdarts_data::{ImageShape, Images, Loader, Normalisation};

#[test]
fn batches_arrive_though_no_other_thread_prepares_them() {
    thread::spawn(|| {
        thread::sleep(Duration::from_secs(60));
        eprintln!("no batch after a minute: the loader waits for a thread that waits for it");
        process::exit(1);
    });
    rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global().unwrap();
    let shape = ImageShape { channels: 1, height: 4, width: 4 };
    let images = Arc::new(Images::new(shape, vec![7; 40 * 16], (0..40).collect()).unwrap());
    let raw = Normalisation { mean: vec![0.0], std: vec![1.0] };
    let loader = Loader::new(images, (0..40).collect(), 3, &raw, None, 1).unwrap();

    let mut seen: Vec<i64> = loader.epoch(0, 0).flat_map(|batch| batch.unwrap().labels).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..40).collect::<Vec<i64>>());

    // Left in the middle, while more is being prepared.
    let first = loader.epoch(1, 0).next().unwrap().unwrap();
    assert_eq!(first.len(), 3);
}

//! How fast a data set is read, and how many images a second its loader hands out.
//!
//! `cargo run --release -p cdarts-data --example loader_throughput -- [FOLDER]`; the digits without a folder.
#![expect(clippy::print_stdout, reason = "a figure to read is what it is for")]

use std::{hint::black_box, path::PathBuf, time::Instant};

use cdarts_data::{Augment, DataError, LoadOptions, Loader, Normalisation, load};

fn main() -> Result<(), DataError> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let start = Instant::now();
    let dataset = load(folder.as_deref(), &LoadOptions::default())?;
    let (n, shape) = (dataset.train.len(), dataset.shape);
    println!("{}: {n} training images of {shape} read in {:.2?}", dataset.kind, start.elapsed());

    let indices: Vec<usize> = (0..n).collect();
    let start = Instant::now();
    let normalisation = Normalisation::measure(&dataset.train, &indices)?;
    println!("mean and deviation measured in {:.2?}", start.elapsed());

    let usual = Augment::usual(dataset.kind, shape);
    for (what, augment) in
        [("plain", None), ("crop, flip", Some(usual)), ("crop, flip, cutout", Some(usual.with_cutout(shape)))]
    {
        let loader = Loader::new(dataset.train.clone(), indices.clone(), 64, &normalisation, augment, 0)?;
        let mut rates = (0..5).map(|epoch| rate(&loader, epoch)).collect::<Result<Vec<_>, _>>()?;
        rates.sort_by(f64::total_cmp);
        println!("{what}: {:.0} images/s, median of 5 epochs ({:.0} to {:.0})", rates[2], rates[0], rates[4]);
    }
    Ok(())
}

/// Images a second over one epoch whose batches are thrown away.
fn rate(loader: &Loader, epoch: u64) -> Result<f64, DataError> {
    let start = Instant::now();
    let mut images = 0;
    for batch in loader.epoch(epoch, 0) {
        images += black_box(batch?).len();
    }
    Ok(images as f64 / start.elapsed().as_secs_f64())
}

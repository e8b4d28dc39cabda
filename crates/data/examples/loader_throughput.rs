//! How fast a data set is read, and how many images a second its loader hands out; `tools/bench/loader` compares the figures
//! with PyTorch's.
//!
//! `cargo run --release -p cdarts-data --example loader_throughput -- [FOLDER] [OPTIONS]`; the digits without a folder.
//!
//! Options: `--epochs N` (5), `--augment none|crop|window` (crop), `--stream` to decode images in every epoch,
//! `--threads N`, `--json`.
#![expect(clippy::print_stdout, reason = "a figure to read is what it is for")]

use std::{error::Error, hint::black_box, path::PathBuf, time::Instant};

use cdarts_data::{Augment, LoadOptions, Loader, Normalisation, load};

const BATCH: usize = 64;

struct Options {
    folder: Option<PathBuf>,
    epochs: u64,
    augment: String,
    stream: bool,
    threads: usize,
    json: bool,
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        folder: None,
        epochs: 5,
        augment: "crop".to_owned(),
        stream: false,
        threads: 0,
        json: false,
    };
    let mut given = std::env::args().skip(1);
    while let Some(one) = given.next() {
        let mut value = || given.next().ok_or_else(|| format!("{one} needs a value"));
        match one.as_str() {
            "--epochs" => options.epochs = value()?.parse()?,
            "--augment" => options.augment = value()?,
            "--threads" => options.threads = value()?.parse()?,
            "--stream" => options.stream = true,
            "--json" => options.json = true,
            _ => options.folder = Some(one.into()),
        }
    }
    Ok(options)
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    // As the program does: a batch's memory is used again.
    cdarts_kernels::keep_freed_memory();
    rayon::ThreadPoolBuilder::new().num_threads(options.threads).use_current_thread().build_global()?;
    let start = Instant::now();
    let stream_above = if options.stream { 0 } else { LoadOptions::default().stream_above };
    let dataset = load(options.folder.as_deref(), &LoadOptions { stream_above, ..LoadOptions::default() })?;
    let reading = start.elapsed().as_secs_f64();
    let (n, shape) = (dataset.train.len(), dataset.shape);
    let indices: Vec<usize> = (0..n).collect();
    // Of a part: measuring decodes streamed images once more.
    let normalisation = Normalisation::measure(&dataset.train, &indices[..n.min(BATCH)])?;

    let usual = Augment::usual(dataset.kind, shape);
    let augment = match options.augment.as_str() {
        "none" => None,
        "crop" => Some(usual),
        "window" => Some(Augment { resized_crop: 0.08, crop_padding: 0, flip: true, ..usual }),
        other => return Err(format!("expected none, crop or window, found {other}").into()),
    };
    let loader = Loader::new(dataset.train.clone(), indices, BATCH, &normalisation, augment, 0)?;
    let mut seconds = Vec::new();
    for epoch in 0..options.epochs {
        let start = Instant::now();
        let mut images = 0;
        for batch in loader.epoch(epoch, 0) {
            images += black_box(batch?).len();
        }
        assert_eq!(images, n, "every image once");
        seconds.push(start.elapsed().as_secs_f64());
    }
    if options.json {
        println!("{{\"images\": {n}, \"seconds\": {seconds:?}}}");
        return Ok(());
    }
    println!("{}: {n} training images of {shape} read in {reading:.2} s", dataset.kind);
    seconds.sort_by(f64::total_cmp);
    if let [fastest, .., slowest] = seconds[..] {
        let rate = |seconds: f64| n as f64 / seconds;
        let median = rate(seconds[seconds.len() / 2]);
        println!(
            "{}: {median:.0} images/s, median of {} epochs ({:.0} to {:.0})",
            options.augment,
            options.epochs,
            rate(slowest),
            rate(fastest)
        );
    }
    Ok(())
}

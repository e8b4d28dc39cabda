//! Batches in the order of an epoch, prepared ahead of their use on a background thread. What is decoded only now is
//! decoded by rayon's pool, the thread that waits for a batch included if it is one of the pool.

use std::{
    fmt,
    iter::FusedIterator,
    mem, panic,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rand::seq::SliceRandom;
use rand_distr::{Beta, Distribution};
use rayon::prelude::*;

use crate::{
    Augment, DataError, Images, Normalisation,
    augment::Drawn,
    normalisation::check_indices,
    seeding::{Purpose, generator},
};

/// Batches that wait ready. One would do while steps take longer than batches; the second covers the step after
/// a slow one.
const AHEAD: usize = 2;

/// How long a thread of rayon's pool sleeps, at the most, before it looks for work of the pool again.
const NAP: Duration = Duration::from_micros(100);

/// Normalised images and their classes.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageBatch {
    /// Values `[n, c, h, w]`.
    pub pixels: Vec<f32>,
    /// `[n, c, h, w]`.
    pub shape: [usize; 4],
    /// Classes, `n` of them.
    pub labels: Vec<i64>,
    /// What else is in the images, where they were blended.
    pub mixed: Option<Mixed>,
}

/// What images were blended with (mixup).
#[derive(Clone, Debug, PartialEq)]
pub struct Mixed {
    /// Share of the image whose class is in [`ImageBatch::labels`].
    pub share: f64,
    /// Classes of the others.
    pub labels: Vec<i64>,
}

impl ImageBatch {
    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image; no loader hands out such a batch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

/// A part of a data set, ready to be read any number of times.
///
/// An epoch's order depends on seed and epoch, an image's augmentation on seed, epoch and the image's index, and
/// on nothing else. The last batch holds what is left. What would be a batch of one image joins the batch before
/// it: batch normalisation over a single value, as where the feature map has shrunk to 1×1, has no variance. A
/// batch of one remains only where `batch` is 1 or there is one image.
///
/// A clone is cheap and shares everything.
#[derive(Clone)]
pub struct Loader {
    plan: Arc<Plan>,
}

struct Plan {
    images: Arc<Images>,
    indices: Vec<usize>,
    batch: usize,
    tables: Vec<[f32; 256]>,
    augment: Option<Augment>,
    seed: u64,
}

impl Loader {
    /// A loader of the images `indices` in batches of `batch`.
    ///
    /// # Errors
    /// [`DataError::OptionRange`] for a batch of 0 or augmentation that does not fit the images,
    /// [`DataError::NoIndices`], [`DataError::IndexOutOfRange`], [`DataError::NormalisationChannels`].
    pub fn new(
        images: Arc<Images>,
        indices: Vec<usize>,
        batch: usize,
        normalisation: &Normalisation,
        augment: Option<Augment>,
        seed: u64,
    ) -> Result<Self, DataError> {
        if batch == 0 {
            let (expected, found) = ("at least 1".to_owned(), "0".to_owned());
            return Err(DataError::OptionRange { option: "batch", expected, found });
        }
        check_indices(&images, &indices, "load")?;
        normalisation.check(images.shape())?;
        if let Some(augment) = &augment {
            augment.check(images.shape())?;
        }
        let tables = normalisation.tables();
        Ok(Self { plan: Arc::new(Plan { images, indices, batch, tables, augment, seed }) })
    }

    /// Number of images in an epoch.
    #[must_use]
    pub fn len(&self) -> usize {
        self.plan.indices.len()
    }

    /// Whether there is no image; [`Loader::new`] accepts no such part.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.plan.indices.is_empty()
    }

    /// Number of batches in an epoch.
    #[must_use]
    pub fn steps_per_epoch(&self) -> usize {
        let Plan { indices, batch, .. } = &*self.plan;
        let lone = *batch > 1 && indices.len() > *batch && indices.len() % batch == 1;
        indices.len().div_ceil(*batch) - usize::from(lone)
    }

    /// The batches of `epoch` from `first_step` on, shuffled and augmented: exactly those that a reader of the
    /// whole epoch gets from that step on. Empty if the epoch has no more steps.
    #[must_use]
    pub fn epoch(&self, epoch: u64, first_step: usize) -> Batches {
        let mut order = self.plan.indices.clone();
        order.shuffle(&mut generator(self.plan.seed, Purpose::Order, [epoch, 0]));
        self.batches(order, Some(epoch), first_step)
    }

    /// All batches in the order of the indices, not augmented: for evaluation.
    #[must_use]
    pub fn in_order(&self) -> Batches {
        self.batches(self.plan.indices.clone(), None, 0)
    }

    fn batches(&self, order: Vec<usize>, epoch: Option<u64>, first_step: usize) -> Batches {
        let steps = self.steps_per_epoch();
        let (plan, order) = (Arc::clone(&self.plan), order.into());
        Batches::start(Producer { plan, order, epoch, step: first_step.min(steps), steps })
    }
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { indices, images, batch, augment, seed, .. } = &*self.plan;
        write!(f, "Loader({} of {images:?}, batch {batch}, {augment:?}, seed {seed})", indices.len())
    }
}

/// Makes the batches one after another.
#[derive(Clone)]
struct Producer {
    plan: Arc<Plan>,
    order: Arc<[usize]>,
    /// Epoch to augment for; none for plain images.
    epoch: Option<u64>,
    step: usize,
    steps: usize,
}

impl Producer {
    fn batch(&self, indices: &[usize]) -> Result<ImageBatch, DataError> {
        let images = &self.plan.images;
        let shape = images.shape();
        let mut pixels = vec![0.0; indices.len() * shape.numel()];
        let place = |(&index, out): (&usize, &mut [f32])| -> Result<(), DataError> {
            self.drawn(index).apply(&images.pixels(index)?, shape, &self.plan.tables, out);
            Ok(())
        };
        if images.is_streamed() {
            // Decoding takes far longer than the rest. The first error in the order of the batch counts.
            let places = indices.par_iter().zip(pixels.par_chunks_exact_mut(shape.numel()));
            let failed = places.find_map_first(|one| place(one).err());
            if let Some(error) = failed {
                return Err(error);
            }
        } else {
            indices.iter().zip(pixels.chunks_exact_mut(shape.numel())).try_for_each(place)?;
        }
        let labels: Vec<i64> = indices.iter().map(|&index| i64::from(images.label(index))).collect();
        let mixed = self.mix(&mut pixels, &labels);
        Ok(ImageBatch {
            pixels,
            shape: [indices.len(), shape.channels, shape.height, shape.width],
            labels,
            mixed,
        })
    }

    /// Blends the images of a batch with each other, where that is wanted.
    fn mix(&self, pixels: &mut [f32], labels: &[i64]) -> Option<Mixed> {
        let (Some(augment), Some(epoch)) = (self.plan.augment, self.epoch) else { return None };
        // There is such a distribution for every number above 0.
        let distribution = Beta::new(augment.mixup, augment.mixup).ok()?;
        let mut rng = generator(self.plan.seed, Purpose::Mixup, [epoch, self.step as u64]);
        let share = distribution.sample(&mut rng);
        let mut order: Vec<usize> = (0..labels.len()).collect();
        order.shuffle(&mut rng);
        let before = pixels.to_vec();
        let numel = pixels.len() / labels.len();
        let (own, other) = (share as f32, (1.0 - share) as f32);
        for (image, &with) in pixels.chunks_exact_mut(numel).zip(&order) {
            for (value, with) in image.iter_mut().zip(&before[with * numel..]) {
                *value = own * *value + other * with;
            }
        }
        Some(Mixed { share, labels: order.iter().map(|&with| labels[with]).collect() })
    }

    fn drawn(&self, index: usize) -> Drawn {
        match (self.plan.augment, self.epoch) {
            (Some(augment), Some(epoch)) => {
                let mut rng = generator(self.plan.seed, Purpose::Augment, [epoch, index as u64]);
                augment.draw(self.plan.images.shape(), &mut rng)
            }
            _ => Drawn::default(),
        }
    }
}

impl Iterator for Producer {
    type Item = Result<ImageBatch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.step == self.steps {
            return None;
        }
        let from = self.step * self.plan.batch;
        self.step += 1;
        let to = if self.step == self.steps { self.order.len() } else { from + self.plan.batch };
        let batch = self.batch(&self.order[from..to]);
        if batch.is_err() {
            self.step = self.steps;
        }
        Some(batch)
    }
}

/// The batches of an epoch, an iterator of known length unless an error cuts it short.
///
/// A thread prepares up to two batches ahead; it ends with the iterator, read to the end or dropped.
pub struct Batches {
    source: Source,
    left: usize,
}

enum Source {
    Thread {
        batches: Receiver<Result<ImageBatch, DataError>>,
        worker: JoinHandle<()>,
    },
    /// Where the system grants no thread.
    Here(Producer),
    Done,
}

impl Batches {
    fn start(producer: Producer) -> Self {
        let left = producer.steps - producer.step;
        let (sender, batches) = sync_channel(AHEAD);
        let mut work = producer.clone();
        let worker = thread::Builder::new().name("loader".to_owned()).spawn(move || {
            // Sending fails once the iterator is dropped; then nobody wants the rest.
            let _all_taken = work.all(|batch| sender.send(batch).is_ok());
        });
        let source = match worker {
            Ok(worker) => Source::Thread { batches, worker },
            Err(_) => Source::Here(producer),
        };
        Self { source, left }
    }

    /// Ends the thread. The receiver goes first, so that a thread that waits to send wakes up.
    fn finish(&mut self) -> thread::Result<()> {
        match mem::replace(&mut self.source, Source::Done) {
            Source::Thread { batches, worker } => {
                drop(batches);
                while rayon::current_thread_index().is_some() && !worker.is_finished() {
                    if !helped() {
                        thread::sleep(NAP);
                    }
                }
                worker.join()
            }
            Source::Here(_) | Source::Done => Ok(()),
        }
    }
}

/// The next of `batches`; `None` after the last.
///
/// A thread of rayon's pool takes part in the pool's work meanwhile: the batch itself may wait for it, and where the pool
/// has no other thread would wait for ever.
fn receive<T>(batches: &Receiver<T>) -> Option<T> {
    if rayon::current_thread_index().is_none() {
        return batches.recv().ok();
    }
    let mut patience = Duration::ZERO;
    loop {
        match batches.recv_timeout(patience) {
            Ok(batch) => return Some(batch),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => patience = if helped() { Duration::ZERO } else { NAP },
        }
    }
}

/// Does a piece of the pool's work, if there is one.
fn helped() -> bool {
    rayon::yield_now() == Some(rayon::Yield::Executed)
}

impl Iterator for Batches {
    /// An error is that of a streamed image ([`Images::pixels`]), and the last item.
    type Item = Result<ImageBatch, DataError>;

    /// # Panics
    /// If the thread did: the rest of an epoch is never left out in silence.
    fn next(&mut self) -> Option<Self::Item> {
        let batch = match &mut self.source {
            Source::Thread { batches, .. } => receive(batches),
            Source::Here(producer) => producer.next(),
            Source::Done => None,
        };
        match batch {
            Some(Ok(_)) => self.left -= 1,
            Some(Err(_)) => self.left = 0,
            None => {
                if let Err(cause) = self.finish() {
                    panic::resume_unwind(cause);
                }
            }
        }
        batch
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Batches {}

impl FusedIterator for Batches {}

impl Drop for Batches {
    fn drop(&mut self) {
        let _cause = self.finish();
    }
}

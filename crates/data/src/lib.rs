//! Images from disk to batches: readers, splits, augmentation and a prefetching loader, without tensors.
//!
//! The data's way (design section 4): [`load`] finds out what a path holds and reads it into a [`Dataset`];
//! [`Split`] draws the two training halves of the search, a validation part and, where the data set has none of
//! its own, a test part; [`Normalisation`] measures the training part; [`Loader`] shuffles, augments and hands
//! out [`ImageBatch`]es from a background thread.
//!
//! Everything random is a pure function of seed, epoch and image, so a run that is stopped and resumed sees the
//! same batches as one that was not, whatever the number of threads.
//!
//! ```
//! use cdarts_data::{Loader, LoadOptions, Normalisation, Split, SplitSpec, load};
//!
//! let digits = load(None, &LoadOptions::default())?;
//! let split = Split::new(&digits, &SplitSpec::default())?;
//! let normalisation = Normalisation::measure(&digits.train, &split.training())?;
//! let loader = Loader::new(digits.train.clone(), split.weight_half, 64, &normalisation, None, 0)?;
//! let first = loader.epoch(0, 0).next();
//! assert_eq!(first.map(|batch| batch.shape), Some([64, 1, 8, 8]));
//! # Ok::<(), cdarts_data::DataError>(())
//! ```

mod augment;
mod autoaugment;
mod cifar;
mod colour;
mod dataset;
mod decode;
mod digits;
mod error;
mod fit;
mod folder;
mod images;
mod loader;
mod normalisation;
mod pictures;
mod seeding;
mod split;
mod warp;

pub use augment::Augment;
pub use autoaugment::AutoAugment;
pub use dataset::{Dataset, LoadOptions, MAX_PIXEL_BYTES, SourceKind, load};
pub use error::DataError;
pub use images::{ImageShape, Images};
pub use loader::{Batches, ImageBatch, Loader, Mixed};
pub use normalisation::Normalisation;
pub use pictures::{Pictures, find_pictures, read_pictures};
pub use split::{Halves, Split, SplitSpec, TestPart};

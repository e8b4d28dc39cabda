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
//! assert_eq!(first.transpose()?.map(|batch| batch.shape), Some([64, 1, 8, 8]));
//! # Ok::<(), cdarts_data::DataError>(())
//! ```

mod arrays;
mod augment;
mod autoaugment;
mod cifar;
mod colour;
mod csv_list;
mod dataset;
mod decode;
mod digits;
mod error;
mod files;
mod fit;
mod folder;
mod idx;
mod images;
mod inspect;
mod label_names;
mod loader;
mod normalisation;
mod npy;
mod numpy;
mod part;
mod pickle;
mod pictures;
mod seeding;
mod split;
mod warp;

pub use arrays::Axes;
pub use augment::Augment;
pub use autoaugment::AutoAugment;
pub use dataset::{Dataset, LoadOptions, MAX_PIXEL_BYTES, SizeCount, SkippedFile, SourceKind, load};
pub use error::DataError;
pub use images::{ImageDigest, ImageShape, Images};
pub use inspect::{ClassCounts, Duplicates, ImagePlace, Inspection, PartCounts};
pub use loader::{Batches, ImageBatch, Loader, Mixed};
pub use normalisation::Normalisation;
pub use part::Part;
pub use pictures::{Pictures, find_pictures, read_pictures};
pub use split::{Halves, Split, SplitSpec, TestPart};

//! Labelled pictures of one shape: as bytes in memory, or in their files until they are asked for.

use std::{
    borrow::Cow,
    fmt,
    path::{Path, PathBuf},
};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{DataError, decode, fit};

/// Most channels of an image: hyperspectral cameras have a few hundred.
pub(crate) const MAX_CHANNELS: usize = 4096;

/// Channels, height and width of an image, the last two in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageShape {
    /// 1 for grey; 3 for red, green, blue; any other number as the data set has them.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl ImageShape {
    /// Number of values of an image.
    #[must_use]
    pub const fn numel(self) -> usize {
        self.channels * self.plane()
    }

    /// Number of values of one channel.
    #[must_use]
    pub const fn plane(self) -> usize {
        self.height * self.width
    }

    /// Height and width scaled down in proportion, so that the longer is at most `longest`; neither below 8 pixels
    /// unless it was before.
    #[must_use]
    pub fn sides_within(self, longest: usize) -> [usize; 2] {
        let longer = self.height.max(self.width);
        let scaled =
            |side: usize| if longer > longest { (side * longest / longer).max(side.min(8)) } else { side };
        [scaled(self.height), scaled(self.width)]
    }
}

/// As `3×32×32`: channels, height, width.
impl fmt::Display for ImageShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{}×{}", self.channels, self.height, self.width)
    }
}

/// SHA-256 over an image's pixels `[c, h, w]`: images of one shape with equal digests are equal.
pub type ImageDigest = [u8; 32];

/// Pixels `[n, c, h, w]` of 0 to 255 and a class for each image.
#[derive(Clone)]
pub struct Images {
    shape: ImageShape,
    /// None where the images are decoded when they are asked for.
    pixels: Option<Vec<u8>>,
    labels: Vec<u32>,
    digests: Vec<ImageDigest>,
    /// Where each image came from; empty where images have no files of their own.
    files: Vec<PathBuf>,
}

impl Images {
    /// Images out of their pixels `[n, c, h, w]` and `n` labels.
    ///
    /// # Errors
    /// [`DataError::PixelCount`] if the lengths do not belong together, [`DataError::OptionRange`] for a shape
    /// without pixels or with more than 4,096 channels.
    pub fn new(shape: ImageShape, pixels: Vec<u8>, labels: Vec<u32>) -> Result<Self, DataError> {
        if !(1..=MAX_CHANNELS).contains(&shape.channels) || shape.plane() == 0 {
            return Err(DataError::OptionRange {
                option: "the shape of an image",
                expected: format!("1 to {MAX_CHANNELS} channels of at least one pixel"),
                found: shape.to_string(),
            });
        }
        let expected = labels.len().saturating_mul(shape.numel());
        if pixels.len() != expected {
            return Err(DataError::PixelCount { labels: labels.len(), expected, found: pixels.len() });
        }
        let digests = pixels.par_chunks_exact(shape.numel()).map(digest).collect();
        Ok(Self { shape, pixels: Some(pixels), labels, digests, files: Vec::new() })
    }

    /// The same images with the files that they came from, one each.
    pub(crate) fn with_files(self, files: Vec<PathBuf>) -> Self {
        Self { files, ..self }
    }

    /// Images that stay in their files, each of which was decoded once to get its digest.
    pub(crate) fn streamed(
        shape: ImageShape,
        files: Vec<PathBuf>,
        labels: Vec<u32>,
        digests: Vec<ImageDigest>,
    ) -> Self {
        Self { shape, pixels: None, labels, digests, files }
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Shape of every image.
    #[must_use]
    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// Class of image `index`.
    ///
    /// # Panics
    /// As a slice does, if there is no such image.
    #[must_use]
    pub fn label(&self, index: usize) -> u32 {
        self.labels[index]
    }

    /// Class of every image.
    #[must_use]
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// Whether images are decoded when they are asked for, because all together they are too large for memory.
    #[must_use]
    pub fn is_streamed(&self) -> bool {
        self.pixels.is_none()
    }

    /// The file that image `index` came from, where it has one of its own.
    #[must_use]
    pub fn file(&self, index: usize) -> Option<&Path> {
        self.files.get(index).map(PathBuf::as_path)
    }

    /// Digest of every image's pixels.
    #[must_use]
    pub fn digests(&self) -> &[ImageDigest] {
        &self.digests
    }

    /// Pixels `[c, h, w]` of image `index`.
    ///
    /// # Errors
    /// Where images are streamed: [`DataError::Io`], [`DataError::Decode`] and [`DataError::Truncated`] for a file
    /// that has become unreadable, [`DataError::Changed`] for one that now holds another picture.
    ///
    /// # Panics
    /// As a slice does, if there is no such image.
    pub fn pixels(&self, index: usize) -> Result<Cow<'_, [u8]>, DataError> {
        let numel = self.shape.numel();
        match &self.pixels {
            Some(pixels) => Ok(Cow::Borrowed(&pixels[index * numel..(index + 1) * numel])),
            None => {
                let mut pixels = vec![0; numel];
                let path = &self.files[index];
                fit::fit(decode::decode(path)?, self.shape, &mut pixels);
                match digest(&pixels) == self.digests[index] {
                    true => Ok(Cow::Owned(pixels)),
                    false => Err(DataError::Changed { path: path.clone() }),
                }
            }
        }
    }
}

/// Digest of the pixels of one image.
pub(crate) fn digest(pixels: &[u8]) -> ImageDigest {
    Sha256::digest(pixels).into()
}

/// Equal images have equal pixels and classes, wherever they are.
impl PartialEq for Images {
    fn eq(&self, other: &Self) -> bool {
        (self.shape, &self.labels, &self.digests) == (other.shape, &other.labels, &other.digests)
    }
}

impl Eq for Images {}

impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Images({} of {})", self.len(), self.shape)
    }
}

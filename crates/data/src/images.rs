//! Labelled pictures of one shape, as bytes in memory.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::DataError;

/// Channels, height and width of an image, the last two in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageShape {
    /// 1 for grey, 3 for red, green, blue.
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
}

/// As `3×32×32`: channels, height, width.
impl fmt::Display for ImageShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{}×{}", self.channels, self.height, self.width)
    }
}

/// Pixels `[n, c, h, w]` of 0 to 255 and a class for each image.
#[derive(Clone, PartialEq, Eq)]
pub struct Images {
    shape: ImageShape,
    pixels: Vec<u8>,
    labels: Vec<u32>,
}

impl Images {
    /// Images out of their pixels `[n, c, h, w]` and `n` labels.
    ///
    /// # Errors
    /// [`DataError::PixelCount`] if the lengths do not belong together, [`DataError::OptionRange`] for a shape
    /// without pixels or with other than 1 or 3 channels.
    pub fn new(shape: ImageShape, pixels: Vec<u8>, labels: Vec<u32>) -> Result<Self, DataError> {
        if !matches!(shape.channels, 1 | 3) || shape.plane() == 0 {
            return Err(DataError::OptionRange {
                option: "the shape of an image",
                expected: "1 or 3 channels of at least one pixel".to_owned(),
                found: shape.to_string(),
            });
        }
        let expected = labels.len().saturating_mul(shape.numel());
        if pixels.len() != expected {
            return Err(DataError::PixelCount { labels: labels.len(), expected, found: pixels.len() });
        }
        Ok(Self { shape, pixels, labels })
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

    /// Pixels `[c, h, w]` of image `index`.
    ///
    /// # Panics
    /// As a slice does, if there is no such image.
    #[must_use]
    pub fn pixels(&self, index: usize) -> &[u8] {
        let numel = self.shape.numel();
        &self.pixels[index * numel..(index + 1) * numel]
    }

    /// Pixels `[n, c, h, w]` of all images.
    #[must_use]
    pub fn all_pixels(&self) -> &[u8] {
        &self.pixels
    }
}

impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Images({} of {})", self.len(), self.shape)
    }
}

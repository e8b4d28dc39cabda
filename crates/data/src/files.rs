//! Pictures that lie in files of their own, each with its class and its part: from a list of them to a data set.
//!
//! Two passes: heads first, to settle the common shape and the memory before anything long starts; then every
//! picture is decoded and brought to that shape. What fits the memory stays there; else the second pass only checks
//! that every file can be read, and pictures are decoded again when they are needed.

use std::{collections::BTreeMap, path::PathBuf};

use rayon::prelude::*;

use crate::{
    DataError, Dataset, ImageShape, Images, LoadOptions, SourceKind,
    dataset::{SizeCount, SkippedFile},
    decode::{self, Header},
    fit::{check_pictures, fit},
    images::{ImageDigest, digest},
    part::Part,
};

/// Sides that the automatic target size is kept within, and the step it is rounded to (pixels).
const AUTO_SIDES: [usize; 2] = [8, 64];
const AUTO_STEP: usize = 8;

/// One picture of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) path: PathBuf,
    pub(crate) label: u32,
    pub(crate) part: Part,
}

/// The pictures of a data set, in the order in which they are to be read, parts one after another.
pub(crate) struct PictureList {
    pub(crate) kind: SourceKind,
    pub(crate) name: String,
    /// Folder or file that the list was made from.
    pub(crate) path: PathBuf,
    pub(crate) classes: Vec<String>,
    pub(crate) pictures: Vec<Picture>,
    pub(crate) notes: Vec<String>,
}

impl PictureList {
    /// Reads every picture.
    pub(crate) fn read(mut self, options: &LoadOptions) -> Result<Dataset, DataError> {
        let mut skipped = Skipped { allowed: options.skip_broken, files: Vec::new() };
        let headers: Vec<_> = self.pictures.par_iter().map(|picture| decode::header(&picture.path)).collect();
        let headers = skipped.sift(&mut self.pictures, headers)?;
        self.check_complete()?;
        let shape = common_shape(&headers, options, &mut self.notes);
        check_pictures(shape)?;
        let sizes = count_sizes(&headers);
        drop(headers);

        let needed = (self.pictures.len() as u64).saturating_mul(shape.numel() as u64);
        let streams = needed > options.stream_above;
        let mut pixels = vec![0; if streams { 0 } else { self.pictures.len() * shape.numel() }];
        let digests = match streams {
            true => decode_each(&self.pictures, shape),
            false => decode_into(&self.pictures, shape, &mut pixels),
        };
        let failed: Vec<bool> = digests.iter().map(Result::is_err).collect();
        let digests = skipped.sift(&mut self.pictures, digests)?;
        self.check_complete()?;
        close_gaps(&mut pixels, shape.numel(), &failed);

        if streams {
            self.notes.push(format!(
                "{} images of {shape} are too large to be kept in memory: they are decoded anew in every epoch",
                self.pictures.len()
            ));
        }
        self.dataset(shape, (!streams).then_some(pixels), digests, sizes, skipped.files)
    }

    /// That every class still has an image to train on, and every part an image.
    fn check_complete(&self) -> Result<(), DataError> {
        let training = |picture: &&Picture| picture.part != Part::Test;
        for (label, class) in (0..).zip(&self.classes) {
            if !self.pictures.iter().filter(training).any(|picture| picture.label == label) {
                return Err(DataError::EmptyClass { class: class.clone(), path: self.path.join(class) });
            }
        }
        Ok(())
    }

    /// Divides what was read into training and test images.
    fn dataset(
        self,
        shape: ImageShape,
        pixels: Option<Vec<u8>>,
        digests: Vec<ImageDigest>,
        sizes: Vec<SizeCount>,
        skipped: Vec<SkippedFile>,
    ) -> Result<Dataset, DataError> {
        let count = |part| self.pictures.iter().filter(|picture| picture.part == part).count();
        let (own_val, tests) = (count(Part::Val), count(Part::Test));
        let first_test = self.pictures.len() - tests;
        let images = |pictures: &[Picture], pixels: Option<Vec<u8>>, digests: &[ImageDigest]| {
            let labels = pictures.iter().map(|picture| picture.label).collect();
            let files = pictures.iter().map(|picture| picture.path.clone()).collect();
            match pixels {
                Some(pixels) => Images::new(shape, pixels, labels).map(|images| images.with_files(files)),
                None => Ok(Images::streamed(shape, files, labels, digests.to_vec())),
            }
        };
        let (mut pixels, mut test_pixels) = (pixels, None);
        if let Some(pixels) = &mut pixels {
            test_pixels = Some(pixels.split_off(first_test * shape.numel()));
        }
        let train = images(&self.pictures[..first_test], pixels, &digests[..first_test])?;
        let test = match tests {
            0 => None,
            _ => Some(images(&self.pictures[first_test..], test_pixels, &digests[first_test..])?),
        };
        let dataset = Dataset::new(self.kind, self.name, self.classes, train, test)?;
        Ok(Dataset { notes: self.notes, own_val, sizes, skipped, ..dataset })
    }
}

/// Files that are left out, and how many may be.
struct Skipped {
    allowed: usize,
    files: Vec<SkippedFile>,
}

impl Skipped {
    /// Takes out of `pictures` those with an error, whose results come in the same order.
    fn sift<T>(
        &mut self,
        pictures: &mut Vec<Picture>,
        results: Vec<Result<T, DataError>>,
    ) -> Result<Vec<T>, DataError> {
        let (mut good, mut kept, mut first) = (Vec::with_capacity(results.len()), Vec::new(), None);
        let before = self.files.len();
        for (picture, result) in std::mem::take(pictures).into_iter().zip(results) {
            match result {
                Ok(value) => {
                    good.push(value);
                    kept.push(picture);
                }
                Err(error) => {
                    let reason = with_causes(&error);
                    self.files.push(SkippedFile { path: picture.path, reason });
                    first.get_or_insert(error);
                }
            }
        }
        *pictures = kept;
        match first {
            Some(first) if self.allowed == 0 && self.files.len() == 1 => Err(first),
            Some(first) if self.files.len() > self.allowed => Err(DataError::TooManyBroken {
                found: self.files.len(),
                allowed: self.allowed,
                others: self.files.iter().skip(before + 1).take(9).map(|file| file.path.clone()).collect(),
                first: Box::new(first),
            }),
            _ => Ok(good),
        }
    }
}

/// An error and what caused it, in one line.
fn with_causes(error: &DataError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        text += &format!(": {source}");
        cause = source.source();
    }
    text
}

/// Decodes every picture to its place among `pixels`.
fn decode_into(
    pictures: &[Picture],
    shape: ImageShape,
    pixels: &mut [u8],
) -> Vec<Result<ImageDigest, DataError>> {
    let places = pixels.par_chunks_exact_mut(shape.numel()).zip(pictures);
    places.map(|(out, picture)| decode_one(picture, shape, out)).collect()
}

/// Decodes every picture and keeps its digest alone.
fn decode_each(pictures: &[Picture], shape: ImageShape) -> Vec<Result<ImageDigest, DataError>> {
    let room = || vec![0; shape.numel()];
    pictures.par_iter().map_init(room, |out, picture| decode_one(picture, shape, out)).collect()
}

fn decode_one(picture: &Picture, shape: ImageShape, out: &mut [u8]) -> Result<ImageDigest, DataError> {
    fit(decode::decode(&picture.path)?, shape, out);
    Ok(digest(out))
}

/// Moves images together where others failed.
fn close_gaps(pixels: &mut Vec<u8>, numel: usize, failed: &[bool]) {
    if pixels.is_empty() || !failed.contains(&true) {
        return;
    }
    let mut to = 0;
    for from in (0..failed.len()).filter(|&index| !failed[index]) {
        pixels.copy_within(from * numel..(from + 1) * numel, to * numel);
        to += 1;
    }
    pixels.truncate(to * numel);
}

fn count_sizes(headers: &[Header]) -> Vec<SizeCount> {
    let mut counts = BTreeMap::new();
    for header in headers {
        *counts.entry([header.height, header.width]).or_insert(0) += 1;
    }
    counts.into_iter().map(|([height, width], images)| SizeCount { height, width, images }).collect()
}

/// The shape that all pictures are brought to: what `options` says, else what the pictures have in common.
fn common_shape(headers: &[Header], options: &LoadOptions, notes: &mut Vec<String>) -> ImageShape {
    let colour = headers.iter().filter(|header| header.colour).count();
    if options.channels.is_none() && (1..headers.len()).contains(&colour) {
        notes.push(format!("{colour} of {} images are in colour; all get three channels", headers.len()));
    }
    let channels = if colour > 0 { 3 } else { 1 };
    let sizes = || headers.iter().map(|header| [header.height, header.width]);
    let common = sizes().next().filter(|&first| sizes().all(|size| size == first));
    let [height, width] = options.size.or(common).unwrap_or_else(|| {
        let side = automatic_side(headers);
        notes.push(format!("images differ in size; all become {side}×{side}"));
        [side, side]
    });
    options.target(ImageShape { channels, height, width })
}

/// Median of the shorter sides, rounded to [`AUTO_STEP`] and kept within [`AUTO_SIDES`].
fn automatic_side(headers: &[Header]) -> usize {
    let mut sides: Vec<_> = headers.iter().map(|header| header.height.min(header.width)).collect();
    sides.sort_unstable();
    let median = sides[sides.len() / 2];
    let [least, most] = AUTO_SIDES;
    (median + AUTO_STEP / 2).div_euclid(AUTO_STEP).saturating_mul(AUTO_STEP).clamp(least, most)
}

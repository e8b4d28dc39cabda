//! Bringing a decoded picture to the data set's shape: cut at the centre, scale, convert the channels.

use image::{DynamicImage, GrayImage, ImageBuffer, Pixel, RgbImage, imageops};
use rayon::prelude::*;

use crate::{DataError, ImageShape, Images};

/// That pictures, which are grey or in colour, can be brought to `shape`.
///
/// # Errors
/// [`DataError::Channels`].
pub(crate) fn check_pictures(shape: ImageShape) -> Result<(), DataError> {
    match shape.channels {
        1 | 3 => Ok(()),
        expected => Err(DataError::Channels { expected, found: 3 }),
    }
}

/// Writes `image` as planes `[c, h, w]` of `shape` to `out`, which has that length. An image that has the
/// shape already is copied pixel for pixel.
pub(crate) fn fit(image: DynamicImage, shape: ImageShape, out: &mut [u8]) {
    let image = if image.color().has_alpha() { over_white(&image) } else { image };
    if shape.channels == 1 {
        planes(&cover(image.into_luma8(), shape), shape, out);
    } else {
        planes(&cover(image.into_rgb8(), shape), shape, out);
    }
}

/// All of `images` brought to `shape`.
///
/// # Errors
/// [`DataError::Channels`] where the channels are neither kept nor changed between grey and colour.
pub(crate) fn fit_images(images: &Images, shape: ImageShape) -> Result<Images, DataError> {
    let native = images.shape();
    if native.channels != shape.channels && !matches!((native.channels, shape.channels), (1, 3) | (3, 1)) {
        return Err(DataError::Channels { expected: shape.channels, found: native.channels });
    }
    let mut pixels = vec![0; images.len() * shape.numel()];
    let places = pixels.par_chunks_mut(shape.numel()).enumerate();
    let fitted = places.map(|(index, out)| {
        let planes = images.pixels(index)?;
        let mut channels = planes.chunks_exact(native.plane());
        let outs = out.chunks_exact_mut(shape.plane());
        let grey = |plane: &[u8]| grey_picture(native, plane.to_vec());
        if shape.channels == 1 && native.channels == 3 {
            let grey = colour_picture(native, &planes).map(|colour| colour.into_luma8());
            fit_grey(grey, shape, out);
        } else if native.channels == 1 {
            outs.for_each(|out| fit_grey(grey(&planes), shape, out));
        } else {
            outs.for_each(|out| fit_grey(channels.next().and_then(grey), shape, out));
        }
        Ok(())
    });
    fitted.collect::<Result<(), DataError>>()?;
    Images::new(shape, pixels, images.labels().to_vec())
}

/// Writes one channel, which there is wherever sides fit 32 bits.
fn fit_grey(picture: Option<GrayImage>, shape: ImageShape, out: &mut [u8]) {
    if let Some(picture) = picture {
        out.copy_from_slice(cover(picture, shape).as_raw());
    }
}

fn grey_picture(shape: ImageShape, plane: Vec<u8>) -> Option<GrayImage> {
    GrayImage::from_raw(u32::try_from(shape.width).ok()?, u32::try_from(shape.height).ok()?, plane)
}

/// Three planes as a picture.
fn colour_picture(shape: ImageShape, planes: &[u8]) -> Option<DynamicImage> {
    let (width, height) = (u32::try_from(shape.width).ok()?, u32::try_from(shape.height).ok()?);
    let plane = shape.plane();
    let interleaved =
        (0..plane).flat_map(|at| [planes[at], planes[plane + at], planes[2 * plane + at]]).collect();
    RgbImage::from_raw(width, height, interleaved).map(DynamicImage::ImageRgb8)
}

/// What lies under full transparency is arbitrary, mostly black; drawings with a transparent ground are made
/// to be seen on white.
fn over_white(image: &DynamicImage) -> DynamicImage {
    let mut rgba = image.to_rgba8();
    for pixel in rgba.pixels_mut() {
        let [r, g, b, alpha] = pixel.0;
        pixel.0 = [blend(r, alpha), blend(g, alpha), blend(b, alpha), u8::MAX];
    }
    let opaque = DynamicImage::ImageRgba8(rgba);
    if image.color().has_color() { opaque.into_rgb8().into() } else { opaque.into_luma8().into() }
}

fn blend(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u16::from(value), u16::from(alpha));
    // At most 255 · 255 + 127, so it fits, and the quotient is a byte.
    ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

/// Cut at the centre to the target's proportions, then scaled to it. Cutting first bounds the work: a strip of
/// 1×60000 scaled to cover a square would take gigabytes.
fn cover<P>(image: ImageBuffer<P, Vec<u8>>, shape: ImageShape) -> ImageBuffer<P, Vec<u8>>
where
    P: Pixel<Subpixel = u8> + 'static,
{
    let (from, to) = ([image.height(), image.width()], [shape.height as u32, shape.width as u32]);
    if from == to {
        return image;
    }
    let shrink = (0..2).map(|axis| f64::from(from[axis]) / f64::from(to[axis])).fold(f64::INFINITY, f64::min);
    let cut = [0, 1].map(|axis| ((f64::from(to[axis]) * shrink).round() as u32).clamp(1, from[axis]));
    let [top, left] = [0, 1].map(|axis| (from[axis] - cut[axis]) / 2);
    let middle = imageops::crop_imm(&image, left, top, cut[1], cut[0]);
    // Triangle is bilinear with its support widened when scaling down, as the field's loaders do.
    imageops::resize(&*middle, to[1], to[0], imageops::FilterType::Triangle)
}

/// Channels next to each other, as decoders give them, to one plane a channel.
fn planes<P: Pixel<Subpixel = u8>>(image: &ImageBuffer<P, Vec<u8>>, shape: ImageShape, out: &mut [u8]) {
    let raw = image.as_raw();
    for (channel, plane) in out.chunks_exact_mut(shape.plane()).enumerate() {
        for (value, pixel) in plane.iter_mut().zip(raw.chunks_exact(shape.channels)) {
            *value = pixel[channel];
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{ImageBuffer, Luma, LumaA, Rgb, Rgba};

    use super::*;

    const fn shape(channels: usize, height: usize, width: usize) -> ImageShape {
        ImageShape { channels, height, width }
    }

    fn fitted(image: DynamicImage, shape: ImageShape) -> Vec<u8> {
        let mut out = vec![1; shape.numel()];
        fit(image, shape, &mut out);
        out
    }

    #[test]
    fn same_size_is_copied_plane_by_plane() {
        let image = RgbImage::from_raw(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(fitted(image.into(), shape(3, 1, 2)), [1, 4, 2, 5, 3, 6]);
    }

    #[test]
    fn middle_of_a_wide_picture_is_kept() {
        let image = GrayImage::from_fn(30, 10, |x, _| Luma([if (10..20).contains(&x) { 200 } else { 0 }]));
        assert_eq!(fitted(image.clone().into(), shape(1, 10, 10)), [200; 100]);
        assert_eq!(fitted(image.into(), shape(1, 5, 5)), [200; 25]);
    }

    #[test]
    fn scaling_down_averages() {
        let image = GrayImage::from_fn(64, 64, |x, y| Luma([if (x + y) % 2 == 0 { 255 } else { 0 }]));
        assert!(fitted(image.into(), shape(1, 8, 8)).iter().all(|value| (120..=135).contains(value)));
    }

    #[test]
    fn extreme_strips_are_cheap() {
        let strip = GrayImage::from_pixel(1, 60_000, Luma([9]));
        assert_eq!(fitted(strip.into(), shape(1, 8, 8)), [9; 64]);
        let strip = GrayImage::from_pixel(60_000, 1, Luma([9]));
        assert_eq!(fitted(strip.into(), shape(3, 8, 4)), [9; 96]);
    }

    #[test]
    fn transparency_is_laid_over_white() {
        let image = ImageBuffer::from_fn(3, 1, |x, _| Rgba([10_u8, 20, 30, [255, 0, 128][x as usize]]));
        assert_eq!(fitted(image.into(), shape(3, 1, 3)), [10, 255, 132, 20, 255, 137, 30, 255, 142]);
        let image = ImageBuffer::from_fn(2, 1, |x, _| LumaA([10_u8, [255, 0][x as usize]]));
        assert_eq!(fitted(image.into(), shape(1, 1, 2)), [10, 255]);
    }

    #[test]
    fn sixteen_bits_become_eight() {
        let image = ImageBuffer::from_fn(3, 1, |x, _| Luma([[0_u16, 32_896, 65_535][x as usize]]));
        assert_eq!(fitted(image.into(), shape(1, 1, 3)), [0, 128, 255]);
        let image = ImageBuffer::from_pixel(1, 1, Rgb([65_535_u16, 257, 0]));
        assert_eq!(fitted(image.into(), shape(3, 1, 1)), [255, 1, 0]);
    }

    #[test]
    fn grey_and_colour_convert_both_ways() {
        let grey = ImageShape { channels: 1, height: 1, width: 2 };
        let images = Images::new(grey, vec![7, 200], vec![3]).unwrap();
        let colour = fit_images(&images, ImageShape { channels: 3, ..grey }).unwrap();
        assert_eq!(*colour.pixels(0).unwrap(), [7, 200, 7, 200, 7, 200]);
        assert_eq!(fit_images(&colour, grey).unwrap(), images);
    }

    #[test]
    fn any_number_of_channels_is_scaled_channel_by_channel() {
        let shape = shape(12, 2, 4);
        let planes: Vec<u8> = (0..12).flat_map(|channel| [channel * 20; 8]).collect();
        let images = Images::new(shape, planes, vec![0]).unwrap();
        let small = fit_images(&images, ImageShape { height: 1, width: 2, ..shape }).unwrap();
        assert_eq!(*small.pixels(0).unwrap(), *(0..12).flat_map(|c| [c * 20; 2]).collect::<Vec<u8>>());
        let error = fit_images(&images, ImageShape { channels: 3, ..shape }).unwrap_err();
        assert!(matches!(error, DataError::Channels { expected: 3, found: 12 }), "{error}");
    }
}

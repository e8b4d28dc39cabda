//! One picture file: its header, its pixels, and the bounds within which both are trusted.

use std::{io::Cursor, path::Path};

use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, metadata::Orientation,
};

use crate::DataError;

/// Most bytes that one decoded picture may take: 512 MiB is a colour image of 13,000 pixels square. A small file
/// can announce far more, and several are decoded at a time.
const MAX_DECODED_BYTES: u64 = 512 << 20;

/// What the head of a picture file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Rows, after turning the picture upright.
    pub(crate) height: usize,
    /// Columns, after turning the picture upright.
    pub(crate) width: usize,
    /// Whether it is stored in colour.
    pub(crate) colour: bool,
}

/// Reads the head of the picture at `path`.
///
/// # Errors
/// [`DataError::Io`], [`DataError::Decode`].
pub(crate) fn header(path: &Path) -> Result<Header, DataError> {
    let bytes = fs_err::read(path)?;
    let read = || {
        let mut decoder = decoder(&bytes)?;
        let ((width, height), colour) = (decoder.dimensions(), decoder.color_type().has_color());
        let (width, height) = (width as usize, height as usize);
        let lying = is_lying(decoder.orientation()?);
        let (height, width) = if lying { (width, height) } else { (height, width) };
        Ok(Header { height, width, colour })
    };
    read().map_err(|source| DataError::Decode { path: path.to_owned(), source })
}

/// Decodes the picture at `path` and turns it upright as its camera recorded.
///
/// # Errors
/// [`DataError::Io`], [`DataError::Decode`], [`DataError::Truncated`].
pub(crate) fn decode(path: &Path) -> Result<DynamicImage, DataError> {
    let bytes = fs_err::read(path)?;
    // The JPEG decoder fills what is missing with grey and reports success.
    if image::guess_format(&bytes).ok() == Some(ImageFormat::Jpeg) && !jpeg_is_whole(&bytes) {
        return Err(DataError::Truncated { path: path.to_owned(), found: bytes.len() });
    }
    let read = || {
        let mut decoder = decoder(&bytes)?;
        let orientation = decoder.orientation()?;
        let mut image = DynamicImage::from_decoder(decoder)?;
        image.apply_orientation(orientation);
        Ok(image)
    };
    read().map_err(|source| DataError::Decode { path: path.to_owned(), source })
}

/// A decoder chosen by content, its output within [`MAX_DECODED_BYTES`].
fn decoder(bytes: &[u8]) -> Result<impl ImageDecoder, ImageError> {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    reader.limits(limits.clone());
    let decoder = reader.into_decoder()?;
    limits.reserve(decoder.total_bytes())?;
    Ok(decoder)
}

/// Whether turning upright exchanges height and width.
fn is_lying(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

/// Whether the JPEG stream reaches its end marker (ITU T.81, annex B: a segment is a marker and its length;
/// after a scan header, coded data in which 0xFF is followed by 0 or a restart marker).
///
/// The end marker cannot simply be searched for: thumbnails in front carry their own, and what some cameras
/// append behind may hold any bytes.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    const END: u8 = 0xD9;
    let mut at = 0;
    loop {
        let Some(marker) = next_marker(bytes, &mut at) else { return false };
        match marker {
            END => return true,
            // A stuffed zero and the markers that stand alone.
            0x00 | 0x01 | 0xD0..=0xD8 => {}
            _ => {
                let Some(&[high, low]) = bytes.get(at..at + 2) else { return false };
                at += usize::from(u16::from_be_bytes([high, low])).max(2);
            }
        }
    }
}

/// The next byte after a run of 0xFF, and `at` moved behind it.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    let start = *at + bytes.get(*at..)?.iter().position(|&byte| byte == 0xFF)?;
    let offset = bytes[start..].iter().position(|&byte| byte != 0xFF)?;
    *at = start + offset + 1;
    Some(bytes[start + offset])
}

#[cfg(test)]
mod tests {
    use image::{ExtendedColorType, RgbImage, codecs::jpeg::JpegEncoder};
    use proptest::prelude::*;

    use super::*;

    fn jpeg() -> Vec<u8> {
        let picture = RgbImage::from_fn(24, 16, |x, y| image::Rgb([(x * 10) as u8, (y * 15) as u8, 128]));
        let mut bytes = Vec::new();
        JpegEncoder::new(&mut bytes).encode(&picture, 24, 16, ExtendedColorType::Rgb8).unwrap();
        bytes
    }

    /// `bytes` with a segment of `payload` behind the start marker.
    fn with_segment(bytes: &[u8], marker: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len() + 2).unwrap().to_be_bytes();
        [&bytes[..2], &[0xFF, marker], &length, payload, &bytes[2..]].concat()
    }

    #[test]
    fn only_the_last_byte_makes_a_jpeg_whole() {
        let whole = jpeg();
        assert!(jpeg_is_whole(&whole));
        for end in 0..whole.len() {
            assert!(!jpeg_is_whole(&whole[..end]), "cut to {end} of {} bytes", whole.len());
        }
    }

    #[test]
    fn thumbnail_does_not_end_a_jpeg_and_an_appendix_does_not_open_it() {
        let whole = with_segment(&jpeg(), 0xE1, &jpeg());
        assert!(jpeg_is_whole(&whole));
        assert!(!jpeg_is_whole(&whole[..whole.len() - 1]));
        let appended = [whole.as_slice(), &[0xFF, 0xDA, 0, 4, 1, 2]].concat();
        assert!(jpeg_is_whole(&appended));
    }

    #[test]
    fn camera_orientation_turns_the_picture() {
        // Little-endian TIFF, one entry: tag 0x0112 (orientation), one short, 6 (turn by 90° clockwise).
        let exif =
            [b"Exif\0\0II*\0\x08\0\0\0\x01\0".as_slice(), &[0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0], &[0; 4]];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("turned.jpg");
        std::fs::write(&path, with_segment(&jpeg(), 0xE1, &exif.concat())).unwrap();
        assert_eq!(header(&path).unwrap(), Header { height: 24, width: 16, colour: true });
        let turned = decode(&path).unwrap().into_rgb8();
        assert_eq!((turned.width(), turned.height()), (16, 24));
        // Red grows along the columns as stored, so along the rows when upright.
        assert!(turned.get_pixel(8, 20).0[0] > turned.get_pixel(8, 2).0[0] + 100);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), start in 0..3) {
            let heads: [&[u8]; 3] = [b"", b"\x89PNG\r\n\x1a\n", b"\xFF\xD8\xFF"];
            bytes.splice(0..0, heads[start as usize].iter().copied());
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("noise.png");
            std::fs::write(&path, &bytes).unwrap();
            prop_assert!(header(&path).is_err());
            prop_assert!(decode(&path).is_err());
        }

        #[test]
        fn no_damage_makes_the_reader_panic(at in 0_usize..600, value: u8) {
            let mut bytes = jpeg();
            let at = at % bytes.len();
            bytes[at] = value;
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("damaged.jpg");
            std::fs::write(&path, &bytes).unwrap();
            let _ = (header(&path), decode(&path));
        }
    }
}

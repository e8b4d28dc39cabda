//! The embedded data set: UCI Optical Recognition of Handwritten Digits, 1,797 grey images of 8×8.
//!
//! E. Alpaydin and C. Kaynak, 1998, licence CC BY 4.0; credit and terms in `assets/README.md`. It is there so
//! that the first command needs no download (design section 1).

use std::io::Read;

use flate2::read::GzDecoder;

use crate::{DataError, Dataset, ImageShape, Images, SourceKind};

const TABLE: &[u8] = include_bytes!("../assets/digits.csv.gz");
const NAME: &str = "digits";
const SHAPE: ImageShape = ImageShape { channels: 1, height: 8, width: 8 };
/// Pixels are counts of set points in a block of 4×4.
const BRIGHTEST: u8 = 16;

/// The embedded table as a data set without a test part of its own.
pub(crate) fn read() -> Result<Dataset, DataError> {
    let mut table = String::new();
    GzDecoder::new(TABLE).read_to_string(&mut table)?;
    let classes = (0..10).map(|digit| digit.to_string()).collect();
    Dataset::new(SourceKind::Digits, NAME, classes, parse(&table)?, None)
}

/// One image a line: 64 values of 0 to 16 row by row, then the digit.
fn parse(table: &str) -> Result<Images, DataError> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for (number, line) in table.lines().enumerate() {
        let wrong = |expected| DataError::TableLine {
            name: NAME.to_owned(),
            line: number + 1,
            expected,
            found: line.to_owned(),
        };
        let numbers: Result<Vec<u8>, _> = line.split(',').map(str::parse).collect();
        let numbers = numbers.map_err(|_| wrong("whole numbers"))?;
        match numbers.split_last() {
            Some((&digit, values)) if values.len() == SHAPE.numel() => {
                if digit > 9 || values.iter().any(|&value| value > BRIGHTEST) {
                    return Err(wrong("values of 0 to 16 and a digit"));
                }
                pixels.extend(values.iter().map(|&value| to_byte(value)));
                labels.push(u32::from(digit));
            }
            _ => return Err(wrong("64 values and a digit")),
        }
    }
    Images::new(SHAPE, pixels, labels)
}

/// 0..=16 onto 0..=255, rounded to the nearest.
fn to_byte(value: u8) -> u8 {
    let scaled = (u16::from(value) * 255 + u16::from(BRIGHTEST) / 2) / u16::from(BRIGHTEST);
    u8::try_from(scaled).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_the_published_one() {
        let digits = read().unwrap();
        assert_eq!((digits.train.len(), digits.shape, digits.classes.len()), (1797, SHAPE, 10));
        let mut counts = [0; 10];
        digits.train.labels().iter().for_each(|&label| counts[label as usize] += 1);
        assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    }

    #[test]
    fn first_row_of_first_digit() {
        let digits = read().unwrap();
        assert_eq!(digits.train.label(0), 0);
        // 0 0 5 13 9 1 0 0 of 16
        assert_eq!(digits.train.pixels(0).unwrap()[..8], [0, 0, 80, 207, 143, 16, 0, 0]);
    }

    #[test]
    fn scale_keeps_both_ends() {
        assert_eq!([to_byte(0), to_byte(8), to_byte(16)], [0, 128, 255]);
    }

    #[test]
    fn damaged_lines_are_named() {
        let good = format!("{}3", "0,".repeat(64));
        for (bad, expected) in [
            ("1,2,3".to_owned(), "64 values and a digit"),
            (format!("{}x", "0,".repeat(64)), "whole numbers"),
            (format!("{}3", "17,".repeat(64)), "values of 0 to 16 and a digit"),
            (format!("{}10", "0,".repeat(64)), "values of 0 to 16 and a digit"),
        ] {
            let error = parse(&format!("{good}\n{bad}\n")).unwrap_err();
            assert!(
                matches!(&error, DataError::TableLine { line: 2, expected: e, .. } if *e == expected),
                "{bad}: {error}"
            );
        }
    }
}

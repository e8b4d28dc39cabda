//! Random crop, horizontal flip, normalisation and cutout of one image (facts sections 1.2 and 5.1).

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::{DataError, ImageShape, SourceKind};

/// Random changes of a training image; a zero or `false` turns a step off.
///
/// The steps follow each other as in the published code: crop, flip, normalise, cutout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Pixels of black put around the image before a window of the image's size is cut out at random; black as
    /// in a raw value of 0, which normalisation then moves.
    pub crop_padding: usize,
    /// Mirror left and right with probability one half.
    pub flip: bool,
    /// Side in pixels of a square that is set to 0 after normalisation, that is to the mean. Its centre is any
    /// pixel, and what reaches over the border is cut off.
    pub cutout: usize,
}

impl Augment {
    /// The usual steps for CIFAR, 4 of 32 pixels of padding and a flip, in proportion at other sizes; no flip
    /// for the digits, since a mirrored digit is another sign. Cutout is for retraining only
    /// ([`Augment::with_cutout`]).
    #[must_use]
    pub fn usual(kind: SourceKind, shape: ImageShape) -> Self {
        let side = shape.height.min(shape.width);
        Self { crop_padding: side / 8, flip: kind != SourceKind::Digits, cutout: 0 }
    }

    /// The same with a cutout square in CIFAR's proportion, 16 of 32 pixels.
    #[must_use]
    pub fn with_cutout(self, shape: ImageShape) -> Self {
        Self { cutout: shape.height.min(shape.width) / 2, ..self }
    }

    /// That the steps leave something of an image of `shape`.
    ///
    /// # Errors
    /// [`DataError::OptionRange`] for padding as wide as the image, whose window can miss the image, and for a
    /// cutout square larger than it.
    pub fn check(&self, shape: ImageShape) -> Result<(), DataError> {
        let side = shape.height.min(shape.width);
        let range = |option, most: usize, found: usize| DataError::OptionRange {
            option,
            expected: format!("at most {most} for images of {shape}"),
            found: found.to_string(),
        };
        if self.crop_padding >= side && self.crop_padding > 0 {
            return Err(range("crop_padding", side - 1, self.crop_padding));
        }
        if self.cutout > side {
            return Err(range("cutout", side, self.cutout));
        }
        Ok(())
    }

    /// Draws what happens to one image.
    pub(crate) fn draw(&self, shape: ImageShape, rng: &mut impl Rng) -> Drawn {
        // Every number is drawn whether its step is on or not, so that one step does not change another's.
        let shift =
            [0, 1].map(|_| rng.random_range(0..=2 * self.crop_padding) as isize - self.crop_padding as isize);
        let flip = rng.random_bool(0.5);
        let centre = [rng.random_range(0..shape.height), rng.random_range(0..shape.width)];
        Drawn { shift, flip: flip && self.flip, cutout: self.square(centre, shape) }
    }

    /// Rows and columns of the cutout square around `centre`, from (inclusive) and to (exclusive).
    fn square(&self, centre: [usize; 2], shape: ImageShape) -> [[usize; 2]; 2] {
        let span = |centre: usize, most: usize| {
            let from = centre as isize - (self.cutout / 2) as isize;
            let to = from + self.cutout as isize;
            [from, to].map(|at| at.clamp(0, most as isize) as usize)
        };
        [span(centre[0], shape.height), span(centre[1], shape.width)]
    }
}

/// What happens to one image; [`Drawn::default`] is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Drawn {
    /// Rows and columns from the image's corner to the window's.
    shift: [isize; 2],
    flip: bool,
    /// Rows and columns of the cutout square.
    cutout: [[usize; 2]; 2],
}

impl Drawn {
    /// Writes the changed and normalised image `[c, h, w]` to `out`. `tables` holds what each byte becomes in
    /// each channel.
    pub(crate) fn apply(&self, raw: &[u8], shape: ImageShape, tables: &[[f32; 256]], out: &mut [f32]) {
        let planes = raw.chunks_exact(shape.plane()).zip(out.chunks_exact_mut(shape.plane()));
        for ((raw, out), table) in planes.zip(tables) {
            for (row, out) in out.chunks_exact_mut(shape.width).enumerate() {
                self.row(row, raw, shape, table, out);
            }
        }
    }

    /// One row of one channel.
    fn row(&self, row: usize, raw: &[u8], shape: ImageShape, table: &[f32; 256], out: &mut [f32]) {
        let (width, black) = (shape.width, table[0]);
        match row.checked_add_signed(self.shift[0]).filter(|&from| from < shape.height) {
            Some(from) => self.shifted(&raw[from * width..(from + 1) * width], table, out),
            None => out.fill(black),
        }
        if self.flip {
            out.reverse();
        }
        let [[top, bottom], [left, right]] = self.cutout;
        if (top..bottom).contains(&row) {
            out[left..right].fill(0.0);
        }
    }

    /// `raw` moved by the horizontal shift, black where it does not reach.
    fn shifted(&self, raw: &[u8], table: &[f32; 256], out: &mut [f32]) {
        let (width, black) = (raw.len(), table[0]);
        let blank = self.shift[1].unsigned_abs().min(width);
        let (skip, edge) = if self.shift[1] < 0 { (0, 0..blank) } else { (blank, width - blank..width) };
        let inside = if self.shift[1] < 0 { blank..width } else { 0..width - blank };
        out[edge].fill(black);
        for (out, &value) in out[inside].iter_mut().zip(&raw[skip..]) {
            *out = table[usize::from(value)];
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        Normalisation,
        seeding::{Purpose, generator},
    };

    /// The steps one after another, each over the whole image, as the published code takes them.
    fn reference(drawn: &Drawn, raw: &[u8], shape: ImageShape, table: &[f32; 256]) -> Vec<f32> {
        let (height, width) = (shape.height as isize, shape.width as isize);
        let at = |y: isize, x: isize| {
            let inside = (0..height).contains(&y) && (0..width).contains(&x);
            if inside { raw[(y * width + x) as usize] } else { 0 }
        };
        let mut out = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let column = if drawn.flip { width - 1 - x } else { x };
                let value = at(y + drawn.shift[0], column + drawn.shift[1]);
                let [rows, columns] = drawn.cutout;
                let cut = (rows[0]..rows[1]).contains(&(y as usize))
                    && (columns[0]..columns[1]).contains(&(x as usize));
                out.push(if cut { 0.0 } else { table[usize::from(value)] });
            }
        }
        out
    }

    proptest! {
        #[test]
        fn apply_equals_reference(
            [height, width] in [1_usize..7, 1_usize..7],
            padding in 0_usize..6,
            cutout in 0_usize..7,
            flip: bool,
            seed: u64,
        ) {
            let side = height.min(width);
            let shape = ImageShape { channels: 1, height, width };
            let augment = Augment { crop_padding: padding.min(side - 1), flip, cutout: cutout.min(side) };
            augment.check(shape).unwrap();
            let raw: Vec<u8> = (0..shape.numel()).map(|at| (at * 7 + 10) as u8).collect();
            let tables = Normalisation { mean: vec![0.3], std: vec![0.2] }.tables();
            let drawn = augment.draw(shape, &mut generator(seed, Purpose::Augment, [0, 0]));
            let mut out = vec![f32::NAN; shape.numel()];
            drawn.apply(&raw, shape, &tables, &mut out);
            prop_assert_eq!(out, reference(&drawn, &raw, shape, &tables[0]));
        }
    }

    fn draws(augment: Augment, shape: ImageShape) -> Vec<Drawn> {
        (0..4000).map(|image| augment.draw(shape, &mut generator(1, Purpose::Augment, [0, image]))).collect()
    }

    #[test]
    fn windows_and_flips_are_uniform() {
        let shape = ImageShape { channels: 3, height: 32, width: 32 };
        let draws = draws(Augment { crop_padding: 4, flip: true, cutout: 0 }, shape);
        for axis in 0..2 {
            for shift in -4..=4 {
                // 4000 / 9 = 444, standard deviation 20.
                let count = draws.iter().filter(|drawn| drawn.shift[axis] == shift).count();
                assert!((344..544).contains(&count), "axis {axis}, shift {shift}: {count}");
            }
        }
        let flips = draws.iter().filter(|drawn| drawn.flip).count();
        assert!((1840..2160).contains(&flips), "{flips} of 4000");
    }

    #[test]
    fn cutout_is_whole_inside_and_clipped_at_the_border() {
        let shape = ImageShape { channels: 3, height: 32, width: 32 };
        let augment = Augment { crop_padding: 0, flip: false, cutout: 16 };
        assert_eq!(augment.square([8, 24], shape), [[0, 16], [16, 32]]);
        assert_eq!(augment.square([0, 31], shape), [[0, 8], [23, 32]]);
        let centres = draws(augment, shape).iter().filter(|drawn| drawn.cutout[0] == [0, 8]).count();
        // Centre in row 0: 4000 / 32 = 125, standard deviation 11.
        assert!((70..180).contains(&centres), "{centres} of 4000");
    }

    #[test]
    fn cutout_of_a_square_blanks_every_channel_and_nothing_else() {
        let shape = ImageShape { channels: 3, height: 4, width: 4 };
        let drawn = Drawn { cutout: [[1, 3], [0, 2]], ..Drawn::default() };
        let tables = Normalisation { mean: vec![0.0; 3], std: vec![1.0; 3] }.tables();
        let mut out = vec![f32::NAN; shape.numel()];
        drawn.apply(&[255; 48], shape, &tables, &mut out);
        assert_eq!(out.iter().filter(|&&value| value == 0.0).count(), 3 * 4);
        assert_eq!(out.iter().filter(|&&value| value == 1.0).count(), 3 * 12);
    }

    #[test]
    fn padding_is_raw_black() {
        let shape = ImageShape { channels: 1, height: 2, width: 2 };
        let drawn = Drawn { shift: [1, 0], ..Drawn::default() };
        let tables = Normalisation { mean: vec![0.5], std: vec![0.25] }.tables();
        let mut out = [f32::NAN; 4];
        drawn.apply(&[0, 0, 255, 255], shape, &tables, &mut out);
        assert_eq!(out, [2.0, 2.0, -2.0, -2.0]);
    }

    #[test]
    fn one_step_does_not_change_what_another_draws() {
        let shape = ImageShape { channels: 3, height: 32, width: 32 };
        let with = draws(Augment { crop_padding: 4, flip: true, cutout: 16 }, shape);
        let without = draws(Augment { crop_padding: 4, flip: true, cutout: 0 }, shape);
        assert!(with.iter().zip(&without).all(|(a, b)| (a.shift, a.flip) == (b.shift, b.flip)));
        let unflipped = draws(Augment { crop_padding: 4, flip: false, cutout: 16 }, shape);
        assert!(with.iter().zip(&unflipped).all(|(a, b)| (a.shift, a.cutout) == (b.shift, b.cutout)));
    }

    #[test]
    fn usual_steps_are_the_published_ones_at_32_pixels() {
        let shape = ImageShape { channels: 3, height: 32, width: 32 };
        let usual = Augment::usual(SourceKind::Cifar10, shape);
        assert_eq!(usual, Augment { crop_padding: 4, flip: true, cutout: 0 });
        assert_eq!(usual.with_cutout(shape).cutout, 16);
        let digit = ImageShape { channels: 1, height: 8, width: 8 };
        assert_eq!(
            Augment::usual(SourceKind::Digits, digit),
            Augment { crop_padding: 1, flip: false, cutout: 0 }
        );
    }

    #[test]
    fn steps_that_leave_no_image_are_errors() {
        let shape = ImageShape { channels: 1, height: 8, width: 16 };
        for (augment, option) in [
            (Augment { crop_padding: 8, ..Augment::default() }, "crop_padding"),
            (Augment { cutout: 9, ..Augment::default() }, "cutout"),
        ] {
            let error = augment.check(shape).unwrap_err();
            assert!(matches!(error, DataError::OptionRange { option: found, .. } if found == option));
        }
        Augment { crop_padding: 7, flip: true, cutout: 8 }.check(shape).unwrap();
        let pixel = ImageShape { channels: 1, height: 1, width: 1 };
        Augment::default().check(pixel).unwrap();
    }
}

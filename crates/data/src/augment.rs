//! Random changes of one training image: a window of it, a flip, colours, AutoAugment; then normalisation and cutout
//! (facts sections 1.2, 5.1 and 5.2).

use rand::Rng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::{
    AutoAugment, DataError, ImageShape, SourceKind,
    autoaugment::DrawnChanges,
    colour,
    warp::{self, Window},
};

/// Random changes of a training image; a zero, a `false` or a "none" turns a step off.
///
/// The steps follow each other as in the published code: window, flip, colours, AutoAugment, normalise, cutout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Pixels put around the image before a window of the image's size is cut out at random: black, as in a raw value
    /// of 0, which normalisation then moves; grey under AutoAugment, as published.
    pub crop_padding: usize,
    /// Least share of the image's area that a random window of it has before it is scaled up to the image, its
    /// proportions between 3:4 and 4:3 of the image's (Szegedy et al., CVPR 2015); published for ImageNet: 0.08.
    pub resized_crop: f64,
    /// Mirror left and right with probability one half.
    pub flip: bool,
    /// How far brightness, contrast and saturation may go from 1, and the hue from where it is, in turns of the colour
    /// circle; in random order. Published for ImageNet: 0.4, 0.4, 0.4, 0.2.
    pub jitter: [f64; 4],
    /// Which pairs of changes AutoAugment draws from.
    pub autoaugment: AutoAugment,
    /// Side in pixels of a square that is set to 0 after normalisation, that is to the mean. Its centre is any
    /// pixel, and what reaches over the border is cut off.
    pub cutout: usize,
    /// Blends every image of a batch with another of it, in a proportion drawn for the batch from Beta(mixup, mixup)
    /// (Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018).
    pub mixup: f64,
}

impl Augment {
    /// The usual steps for CIFAR, 4 of 32 pixels of padding and a flip, in proportion at other sizes; no flip
    /// for the digits, since a mirrored digit is another sign. Cutout is for retraining only
    /// ([`Augment::with_cutout`]).
    #[must_use]
    pub fn usual(kind: SourceKind, shape: ImageShape) -> Self {
        let side = shape.height.min(shape.width);
        Self { crop_padding: side / 8, flip: kind != SourceKind::Digits, ..Self::default() }
    }

    /// The same with a cutout square in CIFAR's proportion, 16 of 32 pixels.
    #[must_use]
    pub fn with_cutout(self, shape: ImageShape) -> Self {
        Self { cutout: shape.height.min(shape.width) / 2, ..self }
    }

    /// That the steps leave something of an image of `shape`.
    ///
    /// # Errors
    /// [`DataError::OptionRange`] for padding as wide as the image, whose window can miss the image, for a
    /// cutout square larger than it, for a share of its area that is none, and for colours that go beyond black or
    /// once around the circle.
    pub fn check(&self, shape: ImageShape) -> Result<(), DataError> {
        let side = shape.height.min(shape.width);
        let refuse =
            |option, expected: String, found: String| Err(DataError::OptionRange { option, expected, found });
        let at_most = |most: usize| format!("at most {most} for images of {shape}");
        if self.crop_padding >= side && self.crop_padding > 0 {
            return refuse("crop_padding", at_most(side - 1), self.crop_padding.to_string());
        }
        if self.cutout > side {
            return refuse("cutout", at_most(side), self.cutout.to_string());
        }
        if !(0.0..=1.0).contains(&self.resized_crop) {
            return refuse("resized_crop", "0 to 1".to_owned(), self.resized_crop.to_string());
        }
        if !(0.0..=100.0).contains(&self.mixup) {
            return refuse("mixup", "0 to 100".to_owned(), self.mixup.to_string());
        }
        let most = [1.0, 1.0, 1.0, 0.5];
        if !self.jitter.iter().zip(most).all(|(strength, most)| (0.0..=most).contains(strength)) {
            let expected = "three numbers of 0 to 1 and one of 0 to 0.5".to_owned();
            return refuse("jitter", expected, format!("{:?}", self.jitter));
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
        let window = self.window(shape, rng);
        let jitter = self.colours(rng);
        Drawn {
            shift,
            flip: flip && self.flip,
            cutout: self.square(centre, shape),
            window,
            jitter,
            changes: self.autoaugment.draw(rng),
            padding: if self.autoaugment == AutoAugment::None { 0 } else { warp::GREY },
        }
    }

    /// A window of random area and proportions, somewhere in the image. One that is too long in a direction is cut to
    /// the image there, so that no number of tries decides how many numbers are drawn.
    fn window(&self, shape: ImageShape, rng: &mut impl Rng) -> Option<Window> {
        let [area, proportion, top, left] = [0; 4].map(|_| rng.random::<f64>());
        if self.resized_crop == 0.0 {
            return None;
        }
        let area = self.resized_crop + area * (1.0 - self.resized_crop);
        let proportion = ((2.0 * proportion - 1.0) * (4.0_f64 / 3.0).ln()).exp();
        let length = |side: usize, share: f64| ((side as f64 * share.sqrt()).round() as usize).clamp(1, side);
        let (height, width) =
            (length(shape.height, area / proportion), length(shape.width, area * proportion));
        let place = |side: usize, length: usize, share: f64| (share * (side - length + 1) as f64) as usize;
        Some(Window {
            top: place(shape.height, height, top),
            left: place(shape.width, width, left),
            height,
            width,
        })
    }

    /// Factors of brightness, contrast and saturation, a turn of the hue, and their order.
    fn colours(&self, rng: &mut impl Rng) -> Option<Jitter> {
        let drawn = [0; 4].map(|_| 2.0 * rng.random::<f64>() - 1.0);
        let mut order = [0, 1, 2, 3];
        order.shuffle(rng);
        let by = |place: usize| drawn[place] * self.jitter[place];
        self.jitter.iter().any(|&strength| strength > 0.0).then(|| Jitter {
            strengths: [1.0 + by(0), 1.0 + by(1), 1.0 + by(2), by(3)].map(|strength| strength as f32),
            order,
        })
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
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Drawn {
    /// Rows and columns from the image's corner to the window's.
    shift: [isize; 2],
    flip: bool,
    /// Rows and columns of the cutout square.
    cutout: [[usize; 2]; 2],
    window: Option<Window>,
    jitter: Option<Jitter>,
    changes: DrawnChanges,
    /// Raw value of what lies around the image.
    padding: u8,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Jitter {
    strengths: [f32; 4],
    order: [usize; 4],
}

impl Jitter {
    fn apply(&self, pixels: &mut [u8], shape: ImageShape) {
        let [brightness, contrast, saturation, turn] = self.strengths;
        for step in self.order {
            match step {
                0 => colour::brightness(pixels, brightness),
                1 => colour::contrast(pixels, shape, contrast),
                2 => colour::saturation(pixels, shape, saturation),
                _ => colour::hue(pixels, shape, turn),
            }
        }
    }
}

impl Drawn {
    /// Writes the changed and normalised image `[c, h, w]` to `out`. `tables` holds what each byte becomes in
    /// each channel.
    pub(crate) fn apply(&self, raw: &[u8], shape: ImageShape, tables: &[[f32; 256]], out: &mut [f32]) {
        let zoomed = self.window.map(|window| warp::zoomed(raw, shape, window));
        let pixels = zoomed.as_deref().unwrap_or(raw);
        if self.jitter.is_none() && self.changes.is_empty() {
            return self.normalise(pixels, shape, tables, out);
        }
        // What is still to do after the bytes have changed: the cutout.
        let moved = Self { cutout: Default::default(), ..*self };
        let bytes: [u8; 256] = std::array::from_fn(|value| value as u8);
        let mut shifted = vec![0; pixels.len()];
        moved.place(pixels, shape, |_| &bytes, &mut shifted);
        if let Some(jitter) = &self.jitter {
            jitter.apply(&mut shifted, shape);
        }
        self.changes.apply(&mut shifted, shape);
        let left = Self { cutout: self.cutout, ..Self::default() };
        left.normalise(&shifted, shape, tables, out);
    }

    fn normalise(&self, raw: &[u8], shape: ImageShape, tables: &[[f32; 256]], out: &mut [f32]) {
        self.place(raw, shape, |channel| &tables[channel], out);
    }

    /// Shift, flip and cutout; a byte becomes what its channel's table says.
    fn place<'a, T: Copy + Default + 'a>(
        &self,
        raw: &[u8],
        shape: ImageShape,
        table: impl Fn(usize) -> &'a [T; 256],
        out: &mut [T],
    ) {
        let planes = raw.chunks_exact(shape.plane()).zip(out.chunks_exact_mut(shape.plane()));
        for (channel, (raw, out)) in planes.enumerate() {
            for (row, out) in out.chunks_exact_mut(shape.width).enumerate() {
                self.row(row, raw, shape, table(channel), out);
            }
        }
    }

    /// One row of one channel.
    fn row<T: Copy + Default>(
        &self,
        row: usize,
        raw: &[u8],
        shape: ImageShape,
        table: &[T; 256],
        out: &mut [T],
    ) {
        let width = shape.width;
        match row.checked_add_signed(self.shift[0]).filter(|&from| from < shape.height) {
            Some(from) => self.shifted(&raw[from * width..(from + 1) * width], table, out),
            None => out.fill(table[usize::from(self.padding)]),
        }
        if self.flip {
            out.reverse();
        }
        let [[top, bottom], [left, right]] = self.cutout;
        if (top..bottom).contains(&row) {
            out[left..right].fill(T::default());
        }
    }

    /// `raw` moved by the horizontal shift, padded where it does not reach.
    fn shifted<T: Copy>(&self, raw: &[u8], table: &[T; 256], out: &mut [T]) {
        let width = raw.len();
        let blank = self.shift[1].unsigned_abs().min(width);
        let (skip, edge) = if self.shift[1] < 0 { (0, 0..blank) } else { (blank, width - blank..width) };
        let inside = if self.shift[1] < 0 { blank..width } else { 0..width - blank };
        out[edge].fill(table[usize::from(self.padding)]);
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
            let augment =
                Augment { crop_padding: padding.min(side - 1), flip, cutout: cutout.min(side), ..Augment::default() };
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
        let draws = draws(Augment { crop_padding: 4, flip: true, cutout: 0, ..Augment::default() }, shape);
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
        let augment = Augment { crop_padding: 0, flip: false, cutout: 16, ..Augment::default() };
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
        let with = draws(Augment { crop_padding: 4, flip: true, cutout: 16, ..Augment::default() }, shape);
        let without = draws(Augment { crop_padding: 4, flip: true, cutout: 0, ..Augment::default() }, shape);
        assert!(with.iter().zip(&without).all(|(a, b)| (a.shift, a.flip) == (b.shift, b.flip)));
        let unflipped =
            draws(Augment { crop_padding: 4, flip: false, cutout: 16, ..Augment::default() }, shape);
        assert!(with.iter().zip(&unflipped).all(|(a, b)| (a.shift, a.cutout) == (b.shift, b.cutout)));
    }

    #[test]
    fn usual_steps_are_the_published_ones_at_32_pixels() {
        let shape = ImageShape { channels: 3, height: 32, width: 32 };
        let usual = Augment::usual(SourceKind::Cifar10, shape);
        assert_eq!(usual, Augment { crop_padding: 4, flip: true, cutout: 0, ..Augment::default() });
        assert_eq!(usual.with_cutout(shape).cutout, 16);
        let digit = ImageShape { channels: 1, height: 8, width: 8 };
        assert_eq!(
            Augment::usual(SourceKind::Digits, digit),
            Augment { crop_padding: 1, flip: false, cutout: 0, ..Augment::default() }
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
        Augment { crop_padding: 7, flip: true, cutout: 8, ..Augment::default() }.check(shape).unwrap();
        let pixel = ImageShape { channels: 1, height: 1, width: 1 };
        Augment::default().check(pixel).unwrap();
    }

    const WIDE: ImageShape = ImageShape { channels: 3, height: 24, width: 48 };

    #[test]
    fn windows_keep_to_the_image_its_area_and_its_proportions() {
        let augment = Augment { resized_crop: 0.25, ..Augment::default() };
        let windows: Vec<Window> = draws(augment, WIDE).iter().filter_map(|drawn| drawn.window).collect();
        assert_eq!(windows.len(), 4000);
        let mut areas = [0.0_f64; 2];
        for Window { top, left, height, width } in windows {
            assert!(top + height <= 24 && left + width <= 48 && height > 0 && width > 0);
            let area = (height * width) as f64 / (24.0 * 48.0);
            let proportion = width as f64 / height as f64 / 2.0;
            assert!(area > 0.2 && (0.6..1.6).contains(&proportion), "{height}×{width}");
            areas = [areas[0] + area / 4000.0, areas[1].max(area)];
        }
        // A little below the mean of 0.25 and 1, since large windows of other proportions are cut.
        assert!((0.55..0.63).contains(&areas[0]) && areas[1] > 0.95, "{areas:?}");
    }

    #[test]
    fn colours_stay_within_their_strengths_and_their_order_is_random() {
        let augment = Augment { jitter: [0.4, 0.0, 0.2, 0.1], ..Augment::default() };
        let drawn: Vec<Jitter> = draws(augment, WIDE).iter().filter_map(|drawn| drawn.jitter).collect();
        let reach = |place: usize, from: f32| {
            drawn.iter().map(|jitter| (jitter.strengths[place] - from).abs()).fold(0.0, f32::max)
        };
        for (place, from, most) in [(0, 1.0, 0.4), (1, 1.0, 0.0), (2, 1.0, 0.2), (3, 0.0, 0.1)] {
            assert!((reach(place, from) - most).abs() < 0.01, "{place}: {}", reach(place, from));
        }
        let first = drawn.iter().filter(|jitter| jitter.order[0] == 2).count();
        assert!((880..1120).contains(&first), "{first} of 4000");
    }

    #[test]
    fn cutout_follows_all_changes_of_bytes() {
        let tables = Normalisation { mean: vec![0.5; 3], std: vec![0.25; 3] }.tables();
        let augment = Augment {
            crop_padding: 2,
            resized_crop: 0.5,
            flip: true,
            jitter: [0.4, 0.4, 0.4, 0.2],
            autoaugment: AutoAugment::Cifar,
            cutout: 12,
            mixup: 0.0,
        };
        augment.check(WIDE).unwrap();
        let raw: Vec<u8> = (0..WIDE.numel()).map(|at| (at * 31 % 251) as u8).collect();
        for drawn in &draws(augment, WIDE)[..200] {
            let mut out = vec![f32::NAN; WIDE.numel()];
            drawn.apply(&raw, WIDE, &tables, &mut out);
            let [[top, bottom], [left, right]] = drawn.cutout;
            for (at, &value) in out.iter().enumerate() {
                let (y, x) = (at % WIDE.plane() / 48, at % 48);
                let cut = (top..bottom).contains(&y) && (left..right).contains(&x);
                assert!(if cut { value == 0.0 } else { value.is_finite() }, "{drawn:?} at {at}");
            }
        }
    }

    #[test]
    fn autoaugment_pads_with_grey() {
        let augment = Augment { crop_padding: 4, autoaugment: AutoAugment::Cifar, ..Augment::default() };
        assert!(draws(augment, WIDE).iter().all(|drawn| drawn.padding == warp::GREY));
    }

    #[test]
    fn strengths_out_of_range_are_errors() {
        for (augment, option) in [
            (Augment { resized_crop: 1.5, ..Augment::default() }, "resized_crop"),
            (Augment { resized_crop: f64::NAN, ..Augment::default() }, "resized_crop"),
            (Augment { mixup: -1.0, ..Augment::default() }, "mixup"),
            (Augment { jitter: [0.0, 0.0, 0.0, 0.6], ..Augment::default() }, "jitter"),
            (Augment { jitter: [-0.1, 0.0, 0.0, 0.0], ..Augment::default() }, "jitter"),
        ] {
            let error = augment.check(WIDE).unwrap_err();
            assert!(matches!(error, DataError::OptionRange { option: found, .. } if found == option));
        }
    }
}

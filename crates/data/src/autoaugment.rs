//! AutoAugment (Cubuk et al., "AutoAugment: Learning Augmentation Strategies from Data", CVPR 2019): one of 25 pairs of
//! changes, found on CIFAR-10 or ImageNet, each change with its own probability and strength.

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::{ImageShape, colour, warp};

/// Which data set the changes were found on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AutoAugment {
    /// No change.
    #[default]
    None,
    /// CIFAR-10 (the paper's table 7).
    Cifar,
    /// ImageNet (the paper's table 9).
    Imagenet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Colour,
    Brightness,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
    Invert,
}

use Change::*;

/// A change, its probability in tenths, and its strength from 0 to 9.
type Step = (Change, u8, u8);

const CIFAR: [[Step; 2]; 25] = [
    [(Invert, 1, 7), (Contrast, 2, 6)],
    [(Rotate, 7, 2), (TranslateX, 3, 9)],
    [(Sharpness, 8, 1), (Sharpness, 9, 3)],
    [(ShearY, 5, 8), (TranslateY, 7, 9)],
    [(AutoContrast, 5, 8), (Equalize, 9, 2)],
    [(ShearY, 2, 7), (Posterize, 3, 7)],
    [(Colour, 4, 3), (Brightness, 6, 7)],
    [(Sharpness, 3, 9), (Brightness, 7, 9)],
    [(Equalize, 6, 5), (Equalize, 5, 1)],
    [(Contrast, 6, 7), (Sharpness, 6, 5)],
    [(Colour, 7, 7), (TranslateX, 5, 8)],
    [(Equalize, 3, 7), (AutoContrast, 4, 8)],
    [(TranslateY, 4, 3), (Sharpness, 2, 6)],
    [(Brightness, 9, 6), (Colour, 2, 8)],
    [(Solarize, 5, 2), (Invert, 0, 3)],
    [(Equalize, 2, 0), (AutoContrast, 6, 0)],
    [(Equalize, 2, 8), (Equalize, 6, 4)],
    [(Colour, 9, 9), (Equalize, 6, 6)],
    [(AutoContrast, 8, 4), (Solarize, 2, 8)],
    [(Brightness, 1, 3), (Colour, 7, 0)],
    [(Solarize, 4, 5), (AutoContrast, 9, 3)],
    [(TranslateY, 9, 9), (TranslateY, 7, 9)],
    [(AutoContrast, 9, 2), (Solarize, 8, 3)],
    [(Equalize, 8, 8), (Invert, 1, 3)],
    [(TranslateY, 7, 9), (AutoContrast, 9, 1)],
];

const IMAGENET: [[Step; 2]; 25] = [
    [(Posterize, 4, 8), (Rotate, 6, 9)],
    [(Solarize, 6, 5), (AutoContrast, 6, 5)],
    [(Equalize, 8, 8), (Equalize, 6, 3)],
    [(Posterize, 6, 7), (Posterize, 6, 6)],
    [(Equalize, 4, 7), (Solarize, 2, 4)],
    [(Equalize, 4, 4), (Rotate, 8, 8)],
    [(Solarize, 6, 3), (Equalize, 6, 7)],
    [(Posterize, 8, 5), (Equalize, 10, 2)],
    [(Rotate, 2, 3), (Solarize, 6, 8)],
    [(Equalize, 6, 8), (Posterize, 4, 6)],
    [(Rotate, 8, 8), (Colour, 4, 0)],
    [(Rotate, 4, 9), (Equalize, 6, 2)],
    [(Equalize, 0, 7), (Equalize, 8, 8)],
    [(Invert, 6, 4), (Equalize, 10, 8)],
    [(Colour, 6, 4), (Contrast, 10, 8)],
    [(Rotate, 8, 8), (Colour, 10, 2)],
    [(Colour, 8, 8), (Solarize, 8, 7)],
    [(Sharpness, 4, 7), (Invert, 6, 8)],
    [(ShearX, 6, 5), (Equalize, 10, 9)],
    [(Colour, 4, 0), (Equalize, 6, 3)],
    [(Equalize, 4, 7), (Solarize, 2, 4)],
    [(Solarize, 6, 5), (AutoContrast, 6, 5)],
    [(Invert, 6, 4), (Equalize, 10, 8)],
    [(Colour, 6, 4), (Contrast, 10, 8)],
    [(Equalize, 8, 8), (Equalize, 6, 3)],
];

/// The changes drawn for one image, each with its strength and whether it goes the other way.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct DrawnChanges([Option<(Change, u8, bool)>; 2]);

impl AutoAugment {
    /// Draws one pair of changes. As many numbers are drawn whatever the policy.
    pub(crate) fn draw(self, rng: &mut impl Rng) -> DrawnChanges {
        let pair = rng.random_range(0..25);
        let dice = [0; 2].map(|_| (rng.random_range(0..10), rng.random_bool(0.5)));
        let steps = match self {
            Self::None => return DrawnChanges::default(),
            Self::Cifar => CIFAR[pair],
            Self::Imagenet => IMAGENET[pair],
        };
        DrawnChanges([0, 1].map(|place| {
            let ((change, tenths, strength), (die, back)) = (steps[place], dice[place]);
            (die < tenths).then_some((change, strength, back))
        }))
    }
}

impl DrawnChanges {
    /// Whether nothing was drawn.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Changes an image `[c, h, w]`.
    pub(crate) fn apply(&self, pixels: &mut [u8], shape: ImageShape) {
        for (change, strength, back) in self.0.into_iter().flatten() {
            change.apply(pixels, shape, strength, back);
        }
    }
}

impl Change {
    /// With the paper's ranges: shears to 0.3, shifts to 150 of 331 pixels, turns to 30 degrees, blends to 0.9 away
    /// from the image, four bits, all thresholds.
    fn apply(self, pixels: &mut [u8], shape: ImageShape, strength: u8, back: bool) {
        let share = f32::from(strength) / 9.0;
        let signed = |most: f32| if back { -most * share } else { most * share };
        let shift = |side: usize| signed(150.0 / 331.0 * side as f32).trunc();
        let factor = 1.0 + signed(0.9);
        match self {
            ShearX => warp::affine(pixels, shape, warp::shear_x(signed(0.3))),
            ShearY => warp::affine(pixels, shape, warp::shear_y(signed(0.3))),
            TranslateX => warp::affine(pixels, shape, warp::translate([shift(shape.width), 0.0])),
            TranslateY => warp::affine(pixels, shape, warp::translate([0.0, shift(shape.height)])),
            Rotate => warp::affine(pixels, shape, warp::rotate(signed(30.0))),
            Colour => colour::saturation(pixels, shape, factor),
            Brightness => colour::brightness(pixels, factor),
            Contrast => colour::contrast(pixels, shape, factor),
            Sharpness => colour::sharpness(pixels, shape, factor),
            Posterize => colour::posterize(pixels, 8 - (4.0 * share).round() as u32),
            Solarize => solarize(pixels, share),
            AutoContrast => colour::auto_contrast(pixels, shape),
            Equalize => colour::equalize(pixels, shape),
            Invert => colour::invert(pixels),
        }
    }
}

/// A strength of zero inverts nothing: its threshold is 256.
fn solarize(pixels: &mut [u8], share: f32) {
    if share > 0.0 {
        colour::solarize(pixels, (256.0 * (1.0 - share)).round().min(255.0) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeding::{Purpose, generator};

    const SHAPE: ImageShape = ImageShape { channels: 3, height: 8, width: 8 };

    fn drawn(policy: AutoAugment) -> Vec<DrawnChanges> {
        (0..5000).map(|image| policy.draw(&mut generator(3, Purpose::Augment, [0, image]))).collect()
    }

    #[test]
    fn changes_come_as_often_as_the_tables_say() {
        for (policy, table) in [(AutoAugment::Cifar, CIFAR), (AutoAugment::Imagenet, IMAGENET)] {
            let found = drawn(policy);
            for change in [Equalize, Rotate, Invert, Solarize, Colour] {
                let of_table = table.iter().flatten().filter(|(other, ..)| *other == change);
                let expected =
                    of_table.map(|&(_, tenths, _)| f64::from(tenths)).sum::<f64>() / 250.0 * 5000.0;
                let steps = found.iter().flat_map(|drawn| drawn.0.into_iter().flatten());
                let count = steps.filter(|(other, ..)| *other == change).count() as f64;
                assert!(
                    (count - expected).abs() < 4.0 * expected.sqrt() + 5.0,
                    "{change:?}: {count} {expected}"
                );
            }
        }
        assert!(drawn(AutoAugment::None).iter().all(|drawn| *drawn == DrawnChanges::default()));
    }

    #[test]
    fn every_change_at_every_strength_keeps_an_image_an_image() {
        let all = [
            ShearX,
            ShearY,
            TranslateX,
            TranslateY,
            Rotate,
            Colour,
            Brightness,
            Contrast,
            Sharpness,
            Posterize,
            Solarize,
            AutoContrast,
            Equalize,
            Invert,
        ];
        let image: Vec<u8> = (0..SHAPE.numel()).map(|at| (at * 37 % 251) as u8).collect();
        for change in all {
            for strength in 0..=9 {
                for channels in [1, 3, 4] {
                    let shape = ImageShape { channels, ..SHAPE };
                    let mut pixels = image.iter().cycle().take(shape.numel()).copied().collect::<Vec<_>>();
                    let before = pixels.clone();
                    change.apply(&mut pixels, shape, strength, false);
                    let gentle = !matches!(change, AutoContrast | Equalize | Invert);
                    assert!(strength > 0 || !gentle || pixels == before, "{change:?} of strength 0");
                }
            }
        }
    }

    #[test]
    fn strengths_are_the_papers() {
        let mut pixels = vec![255; SHAPE.numel()];
        Posterize.apply(&mut pixels, SHAPE, 9, false);
        assert_eq!(pixels[0], 0b1111_0000);
        let mut pixels = vec![200; SHAPE.numel()];
        Brightness.apply(&mut pixels, SHAPE, 9, true);
        assert_eq!(pixels[0], 20, "a tenth");
        let mut pixels = vec![0; SHAPE.numel()];
        TranslateX.apply(&mut pixels, SHAPE, 9, false);
        assert_eq!(pixels[..8], [0, 0, 0, 0, 0, warp::GREY, warp::GREY, warp::GREY], "3.6 pixels, cut off");
    }
}

//! Changes of brightness and colour of one image, on planes of bytes as PyTorch's `torchvision` and Pillow define them:
//! each blends the image with what it would be without the quality in question (0) and goes beyond it above 1.

use crate::ImageShape;

/// Weights of red, green and blue in brightness (ITU-R BT.601).
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

/// `factor · value + (1 − factor) · without`, as a byte.
fn blend(value: u8, without: f32, factor: f32) -> u8 {
    (without + factor * (f32::from(value) - without)).clamp(0.0, 255.0) as u8
}

/// The brightness of pixel `at`; that of an image without colour is its only channel's, or the mean of its channels.
fn luma(pixels: &[u8], shape: ImageShape, at: usize) -> f32 {
    let values = pixels.iter().skip(at).step_by(shape.plane()).map(|&value| f32::from(value));
    match shape.channels {
        3 => values.zip(LUMA).map(|(value, weight)| value * weight).sum(),
        channels => values.sum::<f32>() / channels as f32,
    }
}

/// Black at 0.
pub(crate) fn brightness(pixels: &mut [u8], factor: f32) {
    pixels.iter_mut().for_each(|value| *value = blend(*value, 0.0, factor));
}

/// The image's mean brightness everywhere at 0.
pub(crate) fn contrast(pixels: &mut [u8], shape: ImageShape, factor: f32) {
    let sum: f64 = (0..shape.plane()).map(|at| f64::from(luma(pixels, shape, at))).sum();
    let mean = (sum / shape.plane() as f64).round() as f32;
    pixels.iter_mut().for_each(|value| *value = blend(*value, mean, factor));
}

/// Grey at 0. Images without colour stay.
pub(crate) fn saturation(pixels: &mut [u8], shape: ImageShape, factor: f32) {
    if shape.channels != 3 {
        return;
    }
    let plane = shape.plane();
    for at in 0..plane {
        let grey = luma(pixels, shape, at).round();
        (0..3).for_each(|channel| {
            let value = &mut pixels[channel * plane + at];
            *value = blend(*value, grey, factor);
        });
    }
}

/// The image smoothed by [1 1 1; 1 5 1; 1 1 1] / 13 at 0. The border stays, as in Pillow.
pub(crate) fn sharpness(pixels: &mut [u8], shape: ImageShape, factor: f32) {
    let (height, width) = (shape.height, shape.width);
    for plane in pixels.chunks_exact_mut(shape.plane()) {
        let before = plane.to_vec();
        for y in 1..height.saturating_sub(1) {
            for x in 1..width.saturating_sub(1) {
                let rows = [y - 1, y, y + 1].map(|row| &before[row * width + x - 1..row * width + x + 2]);
                let sum: u32 = rows.into_iter().flatten().map(|&value| u32::from(value)).sum();
                let own = before[y * width + x];
                let smooth = (sum + 4 * u32::from(own)) as f32 / 13.0;
                plane[y * width + x] = blend(own, smooth.round(), factor);
            }
        }
    }
}

/// Turns the colour circle by `turn`, in full turns. Images without colour stay.
pub(crate) fn hue(pixels: &mut [u8], shape: ImageShape, turn: f32) {
    if shape.channels != 3 {
        return;
    }
    let (red, rest) = pixels.split_at_mut(shape.plane());
    let (green, blue) = rest.split_at_mut(shape.plane());
    for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
        [*r, *g, *b] = turned([*r, *g, *b], turn);
    }
}

/// One colour with its hue turned: to hue, chroma and value, and back (Smith, SIGGRAPH 1978).
fn turned(rgb: [u8; 3], turn: f32) -> [u8; 3] {
    let [r, g, b] = rgb.map(f32::from);
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    let chroma = most - least;
    if chroma == 0.0 {
        return rgb;
    }
    let sixth = if most == r {
        (g - b) / chroma
    } else if most == g {
        2.0 + (b - r) / chroma
    } else {
        4.0 + (r - g) / chroma
    };
    let hue = (sixth + 6.0 * turn).rem_euclid(6.0);
    // Each channel falls from the largest to the least value as the hue goes away from it.
    [5.0, 3.0, 1.0].map(|offset| {
        let at = (offset + hue).rem_euclid(6.0);
        let share = at.min(4.0 - at).clamp(0.0, 1.0);
        (most - chroma * share).round() as u8
    })
}

/// 255 − value.
pub(crate) fn invert(pixels: &mut [u8]) {
    pixels.iter_mut().for_each(|value| *value = 255 - *value);
}

/// Inverts what is at least `threshold`.
pub(crate) fn solarize(pixels: &mut [u8], threshold: u8) {
    pixels.iter_mut().filter(|value| **value >= threshold).for_each(|value| *value = 255 - *value);
}

/// Keeps the `bits` most significant bits, 1 to 8.
pub(crate) fn posterize(pixels: &mut [u8], bits: u32) {
    let mask = u8::MAX << (8 - bits.clamp(1, 8));
    pixels.iter_mut().for_each(|value| *value &= mask);
}

/// Stretches every channel to reach from 0 to 255.
pub(crate) fn auto_contrast(pixels: &mut [u8], shape: ImageShape) {
    for plane in pixels.chunks_exact_mut(shape.plane()) {
        let (least, most) = plane.iter().fold((u8::MAX, 0), |(low, high), &v| (low.min(v), high.max(v)));
        if most > least {
            let scale = 255.0 / f32::from(most - least);
            plane.iter_mut().for_each(|value| *value = (f32::from(*value - least) * scale) as u8);
        }
    }
}

/// Makes every channel's histogram as even as it gets, by Pillow's rule.
pub(crate) fn equalize(pixels: &mut [u8], shape: ImageShape) {
    for plane in pixels.chunks_exact_mut(shape.plane()) {
        let mut counts = [0_usize; 256];
        plane.iter().for_each(|&value| counts[usize::from(value)] += 1);
        let last = counts.iter().rev().find(|&&count| count > 0).copied().unwrap_or(0);
        let step = (plane.len() - last) / 255;
        if step == 0 {
            continue;
        }
        let mut before = step / 2;
        let table: [u8; 256] = std::array::from_fn(|value| {
            let level = (before / step).min(255) as u8;
            before += counts[value];
            level
        });
        plane.iter_mut().for_each(|value| *value = table[usize::from(*value)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 3, height: 3, width: 3 };

    fn image() -> Vec<u8> {
        (0..SHAPE.numel()).map(|at| (at * 9 + 3) as u8).collect()
    }

    fn changed(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
        let mut pixels = image();
        change(&mut pixels);
        pixels
    }

    #[test]
    fn a_factor_of_one_changes_nothing_and_zero_takes_the_quality_away() {
        for unchanged in [
            changed(|pixels| brightness(pixels, 1.0)),
            changed(|pixels| contrast(pixels, SHAPE, 1.0)),
            changed(|pixels| saturation(pixels, SHAPE, 1.0)),
            changed(|pixels| sharpness(pixels, SHAPE, 1.0)),
            changed(|pixels| hue(pixels, SHAPE, 0.0)),
            changed(|pixels| hue(pixels, SHAPE, 1.0)),
            changed(|pixels| posterize(pixels, 8)),
        ] {
            assert_eq!(unchanged, image());
        }
        assert!(changed(|pixels| brightness(pixels, 0.0)).iter().all(|&value| value == 0));
        let flat = changed(|pixels| contrast(pixels, SHAPE, 0.0));
        assert!(flat.iter().all(|&value| value == flat[0]));
        let grey = changed(|pixels| saturation(pixels, SHAPE, 0.0));
        assert!((0..9).all(|at| grey[at] == grey[9 + at] && grey[at] == grey[18 + at]));
        assert!(changed(|pixels| brightness(pixels, 9.0)).iter().all(|&value| value >= 27));
    }

    #[test]
    fn a_third_of_the_colour_circle_exchanges_the_channels() {
        assert_eq!(turned([200, 30, 70], 1.0 / 3.0), [70, 200, 30]);
        assert_eq!(turned([200, 30, 70], -1.0 / 3.0), [30, 70, 200]);
        assert_eq!(turned([200, 30, 30], 0.5), [30, 200, 200]);
        assert_eq!(turned([9, 9, 9], 0.4), [9, 9, 9]);
    }

    #[test]
    fn sharpness_smooths_the_inside_only() {
        let mut spot = vec![0_u8; 27];
        spot[4] = 130;
        sharpness(&mut spot, SHAPE, 0.0);
        assert_eq!(spot[4], 50, "130 · 5 / 13");
        assert!(spot.iter().enumerate().all(|(at, &value)| at == 4 || value == 0));
    }

    #[test]
    fn tables_of_values() {
        assert_eq!(changed(invert)[0], 252);
        assert_eq!(changed(|pixels| solarize(pixels, 128))[..3], [3, 12, 21]);
        assert_eq!(changed(|pixels| solarize(pixels, 0)), changed(invert));
        assert!(changed(|pixels| posterize(pixels, 3)).iter().all(|value| value % 32 == 0));
        let stretched = changed(|pixels| auto_contrast(pixels, SHAPE));
        assert_eq!((stretched[0], stretched[8], stretched[9]), (0, 255, 0));
        let grey = ImageShape { channels: 1, height: 16, width: 64 };
        let mut dark: Vec<u8> = (0..1024).map(|at| (at / 64) as u8).collect();
        equalize(&mut dark, grey);
        assert!(dark.is_sorted() && dark[0] < 10 && dark[1023] >= 235, "{} to {}", dark[0], dark[1023]);
        let mut constant = vec![7; 1024];
        equalize(&mut constant, grey);
        assert_eq!(constant, vec![7; 1024]);
    }
}

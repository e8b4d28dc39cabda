//! Moving the pixels of one image: shearing, shifting and turning it, and cutting a piece out and scaling it up.

use crate::ImageShape;

/// What shows where the image does not reach, in every channel: the grey that published AutoAugment fills with.
pub(crate) const GREY: u8 = 128;

/// Where each pixel comes from: `[x, y] = matrix · [x', y', 1]`, in pixels from the image's centre.
pub(crate) type Affine = [[f32; 3]; 2];

/// Takes every pixel from the nearest one at its source, or grey.
pub(crate) fn affine(pixels: &mut [u8], shape: ImageShape, matrix: Affine) {
    let (height, width) = (shape.height, shape.width);
    let centre = [width as f32, height as f32].map(|side| (side - 1.0) / 2.0);
    let mut sources = Vec::with_capacity(shape.plane());
    for y in 0..height {
        for x in 0..width {
            let to = [x as f32 - centre[0], y as f32 - centre[1]];
            let [from_x, from_y] = [0, 1].map(|axis| {
                let [a, b, c] = matrix[axis];
                (a * to[0] + b * to[1] + c + centre[axis]).round()
            });
            let inside = (0.0..width as f32).contains(&from_x) && (0.0..height as f32).contains(&from_y);
            sources.push(inside.then(|| from_y as usize * width + from_x as usize));
        }
    }
    for plane in pixels.chunks_exact_mut(shape.plane()) {
        let before = plane.to_vec();
        for (value, source) in plane.iter_mut().zip(&sources) {
            *value = source.map_or(GREY, |at| before[at]);
        }
    }
}

/// Sources of an image sheared along x by `slope` pixels a row.
pub(crate) fn shear_x(slope: f32) -> Affine {
    [[1.0, slope, 0.0], [0.0, 1.0, 0.0]]
}

/// Sources of an image sheared along y by `slope` pixels a column.
pub(crate) fn shear_y(slope: f32) -> Affine {
    [[1.0, 0.0, 0.0], [slope, 1.0, 0.0]]
}

/// Sources of an image moved by so many pixels to the left and up.
pub(crate) fn translate([x, y]: [f32; 2]) -> Affine {
    [[1.0, 0.0, x], [0.0, 1.0, y]]
}

/// Sources of an image turned by `degrees` against the clock.
pub(crate) fn rotate(degrees: f32) -> Affine {
    let (sin, cos) = degrees.to_radians().sin_cos();
    [[cos, -sin, 0.0], [sin, cos, 0.0]]
}

/// Rows and columns of a piece of an image: first and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) top: usize,
    pub(crate) left: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

/// Scales `window` up to the whole image: bilinear, pixels' centres on pixels' centres.
pub(crate) fn zoom(pixels: &mut [u8], shape: ImageShape, window: Window) {
    let (height, width) = (shape.height, shape.width);
    let rows = taps(window.top, window.height, height);
    let columns = taps(window.left, window.width, width);
    for plane in pixels.chunks_exact_mut(shape.plane()) {
        let before = plane.to_vec();
        for (y, &(top, bottom, down)) in rows.iter().enumerate() {
            for (x, &(left, right, along)) in columns.iter().enumerate() {
                let at = |row: usize, column: usize| f32::from(before[row * width + column]);
                let upper = at(top, left) + along * (at(top, right) - at(top, left));
                let lower = at(bottom, left) + along * (at(bottom, right) - at(bottom, left));
                plane[y * width + x] = (upper + down * (lower - upper)).round() as u8;
            }
        }
    }
}

/// For each of `count` places the two source places next to it, and how far it lies towards the second.
fn taps(first: usize, length: usize, count: usize) -> Vec<(usize, usize, f32)> {
    let scale = length as f32 / count as f32;
    (0..count)
        .map(|at| {
            let from = ((at as f32 + 0.5) * scale - 0.5).clamp(0.0, (length - 1) as f32);
            let low = from as usize;
            (first + low, first + (low + 1).min(length - 1), from - low as f32)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 1, height: 3, width: 4 };

    fn image() -> Vec<u8> {
        (1..=12).collect()
    }

    fn warped(matrix: Affine) -> Vec<u8> {
        let mut pixels = image();
        affine(&mut pixels, SHAPE, matrix);
        pixels
    }

    #[test]
    fn shifts_bring_grey_in() {
        assert_eq!(warped(translate([0.0, 0.0])), image());
        assert_eq!(warped(translate([1.0, 0.0]))[..4], [2, 3, 4, GREY]);
        assert_eq!(warped(translate([0.0, -1.0]))[..8], [GREY, GREY, GREY, GREY, 1, 2, 3, 4]);
    }

    #[test]
    fn shears_move_rows_and_columns_apart_and_leave_the_middle() {
        assert_eq!(warped(shear_x(1.0)), [GREY, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, GREY]);
        let sheared = warped(shear_y(2.0));
        assert_eq!([sheared[5], sheared[6]], [2, 11], "half a column from the centre, one row away");
    }

    #[test]
    fn turns_are_against_the_clock() {
        let square = ImageShape { channels: 1, height: 3, width: 3 };
        let mut pixels: Vec<u8> = (1..=9).collect();
        affine(&mut pixels, square, rotate(90.0));
        assert_eq!(pixels, [3, 6, 9, 2, 5, 8, 1, 4, 7]);
    }

    #[test]
    fn zooming_into_everything_changes_nothing_and_into_a_pixel_fills_all() {
        let mut pixels = image();
        zoom(&mut pixels, SHAPE, Window { top: 0, left: 0, height: 3, width: 4 });
        assert_eq!(pixels, image());
        zoom(&mut pixels, SHAPE, Window { top: 1, left: 2, height: 1, width: 1 });
        assert_eq!(pixels, [7; 12]);
        let ramp = ImageShape { channels: 1, height: 1, width: 4 };
        let mut pixels = vec![0, 80, 160, 240];
        zoom(&mut pixels, ramp, Window { top: 0, left: 1, height: 1, width: 2 });
        assert_eq!(pixels, [80, 100, 140, 160]);
    }
}

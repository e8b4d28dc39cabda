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

/// The image with `window` scaled up to the whole of it: bilinear, pixels' centres on pixels' centres.
pub(crate) fn zoomed(pixels: &[u8], shape: ImageShape, window: Window) -> Vec<u8> {
    let rows = taps(window.top, window.height, shape.height);
    let columns = taps(window.left, window.width, shape.width);
    let mut out = vec![0; pixels.len()];
    let mut lines = [vec![0.0; shape.width], vec![0.0; shape.width]];
    let planes = pixels.chunks_exact(shape.plane()).zip(out.chunks_exact_mut(shape.plane()));
    for (plane, out) in planes {
        // Neighbouring rows of the result share rows of the source: each of these is stretched once.
        let mut held = [None; 2];
        for (&(top, bottom, down), out) in rows.iter().zip(out.chunks_exact_mut(shape.width)) {
            if held[1] == Some(top) {
                held.swap(0, 1);
                lines.swap(0, 1);
            }
            for ((held, line), row) in held.iter_mut().zip(&mut lines).zip([top, bottom]) {
                if held.replace(row) != Some(row) {
                    stretch(&plane[row * shape.width..(row + 1) * shape.width], &columns, line);
                }
            }
            blend(&lines[0], &lines[1], down, out);
        }
    }
    out
}

/// A row's values at `columns`.
fn stretch(row: &[u8], columns: &[(usize, usize, f32)], line: &mut [f32]) {
    for (value, &(left, right, along)) in line.iter_mut().zip(columns) {
        let [left, right] = [left, right].map(|column| f32::from(row[column]));
        *value = left + along * (right - left);
    }
}

/// Values between two rows, `down` of the way to the lower one, rounded.
fn blend(upper: &[f32], lower: &[f32], down: f32, out: &mut [u8]) {
    for ((out, upper), lower) in out.iter_mut().zip(upper).zip(lower) {
        let value = upper + down * (lower - upper);
        // Between 0 and 255. `round` is a call for every value where the processor's oldest instructions must do.
        let whole = value as i32;
        *out = (whole + i32::from(value - whole as f32 >= 0.5)) as u8;
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
        assert_eq!(zoomed(&image(), SHAPE, Window { top: 0, left: 0, height: 3, width: 4 }), image());
        assert_eq!(zoomed(&image(), SHAPE, Window { top: 1, left: 2, height: 1, width: 1 }), [7; 12]);
        let ramp = ImageShape { channels: 1, height: 1, width: 4 };
        let zoomed = zoomed(&[0, 80, 160, 240], ramp, Window { top: 0, left: 1, height: 1, width: 2 });
        assert_eq!(zoomed, [80, 100, 140, 160]);
    }

    #[test]
    fn zooming_row_by_row_equals_zooming_pixel_by_pixel() {
        let shape = ImageShape { channels: 3, height: 19, width: 23 };
        let pixels: Vec<u8> = (0..shape.numel()).map(|at| (at * at * 31 + at * 7) as u8).collect();
        for (top, left, height, width) in
            [(0, 0, 19, 23), (3, 5, 11, 9), (18, 0, 1, 23), (0, 22, 19, 1), (4, 4, 2, 2), (1, 2, 18, 21)]
        {
            let (rows, columns) = (taps(top, height, shape.height), taps(left, width, shape.width));
            let mut expected = Vec::new();
            for plane in pixels.chunks_exact(shape.plane()) {
                for &(top, bottom, down) in &rows {
                    for &(left, right, along) in &columns {
                        let at = |row: usize, column: usize| f32::from(plane[row * shape.width + column]);
                        let [upper, lower] =
                            [top, bottom].map(|row| at(row, left) + along * (at(row, right) - at(row, left)));
                        expected.push((upper + down * (lower - upper)).round() as u8);
                    }
                }
            }
            let window = Window { top, left, height, width };
            assert_eq!(zoomed(&pixels, shape, window), expected, "{window:?}");
        }
    }
}

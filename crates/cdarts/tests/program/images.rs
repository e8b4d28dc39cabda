//! Folders of small pictures.

use std::path::Path;

use image::{GrayImage, Luma};

/// Writes `count` grey pictures of `side` pixels a class into `folder`; each class has its own brightness.
pub fn folder(folder: &Path, classes: &[&str], count: u8, side: u32) {
    for (class, name) in (0_u8..).zip(classes) {
        let of_class = folder.join(name);
        std::fs::create_dir_all(&of_class).unwrap();
        for number in 0..count {
            let shade = |x: u32, y: u32| Luma([class * 60 + number + (x * 3 + y) as u8]);
            GrayImage::from_fn(side, side, shade).save(of_class.join(format!("{number}.png"))).unwrap();
        }
    }
}

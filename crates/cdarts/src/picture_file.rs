//! Files that cells are drawn into; a file's ending says how.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use cdarts_search::bundle;
use cdarts_space::drawing::{self, Picture};

use crate::error::CliError;

/// A file to draw into, of a known kind.
#[derive(Clone, Debug)]
pub struct PictureFile {
    path: PathBuf,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Svg,
    Png,
    Dot,
    Text,
}

/// What endings mean.
const ENDINGS: [(&str, Kind); 5] =
    [("svg", Kind::Svg), ("png", Kind::Png), ("dot", Kind::Dot), ("gv", Kind::Dot), ("txt", Kind::Text)];

impl FromStr for PictureFile {
    type Err = String;

    fn from_str(path: &str) -> Result<Self, String> {
        let path = PathBuf::from(path);
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        let kind = ENDINGS.iter().find(|(known, _)| ending.as_deref() == Some(known));
        let Some(&(_, kind)) = kind else {
            let found = ending.map_or("it has none".to_owned(), |ending| format!("found .{ending}"));
            let known = ENDINGS.map(|(known, _)| format!(".{known}")).join(", ");
            return Err(format!("the ending says how to draw: expected one of {known}; {found}"));
        };
        if kind == Kind::Png && cfg!(not(feature = "png")) {
            return Err("this program was built without PNG: build it with the feature `png`, or draw .svg"
                .to_owned());
        }
        Ok(Self { path, kind })
    }
}

impl PictureFile {
    /// Draws cells; where there are several pictures, each into a file of its own ([`bundle::write_pictures`]). Says which
    /// files were written.
    ///
    /// # Errors
    /// [`CliError::Runs`] where a file cannot be written, [`CliError::Picture`] where there is no picture in PNG.
    pub fn write(&self, pictures: &[Picture]) -> Result<Vec<PathBuf>, CliError> {
        let draw = |picture: Picture| match self.kind {
            Kind::Svg => Ok(drawing::svg(picture).into_bytes()),
            Kind::Png => png(&self.path, &drawing::svg(picture)),
            Kind::Dot => Ok(drawing::dot(picture).into_bytes()),
            Kind::Text => Ok(drawing::text(picture).into_bytes()),
        };
        bundle::write_pictures(&self.path, pictures.to_vec(), draw)
    }
}

/// Pixels of a PNG to one of the drawing's, so that writing is sharp on screens of double density and on paper.
#[cfg(feature = "png")]
const SCALE: f32 = 2.0;

/// The drawing as pixels, lettered in DejaVu Sans (docs/licenses/dejavu-fonts.txt), whatever fonts the machine has.
#[cfg(feature = "png")]
fn png(path: &Path, svg: &str) -> Result<Vec<u8>, CliError> {
    use resvg::{tiny_skia, usvg};
    let failed = |reason: String| CliError::Picture { path: path.to_owned(), reason };
    let mut options = usvg::Options { font_family: "DejaVu Sans".to_owned(), ..Default::default() };
    for font in [dejavu::sans::regular(), dejavu::sans::bold()] {
        options.fontdb_mut().load_font_data(font.to_vec());
    }
    let tree = usvg::Tree::from_str(svg, &options).map_err(|error| failed(error.to_string()))?;
    let [width, height] =
        [tree.size().width(), tree.size().height()].map(|side| (side * SCALE).ceil() as u32);
    let too_large = || failed(format!("{width}×{height} pixels are too many"));
    let mut pixels = tiny_skia::Pixmap::new(width, height).ok_or_else(too_large)?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| failed(error.to_string()))
}

#[cfg(not(feature = "png"))]
fn png(path: &Path, _: &str) -> Result<Vec<u8>, CliError> {
    Err(CliError::Picture { path: path.to_owned(), reason: "built without the feature `png`".to_owned() })
}

//! A recipe for images that nobody has written one for: what `cdarts search` starts from when it is given images and
//! no configuration, and what `cdarts data inspect` suggests.

use cdarts_data::{Dataset, ImageShape, SourceKind};
use serde::Serialize;

use crate::SearchError;
use crate::config::{Config, Source, resolve};

/// Longest side of the images that networks see, in pixels: the time of a step grows with their area.
pub const LONGEST_SIDE: usize = 64;

/// The values that depend on the images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recipe {
    /// `data.size`: height and width.
    pub size: [usize; 2],
    /// `data.flip`.
    pub flip: bool,
    /// `data.crop_padding`.
    pub crop_padding: usize,
    /// `batch_size` of `search` and `retrain`.
    pub batch_size: usize,
    /// `search.init_channels`.
    pub search_channels: usize,
    /// `retrain.init_channels`.
    pub channels: usize,
    /// `retrain.epochs`.
    pub epochs: usize,
}

impl Recipe {
    /// About 40 steps or more an epoch; networks that grow with what there is to learn from. `images` are those that
    /// are not kept for a test.
    pub fn new(kind: SourceKind, shape: ImageShape, images: usize) -> Self {
        let size = shape.sides_within(LONGEST_SIDE);
        let batch_size = [64, 32, 16].into_iter().find(|batch| images / batch >= 40).unwrap_or(8);
        let (search_channels, channels, epochs) = match images {
            0..5_000 => (8, 12, 40),
            5_000..20_000 => (8, 16, 20),
            _ => (8, 24, 10),
        };
        // Mirrored, a digit or a letter is another sign.
        let signs = matches!(kind, SourceKind::Digits | SourceKind::Idx);
        let crop_padding = size[0].min(size[1]) / 8;
        Self { size, flip: !signs, crop_padding, batch_size, search_channels, channels, epochs }
    }

    /// The recipe for `dataset`.
    pub fn for_dataset(dataset: &Dataset) -> Self {
        Self::new(dataset.kind, dataset.shape, dataset.train.len())
    }

    /// The configuration that it is, changed by `settings`.
    ///
    /// # Errors
    /// Those of [`resolve`].
    pub fn resolve(&self, settings: &[String]) -> Result<Config, SearchError> {
        resolve(Some(Source { name: "the recipe for these images", text: &self.toml() }), settings)
    }

    /// As a configuration file.
    pub fn toml(&self) -> String {
        let Self { size: [height, width], flip, crop_padding, batch_size, search_channels, channels, epochs } =
            self;
        format!(
            "[data]\n\
             size = [{height}, {width}]\n\
             crop_padding = {crop_padding}\n\
             flip = {flip}\n\
             [search]\n\
             init_channels = {search_channels}\n\
             cells = [1, 1, 1]\n\
             eval_cells = [2, 2, 1]\n\
             batch_size = {batch_size}\n\
             warmup_epochs = 2\n\
             cycles = 4\n\
             arch_lr = 0.01\n\
             [retrain]\n\
             init_channels = {channels}\n\
             cells = [2, 2, 1]\n\
             batch_size = {batch_size}\n\
             epochs = {epochs}\n\
             regularisation = \"fixed\"\n\
             weight_decay = 5e-4\n\
             drop_path = 0.1\n\
             cutout = 0"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe([channels, height, width]: [usize; 3], images: usize, kind: SourceKind) -> Recipe {
        Recipe::new(kind, ImageShape { channels, height, width }, images)
    }

    #[test]
    fn recipes_are_configurations_for_what_there_is() {
        let small = recipe([1, 28, 28], 546, SourceKind::Npz);
        assert_eq!((small.size, small.batch_size, small.crop_padding), ([28, 28], 8, 3));
        let wide = recipe([3, 480, 640], 50_000, SourceKind::Folder);
        assert_eq!((wide.size, wide.batch_size, wide.flip), ([48, 64], 64, true));
        assert!(!recipe([1, 28, 28], 60_000, SourceKind::Idx).flip);
        for recipe in [small, wide] {
            let config = recipe.resolve(&["search.cycles=7".to_owned()]).unwrap();
            assert_eq!(config.data.size.sides(), Some(recipe.size));
            assert_eq!((config.retrain.epochs, config.search.cycles), (recipe.epochs, 7));
        }
    }
}

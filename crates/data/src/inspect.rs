//! What a data set holds, counted: what a user wants to know before a search takes hours.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Serialize;

use crate::{
    DataError, Dataset, ImageDigest, ImageShape, Images, Normalisation, Part, SizeCount, SkippedFile,
    SourceKind,
};

/// Most groups of equal images that are named one by one.
const MAX_NAMED: usize = 10;

/// A data set's figures.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// Where the data set comes from.
    pub kind: SourceKind,
    /// Its name.
    pub name: String,
    /// Shape of every image as networks would see it.
    pub shape: ImageShape,
    /// Sizes that images had before, ascending.
    pub sizes: Vec<SizeCount>,
    /// Number of images in the data set's own parts; those it has not are 0.
    pub images: PartCounts,
    /// The same by class, in the order of the labels.
    pub classes: Vec<ClassCounts>,
    /// Mean of each channel of the training images, of pixels in 0 to 1.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel.
    pub std: Vec<f32>,
    /// The values that became 0 and 255; none where they were bytes.
    pub value_range: Option<[f64; 2]>,
    /// Files that cannot be read.
    pub broken: Vec<SkippedFile>,
    /// Images that are equal, as networks would see them.
    pub duplicates: Duplicates,
    /// What the reader decided by itself.
    pub notes: Vec<String>,
}

/// A number of images for each part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PartCounts {
    /// To train on.
    pub train: usize,
    /// The data set's own validation part.
    pub val: usize,
    /// The data set's own test part.
    pub test: usize,
}

/// The images of a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassCounts {
    /// Name of the class.
    pub name: String,
    /// How many there are.
    #[serde(flatten)]
    pub images: PartCounts,
}

/// Images that are there more than once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Duplicates {
    /// Pictures that lie in more than one part: what was trained on is tested on.
    pub across_parts: usize,
    /// Pictures that are there under different classes.
    pub across_classes: usize,
    /// Pictures that are there more than once within one part.
    pub within_parts: usize,
    /// Some of those across parts or classes, with every place of each.
    pub named: Vec<Vec<ImagePlace>>,
}

/// Where an image is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImagePlace {
    /// Its part.
    pub part: Part,
    /// Its number in the part, from 0.
    pub index: usize,
    /// Its class.
    pub class: String,
    /// Its file, where it has one of its own.
    pub file: Option<PathBuf>,
}

impl PartCounts {
    fn add(&mut self, part: Part) {
        match part {
            Part::Train => self.train += 1,
            Part::Val => self.val += 1,
            Part::Test => self.test += 1,
        }
    }

    /// Images of all parts.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.train + self.val + self.test
    }
}

impl Inspection {
    /// Counts and measures `dataset`.
    ///
    /// # Errors
    /// Those of [`Normalisation::measure`].
    pub fn of(dataset: &Dataset) -> Result<Self, DataError> {
        let all: Vec<usize> = (0..dataset.train.len()).collect();
        let Normalisation { mean, std } = Normalisation::measure(&dataset.train, &all)?;
        let zero = |name: &String| ClassCounts { name: name.clone(), images: PartCounts::default() };
        let mut classes: Vec<ClassCounts> = dataset.classes.iter().map(zero).collect();
        let mut images = PartCounts::default();
        for (part, _, source, at) in places(dataset) {
            images.add(part);
            classes[source.label(at) as usize].images.add(part);
        }
        Ok(Self {
            kind: dataset.kind,
            name: dataset.name.clone(),
            shape: dataset.shape,
            sizes: dataset.sizes.clone(),
            images,
            classes,
            mean,
            std,
            value_range: dataset.value_range,
            broken: dataset.skipped.clone(),
            duplicates: duplicates(dataset),
            notes: dataset.notes.clone(),
        })
    }
}

/// Every image: its part, its number there, and its place in the images that hold it.
fn places(dataset: &Dataset) -> impl Iterator<Item = (Part, usize, &Images, usize)> {
    let own_train = dataset.train.len() - dataset.own_val;
    let train = (0..dataset.train.len()).map(move |at| match at < own_train {
        true => (Part::Train, at, &*dataset.train, at),
        false => (Part::Val, at - own_train, &*dataset.train, at),
    });
    let test = dataset.test.iter().flat_map(|test| (0..test.len()).map(|at| (Part::Test, at, &**test, at)));
    train.chain(test)
}

fn duplicates(dataset: &Dataset) -> Duplicates {
    let mut groups: BTreeMap<&ImageDigest, Vec<(Part, usize, &Images, usize)>> = BTreeMap::new();
    for place in places(dataset) {
        groups.entry(&place.2.digests()[place.3]).or_default().push(place);
    }
    let mut found = Duplicates::default();
    let mut worth_naming = Vec::new();
    for group in groups.into_values().filter(|group| group.len() > 1) {
        let (first_part, _, first, at) = group[0];
        let parts = group.iter().any(|(part, ..)| *part != first_part);
        let classes = group.iter().any(|(.., images, place)| images.label(*place) != first.label(at));
        found.across_parts += usize::from(parts);
        found.across_classes += usize::from(classes);
        let within = group.windows(2).any(|pair| pair[0].0 == pair[1].0);
        found.within_parts += usize::from(within);
        if parts || classes {
            worth_naming.push(((first_part, at), group));
        }
    }
    worth_naming.sort_by_key(|(first, _)| *first);
    let name = |(part, index, images, at): &(Part, usize, &Images, usize)| ImagePlace {
        part: *part,
        index: *index,
        class: dataset.classes[images.label(*at) as usize].clone(),
        file: images.file(*at).map(ToOwned::to_owned),
    };
    let named = worth_naming.iter().take(MAX_NAMED);
    found.named = named.map(|(_, group)| group.iter().map(name).collect()).collect();
    found
}

//! Which image is for what (facts section 1.2): the two halves that the search alternates between, a part to
//! watch, and a part that is kept for the very end.

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::{
    DataError, Dataset,
    seeding::{Purpose, generator},
};

/// How the training images are halved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Halves {
    /// At random within each class, so that both halves hold every class in equal number.
    #[default]
    Stratified,
    /// The first half by index against the second, as the published runs cut CIFAR (facts section 1.2). Where
    /// images are sorted by class, as those of a folder are, the halves then hold different classes: the
    /// published code's defect with ImageNet (facts section 10, number 2).
    ByIndex,
}

/// What a split depends on, besides the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SplitSpec {
    /// Same seed, same split.
    pub seed: u64,
    /// Share of each class that is held out as the test part, above 0 and below 1. Not used where the data set
    /// has its own test images.
    pub test_fraction: f64,
    /// Share of each class of what then remains that is only watched during training; 0 for none, below 1.
    pub val_fraction: f64,
    /// How the rest is halved.
    pub halves: Halves,
}

impl Default for SplitSpec {
    fn default() -> Self {
        Self { seed: 0, test_fraction: 0.2, val_fraction: 0.0, halves: Halves::Stratified }
    }
}

/// Where the test images are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestPart {
    /// In [`Dataset::test`].
    Own,
    /// These indices into [`Dataset::train`], ascending.
    HeldOut(Vec<usize>),
}

/// Indices into [`Dataset::train`], each in exactly one part, ascending within it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Half that trains the search network's weights.
    pub weight_half: Vec<usize>,
    /// Half that trains the architecture weights.
    pub arch_half: Vec<usize>,
    /// Part that is only watched.
    pub val: Vec<usize>,
    /// Part that is read once, at the end.
    pub test: TestPart,
}

impl Split {
    /// Draws the parts, class by class.
    ///
    /// Every class has at least one image in each part that is not empty by request; shares are rounded to whole
    /// images. Halves are of equal size, give or take one.
    ///
    /// # Errors
    /// [`DataError::OptionRange`] for a share outside its range, [`DataError::ClassTooSmall`] for a class without
    /// an image for each part.
    pub fn new(dataset: &Dataset, spec: &SplitSpec) -> Result<Self, DataError> {
        let test_fraction = if dataset.test.is_some() { None } else { Some(spec.test_fraction) };
        check_fractions(test_fraction, spec.val_fraction)?;
        let mut parts = Parts::default();
        for (class, mut members) in members_by_class(dataset).into_iter().enumerate() {
            let sizes = sizes(&dataset.classes[class], members.len(), test_fraction, spec.val_fraction)?;
            members.shuffle(&mut generator(spec.seed, Purpose::Split, [class as u64, 0]));
            parts.deal(members, sizes);
        }
        if spec.halves == Halves::ByIndex {
            parts.cut_by_index();
        }
        parts.sort();
        let test = if dataset.test.is_some() { TestPart::Own } else { TestPart::HeldOut(parts.test) };
        Ok(Self { weight_half: parts.weight_half, arch_half: parts.arch_half, val: parts.val, test })
    }

    /// Both halves together, ascending: what the found network is trained on.
    #[must_use]
    pub fn training(&self) -> Vec<usize> {
        let mut both = [self.weight_half.as_slice(), &self.arch_half].concat();
        both.sort_unstable();
        both
    }
}

fn check_fractions(test: Option<f64>, val: f64) -> Result<(), DataError> {
    let range = |option, expected: &str, found: f64| {
        Err(DataError::OptionRange { option, expected: expected.to_owned(), found: found.to_string() })
    };
    match test {
        Some(test) if !(test > 0.0 && test < 1.0) => range("test_fraction", "above 0 and below 1", test),
        _ if !(0.0..1.0).contains(&val) => range("val_fraction", "at least 0 and below 1", val),
        _ => Ok(()),
    }
}

fn members_by_class(dataset: &Dataset) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); dataset.classes.len()];
    for (index, &label) in dataset.train.labels().iter().enumerate() {
        members[label as usize].push(index);
    }
    members
}

/// Images of one class for the test and the validation part.
fn sizes(class: &str, count: usize, test: Option<f64>, val: f64) -> Result<[usize; 2], DataError> {
    let least_val = usize::from(val > 0.0);
    let expected = 2 + least_val + usize::from(test.is_some());
    if count < expected {
        return Err(DataError::ClassTooSmall { class: class.to_owned(), expected, found: count });
    }
    let share = |of: usize, fraction: f64| (of as f64 * fraction).round() as usize;
    let test = test.map_or(0, |fraction| share(count, fraction).clamp(1, count - 2 - least_val));
    let left = count - test;
    Ok([test, share(left, val).clamp(least_val, left - 2)])
}

/// The parts while they are being filled.
#[derive(Default)]
struct Parts {
    weight_half: Vec<usize>,
    arch_half: Vec<usize>,
    val: Vec<usize>,
    test: Vec<usize>,
}

impl Parts {
    /// Hands out one class; an odd image goes to the smaller half, so that the halves stay level.
    fn deal(&mut self, mut members: Vec<usize>, [test, val]: [usize; 2]) {
        self.test.extend(members.drain(..test));
        self.val.extend(members.drain(..val));
        let odd = usize::from(self.weight_half.len() <= self.arch_half.len());
        let arch = members.split_off((members.len() + odd) / 2);
        self.weight_half.extend(members);
        self.arch_half.extend(arch);
    }

    fn cut_by_index(&mut self) {
        self.weight_half.append(&mut self.arch_half);
        self.weight_half.sort_unstable();
        self.arch_half = self.weight_half.split_off(self.weight_half.len() / 2);
    }

    fn sort(&mut self) {
        for part in [&mut self.weight_half, &mut self.arch_half, &mut self.val, &mut self.test] {
            part.sort_unstable();
        }
    }
}

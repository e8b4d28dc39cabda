//! Numeric arrays, as NumPy and idx files hold them, read value by value: images and their labels.
//!
//! Nothing is allocated because a header says so: what a header claims is checked against the limits, against the
//! length of the file where that is known, and memory grows with the values that really arrive.

use std::{
    collections::BTreeSet,
    io::{self, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use fs_err::File;
use serde::{Deserialize, Serialize};
use zip::{ZipArchive, result::ZipError};

use crate::{
    DataError, Dataset, ImageShape, Images, LoadOptions, MAX_PIXEL_BYTES, SourceKind,
    dataset::check_size,
    images::MAX_CHANNELS,
    label_names::LabelNames,
    part::{Part, note_on_val},
};

/// Longest side of an image, in pixels.
const MAX_SIDE: usize = 16_384;
/// Most values of one image, which is held while it is converted.
const MAX_IMAGE_VALUES: usize = 1 << 27;
/// Most images, and most values of an array of labels.
const MAX_LABELS: usize = 1 << 30;
/// Most different labels; more are measurements.
const MAX_CLASSES: usize = 65_536;
/// From here on, not every whole number has a double.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
/// Number of axes at most.
pub(crate) const MAX_AXES: usize = 32;

/// Takes values from a place on.
type Sink<'a, T> = dyn FnMut(usize, &[T]) -> Result<(), DataError> + 'a;

/// Which axis of images `[n, …]` is that of the channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Axes {
    /// Told from the lengths of the axes.
    #[default]
    Auto,
    /// `[n, c, h, w]`.
    ChannelsFirst,
    /// `[n, h, w, c]`.
    ChannelsLast,
}

/// Type of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

impl Element {
    const fn bytes(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// The value of `bytes`, which are as many as the type has.
    fn value(self, bytes: &[u8], big_endian: bool) -> f64 {
        let mut wide = [0; 8];
        let size = self.bytes();
        wide[..size].copy_from_slice(bytes);
        if big_endian {
            wide[..size].reverse();
        }
        let unsigned = u64::from_le_bytes(wide);
        match self {
            Self::Bool => f64::from(unsigned != 0),
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => unsigned as f64,
            Self::I8 => f64::from(unsigned as u8 as i8),
            Self::I16 => f64::from(unsigned as u16 as i16),
            Self::I32 => f64::from(unsigned as u32 as i32),
            Self::I64 => unsigned as i64 as f64,
            Self::F32 => f64::from(f32::from_bits(unsigned as u32)),
            Self::F64 => f64::from_bits(unsigned),
        }
    }
}

/// What the head of an array says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArrayHeader {
    pub(crate) element: Element,
    pub(crate) big_endian: bool,
    /// Length of each axis, the first one that of the images.
    pub(crate) shape: Vec<usize>,
}

impl ArrayHeader {
    /// Bytes of all values; none where that is more than a number holds.
    fn bytes(&self) -> Option<u64> {
        let values = self.shape.iter().try_fold(1_u64, |n, &axis| n.checked_mul(axis as u64))?;
        values.checked_mul(self.element.bytes() as u64)
    }
}

/// Reads the head of an array and leaves the reader at its first value. Says what is wrong, if anything.
pub(crate) type ReadHeader = fn(&mut dyn Read) -> Result<ArrayHeader, String>;

/// Where the bytes of an array are.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    File(PathBuf),
    Gzip(PathBuf),
    Entry { archive: PathBuf, name: String },
}

impl Place {
    /// In words, for messages.
    fn name(&self) -> String {
        match self {
            Self::File(path) | Self::Gzip(path) => path.display().to_string(),
            Self::Entry { archive, name } => format!("{} in {}", name, archive.display()),
        }
    }

    /// Hands `work` a reader at the first byte.
    fn read<T>(&self, work: impl FnOnce(&mut dyn Read) -> Result<T, DataError>) -> Result<T, DataError> {
        match self {
            Self::File(path) => work(&mut io::BufReader::new(File::open(path)?)),
            Self::Gzip(path) => work(&mut MultiGzDecoder::new(io::BufReader::new(File::open(path)?))),
            Self::Entry { archive, name } => {
                let mut zip = open_zip(archive)?;
                let mut entry = zip.by_name(name).map_err(|error| zip_error(archive, error))?;
                work(&mut entry)
            }
        }
    }

    /// Bytes from the first to the last, where that is known without reading them.
    fn len(&self) -> Result<Option<u64>, DataError> {
        match self {
            Self::File(path) => Ok(Some(fs_err::metadata(path)?.len())),
            Self::Gzip(_) | Self::Entry { .. } => Ok(None),
        }
    }
}

/// Opens the archive at `path`.
pub(crate) fn open_zip(path: &Path) -> Result<ZipArchive<io::BufReader<File>>, DataError> {
    ZipArchive::new(io::BufReader::new(File::open(path)?)).map_err(|error| zip_error(path, error))
}

fn zip_error(path: &Path, error: ZipError) -> DataError {
    match error {
        ZipError::Io(error) if error.kind() == io::ErrorKind::NotFound => error.into(),
        error => DataError::BadArray { name: path.display().to_string(), reason: error.to_string() },
    }
}

/// An array that is read when its values are needed.
#[derive(Clone, Debug)]
pub(crate) struct Array {
    place: Place,
    read_header: ReadHeader,
    pub(crate) header: ArrayHeader,
}

impl Array {
    /// Reads the head of the array at `place`, and checks the length of its file.
    pub(crate) fn open(place: Place, read_header: ReadHeader) -> Result<Self, DataError> {
        let bad = |reason| DataError::BadArray { name: place.name(), reason };
        let (header, head) = place.read(|reader| {
            let mut counted = Counted { reader, bytes: 0 };
            let header = read_header(&mut counted).map_err(bad)?;
            Ok((header, counted.bytes))
        })?;
        let claimed = header.bytes().ok_or_else(|| {
            bad(format!("its head claims {:?} values, more than there can be", header.shape))
        })?;
        let array = Self { place, read_header, header };
        match array.place.len()?.map(|bytes| bytes.saturating_sub(head)) {
            Some(found) if found != claimed => Err(array.wrong_length(claimed, found)),
            _ => Ok(array),
        }
    }

    pub(crate) fn name(&self) -> String {
        self.place.name()
    }

    /// Number of images or labels.
    pub(crate) fn len(&self) -> usize {
        self.header.shape.first().copied().unwrap_or(0)
    }

    fn wrong_length(&self, expected: u64, found: u64) -> DataError {
        DataError::ArrayLength { name: self.name(), expected, found }
    }

    fn bad_shape(&self, expected: &str) -> DataError {
        let found = format!("{:?}", self.header.shape);
        DataError::ArrayShape { name: self.name(), expected: expected.to_owned(), found }
    }

    /// Hands `sink` the bytes of one row after another: of all values that share the first index.
    fn rows(&self, sink: &mut Sink<'_, u8>) -> Result<(), DataError> {
        let expected = self.header.bytes().unwrap_or(u64::MAX);
        let row = (expected / (self.len().max(1) as u64)) as usize;
        self.place.read(|reader| {
            let mut reader = Counted { reader, bytes: 0 };
            let bad = |reason: String| DataError::BadArray { name: self.name(), reason };
            (self.read_header)(&mut reader).map_err(bad)?;
            reader.bytes = 0;
            let mut bytes = Vec::new();
            for index in 0..self.len() {
                bytes.clear();
                let read = (&mut reader).take(row as u64).read_to_end(&mut bytes);
                read.map_err(|error| bad(error.to_string()))?;
                if bytes.len() < row {
                    return Err(self.wrong_length(expected, reader.bytes));
                }
                sink(index, &bytes)?;
            }
            // One more byte, which is one too many; asking for it makes archives check their sums.
            match reader.read(&mut [0]).map_err(|error| bad(error.to_string()))? {
                0 => Ok(()),
                _ => Err(self.wrong_length(expected, expected + 1)),
            }
        })
    }

    /// As [`Array::rows`], in numbers.
    fn values(&self, sink: &mut Sink<'_, f64>) -> Result<(), DataError> {
        let ArrayHeader { element, big_endian, .. } = self.header;
        let mut values = Vec::new();
        self.rows(&mut |index, bytes| {
            values.clear();
            values.extend(bytes.chunks_exact(element.bytes()).map(|one| element.value(one, big_endian)));
            sink(index, &values)
        })
    }
}

/// Counts what is read.
struct Counted<'a> {
    reader: &'a mut dyn Read,
    bytes: u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

/// Images and labels of one part.
pub(crate) struct ArrayPart {
    pub(crate) part: Part,
    pub(crate) images: Array,
    pub(crate) labels: Array,
}

/// A data set in arrays, before anything but heads is read.
pub(crate) struct ArraySet {
    pub(crate) kind: SourceKind,
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// In the order of [`Part::ALL`]; the first one is to train on.
    pub(crate) parts: Vec<ArrayPart>,
    /// Names of the labels, and the file that says them.
    pub(crate) names: Option<(PathBuf, LabelNames)>,
    /// Images are stored column by column.
    pub(crate) transposed: bool,
    pub(crate) notes: Vec<String>,
}

impl ArraySet {
    /// Reads everything.
    pub(crate) fn read(mut self, options: &LoadOptions) -> Result<Dataset, DataError> {
        for part in &self.parts {
            check_counts(part)?;
        }
        let layout = self.layout(options.axes)?;
        let total = self.parts.iter().map(|part| part.images.len()).sum();
        check_size(&self.name, total, layout.shape, MAX_PIXEL_BYTES)?;

        let labels: Vec<Vec<i64>> =
            self.parts.iter().map(|part| read_labels(&part.labels)).collect::<Result<_, _>>()?;
        let values = self.classes(&labels[0])?;
        let names = self.class_names(&values)?;
        let labels =
            self.parts.iter().zip(&labels).map(|(part, labels)| ranks(&part.labels, labels, &values));
        let labels: Vec<Vec<u32>> = labels.collect::<Result<_, _>>()?;

        let range = self.range(options.value_range)?;
        let mut read = Vec::new();
        for (part, labels) in self.parts.iter().zip(labels) {
            read.push((part.part, read_images(&part.images, &layout, range)?, labels));
        }
        let has_test = self.parts.iter().any(|part| part.part == Part::Test);
        let (mut train, mut test) = ((Vec::new(), Vec::new()), None);
        let mut own_val = 0;
        for (part, pixels, labels) in read {
            match part {
                Part::Train => train = (pixels, labels),
                Part::Val if has_test => {
                    own_val = labels.len();
                    train.0.extend(pixels);
                    train.1.extend(labels);
                }
                Part::Val | Part::Test => test = Some((pixels, labels)),
            }
        }
        if let Some(val) = self.parts.iter().find(|part| part.part == Part::Val) {
            self.notes.push(note_on_val(&val.images.name(), has_test));
        }
        let images = |(pixels, labels)| Images::new(layout.shape, pixels, labels);
        let test = test.map(images).transpose()?;
        let dataset = Dataset::new(self.kind, self.name, names, images(train)?, test)?;
        Ok(Dataset { notes: self.notes, own_val, value_range: range, ..dataset })
    }

    /// How the images of all parts lie.
    fn layout(&mut self, axes: Axes) -> Result<ArrayLayout, DataError> {
        let first = &self.parts[0].images;
        let (shape, channels_last) = match *first.header.shape.as_slice() {
            [_, a, b] if self.transposed => ([1, b, a], false),
            [_, h, w] => ([1, h, w], false),
            [_, a, b, c] => match axes {
                Axes::ChannelsFirst => ([a, b, c], false),
                Axes::ChannelsLast => ([c, a, b], true),
                Axes::Auto => {
                    let Some(last) = channels_are_last([a, b, c]) else {
                        return Err(DataError::AmbiguousAxes {
                            name: first.name(),
                            found: format!("{:?}", first.header.shape),
                        });
                    };
                    let order = if last { "[n, h, w, c]" } else { "[n, c, h, w]" };
                    self.notes.push(format!("images of {:?} are taken as {order}", first.header.shape));
                    (if last { [c, a, b] } else { [a, b, c] }, last)
                }
            },
            _ => return Err(first.bad_shape("[n, h, w], [n, h, w, c] or [n, c, h, w]")),
        };
        for ArrayPart { images, .. } in &self.parts {
            if images.header.shape.get(1..) != first.header.shape.get(1..) {
                let expected =
                    format!("[n, {}", format!("{:?}", &first.header.shape[1..]).trim_start_matches('['));
                return Err(images.bad_shape(&format!("{expected}, as {} has", first.name())));
            }
        }
        let [channels, height, width] = shape;
        let sides = 1..=MAX_SIDE;
        if !(sides.contains(&height) && sides.contains(&width) && (1..=MAX_CHANNELS).contains(&channels))
            || channels * height * width > MAX_IMAGE_VALUES
        {
            let expected = format!(
                "images of 1 to {MAX_SIDE} pixels each way, 1 to {MAX_CHANNELS} channels and at most \
                 {MAX_IMAGE_VALUES} values"
            );
            return Err(first.bad_shape(&expected));
        }
        let shape = ImageShape { channels, height, width };
        Ok(ArrayLayout { shape, channels_last, transposed: self.transposed })
    }

    /// The different labels of the training images, ascending.
    fn classes(&self, labels: &[i64]) -> Result<Vec<i64>, DataError> {
        let found: BTreeSet<i64> = labels.iter().copied().collect();
        let name = || self.parts[0].labels.name();
        match found.len() {
            0 => Err(DataError::NoImages { path: self.path.clone() }),
            1 => Err(DataError::OneClass {
                path: PathBuf::from(name()),
                class: found.first().map(ToString::to_string).unwrap_or_default(),
                nested: false,
            }),
            2..=MAX_CLASSES => Ok(found.into_iter().collect()),
            found => Err(DataError::NotClasses { name: name(), found, limit: MAX_CLASSES }),
        }
    }

    fn class_names(&mut self, values: &[i64]) -> Result<Vec<String>, DataError> {
        let Some((path, names)) = &self.names else {
            let gaps = values.windows(2).map(|pair| pair[1] - pair[0] - 1).sum::<i64>();
            if gaps > 0 {
                let [first, last] = [values[0], values[values.len() - 1]];
                self.notes.push(format!("labels go from {first} to {last}, {gaps} of them without an image"));
            }
            return Ok(values.iter().map(ToString::to_string).collect());
        };
        let named: Option<Vec<String>> = values.iter().map(|value| names.get(value).cloned()).collect();
        named.ok_or_else(|| DataError::ClassNames {
            path: path.clone(),
            expected: values.len(),
            found: names.len(),
        })
    }

    /// The values that become 0 and 255; none where the values are bytes already.
    fn range(&mut self, given: Option<[f64; 2]>) -> Result<Option<[f64; 2]>, DataError> {
        let array = &self.parts[0].images;
        if matches!(array.header.element, Element::Bool | Element::U8) {
            return Ok(None);
        }
        if given.is_some() {
            return Ok(given);
        }
        let (mut least, mut most, mut whole) = (f64::INFINITY, f64::NEG_INFINITY, true);
        array.values(&mut |index, values| {
            check_finite(array, index, values)?;
            for &value in values {
                (least, most) = (least.min(value), most.max(value));
                whole &= value.fract() == 0.0;
            }
            Ok(())
        })?;
        let range = byte_range(least, most, whole);
        if range != [0.0, 255.0] {
            let [low, high] = range;
            self.notes.push(format!("values from {low} to {high} become 256 shades from 0 to 255"));
        }
        Ok(Some(range))
    }
}

/// How the values of an array of images lie.
struct ArrayLayout {
    shape: ImageShape,
    channels_last: bool,
    transposed: bool,
}

impl ArrayLayout {
    /// Where the value at `[c, h, w]`, counted through, lies among those of its image.
    fn places(&self) -> Option<Vec<usize>> {
        let ImageShape { channels, height, width } = self.shape;
        let places = |place: &dyn Fn(usize, usize, usize) -> usize| {
            let pixels =
                (0..channels).flat_map(|c| (0..height).flat_map(move |y| (0..width).map(move |x| (c, y, x))));
            Some(pixels.map(|(c, y, x)| place(c, y, x)).collect())
        };
        match (self.channels_last && channels > 1, self.transposed) {
            (true, _) => places(&|c, y, x| (y * width + x) * channels + c),
            (false, true) => places(&|_, y, x| x * height + y),
            (false, false) => None,
        }
    }
}

/// Whether the last of an image's three axes is that of the channels; none where that cannot be told.
///
/// Pictures have few channels, and are mostly square: 1 to 4 channels decide, else the axis that breaks the square,
/// else the shortest one.
fn channels_are_last([first, middle, last]: [usize; 3]) -> Option<bool> {
    let few = 1..=4;
    match (few.contains(&first), few.contains(&last)) {
        (true, false) => return Some(false),
        (false, true) => return Some(true),
        _ => {}
    }
    match (middle == last && first != middle, first == middle && last != middle) {
        (true, _) => Some(false),
        (_, true) => Some(true),
        _ if first == last => None,
        _ => Some(last < first),
    }
}

/// The range that becomes 0 to 255: that of fractions or of bytes where the values are such, else their own.
fn byte_range(least: f64, most: f64, whole: bool) -> [f64; 2] {
    if least >= 0.0 && most <= 1.0 {
        [0.0, 1.0]
    } else if least >= 0.0 && most <= 255.0 && (whole || most > 100.0) {
        [0.0, 255.0]
    } else if most > least {
        [least, most]
    } else {
        [least, least + 1.0]
    }
}

fn check_counts(ArrayPart { images, labels, .. }: &ArrayPart) -> Result<(), DataError> {
    if images.len() != labels.len() {
        return Err(DataError::LabelCount {
            name: images.name(),
            images: images.len(),
            labels_name: labels.name(),
            labels: labels.len(),
        });
    }
    if images.len() == 0 {
        return Err(images.bad_shape("at least one image"));
    }
    Ok(())
}

fn check_finite(array: &Array, index: usize, values: &[f64]) -> Result<(), DataError> {
    match values.iter().find(|value| !value.is_finite()) {
        Some(value) => {
            Err(DataError::NotFinite { name: array.name(), record: index, found: value.to_string() })
        }
        None => Ok(()),
    }
}

/// Pixels `[n, c, h, w]` of an array of images.
fn read_images(array: &Array, layout: &ArrayLayout, range: Option<[f64; 2]>) -> Result<Vec<u8>, DataError> {
    let places = layout.places();
    let mut pixels = Vec::new();
    let mut push = |image: &[u8]| match &places {
        Some(places) => pixels.extend(places.iter().map(|&place| image[place])),
        None => pixels.extend_from_slice(image),
    };
    match (array.header.element, range) {
        (Element::U8, _) => array.rows(&mut |_, image| {
            push(image);
            Ok(())
        })?,
        (element, range) => {
            let [low, high] = range.filter(|_| element != Element::Bool).unwrap_or([0.0, 1.0]);
            let mut bytes = Vec::new();
            array.values(&mut |index, values| {
                check_finite(array, index, values)?;
                bytes.clear();
                // Beyond the ends `as` stays at them.
                bytes.extend(values.iter().map(|value| ((value - low) / (high - low) * 255.0).round() as u8));
                push(&bytes);
                Ok(())
            })?;
        }
    }
    Ok(pixels)
}

/// One whole number for each image, from `[n]`, `[n, 1]` or `[n, k]` with a single 1 in each row.
fn read_labels(array: &Array) -> Result<Vec<i64>, DataError> {
    let columns = match *array.header.shape.as_slice() {
        [_] => 1,
        [_, columns] if (1..=MAX_CLASSES).contains(&columns) => columns,
        _ => return Err(array.bad_shape("[n], [n, 1] or [n, classes]")),
    };
    if array.len().saturating_mul(columns) > MAX_LABELS {
        return Err(array.bad_shape(&format!("at most {MAX_LABELS} values")));
    }
    let mut labels = Vec::new();
    array.values(&mut |record, row| {
        let label = if columns == 1 { row[0] } else { place_of_one(array, record, row)? };
        if label.fract() != 0.0 || !(0.0..MAX_EXACT).contains(&label) {
            return Err(DataError::BadLabel { name: array.name(), record, found: label.to_string() });
        }
        labels.push(label as i64);
        Ok(())
    })?;
    Ok(labels)
}

fn place_of_one(array: &Array, record: usize, row: &[f64]) -> Result<f64, DataError> {
    let ones = row.iter().filter(|&&value| value == 1.0).count();
    let zeros = row.iter().filter(|&&value| value == 0.0).count();
    match row.iter().position(|&value| value == 1.0) {
        Some(place) if ones == 1 && zeros + 1 == row.len() => Ok(place as f64),
        _ => Err(DataError::ManyLabels { name: array.name(), record, columns: row.len() }),
    }
}

/// The place of each label among `classes`, which are ascending.
fn ranks(array: &Array, labels: &[i64], classes: &[i64]) -> Result<Vec<u32>, DataError> {
    let rank = |(record, label): (usize, &i64)| match classes.binary_search(label) {
        Ok(rank) => Ok(rank as u32),
        Err(_) => Err(DataError::UnknownLabel { name: array.name(), record, found: *label }),
    };
    labels.iter().enumerate().map(rank).collect()
}

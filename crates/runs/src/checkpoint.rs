//! Checkpoints: everything a run needs to go on as if it had never stopped, one file each, every byte of it under
//! a hash.
//!
//! Layout of `000001.ckpt`, integers little-endian:
//!
//! ```text
//! 8 bytes    "CDARTS1\n"
//! 8 bytes    length of the header
//! 32 bytes   SHA-256 of the header
//! header     JSON: what the checkpoint is, then name, length and SHA-256 of each section
//! sections   one behind the other, to the end of the file
//! ```
//!
//! Nothing is allocated by a length that was not checked against the file's, and nothing is believed before its
//! hash was. A section's meaning is the trainer's affair; this file moves bytes.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::atomic;
use crate::error::{Result, RunsError};
use crate::phase::Position;

/// The schema of the checkpoints this version writes and reads.
pub const CHECKPOINT_SCHEMA: u32 = 1;

const MAGIC: [u8; 8] = *b"CDARTS1\n";
const HASH_BYTES: usize = 32;
const PRELUDE_BYTES: usize = MAGIC.len() + size_of::<u64>() + HASH_BYTES;
/// How many good checkpoints stay: the newest, and one to fall back to should it rot.
const KEPT: usize = 2;

/// What a checkpoint says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointHeader {
    /// [`CHECKPOINT_SCHEMA`].
    pub schema: u32,
    /// The version of the program that wrote it.
    pub version: String,
    /// Hash of the run's resolved configuration.
    pub config_hash: String,
    /// Hash of the run's images.
    pub data_digest: String,
    /// The next step to do.
    pub position: Position,
    /// The last journal record of the state saved: a resume cuts the journal behind it.
    pub journal_seq: u64,
    /// The trainer's small state (genotypes, counters, seeds). JSON has no NaN and no infinity; numbers that may
    /// be either belong into a section.
    pub cycle_state: serde_json::Value,
}

/// A checkpoint in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What it is.
    pub header: CheckpointHeader,
    /// Named pieces of bytes: `"supernet"`, `"supernet_optim"`, …; each name once.
    pub sections: Vec<(String, Vec<u8>)>,
}

impl Checkpoint {
    /// The bytes of a section.
    ///
    /// # Errors
    ///
    /// [`RunsError::NoSection`] if there is none of that name.
    pub fn section(&self, name: &str) -> Result<&[u8]> {
        let found = self.sections.iter().find(|(section, _)| section == name);
        found.map(|(_, bytes)| bytes.as_slice()).ok_or_else(|| RunsError::NoSection {
            section: name.to_owned(),
            found: self.sections.iter().map(|(section, _)| section.clone()).collect(),
        })
    }

    /// Reads and verifies one checkpoint file.
    ///
    /// # Errors
    ///
    /// [`RunsError::Damaged`] if a single bit is not as it was written; [`RunsError::Schema`] if another version
    /// wrote it; [`RunsError::Io`].
    pub fn read(path: &Path) -> Result<Self> {
        let (mut file, file_bytes) = open(path)?;
        let table = read_table(&mut file, file_bytes, path)?;
        let sections = table.sections.iter().map(|entry| read_section(&mut file, entry, path));
        Ok(Self { sections: sections.collect::<Result<_>>()?, header: table.header })
    }

    /// Refuses a checkpoint of another run.
    fn check_run(&self, path: &Path, config_hash: &str, data_digest: &str) -> Result<()> {
        let pairs = [
            ("configuration", config_hash, &self.header.config_hash),
            ("data", data_digest, &self.header.data_digest),
        ];
        match pairs.into_iter().find(|(_, expected, found)| expected != found) {
            None => Ok(()),
            Some((what, expected, found)) => Err(RunsError::OtherRun {
                path: path.to_owned(),
                what,
                expected: expected.to_owned(),
                found: found.to_owned(),
            }),
        }
    }
}

/// The newest checkpoint that verifies.
#[derive(Debug)]
pub struct Found {
    /// Its file name.
    pub name: String,
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// What is wrong with each newer one, newest first; worth a warning, for work was lost.
    pub damaged: Vec<RunsError>,
}

/// The checkpoints of a run, numbered upwards. Only the process that holds the run's lock may save.
///
/// ```
/// use cdarts_runs::{CHECKPOINT_SCHEMA, Checkpoint, CheckpointHeader, Checkpoints, Phase, Position};
///
/// # let folder = tempfile::tempdir()?;
/// let checkpoints = Checkpoints::open(folder.path())?;
/// let header = CheckpointHeader {
///     schema: CHECKPOINT_SCHEMA,
///     version: "0.1.0".into(),
///     config_hash: "c0ffee".into(),
///     data_digest: "abad1dea".into(),
///     position: Position { phase: Phase::Joint { cycle: 3, epoch: 0 }, step: 0 },
///     journal_seq: 41,
///     cycle_state: serde_json::json!({ "rollbacks": 0 }),
/// };
/// checkpoints.save(&Checkpoint { header, sections: vec![("supernet".into(), vec![1, 2, 3])] })?;
///
/// let found = checkpoints.load("c0ffee", "abad1dea")?;
/// assert_eq!(found.name, "000001.ckpt");
/// assert_eq!(found.checkpoint.section("supernet")?, [1, 2, 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// Opens the checkpoint folder, or makes it.
    ///
    /// # Errors
    ///
    /// [`RunsError::Io`].
    pub fn open(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(RunsError::io("create", folder))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// The file name that [`Checkpoints::save`] will use next.
    ///
    /// # Errors
    ///
    /// [`RunsError::Io`] if the folder cannot be listed.
    pub fn next_name(&self) -> Result<String> {
        let newest = self.numbers()?.first().copied().unwrap_or(0);
        Ok(file_name(newest + 1))
    }

    /// Writes a checkpoint and returns its name once it is on disk. The two newest good ones stay, this one among
    /// them, and what is older goes.
    ///
    /// # Errors
    ///
    /// [`RunsError::DoubleSection`]; [`RunsError::Encode`]; [`RunsError::Io`], for example on a full disk: every
    /// checkpoint there was is still there then.
    pub fn save(&self, checkpoint: &Checkpoint) -> Result<String> {
        let name = self.next_name()?;
        let path = self.folder.join(&name);
        let header = encode_table(checkpoint, &path)?;
        atomic::write_with(&path, |writer| {
            writer.write_all(&MAGIC)?;
            writer.write_all(&(header.len() as u64).to_le_bytes())?;
            writer.write_all(&Sha256::digest(&header))?;
            writer.write_all(&header)?;
            checkpoint.sections.iter().try_for_each(|(_, bytes)| writer.write_all(bytes))
        })?;
        self.prune()?;
        Ok(name)
    }

    /// The newest checkpoint that verifies, with what is wrong with newer ones; none if there is no checkpoint.
    ///
    /// # Errors
    ///
    /// [`RunsError::AllDamaged`] if there are checkpoints but none verifies. [`RunsError::Io`] and
    /// [`RunsError::Schema`] end the search: such a checkpoint may be good, and an older one in its stead would
    /// throw work away.
    pub fn latest(&self) -> Result<Option<Found>> {
        let mut damaged = Vec::new();
        for number in self.numbers()? {
            let name = file_name(number);
            match Checkpoint::read(&self.folder.join(&name)) {
                Ok(checkpoint) => return Ok(Some(Found { name, checkpoint, damaged })),
                Err(error @ RunsError::Damaged { .. }) => damaged.push(error),
                Err(error) => return Err(error),
            }
        }
        if damaged.is_empty() {
            return Ok(None);
        }
        Err(RunsError::AllDamaged { path: self.folder.clone(), damaged })
    }

    /// The newest checkpoint that verifies, to resume a run with this configuration and these images.
    ///
    /// # Errors
    ///
    /// [`RunsError::NoCheckpoint`] if there is none; [`RunsError::OtherRun`] if it is of another configuration or
    /// other images; else as [`Checkpoints::latest`].
    pub fn load(&self, config_hash: &str, data_digest: &str) -> Result<Found> {
        let found = self.latest()?.ok_or_else(|| RunsError::NoCheckpoint { path: self.folder.clone() })?;
        found.checkpoint.check_run(&self.folder.join(&found.name), config_hash, data_digest)?;
        Ok(found)
    }

    /// Removes what is older than the newest good ones. The one just written counts as good unread.
    fn prune(&self) -> Result<()> {
        let mut good = 0;
        for (age, number) in self.numbers()?.into_iter().enumerate() {
            let path = self.folder.join(file_name(number));
            if good == KEPT {
                fs::remove_file(&path).map_err(RunsError::io("remove", &path))?;
            } else if age == 0 || verify(&path).is_ok() {
                good += 1;
            }
        }
        Ok(())
    }

    /// The numbers of the checkpoints there are, newest first. Other files in the folder are left alone.
    fn numbers(&self) -> Result<Vec<u64>> {
        let failed = |source| RunsError::io("list", &self.folder)(source);
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            numbers.extend(name.to_str().and_then(number_of));
        }
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        Ok(numbers)
    }
}

fn file_name(number: u64) -> String {
    format!("{number:06}.ckpt")
}

/// Only names that [`file_name`] gives: `1.ckpt` or `+00001.ckpt` is somebody else's.
fn number_of(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".ckpt")?.parse().ok()?;
    (number < u64::MAX && file_name(number) == name).then_some(number)
}

// === the file ===

#[derive(Serialize, Deserialize)]
struct Table {
    #[serde(flatten)]
    header: CheckpointHeader,
    sections: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    name: String,
    bytes: u64,
    sha256: String,
}

/// Read alone first, so that a header of another schema is called that and not broken.
#[derive(Deserialize)]
struct Schema {
    schema: u32,
}

fn encode_table(checkpoint: &Checkpoint, path: &Path) -> Result<Vec<u8>> {
    let mut sections: Vec<Entry> = Vec::with_capacity(checkpoint.sections.len());
    for (name, bytes) in &checkpoint.sections {
        if sections.iter().any(|entry| entry.name == *name) {
            return Err(RunsError::DoubleSection { section: name.clone() });
        }
        let sha256 = hex(&Sha256::digest(bytes));
        sections.push(Entry { name: name.clone(), bytes: bytes.len() as u64, sha256 });
    }
    let table = Table { header: checkpoint.header.clone(), sections };
    serde_json::to_vec(&table).map_err(|source| RunsError::Encode { path: path.to_owned(), source })
}

fn open(path: &Path) -> Result<(fs::File, u64)> {
    let failed = |source| RunsError::io("read", path)(source);
    let file = fs::File::open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    Ok((file, bytes))
}

/// Whether every byte of a checkpoint is as it was written, without holding it in memory.
fn verify(path: &Path) -> Result<()> {
    let (mut file, file_bytes) = open(path)?;
    let table = read_table(&mut file, file_bytes, path)?;
    table.sections.iter().try_for_each(|entry| {
        let mut hasher = Sha256::new();
        hash_reader(&mut hasher, (&mut file).take(entry.bytes)).map_err(RunsError::io("read", path))?;
        check_hash(&hasher.finalize(), entry, path)
    })
}

fn hash_reader(hasher: &mut Sha256, mut reader: impl Read) -> io::Result<()> {
    let mut piece = vec![0; 1 << 16];
    loop {
        match reader.read(&mut piece)? {
            0 => return Ok(()),
            bytes => hasher.update(&piece[..bytes]),
        }
    }
}

fn read_table(reader: &mut impl Read, file_bytes: u64, path: &Path) -> Result<Table> {
    let damaged = |section: &str, expected: String, found: String| RunsError::Damaged {
        path: path.to_owned(),
        section: section.to_owned(),
        expected,
        found,
    };
    let Some(room) = file_bytes.checked_sub(PRELUDE_BYTES as u64) else {
        return Err(damaged(
            "file length",
            format!("at least {PRELUDE_BYTES} bytes"),
            format!("{file_bytes}"),
        ));
    };
    let magic: [u8; MAGIC.len()] = read_array(reader, path)?;
    if magic != MAGIC {
        return Err(damaged("magic", hex(&MAGIC), hex(&magic)));
    }
    let header_bytes = u64::from_le_bytes(read_array(reader, path)?);
    if header_bytes > room {
        return Err(damaged("header length", format!("at most {room} bytes"), format!("{header_bytes}")));
    }
    let expected: [u8; HASH_BYTES] = read_array(reader, path)?;
    let header = read_bytes(reader, header_bytes, path)?;
    let found = Sha256::digest(&header);
    if expected[..] != found[..] {
        return Err(damaged("header", hex(&expected), hex(&found)));
    }
    let table = parse_table(&header, path)?;
    let sections = table.sections.iter().try_fold(0_u64, |sum, entry| sum.checked_add(entry.bytes));
    if sections != Some(room - header_bytes) {
        let expected =
            sections.map_or_else(|| "less".to_owned(), |bytes| format!("{bytes} bytes of sections"));
        return Err(damaged("file length", expected, format!("{}", room - header_bytes)));
    }
    Ok(table)
}

/// The hash was right, so what cannot be read here was written so: by another version, if its schema says so.
fn parse_table(header: &[u8], path: &Path) -> Result<Table> {
    if let Ok(Schema { schema }) = serde_json::from_slice(header)
        && schema != CHECKPOINT_SCHEMA
    {
        return Err(RunsError::Schema { path: path.to_owned(), expected: CHECKPOINT_SCHEMA, found: schema });
    }
    serde_json::from_slice(header).map_err(|error| RunsError::Damaged {
        path: path.to_owned(),
        section: "header".to_owned(),
        expected: "a checkpoint's header".to_owned(),
        found: error.to_string(),
    })
}

fn read_section(reader: &mut impl Read, entry: &Entry, path: &Path) -> Result<(String, Vec<u8>)> {
    let bytes = read_bytes(reader, entry.bytes, path)?;
    check_hash(&Sha256::digest(&bytes), entry, path)?;
    Ok((entry.name.clone(), bytes))
}

fn check_hash(found: &[u8], entry: &Entry, path: &Path) -> Result<()> {
    let found = hex(found);
    if found == entry.sha256 {
        return Ok(());
    }
    Err(RunsError::Damaged {
        path: path.to_owned(),
        section: format!("section `{}`", entry.name),
        expected: entry.sha256.clone(),
        found,
    })
}

fn read_array<const N: usize>(reader: &mut impl Read, path: &Path) -> Result<[u8; N]> {
    let mut array = [0; N];
    reader.read_exact(&mut array).map_err(RunsError::io("read", path))?;
    Ok(array)
}

/// `bytes` was checked against the file's length.
fn read_bytes(reader: &mut impl Read, bytes: u64, path: &Path) -> Result<Vec<u8>> {
    let failed = |source| RunsError::io("read", path)(source);
    let size = usize::try_from(bytes).map_err(|error| failed(io::Error::other(error)))?;
    let mut piece = vec![0; size];
    reader.read_exact(&mut piece).map_err(failed)?;
    Ok(piece)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::phase::Phase;

    fn checkpoint(step: usize) -> Checkpoint {
        let header = CheckpointHeader {
            schema: CHECKPOINT_SCHEMA,
            version: "0.1.0".into(),
            config_hash: "c0ffee".into(),
            data_digest: "abad1dea".into(),
            position: Position { phase: Phase::Joint { cycle: 3, epoch: 1 }, step },
            journal_seq: u64::MAX,
            cycle_state: serde_json::json!({ "seed": u64::MAX, "mean": 0.1 + 0.2, "genotypes": ["a", "b"] }),
        };
        let sections = vec![
            ("supernet".into(), vec![1, 2, 3, 4]),
            ("empty".into(), vec![]),
            ("arch".into(), vec![0; 70]),
        ];
        Checkpoint { header, sections }
    }

    /// A folder with `count` checkpoints saved, of which the pruned ones are gone.
    fn saved(count: usize) -> (TempDir, Checkpoints) {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(&folder.path().join("checkpoints")).unwrap();
        for step in 1..=count {
            let expected = checkpoints.next_name().unwrap();
            assert_eq!(checkpoints.save(&checkpoint(step)).unwrap(), expected);
        }
        (folder, checkpoints)
    }

    fn names(checkpoints: &Checkpoints) -> Vec<String> {
        checkpoints.numbers().unwrap().into_iter().map(file_name).collect()
    }

    fn flip(checkpoints: &Checkpoints, name: &str, byte_from_end: usize) {
        let path = checkpoints.folder.join(name);
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.len() - byte_from_end;
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    }

    /// The bytes of a saved checkpoint.
    fn image() -> Vec<u8> {
        let (_folder, checkpoints) = saved(1);
        fs::read(checkpoints.folder.join("000001.ckpt")).unwrap()
    }

    fn read_image(image: &[u8]) -> Result<()> {
        let path = Path::new("a.ckpt");
        let mut reader = image;
        let table = read_table(&mut reader, image.len() as u64, path)?;
        table.sections.iter().try_for_each(|entry| read_section(&mut reader, entry, path).map(drop))
    }

    #[test]
    fn comes_back_as_saved() {
        let (_folder, checkpoints) = saved(1);
        let found = checkpoints.load("c0ffee", "abad1dea").unwrap();
        assert_eq!(found.checkpoint, checkpoint(1));
        assert_eq!(found.checkpoint.section("arch").unwrap(), [0; 70]);
        assert!(found.damaged.is_empty());
        let error = found.checkpoint.section("eval").unwrap_err();
        assert_eq!(error.to_string(), "the checkpoint has no section `eval`; it has: supernet, empty, arch");
    }

    #[test]
    fn the_two_newest_stay() {
        let (_folder, checkpoints) = saved(5);
        assert_eq!(names(&checkpoints), ["000005.ckpt", "000004.ckpt"]);
        assert_eq!(checkpoints.latest().unwrap().unwrap().checkpoint, checkpoint(5));
    }

    #[test]
    fn a_damaged_newest_falls_back_and_is_reported() {
        let (_folder, checkpoints) = saved(3);
        flip(&checkpoints, "000003.ckpt", 1);
        let found = checkpoints.load("c0ffee", "abad1dea").unwrap();
        assert_eq!((found.name.as_str(), &found.checkpoint), ("000002.ckpt", &checkpoint(2)));
        let [RunsError::Damaged { path, section, expected, found }] = &found.damaged[..] else { panic!() };
        assert!(path.ends_with("000003.ckpt") && section == "section `arch`");
        assert_ne!(expected, found);
        assert_eq!(checkpoints.next_name().unwrap(), "000004.ckpt", "a damaged file is not written over");
    }

    #[test]
    fn pruning_never_counts_a_damaged_one_as_good() {
        let (_folder, checkpoints) = saved(3);
        flip(&checkpoints, "000003.ckpt", 1);
        checkpoints.save(&checkpoint(4)).unwrap();
        assert_eq!(names(&checkpoints), ["000004.ckpt", "000003.ckpt", "000002.ckpt"]);
        flip(&checkpoints, "000004.ckpt", 75);
        assert_eq!(checkpoints.latest().unwrap().unwrap().name, "000002.ckpt");
        checkpoints.save(&checkpoint(5)).unwrap();
        checkpoints.save(&checkpoint(6)).unwrap();
        assert_eq!(names(&checkpoints), ["000006.ckpt", "000005.ckpt"]);
    }

    #[test]
    fn none_and_none_good_differ() {
        let (_folder, empty) = saved(0);
        assert!(empty.latest().unwrap().is_none());
        assert!(matches!(empty.load("", ""), Err(RunsError::NoCheckpoint { .. })));
        let (_folder, checkpoints) = saved(2);
        fs::write(checkpoints.folder.join("000001.ckpt"), "").unwrap();
        flip(&checkpoints, "000002.ckpt", 1);
        let error = checkpoints.latest().unwrap_err();
        let RunsError::AllDamaged { damaged, .. } = &error else { panic!("{error}") };
        assert_eq!(damaged.len(), 2);
        assert!(error.to_string().contains("000002.ckpt"), "the newest is named: {error}");
    }

    #[test]
    fn a_checkpoint_of_another_run_is_refused_with_both_sides() {
        let (_folder, checkpoints) = saved(1);
        for (config, data, names) in [
            ("decaf", "abad1dea", ["configuration", "decaf", "c0ffee"]),
            ("c0ffee", "f00d", ["data", "f00d", "abad1dea"]),
        ] {
            let error = checkpoints.load(config, data).unwrap_err();
            let text = error.to_string();
            assert!(names.iter().all(|name| text.contains(name)), "{text}");
            assert!(error.hint().is_some());
        }
    }

    #[test]
    fn another_schema_ends_the_search_instead_of_losing_work() {
        let (_folder, checkpoints) = saved(1);
        let mut newer = checkpoint(2);
        newer.header.schema = 2;
        checkpoints.save(&newer).unwrap();
        let error = checkpoints.latest().unwrap_err();
        assert!(matches!(error, RunsError::Schema { expected: 1, found: 2, .. }), "{error}");
    }

    #[test]
    fn section_names_are_unique() {
        let (_folder, checkpoints) = saved(1);
        let mut double = checkpoint(2);
        double.sections.push(("arch".into(), vec![9]));
        assert!(
            matches!(checkpoints.save(&double), Err(RunsError::DoubleSection { section }) if section == "arch")
        );
        assert_eq!(names(&checkpoints), ["000001.ckpt"]);
    }

    #[test]
    fn other_files_are_left_alone() {
        let (_folder, checkpoints) = saved(0);
        let others = ["1.ckpt", "+00001.ckpt", "notes.txt", "000009.ckpt.bak", "18446744073709551615.ckpt"];
        for name in others {
            fs::write(checkpoints.folder.join(name), "mine").unwrap();
        }
        for step in 1..5 {
            checkpoints.save(&checkpoint(step)).unwrap();
        }
        assert_eq!(names(&checkpoints), ["000004.ckpt", "000003.ckpt"]);
        assert!(others.iter().all(|name| checkpoints.folder.join(name).exists()));
        assert_eq!(number_of("1000000.ckpt"), Some(1_000_000));
    }

    #[test]
    fn every_flipped_bit_is_detected() {
        let mut image = image();
        read_image(&image).unwrap();
        for at in 0..image.len() {
            for bit in 0..8 {
                image[at] ^= 1 << bit;
                assert!(matches!(read_image(&image), Err(RunsError::Damaged { .. })), "byte {at} bit {bit}");
                image[at] ^= 1 << bit;
            }
        }
    }

    #[test]
    fn every_cut_and_every_addition_is_detected() {
        let mut image = image();
        for bytes in 0..image.len() {
            assert!(matches!(read_image(&image[..bytes]), Err(RunsError::Damaged { .. })), "cut to {bytes}");
        }
        image.push(0);
        assert!(matches!(read_image(&image), Err(RunsError::Damaged { .. })));
    }

    #[test]
    fn lengths_are_checked_before_they_are_believed() {
        let mut image = image();
        image[MAGIC.len()..MAGIC.len() + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        let error = read_image(&image).unwrap_err();
        assert!(
            matches!(&error, RunsError::Damaged { section, .. } if section == "header length"),
            "{error}"
        );

        // A forged table, its hash right, whose sections claim more than any file can hold.
        let entry = r#"{"name":"a","bytes":18446744073709551615,"sha256":""}"#;
        let header = serde_json::to_string(&checkpoint(1).header).unwrap();
        let forged =
            format!("{},\"sections\":[{entry},{entry}]}}", header.trim_end_matches('}').to_owned() + "}");
        let mut image = MAGIC.to_vec();
        image.extend((forged.len() as u64).to_le_bytes());
        image.extend(Sha256::digest(&forged));
        image.extend(forged.into_bytes());
        let error = read_image(&image).unwrap_err();
        assert!(matches!(&error, RunsError::Damaged { section, .. } if section == "file length"), "{error}");
    }

    proptest! {
        #[test]
        fn any_piece_overwritten_is_detected(
            at in any::<prop::sample::Index>(),
            piece in proptest::collection::vec(any::<u8>(), 1..64),
        ) {
            let good = image();
            let mut bad = good.clone();
            let start = at.index(bad.len());
            for (byte, new) in bad[start..].iter_mut().zip(piece) {
                *byte = new;
            }
            prop_assert_eq!(read_image(&bad).is_ok(), bad == good);
        }

        #[test]
        fn any_bytes_give_an_answer(content in proptest::collection::vec(any::<u8>(), 0..200), head: bool) {
            let mut image = if head { MAGIC.to_vec() } else { Vec::new() };
            image.extend(content);
            prop_assert!(read_image(&image).is_err());
        }
    }
}

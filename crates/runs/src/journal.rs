//! The journal: a header line, then one event a line. It only grows, so a crash can tear its last line and nothing
//! else; a line counts once its line feed is there.
//!
//! The header is `{"journal":"cdarts","schema":1}`. A journal of another schema, or a line this version does not
//! understand, is an error with its line number: no event is ever skipped. A new kind of event is a new schema.

use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::atomic::{folder_of, sync_folder};
use crate::error::{Result, RunsError};
use crate::event::{Event, Record};

/// The schema of the journals this version writes and reads.
pub const JOURNAL_SCHEMA: u32 = 1;

/// How much of a wrong first line an error quotes.
const QUOTED_CHARS: usize = 40;

#[derive(Serialize, Deserialize)]
struct Header {
    journal: String,
    schema: u32,
}

fn header_line() -> String {
    format!("{{\"journal\":\"cdarts\",\"schema\":{JOURNAL_SCHEMA}}}\n")
}

/// A journal open for writing.
///
/// ```
/// use cdarts_runs::{Event, Journal};
///
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("journal.jsonl");
/// let mut journal = Journal::create(&path)?;
/// let seq = journal.append(Event::RunStarted { version: "0.1.0".into(), seed: 7 })?;
/// journal.append(Event::Validation { epoch: 0, accuracy: 0.5, forecast: None })?;
/// journal.sync()?;
/// drop(journal);
///
/// // A resume goes back to what the checkpoint knows of.
/// let journal = Journal::open_at(&path, seq)?;
/// assert_eq!(Journal::read(&path)?.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: fs::File,
    /// Bytes of complete lines; what lies behind is the rest of a write that failed.
    bytes: u64,
    torn: bool,
    next_seq: u64,
    opened: Instant,
    seconds_before: f64,
}

impl Journal {
    /// Begins a journal; `path` must not exist.
    ///
    /// # Errors
    ///
    /// [`RunsError::Io`] if the file exists or cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let failed = |source| RunsError::io("create", path)(source);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
        let header = header_line();
        file.write_all(header.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        sync_folder(folder_of(path))?;
        Ok(Self::at(path, file, header.len() as u64, 0, 0.0))
    }

    /// Opens a journal to go on after record `seq`. Everything behind that record, whole lines and a torn one
    /// alike, is cut off and appended to `NAME.cut.jsonl` beside it, so that nothing is lost.
    ///
    /// # Errors
    ///
    /// [`RunsError::JournalTooShort`] if record `seq` is not there; [`RunsError::BadLine`] and the like for lines
    /// up to it (those behind it are cut off unread); [`RunsError::Io`].
    pub fn open_at(path: &Path, seq: u64) -> Result<Self> {
        let content = fs::read(path).map_err(RunsError::io("read", path))?;
        let needed = seq.saturating_add(1);
        let scan = scan_records(path, &content, needed)?;
        let found = scan.records.len() as u64;
        let Some(last) = scan.records.last().filter(|_| found == needed) else {
            return Err(RunsError::JournalTooShort { path: path.to_owned(), expected: needed, found });
        };
        let keep = content.len() - scan.rest_bytes;
        keep_cut_off(&cut_path(path), &content[keep..])?;
        let failed = |source| RunsError::io("cut", path)(source);
        let mut file = fs::OpenOptions::new().write(true).open(path).map_err(failed)?;
        cut(&mut file, keep as u64).and_then(|()| file.sync_all()).map_err(failed)?;
        Ok(Self::at(path, file, keep as u64, needed, last.at_seconds))
    }

    fn at(path: &Path, file: fs::File, bytes: u64, next_seq: u64, seconds_before: f64) -> Self {
        Self {
            path: path.to_owned(),
            file,
            bytes,
            torn: false,
            next_seq,
            opened: Instant::now(),
            seconds_before,
        }
    }

    /// Writes one event as one line, handed to the operating system before this returns: it survives the end of
    /// the process, and after [`Journal::sync`] that of the machine. Returns the record's sequence number.
    ///
    /// # Errors
    ///
    /// [`RunsError::Io`], for example on a full disk. The journal then still ends with the record before, and the
    /// event may be tried again.
    pub fn append(&mut self, event: Event) -> Result<u64> {
        let seq = self.next_seq;
        // Whole milliseconds: more digits would only make the lines harder to read.
        let at_seconds = (self.seconds() * 1e3).round() / 1e3;
        let record = Record { seq, at_seconds, event };
        let mut line = serde_json::to_vec(&record)
            .map_err(|source| RunsError::Encode { path: self.path.clone(), source })?;
        line.push(b'\n');
        self.write_line(&line).map_err(RunsError::io("append to", &self.path))?;
        self.next_seq += 1;
        Ok(seq)
    }

    /// A line that was written in part would spoil the one after it, so it is taken back, now or, if that fails
    /// too, before the next one.
    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        self.take_back()?;
        self.torn = true;
        if let Err(error) = self.file.write_all(line) {
            // The reason of the failure is the writer's; that of a failed clean-up shows at the next line.
            let _ = self.take_back();
            return Err(error);
        }
        self.torn = false;
        self.bytes += line.len() as u64;
        Ok(())
    }

    fn take_back(&mut self) -> io::Result<()> {
        if self.torn {
            cut(&mut self.file, self.bytes)?;
            self.torn = false;
        }
        Ok(())
    }

    /// Waits until every record so far is on disk. Call it before a checkpoint is saved.
    ///
    /// # Errors
    ///
    /// [`RunsError::Io`].
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(RunsError::io("sync", &self.path))
    }

    /// The sequence number of the last record, if there is one.
    #[must_use]
    pub fn last_seq(&self) -> Option<u64> {
        self.next_seq.checked_sub(1)
    }

    /// Seconds of wall time the run has been worked on so far; a resume goes on counting from the last record
    /// that was kept.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.seconds_before + self.opened.elapsed().as_secs_f64()
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The records of a journal, finished, running or crashed. A torn last line is left out; [`Journal::scan`]
    /// tells whether there is one.
    ///
    /// # Errors
    ///
    /// As [`Journal::scan`].
    pub fn read(path: &Path) -> Result<Vec<Record>> {
        Self::scan(path).map(|scan| scan.records)
    }

    /// The records of a journal, and how many bytes of a torn last line follow them. Cut anywhere, a journal still
    /// yields every complete line.
    ///
    /// # Errors
    ///
    /// [`RunsError::NotAJournal`], [`RunsError::Schema`], [`RunsError::BadLine`] or [`RunsError::OutOfSequence`]
    /// for anything but a torn last line; [`RunsError::Io`].
    pub fn scan(path: &Path) -> Result<Scan> {
        let content = fs::read(path).map_err(RunsError::io("read", path))?;
        scan_records(path, &content, u64::MAX)
    }
}

/// What a journal holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// Every complete record, in order.
    pub records: Vec<Record>,
    /// Bytes behind the last record read: those of a torn last line.
    pub rest_bytes: usize,
}

/// Ends the file after `bytes`, and goes on there.
fn cut(file: &mut fs::File, bytes: u64) -> io::Result<()> {
    file.set_len(bytes)?;
    file.seek(SeekFrom::Start(bytes)).map(drop)
}

/// Reads at most `limit` records.
fn scan_records(path: &Path, content: &[u8], limit: u64) -> Result<Scan> {
    let mut lines = (1..).zip(content.split_inclusive(|&byte| byte == b'\n'));
    let mut rest = content.len();
    match lines.next() {
        None => {}
        Some((_, header)) if header.ends_with(b"\n") => {
            check_header(path, header)?;
            rest -= header.len();
        }
        Some((_, torn)) if header_line().as_bytes().starts_with(torn) => {}
        Some((_, other)) => return Err(not_a_journal(path, other)),
    }
    let mut records = Vec::new();
    for (line, text) in lines.take_while(|(_, text)| text.ends_with(b"\n")) {
        let expected = records.len() as u64;
        if expected == limit {
            break;
        }
        let record: Record = serde_json::from_slice(text).map_err(|source| RunsError::BadLine {
            path: path.to_owned(),
            line,
            source,
        })?;
        if record.seq != expected {
            return Err(RunsError::OutOfSequence {
                path: path.to_owned(),
                line,
                expected,
                found: record.seq,
            });
        }
        rest -= text.len();
        records.push(record);
    }
    Ok(Scan { records, rest_bytes: rest })
}

fn check_header(path: &Path, line: &[u8]) -> Result<()> {
    let header = serde_json::from_slice::<Header>(line).ok().filter(|header| header.journal == "cdarts");
    match header {
        None => Err(not_a_journal(path, line)),
        Some(Header { schema: JOURNAL_SCHEMA, .. }) => Ok(()),
        Some(Header { schema, .. }) => {
            Err(RunsError::Schema { path: path.to_owned(), expected: JOURNAL_SCHEMA, found: schema })
        }
    }
}

fn not_a_journal(path: &Path, line: &[u8]) -> RunsError {
    let found = String::from_utf8_lossy(line).trim_end().chars().take(QUOTED_CHARS).collect();
    RunsError::NotAJournal { path: path.to_owned(), found }
}

/// `journal.jsonl` → `journal.cut.jsonl`.
fn cut_path(path: &Path) -> PathBuf {
    path.with_extension("cut.jsonl")
}

/// Before the journal is cut, the piece is on disk elsewhere: a crash in between keeps it twice, never not at all.
fn keep_cut_off(path: &Path, piece: &[u8]) -> Result<()> {
    if piece.is_empty() {
        return Ok(());
    }
    let failed = |source| RunsError::io("append to", path)(source);
    let mut file = fs::OpenOptions::new().append(true).create(true).open(path).map_err(failed)?;
    file.write_all(piece).map_err(failed)?;
    if !piece.ends_with(b"\n") {
        file.write_all(b"\n").map_err(failed)?;
    }
    file.sync_all().map_err(failed)?;
    sync_folder(folder_of(path))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::event::tests::event;

    fn started(seed: u64) -> Event {
        Event::RunStarted { version: "0.1.0".into(), seed }
    }

    /// A journal of `records` events, and the folder that holds it.
    fn journal(records: u64) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut journal = Journal::create(&path).unwrap();
        assert_eq!(journal.last_seq(), None);
        for seed in 0..records {
            assert_eq!(journal.append(started(seed)).unwrap(), seed);
            assert_eq!(journal.last_seq(), Some(seed));
        }
        journal.sync().unwrap();
        (folder, path)
    }

    fn seeds(path: &Path) -> Vec<u64> {
        let seed = |record: &Record| match record.event {
            Event::RunStarted { seed, .. } => seed,
            _ => unreachable!("only these were written"),
        };
        Journal::read(path).unwrap().iter().map(seed).collect()
    }

    fn add(path: &Path, text: &str) {
        let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn header_and_records_have_the_documented_form() {
        let (_folder, path) = journal(1);
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], r#"{"journal":"cdarts","schema":1}"#);
        assert!(lines[1].starts_with(r#"{"seq":0,"at_seconds":0."#), "{}", lines[1]);
        assert!(lines[1].ends_with(r#","event":"run_started","version":"0.1.0","seed":0}"#), "{}", lines[1]);
    }

    #[test]
    fn a_journal_is_never_overwritten() {
        let (_folder, path) = journal(2);
        assert!(matches!(Journal::create(&path), Err(RunsError::Io { action: "create", .. })));
        assert_eq!(seeds(&path), [0, 1]);
    }

    #[test]
    fn resuming_cuts_behind_the_record_and_keeps_the_piece() {
        let (folder, path) = journal(5);
        add(&path, r#"{"seq":5,"at_"#);
        let whole = fs::read_to_string(&path).unwrap();
        let mut resumed = Journal::open_at(&path, 2).unwrap();
        assert_eq!(seeds(&path), [0, 1, 2]);
        assert_eq!(resumed.append(started(30)).unwrap(), 3);
        assert_eq!(seeds(&path), [0, 1, 2, 30]);
        let kept = fs::read_to_string(folder.path().join("journal.cut.jsonl")).unwrap();
        assert_eq!(kept.lines().count(), 3);
        assert!(whole.ends_with(kept.trim_end_matches('\n')));
    }

    #[test]
    fn a_second_cut_is_kept_beside_the_first() {
        let (folder, path) = journal(3);
        add(&path, "torn");
        drop(Journal::open_at(&path, 1).unwrap());
        drop(Journal::open_at(&path, 0).unwrap());
        let kept = fs::read_to_string(folder.path().join("journal.cut.jsonl")).unwrap();
        let lines: Vec<_> = kept.lines().collect();
        assert!(
            lines[0].contains(r#""seq":2"#) && lines[1] == "torn" && lines[2].contains(r#""seq":1"#),
            "{kept}"
        );
    }

    #[test]
    fn resuming_at_the_end_cuts_nothing() {
        let (folder, path) = journal(3);
        let before = fs::read(&path).unwrap();
        drop(Journal::open_at(&path, 2).unwrap());
        assert_eq!(fs::read(&path).unwrap(), before);
        assert!(!folder.path().join("journal.cut.jsonl").exists());
    }

    #[test]
    fn resuming_behind_the_end_is_an_error_and_changes_nothing() {
        let (_folder, path) = journal(3);
        add(&path, "torn");
        let before = fs::read(&path).unwrap();
        for seq in [3, 99, u64::MAX] {
            let error = Journal::open_at(&path, seq).unwrap_err();
            let RunsError::JournalTooShort { expected, found, .. } = error else { panic!("{error}") };
            assert_eq!((expected, found), (seq.saturating_add(1), 3));
        }
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn garbage_behind_the_record_does_not_stop_a_resume() {
        let (folder, path) = journal(2);
        add(&path, "not json\n{}\n\0\0\0");
        drop(Journal::open_at(&path, 1).unwrap());
        assert_eq!(seeds(&path), [0, 1]);
        let kept = fs::read(folder.path().join("journal.cut.jsonl")).unwrap();
        assert_eq!(kept, b"not json\n{}\n\0\0\0\n");
    }

    #[test]
    fn time_goes_on_from_the_last_kept_record() {
        let (_folder, path) = journal(1);
        add(
            &path,
            "{\"seq\":1,\"at_seconds\":100.5,\"event\":\"run_started\",\"version\":\"\",\"seed\":1}\n",
        );
        add(
            &path,
            "{\"seq\":2,\"at_seconds\":900.5,\"event\":\"run_started\",\"version\":\"\",\"seed\":2}\n",
        );
        let resumed = Journal::open_at(&path, 1).unwrap();
        assert!((100.5..800.0).contains(&resumed.seconds()));
    }

    #[test]
    fn any_other_bad_line_is_an_error_with_its_number() {
        let bad = ["\n", "{}\n", "null\n", "\0\0\n", "{\"seq\":2,\"at_seconds\":0,\"event\":\"party\"}\n"];
        for line in bad {
            let (_folder, path) = journal(2);
            add(&path, line);
            let error = Journal::read(&path).unwrap_err();
            assert!(matches!(error, RunsError::BadLine { line: 4, .. }), "{line:?}: {error}");
        }
    }

    #[test]
    fn a_missing_record_is_noticed() {
        let (_folder, path) = journal(3);
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.split_inclusive('\n').collect();
        fs::write(&path, [lines[0], lines[1], lines[3]].concat()).unwrap();
        let error = Journal::read(&path).unwrap_err();
        assert!(matches!(error, RunsError::OutOfSequence { line: 3, expected: 1, found: 2, .. }), "{error}");
    }

    #[test]
    fn other_files_and_schemas_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        for text in ["hello", "hello\n", "{\"journal\":\"cooking\",\"schema\":1}\n", "\n", "{\"schema\":1}\n"]
        {
            fs::write(&path, text).unwrap();
            let error = Journal::read(&path).unwrap_err();
            assert!(matches!(error, RunsError::NotAJournal { .. }), "{text:?}: {error}");
        }
        fs::write(&path, "{\"journal\":\"cdarts\",\"schema\":9,\"new\":true}\nwhatever\n").unwrap();
        let error = Journal::read(&path).unwrap_err();
        assert!(matches!(error, RunsError::Schema { expected: 1, found: 9, .. }), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told_and_leaves_no_torn_line() {
        let file = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut full = Journal::at(Path::new("journal.jsonl"), file, 0, 0, 0.0);
        let error = full.append(started(0)).unwrap_err();
        assert!(error.hint().unwrap().contains("disk is full"), "{error}");
        assert_eq!(full.last_seq(), None);

        let (_folder, path) = journal(2);
        let mut torn = Journal::open_at(&path, 1).unwrap();
        add(&path, "half a li");
        torn.torn = true;
        assert_eq!(torn.append(started(2)).unwrap(), 2);
        assert_eq!(seeds(&path), [0, 1, 2]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read(events in proptest::collection::vec(event(), 0..8)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("journal.jsonl");
            let mut journal = Journal::create(&path).unwrap();
            for event in &events {
                journal.append(event.clone()).unwrap();
            }
            let read: Vec<Event> =
                Journal::read(&path).unwrap().into_iter().map(|record| record.event).collect();
            prop_assert_eq!(read, events);
        }

        #[test]
        fn cut_at_any_byte_the_complete_lines_remain(
            events in proptest::collection::vec(event(), 0..5),
            at in any::<prop::sample::Index>(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("journal.jsonl");
            let mut journal = Journal::create(&path).unwrap();
            for event in &events {
                journal.append(event.clone()).unwrap();
            }
            let whole = Journal::read(&path).unwrap();
            let content = fs::read(&path).unwrap();
            let cut = at.index(content.len() + 1);
            fs::write(&path, &content[..cut]).unwrap();

            let scan = Journal::scan(&path).unwrap();
            let lines = content[..cut].iter().filter(|&&byte| byte == b'\n').count();
            prop_assert_eq!(&scan.records[..], &whole[..lines.saturating_sub(1)]);
            let line_end = content[..cut].iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
            prop_assert_eq!(scan.rest_bytes, cut - line_end);

            if let Some(last) = scan.records.last() {
                let mut resumed = Journal::open_at(&path, last.seq).unwrap();
                resumed.append(started(1)).unwrap();
                prop_assert_eq!(Journal::read(&path).unwrap().len(), scan.records.len() + 1);
            }
        }

        #[test]
        fn any_bytes_give_an_answer(content in proptest::collection::vec(any::<u8>(), 0..200), head: bool) {
            let mut whole = if head { header_line().into_bytes() } else { Vec::new() };
            whole.extend(content);
            let _ = scan_records(Path::new("journal.jsonl"), &whole, u64::MAX);
        }
    }
}

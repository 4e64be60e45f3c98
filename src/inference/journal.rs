//! The journal of an unfinished run: append-only lines, each with its checksum; a file an attempt.
//!
//! A line is the CRC-32 of its text in eight hex digits, a blank, and JSON. The first names the run it belongs to, every
//! other one image's [`Outcome`] and its place in the run. A killed run leaves at most one torn line at the end of a
//! file. Logits are written as the shortest decimal that reads back as the same `f32`, so a resumed run ends with the
//! same bytes as one that was never stopped.
//!
//! The first attempt writes `journal`, those that go on with it `journal.1`, `journal.2` and so on. A file has one
//! writer for ever: on a network file system a lock may be kept for a machine that is gone, or not be seen by another
//! machine at all, and two attempts that overlap must then not write into one file. Each only does work twice.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What became of one image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// SHA-256 of the image's bytes in hex; `None` when it could not be read at all.
    pub sha256: Option<String>,
    /// One logit a label, or why there is none.
    #[serde(flatten)]
    pub result: Output,
}

/// The result for one image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// One a label.
    Logits(Vec<f32>),
    /// Why there is none.
    Failure(String),
}

#[derive(Serialize, Deserialize)]
struct Header {
    run: String,
    /// When the attempt began, in seconds since 1970.
    begun: f64,
}

#[derive(Serialize, Deserialize)]
struct Entry<O> {
    /// The image's place in the run, from 0.
    at: usize,
    #[serde(flatten)]
    outcome: O,
}

/// An open journal, to which this attempt's outcomes are appended.
pub struct Journal {
    path: PathBuf,
    file: File,
    next: usize,
    synced: Instant,
    /// Holds the lock, where it was asked for.
    _alone: Option<File>,
}

/// Whether other attempts may be at work on the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// One that can be seen is an error.
    Refused,
    /// They may.
    Tolerated,
}

/// Lines are forced to the disk at least this often.
const SYNC_EVERY: Duration = Duration::from_secs(1);

impl Journal {
    /// Begins an attempt at the run that `run` identifies (a hash of everything that decides its outcome), and gives what
    /// earlier ones left at `path`. A journal of another run is an error.
    pub fn open(path: &Path, run: &str, others: Others) -> Result<(Self, Vec<Outcome>)> {
        let taken = |there: bool| (there && others == Others::Refused).then(|| lock(path)).transpose();
        let alone = taken(path.exists())?;
        let kept = Tail { run: Some(run.to_owned()), ..Tail::new(path) }.read()?;
        let (segment, file) = begin(path)?;
        let alone = alone.map_or_else(|| taken(true), |file| Ok(Some(file)))?;
        let mut journal = Self { path: segment, file, next: kept.len(), synced: Instant::now(), _alone: alone };
        journal.write(&line(&Header { run: run.to_owned(), begun: seconds(SystemTime::now()) }))?;
        journal.sync()?;
        Ok((journal, kept))
    }

    /// Appends outcomes; they survive a killed process at once and a stopped machine within a second or two.
    pub fn append(&mut self, outcomes: &[Outcome]) -> Result<()> {
        let first = self.next;
        self.next += outcomes.len();
        let entries = outcomes.iter().zip(first..).map(|(outcome, at)| line(&Entry { at, outcome }));
        self.write(&entries.collect::<String>())?;
        if self.synced.elapsed() >= SYNC_EVERY {
            self.sync()?;
        }
        Ok(())
    }

    /// Forces everything to the disk.
    pub fn sync(&mut self) -> Result<()> {
        self.synced = Instant::now();
        self.file.sync_data().map_err(|e| Error::io(&self.path, e))
    }

    fn write(&mut self, text: &str) -> Result<()> {
        self.file.write_all(text.as_bytes()).map_err(|e| Error::io(&self.path, e))
    }
}

/// A file of the journal that nobody else writes.
fn begin(path: &Path) -> Result<(PathBuf, File)> {
    let mut number = 0;
    loop {
        let segment = if number == 0 { path.to_owned() } else { path.with_extension(number.to_string()) };
        match File::create_new(&segment) {
            Ok(file) => return Ok((segment, file)),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(e) => return Err(Error::io(&segment, e)),
        }
    }
}

/// Takes the journal for this process alone; the lock goes with the process, however it ends. Where the file system has
/// no locks it is taken without.
fn lock(path: &Path) -> Result<File> {
    let file = OpenOptions::new().write(true).open(path).map_err(|e| Error::io(path, e))?;
    match file.try_lock() {
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::new("another roentgen is writing this run")
            .at(path.display())
            .mend("wait for it, or choose another --out")),
    }
}

/// The files of the journal at `path` with their numbers, in the order in which they were begun.
pub fn segments(path: &Path) -> Result<Vec<(u32, PathBuf)>> {
    let (Some(folder), Some(stem)) = (path.parent(), path.file_name()) else { return Ok(Vec::new()) };
    let entries = match folder.read_dir() {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(folder, e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        let number = match path.extension() {
            None => Some(0),
            Some(number) => number.to_str().and_then(|n| n.parse().ok()),
        };
        found.extend(number.filter(|_| path.file_stem() == Some(stem)).map(|n| (n, path)));
    }
    found.sort();
    Ok(found)
}

/// Follows a journal that other threads or processes are writing.
pub struct Tail {
    path: PathBuf,
    run: Option<String>,
    segments: Vec<Segment>,
    taken: usize,
}

/// What was read of a file of the journal.
struct Segment {
    path: PathBuf,
    read: u64,
    begun: bool,
}

impl Tail {
    /// From the first line of the journal at `path`, which need not be there yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), run: None, segments: Vec::new(), taken: 0 }
    }

    /// The outcomes of the lines that were finished since the last call, in the run's order without a gap. A journal that
    /// is not there has none.
    pub fn read(&mut self) -> Result<Vec<Outcome>> {
        for (_, path) in segments(&self.path)? {
            if !self.segments.iter().any(|s| s.path == path) {
                self.segments.push(Segment { path, read: 0, begun: false });
            }
        }
        let mut outcomes = Vec::new();
        // An attempt goes on after lines of earlier ones, so that one pass finds them all.
        for segment in &mut self.segments {
            segment.read(self.run.as_deref(), &mut self.taken, &mut outcomes)?;
        }
        Ok(outcomes)
    }
}

impl Segment {
    /// Appends the outcomes from number `taken` on.
    fn read(&mut self, run: Option<&str>, taken: &mut usize, outcomes: &mut Vec<Outcome>) -> Result<()> {
        let place = self.path.display();
        let damaged = |e: serde_json::Error| Error::new(e.to_string()).at(&place).mend("choose another --out");
        let Some((bytes, _)) = read_some(&self.path, self.read, u64::MAX)? else { return Ok(()) };
        for line in bytes.split_inclusive(|&b| b == b'\n') {
            let Some(text) = checked(line) else { break };
            if !self.begun {
                let header: Header = serde_json::from_str(text).map_err(damaged)?;
                if run.is_some_and(|run| run != header.run) {
                    let cause = "the unfinished run there has other cards, images, options or another version";
                    return Err(Error::new(cause)
                        .at(&place)
                        .mend("resume with the command that began it, or choose another --out"));
                }
                self.begun = true;
            } else {
                let entry: Entry<Outcome> = serde_json::from_str(text).map_err(damaged)?;
                if entry.at > *taken {
                    break;
                }
                if entry.at == *taken {
                    outcomes.push(entry.outcome);
                    *taken += 1;
                }
            }
            self.read += line.len() as u64;
        }
        Ok(())
    }
}

/// How far a journal is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// Outcomes.
    pub done: usize,
    /// Images a second of the attempt that wrote last, from its beginning to its last line.
    pub rate: Option<f64>,
    /// When that was.
    pub written: SystemTime,
}

impl Standing {
    /// Where the journal at `path` stands; `None` if it is not there. Only the ends of its files are read.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        // More than a few lines of any model.
        const END: u64 = 1 << 16;
        let mut latest: Option<Self> = None;
        for (_, path) in segments(path)? {
            let Some((start, about)) = read_some(&path, 0, END)? else { continue };
            let Some((end, _)) = read_some(&path, about.len().saturating_sub(END), END)? else { continue };
            let written = about.modified().map_err(|e| Error::io(&path, e))?;
            let mut lines = start.split_inclusive(|&b| b == b'\n').map_while(checked);
            let begun = lines.next().and_then(|text| serde_json::from_str::<Header>(text).ok()).map(|h| h.begun);
            let first = lines.next().and_then(place);
            // What `END` cut off has no right checksum.
            let last = end.split_inclusive(|&b| b == b'\n').rev().filter_map(checked).find_map(place);
            let rate = match (begun, first, last) {
                (Some(begun), Some(first), Some(last)) if seconds(written) > begun => {
                    Some((last + 1 - first.min(last)) as f64 / (seconds(written) - begun))
                }
                _ => None,
            };
            let done = last.map_or(0, |last| last + 1);
            latest = Some(match latest {
                Some(other) if other.written > written => Self { done: other.done.max(done), ..other },
                other => Self { done: other.map_or(0, |o| o.done).max(done), rate, written },
            });
        }
        Ok(latest)
    }
}

/// At most `most` bytes of a file from `start` on, and what the file system says of it; `None` if it is gone: the run was
/// finished meanwhile.
fn read_some(path: &Path, start: u64, most: u64) -> Result<Option<(Vec<u8>, std::fs::Metadata)>> {
    let read = || -> std::io::Result<_> {
        let mut file = File::open(path)?;
        let about = file.metadata()?;
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok((bytes, about))
    };
    match read() {
        Ok(found) => Ok(Some(found)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(path, e)),
    }
}

/// The place that an entry's line names; the first line has none.
fn place(text: &str) -> Option<usize> {
    #[derive(Deserialize)]
    struct Place {
        at: usize,
    }
    serde_json::from_str::<Place>(text).ok().map(|place| place.at)
}

/// Since 1970.
fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

fn line(entry: &impl Serialize) -> String {
    let json = serde_json::to_string(entry).expect("these types have string keys and finite or null numbers only");
    format!("{:08x} {json}\n", crc32(json.as_bytes()))
}

/// The text of a whole line whose checksum fits.
fn checked(line: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (sum, text) = line.split_once(' ')?;
    (u32::from_str_radix(sum, 16).ok()? == crc32(text.as_bytes())).then_some(text)
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes() -> Vec<Outcome> {
        vec![
            Outcome { sha256: Some("ab".into()), result: Output::Logits(vec![0.1, -1.0e-7, f32::MAX]) },
            Outcome { sha256: None, result: Output::Failure("truncated\nfile".into()) },
            Outcome { sha256: Some("cd".into()), result: Output::Logits(vec![1.0 / 3.0, 0.0, -0.0]) },
        ]
    }

    fn alone(path: &Path, run: &str) -> Result<(Journal, Vec<Outcome>)> {
        Journal::open(path, run, Others::Refused)
    }

    #[test]
    fn killed_after_any_byte_it_resumes_with_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        alone(&path, "run-1").unwrap().0.append(&outcomes()).unwrap();
        let full = std::fs::read(&path).unwrap();
        let ends: Vec<_> = full.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1).collect();
        for cut in 0..=full.len() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("journal");
            std::fs::write(&path, &full[..cut]).unwrap();
            let (mut journal, kept) = alone(&path, "run-1").unwrap();
            let lines = ends.iter().filter(|e| **e <= cut).count();
            assert_eq!(kept, outcomes()[..lines.saturating_sub(1)], "cut at {cut}");
            journal.append(&outcomes()[kept.len()..]).unwrap();
            drop(journal);
            assert_eq!(std::fs::read(&path).unwrap(), full[..cut], "another attempt's file stays as it is");
            assert_eq!(alone(&path, "run-1").unwrap().1, outcomes(), "cut at {cut}");
        }
    }

    #[test]
    fn a_follower_sees_whole_lines_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut tail = Tail::new(&path);
        assert_eq!(tail.read().unwrap(), []);
        assert_eq!(Standing::read(&path).unwrap(), None);
        let (mut journal, _) = alone(&path, "run-1").unwrap();
        journal.append(&outcomes()[..1]).unwrap();
        assert_eq!(tail.read().unwrap(), outcomes()[..1]);
        let torn = line(&Entry { at: 1, outcome: &outcomes()[1] });
        journal.write(&torn[..10]).unwrap();
        assert_eq!(tail.read().unwrap(), []);
        assert_eq!(Standing::read(&path).unwrap().unwrap().done, 1);
        journal.write(&torn[10..]).unwrap();
        assert_eq!(tail.read().unwrap(), outcomes()[1..2]);
        let standing = Standing::read(&path).unwrap().unwrap();
        assert_eq!(standing.done, 2);
        assert!(standing.rate.unwrap() > 0.0);
    }

    #[test]
    fn a_flipped_byte_ends_the_trust() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        alone(&path, "run-1").unwrap().0.append(&outcomes()).unwrap();
        let full = std::fs::read(&path).unwrap();
        let first = full.iter().position(|b| *b == b'\n').unwrap() + 1;
        for i in first..full.len() {
            let mut bytes = full.clone();
            bytes[i] ^= 0x01;
            std::fs::write(&path, &bytes).unwrap();
            let kept = Tail::new(&path).read().unwrap();
            assert_eq!(kept, outcomes()[..kept.len()], "flipped {i}");
            assert!(kept.len() < 3);
        }
    }

    #[test]
    fn another_runs_journal_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        drop(alone(&path, "run-1").unwrap());
        assert!(alone(&path, "run-2").err().unwrap().to_string().contains("other cards"));
        let writing = alone(&path, "run-1").unwrap();
        assert!(alone(&path, "run-1").err().unwrap().to_string().contains("another roentgen"));
        drop(writing);
        assert!(alone(&path, "run-1").is_ok());
    }

    #[test]
    fn attempts_that_overlap_write_apart_and_are_read_as_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let all: Vec<Outcome> =
            (0..6u8).map(|i| Outcome { sha256: Some(format!("{i}")), ..outcomes()[0].clone() }).collect();
        let (mut first, _) = alone(&path, "run-1").unwrap();
        first.append(&all[..2]).unwrap();
        let (mut second, kept) = Journal::open(&path, "run-1", Others::Tolerated).unwrap();
        assert_eq!(kept, all[..2]);
        second.append(&all[2..3]).unwrap();
        let mut tail = Tail::new(&path);
        assert_eq!(tail.read().unwrap(), all[..3]);
        first.append(&all[2..4]).unwrap();
        second.append(&all[3..5]).unwrap();
        first.append(&all[4..5]).unwrap();
        assert_eq!(tail.read().unwrap(), all[3..5]);
        let (mut third, kept) = Journal::open(&path, "run-1", Others::Tolerated).unwrap();
        assert_eq!(kept, all[..5]);
        third.append(&all[5..]).unwrap();
        assert_eq!(tail.read().unwrap(), all[5..]);
        assert_eq!(Standing::read(&path).unwrap().unwrap().done, 6);
    }
}

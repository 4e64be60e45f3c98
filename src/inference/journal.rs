//! The journal of an unfinished run: append-only lines, each with its checksum.
//!
//! A line is the CRC-32 of its text in eight hex digits, a blank, and JSON. The first names the run it belongs to, every
//! other one image's [`Outcome`], in the order of the run. A killed run leaves at most one torn line at the end, which
//! is cut off on resume. Logits are written as the shortest decimal that reads back as the same `f32`, so a resumed run
//! ends with the same bytes as one that was never stopped.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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
}

/// An open journal, to which outcomes are appended.
pub struct Journal {
    path: PathBuf,
    file: File,
    synced: Instant,
}

/// Lines are forced to the disk at least this often.
const SYNC_EVERY: Duration = Duration::from_secs(1);

impl Journal {
    /// Starts the journal of the run that `run` identifies (a hash of everything that decides its outcome).
    pub fn create(path: &Path, run: &str) -> Result<Self> {
        let file = File::create_new(path).map_err(|e| Error::io(path, e))?;
        lock(&file, path)?;
        let mut journal = Self { path: path.to_owned(), file, synced: Instant::now() };
        journal.write(&line(&Header { run: run.to_owned() }))?;
        journal.sync()?;
        Ok(journal)
    }

    /// Opens the journal that a killed run left and gives what it holds. A torn end is cut off; a journal of
    /// another run is an error.
    pub fn resume(path: &Path, run: &str) -> Result<(Self, Vec<Outcome>)> {
        let open = |path: &Path| OpenOptions::new().read(true).write(true).open(path);
        let mut file = open(path).map_err(|e| Error::io(path, e))?;
        lock(&file, path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|e| Error::io(path, e))?;

        let mut whole = 0;
        let mut lines = bytes.split_inclusive(|&b| b == b'\n').map_while(|line| {
            let text = checked(line)?;
            whole += line.len();
            Some(text)
        });
        let header = lines.next().and_then(|text| serde_json::from_str::<Header>(text).ok());
        let outcomes = lines
            .map(|text| serde_json::from_str::<Outcome>(text).map_err(|e| Error::new(e.to_string()).at(path.display())))
            .collect::<Result<Vec<_>>>()?;
        match header {
            Some(header) if header.run == run => {}
            Some(_) => {
                return Err(Error::new("the unfinished run there has other cards, images, options or another version")
                    .at(path.display())
                    .mend("resume with the command that began it, or choose another --out"));
            }
            // Killed before its first line was whole: nothing is lost by starting over.
            None if outcomes.is_empty() => {
                std::fs::remove_file(path).map_err(|e| Error::io(path, e))?;
                return Ok((Self::create(path, run)?, Vec::new()));
            }
            None => {
                return Err(Error::new("its first line is damaged").at(path.display()).mend("choose another --out"));
            }
        }
        file.set_len(whole as u64).map_err(|e| Error::io(path, e))?;
        file.seek(SeekFrom::End(0)).map_err(|e| Error::io(path, e))?;
        Ok((Self { path: path.to_owned(), file, synced: Instant::now() }, outcomes))
    }

    /// Appends outcomes; they survive a killed process at once and a stopped machine within a second or two.
    pub fn append(&mut self, outcomes: &[Outcome]) -> Result<()> {
        self.write(&outcomes.iter().map(line).collect::<String>())?;
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

/// Takes the journal for this process alone; the lock goes with the process, however it ends.
fn lock(file: &File, path: &Path) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Error::new("another roentgen is writing this run")
            .at(path.display())
            .mend("wait for it, or choose another --out")),
        Err(TryLockError::Error(e)) => Err(Error::io(path, e)),
    }
}

/// Follows a journal that another thread or process is writing.
pub struct Tail {
    path: PathBuf,
    read: u64,
    begun: bool,
}

impl Tail {
    /// From the first line of the journal at `path`, which need not be there yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), read: 0, begun: false }
    }

    /// The outcomes of the lines that were finished since the last call. A journal that is not there has none.
    pub fn read(&mut self) -> Result<Vec<Outcome>> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::io(&self.path, e)),
        };
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(self.read))
            .and_then(|_| file.read_to_end(&mut bytes))
            .map_err(|e| Error::io(&self.path, e))?;
        let mut outcomes = Vec::new();
        for line in bytes.split_inclusive(|&b| b == b'\n') {
            let Some(text) = checked(line) else { break };
            self.read += line.len() as u64;
            if std::mem::replace(&mut self.begun, true) {
                outcomes
                    .push(serde_json::from_str(text).map_err(|e| Error::new(e.to_string()).at(self.path.display()))?);
            }
        }
        Ok(outcomes)
    }
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

    #[test]
    fn killed_after_any_byte_it_resumes_with_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::create(&path, "run-1").unwrap();
        journal.append(&outcomes()).unwrap();
        drop(journal);
        let full = std::fs::read(&path).unwrap();
        let ends: Vec<_> = full.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1).collect();
        for cut in 0..=full.len() {
            std::fs::write(&path, &full[..cut]).unwrap();
            let (mut journal, kept) = Journal::resume(&path, "run-1").unwrap();
            let lines = ends.iter().filter(|e| **e <= cut).count();
            assert_eq!(kept, outcomes()[..lines.saturating_sub(1)], "cut at {cut}");
            journal.append(&outcomes()[kept.len()..]).unwrap();
            drop(journal);
            assert_eq!(std::fs::read(&path).unwrap(), full, "cut at {cut}");
        }
    }

    #[test]
    fn a_follower_sees_whole_lines_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut tail = Tail::new(&path);
        assert_eq!(tail.read().unwrap(), []);
        let mut journal = Journal::create(&path, "run-1").unwrap();
        journal.append(&outcomes()[..1]).unwrap();
        assert_eq!(tail.read().unwrap(), outcomes()[..1]);
        let torn = line(&outcomes()[1]);
        journal.write(&torn[..10]).unwrap();
        assert_eq!(tail.read().unwrap(), []);
        journal.write(&torn[10..]).unwrap();
        assert_eq!(tail.read().unwrap(), outcomes()[1..2]);
    }

    #[test]
    fn a_flipped_byte_ends_the_trust() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        Journal::create(&path, "run-1").unwrap().append(&outcomes()).unwrap();
        let full = std::fs::read(&path).unwrap();
        let first = full.iter().position(|b| *b == b'\n').unwrap() + 1;
        for i in first..full.len() {
            let mut bytes = full.clone();
            bytes[i] ^= 0x01;
            std::fs::write(&path, &bytes).unwrap();
            let (_, kept) = Journal::resume(&path, "run-1").unwrap();
            assert_eq!(kept, outcomes()[..kept.len()], "flipped {i}");
            assert!(kept.len() < 3);
        }
    }

    #[test]
    fn another_runs_journal_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        drop(Journal::create(&path, "run-1").unwrap());
        assert!(Journal::resume(&path, "run-2").err().unwrap().to_string().contains("other cards"));
        assert!(Journal::create(&path, "run-1").is_err());
        let writing = Journal::resume(&path, "run-1").unwrap();
        assert!(Journal::resume(&path, "run-1").err().unwrap().to_string().contains("another roentgen"));
        drop(writing);
        assert!(Journal::resume(&path, "run-1").is_ok());
    }
}

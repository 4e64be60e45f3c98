//! The end of a run: its files take their places, all of them from one attempt.
//!
//! Two attempts at a run may end at the same time on two machines, where a picture was unreadable for one of them only.
//! Each writes its files into a folder of its own, which is then renamed to one name: the file system lets one of them
//! have it. From there anyone moves the files to their places, as often as it takes.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::error::{Error, Result};
use crate::files;
use crate::inference::journal;
use crate::run::{Description, RunFolder};

/// The name that one attempt gets.
const FINISHED: &str = "finished";

/// Finishes the run in `folder` with the files that `fill` writes, `run.toml` among them, unless another attempt has
/// finished it. The journal goes last: a run whose end was killed midway is unfinished, and [`settle`] does the rest.
pub fn finish(folder: &RunFolder, fill: impl FnOnce(&RunFolder) -> Result<()>) -> Result<()> {
    let take = || {
        let own = files::unfinished_folder(folder.path())?;
        fill(&RunFolder::new(own.path()))?;
        match fs::rename(own.path(), folder.path().join(FINISHED)) {
            Ok(()) => settle(folder),
            Err(e) if [ErrorKind::DirectoryNotEmpty, ErrorKind::AlreadyExists].contains(&e.kind()) => settle(folder),
            Err(e) => Err(Error::io(folder.path(), e)),
        }
    };
    if folder.is_finished() {
        return Ok(());
    }
    take().or_else(|fault| {
        // Whoever was first clears away what this attempt is writing, and is not always through with it by now.
        settle(folder)?;
        if folder.is_finished() { Ok(()) } else { Err(fault) }
    })
}

/// Moves the files of a finished run to their places, where an attempt has got that far.
pub fn settle(folder: &RunFolder) -> Result<()> {
    let finished = folder.path().join(FINISHED);
    let fault = |e| Error::io(folder.path(), e);
    let mut names = match finished.read_dir() {
        Ok(entries) => entries.map(|e| Ok(e?.file_name())).collect::<std::io::Result<Vec<_>>>().map_err(fault)?,
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(fault(e)),
        // All of them have been moved, or there are none yet.
        Err(_) if Description::read(folder).is_ok_and(|d| d.is_finished()) => Vec::new(),
        Err(_) => return Ok(()),
    };
    // run.toml, which names the hashes of the others, is the last.
    names.sort_by_key(|name| Some(name.as_os_str()) == folder.run_toml().file_name());
    for name in names {
        absent(fs::rename(finished.join(&name), folder.path().join(&name))).map_err(fault)?;
    }
    sync(folder.path()).map_err(fault)?;
    files::remove_unfinished(folder.path())?;
    for (_, segment) in journal::segments(&folder.journal())?.into_iter().rev() {
        absent(fs::remove_file(segment)).map_err(fault)?;
    }
    match fs::remove_dir(&finished) {
        Err(e) if e.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
        other => absent(other).map_err(fault),
    }
}

/// Something that is gone: another process has done the same.
fn absent(done: std::io::Result<()>) -> std::io::Result<()> {
    match done {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn sync(folder: &Path) -> std::io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of a finished `run.toml` is not needed here: only whose files they are.
    fn write(folder: &RunFolder, whose: &str) -> Result<()> {
        ["manifest.csv", "predictions.csv", "run.toml"]
            .iter()
            .try_for_each(|name| files::write(&folder.path().join(name), whose.as_bytes()))
    }

    fn begun() -> (tempfile::TempDir, RunFolder) {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::new(folder.path());
        files::write(&run.journal(), b"").unwrap();
        files::write(&run.path().join("journal.1"), b"").unwrap();
        (folder, run)
    }

    fn whose(run: &RunFolder) -> Vec<(String, String)> {
        let mut files: Vec<_> = run
            .path()
            .read_dir()
            .unwrap()
            .map(|e| e.unwrap())
            .map(|e| (e.file_name().into_string().unwrap(), fs::read_to_string(e.path()).unwrap()))
            .collect();
        files.sort();
        files
    }

    fn of(whose: &str) -> Vec<(String, String)> {
        ["manifest.csv", "predictions.csv", "run.toml"].map(|name| (name.to_owned(), whose.to_owned())).into()
    }

    #[test]
    fn of_two_that_end_together_one_has_it_all() {
        let (_folder, run) = begun();
        finish(&run, |first| {
            write(first, "first")?;
            // The second ends while the first is about to.
            finish(&run, |second| write(second, "second")).unwrap();
            Ok(())
        })
        .unwrap_err();
        assert_eq!(whose(&run), of("second"));
    }

    #[test]
    fn killed_while_the_files_take_their_places() {
        for moved in 0..=3 {
            let (_folder, run) = begun();
            let finished = run.path().join(FINISHED);
            fs::create_dir(&finished).unwrap();
            write(&RunFolder::new(&finished), "first").unwrap();
            for name in ["manifest.csv", "predictions.csv", "run.toml"].iter().take(moved) {
                fs::rename(finished.join(name), run.path().join(name)).unwrap();
            }
            match moved {
                3 => settle(&run).unwrap(),
                // Another attempt that ends meanwhile leaves them as they are.
                _ => finish(&run, |second| write(second, "second")).unwrap(),
            }
            assert_eq!(whose(&run), of("first"));
            settle(&run).unwrap();
        }
    }
}

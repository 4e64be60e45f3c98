//! Ids of images that may not be passed on: salted, so that only who has the run's manifest can find the image again.

use std::path::Path;

use crate::error::{Error, Result};
use crate::files;
use crate::run::RunFolder;

/// How ids are shown.
pub struct Ids(Option<String>);

impl Ids {
    /// As they are where `redistribution` is allowed; else salted by the manifest, whose own hash, which the report
    /// tells, does not give the salt away.
    pub fn of(folder: &RunFolder, redistribution: bool) -> Result<Self> {
        if redistribution {
            return Ok(Self(None));
        }
        let path = folder.manifest();
        let manifest = std::fs::read(&path).map_err(|e| Error::io(&path, e))?;
        Ok(Self(Some(files::sha256(&[b"roentgen ids\n", manifest.as_slice()].concat()))))
    }

    /// The id as the report shows it.
    pub fn shown(&self, id: &str) -> String {
        match &self.0 {
            None => id.to_owned(),
            Some(salt) => format!("image-{}", &files::sha256(format!("{salt}\n{id}").as_bytes())[..12]),
        }
    }

    /// Why the image `id` could not be read, without the path, and without its name where that is not shown.
    pub fn reason(&self, id: &str, reason: &str) -> String {
        // An error's text begins with its place: the picture's path on the machine of the run.
        let cause = reason.split_once(": ").map_or(reason, |(_, cause)| cause);
        if self.0.is_none() {
            return cause.to_owned();
        }
        let name = Path::new(id).file_stem().unwrap_or_default().to_string_lossy();
        match name.is_empty() {
            true => cause.to_owned(),
            false => cause.replace(id, "[image]").replace(&*name, "[image]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salted_ids_tell_nothing_and_stay_apart() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::new(folder.path());
        std::fs::write(run.manifest(), "image\n").unwrap();
        let ids = Ids::of(&run, false).unwrap();
        assert_eq!(ids.shown("a/00001.png"), ids.shown("a/00001.png"));
        assert_ne!(ids.shown("a/00001.png"), ids.shown("a/00002.png"));
        let shown = ids.shown("a/00001.png");
        assert!(shown.starts_with("image-") && !shown.contains("00001"));
        assert_eq!(ids.reason("a/00001.png", "/home/x/a/00001.png: 00001.png ends early"), "[image].png ends early");
        std::fs::write(run.manifest(), "image\nx\n").unwrap();
        assert_ne!(Ids::of(&run, false).unwrap().shown("a/00001.png"), shown);
        let plain = Ids::of(&run, true).unwrap();
        assert_eq!(plain.shown("a"), "a");
        assert_eq!(plain.reason("a", "/x/a: cut off; fetch it again"), "cut off; fetch it again");
    }
}

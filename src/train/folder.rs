//! The folder of a training: whose it is, and who trains in it.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::error::{Error, Result};
use crate::files;
use crate::run::{Training, TrainingFolder};

/// The error of a folder that holds something else.
pub(super) fn another(place: &Path) -> Error {
    Error::new("it is of another recipe, other data, another version or another machine")
        .at(place.display())
        .mend("go on with what it was begun with, or choose another --out")
}

/// The folder with the recipe in it, held by this process alone as long as the file is open.
pub(super) fn open(folder: &TrainingFolder, text: &str, resume: bool) -> Result<File> {
    let (path, recipe) = (folder.path(), folder.recipe());
    std::fs::create_dir_all(path).map_err(|e| Error::io(path, e))?;
    if recipe.exists() {
        if resume && std::fs::read(&recipe).map_err(|e| Error::io(&recipe, e))? != text.as_bytes() {
            return Err(another(&recipe));
        }
        if !resume {
            return Err(Error::usage("there is a training in it")
                .at(path.display())
                .mend("go on with it by --resume, or choose another --out"));
        }
    } else if path.read_dir().map_err(|e| Error::io(path, e))?.next().is_some() {
        return Err(Error::usage("the folder holds other files")
            .at(path.display())
            .mend("choose an empty or a new folder for --out"));
    } else {
        files::write(&recipe, text.as_bytes())?;
    }
    let file = File::open(&recipe).map_err(|e| Error::io(&recipe, e))?;
    match file.try_lock() {
        Ok(()) => {
            files::remove_unfinished(path)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => Err(Error::new("another process trains in it").at(path.display())),
        Err(TryLockError::Error(e)) => Err(Error::io(&recipe, e)),
    }
}

/// The error of a checkpoint that the training of `log` does not go on with.
pub(super) fn unlike(folder: &TrainingFolder, log: &Training) -> Error {
    let place = folder.checkpoint();
    match Training::read(folder) {
        Ok(begun) if begun.device != log.device => {
            Error::new(format!("it was begun on the device {}, this one is {}", begun.device, log.device))
                .at(place.display())
                .mend("go on with it there by --device, or choose another --out")
        }
        _ => another(&place),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_device_is_named() {
        let place = tempfile::tempdir().unwrap();
        let folder = TrainingFolder::new(place.path());
        let log = |device: &str, seed: u64| {
            let text = format!(
                "schema = \"s\"\nsoftware = \"r\"\ndevice = \"{device}\"\ninstructions = \"i\"\nrecipe = \"r\"\n\
                 recipe_sha256 = \"\"\nseed = {seed}\nepochs_at_most = 1\npart = []\nlabel = []\n"
            );
            std::fs::write(folder.log(), text).unwrap();
            Training::read(&folder).unwrap()
        };
        let cpu = log("cpu", 1);
        log("H100", 1);
        let told = unlike(&folder, &cpu).to_string();
        assert!(told.contains("checkpoint: it was begun on the device H100, this one is cpu; go on"), "{told}");
        log("cpu", 2);
        assert!(unlike(&folder, &cpu).to_string().contains("another recipe"));
    }
}

//! From a card to a model with its weights.

use std::path::{Path, PathBuf};

use candle_core::Device;

use crate::cards::catalogue::{self, CardFile, Home};
use crate::cards::model::ModelCard;
use crate::error::{Error, Result};
use crate::files;
use crate::hub::{self, Lock, Places};
use crate::weights::{self, Tensors};

use super::{Model, build};

/// The model that a card describes, on `device`, and the SHA-256 of its weight file in hex. The sum equals the card's
/// where that has one, and the lock file's for a file of the Hub; every tensor of the file has its place in the model.
pub fn load(card: &ModelCard, home: &Home, device: &Device) -> Result<(Model, String)> {
    let at = |e: Error| e.at(format_args!("model `{}`", card.name));
    let (tensors, sha256) = tensors(card, home)?;
    Ok((build(card, tensors, device).map_err(at)?, sha256))
}

/// The same with every tensor put through `change`, which is given its name in torchvision's naming, its shape and its
/// values. The SHA-256 is the file's.
pub fn load_changed(
    card: &ModelCard,
    home: &Home,
    device: &Device,
    change: &mut dyn FnMut(&str, &[usize], &mut [f32]),
) -> Result<(Model, String)> {
    let (mut tensors, sha256) = tensors(card, home)?;
    tensors.change(change);
    let model = build(card, tensors, device).map_err(|e| e.at(format_args!("model `{}`", card.name)))?;
    Ok((model, sha256))
}

/// The weights that a card names, those of its base below them, and the SHA-256 of the weight file in hex.
pub fn tensors(card: &ModelCard, home: &Home) -> Result<(Tensors, String)> {
    let (file, sha256) = weight_file(card, home)?;
    if let Some(expected) = card.weights.sha256.as_ref().filter(|e| !e.eq_ignore_ascii_case(&sha256)) {
        let place = match &file {
            CardFile::Path(path) => path.display().to_string(),
            CardFile::Bundled(_) => card.name.clone(),
        };
        return Err(Error::new(format!("its SHA-256 is {sha256}, the card says {expected}"))
            .at(place)
            .mend("get the file that the card means, or correct `weights.sha256`"));
    }
    let read = |file: CardFile| match file {
        CardFile::Bundled(bytes) => weights::from_bytes(bytes, &card.name),
        CardFile::Path(path) => weights::load(&path, card.weights.naming),
    };
    let tensors = read(file)?;
    match &card.weights.base {
        Some(base) => Ok((tensors.over(read(catalogue::file_of(card, home, base)?)?), sha256)),
        None => Ok((tensors, sha256)),
    }
}

/// The lock file of a card: beside it, or in the Hub's cache for bundled cards.
pub fn lock_of(home: &Home, places: &Places) -> PathBuf {
    match home {
        Home::Folder(folder) => folder.join("weights.lock"),
        Home::Bundled => places.cache.join("roentgen.lock"),
    }
}

/// The weight file of a card and its SHA-256. A file of the Hub comes from the cache, never from the network.
fn weight_file(card: &ModelCard, home: &Home) -> Result<(CardFile, String)> {
    let Some(path) = &card.weights.path else {
        let places = Places::from_env()?;
        let lock = Lock::read(&lock_of(home, &places))?;
        let found = hub::find(&card.weights, lock.of(&card.weights), &places);
        let found = found.map_err(|e| e.at(format_args!("model `{}`", card.name)))?;
        return Ok((CardFile::Path(found.path), found.entry.sha256));
    };
    let file = catalogue::file_of(card, home, Path::new(path))?;
    let sha256 = match &file {
        CardFile::Bundled(bytes) => files::sha256(bytes),
        CardFile::Path(path) => files::sha256_of(path)?,
    };
    Ok((file, sha256))
}

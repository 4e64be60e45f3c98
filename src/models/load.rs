//! From a card to a model with its weights.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};

use crate::cards::catalogue::{self, CardFile, Home};
use crate::cards::model::ModelCard;
use crate::error::{Error, Result};
use crate::files;
use crate::hub::{self, Lock, Places};
use crate::weights::{self, Tensors};

use super::{Model, build, build_as};

/// The model that a card describes, on `device`, and the SHA-256 of its weight file in hex. The sum equals the card's
/// where that has one, and the lock file's for a file of the Hub; every tensor of the file has its place in the model.
pub fn load(card: &ModelCard, home: &Home, device: &Device) -> Result<(Model, String)> {
    load_as(card, home, device, DType::F32)
}

/// The same model, computing in numbers of another type.
pub fn load_as(card: &ModelCard, home: &Home, device: &Device, dtype: DType) -> Result<(Model, String)> {
    let (tensors, sha256) = tensors(card, home)?;
    let model = build_as(card, tensors, device, dtype).map_err(|e| e.at(format_args!("model `{}`", card.name)))?;
    Ok((model, sha256))
}

/// The model of [`load`] with every tensor put through `change`, which is given its name in torchvision's naming, its shape and its
/// values. The SHA-256 is the file's.
pub fn load_changed(
    card: &ModelCard,
    home: &Home,
    device: &Device,
    change: impl FnMut(&str, &[usize], &mut [f32]),
) -> Result<(Model, String)> {
    let (mut tensors, sha256) = tensors(card, home)?;
    tensors.change(change);
    let model = build(card, tensors, device).map_err(|e| e.at(format_args!("model `{}`", card.name)))?;
    Ok((model, sha256))
}

/// The weights that a card names, those of its base below them, and the SHA-256 of the weight file in hex.
pub fn tensors(card: &ModelCard, home: &Home) -> Result<(Tensors, String)> {
    let (file, sha256) = weight_file(card, home)?;
    let tensors = read(card, &file, &sha256, ("sha256", &card.weights.sha256))?;
    let Some(base) = &card.weights.base else { return Ok((tensors, sha256)) };
    let base = catalogue::file_of(card, home, base)?;
    let below = read(card, &base, &hash(&base)?, ("base_sha256", &card.weights.base_sha256))?;
    Ok((tensors.over(below), sha256))
}

/// The tensors of a file, whose SHA-256 must be the one that the card has at a key.
fn read(card: &ModelCard, file: &CardFile, sha256: &str, (key, expected): (&str, &Option<String>)) -> Result<Tensors> {
    if let Some(expected) = expected.as_ref().filter(|e| !e.eq_ignore_ascii_case(sha256)) {
        let place = match file {
            CardFile::Path(path) => path.display().to_string(),
            CardFile::Bundled(_) => card.name.clone(),
        };
        return Err(Error::new(format!("its SHA-256 is {sha256}, the card says {expected}"))
            .at(place)
            .mend(format!("get the file that the card means, or correct `weights.{key}`")));
    }
    match file {
        CardFile::Bundled(bytes) => weights::from_bytes(bytes, &card.name),
        CardFile::Path(path) => weights::load(path, card.weights.naming),
    }
}

fn hash(file: &CardFile) -> Result<String> {
    match file {
        CardFile::Bundled(bytes) => Ok(files::sha256(bytes)),
        CardFile::Path(path) => files::sha256_of(path),
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
pub fn weight_file(card: &ModelCard, home: &Home) -> Result<(CardFile, String)> {
    let Some(path) = &card.weights.path else {
        let places = Places::from_env()?;
        let lock = Lock::read(&lock_of(home, &places))?;
        let found = hub::find(&card.weights, lock.of(&card.weights), &places);
        let found = found.map_err(|e| e.at(format_args!("model `{}`", card.name)))?;
        return Ok((CardFile::Path(found.path), found.entry.sha256));
    };
    let file = catalogue::file_of(card, home, Path::new(path))?;
    let sha256 = hash(&file)?;
    Ok((file, sha256))
}

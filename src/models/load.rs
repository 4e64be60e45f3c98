//! From a card to a model with its weights.

use candle_core::Device;

use crate::cards::catalogue::{self, Home, WeightsFile};
use crate::cards::model::ModelCard;
use crate::error::{Error, Result};
use crate::files;
use crate::weights;

use super::{Model, build};

/// The model that a card describes, on `device`, and the SHA-256 of its weight file in hex. The sum equals the card's
/// where that has one; every tensor of the file has its place in the model.
pub fn load(card: &ModelCard, home: &Home, device: &Device) -> Result<(Model, String)> {
    load_changed(card, home, device, |_, _, _| {})
}

/// The same with every tensor put through `change`, which is given its name in torchvision's naming, its shape and its
/// values. The SHA-256 is the file's.
pub fn load_changed(
    card: &ModelCard,
    home: &Home,
    device: &Device,
    change: impl FnMut(&str, &[usize], &mut [f32]),
) -> Result<(Model, String)> {
    let (mut tensors, sha256) = match catalogue::weights_of(card, home)? {
        WeightsFile::Bundled(bytes) => (weights::from_bytes(bytes, &card.name)?, files::sha256(bytes)),
        WeightsFile::Path(path) => {
            let sha256 = files::sha256_of(&path)?;
            if let Some(expected) = card.weights.sha256.as_ref().filter(|e| !e.eq_ignore_ascii_case(&sha256)) {
                return Err(Error::new(format!("its SHA-256 is {sha256}, the card says {expected}"))
                    .at(path.display())
                    .mend("get the file that the card means, or correct `weights.sha256`"));
            }
            (weights::load(&path, card.weights.naming)?, sha256)
        }
    };
    tensors.change(change);
    let model = build(card, tensors, device).map_err(|e| e.at(format_args!("model `{}`", card.name)))?;
    Ok((model, sha256))
}

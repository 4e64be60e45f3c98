//! `roentgen weights`: the model cards, their files, and the reference statistics of a card.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use candle_core::Device;
use indicatif::{ProgressBar, ProgressStyle};

use crate::audit::preflight;
use crate::cards::catalogue::{self, Home};
use crate::cards::model::{ModelCard, Reference};
use crate::cli::table::{Side, Table};
use crate::cli::{args, print, weights_show, weights_verify};
use crate::data::{self, Dataset};
use crate::error::{Error, Result};
use crate::files;
use crate::hub::{self, Lock, Places};
use crate::inference::preflight::facts;
use crate::models;
use crate::weights::{self, Tensors};

/// Carries the verb out.
pub fn run(verb: &args::Weights) -> Result<()> {
    match verb {
        args::Weights::List => list(),
        args::Weights::Show { model, tensors } => print(&weights_show::text(&opened(model)?, *tensors)?),
        args::Weights::Fetch { models, offline } => models.iter().try_for_each(|model| fetch(model, *offline)),
        args::Weights::Verify { models } => weights_verify::run(models),
        args::Weights::Convert { from, to } => convert(from, to),
        args::Weights::Reference { model, data, root, split, pictures } => {
            let dataset = data::load(&catalogue::dataset(data)?, root.as_deref(), split.as_deref())?;
            reference(model, &dataset, *pictures)
        }
    }
}

fn list() -> Result<()> {
    let mut table = Table::new(&[
        ("model", Side::Left),
        ("architecture", Side::Left),
        ("labels", Side::Right),
        ("weights", Side::Left),
        ("licence", Side::Left),
    ]);
    for name in catalogue::model_names() {
        let (card, _) = catalogue::model(name)?;
        let place = card.weights.repo.unwrap_or_else(|| "bundled".into());
        table.row([card.name, card.architecture.to_string(), card.labels.len().to_string(), place, card.licence]);
    }
    print(&table.to_string())
}

/// Weights that a person named.
pub struct Opened {
    /// The card; `None` for a bare weight file.
    pub card: Option<ModelCard>,
    /// The tensors.
    pub tensors: Tensors,
    /// Of the file.
    pub sha256: String,
}

/// A card's weights, or a weight file's.
fn opened(spec: &str) -> Result<Opened> {
    let path = Path::new(spec);
    if path.is_file() && path.extension().is_none_or(|e| e != "toml") {
        return Ok(Opened { card: None, tensors: weights::load(path, None)?, sha256: files::sha256_of(path)? });
    }
    let (card, home) = catalogue::model(spec)?;
    let (tensors, sha256) = models::tensors(&card, &home)?;
    Ok(Opened { card: Some(card), tensors, sha256 })
}

fn fetch(spec: &str, offline: bool) -> Result<()> {
    let (card, home) = catalogue::model(spec)?;
    if card.weights.repo.is_none() {
        let place = match home {
            Home::Bundled => "bundled: there is nothing to fetch",
            Home::Folder(_) => "a file beside its card: there is nothing to fetch",
        };
        return print(&format!("{}: {place}\n", card.name));
    }
    let mut places = Places::from_env()?;
    places.offline |= offline;
    let lock = models::lock_of(&home, &places);
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  {eta}") {
        bar.set_style(style);
    }
    let mut meter = |now, size| {
        bar.set_length(size);
        bar.set_position(now);
    };
    let locked = Lock::read(&lock)?;
    let found = hub::fetch(&card.weights, locked.of(&card.weights), &places, &mut meter);
    bar.finish_and_clear();
    let found = found.map_err(|e| e.at(format_args!("model `{}`", card.name)))?;
    Lock::put(&lock, &found.entry)?;
    let how = if found.cached { "in the cache" } else { "fetched" };
    print(&format!(
        "{}: {how}, {} bytes\n  commit  {}\n  sha256  {}\n  file    {}\n  lock    {}\n",
        card.name,
        found.entry.size,
        found.entry.commit,
        found.entry.sha256,
        found.path.display(),
        lock.display()
    ))
}

fn convert(from: &str, to: &Path) -> Result<()> {
    let Opened { card, tensors, sha256 } = opened(from)?;
    if to.exists() {
        return Err(Error::usage("the file is there already").at(to.display()).mend("choose another name"));
    }
    let mut metadata = BTreeMap::from([
        ("format".to_owned(), "pt".to_owned()),
        ("converted_by".to_owned(), concat!("roentgen ", env!("CARGO_PKG_VERSION")).to_owned()),
        ("source_sha256".to_owned(), sha256),
    ]);
    if tensors.origin().is_some_and(|origin| origin.program.is_some()) {
        return Err(Error::new("a graph of no known network, of which safetensors would lose all but the values")
            .at(from)
            .mend("use the ONNX file itself"));
    }
    if let Some(origin) = tensors.origin() {
        metadata.insert("source_format".to_owned(), origin.format.to_string());
        metadata.insert("source_naming".to_owned(), origin.naming.to_string());
    }
    if let Some(card) = card {
        metadata.insert("model".to_owned(), card.name);
        metadata.insert("architecture".to_owned(), card.architecture.to_string());
        metadata.insert("labels".to_owned(), card.labels.join(", "));
        metadata.insert("licence".to_owned(), card.licence);
    }
    let fill =
        |file: &mut dyn Write| weights::write_safetensors(&tensors, &metadata, file).map_err(|e| Error::io(to, e));
    files::write_hashed(to, fill)?;
    print(&format!("{}: {} tensors\n", to.display(), tensors.shapes().len()))
}

/// Prints the table that goes into the model card.
fn reference(model: &str, dataset: &Dataset, pictures: usize) -> Result<()> {
    #[derive(serde::Serialize)]
    struct Part {
        reference: Reference,
    }
    let (card, home) = catalogue::model(model)?;
    let (network, _) = models::load(&card, &home, &Device::Cpu)?;
    let sample = facts(&card, Some(&network), dataset, pictures)?;
    let text = toml::to_string(&Part { reference: preflight::reference(&sample) });
    print(&text.map_err(|e| Error::new(e.to_string()))?)
}

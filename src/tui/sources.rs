//! Where the pictures of a table are.

use std::collections::HashMap;
use std::path::Path;

use crate::cards::catalogue::{self, Home};
use crate::cards::dataset::DatasetCard;
use crate::data::{self, Sample};
use crate::error::Result;
use crate::run::Description;
use crate::tui::viewer::Explainer;

/// The samples of a dataset by their ids.
pub type Samples = HashMap<String, Sample>;

/// The samples of a run's dataset, whose files are in `images` if that is given; of a table without a run, the pictures
/// below `images`.
pub fn find(description: Option<&Description>, images: Option<&Path>) -> Result<Samples> {
    let dataset = match (description, images) {
        (Some(d), _) => data::load(&d.dataset, images, d.split.as_deref())?,
        (None, Some(folder)) => data::load(&DatasetCard::from_folder(folder)?, Some(folder), None)?,
        (None, None) => return Ok(Samples::new()),
    };
    let mut samples = Samples::new();
    for sample in dataset.samples {
        // Tables often name files without their folders, or without the extension.
        if description.is_none() {
            let path = Path::new(&sample.id);
            for name in [path.file_name(), path.file_stem()].into_iter().flatten() {
                samples.entry(name.to_string_lossy().into_owned()).or_insert_with(|| sample.clone());
            }
        }
        samples.insert(sample.id.clone(), sample);
    }
    Ok(samples)
}

/// The model that made a run. Its card is in the run, where the card was is not: a bundled model is known by its name,
/// of others the path of the weights must be absolute or relative to the working folder.
pub fn explainer(description: &Description) -> Explainer {
    let card = description.model.clone();
    let home = match catalogue::model(&card.name) {
        Ok((bundled, home)) if bundled == card => home,
        _ => Home::Folder(Path::new("").to_owned()),
    };
    Explainer { card, home, weights: Some(description.hashes.weights.clone()) }
}

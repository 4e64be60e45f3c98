//! Where the pictures of a table are, and what is known of their maps.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cards::catalogue::{self, Home};
use crate::cards::dataset::DatasetCard;
use crate::data::{self, Sample};
use crate::error::{Error, Result};
use crate::explain::trust::{self, Tested};
use crate::run::Description;
use crate::tui::analysis::Overview;
use crate::tui::jobs::{Jobs, News};
use crate::tui::viewer::Explainer;

/// How a person says where pictures are.
const MEND: &str = "give their folder by I, or with --images";

/// The samples of a dataset by their ids.
type Samples = HashMap<String, Sample>;

/// Where the pictures of the opened table are.
#[derive(Default)]
pub enum Pictures {
    /// Nobody has asked.
    #[default]
    NotAsked,
    /// They are being looked for.
    Asked,
    /// They are known.
    Found(Sources),
    /// Why they are not.
    Missing(Error),
}

/// The pictures, and the tests that the run's maps were put to.
pub struct Sources {
    samples: Samples,
    trust: Result<Tested>,
}

impl Pictures {
    /// Starts looking for the pictures of `overview`, once; `images` is their folder, where the cards do not say.
    pub fn look(&mut self, overview: &Arc<Overview>, images: Option<&PathBuf>, jobs: &mut Jobs) {
        if matches!(self, Self::NotAsked) {
            *self = Self::Asked;
            let (overview, images) = (overview.clone(), images.cloned());
            jobs.start(move |_| {
                let found = Sources::find(&overview, images.as_deref());
                News::Sources(overview, found)
            });
        }
    }

    /// Takes in where they are.
    pub fn take(&mut self, found: Result<Sources>) {
        *self = found.map_or_else(Self::Missing, Self::Found);
    }

    /// The picture of an image; `None` while it is looked for.
    pub fn sample(&self, image: &str) -> Result<Option<&Sample>> {
        match self {
            Self::NotAsked | Self::Asked => Ok(None),
            Self::Missing(e) => Err(e.clone()),
            Self::Found(sources) => match sources.samples.get(image) {
                Some(sample) => Ok(Some(sample)),
                None => Err(Error::new("its picture is not known").mend(MEND)),
            },
        }
    }

    /// The tests of the run's maps; none where there were none, or of other weights.
    pub fn trust(&self) -> Option<&Result<Tested>> {
        match self {
            Self::Found(sources) => Some(&sources.trust),
            _ => None,
        }
    }
}

impl Sources {
    fn find(overview: &Overview, images: Option<&Path>) -> Result<Self> {
        let samples = find(overview.description.as_ref(), images)?;
        let trust = match (&overview.description, overview.predictions.parent()) {
            (Some(run), Some(folder)) => trust::read(&folder.join("explain"))
                .map(|found| if found.weights == run.hashes.weights { found } else { Tested::default() }),
            _ => Ok(Tested::default()),
        };
        Ok(Self { samples, trust })
    }
}

/// The samples of a run's dataset, whose files are in `images` if that is given; of a table without a run, the pictures
/// below `images`.
fn find(description: Option<&Description>, images: Option<&Path>) -> Result<Samples> {
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

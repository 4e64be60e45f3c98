//! What `roentgen explain` does with every picture: maps, files, places and trials.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rayon::prelude::*;

use crate::cli::explain_output::{Found, Row};
use crate::cli::{note, progress};
use crate::data::regions::Regions;
use crate::data::{Sample, Source, phantom};
use crate::error::{Error, Result};
use crate::explain::canvas::Canvas;
use crate::explain::explainer::{Explainer, Method};
use crate::explain::localization::{self, Case, Draws, Placement};
use crate::explain::map::Map;
use crate::explain::overlay::{self, Caption};
use crate::explain::trust::{Trial, Trust};
use crate::explain::{self, npy};
use crate::files;
use crate::imaging::encode;
use crate::imaging::picture::Picture;
use crate::inference::engine::Progress;
use crate::inference::prepare;
use crate::labels;
use crate::models::{self, Model};

/// What is done with every picture.
pub struct Work<'a> {
    /// The model and how it explains itself.
    pub explainer: Explainer<'a>,
    /// Numbers of the labels that are explained.
    pub labels: Vec<usize>,
    /// Whether only those that reach their threshold are.
    pub only_positive: bool,
    /// One a label of the model.
    pub thresholds: Vec<f64>,
    /// Where files go, if any do.
    pub out: Option<&'a Path>,
    /// Whether maps are written too.
    pub raw: bool,
    /// Where findings are.
    pub boxes: Option<&'a Regions>,
    /// Networks with random weights, if maps are tested.
    pub randomized: &'a [Model],
    /// How many pictures of a label.
    pub trials: usize,
    /// Decides what is random.
    pub seed: u64,
}

/// What came of one picture.
struct Explained {
    rows: Vec<Row>,
    files: Vec<(String, Vec<u8>)>,
    small: Vec<Canvas>,
    cases: Vec<Case>,
    /// What trials need: the picture's size, its input, and maps by label.
    positive: Vec<(usize, Map)>,
    input: Option<(candle_core::Tensor, (usize, usize))>,
}

impl Work<'_> {
    /// Explains every picture, writes the files, and gives what was found. `weights` is the hash of the weight file.
    pub fn carry_out(&self, samples: &[Sample], weights: &str, draws: Draws) -> Result<Found> {
        if let Some(out) = self.out {
            std::fs::create_dir_all(out).map_err(|e| Error::io(out, e))?;
        }
        let card = self.explainer.card;
        let mut found = Found::new(card, &self.explainer.name(), weights, self.out.map(PathBuf::from));
        let (mut small, mut sheets, mut cases) = (Vec::new(), 0, Vec::new());
        let mut trials: Vec<Vec<Trial>> = card.labels.iter().map(|_| Vec::new()).collect();
        let mut taken = HashSet::new();
        let mut meter = progress::Meter::new();
        // Integrals keep all threads busy themselves, and their memory bounded.
        let together = match self.explainer.method {
            Method::Cam(_) => 2 * rayon::current_num_threads(),
            Method::IntegratedGradients(_) | Method::InputGradient => 1,
        };
        for (done, part) in samples.chunks(together).enumerate() {
            let explained: Vec<_> = part.par_iter().map(|sample| self.explain(sample)).collect();
            for result in explained {
                let mut explained = match result {
                    Ok(explained) => explained,
                    Err(e) => {
                        note(&format!("left out: {e}"));
                        found.failed += 1;
                        continue;
                    }
                };
                explained.distinguish(&mut taken);
                if let Some(out) = self.out {
                    for (name, bytes) in &explained.files {
                        files::write(&out.join(name), bytes)?;
                    }
                }
                if let Some((input, size)) = &explained.input {
                    for (label, map) in &explained.positive {
                        if trials[*label].len() < self.trials {
                            let of = (*label, map);
                            trials[*label].push(Trial::run(
                                &self.explainer,
                                self.randomized,
                                input,
                                *size,
                                of,
                                self.seed,
                            )?);
                        }
                    }
                }
                small.extend(explained.small);
                // As soon as one is full, so that memory does not grow with the pictures.
                while let (Some(out), true) = (self.out, small.len() >= overlay::ON_SHEET) {
                    sheets += 1;
                    write_sheet(out, sheets, &small.drain(..overlay::ON_SHEET).collect::<Vec<_>>())?;
                }
                cases.extend(explained.cases);
                found.rows.extend(explained.rows);
            }
            let done = (done * together + part.len()).min(samples.len());
            let (waited, computed) = (Duration::ZERO, Duration::ZERO);
            let (total, failed) = (samples.len(), found.failed);
            meter.show(Progress { done, total, failed, waited, computed, batch: 1, memory: None });
        }
        if self.trials > 0 {
            found.trust = self.labels.iter().map(|l| Trust::of(&card.labels[*l], &trials[*l])).collect();
        }
        found.localization = localization::summarize(&cases, &card.labels, draws);
        if let Some(out) = self.out {
            if !small.is_empty() {
                sheets += 1;
                write_sheet(out, sheets, &small)?;
            }
            files::write(&out.join(explain::FILE), found.json()?.as_bytes())?;
        }
        Ok(found)
    }

    fn explain(&self, sample: &Sample) -> Result<Explained> {
        let Explainer { card, .. } = self.explainer;
        let picture = prepare::picture(sample, &card.input).1?;
        let size = (picture.width, picture.height);
        let place = |e: Error| e.at(format_args!("image {}", sample.id));
        let input = self.explainer.input(&picture).map_err(place)?;
        let positive = |logits: &[f32]| -> Vec<bool> {
            let p = models::probabilities(card.output, logits);
            p.iter().zip(&self.thresholds).map(|(p, threshold)| p >= threshold).collect()
        };
        let wanted = match self.only_positive {
            true => {
                let positive = positive(&self.explainer.logits(&input).map_err(place)?);
                self.labels.iter().copied().filter(|l| positive[*l]).collect()
            }
            false => self.labels.clone(),
        };
        let explanation = self.explainer.explain(&input, size, &wanted).map_err(place)?;
        let probabilities = models::probabilities(card.output, &explanation.logits);
        let positive = positive(&explanation.logits);
        let mut explained = Explained {
            rows: Vec::new(),
            files: Vec::new(),
            small: Vec::new(),
            cases: Vec::new(),
            positive: Vec::new(),
            input: (self.trials > 0).then_some((input, size)),
        };
        let findings = self.findings(sample, size);
        for ((i, label), map) in wanted.iter().enumerate().zip(explanation.maps) {
            let caption = Caption {
                image: sample.id.clone(),
                label: card.labels[*label].clone(),
                probability: probabilities[*label],
                threshold: self.thresholds[*label],
                method: self.explainer.name(),
            };
            let error = explanation.completeness_errors.as_ref().map(|errors| errors[i]);
            let over = self.explainer.placed(&map, size.0, size.1).over(size.0, size.1);
            let mut row = Row::new(&caption, &map, &over, error);
            if self.out.is_some() {
                self.draw(&picture, &map, &over, &caption, &mut row, &mut explained)?;
            }
            if let Some(finding) = findings(*label) {
                explained.cases.push(Case {
                    label: caption.label,
                    patient: sample.patient.clone().unwrap_or_else(|| sample.id.clone()),
                    map: Placement::of(&over, &finding),
                    centre: Placement::of(&localization::centre(size.0, size.1), &finding),
                });
            }
            explained.rows.push(row);
            if positive[*label] {
                explained.positive.push((*label, map));
            }
        }
        Ok(explained)
    }

    /// Overlay and maps of one label.
    fn draw(
        &self,
        picture: &Picture,
        map: &Map,
        over: &Map,
        caption: &Caption,
        row: &mut Row,
        explained: &mut Explained,
    ) -> Result<()> {
        let placed = self.explainer.placed(map, picture.width, picture.height);
        let canvas = overlay::overlay(picture, placed, caption);
        let name = format!("{}--{}", plain(&row.image), plain(&caption.label));
        explained.files.push((format!("{name}.png"), encode::png_rgb(canvas.width, canvas.height, &canvas.rgb)?));
        explained.small.push(overlay::thumbnail(&canvas));
        row.file = Some(format!("{name}.png"));
        if self.raw {
            explained.files.push((format!("{name}.npy"), npy::file(map)));
            let highest = over.highest().max(f32::MIN_POSITIVE);
            let samples: Vec<u16> =
                over.values.iter().map(|v| (v.max(0.0) / highest * 65535.0).round() as u16).collect();
            explained.files.push((format!("{name}.map.png"), encode::png_gray16(over.width, over.height, &samples)?));
        }
        Ok(())
    }

    /// Which pixels of the picture a label's finding takes up, where that is known.
    fn findings(&self, sample: &Sample, size: (usize, usize)) -> impl Fn(usize) -> Option<Vec<bool>> {
        let phantom = match (&sample.source, self.boxes) {
            (Source::Phantom(cohort, id), None) => Some(phantom::render(cohort, id)),
            _ => None,
        };
        let names = &self.explainer.card.labels;
        move |label| match (&phantom, self.boxes) {
            (Some(phantom), _) => phantom.masks[labels::find(&phantom::LABELS, &names[label])?].clone(),
            (None, Some(boxes)) => Some(boxes.get(&sample.id, &names[label])?.mask(size.0, size.1)),
            (None, None) => None,
        }
    }
}

/// The overlays of a picture's labels of these numbers, each with the caption that it is given, in their order.
pub fn overlays(
    explainer: &Explainer,
    sample: &Sample,
    labels: &[usize],
    caption: impl Fn(usize) -> Caption,
) -> Result<Vec<Canvas>> {
    let picture = prepare::picture(sample, &explainer.card.input).1?;
    let size = (picture.width, picture.height);
    let explanation = explainer.explain(&explainer.input(&picture)?, size, labels)?;
    let draw = |(&label, map)| overlay::overlay(&picture, explainer.placed(map, size.0, size.1), &caption(label));
    Ok(labels.iter().zip(&explanation.maps).map(draw).collect())
}

impl Explained {
    /// Gives files other names where another picture's have them already.
    fn distinguish(&mut self, taken: &mut HashSet<String>) {
        let clash = |suffix: &str| self.files.iter().any(|(name, _)| taken.contains(&format!("{suffix}{name}")));
        let suffix = (1..).map(|i| if i == 1 { String::new() } else { format!("{i}-") }).find(|s| !clash(s));
        let suffix = suffix.unwrap_or_default();
        for (name, _) in &mut self.files {
            *name = format!("{suffix}{name}");
            taken.insert(name.clone());
        }
        self.rows.iter_mut().filter_map(|row| row.file.as_mut()).for_each(|file| *file = format!("{suffix}{file}"));
    }
}

fn write_sheet(out: &Path, number: usize, thumbnails: &[Canvas]) -> Result<()> {
    let sheet = overlay::sheet(thumbnails);
    let bytes = encode::png_rgb(sheet.width, sheet.height, &sheet.rgb)?;
    files::write(&out.join(format!("contact-sheet-{number}.png")), &bytes)
}

/// A name that is safe as part of a file's: the picture's without folders that lead to it from above, and without what
/// file systems and shells mind.
fn plain(name: &str) -> String {
    let stem = match name.rsplit_once('.') {
        Some((stem, extension)) if extension.len() <= 5 && !extension.contains('/') => stem,
        _ => name,
    };
    let file = stem.rsplit('/').next().unwrap_or(stem);
    let safe = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    file.chars().map(safe).collect::<String>().trim_start_matches('.').to_owned()
}

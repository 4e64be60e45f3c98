//! `roentgen verify`: is a report what its run gives?

use std::collections::HashMap;
use std::path::Path;

use rayon::prelude::*;

use crate::cards::catalogue;
use crate::cli::{args, example_pictures, machine, print, progress};
use crate::data::manifest::{Manifest, Row};
use crate::data::{self, Dataset};
use crate::device::{Precision, Wanted};
use crate::error::{Error, Result};
use crate::inference::engine::{self, Job, Pace};
use crate::inference::finding::Finding;
use crate::inference::journal::Output;
use crate::inference::prepare;
use crate::metrics::recalibration::Calibrators;
use crate::models::{self, Model};
use crate::predictions;
use crate::report::examples;
use crate::report::verify::{self, Findings, Trust};
use crate::run::{Description, RunFolder};

/// How far a logit may lie from the recorded one where another instruction set or another version computes it: this
/// part of 1 + |logit|.
const TOLERANCE: f64 = 1e-3;

/// No more images are told one by one.
const TOLD: usize = 20;

/// Carries the verb out; false when anything is off.
pub fn run(args: &args::Verify) -> Result<bool> {
    let threads = machine::threads(args.machine.threads)?;
    let trust = Trust { signers: args.signers.as_deref(), identity: args.identity.as_deref() };
    let mut findings = verify::verify(&args.report, trust)?;
    let folder = args.report.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = RunFolder::new(folder);
    match (&args.data, args.rerun) {
        (None, false) => {
            findings.unchecked.push("the images: give their folder with --data".into());
            findings.unchecked.push("the predictions: --rerun predicts again".into());
        }
        (data, rerun) => match Description::read(&folder).and_then(|d| Ok((load(&d, data.as_deref())?, d))) {
            Err(e) => findings.off.push(format!("the data: {e}")),
            Ok((dataset, description)) => {
                images(&folder, &dataset, &mut findings)?;
                match rerun {
                    false => findings.unchecked.push("the predictions: --rerun predicts again".into()),
                    true => predict_again(args, threads, &folder, &description, &dataset, &mut findings)?,
                }
            }
        },
    }
    if findings.pictures > 0 {
        let what = format!("what the {} example pictures show: only their hashes were compared", findings.pictures);
        findings.unchecked.push(what);
    }
    print(&text(&findings))?;
    Ok(findings.off.is_empty())
}

fn text(findings: &Findings) -> String {
    let lines = |sign: &str, of: &[String]| of.iter().map(|line| format!("{sign}  {line}\n")).collect::<String>();
    let verdict = match findings.off.len() {
        0 => "VERIFIED: everything that was checked is right\n".to_owned(),
        1 => "NOT VERIFIED: 1 thing is off\n".to_owned(),
        n => format!("NOT VERIFIED: {n} things are off\n"),
    };
    lines("right       ", &findings.checked)
        + &lines("not checked ", &findings.unchecked)
        + &lines("OFF         ", &findings.off)
        + &verdict
}

/// The samples of the run, in its order.
fn load(description: &Description, root: Option<&Path>) -> Result<Dataset> {
    let mut dataset = data::load(&description.dataset, root, description.split.as_deref())?;
    dataset.samples.truncate(description.limit.unwrap_or(usize::MAX));
    if let Some(shard) = description.shard {
        dataset.samples.retain(|sample| shard.holds(&sample.id));
    }
    Ok(dataset)
}

/// Compares ids, truths and the hash of each image with the manifest.
fn images(folder: &RunFolder, dataset: &Dataset, findings: &mut Findings) -> Result<()> {
    let path = folder.manifest();
    let file = std::fs::File::open(&path).map_err(|e| Error::io(&path, e))?;
    let manifest = match Manifest::read(std::io::BufReader::new(file)) {
        Ok(manifest) => manifest,
        Err(e) => {
            findings.off.push(format!("manifest.csv: {e}"));
            return Ok(());
        }
    };
    let rows: HashMap<&str, &Row> = manifest.rows.iter().map(|row| (row.image.as_str(), row)).collect();
    let mut off: Vec<String> = dataset
        .samples
        .par_iter()
        .filter_map(|sample| {
            let name = sample.id.escape_debug();
            let Some(row) = rows.get(sample.id.as_str()) else {
                return Some(format!("image {name}: not in the manifest"));
            };
            if row.truths != sample.truths || row.patient != sample.patient {
                return Some(format!("image {name}: the data say other labels or another patient than the manifest"));
            }
            // An image that could not be read has no hash there.
            let hash = prepare::sha256(sample).unwrap_or_default();
            (hash != row.sha256).then(|| format!("image {name}: not the picture of the run (SHA-256 differs)"))
        })
        .collect();
    if rows.len() != dataset.samples.len() {
        off.push(format!("images: {} in the manifest, {} in the data", rows.len(), dataset.samples.len()));
    }
    if off.is_empty() {
        findings.checked.push(format!("images: {} hashes, labels and patients", rows.len()));
    }
    told(off, "images", findings);
    Ok(())
}

fn predict_again(
    args: &args::Verify,
    threads: usize,
    folder: &RunFolder,
    description: &Description,
    dataset: &Dataset,
    findings: &mut Findings,
) -> Result<()> {
    // A run of the CPU is predicted again there, unless a device is named.
    let device = match args.machine.device {
        Wanted::Auto if description.device == "cpu" => Wanted::Cpu,
        named => named,
    };
    let place = machine::place(device, description.precision.parse()?)?;
    // The card is the run's; only where the weights are comes from here.
    let (_, home) = catalogue::model(args.model.as_deref().unwrap_or(&description.model.name))
        .map_err(|e| e.mend("give the model's card with --model"))?;
    let (model, weights) = models::load_as(&description.model, &home, &place.device, place.precision.dtype())?;
    if weights != description.hashes.weights {
        findings.off.push(format!("weights: SHA-256 {weights}, not the run's {}", description.hashes.weights));
        return Ok(());
    }
    findings.checked.push("weights: their hash".into());
    // The batch changes nothing on the CPU; elsewhere it is the run's.
    let batch = args.machine.batch.filter(|_| place.device.is_cpu()).unwrap_or(description.batch);
    let pace = Pace { batch: Some(batch), decoders: threads, strict: false };
    let job = Job { model: &model, input: &description.model.input, samples: &dataset.samples, pace };
    let mut meter = progress::Meter::new();
    let outcomes = engine::run(&job, Vec::new(), &mut |_| Ok(()), &*machine::stop_flag()?, &mut |p| meter.show(p))?;
    let failed = outcomes.iter().filter(|o| matches!(o.result, Output::Failure(_))).count();
    let mut again = Finding::of(&description.model, dataset, outcomes)?.predictions;
    if let Some(calibration) = &description.calibration {
        Calibrators::parse(&calibration.content)?.apply(&mut again)?;
    }
    let recorded = predictions::read(&folder.predictions(), None)?;
    let same_machine = (&description.device, &description.instructions) == (&place.name, &place.instructions)
        && description.smallest_batch.is_none()
        && description.software == concat!("roentgen ", env!("CARGO_PKG_VERSION"));
    let tolerance = if same_machine { 0.0 } else { TOLERANCE };
    let rows: HashMap<&str, usize> = recorded.images.iter().enumerate().map(|(i, id)| (id.as_str(), i)).collect();
    let (mut off, mut widest, mut compared) = (Vec::new(), 0.0f64, 0);
    for (row, image) in again.images.iter().enumerate() {
        let name = image.escape_debug();
        let Some(&there) = rows.get(image.as_str()) else {
            off.push(format!("image {name}: no prediction in the run"));
            continue;
        };
        for label in &again.labels {
            let Some(theirs) = recorded.labels.iter().find(|l| l.name == label.name) else {
                off.push(format!("label {}: not in predictions.csv", label.name.escape_debug()));
                continue;
            };
            for (kind, ours, theirs) in [("logit", &label.logits, &theirs.logits), ("p", &label.scores, &theirs.scores)]
            {
                let (Some(ours), Some(theirs)) = (ours, theirs) else { continue };
                let (ours, theirs) = (ours[row], theirs[there]);
                let distance = (ours - theirs).abs();
                widest = widest.max(distance);
                compared += 1;
                if distance > tolerance * (1.0 + theirs.abs()) {
                    off.push(format!(
                        "image {name}, {kind}_{}: {theirs} recorded, {ours} now",
                        label.name.escape_debug()
                    ));
                }
            }
        }
    }
    if again.len() != recorded.len() {
        off.push(format!("predictions: {} images recorded, {} now ({failed} unreadable)", recorded.len(), again.len()));
    }
    if off.is_empty() {
        let within = match same_machine {
            true => "all bit for bit".to_owned(),
            false => format!(
                "all within {TOLERANCE} (1 + |value|), the widest gap {widest:.1e} (another device, instruction set or version)"
            ),
        };
        findings.checked.push(format!("predictions: {compared} logits and probabilities predicted again, {within}"));
    }
    told(off, "predictions", findings);
    // Pictures are drawn on the CPU in f32, whatever the run computed on.
    if same_machine && place.device.is_cpu() && place.precision == Precision::F32 && findings.pictures > 0 {
        draw_again(folder, description, &model, dataset, findings)?;
    }
    Ok(())
}

/// Compares the example pictures with what the model draws, where the list of them is ours: nobody else's can be drawn again.
fn draw_again(
    folder: &RunFolder,
    description: &Description,
    model: &Model,
    dataset: &Dataset,
    findings: &mut Findings,
) -> Result<()> {
    let (listed, pictures) = examples::read(folder)?;
    let (list, drawn) = match example_pictures::make(folder, description, model, dataset) {
        Ok(made) => made,
        Err(e) => {
            findings.off.push(format!("example pictures: {e}"));
            return Ok(());
        }
    };
    if list != listed {
        return Ok(());
    }
    let other = list.iter().zip(drawn.iter().zip(&pictures)).filter(|(_, (ours, theirs))| ours != theirs);
    let off: Vec<_> = other.map(|(e, _)| format!("explain/{}: not the picture that the model draws", e.file)).collect();
    if off.is_empty() {
        findings.checked.push(format!("pictures: {} examples drawn again, all the same bytes", list.len()));
    }
    findings.pictures = 0;
    told(off, "example pictures", findings);
    Ok(())
}

fn told(mut off: Vec<String>, what: &str, findings: &mut Findings) {
    let more = off.len().saturating_sub(TOLD);
    off.truncate(TOLD);
    findings.off.extend(off);
    if more > 0 {
        findings.off.push(format!("{what}: and {more} more differences"));
    }
}

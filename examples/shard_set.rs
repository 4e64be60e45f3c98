//! Writes the shards of a run that nobody made, to measure what joining them takes: `shard_set OUT ROWS SHARDS` makes
//! finished run folders `OUT/1` to `OUT/SHARDS` of the 14 labels of ChestX-ray14, with drawn truths and logits.

use std::error::Error;
use std::path::{Path, PathBuf};

use roentgen::cards::catalogue;
use roentgen::cards::model::ModelCard;
use roentgen::data::{Dataset, Sample, Source, manifest::Manifest};
use roentgen::inference::finding::Finding;
use roentgen::inference::journal::{Outcome, Output};
use roentgen::inference::part::Part;
use roentgen::predictions::{Policy, Truth};
use roentgen::rng::Rng;
use roentgen::run::{Description, Hashes, RunFolder, SCHEMA};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [out, rows, shards] = arguments.as_slice() else { return Err("usage: shard_set OUT ROWS SHARDS".into()) };
    let (rows, shards): (usize, u64) = (rows.parse()?, shards.parse()?);
    let card = catalogue::dataset("nih-chestxray14")?;
    let model = ModelCard { labels: card.labels.clone(), ..catalogue::model("phantom-densenet")?.0 };
    let mut rng = Rng::new(1, 0);
    let samples = (0..rows).map(|i| Sample {
        id: format!("{:08}_{:03}.png", i / 4, i % 4),
        patient: Some(format!("{}", i / 4)),
        study: None,
        attributes: vec!["58".into(), "M".into(), "PA".into()],
        truths: card
            .labels
            .iter()
            .map(|_| if rng.below(10) == 0 { Truth::Positive } else { Truth::Negative })
            .collect(),
        source: Source::File(PathBuf::new()),
    });
    let dataset = Dataset {
        name: card.name.clone(),
        labels: card.labels.clone(),
        attributes: ["age", "sex", "view"].map(String::from).into(),
        samples: samples.collect(),
        notes: Vec::new(),
    };
    let listing = Manifest::new(&dataset, []).listing_sha256();
    for i in 1..=shards {
        let mut shard = dataset.clone();
        let part = Part::cut(&mut shard, format!("{i}/{shards}").parse()?);
        let mut logits =
            |_: &Sample| card.labels.iter().map(|_| (rng.below(1 << 24) as f32 / (1 << 21) as f32) - 6.0).collect();
        let outcomes = shard.samples.iter().map(|sample| Outcome {
            sha256: Some(roentgen::files::sha256(sample.id.as_bytes())),
            result: Output::Logits(logits(sample)),
        });
        let outcomes = outcomes.collect();
        let description = Description {
            schema: SCHEMA.into(),
            software: "roentgen".into(),
            device: "cpu".into(),
            instructions: "none".into(),
            precision: "f32".into(),
            smallest_batch: None,
            batch: 16,
            split: None,
            limit: None,
            shard: Some(part.shard),
            images: shard.samples.len(),
            policy: Policy::default(),
            hashes: Hashes { weights: String::new(), samples: listing.clone(), ..Hashes::default() },
            calibration: None,
            training: None,
            model: model.clone(),
            dataset: card.clone(),
        };
        let folder = RunFolder::new(Path::new(out).join(i.to_string()));
        std::fs::create_dir_all(folder.path())?;
        part.write(&folder.positions())?;
        Finding::of(&model, &shard, outcomes)?.write(&folder, description, b"{}")?;
    }
    Ok(())
}

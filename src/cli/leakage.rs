//! `roentgen datasets leakage`: what two datasets share.

use crate::audit::leakage::{Leakage, Pair, id_list, leakage};
use crate::cards::catalogue;
use crate::cli::{args, note, print};
use crate::data;
use crate::error::{Error, Result};

/// Pairs and ids that are listed of each kind; the JSON has all.
const SHOWN: usize = 10;

/// Carries the verb out.
pub fn run(args: &args::Leakage) -> Result<()> {
    let load = |card: &str, root, split: &Option<String>| {
        let dataset = data::load(&catalogue::dataset(card)?, root, split.as_deref())?;
        dataset.notes.iter().for_each(|n| note(n));
        Ok::<_, Error>(dataset)
    };
    let a = load(&args.a, args.root_a.as_deref(), &args.split_a)?;
    let b = load(&args.b, args.root_b.as_deref(), &args.split_b)?;
    let list = args.trained_on.as_deref().map(id_list).transpose()?;
    let found = leakage(&a, &b, list.as_ref());
    print(&match args.format {
        args::PlainFormat::Text => text(&found),
        args::PlainFormat::Json => serde_json::to_string_pretty(&found).map_err(|e| Error::new(e.to_string()))? + "\n",
    })
}

fn text(found: &Leakage) -> String {
    let Leakage { a, b, images_a, images_b, .. } = found;
    let mut text = match found.same_dataset {
        true => format!("copies within {a} ({images_a} images)\n\n"),
        false => format!("{a} ({images_a} images) and {b} ({images_b} images)\n\n"),
    };
    match &found.patients {
        Some(shared) => {
            text += &format!("shared patients: {}", shared.patients.len());
            if !shared.patients.is_empty() {
                text += &format!(", with {} and {} images", shared.images_a, shared.images_b);
            }
            text += "\n";
            text += &listed(&shared.patients);
        }
        None if found.same_dataset => {}
        None => text += "shared patients: not known\n",
    }
    text += &format!("pairs of files with the same bytes: {}\n{}", found.identical.len(), pairs(&found.identical));
    text += &format!("pairs of other files of the same picture: {}\n{}", found.near.len(), pairs(&found.near));
    if let Some(ids) = &found.trained_on {
        text += &format!("on the training list: {} of {images_b} images\n{}", ids.len(), listed(ids));
    }
    if !found.unreadable.is_empty() {
        text += &format!("could not be read: {}\n{}", found.unreadable.len(), listed(&found.unreadable));
    }
    text
}

fn pairs(pairs: &[Pair]) -> String {
    let line = |p: &Pair| {
        let correlation = (p.correlation < 1.0).then(|| format!("correlation {:.3}", p.correlation));
        let said: Vec<String> =
            correlation.into_iter().chain(p.labels_differ.then(|| "labelled differently".into())).collect();
        match said.is_empty() {
            true => format!("{} = {}", p.a, p.b),
            false => format!("{} = {} ({})", p.a, p.b, said.join(", ")),
        }
    };
    listed(&pairs.iter().map(line).collect::<Vec<_>>())
}

fn listed(lines: &[String]) -> String {
    let mut text: String = lines.iter().take(SHOWN).map(|line| format!("  {line}\n")).collect();
    if lines.len() > SHOWN {
        text += &format!("  and {} more (--format json lists all)\n", lines.len() - SHOWN);
    }
    text
}

//! What there is to open and to evaluate: runs, models and datasets, what is missing of them, and the commands that help.

use std::path::{Path, PathBuf};

use crate::cards::catalogue::{self, CardFile, Home};
use crate::cards::dataset::{DatasetCard, Layout};
use crate::cards::model::ModelCard;
use crate::cluster::job::JobFolder;
use crate::run::{Description, RunFolder, Training, TrainingFolder};

/// Where runs go unless it is said otherwise.
pub const REPORTS: &str = "reports";

/// Where a person's own cards are looked for.
const FOLDERS: [&str; 6] = [".", "models", "datasets", "weights", "published", "reports/published"];

/// Something that can be opened or chosen.
pub struct Item {
    /// What it is.
    pub group: Group,
    /// Its folder, or the name or path of its card.
    pub name: String,
    /// In a few words.
    pub says: String,
    /// More about it: what is missing, and commands.
    pub more: Vec<String>,
}

/// Kinds of items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// A finished run.
    Run,
    /// One that somebody may be writing.
    Unfinished,
    /// A model card.
    Model,
    /// A dataset card.
    Data,
}

impl Group {
    /// The heading above its items.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Run | Self::Unfinished => "Runs below ./reports",
            Self::Model => "Models",
            Self::Data => "Datasets",
        }
    }
}

/// All items: runs, then bundled cards and those in the working folder.
pub fn items() -> Vec<Item> {
    let models = catalogue::model_names().map(str::to_owned).chain(own_cards("roentgen/model/"));
    let datasets = catalogue::dataset_names().map(str::to_owned).chain(own_cards("roentgen/dataset/"));
    runs(Path::new(REPORTS)).into_iter().chain(models.map(model)).chain(datasets.map(dataset)).collect()
}

/// Paths of the cards in the working folder whose schema begins so.
pub fn own_cards(schema: &str) -> Vec<String> {
    let files = FOLDERS.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    let mut paths: Vec<PathBuf> = files.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "toml"));
    paths.sort();
    let card = |path: PathBuf| {
        let table: toml::Table = toml::from_str(&std::fs::read_to_string(&path).ok()?).ok()?;
        let found = table.get("schema")?.as_str()?.starts_with(schema);
        found.then(|| path.strip_prefix(".").unwrap_or(&path).display().to_string())
    };
    paths.into_iter().filter_map(card).collect()
}

/// The run folders in `folder`, sorted by name.
fn runs(folder: &Path) -> Vec<Item> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.sort();
    let item = |path: PathBuf| match JobFolder::new(&path).is_under_way() {
        true => Some(job(path)),
        false if RunFolder::new(&path).run_toml().exists() => Some(run(path)),
        false => training(&TrainingFolder::new(path)),
    };
    paths.into_iter().filter_map(item).collect()
}

fn training(folder: &TrainingFolder) -> Option<Item> {
    let name = folder.path().display().to_string();
    let more = match folder.log().exists().then(|| Training::read(folder))? {
        Ok(log) => format!("recipe {}, {} of {} epochs", log.recipe, log.epochs.len(), log.epochs_at_most),
        Err(e) => e.to_string(),
    };
    let (group, says) = match folder.readme().exists() {
        true => (Group::Run, "a finished training"),
        false => (Group::Unfinished, "training: Enter watches it"),
    };
    Some(Item { group, name, says: says.into(), more: vec![more] })
}

fn run(path: PathBuf) -> Item {
    let folder = RunFolder::new(&path);
    let name = path.display().to_string();
    let unfinished = folder.journal().exists();
    let group = if unfinished { Group::Unfinished } else { Group::Run };
    let d = match Description::read(&folder) {
        Ok(d) => d,
        Err(e) => return Item { group, name, says: e.to_string(), more: Vec::new() },
    };
    let mut more = vec![format!("{} on {}, {} images, {}", d.model.name, d.dataset.name, d.images, d.device)];
    let says = if unfinished {
        let split = d.split.map(|s| format!(" --split {s}")).unwrap_or_default();
        more.push("unfinished; if nobody writes it, go on by the command that began it and --resume:".into());
        more.push(format!("  roentgen evaluate --model {} --data {}{split} ...", d.model.name, d.dataset.name));
        "unfinished: Enter watches it"
    } else {
        more.push(format!("  roentgen tui {name}"));
        "finished"
    };
    Item { group, name, says: says.into(), more }
}

fn job(path: PathBuf) -> Item {
    let name = path.display().to_string();
    let (says, more) = match JobFolder::new(&path).read() {
        Ok(job) => (
            "shards of a job: Enter watches them".to_owned(),
            vec![
                format!("{}, {} images in {} shards", job.name, job.images, job.shards),
                format!("  roentgen cluster status {name}"),
            ],
        ),
        Err(e) => (e.to_string(), Vec::new()),
    };
    Item { group: Group::Unfinished, name, says, more }
}

fn model(name: String) -> Item {
    let (says, more) = match catalogue::model(&name) {
        Ok((card, home)) => weights(&card, &home, &name),
        Err(e) => ("the card is at fault".to_owned(), vec![e.to_string()]),
    };
    Item { group: Group::Model, name, says, more }
}

fn weights(card: &ModelCard, home: &Home, name: &str) -> (String, Vec<String>) {
    let about = format!("{}: {} ({})", card.architecture, card.labels.join(", "), card.licence);
    let labels = match card.labels.len() {
        1 => "1 label".to_owned(),
        n => format!("{n} labels"),
    };
    let Some(path) = &card.weights.path else {
        return (
            format!("{labels}, weights are on the Hub"),
            vec![about, format!("  get them: roentgen weights fetch {name}")],
        );
    };
    match catalogue::file_of(card, home, path) {
        Ok(CardFile::Path(path)) if !path.is_file() => {
            let source = card.source.clone().map(|s| format!("; the card says where from: {s}")).unwrap_or_default();
            ("weights are missing".into(), vec![about, format!("missing: {}{source}", path.display())])
        }
        Ok(_) => (format!("{labels}, weights are here"), vec![about]),
        Err(e) => ("weights are missing".into(), vec![about, e.to_string()]),
    }
}

fn dataset(name: String) -> Item {
    let card = match catalogue::dataset(&name) {
        Ok(card) => card,
        Err(e) => {
            return Item { group: Group::Data, name, says: "the card is at fault".into(), more: vec![e.to_string()] };
        }
    };
    let (says, mut more) = files(&card);
    if card.layout != Layout::Phantom {
        more.push(format!("  how to get it: roentgen datasets show {name}"));
        more.push(format!("  check it: roentgen datasets check {name} --root FOLDER"));
    }
    // Last: some have more labels than there is room for.
    more.push(format!("labels: {} ({})", card.labels.join(", "), card.licence));
    Item { group: Group::Data, name, says, more }
}

fn files(card: &DatasetCard) -> (String, Vec<String>) {
    match &card.root {
        _ if card.layout == Layout::Phantom => ("drawn on demand".into(), Vec::new()),
        Some(root) if Path::new(root).is_dir() => (format!("files in {}", Path::new(root).display()), Vec::new()),
        Some(root) => ("files are missing".into(), vec![format!("missing: {}", Path::new(root).display())]),
        None => ("files: give their folder (i)".into(), Vec::new()),
    }
}

//! Pictures of right and wrong calls: what `explain/` of the run folder holds.
//!
//! `explain/examples.csv` lists them (`file,label,outcome,image,probability,threshold,method`), whoever drew them; the report shows
//! what is listed and nothing else.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files;
use crate::run::RunFolder;

/// No picture and no more of them are shown.
const LONGEST: u64 = 4 << 20;
const MOST: usize = 200;

/// One picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// The picture's name in `explain/`, a PNG.
    pub file: String,
    /// The label that is looked at.
    pub label: String,
    /// What the call is.
    pub outcome: Outcome,
    /// The image.
    pub image: String,
    /// Its probability.
    pub probability: f64,
    /// `probability >= threshold` is called positive.
    pub threshold: f64,
    /// What the overlay shows.
    pub method: String,
}

/// A call against the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Outcome {
    /// Positive and called so.
    Tp,
    /// Negative, called positive.
    Fp,
    /// Positive, called negative.
    Fn,
}

impl Outcome {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Tp => "true positive",
            Self::Fp => "false positive",
            Self::Fn => "false negative",
        }
    }
}

/// Where pictures of a run lie.
pub fn folder(run: &RunFolder) -> PathBuf {
    run.path().join("explain")
}

/// The list of them.
pub fn list(run: &RunFolder) -> PathBuf {
    folder(run).join("examples.csv")
}

/// The text of the list.
pub fn to_csv(examples: &[Example]) -> Result<Vec<u8>> {
    let fault = |e: String| Error::new(e).at("explain/examples.csv");
    let mut writer = csv::Writer::from_writer(Vec::new());
    examples.iter().try_for_each(|e| writer.serialize(e)).map_err(|e| fault(e.to_string()))?;
    writer.into_inner().map_err(|e| fault(e.to_string()))
}

/// The examples of a run with their bytes; none where there is no list.
pub fn read(run: &RunFolder) -> Result<(Vec<Example>, Vec<Vec<u8>>)> {
    let path = list(run);
    if !path.exists() {
        return Ok((Vec::new(), Vec::new()));
    }
    let at = |e: Error| e.at(path.display());
    let rows = || -> std::result::Result<Vec<Example>, csv::Error> {
        csv::Reader::from_path(&path)?.deserialize().take(MOST + 1).collect()
    };
    let examples = rows().map_err(|e| at(Error::new(e.to_string())))?;
    if examples.len() > MOST {
        return Err(at(Error::new(format!("more than {MOST} pictures")).mend("list fewer")));
    }
    let picture = |example: &Example| picture(&folder(run), &example.file).map_err(at);
    let pictures = examples.iter().map(picture).collect::<Result<_>>()?;
    Ok((examples, pictures))
}

/// A PNG that lies in `folder` itself.
fn picture(folder: &Path, name: &str) -> Result<Vec<u8>> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.ends_with(".png") || name.starts_with('.') || !name.chars().all(plain) {
        return Err(Error::new(format!("`{}` is no plain name of a PNG", name.escape_debug())));
    }
    let path = folder.join(name);
    let fault = |e| Error::io(&path, e);
    if !std::fs::symlink_metadata(&path).map_err(fault)?.is_file() {
        return Err(Error::new("not a plain file").at(path.display()));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(&path).and_then(|f| f.take(LONGEST + 1).read_to_end(&mut bytes)).map_err(fault)?;
    if bytes.len() as u64 > LONGEST || !bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Err(Error::new(format!("no PNG of at most {} MiB", LONGEST >> 20)).at(path.display()));
    }
    Ok(bytes)
}

/// Writes pictures and their list.
pub fn write(run: &RunFolder, examples: &[Example], pictures: &[Vec<u8>]) -> Result<()> {
    let folder = folder(run);
    std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
    for (example, picture) in examples.iter().zip(pictures) {
        files::write(&folder.join(&example.file), picture)?;
    }
    files::write(&list(run), &to_csv(examples)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_pictures_inside_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunFolder::new(folder.path());
        assert_eq!(read(&run).unwrap().0, []);
        let example = |file: &str| Example {
            file: file.into(),
            label: "Mass".into(),
            outcome: Outcome::Fp,
            image: "a".into(),
            probability: 0.75,
            threshold: 0.5,
            method: "Grad-CAM".into(),
        };
        let png = b"\x89PNG\r\n\x1a\n...".to_vec();
        write(&run, &[example("a.png")], std::slice::from_ref(&png)).unwrap();
        assert_eq!(read(&run).unwrap(), (vec![example("a.png")], vec![png]));
        let told = |file: &str| {
            std::fs::write(list(&run), to_csv(&[example(file)]).unwrap()).unwrap();
            read(&run).unwrap_err().to_string()
        };
        std::fs::write(folder.path().join("secret.png"), "x").unwrap();
        for bad in ["../secret.png", "/etc/passwd", "b.png", "a.txt", ".png"] {
            told(bad);
        }
        std::os::unix::fs::symlink(folder.path().join("secret.png"), super::folder(&run).join("link.png")).unwrap();
        assert!(told("link.png").contains("not a plain file"));
        std::fs::write(super::folder(&run).join("text.png"), "<svg onload=alert(1)>").unwrap();
        assert!(told("text.png").contains("no PNG"));
    }
}

//! The files of a report: made in memory, hashed into `report.json`, and written so that `report.json` is there only
//! when everything else is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rayon::prelude::*;

use super::document::{Material, explanations, run_files};
use super::surface::Plot;
use super::{canonical, html, plots, surface, tables};
use crate::error::{Error, Result};
use crate::files;
use crate::run::RunFolder;

/// `report.json` and everything that was drawn for it.
pub struct Bundle {
    /// The text of `report.json`, canonical.
    pub json: String,
    /// Content of each drawn file by its path in the run folder.
    pub parts: BTreeMap<String, Vec<u8>>,
}

/// The report itself.
pub fn json_path(folder: &RunFolder) -> PathBuf {
    folder.path().join("report.json")
}

/// Its signature: the report's path with `.sig` behind it, as ssh-keygen names it.
pub fn signature_path(report: &std::path::Path) -> PathBuf {
    let mut path = report.as_os_str().to_owned();
    path.push(".sig");
    path.into()
}

/// Draws everything and fills the report's list of files.
pub fn make(folder: &RunFolder, material: &mut Material) -> Result<Bundle> {
    let mut names = run_files(folder);
    if !material.document.examples.is_empty() {
        names.push("explain/examples.csv".into());
        names.extend(material.document.examples.iter().map(|e| format!("explain/{}", e.file)));
    }
    names.extend(material.document.maps.as_ref().map(|_| explanations()));
    for name in names {
        let hash = files::sha256_of(&folder.path().join(&name))?;
        material.document.files.insert(name, hash);
    }
    let mut parts = BTreeMap::new();
    let tables = tables::all(material);
    for table in &tables {
        parts.insert(format!("tables/{}.csv", table.name), table.csv()?);
        parts.insert(format!("tables/{}.md", table.name), table.markdown().into_bytes());
        parts.insert(format!("tables/{}.tex", table.name), table.latex().into_bytes());
    }
    let drawn = plots::all(material)
        .into_par_iter()
        .map(|plot| {
            let drawn = (surface::svg(&*plot.figure)?, surface::png(&*plot.figure)?);
            Ok((plot, drawn))
        })
        .collect::<Result<Vec<(Plot, (String, Vec<u8>))>>>()?;
    let mut shown = Vec::with_capacity(drawn.len());
    for (plot, (svg, png)) in drawn {
        parts.insert(format!("plots/{}.svg", plot.name), svg.clone().into_bytes());
        parts.insert(format!("plots/{}.png", plot.name), png);
        shown.push((plot, svg));
    }
    let page = html::page(&html::Parts { material, tables: &tables, plots: &shown })?;
    parts.insert("report.html".into(), page.into_bytes());
    let hashes: Vec<_> = parts.par_iter().map(|(name, bytes)| (name.clone(), files::sha256(bytes))).collect();
    material.document.files.extend(hashes);
    let json = canonical::text(&canonical::value(&material.document)?);
    Ok(Bundle { json, parts })
}

/// Writes the report, and its signature where there is one. An older report goes first and the new `report.json` comes
/// last, so that what a kill leaves is a report whose files are all there, or none.
pub fn write(folder: &RunFolder, bundle: &Bundle, signature: Option<&str>) -> Result<()> {
    let json = json_path(folder);
    files::remove_unfinished(folder.path())?;
    for old in [&json, &signature_path(&json), &folder.path().join("report.html")] {
        match std::fs::remove_file(old) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(old, e)),
            _ => {}
        }
    }
    for sub in ["plots", "tables"] {
        let path = folder.path().join(sub);
        std::fs::create_dir_all(&path).map_err(|e| Error::io(&path, e))?;
        files::remove_unfinished(&path)?;
    }
    bundle.parts.par_iter().try_for_each(|(name, bytes)| files::write(&folder.path().join(name), bytes))?;
    if let Some(signature) = signature {
        files::write(&signature_path(&json), signature.as_bytes())?;
    }
    files::write(&json, bundle.json.as_bytes())
}

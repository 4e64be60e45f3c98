//! Is a report what its run gives? Signature, files, and every number computed again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::document::{Choices, Material, SCHEMA, read_table};
use super::{bundle, canonical, examples, signature, signers};
use crate::error::{Error, Result};
use crate::files;
use crate::run::RunFolder;

/// No report is longer.
const LONGEST: u64 = 256 << 20;

/// No more differences are told.
const TOLD: usize = 20;

/// What a verification came to, in lines for a person.
#[derive(Debug, Default)]
pub struct Findings {
    /// What was checked and is right.
    pub checked: Vec<String>,
    /// What was not checked, and why.
    pub unchecked: Vec<String>,
    /// What is wrong; each line begins with the file or the place.
    pub off: Vec<String>,
    /// Example pictures, of which only the hashes were compared.
    pub pictures: usize,
}

/// Whose signature counts.
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    /// An allowed-signers file.
    pub signers: Option<&'a Path>,
    /// Who must have signed.
    pub identity: Option<&'a str>,
}

/// Verifies the report at `path` against the files beside it. What is wrong with the report is a finding, not an error;
/// errors are of the signers file, which is the reader's own.
pub fn verify(path: &Path, trust: Trust) -> Result<Findings> {
    let mut findings = Findings::default();
    let bytes = read(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    check_signature(path, &bytes, trust, &mut findings)?;
    let report = match parse(&bytes) {
        Ok(report) => report,
        Err(e) => {
            findings.off.push(format!("{name}: {e}"));
            return Ok(findings);
        }
    };
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = RunFolder::new(parent);
    check_files(&report, &folder, &mut findings);
    // Also where a file was changed: which numbers it moved says more than that it was.
    if let Err(e) = recompute(&report, &folder, &mut findings) {
        findings.off.push(format!("the run cannot be computed again: {e}"));
    }
    Ok(findings)
}

/// Reads a report, which is not followed beyond a length that none has.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|f| f.take(LONGEST + 1).read_to_end(&mut bytes)).map_err(|e| Error::io(path, e))?;
    if bytes.len() as u64 > LONGEST {
        return Err(Error::new("longer than any report").at(path.display()));
    }
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Result<Value> {
    let report: Value = serde_json::from_slice(bytes).map_err(|e| Error::new(e.to_string()))?;
    if canonical::text(&report).as_bytes() != bytes {
        return Err(Error::new("the text is not canonical (RFC 8785): it was changed after it was made"));
    }
    if report["schema"] != SCHEMA {
        return Err(Error::new(format!("the schema is not `{SCHEMA}`")));
    }
    Ok(report)
}

fn check_signature(path: &Path, bytes: &[u8], trust: Trust, findings: &mut Findings) -> Result<()> {
    let file = bundle::signature_path(path);
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if !file.exists() {
        match trust.signers {
            Some(_) => findings.off.push(format!("{name}: there is no signature")),
            None => findings.unchecked.push("who made the report: it is not signed".into()),
        }
        return Ok(());
    }
    let key = match signature::read_short(&file).and_then(|armoured| signature::check(bytes, &armoured)) {
        Ok(key) => key,
        Err(e) => {
            findings.off.push(format!("{name}: {e}"));
            return Ok(());
        }
    };
    let print = signature::fingerprint(key.key_data());
    let Some(signers) = trust.signers else {
        findings.checked.push(format!("signature: a good one by the key {print}"));
        findings.unchecked.push("whose key it is: give an allowed-signers file with --signers".into());
        return Ok(());
    };
    // A list that cannot be read is the reader's fault to mend, not the report's.
    std::fs::metadata(signers).map_err(|e| Error::io(signers, e))?;
    match signers::principals(signers, key.key_data(), trust.identity) {
        Ok(who) => {
            let who = trust.identity.unwrap_or(&who).escape_debug().to_string();
            findings.checked.push(format!("signature: a good one by {who}, key {print}"));
        }
        Err(e) => findings.off.push(format!("{name}: a signature of someone who is not an allowed signer: {e}")),
    }
    Ok(())
}

/// Hashes every file that the report lists.
fn check_files(report: &Value, folder: &RunFolder, findings: &mut Findings) {
    let Some(listed) = report["files"].as_object() else {
        return findings.off.push("report.json, files: no list of files".into());
    };
    let before = findings.off.len();
    for (name, expected) in listed {
        let problem = match plain(folder, name) {
            Err(e) => Some(e.to_string()),
            Ok(()) => match files::sha256_of(&folder.path().join(name)) {
                Ok(hash) if *expected == hash => None,
                Ok(_) => Some("changed: its hash is not the one in the report".to_owned()),
                Err(_) if !folder.path().join(name).exists() => Some("missing".to_owned()),
                Err(e) => Some(e.to_string()),
            },
        };
        findings.off.extend(problem.map(|problem| format!("{}: {problem}", name.escape_debug())));
    }
    if findings.off.len() == before {
        findings.checked.push(format!("files: {} hashes", listed.len()));
    }
}

/// A report may name plain files of its folder only: no link, nothing above it.
fn plain(folder: &RunFolder, name: &str) -> Result<()> {
    let parts: Vec<&str> = name.split('/').collect();
    let fine = |part: &&str| !part.is_empty() && *part != "." && *part != ".." && !part.contains(['\\', '\0']);
    if !parts.iter().all(fine) || parts.len() > 2 {
        return Err(Error::new("no file of the run folder"));
    }
    let mut path = folder.path().to_owned();
    for part in parts {
        path.push(part);
        if path.is_symlink() {
            return Err(Error::new("a link, not a file"));
        }
    }
    Ok(())
}

/// Computes the report again from the run and compares everything.
fn recompute(report: &Value, folder: &RunFolder, findings: &mut Findings) -> Result<()> {
    let made_by = report["software"].as_str().unwrap_or_default();
    let ours = concat!("roentgen ", env!("CARGO_PKG_VERSION"));
    if made_by != ours {
        let theirs = made_by.escape_debug();
        findings.unchecked.push(format!(
            "whether {theirs} and this {ours} define everything alike: a difference below may come from there"
        ));
    }
    let whole = |key: &str| {
        report["choices"][key].as_u64().ok_or_else(|| Error::new(format!("no whole number `{key}`")).at("choices"))
    };
    let published = report["choices"]["published"].as_str().map(str::to_owned);
    let choices = Choices { bootstrap: whole("bootstrap")? as usize, seed: whole("seed")?, published };
    let mut material = Material::of_run(folder, choices)?;
    let before = findings.off.len();
    findings.off.extend(material.unlike_run(folder)?);
    findings.off.extend(unlike_manifest(folder)?);
    if findings.off.len() == before {
        findings
            .checked
            .push("run: manifest, predictions and evaluation are those that run.toml and each other name".into());
    }
    let again = bundle::make(folder, &mut material)?;
    let mut compared = Compared::default();
    let ours: Value = serde_json::from_str(&again.json).map_err(|e| Error::new(e.to_string()))?;
    compared.values("", &ours, report, &again.parts);
    let different = compared.different.len();
    if different == 0 {
        findings.checked.push(format!(
            "numbers: {} computed again from the predictions, all equal to the last digit",
            compared.numbers
        ));
        findings
            .checked
            .push(format!("pages: {} tables, plots and pages drawn again, all the same bytes", again.parts.len()));
    } else {
        findings.off.extend(compared.different.into_iter().take(TOLD).map(|d| format!("report.json, {d}")));
        if different > TOLD {
            findings.off.push(format!("report.json: and {} more differences", different - TOLD));
        }
    }
    if material.document.maps.is_some() {
        let what =
            "how the tests of the maps came about: their file's hash and what follows from their numbers are right";
        findings.unchecked.push(what.into());
    }
    findings.pictures = material.document.examples.len();
    if findings.pictures == 0 && examples::list(folder).exists() {
        findings.unchecked.push("explain/: the report shows none of its pictures".into());
    }
    Ok(())
}

/// Predictions whose truths or patients are not those of the manifest.
fn unlike_manifest(folder: &RunFolder) -> Result<Vec<String>> {
    let table = read_table(&folder.predictions())?;
    if table.labels.iter().all(|label| label.truths.is_none()) {
        return Ok(Vec::new());
    }
    let manifest = read_table(&folder.manifest())?;
    let rows: std::collections::HashMap<&str, usize> =
        manifest.images.iter().enumerate().map(|(row, id)| (id.as_str(), row)).collect();
    let mut off = Vec::new();
    for (row, image) in table.images.iter().enumerate() {
        let Some(&listed) = rows.get(image.as_str()) else {
            off.push(format!("predictions.csv, image {}: not in the manifest", image.escape_debug()));
            continue;
        };
        for label in &table.labels {
            let theirs = manifest.label(&label.name).and_then(|l| l.truths.as_ref()).map(|t| t[listed]);
            let ours = label.truths.as_ref().map(|t| t[row]);
            if ours.is_some() && ours != theirs {
                let (image, label) = (image.escape_debug(), label.name.escape_debug());
                off.push(format!("predictions.csv, image {image}, y_{label}: not the truth in the manifest"));
            }
        }
    }
    let more = off.len().saturating_sub(TOLD);
    off.truncate(TOLD);
    if more > 0 {
        off.push(format!("predictions.csv: and {more} more such rows"));
    }
    Ok(off)
}

/// Two reports side by side.
#[derive(Default)]
struct Compared {
    numbers: usize,
    different: Vec<String>,
}

impl Compared {
    /// Compares what we computed with what the report says at `place`; `drawn` are the files that we drew.
    fn values(&mut self, place: &str, ours: &Value, theirs: &Value, drawn: &BTreeMap<String, Vec<u8>>) {
        match (ours, theirs) {
            (Value::Object(a), Value::Object(b)) => {
                let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
                for key in keys {
                    let inner = if place.is_empty() {
                        key.escape_debug().to_string()
                    } else {
                        format!("{place}.{}", key.escape_debug())
                    };
                    match (a.get(key), b.get(key)) {
                        // The files as they lie there have been compared already.
                        (Some(_), Some(_)) if place == "files" && !drawn.contains_key(key) => {}
                        (Some(a), Some(b)) if place == "files" && a != b => {
                            self.different.push(format!("{inner}: not the hash of what the run gives"));
                        }
                        (Some(a), Some(b)) => self.values(&inner, a, b, drawn),
                        (Some(_), None) => self.different.push(format!("{inner}: missing")),
                        _ => self.different.push(format!("{inner}: not part of a report of this run")),
                    }
                }
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                for (i, (a, b)) in a.iter().zip(b).enumerate() {
                    // A label's or an attribute's name says more than its number.
                    let named = ["label", "attribute", "rule", "value", "image", "number"]
                        .iter()
                        .find_map(|key| a[*key].as_str());
                    let index = named.map_or(i.to_string(), |name| name.escape_debug().to_string());
                    self.values(&format!("{place}[{index}]"), a, b, drawn);
                }
            }
            (a, b) if a == b => self.numbers += usize::from(a.is_number()),
            (a, b) => self.different.push(format!("{place}: {} where the run gives {}", shown(b), shown(a))),
        }
    }
}

/// A value in a message.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::Array(items) => format!("a list of {}", items.len()),
        other => canonical::text(other),
    };
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

//! A folder of DICOM files: patients, studies and views from their tags, labels from a table if there is one.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::DeflateDecoder;

use super::dataset::Loaded;
use super::images::{Wanted, id_of, missing_error, walk};
use super::root::Root;
use super::table::{self, Part, Query};
use super::{Sample, Source, split};
use crate::cards::dataset::{DatasetCard, DicomKey};
use crate::dicom_elements::{Elements, Encoding, Value};
use crate::error::{Error, Result};

/// What the tags of one file say; empty where they are silent, as those of a file that cannot be read.
#[derive(Default, Clone)]
struct Tags {
    sop_instance: String,
    patient: String,
    study: String,
    age: String,
    sex: String,
    view: String,
}

/// A file below the root.
struct File {
    path: PathBuf,
    tags: Tags,
}

pub(super) fn load(card: &DatasetCard, root: &Root, wanted: Option<&str>) -> Result<Loaded> {
    let key = card.of_layout(&card.dicom)?.key;
    let mut files = Vec::new();
    walk(&root.folder, &mut |path| {
        if is_dicom(&path) {
            files.push(File { tags: tags_of(&path), path });
        }
    })?;
    match &card.table {
        None if wanted.is_some() => Err(split::unknown(wanted.unwrap_or_default(), std::iter::empty())),
        None => Ok(without_table(files, root)),
        Some(spec) => {
            let query = Query { spec, labels: &card.labels, wanted, attributes_may_lack: false };
            with_table(&query, key, files, root)
        }
    }
}

const ATTRIBUTES: [&str; 3] = ["age", "sex", "view"];

fn without_table(files: Vec<File>, root: &Root) -> Loaded {
    let mut samples: Vec<_> = files.into_iter().map(|file| sample(file.path, file.tags, root)).collect();
    samples.sort_by(|a, b| a.id.cmp(&b.id));
    let unknown = samples.iter().filter(|s| s.patient.is_none()).count();
    let note = format!("files without a PatientID: {unknown} of {}", samples.len());
    Loaded {
        attributes: ATTRIBUTES.map(String::from).into(),
        samples,
        notes: (unknown > 0).then_some(note).into_iter().collect(),
    }
}

fn with_table(query: &Query, key: DicomKey, files: Vec<File>, root: &Root) -> Result<Loaded> {
    let mut notes = Vec::new();
    let parts = table::read(query, root, &mut notes)?;
    let spec = query.spec;
    let mut by_key: HashMap<String, Vec<File>> = HashMap::new();
    for file in files {
        let key = match key {
            DicomKey::Stem => file.path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            DicomKey::SopInstanceUid => file.tags.sop_instance.clone(),
            DicomKey::PatientId => file.tags.patient.clone(),
        };
        by_key.entry(key).or_default().push(file);
    }
    if key != DicomKey::PatientId
        && let Some((key, files)) = by_key.iter().filter(|(k, f)| !k.is_empty() && f.len() > 1).min_by_key(|(k, _)| *k)
    {
        let cause = format!("`{key}` is there twice: {} and {}", files[0].path.display(), files[1].path.display());
        return Err(Error::new(cause).mend("give a --root that holds only one of them"));
    }
    check_all_there(&parts, &by_key, &root.folder)?;
    // The table's word goes before the tags'.
    let own: Vec<Option<usize>> =
        ATTRIBUTES.iter().map(|name| spec.attributes.keys().position(|a| a == name)).collect();
    let extra: Vec<usize> = (0..spec.attributes.len()).filter(|i| !own.contains(&Some(*i))).collect();
    let mut samples = Vec::new();
    for row in parts.into_iter().flat_map(|part| part.rows) {
        for file in by_key.remove(&row.image).unwrap_or_default() {
            let mut sample = sample(file.path, file.tags, root);
            for (value, column) in sample.attributes.iter_mut().zip(&own) {
                if let Some(column) = column {
                    value.clone_from(&row.attributes[*column]);
                }
            }
            sample.attributes.extend(extra.iter().map(|i| row.attributes[*i].clone()));
            sample.patient = row.patient.clone().or(sample.patient);
            sample.study = row.study.clone().or(sample.study);
            sample.truths.clone_from(&row.truths);
            samples.push(sample);
        }
    }
    let left = by_key.values().map(Vec::len).sum::<usize>();
    if left > 0 && query.wanted.is_none() {
        notes.push(format!("DICOM files that are not in the table and are left out: {left}"));
    }
    let extra = extra.into_iter().filter_map(|i| spec.attributes.keys().nth(i).cloned());
    let attributes = ATTRIBUTES.map(String::from).into_iter().chain(extra).collect();
    Ok(Loaded { attributes, samples, notes })
}

fn check_all_there(parts: &[Part], by_key: &HashMap<String, Vec<File>>, folder: &Path) -> Result<()> {
    for part in parts {
        let missing: Vec<_> = part.rows.iter().filter(|row| !by_key.contains_key(&row.image)).collect();
        if let Some(first) = missing.first() {
            let first = Wanted { name: &first.image, line: first.line };
            return Err(missing_error(&first, &part.path, folder, missing.len(), part.rows.len()));
        }
    }
    Ok(())
}

fn sample(path: PathBuf, tags: Tags, root: &Root) -> Sample {
    let known = |text: String| Some(text).filter(|t| !t.is_empty());
    Sample {
        id: id_of(&root.folder, &path),
        patient: known(tags.patient),
        study: known(tags.study),
        attributes: vec![tags.age, tags.sex, tags.view],
        truths: Vec::new(),
        source: Source::File(path),
    }
}

/// By its extension; without one, by the mark after the preamble. A DICOMDIR is a table of contents, no image.
fn is_dicom(path: &Path) -> bool {
    match path.extension() {
        Some(e) => ["dcm", "dicom", "dic"].iter().any(|x| e.eq_ignore_ascii_case(x)),
        None if path.file_name().is_some_and(|n| n == "DICOMDIR") => false,
        None => {
            let mut start = [0; 132];
            let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
            read.is_ok() && &start[128..] == b"DICM"
        }
    }
}

/// A file that cannot be read has no tags here; who reads its pixels will say why.
fn tags_of(path: &Path) -> Tags {
    // The tags stand before the pixels, which are large.
    const START: u64 = 256 << 10;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(START).read_to_end(&mut bytes));
    let mut tags = Tags::default();
    if read.is_ok() && bytes.get(128..132) == Some(b"DICM") {
        // An error is where the bytes end or the file is damaged: what came before it counts.
        tags.read(&bytes[132..]).ok();
    }
    tags
}

impl Tags {
    /// Takes what the elements say; `bytes` begin with the file meta information (PS3.10).
    fn read(&mut self, bytes: &[u8]) -> Result<()> {
        let mut meta = Elements::new(bytes, Encoding::EXPLICIT);
        let mut syntax = String::new();
        while meta.next_group() == Some(0x0002) {
            if let Some(((0x0002, 0x0010), Value::Bytes(uid))) = meta.read()? {
                syntax = text(uid);
            }
        }
        let mut inflated = Vec::new();
        let (body, encoding) = match syntax.as_str() {
            "1.2.840.10008.1.2" => (meta.rest(), Encoding::IMPLICIT),
            "1.2.840.10008.1.2.2" => (meta.rest(), Encoding { explicit: true, big_endian: true }),
            "1.2.840.10008.1.2.1.99" => {
                let start = DeflateDecoder::new(meta.rest()).take(1 << 20).read_to_end(&mut inflated);
                // The end of what was read is not the end of the stream.
                start.ok();
                (inflated.as_slice(), Encoding::EXPLICIT)
            }
            _ => (meta.rest(), Encoding::EXPLICIT),
        };
        let mut elements = Elements::new(body, encoding);
        while let Some((tag, value)) = elements.read()? {
            let Value::Bytes(value) = value else { break };
            match tag {
                (0x0008, 0x0018) => self.sop_instance = text(value),
                (0x0010, 0x0020) => self.patient = text(value),
                (0x0010, 0x0040) => self.sex = text(value),
                (0x0010, 0x1010) => self.age = table::age(&text(value)),
                (0x0018, 0x5101) => self.view = text(value),
                (0x0020, 0x000D) => self.study = text(value),
                (0x0021.., _) => break,
                _ => {}
            }
        }
        Ok(())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_matches([' ', '\0']).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn element(tag: (u16, u16), vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
        let length = (value.len() as u16).to_le_bytes();
        [&tag.0.to_le_bytes(), &tag.1.to_le_bytes(), &vr[..], &length, value].concat()
    }

    /// After the preamble: file meta information, and a data set in explicit VR little endian.
    fn file() -> Vec<u8> {
        [
            element((0x0002, 0x0010), b"UI", b"1.2.840.10008.1.2.1\0"),
            element((0x0008, 0x0018), b"UI", b"1.2.3\0"),
            element((0x0010, 0x0020), b"LO", b"p 7 "),
            element((0x0010, 0x1010), b"AS", b"058Y"),
            element((0x0018, 0x5101), b"CS", b"PA"),
            element((0x0020, 0x000D), b"UI", b"1.9\0"),
            element((0x0028, 0x0010), b"US", &[0, 1]),
        ]
        .concat()
    }

    #[test]
    fn tags_without_padding() {
        let mut tags = Tags::default();
        tags.read(&file()).unwrap();
        let told = [&tags.sop_instance, &tags.patient, &tags.age, &tags.sex, &tags.view, &tags.study];
        assert_eq!(told, ["1.2.3", "p 7", "58", "", "PA", "1.9"]);
    }

    proptest! {
        #[test]
        fn damaged_files_are_no_panic(at in 0usize..200, byte: u8, end in 0usize..200) {
            let mut bytes = file();
            let length = bytes.len();
            bytes[at % length] = byte;
            bytes.truncate(length - end % length);
            Tags::default().read(&bytes).ok();
        }
    }
}

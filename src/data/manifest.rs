//! `manifest.csv` of a run: every image with its hash and what is known of it.

use std::io::{Read, Write};

use super::{Dataset, Sample};
use crate::error::{Error, Result};
use crate::files;
use crate::predictions::Truth;

/// What is known of the images of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Names of the attributes.
    pub attributes: Vec<String>,
    /// The findings.
    pub labels: Vec<String>,
    /// One for each image, in the dataset's order.
    pub rows: Vec<Row>,
}

/// One image of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// [`super::Sample::id`].
    pub image: String,
    /// SHA-256 of the image's bytes in hex; empty when they could not be read.
    pub sha256: String,
    /// The patient, when known.
    pub patient: Option<String>,
    /// The study, when known.
    pub study: Option<String>,
    /// Parallel to [`Manifest::attributes`].
    pub attributes: Vec<String>,
    /// Parallel to [`Manifest::labels`].
    pub truths: Vec<Truth>,
}

impl Manifest {
    /// Of a dataset's samples and their hashes, which are parallel; a missing hash is an empty one.
    pub fn new(dataset: &Dataset, sha256: impl IntoIterator<Item = String>) -> Self {
        let row = |(sample, sha256): (&Sample, String)| Row {
            image: sample.id.clone(),
            sha256,
            patient: sample.patient.clone(),
            study: sample.study.clone(),
            attributes: sample.attributes.clone(),
            truths: sample.truths.clone(),
        };
        let hashes = sha256.into_iter().chain(std::iter::repeat(String::new()));
        Self {
            attributes: dataset.attributes.clone(),
            labels: dataset.labels.clone(),
            rows: dataset.samples.iter().zip(hashes).map(row).collect(),
        }
    }

    /// SHA-256, in hex, of everything but the pictures' hashes: it identifies a list of samples before any is read.
    pub fn listing_sha256(&self) -> String {
        let mut text = format!("{:?}\n{:?}\n", self.labels, self.attributes);
        for row in &self.rows {
            text += &format!("{:?}\n", (&row.image, &row.patient, &row.study, &row.attributes, &row.truths));
        }
        files::sha256(text.as_bytes())
    }

    /// Writes `image, sha256, patient, study, attributes, y_LABEL`; `study` only when some image has one.
    pub fn write(&self, out: impl Write) -> Result<()> {
        let studies = self.rows.iter().any(|row| row.study.is_some());
        let put = || -> csv::Result<()> {
            let mut csv = csv::Writer::from_writer(out);
            let fixed = ["image", "sha256", "patient"].into_iter().chain(studies.then_some("study"));
            let labels: Vec<String> = self.labels.iter().map(|label| format!("y_{label}")).collect();
            let attributes = self.attributes.iter().map(String::as_str);
            csv.write_record(fixed.chain(attributes).chain(labels.iter().map(String::as_str)))?;
            for row in &self.rows {
                let patient = row.patient.as_deref().unwrap_or_default();
                let study = studies.then(|| row.study.as_deref().unwrap_or_default());
                let fixed = [row.image.as_str(), &row.sha256, patient].into_iter().chain(study);
                let attributes = row.attributes.iter().map(String::as_str);
                csv.write_record(fixed.chain(attributes).chain(row.truths.iter().map(|t| t.as_str())))?;
            }
            Ok(csv.flush()?)
        };
        put().map_err(|e| Error::new(e.to_string()).at("manifest.csv"))
    }

    /// Reads what [`Self::write`] wrote. Errors name row and column.
    pub fn read(input: impl Read) -> Result<Self> {
        let mut csv = csv::Reader::from_reader(input);
        let header = csv.headers().map_err(|e| Error::new(e.to_string()))?.clone();
        let column = |name: &str| header.iter().position(|h| h == name);
        let needed = |name: &str| column(name).ok_or_else(|| Error::new(format!("the column `{name}` is not there")));
        let (image, sha256, patient, study) = (needed("image")?, needed("sha256")?, column("patient"), column("study"));
        let fixed = [Some(image), Some(sha256), patient, study];
        let labels: Vec<usize> = (0..header.len()).filter(|c| header[*c].starts_with("y_")).collect();
        let attributes: Vec<usize> =
            (0..header.len()).filter(|c| !labels.contains(c) && !fixed.contains(&Some(*c))).collect();
        let mut rows = Vec::new();
        for record in csv.records() {
            // The library's message names the line.
            let record = record.map_err(|e| Error::new(e.to_string()))?;
            let known = |c: Option<usize>| c.map(|c| record[c].to_owned()).filter(|cell| !cell.is_empty());
            let truth = |c: &usize| {
                Truth::parse(record[*c].as_bytes()).ok_or_else(|| {
                    let line = record.position().map_or(0, csv::Position::line);
                    Error::new(format!("`{}` is no truth", &record[*c]))
                        .at(format_args!("line {line}, column `{}`", &header[*c]))
                        .mend("write 1, 0, -1 or nothing")
                })
            };
            rows.push(Row {
                image: record[image].to_owned(),
                sha256: record[sha256].to_owned(),
                patient: known(patient),
                study: known(study),
                attributes: attributes.iter().map(|c| record[*c].to_owned()).collect(),
                truths: labels.iter().map(truth).collect::<Result<_>>()?,
            });
        }
        Ok(Self {
            attributes: attributes.iter().map(|c| header[*c].to_owned()).collect(),
            labels: labels.iter().map(|c| header[*c]["y_".len()..].to_owned()).collect(),
            rows,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::data::Source;

    #[test]
    fn reads_what_it_wrote() {
        let sample = |id: &str, patient: Option<&str>, truths: [Truth; 2]| Sample {
            id: id.into(),
            patient: patient.map(String::from),
            study: None,
            attributes: vec!["58".into()],
            truths: truths.into(),
            source: Source::File(PathBuf::new()),
        };
        let dataset = Dataset {
            name: "d".into(),
            labels: vec!["Mass".into(), "No, Finding".into()],
            attributes: vec!["age".into()],
            samples: vec![
                sample("a/b.png", Some("p1"), [Truth::Positive, Truth::Unmentioned]),
                sample("c \"d\".png", None, [Truth::Uncertain, Truth::Negative]),
            ],
            notes: Vec::new(),
        };
        let mut bytes = Vec::new();
        let written = Manifest::new(&dataset, ["00".into()]);
        written.write(&mut bytes).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&bytes),
            "image,sha256,patient,age,y_Mass,\"y_No, Finding\"\na/b.png,00,p1,58,1,\n\"c \"\"d\"\".png\",,,58,-1,0\n"
        );
        let manifest = Manifest::read(bytes.as_slice()).unwrap();
        assert_eq!(manifest, written);
        assert_eq!(manifest.rows[1].truths, dataset.samples[1].truths);
        assert_eq!(manifest.listing_sha256(), Manifest::new(&dataset, []).listing_sha256());
        let e = Manifest::read("image,sha256,y_A\nx,0,7\n".as_bytes()).unwrap_err().to_string();
        assert_eq!(e, "line 2, column `y_A`: `7` is no truth; write 1, 0, -1 or nothing");
        assert!(Manifest::read("image,sha256\nx\n".as_bytes()).is_err());
    }
}

//! From images to studies.

use serde::{Deserialize, Serialize};

use super::table::codes;
use super::{Attribute, Label, Predictions, Truth};
use crate::error::{Error, Result};

/// How the scores of a study's images become its score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aggregate {
    /// The highest score.
    Max,
    /// The arithmetic mean of the scores.
    Mean,
}

impl Predictions {
    /// One row a study, in order of first appearance, named by the study, and notes on what its images do not agree in.
    ///
    /// A study is positive for a label if any of its images is, else uncertain if any is, else negative if any is,
    /// else unmentioned. An attribute that differs within a study is left empty. Scores are aggregated, and logits,
    /// which would be no longer those of the scores, left out.
    ///
    /// # Errors
    /// No `study` column, an image without a study, a study with images of two patients.
    pub fn by_study(&self, aggregate: Aggregate) -> Result<(Self, Vec<String>)> {
        let Some(studies) = &self.studies else {
            return Err(Error::new("no column study, so images cannot be aggregated to studies")
                .mend("add the column, or evaluate images"));
        };
        if let Some(row) = studies.iter().position(String::is_empty) {
            let place = format!("image {}, column study", self.images[row]);
            return Err(Error::new("the study is empty").mend("fill it in, or evaluate images").at(place));
        }
        let (codes, names) = codes(studies);
        let mut groups = vec![Vec::new(); names.len()];
        for (row, &code) in codes.iter().enumerate() {
            groups[code as usize].push(row);
        }
        let mut notes = Vec::new();
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let patients = self.patients.as_ref().map(|patients| patients_of(&groups, patients, &names)).transpose()?;
        let attributes = self.attributes.iter().map(|attribute| common(&groups, attribute, &mut notes)).collect();
        let labels = self.labels.iter().map(|label| label_of(&groups, label, aggregate, &mut notes)).collect();
        Ok((Self { images: names.clone(), patients, studies: Some(names), attributes, labels }, notes))
    }
}

fn patients_of(groups: &[Vec<usize>], patients: &[String], names: &[String]) -> Result<Vec<String>> {
    let patient = |(rows, name): (&Vec<usize>, &String)| {
        let first = &patients[rows[0]];
        match rows.iter().map(|&row| &patients[row]).find(|patient| *patient != first) {
            None => Ok(first.clone()),
            Some(other) => Err(Error::new(format!("study {name} holds images of the patients {first} and {other}"))
                .mend("name studies so that no two patients share one, as in PATIENT/STUDY")),
        }
    };
    groups.iter().zip(names).map(patient).collect()
}

fn common(groups: &[Vec<usize>], attribute: &Attribute, notes: &mut Vec<String>) -> Attribute {
    let mut differ = 0;
    let values = groups.iter().map(|rows| {
        let first = &attribute.values[rows[0]];
        if rows.iter().all(|&row| attribute.values[row] == *first) {
            return first.clone();
        }
        differ += 1;
        String::new()
    });
    let values = values.collect();
    if differ > 0 {
        notes.push(format!("{} differs within {} and is left empty there", attribute.name, count(differ)));
    }
    Attribute { name: attribute.name.clone(), values }
}

fn label_of(groups: &[Vec<usize>], label: &Label, aggregate: Aggregate, notes: &mut Vec<String>) -> Label {
    let mut differ = 0;
    let truths = label.truths.as_ref().map(|truths| {
        let truth = |rows: &Vec<usize>| {
            differ += usize::from(rows.iter().any(|&row| truths[row] != truths[rows[0]]));
            rows.iter().map(|&row| truths[row]).max().unwrap_or(Truth::Unmentioned)
        };
        groups.iter().map(truth).collect()
    });
    if differ > 0 {
        let (name, studies) = (&label.name, count(differ));
        notes.push(format!(
            "{name}: the truths of the images differ within {studies}; any positive image makes a study positive"
        ));
    }
    let scores = label.scores.as_ref().map(|scores| {
        let score = |rows: &Vec<usize>| {
            let scores = rows.iter().map(|&row| scores[row]);
            match aggregate {
                Aggregate::Max => scores.fold(f64::NEG_INFINITY, f64::max),
                Aggregate::Mean => scores.sum::<f64>() / rows.len() as f64,
            }
        };
        groups.iter().map(score).collect()
    });
    Label { name: label.name.clone(), truths, logits: None, scores }
}

fn count(studies: usize) -> String {
    if studies == 1 { "1 study".to_owned() } else { format!("{studies} studies") }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::predictions::read::tests::parse;

    const TABLE: &str = "image,patient,study,view,sex,y_Mass,p_Mass,logit_Mass\n\
                         a,1,s2,PA,F,0,0.25,-1\n\
                         b,1,s1,PA,F,-1,0.5,0\n\
                         c,1,s2,AP,F,1,0.75,1\n\
                         d,2,s3,AP,M,,0.1,-2\n\
                         e,1,s1,PA,F,0,0.1,-2\n";

    #[test]
    fn studies_in_order_of_first_appearance() {
        let images = parse(TABLE).unwrap();
        let (max, notes) = images.by_study(Aggregate::Max).unwrap();
        assert_eq!(max.images, ["s2", "s1", "s3"]);
        assert_eq!(max.patients.as_deref().unwrap(), ["1", "1", "2"]);
        assert_eq!(max.column("view").unwrap(), ["", "PA", "AP"]);
        assert_eq!(max.column("sex").unwrap(), ["F", "F", "M"]);
        let mass = &max.labels[0];
        assert_eq!(mass.truths.as_deref().unwrap(), [Truth::Positive, Truth::Uncertain, Truth::Unmentioned]);
        assert_eq!(mass.scores.as_deref().unwrap(), [0.75, 0.5, 0.1]);
        assert_eq!(mass.logits, None);
        assert_snapshot!(notes[0], @"view differs within 1 study and is left empty there");
        assert_snapshot!(notes[1], @"Mass: the truths of the images differ within 2 studies; any positive image makes a study positive");
        let (mean, _) = images.by_study(Aggregate::Mean).unwrap();
        assert_eq!(mean.labels[0].scores.as_deref().unwrap(), [0.5, 0.3, 0.1]);
    }

    #[test]
    fn faults() {
        let fault = |text: &str| parse(text).unwrap().by_study(Aggregate::Max).unwrap_err().to_string();
        assert_snapshot!(fault("image,p_Mass\na,0\n"), @"no column study, so images cannot be aggregated to studies; add the column, or evaluate images");
        assert_snapshot!(fault("image,study,p_Mass\na,1,0\nb,,0\n"), @"image b, column study: the study is empty; fill it in, or evaluate images");
        assert_snapshot!(fault("image,study,patient,p_Mass\na,1,7,0\nb,1,8,0\n"), @"study 1 holds images of the patients 7 and 8; name studies so that no two patients share one, as in PATIENT/STUDY");
    }
}

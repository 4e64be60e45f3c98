//! An evaluation broken down by an attribute: sex, age bands, view, source.

use rayon::prelude::*;
use serde::Serialize;

use super::subgroup::{Subgroup, subgroup};
use crate::error::{Error, Result};
use crate::predictions::{Policy, Predictions};

/// More values than this are no groups.
const MAX_GROUPS: usize = 50;

/// Lower ends of the age bands, years.
const AGE_BANDS: [f64; 5] = [0.0, 20.0, 40.0, 60.0, 80.0];

/// The groups of one attribute.
#[derive(Debug, Clone, Serialize)]
pub struct Breakdown {
    /// The attribute.
    pub attribute: String,
    /// Its groups, sorted by name; ages in bands.
    pub groups: Vec<Group>,
}

/// The rows with one value of an attribute.
#[derive(Debug, Clone, Serialize)]
pub struct Group {
    /// The value or the band.
    pub value: String,
    /// One a label that can be evaluated on the whole table.
    pub labels: Vec<LabelOfGroup>,
}

/// One label in one group.
#[derive(Debug, Clone, Serialize)]
pub struct LabelOfGroup {
    /// The label.
    pub label: String,
    /// Its rows in the group, against all others.
    #[serde(flatten)]
    pub subgroup: Subgroup,
}

/// Breaks `predictions` down by `attribute`. Numeric ages (`age`) fall into bands of 20 years; an empty value is the group
/// `unknown`. Errors when there is no such attribute, or it has more than 50 values.
pub fn breakdown(predictions: &Predictions, attribute: &str, policy: Policy) -> Result<Breakdown> {
    let column = predictions.column(attribute).ok_or_else(|| {
        Error::usage(format!("there is no attribute `{attribute}`"))
            .mend(format!("the table has {}", predictions.columns().join(", ")))
    })?;
    let group = |value: &String| match value.as_str() {
        "" => "unknown".to_owned(),
        _ if attribute == "age" => age_band(value).unwrap_or_else(|| value.clone()),
        _ => value.clone(),
    };
    let values: Vec<String> = column.iter().map(group).collect();
    let mut names = values.clone();
    names.sort_unstable();
    names.dedup();
    if names.len() > MAX_GROUPS {
        return Err(Error::usage(format!("`{attribute}` has {} different values", names.len()))
            .mend(format!("break down by an attribute with at most {MAX_GROUPS}")));
    }
    let patients = predictions.clusters();
    let groups = names
        .into_par_iter()
        .map(|value| {
            let labels = labels_of_group(predictions, &values, &value, patients.as_deref(), policy)?;
            Ok(Group { value, labels })
        })
        .collect::<Result<_>>()?;
    Ok(Breakdown { attribute: attribute.to_owned(), groups })
}

fn labels_of_group(
    predictions: &Predictions,
    values: &[String],
    value: &str,
    patients: Option<&[u32]>,
    policy: Policy,
) -> Result<Vec<LabelOfGroup>> {
    let mut found = Vec::new();
    for label in &predictions.labels {
        let (Some(truths), Some(scores)) = (&label.truths, &label.scores) else { continue };
        let (rows, y) = policy.rows(truths);
        let inside: Vec<bool> = rows.iter().map(|&row| values[row as usize] == value).collect();
        if !inside.contains(&true) || !(y.contains(&true) && y.contains(&false)) {
            continue;
        }
        let scores: Vec<f64> = rows.iter().map(|&row| scores[row as usize]).collect();
        let patients: Option<Vec<u32>> = patients.map(|ids| rows.iter().map(|&row| ids[row as usize]).collect());
        let subgroup = subgroup(&y, &scores, patients.as_deref(), &inside)
            .map_err(|e| e.at(format_args!("label {}, group {value}", label.name)))?;
        found.push(LabelOfGroup { label: label.name.clone(), subgroup });
    }
    Ok(found)
}

/// `20-39` for an age of 33; `None` for what is no age.
fn age_band(text: &str) -> Option<String> {
    let age: f64 = text.parse().ok().filter(|a| (0.0..150.0).contains(a))?;
    let band = AGE_BANDS.iter().rposition(|low| age >= *low)?;
    Some(match AGE_BANDS.get(band + 1) {
        Some(next) => format!("{}-{}", AGE_BANDS[band], next - 1.0),
        None => format!("{} and older", AGE_BANDS[band]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predictions::{Attribute, Label, Truth};

    fn table() -> Predictions {
        let truths = (0..40).map(|i| if i % 3 == 0 { Truth::Positive } else { Truth::Negative }).collect();
        let scores = (0..40).map(|i| f64::from(i * 7 % 40) / 40.0).collect();
        let ages = (0..40).map(|i| if i == 0 { String::new() } else { (i * 2 + 10).to_string() }).collect();
        Predictions {
            images: (0..40).map(|i| i.to_string()).collect(),
            attributes: vec![Attribute { name: "age".into(), values: ages }],
            labels: vec![Label { name: "Mass".into(), truths: Some(truths), logits: None, scores: Some(scores) }],
            ..Predictions::default()
        }
    }

    #[test]
    fn ages_fall_into_bands_and_every_row_into_a_group() {
        let found = breakdown(&table(), "age", Policy::default()).unwrap();
        let names: Vec<_> = found.groups.iter().map(|g| g.value.as_str()).collect();
        assert_eq!(names, ["0-19", "20-39", "40-59", "60-79", "80 and older", "unknown"]);
        assert_eq!(found.groups.iter().map(|g| g.labels[0].subgroup.n).sum::<usize>(), 40);
    }

    #[test]
    fn what_is_no_group_is_told() {
        let e = breakdown(&table(), "sex", Policy::default()).unwrap_err().to_string();
        assert_eq!(e, "there is no attribute `sex`; the table has image, age");
    }
}

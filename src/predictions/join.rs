//! Joining files: scores from one, truths from another.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::file::Table;
use super::read::{Role, assemble, id_column, is_first_shape, listed, role};
use super::{Attribute, Label, Predictions, Truth};
use crate::error::{Error, Result};
use crate::labels;

/// Reads scores from `predictions` and truths from `truth`, each of either shape, and joins them by image. Returns the
/// table, in the row order of `predictions` and the label order of `truth`, and notes that list what was left out.
///
/// `id` names the column of the ids; a file of the first shape may have `image` or `id` all the same. Labels that are
/// in only one file are left out. Truths in the predictions file and scores in the truth file are not read. What both
/// know of an image (patient, study, an attribute) is taken from the truth file.
///
/// # Errors
/// Those of [`read`](super::read); no label in both files; images in only one file, unless `allow_missing` leaves them
/// out.
pub fn read_with_truth(
    predictions: &Path,
    truth: &Path,
    id: Option<&str>,
    allow_missing: bool,
) -> Result<(Predictions, Vec<String>)> {
    join(Table::open(predictions)?, Table::open(truth)?, id, allow_missing)
}

fn join(
    scores: Table<'_>,
    truths: Table<'_>,
    id: Option<&str>,
    allow_missing: bool,
) -> Result<(Predictions, Vec<String>)> {
    let files = [scores.file().to_owned(), truths.file().to_owned()];
    if id_column(&truths, id).is_err() {
        id_column(&scores, id)?; // a name that is in neither is a slip
    }
    let mut score_roles = roles(&scores, id, Role::Scores)?;
    let mut truth_roles = roles(&truths, id, Role::Truths)?;
    let second_shape = !is_first_shape(&truths);
    let mut notes = Vec::new();
    if score_roles.iter().any(|role| role.stated().is_some()) {
        notes.push(format!("the y_ columns of {} are not used: the truths are those of {}", files[0], files[1]));
    }

    let scored: Vec<String> = score_roles.iter().filter_map(Role::scored).map(str::to_owned).collect();
    let stated: Vec<String> = truth_roles.iter().filter_map(Role::stated).map(str::to_owned).collect();
    let both: HashSet<String> = findings(&scored).intersection(&findings(&stated)).cloned().collect();
    if both.is_empty() {
        let cause = format!("no label in both files: scores of {}; truths of {}", listed(&scored), listed(&stated));
        return Err(Error::new(cause).mend("name the labels alike in both").at(files.join(" and ")));
    }
    let joined = |label: &str| both.contains(&labels::canonical(label));
    for role in &mut score_roles {
        if role.stated().is_some() || role.scored().is_some_and(|label| !joined(label)) {
            *role = Role::Skip;
        }
    }
    for role in &mut truth_roles {
        if role.scored().is_some() {
            *role = Role::Skip;
        } else if let Some(label) = role.stated().filter(|label| !joined(label)) {
            // In the second shape a label or an attribute: its values tell.
            *role = if second_shape { Role::Attribute(label.to_owned()) } else { Role::Skip };
        }
    }
    let mut scores = assemble(scores, score_roles)?;
    let mut truths = assemble(truths, truth_roles)?;
    let mut attributes = HashSet::new();
    if second_shape {
        truths.attributes.retain(|Attribute { name, values }| {
            let known = is_attribute(name) || values.iter().any(|value| Truth::parse(value.as_bytes()).is_none());
            known && attributes.insert(name.clone())
        });
    }
    for (file, labels) in files.iter().zip([&scored, &stated]) {
        let alone = labels.iter().filter(|label| !joined(label) && !attributes.contains(*label)).map(String::as_str);
        let mut seen = HashSet::new();
        let out: Vec<&str> = alone.filter(|label| seen.insert(*label)).collect();
        if !out.is_empty() {
            notes.push(format!("labels only in {file}, left out: {}", out.join(", ")));
        }
    }

    if scores.images != truths.images {
        let (rows, note) = align([&scores.images, &truths.images], [&files[0], &files[1]], allow_missing)?;
        notes.extend(note);
        scores = scores.take(&rows[0]);
        truths = truths.take(&rows[1]);
    }
    Ok((merge(scores, truths), notes))
}

fn findings(labels: &[String]) -> HashSet<String> {
    labels.iter().map(|label| labels::canonical(label)).collect()
}

/// Whether a column of the second shape is an attribute by its name.
fn is_attribute(name: &str) -> bool {
    ["age", "sex", "view"].iter().any(|attribute| attribute.eq_ignore_ascii_case(name))
}

/// The role of each column; in a file of the second shape the labels are `labels`.
fn roles(table: &Table<'_>, id: Option<&str>, labels: fn(String) -> Role) -> Result<Vec<Role>> {
    let first_shape = is_first_shape(table);
    let id = match id_column(table, id) {
        Err(_) if first_shape => id_column(table, None)?,
        found => found?,
    };
    let role = |(i, name): (usize, &String)| match role(name) {
        _ if i == id => Role::Id,
        Role::Attribute(name) if !first_shape && !is_attribute(&name) => labels(name),
        role => role,
    };
    Ok(table.names.iter().enumerate().map(role).collect())
}

/// Rows of two lists of images that hold the same image, in the order of the first, and a note on those left out.
/// `names` is what messages call the lists.
///
/// # Errors
/// No image in both; images in only one list, unless `allow_missing`.
pub fn align(images: [&[String]; 2], names: [&str; 2], allow_missing: bool) -> Result<([Vec<u32>; 2], Option<String>)> {
    let row_of: HashMap<&str, u32> = images[1].iter().map(String::as_str).zip(0..).collect();
    let mut rows = [Vec::with_capacity(images[0].len()), Vec::with_capacity(images[0].len())];
    let mut only = [Vec::new(), Vec::new()];
    for (image, row) in images[0].iter().zip(0..) {
        match row_of.get(image.as_str()) {
            Some(&other) => {
                rows[0].push(row);
                rows[1].push(other);
            }
            None => only[0].push(image.as_str()),
        }
    }
    if rows[1].len() < images[1].len() {
        let known: HashSet<u32> = rows[1].iter().copied().collect();
        only[1] = images[1]
            .iter()
            .zip(0..)
            .filter(|(_, row)| !known.contains(row))
            .map(|(image, _)| image.as_str())
            .collect();
    }
    let of = |side: usize| {
        let shown = &only[side][..only[side].len().min(3)];
        let more = if only[side].len() > shown.len() { ", ..." } else { "" };
        format!("{} only in {} ({}{more})", only[side].len(), names[side], shown.join(", "))
    };
    let sides: Vec<String> = [0, 1].into_iter().filter(|&side| !only[side].is_empty()).map(of).collect();
    if rows[0].is_empty() {
        let mend = "both files must name the images alike; --id names the column";
        return Err(Error::new(format!("no image in both files: {}", sides.join(", "))).mend(mend));
    }
    if sides.is_empty() {
        return Ok((rows, None));
    }
    let images = format!("images in only one file: {}", sides.join(", "));
    if !allow_missing {
        return Err(Error::new(images).mend("complete the files, or leave these images out with --allow-missing"));
    }
    Ok((rows, Some(format!("{images}; left out"))))
}

/// One table of two with the same images and findings.
fn merge(scores: Predictions, truths: Predictions) -> Predictions {
    let mut attributes: Vec<Attribute> = scores.attributes;
    for attribute in truths.attributes {
        match attributes.iter_mut().find(|known| known.name == attribute.name) {
            Some(known) => *known = attribute,
            None => attributes.push(attribute),
        }
    }
    let mut scored: HashMap<String, Label> =
        scores.labels.into_iter().map(|label| (labels::canonical(&label.name), label)).collect();
    let label = |label: Label| {
        let scored = scored.remove(&labels::canonical(&label.name));
        let (logits, scores) = scored.map_or((None, None), |scored| (scored.logits, scored.scores));
        Label { logits, scores, ..label }
    };
    Predictions {
        images: scores.images,
        patients: truths.patients.or(scores.patients),
        studies: truths.studies.or(scores.studies),
        attributes,
        labels: truths.labels.into_iter().map(label).collect(),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use proptest::prelude::*;

    use super::*;

    fn joined(scores: &str, truths: &str, id: Option<&str>, allow_missing: bool) -> Result<(Predictions, Vec<String>)> {
        let scores = Table::new("p.csv", scores.as_bytes())?;
        join(scores, Table::new("t.csv", truths.as_bytes())?, id, allow_missing)
    }

    const SCORES: &str = "Study,Edema,Effusion,Mass\ns1,0.1,0.2,0.3\ns2,0.4,0.5,0.6\n";
    const TRUTHS: &str = "Study,Hernia,Pleural Effusion,Edema,sex,site\ns2,1,1,0,1,A\ns1,0,0,1,0,B\n";

    #[test]
    fn two_files_as_competitions_publish_them() {
        let (p, notes) = joined(SCORES, TRUTHS, Some("Study"), false).unwrap();
        assert_eq!(p.images, ["s1", "s2"]);
        assert_eq!(p.columns(), ["image", "sex", "site"]);
        assert_eq!(p.column("site").unwrap(), ["B", "A"]);
        let names: Vec<&str> = p.labels.iter().map(|label| label.name.as_str()).collect();
        assert_eq!(names, ["Pleural Effusion", "Edema"]);
        assert_eq!(p.labels[0].truths.as_deref().unwrap(), [Truth::Negative, Truth::Positive]);
        assert_eq!(p.labels[0].scores.as_deref().unwrap(), [0.2, 0.5]);
        assert_snapshot!(notes[0], @"labels only in p.csv, left out: Mass");
        assert_snapshot!(notes[1], @"labels only in t.csv, left out: Hernia");
    }

    #[test]
    fn every_pair_of_shapes_gives_the_same() {
        let first =
            "image,y_Mass,patient,logit_Edema,p_Edema,p_Effusion,p_Mass\ns1,1,7,-2,0.1,0.2,0.3\ns2,1,8,2,0.4,0.5,0.6\n";
        let truths = "p_Edema,y_Hernia,y_Pleural Effusion,y_Edema,sex,site,image\n9,1,1,0,1,A,s2\nx,0,0,1,0,B,s1\n";
        let (plain, _) = joined(SCORES, TRUTHS, Some("Study"), false).unwrap();
        assert_eq!(joined(SCORES, truths, Some("Study"), false).unwrap().0, plain);
        for (truths, id) in [(TRUTHS, Some("Study")), (truths, None)] {
            let (mut p, notes) = joined(first, truths, id, false).unwrap();
            assert_eq!(p.patients.take().unwrap(), ["7", "8"]);
            assert_eq!(p.labels[1].logits.take().unwrap(), [-2.0, 2.0]);
            assert_eq!(p, plain);
            assert!(notes[0].starts_with("the y_ columns of p.csv are not used"), "{notes:?}");
        }
    }

    #[test]
    fn a_label_left_out_is_listed_once() {
        let scores = "image,logit_A,logit_B,logit_C,p_A,p_B,p_C\na,0,0,0,0.5,0.5,0.5\n";
        let (_, notes) = joined(scores, "image,y_B\na,1\n", None, false).unwrap();
        assert_eq!(notes, ["labels only in p.csv, left out: A, C"]);
    }

    #[test]
    fn ids_in_one_file_only() {
        let more = format!("{SCORES}s4,0,0,0\ns5,0,0,0\ns6,0,0,0\ns7,0,0,0\n");
        let truths = format!("{TRUTHS}s3,0,0,0,0,A\n");
        let (p, notes) = joined(&more, &truths, Some("study"), true).unwrap();
        assert_eq!(p.images, ["s1", "s2"]);
        assert_snapshot!(notes[2], @"images in only one file: 4 only in p.csv (s4, s5, s6, ...), 1 only in t.csv (s3); left out");
        assert_snapshot!(joined(&more, &truths, Some("study"), false).unwrap_err(), @"images in only one file: 4 only in p.csv (s4, s5, s6, ...), 1 only in t.csv (s3); complete the files, or leave these images out with --allow-missing");
        assert_snapshot!(joined(SCORES, &truths, Some("study"), false).unwrap_err(), @"images in only one file: 1 only in t.csv (s3); complete the files, or leave these images out with --allow-missing");
        assert_snapshot!(joined(SCORES, &TRUTHS.replace("\ns", "\nx"), Some("study"), true).unwrap_err(), @"no image in both files: 2 only in p.csv (s1, s2), 2 only in t.csv (x2, x1); both files must name the images alike; --id names the column");
    }

    #[test]
    fn faults() {
        let fault = |scores: &str, truths: &str, id| joined(scores, truths, id, false).unwrap_err().to_string();
        assert_snapshot!(fault(SCORES, TRUTHS, None), @"p.csv: no column image or id among Study, Edema, Effusion, Mass; name the column of the ids with --id");
        assert_snapshot!(fault(SCORES, "Study,Hernia\ns1,0\n", Some("Study")), @"p.csv and t.csv: no label in both files: scores of Edema, Effusion, Mass; truths of Hernia; name the labels alike in both");
        assert_snapshot!(fault(SCORES, &TRUTHS.replace("s1", "s2"), Some("Study")), @"t.csv, column Study: `s2` stands in row 1 (line 2) and in row 2 (line 3); keep one row an image");
        assert_snapshot!(fault(SCORES, &TRUTHS.replace("1,1,0", "1,maybe,0"), Some("Study")), @"t.csv, row 1 (line 2), column Pleural Effusion: `maybe` is not a truth; write 0, 1, -1 (uncertain) or nothing (not mentioned)");
        assert_snapshot!(fault(&SCORES.replace("0.5", ""), TRUTHS, Some("Study")), @"p.csv, row 2 (line 3), column Effusion: the score is missing; every image needs a finite score for every label: predict it again, or leave the image out");
        assert_snapshot!(fault("image,p_Mass\na,0\n", "image,y_Mass\na,0\n", Some("Study")), @"p.csv: no column Study among image, p_Mass; name the column of the ids with --id");
        assert_snapshot!(fault("0.5,0.2\n", TRUTHS, Some("Study")), @"p.csv: the first line is no header: it holds the value 0.5; the first line must name the columns: image,y_LABEL,...,p_LABEL,...");
    }

    proptest! {
        #[test]
        fn any_table_like_texts_are_joined_or_refused(
            scores in "(id|image|ID),(p_)?A,(y_A|B|age)\n([ab],[01.,]{0,3},[01]?\n){0,4}",
            truths in "(id|image|ID),(y_)?A,(p_A|B|sex)\n([ab],[01.,]{0,3},[01]?\n){0,4}",
            allow_missing in any::<bool>(),
        ) {
            match joined(&scores, &truths, None, allow_missing) {
                Ok((p, _)) => {
                    prop_assert!(!p.is_empty());
                    for label in &p.labels {
                        prop_assert_eq!(label.truths.as_ref().unwrap().len(), p.len());
                        prop_assert_eq!(label.scores.as_ref().unwrap().len(), p.len());
                    }
                }
                Err(e) => prop_assert!(!e.to_string().contains('\n')),
            }
        }

        #[test]
        fn rows_may_stand_in_any_order(seed in any::<u64>()) {
            let mut rows: Vec<String> = (0..20).map(|i| format!("{i},0.{i},{}\n", i % 2)).collect();
            let table = |rows: &[String]| format!("id,p_A,y_A\n{}", rows.concat());
            let scores = table(&rows);
            rows.sort_by_key(|row| seed.rotate_left(row.len() as u32 * 7) ^ row.bytes().map(u64::from).product::<u64>());
            let (p, _) = joined(&scores, &table(&rows), None, false).unwrap();
            prop_assert_eq!(p, joined(&scores, &scores, None, false).unwrap().0);
        }
    }
}

//! Reading the first shape, and what the columns of both shapes mean.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::file::{Cells, HEADER, Kind, Table};
use super::{Attribute, Label, Predictions, Truth};
use crate::error::{Error, Result};
use crate::labels;

/// Reads a file of the first shape, with or without truths, with or without scores. `id` names the column of the ids
/// where it is neither `image` nor `id`.
///
/// Labels come in the order of the `y_` columns, then those of the `logit_` and `p_` columns that the data lack. A
/// `patient` or `study` column without any value counts as absent.
///
/// # Errors
/// Names file, row, line and column of the first fault: no header, a row of another length, an id that is missing or
/// stands twice, a truth other than 0, 1, -1 and empty, a score that is missing, NaN, infinite or no number.
pub fn read(path: &Path, id: Option<&str>) -> Result<Predictions> {
    read_table(Table::open(path)?, id)
}

pub(super) fn read_table(table: Table<'_>, id: Option<&str>) -> Result<Predictions> {
    let id = id_column(&table, id)?;
    if !is_first_shape(&table) {
        let cause = "no column y_LABEL, p_LABEL or logit_LABEL";
        let mend = "name the columns so, or give the truths in a file of their own (--truth)";
        return Err(table.fault(Error::new(cause).mend(mend)));
    }
    let roles: Vec<Role> =
        table.names.iter().enumerate().map(|(i, name)| if i == id { Role::Id } else { role(name) }).collect();
    assemble(table, roles)
}

/// What a column is for. Labels are as the header spells them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    Skip,
    Id,
    Patient,
    Study,
    Attribute(String),
    Truths(String),
    Logits(String),
    Scores(String),
}

impl Role {
    /// The label that the column scores.
    pub fn scored(&self) -> Option<&str> {
        match self {
            Self::Scores(label) | Self::Logits(label) => Some(label),
            _ => None,
        }
    }

    /// The label whose truths the column holds.
    pub fn stated(&self) -> Option<&str> {
        match self {
            Self::Truths(label) => Some(label),
            _ => None,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Skip => Kind::Skip,
            Self::Id => Kind::Id,
            Self::Patient | Self::Study | Self::Attribute(_) => Kind::Text,
            Self::Truths(_) => Kind::Truths,
            Self::Logits(_) | Self::Scores(_) => Kind::Numbers,
        }
    }
}

/// The role of a column of the first shape that is not the id.
pub(super) fn role(name: &str) -> Role {
    let label = |prefix: &str| name.strip_prefix(prefix).map(str::trim).filter(|label| !label.is_empty());
    if let Some(label) = label("y_") {
        Role::Truths(label.to_owned())
    } else if let Some(label) = label("logit_") {
        Role::Logits(label.to_owned())
    } else if let Some(label) = label("p_") {
        Role::Scores(label.to_owned())
    } else if name.is_empty() || name.eq_ignore_ascii_case("image") {
        Role::Skip // the row numbers that pandas writes; images that are not the ids
    } else if name.eq_ignore_ascii_case("patient") {
        Role::Patient
    } else if name.eq_ignore_ascii_case("study") {
        Role::Study
    } else {
        Role::Attribute(name.to_owned())
    }
}

/// Whether the header is of the first shape.
pub(super) fn is_first_shape(table: &Table<'_>) -> bool {
    table.names.iter().map(|name| role(name)).any(|role| role.stated().or(role.scored()).is_some())
}

/// Position of the ids: the column `wanted`, else `image`, else `id`, in any case.
pub(super) fn id_column(table: &Table<'_>, wanted: Option<&str>) -> Result<usize> {
    let position = |wanted: &str| table.names.iter().position(|name| name.eq_ignore_ascii_case(wanted));
    let found = match wanted {
        Some(wanted) => position(wanted),
        None => position("image").or_else(|| position("id")),
    };
    found.ok_or_else(|| {
        if let Some(value) = table.names.iter().find(|name| name.parse::<f64>().is_ok()) {
            let cause = format!("the first line is no header: it holds the value {value}");
            return table.fault(Error::new(cause).mend(HEADER));
        }
        let cause = format!("no column {} among {}", wanted.unwrap_or("image or id"), listed(&table.names));
        table.fault(Error::new(cause).mend("name the column of the ids with --id"))
    })
}

/// Names for a message, the first dozen of them.
pub(super) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    const SHOWN: usize = 12;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Reads the table and joins its columns by label.
pub(super) fn assemble(table: Table<'_>, roles: Vec<Role>) -> Result<Predictions> {
    let file = table.file().to_owned();
    columns(table, roles).map_err(|e| e.at(file))
}

fn columns(table: Table<'_>, roles: Vec<Role>) -> Result<Predictions> {
    check_names(&roles, &table.names)?;
    let kinds: Vec<Kind> = roles.iter().map(Role::kind).collect();
    let cells = table.read(&kinds)?;
    let mut out = Predictions::default();
    let (mut truths, mut logits, mut scores) = (Vec::new(), Vec::new(), Vec::new());
    for (role, cells) in roles.into_iter().zip(cells) {
        match (role, cells) {
            (Role::Id, Cells::Text(values)) => out.images = values,
            (Role::Patient, Cells::Text(values)) => out.patients = known(values),
            (Role::Study, Cells::Text(values)) => out.studies = known(values),
            (Role::Attribute(name), Cells::Text(values)) => out.attributes.push(Attribute { name, values }),
            (Role::Truths(name), Cells::Truths(values)) => truths.push((name, values)),
            (Role::Logits(name), Cells::Numbers(values)) => logits.push((name, values)),
            (Role::Scores(name), Cells::Numbers(values)) => scores.push((name, values)),
            _ => {}
        }
    }
    if let Some(row) = out.patients.as_ref().and_then(|patients| patients.iter().position(String::is_empty)) {
        let mend = "fill it in, or leave the column out (then images count as independent)";
        let place = format!("row {} (image {}), column patient", row + 1, out.images[row]);
        return Err(Error::new("the patient is empty").mend(mend).at(place));
    }
    out.labels = join(truths, logits, scores);
    Ok(out)
}

/// `None` for a column without any value.
fn known(values: Vec<String>) -> Option<Vec<String>> {
    values.iter().any(|value| !value.is_empty()).then_some(values)
}

/// No two columns may have one name, nor may two of one kind mean the same finding: which of them belongs to the other
/// kind's would be a guess.
fn check_names(roles: &[Role], names: &[String]) -> Result<()> {
    let (mut seen, mut findings) = (HashSet::new(), HashMap::new());
    for (role, name) in roles.iter().zip(names).filter(|(role, _)| **role != Role::Skip) {
        if !seen.insert(name.to_lowercase()) {
            return Err(Error::new(format!("two columns are named {name}")).mend("leave one out").at("line 1"));
        }
        if let Some(label) = role.stated().or(role.scored())
            && let Some(other) = findings.insert((std::mem::discriminant(role), labels::canonical(label)), name)
        {
            let cause = format!("columns {other} and {name} mean the same finding");
            return Err(Error::new(cause).mend("leave one out or rename it").at("line 1"));
        }
    }
    Ok(())
}

type Columns<T> = Vec<(String, Vec<T>)>;

/// Joins the columns of each finding.
fn join(truths: Columns<Truth>, logits: Columns<f64>, scores: Columns<f64>) -> Vec<Label> {
    let mut joined = Joined::default();
    for (name, values) in truths {
        joined.label(name).truths = Some(values);
    }
    for (name, values) in logits {
        joined.label(name).logits = Some(values);
    }
    for (name, values) in scores {
        joined.label(name).scores = Some(values);
    }
    for label in &mut joined.labels {
        if let (None, Some(logits)) = (&label.scores, &label.logits) {
            label.scores = Some(logits.iter().map(|&logit| sigmoid(logit)).collect());
        }
    }
    joined.labels
}

#[derive(Default)]
struct Joined {
    labels: Vec<Label>,
    by_finding: HashMap<String, usize>,
}

impl Joined {
    /// The label of this finding, a new one at the end if there is none.
    fn label(&mut self, name: String) -> &mut Label {
        let i = *self.by_finding.entry(labels::canonical(&name)).or_insert(self.labels.len());
        if i == self.labels.len() {
            self.labels.push(Label { name, truths: None, logits: None, scores: None });
        }
        &mut self.labels[i]
    }
}

/// The logistic function, without overflow.
fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + libm::exp(-x))
    } else {
        let e = libm::exp(x);
        e / (1.0 + e)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use insta::assert_snapshot;
    use proptest::prelude::*;

    use super::*;

    pub fn parse(text: impl AsRef<[u8]>) -> Result<Predictions> {
        read_table(Table::new("a.csv", text.as_ref())?, None)
    }

    fn fault(text: impl AsRef<[u8]>) -> String {
        parse(text).unwrap_err().to_string()
    }

    const PLAIN: &str = "image,patient,age,y_Mass,y_Effusion,p_Mass,p_Effusion\n\
                         a.png,7,50,1,,0.25,0.5\n\
                         b.png,7,51,0,-1,0.75,1e-9\n";

    #[test]
    fn the_first_shape() {
        let p = parse(PLAIN).unwrap();
        assert_eq!(p.images, ["a.png", "b.png"]);
        assert_eq!(p.patients.as_deref().unwrap(), ["7", "7"]);
        assert_eq!(p.column("age").unwrap(), ["50", "51"]);
        assert_eq!(p.labels[1].name, "Effusion");
        assert_eq!(p.labels[1].truths.as_deref().unwrap(), [Truth::Unmentioned, Truth::Uncertain]);
        assert_eq!(p.labels[1].scores.as_deref().unwrap(), [0.5, 1e-9]);
    }

    #[test]
    fn other_ways_to_write_the_same() {
        let p = parse(PLAIN).unwrap();
        for text in [
            format!("\u{feff}{PLAIN}"),
            PLAIN.replace('\n', "\r\n"),
            PLAIN.replace(',', ";"),
            PLAIN.replace(',', "\t"),
            PLAIN.replace(',', " , "),
            PLAIN.trim_end().to_owned(),
            format!("\u{feff}\r\n\n{}", PLAIN.replace(',', ";")),
            PLAIN.replace('\n', "\r\n\r\n"),
            PLAIN.replace("image", "ID"),
            PLAIN.replace(",1,,", ",1.0,,"),
            PLAIN.replace("p_Effusion", "p_Pleural Effusion"),
            PLAIN.replace("a.png", "\"a.png\""),
            PLAIN.replace("\na", "\n0,a").replace("\nb", "\n1,b").replace("image", ",image"),
        ] {
            assert_eq!(parse(&text).unwrap(), p, "{text}");
        }
    }

    #[test]
    fn scores_of_logits() {
        let p = parse("id,logit_Mass\na,0\nb,-800\nc,800\nd,1").unwrap();
        assert_eq!(p.labels[0].scores.as_deref().unwrap(), [0.5, 0.0, 1.0, 0.7310585786300049]);
        assert_eq!(p.labels[0].truths, None);
        let p = parse("id,logit_Mass,p_Mass\na,0,0.25").unwrap();
        assert_eq!(p.labels[0].scores.as_deref().unwrap(), [0.25], "the p_ column comes first");
    }

    #[test]
    fn empty_patient_columns_are_absent() {
        assert_eq!(parse("id,patient,p_Mass\na,,0\nb,,0").unwrap().patients, None);
    }

    #[test]
    fn bad_scores() {
        let row = |score: &str| fault(format!("image,y_Mass,p_Mass\na,1,0.5\n\nb,1,{score}\n"));
        assert_snapshot!(row("NaN"), @"a.csv, row 2 (line 4), column p_Mass: the score is NaN; every image needs a finite score for every label: predict it again, or leave the image out");
        assert_snapshot!(row("-inf"), @"a.csv, row 2 (line 4), column p_Mass: the score is infinite (`-inf`); every image needs a finite score for every label: predict it again, or leave the image out");
        assert_snapshot!(row("1e999"), @"a.csv, row 2 (line 4), column p_Mass: the score is infinite (`1e999`); every image needs a finite score for every label: predict it again, or leave the image out");
        assert_snapshot!(row(""), @"a.csv, row 2 (line 4), column p_Mass: the score is missing; every image needs a finite score for every label: predict it again, or leave the image out");
        assert_snapshot!(row("high"), @"a.csv, row 2 (line 4), column p_Mass: `high` is not a number; every image needs a finite score for every label: predict it again, or leave the image out");
        assert_snapshot!(fault("image;p_Mass\r\na;0,5\r\n"), @"a.csv, row 1 (line 2), column p_Mass: `0,5` is not a number; write decimals with a point");
    }

    #[test]
    fn bad_truths_and_ids() {
        assert_snapshot!(fault("image,y_Mass\na,2"), @"a.csv, row 1 (line 2), column y_Mass: `2` is not a truth; write 0, 1, -1 (uncertain) or nothing (not mentioned)");
        assert_snapshot!(fault("image,y_Mass\r\na,NaN\r\n"), @"a.csv, row 1 (line 2), column y_Mass: `NaN` is not a truth; write 0, 1, -1 (uncertain) or nothing (not mentioned)");
        assert_snapshot!(fault("image,y_Mass\na,1\n\nb,1\n\n\na,1\n"), @"a.csv, column image: `a` stands in row 1 (line 2) and in row 3 (line 7); keep one row an image");
        assert_snapshot!(fault("image,y_Mass\n,1"), @"a.csv, row 1 (line 2), column image: the id is empty; every row needs the id of its image");
        assert_snapshot!(fault("image,patient,y_Mass\na,1,1\nb,,1"), @"a.csv, row 2 (image b), column patient: the patient is empty; fill it in, or leave the column out (then images count as independent)");
        assert_snapshot!(fault(b"image,sex,y_Mass\na,\xff,1"), @"a.csv, row 1 (line 2), column sex: `�` is not UTF-8; save the file as UTF-8");
    }

    #[test]
    fn bad_headers() {
        assert_snapshot!(fault(""), @"a.csv: the file is empty; the first line must name the columns: image,y_LABEL,...,p_LABEL,...");
        assert_snapshot!(fault("\n\n"), @"a.csv: the file is empty; the first line must name the columns: image,y_LABEL,...,p_LABEL,...");
        assert_snapshot!(fault("image,y_Mass\n"), @"a.csv: a header and no row; put one row for each image below it");
        assert_snapshot!(fault("a.png,0,0,1\nb.png,1,0,1\n"), @"a.csv: the first line is no header: it holds the value 0; the first line must name the columns: image,y_LABEL,...,p_LABEL,...");
        assert_snapshot!(fault("file,y_Mass,p_Mass\na,0,1\n"), @"a.csv: no column image or id among file, y_Mass, p_Mass; name the column of the ids with --id");
        assert_snapshot!(fault("image,Mass,Effusion\na,0,1\n"), @"a.csv: no column y_LABEL, p_LABEL or logit_LABEL; name the columns so, or give the truths in a file of their own (--truth)");
        assert_snapshot!(fault("image,y_Mass,y_Mass\na,0,1\n"), @"a.csv, line 1: two columns are named y_Mass; leave one out");
        assert_snapshot!(fault("image,p_Effusion,p_Pleural Effusion\na,0,1\n"), @"a.csv, line 1: columns p_Effusion and p_Pleural Effusion mean the same finding; leave one out or rename it");
        assert_snapshot!(fault("\r\n \r\n"), @"a.csv: the file is empty; the first line must name the columns: image,y_LABEL,...,p_LABEL,...");
        assert_snapshot!(fault(b"image,y_\xff\na,0\n"), @"a.csv, header, column 2: `y_�` is not UTF-8; save the file as UTF-8");
        assert_snapshot!(fault(b"\xff\xfei\0m\0"), @"a.csv: the text is UTF-16; save the file as UTF-8");
    }

    #[test]
    fn bad_rows() {
        assert_snapshot!(fault("image,y_Mass,p_Mass\na,1,0.5\nb,1\n"), @"a.csv, row 2 (line 3): 2 cells where the header has 3; give every row one cell for each column");
        assert_snapshot!(fault("image,y_Mass,p_Mass\na,1,0.5\nb,1,0.5,\n"), @"a.csv, row 2 (line 3): 4 cells where the header has 3; give every row one cell for each column");
        assert_snapshot!(fault("image,y_Mass,p_Mass\na,1,0.5\n\"b,1,0.5\nc,1,0.5\n"), @"a.csv, row 2 (line 3): 1 cell where the header has 3; close the quote that runs over several lines");
        assert_snapshot!(fault([0x1f, 0x8b, 8, 0, 0]), @"a.csv: unexpected end of file; the file cannot be read to its end; fetch or write it again");
    }

    #[test]
    fn lines_of_rows_below_quoted_breaks() {
        let e = fault("image,note,p_Mass\n\"a\",\"two\nlines\",0.5\nb,\"x\ny\",nan\n");
        assert!(e.starts_with("a.csv, row 2 (line 4), column p_Mass: "), "{e}");
    }

    fn name() -> impl Strategy<Value = String> {
        "[a-zA-Z0-9é,;\"._]([ \n]?[a-zA-Z0-9é,;\"._]){0,6}"
    }

    fn columns<T: std::fmt::Debug>(
        cell: impl Strategy<Value = T>,
        rows: usize,
    ) -> impl Strategy<Value = Option<Vec<T>>> {
        prop::option::of(prop::collection::vec(cell, rows))
    }

    prop_compose! {
        fn label(rows: usize)(
            truths in columns(prop::sample::select(vec![Truth::Negative, Truth::Positive, Truth::Uncertain, Truth::Unmentioned]), rows),
            logits in columns(prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO, rows),
            scores in prop::collection::vec(prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO, rows),
        ) -> Label {
            Label { name: String::new(), truths, logits, scores: Some(scores) }
        }
    }

    fn table() -> impl Strategy<Value = Predictions> {
        (1_usize..6).prop_flat_map(|rows| {
            (
                prop::collection::hash_set(name(), rows),
                columns(name(), rows),
                columns(name(), rows),
                prop::collection::vec(prop::collection::vec(name(), rows), 0..3),
                prop::collection::vec(label(rows), 1..4),
            )
                .prop_map(|(images, patients, studies, attributes, mut labels)| {
                    labels.sort_by_key(|label| (label.truths.is_none(), label.logits.is_none()));
                    for (i, label) in labels.iter_mut().enumerate() {
                        label.name = format!("Finding {i}");
                    }
                    let attribute = |(i, values)| Attribute { name: format!("at,tr {i}"), values };
                    let attributes = attributes.into_iter().enumerate().map(attribute).collect();
                    Predictions { images: images.into_iter().collect(), patients, studies, attributes, labels }
                })
        })
    }

    fn written(p: &Predictions) -> Vec<u8> {
        let mut bytes = Vec::new();
        p.write(&mut bytes).unwrap();
        bytes
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(p in table()) {
            let bytes = written(&p);
            let again = parse(&bytes).unwrap();
            prop_assert_eq!(&again, &p);
            prop_assert_eq!(written(&again), bytes);
        }

        #[test]
        fn columns_may_stand_in_any_order(p in table(), order in any::<prop::sample::Index>(), seed in any::<u64>()) {
            let bytes = written(&p);
            let mut rows = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes.as_slice());
            let rows: Vec<csv::StringRecord> = rows.records().map(|r| r.unwrap()).collect();
            let mut shuffled: Vec<usize> = (0..rows[0].len()).collect();
            shuffled.rotate_left(order.index(rows[0].len()));
            shuffled.sort_by_key(|i| (seed >> (i % 64)) & 1);
            let mut out = csv::Writer::from_writer(Vec::new());
            for row in &rows {
                out.write_record(shuffled.iter().map(|&i| &row[i])).unwrap();
            }
            let sorted = |mut p: Predictions| {
                p.labels.sort_by(|a, b| a.name.cmp(&b.name));
                p.attributes.sort_by(|a, b| a.name.cmp(&b.name));
                p
            };
            prop_assert_eq!(sorted(parse(out.into_inner().unwrap()).unwrap()), sorted(p));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn any_table_like_text_is_read_or_refused(text in "image,y_A,p_A\n([ab\"01.,;\r\n-]|NaN|1e9){0,40}") {
            if let Err(e) = parse(&text) {
                let e = e.to_string();
                prop_assert!(e.starts_with("a.csv") && !e.contains('\n') && e.contains(';'), "{}", e);
            }
        }
    }
}

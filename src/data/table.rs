//! Tables that name their images: the generic layout, and what the other layouts with tables share.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use super::csv_file::{self, CsvFile};
use super::dataset::Loaded;
use super::images::{Images, Wanted};
use super::root::Root;
use super::truth::Truths;
use super::{Sample, Source, split};
use crate::cards::dataset::{DatasetCard, Table};
use crate::error::{Error, Result};
use crate::predictions::Truth;

/// The rows that were taken of one table.
pub(super) struct Part {
    pub path: PathBuf,
    pub rows: Vec<Row>,
}

/// What a table says of one image; with `repeated`, its rows together.
pub(super) struct Row {
    pub image: String,
    pub line: usize,
    pub patient: Option<String>,
    pub study: Option<String>,
    /// Parallel to the table's attributes.
    pub attributes: Vec<String>,
    /// Parallel to the labels.
    pub truths: Vec<Truth>,
}

pub(super) fn load(card: &DatasetCard, root: &Root, wanted: Option<&str>) -> Result<Loaded> {
    let spec = card.of_layout(&card.table)?;
    let mut notes = Vec::new();
    let query = Query { spec, labels: &card.labels, wanted, attributes_may_lack: false };
    let parts = read(&query, root, &mut notes)?;
    with_files(spec, parts, root, notes)
}

/// The samples of the rows, with their files.
pub(super) fn with_files(spec: &Table, parts: Vec<Part>, root: &Root, notes: Vec<String>) -> Result<Loaded> {
    let mut images = Images::below(&root.folder);
    let mut samples = Vec::new();
    for part in parts {
        let wanted: Vec<_> = part.rows.iter().map(|row| Wanted { name: &row.image, line: row.line }).collect();
        let files = images.find(&wanted, &part.path)?;
        samples.extend(part.rows.into_iter().zip(files).map(|(row, file)| Sample {
            id: row.image,
            patient: row.patient,
            study: row.study,
            attributes: row.attributes,
            truths: row.truths,
            source: Source::File(file),
        }));
    }
    Ok(Loaded { attributes: spec.attributes.keys().cloned().collect(), samples, notes })
}

/// What to take of the tables.
pub(super) struct Query<'a> {
    pub spec: &'a Table,
    pub labels: &'a [String],
    /// The split; all of them when left out.
    pub wanted: Option<&'a str>,
    /// Whether attributes whose column is not there are empty; else that is an error.
    pub attributes_may_lack: bool,
}

/// The rows that are asked for; each image stands in one.
pub(super) fn read(query: &Query, root: &Root, notes: &mut Vec<String>) -> Result<Vec<Part>> {
    let Query { spec, wanted, .. } = *query;
    let paths = match &spec.file {
        Some(file) => vec![root.file(file)?],
        None => split::places(&spec.files, wanted, |name| root.file(name), notes)?,
    };
    // With `files` the choice of the table was the choice of the split.
    let wanted = wanted.filter(|_| spec.file.is_some());
    let list = match &spec.split {
        Some(_) => None,
        None => split::List::of(&spec.lists, wanted, root)?,
    };
    let joined = spec.join.iter().map(|j| CsvFile::read(root.file(&j.file)?)).collect::<Result<Vec<_>>>()?;
    let mut rows = Rows { repeated: spec.repeated, parts: Vec::new(), places: HashMap::new() };
    for path in paths {
        let mut table = CsvFile::read(path)?;
        for (join, other) in spec.join.iter().zip(&joined) {
            table.join(other, &join.on)?;
        }
        let split = spec.split.as_ref().map(|name| table.column(name)).transpose()?.zip(wanted);
        let mut reader = Reader::of(query, &table)?;
        rows.parts.push(Part { path: table.path.clone(), rows: Vec::new() });
        for row in &table.rows {
            let image = reader.image(row)?;
            let of_split = split.is_none_or(|(column, wanted)| row.get(column) == wanted);
            if of_split && list.as_ref().is_none_or(|list| list.has(image)) {
                rows.add(reader.read(row)?).map_err(|cause| reader.twice(row, cause))?;
            }
        }
        if let Some((column, wanted)) = split.filter(|_| rows.places.is_empty()) {
            let known: BTreeSet<_> = table.rows.iter().map(|row| row.get(column)).collect();
            return Err(split::unknown(wanted, known.into_iter().filter(|name| !name.is_empty())));
        }
    }
    if let (Some(list), Some(part)) = (&list, rows.parts.first()) {
        list.check_all_in(rows.places.keys().map(String::as_str), &part.path)?;
    }
    Ok(rows.parts)
}

/// The columns of one table that matter.
struct Reader<'a> {
    table: &'a CsvFile,
    image: usize,
    patient: Option<usize>,
    study: Option<usize>,
    /// Parallel to the table's attributes: whether it is the age, and its column.
    attributes: Vec<(bool, Option<usize>)>,
    truths: Truths<'a>,
}

impl<'a> Reader<'a> {
    fn of(query: &'a Query, table: &'a CsvFile) -> Result<Self> {
        let spec = query.spec;
        let optional = |name: &Option<String>| name.as_ref().map(|name| table.column(name)).transpose();
        let attribute = |(name, column): (&String, &String)| match table.column(column) {
            Err(_) if query.attributes_may_lack => Ok((name == "age", None)),
            found => Ok((name == "age", Some(found?))),
        };
        Ok(Self {
            table,
            image: table.column(&spec.image)?,
            patient: optional(&spec.patient)?,
            study: optional(&spec.study)?,
            attributes: spec.attributes.iter().map(attribute).collect::<Result<_>>()?,
            truths: Truths::of(table, query.labels, &spec.columns, spec.list.as_ref())?,
        })
    }

    fn image(&self, row: &'a csv_file::Row) -> Result<&'a str> {
        match row.get(self.image) {
            "" => Err(self.table.fault(row, self.image, "the cell is empty").mend("name the image or remove the row")),
            image => Ok(image),
        }
    }

    fn read(&mut self, row: &csv_file::Row) -> Result<Row> {
        let known = |column: Option<usize>| column.map(|c| row.get(c).to_owned()).filter(|cell| !cell.is_empty());
        let attribute = |&(is_age, column): &(bool, Option<usize>)| match (is_age, column.map_or("", |c| row.get(c))) {
            (true, cell) => age(cell),
            (false, cell) => cell.to_owned(),
        };
        Ok(Row {
            image: row.get(self.image).to_owned(),
            line: row.line,
            patient: known(self.patient),
            study: known(self.study),
            attributes: self.attributes.iter().map(attribute).collect(),
            truths: self.truths.read(self.table, row)?,
        })
    }

    fn twice(&self, row: &csv_file::Row, cause: String) -> Error {
        self.table.fault(row, self.image, cause).mend("mend the table")
    }
}

/// The rows taken so far.
struct Rows {
    /// Whether rows of the same image are merged.
    repeated: bool,
    parts: Vec<Part>,
    /// Image to its part and row.
    places: HashMap<String, (usize, usize)>,
}

impl Rows {
    /// Adds to the last part; or says why the image must not stand there again.
    fn add(&mut self, row: Row) -> std::result::Result<(), String> {
        let last = self.parts.len() - 1;
        let Some(&(part, place)) = self.places.get(&row.image) else {
            self.places.insert(row.image.clone(), (last, self.parts[last].rows.len()));
            self.parts[last].rows.push(row);
            return Ok(());
        };
        let first_in = match part == last {
            true => String::new(),
            false => format!("{}, ", self.parts[part].path.display()),
        };
        let first = &mut self.parts[part].rows[place];
        let first_in = format!("{first_in}line {}", first.line);
        if !self.repeated {
            return Err(format!("`{}` is there twice, first in {first_in}", row.image));
        }
        if (&first.patient, &first.study, &first.attributes) != (&row.patient, &row.study, &row.attributes) {
            return Err(format!("`{}` has another patient, study or attribute than in {first_in}", row.image));
        }
        first.truths.iter_mut().zip(row.truths).for_each(|(a, b)| *a = b.max(*a));
        Ok(())
    }
}

/// An age as years: `058Y`, `058` and `58` are 58, `018M` is 1; anything else stays as it is.
pub(super) fn age(text: &str) -> String {
    let text = text.trim();
    let (number, per_year) = match text.char_indices().last() {
        Some((i, 'Y')) => (&text[..i], 1),
        Some((i, 'M')) => (&text[..i], 12),
        Some((i, 'W')) => (&text[..i], 52),
        Some((i, 'D')) => (&text[..i], 365),
        _ => (text, 1),
    };
    match number.parse::<u32>() {
        Ok(n) => (n / per_year).to_string(),
        Err(_) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_in_years() {
        for (text, years) in
            [("058Y", "58"), ("058", "58"), ("018M", "1"), ("003W", "0"), ("", ""), ("Y", "Y"), ("58.5", "58.5")]
        {
            assert_eq!(age(text), years);
        }
    }
}

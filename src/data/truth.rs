//! From the cells of a table to truths: one column a label, or one column with a list.

use std::collections::{BTreeMap, HashMap};

use super::csv_file::{CsvFile, Row};
use crate::cards::dataset::LabelList;
use crate::error::Result;
use crate::labels;
use crate::predictions::Truth;

/// Where a table tells the truths.
pub(super) enum Truths<'a> {
    /// One column for each label.
    Columns(Vec<usize>),
    /// One column that lists what is present.
    List(List<'a>),
}

impl<'a> Truths<'a> {
    /// `names` holds the columns that are not named as their label.
    pub fn of(
        table: &CsvFile,
        labels: &'a [String],
        names: &BTreeMap<String, String>,
        list: Option<&'a LabelList>,
    ) -> Result<Self> {
        if let Some(rules) = list {
            return Ok(Self::List(List { column: table.column(&rules.column)?, rules, labels, known: HashMap::new() }));
        }
        let column = |label: &String| match names.get(label) {
            Some(name) => table.column(name),
            None => table.label_column(label),
        };
        labels.iter().map(column).collect::<Result<_>>().map(Self::Columns)
    }

    /// What the row says, parallel to the labels.
    pub fn read(&mut self, table: &CsvFile, row: &Row) -> Result<Vec<Truth>> {
        let columns = match self {
            Self::Columns(columns) => columns,
            Self::List(list) => return list.read(table, row),
        };
        let read = |&column: &usize| {
            Truth::parse(row.get(column).as_bytes()).ok_or_else(|| {
                table
                    .fault(row, column, format!("`{}` is no truth", row.get(column)))
                    .mend("write 1, 0, -1 (uncertain) or nothing (not mentioned)")
            })
        };
        columns.iter().map(read).collect()
    }
}

/// One column that lists what is present.
pub(super) struct List<'a> {
    column: usize,
    rules: &'a LabelList,
    labels: &'a [String],
    /// Names met before, with their place in `labels`; `None` adds no label.
    known: HashMap<String, Option<usize>>,
}

impl List<'_> {
    fn read(&mut self, table: &CsvFile, row: &Row) -> Result<Vec<Truth>> {
        let cell = row.get(self.column);
        if cell.is_empty() {
            return Ok(vec![Truth::Unmentioned; self.labels.len()]);
        }
        let mut truths = vec![Truth::Negative; self.labels.len()];
        let python = cell.strip_prefix('[').and_then(|c| c.strip_suffix(']'));
        let quotes: &[char] = if python.is_some() { &['\'', '"'] } else { &[] };
        let inner = python.unwrap_or(cell);
        let items: Vec<&str> = match &self.rules.separator {
            Some(separator) => inner.split(separator.as_str()).collect(),
            None => vec![inner],
        };
        for item in items {
            let item = item.trim().trim_matches(quotes).trim();
            let place = match self.known.get(item) {
                Some(place) => *place,
                None => {
                    let place = self
                        .place(item)
                        .map_err(|cause| table.fault(row, self.column, cause).mend(self.known_labels()))?;
                    self.known.insert(item.to_owned(), place);
                    place
                }
            };
            if let Some(place) = place {
                truths[place] = Truth::Positive;
            }
        }
        Ok(truths)
    }

    fn known_labels(&self) -> String {
        const SHOWN: usize = 20;
        let more = if self.labels.len() > SHOWN { ", ..." } else { "" };
        format!("known are {}{more}", self.labels[..self.labels.len().min(SHOWN)].join(", "))
    }

    fn place(&self, item: &str) -> std::result::Result<Option<usize>, String> {
        let none = || item.is_empty() || self.rules.none.iter().any(|n| labels::same(n, item));
        match labels::find(self.labels, item) {
            Some(place) => Ok(Some(place)),
            None if none() || self.rules.ignore_others => Ok(None),
            None => Err(format!("unknown label `{item}`")),
        }
    }
}

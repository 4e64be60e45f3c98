//! A table in a CSV file as a card.
//!
//! The first column names the rows. When it is called `label`, `finding`, `pathology`, `class` or `disease`, each row is a
//! label, and one named `macro`, `mean`, `average` or the like is the mean over them; else each row is a row of metrics on
//! a test set, rows of the same counts on the same one. The other columns are metrics (`auroc`, `sens`, ...), their
//! intervals (`auroc_low`, `auroc_high`), counts (`n`, `n_pos`, `n_neg`) and cells (`tp`, `fp`, `fn`, `tn`).

use std::path::Path;

use crate::cards::printed::Printed;
use crate::cards::published::{LabelRow, MacroRow, Matrix, Metric, PublishedTable, Row, SCHEMA, TestSet};
use crate::error::{Error, Result};

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Name,
    N,
    Pos,
    Neg,
    Value(Metric),
    Low(Metric),
    High(Metric),
    Cell(usize),
}

/// Larger files are no tables for people.
const MAX_BYTES: u64 = 4 << 20;

/// Reads the table at `path`.
///
/// # Errors
/// A column that is none of those above, a cell that is no printed number, counts that do not fit: with row and column.
pub fn from_csv(path: &Path) -> Result<PublishedTable> {
    let size = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
    if size > MAX_BYTES {
        return Err(Error::new(format!("{size} bytes are too many for a table")).at(path.display()));
    }
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    parse(text.trim_start_matches('\u{feff}'), &name).map_err(|e| e.at(path.display()))
}

fn parse(text: &str, source: &str) -> Result<PublishedTable> {
    let header = text.lines().next().unwrap_or_default();
    let delimiter = [b',', b';', b'\t'].into_iter().max_by_key(|d| header.bytes().filter(|b| b == d).count());
    let mut csv = csv::ReaderBuilder::new()
        .delimiter(delimiter.unwrap_or(b','))
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let fault = |e: csv::Error| Error::new(e.to_string()).mend("give every row one cell for each column");
    let header = csv.headers().map_err(fault)?.clone();
    let columns: Vec<Column> = header.iter().enumerate().map(|(i, name)| column(i, name)).collect::<Result<_>>()?;
    let first = header.get(0).unwrap_or_default().to_lowercase();
    let of_labels = ["label", "finding", "pathology", "class", "disease"].contains(&first.as_str());
    let mut card = empty(source);
    for (i, record) in csv.records().enumerate() {
        let record = record.map_err(fault)?;
        let at = |e: Error, column: usize| {
            e.at(format_args!("row {}, column {}", i + 1, header.get(column).unwrap_or_default()))
        };
        let mut row = Line::default();
        for (j, (cell, column)) in record.iter().zip(&columns).enumerate() {
            if !cell.is_empty() {
                row.take(*column, cell).map_err(|e| at(e, j))?;
            }
        }
        row.file(&mut card, of_labels);
    }
    // Through text, so that a table from a CSV is checked as any other.
    PublishedTable::parse(&card.to_toml()?, source)
}

fn empty(source: &str) -> PublishedTable {
    PublishedTable {
        schema: SCHEMA.into(),
        source: source.into(),
        version: None,
        where_read: None,
        dataset: None,
        split: None,
        unit: None,
        label_version: None,
        label_policy: None,
        n: None,
        n_patients: None,
        rounding: Default::default(),
        computed: None,
        notes: Vec::new(),
        see: Vec::new(),
        stated_split: None,
        margin: None,
        test_set: Vec::new(),
        label: Vec::new(),
        macro_average: None,
    }
}

fn column(i: usize, name: &str) -> Result<Column> {
    let plain = name.trim().to_lowercase();
    let ends = |low: &str, high: &str| {
        let of = |end: &str| plain.strip_suffix(end).and_then(Metric::parse);
        of(low).map(Column::Low).or_else(|| of(high).map(Column::High))
    };
    let found = match plain.as_str() {
        _ if i == 0 => Some(Column::Name),
        "n" => Some(Column::N),
        "n_pos" | "positives" => Some(Column::Pos),
        "n_neg" | "negatives" => Some(Column::Neg),
        "tp" => Some(Column::Cell(0)),
        "fp" => Some(Column::Cell(1)),
        "fn" => Some(Column::Cell(2)),
        "tn" => Some(Column::Cell(3)),
        _ => Metric::parse(&plain)
            .map(Column::Value)
            .or_else(|| ends("_low", "_high"))
            .or_else(|| ends("_ci_low", "_ci_high")),
    };
    found.ok_or_else(|| {
        Error::new(format!("the column `{name}` is not known"))
            .mend("use metrics (auroc, sensitivity, ...), auroc_low and auroc_high, n, n_pos, n_neg, tp, fp, fn, tn")
    })
}

/// One row of the file.
#[derive(Default)]
struct Line {
    name: String,
    n: Option<u64>,
    pos: Option<u64>,
    neg: Option<u64>,
    row: Row,
    low: Vec<(Metric, Printed)>,
    high: Vec<(Metric, Printed)>,
    cells: [Option<u64>; 4],
}

impl Line {
    fn take(&mut self, column: Column, cell: &str) -> Result<()> {
        let whole = || {
            let plain = cell.replace([',', ' '], "");
            plain.parse().map(Some).map_err(|_| Error::new(format!("`{cell}` is no whole number")))
        };
        match column {
            Column::Name => cell.clone_into(&mut self.name),
            Column::N => self.n = whole()?,
            Column::Pos => self.pos = whole()?,
            Column::Neg => self.neg = whole()?,
            Column::Cell(i) => self.cells[i] = whole()?,
            Column::Value(metric) => drop(self.row.values.insert(metric, cell.parse()?)),
            Column::Low(metric) => self.low.push((metric, cell.parse()?)),
            Column::High(metric) => self.high.push((metric, cell.parse()?)),
        }
        Ok(())
    }

    /// Puts the row where it belongs.
    fn file(mut self, card: &mut PublishedTable, of_labels: bool) {
        for (metric, low) in self.low {
            if let Some((_, high)) = self.high.iter().find(|(m, _)| *m == metric) {
                self.row.ci.insert(metric, [low, high.clone()]);
            }
        }
        if let [Some(tp), Some(fp), Some(fn_), Some(tn)] = self.cells {
            self.row.matrix = Some(Matrix { tp, fp, fn_, tn });
        }
        let Row { values, ci, .. } = self.row.clone();
        let plain = self.name.trim_matches('*').to_lowercase();
        let is_mean = ["macro", "mean", "average", "avg"].iter().any(|word| plain.starts_with(word));
        if of_labels && is_mean {
            card.macro_average = Some(MacroRow { labels: self.n, values, ci });
        } else if of_labels {
            let Self { name: label, n, pos: n_pos, neg: n_neg, .. } = self;
            card.label.push(LabelRow { label, n, n_pos, n_neg, values, ci });
        } else {
            let counts = (self.n, self.pos, self.neg);
            self.row.name = (!self.name.is_empty()).then_some(self.name);
            match card.test_set.iter_mut().find(|set| (set.n, set.n_pos, set.n_neg) == counts) {
                Some(set) => set.row.push(self.row),
                None => card.test_set.push(TestSet {
                    n: counts.0,
                    n_pos: counts.1,
                    n_neg: counts.2,
                    row: vec![self.row],
                    ..TestSet::default()
                }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_rows() {
        let card = parse("Pathology;AUC;n_pos;n\nEdema;0.82;40;200\nMacro Average;0.81;;10\n", "t.csv").unwrap();
        assert_eq!((card.label[0].n_neg, card.macro_average.unwrap().labels), (Some(160), Some(10)));
        let card = parse("mode,threshold,Sens,n_pos,n_neg\na,0.4,99.7%,390,234\nb,0.9,94.9%,390,234\n", "t").unwrap();
        assert_eq!((card.test_set.len(), card.test_set[0].row.len()), (1, 2));
        assert_eq!(card.test_set[0].row[1].values[&Metric::Sensitivity].text(), "94.9%");
        for (text, said) in [
            ("label,colour\nEdema,1\n", "`colour`"),
            ("label,auc\nEdema,high\n", "row 1, column auc"),
            ("label,auc\nEdema\n", "cell"),
            ("", "no numbers"),
        ] {
            let error = parse(text, "t").unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}

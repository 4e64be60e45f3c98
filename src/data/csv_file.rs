//! Tables as people save them: `,` `;` or tab, with or without BOM, LF or CRLF, plain or gzip. Errors name file, line
//! and column.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use csv::StringRecord;

use crate::error::{Error, Result};

/// Tables are read whole; the field's largest are a few hundred MB.
const MAX_BYTES: u64 = 2 << 30;

/// A table with a header, rectangular.
pub(super) struct CsvFile {
    /// Where it was read from.
    pub path: PathBuf,
    header: Vec<String>,
    /// In the file's order.
    pub rows: Vec<Row>,
}

/// One row of a [`CsvFile`].
pub(super) struct Row {
    /// Line of the file in which it starts, from 1.
    pub line: usize,
    cells: StringRecord,
}

impl Row {
    /// The cell, without blanks around it.
    pub fn get(&self, column: usize) -> &str {
        self.cells.get(column).unwrap_or_default().trim()
    }
}

impl CsvFile {
    /// Reads the table at `path`.
    pub fn read(path: PathBuf) -> Result<Self> {
        let text = read_text(&path)?;
        Self::parse(&text, &path).map_err(|e| e.at(path.display()))
    }

    fn parse(text: &str, path: &Path) -> Result<Self> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter(text))
            .from_reader(text.as_bytes());
        let mut lines = Lines { text: text.as_bytes(), at: 0, line: 1 };
        let (mut header, mut rows) = (None, Vec::new());
        for record in reader.records() {
            let cells = record.map_err(|e| Error::new(e.to_string()))?;
            let line = lines.of(cells.position().map_or(0, |p| p.byte()));
            let Some(header) = &header else {
                let mut names: Vec<String> = cells.iter().map(|c| c.trim().to_owned()).collect();
                // ChestX-ray14's table of 2017 ends its lines with a comma.
                while names.last().is_some_and(String::is_empty) {
                    names.pop();
                }
                header = Some(names);
                continue;
            };
            let extra = cells.iter().skip(header.len()).find(|c| !c.trim().is_empty());
            if cells.len() < header.len() || extra.is_some() {
                let cause = format!("{} cells where the header has {}", cells.len(), header.len());
                return Err(Error::new(cause)
                    .at(format_args!("line {line}"))
                    .mend("mend the row; a quote or a delimiter may be missing"));
            }
            rows.push(Row { line, cells });
        }
        match header {
            Some(header) if !header.is_empty() => Ok(Self { path: path.to_owned(), header, rows }),
            _ => Err(Error::new("the table is empty").mend("download it again")),
        }
    }

    /// Position of the column `name`.
    pub fn column(&self, name: &str) -> Result<usize> {
        let mut found = self.header.iter().enumerate().filter(|(_, h)| *h == name).map(|(i, _)| i);
        match (found.next(), found.next()) {
            (Some(i), None) => Ok(i),
            (Some(_), Some(_)) => Err(self.no_column(name, "is there twice")),
            (None, _) => Err(self.no_column(name, "is not there")),
        }
    }

    /// Position of the column of a finding, whatever its spelling.
    pub fn label_column(&self, label: &str) -> Result<usize> {
        crate::labels::find(&self.header, label).ok_or_else(|| self.no_column(label, "is not there"))
    }

    fn no_column(&self, name: &str, what: &str) -> Error {
        const SHOWN: usize = 12;
        let mut names = self.header.iter().take(SHOWN).map(|h| format!("`{h}`")).collect::<Vec<_>>().join(", ");
        if self.header.len() > SHOWN {
            names.push_str(", ...");
        }
        Error::new(format!("the column `{name}` {what}"))
            .at(self.path.display())
            .mend(format!("the table has {names}; mend the card or take the table of that release"))
    }

    /// A fault in one cell.
    pub fn fault(&self, row: &Row, column: usize, cause: impl Into<String>) -> Error {
        let name = self.header.get(column).map_or("", String::as_str);
        Error::new(cause).at(format_args!("line {}, column `{name}`", row.line)).at(self.path.display())
    }

    /// Adds the columns of `other` that this table lacks to the rows that agree in the columns `on`; rows without a
    /// partner get empty cells. `other` may have one row for each key.
    pub fn join(&mut self, other: &Self, on: &[String]) -> Result<()> {
        let columns = |table: &Self| on.iter().map(|name| table.column(name)).collect::<Result<Vec<_>>>();
        let key = |row: &Row, columns: &[usize]| columns.iter().map(|c| row.get(*c)).collect::<Vec<_>>().join("\t");
        let (mine, theirs) = (columns(self)?, columns(other)?);
        let mut partners: HashMap<String, &Row> = HashMap::new();
        for row in &other.rows {
            if let Some(first) = partners.insert(key(row, &theirs), row) {
                let cause = format!("`{}` is there twice, first in line {}", key(row, &theirs), first.line);
                return Err(other.fault(row, theirs[0], cause).mend("a table to join needs one row for each key"));
            }
        }
        let added: Vec<usize> = (0..other.header.len()).filter(|c| !self.header.contains(&other.header[*c])).collect();
        for row in &mut self.rows {
            // A trailing unnamed cell may be longer than the header.
            row.cells.truncate(self.header.len());
            let partner = partners.get(&key(row, &mine));
            added.iter().for_each(|c| row.cells.push_field(partner.map_or("", |p| p.get(*c))));
        }
        self.header.extend(added.into_iter().map(|c| other.header[c].clone()));
        Ok(())
    }
}

/// The text of a table or list, unpacked if it is gzip, without a BOM.
pub(super) fn read_text(path: &Path) -> Result<String> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let mut plain = Vec::new();
            flate2::read::MultiGzDecoder::new(bytes.as_slice()).take(MAX_BYTES + 1).read_to_end(&mut plain)?;
            bytes = plain;
        }
        Ok(bytes)
    };
    let mut bytes = read().map_err(|e| Error::io(path, e).mend("download the file again"))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::new("the table is larger than 2 GiB").at(path.display()).mend("split it"));
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    String::from_utf8(bytes).map_err(|e| {
        let before = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        Error::new("the text is not UTF-8")
            .at(format_args!("line {line}"))
            .at(path.display())
            .mend("save the table as UTF-8")
    })
}

/// The delimiter that the header has most of, outside quotes.
fn delimiter(text: &str) -> u8 {
    let header = text.trim_start().lines().next().unwrap_or_default();
    let outside: Vec<u8> = header.split('"').step_by(2).flat_map(str::bytes).collect();
    let count = |d: u8| outside.iter().filter(|b| **b == d).count();
    // The last of equal ones wins: the comma.
    *b"\t;,".iter().max_by_key(|d| count(**d)).unwrap_or(&b',')
}

/// Counts lines up to growing byte offsets. The csv crate's own count is off after blank lines.
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
}

impl Lines<'_> {
    fn of(&mut self, byte: u64) -> usize {
        let start = usize::try_from(byte).unwrap_or(usize::MAX).min(self.text.len());
        let blank = self.text[start..].iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let end = (start + blank).max(self.at);
        self.line += self.text[self.at..end].iter().filter(|b| **b == b'\n').count();
        self.at = end;
        self.line
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<CsvFile> {
        CsvFile::parse(text, Path::new("t.csv"))
    }

    #[test]
    fn delimiters_blank_lines_and_quotes() {
        for (text, cell) in [
            ("a,b\n1,2\n", "2"),
            ("a;b\r\n1;2,5\r\n", "2,5"),
            ("a\tb\n1\t\"x\ty\"", "x\ty"),
            ("\"a;;;\",b\n1,2", "2"),
            ("a,b,\n1,2,\n", "2"),
        ] {
            assert_eq!(parse(text).unwrap().rows[0].get(1), cell, "{text:?}");
        }
        let table = parse("a,b\r\n\r\n1,\"x\r\ny\"\r\n\r\n\r\n3,4\r\n").unwrap();
        assert_eq!(table.rows.iter().map(|r| r.line).collect::<Vec<_>>(), [3, 7]);
    }

    #[test]
    fn joins_by_name() {
        let mut left = parse("id,s,x\n1,a,p\n2,b,q\n").unwrap();
        left.join(&parse("s,id,y\nb,2,B\n").unwrap(), &["id".into(), "s".into()]).unwrap();
        assert_eq!(left.header, ["id", "s", "x", "y"]);
        assert_eq!((left.rows[0].get(3), left.rows[1].get(3)), ("", "B"));
        let twice = parse("id,y\n1,A\n1,B\n").unwrap();
        let e = left.join(&twice, &["id".into()]).unwrap_err().to_string();
        assert_eq!(
            e,
            "t.csv, line 3, column `id`: `1` is there twice, first in line 2; a table to join needs one row for each key"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_table_or_an_error(text in "[ab\",;\t\r\n]{0,60}") {
            if let Ok(table) = parse(&text) {
                let lines = 1 + text.matches('\n').count();
                prop_assert!(table.rows.windows(2).all(|w| w[0].line <= w[1].line));
                prop_assert!(table.rows.iter().all(|r| r.line <= lines));
            }
        }
    }
}

//! A delimited text file as typed columns, every fault named by row, line and column.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use csv::{ByteRecord, Terminator};
use flate2::bufread::MultiGzDecoder;

use super::Truth;
use crate::error::{Error, Result};

/// No header is longer; a first line without an end must not fill the memory.
const LONGEST_HEADER: u64 = 16 << 20;

/// A file whose header has been read.
pub(super) struct Table<'a> {
    /// Column names in file order; empty for a column without a name.
    pub names: Vec<String>,
    file: String,
    delimiter: u8,
    rows: Rows<'a>,
}

type Rows<'a> = csv::Reader<Box<dyn Read + 'a>>;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Not read.
    Skip,
    /// Text, empty where not known.
    Text,
    /// Text, unique and not empty.
    Id,
    Truths,
    /// Finite numbers.
    Numbers,
}

/// The values of a column.
pub(super) enum Cells {
    Skipped,
    Text(Vec<String>),
    Truths(Vec<Truth>),
    Numbers(Vec<f64>),
}

impl Cells {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Skip => Self::Skipped,
            Kind::Text | Kind::Id => Self::Text(Vec::new()),
            Kind::Truths => Self::Truths(Vec::new()),
            Kind::Numbers => Self::Numbers(Vec::new()),
        }
    }

    fn push(&mut self, cell: &[u8], kind: Kind, delimiter: u8) -> Result<()> {
        match self {
            Self::Skipped => {}
            Self::Text(_) if kind == Kind::Id && cell.is_empty() => {
                return Err(Error::new("the id is empty").mend("every row needs the id of its image"));
            }
            Self::Text(values) => values.push(text(cell)?),
            Self::Truths(values) => values.push(Truth::parse(cell).ok_or_else(|| no_truth(cell))?),
            Self::Numbers(values) => values.push(number(cell, delimiter)?),
        }
        Ok(())
    }
}

impl Table<'static> {
    /// Opens a file and reads its header.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        Self::new(path.display(), file)
    }
}

impl<'a> Table<'a> {
    /// Reads the header of `input`, which messages call `file`.
    pub fn new(file: impl fmt::Display, input: impl Read + 'a) -> Result<Self> {
        let (text, delimiter) = decode(input).map_err(|e| e.at(&file))?;
        let mut rows = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            // A carriage return is trimmed with the cell: as a terminator it would upset the line numbers.
            .terminator(Terminator::Any(b'\n'))
            .from_reader(text);
        let names = names(&mut rows).map_err(|e| e.at(&file))?;
        Ok(Self { names, file: file.to_string(), delimiter, rows })
    }

    /// `error` with the file in front.
    pub fn fault(&self, error: Error) -> Error {
        error.at(&self.file)
    }

    /// The file as messages name it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Reads the columns, each as its kind; `kinds` has one for each name. There is at least one row. Errors do not
    /// name the file.
    pub fn read(mut self, kinds: &[Kind]) -> Result<Vec<Cells>> {
        let mut columns: Vec<Cells> = kinds.iter().map(|&kind| Cells::of(kind)).collect();
        let mut row = 0_u32;
        let mut record = ByteRecord::new();
        let mut lines = Lines::default();
        loop {
            let earliest = self.rows.position().line();
            if !next(&mut self.rows, &mut record)? {
                break;
            }
            row = row.checked_add(1).ok_or_else(|| Error::new("more than 4,294,967,295 rows"))?;
            let line = start_line(&self.rows, &record, earliest);
            lines.push(row, line);
            let place = || format!("row {row} (line {line})");
            if record.len() != self.names.len() {
                return Err(wrong_length(&record, self.names.len()).at(place()));
            }
            for (i, cell) in record.iter().enumerate() {
                columns[i]
                    .push(cell.trim_ascii(), kinds[i], self.delimiter)
                    .map_err(|e| e.at(format!("column {}", self.names[i])).at(place()))?;
            }
        }
        if row == 0 {
            return Err(Error::new("a header and no row").mend("put one row for each image below it"));
        }
        for ((kind, column), name) in kinds.iter().zip(&columns).zip(&self.names) {
            if let (Kind::Id, Cells::Text(ids)) = (kind, column) {
                unique(ids, &lines).map_err(|e| e.at(format!("column {name}")))?;
            }
        }
        Ok(columns)
    }
}

/// What to do about a file without a header.
pub(super) const HEADER: &str = "the first line must name the columns: image,y_LABEL,...,p_LABEL,...";

/// The text of a file without gzip and byte order mark, and its delimiter.
fn decode<'a>(input: impl Read + 'a) -> Result<(Box<dyn Read + 'a>, u8)> {
    const BUFFER: usize = 1 << 16;
    let mut raw = BufReader::with_capacity(BUFFER, input);
    let gzipped = raw.fill_buf().map_err(damaged)?.starts_with(&[0x1f, 0x8b]);
    let mut text: Box<dyn BufRead + 'a> = match gzipped {
        true => Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(raw))),
        false => Box::new(raw),
    };
    let mut start = Vec::new();
    while start.trim_ascii().is_empty()
        && text.by_ref().take(LONGEST_HEADER).read_until(b'\n', &mut start).map_err(damaged)? > 0
    {
        if start.starts_with(b"\xef\xbb\xbf") {
            start.drain(..3);
        }
    }
    if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
        return Err(Error::new("the text is UTF-16").mend("save the file as UTF-8"));
    }
    let delimiter = delimiter(&start);
    // The line end closes a last line that has none, so that every record ends with one.
    Ok((Box::new(io::Cursor::new(start).chain(text).chain(&b"\n"[..])), delimiter))
}

/// The delimiter that stands most often in the header, outside quotes.
fn delimiter(header: &[u8]) -> u8 {
    let mut quoted = false;
    let mut counts = [(0_usize, b'\t'), (0, b';'), (0, b',')];
    for &byte in header {
        quoted ^= byte == b'"';
        for (count, delimiter) in &mut counts {
            *count += usize::from(!quoted && byte == *delimiter);
        }
    }
    // The last of equals: the comma.
    counts.iter().max_by_key(|(count, _)| *count).map_or(b',', |&(_, delimiter)| delimiter)
}

/// A read error, most often a damaged gzip stream.
fn damaged(error: impl Into<io::Error>) -> Error {
    let mend = "the file cannot be read to its end; fetch or write it again";
    Error::new(error.into().to_string()).mend(mend)
}

/// Reads the next record that is not a blank line; false at the end.
fn next(rows: &mut Rows<'_>, record: &mut ByteRecord) -> Result<bool> {
    while rows.read_byte_record(record).map_err(damaged)? {
        if record.len() > 1 || record.iter().any(|cell| !cell.trim_ascii().is_empty()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The column names.
fn names(rows: &mut Rows<'_>) -> Result<Vec<String>> {
    let mut header = ByteRecord::new();
    if !next(rows, &mut header)? {
        return Err(Error::new("the file is empty").mend(HEADER));
    }
    let name =
        |(i, cell): (usize, &[u8])| text(cell.trim_ascii()).map_err(|e| e.at(format!("header, column {}", i + 1)));
    header.iter().enumerate().map(name).collect()
}

/// The line on which the record just read starts, from 1; `earliest` is where the one before it ended.
fn start_line(rows: &Rows<'_>, record: &ByteRecord, earliest: u64) -> u64 {
    let inside = record.as_slice().iter().filter(|&&byte| byte == b'\n').count() as u64;
    // Less than `earliest` only where a quote is open at the end of the file: no line end closes that record.
    rows.position().line().saturating_sub(1 + inside).max(earliest)
}

/// The line of each row, as the rows at which the distance between the two changes.
#[derive(Default)]
struct Lines(Vec<(u32, u64)>);

impl Lines {
    fn push(&mut self, row: u32, line: u64) {
        let distance = line - u64::from(row).min(line);
        if self.0.last().is_none_or(|&(_, last)| last != distance) {
            self.0.push((row, distance));
        }
    }

    fn of(&self, row: u32) -> u64 {
        let after = self.0.partition_point(|&(first, _)| first <= row);
        u64::from(row) + after.checked_sub(1).map_or(0, |i| self.0[i].1)
    }
}

fn text(cell: &[u8]) -> Result<String> {
    match std::str::from_utf8(cell) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(Error::new(format!("`{}` is not UTF-8", shown(cell))).mend("save the file as UTF-8")),
    }
}

fn no_truth(cell: &[u8]) -> Error {
    Error::new(format!("`{}` is not a truth", shown(cell)))
        .mend("write 0, 1, -1 (uncertain) or nothing (not mentioned)")
}

fn number(cell: &[u8], delimiter: u8) -> Result<f64> {
    let parsed = std::str::from_utf8(cell).ok().and_then(|cell| cell.parse::<f64>().ok());
    match parsed {
        Some(number) if number.is_finite() => Ok(number),
        _ => Err(no_score(cell, parsed, delimiter)),
    }
}

#[cold]
fn no_score(cell: &[u8], parsed: Option<f64>, delimiter: u8) -> Error {
    let cause = match parsed {
        None if cell.is_empty() => "the score is missing".to_owned(),
        None => format!("`{}` is not a number", shown(cell)),
        Some(number) if number.is_nan() => "the score is NaN".to_owned(),
        Some(_) => format!("the score is infinite (`{}`)", shown(cell)),
    };
    let decimal_comma = parsed.is_none() && delimiter == b';' && cell.contains(&b',');
    Error::new(cause).mend(match decimal_comma {
        true => "write decimals with a point",
        false => "every image needs a finite score for every label: predict it again, or leave the image out",
    })
}

/// A cell as a message shows it.
fn shown(cell: &[u8]) -> String {
    let text = String::from_utf8_lossy(cell);
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.into_owned(),
    }
}

fn wrong_length(record: &ByteRecord, columns: usize) -> Error {
    let cells = if record.len() == 1 { "1 cell".to_owned() } else { format!("{} cells", record.len()) };
    Error::new(format!("{cells} where the header has {columns}")).mend(match record.as_slice().contains(&b'\n') {
        true => "close the quote that runs over several lines",
        false => "give every row one cell for each column",
    })
}

fn unique(ids: &[String], lines: &Lines) -> Result<()> {
    let mut seen = HashSet::with_capacity(ids.len());
    let Some(again) = ids.iter().position(|id| !seen.insert(id)) else { return Ok(()) };
    let id = &ids[again];
    let first = ids.iter().position(|other| other == id).unwrap_or(again);
    let [first, again] = [first, again].map(|row| {
        let row = row as u32 + 1;
        format!("row {row} (line {})", lines.of(row))
    });
    Err(Error::new(format!("`{id}` stands in {first} and in {again}")).mend("keep one row an image"))
}

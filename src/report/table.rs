//! A table once, in every form: CSV with all digits, Markdown, LaTeX and HTML rounded.

use super::escape;
use crate::error::{Error, Result};

/// A cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A whole number.
    Count(usize),
    /// A number with its decimals in print; `None` where there is none.
    Number(Option<f64>, usize),
    /// The ends of an interval with their decimals in print.
    Interval(Option<(f64, f64)>, usize),
}

/// A column: its key in CSV and its name in print.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// In CSV; an interval's two columns add `_low` and `_high`.
    pub key: &'static str,
    /// In print.
    pub name: &'static str,
    /// Whether it holds words, which keep left.
    pub words: bool,
    /// Whether it holds intervals.
    pub interval: bool,
}

/// A table.
#[derive(Debug, Clone)]
pub struct Table {
    /// The file's name without its ending.
    pub name: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows, a cell for each column.
    pub rows: Vec<Vec<Cell>>,
}

impl Cell {
    /// The cell as people read it: rounded, `-` where there is nothing.
    fn shown(&self, dash: &str) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Count(n) => n.to_string(),
            Self::Number(value, digits) => value.map_or("-".into(), |v| fixed(v, *digits)),
            Self::Interval(ends, digits) => ends.map_or("-".into(), |(low, high)| {
                // A dash beside a minus sign cannot be read.
                let dash = if low < 0.0 { " to " } else { dash };
                format!("{}{dash}{}", fixed(low, *digits), fixed(high, *digits))
            }),
        }
    }
}

/// `value` with `digits` decimals, never `-0.000`.
fn fixed(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.bytes().all(|b| b == b'0' || b == b'.') => rest.to_owned(),
        _ => text,
    }
}

impl Table {
    /// CSV, every number in full.
    pub fn csv(&self) -> Result<Vec<u8>> {
        let fault = |e: String| Error::new(e).at(format_args!("tables/{}.csv", self.name));
        let mut writer = csv::Writer::from_writer(Vec::new());
        let header = self.columns.iter().flat_map(|c| match c.interval {
            true => vec![format!("{}_low", c.key), format!("{}_high", c.key)],
            false => vec![c.key.to_owned()],
        });
        writer.write_record(header).map_err(|e| fault(e.to_string()))?;
        let number = |v: Option<f64>| v.map_or(String::new(), |v| format!("{v:?}"));
        for row in &self.rows {
            let cells = row.iter().flat_map(|cell| match cell {
                Cell::Text(text) => vec![escape::cell(text)],
                Cell::Count(n) => vec![n.to_string()],
                Cell::Number(value, _) => vec![number(*value)],
                Cell::Interval(ends, _) => vec![number(ends.map(|e| e.0)), number(ends.map(|e| e.1))],
            });
            writer.write_record(cells).map_err(|e| fault(e.to_string()))?;
        }
        writer.into_inner().map_err(|e| fault(e.to_string()))
    }

    /// Without the columns that have nothing to say, for print.
    fn filled(&self) -> Self {
        let says = |cell: &Cell| !matches!(cell.shown("").as_str(), "" | "-");
        let kept: Vec<bool> = (0..self.columns.len()).map(|c| self.rows.iter().any(|row| says(&row[c]))).collect();
        let pick = |c: usize| kept[c];
        Self {
            columns: self.columns.iter().enumerate().filter(|(c, _)| pick(*c)).map(|(_, column)| *column).collect(),
            rows: self
                .rows
                .iter()
                .map(|row| row.iter().enumerate().filter(|(c, _)| pick(*c)).map(|(_, cell)| cell.clone()).collect())
                .collect(),
            ..*self
        }
    }

    /// A table of GitHub's Markdown under its title.
    pub fn markdown(&self) -> String {
        let Self { columns, rows, .. } = self.filled();
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut text = format!("**{}**\n\n", self.title);
        text += &line(columns.iter().map(|c| c.name.to_owned()).collect());
        text += &line(columns.iter().map(|c| if c.words { "---".into() } else { "---:".to_owned() }).collect());
        for row in &rows {
            text += &line(row.iter().map(|cell| escape::markdown(&cell.shown("–"))).collect());
        }
        text
    }

    /// A LaTeX table with the rules of the package booktabs.
    pub fn latex(&self) -> String {
        let Self { columns, rows, .. } = self.filled();
        let line = |cells: Vec<String>| format!("    {} \\\\\n", cells.join(" & "));
        let sides: String = columns.iter().map(|c| if c.words { 'l' } else { 'r' }).collect();
        let mut text = format!(
            "% needs \\usepackage{{booktabs}}\n\\begin{{table}}\n  \\centering\n  \\caption{{{}}}\n  \
             \\begin{{tabular}}{{{sides}}}\n    \\toprule\n",
            escape::latex(self.title)
        );
        text += &line(columns.iter().map(|c| escape::latex(c.name)).collect());
        text += "    \\midrule\n";
        for row in &rows {
            text += &line(row.iter().map(|cell| minus(escape::latex(&cell.shown("--")), cell)).collect());
        }
        text + "    \\bottomrule\n  \\end{tabular}\n\\end{table}\n"
    }

    /// An HTML table.
    pub fn html(&self) -> String {
        let Self { columns, rows, .. } = self.filled();
        let class = |c: &Column| if c.words { "" } else { " class=\"n\"" };
        let mut text = format!(
            "<div class=\"wide\"><table id=\"table-{}\">\n<caption>{}</caption>\n<thead><tr>",
            self.name,
            escape::html(self.title)
        );
        for c in &columns {
            text += &format!("<th scope=\"col\"{}>{}</th>", class(c), escape::html(c.name));
        }
        text += "</tr></thead>\n<tbody>\n";
        for row in &rows {
            text += "<tr>";
            for (c, cell) in columns.iter().zip(row) {
                text += &format!("<td{}>{}</td>", class(c), escape::html(&cell.shown("–")));
            }
            text += "</tr>\n";
        }
        text + "</tbody>\n</table></div>\n"
    }
}

/// The minus signs of a number or an interval in LaTeX.
fn minus(text: String, cell: &Cell) -> String {
    match cell {
        Cell::Number(Some(_), _) => text.replace('-', "$-$"),
        Cell::Interval(Some((low, _)), _) if *low < 0.0 => text.replace('-', "$-$"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let column = |key, name, words, interval| Column { key, name, words, interval };
        Table {
            name: "t",
            title: "AUROC & more",
            columns: vec![
                column("label", "label", true, false),
                column("auroc", "AUROC", false, false),
                column("ci", "95% CI", false, true),
                column("remark", "Remark", true, false),
            ],
            rows: vec![
                vec![
                    Cell::Text("=<b>|_".into()),
                    Cell::Number(Some(-0.12345), 3),
                    Cell::Interval(Some((-0.1, 0.2)), 3),
                    Cell::Text(String::new()),
                ],
                vec![
                    Cell::Text("x".into()),
                    Cell::Number(Some(-0.0001), 3),
                    Cell::Interval(None, 3),
                    Cell::Text(String::new()),
                ],
            ],
        }
    }

    #[test]
    fn every_form() {
        assert_eq!(
            String::from_utf8(table().csv().unwrap()).unwrap(),
            "label,auroc,ci_low,ci_high,remark\n'=<b>|_,-0.12345,-0.1,0.2,\nx,-0.0001,,,\n"
        );
        assert_eq!(
            table().markdown(),
            "**AUROC & more**\n\n| label | AUROC | 95% CI |\n| --- | ---: | ---: |\n\
             | =&lt;b>\\|\\_ | -0.123 | -0.100 to 0.200 |\n| x | 0.000 | - |\n"
        );
        let latex = table().latex();
        assert!(latex.contains("\\caption{AUROC \\& more}") && latex.contains("{lrr}"), "{latex}");
        assert!(
            latex.contains("    =\\textless{}b\\textgreater{}|\\_ & $-$0.123 & $-$0.100 to 0.200 \\\\\n"),
            "{latex}"
        );
        let html = table().html();
        assert!(
            html.contains("<td>=&lt;b&gt;|_</td><td class=\"n\">-0.123</td><td class=\"n\">-0.100 to 0.200</td>"),
            "{html}"
        );
    }
}

//! Plain text tables.

/// Which side of its column a cell keeps to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

/// Rows of cells under a header, columns two blanks apart.
pub struct Table {
    sides: Vec<Side>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with a header.
    pub fn new(header: &[(&str, Side)]) -> Self {
        Self {
            sides: header.iter().map(|(_, side)| *side).collect(),
            rows: vec![header.iter().map(|(name, _)| (*name).to_owned()).collect()],
        }
    }

    /// Adds a row, which has a cell for every column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let row: Vec<_> = cells.into_iter().collect();
        debug_assert_eq!(row.len(), self.sides.len());
        self.rows.push(row);
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<_> = (0..self.sides.len()).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, side), width) in row.iter().zip(&self.sides).zip(&widths) {
                let blanks = " ".repeat(width - cell.chars().count());
                match side {
                    Side::Left => line.extend([cell, blanks.as_str(), "  "]),
                    Side::Right => line.extend([blanks.as_str(), cell, "  "]),
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&[("label", Side::Left), ("n", Side::Right)]);
        table.row(["Effusion".into(), "7".into()]);
        table.row(["Œdema".into(), "12".into()]);
        assert_eq!(table.to_string(), "label      n\nEffusion   7\nŒdema     12\n");
    }
}

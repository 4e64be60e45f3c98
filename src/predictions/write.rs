//! Writing the first shape.

use std::io::Write;

use super::Predictions;
use crate::error::{Error, Result};

impl Predictions {
    /// Writes the first shape: `image`, `patient`, `study`, the attributes, then the `y_`, `logit_` and `p_` columns,
    /// each kind in the order of the labels. Numbers are the shortest decimals that read back as the same f64. What
    /// [`read`](super::read) gave reads back the same.
    ///
    /// # Errors
    /// A score that is NaN or infinite, naming its image and column; a failed write.
    pub fn write(&self, out: impl Write) -> Result<()> {
        let mut columns: Vec<(String, Column)> = vec![("image".to_owned(), Column::Text(&self.images))];
        columns.extend(self.patients.iter().map(|v| ("patient".to_owned(), Column::Text(v))));
        columns.extend(self.studies.iter().map(|v| ("study".to_owned(), Column::Text(v))));
        columns.extend(self.attributes.iter().map(|a| (a.name.clone(), Column::Text(&a.values))));
        let named = |prefix: &str, name: &str| format!("{prefix}_{name}");
        for label in &self.labels {
            columns.extend(label.truths.iter().map(|v| (named("y", &label.name), Column::Truths(v))));
        }
        for label in &self.labels {
            columns.extend(label.logits.iter().map(|v| (named("logit", &label.name), Column::Numbers(v))));
        }
        for label in &self.labels {
            columns.extend(label.scores.iter().map(|v| (named("p", &label.name), Column::Numbers(v))));
        }

        let mut csv = csv::Writer::from_writer(out);
        let failed = |e: csv::Error| Error::new(format!("cannot write the predictions: {e}"));
        csv.write_record(columns.iter().map(|(name, _)| name)).map_err(failed)?;
        let mut cell = Vec::new();
        for (row, image) in self.images.iter().enumerate() {
            for (name, column) in &columns {
                match column {
                    Column::Text(values) => csv.write_field(&values[row]),
                    Column::Truths(values) => csv.write_field(values[row].as_str()),
                    Column::Numbers(values) => {
                        let number = values[row];
                        if !number.is_finite() {
                            let cause = format!("the score is {number}");
                            return Err(Error::new(cause).at(format!("image {image}, column {name}")));
                        }
                        cell.clear();
                        write!(cell, "{number:?}").map_err(|e| failed(e.into()))?;
                        csv.write_field(&cell)
                    }
                }
                .map_err(failed)?;
            }
            csv.write_record(None::<&[u8]>).map_err(failed)?;
        }
        csv.flush().map_err(|e| failed(e.into()))
    }
}

enum Column<'a> {
    Text(&'a [String]),
    Truths(&'a [super::Truth]),
    Numbers(&'a [f64]),
}

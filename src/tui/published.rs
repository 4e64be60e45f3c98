//! Published tables: which there are, how the opened table compares, and the operating points that they print.

use crate::audit::reproduce::reproduce;
use crate::audit::reproduction::{Images, Reproduction, Settings};
use crate::cards::catalogue;
use crate::cards::printed::Printed;
use crate::cards::published::{Matrix, Metric, PublishedTable, Row, Unit};
use crate::error::Result;
use crate::labels;
use crate::tui::analysis::Analysis;
use crate::tui::inventory;

/// A table to choose.
pub struct Choice {
    /// A bundled one's name or the path of a card.
    pub name: String,
    /// Who printed it, or what is wrong with the card.
    pub says: String,
}

/// All bundled tables and those in the working folder; first those of `dataset`.
pub fn choices(dataset: Option<&str>) -> Vec<Choice> {
    let names = catalogue::published_names().map(str::to_owned).chain(inventory::own_cards("roentgen/published/"));
    let mut found: Vec<(bool, Choice)> = names
        .map(|name| match catalogue::published(&name) {
            Ok(table) => {
                (dataset.is_none() || table.dataset.as_deref() != dataset, Choice { says: table.title(), name })
            }
            Err(e) => (true, Choice { says: e.to_string(), name }),
        })
        .collect();
    found.sort_by_key(|(other, _)| *other);
    found.into_iter().map(|(_, choice)| choice).collect()
}

/// Holds a table, which the card at `place` holds, against the opened one.
pub fn hold(table: &PublishedTable, place: &str, analysis: &Analysis) -> Result<Reproduction> {
    let settings = Settings {
        policy: analysis.overview.policy(),
        unit: Unit::Image,
        images: Images::ByCounts,
        same_model: false,
        margin_macro: None,
        margin_label: None,
        rounding: None,
        theirs: None,
        run: analysis.overview.description.as_ref(),
    };
    reproduce(table, place, &analysis.predictions, &settings)
}

/// A printed operating point: another reader's or another paper's.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// What the table calls it.
    pub name: String,
    /// Share of the positives that were found.
    pub sensitivity: f64,
    /// Its interval, where one was printed.
    pub sensitivity_ci: Option<(f64, f64)>,
    /// Share of the negatives that were left alone.
    pub specificity: f64,
    /// Its interval, where one was printed.
    pub specificity_ci: Option<(f64, f64)>,
    /// Share of positives among the called ones, where it is known.
    pub precision: Option<f64>,
}

/// The points that `table` prints of `label`. A test set that names no label is about it if it is the `only` one.
pub fn points(table: &PublishedTable, label: &str, only: bool) -> Vec<Point> {
    let rows = table.label.iter().filter(|row| labels::same(&row.label, label));
    let of_labels = rows.filter_map(|row| {
        let row = Row { name: None, values: row.values.clone(), ci: row.ci.clone(), matrix: None };
        point(&row, table.source.clone())
    });
    let sets = table.test_set.iter().filter(|set| set.label.as_ref().map_or(only, |name| labels::same(name, label)));
    let of_sets = sets.flat_map(|set| {
        set.row.iter().enumerate().filter_map(move |(i, row)| {
            let parts = [set.name.clone(), row.name.clone()].into_iter().flatten().collect::<Vec<_>>();
            let name = if parts.is_empty() { format!("row {}", i + 1) } else { parts.join(" ") };
            point(row, name)
        })
    });
    of_labels.chain(of_sets).collect()
}

fn point(row: &Row, name: String) -> Option<Point> {
    let ratio = |a: u64, b: u64| (b > 0).then(|| a as f64 / b as f64);
    let counted = |of: fn(Matrix) -> (u64, u64)| row.matrix.map(of).and_then(|(a, b)| ratio(a, b));
    let value = |metric| row.values.get(&metric).map(Printed::as_f64);
    let ci = |metric| row.ci.get(&metric).map(|[low, high]| (low.as_f64(), high.as_f64()));
    let less = |share: f64| 1.0 - share;
    Some(Point {
        name,
        sensitivity: value(Metric::Sensitivity)
            .or_else(|| value(Metric::Fnr).map(less))
            .or_else(|| counted(|m| (m.tp, m.tp + m.fn_)))?,
        sensitivity_ci: ci(Metric::Sensitivity),
        specificity: value(Metric::Specificity)
            .or_else(|| value(Metric::Fpr).map(less))
            .or_else(|| counted(|m| (m.tn, m.tn + m.fp)))?,
        specificity_ci: ci(Metric::Specificity),
        precision: value(Metric::Precision).or_else(|| counted(|m| (m.tp, m.tp + m.fp))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_and_thresholds_are_points() {
        let readers = catalogue::published("chexnext-2018-radiologists").unwrap();
        let found = points(&readers, "Pleural Effusion", false);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].sensitivity, found[0].specificity), (0.761, 0.883));
        assert_eq!((found[0].sensitivity_ci, found[0].precision), (Some((0.731, 0.790)), None));
        let thresholds = catalogue::published("readme-004").unwrap();
        let found = points(&thresholds, "PNEUMONIA", true);
        assert_eq!(found[0].name, "test screening");
        assert_eq!(found[1].precision, Some(0.941));
        assert!(points(&thresholds, "Effusion", true).is_empty());
    }

    #[test]
    fn a_printed_matrix_is_a_point() {
        let text = "schema = \"roentgen/published/1\"\nsource = \"a paper\"\n[[test_set]]\n[[test_set.row]]\n\
                    matrix = { tp = 30, fp = 10, fn = 10, tn = 50 }\n";
        let table = PublishedTable::parse(text, "card").unwrap();
        let found = points(&table, "Mass", true);
        assert_eq!(found[0].sensitivity, 0.75);
        assert_eq!((found[0].precision, found[0].name.as_str()), (Some(0.75), "row 1"));
        assert!(points(&table, "Mass", false).is_empty());
    }

    #[test]
    fn the_tables_of_the_dataset_come_first() {
        let all = choices(Some("kermany-pediatric"));
        let of = |name: &str| all.iter().position(|c| c.name == name).unwrap();
        assert!(of("kermany-2018") < of("arnoweng-improved") && of("readme-004") < of("brucechou1983"));
        assert_eq!(all.len(), choices(None).len());
    }
}

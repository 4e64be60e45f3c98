//! `roentgen weights show`: what a weight file holds.

use crate::cli::table::{Side, Table};
use crate::cli::weights::Opened;

/// Format, naming, hash, and a row of statistics a tensor.
pub fn text(opened: &Opened) -> String {
    let mut text = String::new();
    if let Some(card) = &opened.card {
        text += &format!("model         {}\n", card.name);
    }
    if let Some(origin) = opened.tensors.origin() {
        text += &format!("format        {}\nnaming        {}\n", origin.format, origin.naming);
        if let Some(network) = &origin.network {
            text += &format!("recognised    {}\n", network.architecture);
        }
        if !origin.prefix.is_empty() {
            text += &format!("wrapped in    {}\n", origin.prefix.trim_end_matches('.'));
        }
    }
    let (table, values) = statistics(opened);
    text += &format!(
        "sha256        {}\nvalues        {values} in {} tensors\n",
        opened.sha256,
        opened.tensors.shapes().len()
    );
    text + "\n" + &table
}

/// A row a tensor, and how many values there are in all.
fn statistics(opened: &Opened) -> (String, usize) {
    let mut table = Table::new(&[
        ("tensor", Side::Left),
        ("shape", Side::Left),
        ("mean", Side::Right),
        ("deviation", Side::Right),
        ("least", Side::Right),
        ("most", Side::Right),
        ("not finite", Side::Right),
    ]);
    let mut all = 0;
    for (name, shape, values) in opened.tensors.iter() {
        all += values.len();
        let finite = || values.iter().filter(|v| v.is_finite()).map(|v| f64::from(*v));
        let n = finite().count();
        let mean = finite().sum::<f64>() / n as f64;
        let variance = finite().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
        let number = |v: f64| if n == 0 { "-".to_owned() } else { format!("{v:.4}") };
        let shape: Vec<_> = shape.iter().map(usize::to_string).collect();
        table.row([
            name.to_owned(),
            shape.join("x"),
            number(mean),
            number(variance.sqrt()),
            number(finite().fold(f64::INFINITY, f64::min)),
            number(finite().fold(f64::NEG_INFINITY, f64::max)),
            if n == values.len() { String::new() } else { (values.len() - n).to_string() },
        ]);
    }
    (table.to_string(), all)
}

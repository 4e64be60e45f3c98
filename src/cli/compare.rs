//! `roentgen compare`: two models on the same images.

use crate::cli::args::{self, Format};
use crate::cli::table::{Side, Table};
use crate::cli::{csv, inputs, json, note, print};
use crate::error::Result;
use crate::metrics::comparison::{self, Calls, Difference, LabelComparison, ModelComparison, Replicates};
use crate::predictions;

/// Images that the text names of those that only one model gets right.
const SHOWN: usize = 3;

/// Carries the verb out.
pub fn run(args: &args::Compare) -> Result<()> {
    let (mut a, mut b) = (inputs::read(&args.a, &args.truth)?, inputs::read(&args.b, &args.truth)?);
    let names = [args.a.display().to_string(), args.b.display().to_string()];
    if a.images != b.images {
        let (rows, told) =
            predictions::align([&a.images, &b.images], [&names[0], &names[1]], args.truth.allow_missing)?;
        told.iter().for_each(|n| note(n));
        (a, b) = (a.take(&rows[0]), b.take(&rows[1]));
    }
    let bootstrap = (args.bootstrap > 0).then_some(Replicates { replicates: args.bootstrap, seed: args.seed });
    let found = comparison::compare(&a, &b, args.policy.resolve(), bootstrap)
        .map_err(|e| e.at(format_args!("A = {}, B = {}", names[0], names[1])))?;
    match args.format {
        Format::Text => print(&format!("A  {}\nB  {}\n{}", names[0], names[1], text(&found))),
        Format::Json => print(&json(&found)?),
        Format::Csv => print(&disagreements_csv(&found)?),
    }
}

fn text(found: &ModelComparison) -> String {
    let mut text = format!("{} images", found.n_images);
    if let Some(patients) = found.n_patients {
        text += &format!(" of {patients} patients");
    }
    text += &format!("\n\nAUROC, A less B, and {}\n{}", tested(found), aurocs(found));
    text += "\nA less B; Brier score and ECE: lower is better";
    text += &match found.bootstrap {
        Some(b) => {
            let drawn = if found.n_patients.is_some() { "patients" } else { "images" };
            format!("; 95% intervals of {} paired draws of {drawn} (seed {})\n", b.replicates, b.seed)
        }
        None => "; without --bootstrap there are no intervals\n".into(),
    };
    text += &differences(found).to_string();
    text += "\nImages that only one model calls rightly, each at its own Youden threshold (chosen on these images)\n";
    text += &format!("{}\n", calls(found));
    for label in &found.labels {
        for (side, name) in [("a", "A"), ("b", "B")] {
            text += &first_images(label, side, name);
        }
    }
    text += "--format csv lists them all\n";
    for label in &found.labels {
        let remarks = [&label.warning, &label.calibration_refused];
        text.extend(remarks.into_iter().flatten().map(|r| format!("{}: {r}\n", label.label)));
    }
    text.extend(found.left_out.iter().map(|l| format!("left out: {}: {}\n", l.label, l.reason)));
    text
}

/// What the p-values of the AUROCs rest on.
fn tested(found: &ModelComparison) -> &'static str {
    match found.n_patients {
        Some(_) => "the paired test over patients (Obuchowski)",
        None => "DeLong's paired test (images count as independent: there is no patient column)",
    }
}

fn aurocs(found: &ModelComparison) -> Table {
    let header = ["label", "n", "pos", "A", "B", "A - B", "95% CI", "p", "p (Holm)"];
    let mut table = Table::new(&header.map(|h| (h, if h == "label" { Side::Left } else { Side::Right })));
    let labels = found.labels.iter().map(|l| (l.label.as_str(), l.n.to_string(), l.n_pos.to_string(), &l.auroc));
    let mean = ("macro", String::new(), String::new(), &found.macro_average.auroc);
    for (label, n, n_pos, c) in labels.chain([mean]) {
        table.row([
            label.to_owned(),
            n,
            n_pos,
            format!("{:.4}", c.auroc_a),
            format!("{:.4}", c.auroc_b),
            signed(c.difference),
            interval(c.ci_low, c.ci_high),
            p_value(c.p_value),
            if label == "macro" { String::new() } else { p_value(c.p_holm) },
        ]);
    }
    table
}

fn differences(found: &ModelComparison) -> Table {
    let header = ["label", "AP", "95% CI", "Brier", "95% CI", "ECE", "95% CI"];
    let mut table = Table::new(&header.map(|h| (h, if h == "label" { Side::Left } else { Side::Right })));
    let cells = |d: Option<&Difference>| match d {
        Some(d) => [signed(d.difference), interval(d.ci_low, d.ci_high)],
        None => ["-".into(), "-".into()],
    };
    for label in &found.labels {
        let metrics = [Some(&label.average_precision), label.brier.as_ref(), label.ece.as_ref()];
        table.row(std::iter::once(label.label.clone()).chain(metrics.into_iter().flat_map(cells)));
    }
    let mean = cells(Some(&found.macro_average.average_precision));
    table.row(std::iter::once("macro".into()).chain(mean).chain(vec![String::new(); 4]));
    table
}

fn calls(found: &ModelComparison) -> Table {
    let header = ["label", "at A", "at B", "only A right", "only B right", "p (McNemar)", "p (Holm)"];
    let mut table = Table::new(&header.map(|h| (h, if h == "label" { Side::Left } else { Side::Right })));
    for label in &found.labels {
        let cells = |c: &Calls| {
            [
                format!("{:.4}", c.threshold_a),
                format!("{:.4}", c.threshold_b),
                c.test.a_only.to_string(),
                c.test.b_only.to_string(),
                p_value(Some(c.p_value())),
                p_value(c.p_holm),
            ]
        };
        let cells = label.mcnemar.as_ref().map_or(["-"; 6].map(String::from), cells);
        table.row(std::iter::once(label.label.clone()).chain(cells));
    }
    table
}

/// A line that names the first images of a label which only `side` gets right; nothing where there are none.
fn first_images(label: &LabelComparison, side: &str, name: &str) -> String {
    let images: Vec<&str> = label.disagreements.iter().filter(|d| d.right == side).map(|d| d.image.as_str()).collect();
    if images.is_empty() {
        return String::new();
    }
    let more = if images.len() > SHOWN { ", ..." } else { "" };
    format!("{}, only {name} right: {}{more}\n", label.label, images[..images.len().min(SHOWN)].join(", "))
}

fn disagreements_csv(found: &ModelComparison) -> Result<String> {
    let header = ["label", "image", "truth", "right", "score_a", "score_b"].map(str::to_owned);
    let rows = found.labels.iter().flat_map(|label| {
        label.disagreements.iter().map(|d| {
            let [score_a, score_b] = [d.score_a, d.score_b].map(|s| format!("{s:?}"));
            [label.label.clone(), d.image.clone(), d.truth.to_string(), d.right.to_owned(), score_a, score_b]
        })
    });
    csv(std::iter::once(header).chain(rows))
}

fn signed(value: f64) -> String {
    format!("{value:+.4}")
}

fn interval(low: Option<f64>, high: Option<f64>) -> String {
    low.zip(high).map_or("-".into(), |(low, high)| format!("{low:+.4} to {high:+.4}"))
}

fn p_value(p: Option<f64>) -> String {
    match p {
        Some(p) if p < 0.0001 => "<0.0001".into(),
        Some(p) => format!("{p:.4}"),
        None => "-".into(),
    }
}

//! `report.html`: one file that needs no network and no script.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::document::{Document, Material};
use super::escape::html as esc;
use super::methods;
use super::signature::NAMESPACE;
use super::surface::Plot;
use super::table::Table;
use crate::error::{Error, Result};
use crate::metrics::confidence::Estimate;

/// What the page is made of.
pub struct Parts<'a> {
    /// The report.
    pub material: &'a Material,
    /// Its tables.
    pub tables: &'a [Table],
    /// Its plots, each with the text of its SVG file.
    pub plots: &'a [(Plot, String)],
}

/// The page.
pub fn page(parts: &Parts) -> Result<String> {
    let Parts { material, .. } = parts;
    let d = &material.document;
    let title = esc(&material.title());
    let mut sections = vec![
        (
            "discrimination",
            "Discrimination",
            parts.table("auroc") + &parts.table("averages") + &parts.large(&["auroc"]),
        ),
        ("operating-points", "Operating points", parts.table("operating_points")),
        ("calibration", "Calibration", parts.table("calibration")),
        ("curves", "Curves", parts.curves()),
        ("subgroups", "Subgroups", subgroups(parts)),
        ("published", "Against a published table", published(parts)),
        ("labels", "Label distribution", parts.table("labels") + &parts.large(&["labels_bar", "labels_pie"])),
        ("examples", "Examples", examples(material)),
        ("maps", "Can the maps be trusted?", maps(parts)),
        ("failures", "Failures", failures(parts)),
        ("training", "Training", training(parts)),
        ("provenance", "Provenance", provenance(material)?),
        ("methods", "Methods", list(&methods::methods(d))),
        ("limits", "Limits", list(&methods::limits(material))),
        ("checklists", "Reporting checklists", checklists(parts)),
        ("verify", "How to verify this report", verify(d)),
    ];
    sections.retain(|(_, _, body)| !body.is_empty());
    let links = sections.iter().map(|(id, name, _)| format!("<li><a href=\"#{id}\">{name}</a></li>"));
    let body =
        sections.iter().map(|(id, name, body)| format!("<section id=\"{id}\">\n<h2>{name}</h2>\n{body}</section>\n"));
    Ok(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n{}\n\
         <nav aria-label=\"Sections\"><ul>{}</ul></nav>\n</header>\n<main>\n{}{}</main>\n\
         <footer>Made by {} from the run's own predictions.</footer>\n</body>\n</html>\n",
        include_str!("style.css"),
        lead(material),
        links.collect::<String>(),
        summary(d),
        body.collect::<String>(),
        esc(d.software),
    ))
}

impl Parts<'_> {
    fn table(&self, name: &str) -> String {
        self.tables.iter().find(|t| t.name == name).map_or(String::new(), Table::html)
    }

    fn large(&self, names: &[&str]) -> String {
        let wanted = self.plots.iter().filter(|(plot, _)| names.contains(&plot.name.as_str()));
        let figures: String = wanted.map(|(plot, svg)| figure(plot, svg)).collect();
        if figures.is_empty() { figures } else { format!("<div class=\"plots large\">\n{figures}</div>\n") }
    }

    /// The curves of every label under its name.
    fn curves(&self) -> String {
        let mut text = String::new();
        for (i, label) in self.material.document.evaluation.labels.iter().enumerate() {
            let own = self.plots.iter().filter(|(plot, _)| plot.label == Some(i));
            let figures: String = own.map(|(plot, svg)| figure(plot, svg)).collect();
            if !figures.is_empty() {
                text += &format!("<h3>{}</h3>\n<div class=\"plots\">\n{figures}</div>\n", esc(&label.label));
            }
        }
        text
    }
}

/// An inline SVG in the colours of the page.
fn figure(plot: &Plot, svg: &str) -> String {
    // Attribute values only: in texts the writer has escaped every quote.
    let themed = svg.replace("\"#1F242A\"", "\"currentColor\"").replace("\"#D6DBE1\"", "\"var(--faint)\"");
    let size = themed.split_once("viewBox").map_or(themed.as_str(), |(_, rest)| rest);
    format!("<figure><svg role=\"img\" aria-label=\"{}\" viewBox{size}</figure>\n", esc(&plot.words))
}

fn lead(material: &Material) -> String {
    let d = &material.description;
    format!(
        "<p class=\"lead\">{}, predicted by {} on {}; report by {}</p>",
        esc(&material.model.architecture.to_string()),
        esc(&d.software),
        esc(&d.device),
        esc(material.document.software)
    )
}

/// The headline numbers.
fn summary(d: &Document) -> String {
    let e = &d.evaluation;
    let fact = |name: &str, value: String, more: String| {
        let more = if more.is_empty() { more } else { format!("<small>{}</small>", esc(&more)) };
        format!("<div><dt>{}</dt><dd>{}{more}</dd></div>\n", esc(name), esc(&value))
    };
    let number = |v: Option<f64>| v.map_or("-".into(), |v| format!("{v:.3}"));
    let ends = |e: &Estimate| e.ci_low.zip(e.ci_high).map_or(String::new(), |(l, h)| format!("95% CI {l:.3}–{h:.3}"));
    let auroc = e.macro_average.auroc.as_ref().map(|a| &a.estimate);
    let failed =
        if d.counts.failed > 0 { format!("{} more could not be read", d.counts.failed) } else { String::new() };
    let evaluable = e.labels.iter().filter(|l| l.not_evaluable.is_none()).count();
    let mut facts = fact("Images", d.counts.predicted.to_string(), failed);
    facts += &fact("Patients", d.counts.patients.map_or("not known".into(), |n| n.to_string()), String::new());
    facts += &fact("Labels evaluated", format!("{evaluable} of {}", e.labels.len()), String::new());
    facts += &fact("Macro AUROC", number(auroc.map(|a| a.value)), auroc.map_or(String::new(), ends));
    facts += &fact("Macro AP", number(e.macro_average.average_precision.map(|v| v.value)), String::new());
    format!("<section id=\"summary\">\n<dl class=\"facts\">\n{facts}</dl>\n</section>\n")
}

fn subgroups(parts: &Parts) -> String {
    let d = &parts.material.document;
    let mut text = parts.table("subgroups");
    let not: Vec<_> = d.not_grouped.iter().map(|n| format!("{}: {}", n.attribute, n.reason)).collect();
    if !not.is_empty() {
        text += &format!("<p>Not broken down:</p>\n{}", list(&not));
    }
    text
}

fn published(parts: &Parts) -> String {
    let Some(found) = &parts.material.document.reproduction else { return String::new() };
    let fairness = found.fairness.iter().map(|f| format!("{}: {} ({})", f.what, f.status.words(), f.detail));
    let remarks: Vec<_> = found.left_out.iter().map(ToString::to_string).chain(found.notes.clone()).collect();
    let mut text = format!(
        "<p>{}</p>\n<p>Is the comparison fair?</p>\n{}{}",
        esc(&found.title),
        list(&fairness.collect::<Vec<_>>()),
        parts.table("published")
    );
    if !remarks.is_empty() {
        text += &list(&remarks);
    }
    text
}

fn examples(material: &Material) -> String {
    let d = &material.document;
    if !d.redistribution {
        return "<p>The dataset's licence does not let images be passed on: none is shown, and ids are salted.</p>\n"
            .into();
    }
    let figures: String = d
        .examples
        .iter()
        .zip(&material.pictures)
        .map(|(e, bytes)| {
            format!(
                "<figure><img alt=\"{label}, {outcome}: image {image}\" src=\"data:image/png;base64,{}\">\
                 <figcaption><b>{label}: {outcome}</b><br>{image}<br>probability {:.3}, threshold {:.3}<br>{}</figcaption></figure>\n",
                STANDARD.encode(bytes),
                e.probability,
                e.threshold,
                esc(&e.method),
                label = esc(&e.label),
                outcome = e.outcome.words(),
                image = esc(&e.image),
            )
        })
        .collect();
    match figures.is_empty() {
        true => "<p>No pictures were drawn for this run.</p>\n".into(),
        false => format!(
            "<p>Right and wrong calls. An overlay shows what spoke for the finding in the model, not where the finding \
             is.</p>\n<div class=\"pictures\">\n{figures}</div>\n"
        ),
    }
}

fn maps(parts: &Parts) -> String {
    let Some(maps) = &parts.material.document.maps else { return String::new() };
    format!(
        "<p>Maps by {}, of the first n positive images of each label. Faithful: filling in what a map shows changes the \
         probability more than filling in what random maps show (ROAD), and the map changes with the weights. None of this \
         says that a map lies on the finding.</p>\n{}",
        esc(&maps.method),
        parts.table("maps")
    )
}

fn failures(parts: &Parts) -> String {
    match parts.material.document.failures.len() {
        0 => "<p>Every image could be read.</p>\n".into(),
        n => format!("<p>{n} images could not be read and have no predictions.</p>\n{}", parts.table("failures")),
    }
}

fn training(parts: &Parts) -> String {
    let Some(training) = &parts.material.description.training else { return String::new() };
    let sizes = training.parts.iter().map(|p| format!("{}: {} images of {} patients", p.name, p.images, p.patients));
    let labels = training.labels.iter().map(|l| {
        let [positive, negative] = l.weights;
        let (label, n, m) = (&l.label, l.positives, l.negatives);
        format!(
            "{label}: {n} positive and {m} negative images to learn from, counted {positive:.4} and {negative:.4} times"
        )
    });
    format!(
        "<p>By recipe {}, seed {}, at most {} epochs{}.</p>\n{}{}{}",
        esc(&training.recipe),
        training.seed,
        training.epochs_at_most,
        training.arithmetic().map(|how| esc(&format!(", {how}"))).unwrap_or_default(),
        list(&sizes.chain(labels).collect::<Vec<_>>()),
        parts.large(&["training_loss", "training_rate", "training_measures"]),
        parts.table("training"),
    )
}

fn provenance(material: &Material) -> Result<String> {
    let (run, model, dataset) = (&material.description, &material.model, &material.dataset);
    let none = || "not recorded".to_owned();
    let or_none = |v: &Option<String>| v.clone().unwrap_or_else(none);
    let code = |text: &str| format!("<code>{}</code>", esc(text));
    let mut rows: Vec<(&str, String)> = vec![
        ("Model", esc(&model.name)),
        ("Architecture", esc(&model.architecture.to_string())),
        ("Source of the model", esc(&or_none(&model.source))),
        ("Licence of the weights", esc(&model.licence)),
        ("SHA-256 of the weights", code(&run.hashes.weights)),
        ("Dataset", esc(&dataset.name)),
        ("Source of the data", esc(&or_none(&dataset.source))),
        ("Homepage", esc(&or_none(&dataset.homepage))),
        ("Licence of the images", esc(&dataset.licence)),
        ("Version of the labels", esc(&or_none(&dataset.label_version))),
        ("Split", esc(run.split.as_deref().unwrap_or("all images"))),
        ("Limit", run.limit.map_or("none".into(), |n| format!("the first {n} images"))),
        ("Labels that are neither", esc(&run.policy.to_string())),
        ("Predictions by", esc(&run.software)),
        ("Device", esc(&format!("{}, {}", run.device, run.instructions))),
        ("Precision and batch", esc(&format!("{}, {} images", run.precision, run.batch))),
    ];
    if let Some(calibration) = &run.calibration {
        rows.push(("Calibration maps, SHA-256", code(&calibration.sha256)));
    }
    for (name, hash) in [("manifest.csv", &run.hashes.manifest), ("predictions.csv", &run.hashes.predictions)] {
        rows.extend(hash.as_ref().map(|hash| (name, code(hash))));
    }
    let rows: String = rows.iter().map(|(name, value)| format!("<dt>{}</dt><dd>{value}</dd>\n", esc(name))).collect();
    let fault = |e: toml::ser::Error| Error::new(e.to_string()).at("a card");
    let mut cards = vec![
        ("The model's card", toml::to_string(model).map_err(fault)?),
        ("The dataset's card", toml::to_string(dataset).map_err(fault)?),
    ];
    cards.extend(run.calibration.as_ref().map(|c| ("The calibration maps", c.content.clone())));
    let cards = cards
        .iter()
        .map(|(name, text)| format!("<details><summary>{name}</summary><pre>{}</pre></details>\n", esc(text)));
    Ok(format!("<dl class=\"about\">\n{rows}</dl>\n{}", cards.collect::<String>()))
}

fn checklists(parts: &Parts) -> String {
    let lists = &parts.material.document.checklists;
    let text = lists.iter().map(|list| {
        let by = |wanted: &str| list.items.iter().filter(|i| i.answer.words() == wanted).count();
        let (run, part, author) = (by("the run"), by("the run, in part"), by("the author"));
        format!(
            "<details><summary>{}: {run} items answered by the run, {part} in part, {author} for the author</summary>{}</details>\n",
            esc(list.name),
            parts.table(list.key)
        )
    });
    let text: String = text.collect();
    // The pointers become links.
    let sections = [
        "summary",
        "discrimination",
        "curves",
        "operating-points",
        "calibration",
        "subgroups",
        "labels",
        "examples",
        "maps",
        "failures",
        "provenance",
        "methods",
        "verify",
    ];
    let linked = sections.iter().fold(text, |text, id| {
        let link = format!("<a href=\"#{id}\">{id}</a>");
        text.replace(&format!(">#{id}<"), &format!(">{link}<"))
            .replace(&format!(">#{id} "), &format!(">{link} "))
            .replace(&format!(" #{id}<"), &format!(" {link}<"))
            .replace(&format!(" #{id} "), &format!(" {link} "))
    });
    format!(
        "<p>The items in our words; the guidelines themselves say more. The author completes what the run cannot know.</p>\n{linked}"
    )
}

fn verify(d: &Document) -> String {
    let predictions = d.files.get("predictions.csv").map_or("", String::as_str);
    format!(
        "<p>Beside this page lie <code>report.json</code>, which holds every number and the SHA-256 of every file, this page \
         among them, and, where the author signed it, <code>report.json.sig</code>.</p>\n\
         <pre># hashes, every number from the predictions, this page and every plot, and the signature\n\
         roentgen verify report.json --signers allowed_signers\n\
         # the images and the predictions themselves\n\
         roentgen verify report.json --data FOLDER --rerun\n\
         # the signature without roentgen\n\
         ssh-keygen -Y verify -f allowed_signers -I IDENTITY -n {NAMESPACE} -s report.json.sig &lt; report.json\n\
         # a number without roentgen: any program that reads predictions.csv\n\
         sha256sum predictions.csv   # {predictions}</pre>\n"
    )
}

fn list(items: &[String]) -> String {
    let items: String = items.iter().map(|item| format!("<li>{}</li>\n", esc(item))).collect();
    if items.is_empty() { items } else { format!("<ul>\n{items}</ul>\n") }
}

//! `roentgen audit`: the arithmetic of reported numbers.

use serde::Serialize;

use crate::audit::across;
use crate::audit::check::{Check, TableAudit, Verdict};
use crate::audit::from_csv::from_csv;
use crate::audit::table::audit;
use crate::cards::catalogue;
use crate::cards::published::PublishedTable;
use crate::cli::{args, json, print};
use crate::error::Result;
use crate::files;

#[derive(Serialize)]
struct Document {
    tables: Vec<TableAudit>,
}

/// Carries the verb out; true unless a table is inconsistent.
pub fn run(args: &args::Audit) -> Result<bool> {
    let mut tables: Vec<(String, PublishedTable)> = Vec::new();
    for spec in &args.tables {
        tables.push((spec.clone(), catalogue::published(spec)?));
    }
    if let Some(csv) = &args.from {
        let card = from_csv(csv)?;
        if let Some(out) = &args.save {
            files::write(out, card.to_toml()?.as_bytes())?;
        }
        tables.push((csv.display().to_string(), card));
    }
    let mut audits = Vec::new();
    for (i, (place, table)) in tables.iter().enumerate() {
        let mut found = audit(table, place, args.rounding);
        found.checks.extend(across_all(&tables, i)?);
        audits.push(TableAudit::of(found.table, found.title, found.checks));
    }
    let consistent = audits.iter().all(|t| t.verdict != Verdict::Inconsistent);
    print(&match args.format {
        args::PlainFormat::Text => audits.iter().map(text).collect::<Vec<_>>().join("\n"),
        args::PlainFormat::Json => json(&Document { tables: audits })?,
    })?;
    Ok(consistent)
}

/// Table `i` against the other ones given, and for copies against the bundled ones.
fn across_all(tables: &[(String, PublishedTable)], i: usize) -> Result<Vec<Check>> {
    let table = &tables[i].1;
    let mut checks = Vec::new();
    for (j, (place, other)) in tables.iter().enumerate() {
        if i != j {
            checks.extend(across::against(table, place, other));
        }
    }
    for name in catalogue::published_names() {
        let other = catalogue::published(name)?;
        let given = tables.iter().any(|(_, t)| t.title() == other.title());
        if !given {
            checks.extend(across::duplicate(table, name, &other));
        }
    }
    Ok(checks)
}

fn text(audit: &TableAudit) -> String {
    let mut text = format!("{}: {}\n{}\n", audit.table, audit.verdict.words(), audit.title);
    for check in &audit.checks {
        let mut mark = check.verdict.words().to_owned();
        if check.alternative {
            mark += ", if read so";
        }
        if check.warning {
            mark += ", look at it";
        }
        text += &format!("\n  {} ({}): {mark}\n", check.check, check.subject);
        text += &format!("    {}\n", check.detail);
        if let Some(witness) = &check.witness {
            text += &format!("    for example {witness}\n");
        }
        if !check.assumption.is_empty() {
            text += &format!("    assuming {}\n", check.assumption);
        }
    }
    text
}

//! `roentgen reproduce`: a published table against predictions.

use crate::audit::reproduce::reproduce;
use crate::audit::reproduction::{Images, Settings};
use crate::cards::catalogue;
use crate::cards::published::Unit;
use crate::cli::{args, inputs, json, note, print, reproduce_text};
use crate::error::Result;
use crate::predictions::{self, Predictions, align};
use crate::run::{Description, RunFolder};

/// Carries the verb out; false where the mean or a label is NOT REPRODUCED.
pub fn run(args: &args::Reproduce) -> Result<bool> {
    let table = catalogue::published(&args.table)?;
    let read = inputs::read(&args.run, &args.truth)?;
    let mut predictions = inputs::selected(read, &args.selection)?;
    // Other truths than the run's: what its cards say of the labels does not hold.
    let run = match args.run.is_dir() && args.truth.truth.is_none() {
        true => Some(Description::read(&RunFolder::new(&args.run))?),
        false => None,
    };
    let theirs = args.theirs.as_deref().map(|path| {
        let file = inputs::predictions_file(path)?;
        inputs::selected(predictions::read(&file, args.truth.id.as_deref())?, &args.selection)
    });
    let theirs = theirs.transpose()?.map(|theirs| aligned(&mut predictions, &theirs, args)).transpose()?;
    let settings = Settings {
        policy: args.policy.resolve(),
        unit: match args.selection.unit {
            args::Unit::Image => Unit::Image,
            args::Unit::Study => Unit::Study,
        },
        images: match args.images {
            None => Images::ByCounts,
            Some(args::Images::Same) => Images::Same,
            Some(args::Images::Other) => Images::Other,
        },
        same_model: args.same_model,
        margin_macro: args.margin_macro,
        margin_label: args.margin_label,
        rounding: args.rounding,
        theirs: theirs.as_ref(),
        run: run.as_ref(),
    };
    let found = reproduce(&table, &args.table, &predictions, &settings)?;
    print(&match args.format {
        args::Document::Text => reproduce_text::text(&found),
        args::Document::Markdown => reproduce_text::markdown(&found),
        args::Document::Json => json(&found)?,
    })?;
    Ok(!found.refuted())
}

/// Their predictions in the order of ours; images that only one has are left out of both where that is allowed.
fn aligned(ours: &mut Predictions, theirs: &Predictions, args: &args::Reproduce) -> Result<Predictions> {
    let names = ["the predictions", "theirs"];
    let (rows, left_out) = align([&ours.images, &theirs.images], names, args.truth.allow_missing)?;
    left_out.iter().for_each(|n| note(n));
    *ours = ours.take(&rows[0]);
    Ok(theirs.take(&rows[1]))
}

//! The command line: one file a verb. Only here and in the terminal UI is anything printed.

mod args;
mod audit;
mod calibrate;
mod clinical;
mod cluster;
mod compare;
mod datasets;
mod demo;
mod devices;
mod evaluate;
mod evaluation_table;
mod example_pictures;
mod explain;
mod explain_output;
mod explain_work;
mod inputs;
mod leakage;
mod machine;
mod merge;
mod predict;
mod preflight;
mod progress;
mod report;
mod reproduce;
mod reproduce_text;
mod score;
mod score_text;
mod table;
mod train;
mod train_results;
mod tui;
mod verify;
mod weights;
mod weights_show;
mod weights_verify;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::error::{Error, Kind, Result};

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = args::Cli::parse();
    let done = match cli.verb {
        Some(args::Verb::Audit(args)) => return ended(audit::run(&args)),
        Some(args::Verb::Reproduce(args)) => return ended(reproduce::run(&args)),
        Some(args::Verb::Demo(args)) => demo::run(&args),
        Some(args::Verb::Evaluate(args)) => evaluate::run(&args),
        Some(args::Verb::Train(args)) => train::run(&args),
        Some(args::Verb::Merge(args)) => merge::run(&args),
        Some(args::Verb::Cluster { verb }) => cluster::run(&verb),
        Some(args::Verb::Predict(args)) => predict::run(&args),
        Some(args::Verb::Explain(args)) => explain::run(&args),
        Some(args::Verb::Score(args)) => score::run(&args),
        Some(args::Verb::Compare(args)) => compare::run(&args),
        Some(args::Verb::Calibrate(args)) => calibrate::run(&args),
        Some(args::Verb::Report(args)) => report::run(&args),
        Some(args::Verb::Verify(args)) => return ended(verify::run(&args)),
        Some(args::Verb::Tui(args)) => tui::run(&args),
        Some(args::Verb::Datasets { verb }) => datasets::run(&verb),
        Some(args::Verb::Devices(args)) => devices::run(&args),
        Some(args::Verb::Weights { verb }) => weights::run(&verb),
        None => tui::home(),
    };
    ended(done.map(|()| true))
}

/// The exit status of a verb that was carried out, with whether its answer is yes, or failed.
fn ended(done: Result<bool>) -> ExitCode {
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::from(match e.kind() {
                Kind::Usage => 2,
                Kind::Input | Kind::Memory => 3,
                Kind::Interrupted => 130,
            })
        }
    }
}

/// Prints to stdout. A reader that has gone away (`| head`) is no error: the process ends quietly.
fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(e) => Err(Error::new(e.to_string()).at("stdout")),
        Ok(()) => Ok(()),
    }
}

/// Ends the process with the status of an answer that is no.
fn answer_no() -> ! {
    std::process::exit(1)
}

/// The one document that `--format json` prints.
fn json(document: &impl serde::Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(document).map_err(|e| Error::new(e.to_string()))?;
    Ok(text + "\n")
}

/// The table that `--format csv` prints, of a header and rows as long as it.
fn csv<R: IntoIterator<Item: AsRef<[u8]>>>(rows: impl IntoIterator<Item = R>) -> Result<String> {
    let fault = |e: String| Error::new(e).at("CSV");
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_record(row).map_err(|e| fault(e.to_string()))?;
    }
    let bytes = writer.into_inner().map_err(|e| fault(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| fault(e.to_string()))
}

/// Prints a remark to stderr; one that nobody can read is dropped.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "note: {text}");
}

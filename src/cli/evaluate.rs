//! `roentgen evaluate`: a run from cards to the table on stdout.

use std::path::Path;

use crate::cards::catalogue;
use crate::cards::model::ModelCard;
use crate::cli::args;
use crate::cli::calibrate::softmax_note;
use crate::cli::{evaluation_table, machine, note, preflight, print, progress, tui};
use crate::data;
use crate::error::{Error, Result};
use crate::files;
use crate::inference::engine::Pace;
use crate::inference::journal::Others;
use crate::inference::part::Part;
use crate::inference::preflight::before;
use crate::inference::session::{Plan, Session, Start};
use crate::metrics::evaluation::{self, Evaluation, Settings};
use crate::metrics::recalibration::Calibrators;
use crate::predictions;
use crate::run::{Calibration, Description, RunFolder};
use crate::tui::app::App;
use crate::tui::event;
use crate::tui::image::Choice;
use crate::tui::live::{self, Begun};
use crate::tui::theme::Theme;
use crate::tui::watch::Watch;

/// Carries the verb out.
pub fn run(args: &args::Evaluate) -> Result<()> {
    let work = &args.work;
    let place = machine::place(work.machine.device, work.precision)?;
    let threads = machine::threads(work.machine.threads)?;
    let (model, model_home) = catalogue::model(&work.model)?;
    let card = catalogue::dataset(&work.data)?;
    let mut dataset = data::load(&card, work.root.as_deref(), work.split.as_deref())?;
    if let Some(limit) = work.limit {
        dataset.samples.truncate(limit);
    }
    let part = args.shard.map(|shard| Part::cut(&mut dataset, shard));
    let folder = match &args.out {
        Some(out) => RunFolder::new(out),
        None => RunFolder::usual(&model, &card, work.split.as_deref(), args.shard),
    };
    let notes = before(&model, &model_home, &dataset, &place.device)?;
    notes.iter().for_each(|n| note(n));
    let notes = [place.notes.clone(), notes].concat();
    let calibration = work.calibration.as_deref().map(|path| calibration(path, &model)).transpose()?;
    let plan = Plan {
        model: (model, model_home),
        dataset_card: card,
        dataset,
        split: work.split.clone(),
        limit: work.limit,
        part,
        policy: work.policy.resolve(),
        calibration,
        training: None,
        place,
        pace: Pace { batch: work.machine.batch, decoders: threads, strict: work.strict },
        folder,
        resume: args.resume,
        others: if args.overlap { Others::Tolerated } else { Others::Refused },
    };
    carry_out(plan, notes, args.headless)
}

/// Runs a plan to its end and prints what a person is told about it; on a terminal in the UI, which shows the notes again.
pub fn carry_out(plan: Plan, notes: Vec<String>, headless: bool) -> Result<()> {
    let text = if headless || !tui::on_terminal() { in_text(plan) } else { in_ui(plan, notes) };
    print(&text?)
}

fn in_ui(plan: Plan, notes: Vec<String>) -> Result<String> {
    let folder = plan.folder.clone();
    let watch = Watch::new(folder.clone(), &plan.model.0, plan.policy, plan.dataset.clone());
    let policy = plan.policy;
    let mut app = App::new(Theme::from_env());
    match Session::begin(plan)? {
        Start::Begun(session) => app.start(Begun { session, watch, policy, notes }),
        Start::AlreadyFinished => app.open(folder.path()),
    }
    event::run(&mut app, Choice::Auto)?;
    let resume = "all of it is kept: go on with the same command and --resume";
    // Another run may have been opened meanwhile.
    let shown = app.shared.overview.as_ref().filter(|o| o.predictions == folder.predictions());
    match (app.outcome(), shown, &app.shared.evaluation) {
        (Some(Err(e)), ..) => Err(e.clone().mend(resume)),
        (_, Some(overview), Some(evaluation)) => {
            let failed = overview.description.as_ref().map_or(0, |d| d.images.saturating_sub(evaluation.n_images));
            Ok(summary(&overview.name, evaluation, failed, &folder))
        }
        (None, ..) => Err(Error::interrupted("left before the run was finished").mend(resume)),
        (Some(Ok(())), ..) => Ok(format!("written to {}\n", folder.path().display())),
    }
}

fn in_text(plan: Plan) -> Result<String> {
    let folder = plan.folder.clone();
    let name = format!("{} on {}", plan.model.0.name, plan.dataset.name);
    let settings = Settings { policy: plan.policy, ..Settings::default() };
    let policy = plan.policy;
    let (evaluation, failed) = match Session::begin(plan)? {
        Start::AlreadyFinished => {
            note("this run is finished already; its table is shown again");
            let failed = folder.read_failures()?.len();
            // A shard may be empty; a table never is.
            if Description::read(&folder)?.images == failed {
                return Ok(format!(
                    "no image, and {failed} that could not be read\nwritten to {}\n",
                    folder.path().display()
                ));
            }
            let predictions = predictions::read(&folder.predictions(), None)?;
            (evaluation::evaluate(&predictions, None, &settings)?, failed)
        }
        Start::Begun(session) => {
            let stop = machine::stop_flag()?;
            let mut meter = progress::Meter::new();
            let (evaluation, finding) = live::complete(session, policy, &stop, &mut |p| meter.show(p))?;
            // A shard may be empty.
            if evaluation.n_images > 0 {
                preflight::after(&finding.predictions, &evaluation, policy)?;
            }
            (evaluation, finding.failures.len())
        }
    };
    Ok(summary(&name, &evaluation, failed, &folder))
}

/// Reads a calibrator file, which must fit the model.
pub fn calibration(path: &Path, model: &ModelCard) -> Result<Calibration> {
    let content = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    let calibrators = Calibrators::parse(&content).map_err(|e| e.at(path.display()))?;
    calibrators.check_fits(&model.name, &model.labels).map_err(|e| e.at(path.display()))?;
    softmax_note(model);
    Ok(Calibration { sha256: files::sha256(content.as_bytes()), content })
}

/// What a person is told of a finished run.
pub fn summary(name: &str, evaluation: &Evaluation, failed: usize, folder: &RunFolder) -> String {
    let mut text = format!("{name}: {} images", evaluation.n_images);
    if let Some(patients) = evaluation.n_patients {
        text += &format!(" of {patients} patients");
    }
    if failed > 0 {
        text += &format!(", and {failed} that could not be read (failures.csv)");
    }
    format!("{text}\n\n{}\nwritten to {}\n", evaluation_table::text(evaluation), folder.path().display())
}

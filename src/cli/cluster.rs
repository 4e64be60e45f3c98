//! `roentgen cluster`: a run whose shards Slurm evaluates, its submission and how far it is.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::cards::catalogue::{self, Home};
use crate::cli::table::{Side, Table};
use crate::cli::{args, json, note, print};
use crate::cluster::job::{Job, JobFolder, Submission};
use crate::cluster::script::Plan;
use crate::cluster::status::{State, Status};
use crate::data;
use crate::device::Precision;
use crate::error::{Error, Result};
use crate::files;
use crate::inference::batch;
use crate::models;
use crate::run::RunFolder;
use crate::tui::widgets::text::duration;

/// Carries a verb out.
pub fn run(verb: &args::Cluster) -> Result<()> {
    match verb {
        args::Cluster::Submit(args) => submit(args),
        args::Cluster::Resubmit(args) => resubmit(args),
        args::Cluster::Status(args) => status(args),
    }
}

fn submit(args: &args::Submit) -> Result<()> {
    let work = &args.work;
    let (model, home) = catalogue::model(&work.model)?;
    let card = catalogue::dataset(&work.data)?;
    let dataset = data::load(&card, work.root.as_deref(), work.split.as_deref())?;
    dataset.notes.iter().for_each(|n| note(n));
    models::weight_file(&model, &home)?;
    let usual = RunFolder::usual(&model, &card, work.split.as_deref(), None);
    let run = absolute(args.out.as_deref().unwrap_or(usual.path()))?;
    // Slurm takes a backslash in the folder of its logs away, and then does not find it.
    if run.to_string_lossy().contains(|c: char| c == '\\' || c.is_control()) {
        return Err(Error::usage("Slurm cannot write logs into a folder of this name")
            .at(run.display())
            .mend("choose a path without backslashes and control characters"));
    }
    let images = dataset.samples.len().min(work.limit.unwrap_or(usize::MAX));
    let name = format!("{} on {}", model.name, dataset.name);
    let plan = Plan {
        program: text(std::env::current_exe().map_err(|e| Error::new(e.to_string()).at("finding this program"))?)?,
        run: text(run.clone())?,
        name: format!("roentgen-{}", files::plain_name(&name)),
        shards: args.shards,
        evaluate: evaluate_options(work, &home)?,
        report: report_options(work, &home)?,
        sbatch: sbatch_options(args),
        sbatch_shards: sbatch_shards_options(args),
        retries: args.retries,
    };
    let scripts = [plan.shards_script(), plan.finish_script()];
    if args.dry_run {
        return print(&format!("{}\n# --- finish.sh, after it ---\n\n{}", scripts[0], scripts[1]));
    }
    let folder = JobFolder::new(run);
    let mut job = folder.create(&name, args.shards, images, [&scripts[0], &scripts[1]])?;
    let submission = folder
        .submit(&mut job, None)
        .inspect_err(|_| note(&format!("the scripts are in {}; nothing is submitted", folder.path().display())))?;
    told(&folder, &job, &submission)
}

fn resubmit(args: &args::Resubmit) -> Result<()> {
    let folder = JobFolder::new(absolute(&args.run)?);
    let mut job = folder.read()?;
    let submission = folder.submit(&mut job, args.retries)?;
    told(&folder, &job, &submission)
}

fn told(folder: &JobFolder, job: &Job, submission: &Submission) -> Result<()> {
    let Submission { array, tasks, finish } = submission;
    let run = folder.run();
    print(&format!(
        "{}: {} images in {} shards\njob {array}: shards {tasks}\njob {finish}: joins them and reports\n\
         how far they are: roentgen cluster status {}\n",
        job.name,
        job.images,
        job.shards,
        run.path().display()
    ))
}

/// The options of `evaluate` that do the same from any folder.
fn evaluate_options(work: &args::Work, home: &Home) -> Result<Vec<Vec<String>>> {
    let path = |path: &Path| text(absolute(path)?);
    let bundled = !Path::new(&work.data).is_dir() && catalogue::dataset_names().any(|name| name == work.data);
    let data = if bundled { work.data.clone() } else { path(Path::new(&work.data))? };
    let mut options = vec![("--model", Some(model(work, home)?)), ("--data", Some(data))];
    options.extend(work.root.as_deref().map(path).transpose()?.map(|root| ("--root", Some(root))));
    options.extend(work.split.clone().map(|split| ("--split", Some(split))));
    options.extend(work.limit.map(|limit| ("--limit", Some(limit.to_string()))));
    options.extend(work.strict.then_some(("--strict", None)));
    options.push(("--uncertain", word(work.policy.uncertain)));
    options.push(("--unmentioned", word(work.policy.unmentioned)));
    options.extend(work.calibration.as_deref().map(path).transpose()?.map(|maps| ("--calibration", Some(maps))));
    options.push(("--device", Some(work.machine.device.to_string())));
    let precision = work.precision;
    options.extend((precision != Precision::F32).then(|| ("--precision", Some(precision.to_string()))));
    // The same for all shards, or they could not be merged.
    options.push(("--batch", Some(work.machine.batch.unwrap_or(batch::USUAL).to_string())));
    options.extend(work.machine.threads.map(|n| ("--threads", Some(n.to_string()))));
    Ok(words(options))
}

/// The options of `report` with which it finds the example pictures.
fn report_options(work: &args::Work, home: &Home) -> Result<Vec<Vec<String>>> {
    let mut options = Vec::new();
    if *home != Home::Bundled {
        options.push(("--model", Some(model(work, home)?)));
    }
    let root = work.root.as_deref().or(Some(Path::new(&work.data)).filter(|data| data.is_dir()));
    options.extend(root.map(|root| text(absolute(root)?)).transpose()?.map(|root| ("--root", Some(root))));
    Ok(words(options))
}

fn words(options: Vec<(&str, Option<String>)>) -> Vec<Vec<String>> {
    options.into_iter().map(|(name, value)| [name.to_owned()].into_iter().chain(value).collect()).collect()
}

fn word(value: impl ValueEnum) -> Option<String> {
    value.to_possible_value().map(|v| v.get_name().to_owned())
}

fn model(work: &args::Work, home: &Home) -> Result<String> {
    match home {
        Home::Bundled => Ok(work.model.clone()),
        Home::Folder(_) => text(absolute(Path::new(&work.model))?),
    }
}

fn sbatch_options(args: &args::Submit) -> Vec<String> {
    let named = [("partition", &args.partition), ("account", &args.account), ("time", &args.time)];
    let named = named.into_iter().filter_map(|(name, value)| Some(format!("--{name}={}", value.as_ref()?)));
    named.chain(args.sbatch.iter().cloned()).collect()
}

fn sbatch_shards_options(args: &args::Submit) -> Vec<String> {
    let gres = args.gres.iter().map(|gres| format!("--gres={gres}"));
    gres.chain(args.work.machine.threads.map(|n| format!("--cpus-per-task={n}"))).collect()
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Error::io(path, e))
}

/// A path as a script can hold it.
fn text(path: PathBuf) -> Result<String> {
    path.into_os_string().into_string().map_err(|path| {
        Error::usage("the path is not UTF-8, and a script has to name it").at(path.display()).mend("rename it")
    })
}

fn status(args: &args::ClusterStatus) -> Result<()> {
    let folder = JobFolder::new(&args.run);
    let status = Status::read(&folder)?;
    if let Some(e) = &status.no_queue {
        note(&format!("Slurm told nothing, so this is from the shards' folders alone: {e}"));
    }
    match args.format {
        args::PlainFormat::Json => print(&json(&status)?),
        args::PlainFormat::Text => print(&status_text(&folder, &status)),
    }
}

fn status_text(folder: &JobFolder, status: &Status) -> String {
    let mut text = format!("{}: {} of {} images", status.name, status.done, status.images);
    if let Some(left) = status.seconds_left {
        text += &format!(", {:.1} images/s, ETA {}", status.images_per_second, duration(left));
    }
    text += &format!("\n{} shards: {}\n", status.shards.len(), status.counts());
    if status.merged {
        return text + &format!("joined in {}\n", folder.run().path().display());
    }
    let mut table = Table::new(&[
        ("shard", Side::Right),
        ("", Side::Left),
        ("images", Side::Right),
        ("of", Side::Right),
        ("images/s", Side::Right),
        ("Slurm", Side::Left),
        ("node", Side::Left),
    ]);
    let at_work = status.shards.iter().filter(|s| matches!(s.state, State::Running | State::Failed));
    for s in at_work.clone() {
        table.row([
            s.shard.to_string(),
            s.state.name().to_owned(),
            s.done.to_string(),
            s.images.map(|n| n.to_string()).unwrap_or_default(),
            s.images_per_second.map(|rate| format!("{rate:.1}")).unwrap_or_default(),
            s.slurm.clone().unwrap_or_default(),
            s.node.clone().unwrap_or_default(),
        ]);
    }
    if at_work.clone().next().is_some() {
        text += &format!("\n{table}");
    }
    if let Some(failed) = at_work.clone().find(|s| s.state == State::Failed) {
        text += &format!(
            "\nwhy: {}; again: roentgen cluster resubmit {}\n",
            folder.log(failed.shard).display(),
            folder.run().path().display()
        );
    }
    text
}

//! Our side of `peers.py` and `gpu.py`: `peer MODEL BATCH [IMAGES]` builds a network with formula weights and runs it over
//! the formula input, or, as `evaluate` does, over the pictures of a folder, each several times; with `train` for the folder
//! it makes steps of training instead. `peer MODEL BATCH DEVICE PRECISION` runs it over the input on a card. It prints the logits once; then each line on stdin is a number of runs, answered by a line
//! with the milliseconds of each. Lines are JSON.

#[path = "../tests/formula.rs"]
mod formula;

use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use candle_core::{Device, Tensor};
use roentgen::cards::model::ModelCard;
use roentgen::data::{Sample, Source};
use roentgen::device::{Precision, Wanted};
use roentgen::inference::engine::{self, Job, Pace};
use roentgen::inference::journal::Output;
use roentgen::models::{Model, Network, build, build_as};
use roentgen::ops::keep_memory;
use roentgen::rng::Rng;
use roentgen::train::recipe::Optimizer as Rule;
use roentgen::train::{self, Optimizer};

/// The learning rate: too low to get anywhere, so that all steps are alike.
const RATE: f64 = 1e-9;

/// How often a run goes over the pictures, so that its start and its end weigh little.
const TIMES: usize = 4;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [name, batch, images @ ..] = &arguments[..] else {
        println!("left out: peers.py starts this with a model and a batch size");
        return;
    };
    let batch: usize = batch.parse().expect("the batch size is a number");
    let (classes, shapes) = match name.as_str() {
        "densenet121" => (14, formula::densenet(32, [6, 12, 24, 16], 3, 14)),
        "resnet18" => (1, formula::resnet([2, 2, 2, 2], false, 1)),
        "mobilenet_v2" => (2, formula::mobilenet_v2(2)),
        _ => panic!("no formula for {name}"),
    };
    let labels: Vec<_> = (0..classes).map(|i| format!("l{i}")).collect();
    let card = format!(
        "schema = \"roentgen/model/1\"\nname = \"m\"\narchitecture = \"{name}\"\nlabels = {labels:?}\n\
         output = \"sigmoid\"\nlicence = \"MIT\"\n[weights]\npath = \"m\"\n[input]\nchannels = 3\nsteps = [\n\
         {{ op = \"resize\", size = 224, mode = \"squash\", filter = \"bilinear\" }},\n\
         {{ op = \"scale\", to = [-1.0, 1.0] }}]\n"
    );
    let card = ModelCard::parse(&card, "card").expect("the card above is right");
    let shape = [batch, 3, 224, 224];
    let x = || Tensor::from_vec(formula::tensor("input", &shape, 1), &shape, &Device::Cpu).expect("the shape fits");
    if images == ["train"] {
        keep_memory();
        let network = Network::new(&card, formula::weights(&shapes)).expect("the formula's weights fit");
        let (mut optimizer, x) =
            (Optimizer::new(Rule::Adam { rate: RATE }, network.parameters()).expect("they are on the CPU"), x());
        return serve(|| train(&network, &mut optimizer, &x));
    }
    if let [device, precision] = images {
        let precision: Precision = precision.parse().expect("f32, bf16 or f16");
        let place = device.parse::<Wanted>().and_then(|device| device.open(precision)).expect("the device is there");
        let model = build_as(&card, formula::weights(&shapes), &place.device, precision.dtype());
        let (model, x) = (model.expect("the formula's weights fit"), x().to_device(&place.device).expect("it fits"));
        return serve(|| logits(&model, &x));
    }
    let model = build(&card, formula::weights(&shapes), &Device::Cpu).expect("the formula's weights fit");
    match images {
        [folder] => {
            let samples = samples(Path::new(folder));
            serve(|| evaluate(&model, &card, &samples, batch));
        }
        _ => {
            let x = x();
            serve(|| logits(&model, &x));
        }
    }
}

fn logits(model: &Model, x: &Tensor) -> Vec<f32> {
    let logits = model.forward(x).expect("the input fits");
    logits.flatten_all().and_then(|y| y.to_vec1()).expect("logits are f32")
}

/// Prints what `run` gives, then the times of as many runs as each line asks for.
fn serve(mut run: impl FnMut() -> Vec<f32>) {
    println!("{:?}", run());
    for line in std::io::stdin().lock().lines() {
        let runs: usize = line.expect("stdin is text").trim().parse().expect("a number of runs");
        let times: Vec<f64> = (0..runs)
            .map(|_| {
                let start = Instant::now();
                std::hint::black_box(run());
                start.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        println!("{times:?}");
        std::io::stdout().flush().expect("stdout is open");
    }
}

/// The logits of a step of training; every second image has every finding.
fn train(network: &Network, optimizer: &mut Optimizer, x: &Tensor) -> Vec<f32> {
    let pass = network.forward(x, &mut Rng::new(1, 1)).expect("the input fits");
    let (z, labels) = (pass.logits().clone(), pass.logits().dims()[1]);
    let y: Vec<_> = (0..z.elem_count()).map(|i| (i / labels % 2) as f32).collect();
    let loss = Tensor::from_vec(y, z.shape(), &Device::Cpu).and_then(|y| {
        // Binary cross-entropy of logits.
        let rest = (z.abs()?.neg()?.exp()? + 1.0)?.log()?;
        (z.relu()? - (&z * y)? + rest)?.mean_all()
    });
    let grads = pass.backward(&loss.expect("the shapes fit")).expect("the loss depends on the logits");
    optimizer.step(train::Pace { rate: RATE, momentum: None }, &grads, 1.0).expect("the shapes fit");
    z.flatten_all().and_then(|z| z.to_vec1()).expect("logits are f32")
}

/// The pictures of a folder by name, all of them several times.
fn samples(folder: &Path) -> Vec<Sample> {
    let entries = std::fs::read_dir(folder).expect("the folder is there").map(|e| e.expect("it can be listed").path());
    let mut paths: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "png")).collect();
    paths.sort();
    let all = (0..TIMES).flat_map(|_| &paths).enumerate();
    let sample = |(i, path): (usize, &std::path::PathBuf)| Sample {
        id: i.to_string(),
        patient: None,
        study: None,
        attributes: Vec::new(),
        truths: Vec::new(),
        source: Source::File(path.clone()),
    };
    all.map(sample).collect()
}

/// The logits of all samples.
fn evaluate(model: &Model, card: &ModelCard, samples: &[Sample], batch: usize) -> Vec<f32> {
    let pace = Pace { batch: Some(batch), decoders: rayon::current_num_threads(), strict: true };
    let job = Job { model, input: &card.input, samples, pace };
    let outcomes = engine::run(&job, Vec::new(), &mut |_| Ok(()), &AtomicBool::new(false), &mut |_| ());
    let logits = outcomes.expect("the pictures can be read").into_iter().map(|outcome| match outcome.result {
        Output::Logits(logits) => logits,
        Output::Failure(reason) => panic!("{reason}"),
    });
    logits.flatten().collect()
}

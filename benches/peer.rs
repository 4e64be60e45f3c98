//! Our side of `peers.py`: `peer MODEL BATCH RUNS` builds a network with formula weights, runs it over the formula
//! input, and prints its logits once and the milliseconds of each run, as lines of JSON.

#[path = "../tests/formula.rs"]
mod formula;

use std::io::{BufRead, Write};
use std::time::Instant;

use candle_core::{Device, Tensor};
use roentgen::cards::model::ModelCard;
use roentgen::models::build;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [name, batch] = &arguments[..] else {
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
         output = \"sigmoid\"\nlicence = \"MIT\"\n[weights]\npath = \"m\"\n[input]\nchannels = 3\nsteps = []\n"
    );
    let card = ModelCard::parse(&card, "card").expect("the card above is right");
    let model = build(&card, formula::weights(&shapes), &Device::Cpu).expect("the formula's weights fit");
    let shape = [batch, 3, 224, 224];
    let x = Tensor::from_vec(formula::tensor("input", &shape, 1), &shape, &Device::Cpu).expect("the shape fits");
    let logits = model.forward(&x).expect("the input fits").flatten_all().and_then(|y| y.to_vec1::<f32>());
    let logits = logits.expect("logits are f32");
    println!("{logits:?}");
    // Each line on stdin is a number of runs; the answer is a line with the milliseconds of each.
    for line in std::io::stdin().lock().lines() {
        let runs: usize = line.expect("stdin is text").trim().parse().expect("a number of runs");
        let times: Vec<f64> = (0..runs)
            .map(|_| {
                let start = Instant::now();
                model.forward(&x).expect("the input fits");
                start.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        println!("{times:?}");
        std::io::stdout().flush().expect("stdout is open");
    }
}

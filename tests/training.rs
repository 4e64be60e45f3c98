//! Networks in training against PyTorch: losses, running moments and the logits after a few steps.

use candle_core::{DType, Device, Tensor};
use roentgen::cards::model::ModelCard;
use roentgen::models::{Network, build};
use roentgen::rng::Rng;
use roentgen::train::recipe::Optimizer as Rule;
use roentgen::train::{Loss, Optimizer, Pace, Targets};
use serde_json::Value;

use crate::formula;
use crate::support::shared;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn close(what: &str, ours: &[f64], golden: &[f64], tolerance: f64) {
    let scale = golden.iter().fold(0.0, |m: f64, g| m.max(g.abs()));
    for (o, g) in ours.iter().zip(golden) {
        assert!((o - g).abs() <= tolerance * scale, "{what}: {ours:?} for {golden:?}");
    }
}

/// Steps composed of Candle's ops, as on a GPU. Adam's first steps go by the signs of gradients, of those that are nothing
/// but rounding too, and a value at the bend of a ReLU6 falls on either side of it: later losses drift apart wherever sums
/// are taken in another order.
const PRECISIONS: [(DType, [f64; 4]); 3] = [
    (DType::F32, [1e-3, 3e-2, 1e-3, 1e-1]),
    (DType::BF16, [2e-1, 5e-1, 1e-1, 1.0]),
    (DType::F16, [1e-2, 3e-1, 1e-2, 1.0]),
];

/// What a training may differ from PyTorch's by: the loss of the first step, those of later ones, running moments, the
/// logits behind them all.
const EXACT: [f64; 4] = [1e-3, 1e-2, 1e-3, 1e-2];

fn trains_as_pytorch_does(name: &str, classes: usize, shapes: &[formula::Shape], case: &str, bn: &str) {
    let steps = |card: &ModelCard| Network::new(card, formula::weights(shapes)).unwrap();
    follows_the_goldens(name, classes, steps, case, bn, EXACT);
    for (precision, tolerances) in PRECISIONS {
        let steps =
            |card: &ModelCard| Network::composed(card, formula::weights(shapes), &Device::Cpu, precision).unwrap();
        follows_the_goldens(name, classes, steps, case, bn, tolerances);
    }
}

fn follows_the_goldens(
    name: &str,
    classes: usize,
    network: impl FnOnce(&ModelCard) -> Network,
    case: &str,
    bn: &str,
    tolerances: [f64; 4],
) {
    let [first, later, moments, after] = tolerances;
    let Some(shared) = shared() else { return };
    let golden = std::fs::read(shared.join("goldens/models-1.json")).unwrap();
    let golden = &serde_json::from_slice::<Value>(&golden).unwrap()["training"][case];
    let labels: Vec<_> = (0..classes).map(|i| format!("l{i}")).collect();
    let card = format!(
        "schema = \"roentgen/model/1\"\nname = \"m\"\narchitecture = \"{name}\"\nlabels = {labels:?}\n\
         output = \"sigmoid\"\nlicence = \"MIT\"\n[weights]\npath = \"m\"\n[input]\nchannels = 3\nsteps = []\n"
    );
    let card = ModelCard::parse(&card, "card").unwrap();
    let network = network(&card);
    let rule = match golden.get("weight_decay").and_then(Value::as_f64) {
        Some(weight_decay) => Rule::AdamW { rate: 1e-4, weight_decay },
        None => Rule::Adam { rate: 1e-4 },
    };
    let mut optimizer = Optimizer::new(rule, network.parameters()).unwrap();
    let loss = match golden.get("prevalence") {
        Some(prevalence) => Loss::PrevalenceWeighted(numbers(prevalence).iter().map(|p| *p as f32).collect()),
        None => Loss::Bce,
    };
    let shape = [4, 3, 64, 64];
    let x = Tensor::from_vec(formula::tensor("input_train", &shape, 1), &shape, &Device::Cpu).unwrap();
    let y: Vec<_> = numbers(&golden["labels"]).iter().map(|y| Some(*y == 1.0)).collect();
    let y = Targets::new(&y, 4).unwrap();
    let (rates, losses) = (numbers(&golden["learning_rates"]), numbers(&golden["losses"]));
    for (step, (rate, expected)) in rates.iter().zip(&losses).enumerate() {
        let pass = network.forward(&x, &mut Rng::new(1, step as u64)).unwrap();
        let loss = loss.of(pass.logits(), &y).unwrap();
        let found = f64::from(loss.to_scalar::<f32>().unwrap());
        close(&format!("{tolerances:?}: loss {step}"), &[found], &[*expected], if step == 0 { first } else { later });
        let pace = Pace { rate: *rate, momentum: None };
        optimizer.step(pace, &pass.backward(&loss).unwrap(), 1.0).unwrap();
    }
    let mut tensors = network.tensors().unwrap();
    for part in ["running_mean", "running_var"] {
        let values = tensors.clone().take(&format!("{bn}.{part}"), &[if name == "mobilenet_v2" { 32 } else { 64 }]);
        let values: Vec<_> = values.unwrap()[..8].iter().map(|v| f64::from(*v)).collect();
        close(part, &values, &numbers(&golden[&format!("first_bn_{part}_first_8")]), moments);
    }
    let model = build(&card, std::mem::take(&mut tensors), &Device::Cpu).unwrap();
    let logits = model.forward(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let logits: Vec<_> = logits.into_iter().map(f64::from).collect();
    close("logits after", &logits, &numbers(&golden["eval_logits_after"]), after);
}

#[test]
fn resnet_with_adamw() {
    let shapes = formula::resnet([2, 2, 2, 2], false, 1);
    trains_as_pytorch_does("resnet18", 1, &shapes, "resnet18_bce_adamw", "bn1");
}

#[test]
fn mobilenet_with_adam() {
    let shapes = formula::mobilenet_v2(1);
    trains_as_pytorch_does("mobilenet_v2", 1, &shapes, "mobilenet_v2_bce_adam", "features.0.1");
}

#[test]
fn densenet_with_a_weighted_loss() {
    let (shapes, case) = (formula::densenet(32, [6, 12, 24, 16], 3, 14), "densenet121_prevalence_weighted_bce_adam");
    trains_as_pytorch_does("densenet121", 14, &shapes, case, "features.norm0");
}

//! Times of the ops and of whole networks on one image of 224x224 pixels.

#[path = "../tests/formula.rs"]
mod formula;

use candle_core::{Device, Tensor};
use divan::Bencher;
use roentgen::cards::model::ModelCard;
use roentgen::models::build;
use roentgen::ops::{Activation, Conv2d, Form, Layer, Maps, Padding, avg_pool_2, global_average, max_pool_3};
use roentgen::weights::{load, write_safetensors};

fn main() {
    divan::main();
}

fn tensor(shape: &[usize]) -> Tensor {
    Tensor::from_vec(formula::tensor("input", shape, 1), shape, &Device::Cpu).expect("the values fit the shape")
}

/// Inputs, outputs, groups, kernel, stride and side of the networks' common convolutions.
const CONVOLUTIONS: [[usize; 6]; 16] = [
    [3, 64, 1, 7, 2, 224],
    [3, 32, 1, 3, 2, 224],
    [64, 64, 1, 3, 1, 56],
    [64, 128, 1, 3, 2, 56],
    [64, 128, 1, 1, 2, 56],
    [128, 128, 1, 3, 1, 28],
    [256, 256, 1, 3, 1, 14],
    [512, 512, 1, 3, 1, 7],
    [128, 32, 1, 3, 1, 56],
    [128, 32, 1, 3, 1, 28],
    [128, 32, 1, 3, 1, 14],
    [128, 32, 1, 3, 1, 7],
    [512, 128, 1, 1, 1, 14],
    [16, 96, 1, 1, 1, 112],
    [96, 96, 96, 3, 2, 112],
    [144, 144, 144, 3, 1, 56],
];

/// A pointwise convolution that keeps the number of channels.
fn of_channels(channels: usize) -> Conv2d {
    let form = Form { stride: 1, padding: Padding::Sides(0), groups: 1, activation: Activation::Identity };
    Conv2d::new(tensor(&[channels, channels, 1, 1]), tensor(&[channels]), form).expect("the shapes fit")
}

/// One convolution as inference makes it.
#[divan::bench(args = CONVOLUTIONS)]
fn convolution(bencher: Bencher, [inputs, outputs, groups, kernel, stride, side]: [usize; 6]) {
    let form = Form { stride, padding: Padding::Sides(kernel / 2), groups, activation: Activation::Relu };
    let weight = tensor(&[outputs, inputs / groups, kernel, kernel]);
    let conv = Conv2d::new(weight, tensor(&[outputs]), form).expect("the shapes fit");
    let x = Maps::of(&tensor(&[1, inputs, side, side])).expect("an image");
    // A pointwise convolution brings the channels into registers.
    let x = if inputs > 3 { of_channels(inputs).infer(&x).expect("the shapes fit") } else { x };
    bencher.bench(|| conv.infer(&x));
}

#[divan::bench(args = [0, 1, 2])]
fn pooling(bencher: Bencher, which: usize) {
    let x = tensor(&[1, 64, 112, 112]);
    let pool = [max_pool_3, avg_pool_2, global_average][which];
    bencher.bench(|| pool(&x));
}

fn card(architecture: &str, labels: usize) -> ModelCard {
    let labels: Vec<_> = (0..labels).map(|i| format!("l{i}")).collect();
    let text = format!(
        "schema = \"roentgen/model/1\"\nname = \"m\"\narchitecture = \"{architecture}\"\nlabels = {labels:?}\n\
         output = \"sigmoid\"\nlicence = \"MIT\"\n[weights]\npath = \"m\"\n[input]\nchannels = 3\nsteps = []\n"
    );
    ModelCard::parse(&text, "card").expect("the card above is right")
}

#[divan::bench(args = ["densenet121", "resnet18", "mobilenet_v2"])]
fn network(bencher: Bencher, name: &str) {
    let shapes = match name {
        "densenet121" => formula::densenet(32, [6, 12, 24, 16], 3, 1),
        "resnet18" => formula::resnet([2, 2, 2, 2], false, 1),
        _ => formula::mobilenet_v2(1),
    };
    let model = build(&card(name, 1), formula::weights(&shapes), &Device::Cpu).expect("the formula's weights fit");
    let x = tensor(&[1, 3, 224, 224]);
    bencher.bench(|| model.forward(&x));
}

/// DenseNet-121's weights from a safetensors file: opened, or made into a network.
#[divan::bench(args = ["opened", "built"])]
fn loading(bencher: Bencher, how: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("densenet121.safetensors");
    let weights = formula::weights(&formula::densenet(32, [6, 12, 24, 16], 3, 14));
    let mut file = std::fs::File::create(&path).expect("a file");
    write_safetensors(&weights, &Default::default(), &mut file).expect("it is written");
    let card = card("densenet121", 14);
    bencher.bench(|| {
        let weights = load(&path, None).expect("it loads");
        (how == "built").then(|| build(&card, weights, &Device::Cpu).expect("it fits"))
    });
}

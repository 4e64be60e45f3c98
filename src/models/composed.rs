//! Every network out of Candle's own ops, as other devices run it, against the fused ops of the CPU.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use rayon::ThreadPool;

use super::{Model, build, build_as, initial};
use crate::cards::model::ModelCard;
use crate::ops;
use crate::weights::{Tensors, load};

fn card(architecture: &str, more: &str) -> ModelCard {
    let text = format!(
        "schema = \"roentgen/model/1\"\nname = \"m\"\narchitecture = \"{architecture}\"\n\
         labels = [\"a\", \"b\", \"c\"]\noutput = \"sigmoid\"\nlicence = \"MIT\"\n{more}\
         [weights]\npath = \"m\"\n[input]\nchannels = 3\nsteps = []\n"
    );
    ModelCard::parse(&text, "card").unwrap()
}

const KERAS: &str =
    "[options]\npadding = \"keras\"\n[[head]]\nunits = 16\nactivation = \"relu\"\n[[head]]\nunits = 3\n";

/// Every architecture, and one with Keras' paddings and a head.
const NETWORKS: [(&str, &str); 6] = [
    ("densenet121", ""),
    ("resnet18", ""),
    ("resnet34", ""),
    ("resnet50", ""),
    ("mobilenet_v2", ""),
    ("mobilenet_v2", KERAS),
];

fn images(n: usize, height: usize, width: usize) -> Tensor {
    let values = (0..n * 3 * height * width).map(|i| (i * i % 251) as f32 / 125.0 - 1.0).collect();
    Tensor::from_vec(values, (n, 3, height, width), &Device::Cpu).unwrap()
}

fn flat(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

/// Largest difference as a part of the largest value.
fn off(ours: &[f32], others: &[f32]) -> f32 {
    assert_eq!(ours.len(), others.len());
    let most = others.iter().fold(0.0, |most: f32, v| most.max(v.abs()));
    assert!(most > 0.0 && most.is_finite());
    ours.iter().zip(others).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / most
}

/// A pool of this thread alone, for only it knows that ops are to be composed.
fn alone() -> ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build().unwrap()
}

/// What `of` makes out of Candle's ops, and what of the fused ones.
fn both<R: Send>(of: impl Fn() -> R + Sync) -> (R, R) {
    (ops::composed(&of), of())
}

/// Weights of the card's network under which values neither vanish nor grow, as after training.
fn weights(card: &ModelCard) -> Tensors {
    let mut tensors = initial(card, 1).unwrap();
    tensors.change(|_, shape, values| {
        if shape.len() == 4 && shape[1] == 1 {
            values.iter_mut().for_each(|w| *w *= (shape[0] as f32).sqrt());
        }
    });
    tensors
}

/// `most` is for gradients.
fn agrees(name: &str, model: &Model, x: &Tensor, most: f32) {
    let close = |what: &str, (composed, fused): (Vec<f32>, Vec<f32>), most: f32| {
        let off = off(&composed, &fused);
        assert!(off < most, "{name}, {what}: {off:e}");
        assert!(off > 0.0, "{name}, {what}: the same ops twice");
    };
    close("logits", both(|| flat(&model.forward(x).unwrap())), 1e-4);
    close("features", both(|| flat(&model.features(x).unwrap())), 1e-4);
    let one = x.narrow(0, 0, 1).unwrap();
    close("gradient of the image", both(|| flat(&model.input_gradients(&one, 1).unwrap().0)), most);
    let layers = model.layers();
    // The first, one in the middle and the one that is pooled.
    for layer in [&layers[0], &layers[layers.len() / 2], &layers[layers.len() - 1]] {
        let (composed, fused) = both(|| model.layer_gradients(&one, layer, &[2]).unwrap());
        close(&format!("maps of {}", layer.name), (composed.maps, fused.maps), 1e-4);
        let gradient = off(&composed.gradients[0], &fused.gradients[0]);
        assert!(gradient < most, "{name}, gradient of {}: {gradient:e}", layer.name);
    }
}

#[test]
fn networks_are_the_same_out_of_candles_ops() {
    let _alone = alone();
    for (architecture, more) in NETWORKS {
        let card = card(architecture, more);
        let model = build(&card, weights(&card), &Device::Cpu).unwrap();
        // Rows and columns that do not halve evenly.
        // In the deepest, a rounding puts some value on the other side of a ReLU, and its gradient is there or not.
        let most = if ["resnet50", "mobilenet_v2"].contains(&architecture) { 5e-2 } else { 1e-4 };
        agrees(architecture, &model, &images(2, 71, 66), most);
    }
}

#[test]
fn graphs_are_the_same_out_of_candles_ops() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let _alone = alone();
    for file in ["mixed-torchscript-18.onnx", "vgg-torchscript-17.onnx", "densenet-torchscript-18.onnx"] {
        let weights = load(&corpus.join(file), None).unwrap();
        let mut card = card("onnx", "");
        if file.starts_with("vgg") {
            card.output = crate::cards::model::Output::Softmax;
        }
        let model = build(&card, weights, &Device::Cpu).unwrap();
        agrees(file, &model, &images(2, 32, 32), 1e-4);
    }
}

#[test]
fn half_precision_is_near_and_the_same_every_time() {
    for (architecture, more) in NETWORKS {
        let card = card(architecture, more);
        let model = |dtype| build_as(&card, weights(&card), &Device::Cpu, dtype).unwrap();
        let x = images(2, 64, 64);
        let single = flat(&model(DType::F32).forward(&x).unwrap());
        for (dtype, digits) in [(DType::F16, 11), (DType::BF16, 8)] {
            let model = model(dtype);
            let logits = model.forward(&x).unwrap();
            assert_eq!(logits.dtype(), DType::F32);
            let (half, unit) = (flat(&logits), 0.5f32.powi(digits));
            let off = off(&half, &single);
            // Rounded after each of some hundred ops.
            assert!(off > unit / 64.0 && off < 16.0 * unit, "{architecture} in {dtype:?}: {off:e}");
            assert_eq!(half, flat(&model.forward(&x).unwrap()));
            assert_eq!(half[3..], flat(&model.forward(&x.narrow(0, 1, 1).unwrap()).unwrap()));
            let found = model.layer_gradients(&x.narrow(0, 0, 1).unwrap(), &model.layer(None).unwrap(), &[0]).unwrap();
            assert!(found.gradients[0].iter().any(|g| *g != 0.0) && found.maps.iter().all(|m| m.is_finite()));
        }
    }
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/mixed-torchscript-18.onnx");
    let graph = load(&corpus, None).unwrap();
    let refused = build_as(&card("onnx", ""), graph, &Device::Cpu, DType::F16).err().unwrap().to_string();
    assert_eq!(refused, "its graph is run node by node, in f32 only, not in f16; leave --precision out");
}

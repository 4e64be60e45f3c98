//! The files of `tests/corpus`, which PyTorch and its ONNX exporters wrote (`generate.py` there).

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor, Var};
use roentgen::cards::model::{ModelCard, Output};
use roentgen::models::build;
use roentgen::weights::load;
use serde_json::Value;

use crate::models::numbers;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

/// Name and bytes of every weight file.
pub fn files() -> Vec<(String, Vec<u8>)> {
    let all = crate::support::contents(&folder());
    all.into_iter().filter(|(name, _)| !name.ends_with(".py") && !name.ends_with(".json")).collect()
}

fn golden() -> Value {
    serde_json::from_slice(&std::fs::read(folder().join("golden.json")).unwrap()).unwrap()
}

#[test]
fn checkpoints_hold_what_pytorch_saved() {
    let golden = golden();
    for (file, key, prefix, exact) in [
        ("zip.pth", "net", "", true),
        ("legacy.pth", "net", "", true),
        ("module.pt", "net", "", true),
        ("checkpoint.pth.tar", "checkpoint", "module.", true),
        ("half.pth", "checkpoint", "", false),
    ] {
        let tensors = load(&folder().join(file), None).unwrap();
        assert_eq!(tensors.origin().unwrap().prefix, prefix, "{file}");
        let expected = golden[key].as_object().unwrap();
        assert_eq!(tensors.shapes().len(), expected.len(), "{file}");
        for (name, shape, values) in tensors.iter() {
            let (dims, golden) = (numbers(&expected[name][0]), numbers(&expected[name][1]));
            assert_eq!(shape.iter().map(|d| *d as f64).collect::<Vec<_>>(), dims, "{file}: {name}");
            let gaps = values.iter().zip(&golden).map(|(ours, golden)| (f64::from(*ours) - golden).abs());
            let worst = gaps.fold(0.0, f64::max);
            assert!(values.len() == golden.len() && worst <= if exact { 0.0 } else { 1e-3 }, "{file}: {name}: {worst}");
        }
    }
}

#[test]
fn checkpoints_that_run_code_or_hold_no_floats_are_refused() {
    for (file, says) in [
        ("evil.pth", "would call `posix.system`; nothing is run here"),
        ("script.pt", "a TorchScript program"),
        ("quantised.pth", "quantised weights"),
    ] {
        let e = load(&folder().join(file), None).err().unwrap().to_string();
        assert!(e.contains(says), "{file}: {e}");
    }
}

fn card(output: Output) -> ModelCard {
    let mut card = crate::models::card("onnx", 3, 3, "");
    card.output = output;
    card
}

/// Largest difference as a fraction of the largest value.
fn off(ours: &[f32], golden: &[f64]) -> f64 {
    assert_eq!(ours.len(), golden.len());
    let scale = golden.iter().fold(0.0, |m: f64, g| m.max(g.abs()));
    ours.iter().zip(golden).map(|(o, g)| (f64::from(*o) - g).abs() / scale).fold(0.0, f64::max)
}

fn flat(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn graphs_give_pytorchs_logits_and_gradients() {
    let golden = golden();
    let mut values = Vec::new();
    for (c, i, j) in (0..3).flat_map(|c| (0..32).flat_map(move |i| (0..32).map(move |j| (c, i, j)))) {
        values.push((f64::from(c) + 0.1 * f64::from(i) + 0.05 * f64::from(j)).sin() as f32);
    }
    let x = Tensor::from_vec(values, (1, 3, 32, 32), &Device::Cpu).unwrap();
    let mut count = 0;
    for (file, _) in files().iter().filter(|(file, _)| file.ends_with(".onnx")) {
        let (name, _) = file.split_once('-').unwrap();
        let golden = &golden["graphs"][name];
        let output = if golden["output"] == "softmax" { Output::Softmax } else { Output::Sigmoid };
        let weights = load(&folder().join(file), None).unwrap();
        let origin = weights.origin().unwrap();
        assert_eq!((origin.network.is_some(), origin.program.is_some()), (name == "densenet", name != "densenet"));
        let model = build(&card(output), weights, &Device::Cpu).unwrap();
        let logits = off(&flat(&model.forward(&x).unwrap()), &numbers(&golden["logits"]));
        // Two images at once, too.
        let both = flat(&model.forward(&Tensor::cat(&[&x, &x], 0).unwrap()).unwrap());
        assert_eq!(both[..3], both[3..]);
        let of = model.layer_gradients(&x, &model.layer(None).unwrap(), &[1]).unwrap();
        assert_eq!([of.shape.0, of.shape.1, of.shape.2].map(|d| d as f64).to_vec(), numbers(&golden["maps"]));
        let area = of.shape.1 * of.shape.2;
        let sums = |values: &[f32]| values.chunks(area).map(|map| map.iter().sum()).collect::<Vec<f32>>();
        let means: Vec<_> = sums(&of.maps).iter().map(|sum| sum / area as f32).collect();
        let maps = off(&means, &numbers(&golden["map_means"]));
        let by_maps = off(&sums(&of.gradients[0]), &numbers(&golden["gradient_by_maps"]));
        let variable = Var::from_tensor(&x).unwrap();
        let logit = model.forward(&variable).unwrap().narrow(1, 1, 1).unwrap().sum_all().unwrap();
        let gradient = logit.backward().unwrap().get(&variable).unwrap().clone();
        let by_image =
            off(&flat(&gradient.abs().unwrap().sum((0, 2, 3)).unwrap()), &numbers(&golden["gradient_by_image"]));
        let row = gradient.narrow(1, 1, 1).unwrap().narrow(2, 9, 1).unwrap();
        let row = off(&flat(&row), &numbers(&golden["gradient_by_image_row_9"]));
        println!(
            "{file}: off by {logits:.1e} (logits), {maps:.1e} (maps), {by_maps:.1e}, {by_image:.1e}, {row:.1e} (gradients)"
        );
        for (what, off) in
            [("logits", logits), ("maps", maps), ("by maps", by_maps), ("by image", by_image), ("row", row)]
        {
            assert!(off < 1e-4, "{file}: {what}: {off}");
        }
        count += 1;
    }
    assert_eq!(count, 8);
}

#[test]
fn graphs_say_what_they_take() {
    let weights = |file: &str| load(&folder().join(file), None).unwrap();
    let of = |card: &ModelCard| build(card, weights("mixed-dynamo-18.onnx"), &Device::Cpu);
    let model = of(&card(Output::Sigmoid)).unwrap();
    let x = Tensor::zeros((1, 3, 40, 32), candle_core::DType::F32, &Device::Cpu).unwrap();
    let e = model.forward(&x).unwrap_err().to_string();
    assert!(e.contains("the graph takes images of 1 x 3 x 32 x 32, these are of [1, 3, 40, 32]"), "{e}");
    let e = of(&card(Output::Softmax)).err().unwrap().to_string();
    assert!(e.contains("the graph ends in a sigmoid"), "{e}");
    let e = of(&crate::models::card("resnet18", 3, 3, "")).err().unwrap().to_string();
    assert!(e.contains("`resnet18`, but of the file:") && e.ends_with("to run the graph as it is"), "{e}");
    let e = roentgen::models::Network::new(&card(Output::Sigmoid), weights("mixed-dynamo-18.onnx")).err().unwrap();
    assert!(e.to_string().contains("`architecture`"), "{e}");
}

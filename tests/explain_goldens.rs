//! Explanations against pytorch-grad-cam's and Captum's, and their cost.

use candle_core::{Device, Tensor};
use roentgen::explain::gradcam::{self, Cam};
use roentgen::explain::integrated_gradients::{self as ig, Rule};
use roentgen::explain::map::Map;
use roentgen::models::{Layer, Model};

use crate::formula;
use crate::models::{card, input, model, numbers};
use crate::support::shared;

fn networks() -> [(&'static str, Model); 3] {
    [
        ("densenet121", 14, formula::densenet(32, [6, 12, 24, 16], 3, 14)),
        ("resnet18", 1, formula::resnet([2, 2, 2, 2], false, 1)),
        ("mobilenet_v2", 2, formula::mobilenet_v2(2)),
    ]
    .map(|(name, classes, shapes)| (name, model(&card(name, classes, 3, ""), formula::weights(&shapes)).unwrap()))
}

/// PyTorch and Captum in double precision.
fn in_double() -> serde_json::Value {
    serde_json::from_str(include_str!("goldens/gradients.json")).unwrap()
}

fn goldens() -> Option<serde_json::Value> {
    let path = shared()?.join("goldens/models-1.json");
    Some(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
}

/// Largest difference as a fraction of the largest golden value.
fn off(ours: &[f32], golden: &[f64]) -> f64 {
    assert_eq!(ours.len(), golden.len());
    let scale = golden.iter().fold(0.0, |m: f64, g| m.max(g.abs()));
    ours.iter().zip(golden).map(|(o, g)| (f64::from(*o) - g).abs() / scale).fold(0.0, f64::max)
}

/// From 0 to 1, as pytorch-grad-cam's `scale_cam_image` stretches a map.
fn stretched(map: &Map) -> Map {
    let low = map.values.iter().copied().fold(f32::INFINITY, f32::min);
    let high = map.values.iter().map(|v| v - low).fold(0.0, f32::max);
    Map { values: map.values.iter().map(|v| (v - low) / (1e-7 + high)).collect(), ..map.clone() }
}

/// Every 16th pixel of the map over 224x224 pixels, as the goldens hold it.
fn sparse(map: &Map) -> Vec<f32> {
    let large = stretched(&stretched(map).resized(224, 224));
    (0..14 * 14).map(|i| large.values[(8 + i / 14 * 16) * 224 + 8 + i % 14 * 16]).collect()
}

/// Means of 16x16 pixels.
fn pooled(map: &Map) -> Vec<f32> {
    let side = map.width / 16;
    let mut sums = vec![0f64; side * side];
    for (i, v) in map.values.iter().enumerate() {
        sums[i / map.width / 16 * side + i % map.width / 16] += f64::from(*v) / 256.0;
    }
    sums.into_iter().map(|v| v as f32).collect()
}

#[test]
fn class_activation_maps_equal_pytorch_grad_cams() {
    let Some(goldens) = goldens() else { return };
    let double = in_double();
    for (name, model) in networks() {
        let layers = goldens["models"][name]["cam"].as_object().unwrap();
        for (layer, golden) in layers {
            let target = golden["target"].as_u64().unwrap() as usize;
            let layer = model.layer(Some(layer)).unwrap();
            let x = input([2, 3, 224, 224]);
            let at = |layer: &Layer, cam| -> Vec<Map> {
                let map = |i| gradcam::maps(&model, &x.narrow(0, i, 1).unwrap(), layer, &[target], cam).unwrap().0;
                (0..2).flat_map(map).collect()
            };
            let of = |cam| at(&layer, cam);
            // The raw golden differentiates with respect to what torchvision's in-place ReLU left behind, which
            // pytorch-grad-cam's hook does not: that is the layer behind the ReLU here.
            let behind = model.layer(None).unwrap();
            let raw = at(if layer.name == "features.norm5" { &behind } else { &layer }, Cam::GradCam);
            let raw: Vec<f32> = raw.into_iter().flat_map(|m| m.values).collect();
            let cams =
                [("GradCAM", Cam::GradCam), ("GradCAMPlusPlus", Cam::GradCamPlusPlus), ("HiResCAM", Cam::HiResCam)];
            let scaled = cams.map(|(key, cam)| (key, of(cam).iter().flat_map(sparse).collect::<Vec<_>>()));
            let from = |golden: &serde_json::Value| {
                let key = |key| format!("{key}_224_every_16th_pixel");
                let scaled = scaled.each_ref().map(|(cam, ours)| off(ours, &numbers(&golden[key(cam)])));
                (off(&raw, &numbers(&golden["raw_gradcam"])), scaled)
            };
            let (raw, scaled) = from(golden);
            let shown = |scaled: [f64; 3]| scaled.map(|off| format!("{off:.1e}")).join(", ");
            println!("{name} {}: raw off by {raw:.1e} of the maximum, up-scaled by {}", layer.name, shown(scaled));
            // Inputs of ReLU6 are within rounding of its bends: docs/gradients.md.
            if (name, layer.name.as_str()) == ("mobilenet_v2", "features.14") {
                let (exact, exact_scaled) = from(&double["mobilenet_v2_features.14"]);
                println!("    from f64's by {exact:.1e}, {}", shown(exact_scaled));
                for (raw, scaled) in [(raw, scaled), (exact, exact_scaled)] {
                    let most = [2e-2, 0.2, 2e-2];
                    assert!(raw < 1e-2 && scaled.iter().zip(most).all(|(off, most)| *off < most), "{raw} {scaled:?}");
                }
                continue;
            }
            assert!(raw < 1e-4 && scaled.iter().all(|off| *off < 1e-3), "{name} {}: {raw} {scaled:?}", layer.name);
        }
    }
}

#[test]
fn integrated_gradients_equal_captums() {
    let Some(goldens) = goldens() else { return };
    let double = in_double();
    let [_, (_, model), _] = networks();
    let x = input([1, 3, 224, 224]);
    for (key, rule) in [("gausslegendre", Rule::GaussLegendre), ("riemann_trapezoid", Rule::Trapezoid)] {
        let golden = &goldens["integrated_gradients_resnet18"][key];
        let number = |key: &str| golden[key].as_f64().unwrap();
        let found = ig::integrate(&model, &x, &x.zeros_like().unwrap(), 0, 16, rule).unwrap();
        let total = (found.total / number("total") - 1.0).abs();
        let delta = (found.completeness_error - number("delta")).abs() / number("total");
        let ours = pooled(&found.map);
        let map = off(&ours, &numbers(&golden["sum_over_channels_pooled_14x14"]));
        let exact = off(&ours, &numbers(&double["integrated_gradients_resnet18"][key]));
        println!("{key}: total off by {total:.1e}, pooled map by {map:.1e} of its maximum, by {exact:.1e} in f64");
        // Where a ReLU's input is within rounding of 0, Captum's f32 golden itself is off its f64 result, by 5.2e-3:
        // docs/gradients.md.
        assert!(total < 1e-3 && delta < 1e-3 && exact < 1e-3 && map < 6e-3, "{key}: {total} {delta} {map} {exact}");
    }
}

#[test]
fn names_of_layers_are_torchvisions_and_keras() {
    let [(_, densenet), (_, resnet), (_, mobilenet)] = networks();
    let same =
        |model: &Model, a: &str, b: &str| assert_eq!(model.layer(Some(a)).unwrap(), model.layer(Some(b)).unwrap());
    same(&densenet, "conv5_block16_concat", "features.denseblock4");
    same(&densenet, "features.norm5", "features");
    same(&resnet, "layer4", "conv5_block2_out");
    same(&mobilenet, "features.18", "out_relu");
    same(&mobilenet, "block_16_project_BN", "features.17");
    assert_eq!(densenet.layer(None).unwrap().name, "relu");
    assert_eq!(resnet.layer(None).unwrap().name, "layer4.1");
    // Inside of a block: all maps so far, or those that the layer adds; the gradient of these is a part of that of all.
    let x = input([1, 3, 64, 64]);
    let of = |name: &str| densenet.layer_gradients(&x, &densenet.layer(Some(name)).unwrap(), &[2]).unwrap();
    let (all, new) = (of("conv5_block7_concat"), of("features.denseblock4.denselayer7"));
    assert_eq!((all.shape, new.shape), ((512 + 7 * 32, 2, 2), (32, 2, 2)));
    assert_eq!(all.maps[all.maps.len() - new.maps.len()..], new.maps);
    assert_eq!(all.gradients[0][all.maps.len() - new.maps.len()..], new.gradients[0]);
    let logits: Vec<f32> = densenet.forward(&x).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    for (ours, forward) in all.logits.iter().zip(&logits) {
        assert!((ours - forward).abs() < 1e-4 * forward.abs().max(1.0), "{ours} {forward}");
    }
    insta::assert_snapshot!(resnet.layer(Some("layer5")).unwrap_err().to_string(), @"layer `layer5`: the model has no such layer; it has relu, maxpool, layer1.0, layer1.1, layer2.0, layer2.1, layer3.0, layer3.1, layer4.0, layer4.1");
    insta::assert_snapshot!(densenet.layer(Some("conv5_block17_concat")).unwrap_err().to_string(), @"layer `conv5_block17_concat`: the model has no such layer; it has features.relu0, features.pool0, features.denseblock1, features.transition1, features.denseblock2, features.transition2, features.denseblock3, features.transition3, features.denseblock4, features.norm5, relu, and inside of the blocks features.denseblock1.denselayer1 and so on");
}

#[test]
fn maps_of_one_place_and_constant_images() {
    let [_, (_, resnet), _] = networks();
    for (side, places) in [(32, 1), (64, 4)] {
        let constant = Tensor::full(0.5f32, (1, 3, side, side), &Device::Cpu).unwrap();
        for cam in [Cam::GradCam, Cam::GradCamPlusPlus, Cam::HiResCam] {
            let (maps, _) = gradcam::maps(&resnet, &constant, &resnet.layer(None).unwrap(), &[0], cam).unwrap();
            assert_eq!(maps[0].values.len(), places);
            assert!(maps[0].values.iter().all(|v| v.is_finite() && *v >= 0.0));
            assert!(maps[0].resized(5, 3).values.iter().all(|v| v.is_finite()));
        }
    }
}

#[test]
fn dropped_units_spread_the_logits() {
    let with = |p: f64| {
        let head = format!(
            "[options]\nblocks = [2, 1, 1, 1]\ngrowth = 4\n[[head]]\nunits = 32\nactivation = \"relu\"\ndropout = {p}\n[[head]]\nunits = 2\n"
        );
        let mut shapes = formula::densenet(4, [2, 1, 1, 1], 3, 2);
        shapes.retain(|(name, _)| !name.starts_with("classifier"));
        for (i, shape) in [[32, 9], [2, 32]].into_iter().enumerate() {
            shapes.push((format!("classifier.{i}.weight"), shape.to_vec()));
            shapes.push((format!("classifier.{i}.bias"), vec![shape[0]]));
        }
        model(&card("densenet121", 2, 3, &head), formula::weights(&shapes)).unwrap()
    };
    let x = input([1, 3, 64, 64]);
    let draws = |model: &Model, seed| {
        let mut rng = roentgen::rng::Rng::new(seed, 0);
        model.dropped(&x, 400, &mut || rng.uniform()).unwrap()
    };
    let (plain, dropping) = (with(0.0), with(0.5));
    assert!(!plain.has_dropout() && dropping.has_dropout());
    let forward: Vec<f32> = plain.forward(&x).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    assert!(draws(&plain, 1).iter().all(|logits| *logits == forward));
    let found = draws(&dropping, 1);
    assert_eq!(found, draws(&dropping, 1));
    assert_ne!(found, draws(&dropping, 2));
    // Half of the units at twice their size: the mean stays.
    for (i, forward) in forward.iter().enumerate() {
        let mean = found.iter().map(|logits| logits[i]).sum::<f32>() / 400.0;
        let spread = (found.iter().map(|logits| (logits[i] - mean).powi(2)).sum::<f32>() / 400.0).sqrt();
        assert!(spread > 0.0 && (mean - forward).abs() < 5.0 * spread / 20.0, "{mean} {forward} {spread}");
    }
}

/// Timings, for a quiet machine: `cargo test --release --test main explain_goldens::cost -- --ignored --nocapture`.
#[test]
#[ignore = "it takes a quiet machine and some seconds"]
fn cost() {
    let seconds = |run: &mut dyn FnMut()| {
        let begun = std::time::Instant::now();
        run();
        begun.elapsed().as_secs_f64()
    };
    let middle = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let [(_, densenet), (_, resnet), _] = networks();
    let x = input([1, 3, 224, 224]);
    let layer = densenet.layer(None).unwrap();
    let all: Vec<usize> = (0..14).collect();
    // One right after the other, so that what else the machine does meets both.
    let pair = |_| {
        let forward = seconds(&mut || drop(densenet.forward(&x).unwrap()));
        (forward, seconds(&mut || drop(gradcam::maps(&densenet, &x, &layer, &all, Cam::GradCam).unwrap())))
    };
    let pairs: Vec<_> = (0..101).map(pair).collect();
    println!(
        "DenseNet-121 forward {:.1} ms, with 14 maps {:.1} ms: {:+.1}% (medians; the last that of the ratios)",
        1e3 * middle(pairs.iter().map(|(forward, _)| *forward).collect()),
        1e3 * middle(pairs.iter().map(|(_, maps)| *maps).collect()),
        100.0 * (middle(pairs.iter().map(|(forward, maps)| maps / forward).collect()) - 1.0)
    );
    let baseline = x.zeros_like().unwrap();
    let mut integrate = || drop(ig::integrate(&resnet, &x, &baseline, 0, 32, Rule::GaussLegendre).unwrap());
    let times = (0..5).map(|_| seconds(&mut integrate)).collect();
    println!("Integrated Gradients, ResNet-18, 32 steps: {:.3} s", middle(times));
}

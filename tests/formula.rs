//! Weights and inputs by formula, as the goldens' `formula.py` makes them, for torchvision's names and shapes.

use roentgen::weights::Tensors;

/// A tensor's name and shape.
pub type Shape = (String, Vec<usize>);

/// The values that seed `seed` gives the tensor `name`, row-major.
pub fn tensor(name: &str, shape: &[usize], seed: u64) -> Vec<f32> {
    let fan_in = shape.iter().skip(1).product::<usize>() as f64;
    let value = |u: f64| {
        if name.ends_with("running_mean") || name.ends_with("bias") {
            0.1 * (2.0 * u - 1.0)
        } else if name.ends_with("running_var") || (name.ends_with("weight") && shape.len() == 1) {
            0.75 + 0.5 * u
        } else if name.ends_with("weight") {
            (6.0 / fan_in).sqrt() * (2.0 * u - 1.0)
        } else {
            4.0 * u - 2.0
        }
    };
    // FNV-1a of the seed and the name starts a SplitMix64.
    let start = format!("{seed}/{name}")
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    (1..=shape.iter().product::<usize>() as u64)
        .map(|i| {
            let z = start.wrapping_add(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(i));
            let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            value(((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 24)) as f32
        })
        .collect()
}

/// Formula weights of seed 1 for every shape.
pub fn weights(shapes: &[Shape]) -> Tensors {
    let mut tensors = Tensors::at("formula");
    for (name, shape) in shapes {
        tensors.insert(name.as_str(), shape, tensor(name, shape, 1)).unwrap();
    }
    tensors
}

#[allow(dead_code, reason = "the benchmarks that include this file count nothing")]
/// Trainable values, as `sum(p.numel() for p in model.parameters())` counts them.
pub fn parameters(shapes: &[Shape]) -> usize {
    shapes.iter().filter(|(name, _)| !name.contains("running_")).map(|(_, s)| s.iter().product::<usize>()).sum()
}

fn conv(list: &mut Vec<Shape>, name: &str, shape: [usize; 4]) {
    list.push((format!("{name}.weight"), shape.to_vec()));
}

fn norm(list: &mut Vec<Shape>, name: &str, channels: usize) {
    list.extend(["weight", "bias", "running_mean", "running_var"].map(|p| (format!("{name}.{p}"), vec![channels])));
}

fn linear(list: &mut Vec<Shape>, name: &str, inputs: usize, outputs: usize) {
    list.push((format!("{name}.weight"), vec![outputs, inputs]));
    list.push((format!("{name}.bias"), vec![outputs]));
}

/// torchvision's `DenseNet(growth, blocks, 2 * growth)`.
pub fn densenet(growth: usize, blocks: [usize; 4], channels: usize, classes: usize) -> Vec<Shape> {
    let list = &mut Vec::new();
    let mut width = 2 * growth;
    conv(list, "features.conv0", [width, channels, 7, 7]);
    norm(list, "features.norm0", width);
    for (i, layers) in (1..).zip(blocks) {
        for j in 1..=layers {
            let name = format!("features.denseblock{i}.denselayer{j}");
            norm(list, &format!("{name}.norm1"), width);
            conv(list, &format!("{name}.conv1"), [4 * growth, width, 1, 1]);
            norm(list, &format!("{name}.norm2"), 4 * growth);
            conv(list, &format!("{name}.conv2"), [growth, 4 * growth, 3, 3]);
            width += growth;
        }
        if i < 4 {
            norm(list, &format!("features.transition{i}.norm"), width);
            conv(list, &format!("features.transition{i}.conv"), [width / 2, width, 1, 1]);
            width /= 2;
        }
    }
    norm(list, "features.norm5", width);
    linear(list, "classifier", width, classes);
    std::mem::take(list)
}

/// torchvision's ResNets, of basic blocks or of bottlenecks.
pub fn resnet(blocks: [usize; 4], bottleneck: bool, classes: usize) -> Vec<Shape> {
    let list = &mut Vec::new();
    conv(list, "conv1", [64, 3, 7, 7]);
    norm(list, "bn1", 64);
    let mut inputs = 64;
    for (i, blocks) in blocks.into_iter().enumerate() {
        let width = 64 << i;
        let outputs = if bottleneck { 4 * width } else { width };
        for j in 0..blocks {
            let name = format!("layer{}.{j}", i + 1);
            let convs = match bottleneck {
                true => vec![(inputs, width, 1), (width, width, 3), (width, outputs, 1)],
                false => vec![(inputs, width, 3), (width, width, 3)],
            };
            for (k, (from, to, kernel)) in (1..).zip(convs) {
                conv(list, &format!("{name}.conv{k}"), [to, from, kernel, kernel]);
                norm(list, &format!("{name}.bn{k}"), to);
            }
            if j == 0 && inputs != outputs {
                conv(list, &format!("{name}.downsample.0"), [outputs, inputs, 1, 1]);
                norm(list, &format!("{name}.downsample.1"), outputs);
            }
            inputs = outputs;
        }
    }
    linear(list, "fc", inputs, classes);
    std::mem::take(list)
}

/// torchvision's MobileNetV2 of width 1.
pub fn mobilenet_v2(classes: usize) -> Vec<Shape> {
    let list = &mut Vec::new();
    conv(list, "features.0.0", [32, 3, 3, 3]);
    norm(list, "features.0.1", 32);
    let (mut inputs, mut number) = (32, 1);
    let groups = [(1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1)];
    for (expansion, outputs, blocks) in groups {
        for _ in 0..blocks {
            let (name, hidden) = (format!("features.{number}.conv"), inputs * expansion);
            let mut part = 0;
            if expansion > 1 {
                conv(list, &format!("{name}.0.0"), [hidden, inputs, 1, 1]);
                norm(list, &format!("{name}.0.1"), hidden);
                part = 1;
            }
            conv(list, &format!("{name}.{part}.0"), [hidden, 1, 3, 3]);
            norm(list, &format!("{name}.{part}.1"), hidden);
            conv(list, &format!("{name}.{}", part + 1), [outputs, hidden, 1, 1]);
            norm(list, &format!("{name}.{}", part + 2), outputs);
            (inputs, number) = (outputs, number + 1);
        }
    }
    conv(list, "features.18.0", [1280, inputs, 1, 1]);
    norm(list, "features.18.1", 1280);
    linear(list, "classifier.1", 1280, classes);
    std::mem::take(list)
}

//! ONNX graphs of the known networks: written here as the exporters write them, and real exports where there are any.

use std::path::Path;

use candle_core::{Device, Tensor};
use roentgen::cards::model::{ModelCard, Output};
use roentgen::models::{Model, Network, build};
use roentgen::weights::load;

use crate::formula;

/// A message of protocol buffers.
#[derive(Default, Clone)]
struct Message(Vec<u8>);

impl Message {
    fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    fn float(mut self, field: u64, value: f32) -> Self {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// A graph that grows.
#[derive(Default)]
struct Graph {
    graph: Message,
    count: usize,
    /// Whether norms behind convolutions are folded into them, as TorchScript's exporter does.
    folded: bool,
    seed: u64,
}

impl Graph {
    fn node(&mut self, op: &str, inputs: &[&str], ints: &[(&str, &[i64])]) -> String {
        self.count += 1;
        let output = format!("v{}", self.count);
        let mut node = inputs.iter().fold(Message::default(), |node, input| node.text(1, input));
        node = node.text(2, &output).text(3, &format!("{op}_{}", self.count)).text(4, op);
        for (name, values) in ints {
            let attribute = Message::default().text(1, name);
            let attribute = match values {
                [one] if !["kernel_shape", "axes"].contains(name) => attribute.number(3, *one as u64),
                many => many.iter().fold(attribute, |attribute, value| attribute.number(8, *value as u64)),
            };
            node = node.bytes(5, &attribute.0);
        }
        if op == "BatchNormalization" {
            node = node.bytes(5, &Message::default().text(1, "epsilon").float(2, 1e-5).0);
        }
        self.graph = std::mem::take(&mut self.graph).bytes(1, &node.0);
        output
    }

    fn constant(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let tensor = shape.iter().fold(Message::default(), |tensor, dim| tensor.number(1, *dim as u64));
        let tensor = tensor.number(2, 1).text(8, name).bytes(9, &raw);
        self.graph = std::mem::take(&mut self.graph).bytes(5, &tensor.0);
        name.to_owned()
    }

    fn integers(&mut self, name: &str, values: &[i64]) -> String {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let tensor = Message::default().number(1, values.len() as u64).number(2, 7).text(8, name).bytes(9, &raw);
        self.graph = std::mem::take(&mut self.graph).bytes(5, &tensor.0);
        name.to_owned()
    }

    fn weight(&mut self, name: &str, shape: &[usize]) -> String {
        let values = formula::tensor(name, shape, self.seed);
        self.constant(name, shape, &values)
    }

    fn conv(&mut self, x: &str, name: &str, norm: &str, shape: [usize; 4], stride: i64, groups: usize) -> String {
        let weights = formula::tensor(&format!("{name}.weight"), &shape, self.seed);
        let kernel = shape[2] as i64;
        let attributes: [(&str, &[i64]); 5] = [
            ("dilations", &[1, 1]),
            ("group", &[groups as i64]),
            ("kernel_shape", &[kernel, kernel]),
            ("pads", &[kernel / 2; 4]),
            ("strides", &[stride, stride]),
        ];
        if norm.is_empty() || !self.folded {
            let weight = self.constant(&format!("{name}.weight"), &shape, &weights);
            let conv = self.node("Conv", &[x, &weight], &attributes);
            return if norm.is_empty() { conv } else { self.norm(&conv, norm, shape[0]) };
        }
        let [gamma, beta, mean, variance] = ["weight", "bias", "running_mean", "running_var"]
            .map(|part| formula::tensor(&format!("{norm}.{part}"), &[shape[0]], self.seed));
        let scale: Vec<_> =
            (0..shape[0]).map(|i| f64::from(gamma[i]) / (f64::from(variance[i]) + 1e-5).sqrt()).collect();
        let each = weights.len() / shape[0];
        let folded: Vec<_> =
            weights.iter().enumerate().map(|(i, w)| (f64::from(*w) * scale[i / each]) as f32).collect();
        let bias: Vec<_> = (0..shape[0]).map(|i| (f64::from(beta[i]) - f64::from(mean[i]) * scale[i]) as f32).collect();
        let number = self.count;
        let weight = self.constant(&format!("onnx::Conv_{number}"), &shape, &folded);
        let bias = self.constant(&format!("onnx::Conv_{number}b"), &[shape[0]], &bias);
        self.node("Conv", &[x, &weight, &bias], &attributes)
    }

    fn norm(&mut self, x: &str, name: &str, channels: usize) -> String {
        let parts =
            ["weight", "bias", "running_mean", "running_var"].map(|p| self.weight(&format!("{name}.{p}"), &[channels]));
        self.node("BatchNormalization", &[x, &parts[0], &parts[1], &parts[2], &parts[3]], &[])
    }

    fn relu(&mut self, x: &str) -> String {
        self.node("Relu", &[x], &[])
    }

    fn relu6(&mut self, x: &str) -> String {
        let (low, high) = (format!("low{}", self.count), format!("high{}", self.count));
        self.constant(&low, &[], &[0.0]);
        self.constant(&high, &[], &[6.0]);
        self.node("Clip", &[x, &low, &high], &[])
    }

    /// Pooling, flattening, a dense layer and a sigmoid; the whole file.
    fn finish(mut self, x: &str, name: &str, features: usize, labels: usize) -> Vec<u8> {
        let pooled = match self.folded {
            true => self.node("GlobalAveragePool", &[x], &[]),
            false => self.node("ReduceMean", &[x], &[("axes", &[-1, -2]), ("keepdims", &[1])]),
        };
        let flat = self.node("Flatten", &[&pooled], &[]);
        let logits = self.dense(&flat, name, features, labels);
        let output = self.node("Sigmoid", &[&logits], &[]);
        self.done(&output)
    }

    fn dense(&mut self, x: &str, name: &str, inputs: usize, outputs: usize) -> String {
        let weight = self.weight(&format!("{name}.weight"), &[outputs, inputs]);
        let bias = self.weight(&format!("{name}.bias"), &[outputs]);
        self.node("Gemm", &[x, &weight, &bias], &[("transB", &[1])])
    }

    /// The whole file.
    fn done(self, output: &str) -> Vec<u8> {
        let graph = self.graph.bytes(11, &Message::default().text(1, "input").0);
        let graph = graph.bytes(12, &Message::default().text(1, output).0);
        Message::default().number(1, 8).text(2, "test").bytes(7, &graph.0).0
    }
}

/// A small DenseNet; joined at once or layer by layer.
pub fn densenet(folded: bool) -> Vec<u8> {
    let mut g = Graph { folded, seed: 1, ..Graph::default() };
    let x = densenet_body(&mut g);
    g.finish(&x, "classifier", DENSENET_FEATURES, 2)
}

/// Channels of the small DenseNet's last maps.
const DENSENET_FEATURES: usize = 9;

fn densenet_body(g: &mut Graph) -> String {
    let (folded, growth, blocks) = (g.folded, 4, [2, 1, 1, 1]);
    let mut width = 2 * growth;
    let x = g.conv("input", "features.conv0", "features.norm0", [width, 3, 7, 7], 2, 1);
    let x = g.relu(&x);
    let mut x = g.node("MaxPool", &[&x], &[("kernel_shape", &[3, 3]), ("strides", &[2, 2]), ("pads", &[1; 4])]);
    for (i, layers) in (1..).zip(blocks) {
        let mut parts = vec![x.clone()];
        for j in 1..=layers {
            let name = format!("features.denseblock{i}.denselayer{j}");
            let joined = match folded {
                true => {
                    let inputs: Vec<_> = parts.iter().map(String::as_str).collect();
                    g.node("Concat", &inputs, &[("axis", &[1])])
                }
                false => x.clone(),
            };
            let y = g.norm(&joined, &format!("{name}.norm1"), width);
            let y = g.relu(&y);
            let (conv, norm) = (format!("{name}.conv1"), format!("{name}.norm2"));
            let y = g.conv(&y, &conv, &norm, [4 * growth, width, 1, 1], 1, 1);
            let y = g.relu(&y);
            let y = g.conv(&y, &format!("{name}.conv2"), "", [growth, 4 * growth, 3, 3], 1, 1);
            if !folded {
                x = g.node("Concat", &[&x, &y], &[("axis", &[1])]);
            }
            parts.push(y);
            width += growth;
        }
        if folded {
            let inputs: Vec<_> = parts.iter().map(String::as_str).collect();
            x = g.node("Concat", &inputs, &[("axis", &[1])]);
        }
        if i < blocks.len() {
            let name = format!("features.transition{i}");
            let y = g.norm(&x, &format!("{name}.norm"), width);
            let y = g.relu(&y);
            let y = g.conv(&y, &format!("{name}.conv"), "", [width / 2, width, 1, 1], 1, 1);
            x = g.node("AveragePool", &[&y], &[("kernel_shape", &[2, 2]), ("strides", &[2, 2])]);
            width /= 2;
        }
    }
    let x = g.norm(&x, "features.norm5", width);
    g.relu(&x)
}

fn resnet18(folded: bool) -> Vec<u8> {
    let mut g = Graph { folded, seed: 1, ..Graph::default() };
    let x = g.conv("input", "conv1", "bn1", [64, 3, 7, 7], 2, 1);
    let x = g.relu(&x);
    let mut x = g.node("MaxPool", &[&x], &[("kernel_shape", &[3, 3]), ("strides", &[2, 2]), ("pads", &[1; 4])]);
    let mut inputs = 64;
    for (layer, width) in (1..).zip([64, 128, 256, 512]) {
        for block in 0..2 {
            let name = |part: &str| format!("layer{layer}.{block}.{part}");
            let stride = if layer > 1 && block == 0 { 2 } else { 1 };
            let y = g.conv(&x, &name("conv1"), &name("bn1"), [width, inputs, 3, 3], stride, 1);
            let y = g.relu(&y);
            let y = g.conv(&y, &name("conv2"), &name("bn2"), [width, width, 3, 3], 1, 1);
            let shortcut = match stride {
                2 => g.conv(&x, &name("downsample.0"), &name("downsample.1"), [width, inputs, 1, 1], 2, 1),
                _ => x,
            };
            // Either order of the sum.
            let sum = if layer % 2 == 0 { [&y, &shortcut] } else { [&shortcut, &y] };
            let sum = g.node("Add", &sum.map(String::as_str), &[]);
            x = g.relu(&sum);
            inputs = width;
        }
    }
    g.finish(&x, "fc", 512, 2)
}

fn mobilenet(folded: bool, width: f64) -> Vec<u8> {
    let mut g = Graph { folded, seed: 1, ..Graph::default() };
    let scaled = |channels: usize| {
        let wide = channels as f64 * width;
        let nearest = ((wide / 8.0).round() as usize * 8).max(8);
        if (nearest as f64) < 0.9 * wide { nearest + 8 } else { nearest }
    };
    let mut inputs = scaled(32);
    let x = g.conv("input", "features.0.0", "features.0.1", [inputs, 3, 3, 3], 2, 1);
    let mut x = g.relu6(&x);
    let mut number = 1;
    for (expansion, outputs, blocks, first) in
        [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    {
        let outputs = scaled(outputs);
        for i in 0..blocks {
            let stride = if i == 0 { first } else { 1 };
            let hidden = inputs * expansion;
            let mut part = 0;
            let mut y = x.clone();
            let mut step = |g: &mut Graph, y: &str, shape: [usize; 4], stride: i64, groups: usize| {
                let name = format!("features.{number}.conv.{part}");
                part += 1;
                let y = g.conv(y, &format!("{name}.0"), &format!("{name}.1"), shape, stride, groups);
                g.relu6(&y)
            };
            if expansion > 1 {
                y = step(&mut g, &y, [hidden, inputs, 1, 1], 1, 1);
            }
            y = step(&mut g, &y, [hidden, 1, 3, 3], stride, hidden);
            let name = |part: usize| format!("features.{number}.conv.{part}");
            y = g.conv(&y, &name(part), &name(part + 1), [outputs, hidden, 1, 1], 1, 1);
            x = if stride == 1 && inputs == outputs { g.node("Add", &[&x, &y], &[]) } else { y };
            (inputs, number) = (outputs, number + 1);
        }
    }
    let x = g.conv(&x, "features.18.0", "features.18.1", [1280, inputs, 1, 1], 1, 1);
    let x = g.relu6(&x);
    g.finish(&x, "classifier.1", 1280, 2)
}

fn card(architecture: &str, labels: usize, more: &str) -> ModelCard {
    let labels: Vec<_> = (0..labels).map(|i| format!("l{i}")).collect();
    let text = format!(
        "schema = \"roentgen/model/1\"\nname = \"m\"\narchitecture = \"{architecture}\"\nlabels = {labels:?}\n\
         output = \"sigmoid\"\nlicence = \"MIT\"\n{more}\n[weights]\npath = \"m\"\n[input]\nchannels = 3\nsteps = []\n"
    );
    ModelCard::parse(&text, "card").unwrap()
}

fn logits(model: &Model, x: &Tensor) -> Vec<f32> {
    model.forward(x).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn graphs_of_the_three_families_are_the_networks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let x = formula::tensor("input", &[1, 3, 64, 64], 1);
    let x = Tensor::from_vec(x, (1, 3, 64, 64), &Device::Cpu).unwrap();
    let options = "[options]\nblocks = [2, 1, 1, 1]\ngrowth = 4\n";
    for (name, graph, shapes, more) in [
        ("densenet121", densenet as fn(bool) -> Vec<u8>, formula::densenet(4, [2, 1, 1, 1], 3, 2), options),
        ("resnet18", resnet18, formula::resnet([2, 2, 2, 2], false, 2), ""),
        ("mobilenet_v2", |folded| mobilenet(folded, 1.0), formula::mobilenet_v2(2), ""),
    ] {
        let golden = build(&card(name, 2, more), formula::weights(&shapes), &Device::Cpu).unwrap();
        let expected = logits(&golden, &x);
        for folded in [false, true] {
            std::fs::write(&path, graph(folded)).unwrap();
            let weights = load(&path, None).unwrap();
            let network = weights.origin().unwrap().network.clone().unwrap();
            assert_eq!(network.architecture.to_string(), name);
            // Both as the card names it and as the graph tells it.
            for card in [card(name, 2, more), card("onnx", 2, "")] {
                let model = build(&card, load(&path, None).unwrap(), &Device::Cpu).unwrap();
                let ours = logits(&model, &x);
                let scale = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
                let off = ours.iter().zip(&expected).map(|(a, b)| (a - b).abs() / scale).fold(0.0, f32::max);
                println!("{name}, folded {folded}: logits off by {off:.1e}");
                assert!(off < if folded { 1e-4 } else { 1e-9 }, "{name}, folded {folded}: {off}");
            }
        }
    }
}

#[test]
fn a_graph_trains_and_tells_head_width_and_output() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let x = formula::tensor("input", &[1, 3, 64, 64], 1);
    let x = Tensor::from_vec(x, (1, 3, 64, 64), &Device::Cpu).unwrap();
    let loaded = |bytes: Vec<u8>| {
        std::fs::write(&path, bytes).unwrap();
        load(&path, None).unwrap()
    };
    // The network that training starts from is the same one.
    let network = Network::new(&card("onnx", 2, ""), loaded(densenet(true))).unwrap();
    let options = "[options]\nblocks = [2, 1, 1, 1]\ngrowth = 4\n";
    let trained = build(&card("densenet121", 2, options), network.tensors().unwrap(), &Device::Cpu).unwrap();
    let whole = build(&card("onnx", 2, ""), loaded(densenet(true)), &Device::Cpu).unwrap();
    assert_eq!(logits(&trained, &x), logits(&whole, &x));
    // MobileNetV2 of another width.
    let narrow = build(&card("onnx", 2, ""), loaded(mobilenet(true, 0.35)), &Device::Cpu).unwrap();
    let width = "[options]\nwidth = 0.35\n";
    let named = build(&card("mobilenet_v2", 2, width), loaded(mobilenet(true, 0.35)), &Device::Cpu).unwrap();
    assert_eq!(logits(&narrow, &x), logits(&named, &x));
    // Two dense layers with a ReLU between them.
    let head = |relu: bool| {
        let mut g = Graph { folded: true, seed: 1, ..Graph::default() };
        let x = densenet_body(&mut g);
        let pooled = g.node("GlobalAveragePool", &[&x], &[]);
        let flat = g.node("Flatten", &[&pooled], &[]);
        let first = g.dense(&flat, "classifier.0", DENSENET_FEATURES, 6);
        let first = if relu { g.relu(&first) } else { first };
        let last = g.dense(&first, "classifier.1", 6, 2);
        g.done(&last)
    };
    let layers = |activation: &str| format!("[[head]]\nunits = 6\n{activation}\n[[head]]\nunits = 2\n{options}");
    let weights = loaded(head(true));
    assert_eq!(weights.origin().unwrap().network.clone().unwrap().head.len(), 2);
    let told = build(&card("onnx", 2, ""), weights, &Device::Cpu).unwrap();
    let relu = layers("activation = \"relu\"");
    let named = build(&card("densenet121", 2, &relu), loaded(head(true)), &Device::Cpu).unwrap();
    assert_eq!(logits(&told, &x), logits(&named, &x));
    let e = build(&card("densenet121", 2, &layers("")), loaded(head(true)), &Device::Cpu).err().unwrap();
    assert!(e.to_string().contains("dense layers of other kinds"), "{e}");
    // A sigmoid at the end and a card that says softmax.
    let mut other = card("onnx", 2, "");
    other.output = Output::Softmax;
    let e = build(&other, loaded(densenet(true)), &Device::Cpu).err().unwrap().to_string();
    assert_eq!(e, "`output`: `softmax`, but the graph ends in a sigmoid; write `output = \"sigmoid\"`");
}

#[test]
fn grad_cam_through_a_graph() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    std::fs::write(&path, densenet(true)).unwrap();
    let model = build(&card("onnx", 2, ""), load(&path, None).unwrap(), &Device::Cpu).unwrap();
    let shapes = formula::densenet(4, [2, 1, 1, 1], 3, 2);
    let options = "[options]\nblocks = [2, 1, 1, 1]\ngrowth = 4\n";
    let golden = build(&card("densenet121", 2, options), formula::weights(&shapes), &Device::Cpu).unwrap();
    let x = formula::tensor("input", &[1, 3, 64, 64], 1);
    let x = Tensor::from_vec(x, (1, 3, 64, 64), &Device::Cpu).unwrap();
    for layer in [None, Some("conv2_block1_concat")] {
        let of = |model: &Model| model.layer_gradients(&x, &model.layer(layer).unwrap(), &[1]).unwrap();
        let (ours, theirs) = (of(&model), of(&golden));
        assert_eq!(ours.shape, theirs.shape);
        for (ours, theirs) in [(&ours.maps, &theirs.maps), (&ours.gradients[0], &theirs.gradients[0])] {
            let gap = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(gap < 1e-4, "{layer:?}: {gap}");
        }
    }
}

#[test]
fn what_is_no_known_network_is_told_by_its_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let says = |bytes: Vec<u8>| {
        std::fs::write(&path, bytes).unwrap();
        load(&path, None).err().unwrap().to_string()
    };
    let onnx = |bytes: Vec<u8>| {
        std::fs::write(&path, bytes).unwrap();
        build(&card("onnx", 2, ""), load(&path, None).unwrap(), &Device::Cpu)
    };
    let mut g = Graph::default();
    let x = g.node("LSTM", &["input"], &[]);
    let x = g.node("NonMaxSuppression", &[&x], &[]);
    let e = onnx(g.finish(&x, "fc", 4, 2)).err().unwrap().to_string();
    assert!(
        e.starts_with("2 unsupported operators: LSTM (node `LSTM_1`), NonMaxSuppression (node `NonMaxSuppression_2`)"),
        "{e}"
    );
    let mut g = Graph { folded: true, seed: 1, ..Graph::default() };
    let x = g.conv("input", "conv1", "bn1", [4, 3, 5, 5], 2, 1);
    let x = g.relu(&x);
    let x = g.node("MaxPool", &[&x], &[("kernel_shape", &[3, 3]), ("strides", &[2, 2]), ("pads", &[1; 4])]);
    let model = onnx(g.finish(&x, "fc", 4, 2)).unwrap();
    let x = Tensor::ones((1, 3, 64, 64), candle_core::DType::F32, &Device::Cpu).unwrap();
    assert_eq!(logits(&model, &x).len(), 2);
    let why = load(&path, None).unwrap().origin().unwrap().program.clone().unwrap().why.clone();
    assert!(why.contains("no ResNet as torchvision builds it: node `Conv_1` (Conv) of weights [4, 3, 5, 5]"), "{why}");
    assert!(why.contains("stands where a 7x7 one padded by 3 should be"), "{why}");
    let whole = densenet(true);
    assert!(says(whole[..whole.len() - 9].to_vec()).contains("the ONNX file cannot be read"));
    let e = build(&card("onnx", 2, ""), formula::weights(&formula::mobilenet_v2(2)), &Device::Cpu).err().unwrap();
    assert!(e.to_string().contains("its weights tell no network that is known here"), "{e}");
}

#[test]
fn graphs_that_would_fill_the_memory_or_make_no_sense_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let x = Tensor::ones((1, 3, 8, 8), candle_core::DType::F32, &Device::Cpu).unwrap();
    let says = |of: &dyn Fn(&mut Graph) -> String| {
        let mut g = Graph { seed: 1, ..Graph::default() };
        let x_name = of(&mut g);
        std::fs::write(&path, g.done(&x_name)).unwrap();
        let model = load(&path, None).and_then(|weights| build(&card("onnx", 2, ""), weights, &Device::Cpu));
        model.and_then(|model| model.forward(&x)).unwrap_err().to_string()
    };
    let large = [1 << 20, 1 << 20, 1 << 20];
    let with = |op: &'static str, values: Vec<i64>| {
        says(&move |g: &mut Graph| {
            let list = g.integers("list", &values);
            let inputs = if op == "ConstantOfShape" { vec![list.as_str()] } else { vec!["input", list.as_str()] };
            g.node(op, &inputs, &[])
        })
    };
    for (op, values, part) in [
        ("ConstantOfShape", large.to_vec(), "would make a tensor of [1048576, 1048576, 1048576]"),
        ("ConstantOfShape", vec![-1], "would make a tensor"),
        ("Expand", large.to_vec(), "would make a tensor"),
        ("Expand", vec![i64::MAX, i64::MIN], "would make a tensor"),
        ("Reshape", vec![-1, -1], "does not become"),
        ("Reshape", vec![0, 0, 0, 0, 0], "Reshape (node `Reshape_1`)"),
        ("Reshape", vec![i64::MIN], "a size of"),
        ("Reshape", vec![7, -1], "does not become"),
        ("Unsqueeze", (0..40).collect(), "44 axes"),
        ("Squeeze", vec![1], "is not of size 1"),
        ("Squeeze", vec![i64::MIN], "axis -9223372036854775808 of 4"),
        ("Pad", vec![0, 0, 1 << 40, 0, 0, 0, 0, 0], "would make a tensor"),
        ("Pad", vec![-1; 8], "pads of [-1"),
        ("Pad", vec![1], "1 pads for 4 axes"),
        ("Gather", vec![1 << 40], "Gather (node"),
    ] {
        let e = with(op, values.clone());
        assert!(e.contains(part), "{op} {values:?}: {e}");
    }
    let e = says(&|g: &mut Graph| {
        let weight = g.weight("w", &[1, 3, 1, 1]);
        g.node("Conv", &["input", &weight], &[("pads", &[1024; 4]), ("strides", &[1, 0])])
    });
    assert!(e.contains("Conv (node `Conv_1`): `strides` [1, 0] is not run here"), "{e}");
    let e = says(&|g: &mut Graph| g.node("Relu", &["nothing"], &[]));
    assert!(e.contains("takes `nothing`, which nothing before it makes"), "{e}");
    let e = says(&|g: &mut Graph| g.node("Add", &["input"], &[]));
    assert!(e.contains("has too few inputs"), "{e}");
    let e = says(&|g: &mut Graph| g.node("Relu", &["input"], &[]));
    assert!(e.contains("the graph gives [1, 3, 8, 8] for 1 images of 2 labels"), "{e}");
    // Each layer joins what is there with itself.
    let e = says(&|g: &mut Graph| {
        let mut x = "input".to_owned();
        for _ in 0..40 {
            x = g.node("Concat", &[&x, &x], &[("axis", &[1])]);
        }
        x
    });
    assert!(e.contains("would make a tensor"), "{e}");
}

#[test]
fn values_beside_the_graph_stay_in_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let outside = |location: &str| {
        let entry = |key: &str, value: &str| Message::default().text(1, key).text(2, value).0;
        let tensor = Message::default().number(1, 2).number(2, 1).text(8, "w").number(14, 1);
        let tensor = tensor.bytes(13, &entry("location", location)).bytes(13, &entry("length", "8"));
        let graph = Message::default().bytes(5, &tensor.0);
        std::fs::write(&path, Message::default().number(1, 8).text(2, "test").bytes(7, &graph.0).0).unwrap();
        load(&path, None).err().unwrap().to_string()
    };
    std::fs::write(folder.path().join("w.data"), [0; 8]).unwrap();
    assert!(outside("w.data").contains("the graph has no output"));
    std::fs::write(folder.path().join("short.data"), [0; 4]).unwrap();
    assert!(outside("short.data").contains("its values are not all in `short.data`"));
    for escape in ["../w.data", "/etc/passwd", "..", ""] {
        assert!(outside(escape).contains("which is not beside the graph's file"), "{escape}");
    }
}

#[test]
fn real_exports_give_pytorchs_logits() {
    let Some(folder) = std::env::var_os("ROENTGEN_ONNX") else {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "left out: real ONNX exports: ROENTGEN_ONNX names no folder of them");
        return;
    };
    let mut x = Vec::with_capacity(3 * 64 * 64);
    for (c, i, j) in (0..3).flat_map(|c| (0..64).flat_map(move |i| (0..64).map(move |j| (c, i, j)))) {
        x.push((f64::from(c) + 0.1 * f64::from(i) + 0.05 * f64::from(j)).sin() as f32);
    }
    let x = Tensor::from_vec(x, (1, 3, 64, 64), &Device::Cpu).unwrap();
    let mut count = 0;
    for entry in std::fs::read_dir(Path::new(&folder)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some((network, _)) = name.split_once('-').filter(|_| name.ends_with(".onnx")) else { continue };
        let golden = std::fs::read(path.with_file_name(format!("{network}.json"))).unwrap();
        let golden: serde_json::Value = serde_json::from_slice(&golden).unwrap();
        let golden: Vec<_> = golden["logits"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
        let model = build(&card("onnx", 3, ""), load(&path, None).unwrap(), &Device::Cpu).unwrap();
        let ours = logits(&model, &x);
        let off = ours.iter().zip(&golden).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("{name}: logits off by {off:.1e}");
        assert!(off < 1e-4, "{name}: {off}");
        count += 1;
    }
    println!("{count} exports");
    assert!(count > 0);
}

//! Weight files of every format and naming.

use std::path::Path;

use roentgen::error::Result;
use roentgen::weights::{Format, Tensors, load};

use crate::support::{roentgen, shared};
use crate::weights_files::{self as files, Pickle, sample};

fn read(bytes: &[u8]) -> Result<Tensors> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights");
    std::fs::write(&path, bytes).unwrap();
    load(&path, None)
}

/// Name, shape and values of every tensor.
fn listed(tensors: &Tensors) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let all = tensors.iter().map(|(name, shape, values)| (name.to_owned(), shape.to_vec(), values.to_vec()));
    all.collect()
}

fn expected() -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let mut expected: Vec<_> = sample().into_iter().map(|(n, s, v)| (n.to_owned(), s, v)).collect();
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    expected
}

#[track_caller]
fn refused(bytes: &[u8], says: &str) {
    let e = read(bytes).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(e.contains(says), "{says:?} is not in: {e}");
}

#[test]
fn one_network_in_every_format() {
    let tensors = sample();
    let state = files::state_dict(&tensors);
    let wrapped = Pickle::dict([("epoch", Pickle::int(3)), ("arch", Pickle::text("d")), ("state_dict", state.clone())]);
    let twice = Pickle::dict([("model", Pickle::dict([("state_dict", state.clone())]))]);
    let whole = {
        let part = |i: usize| Pickle::tensor("torch.FloatStorage", &i.to_string(), &tensors[i].1);
        let conv = files::module(vec![("weight", part(0))], vec![]);
        let classifier = files::module(vec![("bias", part(1))], vec![]);
        let features = files::module(vec![], vec![("conv0", conv)]);
        files::module(vec![], vec![("features", features), ("classifier", classifier)])
    };
    let parallel = files::module(vec![], vec![("module", whole.clone())]);
    for object in [&state, &wrapped, &twice, &whole, &parallel] {
        for (bytes, format) in [
            (files::torch(object, &tensors), Format::Torch),
            (files::torch_legacy(object, &tensors), Format::TorchLegacy),
        ] {
            let found = read(&bytes).unwrap();
            assert_eq!(listed(&found), expected());
            assert_eq!(found.origin().unwrap().format, format);
        }
    }
    assert_eq!(listed(&read(&files::safetensors(&tensors)).unwrap()), expected());
    let keras = files::keras(&[
        ("conv1_conv", vec![("kernel", vec![1, 2, 1, 2], vec![0.5, 2.0, -1.0, 3.0])]),
        ("relu", vec![]),
        ("dense", vec![("kernel", vec![1, 3], vec![7.0, 8.0, 9.0]), ("bias", vec![3], vec![1.0, 2.0, -4.0])]),
    ]);
    let found = listed(&read(&keras).unwrap());
    assert_eq!(found[2], expected()[1]);
    assert_eq!(found[0], ("classifier.0.bias".to_owned(), vec![3], vec![1.0, 2.0, -4.0]));
    assert_eq!(found[1], ("classifier.0.weight".to_owned(), vec![3, 1], vec![7.0, 8.0, 9.0]));
}

#[test]
fn views_and_kinds_of_torch() {
    let storage = || ("data/0", (0..6u8).flat_map(|v| f32::from(v).to_le_bytes()).collect());
    let read = |tensor: Pickle| {
        let pickle = Pickle::dict([("a", tensor)]);
        let found = read(&files::archive(&[("data.pkl", pickle.done()), storage()]))?;
        Ok::<_, roentgen::error::Error>(listed(&found)[0].2.clone())
    };
    let float = "torch.FloatStorage";
    assert_eq!(read(Pickle::view(float, "0", 0, &[3, 2], [1, 3])).unwrap(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    assert_eq!(read(Pickle::view(float, "0", 1, &[2, 2], [2, 1])).unwrap(), [1.0, 2.0, 3.0, 4.0]);
    for (tensor, says) in [
        (Pickle::view(float, "0", 3, &[2, 2], [2, 1]), "tensor `a`: shape [2, 2] is larger than its 6 stored values"),
        (Pickle::view(float, "0", 0, &[200, 200], [0, 0]), "is larger"),
        (Pickle::view(float, "0", 0, &[2], [1, 1]), "not known here"),
        (Pickle::view(float, "none", 0, &[2], [1]), "`data/none` in the archive cannot be read"),
        (Pickle::view("torch.IntStorage", "0", 0, &[1], [1]), "tensor `a`: holds a IntStorage, not floats"),
        (Pickle::view("torch.QInt8Storage", "0", 0, &[1], [1]), "quantised weights (QInt8Storage)"),
        (Pickle::call("torch._utils._rebuild_qtensor", []), "quantised weights"),
        (Pickle::call("torch._utils._rebuild_sparse_tensor", []), "made by `_rebuild_sparse_tensor`"),
    ] {
        let e = read(tensor).unwrap_err().to_string();
        assert!(e.contains(says), "{says}: {e}");
    }
}

#[test]
fn what_is_not_read_is_named() {
    let pickle = |pickle: &[u8]| files::archive(&[("data.pkl", pickle.to_vec())]);
    refused(&pickle(b"\x80\x02}."), "no tensors in the checkpoint");
    refused(&pickle(b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R."), "would call `os.system`; nothing is run here");
    refused(&files::archive(&[("other", vec![])]), "no `data.pkl`");
    refused(&files::archive(&[("data.pkl", vec![]), ("code/x.py", vec![])]), "TorchScript");
    refused(&files::archive(&[("data.pkl", vec![]), ("byteorder", b"big".to_vec())]), "big-endian");
    refused(b"\x80\x04N.", "a Python pickle that torch.save did not write");
    refused(&[&[0; 257][..], b"ustar", &[0; 250]].concat(), "a tar archive");
    refused(b"", "neither a safetensors file, nor a PyTorch checkpoint, nor a Keras HDF5 file");
    let keras3 = {
        let mut file = hdf5_pure::FileBuilder::new();
        let group = file.create_group("layers").finish();
        file.add_group(group);
        file.finish().unwrap()
    };
    refused(&keras3, "`.weights.h5` file of Keras 3");
    let resnet = files::keras(&[("conv2_block1_3_conv", vec![("kernel", vec![1, 1, 1, 1], vec![1.0])])]);
    refused(&resnet, "Keras' ResNet strides in its first 1x1 convolution");
    let quantised = Pickle::dict([("fc._packed_params.dtype", Pickle::none()), ("fc.weight", Pickle::none())]);
    refused(&pickle(&quantised.done()), "quantised weights (fc._packed_params.dtype)");
}

#[test]
fn shared_modules_without_end_stop() {
    // Each level holds the one below twice: 2^40 paths to one tensor.
    let leaf = files::module(vec![("w", Pickle::tensor("torch.FloatStorage", "0", &[1]))], vec![]);
    let mut pickle = leaf.0;
    for level in 0..40u8 {
        let [put, get] = [vec![b'q', level], vec![b'h', level]];
        let below = Pickle([pickle, put].concat());
        pickle = files::module(vec![], vec![("a", below), ("b", Pickle(get))]).0;
    }
    let bytes = files::torch(&Pickle(pickle), &sample());
    let begun = std::time::Instant::now();
    refused(&bytes, "more than 65536 tensors");
    assert!(begun.elapsed().as_secs() < 10);
}

#[test]
fn many_views_of_one_storage_are_refused() {
    let entries = (0..100).map(|i| (format!("t{i}"), Pickle::tensor("torch.FloatStorage", "0", &[10_000])));
    let pickle = Pickle::dict(entries.collect::<Vec<_>>());
    let bytes = files::torch(&pickle, &[("a", vec![10_000], vec![0.0; 10_000])]);
    refused(&bytes, "its tensors claim 4000000 bytes, the file has");
}

/// The card of `shared/goldens/keras`: DenseNet with blocks of two layers.
const DENSENET_2222: &str = r#"
schema = "roentgen/model/1"
name = "densenet-2222"
architecture = "densenet121"
labels = ["l0", "l1", "l2", "l3", "l4", "l5", "l6", "l7", "l8", "l9", "l10", "l11", "l12", "l13"]
output = "sigmoid"
licence = "none"
[options]
blocks = [2, 2, 2, 2]
norm_eps = 1.001e-5
[weights]
path = "w.h5"
[input]
channels = 3
steps = []
"#;

#[test]
fn keras_weights_give_keras_probabilities() {
    let Some(shared) = shared() else { return };
    use candle_core::{Device, Tensor};
    let golden = std::fs::read(shared.join("goldens/keras/densenet_2222.json")).unwrap();
    let file: serde_json::Value = serde_json::from_slice(&golden).unwrap();
    let card = roentgen::cards::model::ModelCard::parse(DENSENET_2222, "card").unwrap();
    let weights = load(&shared.join("goldens/keras/densenet_2222_weights.h5"), None).unwrap();
    assert_eq!(weights.origin().unwrap().naming.to_string(), "keras");
    let model = roentgen::models::build(&card, weights, &Device::Cpu).unwrap();
    let x = crate::formula::tensor("input", &[2, 3, 224, 224], 1);
    let x = Tensor::from_vec(x, (2, 3, 224, 224), &Device::Cpu).unwrap();
    let logits: Vec<f32> = model.forward(&x).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let ours = roentgen::models::probabilities(card.output, &logits);
    let golden = crate::models::numbers(&file["probabilities"]);
    assert_eq!(ours.len(), golden.len());
    let worst = ours.iter().zip(&golden).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    println!("Keras DenseNet: probabilities off by {worst:.1e}");
    assert!(worst < 1e-5, "{worst}");
    // Its Grad-CAM is of a probability, of which ours, of the logit, is one p (1 - p)th.
    let layer = model.layer(Some("conv5_block2_concat")).unwrap();
    let theirs = crate::models::numbers(&file["gradcam_of_probability_3_at_conv5_block2_concat"]);
    for (i, theirs) in theirs.chunks(49).enumerate() {
        let of = model.layer_gradients(&x.narrow(0, i, 1).unwrap(), &layer, &[3]).unwrap();
        assert_eq!(of.shape, (128, 7, 7));
        let mut ours = [0.0f64; 49];
        for (maps, gradient) in of.maps.chunks(49).zip(of.gradients[0].chunks(49)) {
            let weight = gradient.iter().map(|g| f64::from(*g)).sum::<f64>() / 49.0;
            ours.iter_mut().zip(maps).for_each(|(cam, a)| *cam += weight * f64::from(*a));
        }
        let p = golden[i * 14 + 3];
        let scale = theirs.iter().fold(0.0f64, |m, v| m.max(*v));
        let gaps = ours.iter().zip(theirs).map(|(cam, t)| (cam.max(0.0) * p * (1.0 - p) - t).abs() / scale);
        let worst = gaps.fold(0.0, f64::max);
        println!("Keras DenseNet: Grad-CAM of image {i} off by {worst:.1e} of its largest");
        assert!(scale > 0.0 && worst < 1e-4, "{worst}");
    }
}

#[test]
fn a_nested_keras_model_is_the_same_network() {
    let Some(shared) = shared() else { return };
    let folder = shared.join("real/covid3");
    let keras = load(&folder.join("keras_model.h5"), None).unwrap();
    let converted = load(&folder.join("mobilenetv2-035.safetensors"), None).unwrap();
    assert_eq!(listed(&keras), listed(&converted));
}

#[test]
fn a_backbone_first_and_the_trained_model_over_it() {
    let Some(shared) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let trained = shared.join("goldens/keras/densenet_2222_weights.h5");
    std::fs::copy(&trained, folder.path().join("w.h5")).unwrap();
    // The backbone as ImageNet left it: no head, and other values.
    let backbone = files::keras(&[("conv1_conv", vec![("kernel", vec![7, 7, 3, 64], vec![0.5; 9408])])]);
    std::fs::write(folder.path().join("densenet.hdf5"), backbone).unwrap();
    let read = |text: String| {
        let path = folder.path().join("card.toml");
        std::fs::write(&path, text).unwrap();
        let (card, home) = roentgen::cards::catalogue::model(path.to_str().unwrap()).unwrap();
        listed(&roentgen::models::tensors(&card, &home).unwrap().0)
    };
    let over = |path: &str, base: &str| {
        let sha256 = roentgen::files::sha256_of(&folder.path().join(base)).unwrap();
        let weights = format!("path = \"{path}\"\nbase = \"{base}\"\nbase_sha256 = \"{sha256}\"");
        DENSENET_2222.replace("path = \"w.h5\"", &weights)
    };
    assert_eq!(read(over("w.h5", "densenet.hdf5")), read(DENSENET_2222.to_owned()));
    let head = vec![("kernel", vec![128, 14], vec![2.0; 1792]), ("bias", vec![14], vec![3.0; 14])];
    let only_head = files::keras(&[("dense", head)]);
    std::fs::write(folder.path().join("head.h5"), only_head).unwrap();
    let found = read(over("head.h5", "w.h5"));
    assert_eq!(found.len(), read(DENSENET_2222.to_owned()).len());
    assert_eq!(found.iter().find(|(name, ..)| name == "classifier.0.bias").unwrap().2, [3.0; 14]);
}

#[test]
fn namings_of_other_libraries_are_the_same_network() {
    let folder = tempfile::tempdir().unwrap();
    let logits = |architecture: &str, weights: Tensors| {
        let text = format!(
            "schema = \"roentgen/model/1\"\nname = \"m\"\narchitecture = \"{architecture}\"\nlabels = [\"a\", \"b\"]\n\
             output = \"sigmoid\"\nlicence = \"MIT\"\n[weights]\npath = \"m\"\n[input]\nchannels = 3\nsteps = []\n"
        );
        let card = roentgen::cards::model::ModelCard::parse(&text, "card").unwrap();
        let model = roentgen::models::build(&card, weights, &candle_core::Device::Cpu).unwrap();
        let x = crate::formula::tensor("input", &[1, 3, 64, 64], 1);
        let x = candle_core::Tensor::from_vec(x, (1, 3, 64, 64), &candle_core::Device::Cpu).unwrap();
        model.forward(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let densenet = crate::formula::densenet(32, [6, 12, 24, 16], 3, 2);
    let mobilenet = crate::formula::mobilenet_v2(2);
    let monai = |name: &str| {
        let name = ["norm1", "conv1", "norm2", "conv2"]
            .iter()
            .fold(name.to_owned(), |name, part| name.replace(&format!(".{part}."), &format!(".layers.{part}.")));
        name.replace("classifier.", "class_layers.out.")
    };
    for (architecture, shapes, naming, rename) in [
        ("densenet121", &densenet, "monai", &monai as &dyn Fn(&str) -> String),
        ("mobilenet_v2", &mobilenet, "timm", &timm),
    ] {
        let tensors: Vec<_> = shapes
            .iter()
            .map(|(name, shape)| (rename(name), shape.to_vec(), crate::formula::tensor(name, shape, 1)))
            .collect();
        let tensors: Vec<_> = tensors.iter().map(|(n, s, v)| (n.as_str(), s.clone(), v.clone())).collect();
        let path = folder.path().join(naming);
        std::fs::write(&path, files::safetensors(&tensors)).unwrap();
        let found = load(&path, None).unwrap();
        assert_eq!(found.origin().unwrap().naming.to_string(), naming);
        assert_eq!(logits(architecture, found), logits(architecture, crate::formula::weights(shapes)), "{naming}");
    }
}

/// timm's name for a tensor of torchvision's MobileNetV2.
fn timm(name: &str) -> String {
    let outer = [("features.0.0.", "conv_stem."), ("features.0.1.", "bn1."), ("features.18.0.", "conv_head.")];
    let outer = outer.into_iter().chain([("features.18.1.", "bn2."), ("classifier.1.", "classifier.")]);
    for (from, to) in outer {
        if let Some(rest) = name.strip_prefix(from) {
            return format!("{to}{rest}");
        }
    }
    let mut parts = name.splitn(4, '.');
    let number: usize = parts.nth(1).unwrap().parse().unwrap();
    let rest = parts.nth(1).unwrap();
    let (mut group, mut index) = (0, number - 1);
    for blocks in [1, 2, 3, 4, 3, 3, 1] {
        if index < blocks {
            break;
        }
        (group, index) = (group + 1, index - blocks);
    }
    let parts: &[(&str, &str)] = match group {
        0 => &[("0.0.", "conv_dw."), ("0.1.", "bn1."), ("1.", "conv_pw."), ("2.", "bn2.")],
        _ => &[
            ("0.0.", "conv_pw."),
            ("0.1.", "bn1."),
            ("1.0.", "conv_dw."),
            ("1.1.", "bn2."),
            ("2.", "conv_pwl."),
            ("3.", "bn3."),
        ],
    };
    let (from, to) = parts.iter().find(|(from, _)| rest.starts_with(from)).unwrap();
    format!("blocks.{group}.{index}.{to}{}", &rest[from.len()..])
}

#[test]
fn weights_verbs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.pth");
    std::fs::write(&path, files::torch(&files::state_dict(&sample()), &sample())).unwrap();
    let shown = roentgen(["weights", "show", path.to_str().unwrap()]).ok();
    insta::assert_snapshot!("weights-show", shown);
    let every = roentgen(["weights", "show", path.to_str().unwrap(), "--tensors"]).ok();
    insta::assert_snapshot!("weights-show-tensors", every);
    let out = folder.path().join("m.safetensors");
    let convert = || roentgen([Path::new("weights"), Path::new("convert"), &path, &out]);
    assert!(convert().ok().ends_with("m.safetensors: 2 tensors\n"));
    assert_eq!(listed(&load(&out, None).unwrap()), expected());
    let text = std::fs::read(&out).unwrap();
    assert!(
        String::from_utf8_lossy(&text)
            .contains(r#""source_format":"PyTorch checkpoint","source_naming":"torchvision""#)
    );
    assert!(convert().error(2).ends_with("the file is there already; choose another name"));
    insta::assert_snapshot!("weights-verify", roentgen(["weights", "verify", "phantom-densenet"]).ok());
}

#[test]
fn verify_says_no_by_its_status() {
    let folder = tempfile::tempdir().unwrap();
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights");
    for file in ["phantom-densenet.safetensors", "phantom-densenet-golden.png"] {
        std::fs::copy(weights.join(file), folder.path().join(file)).unwrap();
    }
    let card = std::fs::read_to_string(weights.join("phantom-densenet.toml")).unwrap();
    let path = folder.path().join("card.toml");
    let verify = |text: &str| {
        std::fs::write(&path, text).unwrap();
        roentgen(["weights", "verify", path.to_str().unwrap()])
    };
    assert_eq!(verify(&card).status, 0);
    let wrong = verify(&card.replacen("tolerance = ", "tolerance = 0.0 # ", 1));
    assert_eq!(wrong.status, 1, "{}", wrong.stdout);
    assert!(wrong.stdout.contains("NO: logits differ by"), "{}", wrong.stdout);
    let other = card.lines().map(|line| match line.starts_with("sha256 = ") {
        true => format!("sha256 = \"{}\"\n", "0".repeat(64)),
        false => format!("{line}\n"),
    });
    let wrong = verify(&other.collect::<String>());
    assert_eq!(wrong.status, 1, "{}", wrong.stdout);
    assert!(wrong.stdout.contains("the card says 00000000"), "{}", wrong.stdout);
}

//! What two datasets share, on real radiographs and small trees; and the warnings before and after a run.

use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use crate::support::{put, roentgen, shared};

fn leakage(args: &[&str]) -> Value {
    let ran = roentgen(["datasets", "leakage", "--format", "json"].iter().chain(args));
    serde_json::from_str(&ran.ok()).unwrap()
}

#[test]
fn copies_among_real_radiographs() {
    let Some(shared) = shared() else { return };
    let root = shared.join("real/kermany").display().to_string();
    let begun = Instant::now();
    let found = leakage(&["kermany-pediatric", "kermany-pediatric", "--root-a", &root, "--root-b", &root]);
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
    assert_eq!((found["images_a"].as_u64(), found["same_dataset"].as_bool()), (Some(5840), Some(true)));
    assert_eq!(found["identical"].as_array().unwrap().len(), 34);
    // Train and test on their own share no picture.
    let splits = ["--split-a", "train", "--split-b", "test"];
    let found = leakage(
        &[&["kermany-pediatric", "kermany-pediatric", "--root-a", &root, "--root-b", &root], &splits[..]].concat(),
    );
    assert_eq!((found["identical"].as_array().unwrap().len(), found["near"].as_array().unwrap().len()), (0, 0));
    assert_eq!(found["patients"]["patients"].as_array().unwrap().len(), 0);
}

// The same radiographs at their first size and aspect, other compression: none has the bytes of its small copy.
#[test]
fn a_picture_is_found_at_another_size() {
    let Some(shared) = shared() else { return };
    let root = shared.join("real/kermany");
    let originals = root.join("originals").display().to_string();
    let root = root.display().to_string();
    let found = leakage(&[&originals, "kermany-pediatric", "--root-b", &root, "--split-b", "train"]);
    let name = |v: &Value| v.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let near = found["near"].as_array().unwrap();
    assert_eq!(near.iter().filter(|p| name(&p["a"]) == name(&p["b"])).count(), 40);
    // One has a twin in the collection; nothing else is taken for a copy.
    assert_eq!(near.len(), 41);
    assert!(near.iter().all(|p| p["correlation"].as_f64().unwrap() > 0.99), "{near:?}");
}

/// A folder of gray PNGs in class folders.
fn pictures(folder: &Path, files: &[(&str, u32)]) {
    for (name, seed) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let pixel = |x: u32, y: u32| {
            let blob = |k: u32| {
                let at = |salt: u32| f64::from((seed * 7919 + k * 104_729 + salt * 15_485_863) % 64);
                let d = (f64::from(x) - at(1)).powi(2) + (f64::from(y) - at(2)).powi(2);
                (-d / 20.0).exp() * if k.is_multiple_of(2) { 60.0 } else { -60.0 }
            };
            image::Luma([(128.0 + (0..24).map(blob).sum::<f64>()) as u8])
        };
        image::GrayImage::from_fn(64, 64, pixel).save(path).unwrap();
    }
}

#[test]
fn what_a_person_sees() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    pictures(&a, &[("EDEMA/one.png", 1), ("EDEMA/two.png", 2), ("NORMAL/three.png", 3)]);
    pictures(&b, &[("EDEMA/four.png", 4), ("NORMAL/uno.png", 1), ("NORMAL/five.png", 5)]);
    // The same picture in another format's bytes.
    image::open(b.join("EDEMA/four.png")).unwrap().save(a.join("NORMAL/quattro.bmp")).unwrap();
    let list = put(folder.path(), "trained.csv", "Image,Label\nfive.png,0\nfour,1\n");
    let (a, b) = (a.display().to_string(), b.display().to_string());
    insta::assert_snapshot!("leakage", roentgen(["datasets", "leakage", &a, &b, "--trained-on", &list]).ok());
    insta::assert_snapshot!("help-leakage", roentgen(["datasets", "leakage", "--help"]).ok());
    let empty = put(folder.path(), "empty.txt", "\n");
    assert!(roentgen(["datasets", "leakage", &a, &b, "--trained-on", &empty]).error(3).contains("the list is empty"));
}

/// 60 images of two labels, each told well by its own column.
fn table(change: impl Fn(f64, f64) -> (f64, f64)) -> String {
    let mut text = String::from("image,y_Mass,y_Edema,p_Mass,p_Edema\n");
    for i in 0..60u32 {
        let (mass, edema) = (i % 3 == 0, i % 4 == 1);
        let score =
            |y: bool, salt: u32| 0.6 * f64::from(u8::from(y)) + 0.35 * f64::from((i * 37 + salt * 11) % 41) / 41.0;
        let (a, b) = change(score(mass, 1), score(edema, 2));
        text += &format!("{i}.png,{},{},{a:.5},{b:.5}\n", u8::from(mass), u8::from(edema));
    }
    text
}

#[test]
fn outputs_that_are_probably_wrong_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let notes = |text: &str| {
        let ran = roentgen(["score", &put(folder.path(), "p.csv", text), "--format", "json"]);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        ran.stderr
    };
    assert_eq!(notes(&table(|a, b| (a, b))), "");
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let told = [
        notes(&table(|a, b| (b, a))),
        notes(&table(|a, b| (1.0 - a, b))),
        notes(&table(|a, b| (sigmoid(a), sigmoid(b)))),
        notes(&table(|a, _| (a, 0.25))),
    ];
    insta::assert_snapshot!("preflight-outputs", told.concat());
}

#[test]
fn real_predictions_raise_no_warning() {
    let Some(shared) = shared() else { return };
    let predictions = shared.join("real/nih/nih_chexnet_test_preds.csv.gz").display().to_string();
    let ran = roentgen(["score", &predictions, "--format", "json"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
}

/// The bundled model's card with other steps or a reference, beside its weights.
fn card(folder: &Path, change: impl Fn(&str) -> String) -> String {
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights");
    std::fs::copy(weights.join("phantom-densenet.safetensors"), folder.join("phantom-densenet.safetensors")).unwrap();
    let text = std::fs::read_to_string(weights.join("phantom-densenet.toml")).unwrap();
    put(folder, "card.toml", &change(&text))
}

#[test]
fn pictures_are_held_against_the_reference_of_the_card() {
    let folder = tempfile::tempdir().unwrap();
    let reference =
        roentgen(["weights", "reference", "phantom-densenet", "--data", "phantom", "--pictures", "40"]).ok();
    assert!(reference.contains("[reference.input_mean]") && reference.contains("[reference.features]"), "{reference}");
    let evaluate = |card: &str| {
        let out = folder.path().join("run");
        let _ = std::fs::remove_dir_all(&out);
        let out = out.display().to_string();
        let ran =
            roentgen(["evaluate", "--model", card, "--data", "phantom", "--limit", "30", "--out", &out, "--headless"]);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        ran.stderr.lines().filter(|l| l.starts_with("note: ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let same = evaluate(&card(folder.path(), |text| format!("{text}\n{reference}")));
    assert!(!same.iter().any(|n| n.contains("preprocessing")), "{same:?}");
    let other = evaluate(&card(folder.path(), |text| {
        format!("{}\n{reference}", text.replace("[-1.0, 1.0]", "[-1024.0, 1024.0]"))
    }));
    assert!(
        other.iter().any(|n| n.contains("preprocessing other than in training") && n.contains("mean input")),
        "{other:?}"
    );
}

#[test]
fn inverted_radiographs_are_told_and_others_are_not() {
    let Some(shared) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (plain, inverted) = (folder.path().join("plain"), folder.path().join("inverted"));
    for place in [&plain, &inverted] {
        std::fs::create_dir_all(place.join("NORMAL")).unwrap();
    }
    for (i, entry) in std::fs::read_dir(shared.join("real/kermany/models/png")).unwrap().enumerate() {
        let mut image = image::open(entry.unwrap().path()).unwrap().to_luma8();
        let name = format!("NORMAL/{i}.png");
        image.save(plain.join(&name)).unwrap();
        image::imageops::invert(&mut image);
        image.save(inverted.join(&name)).unwrap();
    }
    let notes = |data: &Path| {
        let out = folder.path().join("run");
        let _ = std::fs::remove_dir_all(&out);
        let (data, out) = (data.display().to_string(), out.display().to_string());
        roentgen(["evaluate", "--model", "phantom-densenet", "--data", &data, "--out", &out, "--headless"]).stderr
    };
    assert!(!notes(&plain).contains("inverted?"), "{}", notes(&plain));
    let told = notes(&inverted);
    assert!(told.contains("pictures inverted? in"), "{told}");
}

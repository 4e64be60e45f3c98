//! Devices and the numbers in which they compute, as far as every machine has them.

use std::path::Path;

use roentgen::device::Fault;
use roentgen::error::Kind;

use crate::support::{command, finished, roentgen};

#[test]
fn every_fault_of_a_card_says_what_to_do() {
    let card = || "NVIDIA T4".to_owned();
    let all = [
        Fault::NotBuilt,
        Fault::NoDriver,
        Fault::NoCard,
        Fault::NoSuchCard { number: 3, count: 2 },
        Fault::DriverTooOld { driver: (12, 4), needed: (13, 0) },
        Fault::NoLibrary { title: "cuBLAS", file: "libcublas.so.13" },
        Fault::OtherLibrary { title: "cuBLAS", function: "cublasCreate_v2" },
        Fault::OtherKernels { card: card(), capability: (7, 5) },
        Fault::Arithmetic { precision: "bf16".into(), card: card(), capability: (7, 5) },
        Fault::Memory,
        Fault::Other("the NVIDIA driver says CUDA_ERROR_UNKNOWN (unknown error)".into()),
    ];
    let said: Vec<_> = all.iter().map(|fault| fault.error().to_string()).collect();
    insta::assert_snapshot!("faults", said.join("\n"));
    let usage = |fault: &Fault| fault.error().kind() == Kind::Usage;
    assert_eq!(all.iter().map(usage).collect::<Vec<_>>()[..5], [true, false, false, true, false]);
}

#[test]
fn what_is_no_device_or_no_number_is_told() {
    for (flag, value, says) in [
        ("--device", "gpu", "not auto, cpu, cuda, cuda:N or metal"),
        ("--precision", "f64", "not f32, bf16 or f16"),
        ("--batch", "0", "0"),
    ] {
        let ran = roentgen(["evaluate", "--model", "phantom-densenet", "--data", "phantom", flag, value]);
        assert!(ran.error(2).contains(value) && ran.stderr.contains(says), "{}", ran.stderr);
    }
    let devices = roentgen(["devices"]).ok();
    assert!(devices.starts_with("device") && devices.lines().nth(1).unwrap().starts_with("cpu "), "{devices}");
    let json: serde_json::Value = serde_json::from_str(&roentgen(["devices", "--format", "json"]).ok()).unwrap();
    assert_eq!(json["cards"].as_array().unwrap().is_empty(), json["no_card"].is_string());
    let csv = roentgen(["devices", "--format", "csv"]).ok();
    assert!(csv.starts_with("device,name,gib_free,gib_total,compute_capability,driver_cuda\n"), "{csv}");
}

#[cfg(not(feature = "cuda"))]
#[test]
fn a_build_without_cards_says_so() {
    let ran = roentgen(["predict", "--model", "phantom-densenet", "--device", "cuda:1", "x.png"]);
    let says = "error: `--device cuda:1`: this roentgen was built for the CPU only; use --device cpu, or build it with --features cuda";
    assert_eq!(ran.error(2), says);
    assert!(roentgen(["devices"]).ok().contains("\nno card: this roentgen was built for the CPU only"));
}

/// Probabilities of a run of some phantoms, and its `run.toml`.
fn evaluated(out: &Path, more: &[&str]) -> (Vec<f64>, String, String) {
    let mut command = command(["evaluate", "--headless", "--model", "phantom-densenet", "--data", "phantom"]);
    command.args(["--device", "cpu", "--limit", "24", "--out"]).arg(out).args(more);
    let ran = finished(command.output().unwrap());
    let said = ran.stderr.clone();
    ran.ok();
    let mut reader = csv::Reader::from_path(out.join("predictions.csv")).unwrap();
    let wanted: Vec<_> = reader.headers().unwrap().iter().map(|name| name.starts_with("p_")).collect();
    let cells = reader.records().flat_map(|row| {
        let row = row.unwrap();
        let cells: Vec<f64> =
            row.iter().zip(&wanted).filter(|(_, w)| **w).map(|(cell, _)| cell.parse().unwrap()).collect();
        cells
    });
    (cells.collect(), std::fs::read_to_string(out.join("run.toml")).unwrap(), said)
}

#[test]
fn half_precision_is_recorded_and_near() {
    let folder = tempfile::tempdir().unwrap();
    let (single, toml, said) = evaluated(&folder.path().join("f32"), &[]);
    assert!(toml.contains("device = \"cpu\"") && toml.contains("precision = \"f32\"") && toml.contains("batch = 16"));
    assert!(!said.contains("imitated"));
    for (precision, most) in [("f16", 5e-3), ("bf16", 5e-2)] {
        let out = folder.path().join(precision);
        let (half, toml, said) = evaluated(&out, &["--precision", precision]);
        assert!(toml.contains(&format!("precision = \"{precision}\"")), "{toml}");
        assert!(said.contains(&format!("note: {precision} is imitated on the CPU, ")), "{said}");
        let gap = half.iter().zip(&single).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        println!("{precision}: probabilities within {gap:.1e}");
        assert!(half.len() == single.len() && gap > 0.0 && gap < most, "{precision}: {gap}");
    }
    // A run goes on in the numbers in which it was begun, or not at all.
    let again = |precision: &str| {
        let mut command = command(["evaluate", "--headless", "--model", "phantom-densenet", "--data", "phantom"]);
        command.args(["--device", "cpu", "--limit", "24", "--resume", "--precision", precision, "--out"]);
        finished(command.arg(folder.path().join("f16")).output().unwrap())
    };
    assert!(again("f16").stderr.contains("finished already"));
    again("f32").error(2);
}

#[test]
fn a_run_that_goes_on_keeps_its_batch() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let (_, toml, _) = evaluated(&out, &["--batch", "5"]);
    assert!(toml.contains("batch = 5"), "{toml}");
    let (_, again, said) = evaluated(&out, &["--resume"]);
    assert!(said.contains("finished already"), "{said}");
    assert_eq!(toml, again);
}

//! The build with CUDA where there is no card, no driver, or one that is of no use: it starts, and says what is missing.
//! What needs a card is checked by `just check-gpu`.

use std::path::Path;
use std::process::Command;

use crate::support::{Ran, command, finished, roentgen};

/// Whether this machine has a card, and with it another answer to everything here.
fn has_card() -> bool {
    let devices: serde_json::Value = serde_json::from_str(&roentgen(["devices", "--format", "json"]).ok()).unwrap();
    let found = !devices["cards"].as_array().unwrap().is_empty();
    if found {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "left out: tests of a machine without a card, as this one has one");
    }
    found
}

/// An evaluation of some phantoms with the library path `libraries`.
fn evaluate(out: &Path, device: &str, libraries: &Path) -> Ran {
    let mut command = command(["evaluate", "--headless", "--model", "phantom-densenet", "--data", "phantom"]);
    command.args(["--limit", "4", "--device", device, "--out"]).arg(out).env("LD_LIBRARY_PATH", libraries);
    finished(command.output().unwrap())
}

#[test]
fn without_a_driver_the_program_starts_and_auto_is_the_cpu() {
    if has_card() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("nothing");
    let [auto, cpu] = ["auto", "cpu"].map(|device| {
        let out = folder.path().join(device);
        let ran = evaluate(&out, device, &none);
        let said: Vec<_> = ran.stderr.lines().filter(|line| line.contains("computing on the CPU")).collect();
        if device == "auto" {
            let why = "there is no NVIDIA driver: libcuda.so.1 is not found; install the driver, or use --device cpu";
            assert_eq!(said, [format!("note: computing on the CPU: {why}")]);
        } else {
            assert_eq!(said, [""; 0]);
        }
        ran.ok();
        ["run.toml", "predictions.csv"].map(|file| std::fs::read_to_string(out.join(file)).unwrap())
    });
    assert_eq!(auto, cpu);
    let ran = evaluate(&folder.path().join("cuda"), "cuda", &none);
    assert_eq!(
        ran.error(3),
        "error: `--device cuda:0`: there is no NVIDIA driver: libcuda.so.1 is not found; \
         install the driver, or use --device cpu"
    );
    let devices = roentgen(["devices"]).ok();
    assert!(devices.starts_with("device") && devices.contains("\nno card: there is no NVIDIA driver"), "{devices}");
}

/// A driver of `version` that finds `count` cards; with these further lines of C.
fn driver(folder: &Path, version: u32, count: u32, more: &str) {
    let code = format!(
        "int cuInit(unsigned f) {{ return {}; }}\n\
         int cuDeviceGetCount(int *n) {{ *n = {count}; return 0; }}\n\
         int cuDriverGetVersion(int *v) {{ *v = {version}; return 0; }}\n{more}",
        if count == 0 { 100 } else { 0 }
    );
    library(folder, "libcuda.so.1", &code);
}

fn library(folder: &Path, file: &str, code: &str) {
    let source = folder.join("library.c");
    std::fs::write(&source, code).unwrap();
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(folder.join(file)).arg(&source).status().unwrap();
    assert!(built.success());
}

#[test]
fn drivers_of_no_use_are_told_apart() {
    if has_card() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let refused = |device: &str, status: i32| {
        let ran = evaluate(&folder.path().join("out"), device, folder.path());
        ran.error(status).to_owned()
    };
    driver(folder.path(), 99_000, 0, "");
    let says = refused("cuda", 3);
    assert!(says.contains("the NVIDIA driver finds no card; look at `nvidia-smi`"), "{says}");
    driver(folder.path(), 11_020, 1, "");
    let says = refused("cuda", 3);
    assert!(says.contains("the NVIDIA driver is for CUDA 11.2, this roentgen was built with CUDA "), "{says}");
    driver(folder.path(), 99_000, 2, "");
    let says = refused("cuda:2", 2);
    assert!(says.contains("`--device cuda:2`: there is no card 2; the last of 2 is cuda:1"), "{says}");
    let says = refused("cuda:1", 3);
    assert!(says.contains("cuBLAS is not found: no libcublas.so.") && says.contains("LD_LIBRARY_PATH"), "{says}");
    for file in ["libcublas.so.13", "libcublas.so.12", "libcublas.so.11"] {
        library(folder.path(), file, "int nothing(void) { return 0; }\n");
    }
    let says = refused("cuda:1", 3);
    assert!(says.contains("cuBLAS has no `cublasCreate_v2`: it is of another version of CUDA"), "{says}");
    // A driver without the functions that open a card.
    for file in ["libcublas.so.13", "libcublas.so.12", "libcublas.so.11"] {
        library(folder.path(), file, "int cublasCreate_v2(void **h) { return 1; }\n");
    }
    library(folder.path(), "libcurand.so.10", "int curandCreateGenerator(void **g, int k) { return 101; }\n");
    let says = refused("cuda:1", 3);
    assert!(says.contains("CUDA_ERROR_NOT_FOUND"), "{says}");
    // One whose memory others have taken.
    let full = "int cuDeviceGet(int *d, int n) { *d = n; return 0; }\n\
                int cuDevicePrimaryCtxRetain(void **c, int d) { return 2; }\n";
    driver(folder.path(), 99_000, 2, full);
    let says = refused("cuda:1", 3);
    assert!(says.contains("the memory of the card is full; `nvidia-smi` tells who uses it"), "{says}");
    // Where the choice is free, none of it is in the way.
    let ran = evaluate(&folder.path().join("out"), "auto", folder.path());
    assert!(ran.stderr.contains("note: computing on the CPU: "), "{}", ran.stderr);
    ran.ok();
}

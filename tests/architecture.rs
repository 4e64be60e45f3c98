//! The import rules of the crate: which module may use which, and where stdout and `unsafe` may stand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Modules that anyone above may use; among themselves only as written here.
const BASE: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("labels", &[]),
    ("rng", &[]),
    ("files", &["error"]),
    ("predictions", &["error", "labels"]),
    ("cards", &["error", "labels"]),
    ("dicom_elements", &["error"]),
    ("shard", &["files"]),
    ("run", &["error", "files", "cards", "predictions", "shard"]),
];

/// What else a module may use, besides itself and the base.
const ABOVE: &[(&str, &[&str])] = &[
    ("data", &[]),
    ("imaging", &[]),
    ("weights", &[]),
    ("hub", &[]),
    ("ops", &[]),
    ("device", &[]),
    ("models", &["ops", "weights", "hub", "device"]),
    ("train", &["data", "imaging", "models", "ops", "metrics", "inference", "weights", "device"]),
    ("inference", &["data", "imaging", "models", "device", "audit"]),
    ("cluster", &["inference"]),
    ("explain", &["models", "imaging", "data", "metrics"]),
    ("metrics", &[]),
    ("report", &["metrics", "audit", "explain"]),
    ("audit", &["metrics", "data", "imaging"]),
];

/// Crates that only these modules may use.
const CRATES: &[(&str, &[&str])] = &[
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("signal_hook", &["cli", "tui"]),
    ("ratatui", &["tui"]),
    ("viuer", &["tui"]),
    ("candle_core", &["ops", "device", "models", "train", "inference", "explain", "cli", "tui"]),
    ("candle_onnx", &["models"]),
    ("ureq", &["hub"]),
    ("hf_hub", &["hub"]),
    ("hdf5_pure", &["weights"]),
    ("memmap2", &["weights"]),
    ("image", &["imaging", "tui", "report"]),
    ("plotters", &["report"]),
    ("ssh_key", &["report"]),
    ("mozjpeg", &["imaging"]),
    ("noto_sans_mono_bitmap", &["explain"]),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}

/// The code of a file without its comments.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect()
}

/// Top-level module of a file below src, and the file's code.
fn modules() -> Vec<(String, PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    sources(&src)
        .into_iter()
        .map(|path| {
            let inside = path.strip_prefix(&src).unwrap().to_owned();
            let first = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
            (first.trim_end_matches(".rs").to_owned(), inside, code(&path))
        })
        .collect()
}

/// The names that follow `prefix` wherever it begins a path.
fn after<'a>(code: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    code.match_indices(prefix)
        .filter(|(i, _)| !code[..*i].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '$'))
        .map(move |(i, _)| {
            let rest = &code[i + prefix.len()..];
            rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default()
        })
}

#[test]
fn modules_import_only_what_they_may() {
    let base: BTreeMap<_, _> = BASE.iter().copied().collect();
    let above: BTreeMap<_, _> = ABOVE.iter().copied().collect();
    let mut faults = Vec::new();
    for (module, file, code) in modules() {
        if ["lib", "main", "cli", "tui"].contains(&module.as_str()) {
            continue;
        }
        assert!(!code.contains("use crate::{"), "{}: write `use crate::module::...`", file.display());
        for used in after(&code, "crate::") {
            let allowed = used == module
                || match (base.get(module.as_str()), above.get(module.as_str())) {
                    (Some(uses), _) => uses.contains(&used),
                    (None, Some(uses)) => base.contains_key(used) || uses.contains(&used),
                    (None, None) => panic!("src/{module} has no import rule: add it here and to docs"),
                };
            if !allowed {
                faults.push(format!("{}: {module} may not use {used}", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn crates_stay_in_their_modules() {
    let mut faults = Vec::new();
    for (module, file, code) in modules() {
        for (name, allowed) in CRATES {
            let path = format!("{name}::");
            if after(&code, &path).next().is_some() && !allowed.contains(&module.as_str()) {
                faults.push(format!("{}: {module} may not use {name}", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn only_the_user_interfaces_print_and_only_kernels_mapping_and_drivers_are_unsafe() {
    let mut faults = Vec::new();
    for (module, file, code) in modules() {
        for word in ["println!", "print!", "eprintln!", "eprint!", "dbg!", "stdout()", "stderr()"] {
            if after(&code, word).next().is_some() && module != "cli" && module != "tui" {
                faults.push(format!("{}: {word} outside cli and tui", file.display()));
            }
        }
        let mut parts = file.components().map(|c| c.as_os_str());
        let kernels = parts.next().is_some_and(|p| p == "ops") && parts.next().is_some_and(|p| p == "kernels");
        let mapping = file == Path::new("weights/mapped.rs");
        let drivers = file.starts_with("device/cuda");
        if after(&code, "unsafe ").next().is_some() && !kernels && !mapping && !drivers {
            faults.push(format!("{}: unsafe", file.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn numbers_of_a_report_are_the_same_on_every_machine() {
    // The standard library asks the machine's own mathematics library for these, whose last digits differ; `libm` is one
    // for all.
    const OF_THE_MACHINE: &[&str] = &[
        ".exp()",
        ".ln()",
        ".log2()",
        ".log10()",
        ".ln_1p()",
        ".exp_m1()",
        ".powf(",
        ".sin()",
        ".cos()",
        ".tan()",
        ".hypot(",
        ".tanh()",
        ".cbrt()",
        ".atan2(",
        "f64::ln(",
        "f64::exp(",
    ];
    let mut faults = Vec::new();
    for (module, file, code) in modules() {
        let own = code.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        for word in OF_THE_MACHINE {
            if ["metrics", "predictions", "audit", "report"].contains(&module.as_str()) && own.contains(word) {
                faults.push(format!("{}: {word}", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_rules_would_notice() {
    let used: Vec<_> = after("use crate::cli::args; let x = crate::error::Error; my_crate::no", "crate::").collect();
    assert_eq!(used, ["cli", "error"]);
}

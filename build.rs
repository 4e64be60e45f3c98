//! Embeds the bundled cards, weights, golden pictures, recipes and tables: every file directly in `datasets/`, `weights/`,
//! `weights/recipes/` and `reports/published/` becomes an entry of a table, so that adding a card needs no code.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

fn main() {
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let mut code = String::new();
    for (table, folder) in [
        ("DATASETS", "datasets"),
        ("MODELS", "weights"),
        ("PUBLISHED", "reports/published"),
        ("RECIPES", "weights/recipes"),
    ] {
        println!("cargo::rerun-if-changed={folder}");
        let mut files: Vec<_> = fs::read_dir(Path::new(&root).join(folder))
            .unwrap_or_else(|e| panic!("{folder}: {e}"))
            .map(|entry| entry.expect("a listed folder's entries can be read").path())
            .filter(|path| path.extension().is_some_and(|e| e == "toml" || e == "safetensors" || e == "png"))
            .collect();
        files.sort();
        writeln!(code, "const {table}: &[(&str, &[u8])] = &[").expect("writing to a String cannot fail");
        for path in files {
            let name = path.file_name().expect("a listed file has a name").to_string_lossy();
            writeln!(code, "    ({name:?}, include_bytes!({:?})),", path.display().to_string())
                .expect("writing to a String cannot fail");
        }
        code.push_str("];\n");
    }
    let out = Path::new(&env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("bundled.rs");
    fs::write(&out, code).unwrap_or_else(|e| panic!("{}: {e}", out.display()));
}

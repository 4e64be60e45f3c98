//! Writes a phantom cohort as PNG files: `phantoms OUT SEED PATIENTS SIZE` makes `OUT/NAME.png`, `OUT/labels.csv` (truths,
//! attributes) and, for every finding present, `OUT/masks/NAME-LABEL.png`.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use image::GrayImage;
use roentgen::data::phantom::{Cohort, LABELS, render};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [out, seed, patients, size] = arguments.as_slice() else {
        return Err("usage: phantoms OUT SEED PATIENTS SIZE".into());
    };
    let out = Path::new(out);
    let cohort = Cohort::new(seed.parse()?, patients.parse()?, size.parse()?)?;
    fs::create_dir_all(out.join("masks"))?;
    let mut table = String::from("image,patient,age,sex,view");
    for label in LABELS {
        write!(table, ",y_{label}")?;
    }
    table.push('\n');
    for id in cohort.images() {
        let (name, phantom) = (id.name(), render(&cohort, &id));
        let save = |path: &Path, pixels: Vec<u8>| {
            let picture = GrayImage::from_raw(phantom.size, phantom.size, pixels);
            picture.expect("a phantom has size * size pixels").save(path)
        };
        save(&out.join(format!("{name}.png")), phantom.pixels.clone())?;
        for (label, mask) in LABELS.iter().zip(&phantom.masks) {
            if let Some(mask) = mask {
                let pixels = mask.iter().map(|&inside| if inside { 255 } else { 0 }).collect();
                save(&out.join("masks").join(format!("{name}-{label}.png")), pixels)?;
            }
        }
        write!(table, "{name},{},{},{},{}", id.patient_name(), phantom.age, phantom.sex, phantom.view)?;
        for truth in phantom.truths {
            write!(table, ",{}", u8::from(truth))?;
        }
        table.push('\n');
    }
    fs::write(out.join("labels.csv"), table)?;
    Ok(())
}

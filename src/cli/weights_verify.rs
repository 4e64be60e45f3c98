//! `roentgen weights verify`: whether weights are what their card says.

use candle_core::{Device, Tensor};

use crate::cards::catalogue::{self, CardFile, Home};
use crate::cards::model::{Golden, ModelCard};
use crate::cli::table::{Side, Table};
use crate::cli::{answer_no, print};
use crate::error::{Error, Result};
use crate::imaging::picture::DEFAULT_MAX_PIXELS;
use crate::imaging::{decode, preprocess, windowing};
use crate::models::{self, Model};

/// Carries the verb out: exit status 1 if any check fails.
pub fn run(models: &[String]) -> Result<()> {
    let mut table = Table::new(&[("model", Side::Left), ("check", Side::Left), ("result", Side::Left)]);
    let mut good = true;
    for spec in models {
        let (card, home) = catalogue::model(spec)?;
        for (check, result) in checks(&card, &home)? {
            good &= result.is_ok();
            let result = result.unwrap_or_else(|e| format!("NO: {e}"));
            table.row([card.name.clone(), check, result]);
        }
    }
    print(&table.to_string())?;
    if good { Ok(()) } else { answer_no() }
}

/// A check and what it came to.
type Check = (String, std::result::Result<String, String>);

fn checks(card: &ModelCard, home: &Home) -> Result<Vec<Check>> {
    let (tensors, sha256) = match models::tensors(card, home) {
        Ok(found) => found,
        Err(e) => return Ok(vec![("file".into(), Err(e.to_string()))]),
    };
    let known = if card.weights.sha256.is_some() { "as the card says" } else { "the card has none to compare with" };
    let mut checks = vec![("sha256".to_owned(), Ok(format!("{sha256}, {known}")))];
    let count = tensors.shapes().len();
    let model = match models::build(card, tensors, &Device::Cpu) {
        Ok(model) => model,
        Err(e) => {
            checks.push(("tensors".into(), Err(e.to_string())));
            return Ok(checks);
        }
    };
    checks.push(("tensors".into(), Ok(format!("all {count} have their place in {}", card.architecture))));
    for golden in &card.golden {
        let gap = gap(card, home, &model, golden)?;
        let told = format!("logits differ by {gap:.1e}, {:.1e} is allowed", golden.tolerance);
        let check = format!("golden {}", golden.image.display());
        checks.push((check, if gap <= golden.tolerance { Ok(told) } else { Err(told) }));
    }
    if card.golden.is_empty() {
        checks.push(("golden".into(), Ok("the card has none".into())));
    }
    Ok(checks)
}

/// The largest difference of a logit from the golden one.
fn gap(card: &ModelCard, home: &Home, model: &Model, golden: &Golden) -> Result<f32> {
    let bytes = match catalogue::file_of(card, home, &golden.image)? {
        CardFile::Bundled(bytes) => bytes.to_vec(),
        CardFile::Path(path) => std::fs::read(&path).map_err(|e| Error::io(&path, e))?,
    };
    let name = golden.image.display().to_string();
    let picture = decode::decode(&bytes, &name, windowing::explicit(&card.input), DEFAULT_MAX_PIXELS)?;
    let (values, height, width) = preprocess::apply(&card.input, &picture)?;
    let shape = (1, card.input.channels, height, width);
    let fault = |e: candle_core::Error| Error::new(e.to_string());
    let x = Tensor::from_vec(values, shape, &Device::Cpu).map_err(fault)?;
    let logits: Vec<f32> = model.forward(&x)?.flatten_all().and_then(|l| l.to_vec1()).map_err(fault)?;
    let gaps = logits.iter().zip(&golden.logits).map(|(ours, golden)| (ours - golden).abs());
    // NaN must not pass for agreement.
    Ok(gaps.fold(0.0, |most: f32, gap| if gap.is_nan() { f32::INFINITY } else { most.max(gap) }))
}

//! Grad-CAM (Selvaraju et al. 2017) at the last feature maps.

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::models::Model;

/// A map of how much each place speaks for a label.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Row by row, not negative, in units of the logit; what is on all places together is at most the logit's part that
    /// speaks for the label.
    pub values: Vec<f32>,
}

/// Grad-CAM of label number `label` for one image `[1, channels, h, w]`, and the image's logits.
///
/// The networks pool their last maps globally, so the gradient of the logit is the same at every place of a map: the
/// map is the maps' sum weighted by it, without what is negative. With one linear layer as head this is Zhou's CAM (2016).
pub fn gradcam(model: &Model, image: &Tensor, label: usize) -> Result<(Map, Vec<f32>)> {
    let fault = |e: candle_core::Error| Error::new(e.to_string()).at("Grad-CAM");
    let (maps, gradient, logits) = model.last_maps(image, label)?;
    let (features, height, width) = maps.dims3().map_err(fault)?;
    let places = height * width;
    let maps = maps.flatten_all().and_then(|m| m.to_vec1::<f32>()).map_err(fault)?;
    let mut values = vec![0.0f32; places];
    for (map, weight) in maps.chunks(places).zip(gradient.iter().take(features)) {
        values.iter_mut().zip(map).for_each(|(sum, v)| *sum += weight / places as f32 * v);
    }
    values.iter_mut().for_each(|v| *v = v.max(0.0));
    Ok((Map { width, height, values }, logits))
}

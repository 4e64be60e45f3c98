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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::catalogue;
    use crate::models;
    use candle_core::Device;

    #[test]
    fn the_gradient_of_a_linear_head_tells_logits_apart() {
        let (card, home) = catalogue::model("phantom-densenet").unwrap();
        let (model, _) = models::load(&card, &home, &Device::Cpu).unwrap();
        let (channels, side) = (card.input.channels, 64);
        let image = |step: usize| {
            let values: Vec<f32> = (0..channels * side * side).map(|i| (i * step % 251) as f32 / 251.0).collect();
            Tensor::from_vec(values, (1, channels, side, side), &Device::Cpu).unwrap()
        };
        for label in 0..card.labels.len() {
            let of = |step| {
                let (maps, gradient, logits) = model.last_maps(&image(step), label).unwrap();
                let pooled = maps.mean((1, 2)).unwrap().to_vec1::<f32>().unwrap();
                let product: f32 = pooled.iter().zip(&gradient).map(|(p, g)| p * g).sum();
                (product, logits[label])
            };
            let ((p1, l1), (p2, l2)) = (of(7), of(31));
            assert!((p1 - p2 - (l1 - l2)).abs() < 1e-3 * (1.0 + (l1 - l2).abs()), "{p1} {p2} {l1} {l2}");
        }
        let (map, logits) = gradcam(&model, &image(7), 0).unwrap();
        assert!(map.values.len() == map.width * map.height && map.values.iter().all(|v| *v >= 0.0));
        assert_eq!(logits, model.forward(&image(7)).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap());
        assert!(gradcam(&model, &image(7), card.labels.len()).is_err());
    }
}

//! Class activation maps from a layer's maps and a logit's gradient: Grad-CAM (Selvaraju et al. 2017), Grad-CAM++
//! (Chattopadhay et al. 2018) and HiResCAM (Draelos and Carin 2020).

use candle_core::Tensor;
use rayon::prelude::*;

use super::map::Map;
use crate::error::Result;
use crate::models::{Layer, Model};

/// How maps and gradients become one map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cam {
    /// Each map weighs its gradient's mean. At the maps that are pooled, with one linear layer behind them, this is
    /// Zhou's CAM (2016): the parts that the places have in the logit.
    GradCam,
    /// Each map weighs a weighted sum of its positive gradients, as pytorch-grad-cam computes it.
    GradCamPlusPlus,
    /// Every value weighs its own gradient.
    HiResCam,
}

/// The maps of the logits number `labels` for one image `[1, channels, h, w]` at `layer`, in that order, without what is
/// negative, and the image's logits.
pub fn maps(model: &Model, image: &Tensor, layer: &Layer, labels: &[usize], cam: Cam) -> Result<(Vec<Map>, Vec<f32>)> {
    let found = model.layer_gradients(image, layer, labels)?;
    let (_, height, width) = found.shape;
    let map = |gradient: &Vec<f32>| {
        let values = cam.of(&found.maps, gradient, height * width);
        Map { width, height, values }
    };
    Ok((found.gradients.par_iter().map(map).collect(), found.logits))
}

/// Grad-CAM of label number `label` at the maps that are pooled, and the image's logits.
pub fn gradcam(model: &Model, image: &Tensor, label: usize) -> Result<(Map, Vec<f32>)> {
    let (mut maps, logits) = maps(model, image, &model.layer(None)?, &[label], Cam::GradCam)?;
    Ok((maps.swap_remove(0), logits))
}

impl Cam {
    /// The map over `places` places, from maps of some channels and their gradients, of every place or one for all.
    fn of(self, maps: &[f32], gradients: &[f32], places: usize) -> Vec<f32> {
        let mut sum = vec![0f64; places];
        let each = (gradients.len() * places / maps.len().max(1)).max(1);
        for (map, gradient) in maps.chunks_exact(places).zip(gradients.chunks_exact(each)) {
            let weight = match self {
                Self::GradCam => mean(gradient),
                Self::GradCamPlusPlus => positive(map, gradient),
                // One gradient for all places is a weight.
                Self::HiResCam if each == 1 => f64::from(gradient[0]),
                Self::HiResCam => {
                    let products = map.iter().zip(gradient).map(|(v, g)| f64::from(*v) * f64::from(*g));
                    sum.iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
                    continue;
                }
            };
            sum.iter_mut().zip(map).for_each(|(sum, v)| *sum += weight * f64::from(*v));
        }
        sum.into_iter().map(|v| v.max(0.0) as f32).collect()
    }
}

fn mean(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64
}

/// Grad-CAM++'s weight of a map; a small number keeps the shares finite, as in pytorch-grad-cam.
fn positive(map: &[f32], gradient: &[f32]) -> f64 {
    let total: f64 = map.iter().map(|v| f64::from(*v)).sum();
    let part = |g: f64| g * g / (2.0 * g * g + total * g * g * g + 1e-6) * g;
    let sum: f64 = gradient.iter().map(|g| f64::from(*g)).filter(|g| *g > 0.0).map(part).sum();
    sum * (map.len() / gradient.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::catalogue;
    use crate::models;
    use candle_core::Device;

    #[test]
    fn by_hand() {
        let (maps, gradients) = ([1.0, 2.0, 0.0, -1.0], [0.5, 1.5, -1.0, -3.0]);
        // Weights 1 and -2.
        assert_eq!(Cam::GradCam.of(&maps, &gradients, 2), [1.0, 4.0]);
        assert_eq!(Cam::HiResCam.of(&maps, &gradients, 2), [0.5, 6.0]);
        let weight = 0.25 / (0.5 + 3.0 * 0.125) * 0.5 + 2.25 / (4.5 + 3.0 * 3.375) * 1.5;
        let plus = Cam::GradCamPlusPlus.of(&maps, &gradients, 2);
        assert!((f64::from(plus[0]) - weight).abs() < 1e-5 && (f64::from(plus[1]) - 2.0 * weight).abs() < 1e-5);
        assert_eq!(Cam::GradCam.of(&maps, &[-1.0, -1.0, 0.0, 0.0], 2), [0.0, 0.0]);
        // One gradient for all places of a channel is that of each.
        for cam in [Cam::GradCam, Cam::GradCamPlusPlus, Cam::HiResCam] {
            let (each, one) = (cam.of(&maps, &[0.5, 0.5, -3.0, -3.0], 2), cam.of(&maps, &[0.5, -3.0], 2));
            assert!(one.iter().all(|v| *v > 0.0), "{one:?}");
            assert_eq!(each, one);
        }
    }

    #[test]
    fn at_the_pooled_maps_the_places_add_up_to_the_logit() {
        let (card, home) = catalogue::model("phantom-densenet").unwrap();
        let (model, _) = models::load(&card, &home, &Device::Cpu).unwrap();
        let (channels, side) = (card.input.channels, 64);
        let image = |step: usize| {
            let values: Vec<f32> = (0..channels * side * side).map(|i| (i * step % 251) as f32 / 251.0).collect();
            Tensor::from_vec(values, (1, channels, side, side), &Device::Cpu).unwrap()
        };
        let all: Vec<usize> = (0..card.labels.len()).collect();
        let of = |step| model.layer_gradients(&image(step), &model.layer(None).unwrap(), &all).unwrap();
        let (a, b) = (of(7), of(31));
        for label in all {
            let total = |g: &models::LayerGradients| -> f32 {
                let places = g.maps.chunks_exact(g.shape.1 * g.shape.2).zip(&g.gradients[label]);
                places.map(|(map, gradient)| map.iter().map(|v| v * gradient).sum::<f32>()).sum()
            };
            let (parts, logits) = (total(&a) - total(&b), a.logits[label] - b.logits[label]);
            assert!((parts - logits).abs() < 1e-3 * (1.0 + logits.abs()), "{parts} {logits}");
        }
        let (map, logits) = gradcam(&model, &image(7), 0).unwrap();
        assert!(map.values.len() == map.width * map.height && map.values.iter().all(|v| *v >= 0.0));
        assert_eq!(logits, model.forward(&image(7)).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap());
        assert!(gradcam(&model, &image(7), card.labels.len()).is_err());
    }
}

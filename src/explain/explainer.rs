//! A model that explains itself by one of the methods.

use std::fmt;

use candle_core::{Device, Tensor};

use super::gradcam::{self, Cam};
use super::integrated_gradients::{self as ig, Settings};
use super::map::{Map, Placed};
use super::region;
use crate::cards::model::ModelCard;
use crate::error::{Error, Result};
use crate::imaging::picture::Picture;
use crate::imaging::preprocess;
use crate::models::{Layer, Model};

/// How maps are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// At a layer.
    Cam(Cam),
    /// At the pixels.
    IntegratedGradients(Settings),
    /// The gradient at the pixels.
    InputGradient,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Cam(Cam::GradCam) => "gradcam",
            Self::Cam(Cam::GradCamPlusPlus) => "gradcam++",
            Self::Cam(Cam::HiResCam) => "hirescam",
            Self::IntegratedGradients(_) => "integrated-gradients",
            Self::InputGradient => "input-gradient",
        })
    }
}

/// A model, its card and a method.
pub struct Explainer<'a> {
    /// The network.
    pub model: &'a Model,
    /// Its card.
    pub card: &'a ModelCard,
    /// How maps are made.
    pub method: Method,
    /// The layer that they are of; none where they are of the pixels.
    pub layer: Option<Layer>,
}

/// Maps of one image.
pub struct Explanation {
    /// One a label that was asked for, in that order.
    pub maps: Vec<Map>,
    /// All logits.
    pub logits: Vec<f32>,
    /// Of Integrated Gradients, how far each map's sum is from what it should be.
    pub completeness_errors: Option<Vec<f64>>,
}

impl<'a> Explainer<'a> {
    /// With the layer of this name; the one that is pooled when there is none. A layer for a method that needs none is an
    /// error, and so is one that is not there.
    pub fn new(model: &'a Model, card: &'a ModelCard, method: Method, layer: Option<&str>) -> Result<Self> {
        let layer = match (method, layer) {
            (Method::Cam(_), name) => Some(model.layer(name).map_err(|e| e.at(format_args!("model `{}`", card.name)))?),
            (_, None) => None,
            (_, Some(name)) => {
                return Err(Error::usage(format!("{method} is of the pixels, not of a layer"))
                    .at(format_args!("layer `{name}`"))
                    .mend("leave the layer out, or take gradcam"));
            }
        };
        Ok(Self { model, card, method, layer })
    }

    /// The method and its layer, for people.
    pub fn name(&self) -> String {
        match &self.layer {
            Some(layer) => format!("{} {}", self.method, layer.name),
            None => self.method.to_string(),
        }
    }

    /// What the network sees of a picture: `[1, channels, h, w]`.
    pub fn input(&self, picture: &Picture) -> Result<Tensor> {
        let (values, height, width) = preprocess::apply(&self.card.input, picture)?;
        Tensor::from_vec(values, (1, self.card.input.channels, height, width), &Device::Cpu)
            .map_err(|e| Error::new(e.to_string()).at("the network's input"))
    }

    /// Explains the labels of these numbers for one `image` that was made from a picture of `size` (width, height).
    pub fn explain(&self, image: &Tensor, size: (usize, usize), labels: &[usize]) -> Result<Explanation> {
        match (self.method, &self.layer) {
            (Method::Cam(cam), Some(layer)) => {
                let (maps, logits) = gradcam::maps(self.model, image, layer, labels, cam)?;
                Ok(Explanation { maps, logits, completeness_errors: None })
            }
            (Method::IntegratedGradients(settings), _) => {
                let baseline = settings.baseline.of(image, &self.card.input, size)?;
                let of =
                    |label: &usize| ig::integrate(self.model, image, &baseline, *label, settings.steps, settings.rule);
                let found = labels.iter().map(of).collect::<Result<Vec<_>>>()?;
                let errors = found.iter().map(|i| i.completeness_error).collect();
                let logits = match found.first() {
                    Some(first) => first.logits.clone(),
                    None => self.logits(image)?,
                };
                let maps = found.into_iter().map(|i| i.map).collect();
                Ok(Explanation { maps, logits, completeness_errors: Some(errors) })
            }
            _ => {
                let of = |label: &usize| ig::gradient(self.model, image, *label).map(|(map, _)| map);
                let maps = labels.iter().map(of).collect::<Result<_>>()?;
                Ok(Explanation { maps, logits: self.logits(image)?, completeness_errors: None })
            }
        }
    }

    /// The logits of one image.
    pub fn logits(&self, image: &Tensor) -> Result<Vec<f32>> {
        let logits = self.model.forward(image)?;
        logits.flatten_all().and_then(|l| l.to_vec1()).map_err(|e| Error::new(e.to_string()).at("reading logits"))
    }

    /// A map over a picture of `width` x `height` pixels.
    pub fn placed<'m>(&self, map: &'m Map, width: usize, height: usize) -> Placed<'m> {
        Placed { map, region: region::seen(&self.card.input, width, height) }
    }
}

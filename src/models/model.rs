//! A network that is ready to run.

use candle_core::{DType, Device, Module, Tensor};
use rayon::prelude::*;

use super::build::{Stage, fault};
use super::head::Head;
use crate::error::{Error, Result};
use crate::ops::{self, Maps, awake};

/// A network with its weights on a device.
pub struct Model {
    pub(super) stages: Vec<Stage>,
    pub(super) head: Head,
    pub(super) channels: usize,
    pub(super) smallest: usize,
    pub(super) device: Device,
    /// Numbers in which the network computes; what goes in and comes out is f32.
    pub(super) dtype: DType,
}

impl Model {
    /// Logits `[n, labels]` of the images `[n, channels, h, w]`, both f32 and on the model's device.
    ///
    /// On the CPU each image goes through on its own, the images are spread over rayon's threads, and threads without
    /// an image help with another's: an image's logits have the same bits in any batch and on any number of threads. Other devices take the batch as one.
    /// An empty batch, another number of channels and images too small for the network are errors.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.run(x, |x| self.head.forward(&self.features_of(x)?).map_err(fault))
    }

    /// The last feature maps `[n, features, h', w']` of the same images, as torchvision's `features` gives them: DenseNet's
    /// are those before its last ReLU.
    pub fn features(&self, x: &Tensor) -> Result<Tensor> {
        self.run(x, |x| self.features_of(x))
    }

    /// Whether the head drops units while training.
    pub fn has_dropout(&self) -> bool {
        self.head.has_dropout()
    }

    /// `samples` lists of the logits of one image `[1, channels, h, w]`, each with other units of the head dropped, as
    /// `uniform` (numbers in (0, 1)) decides. The backbone runs once.
    pub fn dropped(&self, x: &Tensor, samples: usize, uniform: &mut dyn FnMut() -> f64) -> Result<Vec<Vec<f32>>> {
        if self.check(x)? != 1 {
            return Err(Error::new("units are dropped for one image at a time"));
        }
        let features = self.features(x)?.to_dtype(self.dtype).map_err(fault)?;
        let maps = self.head.maps(&features).map_err(fault)?;
        let mut one = || self.head.dropped(&maps, uniform)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>();
        (0..samples).map(|_| one().map_err(fault)).collect()
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    fn features_of(&self, x: &Tensor) -> Result<Tensor> {
        through(&self.stages, x)
    }

    /// The images on the model's device, in the numbers in which it computes.
    pub(super) fn taken(&self, x: &Tensor) -> Result<Tensor> {
        x.to_device(&self.device).and_then(|x| x.to_dtype(self.dtype)?.contiguous()).map_err(fault)
    }

    fn run(&self, x: &Tensor, forward: impl Fn(&Tensor) -> Result<Tensor> + Sync) -> Result<Tensor> {
        let n = self.check(x)?;
        let x = self.taken(x)?;
        let forward = |x: &Tensor| forward(x)?.to_dtype(DType::F32).map_err(fault);
        if !self.device.is_cpu() {
            return forward(&x);
        }
        let one = |i| forward(&x.narrow(0, i, 1).map_err(fault)?);
        let parts = awake(|| (0..n).into_par_iter().map(one).collect::<Result<Vec<_>>>())?;
        Tensor::cat(&parts, 0).map_err(fault)
    }

    pub(super) fn check(&self, x: &Tensor) -> Result<usize> {
        let (n, channels, h, w) = x.dims4().map_err(fault)?;
        if n == 0 {
            return Err(Error::new("a batch without images"));
        }
        if x.dtype() != DType::F32 {
            return Err(Error::new(format!("images of {:?} values; the model takes f32", x.dtype())));
        }
        if channels != self.channels {
            return Err(Error::new(format!("images of {channels} channels for a model of {}", self.channels))
                .mend("set `input.channels` in the card"));
        }
        if h.min(w) < self.smallest {
            let smallest = self.smallest;
            return Err(Error::new(format!("images of {w}x{h} pixels are too small for this network"))
                .mend(format!("resize them to {smallest}x{smallest} or more in `input.steps`")));
        }
        Ok(n)
    }
}

/// What the stages make of `x`, one after the other; of one image in f32 on the CPU without gradients by the way of maps.
pub(super) fn through(stages: &[Stage], x: &Tensor) -> Result<Tensor> {
    let at = |stage: &Stage, e| fault(e).at(format_args!("`{}` of the network", stage.name));
    if !ops::fused(x) || x.track_op() || x.dims().first() != Some(&1) {
        return stages.iter().try_fold(x.clone(), |x, stage| stage.layer.forward(&x).map_err(|e| at(stage, e)));
    }
    let maps = Maps::of(x).map_err(fault)?;
    let maps = stages.iter().try_fold(maps, |x, stage| stage.layer.infer(&x).map_err(|e| at(stage, e)))?;
    maps.tensor().map_err(fault)
}

//! Weights to start training from, drawn as torchvision draws them.

use super::head;
use super::part::Holder;
use super::registry;
use crate::cards::model::{Architecture, ModelCard};
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::weights::Tensors;

/// Values of the largest network that is made (256 MiB): more than any here has.
const LARGEST: usize = 64 << 20;

/// Weights for the card's network from `seed`, each tensor from a stream of its own:
/// convolutions from the normal distribution of He et al. (2015), by their outputs (DenseNet: by their inputs); norms as
/// the identity; dense layers uniform within 1 / sqrt(inputs). The single linear layer of torchvision's own DenseNet has
/// biases of 0, that of its MobileNetV2 also normal weights of deviation 0.01. A card that leaves its network to an ONNX
/// file has none to start from.
pub fn initial(card: &ModelCard, seed: u64) -> Result<Tensors> {
    let mut draw = Draw { tensors: Tensors::new(), seed, count: 0, values: 0 };
    let dense = matches!(
        card.architecture,
        Architecture::Densenet121 | Architecture::Densenet161 | Architecture::Densenet169 | Architecture::Densenet201
    );
    let backbone = registry::describe(card, &mut |name, part| {
        part.holders(&name, &mut |holder| match holder {
            Holder::Conv(name, form) => {
                let channels = if dense { form.inputs / form.groups } else { form.outputs };
                let fan = (channels * form.kernel * form.kernel) as f64;
                draw.add(format!("{name}.weight"), &form.shape(), |rng| (2.0 / fan).sqrt() * rng.normal())
            }
            Holder::Norm(name, channels) => {
                [("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)]
                    .into_iter()
                    .try_for_each(|(part, value)| draw.add(format!("{name}.{part}"), &[channels], |_| value))
            }
        })
    })?;
    let own = card.head.is_empty();
    let layers = head::describe(&card.head, card.labels.len(), backbone.features, backbone.classifier, false);
    for layer in layers {
        let reach = 1.0 / (layer.inputs as f64).sqrt();
        let mobile = own && card.architecture == Architecture::MobilenetV2;
        draw.add(format!("{}.weight", layer.name), &[layer.outputs, layer.inputs], |rng| match mobile {
            true => 0.01 * rng.normal(),
            false => reach * (2.0 * rng.uniform() - 1.0),
        })?;
        if layer.bias {
            draw.add(format!("{}.bias", layer.name), &[layer.outputs], |rng| match mobile || (own && dense) {
                true => 0.0,
                false => reach * (2.0 * rng.uniform() - 1.0),
            })?;
        }
    }
    Ok(draw.tensors)
}

/// Puts the weights of `file` into the place of those in `weights`, but for the head's where `backbone_only`. Weights
/// that the file lacks, and others that it has, are one error that lists them; its head is not looked at if not wanted.
pub fn put(card: &ModelCard, weights: &mut Tensors, mut file: Tensors, backbone_only: bool) -> Result<()> {
    let own = registry::describe(card, &mut |_, _| Ok(()))?.classifier;
    let of_head = |name: &str| {
        let within = |layer: &str| name.strip_prefix(layer).is_some_and(|rest| rest.starts_with('.'));
        within(own) || within("classifier") || within("fc")
    };
    let mut fault = None;
    weights.change(|name, shape, values| {
        if backbone_only && of_head(name) {
            return;
        }
        match file.take(name, shape) {
            Ok(found) => values.copy_from_slice(&found),
            Err(e) => drop(fault.get_or_insert(e)),
        }
    });
    if backbone_only {
        file.drop_named(of_head);
    }
    match fault {
        Some(e) => Err(e),
        None => file.finish(),
    }
}

struct Draw {
    tensors: Tensors,
    seed: u64,
    count: u64,
    values: usize,
}

impl Draw {
    fn add(&mut self, name: String, shape: &[usize], of: impl Fn(&mut Rng) -> f64) -> Result<()> {
        let len = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
        let total = len.and_then(|len| self.values.checked_add(len)).filter(|total| *total <= LARGEST);
        let (Some(len), Some(total)) = (len, total) else {
            return Err(Error::new("the network is too large").mend("check `options` and `head` in the card"));
        };
        let mut rng = Rng::new(self.seed, self.count);
        (self.count, self.values) = (self.count + 1, total);
        self.tensors.insert(name, shape, (0..len).map(|_| of(&mut rng) as f32).collect())
    }
}

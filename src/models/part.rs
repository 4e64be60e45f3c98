//! What networks are made of: descriptions that inference, training and initialisation turn into what each needs.

use crate::error::Result;
use crate::ops::{Activation, Padding};

/// The form of a convolution with a square kernel.
#[derive(Clone, Copy)]
pub(super) struct Form {
    pub inputs: usize,
    pub outputs: usize,
    pub kernel: usize,
    pub stride: usize,
    pub padding: Padding,
    pub groups: usize,
}

impl Form {
    /// Stride 1, one group, padding that keeps the size.
    pub fn new(inputs: usize, outputs: usize, kernel: usize) -> Self {
        Self { inputs, outputs, kernel, stride: 1, padding: Padding::Sides(kernel / 2), groups: 1 }
    }

    pub fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// Of the weights.
    pub fn shape(self) -> [usize; 4] {
        [self.outputs, self.inputs / self.groups, self.kernel, self.kernel]
    }
}

/// A convolution without bias, the norm behind it, and an activation.
pub(super) struct ConvNorm {
    /// Name of the convolution.
    pub conv: String,
    /// Name of the norm.
    pub norm: String,
    pub form: Form,
    pub activation: Activation,
}

/// A named part of a network that runs on its own.
pub(super) enum Part {
    ConvNorm(ConvNorm),
    MaxPool,
    /// A path beside a shortcut, which is convolved where the shapes differ, and a ReLU behind their sum.
    Residual {
        path: Vec<ConvNorm>,
        shortcut: Option<ConvNorm>,
    },
    /// A path, and with `residual` its input added.
    InvertedResidual {
        path: Vec<ConvNorm>,
        residual: bool,
    },
    /// The layers of `densenet::layer`.
    DenseBlock {
        layers: usize,
        inputs: usize,
        growth: usize,
    },
    /// Norm with ReLU, `{name}.norm`; a 1x1 convolution to half the channels, `{name}.conv`; half the resolution.
    Transition {
        channels: usize,
    },
    /// A norm of the part's own name.
    Norm {
        channels: usize,
    },
}

/// Takes the parts of a network in their order, each with torchvision's name of the module whose output it is. One after
/// the other, so that a card of absurd size ends where its weights end.
pub(super) type Emit<'a> = &'a mut dyn FnMut(String, Part) -> Result<()>;

/// What an architecture's parts do not tell.
pub(super) struct Backbone {
    /// What the architecture does to the features before it pools them.
    pub before_pooling: Activation,
    /// Channels of the features.
    pub features: usize,
    /// Side of the smallest image that it can halve as often as it must, pixels.
    pub smallest: usize,
    /// Name of its linear layer.
    pub classifier: &'static str,
}

/// A tensor holder of a network.
pub(super) enum Holder<'a> {
    Conv(&'a str, Form),
    Norm(&'a str, usize),
}

impl Part {
    /// Calls `each` with every convolution and norm of the part `name`.
    pub fn holders(&self, name: &str, each: &mut dyn FnMut(Holder) -> Result<()>) -> Result<()> {
        let both = |conv: &ConvNorm, each: &mut dyn FnMut(Holder) -> Result<()>| {
            each(Holder::Conv(&conv.conv, conv.form))?;
            each(Holder::Norm(&conv.norm, conv.form.outputs))
        };
        match self {
            Self::ConvNorm(conv) => both(conv, each),
            Self::MaxPool => Ok(()),
            Self::Residual { path, shortcut } => path.iter().chain(shortcut).try_for_each(|conv| both(conv, each)),
            Self::InvertedResidual { path, .. } => path.iter().try_for_each(|conv| both(conv, each)),
            Self::DenseBlock { layers, inputs, growth } => super::densenet::layers(name, *layers, *inputs, *growth)
                .try_for_each(|layer| {
                    each(Holder::Norm(&layer.norm, layer.squeeze.form.inputs))?;
                    both(&layer.squeeze, each)?;
                    each(Holder::Conv(&layer.grow, layer.grow_form))
                }),
            Self::Transition { channels } => {
                each(Holder::Norm(&format!("{name}.norm"), *channels))?;
                each(Holder::Conv(&format!("{name}.conv"), Form::new(*channels, channels / 2, 1)))
            }
            Self::Norm { channels } => each(Holder::Norm(name, *channels)),
        }
    }
}

//! What a weight file was found to be.

use std::fmt::{self, Display};
use std::sync::Arc;

use super::program::Program;
use crate::cards::model::{Architecture, HeadLayer, Naming, Options, Output};

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// safetensors.
    Safetensors,
    /// A PyTorch checkpoint since 1.6.
    Torch,
    /// A PyTorch checkpoint before 1.6.
    TorchLegacy,
    /// A Keras model or its weights in HDF5.
    Keras,
    /// An ONNX graph.
    Onnx,
}

impl Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safetensors => "safetensors",
            Self::Torch => "PyTorch checkpoint",
            Self::TorchLegacy => "PyTorch checkpoint of before 1.6",
            Self::Keras => "Keras HDF5",
            Self::Onnx => "ONNX",
        })
    }
}

/// What a file was found to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    /// Told by the content, never by the file's name.
    pub format: Format,
    /// Whose names the file uses.
    pub naming: Naming,
    /// What wrappers have put before every name.
    pub prefix: String,
    /// The network that an ONNX graph is.
    pub network: Option<Network>,
    /// An ONNX graph that is none of the known networks; the tensors have its names.
    pub program: Option<Arc<Program>>,
}

/// A network that was recognised in a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Which it is.
    pub architecture: Architecture,
    /// What it has of its own, but for MobileNetV2's width, which its tensors tell.
    pub options: Options,
    /// Its dense layers; empty for a single one with a bias.
    pub head: Vec<HeadLayer>,
    /// What the graph makes of the logits at its end.
    pub output: Option<Output>,
}

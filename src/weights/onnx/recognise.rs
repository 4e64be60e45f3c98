//! The parts that all networks are made of, matched from a value backwards.

use super::super::values::Named;
use super::super::values::Values;
use super::graph::Graph;
use super::node::{Constant, Node};
use crate::cards::model::{Activation, HeadLayer, Output};
use crate::error::{Error, Result};

/// Added to the variance by the networks that are built when a card does not say otherwise.
const EPS: f64 = 1e-5;

/// A graph that is being matched, and the tensors found so far under torchvision's names.
pub(super) struct Matcher<'g, 'a> {
    pub graph: &'g Graph<'a>,
    pub found: Vec<Named>,
    /// The dense layers, where they are not a single one with a bias.
    pub head: Vec<HeadLayer>,
    /// What is made of the logits at the end.
    pub output: Option<Output>,
}

/// A convolution, and the norm behind it if the exporter has left it.
pub(super) struct Conv<'g, 'a> {
    node: &'g Node<'a>,
    weight: &'g Constant,
    norm: Option<&'g Node<'a>>,
    pub stride: i64,
    /// The value that it convolves.
    pub input: &'a str,
}

impl Conv<'_, '_> {
    /// Channels that it makes.
    pub fn outputs(&self) -> usize {
        self.weight.shape[0]
    }

    /// Channels that it takes.
    pub fn inputs(&self) -> usize {
        self.weight.shape[1] * self.node.ints("group", &[1]).first().map_or(1, |g| (*g).max(1) as usize)
    }
}

impl<'g, 'a> Matcher<'g, 'a> {
    /// The node that makes a value, if it is a `op`.
    pub fn expect(&self, value: &str, op: &str) -> Result<&'g Node<'a>> {
        let node = self.graph.maker(value)?;
        match node.op == op {
            true => Ok(node),
            false => Err(node.fault(format_args!("stands where a {op} should be"))),
        }
    }

    /// The input of a node of one input.
    pub fn through(&self, value: &str, op: &str) -> Result<&'a str> {
        let node = self.expect(value, op)?;
        node.inputs.first().copied().ok_or_else(|| node.fault("has no input"))
    }

    /// The input of ReLU6: a clip from 0 to 6.
    pub fn relu6(&self, value: &str) -> Result<&'a str> {
        let node = self.expect(value, "Clip")?;
        let bound = |i: usize, name: &str| {
            let constant = node.inputs.get(i).and_then(|name| self.graph.constant(name));
            constant.and_then(|c| c.floats()?.as_f32().first().copied()).unwrap_or_else(|| node.float(name, f32::NAN))
        };
        match (bound(1, "min"), bound(2, "max")) {
            (0.0, 6.0) => self.through(value, "Clip"),
            (low, high) => Err(node.fault(format_args!("clips to {low} and {high}, not to 0 and 6"))),
        }
    }

    /// A square convolution of this kernel whose padding keeps the size, with or without a norm behind it. `depthwise`:
    /// a group a channel; else one group.
    pub fn conv(&self, value: &str, kernel: usize, depthwise: bool) -> Result<Conv<'g, 'a>> {
        let last = self.graph.maker(value)?;
        let (norm, node) = match last.op {
            "BatchNormalization" => (Some(last), self.expect(self.through(value, "BatchNormalization")?, "Conv")?),
            _ => (None, self.expect(value, "Conv")?),
        };
        let weight = node.inputs.get(1).and_then(|name| self.graph.constant(name));
        let weight = weight.filter(|w| w.shape.len() == 4 && w.floats().is_some());
        let weight = weight.ok_or_else(|| node.fault("has no constant weights of four axes"))?;
        let strides = node.ints("strides", &[1, 1]);
        let group = node.ints("group", &[1]).first().copied().unwrap_or(1);
        let pad = (kernel / 2) as i64;
        let fits = weight.shape[2..] == [kernel, kernel]
            && matches!(strides[..], [a, b] if a == b && (a == 1 || a == 2))
            && node.ints("pads", &[0; 4]) == [pad; 4]
            && node.ints("dilations", &[1, 1]) == [1, 1]
            && matches!(node.text("auto_pad"), "" | "NOTSET")
            && group == if depthwise { weight.shape[0] as i64 } else { 1 };
        if !fits {
            let (what, shape) = (if depthwise { "depthwise " } else { "" }, &weight.shape);
            return Err(node.fault(format_args!(
                "of weights {shape:?}, group {group}, stride {strides:?} stands where a {what}{kernel}x{kernel} one padded by {pad} should be"
            )));
        }
        let input = node.inputs.first().copied().ok_or_else(|| node.fault("has no input"))?;
        Ok(Conv { node, weight, norm, stride: strides[0], input })
    }

    /// The input of a norm of its own, whose tensors are kept under `name`.
    pub fn norm(&mut self, value: &str, name: &str) -> Result<&'a str> {
        let node = self.expect(value, "BatchNormalization")?;
        self.keep_norm(node, name, None)?;
        self.through(value, "BatchNormalization")
    }

    /// Keeps a convolution that has no norm.
    pub fn keep_plain(&mut self, conv: &Conv, name: &str) -> Result<()> {
        if conv.norm.is_some() || conv.node.inputs.len() > 2 {
            return Err(conv.node.fault("has a bias or a norm where the network has none"));
        }
        self.keep(format!("{name}.weight"), conv.weight)
    }

    /// Keeps a convolution and the norm behind it; one that the exporter has folded into the convolution becomes the
    /// norm that changes nothing but adds the bias.
    pub fn keep_conv(&mut self, conv: &Conv, name: &str, norm: &str) -> Result<()> {
        self.keep(format!("{name}.weight"), conv.weight)?;
        let bias = conv.node.inputs.get(2).filter(|name| !name.is_empty());
        let bias = bias.map(|name| {
            let bias = self.graph.constant(name).and_then(|c| c.floats());
            bias.map(|b| b.as_f32().into_owned()).ok_or_else(|| conv.node.fault("has a bias that is no constant"))
        });
        let bias = bias.transpose()?;
        if let Some(node) = conv.norm {
            return self.keep_norm(node, norm, bias.as_deref());
        }
        let channels = conv.outputs();
        let bias = bias.unwrap_or_else(|| vec![0.0; channels]);
        let parts = [
            ("weight", vec![1.0; channels]),
            ("bias", bias),
            ("running_mean", vec![0.0; channels]),
            ("running_var", vec![(1.0 - EPS) as f32; channels]),
        ];
        for (part, values) in parts {
            self.found.push((format!("{norm}.{part}"), vec![values.len()], Values::Numbers(values)));
        }
        Ok(())
    }

    fn keep_norm(&mut self, node: &Node, name: &str, bias: Option<&[f32]>) -> Result<()> {
        let eps = f64::from(node.float("epsilon", 1e-5));
        if node.ints("training_mode", &[0]) != [0] {
            return Err(node.fault("is in training mode").mend("call `model.eval()` before the export"));
        }
        for (i, part) in (1..).zip(["weight", "bias", "running_mean", "running_var"]) {
            let constant = node.inputs.get(i).and_then(|name| self.graph.constant(name));
            let constant = constant.ok_or_else(|| node.fault(format_args!("has no constant {part}")))?;
            let full = format!("{name}.{part}");
            let change: Option<Box<dyn Fn(usize, f32) -> f32>> = match (part, bias) {
                // What the convolution adds is what the norm need not subtract.
                ("running_mean", Some(bias)) => {
                    Some(Box::new(move |i, mean| mean - bias.get(i).copied().unwrap_or(0.0)))
                }
                // The networks add another number to the variance than this node does.
                ("running_var", _) if (eps - EPS).abs() > 1e-9 => {
                    Some(Box::new(move |_, variance| (f64::from(variance) + eps - EPS) as f32))
                }
                _ => None,
            };
            match (change, constant.floats()) {
                (Some(change), Some(values)) => {
                    let values = values.as_f32().iter().enumerate().map(|(i, v)| change(i, *v)).collect();
                    self.found.push((full, constant.shape.clone(), Values::Numbers(values)));
                }
                _ => self.keep(full, constant)?,
            }
        }
        Ok(())
    }

    fn keep(&mut self, name: String, constant: &Constant) -> Result<()> {
        let values = constant.floats().ok_or_else(|| Error::new(format!("`{name}` holds no floats")))?;
        self.found.push((name, constant.shape.clone(), values.clone()));
        Ok(())
    }

    /// The input of torchvision's stem pooling.
    pub fn max_pool(&self, value: &str) -> Result<&'a str> {
        let node = self.expect(value, "MaxPool")?;
        let fits = node.ints("kernel_shape", &[]) == [3, 3]
            && node.ints("strides", &[]) == [2, 2]
            && node.ints("pads", &[0; 4]) == [1; 4]
            && node.ints("ceil_mode", &[0]) == [0]
            && node.ints("dilations", &[1, 1]) == [1, 1];
        match fits {
            true => self.through(value, "MaxPool"),
            false => Err(node.fault("is not 3x3 of stride 2 padded by 1")),
        }
    }

    /// The value that is pooled to one number a channel; the dense layers behind it are kept as the head: `own` if there
    /// is one, else `classifier.N`. A sigmoid or softmax at the end makes no logits and is noted.
    pub fn head(&mut self, own: &str) -> Result<&'a str> {
        let output = self.graph.outputs.first().copied().ok_or_else(|| Error::new("the graph has no output"))?;
        let mut value = output;
        let last = self.graph.maker(value)?.op;
        self.output = match last {
            "Sigmoid" => Some(Output::Sigmoid),
            "Softmax" => Some(Output::Softmax),
            _ => None,
        };
        if self.output.is_some() {
            value = self.through(value, last)?;
        }
        let mut layers = Vec::new();
        let mut activation = None;
        let pooled = loop {
            let node = self.graph.maker(value)?;
            let first = node.inputs.first().copied().ok_or_else(|| node.fault("has no input"))?;
            match node.op {
                "Gemm" => {
                    layers.push((self.gemm(node)?, activation.take()));
                    value = first;
                }
                "Add" => {
                    layers.push((self.product(node)?, activation.take()));
                    value = self.product_input(node)?;
                }
                "Relu" if !layers.is_empty() && activation.is_none() => {
                    activation = Some(Activation::Relu);
                    value = first;
                }
                "Flatten" | "Reshape" | "Squeeze" => value = first,
                "GlobalAveragePool" if activation.is_none() => break first,
                "ReduceMean" if activation.is_none() => {
                    let axes = node.inputs.get(1).and_then(|name| self.graph.constant(name)?.ints());
                    let axes = axes.map_or_else(|| node.ints("axes", &[]), <[i64]>::to_vec);
                    if !matches!(axes[..], [2, 3] | [-2, -1] | [-1, -2] | [3, 2]) {
                        return Err(node.fault(format_args!("is over the axes {axes:?}, not over the picture's")));
                    }
                    break first;
                }
                _ => return Err(node.fault("stands where the head or a global average pooling should be")),
            }
        };
        let single = layers.len() == 1;
        for (i, ((weight, bias), activation)) in layers.into_iter().rev().enumerate() {
            let units = weight.0[0];
            // Exporters drop a bias of zeros, which a single layer is built with.
            let zeros = || (vec![units], Values::Numbers(vec![0.0; units]));
            let bias = bias.or_else(|| single.then(zeros));
            if !single {
                self.head.push(HeadLayer { units, activation, dropout: 0.0, bias: bias.is_some() });
            }
            let name = if single { own.to_owned() } else { format!("classifier.{i}") };
            self.found.push((format!("{name}.weight"), weight.0, weight.1));
            if let Some((shape, values)) = bias {
                self.found.push((format!("{name}.bias"), shape, values));
            }
        }
        Ok(pooled)
    }

    fn gemm(&self, node: &Node) -> Result<Layer> {
        if node.float("alpha", 1.0) != 1.0 || node.float("beta", 1.0) != 1.0 || node.ints("transA", &[0]) != [0] {
            return Err(node.fault("scales or turns what it multiplies"));
        }
        let bias = node.inputs.get(2).map(|name| self.matrix(node, name, 1, false)).transpose()?;
        Ok((self.matrix(node, node.inputs.get(1).unwrap_or(&""), 2, node.ints("transB", &[0]) == [0])?, bias))
    }

    /// `x * W + b` as two nodes; `add` is the second.
    fn product(&self, add: &Node<'a>) -> Result<Layer> {
        let multiply = self.multiply(add)?;
        let bias = add.inputs.iter().find(|name| self.graph.constant(name).is_some());
        let bias = self.matrix(add, bias.unwrap_or(&""), 1, false)?;
        Ok((self.matrix(multiply, multiply.inputs.get(1).unwrap_or(&""), 2, true)?, Some(bias)))
    }

    fn multiply(&self, add: &Node<'a>) -> Result<&'g Node<'a>> {
        let mut makers = add.inputs.iter().filter_map(|name| self.graph.maker(name).ok());
        makers.find(|node| node.op == "MatMul").ok_or_else(|| add.fault("adds to no product where the head should be"))
    }

    fn product_input(&self, add: &Node<'a>) -> Result<&'a str> {
        let multiply = self.multiply(add)?;
        multiply.inputs.first().copied().ok_or_else(|| multiply.fault("has no input"))
    }

    /// A constant of so many axes, turned if asked for.
    fn matrix(&self, node: &Node, name: &str, axes: usize, turn: bool) -> Result<(Vec<usize>, Values)> {
        let constant = self.graph.constant(name).filter(|c| c.shape.len() == axes);
        let values = constant.and_then(|c| Some((c.shape.clone(), c.floats()?)));
        let (shape, values) = values.ok_or_else(|| node.fault(format_args!("has no constant of {axes} axes")))?;
        match (turn, &shape[..]) {
            (true, &[inputs, outputs]) => {
                let values = values.as_f32();
                let turned = (0..values.len()).map(|i| values[i % inputs * outputs + i / inputs]).collect();
                Ok((vec![outputs, inputs], Values::Numbers(turned)))
            }
            _ => Ok((shape, values.clone())),
        }
    }
}

/// Weight and bias of a dense layer, each a shape and values.
type Layer = ((Vec<usize>, Values), Option<(Vec<usize>, Values)>);

//! torchvision's ResNets in a graph.

use super::recognise::{Conv, Matcher};
use crate::cards::model::Architecture;
use crate::error::{Error, Result};

/// A residual block: its path from the end, and the convolution of its shortcut.
struct Block<'g, 'a> {
    path: Vec<Conv<'g, 'a>>,
    shortcut: Option<Conv<'g, 'a>>,
    input: &'a str,
}

/// Matches the graph and keeps its tensors.
pub(super) fn recognise(m: &mut Matcher) -> Result<Architecture> {
    let mut value = m.head("fc")?;
    let mut blocks = Vec::new();
    while m.graph.maker(value)?.op == "Relu" {
        let block = block(m, value)?;
        value = block.input;
        blocks.push(block);
    }
    let conv = m.conv(m.through(m.max_pool(value)?, "Relu")?, 7, false)?;
    m.keep_conv(&conv, "conv1", "bn1")?;
    blocks.reverse();
    let (mut layer, mut index) = (1, 0);
    let mut counts = [0; 4];
    for (i, block) in blocks.iter().enumerate() {
        if i > 0 && block.shortcut.as_ref().is_some_and(|s| s.stride == 2) {
            (layer, index) = (layer + 1, 0);
        }
        let strided = block.path.iter().any(|conv| conv.stride == 2);
        if layer > 4 || strided != (layer > 1 && index == 0) {
            return Err(Error::new("its blocks are not those of a ResNet"));
        }
        let name = format!("layer{layer}.{index}");
        for (j, conv) in (1..).zip(block.path.iter().rev()) {
            // "v1.5": the 3x3 convolution strides.
            if conv.stride == 2 && j == 1 && block.path.len() == 3 {
                return Err(Error::new(
                    "a ResNet whose first 1x1 convolution strides (\"v1\"), which is not built here",
                ));
            }
            m.keep_conv(conv, &format!("{name}.conv{j}"), &format!("{name}.bn{j}"))?;
        }
        if let Some(shortcut) = &block.shortcut {
            m.keep_conv(shortcut, &format!("{name}.downsample.0"), &format!("{name}.downsample.1"))?;
        }
        counts[layer - 1] += 1;
        index += 1;
    }
    match (counts, blocks.first().map(|block| block.path.len())) {
        ([2, 2, 2, 2], Some(2)) => Ok(Architecture::Resnet18),
        ([3, 4, 6, 3], Some(2)) => Ok(Architecture::Resnet34),
        ([3, 4, 6, 3], Some(3)) => Ok(Architecture::Resnet50),
        (counts, _) => Err(Error::new(format!("a ResNet of {counts:?} blocks, which is not built here"))),
    }
}

fn block<'g, 'a>(m: &Matcher<'g, 'a>, value: &str) -> Result<Block<'g, 'a>> {
    let add = m.expect(m.through(value, "Relu")?, "Add")?;
    let [a, b] = add.inputs[..] else { return Err(add.fault("does not add two values")) };
    match side(m, a, b) {
        Ok(block) => Ok(block),
        Err(_) => side(m, b, a),
    }
}

fn side<'g, 'a>(m: &Matcher<'g, 'a>, path: &'a str, shortcut: &'a str) -> Result<Block<'g, 'a>> {
    let kernels = match m.conv(path, 1, false) {
        Ok(_) => &[1, 3, 1][..],
        Err(_) => &[3, 3],
    };
    let mut convs = Vec::with_capacity(3);
    let mut value = path;
    for (i, kernel) in kernels.iter().enumerate() {
        let conv = m.conv(if i == 0 { value } else { m.through(value, "Relu")? }, *kernel, false)?;
        value = conv.input;
        convs.push(conv);
    }
    if m.graph.source(shortcut) == m.graph.source(value) {
        return Ok(Block { path: convs, shortcut: None, input: value });
    }
    let conv = m.conv(shortcut, 1, false)?;
    match m.graph.source(conv.input) == m.graph.source(value) {
        true => Ok(Block { path: convs, shortcut: Some(conv), input: value }),
        false => Err(Error::new(format!("`{shortcut}` and `{path}` do not begin at one value"))),
    }
}

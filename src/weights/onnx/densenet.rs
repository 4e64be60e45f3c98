//! torchvision's DenseNets in a graph, and those that join layer by layer (torchxrayvision's).

use super::recognise::Matcher;
use crate::cards::model::{Architecture, Options};
use crate::error::{Error, Result};

/// Matches the graph and keeps its tensors. DenseNets of other sizes are `densenet121` with options.
pub(super) fn recognise(m: &mut Matcher) -> Result<(Architecture, Options)> {
    let value = m.head("classifier")?;
    let mut value = m.norm(m.through(value, "Relu")?, "features.norm5")?;
    // From the last block to the first, whose numbers are known only when all are counted.
    let blocks = count(m, value)?;
    let mut growth = 0;
    for i in (1..=blocks.len()).rev() {
        let parts = parts(m, value)?;
        for (j, layer) in parts.iter().enumerate().skip(1) {
            growth = keep_layer(m, layer, &parts[..j], &format!("features.denseblock{i}.denselayer{j}"))?;
        }
        value = parts[0];
        if i > 1 {
            let name = format!("features.transition{}", i - 1);
            let conv = m.conv(average_pool(m, value)?, 1, false)?;
            m.keep_plain(&conv, &format!("{name}.conv"))?;
            value = m.norm(m.through(conv.input, "Relu")?, &format!("{name}.norm"))?;
        }
    }
    let conv = m.conv(m.through(m.max_pool(value)?, "Relu")?, 7, false)?;
    m.keep_conv(&conv, "features.conv0", "features.norm0")?;
    Ok(match (&blocks[..], growth) {
        ([6, 12, 24, 16], 32) => (Architecture::Densenet121, Options::default()),
        ([6, 12, 36, 24], 48) => (Architecture::Densenet161, Options::default()),
        ([6, 12, 32, 32], 32) => (Architecture::Densenet169, Options::default()),
        ([6, 12, 48, 32], 32) => (Architecture::Densenet201, Options::default()),
        _ => (Architecture::Densenet121, Options { blocks: Some(blocks), growth: Some(growth), ..Options::default() }),
    })
}

/// Layers in each block, the first block first.
fn count(m: &Matcher, last: &str) -> Result<Vec<usize>> {
    let mut counts = Vec::new();
    let mut value = last;
    loop {
        let parts = parts(m, value)?;
        counts.push(parts.len() - 1);
        if m.graph.maker(parts[0])?.op != "AveragePool" {
            counts.reverse();
            return Ok(counts);
        }
        if counts.len() > 4 {
            return Err(Error::new("more blocks than a DenseNet has"));
        }
        let conv = m.conv(average_pool(m, parts[0])?, 1, false)?;
        value = m.through(m.through(conv.input, "Relu")?, "BatchNormalization")?;
    }
}

/// What a block joins: its input and the output of each layer. One join of all, or one a layer.
fn parts<'a>(m: &Matcher<'_, 'a>, value: &str) -> Result<Vec<&'a str>> {
    let mut node = m.expect(value, "Concat")?;
    let mut parts = Vec::new();
    loop {
        let Some((first, rest)) = node.inputs.split_first().filter(|_| node.ints("axis", &[]) == [1]) else {
            return Err(node.fault("does not join channels"));
        };
        parts.extend(rest.iter().rev().copied());
        if parts.len() > m.graph.nodes.len() {
            return Err(node.fault("joins in a circle"));
        }
        match m.graph.maker(first)? {
            inner if inner.op == "Concat" => node = inner,
            _ => {
                parts.push(*first);
                parts.reverse();
                return Ok(parts);
            }
        }
    }
}

/// Keeps the dense layer that makes `value` from all parts `before` it; the channels that it adds.
fn keep_layer(m: &mut Matcher, value: &str, before: &[&str], name: &str) -> Result<usize> {
    let grow = m.conv(value, 3, false)?;
    let squeeze = m.conv(m.through(grow.input, "Relu")?, 1, false)?;
    m.keep_plain(&grow, &format!("{name}.conv2"))?;
    m.keep_conv(&squeeze, &format!("{name}.conv1"), &format!("{name}.norm2"))?;
    let input = m.norm(m.through(squeeze.input, "Relu")?, &format!("{name}.norm1"))?;
    let joined = match m.graph.maker(input)?.op {
        "Concat" => parts(m, input)?,
        _ => vec![input],
    };
    let sources = |values: &[&str]| values.iter().map(|value| m.graph.source(value)).collect::<Vec<_>>();
    match sources(&joined) == sources(before) {
        true => Ok(grow.outputs()),
        false => Err(Error::new(format!("`{name}` does not join all layers before it"))),
    }
}

/// The input of a transition's pooling.
fn average_pool<'a>(m: &Matcher<'_, 'a>, value: &str) -> Result<&'a str> {
    let node = m.expect(value, "AveragePool")?;
    let fits = node.ints("kernel_shape", &[]) == [2, 2]
        && node.ints("strides", &[]) == [2, 2]
        && node.ints("pads", &[0; 4]) == [0; 4]
        && node.ints("ceil_mode", &[0]) == [0];
    match fits {
        true => m.through(value, "AveragePool"),
        false => Err(node.fault("is not 2x2 of stride 2")),
    }
}

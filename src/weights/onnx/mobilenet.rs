//! torchvision's MobileNetV2 in a graph.

use super::recognise::{Conv, Matcher};
use crate::cards::model::Architecture;
use crate::error::{Error, Result};

/// Blocks in a MobileNetV2.
const BLOCKS: usize = 17;

/// Matches the graph and keeps its tensors.
pub(super) fn recognise(m: &mut Matcher) -> Result<Architecture> {
    let value = m.head("classifier.1")?;
    let conv = m.conv(m.relu6(value)?, 1, false)?;
    m.keep_conv(&conv, "features.18.0", "features.18.1")?;
    let mut value = conv.input;
    for number in (1..=BLOCKS).rev() {
        value = block(m, value, number)?;
    }
    let stem = m.conv(m.relu6(value)?, 3, false)?;
    if stem.stride != 2 {
        return Err(Error::new("its first convolution does not stride"));
    }
    m.keep_conv(&stem, "features.0.0", "features.0.1")?;
    Ok(Architecture::MobilenetV2)
}

/// Keeps the block that makes `value`; its input.
fn block<'a>(m: &mut Matcher<'_, 'a>, value: &'a str, number: usize) -> Result<&'a str> {
    let node = m.graph.maker(value)?;
    let (paths, residual) = match (node.op, &node.inputs[..]) {
        ("Add", &[a, b]) => (vec![(a, Some(b)), (b, Some(a))], true),
        _ => (vec![(value, None)], false),
    };
    let mut fault = Error::new("no block");
    for (path, other) in paths {
        let found = match convs(m, path, number) {
            Ok(found) => found,
            Err(e) => {
                fault = e;
                continue;
            }
        };
        let input = found[found.len() - 1].input;
        if other.is_some_and(|other| m.graph.source(other) != m.graph.source(input)) {
            fault = node.fault("adds something else than its block's input");
            continue;
        }
        let depthwise = &found[1];
        if residual != (depthwise.stride == 1 && found[0].outputs() == found[found.len() - 1].inputs()) {
            return Err(Error::new(format!(
                "block {number} adds its input where MobileNetV2 does not, or the reverse"
            )));
        }
        let name = |part: &str| format!("features.{number}.conv.{part}");
        let last = found.len() - 1;
        for (i, conv) in found.iter().rev().enumerate() {
            let (conv_name, norm_name) = match i == last {
                true => (name(&i.to_string()), name(&(i + 1).to_string())),
                false => (name(&format!("{i}.0")), name(&format!("{i}.1"))),
            };
            m.keep_conv(conv, &conv_name, &norm_name)?;
        }
        return Ok(input);
    }
    Err(fault)
}

/// The convolutions of a block from the end: to few channels, depthwise, and to many but in the first block.
fn convs<'g, 'a>(m: &Matcher<'g, 'a>, value: &str, number: usize) -> Result<Vec<Conv<'g, 'a>>> {
    let project = m.conv(value, 1, false)?;
    let depthwise = m.conv(m.relu6(project.input)?, 3, true)?;
    let mut convs = vec![project, depthwise];
    if number > 1 {
        convs.push(m.conv(m.relu6(convs[1].input)?, 1, false)?);
    }
    Ok(convs)
}

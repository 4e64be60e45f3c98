//! From the names that files use to torchvision's names of today: every naming that is known is in this file.

use crate::cards::model::Naming;

/// First components that belong to the networks themselves.
const OWN: [&str; 7] = ["features", "classifier", "fc", "class_layers", "blocks", "conv_stem", "conv1"];

/// Blocks in each of MobileNetV2's groups, which timm numbers apart and torchvision together.
const MOBILENET_GROUPS: [usize; 7] = [1, 2, 3, 4, 3, 3, 1];

/// Whether a tensor is not the network's: a counter of the trainer's, or torchxrayvision's thresholds.
pub(super) fn is_bookkeeping(name: &str) -> bool {
    matches!(name.rsplit('.').next(), Some("num_batches_tracked" | "op_threshs"))
}

/// The part in front that wrappers have put before every name (`module.` of DataParallel, `model.`, `backbone.`, ...);
/// empty if a single name lacks it.
pub(super) fn common_prefix<'a>(names: &[&'a str]) -> &'a str {
    let Some(first) = names.first() else { return "" };
    let mut length = 0;
    while let Some(dot) = first[length..].find('.') {
        let next = length + dot + 1;
        let own = OWN.contains(&&first[length..next - 1]);
        if own || !names.iter().all(|n| n.starts_with(&first[..next])) {
            break;
        }
        length = next;
    }
    &first[..length]
}

/// Whose names these are, as far as they differ from torchvision's: timm's ResNets and DenseNets and torchxrayvision's
/// networks have torchvision's own names.
pub(super) fn detect<'a>(names: impl IntoIterator<Item = &'a str>) -> Naming {
    for name in names {
        if name.contains(".denselayer") && OLD.iter().any(|old| name.contains(&format!(".{old}"))) {
            return Naming::TorchvisionOld;
        }
        if name.contains(".layers.norm1.") || name.starts_with("class_layers.") {
            return Naming::Monai;
        }
        if name.starts_with("conv_stem.") {
            return Naming::Timm;
        }
    }
    Naming::Torchvision
}

/// torchvision's name of today for a name of this naming, wrappers already taken away.
pub(super) fn modern(name: &str, naming: Naming) -> String {
    match naming {
        Naming::Torchvision | Naming::Torchxrayvision | Naming::Keras => name.to_owned(),
        Naming::TorchvisionOld => old_densenet(name),
        // MONAI puts each dense layer's parts into `layers`, and calls its head `class_layers.out`.
        Naming::Monai => name.replace(".layers.", ".").replace("class_layers.out.", "classifier."),
        Naming::Timm => timm(name),
    }
}

/// Parts of a dense layer before torchvision 0.3.
const OLD: [&str; 4] = ["norm.1.", "norm.2.", "conv.1.", "conv.2."];

fn old_densenet(name: &str) -> String {
    if !name.contains(".denselayer") {
        return name.to_owned();
    }
    OLD.iter()
        .fold(name.to_owned(), |name, old| name.replace(&format!(".{old}"), &format!(".{}", old.replacen('.', "", 1))))
}

/// timm's MobileNetV2; its other networks have torchvision's names.
fn timm(name: &str) -> String {
    let block = || {
        let mut parts = name.strip_prefix("blocks.")?.splitn(4, '.');
        let group: usize = parts.next()?.parse().ok()?;
        let index: usize = parts.next()?.parse().ok()?;
        let (part, rest) = (parts.next()?, parts.next()?);
        let number = 1 + MOBILENET_GROUPS.get(..group)?.iter().sum::<usize>() + index;
        let part = match (group, part) {
            // The first block has no expansion.
            (0, "conv_dw") => "0.0",
            (0, "conv_pw") => "1",
            (0, "bn2") => "2",
            (_, "conv_pw") => "0.0",
            (_, "bn1") => "0.1",
            (_, "conv_dw") => "1.0",
            (_, "bn2") => "1.1",
            (_, "conv_pwl") => "2",
            (_, "bn3") => "3",
            _ => return None,
        };
        Some(format!("features.{number}.conv.{part}.{rest}"))
    };
    let outer = || {
        [
            ("conv_stem.", "features.0.0."),
            ("bn1.", "features.0.1."),
            ("conv_head.", "features.18.0."),
            ("bn2.", "features.18.1."),
            ("classifier.", "classifier.1."),
        ]
        .iter()
        .find_map(|(from, to)| Some(format!("{to}{}", name.strip_prefix(from)?)))
    };
    block().or_else(outer).unwrap_or_else(|| name.to_owned())
}

/// The module that torchvision has in place of a Keras layer (DenseNet, MobileNetV2). Names of models that the layer's
/// model is nested in may stand in front. `None` for layers that are no part of these networks.
pub(super) fn keras_layer(layer: &str) -> Option<String> {
    let mut rest = layer;
    loop {
        if let Some(found) = keras_own(rest) {
            return Some(found);
        }
        rest = rest.split_once('/')?.1;
    }
}

fn keras_own(layer: &str) -> Option<String> {
    let fixed = match layer {
        "conv1/conv" | "conv1_conv" => "features.conv0",
        "conv1/bn" | "conv1_bn" => "features.norm0",
        "bn" => "features.norm5",
        "Conv1" => "features.0.0",
        "bn_Conv1" => "features.0.1",
        "Conv_1" => "features.18.0",
        "Conv_1_bn" => "features.18.1",
        "expanded_conv_depthwise" => "features.1.conv.0.0",
        "expanded_conv_depthwise_BN" => "features.1.conv.0.1",
        "expanded_conv_project" => "features.1.conv.1",
        "expanded_conv_project_BN" => "features.1.conv.2",
        _ => "",
    };
    if !fixed.is_empty() {
        return Some(fixed.to_owned());
    }
    let number = |text: &str| text.parse::<usize>().ok();
    if let Some((block, part)) = layer.strip_prefix("block_").and_then(|l| l.split_once('_')) {
        let part = match part {
            "expand" => "0.0",
            "expand_BN" => "0.1",
            "depthwise" => "1.0",
            "depthwise_BN" => "1.1",
            "project" => "2",
            "project_BN" => "3",
            _ => return None,
        };
        return Some(format!("features.{}.conv.{part}", number(block)?.checked_add(1)?));
    }
    if let Some((pool, part)) = layer.strip_prefix("pool").and_then(|l| l.split_once('_')) {
        let part = match part {
            "bn" => "norm",
            "conv" => "conv",
            _ => return None,
        };
        return Some(format!("features.transition{}.{part}", number(pool)?.checked_sub(1)?));
    }
    let (stage, rest) = layer.strip_prefix("conv")?.split_once("_block")?;
    let (block, part) = rest.split_once('_')?;
    let part = match part {
        "0_bn" => "norm1",
        "1_conv" => "conv1",
        "1_bn" => "norm2",
        "2_conv" => "conv2",
        _ => return None,
    };
    Some(format!("features.denseblock{}.denselayer{}.{part}", number(stage)?.checked_sub(1)?, number(block)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_go_only_if_all_share_them() {
        assert_eq!(common_prefix(&["module.conv1.weight", "module.fc.bias"]), "module.");
        assert_eq!(common_prefix(&["module.model.features.a.b", "module.model.classifier.bias"]), "module.model.");
        assert_eq!(common_prefix(&["module.conv1.weight", "fc.bias"]), "");
        assert_eq!(common_prefix(&["features.0.weight", "features.1.weight"]), "");
        assert_eq!(common_prefix(&[]), "");
    }

    #[test]
    fn old_densenet_names() {
        let old = "features.denseblock1.denselayer10.norm.1.running_mean";
        let new = "features.denseblock1.denselayer10.norm1.running_mean";
        assert_eq!(detect([old]), Naming::TorchvisionOld);
        assert_eq!(modern(old, Naming::TorchvisionOld), new);
        assert_eq!(modern(old, Naming::Torchvision), old);
        assert_eq!(modern(new, Naming::TorchvisionOld), new);
        assert_eq!(detect(["features.1.conv.1.weight", new]), Naming::Torchvision);
    }

    #[test]
    fn monai_names() {
        let name = "features.denseblock2.denselayer3.layers.norm1.weight";
        assert_eq!(detect(["features.conv0.weight", name]), Naming::Monai);
        assert_eq!(modern(name, Naming::Monai), "features.denseblock2.denselayer3.norm1.weight");
        assert_eq!(modern("class_layers.out.bias", Naming::Monai), "classifier.bias");
        assert_eq!(modern("features.transition1.conv.weight", Naming::Monai), "features.transition1.conv.weight");
    }

    #[test]
    fn timm_names() {
        for (timm, torchvision) in [
            ("conv_stem.weight", "features.0.0.weight"),
            ("bn1.running_var", "features.0.1.running_var"),
            ("blocks.0.0.conv_dw.weight", "features.1.conv.0.0.weight"),
            ("blocks.0.0.bn1.bias", "features.1.conv.0.1.bias"),
            ("blocks.0.0.conv_pw.weight", "features.1.conv.1.weight"),
            ("blocks.0.0.bn2.weight", "features.1.conv.2.weight"),
            ("blocks.1.0.conv_pw.weight", "features.2.conv.0.0.weight"),
            ("blocks.1.1.conv_dw.weight", "features.3.conv.1.0.weight"),
            ("blocks.3.3.bn2.weight", "features.10.conv.1.1.weight"),
            ("blocks.6.0.conv_pwl.weight", "features.17.conv.2.weight"),
            ("blocks.6.0.bn3.weight", "features.17.conv.3.weight"),
            ("conv_head.weight", "features.18.0.weight"),
            ("bn2.weight", "features.18.1.weight"),
            ("classifier.bias", "classifier.1.bias"),
        ] {
            assert_eq!(modern(timm, Naming::Timm), torchvision, "{timm}");
        }
        assert_eq!(detect(["conv_stem.weight"]), Naming::Timm);
    }

    #[test]
    fn keras_names() {
        for (keras, torchvision) in [
            ("conv1/conv", "features.conv0"),
            ("densenet121/conv1/bn", "features.norm0"),
            ("conv1_conv", "features.conv0"),
            ("conv5_block16_0_bn", "features.denseblock4.denselayer16.norm1"),
            ("conv2_block1_1_conv", "features.denseblock1.denselayer1.conv1"),
            ("conv2_block1_1_bn", "features.denseblock1.denselayer1.norm2"),
            ("conv2_block1_2_conv", "features.denseblock1.denselayer1.conv2"),
            ("pool2_bn", "features.transition1.norm"),
            ("pool4_conv", "features.transition3.conv"),
            ("bn", "features.norm5"),
            ("Conv1", "features.0.0"),
            ("expanded_conv_project_BN", "features.1.conv.2"),
            ("block_16_project_BN", "features.17.conv.3"),
            ("Conv_1_bn", "features.18.1"),
        ] {
            assert_eq!(keras_layer(keras).as_deref(), Some(torchvision), "{keras}");
        }
        for other in ["dense", "block_x_expand", "block_99999999999999999999_expand", "pool0_bn", "conv_block", ""] {
            assert_eq!(keras_layer(other), None, "{other}");
        }
    }
}

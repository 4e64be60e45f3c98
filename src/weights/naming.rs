//! From the names that files use to torchvision's names of today.

use crate::cards::model::Naming;

/// First components that belong to the networks themselves.
const OWN: [&str; 3] = ["features", "classifier", "fc"];

/// Whether a tensor is only a counter of the trainer's that inference does not know.
pub(super) fn is_counter(name: &str) -> bool {
    name.ends_with("num_batches_tracked")
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

/// Today's name: torchvision before 0.3 wrote DenseNet's `norm1` as `norm.1` and `conv2` as `conv.2`.
/// A file that is said to use today's names keeps them.
pub(super) fn modern(name: &str, naming: Option<Naming>) -> String {
    if naming == Some(Naming::Torchvision) || !name.contains(".denselayer") {
        return name.to_string();
    }
    ["norm.1.", "norm.2.", "conv.1.", "conv.2."].iter().fold(name.to_string(), |name, old| {
        let new = old.replacen('.', "", 1);
        name.replace(&format!(".{old}"), &format!(".{new}"))
    })
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
        assert_eq!(modern(old, None), new);
        assert_eq!(modern(old, Some(Naming::TorchvisionOld)), new);
        assert_eq!(modern(old, Some(Naming::Torchvision)), old);
        assert_eq!(modern(new, None), new);
        assert_eq!(modern("features.1.conv.1.weight", None), "features.1.conv.1.weight");
    }
}

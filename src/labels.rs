//! Findings and their spellings: which label names mean the same finding.
//!
//! The datasets of this field write one finding in several ways (`Effusion` in ChestX-ray14, `Pleural Effusion` in
//! CheXpert, `Pleural_Thickening`). Tables are joined by meaning, so names are compared through [`canonical`].

/// Spellings of one finding, the first being the canonical one, all in the normal form of [`normal`].
const ALIASES: &[&[&str]] = &[
    &["effusion", "pleural effusion"],
    &["edema", "oedema", "pulmonary edema", "pulmonary oedema"],
    &["fibrosis", "pulmonary fibrosis"],
    &["hernia", "hiatal hernia"],
    &["infiltration", "infiltrate"],
    &["lung opacity", "airspace opacity"],
    &["emphysema", "pulmonary emphysema"],
    &["no finding", "no findings"],
    &["covid 19", "covid19"],
    &["bacteria", "bacterial", "bacterial pneumonia"],
    &["virus", "viral", "viral pneumonia"],
];

/// The form in which names are compared: lower case, with `_`, `-` and runs of blanks as one blank.
fn normal(name: &str) -> String {
    let blank = |c: char| c == '_' || c == '-' || c.is_whitespace();
    name.split(blank).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ").to_lowercase()
}

/// The canonical name of a finding; names that mean the same finding have the same one.
pub fn canonical(name: &str) -> String {
    let name = normal(name);
    match ALIASES.iter().find(|group| group.contains(&name.as_str())) {
        Some(group) => group[0].to_owned(),
        None => name,
    }
}

/// Whether two names mean the same finding.
pub fn same(a: &str, b: &str) -> bool {
    a == b || canonical(a) == canonical(b)
}

/// Position in `names` of the label that means `wanted`: the same spelling if there is one, else an alias.
pub fn find<S: AsRef<str>>(names: &[S], wanted: &str) -> Option<usize> {
    names
        .iter()
        .position(|name| name.as_ref() == wanted)
        .or_else(|| names.iter().position(|name| same(name.as_ref(), wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_finding() {
        assert!(same("Effusion", "Pleural Effusion"));
        assert!(same("Pleural_Thickening", "pleural  thickening"));
        assert!(same("bacteria", "bacterial"));
        assert!(!same("Pneumonia", "Pneumothorax"));
        assert!(!same("Normal", "No Finding"));
        assert_eq!(find(&["Pleural Effusion", "Effusion"], "Effusion"), Some(1));
        assert_eq!(find(&["Mass", "Pleural Effusion"], "Effusion"), Some(1));
    }

    #[test]
    fn no_spelling_stands_in_two_groups() {
        let all: Vec<_> = ALIASES.iter().flat_map(|g| g.iter()).collect();
        for (i, a) in all.iter().enumerate() {
            assert_eq!(normal(a), **a);
            assert!(!all[..i].contains(a), "{a}");
        }
    }
}

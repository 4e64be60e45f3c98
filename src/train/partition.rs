//! Who is learnt from, who is watched, who is measured: no patient in two of them.

use std::collections::{BTreeMap, HashMap};

use super::sampling::shuffled;
use crate::data::{Dataset, Sample};
use crate::error::{Error, Result};
use crate::predictions::Truth;
use crate::rng::Rng;

/// A dataset that is kept apart from the others.
#[derive(Debug, Clone)]
pub struct Part {
    /// `train`, `validation` or `test`.
    pub name: &'static str,
    /// Its images.
    pub dataset: Dataset,
}

/// The stream of the split's random numbers.
const STREAM: u64 = 3 << 56;

/// Cuts `samples` into parts of these shares of the images, which sum to 1: patients stay whole, and every label is in
/// each part as frequent as in all, as nearly as whole patients allow (iterative stratification: Sechidis, Tsoumakas
/// and Vlahavas 2011, over patients). An image whose patient is not known is its own. Returns each image's part.
pub fn stratify(samples: &[Sample], shares: &[f64], seed: u64) -> Vec<usize> {
    let groups = groups(samples);
    let labels = samples.first().map_or(0, |s| s.truths.len());
    // What each patient has: positives of each label, images without any finding, images.
    let counts: Vec<Vec<f64>> = groups
        .iter()
        .map(|images| {
            let mut counts = vec![0.0; labels + 2];
            for image in images {
                let truths = &samples[*image].truths;
                let positive = |t: &Truth| *t == Truth::Positive;
                truths.iter().zip(&mut counts).filter(|(t, _)| positive(t)).for_each(|(_, c)| *c += 1.0);
                counts[labels] += f64::from(u8::from(!truths.iter().any(positive)));
                counts[labels + 1] += 1.0;
            }
            counts
        })
        .collect();
    let totals: Vec<f64> = (0..labels + 2).map(|c| counts.iter().map(|g| g[c]).sum()).collect();
    // What each part still lacks of each.
    let mut lacking: Vec<Vec<f64>> =
        shares.iter().map(|share| totals.iter().map(|total| share * total).collect()).collect();
    let mut left = totals;
    let mut waiting = shuffled((0..groups.len()).collect(), &mut Rng::new(seed, STREAM));
    let mut parts = vec![0; samples.len()];
    while !waiting.is_empty() {
        // The label with the fewest images left; at last patients of any kind.
        let rarest = (0..=labels).filter(|c| left[*c] > 0.0).min_by(|a, b| left[*a].total_cmp(&left[*b]));
        let rarest = rarest.unwrap_or(labels + 1);
        let (now, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|g| counts[*g][rarest] > 0.0);
        waiting = later;
        for group in now {
            // As a share of what the part is to have, or the largest part would take all until it is nearly full.
            let want = |part: &usize| [rarest, labels + 1].map(|c| lacking[*part][c] / shares[*part]);
            let part = (0..shares.len())
                .max_by(|a, b| {
                    let (a, b) = (want(a), want(b));
                    a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1]))
                })
                .unwrap_or(0);
            for (c, count) in counts[group].iter().enumerate() {
                lacking[part][c] -= count;
                left[c] -= count;
            }
            groups[group].iter().for_each(|image| parts[*image] = part);
        }
    }
    parts
}

/// The images of each patient, in the order of first appearance.
fn groups(samples: &[Sample]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut known = HashMap::new();
    for (image, sample) in samples.iter().enumerate() {
        match &sample.patient {
            None => groups.push(vec![image]),
            Some(patient) => {
                let group = *known.entry(patient).or_insert_with(|| {
                    groups.push(Vec::new());
                    groups.len() - 1
                });
                groups[group].push(image);
            }
        }
    }
    groups
}

/// Refuses parts that share a patient or an image.
pub fn check_apart(parts: &[Part]) -> Result<()> {
    let mut of: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    let mut shared: Vec<(&str, &str, &str, &str)> = Vec::new();
    for part in parts {
        let mut own: Vec<(&str, &str)> = Vec::new();
        for sample in &part.dataset.samples {
            let keys = [("image", Some(&sample.id)), ("patient", sample.patient.as_ref())];
            own.extend(keys.into_iter().filter_map(|(kind, key)| key.map(|key| (kind, key.as_str()))));
        }
        own.sort_unstable();
        own.dedup();
        for key in own {
            match of.get(&key) {
                Some(other) => shared.push((key.0, key.1, other, part.name)),
                None => drop(of.insert(key, part.name)),
            }
        }
    }
    // A shared patient tells more than their images.
    let Some((kind, key, a, b)) = shared.iter().max_by_key(|(kind, ..)| *kind == "patient") else { return Ok(()) };
    let count = shared.iter().filter(|(k, _, x, y)| (k, x, y) == (kind, a, b)).count();
    Err(Error::new(format!("{a} and {b} share the {kind} `{key}` ({count} shared in all)"))
        .at("the split")
        .mend("split by patient: give the part a `share`, or correct the dataset's splits"))
}

/// `splits.csv`: every image with its patient and its part.
pub fn to_csv(parts: &[Part]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut write = || -> csv::Result<()> {
        writer.write_record(["image", "patient", "part"])?;
        for part in parts {
            for sample in &part.dataset.samples {
                writer.write_record([&sample.id, sample.patient.as_deref().unwrap_or_default(), part.name])?;
            }
        }
        Ok(writer.flush()?)
    };
    write().map_err(|e| Error::new(e.to_string()).at("splits.csv"))?;
    writer.into_inner().map_err(|e| Error::new(e.to_string()).at("splits.csv"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::data::Source;

    fn sample(i: usize, patient: Option<usize>, truths: [bool; 2]) -> Sample {
        let truth = |t: bool| if t { Truth::Positive } else { Truth::Negative };
        Sample {
            id: format!("i{i}"),
            patient: patient.map(|p| format!("p{p}")),
            study: None,
            attributes: Vec::new(),
            truths: truths.map(truth).into(),
            source: Source::File(PathBuf::new()),
        }
    }

    fn part(name: &'static str, samples: Vec<Sample>) -> Part {
        let dataset =
            Dataset { name: "d".into(), labels: Vec::new(), attributes: Vec::new(), samples, notes: Vec::new() };
        Part { name, dataset }
    }

    #[test]
    fn patients_stay_whole_and_labels_as_frequent() {
        // 500 patients of 1 to 7 images; the first finding is rare and stays with the patient.
        let samples: Vec<Sample> = (0..500)
            .flat_map(|p| (0..1 + p % 7).map(move |k| (p, k)))
            .enumerate()
            .map(|(i, (p, k))| sample(i, Some(p), [p % 40 == 0, (p + k) % 3 == 0]))
            .collect();
        let shares = [0.7, 0.1, 0.2];
        let parts = stratify(&samples, &shares, 1);
        assert_eq!(parts, stratify(&samples, &shares, 1));
        assert_ne!(parts, stratify(&samples, &shares, 2));
        let mut of = HashMap::new();
        for (sample, part) in samples.iter().zip(&parts) {
            assert_eq!(of.entry(&sample.patient).or_insert(part), &part, "{:?}", sample.patient);
        }
        let mut sizes = HashMap::new();
        samples.iter().for_each(|s| *sizes.entry(&s.patient).or_insert(0) += 1);
        let share = |of: &dyn Fn(&Sample) -> bool, part: usize| {
            let all = samples.iter().filter(|s| of(s)).count();
            let here = samples.iter().zip(&parts).filter(|(s, p)| of(s) && **p == part).count();
            here as f64 / all as f64
        };
        for (i, wanted) in shares.iter().enumerate() {
            assert!((share(&|_| true, i) - wanted).abs() < 0.01, "{i}: {}", share(&|_| true, i));
            assert!((share(&|s| s.truths[1] == Truth::Positive, i) - wanted).abs() < 0.02);
            // Of every size, not small ones where there is little room.
            let many = share(&|s| sizes[&s.patient] > 4, i);
            assert!((many - wanted).abs() < 0.06, "{i}: {many}");
            // 13 patients have the rare finding.
            assert!((share(&|s| s.truths[0] == Truth::Positive, i) - wanted).abs() < 0.12);
        }
        let singles: Vec<_> = (0..10).map(|i| sample(i, None, [i % 2 == 0, false])).collect();
        let parts = stratify(&singles, &[0.5, 0.5], 1);
        assert_eq!(parts.iter().sum::<usize>(), 5);
    }

    #[test]
    fn shared_patients_are_refused() {
        let train = part("train", vec![sample(0, Some(1), [true, false]), sample(1, Some(2), [true, false])]);
        let test = part("test", vec![sample(2, Some(2), [true, false])]);
        let e = check_apart(&[train.clone(), test]).unwrap_err().to_string();
        assert!(e.contains("train and test share the patient `p2` (1 shared in all)"), "{e}");
        let other = part("test", vec![sample(3, Some(3), [true, false]), sample(4, None, [true, false])]);
        check_apart(&[train.clone(), other.clone()]).unwrap();
        let csv = String::from_utf8(to_csv(&[train.clone(), other]).unwrap()).unwrap();
        assert_eq!(csv, "image,patient,part\ni0,p1,train\ni1,p2,train\ni3,p3,test\ni4,,test\n");
        let same = part("validation", vec![sample(0, None, [true, false])]);
        assert!(check_apart(&[train, same]).unwrap_err().to_string().contains("the image `i0`"));
    }
}

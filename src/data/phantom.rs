//! Phantoms: drawn frontal chest radiographs with known findings, for demonstrations and tests without any data.
//!
//! A phantom is no patient and no simulation of X-ray physics: it is a picture with the anatomy, the nuisances and five
//! findings of a chest radiograph, each finding with a true mask and a severity down to invisible. Every pixel follows
//! from the seed, the patient and the index by integer arithmetic and IEEE 754's exactly rounded operations, so the
//! bytes are the same on every machine.

mod anatomy;
mod maths;
mod render;
mod sheet;

use crate::error::{Error, Result};
use anatomy::Anatomy;
use maths::Rng;

pub use render::render;

/// The findings, in the order of [`Phantom::truths`] and [`Phantom::masks`].
pub const LABELS: [&str; 5] = ["Cardiomegaly", "Effusion", "Nodule", "Pneumothorax", "Consolidation"];

/// Patients of a seed.
const MOST: u32 = 9999;

/// A set of phantom patients; the same numbers give the same images everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cohort {
    /// Decides everything.
    pub seed: u64,
    /// Patients of the seed that come before these: no cohort behind another shares one with it.
    pub after: u32,
    /// How many patients, each with one to four images.
    pub patients: u32,
    /// Side of the square images in pixels.
    pub size: u32,
}

impl Cohort {
    /// The cohort of the seed's first patients, or an error when there are more than 9999 or `size` is not 96 to 1024.
    pub fn new(seed: u64, patients: u32, size: u32) -> Result<Self> {
        if patients == 0 || patients > MOST {
            return Err(Error::new(format!("a phantom cohort of {patients} patients")).mend("choose 1 to 9999"));
        }
        if !(96..=1024).contains(&size) {
            return Err(Error::new(format!("phantoms of {size} x {size} pixels")).mend("choose a size of 96 to 1024"));
        }
        Ok(Self { seed, after: 0, patients, size })
    }

    /// As many patients behind the seed's first `after`, or an error when that goes beyond its 9999.
    pub fn after(self, after: u32) -> Result<Self> {
        match after.checked_add(self.patients) {
            Some(last) if last <= MOST => Ok(Self { after, ..self }),
            _ => Err(Error::new(format!("{} phantom patients after {after}", self.patients))
                .mend("a seed has 9999 patients: choose fewer")),
        }
    }

    /// All images, ordered by patient and index.
    pub fn images(&self) -> Vec<PhantomId> {
        let count = |patient: u32| 1 + Rng::new(&[self.seed, 0, u64::from(patient)]).bits() as u32 % 4;
        (self.after + 1..=self.after + self.patients)
            .flat_map(|patient| (0..count(patient)).map(move |index| PhantomId { patient, index }))
            .collect()
    }
}

/// Which image of a cohort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PhantomId {
    /// Counted from 1.
    pub patient: u32,
    /// Counted from 0 within the patient.
    pub index: u32,
}

impl PhantomId {
    /// The image's name, such as `phantom-P0001-0`.
    pub fn name(&self) -> String {
        format!("phantom-{}-{}", self.patient_name(), self.index)
    }

    /// The patient's name, such as `P0001`.
    pub fn patient_name(&self) -> String {
        format!("P{:04}", self.patient)
    }
}

/// One drawn radiograph with all that is true about it.
pub struct Phantom {
    /// Side in pixels.
    pub size: u32,
    /// 8-bit gray, `size * size`, row by row; bone is bright.
    pub pixels: Vec<u8>,
    /// Which of [`LABELS`] are present.
    pub truths: [bool; 5],
    /// Where each finding is, `size * size`; `None` when it is absent.
    pub masks: [Option<Vec<bool>>; 5],
    /// The patient's age in years, 18 to 90.
    pub age: u32,
    /// `F` or `M`.
    pub sex: &'static str,
    /// `PA`, or `AP` for bedside images, which magnify the heart and are noisier.
    pub view: &'static str,
}

/// Which of [`LABELS`] the image shows, without drawing it.
pub fn truths(cohort: &Cohort, id: &PhantomId) -> [bool; 5] {
    Anatomy::of(cohort, id).lesions.map(|lesion| lesion.is_some())
}

/// Age in years, sex (`F`, `M`) and view (`PA`, `AP`) of the image, without drawing it.
pub fn attributes(cohort: &Cohort, id: &PhantomId) -> (u32, &'static str, &'static str) {
    let anatomy = Anatomy::of(cohort, id);
    (anatomy.age, anatomy.sex, anatomy.view)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cohort(seed: u64, patients: u32, size: u32) -> Cohort {
        Cohort::new(seed, patients, size).unwrap()
    }

    /// FNV-1a, 64 bits.
    fn fnv(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    }

    #[test]
    fn bytes_are_the_recorded_ones() {
        let recorded = [
            (2024, 128, 1, 0, 0x92b7_1fef_2445_a53b),
            (2024, 128, 9, 0, 0x8f50_7731_7249_5a6d),
            (1, 96, 3, 0, 0x81bc_d444_4a84_5235),
            (7, 224, 2, 0, 0xfbca_e51d_6a14_3faa),
        ];
        for (seed, size, patient, index, expected) in recorded {
            let phantom = render(&cohort(seed, 20, size), &PhantomId { patient, index });
            assert_eq!(fnv(&phantom.pixels), expected, "seed {seed}, size {size}, patient {patient}");
        }
    }

    #[test]
    fn masks_and_attributes_agree_with_the_facts() {
        for size in [96, 128] {
            let cohort = cohort(3, 60, size);
            for id in cohort.images() {
                let phantom = render(&cohort, &id);
                assert_eq!(phantom.pixels.len(), (size * size) as usize);
                assert_eq!(phantom.truths, truths(&cohort, &id));
                assert_eq!((phantom.age, phantom.sex, phantom.view), attributes(&cohort, &id));
                for ((mask, truth), label) in phantom.masks.iter().zip(phantom.truths).zip(LABELS) {
                    let area = mask.as_ref().map_or(0, |mask| mask.iter().filter(|&&inside| inside).count());
                    assert_eq!(area > 0, truth, "{label} of {} at {size}", id.name());
                    assert!(area < phantom.pixels.len() / 4, "{label} of {} covers {area}", id.name());
                    assert!(mask.as_ref().is_none_or(|mask| mask.len() == phantom.pixels.len()));
                }
            }
        }
    }

    #[test]
    fn findings_are_neither_rare_nor_common_and_stay_with_the_patient() {
        let cohort = cohort(11, 2000, 96);
        let images = cohort.images();
        for (finding, label) in LABELS.iter().enumerate() {
            let shown = |id: &PhantomId| truths(&cohort, id)[finding];
            let share = |of: Vec<bool>| of.iter().filter(|&&yes| yes).count() as f64 / of.len() as f64;
            let overall = share(images.iter().map(shown).collect());
            assert!((0.10..0.30).contains(&overall), "{label}: {overall}");
            let pairs = images.windows(2).filter(|pair| pair[0].patient == pair[1].patient && shown(&pair[0]));
            let again = share(pairs.map(|pair| shown(&pair[1])).collect());
            assert!(again > 0.5, "{label}: {overall}, then {again}");
        }
    }

    #[test]
    fn ids_are_ordered_and_named() {
        let images = cohort(2024, 75, 128).images();
        assert!(images.is_sorted());
        assert_eq!(images[0].name(), "phantom-P0001-0");
        assert_eq!(images[0].patient_name(), "P0001");
        for patient in 1..=75 {
            assert!((1..=4).contains(&images.iter().filter(|id| id.patient == patient).count()));
        }
    }

    #[test]
    fn another_seed_is_another_population() {
        let id = PhantomId { patient: 1, index: 0 };
        let (a, b) = (render(&cohort(1, 1, 96), &id).pixels, render(&cohort(2, 1, 96), &id).pixels);
        let far = a.iter().zip(&b).filter(|(a, b)| a.abs_diff(**b) > 8).count();
        assert!(far > a.len() / 4, "{far} pixels differ");
    }

    #[test]
    fn absurd_cohorts_are_refused() {
        for (patients, size) in [(0, 128), (10_000, 128), (u32::MAX, 128), (1, 0), (1, 95), (1, u32::MAX)] {
            assert!(Cohort::new(1, patients, size).is_err(), "{patients} patients of size {size}");
        }
        assert!(cohort(1, 100, 128).after(9_900).is_err() && cohort(1, 100, 128).after(u32::MAX).is_err());
    }

    #[test]
    fn a_cohort_behind_another_has_its_next_patients() {
        let (all, first) = (cohort(5, 40, 128), cohort(5, 30, 128));
        let behind = cohort(5, 10, 128).after(30).unwrap();
        assert_eq!([first.images(), behind.images()].concat(), all.images());
    }
}

//! Where findings are, as radiologists marked it: boxes of ChestX-ray14, masks of SIIM and CheXlocalize.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::csv_file::{CsvFile, read_text};
use crate::error::{Error, Result};
use crate::labels;

/// Masks of more pixels are refused.
const MAX_PIXELS: u64 = 1 << 26;
/// Side of the pictures that ChestX-ray14's boxes and SIIM's masks are drawn on.
const SIDE: usize = 1024;

/// One part of a finding.
#[derive(Debug, Clone, PartialEq)]
enum Shape {
    /// Left, top, right and bottom.
    Box([f64; 4]),
    /// First pixel and length of each run, down one column after the other.
    Runs(Vec<(u64, u64)>),
}

/// Where one finding is in one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// Columns and rows that the shapes are drawn on.
    size: (usize, usize),
    shapes: Vec<Shape>,
}

/// The marked findings of many pictures.
#[derive(Debug, Clone, Default)]
pub struct Regions(HashMap<String, Vec<(String, Region)>>);

impl Regions {
    /// Reads ChestX-ray14's `BBox_List_2017.csv`, SIIM-ACR's `ImageId,EncodedPixels` (its runs are relative to each
    /// other), or CheXlocalize's JSON of COCO run lengths; told apart by their content.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        if text.trim_start().starts_with('{') {
            return Self::chexlocalize(&text).map_err(|e| e.at(path.display()));
        }
        let table = CsvFile::read(path.to_owned())?;
        let runs = ["EncodedPixels", "rle"].iter().find_map(|name| table.column(name).ok());
        match (table.column("Finding Label"), runs) {
            (Ok(label), _) => Self::nih(&table, label),
            (_, Some(runs)) => Self::siim(&table, runs),
            _ => Err(Error::new("neither boxes nor masks that are known here")
                .at(path.display())
                .mend("give ChestX-ray14's BBox_List_2017.csv, SIIM's ImageId,EncodedPixels, or CheXlocalize's JSON")),
        }
    }

    /// The region of `label` in the picture `image` (an id, or its path); `None` where it is not marked.
    pub fn get(&self, image: &str, label: &str) -> Option<&Region> {
        let found = names(image).into_iter().find_map(|name| self.0.get(&name))?;
        found.iter().find(|(name, _)| labels::same(name, label)).map(|(_, region)| region)
    }

    /// Whether `image` has any region.
    pub fn has(&self, image: &str) -> bool {
        names(image).iter().any(|name| self.0.contains_key(name))
    }

    fn add(&mut self, image: &str, label: &str, size: (usize, usize), shape: Shape) {
        let of_image = self.0.entry(image.to_owned()).or_default();
        match of_image.iter_mut().find(|(name, region)| name == label && region.size == size) {
            Some((_, region)) => region.shapes.push(shape),
            None => of_image.push((label.to_owned(), Region { size, shapes: vec![shape] })),
        }
    }

    fn nih(table: &CsvFile, label: usize) -> Result<Self> {
        let image = table.column("Image Index")?;
        // The header's `Bbox [x,y,w,h]` has commas of its own.
        let first = table.column("Bbox [x")?;
        let mut regions = Self::default();
        for row in &table.rows {
            let mut numbers = [0.0; 4];
            for (i, number) in numbers.iter_mut().enumerate() {
                let cell = row.get(first + i);
                *number = cell
                    .parse()
                    .ok()
                    .filter(|v: &f64| v.is_finite() && *v >= 0.0)
                    .ok_or_else(|| table.fault(row, first + i, format!("{cell:?} is no number of pixels")))?;
            }
            let [x, y, w, h] = numbers;
            regions.add(row.get(image), row.get(label), (SIDE, SIDE), Shape::Box([x, y, x + w, y + h]));
        }
        Ok(regions)
    }

    fn siim(table: &CsvFile, column: usize) -> Result<Self> {
        let image = ["ImageId", "image_id", "id"].iter().find_map(|name| table.column(name).ok());
        let image = image.map_or_else(|| table.column("ImageId"), Ok)?;
        let mut regions = Self::default();
        for row in &table.rows {
            let cell = row.get(column);
            // No pneumothorax.
            if cell.is_empty() || cell == "-1" {
                continue;
            }
            let numbers: Option<Vec<u64>> = cell.split_whitespace().map(|n| n.parse().ok()).collect();
            let runs = numbers.filter(|n| n.len() % 2 == 0).and_then(|n| relative(n, (SIDE * SIDE) as u64));
            let runs = runs.ok_or_else(|| table.fault(row, column, "no runs over 1024 x 1024 pixels"))?;
            regions.add(row.get(image), "Pneumothorax", (SIDE, SIDE), Shape::Runs(runs));
        }
        Ok(regions)
    }

    fn chexlocalize(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Mask {
            size: [u64; 2],
            counts: Counts,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Counts {
            Text(String),
            Numbers(Vec<u64>),
        }
        type Masks = std::collections::BTreeMap<String, std::collections::BTreeMap<String, Mask>>;
        let file: Masks = serde_json::from_str(text).map_err(|e| {
            Error::new(e.to_string())
                .mend("give CheXlocalize's segmentations (image, label, `size` and `counts`), not its contours")
        })?;
        let mut regions = Self::default();
        for (image, masks) in file {
            for (label, Mask { size: [height, width], counts }) in masks {
                let fault = |cause: &str| Error::new(cause).at(format_args!("{image}, {label}"));
                let area = height.checked_mul(width).filter(|area| (1..=MAX_PIXELS).contains(area));
                let area = area.ok_or_else(|| fault("the mask's size is out of range"))?;
                let counts = match counts {
                    Counts::Text(text) => coco(&text),
                    Counts::Numbers(numbers) => Some(numbers),
                };
                // Runs outside and inside by turns.
                let runs = counts.and_then(|mut counts| {
                    counts.resize(counts.len().next_multiple_of(2), 0);
                    relative(counts, area)
                });
                let mut runs = runs.ok_or_else(|| fault("the run lengths do not fit the mask"))?;
                runs.retain(|(_, length)| *length > 0);
                if !runs.is_empty() {
                    regions.add(&image, &label, (width as usize, height as usize), Shape::Runs(runs));
                }
            }
        }
        Ok(regions)
    }
}

impl Region {
    /// Which pixels of a picture of `width` x `height` are in the region, by their middles.
    pub fn mask(&self, width: usize, height: usize) -> Vec<bool> {
        let mut own = vec![false; if self.shapes.iter().any(Shape::is_runs) { self.size.0 * self.size.1 } else { 0 }];
        for (first, length) in self.shapes.iter().flat_map(Shape::runs) {
            own[*first as usize..(first + length) as usize].fill(true);
        }
        let (across, down) = (self.size.0 as f64 / width as f64, self.size.1 as f64 / height as f64);
        let inside = |x: usize, y: usize| {
            let (x, y) = ((x as f64 + 0.5) * across, (y as f64 + 0.5) * down);
            // Down the columns.
            let at = (x as usize).min(self.size.0 - 1) * self.size.1 + (y as usize).min(self.size.1 - 1);
            own.get(at) == Some(&true) || self.shapes.iter().any(|shape| shape.surrounds(x, y))
        };
        (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| inside(x, y)).collect()
    }
}

impl Shape {
    fn is_runs(&self) -> bool {
        matches!(self, Self::Runs(_))
    }

    fn runs(&self) -> &[(u64, u64)] {
        match self {
            Self::Runs(runs) => runs,
            Self::Box(_) => &[],
        }
    }

    fn surrounds(&self, x: f64, y: f64) -> bool {
        match self {
            Self::Box([left, top, right, bottom]) => (*left..*right).contains(&x) && (*top..*bottom).contains(&y),
            Self::Runs(_) => false,
        }
    }
}

/// Names under which a picture may be marked: as given, its file name, without extension, and CheXpert's
/// `patient_study_view`.
fn names(image: &str) -> Vec<String> {
    let file = image.rsplit('/').next().unwrap_or(image);
    let without = |name: &str| name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned();
    let parts: Vec<&str> = image.split('/').collect();
    let view = parts[parts.len().saturating_sub(3)..].join("_");
    vec![image.to_owned(), file.to_owned(), without(file), without(&view)]
}

/// Gaps and lengths by turns to first pixels and lengths; `None` if they leave `area` pixels.
fn relative(numbers: Vec<u64>, area: u64) -> Option<Vec<(u64, u64)>> {
    let mut at = 0u64;
    let mut runs = Vec::with_capacity(numbers.len() / 2);
    for pair in numbers.as_chunks::<2>().0 {
        let first = at.checked_add(pair[0])?;
        at = first.checked_add(pair[1]).filter(|end| *end <= area)?;
        runs.push((first, pair[1]));
    }
    Some(runs)
}

/// COCO's letters to run lengths: five bits a letter from `0` on, the sixth says that more follow, and from the fourth
/// length on each is the difference from the last but one.
fn coco(text: &str) -> Option<Vec<u64>> {
    let mut counts: Vec<i64> = Vec::new();
    let mut letters = text.bytes();
    while let Some(mut letter) = letters.next() {
        let (mut value, mut shift) = (0i64, 0);
        loop {
            let bits = i64::from(letter.checked_sub(48).filter(|b| *b < 64)?);
            value |= (bits & 31) << shift;
            shift += 5;
            if bits & 32 == 0 {
                if bits & 16 != 0 {
                    value |= -1 << shift;
                }
                break;
            }
            letter = letters.next().filter(|_| shift < 50)?;
        }
        if counts.len() > 2 {
            value = value.checked_add(counts[counts.len() - 2])?;
        }
        counts.push(value);
    }
    counts.into_iter().map(|c| u64::try_from(c).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(name: &str, text: &str) -> Result<Regions> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Regions::read(&path)
    }

    /// COCO's `rleToString`.
    fn letters(counts: &[i64]) -> String {
        let mut text = String::new();
        for (i, count) in counts.iter().enumerate() {
            let mut x = if i > 2 { count - counts[i - 2] } else { *count };
            loop {
                let mut bits = (x & 31) as u8;
                x >>= 5;
                let more = if bits & 16 != 0 { x != -1 } else { x != 0 };
                bits |= if more { 32 } else { 0 };
                text.push(char::from(bits + 48));
                if !more {
                    break;
                }
            }
        }
        text
    }

    #[test]
    fn boxes_of_chestxray14() {
        let text = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n00013118_008.png,Infiltrate,512,0,256,512,,,\n\
                    00013118_008.png,Infiltrate,0,0,256,256,,,\n";
        let regions = read("BBox_List_2017.csv", text).unwrap();
        let region = regions.get("images_001/00013118_008.png", "Infiltration").unwrap();
        let mask = region.mask(4, 4);
        assert_eq!(
            mask.iter().map(|m| u8::from(*m)).collect::<Vec<_>>(),
            [1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        assert!(regions.get("00013118_008.png", "Mass").is_none() && !regions.has("other.png"));
        let bad = read("b.csv", &text.replace("512,0", "512,x")).unwrap_err().to_string();
        assert!(bad.ends_with("b.csv, line 2, column `y`: \"x\" is no number of pixels"), "{bad}");
    }

    #[test]
    fn masks_of_siim_run_down_the_columns() {
        // The left half, in two rows of one picture.
        let text = format!("ImageId, EncodedPixels\na.b.c,0 {}\na.b.c,{} {}\nnone,-1\n", 1 << 18, 1 << 18, 1 << 18);
        let regions = read("train-rle.csv", &text).unwrap();
        assert_eq!(regions.get("dicom/a.b.c.dcm", "Pneumothorax").unwrap().mask(2, 2), [true, false, true, false]);
        assert!(!regions.has("none"));
        assert!(
            read("r.csv", "ImageId,EncodedPixels\na,5 99999999\n").unwrap_err().to_string().contains("no runs over")
        );
    }

    #[test]
    fn masks_of_chexlocalize() {
        // Four columns of three rows; the middle of the second column and all of the third.
        let file = |counts: &str| {
            format!(
                "{{\"patient1_study1_view1_frontal\": {{\"Airspace Opacity\": {{\"size\": [3, 4], \"counts\": {counts}}}}}}}"
            )
        };
        for counts in [format!("{:?}", letters(&[4, 1, 1, 3, 3])), "[4, 1, 1, 3, 3]".into()] {
            let regions = read("gt.json", &file(&counts)).unwrap();
            let region = regions.get("CheXpert-v1.0/valid/patient1/study1/view1_frontal.jpg", "Lung Opacity").unwrap();
            let mask = region.mask(4, 3);
            assert_eq!(mask.iter().map(|m| u8::from(*m)).collect::<Vec<_>>(), [0, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 0]);
        }
        assert!(read("gt.json", &file("[4, 100]")).unwrap_err().to_string().contains("do not fit"));
        assert!(read("gt.json", &file("[0, 0]").replace("[3, 4]", "[4000000000, 4000000000]")).is_err());
        assert!(read("gt.csv", "a,b\n1,2\n").unwrap_err().to_string().contains("neither boxes nor masks"));
    }

    proptest! {
        #[test]
        fn coco_letters_are_read_back(counts in prop::collection::vec(0i64..1_000_000, 0..40)) {
            let read: Vec<i64> = coco(&letters(&counts)).unwrap().into_iter().map(|c| c as i64).collect();
            prop_assert_eq!(read, counts);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,60}") {
            let _ = coco(&text);
            let _ = Regions::chexlocalize(&text);
        }
    }
}

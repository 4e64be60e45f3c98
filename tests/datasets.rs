//! Dataset cards and readers: real collections, small trees of every layout, and broken input.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use roentgen::cards::dataset::DatasetCard;
use roentgen::data::{Dataset, Sample, Source, load};
use roentgen::predictions::Truth::{self, Negative, Positive, Uncertain, Unmentioned};
use tempfile::TempDir;

use crate::support::shared;

fn bundled(name: &str) -> DatasetCard {
    let path = format!("{}/datasets/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    DatasetCard::parse(&std::fs::read_to_string(path).unwrap(), name).unwrap()
}

/// A folder with these files; an image's bytes play no part.
fn tree(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

/// What goes wrong, on one line, with the folder's name replaced.
fn fault(card: &DatasetCard, folder: &TempDir, split: Option<&str>) -> String {
    let error = load(card, Some(folder.path()), split).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error.replace(&folder.path().display().to_string(), "ROOT")
}

fn ids(dataset: &Dataset) -> Vec<&str> {
    dataset.samples.iter().map(|s| s.id.as_str()).collect()
}

fn truth_of(dataset: &Dataset, id: &str, label: &str) -> Truth {
    let at = dataset.labels.iter().position(|l| l == label).unwrap();
    dataset.samples.iter().find(|s| s.id == id).unwrap().truths[at]
}

fn positives(dataset: &Dataset, label: &str) -> usize {
    let at = dataset.labels.iter().position(|l| l == label).unwrap();
    dataset.samples.iter().filter(|s| s.truths[at] == Positive).count()
}

fn file_of(sample: &Sample) -> &Path {
    match &sample.source {
        Source::File(path) => path,
        Source::Phantom(..) => panic!("a phantom has no file"),
    }
}

#[test]
fn bundled_cards_are_valid_and_say_what_a_person_needs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let card = DatasetCard::read(&path).unwrap();
        assert_eq!(path.file_stem().unwrap(), card.name.as_str());
        assert!(card.source.is_some(), "{}", card.name);
        count += 1;
    }
    assert!(count >= 9);
}

#[test]
fn kermany_has_the_patients_and_labels_of_its_record() {
    let Some(root) = shared().map(|root| root.join("real/kermany")) else { return };
    let card = bundled("kermany-pediatric");
    let test = load(&card, Some(&root), Some("test")).unwrap();
    assert_eq!(test.samples.len(), 624);
    assert!(test.notes.is_empty(), "{:?}", test.notes);
    for (label, n) in [("PNEUMONIA", 390), ("bacteria", 242), ("virus", 148)] {
        assert_eq!(positives(&test, label), n, "{label}");
    }
    let train = load(&card, Some(&root), Some("train")).unwrap();
    assert_eq!((train.samples.len(), positives(&train, "PNEUMONIA")), (5216, 3875));
    let all = load(&card, Some(&root), None).unwrap();
    assert_eq!(all.samples.len(), 5840);
    insta::assert_snapshot!(all.notes.join("\n"), @r"
    split `val` is left out: `val` is not there
    all: 5840 images where the card expects 5856; 16 are missing: a part was probably not downloaded or unpacked
    ");

    let record = std::fs::read_to_string(root.join("manifest.csv")).unwrap();
    let record: HashMap<&str, Vec<&str>> =
        record.lines().skip(1).map(|line| (line.split(',').next().unwrap(), line.split(',').collect())).collect();
    assert_eq!(record.len(), all.samples.len());
    for sample in &all.samples {
        let row = &record[sample.id.as_str()];
        assert_eq!(sample.patient.as_deref(), Some(row[2]), "{}", sample.id);
        let kind = match row[3] {
            "normal" => [Negative; 3],
            "bacteria" => [Positive, Positive, Negative],
            _ => [Positive, Negative, Positive],
        };
        assert_eq!(sample.truths, kind, "{}", sample.id);
    }
    assert!(all.samples.is_sorted_by(|a, b| a.id < b.id));
    let e = load(&card, Some(&root), Some("tset")).unwrap_err().to_string();
    insta::assert_snapshot!(e, @"dataset `kermany-pediatric`: there is no split `tset`; it has test, train, val");
}

#[test]
fn a_folder_without_a_card() {
    let Some(shared) = shared() else { return };
    let card = DatasetCard::from_folder(&shared.join("real/kermany/test")).unwrap();
    let dataset = load(&card, None, None).unwrap();
    assert_eq!(dataset.labels, ["PNEUMONIA"]);
    assert_eq!((dataset.samples.len(), positives(&dataset, "PNEUMONIA")), (624, 390));
    let card = DatasetCard::from_folder(&shared.join("real/covid3/images")).unwrap();
    let dataset = load(&card, None, None).unwrap();
    assert!(dataset.labels.is_empty() && dataset.samples.len() == 20);
}

#[test]
fn nih_original_images() {
    let Some(root) = shared().map(|root| root.join("real/nih")) else { return };
    let mut card = bundled("nih-chestxray14");
    card.nih.as_mut().unwrap().file = "Data_Entry_2017_v2020_subset.csv".into();
    let dataset = load(&card, Some(&root), None).unwrap();
    assert_eq!((dataset.samples.len(), dataset.labels.len()), (40, 14));
    let first = &dataset.samples[0];
    assert_eq!((first.id.as_str(), first.patient.as_deref()), ("00000404_000.png", Some("404")));
    assert_eq!(dataset.attributes, ["age", "sex", "view"]);
    assert_eq!(first.attributes, ["72", "M", "AP"]);
    assert!(file_of(first).ends_with("images/00000404_000.png"));
    for label in ["Atelectasis", "Consolidation", "Effusion", "Mass", "Pleural_Thickening"] {
        assert_eq!(truth_of(&dataset, "00000404_000.png", label), Positive, "{label}");
    }
    assert_eq!(first.truths.iter().filter(|t| **t == Positive).count(), 5);
    assert!(dataset.samples[1].truths.iter().all(|t| *t == Negative), "No Finding");
    insta::assert_snapshot!(dataset.notes.join("\n"), @r"
    all: 40 images where the card expects 112120; 112080 are missing: a part was probably not downloaded or unpacked
    all: 40 patients where the card expects 30805; 30765 are missing: a part was probably not downloaded or unpacked
    ");
}

#[test]
fn real_dicom_files() {
    let Some(root) = shared().map(|root| root.join("real/dicom")) else { return };
    let dataset = load(&bundled("dicom-folder"), Some(&root), None).unwrap();
    let shown: Vec<_> = dataset.samples.iter().map(|s| (&s.id, &s.patient, &s.attributes)).collect();
    insta::assert_debug_snapshot!((&dataset.attributes, shown), @r#"
    (
        [
            "age",
            "sex",
            "view",
        ],
        [
            (
                "1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm",
                Some(
                    "16d7f894-55d7-4d95-8957-d18987f0e981",
                ),
                [
                    "62",
                    "M",
                    "PA",
                ],
            ),
            (
                "Fake_MONOHR1.dcm",
                Some(
                    "16d7f894-55d7-4d95-8957-d18987f0e981",
                ),
                [
                    "62",
                    "M",
                    "PA",
                ],
            ),
        ],
    )
    "#);

    let id = &dataset.samples[1].id;
    let table = tempfile::tempdir().unwrap();
    let row = format!("id,Pneumonia,age\n{},1,77\n", id.strip_suffix(".dcm").unwrap());
    std::fs::write(table.path().join("labels.csv"), row).unwrap();
    let card = table.path().join("card.toml");
    std::fs::write(
        &card,
        r#"
        schema = "roentgen/dataset/1"
        name = "d"
        layout = "dicom"
        licence = "x"
        labels = ["Pneumonia"]
        [dicom]
        match = "stem"
        [table]
        file = "labels.csv"
        image = "id"
        attributes = { age = "age" }
        "#,
    )
    .unwrap();
    let labelled = load(&DatasetCard::read(&card).unwrap(), Some(&root), None).unwrap();
    assert_eq!(ids(&labelled), [id]);
    assert_eq!(labelled.samples[0].truths, [Positive]);
    assert_eq!(labelled.samples[0].attributes[0], "77");
    insta::assert_snapshot!(labelled.notes.join("\n"), @"DICOM files that are not in the table and are left out: 1");
}

#[test]
fn phantoms_need_no_folder() {
    let dataset = load(&bundled("phantom"), None, None).unwrap();
    assert!(dataset.samples.len() > 300);
    assert_eq!(dataset.labels.len(), dataset.samples[0].truths.len());
    assert_eq!(dataset.attributes, ["age", "sex", "view"]);
    let patients: std::collections::HashSet<_> = dataset.samples.iter().map(|s| &s.patient).collect();
    assert_eq!(patients.len(), 300);
    insta::assert_snapshot!(load(&bundled("phantom"), None, Some("test")).unwrap_err(), @"dataset `phantom`: there is no split `test`; it has no splits: leave --split out");
}

const NIH_HEADER: &str = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position\n";

fn nih(rows: &str) -> String {
    format!("{NIH_HEADER}{rows}")
}

#[test]
fn nih_lists_and_folders() {
    let rows = nih("a_0.png,Hernia|Mass,0,1,058Y,M,PA\nb_0.png,No Finding,0,2,58,F,AP\nc_0.png,Edema,1,2,59,F,AP\n");
    let folder = tree(&[
        ("Data_Entry_2017_v2020.csv", &rows),
        ("test_list.txt", "c_0.png\r\na_0.png\r\n"),
        ("images_001/images/a_0.png", ""),
        ("images_002/images/b_0.png", ""),
        ("images_002/images/c_0.png", ""),
        ("images_002/images/._c_0.png", ""),
    ]);
    #[cfg(unix)]
    {
        // A loop, and a second way to the same file.
        std::os::unix::fs::symlink(folder.path(), folder.path().join("images_002/loop")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("images_001/images/a_0.png"), folder.path().join("a_0.png"))
            .unwrap();
    }
    let card = bundled("nih-chestxray14");
    let test = load(&card, Some(folder.path()), Some("test")).unwrap();
    assert_eq!(ids(&test), ["a_0.png", "c_0.png"]);
    assert_eq!(test.samples[0].attributes, ["58", "M", "PA"]);
    assert_eq!(truth_of(&test, "a_0.png", "Hernia"), Positive);
    insta::assert_snapshot!(test.notes.join("\n"), @r"
    test: 2 images where the card expects 25596; 25594 are missing: a part was probably not downloaded or unpacked
    test: 2 patients where the card expects 2797; 2795 are missing: a part was probably not downloaded or unpacked
    ");

    insta::assert_snapshot!(fault(&card, &folder, Some("val")), @"dataset `nih-chestxray14`: there is no split `val`; it has test, train_val");
    std::fs::write(folder.path().join("test_list.txt"), "a_0.png\nx_0.png\ny_0.png\n").unwrap();
    insta::assert_snapshot!(fault(&card, &folder, Some("test")), @"dataset `nih-chestxray14`, ROOT/test_list.txt, line 2: `x_0.png` is not in ROOT/Data_Entry_2017_v2020.csv (2 of 3 are not); use the table and the list of the same release");
    std::fs::remove_file(folder.path().join("test_list.txt")).unwrap();
    insta::assert_snapshot!(fault(&card, &folder, Some("test")), @"dataset `nih-chestxray14`: `test_list.txt` is not in ROOT; give the folder that holds it with --root");
    std::fs::remove_file(folder.path().join("images_002/images/c_0.png")).unwrap();
    insta::assert_snapshot!(fault(&card, &folder, None), @"dataset `nih-chestxray14`, ROOT/Data_Entry_2017_v2020.csv, line 4: image `c_0.png` is not below ROOT (1 of 3 are missing); give the folder that holds the images with --root");
    std::fs::write(folder.path().join("images_001/c_0.png"), "").unwrap();
    std::fs::write(folder.path().join("images_002/c_0.png"), "").unwrap();
    insta::assert_snapshot!(fault(&card, &folder, None), @"dataset `nih-chestxray14`, ROOT/Data_Entry_2017_v2020.csv, line 4: image `c_0.png` is there twice: ROOT/images_001/c_0.png and ROOT/images_002/c_0.png; give a --root that holds only one of them");
}

#[test]
fn faults_of_tables_name_line_and_column() {
    let card = bundled("nih-chestxray14");
    let with = |bytes: &[u8]| {
        let folder = tree(&[("a_0.png", ""), ("b_0.png", "")]);
        std::fs::write(folder.path().join("Data_Entry_2017_v2020.csv"), bytes).unwrap();
        fault(&card, &folder, None)
    };
    let twice = nih("a_0.png,Mass,0,1,58,M,PA\n\nb_0.png,Mass,0,1,58,M,PA\na_0.png,Mass,0,1,58,M,PA\n");
    insta::assert_snapshot!(with(twice.as_bytes()), @"dataset `nih-chestxray14`, ROOT/Data_Entry_2017_v2020.csv, line 5, column `Image Index`: `a_0.png` is there twice, first in line 2; mend the table");
    insta::assert_snapshot!(with(nih("a_0.png,Mass|Tumour,0,1,58,M,PA\n").as_bytes()), @"dataset `nih-chestxray14`, ROOT/Data_Entry_2017_v2020.csv, line 2, column `Finding Labels`: unknown label `Tumour`; known are Atelectasis, Cardiomegaly, Effusion, Infiltration, Mass, Nodule, Pneumonia, Pneumothorax, Consolidation, Edema, Emphysema, Fibrosis, Pleural_Thickening, Hernia, No Finding");
    insta::assert_snapshot!(with(nih("a_0.png,Mass,0,1,58,M,PA\nb_0.png,Mass,0,1\n").as_bytes()), @"dataset `nih-chestxray14`, ROOT/Data_Entry_2017_v2020.csv, line 3: 4 cells where the header has 7; mend the row; a quote or a delimiter may be missing");
    insta::assert_snapshot!(with(nih(",Mass,0,1,58,M,PA\n").as_bytes()), @"dataset `nih-chestxray14`, ROOT/Data_Entry_2017_v2020.csv, line 2, column `Image Index`: the cell is empty; name the image or remove the row");
    insta::assert_snapshot!(with(b"Image Index,Labels\na_0.png,Mass\n"), @"dataset `nih-chestxray14`, ROOT/Data_Entry_2017_v2020.csv: the column `Patient ID` is not there; the table has `Image Index`, `Labels`; mend the card or take the table of that release");
    insta::assert_snapshot!(with(b""), @"dataset `nih-chestxray14`, ROOT/Data_Entry_2017_v2020.csv: the table is empty; download it again");
    insta::assert_snapshot!(with(nih("").as_bytes()), @"dataset `nih-chestxray14`: no image is selected; check --root, --split and the card");
    insta::assert_snapshot!(with(&[nih("a_0.png,Mass").as_bytes(), b"\xff\n"].concat()), @"dataset `nih-chestxray14`, ROOT/Data_Entry_2017_v2020.csv, line 2: the text is not UTF-8; save the table as UTF-8");
    insta::assert_snapshot!(with(b"\x1f\x8b\x08broken"), @"dataset `nih-chestxray14`, ROOT/Data_Entry_2017_v2020.csv: unexpected end of file; download the file again");
    insta::assert_snapshot!(fault(&card, &tree(&[("a.png", "")]), None), @"dataset `nih-chestxray14`: `Data_Entry_2017_v2020.csv` is not in ROOT; give the folder that holds it with --root");
    let e = load(&card, Some(Path::new("/no/such/folder")), None).unwrap_err();
    insta::assert_snapshot!(e, @"/no/such/folder: there is no such folder; mend --root");
    insta::assert_snapshot!(load(&card, None, None).unwrap_err(), @"dataset `nih-chestxray14`: it is not known where its images are; give their folder with --root");
}

#[test]
fn folders_with_strange_content() {
    let card = bundled("kermany-pediatric");
    let image = "train/NORMAL/IM-0115-0001.jpeg";
    insta::assert_snapshot!(fault(&card, &tree(&[(image, ""), ("train/COVID/a.png", "")]), Some("train")), @"dataset `kermany-pediatric`, ROOT/train: the folder `COVID` is no class of the card; the classes are NORMAL, PNEUMONIA; add it to `folders.classes` or take it away");
    insta::assert_snapshot!(fault(&card, &tree(&[(image, ""), ("train/a.png", "")]), Some("train")), @"dataset `kermany-pediatric`, ROOT/train/a.png: the image lies beside the class folders; put it into one of NORMAL, PNEUMONIA");
    insta::assert_snapshot!(fault(&card, &tree(&[("train/NORMAL/other.png", "")]), Some("train")), @r"dataset `kermany-pediatric`, ROOT/train/NORMAL/other.png: the name does not fit `folders.patient` (^((?:NORMAL2-)?IM-\d+|person\d+_(?:bacteria|virus))); mend the pattern, or take the file away");
    insta::assert_snapshot!(fault(&card, &tree(&[(image, "")]), Some("test")), @"dataset `kermany-pediatric`, ROOT/test: there is no such folder; give the folder that holds `test` with --root");
    insta::assert_snapshot!(fault(&card, &tree(&[("images/a.png", "")]), None), @"dataset `kermany-pediatric`, ROOT/test: there is no such folder; give the folder that holds `test` with --root");
    insta::assert_snapshot!(fault(&card, &tree(&[("train/NORMAL/notes.txt", "")]), Some("train")), @"dataset `kermany-pediatric`: no image is selected; check --root, --split and the card");
    let hidden = tree(&[(image, ""), ("train/.DS_Store", ""), ("__MACOSX/train/NORMAL/._a.jpeg", "")]);
    assert_eq!(load(&card, Some(hidden.path()), Some("train")).unwrap().samples.len(), 1);
}

#[test]
fn chexpert_keeps_uncertain_and_unmentioned_apart() {
    let findings = bundled("chexpert").labels;
    let header = format!("Path,Sex,Age,Frontal/Lateral,AP/PA,{}\n", findings.join(","));
    let blanks = ",".repeat(findings.len() - 3);
    let name = |i: u32| format!("CheXpert-v1.0-small/train/patient0000{i}/study2/view1_frontal.jpg");
    let train = format!(
        "{header}{},Female,68,Frontal,AP,1.0,0.0,-1.0{blanks}\n{},Male,87,Lateral,,,,{blanks}\n",
        name(1),
        name(2)
    );
    // The test set's table has no age and sex.
    let test = "Path,Edema,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Consolidation,Pneumonia,\
                Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices\n\
                CheXpert-v1.0-small/test/patient9/study1/view1_frontal.jpg,1,0,0,0,0,0,0,0,0,0,0,0,0,0\n";
    let card = bundled("chexpert");
    for prefix in ["", "CheXpert-v1.0-small/"] {
        let at = |name: &str| format!("{prefix}{name}");
        let folder = tree(&[
            (&at("train.csv"), &train),
            (&at("test.csv"), test),
            (&at("train/patient00001/study2/view1_frontal.jpg"), ""),
            (&at("train/patient00002/study2/view1_frontal.jpg"), ""),
            (&at("test/patient9/study1/view1_frontal.jpg"), ""),
        ]);
        let all = load(&card, Some(folder.path()), None).unwrap();
        assert_eq!(all.samples.len(), 3);
        let first = load(&card, Some(folder.path()), Some("train")).unwrap().samples.remove(0);
        assert_eq!(first.id, name(1));
        assert_eq!(first.truths[..4], [Positive, Negative, Uncertain, Unmentioned]);
        assert_eq!(first.patient.as_deref(), Some("patient00001"));
        assert_eq!(first.study.as_deref(), Some("patient00001/study2"));
        assert_eq!(all.attributes, ["age", "projection", "sex", "view"]);
        assert_eq!(first.attributes, ["68", "Frontal", "Female", "AP"]);
        assert_eq!(truth_of(&all, "CheXpert-v1.0-small/test/patient9/study1/view1_frontal.jpg", "Edema"), Positive);
        assert_eq!(all.notes, ["split `valid` is left out: `valid.csv` is not there"]);
    }
    let with = |from: &str, to: &str| {
        let folder = tree(&[("train.csv", &train.replacen(from, to, 1))]);
        fault(&card, &folder, Some("train"))
    };
    insta::assert_snapshot!(with("", ""), @"dataset `chexpert`, ROOT/train.csv, line 2: image `CheXpert-v1.0-small/train/patient00001/study2/view1_frontal.jpg` is not below ROOT (2 of 2 are missing); give the folder that holds the images with --root");
    insta::assert_snapshot!(with("-1.0", "2.0"), @"dataset `chexpert`, ROOT/train.csv, line 2, column `Cardiomegaly`: `2.0` is no truth; write 1, 0, -1 (uncertain) or nothing (not mentioned)");
    insta::assert_snapshot!(with("patient00001/study2", "00001"), @"dataset `chexpert`, ROOT/train.csv, line 2, column `Path`: `CheXpert-v1.0-small/train/00001/view1_frontal.jpg` does not tell patient and study; use the official table: its paths are .../patient00001/study1/view1_frontal.jpg");
    insta::assert_snapshot!(with("Lung Lesion", "Lesion"), @"dataset `chexpert`, ROOT/train.csv: the column `Lung Lesion` is not there; the table has `Path`, `Sex`, `Age`, `Frontal/Lateral`, `AP/PA`, `No Finding`, `Enlarged Cardiomediastinum`, `Cardiomegaly`, `Lung Opacity`, `Lesion`, `Edema`, `Consolidation`, ...; mend the card or take the table of that release");
}

#[test]
fn rsna_boxes_are_merged() {
    let table = "patientId,x,y,width,height,Target\na,,,,,0\nb,1,2,3,4,1\nb,5,6,7,8,1\n";
    let folder = tree(&[
        ("stage_2_train_labels.csv", table),
        ("stage_2_train_images/a.dcm", ""),
        ("stage_2_train_images/b.dcm", ""),
    ]);
    let dataset = load(&bundled("rsna-pneumonia"), Some(folder.path()), None).unwrap();
    assert_eq!(ids(&dataset), ["a", "b"]);
    assert_eq!((truth_of(&dataset, "a", "Pneumonia"), truth_of(&dataset, "b", "Pneumonia")), (Negative, Positive));
    assert!(file_of(&dataset.samples[1]).ends_with("stage_2_train_images/b.dcm"));
    assert!(dataset.samples[0].patient.is_none());
}

#[test]
fn vindr_radiologists_are_merged() {
    let table = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max\n\
                 a,No finding,14,R1,,,,\na,ILD,5,R2,1,2,3,4\nb,No finding,14,R1,,,,\n\
                 a,Nodule/Mass,8,R2,1,2,3,4\n";
    let folder = tree(&[("train.csv", table), ("train/a.png", ""), ("train/b.dicom", "")]);
    let dataset = load(&bundled("vinbigdata"), Some(folder.path()), None).unwrap();
    assert_eq!(ids(&dataset), ["a", "b"]);
    assert_eq!((positives(&dataset, "ILD"), positives(&dataset, "Nodule/Mass")), (1, 1));
    assert!(dataset.samples[1].truths.iter().all(|t| *t == Negative));

    let card = bundled("vindr-cxr");
    let zeros = ",0".repeat(card.labels.len() - 1);
    let header = card.labels.join(",");
    let train = format!("image_id,rad_id,{header},Other diseases\na,R1,0{zeros},1\na,R2,1{zeros},0\n");
    let folder = tree(&[("annotations/image_labels_train.csv", &train), ("train/a.dicom", "")]);
    let dataset = load(&card, Some(folder.path()), Some("train")).unwrap();
    assert_eq!((dataset.samples.len(), positives(&dataset, "Aortic enlargement")), (1, 1));
}

#[test]
fn padchest_lists_and_gzip() {
    let table = ",ImageID,ImageDir,StudyID,PatientID,PatientBirth,PatientSex_DICOM,Projection,MethodLabel,Labels\n\
                 0,a.png,0,s1,p1,1950.0,M,PA,Physician,\"['pleural effusion', ' cardiomegaly ', 'suture material']\"\n\
                 1,b.png,1,s2,p2,1960.0,F,L,RNN_model,['normal']\n2,c.png,1,s2,p2,1960.0,F,L,RNN_model,\n";
    let folder = tree(&[("0/a.png", ""), ("1/b.png", ""), ("1/c.png", "")]);
    let path = folder.path().join("PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz");
    let mut gz = flate2::write::GzEncoder::new(std::fs::File::create(path).unwrap(), flate2::Compression::fast());
    gz.write_all(b"\xef\xbb\xbf").unwrap();
    gz.write_all(table.replace('\n', "\r\n").as_bytes()).unwrap();
    gz.finish().unwrap();
    let dataset = load(&bundled("padchest"), Some(folder.path()), None).unwrap();
    assert_eq!(ids(&dataset), ["a.png", "b.png", "c.png"]);
    assert_eq!(dataset.samples[0].truths.iter().filter(|t| **t == Positive).count(), 2);
    assert_eq!(truth_of(&dataset, "a.png", "pleural effusion"), Positive);
    assert_eq!(truth_of(&dataset, "b.png", "cardiomegaly"), Negative);
    assert_eq!(truth_of(&dataset, "c.png", "cardiomegaly"), Unmentioned);
    assert_eq!(dataset.samples[0].study.as_deref(), Some("s1"));
}

#[test]
fn mimic_joins_labels_and_split() {
    let card = bundled("mimic-cxr");
    let labels = format!("subject_id,study_id,{}\n10,50,1.0,-1.0{}\n", card.labels.join(","), ",".repeat(12));
    let folder = tree(&[
        (
            "mimic-cxr-2.0.0-metadata.csv",
            "dicom_id,subject_id,study_id,ViewPosition\nd-1,10,50,PA\nd-2,10,50,LATERAL\nd-3,11,51,AP\n",
        ),
        ("mimic-cxr-2.0.0-chexpert.csv", &labels),
        (
            "mimic-cxr-2.0.0-split.csv",
            "dicom_id,study_id,subject_id,split\nd-1,50,10,test\nd-2,50,10,test\nd-3,51,11,train\n",
        ),
        ("files/p10/p10/s50/d-1.jpg", ""),
        ("files/p10/p10/s50/d-2.jpg", ""),
        ("files/p11/p11/s51/d-3.jpg", ""),
    ]);
    let test = load(&card, Some(folder.path()), Some("test")).unwrap();
    assert_eq!(ids(&test), ["d-1", "d-2"]);
    assert_eq!(test.samples[1].truths[..3], [Positive, Uncertain, Unmentioned]);
    assert_eq!((test.samples[0].patient.as_deref(), test.samples[0].study.as_deref()), (Some("10"), Some("50")));
    let train = load(&card, Some(folder.path()), Some("train")).unwrap();
    assert!(train.samples[0].truths.iter().all(|t| *t == Unmentioned));
    insta::assert_snapshot!(fault(&card, &folder, Some("valid")), @"dataset `mimic-cxr`: there is no split `valid`; it has test, train");
}

#[test]
fn a_table_of_ones_own() {
    let card = bundled("table-example");
    let table = "\u{feff}view;image;Pleural Effusion;patient;Pneumonia;age;sex;fold\r\n\
                 PA;a/0001.png;1;p1;0;058;F;test\r\nAP;b/0001.png;-1;p2;;70;M;train\r\n";
    let folder = tree(&[("labels.csv", table), ("a/0001.png", ""), ("b/0001.png", "")]);
    let dataset = load(&card, Some(folder.path()), None).unwrap();
    assert_eq!(ids(&dataset), ["a/0001.png", "b/0001.png"]);
    assert_eq!(dataset.samples[0].attributes, ["58", "F", "PA"]);
    assert_eq!(dataset.samples[1].truths, [Uncertain, Unmentioned]);
    assert_eq!(ids(&load(&card, Some(folder.path()), Some("test")).unwrap()), ["a/0001.png"]);
    let with = |from: &str, to: &str| {
        std::fs::write(folder.path().join("labels.csv"), table.replacen(from, to, 1)).unwrap();
        fault(&card, &folder, None)
    };
    insta::assert_snapshot!(with("PA;a/0001.png;1", "PA;a/0001.png;yes"), @"dataset `table-example`, ROOT/labels.csv, line 2, column `Pleural Effusion`: `yes` is no truth; write 1, 0, -1 (uncertain) or nothing (not mentioned)");
    insta::assert_snapshot!(with("b/0001.png", "a/0001.png"), @"dataset `table-example`, ROOT/labels.csv, line 3, column `image`: `a/0001.png` is there twice, first in line 2; mend the table");
    insta::assert_snapshot!(with("b/0001.png", "b/0002.png"), @"dataset `table-example`, ROOT/labels.csv, line 3: image `b/0002.png` is not below ROOT (1 of 2 are missing); give the folder that holds the images with --root");
    insta::assert_snapshot!(with("patient", "person"), @"dataset `table-example`, ROOT/labels.csv: the column `patient` is not there; the table has `view`, `image`, `Pleural Effusion`, `person`, `Pneumonia`, `age`, `sex`, `fold`; mend the card or take the table of that release");
    insta::assert_snapshot!(with("view", "age"), @"dataset `table-example`, ROOT/labels.csv: the column `age` is there twice; the table has `age`, `image`, `Pleural Effusion`, `patient`, `Pneumonia`, `age`, `sex`, `fold`; mend the card or take the table of that release");
}

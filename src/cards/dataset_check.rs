//! What makes a dataset card valid, beyond its keys being known.

use regex::Regex;

use super::dataset::{DatasetCard, Folders, Layout, SCHEMA, Table, WHOLE};
use crate::error::{Error, Result};

impl DatasetCard {
    pub(super) fn check(&self) -> Result<()> {
        super::check_schema(&self.schema, SCHEMA)?;
        let plain = |c: char| c.is_alphanumeric() || "-_. ".contains(c);
        if self.name.trim() != self.name || self.name.is_empty() || !self.name.chars().all(plain) {
            return Err(bad("name", format!("{:?} is no name", self.name)).mend("use letters, digits, - _ ."));
        }
        if !self.labels.is_empty() {
            super::check_labels(&self.labels)?;
        }
        self.check_layout()?;
        match self.layout {
            Layout::Folders => self.check_folders(self.of_layout(&self.folders)?)?,
            Layout::Nih => check_splits("nih.lists", self.of_layout(&self.nih)?.lists.keys())?,
            Layout::Chexpert => {
                let files = &self.of_layout(&self.chexpert)?.files;
                check_splits("chexpert.files", files.keys())?;
                if files.is_empty() {
                    return Err(bad("chexpert.files", "no table is given").mend("give one a split"));
                }
            }
            Layout::Table => self.check_table(self.of_layout(&self.table)?)?,
            Layout::Dicom => {
                self.of_layout(&self.dicom)?;
                match &self.table {
                    Some(table) => self.check_table(table)?,
                    None if self.labels.is_empty() => {}
                    None => return Err(bad("labels", "DICOM files tell no labels").mend("add a [table] or use []")),
                }
            }
            Layout::Phantom => {
                self.of_layout(&self.phantom)?;
            }
        }
        self.check_expected()
    }

    /// Counts are compared by the name of the split: a wrong name would never be.
    fn check_expected(&self) -> Result<()> {
        let Some(splits) = self.splits() else { return Ok(()) };
        match self.expected.keys().find(|part| *part != WHOLE && !splits.contains(&part.as_str())) {
            None => Ok(()),
            Some(part) => Err(bad("expected", format!("{part:?} is no split of the card"))
                .mend(format!("use {WHOLE}{}", splits.iter().map(|s| format!(", {s}")).collect::<String>()))),
        }
    }

    /// The layout's table is there, and none of another layout.
    fn check_layout(&self) -> Result<()> {
        let tables = [
            (Layout::Folders, self.folders.is_some()),
            (Layout::Nih, self.nih.is_some()),
            (Layout::Chexpert, self.chexpert.is_some()),
            (Layout::Table, self.table.is_some()),
            (Layout::Dicom, self.dicom.is_some()),
            (Layout::Phantom, self.phantom.is_some()),
        ];
        for (layout, there) in tables {
            let allowed = layout == self.layout || (layout == Layout::Table && self.layout == Layout::Dicom);
            if there && !allowed {
                let own = self.layout.key();
                return Err(bad(&format!("[{}]", layout.key()), format!("this table does not go with layout `{own}`"))
                    .mend("remove it or change `layout`"));
            }
        }
        Ok(())
    }

    fn check_folders(&self, folders: &Folders) -> Result<()> {
        check_splits("folders.splits", folders.splits.keys())?;
        for (class, labels) in &folders.classes {
            for label in labels {
                self.check_label(&format!("folders.classes.{class}"), label)?;
            }
        }
        for (label, pattern) in &folders.patterns {
            let key = format!("folders.patterns.{label}");
            self.check_label(&key, label)?;
            regex(&key, pattern)?;
        }
        if let Some(pattern) = &folders.patient {
            let groups = regex("folders.patient", pattern)?.captures_len() - 1;
            if groups != 1 {
                return Err(bad("folders.patient", format!("{groups} groups"))
                    .mend("put one pair of brackets around the patient; (?:...) makes no group"));
            }
        }
        Ok(())
    }

    fn check_table(&self, table: &Table) -> Result<()> {
        let key = |name: &str| format!("table.{name}");
        match (&table.file, table.files.is_empty()) {
            (None, true) => return Err(bad("table.file", "no table is given").mend("add `file` or `files`")),
            (Some(_), false) => return Err(bad("table.files", "both `file` and `files` are given").mend("keep one")),
            _ => {}
        }
        let ways = [!table.files.is_empty(), table.split.is_some(), !table.lists.is_empty()];
        if ways.iter().filter(|w| **w).count() > 1 {
            return Err(bad("table", "`files`, `split` and `lists` all tell splits").mend("keep one of them"));
        }
        check_splits(&key("files"), table.files.keys())?;
        check_splits(&key("lists"), table.lists.keys())?;
        for label in table.columns.keys() {
            self.check_label(&key("columns"), label)?;
        }
        if table.list.is_some() && !table.columns.is_empty() {
            return Err(bad("table.columns", "`columns` and `list` both tell labels").mend("keep one"));
        }
        if table.list.as_ref().is_some_and(|l| l.separator.as_deref() == Some("")) {
            return Err(bad("table.list.separator", "it is empty").mend("leave it out for one label a cell"));
        }
        for name in table.attributes.keys() {
            let reserved = ["image", "id", "sha256", "patient", "study"].contains(&name.as_str());
            if reserved || ["y_", "p_", "logit_"].iter().any(|p| name.starts_with(p)) {
                return Err(bad("table.attributes", format!("{name:?} is a column of every table"))
                    .mend("give the attribute another name"));
            }
        }
        if let Some(i) = table.join.iter().position(|j| j.on.is_empty()) {
            return Err(bad(&format!("table.join[{i}].on"), "no column is given").mend("name the columns in common"));
        }
        Ok(())
    }

    fn check_label(&self, key: &str, label: &str) -> Result<()> {
        match self.labels.iter().any(|l| l == label) {
            true => Ok(()),
            false => Err(bad(key, format!("{label:?} is none of the card's labels")).mend("add it to `labels`")),
        }
    }
}

/// A split needs a name that a command line can give.
fn check_splits<'a>(key: &str, names: impl Iterator<Item = &'a String>) -> Result<()> {
    for name in names {
        if name == WHOLE || name.is_empty() || name.trim() != name {
            return Err(bad(key, format!("{name:?} cannot name a split")).mend("give the split another name"));
        }
    }
    Ok(())
}

/// Compiles the pattern that stands under `key` of a card.
pub fn regex(key: &str, pattern: &str) -> Result<Regex> {
    Regex::new(pattern).map_err(|e| {
        // The library draws a picture over several lines; its last line is the reason.
        let reason = e.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        bad(key, format!("{pattern:?} is no regular expression: {reason}")).mend("mend the pattern")
    })
}

fn bad(key: &str, cause: impl Into<String>) -> Error {
    Error::new(cause).at(format_args!("`{key}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: &str = r#"
        schema = "roentgen/dataset/1"
        name = "k"
        layout = "folders"
        licence = "CC-BY-4.0"
        redistribution = true
        labels = ["PNEUMONIA", "bacteria", "virus"]
        [folders]
        splits = { train = "train", test = "test" }
        classes = { NORMAL = [], PNEUMONIA = ["PNEUMONIA"] }
        patterns = { bacteria = '_bacteria_', virus = '_virus_' }
        patient = '^((?:NORMAL2-)?IM-\d+|person\d+_(?:bacteria|virus))'
        [expected]
        test = { images = 624 }
    "#;

    const TABLE: &str = r#"
        schema = "roentgen/dataset/1"
        name = "t"
        layout = "table"
        licence = "x"
        labels = ["A", "B"]
        [table]
        file = "t.csv"
        image = "id"
        attributes = { age = "Age" }
        columns = { A = "a" }
        [[table.join]]
        file = "u.csv"
        on = ["id"]
    "#;

    #[test]
    fn cards_survive_writing_and_reading() {
        for text in [CARD, TABLE] {
            let card = DatasetCard::parse(text, "x.toml").unwrap();
            let again = DatasetCard::parse(&toml::to_string(&card).unwrap(), "again").unwrap();
            assert_eq!(card, again);
        }
    }

    #[test]
    fn faults_name_file_key_and_mend() {
        let fault = |card: &str, from: &str, to: &str| {
            assert!(card.contains(from), "{from}");
            DatasetCard::parse(&card.replacen(from, to, 1), "x.toml").unwrap_err().to_string()
        };
        for (from, to, says) in [
            ("dataset/1", "dataset/2", "x.toml, `schema`: `roentgen/dataset/2` is not known here; write"),
            ("name = \"k\"", "name = \"a/b\"", "`name`"),
            (
                "layout = \"folders\"",
                "layout = \"nih\"",
                "`[folders]`: this table does not go with layout `nih`; remove",
            ),
            ("layout = \"folders\"", "layout = \"heap\"", "heap"),
            (
                "[\"PNEUMONIA\"] }",
                "[\"Mass\"] }",
                "`folders.classes.PNEUMONIA`: \"Mass\" is none of the card's labels; add",
            ),
            ("'_virus_'", "'_virus_('", "`folders.patterns.virus`"),
            ("IM-\\d+|", "IM-(\\d+)|", "`folders.patient`: 2 groups; put one"),
            ("train = \"train\"", "all = \"train\"", "`folders.splits`: \"all\" cannot name a split"),
            ("patterns", "paterns", "paterns"),
            ("images = 624", "image = 624", "image"),
            (
                "test = { images",
                "tset = { images",
                "`expected`: \"tset\" is no split of the card; use all, test, train",
            ),
        ] {
            let e = fault(CARD, from, to);
            assert!(e.contains(says) && e.starts_with("x.toml") && e.lines().count() == 1, "{from} -> {to}: {e}");
        }
        for (from, to, says) in [
            ("file = \"t.csv\"", "", "`table.file`: no table is given"),
            ("file = \"t.csv\"", "file = \"t\"\nfiles = { a = \"b\" }", "`table.files`"),
            ("file = \"t.csv\"", "files = { a = \"b\" }\nsplit = \"s\"", "keep one of them"),
            ("A = \"a\"", "C = \"a\"", "`table.columns`"),
            ("{ age", "{ y_A = \"u\", age", "`table.attributes`"),
            ("on = [\"id\"]", "on = []", "`table.join[0].on`"),
            ("[table]", "[dicom]\n[table]", "`[dicom]`"),
            ("layout = \"table\"", "layout = \"dicom\"", "`[dicom]`: layout `dicom` needs this table; add it"),
        ] {
            let e = fault(TABLE, from, to);
            assert!(e.contains(says), "{from} -> {to}: {e}");
        }
    }
}

//! What the opened table is held against: another run, and a published table.

use std::sync::Arc;

use crate::audit::reproduction::{Item, Reproduction};
use crate::cards::published::PublishedTable;
use crate::error::Result;
use crate::labels;
use crate::metrics::compare::Comparison;
use crate::tui::analysis::Analysis;
use crate::tui::jobs::{Jobs, News};
use crate::tui::published;

/// What is chosen, and how it compares.
#[derive(Default)]
pub struct Beside {
    /// Another table.
    pub pinned: Option<Arc<Analysis>>,
    /// AUROC of each label less that of the pinned table.
    pub differences: Vec<Option<Comparison>>,
    /// A published table.
    pub published: Option<Published>,
}

/// A published table that was chosen.
pub struct Published {
    /// A bundled one's name or the path of a card.
    pub name: String,
    /// The card.
    pub table: Arc<PublishedTable>,
    /// Its numbers against those of the opened table, once they are compared.
    pub found: Option<Result<Box<Reproduction>>>,
}

impl Published {
    /// How the numbers of a label compare.
    pub fn items(&self, label: &str) -> impl Iterator<Item = &Item> {
        let found = self.found.iter().filter_map(|found| found.as_ref().ok()).flat_map(|found| &found.labels);
        found.filter(move |item| labels::same(&item.label, label))
    }
}

impl Beside {
    /// Forgets how things compare: the opened table is another one.
    pub fn forget(&mut self) {
        self.differences.clear();
        self.published.iter_mut().for_each(|p| p.found = None);
    }

    /// Starts the comparisons with the table that is `opened` now.
    pub fn compare(&mut self, opened: Option<&Arc<Analysis>>, jobs: &mut Jobs) {
        let (pinned, published) = (self.pinned.take(), self.published.take());
        self.pin(pinned, opened, jobs);
        self.hold_against(published, opened, jobs);
    }

    /// Pins a table to compare with, or takes it away.
    pub fn pin(&mut self, other: Option<Arc<Analysis>>, opened: Option<&Arc<Analysis>>, jobs: &mut Jobs) {
        self.differences.clear();
        self.pinned = other;
        if let (Some(a), Some(b)) = (opened.cloned(), self.pinned.clone()) {
            jobs.start(move |_| {
                let differences = a.differences(&b);
                News::Compared([a, b], differences)
            });
        }
    }

    /// Chooses a published table, or none.
    pub fn hold_against(&mut self, chosen: Option<Published>, opened: Option<&Arc<Analysis>>, jobs: &mut Jobs) {
        self.published = chosen;
        if let (Some(analysis), Some(published)) = (opened.cloned(), &mut self.published) {
            published.found = None;
            let (name, table) = (published.name.clone(), published.table.clone());
            jobs.start(move |_| {
                let found = published::hold(&table, &name, &analysis).map(Box::new);
                News::Reproduced(analysis, name, found)
            });
        }
    }

    /// Takes the differences, if they are those of the tables that are shown.
    pub fn take_differences(
        &mut self,
        opened: Option<&Arc<Analysis>>,
        of: &[Arc<Analysis>; 2],
        differences: Vec<Option<Comparison>>,
    ) {
        let shown = |now: Option<&Arc<Analysis>>, of| now.is_some_and(|now| Arc::ptr_eq(now, of));
        if shown(opened, &of[0]) && shown(self.pinned.as_ref(), &of[1]) {
            self.differences = differences;
        }
    }

    /// Takes how a table compares with the published one of this name, if both are those that are shown.
    pub fn take_reproduction(
        &mut self,
        opened: Option<&Arc<Analysis>>,
        of: &Arc<Analysis>,
        name: &str,
        found: Result<Box<Reproduction>>,
    ) {
        let shown = opened.is_some_and(|now| Arc::ptr_eq(now, of));
        if let Some(published) = self.published.as_mut().filter(|p| shown && p.name == name) {
            published.found = Some(found);
        }
    }
}

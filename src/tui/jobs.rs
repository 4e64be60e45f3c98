//! Work off the UI's thread, and what comes of it.

use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::audit::preflight::Warning;
use crate::audit::reproduction::Reproduction;
use crate::error::{Error, Result};
use crate::inference::engine::Progress;
use crate::metrics::breakdown::Breakdown;
use crate::metrics::compare::Comparison;
use crate::metrics::evaluation::Evaluation;
use crate::tui::analysis::{Analysis, Overview};
use crate::tui::calibration::{Answer, Question};
use crate::tui::live::Begun;
use crate::tui::published::Choice;
use crate::tui::sources::Sources;
use crate::tui::viewer::Look;
use crate::tui::watch::Watch;
use crate::tui::worklist::Of;

/// What came of a piece of work. Where a table is named, news of another one than the opened one comes too late.
pub enum News {
    /// The rows of a table were read.
    Read(Arc<Overview>, Result<Arc<Analysis>>),
    /// The published tables were found.
    Tables(Vec<Choice>),
    /// A table was evaluated, and its outputs were looked at.
    Evaluated(Arc<Overview>, Result<Box<(Evaluation, Vec<Warning>)>>),
    /// A table to compare with was read.
    Pinned(Result<Arc<Analysis>>),
    /// Two tables were compared, label by label.
    Compared([Arc<Analysis>; 2], Vec<Option<Comparison>>),
    /// A table was held against the published one of this name.
    Reproduced(Arc<Analysis>, String, Result<Box<Reproduction>>),
    /// The rows of a list were found.
    Listed(Arc<Analysis>, Of, Vec<usize>),
    /// A reliability diagram was computed.
    Calibrated(Question, Result<Box<Answer>>),
    /// A table was broken down by its attribute of this number.
    BrokenDown(Arc<Analysis>, usize, Result<Breakdown>),
    /// The pictures of a table were found.
    Sources(Arc<Overview>, Result<Sources>),
    /// A picture was looked at.
    Looked(Box<Look>),
    /// A run that another process writes was found.
    Attached(Result<Box<Watch>>),
    /// A journal was looked at, and what was wrong with it.
    Watched(Box<Watch>, Option<Error>),
    /// A run of this process is so far.
    Progress(Progress),
    /// A run was begun.
    Begun(Result<Box<Begun>>),
    /// A run of this process has ended.
    Ended(Result<()>),
}

/// The work that is going on.
pub struct Jobs {
    outbox: Outbox,
    receiver: Receiver<(News, bool)>,
    running: usize,
    bell: Option<PipeReader>,
}

/// Takes news of a piece of work to the UI.
#[derive(Clone)]
pub struct Outbox {
    sender: Sender<(News, bool)>,
    bell: Option<Arc<PipeWriter>>,
}

impl Default for Jobs {
    fn default() -> Self {
        let (sender, receiver) = channel();
        // Without a pipe the news are seen a little later.
        let (bell, ringer) = pipe().ok().unzip();
        Self { outbox: Outbox { sender, bell: ringer.map(Arc::new) }, receiver, running: 0, bell }
    }
}

impl Outbox {
    /// Tells something while the work goes on.
    pub fn post(&self, news: News) {
        self.send(news, false);
    }

    /// Nobody listens once the program ends.
    fn send(&self, news: News, last: bool) {
        let _ = self.sender.send((news, last));
        if let Some(mut bell) = self.bell.as_deref() {
            let _ = bell.write(&[0]);
        }
    }
}

impl Jobs {
    /// Starts a piece of work on a thread of its own.
    pub fn start(&mut self, work: impl FnOnce(&Outbox) -> News + Send + 'static) {
        let outbox = self.outbox.clone();
        self.running += 1;
        std::thread::spawn(move || {
            let last = work(&outbox);
            outbox.send(last, true);
        });
    }

    /// Whether any is going on.
    pub fn busy(&self) -> bool {
        self.running > 0
    }

    /// Can be read once there are news.
    pub fn bell(&self) -> Option<&PipeReader> {
        self.bell.as_ref()
    }

    /// Silences the bell, which must be ringing.
    pub fn heard(&mut self) {
        if let Some(bell) = &mut self.bell {
            let _ = bell.read(&mut [0; 64]);
        }
    }

    /// The next piece of news, if there is any.
    pub fn news(&mut self) -> Option<News> {
        self.receiver.try_recv().ok().map(|news| self.count(news))
    }

    /// Waits for the next piece of news; `None` if nothing is going on.
    pub fn wait(&mut self) -> Option<News> {
        if self.running == 0 {
            return None;
        }
        self.receiver.recv().ok().map(|news| self.count(news))
    }

    fn count(&mut self, (news, last): (News, bool)) -> News {
        self.running -= usize::from(last);
        news
    }
}

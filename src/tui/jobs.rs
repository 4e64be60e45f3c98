//! Work off the UI's thread, and what comes of it.

use std::sync::mpsc::{Receiver, Sender, channel};

use crate::error::{Error, Result};
use crate::inference::engine::Progress;
use crate::tui::analysis::Analysis;
use crate::tui::live::Begun;
use crate::tui::sources::Samples;
use crate::tui::viewer::Look;
use crate::tui::watch::Watch;

/// What came of a piece of work.
pub enum News {
    /// A table was opened.
    Opened(Result<Box<Analysis>>),
    /// One to compare with was.
    Pinned(Result<Box<Analysis>>),
    /// The pictures of the opened table were found.
    Samples(Result<Samples>),
    /// A picture was looked at.
    Looked(Box<Look>),
    /// A journal was looked at, and what was wrong with it.
    Watched(Box<Watch>, Option<Error>),
    /// A run of this process is so far; more will come.
    Progress(Progress),
    /// A run was begun.
    Begun(Result<Box<Begun>>),
    /// A run of this process has ended.
    Ended(Result<()>),
}

/// The work that is going on.
pub struct Jobs {
    sender: Sender<News>,
    receiver: Receiver<News>,
    running: usize,
}

impl Default for Jobs {
    fn default() -> Self {
        let (sender, receiver) = channel();
        Self { sender, receiver, running: 0 }
    }
}

impl Jobs {
    /// Starts a piece of work on a thread of its own.
    pub fn start(&mut self, work: impl FnOnce() -> News + Send + 'static) {
        let sender = self.sender.clone();
        self.running += 1;
        // Nobody listens once the program ends.
        std::thread::spawn(move || drop(sender.send(work())));
    }

    /// For news from within a piece of work.
    pub fn sender(&self) -> Sender<News> {
        self.sender.clone()
    }

    /// Whether any is going on.
    pub fn busy(&self) -> bool {
        self.running > 0
    }

    /// The next piece of news, if there is any.
    pub fn news(&mut self) -> Option<News> {
        let news = self.receiver.try_recv().ok()?;
        self.count(&news);
        Some(news)
    }

    /// Waits for the next piece of news; `None` if nothing is going on.
    pub fn wait(&mut self) -> Option<News> {
        if self.running == 0 {
            return None;
        }
        let news = self.receiver.recv().ok()?;
        self.count(&news);
        Some(news)
    }

    /// Every piece of work ends with one piece of news.
    fn count(&mut self, news: &News) {
        self.running -= usize::from(!matches!(news, News::Progress(_)));
    }
}

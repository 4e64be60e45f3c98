//! Work off the UI's thread, and what comes of it.

use std::sync::mpsc::{Receiver, Sender, channel};

use crate::error::Result;
use crate::tui::analysis::Analysis;
use crate::tui::sources::Samples;
use crate::tui::viewer::Look;

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

    /// Whether any is going on.
    pub fn busy(&self) -> bool {
        self.running > 0
    }

    /// The next piece of news, if there is any.
    pub fn news(&mut self) -> Option<News> {
        let news = self.receiver.try_recv().ok()?;
        self.running -= 1;
        Some(news)
    }

    /// Waits for the next piece of news; `None` if nothing is going on.
    pub fn wait(&mut self) -> Option<News> {
        if self.running == 0 {
            return None;
        }
        self.running -= 1;
        self.receiver.recv().ok()
    }
}

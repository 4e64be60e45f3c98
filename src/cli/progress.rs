//! Progress on stderr: a bar on a terminal, a plain line now and then elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::note;
use crate::inference::engine::Progress;
use crate::tui::widgets::text::duration;

/// Off a terminal there is a line this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows how far a run is.
pub struct Meter {
    bar: Option<ProgressBar>,
    begun: Instant,
    shown: Instant,
    /// Images that an earlier attempt had done; they count neither in the rate nor in the time left.
    before: Option<usize>,
    /// Pictures that went through the device together.
    batch: usize,
}

impl Meter {
    /// A meter that begins now.
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} images  {msg}")
                .expect("the template is a constant that the tests try");
            ProgressBar::new(0).with_style(style)
        });
        let now = Instant::now();
        Self { bar, begun: now, shown: now, before: None, batch: 0 }
    }

    /// Shows `progress`.
    pub fn show(&mut self, progress: Progress) {
        let before = *self.before.get_or_insert_with(|| {
            self.begun = Instant::now();
            progress.done
        });
        if let Some(text) = progress.shrunk(self.batch) {
            let text = format!("{text}: going on with these");
            match &self.bar {
                Some(bar) => bar.println(format!("note: {text}")),
                None => note(&text),
            }
        }
        self.batch = progress.batch;
        let text = pace(progress, before, self.begun.elapsed());
        match &self.bar {
            Some(bar) => {
                bar.set_length(progress.total as u64);
                bar.set_position(progress.done as u64);
                bar.set_message(text);
                if progress.done == progress.total {
                    bar.finish();
                }
            }
            None if self.shown.elapsed() >= LINE_EVERY || progress.done == progress.total => {
                self.shown = Instant::now();
                let _ = writeln!(std::io::stderr(), "{}/{} images  {text}", progress.done, progress.total);
            }
            None => {}
        }
    }
}

/// Rate, time left, share of the time that the device waited for pictures, and failures.
fn pace(progress: Progress, before: usize, elapsed: Duration) -> String {
    let mut parts = Vec::new();
    let new = progress.done - before;
    if new > 0 && elapsed > Duration::ZERO {
        let rate = new as f64 / elapsed.as_secs_f64();
        parts.push(format!("{rate:.1}/s"));
        if progress.done < progress.total {
            parts.push(format!("ETA {}", duration((progress.total - progress.done) as f64 / rate)));
        } else {
            parts.push(duration(elapsed.as_secs_f64()));
        }
        let busy = progress.waited + progress.computed;
        if busy > Duration::ZERO {
            let share = 100.0 * progress.waited.as_secs_f64() / busy.as_secs_f64();
            parts.push(format!("{share:.0}% waiting for pictures"));
        }
    }
    if let Some(memory) = progress.memory {
        parts.push(memory.to_string());
    }
    if progress.failed > 0 {
        parts.push(format!("{} unreadable", progress.failed));
    }
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Memory;

    #[test]
    fn what_a_line_says() {
        let progress = Progress {
            done: 300,
            total: 1000,
            failed: 2,
            waited: Duration::from_secs(1),
            computed: Duration::from_secs(9),
            batch: 16,
            memory: None,
        };
        assert_eq!(
            pace(progress, 100, Duration::from_secs(10)),
            "20.0/s  ETA 35 s  10% waiting for pictures  2 unreadable"
        );
        let memory = Some(Memory { free: 60 << 30, total: 80 << 30 });
        assert_eq!(pace(Progress { memory, ..progress }, 300, Duration::ZERO), "20.0 of 80.0 GiB used  2 unreadable");
        assert_eq!(duration(3725.0), "1:02 h");
        assert!(ProgressStyle::with_template("{bar:30} {pos}/{len} images  {msg}").is_ok());
    }
}

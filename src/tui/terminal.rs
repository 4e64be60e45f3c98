//! The terminal, taken and given back: raw mode, the alternate screen and the mouse are on while a [`Guard`] lives, and
//! whatever ends the program, a panic too, puts everything back.

use std::fs::File;
use std::io::{self, IsTerminal, Seek, Stdout, stderr, stdout};
use std::os::fd::OwnedFd;
use std::panic;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use ratatui::crossterm::terminal::{
    EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};

use crate::error::{Error, Result};
use crate::imaging::decode;
use crate::tui::image;

/// The terminal that the program draws on.
pub type Screen = Terminal<CrosstermBackend<Stdout>>;

/// Whether the terminal is ours; giving it back twice would leave the alternate screen of somebody else.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Where stderr led before it was set aside, and the nameless file that takes what libraries print there meanwhile: on a
/// terminal it would go through the screen.
static ASIDE: Mutex<Option<(OwnedFd, File)>> = Mutex::new(None);

/// Exit status of a Rust program that panicked.
const PANICKED: i32 = 101;

/// Holds the terminal until it is dropped.
pub struct Guard(());

impl Guard {
    /// Takes the terminal. From here on a panic first gives it back and then says what it has to say.
    pub fn take() -> Result<Self> {
        static HOOK: std::sync::Once = std::sync::Once::new();
        HOOK.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                // A damaged picture is told as an error.
                if decode::decoding() {
                    return;
                }
                let ours = give_back();
                before(info);
                // Another thread's panic would leave the UI drawing on the shell's screen. A run goes on by --resume.
                if ours {
                    std::process::exit(PANICKED);
                }
            }));
        });
        take()?;
        Ok(Self(()))
    }

    /// Whether the terminal is still held: a panic on another thread takes it away, tells about itself, and ends the
    /// program.
    pub fn holds(&self) -> bool {
        TAKEN.load(Ordering::SeqCst)
    }

    /// Gives the terminal to the shell until the program is called back (`fg`).
    pub fn suspend(&self) -> Result<()> {
        give_back();
        signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP)
            .map_err(|e| Error::new(e.to_string()).at("suspending"))?;
        take()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        give_back();
    }
}

/// A screen over stdout.
pub fn screen() -> Result<Screen> {
    Terminal::new(CrosstermBackend::new(stdout())).map_err(fault)
}

/// An error of the terminal.
pub fn fault(error: std::io::Error) -> Error {
    Error::new(error.to_string()).at("the terminal")
}

/// Sets stderr aside, if it is the terminal.
fn set_aside() -> io::Result<()> {
    if stderr().is_terminal() {
        let (before, file) = (rustix::io::dup(stderr())?, tempfile::tempfile()?);
        rustix::stdio::dup2_stderr(&file)?;
        *ASIDE.lock().unwrap_or_else(|e| e.into_inner()) = Some((before, file));
    }
    Ok(())
}

/// Puts stderr back and shows what was printed there.
fn bring_back() -> io::Result<()> {
    // A panic may have come while it was being set aside.
    let Some((before, mut file)) = ASIDE.try_lock().ok().and_then(|mut aside| aside.take()) else { return Ok(()) };
    rustix::stdio::dup2_stderr(&before)?;
    file.rewind()?;
    io::copy(&mut file, &mut stderr()).map(drop)
}

fn take() -> Result<()> {
    enable_raw_mode().map_err(fault)?;
    // Without a file to put it into, it stays where it is.
    let _ = set_aside();
    TAKEN.store(true, Ordering::SeqCst);
    execute!(stdout(), EnterAlternateScreen, EnableMouseCapture, cursor::Hide).map_err(fault)
}

/// Whether there was anything to give back.
fn give_back() -> bool {
    let ours = TAKEN.swap(false, Ordering::SeqCst);
    if ours {
        // Nothing can be told to anybody if one of these fails, and the others must still be tried.
        let mut out = stdout();
        image::forget_all(&mut out);
        let _ = execute!(out, EndSynchronizedUpdate, DisableMouseCapture, LeaveAlternateScreen, cursor::Show);
        let _ = disable_raw_mode();
        let _ = bring_back();
    }
    ours
}

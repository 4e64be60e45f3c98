//! The event loop: one thread that reads the keyboard and draws. It sleeps until a key, a signal, or news of work.

use std::io::{Write, stdin, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::backend::Backend;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use ratatui::crossterm::queue;
use ratatui::crossterm::terminal::{BeginSynchronizedUpdate, EndSynchronizedUpdate};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::error::{Error, Result};
use crate::tui::app::{App, Wish};
use crate::tui::image::{self, Choice, Pictures, Protocol};
use crate::tui::jobs::Jobs;
use crate::tui::terminal::{Guard, Screen, fault, screen};

/// How long it sleeps when nothing is going on.
const IDLE: Duration = Duration::from_millis(250);

/// Runs the program until a person leaves it or a signal ends it.
pub fn run(app: &mut App, choice: Choice) -> Result<()> {
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // The first one ends it in good order, a second one at once, whatever it is waiting for.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, ended.clone())
            .and_then(|_| signal_hook::flag::register(signal, ended.clone()))
            .map_err(|e| Error::new(e.to_string()).at("installing a signal handler"))?;
    }
    let guard = Guard::take()?;
    let mut screen = screen()?;
    let mut pictures = Pictures::default();
    // A frame before the probe, which may have to wait for a terminal that does not answer.
    draw(app, &mut screen, &mut pictures)?;
    let (graphics, typed) = image::probe(choice);
    app.shared.graphics = graphics;
    typed.into_iter().for_each(|key| app.key(key));
    if let (Choice::Only(wanted), Protocol::Blocks) = (choice, graphics.protocol)
        && wanted != Protocol::Blocks
    {
        app.shared.say("this terminal does not say that it can show such pictures: half-blocks instead");
    }
    let mut stale = true;
    while !ended.load(Ordering::SeqCst) {
        while !guard.holds() {
            // Nothing may be drawn on the shell's screen while another thread tells of its panic.
            std::thread::park();
        }
        app.tick();
        stale |= app.news();
        if stale {
            draw(app, &mut screen, &mut pictures)?;
            stale = false;
        }
        match app.wish() {
            Some(Wish::Quit) => break,
            Some(Wish::Suspend) => {
                pictures.forget(app.shared.graphics, &mut screen)?;
                guard.suspend()?;
                screen.clear().map_err(fault)?;
                stale = true;
            }
            Some(Wish::Redraw) => {
                pictures.forget(app.shared.graphics, &mut screen)?;
                screen.clear().map_err(fault)?;
                stale = true;
            }
            None => {}
        }
        let patience = if stale { Duration::ZERO } else { IDLE };
        if !sleep(patience, &mut app.shared.jobs)? {
            return Err(Error::interrupted("the terminal has gone"));
        }
        if !event::poll(Duration::ZERO).map_err(fault)? {
            continue;
        }
        // All that has come before drawing once: pasted keys and window drags come in crowds.
        loop {
            match event::read().map_err(fault)? {
                Event::Key(key) if key.kind != KeyEventKind::Release => app.key(key),
                Event::Mouse(event) => app.mouse(event),
                Event::Resize(..) => pictures.forget(app.shared.graphics, &mut screen)?,
                _ => {}
            }
            stale = true;
            if !event::poll(Duration::ZERO).map_err(fault)? {
                break;
            }
        }
    }
    pictures.forget(app.shared.graphics, &mut screen)
}

/// Sleeps until there is a key, a signal, news of work, or `patience` is over. False once the terminal is gone: crossterm
/// would wait for it for ever.
fn sleep(patience: Duration, jobs: &mut Jobs) -> Result<bool> {
    let stdin = stdin();
    let mut waited: Vec<PollFd> = vec![PollFd::new(&stdin, PollFlags::IN)];
    waited.extend(jobs.bell().map(|bell| PollFd::new(bell, PollFlags::IN)));
    let patience = Timespec::try_from(patience).map_err(|e| Error::new(e.to_string()))?;
    match poll(&mut waited, Some(&patience)) {
        Ok(_) => {
            let rings = waited.get(1).is_some_and(|bell| bell.revents().contains(PollFlags::IN));
            let here = !waited[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL);
            if rings {
                jobs.heard();
            }
            Ok(here)
        }
        Err(e) if e == Errno::INTR => Ok(true),
        Err(e) => Err(fault(e.into())),
    }
}

/// One frame, with the picture that goes with it, in one synchronised batch.
fn draw(app: &mut App, screen: &mut Screen, pictures: &mut Pictures) -> Result<()> {
    queue!(stdout(), BeginSynchronizedUpdate).map_err(fault)?;
    screen.autoresize().map_err(fault)?;
    app.draw(&mut screen.get_frame());
    let wanted = app.shared.picture.take();
    let graphics = app.shared.graphics;
    let change = pictures.before(wanted.as_ref().map(|(r, a)| (&**r, *a)), graphics, screen)?;
    screen.flush().map_err(fault)?;
    screen.hide_cursor().map_err(fault)?;
    screen.swap_buffers();
    Backend::flush(screen.backend_mut()).map_err(fault)?;
    if let (true, Some((prepared, area))) = (change.print, &wanted) {
        pictures.print(prepared, *area, graphics)?;
    }
    let mut out = stdout();
    queue!(out, EndSynchronizedUpdate).and_then(|()| out.flush()).map_err(fault)?;
    Ok(())
}

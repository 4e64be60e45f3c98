//! What the terminal is: one batch of questions with a time-out, and tmux's own word about the terminal around it.

use std::io::{Write, stdout};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ratatui::crossterm::event::KeyEvent;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Choice, Graphics, Protocol, Terminal, choose};
use crate::tui::keymap;

/// How long a terminal may take to say what it is; over a slow line that is several round trips.
const PATIENCE: Duration = Duration::from_millis(500);

/// A terminal that is around tmux for less long may not have told tmux yet what it is.
const YOUTH: Duration = Duration::from_secs(2);

/// Is it Kitty's protocol? And the device attributes, which every terminal tells, so that there is an end to wait for: twice,
/// since viuer asks for them too, and takes whatever is typed until an answer has come. So one lies ready when it looks. What
/// nobody waits for is dropped by crossterm.
const QUESTIONS: &[u8] = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c\x1b[c";

/// What viuer takes a cell to be when it makes sixels, in pixels.
pub(super) const SIXEL_CELL: (u32, u32) = (6, 12);

/// Terminals that know placeholders, as they or their terminfo entries call themselves.
const WITH_PLACEHOLDERS: [&str; 2] = ["kitty", "ghostty"];

/// Asks the terminal what it can, and gives the keys that were pressed meanwhile. Raw mode must be on and nothing else may
/// read the keyboard.
pub fn probe(choice: Choice) -> (Graphics, Vec<KeyEvent>) {
    let of = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    let mut terminal = Terminal { multiplexer: of("TMUX") || of("STY"), ..Terminal::default() };
    let mut keys = Vec::new();
    if !matches!(choice, Choice::Only(Protocol::Blocks | Protocol::Off)) {
        let told = told(&ask(PATIENCE));
        keys = keymap::typed(&told.rest);
        let wanted = |p| matches!(choice, Choice::Auto) || choice == Choice::Only(p);
        terminal.kitty = wanted(Protocol::Kitty) && told.kitty;
        terminal.iterm = wanted(Protocol::Iterm) && told.attributes.is_some() && viuer::is_iterm_supported();
        terminal.sixel = wanted(Protocol::Sixel) && told.attributes.is_some_and(|a| has_sixel(&a));
        if of("TMUX") && wanted(Protocol::Kitty) && !terminal.sixel {
            (terminal.passthrough, terminal.placeholders) = tmux();
        }
    }
    let cell = ratatui::crossterm::terminal::window_size().ok().and_then(|w| {
        let (width, height) = (w.width.checked_div(w.columns)?, w.height.checked_div(w.rows)?);
        (width > 0 && height > 0).then_some((width, height))
    });
    let mut protocol = choose(choice, terminal);
    if protocol == Protocol::Sixel && !viuer::is_sixel_supported() {
        protocol = Protocol::Blocks;
    }
    let unknown = match protocol {
        Protocol::Sixel => (SIXEL_CELL.0 as u16, SIXEL_CELL.1 as u16),
        _ => Graphics::default().cell,
    };
    (Graphics { protocol, cell: cell.unwrap_or(unknown) }, keys)
}

/// Whether tmux passes orders on, and whether the terminal around it knows placeholders.
fn tmux() -> (bool, bool) {
    let end = Instant::now() + PATIENCE;
    loop {
        let said = around();
        let [passthrough, attached, kind, name] = said.split('|').collect::<Vec<_>>()[..] else {
            return (false, false);
        };
        // tmux 3.3 says 1, later ones on or all.
        let passthrough = ["1", "on", "all"].contains(&passthrough);
        let placeholders = WITH_PLACEHOLDERS.iter().any(|known| kind.contains(known) || name.contains(known));
        let young = attached.parse().map_or(true, |then| {
            SystemTime::now().duration_since(UNIX_EPOCH + Duration::from_secs(then)).is_ok_and(|age| age < YOUTH)
        });
        let may_answer = kind.is_empty() && young && Instant::now() < end;
        if !passthrough || placeholders || !may_answer {
            return (passthrough, placeholders);
        }
        std::thread::sleep(PATIENCE / 20);
    }
}

/// Of the pane that this runs in: whether tmux passes orders on; of the terminal around: since when, in seconds from
/// 1970, what it calls itself, and what its terminfo entry is called. All in small letters.
fn around() -> String {
    let mut command = Command::new("tmux");
    command.args(["display-message", "-p"]);
    if let Ok(pane) = std::env::var("TMUX_PANE") {
        command.args(["-t", &pane]);
    }
    command.arg("#{allow-passthrough}|#{client_created}|#{client_termtype}|#{client_termname}").stdin(Stdio::null());
    let said = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&said).trim_end().to_lowercase()
}

/// Sends the questions and gives all that is read until the first device attributes have come or `patience` is over.
fn ask(patience: Duration) -> String {
    let (mut out, stdin, end) = (stdout(), std::io::stdin(), Instant::now() + patience);
    let mut answer = Vec::new();
    if out.write_all(QUESTIONS).and_then(|()| out.flush()).is_ok() {
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            let mut wanted = [PollFd::new(&stdin, PollFlags::IN)];
            let Ok(left) = Timespec::try_from(left) else { break };
            let mut byte = [0];
            match poll(&mut wanted, Some(&left)) {
                Ok(1..) if matches!(rustix::io::read(&stdin, &mut byte), Ok(1..)) => answer.push(byte[0]),
                _ => break,
            }
            if told(&String::from_utf8_lossy(&answer)).attributes.is_some() {
                break;
            }
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// What a terminal has said.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    /// Whether it took Kitty's query.
    kitty: bool,
    /// The primary device attributes, without their frame.
    attributes: Option<String>,
    /// What was typed in between.
    rest: String,
}

fn told(answer: &str) -> Told {
    let mut rest = answer.to_owned();
    let mut kitty = false;
    if let Some(start) = rest.find("\x1b_G")
        && let Some(length) = rest[start..].find("\x1b\\")
    {
        kitty = rest[start..start + length].ends_with(";OK");
        rest.replace_range(start..start + length + 2, "");
    }
    let mut attributes = None;
    if let Some(start) = rest.find("\x1b[?")
        && let Some(length) = rest[start..].find('c')
    {
        attributes = Some(rest[start + 3..start + length].to_owned());
        rest.replace_range(start..=start + length, "");
    }
    Told { kitty, attributes, rest }
}

/// Whether device attributes such as `62;4;22` name sixels.
fn has_sixel(attributes: &str) -> bool {
    attributes.split(';').skip(1).any(|a| a == "4")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_from_keys() {
        let found = told("j\x1b_Gi=31;OK\x1b\\4\x1b[?62;4;22c");
        assert_eq!(found, Told { kitty: true, attributes: Some("62;4;22".into()), rest: "j4".into() });
        let found = told("\x1b_Gi=31;EINVAL\x1b\\\x1b[?62");
        assert_eq!(found, Told { kitty: false, attributes: None, rest: "\x1b[?62".into() });
    }

    #[test]
    fn attributes_are_told_apart() {
        assert!(has_sixel("62;4;22") && has_sixel("65;1;4"));
        assert!(!has_sixel("64;1;44") && !has_sixel("4"));
    }
}

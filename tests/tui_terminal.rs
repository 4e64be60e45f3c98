//! The terminal UI on pseudo-terminals that play Kitty, a sixel terminal and one that answers nothing: what is sent to
//! them, what is erased, and that they are left whole. `script` of util-linux makes the pseudo-terminal.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

const LEAVE: &str = "\x1b[?1049l";
const KITTY_DELETE: &str = "\x1b_Ga=d,d=I,";

#[derive(Clone, Copy, PartialEq)]
enum Plays {
    Kitty,
    /// The same around a tmux, which asks by name.
    KittyAroundTmux,
    Sixel,
    /// The first and the last, far away: what is typed comes before the answers.
    FarKitty,
    FarSixel,
    Plain,
    Mute,
}

/// How long the way to a terminal far away takes.
const FAR: Duration = Duration::from_millis(200);

struct Terminal {
    child: Child,
    input: Arc<Mutex<ChildStdin>>,
    seen: Arc<Mutex<String>>,
    reader: std::thread::JoinHandle<()>,
}

impl Terminal {
    /// Runs a shell command line; `None` with a word about it where there is no `script`.
    fn run(command: &str, plays: Plays) -> Option<Self> {
        if Command::new("script").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            let _ = writeln!(std::io::stderr(), "left out: a terminal test: there is no `script`");
            return None;
        }
        let mut child = Command::new("script")
            .args(["-qfec", &format!("stty cols 100 rows 30; {command}"), "/dev/null"])
            .env_remove("TMUX")
            .env_remove("NO_COLOR")
            .envs([("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("COLORTERM", "truecolor"), ("SHELL", "/bin/sh")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = Arc::new(Mutex::new(child.stdin.take().unwrap()));
        let seen = Arc::new(Mutex::new(String::new()));
        let (mut output, answers, log) = (child.stdout.take().unwrap(), input.clone(), seen.clone());
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 65536];
            let mut asked = String::new();
            while let Ok(n @ 1..) = output.read(&mut buffer) {
                let new = String::from_utf8_lossy(&buffer[..n]).into_owned();
                asked.push_str(&new);
                log.lock().unwrap().push_str(&new);
                let answer = answer(&mut asked, plays);
                if matches!(plays, Plays::FarKitty | Plays::FarSixel) && !answer.is_empty() {
                    std::thread::sleep(FAR);
                }
                let _ = answers.lock().unwrap().write_all(answer.as_bytes());
            }
        });
        Some(Self { child, input, seen, reader })
    }

    fn open(arguments: &str, plays: Plays) -> Option<Self> {
        Self::run(&format!("exec {} tui {arguments}", env!("CARGO_BIN_EXE_roentgen")), plays)
    }

    fn send(&self, keys: &str) {
        self.input.lock().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    fn seen(&self) -> String {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until `what` was sent after the byte `from`, and gives where that ends.
    #[track_caller]
    fn wait(&self, from: usize, what: &str) -> usize {
        let end = Instant::now() + PATIENCE;
        loop {
            let seen = self.seen();
            if let Some(at) = seen.get(from..).and_then(|s| s.find(what)) {
                return from + at + what.len();
            }
            assert!(Instant::now() < end, "no {what:?} after byte {from} of {seen:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until nothing comes any more, and gives how much has come.
    fn quiet(&self) -> usize {
        let (mut before, mut since) = (0, Instant::now());
        let end = since + PATIENCE;
        while since.elapsed() < Duration::from_millis(700) && Instant::now() < end {
            let now = self.seen().len();
            if now != before {
                (before, since) = (now, Instant::now());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        before
    }

    /// Waits for its end, and gives all that was sent.
    fn end(mut self) -> String {
        let end = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "it did not end: {:?}", self.seen());
            std::thread::sleep(Duration::from_millis(20));
        }
        self.reader.join().unwrap();
        let seen = self.seen.lock().unwrap();
        seen.clone()
    }
}

/// What the terminal that is played answers to the questions in `asked`, which are taken out of it.
fn answer(asked: &mut String, plays: Plays) -> String {
    let mut answers = String::new();
    let replies: &[(&str, &str)] = match plays {
        Plays::Mute => &[],
        Plays::KittyAroundTmux => &[("\x1b[>q", "\x1bP>|kitty(0.35.2)\x1b\\"), ("\x1b[c", "\x1b[?62;c")],
        Plays::Kitty | Plays::FarKitty => &[("\x1b_Gi=31", "\x1b_Gi=31;OK\x1b\\"), ("\x1b[c", "\x1b[?62;c")],
        Plays::Sixel | Plays::FarSixel => &[("\x1b[c", "\x1b[?62;4;22c")],
        Plays::Plain => &[("\x1b[c", "\x1b[?62;22c")],
    };
    // In the order of the questions.
    while let Some((at, question, reply)) =
        replies.iter().filter_map(|(q, r)| Some((asked.find(q)?, q, r))).min_by_key(|found| found.0)
    {
        answers.push_str(reply);
        asked.drain(..at + question.len());
    }
    answers
}

/// A finished run of the demo.
fn demo(folder: &Path) -> String {
    let run = folder.join("demo");
    let mut command = crate::support::command(["demo", "--headless", "--out"]);
    crate::support::finished(command.arg(&run).output().unwrap()).ok();
    run.display().to_string()
}

#[test]
fn kitty_gets_pictures_and_is_told_to_forget_them() {
    let folder = tempfile::tempdir().unwrap();
    let Some(terminal) = Terminal::open(&demo(folder.path()), Plays::Kitty) else { return };
    let table = terminal.wait(0, "AUROC");
    assert!(!terminal.seen().contains("a=T"), "no picture before it is asked for");
    terminal.send("7");
    let first = terminal.wait(table, "a=T");
    terminal.send("j");
    let erased = terminal.wait(first, KITTY_DELETE);
    let second = terminal.wait(erased, "a=T");
    terminal.send("?");
    let erased = terminal.wait(second, KITTY_DELETE);
    assert!(!terminal.seen()[erased..].contains("a=T"), "a box hides the picture");
    terminal.send("\x1b");
    let third = terminal.wait(erased, "a=T");
    terminal.send("1");
    let erased = terminal.wait(third, KITTY_DELETE);
    let pictures = terminal.seen().matches("a=T").count();
    terminal.send("jkjk");
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(terminal.seen().matches("a=T").count(), pictures, "other panels send no picture");
    terminal.send("q");
    assert!(terminal.end()[erased..].contains(LEAVE));
}

#[test]
fn sixels_where_the_terminal_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let Some(terminal) = Terminal::open(&demo(folder.path()), Plays::Sixel) else { return };
    let table = terminal.wait(0, "AUROC");
    terminal.send("7");
    let picture = terminal.wait(table, "\x1bP");
    let sent = terminal.seen().matches("\x1bP").count();
    // The label before the first one is the first one.
    terminal.send("KK");
    std::thread::sleep(Duration::from_millis(600));
    let now = terminal.seen().matches("\x1bP").count();
    assert_eq!(now, sent, "a picture is sent when it changes, not with every key");
    terminal.send("j");
    terminal.wait(picture, "\x1bP");
    terminal.send("q");
    let all = terminal.end();
    assert!(all.contains(LEAVE) && !all.contains("a=T"));
}

#[test]
fn half_blocks_on_plain_and_mute_terminals() {
    let folder = tempfile::tempdir().unwrap();
    let run = demo(folder.path());
    for (plays, graphics) in [(Plays::Plain, "auto"), (Plays::Mute, "auto"), (Plays::Mute, "kitty")] {
        let Some(terminal) = Terminal::open(&format!("--graphics {graphics} {run}"), plays) else { return };
        let table = terminal.wait(0, "AUROC");
        terminal.send("7");
        terminal.wait(table, "▀");
        terminal.send("q");
        let all = terminal.end();
        assert!(!all.contains("a=T") && !all.contains("\x1bP") && all.contains(LEAVE));
    }
}

#[test]
fn iterm_gets_inline_images() {
    let folder = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_roentgen");
    let command = format!("LC_TERMINAL=iTerm2 exec {program} tui {}", demo(folder.path()));
    let Some(terminal) = Terminal::run(&command, Plays::Plain) else { return };
    let table = terminal.wait(0, "AUROC");
    terminal.send("7");
    let picture = terminal.wait(table, "\x1b]1337;File=");
    terminal.send("1");
    let blanked = terminal.wait(picture, &" ".repeat(40));
    assert!(!terminal.seen()[blanked..].contains("1337"));
    terminal.send("q");
    let all = terminal.end();
    assert!(all.contains(LEAVE) && !all.contains("a=T") && !all.contains("\x1bP"));
}

#[test]
fn kitty_around_tmux_gets_pictures_through_it() {
    let folder = tempfile::tempdir().unwrap();
    if Command::new("tmux").arg("-V").stdout(Stdio::null()).status().is_err() {
        let _ = writeln!(std::io::stderr(), "left out: pictures through tmux: there is no tmux");
        return;
    }
    let run = demo(folder.path());
    let program = env!("CARGO_BIN_EXE_roentgen");
    for (passthrough, graphics) in [("on", "auto"), ("on", "kitty"), ("off", "auto"), ("off", "kitty")] {
        let socket = format!("roentgen-through-{passthrough}-{graphics}-{}", std::process::id());
        let option = format!("set -g allow-passthrough {passthrough}\nset -g status off\n");
        let settings = crate::support::put(folder.path(), "tmux.conf", &option);
        let inside = format!("'{program} tui --graphics {graphics} {run}; sleep 1'");
        let command = format!("exec tmux -u -L {socket} -f {settings} new-session {inside}");
        let Some(terminal) = Terminal::run(&command, Plays::KittyAroundTmux) else { return };
        let table = terminal.wait(0, "AUROC");
        terminal.send("7");
        if passthrough == "off" {
            terminal.wait(table, "▀");
            terminal.send("q");
            assert!(!terminal.end().contains("a=T"), "{graphics}");
            continue;
        }
        let sent = terminal.wait(table, "\x1b_Ga=T,U=1,");
        terminal.wait(table, "\u{10EEEE}\u{305}\u{305}");
        terminal.send("j");
        let again = terminal.wait(sent, "\x1b_Ga=T,U=1,");
        terminal.send("1");
        let erased = terminal.wait(again, "\x1b_Ga=d,d=I,");
        std::thread::sleep(Duration::from_millis(300));
        assert!(!terminal.seen()[erased..].contains("a=T"), "other panels send no picture");
        terminal.send("7");
        terminal.wait(erased, "\x1b_Ga=T,U=1,");
        terminal.send("q");
        let all = terminal.end();
        assert!(all[erased..].contains("a=d,d=I"), "leaving takes the picture away");
    }
}

#[test]
fn keys_are_not_lost_while_the_terminal_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let run = demo(folder.path());
    for (plays, picture) in [(Plays::Mute, "▀"), (Plays::FarKitty, "a=T"), (Plays::FarSixel, "\x1bP")] {
        let Some(terminal) = Terminal::open(&run, plays) else { return };
        // The first frame comes before the questions, whose answers are not there yet.
        let table = terminal.wait(0, "AUROC");
        terminal.send("7f");
        terminal.wait(table, " FN, most confident");
        terminal.wait(table, picture);
        std::thread::sleep(2 * FAR);
        assert!(!terminal.seen().contains("commands   "), "answers are no keys");
        terminal.send("q");
        assert!(terminal.end().contains(LEAVE));
    }
}

#[test]
fn frames_are_small_and_idleness_is_silent() {
    let folder = tempfile::tempdir().unwrap();
    let (program, run) = (env!("CARGO_BIN_EXE_roentgen"), demo(folder.path()));
    let command = format!("echo pid $$ end; exec {program} tui --graphics kitty {run}");
    let Some(terminal) = Terminal::run(&command, Plays::Kitty) else { return };
    terminal.wait(0, "AUROC");
    let mut before = terminal.quiet();
    let mut sent = Vec::new();
    for key in ["j", "4", "l", "L", "2", "l", "7", "f", "/", "\x1b"] {
        terminal.send(key);
        let now = terminal.quiet();
        sent.push((key, now - before));
        before = now;
    }
    let told = format!("{sent:?}");
    let _ = writeln!(std::io::stderr(), "bytes a key at 100x30: {told}");
    let of = |i: usize| sent[i].1;
    assert!(of(0) > 0 && of(0) < 2_000, "another label: {told}");
    assert!(of(1) < 12_000, "a whole panel: {told}");
    assert!(of(2) < 2_500 && of(3) < 2_500 && of(5) < 1_000, "another threshold: {told}");
    assert!(of(8) < 2_000, "a box that hides the picture: {told}");
    let seen = terminal.seen();
    let pid = seen.split("pid ").nth(1).unwrap().split(' ').next().unwrap();
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<u64> = stat.rsplit(')').next()?.split_whitespace().filter_map(|f| f.parse().ok()).collect();
        // User and system time, a hundred ticks a second, after the state, which is no number.
        Some(fields.get(10)? + fields.get(11)?)
    };
    if let Some(begun) = ticks() {
        std::thread::sleep(Duration::from_secs(3));
        let spent = ticks().unwrap() - begun;
        assert!(spent <= 6, "{spent} hundredths of a second of work in 3 s of idleness");
    }
    assert_eq!(terminal.seen().len(), before, "nothing is sent where nothing changes");
    terminal.send("q");
    terminal.end();
}

#[test]
fn no_pictures_when_they_are_off() {
    let folder = tempfile::tempdir().unwrap();
    let Some(terminal) = Terminal::open(&format!("--graphics off {}", demo(folder.path())), Plays::Kitty) else {
        return;
    };
    let table = terminal.wait(0, "AUROC");
    terminal.send("7");
    terminal.wait(table, "most confident");
    std::thread::sleep(Duration::from_millis(500));
    terminal.send("q");
    let all = terminal.end();
    assert!(!all.contains("a=T") && !all.contains('▀') && !all.contains("\x1b[c"), "nothing is asked either");
}

#[test]
fn signals_leave_the_terminal_whole() {
    for signal in ["TERM", "HUP", "INT"] {
        let program = env!("CARGO_BIN_EXE_roentgen");
        let Some(terminal) = Terminal::run(&format!("echo pid $$ end; exec {program} tui"), Plays::Plain) else {
            return;
        };
        terminal.wait(0, "Models");
        let seen = terminal.seen();
        let pid = seen.split("pid ").nth(1).unwrap().split(' ').next().unwrap();
        assert!(Command::new("kill").args([&format!("-{signal}"), pid]).status().unwrap().success());
        let all = terminal.end();
        assert!(all.contains(LEAVE) && all.contains("\x1b[?25h"), "{signal}: {all:?}");
    }
}

#[test]
fn a_lost_terminal_ends_it_within_a_second() {
    if Command::new("script").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        let _ = writeln!(std::io::stderr(), "left out: a lost terminal: there is no `script`");
        return;
    }
    // A busy machine may hold up any one of them.
    let times: Vec<Duration> = (0..5).map(|_| lose_terminal()).collect();
    assert!(times.iter().any(|t| *t <= Duration::from_secs(1)), "{times:?}");
}

/// How long the program lives on without its terminal.
fn lose_terminal() -> Duration {
    let program = env!("CARGO_BIN_EXE_roentgen");
    let mut terminal = Terminal::run(&format!("echo pid $$ end; exec {program} tui"), Plays::Plain).unwrap();
    terminal.wait(0, "Models");
    let seen = terminal.seen();
    let pid = seen.split("pid ").nth(1).unwrap().split(' ').next().unwrap();
    terminal.child.kill().unwrap();
    terminal.child.wait().unwrap();
    let lost = Instant::now();
    // It may stay in the table of processes until somebody asks for its status.
    let stat = Path::new("/proc").join(pid).join("stat");
    while std::fs::read_to_string(&stat).is_ok_and(|s| s.rsplit(") ").next().is_some_and(|s| !s.starts_with('Z'))) {
        assert!(lost.elapsed() < PATIENCE, "it lives on without a terminal");
        std::thread::sleep(Duration::from_millis(5));
    }
    lost.elapsed()
}

#[test]
fn a_panic_gives_the_terminal_back_before_it_speaks() {
    let this = std::env::current_exe().unwrap();
    for test in ["panics", "panics_beside"] {
        let command = format!("{} --ignored --exact --nocapture tui_terminal::{test} 2>&1", this.display());
        let Some(terminal) = Terminal::run(&command, Plays::Plain) else { return };
        let all = terminal.end();
        let (left, spoke) = (all.find(LEAVE).unwrap(), all.find("what went wrong").unwrap());
        assert!(all.find("\x1b[?1049h").unwrap() < left && left < spoke, "{all:?}");
        assert!(!all.contains("goes on"), "nothing draws on the shell's screen afterwards");
    }
}

/// The whole UI, one of whose jobs panics once it is drawn; run on a pseudo-terminal by the test above and in tmux.
#[test]
#[ignore = "it panics on purpose"]
fn panics_beside() {
    let theme = roentgen::tui::theme::Theme::from_env();
    let mut app = roentgen::tui::app::App::new(theme);
    app.shared.jobs.start(|_| {
        std::thread::sleep(Duration::from_millis(1500));
        panic!("what went wrong")
    });
    let _ = roentgen::tui::event::run(&mut app, roentgen::tui::image::Choice::Auto);
    let _ = std::io::stdout().write_all(b"goes on");
}

#[test]
fn nothing_prints_through_the_screen() {
    let this = std::env::current_exe().unwrap();
    let command = format!("{} --ignored --exact --nocapture tui_terminal::prints_beside", this.display());
    let Some(terminal) = Terminal::run(&command, Plays::Plain) else { return };
    terminal.wait(0, "a finished job");
    terminal.send("q");
    let all = terminal.end();
    assert!(all.find(LEAVE).unwrap() < all.find("what a library prints").unwrap(), "{all:?}");
}

/// The UI with a job that prints; run on a pseudo-terminal by the test above.
#[test]
#[ignore = "it waits for a person"]
fn prints_beside() {
    let mut app = roentgen::tui::app::App::new(roentgen::tui::theme::Theme::from_env());
    app.shared.jobs.start(|_| {
        std::thread::sleep(Duration::from_millis(1500));
        let _ = std::io::stderr().write_all(b"what a library prints");
        roentgen::tui::jobs::News::Pinned(Err(roentgen::error::Error::new("a finished job")))
    });
    roentgen::tui::event::run(&mut app, roentgen::tui::image::Choice::Auto).unwrap();
}

/// Run on a pseudo-terminal by the test above.
#[test]
#[ignore = "it panics on purpose"]
fn panics() {
    let _guard = roentgen::tui::terminal::Guard::take().unwrap();
    panic!("what went wrong");
}

#[test]
fn off_a_terminal_it_says_so() {
    let ran = crate::support::roentgen(["tui"]);
    insta::assert_snapshot!(ran.error(2), @"error: the terminal UI needs a terminal for input and output; run it in one, or use `roentgen evaluate --headless` and read the run folder");
    assert_eq!(crate::support::roentgen::<&str>([]).status, 2);
}

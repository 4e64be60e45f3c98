//! The terminal UI from end to end inside tmux, as it is used on machines far away.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use roentgen::data::phantom::{Cohort, PhantomId, render};

const PATIENCE: Duration = Duration::from_secs(40);

/// A tmux server of its own, which ends with the test.
struct Tmux {
    socket: String,
}

impl Tmux {
    /// `None` with a word about it where there is no tmux.
    fn start(name: &str, size: (u16, u16)) -> Option<Self> {
        let tmux = Self { socket: format!("roentgen-{name}-{}", std::process::id()) };
        let (width, height) = (size.0.to_string(), size.1.to_string());
        let mut command = tmux.command();
        command.env("LANG", "C.UTF-8").env_remove("NO_COLOR").args([
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &width,
        ]);
        command.args(["-y", &height, "env PS1='$ ' bash --norc"]);
        match command.status() {
            Ok(status) => assert!(status.success()),
            Err(_) => {
                let _ = writeln!(std::io::stderr(), "left out: {name}: there is no tmux");
                return None;
            }
        }
        tmux.wait("$");
        Some(tmux)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-u", "-L", &self.socket]).env_remove("TMUX").stderr(Stdio::null());
        command
    }

    fn send(&self, keys: &[&str]) {
        assert!(self.command().arg("send-keys").args(keys).status().unwrap().success());
    }

    fn screen(&self) -> String {
        String::from_utf8(self.command().args(["capture-pane", "-p"]).output().unwrap().stdout).unwrap()
    }

    #[track_caller]
    fn wait(&self, what: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if screen.contains(what) {
                return screen;
            }
            assert!(Instant::now() < end, "no {what:?} on\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = self.command().arg("kill-server").status();
    }
}

#[test]
fn the_demo_from_inference_to_triage_and_back_to_the_shell() {
    let Some(tmux) = Tmux::start("demo", (100, 30)) else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    tmux.send(&[&format!("{} demo --out {}", env!("CARGO_BIN_EXE_roentgen"), run.display()), "Enter"]);
    let table = tmux.wait("macro of 5 labels");
    assert!(table.contains("Pneumothorax"));
    tmux.send(&["4"]);
    tmux.wait("net benefit");
    tmux.send(&["7"]);
    let triage = tmux.wait("▀▀▀▀");
    assert!(triage.contains("most confident first"));
    let resize = ["resize-window", "-x", "120", "-y", "40"];
    assert!(tmux.command().args(resize).status().unwrap().success());
    tmux.wait("7 Triage 8 Run 9 Home 0 Picture");
    let resize = ["resize-window", "-x", "60", "-y", "20"];
    assert!(tmux.command().args(resize).status().unwrap().success());
    tmux.wait("20 columns and 4 rows are");
    let resize = ["resize-window", "-x", "100", "-y", "30"];
    assert!(tmux.command().args(resize).status().unwrap().success());
    tmux.wait("▀▀▀▀");
    // Nothing of a picture stays on another panel.
    tmux.send(&["1"]);
    assert!(!tmux.wait("macro of 5 labels").contains('▀'));
    // The shell gets the terminal and gives it back.
    tmux.send(&["C-z"]);
    assert!(!tmux.wait("Stopped").contains("macro of 5 labels"));
    tmux.send(&["fg", "Enter"]);
    tmux.wait("macro of 5 labels");
    tmux.send(&["q"]);
    let shell = tmux.wait("written to");
    assert!(shell.contains("Effusion") && !shell.contains("1 Table"), "{shell}");
    assert!(run.join("evaluation.json").exists() && !run.join("journal").exists());
}

#[test]
fn from_home_to_a_run_and_a_picture() {
    let Some(tmux) = Tmux::start("home", (100, 30)) else { return };
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("a.png");
    image::GrayImage::from_fn(96, 96, |x, y| image::Luma([(x + y) as u8])).save(&picture).unwrap();
    let program = env!("CARGO_BIN_EXE_roentgen");
    tmux.send(&[&format!("cd {} && {program}", folder.path().display()), "Enter"]);
    tmux.wait("No run is below");
    for (key, text) in [("m", "phantom-densenet"), ("d", "phantom")] {
        tmux.send(&[key]);
        tmux.wait("┌");
        tmux.send(&["-l", text]);
        tmux.send(&["Enter"]);
    }
    tmux.wait("model phantom-densenet | dataset phantom");
    tmux.send(&["e"]);
    assert!(tmux.wait("macro of 5 labels").contains("0.953"));
    tmux.send(&["9"]);
    tmux.send(&["r"]);
    tmux.wait("reports/phantom-densenet--phantom");
    tmux.send(&["0"]);
    tmux.wait("press e");
    tmux.send(&["e"]);
    tmux.wait("┌");
    tmux.send(&["-l", "a.png"]);
    tmux.send(&["Enter"]);
    let found = tmux.wait("▀▀▀▀");
    assert!(found.contains("by phantom-densenet") && found.contains("Cardiomegaly"), "{found}");
    tmux.send(&["q"]);
    tmux.wait("$");
}

#[test]
fn what_is_known_before_a_run_stands_beside_it() {
    let Some(tmux) = Tmux::start("beforehand", (100, 30)) else { return };
    let folder = tempfile::tempdir().unwrap();
    for (label, patients) in [("Effusion", 1..9), ("NORMAL", 9..25)] {
        std::fs::create_dir_all(folder.path().join("inverted").join(label)).unwrap();
        for patient in patients {
            let drawn = render(&Cohort::new(1, 30, 128).unwrap(), &PhantomId { patient, index: 0 });
            let mut picture = image::GrayImage::from_raw(drawn.size, drawn.size, drawn.pixels).unwrap();
            image::imageops::invert(&mut picture);
            picture.save(folder.path().join(format!("inverted/{label}/{patient}.png"))).unwrap();
        }
    }
    let program = env!("CARGO_BIN_EXE_roentgen");
    let evaluate = format!("{program} evaluate --model phantom-densenet --data inverted --out run");
    tmux.send(&[&format!("cd {} && {evaluate}", folder.path().display()), "Enter"]);
    tmux.wait("Reliability");
    tmux.send(&["8"]);
    let told = tmux.wait("note: pictures inverted?");
    assert!(told.contains("note: the data say nothing of Cardiomegaly, Nodule"), "{told}");
    tmux.send(&["q"]);
    tmux.wait("$");
}

#[test]
fn a_calibrated_run_in_the_ui_is_that_of_the_command() {
    let Some(tmux) = Tmux::start("calibrated", (100, 30)) else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let ok = |args: &[&str]| crate::support::roentgen(args).ok();
    ok(&["demo", "--headless", "--out", &at("demo")]);
    let (demo, maps) = (at("demo"), at("maps.toml"));
    ok(&["calibrate", "--fit", &demo, "--apply", &demo, "--same-patients", "--method", "platt", "--save", &maps]);
    let evaluate = ["evaluate", "--model", "phantom-densenet", "--data", "phantom", "--calibration", &maps];
    ok(&[&evaluate[..], &["--headless", "--out", &at("headless")]].concat());
    let program = env!("CARGO_BIN_EXE_roentgen");
    tmux.send(&[&format!("{program} {} --out {}", evaluate.join(" "), at("ui")), "Enter"]);
    tmux.wait("macro of 5 labels");
    tmux.send(&["5"]);
    tmux.wait("model calibrated");
    tmux.send(&["q"]);
    tmux.wait("written to");
    let contents = |name| crate::support::contents(&folder.path().join(name));
    assert!(contents("ui") == contents("headless"));
}

#[test]
fn a_run_that_is_left_is_resumed_to_the_same_bytes() {
    let Some(tmux) = Tmux::start("resume", (100, 30)) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (run, whole) = (folder.path().join("run"), folder.path().join("whole"));
    let evaluate = ["evaluate", "--model", "phantom-densenet", "--data", "phantom", "--batch", "4", "--threads", "1"];
    let program = format!("{} {}", env!("CARGO_BIN_EXE_roentgen"), evaluate.join(" "));
    tmux.send(&[&format!("{program} --out {}", run.display()), "Enter"]);
    tmux.wait("images/s");
    tmux.send(&["Space"]);
    tmux.wait("paused");
    tmux.send(&["q"]);
    tmux.wait("go on with the same command and --resume");
    assert!(run.join("journal").exists());
    let mut command = crate::support::command(evaluate);
    command.args(["--headless", "--resume", "--out"]).arg(&run);
    crate::support::finished(command.output().unwrap()).ok();
    let mut command = crate::support::command(evaluate);
    command.args(["--headless", "--out"]).arg(&whole);
    crate::support::finished(command.output().unwrap()).ok();
    assert!(crate::support::contents(&run) == crate::support::contents(&whole));
}

#[test]
fn a_panic_gives_the_shell_its_terminal_back() {
    let Some(tmux) = Tmux::start("panic", (100, 30)) else { return };
    tmux.send(&["echo before", "Enter"]);
    tmux.wait("before");
    let this = std::env::current_exe().unwrap();
    tmux.send(&[&format!("{} --ignored --exact --nocapture tui_terminal::panics_beside", this.display()), "Enter"]);
    tmux.wait("Models");
    let shell = tmux.wait("what went wrong");
    assert!(shell.contains("before") && !shell.contains("Models"), "the shell's own screen again: {shell}");
    let told = shell.lines().find(|l| l.contains("what went wrong")).unwrap();
    assert!(told.starts_with("what went wrong"), "lines begin at the left, the terminal is not raw: {shell}");
    // Echo, line editing and the cursor are back.
    tmux.wait("\n$\n");
    tmux.send(&["echo af''ter", "Enter"]);
    tmux.wait("\nafter");
    let shown =
        tmux.command().args(["display-message", "-p", "#{alternate_on} #{cursor_flag} #{mouse_any_flag}"]).output();
    assert_eq!(String::from_utf8_lossy(&shown.unwrap().stdout).trim(), "0 1 0");
}

#[test]
fn a_run_of_another_process_is_watched_to_its_end() {
    let Some(tmux) = Tmux::start("attach", (100, 30)) else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let evaluate = ["evaluate", "--model", "phantom-densenet", "--data", "phantom", "--batch", "4", "--threads", "1"];
    let mut command = crate::support::command(evaluate);
    command.args(["--headless", "--out"]).arg(&run).stdout(Stdio::null()).stderr(Stdio::null());
    let mut job = command.spawn().unwrap();
    let signal = |name: &str| {
        assert!(Command::new("kill").args([name, &job.id().to_string()]).status().unwrap().success());
    };
    let end = Instant::now() + PATIENCE;
    while std::fs::metadata(run.join("journal")).map_or(0, |m| m.len()) < 4_000 {
        assert!(Instant::now() < end, "the job does not begin");
        std::thread::sleep(Duration::from_millis(2));
    }
    signal("-STOP");
    tmux.send(&[&format!("{} tui {}", env!("CARGO_BIN_EXE_roentgen"), run.display()), "Enter"]);
    let watched = tmux.wait("another process runs it");
    assert!(watched.contains("of 736") && watched.contains("Cardiomegaly"), "{watched}");
    tmux.send(&["S"]);
    tmux.wait("only a run of this process can be held or stopped");
    signal("-CONT");
    assert!(job.wait().unwrap().success());
    assert!(tmux.wait("macro of 5 labels").contains("0.953"));
    tmux.send(&["q"]);
    tmux.wait("$");
}

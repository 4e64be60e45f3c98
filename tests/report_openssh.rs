//! Signatures of reports against the real OpenSSH, both ways.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use roentgen::run::RunFolder;

use crate::report::{made_up_run, report, verify_by_program};
use crate::support::{Ran, command, finished, put};

const NAMESPACE: &str = "roentgen-report@v1";

/// Whether OpenSSH is there; a word about it where it is not.
fn openssh() -> bool {
    let there = ["ssh-keygen", "ssh-agent", "ssh-add"].iter().all(|program| {
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
        found.is_ok_and(|s| s.success())
    });
    if !there {
        use std::io::Write;
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let _ = writeln!(std::io::stderr(), "left out: {test}: openssh-client is not there");
    }
    there
}

struct Place {
    folder: tempfile::TempDir,
    run: RunFolder,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let run = made_up_run(&folder.path().join("run"), 40, &["Mass"], |_| {});
        Self { folder, run }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn key(&self, name: &str, args: &[&str]) -> PathBuf {
        let path = self.folder.path().join(name);
        let made =
            Command::new("ssh-keygen").args(["-q", "-C", "author@lab", "-f"]).arg(&path).args(args).status().unwrap();
        assert!(made.success());
        path
    }

    /// A signers file with this public key.
    fn signers(&self, name: &str, options: &str, key: &Path) -> String {
        let public = std::fs::read_to_string(format!("{}.pub", key.display())).unwrap();
        put(self.folder.path(), name, &format!("# who may sign\nauthor@lab,*@uni.example {options} {public}"))
    }

    fn report_json(&self) -> PathBuf {
        self.run.path().join("report.json")
    }

    fn ssh_keygen_verifies(&self, signers: &str, identity: &str) -> bool {
        let report = std::fs::File::open(self.report_json()).unwrap();
        let mut verify = Command::new("ssh-keygen");
        verify.args(["-Y", "verify", "-f", signers, "-I", identity, "-n", NAMESPACE, "-s"]);
        verify.arg(self.run.path().join("report.json.sig")).stdin(report).stdout(Stdio::null()).stderr(Stdio::null());
        verify.status().unwrap().success()
    }
}

/// An agent that ends with the test.
struct Agent {
    child: Child,
    socket: PathBuf,
}

impl Agent {
    fn start(folder: &Path) -> Self {
        let socket = folder.join("agent");
        let child = Command::new("ssh-agent")
            .args(["-D", "-a"])
            .arg(&socket)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let agent = Self { child: child.unwrap(), socket };
        let begun = std::time::Instant::now();
        while !agent.socket.exists() {
            assert!(begun.elapsed().as_secs() < 20, "the agent does not start");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        agent
    }

    fn add(&self, key: &Path) {
        let added = Command::new("ssh-add")
            .arg("-q")
            .arg(key)
            .env("SSH_AUTH_SOCK", &self.socket)
            .stderr(Stdio::null())
            .status();
        assert!(added.unwrap().success());
    }

    fn report(&self, run: &RunFolder, sign: &str) -> Ran {
        let mut report = command(["report", &run.path().display().to_string(), "--sign", sign]);
        finished(report.env("SSH_AUTH_SOCK", &self.socket).output().unwrap())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_roentgen_signs_ssh_keygen_verifies() {
    if !openssh() {
        return;
    }
    let place = Place::new();
    for (name, args) in [("ed", &["-t", "ed25519", "-N", ""]), ("ec", &["-t", "ecdsa", "-N", ""])] {
        let key = place.key(name, args);
        report(place.run.path(), &["--sign", &key.display().to_string()]).ok();
        let signers = place.signers("signers", &format!("namespaces=\"{NAMESPACE}\""), &key);
        assert!(place.ssh_keygen_verifies(&signers, "author@lab"), "{name}");
        let told = verify_by_program(place.run.path(), &["--signers", &signers]).ok();
        assert!(told.contains("a good one by author@lab"), "{told}");
        verify_by_program(place.run.path(), &["--signers", &signers, "--identity", "x@uni.example"]).ok();
        let other = verify_by_program(place.run.path(), &["--signers", &signers, "--identity", "x@elsewhere"]);
        assert!(other.status == 1 && other.stdout.contains("not an allowed signer"), "{}", other.stdout);
    }
    // A key of roentgen's own making.
    let own = place.path("own");
    report(place.run.path(), &["--new-key", &own]).ok();
    let signers = place.signers("signers", "", Path::new(&own));
    assert!(place.ssh_keygen_verifies(&signers, "author@lab"));
    let again = report(place.run.path(), &["--new-key", &own]);
    assert!(again.error(2).contains("there already"));
}

#[test]
fn what_ssh_keygen_signs_roentgen_verifies() {
    if !openssh() {
        return;
    }
    let place = Place::new();
    report(place.run.path(), &[]).ok();
    let sign = |key: &Path, namespace: &str| {
        let _ = std::fs::remove_file(place.run.path().join("report.json.sig"));
        let mut sign = Command::new("ssh-keygen");
        sign.args(["-Y", "sign", "-q", "-n", namespace, "-f"]).arg(key).arg(place.report_json());
        assert!(sign.stderr(Stdio::null()).status().unwrap().success());
    };
    for (name, args) in [
        ("ed", &["-t", "ed25519", "-N", ""][..]),
        ("ec", &["-t", "ecdsa", "-b", "256", "-N", ""]),
        ("rsa", &["-t", "rsa", "-b", "2048", "-N", ""]),
    ] {
        let key = place.key(name, args);
        sign(&key, NAMESPACE);
        let signers = place.signers("signers", "valid-after=\"20200101Z\"", &key);
        let told = verify_by_program(place.run.path(), &["--signers", &signers]).ok();
        assert!(told.contains("a good one by author@lab"), "{name}: {told}");
        let unlisted = place.signers("old", "valid-before=\"20200101Z\"", &key);
        let told = verify_by_program(place.run.path(), &["--signers", &unlisted]);
        assert!(told.status == 1 && told.stdout.contains("no longer valid"), "{}", told.stdout);
        let authority = place.signers("ca", "cert-authority", &key);
        assert!(
            verify_by_program(place.run.path(), &["--signers", &authority]).stdout.contains("certificate authority")
        );
        sign(&key, "file");
        let told = verify_by_program(place.run.path(), &["--signers", &signers]);
        assert!(told.status == 1 && told.stdout.contains("signed for `file`"), "{}", told.stdout);
    }
    // Someone else's good signature is not the author's.
    let (author, stranger) =
        (place.key("author", &["-t", "ed25519", "-N", ""]), place.key("stranger", &["-t", "ed25519", "-N", ""]));
    let signers = place.signers("signers", "", &author);
    sign(&stranger, NAMESPACE);
    let told = verify_by_program(place.run.path(), &["--signers", &signers]);
    assert!(told.status == 1 && told.stdout.contains("is not listed"), "{}", told.stdout);
    std::fs::remove_file(place.run.path().join("report.json.sig")).unwrap();
    assert!(verify_by_program(place.run.path(), &["--signers", &signers]).stdout.contains("there is no signature"));
}

#[test]
fn the_agent_signs_with_every_kind_of_key() {
    if !openssh() {
        return;
    }
    let place = Place::new();
    let agent = Agent::start(place.folder.path());
    assert!(agent.report(&place.run, "agent").error(3).contains("it holds no"));
    let mut keys = Vec::new();
    for (name, args) in [
        ("rsa", &["-t", "rsa", "-b", "2048", "-N", ""][..]),
        ("ed", &["-t", "ed25519", "-N", ""]),
        ("ec", &["-t", "ecdsa", "-b", "256", "-N", ""]),
    ] {
        let key = place.key(name, args);
        agent.add(&key);
        let public = format!("{}.pub", key.display());
        // The only key, then one of several.
        agent.report(&place.run, if keys.is_empty() { "agent" } else { &public }).ok();
        let signers = place.signers("signers", "", &key);
        assert!(place.ssh_keygen_verifies(&signers, "author@lab"), "{name}");
        verify_by_program(place.run.path(), &["--signers", &signers]).ok();
        keys.push(key);
    }
    assert!(agent.report(&place.run, "agent").error(2).contains("several keys"));
    assert!(
        agent.report(&place.run, &keys[0].display().to_string()).error(3).contains("RSA keys sign through the agent")
    );
    let elsewhere = place.key("elsewhere", &["-t", "ed25519", "-N", ""]);
    assert!(agent.report(&place.run, &format!("{}.pub", elsewhere.display())).error(3).contains("does not hold"));
    let mut without = command(["report", &place.run.path().display().to_string(), "--sign", "agent"]);
    assert!(finished(without.env_remove("SSH_AUTH_SOCK").output().unwrap()).error(3).contains("SSH_AUTH_SOCK"));
}

#[test]
fn no_secret_is_told() {
    if !openssh() {
        return;
    }
    let place = Place::new();
    let locked = place.key("locked", &["-t", "ed25519", "-N", "open sesame"]);
    let ran = report(place.run.path(), &["--sign", &locked.display().to_string()]);
    assert!(ran.error(3).contains("--sign agent"), "{}", ran.stderr);
    assert!(!place.report_json().exists());
    let secret = std::fs::read_to_string(&locked).unwrap();
    let middle = secret.lines().nth(2).unwrap();
    let open = place.key("open", &["-t", "ed25519", "-N", ""]);
    let text = std::fs::read_to_string(&open).unwrap();
    // Keys with a fault: whatever is said of them, their lines are not.
    for (i, broken) in
        [text.replacen('b', "c", 9), text[..text.len() / 2].to_owned(), "no key".into()].iter().enumerate()
    {
        let path = put(place.folder.path(), &format!("broken{i}"), broken);
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let ran = report(place.run.path(), &["--sign", &path]);
        let told = ran.error(3).to_owned() + &ran.stdout;
        assert!(text.lines().all(|line| !told.contains(line)) && !told.contains(middle), "{told}");
    }
    let ran = report(place.run.path(), &["--sign", &open.display().to_string()]);
    let told = ran.stdout.clone() + &ran.stderr;
    assert!(ran.status == 0 && text.lines().filter(|l| l.len() > 20).all(|line| !told.contains(line)));
    for name in ["report.json", "report.json.sig", "report.html"] {
        let file = std::fs::read_to_string(place.run.path().join(name)).unwrap();
        assert!(text.lines().filter(|l| l.len() > 20).all(|line| !file.contains(line)), "{name}");
    }
}

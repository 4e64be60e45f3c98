//! A Slurm of a test's own: its controller and two nodes on the loopback device, which end with the test. Nothing of the
//! machine's own Slurm is touched.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything takes on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(300);

/// Waits until `done` gives something.
#[track_caller]
pub fn wait_for<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = done() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub struct Slurm {
    folder: tempfile::TempDir,
}

impl Slurm {
    /// `None`, with a word about it, where Slurm is not installed or may not be started.
    pub fn start() -> Option<Self> {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let left_out = |why: &str| {
            let _ = writeln!(std::io::stderr(), "left out: {test}: {why}");
        };
        if !["munged", "slurmctld", "slurmd", "sbatch"].iter().all(|name| find(name).is_some()) {
            left_out("Slurm is not installed (Debian: slurmctld slurmd slurm-client munge)");
            return None;
        }
        if said(Command::new("id").arg("-u")).trim() != "0" {
            left_out("only root can start a Slurm of its own");
            return None;
        }
        // Short: the names of sockets may not be long.
        let folder = tempfile::Builder::new().prefix("rs").tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let slurm = Self { folder };
        slurm.begin();
        Some(slurm)
    }

    fn begin(&self) {
        let at = |name: &str| self.folder.path().join(name);
        for name in ["state", "n1", "n2"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        std::fs::write(at("munge.key"), [7; 128]).unwrap();
        std::fs::set_permissions(at("munge.key"), PermissionsExt::from_mode(0o600)).unwrap();
        let option = |name: &str, file: &str| format!("--{name}={}", at(file).display());
        run(Command::new(find("munged").unwrap()).arg("--force").args([
            option("key-file", "munge.key"),
            option("socket", "munge.sock"),
            option("pid-file", "munged.pid"),
            option("log-file", "munged.log"),
            option("seed-file", "munged.seed"),
        ]));
        let ports = {
            // Held until all three are known, so that they differ.
            let held = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
            held.map(|port| port.local_addr().unwrap().port())
        };
        std::fs::write(self.conf(), self.configuration(ports)).unwrap();
        std::fs::write(at("gres.conf"), "Name=gpu File=/dev/null\n").unwrap();
        run(self.command("slurmctld").arg("-c"));
        self.start_node("n1");
        self.start_node("n2");
        wait_for("two idle nodes", || {
            (self.said("sinfo", &["-h", "-t", "idle", "-o", "%D"]).trim() == "2").then_some(())
        });
    }

    fn configuration(&self, [controller, first, second]: [u16; 3]) -> String {
        let (b, host) = (self.folder.path().display(), said(Command::new("uname").arg("-n")));
        let host = host.trim().split('.').next().unwrap();
        format!(
            "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmUser=root\nSlurmdUser=root\n\
             AuthType=auth/munge\nAuthInfo=socket={b}/munge.sock,cred_expire=5\nCredType=cred/munge\n\
             CommunicationParameters=NoCtldInAddrAny,NoInAddrAny\nSlurmctldPort={controller}\n\
             SlurmctldPidFile={b}/slurmctld.pid\nSlurmctldLogFile={b}/slurmctld.log\nStateSaveLocation={b}/state\n\
             SlurmdPidFile={b}/slurmd.%n.pid\nSlurmdLogFile={b}/slurmd.%n.log\nSlurmdSpoolDir={b}/%n\n\
             ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nJobAcctGatherType=jobacct_gather/none\n\
             SelectType=select/cons_tres\nSelectTypeParameters=CR_Core\nMpiDefault=none\nSwitchType=switch/none\n\
             AccountingStorageType=accounting_storage/none\nJobRequeue=1\nMinJobAge=3600\nReturnToService=2\n\
             GresTypes=gpu\nSchedulerType=sched/backfill\n\
             SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0\n\
             SlurmdTimeout=10\nKillWait=5\nMessageTimeout=10\n\
             NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={first} CPUs=2 RealMemory=500 Gres=gpu:1\n\
             NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={second} CPUs=2 RealMemory=500 Gres=gpu:1\n\
             PartitionName=main Nodes=n[1-2] Default=YES MaxTime=60 State=UP\n"
        )
    }

    /// What `SLURM_CONF` must name.
    pub fn conf(&self) -> PathBuf {
        self.folder.path().join("slurm.conf")
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(find(name).unwrap());
        command.env("SLURM_CONF", self.conf());
        command
    }

    /// What one of Slurm's commands prints.
    pub fn said(&self, name: &str, args: &[&str]) -> String {
        said(self.command(name).args(args))
    }

    fn start_node(&self, node: &str) {
        run(self.command("slurmd").args(["-N", node]));
        let pid = self.folder.path().join(format!("slurmd.{node}.pid"));
        wait_for("a node", || pid.exists().then_some(()));
    }

    /// Stops the daemon of a node at once; what it had started goes on.
    pub fn lose_node(&self, node: &str) {
        self.kill(&format!("slurmd.{node}.pid"));
    }

    /// Stops the controller.
    pub fn lose_controller(&self) {
        self.kill("slurmctld.pid");
    }

    fn kill(&self, pid_file: &str) {
        let path = self.folder.path().join(pid_file);
        if let Ok(pid) = std::fs::read_to_string(&path) {
            signal("KILL", pid.trim().parse().unwrap());
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        // First the jobs, while there is somebody to end them.
        let tasks = processes(|words| words.iter().any(|w| w.contains(&*self.folder.path().to_string_lossy())));
        for pid_file in ["slurmctld.pid", "slurmd.n1.pid", "slurmd.n2.pid", "munged.pid"] {
            self.kill(pid_file);
        }
        for pid in tasks {
            signal("KILL", pid);
        }
    }
}

/// The processes whose command line is so.
pub fn processes(like: impl Fn(&[String]) -> bool) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().filter_map(|e| e.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let words = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|b| *b == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect::<Vec<_>>()
    };
    entries.filter(|pid| *pid != std::process::id() && like(&words(pid))).collect()
}

/// The process that started `pid`.
pub fn parent(pid: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|l| l.strip_prefix("PPid:")).unwrap().trim().parse().unwrap()
}

/// Sends a signal; a process that has ended meanwhile does not mind.
pub fn signal(name: &str, pid: u32) {
    let mut kill = Command::new("kill");
    let _ = kill.args([&format!("-{name}"), &pid.to_string()]).stderr(Stdio::null()).status();
}

/// The path of a program, also where only root looks.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/bin"].map(|p| Path::new(p).to_owned()));
    folders.find_map(|folder| Some(folder.join(name)).filter(|p| p.is_file()))
}

#[track_caller]
fn run(command: &mut Command) {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

fn said(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

//! `weights fetch` against a server on loopback that plays the Hub and its CDN.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use roentgen::files::sha256;

use crate::support::{Ran, command, finished};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const TOKEN: &str = "hf_verysecret";

/// How the server behaves.
#[derive(Clone)]
struct Plan {
    content: Vec<u8>,
    commit: &'static str,
    /// What the Hub says that the content's SHA-256 is.
    announced: String,
    /// An error instead of an answer: status, X-Error-Code, requests that it meets.
    error: Option<(u16, &'static str, usize)>,
    /// The body is cut after so many bytes, on so many requests.
    cut: Option<(usize, usize)>,
    /// The CDN gives the whole file whatever range is asked for.
    deaf: bool,
    /// A pause before every kilobyte.
    slow: Duration,
    /// Who has no token is told 401.
    private: bool,
}

/// A request that the server met.
#[derive(Clone, Debug)]
struct Met {
    path: String,
    range: Option<String>,
    token: bool,
}

struct Server {
    hub: String,
    plan: Arc<Mutex<Plan>>,
    met: Arc<Mutex<Vec<Met>>>,
}

impl Server {
    /// Two listeners: the Hub, and a CDN that it redirects to.
    fn start(content: &[u8]) -> Self {
        let plan = Plan {
            content: content.to_vec(),
            commit: COMMIT,
            announced: sha256(content),
            error: None,
            cut: None,
            deaf: false,
            slow: Duration::ZERO,
            private: false,
        };
        let (plan, met) = (Arc::new(Mutex::new(plan)), Arc::new(Mutex::new(Vec::new())));
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (hub, cdn) = (listen(), listen());
        let address = |l: &TcpListener| format!("http://{}", l.local_addr().unwrap());
        let (hub_address, cdn_address) = (address(&hub), address(&cdn));
        for (listener, is_cdn) in [(hub, false), (cdn, true)] {
            let (plan, met, cdn_address) = (plan.clone(), met.clone(), cdn_address.clone());
            // The threads end with the test's process.
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let (plan, met, cdn_address) = (plan.clone(), met.clone(), cdn_address.clone());
                    std::thread::spawn(move || drop(answer(stream.unwrap(), is_cdn, &plan, &met, &cdn_address)));
                }
            });
        }
        Self { hub: hub_address, plan, met }
    }

    fn set(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.plan.lock().unwrap());
    }

    /// Requests since the last call.
    fn met(&self) -> Vec<Met> {
        std::mem::take(&mut self.met.lock().unwrap())
    }
}

fn answer(
    stream: TcpStream,
    is_cdn: bool,
    plan: &Mutex<Plan>,
    met: &Mutex<Vec<Met>>,
    cdn: &str,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let path = lines.next().unwrap_or(Ok(String::new()))?.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = HashMap::new();
    for line in lines {
        let line = line?;
        match line.split_once(": ") {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.to_owned()),
            None => break,
        };
    }
    let token = headers.get("authorization").is_some_and(|a| a == &format!("Bearer {TOKEN}"));
    let range = headers.get("range").cloned();
    met.lock().unwrap().push(Met {
        path: format!("{}{path}", if is_cdn { "cdn" } else { "" }),
        range: range.clone(),
        token,
    });
    let mut out = &stream;
    let now = plan.lock().unwrap().clone();
    let head = |status: &str, more: &str, length: usize| {
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{more}\r\n")
    };
    if !is_cdn {
        if let Some((status, code, left)) = now.error.filter(|(.., left)| *left > 0) {
            plan.lock().unwrap().error = Some((status, code, left - 1));
            let more = format!("X-Error-Code: {code}\r\nRetry-After: 7\r\n");
            return out.write_all(head(&format!("{status} No"), &more, 0).as_bytes());
        }
        if now.private && !token {
            return out.write_all(head("401 Unauthorized", "X-Error-Code: RepoNotFound\r\n", 0).as_bytes());
        }
        let more = format!(
            "X-Repo-Commit: {}\r\nX-Linked-Etag: \"{}\"\r\nX-Linked-Size: {}\r\nETag: \"other\"\r\nLocation: {cdn}/blob?signature=hidden\r\n",
            now.commit,
            now.announced,
            now.content.len()
        );
        return out.write_all(head("302 Found", &more, 0).as_bytes());
    }
    let (mut start, mut end, size) = (0, now.content.len(), now.content.len());
    if let Some((from, to)) =
        range.as_ref().filter(|_| !now.deaf).and_then(|r| r.strip_prefix("bytes=")?.split_once('-'))
    {
        start = from.parse::<usize>().unwrap().min(size);
        end = to.parse::<usize>().map_or(size, |to| to + 1).min(size);
    }
    let body = &now.content[start..end];
    match now.deaf {
        true => out.write_all(head("200 OK", "", body.len()).as_bytes())?,
        false => {
            let more = format!("Content-Range: bytes {start}-{}/{size}\r\nETag: \"cdn\"\r\n", end.max(1) - 1);
            out.write_all(head("206 Partial Content", &more, body.len()).as_bytes())?;
        }
    }
    let mut length = body.len();
    if body.len() > 1
        && let Some((bytes, left)) = now.cut.filter(|(_, left)| *left > 0)
    {
        plan.lock().unwrap().cut = Some((bytes, left - 1));
        length = length.min(bytes);
    }
    for piece in body[..length].chunks(1024) {
        std::thread::sleep(now.slow);
        out.write_all(piece)?;
    }
    Ok(())
}

struct Place {
    folder: tempfile::TempDir,
    card: PathBuf,
}

impl Place {
    fn new(revision: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let card = folder.path().join("card.toml");
        let text = format!(
            "schema = \"roentgen/model/1\"\nname = \"m\"\narchitecture = \"resnet18\"\nlabels = [\"a\"]\noutput = \"sigmoid\"\n\
             licence = \"MIT\"\n[weights]\nrepo = \"org/net\"\nrevision = \"{revision}\"\nfile = \"sub/model.safetensors\"\n{more}\n\
             [input]\nchannels = 1\nsteps = []\n"
        );
        std::fs::write(&card, text).unwrap();
        Self { folder, card }
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("hf/hub")
    }

    fn blobs(&self) -> Vec<String> {
        let found = std::fs::read_dir(self.cache().join("models--org--net/blobs"));
        let mut names: Vec<_> =
            found.into_iter().flatten().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn pointer(&self) -> PathBuf {
        self.cache().join("models--org--net/snapshots").join(COMMIT).join("sub/model.safetensors")
    }

    fn lock(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("weights.lock")).unwrap_or_default()
    }

    fn start(&self, server: &Server, verb: &str, more: &[&str]) -> std::process::Command {
        let mut command = command(["weights", verb]);
        command
            .arg(&self.card)
            .args(more)
            .env("HF_HOME", self.folder.path().join("hf"))
            .env("HF_ENDPOINT", &server.hub);
        for name in [
            "HF_TOKEN",
            "HF_HUB_CACHE",
            "HF_HUB_OFFLINE",
            "HF_TOKEN_PATH",
            "http_proxy",
            "HTTP_PROXY",
            "ALL_PROXY",
            "all_proxy",
        ] {
            command.env_remove(name);
        }
        command.env("NO_PROXY", "127.0.0.1");
        command
    }

    fn fetch(&self, server: &Server) -> Ran {
        self.told(self.start(server, "fetch", &[]))
    }

    /// Runs it; the token and the CDN's signed address must never be in what it prints.
    fn told(&self, mut command: std::process::Command) -> Ran {
        let ran = finished(command.output().unwrap());
        for text in [&ran.stdout, &ran.stderr] {
            assert!(!text.contains(TOKEN) && !text.contains("signature=hidden"), "{text}");
        }
        ran
    }

    #[track_caller]
    fn has_nothing_bad(&self, content: &[u8]) {
        for name in self.blobs() {
            assert!(name.ends_with(".incomplete") || name == sha256(content), "{name}");
        }
        match self.pointer().exists() {
            true => assert_eq!(std::fs::read(self.pointer()).unwrap(), content),
            false => assert!(std::fs::symlink_metadata(self.pointer()).is_err()),
        }
    }
}

fn content() -> Vec<u8> {
    (0..300_000u32).flat_map(|i| (i.wrapping_mul(2654435761)).to_le_bytes()).collect()
}

#[test]
fn fetched_once_into_the_cache_that_python_reads() {
    let (content, place) = (content(), Place::new("main", ""));
    let server = Server::start(&content);
    let out = place.fetch(&server).ok();
    assert!(out.starts_with("m: fetched, 1200000 bytes") && out.contains(COMMIT), "{out}");
    assert_eq!(std::fs::read(place.pointer()).unwrap(), content);
    let target = std::fs::read_link(place.pointer()).unwrap();
    assert_eq!(target, Path::new("../../../blobs").join(sha256(&content)));
    assert_eq!(std::fs::read_to_string(place.cache().join("models--org--net/refs/main")).unwrap(), COMMIT);
    assert_eq!(
        place.lock(),
        format!(
            "schema = \"roentgen/lock/1\"\n\n[[file]]\nrepo = \"org/net\"\nrevision = \"main\"\ncommit = \"{COMMIT}\"\n\
             file = \"sub/model.safetensors\"\nsize = 1200000\nsha256 = \"{}\"\n",
            sha256(&content)
        )
    );
    server.met();
    // The lock file's commit is in the cache: nothing is asked.
    assert!(place.fetch(&server).ok().starts_with("m: in the cache"));
    assert!(server.met().is_empty());
    // The same by its commit, offline by flag and by variable.
    assert!(place.told(place.start(&server, "fetch", &["--offline"])).ok().starts_with("m: in the cache"));
    let mut offline = place.start(&server, "fetch", &[]);
    offline.env("HF_HUB_OFFLINE", "1");
    assert!(place.told(offline).ok().starts_with("m: in the cache"));
    assert!(server.met().is_empty());
    // A model that uses it reads it there; these bytes are no network.
    let e = place.told(place.start(&server, "show", &[]));
    assert!(e.error(3).contains("sub/model.safetensors: neither a safetensors file"), "{}", e.stderr);
}

#[test]
fn the_token_goes_to_the_hub_alone() {
    let (content, place) = (content(), Place::new(COMMIT, ""));
    let server = Server::start(&content);
    server.set(|plan| plan.private = true);
    let e = place.fetch(&server);
    assert!(e.error(3).contains("there is no such repository, or it is private"), "{}", e.stderr);
    assert!(e.error(3).contains("set HF_TOKEN if you have access"));
    let mut with_token = place.start(&server, "fetch", &[]);
    with_token.env("HF_TOKEN", TOKEN);
    place.told(with_token).ok();
    let met = server.met();
    assert!(met.iter().any(|m| m.token) && met.iter().any(|m| m.path.starts_with("cdn")), "{met:?}");
    assert!(met.iter().filter(|m| m.path.starts_with("cdn")).all(|m| !m.token), "{met:?}");
    // And from the file of `huggingface-cli login`.
    let place = Place::new(COMMIT, "");
    std::fs::create_dir_all(place.folder.path().join("hf")).unwrap();
    std::fs::write(place.folder.path().join("hf/token"), format!("{TOKEN}\n")).unwrap();
    place.fetch(&server).ok();
}

#[test]
fn every_refusal_is_told_with_a_way_on() {
    let content = content();
    for (status, code, requests, says, mend) in [
        (403, "GatedRepo", 9, "the repository is gated", "ask for access at http://127.0.0.1"),
        (401, "RepoNotFound", 9, "there is no such repository", "correct `weights.repo`"),
        (404, "RevisionNotFound", 9, "there is no such revision", "correct `weights.revision`"),
        (404, "EntryNotFound", 9, "there is no such file at this revision", "correct `weights.file`"),
        (429, "", 9, "the Hub asks to slow down (429)", "try again in 7 s"),
        (500, "", 9, "the server fails (500 Internal Server Error)", "try again later"),
        (418, "", 9, "the server answers 418", "see http://127.0.0.1"),
    ] {
        let place = Place::new("main", "");
        let server = Server::start(&content);
        server.set(|plan| plan.error = Some((status, code, requests)));
        let ran = place.fetch(&server);
        let e = ran.error(3);
        assert!(e.contains("model `m`, sub/model.safetensors of org/net at main"), "{e}");
        assert!(e.contains(says) && e.contains(mend), "{says}: {e}");
        assert!(place.blobs().is_empty() && place.lock().is_empty());
    }
    // A server that recovers is asked again.
    let (place, server) = (Place::new("main", ""), Server::start(&content));
    server.set(|plan| plan.error = Some((503, "", 2)));
    place.fetch(&server).ok();
}

#[test]
fn cut_and_slow_connections_are_gone_on_with() {
    let content = content();
    let (place, server) = (Place::new(COMMIT, ""), Server::start(&content));
    server.set(|plan| plan.cut = Some((100_000, 5)));
    place.fetch(&server).ok();
    assert_eq!(std::fs::read(place.pointer()).unwrap(), content);
    let ranges: Vec<_> =
        server.met().into_iter().filter(|m| m.path.starts_with("cdn")).filter_map(|m| m.range).collect();
    assert_eq!(ranges[..4], ["bytes=0-0", "bytes=0-", "bytes=100000-", "bytes=200000-"]);

    // A connection that gives nothing more ends it; what came is kept, and the next call goes on there.
    let (place, server) = (Place::new(COMMIT, ""), Server::start(&content));
    server.set(|plan| plan.cut = Some((0, 9)));
    let part = place.cache().join("models--org--net/blobs").join(format!("{}.incomplete", sha256(&content)));
    std::fs::create_dir_all(part.parent().unwrap()).unwrap();
    std::fs::write(&part, &content[..5000]).unwrap();
    let e = place.fetch(&server);
    assert!(e.error(3).contains("the connection was cut at 5000 of 1200000 bytes, again and again"), "{}", e.stderr);
    assert!(e.error(3).contains("run the same command again: it goes on from there"));
    place.has_nothing_bad(&content);
    server.set(|plan| (plan.cut, plan.slow) = (None, Duration::from_micros(300)));
    server.met();
    place.fetch(&server).ok();
    assert!(server.met().iter().any(|m| m.range.as_deref() == Some("bytes=5000-")));
    assert_eq!(std::fs::read(place.pointer()).unwrap(), content);
}

#[test]
fn a_server_that_knows_no_ranges() {
    let content = content();
    let (place, server) = (Place::new(COMMIT, ""), Server::start(&content));
    server.set(|plan| (plan.deaf, plan.cut) = (true, Some((100_000, 2))));
    // The first look, of one byte, meets the whole body too.
    place.fetch(&server).ok();
    assert_eq!(std::fs::read(place.pointer()).unwrap(), content);
}

#[test]
fn content_that_is_not_what_was_said_is_not_kept() {
    let content = content();
    let (place, server) = (Place::new(COMMIT, ""), Server::start(&content));
    server.set(|plan| plan.announced = sha256(b"something else"));
    let e = place.fetch(&server);
    assert!(e.error(3).contains(&format!("its SHA-256 is {}, the Hub announced", sha256(&content))), "{}", e.stderr);
    assert!(e.error(3).contains("nothing was kept"));
    assert!(place.blobs().is_empty() && !place.pointer().exists() && place.lock().is_empty());

    let place = Place::new(COMMIT, &format!("sha256 = \"{}\"", "0".repeat(64)));
    let server = Server::start(&content);
    let e = place.fetch(&server);
    assert!(e.error(3).contains("the card says 000000"), "{}", e.stderr);
    assert!(place.blobs().is_empty() && !place.pointer().exists());

    // A part that another program left with other bytes.
    let (place, server) = (Place::new(COMMIT, ""), Server::start(&content));
    let part = place.cache().join("models--org--net/blobs").join(format!("{}.incomplete", sha256(&content)));
    std::fs::create_dir_all(part.parent().unwrap()).unwrap();
    std::fs::write(&part, vec![7; 5000]).unwrap();
    assert!(place.fetch(&server).error(3).contains("the Hub announced"));
    place.fetch(&server).ok();
    assert_eq!(std::fs::read(place.pointer()).unwrap(), content);
}

#[test]
fn the_lock_file_holds() {
    let content = content();
    let (place, server) = (Place::new("main", ""), Server::start(&content));
    place.fetch(&server).ok();
    // The branch moves and the cache is lost: the locked commit is asked for.
    std::fs::remove_dir_all(place.cache()).unwrap();
    server.met();
    place.fetch(&server).ok();
    let met = server.met();
    assert!(met[0].path.contains(COMMIT), "{met:?}");
    std::fs::remove_dir_all(place.cache()).unwrap();
    server.set(|plan| plan.commit = "ffffffffffffffffffffffffffffffffffffffff");
    let e = place.fetch(&server);
    assert!(e.error(3).contains("the Hub gives commit ffffff"), "{}", e.stderr);
    // Other bytes under the locked commit.
    server.set(|plan| {
        plan.commit = COMMIT;
        plan.content[0] ^= 1;
        plan.announced = sha256(&plan.content);
    });
    let e = place.fetch(&server);
    assert!(e.error(3).contains("the lock file says"), "{}", e.stderr);
    assert!(!place.pointer().exists());
    // A file in the cache that was changed is noticed when it is used.
    server.set(|plan| {
        plan.content[0] ^= 1;
        plan.announced = sha256(&plan.content);
    });
    place.fetch(&server).ok();
    std::fs::write(place.pointer().canonicalize().unwrap(), b"changed").unwrap();
    let e = place.told(place.start(&server, "show", &[]));
    assert!(e.error(3).contains("remove that file and fetch it again"), "{}", e.stderr);
}

#[test]
fn offline_says_what_is_missing() {
    let (place, server) = (Place::new("main", ""), Server::start(&content()));
    let e = place.told(place.start(&server, "fetch", &["--offline"]));
    assert!(e.error(3).contains("sub/model.safetensors of org/net at main: it is not in the cache"), "{}", e.stderr);
    assert!(e.error(3).contains("roentgen weights fetch"));
    let e = place.told(place.start(&server, "show", &[]));
    assert!(e.error(3).contains("it is not in the cache"), "{}", e.stderr);
    assert!(server.met().is_empty());
}

#[test]
fn two_processes_fetch_at_once() {
    let content = content();
    let (place, server) = (Place::new("main", ""), Server::start(&content));
    server.set(|plan| plan.slow = Duration::from_micros(200));
    let children: Vec<_> = (0..3).map(|_| place.start(&server, "fetch", &[]).spawn().unwrap()).collect();
    for child in children {
        finished(child.wait_with_output().unwrap()).ok();
    }
    assert_eq!(std::fs::read(place.pointer()).unwrap(), content);
    assert_eq!(place.blobs(), [sha256(&content)]);
    let bodies =
        server.met().iter().filter(|m| m.path.starts_with("cdn") && m.range.as_deref() == Some("bytes=0-")).count();
    assert_eq!(bodies, 1);
}

#[test]
fn hostile_servers_and_cards_write_nothing_outside() {
    let content = content();
    for announced in ["../../../escaped", "a/b", "", ".."] {
        let (place, server) = (Place::new(COMMIT, ""), Server::start(&content));
        server.set(|plan| plan.announced = announced.into());
        assert!(place.fetch(&server).error(3).contains("no usable ETag"));
        assert!(place.blobs().is_empty());
    }
    let (place, server) = (Place::new("main", ""), Server::start(&content));
    server.set(|plan| plan.commit = "../../x");
    assert!(place.fetch(&server).error(3).contains("no usable commit"));
    for (from, to) in [
        ("org/net", "../net"),
        ("org/net", "a/b/c"),
        ("sub/model.safetensors", "../model"),
        ("sub/model.safetensors", "/etc/x"),
        ("\"main\"", "\"../main\""),
        ("\"main\"", "\"main?x\""),
    ] {
        let text = std::fs::read_to_string(&place.card).unwrap();
        std::fs::write(&place.card, text.replace(from, to)).unwrap();
        let e = place.fetch(&server);
        assert!(e.error(3).contains("cannot be"), "{to}: {}", e.stderr);
        std::fs::write(&place.card, text).unwrap();
    }
}

//! Requests to the Hub: what a file is, and its bytes.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use ureq::http::{HeaderMap, Response, StatusCode, Uri};
use ureq::{Agent, Body};

use super::places::Places;
use crate::error::{Error, Result};

/// Redirects that are followed.
const REDIRECTS: usize = 5;

/// Attempts that may fail one after another without a new byte.
const ATTEMPTS: u32 = 4;

/// Longest wait for a connection and for an answer; and for the body of one request, after which the next request goes
/// on where it stopped.
const WAIT: Duration = Duration::from_secs(20);
const BODY: Duration = Duration::from_secs(60);

/// What the Hub says of a file.
pub(super) struct Remote {
    /// The commit that the revision stands for: 40 hexadecimal digits.
    pub commit: String,
    /// The content's name in the cache: SHA-256 of large files, another hash of small ones.
    pub etag: String,
    pub size: u64,
}

impl Remote {
    /// SHA-256 of the content, if the Hub's name for it is one.
    pub fn sha256(&self) -> Option<&str> {
        Some(self.etag.as_str()).filter(|etag| etag.len() == 64)
    }
}

/// A connection to the Hub.
pub(super) struct Client<'a> {
    places: &'a Places,
    agent: Agent,
    url: String,
    /// `owner/name`, for errors.
    repo: &'a str,
}

impl<'a> Client<'a> {
    /// For a file at an address below the endpoint.
    pub fn new(places: &'a Places, repo: &'a str, path: &str) -> Self {
        let config = Agent::config_builder()
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_connect(Some(WAIT))
            .timeout_recv_response(Some(WAIT))
            .timeout_recv_body(Some(BODY))
            .user_agent(concat!("roentgen/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { places, agent: config.into(), url: format!("{}/{path}", places.endpoint), repo }
    }

    /// Asks what the file is.
    pub fn look(&self) -> Result<Remote> {
        let (first, last) = self.tried(|| self.get("bytes=0-0"))?;
        let header = |name: &str| first.get(name).or_else(|| last.headers().get(name))?.to_str().ok();
        let strange = |what: &str| {
            Error::new(format!("the answer has no usable {what}"))
                .at(&self.url)
                .mend("check HF_ENDPOINT: this is no Hub or a mirror that hides what files are")
        };
        let commit = header("x-repo-commit").filter(|c| is_hex(c, 40)).ok_or_else(|| strange("commit"))?;
        let etag = header("x-linked-etag").or_else(|| header("etag")).ok_or_else(|| strange("ETag"))?;
        let etag = etag.trim_start_matches("W/").trim_matches('"');
        // It becomes a file's name.
        let plain =
            !etag.is_empty() && etag.len() <= 128 && etag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let total = || last.headers().get("content-range")?.to_str().ok()?.rsplit_once('/').map(|(_, total)| total);
        let size = header("x-linked-size").or_else(total).and_then(|size| size.parse().ok());
        Ok(Remote {
            commit: commit.to_owned(),
            etag: Some(etag).filter(|_| plain).ok_or_else(|| strange("ETag"))?.to_owned(),
            size: size.ok_or_else(|| strange("size"))?,
        })
    }

    /// Fetches what `part` lacks of the file's `size` bytes, going on after a cut as long as bytes come.
    pub fn download(&self, part: &Path, size: u64, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let fault = |e| Error::io(part, e);
        let mut file = File::options().create(true).read(true).append(true).open(part).map_err(fault)?;
        let mut failures = 0;
        loop {
            let mut have = file.seek(SeekFrom::End(0)).map_err(fault)?;
            if have > size {
                file.set_len(0).map_err(fault)?;
                have = 0;
            }
            progress(have, size);
            if have == size {
                return file.sync_all().map_err(fault);
            }
            let (_, response) = self.tried(|| self.get(&format!("bytes={have}-")))?;
            let start = response.headers().get("content-range").and_then(|r| r.to_str().ok()?.strip_prefix("bytes "));
            let start = start.and_then(|r| r.split('-').next()?.parse::<u64>().ok());
            match (response.status(), start) {
                (StatusCode::PARTIAL_CONTENT, Some(start)) if start == have => {}
                // The whole file although a part was asked for.
                (StatusCode::OK, _) => file.set_len(0).map_err(fault)?,
                (status, _) => return Err(self.refused(status, response.headers())),
            }
            let from = file.seek(SeekFrom::End(0)).map_err(fault)?;
            let mut body = response.into_body().into_reader().take(size - from);
            let end = copy(&mut body, &mut file, from, &mut |now| progress(now, size)).map_err(fault)?;
            failures = if end > have { 0 } else { failures + 1 };
            if end < size {
                if failures == ATTEMPTS {
                    return Err(Error::new(format!(
                        "the connection was cut at {end} of {size} bytes, again and again"
                    ))
                    .at(&self.url)
                    .mend("run the same command again: it goes on from there"));
                }
                std::thread::sleep(Duration::from_millis(100) * 2u32.pow(failures));
            }
        }
    }

    /// Repeats a request that the network or a momentary fault of the server let fail.
    fn tried<T>(&self, request: impl Fn() -> Result<(T, Response<Body>)>) -> Result<(T, Response<Body>)> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let answer = request();
            let passing = match &answer {
                Ok((_, response)) => response.status().is_server_error(),
                Err(_) => true,
            };
            if passing && attempt < ATTEMPTS {
                std::thread::sleep(Duration::from_millis(100) * 2u32.pow(attempt));
                continue;
            }
            let (first, response) = answer?;
            return match response.status() {
                StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok((first, response)),
                status => Err(self.refused(status, response.headers())),
            };
        }
    }

    /// The headers of the Hub's own answer and the answer at the end of its redirects. The token goes to the endpoint's
    /// host and nowhere else.
    fn get(&self, range: &str) -> Result<(HeaderMap, Response<Body>)> {
        let fault = |cause: String| {
            Error::new(cause)
                .at(&self.url)
                .mend("check the network and HF_ENDPOINT, or use --offline with a filled cache")
        };
        let home: Uri = self.url.parse().map_err(|_| fault("no web address".into()))?;
        let mut address = home.clone();
        let mut first = None;
        for _ in 0..=REDIRECTS {
            let mut request =
                self.agent.get(address.clone()).header("Range", range).header("Accept-Encoding", "identity");
            if let Some(token) = self.places.bearer().filter(|_| same_host(&address, &home)) {
                request = request.header("Authorization", format!("Bearer {token}"));
            }
            let response = request.call().map_err(|e| fault(e.to_string()))?;
            // The first answer that tells the commit is the Hub's; a CDN's tells its own ETag.
            if first.is_none() && response.headers().contains_key("x-repo-commit") {
                first = Some(response.headers().clone());
            }
            if !response.status().is_redirection() {
                return Ok((first.unwrap_or_default(), response));
            }
            let location = response.headers().get("location").and_then(|l| l.to_str().ok());
            let next: Option<Uri> = location.and_then(|l| match l.starts_with('/') {
                true => format!("{}://{}{l}", address.scheme_str()?, address.authority()?).parse().ok(),
                false => l.parse().ok(),
            });
            let next = next.filter(|n| n.host().is_some()).ok_or_else(|| fault("a redirect to nowhere".into()))?;
            if address.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
                return Err(fault("a redirect from https to an unprotected address".into()));
            }
            address = next;
        }
        Err(fault(format!("more than {REDIRECTS} redirects")))
    }

    fn refused(&self, status: StatusCode, headers: &HeaderMap) -> Error {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let page = format!("{}/{}", self.places.endpoint, self.repo);
        let token = match self.places.bearer() {
            Some(_) => "the token that was sent does not help",
            None => "set HF_TOKEN if you have access",
        };
        let (cause, mend) = match (status.as_u16(), header("x-error-code")) {
            (_, Some("GatedRepo")) => {
                ("the repository is gated".to_owned(), format!("ask for access at {page}, then set HF_TOKEN; {token}"))
            }
            (_, Some("RevisionNotFound")) => {
                ("there is no such revision".to_owned(), "correct `weights.revision` in the card".to_owned())
            }
            (_, Some("EntryNotFound")) => (
                "there is no such file at this revision".to_owned(),
                format!("correct `weights.file`; {page} lists them"),
            ),
            (_, Some("RepoNotFound")) | (401 | 404, _) => (
                "there is no such repository, or it is private".to_owned(),
                format!("correct `weights.repo` in the card; {token}"),
            ),
            (403, _) => ("access was refused".to_owned(), token.to_owned()),
            (429, _) => {
                let wait = header("retry-after").filter(|w| w.bytes().all(|b| b.is_ascii_digit()));
                let wait = wait.map_or("a few minutes".to_owned(), |seconds| format!("{seconds} s"));
                ("the Hub asks to slow down (429)".to_owned(), format!("try again in {wait}; a token raises the limit"))
            }
            (500.., _) => (format!("the server fails ({status})"), "try again later".to_owned()),
            _ => (format!("the server answers {status}"), format!("see {page}")),
        };
        Error::new(cause).at(&self.url).mend(mend)
    }
}

fn same_host(a: &Uri, b: &Uri) -> bool {
    a.scheme() == b.scheme() && a.authority() == b.authority()
}

pub(super) fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Copies until `from` ends or is cut; the position then. Only a fault of `to` is an error.
fn copy(from: &mut dyn Read, to: &mut dyn Write, start: u64, progress: &mut dyn FnMut(u64)) -> std::io::Result<u64> {
    let mut piece = vec![0; 1 << 16];
    let mut at = start;
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(at),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return Ok(at),
            Ok(n) => {
                to.write_all(&piece[..n])?;
                at += n as u64;
                progress(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_an_error_and_a_cut_is_not() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        struct Cut;
        impl Read for Cut {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::ConnectionReset.into())
            }
        }
        let error = copy(&mut &b"abc"[..], &mut Full, 0, &mut |_| {}).unwrap_err();
        assert!(Error::io(Path::new("p"), error).to_string().contains("make room there"));
        let mut kept = Vec::new();
        assert_eq!(copy(&mut (&b"abc"[..]).chain(Cut), &mut kept, 4, &mut |_| {}).unwrap(), 7);
        assert_eq!(kept, b"abc");
    }
}

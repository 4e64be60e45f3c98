//! From a card's `[weights]` to a file in the cache.

use std::fs::File;
use std::path::{Component, Path, PathBuf};

use hf_hub::{Cache, CacheRepo, Repo, RepoType};

use super::download::{Client, is_hex};
use super::lock::Entry;
use super::places::Places;
use crate::cards::model::Weights;
use crate::error::{Error, Result};
use crate::files;

/// Called with the bytes that are there and the bytes that there will be.
pub type Meter<'a> = dyn FnMut(u64, u64) + 'a;

/// A file of the Hub in the cache, its content checked.
pub struct Fetched {
    /// Where it is.
    pub path: PathBuf,
    /// What it is, for the lock file.
    pub entry: Entry,
    /// Whether it was there before.
    pub cached: bool,
}

/// A file that a card names.
struct Wanted<'a> {
    repo: &'a str,
    revision: &'a str,
    file: &'a str,
    sha256: Option<&'a str>,
    locked: Option<&'a Entry>,
}

impl<'a> Wanted<'a> {
    fn of(weights: &'a Weights, locked: Option<&'a Entry>) -> Result<Self> {
        let (Some(repo), Some(revision), Some(file)) = (&weights.repo, &weights.revision, &weights.file) else {
            return Err(Error::new("the card's weights are not on the Hub"));
        };
        // They become parts of addresses and of paths below the cache.
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        let normal = |text: &str| Path::new(text).components().all(|c| matches!(c, Component::Normal(_)));
        let fault =
            |key: &str, text: &str| Err(Error::new(format!("`{text}` cannot be")).at(format_args!("`weights.{key}`")));
        let parts: Vec<_> = repo.split('/').collect();
        if parts.len() > 2 || parts.iter().any(|part| part.is_empty() || part.starts_with('.') || !plain(part)) {
            return fault("repo", repo);
        }
        if revision.is_empty() || !revision.split('/').all(plain) || !normal(revision) {
            return fault("revision", revision);
        }
        if file.is_empty() || !file.split('/').all(|part| !part.is_empty() && plain(part)) || !normal(file) {
            return fault("file", file);
        }
        Ok(Self { repo, revision, file, sha256: weights.sha256.as_deref(), locked })
    }

    fn place(&self) -> String {
        format!("{} of {} at {}", self.file, self.repo, self.revision)
    }

    fn cache(&self, places: &Places) -> CacheRepo {
        let repo = Repo::with_revision(self.repo.into(), RepoType::Model, self.revision.into());
        Cache::new(places.cache.clone()).repo(repo)
    }

    /// The commit that the revision is known to be without asking anyone.
    fn commit(&self) -> Option<&str> {
        match is_hex(self.revision, 40) {
            true => Some(self.revision),
            false => self.locked.map(|entry| entry.commit.as_str()),
        }
    }

    /// The file in the cache, its content checked; `None` if it is not there.
    fn cached(&self, places: &Places) -> Result<Option<Fetched>> {
        let cache = self.cache(places);
        let path = match self.commit() {
            Some(commit) => cache.pointer_path(commit).join(self.file),
            None => match cache.get(self.file) {
                Some(path) => path,
                None => return Ok(None),
            },
        };
        if !path.is_file() {
            return Ok(None);
        }
        // models--o--n/snapshots/COMMIT/FILE -> ../../blobs/ETAG
        let blob = path.canonicalize().map_err(|e| Error::io(&path, e))?;
        let etag = blob.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let snapshots = cache.pointer_path("");
        let inside = path.strip_prefix(&snapshots).ok().and_then(|inside| inside.components().next());
        let commit = inside.map(|c| c.as_os_str().to_string_lossy().into_owned()).unwrap_or_default();
        let size = blob.metadata().map_err(|e| Error::io(&path, e))?.len();
        let sha256 = files::sha256_of(&blob)?;
        let entry = self.entry(&commit, size, sha256);
        self.check(&entry, Some(etag.as_str()).filter(|etag| is_hex(etag, 64)))
            .map_err(|e| e.at(path.display()).mend("remove that file and fetch it again"))?;
        Ok(Some(Fetched { path, entry, cached: true }))
    }

    fn entry(&self, commit: &str, size: u64, sha256: String) -> Entry {
        let [repo, revision, file] = [self.repo, self.revision, self.file].map(str::to_owned);
        Entry { repo, revision, commit: commit.to_owned(), file, size, sha256 }
    }

    /// Whether a file is the one that the Hub (`announced`), the card and the lock file mean.
    fn check(&self, found: &Entry, announced: Option<&str>) -> Result<()> {
        let expected = [
            ("the Hub announced", announced),
            ("the card says", self.sha256),
            ("the lock file says", self.locked.map(|entry| entry.sha256.as_str())),
        ];
        for (who, expected) in expected {
            if let Some(expected) = expected.filter(|e| !e.eq_ignore_ascii_case(&found.sha256)) {
                return Err(Error::new(format!("its SHA-256 is {}, {who} {expected}", found.sha256)));
            }
        }
        match self.locked.filter(|locked| locked.commit != found.commit) {
            Some(locked) => Err(Error::new(format!("commit {}, the lock file says {}", found.commit, locked.commit))),
            None => Ok(()),
        }
    }
}

/// The file that a card names, from the cache alone. Its content is checked against the card, the lock file's entry and
/// the name that the cache has for it.
pub fn find(weights: &Weights, locked: Option<&Entry>, places: &Places) -> Result<Fetched> {
    let wanted = Wanted::of(weights, locked)?;
    wanted.cached(places)?.ok_or_else(|| missing(&wanted, places))
}

fn missing(wanted: &Wanted, places: &Places) -> Error {
    Error::new(format!("it is not in the cache ({})", places.cache.display()))
        .at(wanted.place())
        .mend("fetch it where there is a network: `roentgen weights fetch MODEL`")
}

/// The file that a card names: from the cache, else from the Hub. It comes into the cache only when all of it is there
/// and its content is what the Hub, the card and the lock file's entry say; what a cut connection leaves is gone on with
/// by the next call. Another process that fetches the same file is waited for.
pub fn fetch(weights: &Weights, locked: Option<&Entry>, places: &Places, meter: &mut Meter) -> Result<Fetched> {
    let wanted = Wanted::of(weights, locked)?;
    if places.offline {
        return find(weights, locked, places);
    }
    if wanted.commit().is_some()
        && let Some(found) = wanted.cached(places)?
    {
        return Ok(found);
    }
    let repo = Repo::with_revision(wanted.repo.into(), RepoType::Model, wanted.revision.into());
    let path = |revision: &str| format!("{}/resolve/{revision}/{}", repo.url(), wanted.file);
    // A lock file's commit stays, whatever became of the branch.
    let revision = wanted.commit().map_or_else(|| repo.url_revision(), str::to_owned);
    let remote = Client::new(places, wanted.repo, &path(&revision)).look().map_err(|e| e.at(wanted.place()))?;
    if let Some(commit) = wanted.commit().filter(|commit| *commit != remote.commit) {
        return Err(Error::new(format!("the Hub gives commit {} for {commit}", remote.commit)).at(wanted.place()));
    }
    let cache = wanted.cache(places);
    let blob = cache.blob_path(&remote.etag);
    let guard = places.cache.join(".locks").join(repo.folder_name()).join(format!("{}.lock", remote.etag));
    let _held = hold(&guard)?;
    make_folder(&blob)?;
    if !blob.is_file() {
        let part = blob.with_file_name(format!("{}.incomplete", remote.etag));
        let client = Client::new(places, wanted.repo, &path(&remote.commit));
        client.download(&part, remote.size, meter).map_err(|e| e.at(wanted.place()))?;
        let entry = wanted.entry(&remote.commit, remote.size, files::sha256_of(&part)?);
        if let Err(e) = wanted.check(&entry, remote.sha256()) {
            std::fs::remove_file(&part).map_err(|e| Error::io(&part, e))?;
            return Err(e
                .at(wanted.place())
                .mend("nothing was kept; try again, and mistrust the source if it stays so"));
        }
        std::fs::rename(&part, &blob).map_err(|e| Error::io(&blob, e))?;
    }
    point(&cache.pointer_path(&remote.commit).join(wanted.file), &blob)?;
    if wanted.revision != remote.commit {
        cache.create_ref(&remote.commit).map_err(|e| Error::io(&places.cache, e))?;
    }
    let found =
        Wanted { revision: &remote.commit, ..wanted }.cached(places)?.ok_or_else(|| missing(&wanted, places))?;
    Ok(Fetched { entry: Entry { revision: wanted.revision.into(), ..found.entry }, cached: false, ..found })
}

fn make_folder(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))
}

/// Waits until no other process has this lock; huggingface_hub takes the same one.
fn hold(path: &Path) -> Result<File> {
    make_folder(path)?;
    let fault = |e| Error::io(path, e);
    let file = File::options().create(true).append(true).open(path).map_err(fault)?;
    file.lock().map_err(fault)?;
    Ok(file)
}

/// Makes `pointer` a relative link to `blob`, as huggingface_hub does.
fn point(pointer: &Path, blob: &Path) -> Result<()> {
    make_folder(pointer)?;
    let fault = |e| Error::io(pointer, e);
    // models--o--n/snapshots/COMMIT/A/B lies two folders and one for every folder of the file below models--o--n.
    let root = blob.parent().and_then(Path::parent).unwrap_or(Path::new(""));
    let depth = pointer.strip_prefix(root).map_or(0, |inside| inside.components().count() - 1);
    let target: PathBuf = std::iter::repeat_n(Component::ParentDir, depth)
        .chain(blob.strip_prefix(root).unwrap_or(blob).components())
        .collect();
    if std::fs::read_link(pointer).is_ok_and(|found| found == target) {
        return Ok(());
    }
    match std::fs::remove_file(pointer) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(fault(e)),
        _ => {}
    }
    std::os::unix::fs::symlink(target, pointer).map_err(fault)
}

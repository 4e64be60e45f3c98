//! Where the Hub and its cache are: the environment variables of `huggingface_hub`.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::{Error, Result};

/// The Hub, the cache and the token, as the environment says.
#[derive(Clone)]
pub struct Places {
    /// `https://huggingface.co` or a mirror (HF_ENDPOINT), without a slash at its end.
    pub endpoint: String,
    /// The folder of the repositories' folders (HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub).
    pub cache: PathBuf,
    /// Whether nothing may be asked of the network (HF_HUB_OFFLINE).
    pub offline: bool,
    /// HF_TOKEN, or what the file of `huggingface-cli login` holds. Never shown.
    pub(super) token: Option<String>,
}

impl Places {
    /// As the environment of this process says.
    pub fn from_env() -> Result<Self> {
        Self::of(&|name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }

    fn of(variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Self> {
        let text = |name: &str| variable(name).map(|value| value.to_string_lossy().trim().to_owned());
        let path = |name: &str| variable(name).map(PathBuf::from);
        let under_home = || Some(path("HOME")?.join(".cache"));
        let home = path("HF_HOME").or_else(|| Some(path("XDG_CACHE_HOME").or_else(under_home)?.join("huggingface")));
        let cache = path("HF_HUB_CACHE").or_else(|| Some(home.as_ref()?.join("hub"))).ok_or_else(|| {
            Error::new("there is no home folder to keep downloads in").mend("set HF_HOME to a folder for them")
        })?;
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        if !(endpoint.starts_with("https://") || endpoint.starts_with("http://")) {
            return Err(Error::new(format!("`{endpoint}` is no web address"))
                .at("HF_ENDPOINT")
                .mend("give one that begins with https://"));
        }
        let file = path("HF_TOKEN_PATH").or_else(|| Some(home?.join("token")));
        let token = text("HF_TOKEN").or_else(|| Some(std::fs::read_to_string(file?).ok()?.trim().to_owned()));
        let yes = |value: String| ["1", "true", "yes", "on"].contains(&value.to_ascii_lowercase().as_str());
        let offline = text("HF_HUB_OFFLINE").is_some_and(yes);
        Ok(Self { endpoint, cache, offline, token: token.filter(|t| !t.is_empty()) })
    }

    /// The token, if it may go to the endpoint: over TLS, or to this machine.
    pub(super) fn bearer(&self) -> Option<&str> {
        let host = self.endpoint.strip_prefix("http://").map(|rest| rest.split([':', '/']).next().unwrap_or_default());
        let safe = host.is_none_or(|host| ["127.0.0.1", "localhost"].contains(&host));
        self.token.as_deref().filter(|_| safe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(variables: &[(&str, &str)]) -> Result<Places> {
        Places::of(&|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn the_cache_is_where_python_has_it() {
        let cache = |variables: &[(&str, &str)]| places(variables).unwrap().cache;
        assert_eq!(cache(&[("HOME", "/h")]), PathBuf::from("/h/.cache/huggingface/hub"));
        assert_eq!(cache(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]), PathBuf::from("/x/huggingface/hub"));
        assert_eq!(cache(&[("HOME", "/h"), ("HF_HOME", "/f")]), PathBuf::from("/f/hub"));
        assert_eq!(cache(&[("HF_HOME", "/f"), ("HF_HUB_CACHE", "/c")]), PathBuf::from("/c"));
        assert!(places(&[]).is_err());
    }

    #[test]
    fn tokens_and_offline() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "hf_file\n").unwrap();
        let home = folder.path().to_str().unwrap();
        assert_eq!(places(&[("HF_HOME", home)]).unwrap().bearer(), Some("hf_file"));
        assert_eq!(places(&[("HF_HOME", home), ("HF_TOKEN", " hf_env ")]).unwrap().bearer(), Some("hf_env"));
        let plain = |endpoint| places(&[("HF_HOME", home), ("HF_ENDPOINT", endpoint)]).unwrap();
        assert_eq!(plain("http://mirror.example/").bearer(), None);
        assert_eq!(plain("http://127.0.0.1:80/").bearer(), Some("hf_file"));
        assert_eq!(plain("https://mirror.example/").endpoint, "https://mirror.example");
        assert!(places(&[("HF_HOME", home), ("HF_ENDPOINT", "mirror")]).is_err());
        assert!(places(&[("HF_HOME", home), ("HF_HUB_OFFLINE", "True")]).unwrap().offline);
        assert!(!places(&[("HF_HOME", home), ("HF_HUB_OFFLINE", "0")]).unwrap().offline);
    }
}

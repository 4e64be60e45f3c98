//! Allowed-signers files (ssh-keygen(1), ALLOWED SIGNERS): whose signature counts, for what, and when.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use ssh_key::PublicKey;
use ssh_key::public::KeyData;

use super::signature::{NAMESPACE, fingerprint};
use crate::error::{Error, Result};

/// No list is longer.
const LONGEST: u64 = 16 << 20;

/// A line of the file.
#[derive(Debug)]
struct Line {
    /// Patterns of the identities that sign with the key, as written.
    principals: String,
    options: Options,
    key: KeyData,
}

#[derive(Debug, Default)]
struct Options {
    cert_authority: bool,
    namespaces: Option<String>,
    valid_after: Option<i64>,
    valid_before: Option<i64>,
}

/// The principals that the file at `path` gives to `key` for reports now. With `identity` only lines count whose
/// patterns match it. An error says why no line does.
pub fn principals(path: &Path, key: &KeyData, identity: Option<&str>) -> Result<String> {
    let length = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
    if length > LONGEST {
        return Err(Error::new("too long for a list of signers").at(path.display()));
    }
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs() as i64);
    allowed(&text, key, identity, now).map_err(|e| e.at(path.display()))
}

fn allowed(text: &str, key: &KeyData, identity: Option<&str>, now: i64) -> Result<String> {
    let mut refused = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let found = match parse(line) {
            Ok(line) if line.key != *key => continue,
            Ok(line) => line.accepts(identity, now).map(|()| line.principals),
            Err(e) => Err(e),
        };
        match found {
            Ok(principals) => return Ok(principals),
            Err(e) => refused = Some(e.at(format_args!("line {}", number + 1))),
        }
    }
    let unknown = Error::new(format!("the key {} is not listed", fingerprint(key)));
    Err(refused.unwrap_or(unknown))
}

impl Line {
    fn accepts(&self, identity: Option<&str>, now: i64) -> Result<()> {
        if self.options.cert_authority {
            return Err(Error::new("the key is a certificate authority's, which roentgen does not follow")
                .mend("list the signer's own key"));
        }
        if identity.is_some_and(|id| !list_matches(id, &self.principals)) {
            return Err(Error::new(format!("the key is `{}`'s", self.principals.escape_debug())));
        }
        if self.options.namespaces.as_deref().is_some_and(|list| !list_matches(NAMESPACE, list)) {
            return Err(Error::new(format!("the key is not allowed to sign for `{NAMESPACE}`")));
        }
        if self.options.valid_after.is_some_and(|t| now < t) {
            return Err(Error::new("the key is not valid yet"));
        }
        if self.options.valid_before.is_some_and(|t| now >= t) {
            return Err(Error::new("the key is no longer valid"));
        }
        Ok(())
    }
}

/// `principals [options] keytype base64 [comment]`.
fn parse(line: &str) -> Result<Line> {
    let (principals, rest) = word(line)?;
    let principals = principals.trim_matches('"').to_owned();
    let key = |text: &str| PublicKey::from_openssh(text).ok().map(KeyData::from);
    if let Some(key) = key(rest) {
        return Ok(Line { principals, options: Options::default(), key });
    }
    if ["ssh-", "ecdsa-", "sk-"].iter().any(|kind| rest.starts_with(kind)) {
        return Err(Error::new("no public key that can be read"));
    }
    let (listed, rest) = word(rest)?;
    let mut options = Options::default();
    split(listed, ',').try_for_each(|option| options.set(option))?;
    let key = key(rest).ok_or_else(|| Error::new("no public key that can be read"))?;
    Ok(Line { principals, options, key })
}

impl Options {
    fn set(&mut self, option: &str) -> Result<()> {
        let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        let value = value.map(|v| {
            v.strip_prefix('"')
                .and_then(|v| v.strip_suffix('"'))
                .ok_or_else(|| Error::new(format!("the value of `{}` is not in quotes", name.escape_debug())))
        });
        match (name.to_ascii_lowercase().as_str(), value.transpose()?) {
            ("cert-authority", None) => self.cert_authority = true,
            ("namespaces", Some(list)) => self.namespaces = Some(list.to_owned()),
            ("valid-after", Some(time)) => self.valid_after = Some(seconds(time)?),
            ("valid-before", Some(time)) => self.valid_before = Some(seconds(time)?),
            _ => return Err(Error::new(format!("`{}` is no option of a signer", option.escape_debug()))),
        }
        Ok(())
    }
}

/// The first word, in which quotes keep blanks together, and the rest without leading blanks.
fn word(text: &str) -> Result<(&str, &str)> {
    let mut quoted = false;
    let end = text.find(|c: char| {
        quoted ^= c == '"';
        !quoted && c.is_ascii_whitespace()
    });
    match end {
        Some(end) => Ok((&text[..end], text[end..].trim_start())),
        None => Err(Error::new("not `PRINCIPALS [OPTIONS] KEY`")),
    }
}

/// The parts between separators outside quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c: char| {
        quoted ^= c == '"';
        !quoted && c == separator
    })
}

/// Seconds since 1970 of `YYYYMMDD[HHMM[SS]]Z`. Without the Z ssh-keygen takes the reader's local time, under which a
/// file means different things on different machines.
fn seconds(text: &str) -> Result<i64> {
    let fault = || {
        Error::new(format!("`{}` is no time", text.escape_debug()))
            .mend("write YYYYMMDD or YYYYMMDDHHMMSS in UTC, and a Z")
    };
    let digits = text.strip_suffix('Z').ok_or_else(|| fault().mend("write it in UTC with a Z at its end"))?;
    if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(fault());
    }
    let part = |from: usize, to: usize| digits.get(from..to).map_or(0, |d| d.parse::<i64>().unwrap_or(0));
    let (year, month, day) = (part(0, 4), part(4, 6), part(6, 8));
    let (hour, minute, second) = (part(8, 10), part(10, 12), part(12, 14));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = usize::try_from(month - 1).ok().and_then(|m| lengths.get(m)).ok_or_else(fault)?;
    if year < 1970 || day < 1 || day > *length || hour > 23 || minute > 59 || second > 59 {
        return Err(fault());
    }
    let before = year - 1;
    let leaps = before / 4 - before / 100 + before / 400 - 477;
    let in_year: i64 = lengths.iter().take(month as usize - 1).sum::<i64>() + day - 1;
    Ok((((year - 1970) * 365 + leaps + in_year) * 24 + hour) * 3600 + minute * 60 + second)
}

/// OpenSSH's pattern lists: some pattern matches and none that begins with `!` does.
fn list_matches(text: &str, list: &str) -> bool {
    let mut found = false;
    for pattern in list.split(',').map(str::trim) {
        match pattern.strip_prefix('!') {
            Some(not) if matches(text.as_bytes(), not.as_bytes()) => return false,
            Some(_) => {}
            None => found |= matches(text.as_bytes(), pattern.as_bytes()),
        }
    }
    found
}

/// `*` stands for any text, `?` for one byte.
fn matches(text: &[u8], pattern: &[u8]) -> bool {
    let (mut t, mut p) = (0, 0);
    // Where the last star stood and how much of the text it has taken.
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => (t, p) = (t + 1, p + 1),
            _ => match star {
                Some((at, taken)) => {
                    (t, p) = (taken + 1, at + 1);
                    star = Some((at, taken + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::signature::Signer;

    fn told(line: &str, identity: Option<&str>, now: i64) -> String {
        let key = Signer::new_key("").unwrap();
        let public = key.public_key().to_openssh().unwrap();
        let text = format!("# the lab\n\n{}\n", line.replace("KEY", public.trim()));
        allowed(&text, key.public_key().key_data(), identity, now).unwrap_or_else(|e| e.to_string())
    }

    #[test]
    fn lines() {
        assert_eq!(told("a@b KEY", None, 0), "a@b");
        assert_eq!(told("a@b,*@c KEY comment", Some("x@c"), 0), "a@b,*@c");
        assert_eq!(told("\"a b,c\" KEY", Some("a b"), 0), "a b,c");
        assert_eq!(told("a namespaces=\"git,roentgen-*\" KEY", None, 0), "a");
        let other = told("a namespaces=\"git,!roentgen-report@v1,*\" KEY", None, 0);
        assert_eq!(other, "line 3: the key is not allowed to sign for `roentgen-report@v1`");
        assert!(told("a@b KEY", Some("a@bc"), 0).contains("the key is `a@b`'s"));
        assert!(told("a cert-authority KEY", None, 0).contains("certificate authority"));
        assert!(told("a no-touch KEY", None, 0).contains("`no-touch` is no option"));
        assert!(told("a namespaces=git KEY", None, 0).contains("quotes"));
        assert!(told("a ssh-ed25519 AAAA", None, 0).contains("no public key"));
        assert!(told("a", None, 0).contains("not `PRINCIPALS"));
        assert!(told("", None, 0).contains("is not listed"));
        assert_eq!(told("bad line here\na KEY", None, 0), "a");
    }

    #[test]
    fn times() {
        assert_eq!(seconds("19700101Z").unwrap(), 0);
        assert_eq!(seconds("20000301Z").unwrap(), 951_868_800);
        assert_eq!(seconds("20240229235959Z").unwrap(), 1_709_251_199);
        assert_eq!(seconds("202612311200Z").unwrap(), 1_798_718_400);
        for bad in ["20230229Z", "20240101", "2024Z", "2024010199Z", "x0240101Z", "20241301Z", "Z"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
        let from = |now| told("a valid-after=\"20240101Z\",valid-before=\"20250101Z\" KEY", None, now);
        assert!(from(1_704_067_199).contains("not valid yet"));
        assert_eq!(from(1_704_067_200), "a");
        assert!(from(1_735_689_600).contains("no longer"));
    }

    #[test]
    fn patterns() {
        for (text, pattern, expected) in [
            ("abc", "a*c", true),
            ("abc", "*b*", true),
            ("abc", "a?c", true),
            ("abc", "a?", false),
            ("aXbXc", "a*X?", true),
            ("", "*", true),
            ("", "?", false),
            ("abc", "", false),
        ] {
            assert_eq!(matches(text.as_bytes(), pattern.as_bytes()), expected, "{text} {pattern}");
        }
    }
}

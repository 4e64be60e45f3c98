//! Signatures in OpenSSH's format (PROTOCOL.sshsig): what `ssh-keygen -Y sign` and `-Y verify` write and read.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use ssh_key::public::KeyData;
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};
use zeroize::Zeroizing;

use super::agent::Agent;
use crate::error::{Error, Result};
use crate::files;

/// What reports are signed for: a signature for anything else, or for a login, is none for a report.
pub const NAMESPACE: &str = "roentgen-report@v1";

/// No key or signature file is longer.
const LONGEST: u64 = 64 << 10;

/// Shorter RSA keys are refused.
const RSA_BITS: usize = 2048;

/// Something that can sign.
pub enum Signer {
    /// A private key, decrypted.
    Key(Box<PrivateKey>),
    /// A key that an agent holds.
    Agent(Agent, PublicKey),
}

impl Signer {
    /// The private key in the file at `path`, or, for a public key's file, that key in the agent. `passphrase` is asked
    /// when the file is encrypted. No error tells anything of the file's content.
    pub fn from_file(path: &Path, passphrase: &dyn Fn() -> Result<Zeroizing<String>>) -> Result<Self> {
        let text = Zeroizing::new(read_short(path)?);
        let at = |e: Error| e.at(path.display());
        if let Some(public) = std::str::from_utf8(&text).ok().and_then(public_key) {
            return Self::from_agent(Some(&public));
        }
        let key = PrivateKey::from_openssh(&text).map_err(|_| {
            at(Error::new("no private key in OpenSSH's format")
                .mend("`ssh-keygen -p -f KEY` rewrites older formats; `roentgen report --new-key FILE` makes a key"))
        })?;
        check_permissions(path)?;
        supported(key.public_key().key_data()).map_err(at)?;
        if matches!(key.algorithm(), Algorithm::Rsa { .. }) {
            return Err(at(Error::new("RSA keys sign through the agent only"))
                .mend("`ssh-add KEY`, then `--sign agent`; or use an Ed25519 key"));
        }
        if !key.is_encrypted() {
            return Ok(Self::Key(Box::new(key)));
        }
        let key = key.decrypt(&*passphrase()?).map_err(|_| at(Error::new("the passphrase does not open the key")))?;
        Ok(Self::Key(Box::new(key)))
    }

    /// The agent's key `wanted`, or its only one.
    pub fn from_agent(wanted: Option<&PublicKey>) -> Result<Self> {
        let mut agent = Agent::connect()?;
        let held = agent.identities()?;
        let usable: Vec<PublicKey> = held.into_iter().filter(|key| supported(key.key_data()).is_ok()).collect();
        let at = |e: Error| e.at("ssh-agent");
        if let Some(wanted) = wanted {
            return match usable.into_iter().find(|key| key.key_data() == wanted.key_data()) {
                Some(key) => Ok(Self::Agent(agent, key)),
                None => Err(at(Error::new(format!("it does not hold {}", fingerprint(wanted.key_data()))))
                    .mend("add the private key with `ssh-add`")),
            };
        }
        let mut usable = usable.into_iter();
        match (usable.next(), usable.next()) {
            (Some(key), None) => Ok(Self::Agent(agent, key)),
            (None, _) => {
                Err(at(Error::new("it holds no Ed25519, ECDSA P-256 or RSA key")).mend("add one with `ssh-add`"))
            }
            (Some(_), Some(_)) => {
                Err(at(Error::usage("it holds several keys"))
                    .mend("choose one by its public key's file: --sign KEY.pub"))
            }
        }
    }

    /// A new Ed25519 key, in memory only.
    pub fn new_key(comment: &str) -> Result<PrivateKey> {
        let mut key = PrivateKey::random(&mut ssh_key::rand_core::OsRng, Algorithm::Ed25519)
            .map_err(|e| Error::new(e.to_string()).at("making a key"))?;
        key.set_comment(comment);
        Ok(key)
    }

    /// The public key that the signature will be checked with.
    pub fn public_key(&self) -> &PublicKey {
        match self {
            Self::Key(key) => key.public_key(),
            Self::Agent(_, key) => key,
        }
    }

    /// Signs `message`; the text of a `.sig` file.
    pub fn sign(&mut self, message: &[u8]) -> Result<String> {
        let fault = |e: ssh_key::Error| Error::new(e.to_string()).at("signing");
        let signature = match self {
            Self::Key(key) => key.sign(NAMESPACE, HashAlg::Sha512, message).map_err(fault)?,
            Self::Agent(agent, key) => {
                let data = SshSig::signed_data(NAMESPACE, HashAlg::Sha512, message).map_err(fault)?;
                let made = agent.sign(key, &data)?;
                SshSig::new(key.key_data().clone(), NAMESPACE, HashAlg::Sha512, made).map_err(fault)?
            }
        };
        let text = signature.to_pem(LineEnding::LF).map_err(fault)?;
        // An agent may answer anything.
        check(message, text.as_bytes())?;
        Ok(text)
    }
}

/// Checks that the signature file's content `armoured` is a signature of `message` for reports, and tells the key that
/// made it. Whose key that is says an allowed-signers file only.
pub fn check(message: &[u8], armoured: &[u8]) -> Result<PublicKey> {
    let signature = SshSig::from_pem(armoured).map_err(|_| Error::new("not a signature in OpenSSH's format"))?;
    let again = signature.to_pem(LineEnding::LF).map_err(|e| Error::new(e.to_string()))?;
    // What no signer writes (other line ends, spare bits, another version) is a change like any other.
    if signature.version() != SshSig::VERSION || again.as_bytes() != armoured {
        return Err(Error::new("the signature's text was changed"));
    }
    if signature.namespace() != NAMESPACE {
        let cause = format!("signed for `{}`, not for `{NAMESPACE}`", signature.namespace().escape_debug());
        return Err(Error::new(cause).mend(format!("sign with `ssh-keygen -Y sign -n {NAMESPACE}`")));
    }
    supported(signature.public_key())?;
    let key = PublicKey::from(signature.public_key().clone());
    key.verify(NAMESPACE, message, &signature)
        .map_err(|_| Error::new("the signature is not one of these bytes: report or signature was changed"))?;
    Ok(key)
}

/// `SHA256:...`, as `ssh-keygen -l` prints it.
pub fn fingerprint(key: &KeyData) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// Writes a private key, which must not be there yet, for its owner only, and its public key beside it as `.pub`.
pub fn write_key(key: &PrivateKey, path: &Path) -> Result<()> {
    let fault = |e: ssh_key::Error| Error::new(e.to_string()).at(path.display());
    let public = key.public_key().to_openssh().map_err(fault)? + "\n";
    files::write_secret(path, key.to_openssh(LineEnding::LF).map_err(fault)?.as_bytes())?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".pub");
    files::write(Path::new(&beside), public.as_bytes())
}

/// Encrypts a key as `ssh-keygen` does.
pub fn encrypt(key: &PrivateKey, passphrase: &str) -> Result<PrivateKey> {
    key.encrypt(&mut ssh_key::rand_core::OsRng, passphrase)
        .map_err(|e| Error::new(e.to_string()).at("encrypting the key"))
}

/// Reads a key or a signature, none of which is long.
pub fn read_short(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes)).map_err(|e| Error::io(path, e))?;
    if bytes.len() as u64 > LONGEST {
        return Err(Error::new("too long for a key or a signature").at(path.display()));
    }
    Ok(bytes)
}

/// The public key in the text of a `.pub` file.
fn public_key(text: &str) -> Option<PublicKey> {
    PublicKey::from_openssh(text.trim()).ok()
}

/// Errors for kinds of keys that reports are not signed with.
pub(super) fn supported(key: &KeyData) -> Result<()> {
    let short = key.rsa().and_then(|rsa| rsa.n.as_positive_bytes()).filter(|n| n.len() * 8 < RSA_BITS);
    match key.algorithm() {
        Algorithm::Rsa { .. } if short.is_some() => Err(Error::new(format!("an RSA key of less than {RSA_BITS} bits"))),
        Algorithm::Ed25519 | Algorithm::Rsa { .. } | Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 } => Ok(()),
        other => Err(Error::new(format!("a key of kind {other}")).mend("use an Ed25519, ECDSA P-256 or RSA key")),
    }
}

/// As ssh does, refuses a private key that others may read.
fn check_permissions(path: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let open = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.mode() & 0o077 != 0;
    if open {
        return Err(Error::new("others may read this private key").at(path.display()).mend("`chmod 600` it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Signer {
        Signer::Key(Box::new(Signer::new_key("t").unwrap()))
    }

    #[test]
    fn signs_and_checks_and_no_byte_may_change() {
        let mut signer = signer();
        let text = signer.sign(b"report").unwrap();
        assert_eq!(check(b"report", text.as_bytes()).unwrap().key_data(), signer.public_key().key_data());
        assert!(check(b"Report", text.as_bytes()).is_err());
        for i in 0..text.len() {
            for flip in [1, 4, 32] {
                let mut changed = text.clone().into_bytes();
                changed[i] ^= flip;
                assert!(check(b"report", &changed).is_err(), "byte {i} ^ {flip}");
            }
        }
        assert!(check(b"report", text.replace('\n', "\r\n").as_bytes()).is_err());
        assert!(check(b"report", format!("{text}\n").as_bytes()).is_err());
        assert!(check(b"report", b"").is_err());
    }

    #[test]
    fn the_namespace_counts() {
        let key = Signer::new_key("t").unwrap();
        let other = key.sign("file", HashAlg::Sha512, b"report").unwrap().to_pem(LineEnding::LF).unwrap();
        assert!(check(b"report", other.as_bytes()).unwrap_err().to_string().contains("`file`"));
        let sha256 = key.sign(NAMESPACE, HashAlg::Sha256, b"report").unwrap().to_pem(LineEnding::LF).unwrap();
        assert!(check(b"report", sha256.as_bytes()).is_ok());
    }

    #[test]
    fn keys_are_written_for_their_owner_and_never_over_another() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let key = Signer::new_key("a@b").unwrap();
        write_key(&encrypt(&key, "correct").unwrap(), &path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(write_key(&key, &path).unwrap_err().to_string().contains("there already"));
        let open = |word: &'static str| Signer::from_file(&path, &move || Ok(Zeroizing::new(word.to_owned())));
        let mut signer = open("correct").unwrap();
        assert_eq!(signer.public_key().key_data(), key.public_key().key_data());
        signer.sign(b"x").unwrap();
        let told = open("wrong").err().unwrap().to_string();
        assert!(told.contains("passphrase") && !told.contains("wrong"), "{told}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(open("correct").err().unwrap().to_string().contains("chmod 600"));
    }
}

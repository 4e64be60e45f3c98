//! A client of ssh-agent (draft-ietf-sshm-ssh-agent): lists keys and asks for signatures; the private keys stay there.

use std::env;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use ssh_key::{Algorithm, PublicKey, Signature};

use crate::error::{Error, Result};

const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
/// Asks an RSA key for SHA-512 instead of SHA-1.
const RSA_SHA2_512: u32 = 4;

/// OpenSSH's own limit for a message.
const LONGEST: u32 = 256 << 10;

/// A connection to the agent.
pub struct Agent(UnixStream);

impl Agent {
    /// Connects to the agent that `SSH_AUTH_SOCK` names.
    pub fn connect() -> Result<Self> {
        let mend = "start one with `eval $(ssh-agent)` and add the key with `ssh-add`, or sign with a key file";
        let socket = env::var_os("SSH_AUTH_SOCK").filter(|s| !s.is_empty());
        let socket = socket.ok_or_else(|| Error::new("no ssh-agent: SSH_AUTH_SOCK is not set").mend(mend))?;
        UnixStream::connect(&socket).map(Self).map_err(|e| Error::io(Path::new(&socket), e).at("ssh-agent").mend(mend))
    }

    /// The keys that it holds, with their comments. Kinds of keys that nobody knows are passed over.
    pub fn identities(&mut self) -> Result<Vec<PublicKey>> {
        let answer = self.ask(&[REQUEST_IDENTITIES], IDENTITIES_ANSWER)?;
        let mut rest = answer.as_slice();
        let count = take_u32(&mut rest)?;
        let mut keys = Vec::new();
        for _ in 0..count {
            let (blob, comment) = (take_string(&mut rest)?, take_string(&mut rest)?);
            if let Ok(mut key) = PublicKey::from_bytes(blob) {
                key.set_comment(String::from_utf8_lossy(comment));
                keys.push(key);
            }
        }
        Ok(keys)
    }

    /// Its signature of `data` with `key`. It may ask its person first, so there is no time limit.
    pub fn sign(&mut self, key: &PublicKey, data: &[u8]) -> Result<Signature> {
        let blob = key.to_bytes().map_err(|e| Error::new(e.to_string()).at("ssh-agent"))?;
        let flags = if matches!(key.algorithm(), Algorithm::Rsa { .. }) { RSA_SHA2_512 } else { 0 };
        let mut request = vec![SIGN_REQUEST];
        for part in [&blob, data] {
            request.extend((part.len() as u32).to_be_bytes());
            request.extend(part);
        }
        request.extend(flags.to_be_bytes());
        let answer = self.ask(&request, SIGN_RESPONSE)?;
        let signature = take_string(&mut answer.as_slice())?;
        Signature::try_from(signature).map_err(|_| garbled())
    }

    /// Sends a request and gives the body of the answer of kind `expected`.
    fn ask(&mut self, request: &[u8], expected: u8) -> Result<Vec<u8>> {
        let fault = |e: std::io::Error| Error::new(e.to_string()).at("ssh-agent");
        let length = u32::try_from(request.len()).ok().filter(|n| *n <= LONGEST).ok_or_else(garbled)?;
        self.0.write_all(&[&length.to_be_bytes(), request].concat()).map_err(fault)?;
        let mut head = [0; 4];
        self.0.read_exact(&mut head).map_err(fault)?;
        let length = u32::from_be_bytes(head);
        if length == 0 || length > LONGEST {
            return Err(garbled());
        }
        let mut answer = vec![0; length as usize];
        self.0.read_exact(&mut answer).map_err(fault)?;
        if answer[0] != expected {
            return Err(Error::new("it refused").at("ssh-agent").mend("`ssh-add -l` lists its keys; is it locked?"));
        }
        answer.remove(0);
        Ok(answer)
    }
}

fn take_u32(rest: &mut &[u8]) -> Result<u32> {
    let (head, tail) = rest.split_first_chunk().ok_or_else(garbled)?;
    *rest = tail;
    Ok(u32::from_be_bytes(*head))
}

fn take_string<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8]> {
    let length = take_u32(rest)? as usize;
    let (string, tail) = rest.split_at_checked(length).ok_or_else(garbled)?;
    *rest = tail;
    Ok(string)
}

fn garbled() -> Error {
    Error::new("its answer makes no sense").at("ssh-agent")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What [`Agent`] makes of an agent that answers `answer` to anything.
    fn told(answer: &[u8]) -> String {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(answer).unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        Agent(ours).identities().map(|keys| format!("{} keys", keys.len())).unwrap_or_else(|e| e.to_string())
    }

    #[test]
    fn any_answer_is_survived() {
        assert_eq!(told(&[0, 0, 0, 5, 12, 0, 0, 0, 0]), "0 keys");
        assert!(told(&[0, 0, 0, 1, 5]).contains("refused"));
        for answer in [
            &[][..],
            &[0, 0, 0, 0],
            &[255, 255, 255, 255, 12],
            &[0, 0, 0, 5, 12, 255, 255, 255, 255],
            &[0, 0, 0, 9, 12, 0, 0, 0, 1, 255, 255, 255, 255],
            &[0, 0, 0, 9, 12],
        ] {
            assert!(told(answer).starts_with("ssh-agent: "), "{answer:?}");
        }
        // A key of a kind that nobody knows.
        assert_eq!(told(&[0, 0, 0, 14, 12, 0, 0, 0, 1, 0, 0, 0, 1, 9, 0, 0, 0, 0]), "0 keys");
    }
}

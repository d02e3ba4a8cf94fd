//! The header of an age file: for whom the file key is wrapped, and the proof that nobody has changed that.

use std::io::{self, BufRead, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use chom_format::backup::Recipient;
use curve25519_dalek::MontgomeryPoint;
use ring::hmac;

use super::identity::Identity;
use super::key::{self, FileKey};
use super::{TAG, broken};

const INTRODUCTION: &str = "age-encryption.org/v1";
const PURPOSE: &[u8] = b"age-encryption.org/v1/X25519";
const LINE: usize = 64;
// A header of ours has a stanza of two lines for each recipient; plugins write longer ones.
const LONGEST: u64 = 64 << 10;

/// A header that was read, and not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    stanzas: Vec<Stanza>,
    /// Everything up to and with `---`.
    text: String,
    mac: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stanza {
    arguments: Vec<String>,
    body: Vec<u8>,
}

impl Header {
    /// The bytes of a header that wraps `key` for these recipients.
    pub fn write(key: &FileKey, recipients: &[Recipient]) -> io::Result<Vec<u8>> {
        let mut text = format!("{INTRODUCTION}\n");
        for recipient in recipients {
            let (share, body) = wrap(key, recipient)?;
            // 32 bytes are 43 letters: shorter than a line, which ends the body.
            text.push_str(&format!("-> X25519 {}\n{}\n", BASE64.encode(share), BASE64.encode(&body)));
        }
        text.push_str("---");
        let mac = hmac::sign(&key.for_header()?, text.as_bytes());
        text.push_str(&format!(" {}\n", BASE64.encode(mac.as_ref())));
        Ok(text.into_bytes())
    }

    /// Reads a header up to where the chunks begin.
    pub fn read(input: &mut impl BufRead) -> io::Result<Self> {
        let mut input = input.take(LONGEST);
        if line(&mut input)? != INTRODUCTION {
            return Err(broken("it does not begin as an age file does"));
        }
        let mut header = Self { stanzas: Vec::new(), text: format!("{INTRODUCTION}\n"), mac: Vec::new() };
        loop {
            let first = line(&mut input)?;
            if let Some(mac) = first.strip_prefix("--- ") {
                header.text.push_str("---");
                header.mac = BASE64.decode(mac).map_err(|_| broken("its header is damaged"))?;
                return Ok(header);
            }
            let arguments = first.strip_prefix("-> ").ok_or_else(|| broken("its header is damaged"))?;
            let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
            if arguments.iter().any(String::is_empty) {
                return Err(broken("its header is damaged"));
            }
            header.text.push_str(&format!("{first}\n"));
            let mut body = String::new();
            loop {
                let next = line(&mut input)?;
                if next.len() > LINE {
                    return Err(broken("its header is damaged"));
                }
                header.text.push_str(&format!("{next}\n"));
                body.push_str(&next);
                if next.len() < LINE {
                    break;
                }
            }
            let body = BASE64.decode(&body).map_err(|_| broken("its header is damaged"))?;
            header.stanzas.push(Stanza { arguments, body });
        }
    }

    /// The file key, when one of the identities is a recipient's and the header is as it was written.
    pub fn unwrap(&self, identities: &[Identity]) -> io::Result<FileKey> {
        let found = self.stanzas.iter().find_map(|stanza| stanza.unwrap(identities));
        let key = found.ok_or_else(|| broken("it is encrypted for none of these identities"))?;
        self.prove(&key)?;
        Ok(key)
    }

    /// Whether the header is the one that was written under this key.
    pub fn prove(&self, key: &FileKey) -> io::Result<()> {
        hmac::verify(&key.for_header()?, self.text.as_bytes(), &self.mac)
            .map_err(|_| broken("its header was changed"))
    }
}

impl Stanza {
    fn unwrap(&self, identities: &[Identity]) -> Option<FileKey> {
        let [kind, share] = self.arguments.as_slice() else { return None };
        if kind != "X25519" || self.body.len() != 16 + TAG {
            return None;
        }
        let share: [u8; 32] = BASE64.decode(share).ok()?.try_into().ok()?;
        identities.iter().find_map(|identity| {
            let key = wrapping_key(identity.agree(&share)?, &share, identity.recipient().bytes()).ok()?;
            let mut body = self.body.clone();
            let clear = key::unseal(&key::cipher(&key).ok()?, [0; 12], &mut body)?;
            Some(FileKey(<[u8; 16]>::try_from(&*clear).ok()?))
        })
    }
}

fn wrap(key: &FileKey, recipient: &Recipient) -> io::Result<([u8; 32], Vec<u8>)> {
    let ephemeral = Identity::from(key::random::<32>()?);
    let share = *ephemeral.recipient().bytes();
    let secret =
        ephemeral.agree(recipient.bytes()).ok_or_else(|| broken("the recipient is no point of the curve"))?;
    let wrapping = wrapping_key(secret, &share, recipient.bytes())?;
    let mut body = key.0.to_vec();
    let tag = key::seal(&key::cipher(&wrapping)?, [0; 12], &mut body)?;
    body.extend(tag);
    Ok((share, body))
}

fn wrapping_key(secret: MontgomeryPoint, share: &[u8; 32], recipient: &[u8; 32]) -> io::Result<[u8; 32]> {
    key::derive(secret.as_bytes(), &[*share, *recipient].concat(), PURPOSE)
}

fn line(input: &mut impl BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    input.read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') || !bytes.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return Err(broken("its header is damaged"));
    }
    String::from_utf8(bytes).map_err(|_| broken("its header is damaged"))
}

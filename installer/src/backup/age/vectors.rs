//! The test vectors that the authors of the format publish (C2SP, CCTV), all that are not of its text form: each file
//! says what a reader must do with it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, Read as _};
use std::path::Path;

use chom_format::Digest;
use flate2::read::ZlibDecoder;

use super::*;

/// What a vector says of itself: its lines `name: value`, and the age file below them.
struct Vector {
    says: BTreeMap<String, String>,
    identities: Vec<Identity>,
    file: Vec<u8>,
}

impl Vector {
    fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let mut input = &bytes[..];
        let (mut says, mut identities) = (BTreeMap::new(), Vec::new());
        loop {
            let mut line = String::new();
            input.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            if name == "identity" {
                identities.push(Identity::parse(value).unwrap());
            }
            says.insert(name.to_owned(), value.to_owned());
        }
        let mut file = input.to_vec();
        if says.get("compressed").is_some_and(|how| how == "zlib") {
            file.clear();
            ZlibDecoder::new(input).read_to_end(&mut file).unwrap();
        }
        Self { says, identities, file }
    }

    /// What must come of it here, where nobody is asked for a passphrase.
    fn wanted(&self) -> Outcome {
        match self.says["expect"].as_str() {
            "success" if !self.says.contains_key("passphrase") => Outcome::Opened(self.payload()),
            "payload failure" => Outcome::Broken,
            "success" | "no match" | "header failure" | "HMAC failure" => Outcome::Refused,
            other => panic!("a vector expects `{other}`"),
        }
    }

    fn payload(&self) -> Digest {
        self.says["payload"].parse().unwrap()
    }

    fn got(&self) -> Outcome {
        let Ok(mut opener) = Opener::new(&self.file[..], |header| header.unwrap(&self.identities)) else {
            return Outcome::Refused;
        };
        let mut clear = Vec::new();
        let read = opener.read_to_end(&mut clear);
        // Whatever comes behind them: chunks are given out whole.
        assert!(read.is_ok() || clear.len().is_multiple_of(CHUNK), "{} bytes", clear.len());
        if read.is_ok() { Outcome::Opened(Digest::of(&clear)) } else { Outcome::Broken }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// Not a byte of its content was given out.
    Refused,
    /// It ended in an error, maybe behind some chunks.
    Broken,
    /// All of it, with this digest.
    Opened(Digest),
}

#[test]
fn each_published_vector_is_read_as_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/backup/age/testkit");
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let vector = Vector::read(&path);
        let (wanted, got) = (vector.wanted(), vector.got());
        if wanted != got {
            wrong.push(format!("{}: wanted {wanted:?}, got {got:?}", path.file_name().unwrap().display()));
        }
        count += 1;
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(count, 92, "of 123 vectors 31 are of the text form");
}

//! Files of ours for Debian's own program, and its files for us; and whatever is no such file.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

fn seal(bytes: &[u8], recipients: &[Identity]) -> (Vec<u8>, FileKey) {
    let key = FileKey::fresh().unwrap();
    let recipients: Vec<_> = recipients.iter().map(Identity::recipient).collect();
    let mut sealer = Sealer::new(Vec::new(), &key, &recipients).unwrap();
    sealer.write_all(bytes).unwrap();
    (sealer.finish().unwrap(), key)
}

fn open(sealed: &[u8], identity: &Identity) -> io::Result<Vec<u8>> {
    let mut clear = Vec::new();
    Opener::new(sealed, |header| header.unwrap(std::slice::from_ref(identity)))?.read_to_end(&mut clear)?;
    Ok(clear)
}

fn identity(number: u8) -> Identity {
    Identity::from([number; 32])
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

#[test]
fn each_recipient_opens_it_and_nobody_else() {
    for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
        let clear = bytes(length);
        let (sealed, key) = seal(&clear, &[identity(1), identity(2)]);
        assert_eq!(open(&sealed, &identity(1)).unwrap(), clear, "{length}");
        assert_eq!(open(&sealed, &identity(2)).unwrap(), clear, "{length}");
        assert!(open(&sealed, &identity(3)).unwrap_err().to_string().contains("none of these identities"));
        let mut again = Vec::new();
        let known = |header: &Header| header.prove(&key).map(|()| key.clone());
        Opener::new(&sealed[..], known).unwrap().read_to_end(&mut again).unwrap();
        assert_eq!(again, clear, "the writer reads it again without an identity");
        assert!(!sealed.windows(16).any(|part| length > 16 && part == &clear[..16]), "nothing is in clear");
    }
}

#[test]
fn a_cut_at_a_chunk_is_no_shorter_file() {
    let (sealed, _) = seal(&bytes(2 * CHUNK), &[identity(1)]);
    for cut in [sealed.len() - CHUNK - TAG, sealed.len() - 1, 30, 0] {
        assert!(open(&sealed[..cut], &identity(1)).is_err(), "{cut}");
    }
    assert!(open(&[&sealed[..], b"x"].concat(), &identity(1)).is_err(), "more behind its end");
}

proptest! {
    #[test]
    fn any_changed_byte_is_told(at in any::<prop::sample::Index>(), to in 1_u8..) {
        let (mut sealed, _) = seal(&bytes(CHUNK + 100), &[identity(1)]);
        let at = at.index(sealed.len());
        sealed[at] ^= to;
        prop_assert!(open(&sealed, &identity(1)).is_err());
    }

    #[test]
    fn any_bytes_at_all_are_read_without_harm(sealed in prop::collection::vec(any::<u8>(), 0..400)) {
        let whole = [b"age-encryption.org/v1\n-> X25519 ", &sealed[..]].concat();
        prop_assert!(open(&whole, &identity(1)).is_err() && open(&sealed, &identity(1)).is_err());
    }
}

/// Debian's own program. A machine without it is no machine to test on: `make setup` installs it.
fn age(program: &str, arguments: &[&str], input: &[u8]) -> (bool, Vec<u8>) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; `make setup` installs it"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || stdin.write_all(&input).ok());
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    (output.status.success(), output.stdout)
}

fn keygen(dir: &Path) -> (String, Identity) {
    let file = dir.join("key.txt");
    assert!(age("age-keygen", &["-o", file.to_str().unwrap()], b"").0);
    let identity = Identity::from_file(&file).unwrap().remove(0);
    (file.to_str().unwrap().to_owned(), identity)
}

#[test]
fn debians_own_program_reads_what_is_written_here() {
    let dir = tempfile::tempdir().unwrap();
    let (file, own) = keygen(dir.path());
    for length in [0, 5, CHUNK, 2 * CHUNK + 7] {
        let (sealed, _) = seal(&bytes(length), &[identity(9), own.clone()]);
        let (good, clear) = age("age", &["-d", "-i", &file], &sealed);
        assert!(good && clear == bytes(length), "{length}");
    }
}

#[test]
fn what_debians_own_program_writes_is_read_here() {
    let dir = tempfile::tempdir().unwrap();
    let (_, own) = keygen(dir.path());
    let (me, other) = (own.recipient().to_string(), identity(9).recipient().to_string());
    for length in [0, 5, CHUNK, 2 * CHUNK + 7] {
        let (good, sealed) = age("age", &["-r", &other, "-r", &me], &bytes(length));
        assert!(good);
        assert_eq!(open(&sealed, &own).unwrap(), bytes(length), "{length}");
    }
}

#[test]
fn an_identity_file_is_told_apart_from_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    std::fs::write(&path, "# created\n\nAGE-SECRET-KEY-1TYPING\n").unwrap();
    let error = Identity::from_file(&path).unwrap_err().to_string();
    assert!(error.contains("holds no age identity") && !error.contains("TYPING"), "{error}");
    assert!(matches!(Identity::from_file(&dir.path().join("y")), Err(IdentityError::Read { .. })));
    assert!(!format!("{:?}", identity(1)).to_lowercase().contains("secret"));
}

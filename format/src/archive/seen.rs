//! Which paths an archive has shown already, in bounded memory whatever their length.

use std::collections::HashMap;

use super::error::Refusal;
use super::header::Kind;
use crate::digest::Digest;

// Half a digest: collisions stay out of reach, and a member costs less than 100 bytes.
type Key = [u8; 16];

/// The members so far, by path without regard to case.
#[derive(Default)]
pub(super) struct Seen(HashMap<Key, (Key, Kind)>);

impl Seen {
    /// Takes a path in, or says why it may not stand beside those before it.
    pub(super) fn insert(&mut self, path: &str, kind: Kind) -> Result<(), Refusal> {
        if let Some((parent, _)) = path.rsplit_once('/') {
            match self.0.get(&key(&parent.to_lowercase())) {
                Some((exact, Kind::Dir)) if *exact == key(parent) => {}
                Some((exact, Kind::Dir)) if *exact != key(parent) => return Err(Refusal::CaseTwin),
                _ => return Err(Refusal::NoParent),
            }
        }
        match self.0.insert(key(&path.to_lowercase()), (key(path), kind)) {
            None => Ok(()),
            Some((exact, _)) if exact == key(path) => Err(Refusal::Duplicate),
            Some(_) => Err(Refusal::CaseTwin),
        }
    }
}

fn key(path: &str) -> Key {
    let mut key = [0; 16];
    key.iter_mut().zip(Digest::of(path.as_bytes()).bytes()).for_each(|(to, from)| *to = *from);
    key
}

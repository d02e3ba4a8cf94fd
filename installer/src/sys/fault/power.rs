//! What the disk holds when the power fails: data, attributes, names and directories are lost one by one.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;

use chom_format::HostPath;

use super::super::{Attrs, Effect, Kind, Of, RealSys, Source, Stamp, Sys as _};
use super::temporary;

const SECTOR: usize = 512;
/// What only programs of the host write, which nobody has synced before the engine does.
const LOOSE: [&str; 3] = ["/usr/bin/", "/etc/daemon/", "/var/lib/dpkg/"];

/// A seeded source of choices.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides.max(1)
    }
}

/// Leaves of an effect what the dice say. One that syncs what it makes before it renames it cannot leave a name
/// without its content; one in the middle of a batch can.
pub(super) fn tear(sys: &mut RealSys, effect: &Effect<'_>, synced: bool, dice: &mut Dice) {
    let whole = |sys: &mut RealSys| sys.effect(effect).is_ok();
    match effect {
        Effect::Append { journal, at, frame } => sectors(sys, journal, *at, frame, dice),
        Effect::Write { path, attrs, .. } => match dice.roll(if synced { 4 } else { 7 }) {
            0 => {}
            1 | 2 => {
                let content: &[u8] = if dice.roll(2) == 0 { b"" } else { b"half" };
                let Some(path) = temporary(sys, path) else { return };
                sys.effect(&Effect::Write { path: &path, source: Source::Bytes(content), attrs }).ok();
            }
            3 => drop(whole(sys)),
            4 if whole(sys) => spoil(sys, path, attrs, 0),
            5 if whole(sys) => spoil(sys, path, attrs, 1),
            6 if whole(sys) => strip(sys, path, attrs),
            _ => {}
        },
        Effect::MakeDir { path, attrs } => match dice.roll(if synced { 3 } else { 4 }) {
            0 => {}
            1 => {
                let Some(path) = temporary(sys, path) else { return };
                sys.effect(&Effect::MakeDir { path: &path, attrs }).ok();
            }
            2 => drop(whole(sys)),
            _ if whole(sys) => strip(sys, path, attrs),
            _ => {}
        },
        Effect::MakeLink { path, target, attrs } => match dice.roll(3) {
            0 => {}
            1 => {
                let Some(path) = temporary(sys, path) else { return };
                sys.effect(&Effect::MakeLink { path: &path, target, attrs: *attrs }).ok();
            }
            _ => drop(whole(sys)),
        },
        Effect::RemoveTree { path, .. } => thin(sys, path, dice),
        Effect::Batch(_) | Effect::Run(_) => {}
        _ => {
            if dice.roll(2) == 0 {
                whole(sys);
            }
        }
    }
}

/// Of a tree that was being removed, any of its paths are gone: those whose directory is still there.
pub(super) fn thin(sys: &mut RealSys, path: &HostPath, dice: &mut Dice) {
    let is_dir = sys.meta(path).ok().flatten().is_some_and(|meta| meta.kind == Kind::Dir);
    if is_dir {
        for name in sys.list(path).unwrap_or_default() {
            let below = format!("{}/{name}", path.as_str().trim_end_matches('/')).parse();
            below.iter().for_each(|below| thin(sys, below, dice));
        }
    }
    if dice.roll(2) == 0 {
        let effect = if is_dir { Effect::RemoveDir { path } } else { Effect::Remove { path } };
        sys.effect(&effect).ok();
    }
}

/// The name is there with all its attributes, and its content is not: empty, or zeros.
fn spoil(sys: &mut RealSys, path: &HostPath, attrs: &Attrs, how: u64) {
    let place = path.under(sys.root());
    let length = fs::metadata(&place).map_or(0, |meta| meta.len());
    let content = vec![0; if how == 0 { 0 } else { usize::try_from(length).unwrap_or(0) }];
    if fs::write(&place, content).is_ok() {
        sys.effect(&Effect::SetAttrs { path, attrs, of: Of::Any }).ok();
    }
}

/// The name is there with its content, and its attributes are those with which it was made.
fn strip(sys: &mut RealSys, path: &HostPath, attrs: &Attrs) {
    let mode = if attrs.mode.bits() & 0o111 == 0 { 0o600 } else { 0o700 };
    let mtime = Stamp { sec: 1_800_000_000, nsec: 0 };
    let bare = Attrs {
        mode: chom_format::Mode::from_bits(mode),
        uid: 0,
        gid: 0,
        mtime,
        xattrs: std::collections::BTreeMap::new(),
    };
    sys.effect(&Effect::SetAttrs { path, attrs: &bare, of: Of::Any }).ok();
}

/// Of a frame that was being appended, any of its sectors.
fn sectors(sys: &RealSys, journal: &HostPath, at: u64, frame: &[u8], dice: &mut Dice) {
    let Ok(file) = OpenOptions::new().write(true).open(journal.under(sys.root())) else { return };
    let mut written = 0;
    // Sectors of the file, not of the frame.
    let first = SECTOR - usize::try_from(at).unwrap_or(0) % SECTOR;
    while written < frame.len() {
        let end = if written == 0 { first } else { written + SECTOR }.min(frame.len());
        if dice.roll(3) > 0
            && let Some(part) = frame.get(written..end)
        {
            file.write_all_at(part, at + written as u64).ok();
        }
        written = end;
    }
}

/// Files that programs of the host have written since the last sync.
#[derive(Default)]
pub(super) struct Loose(BTreeSet<HostPath>);

impl Loose {
    /// Follows what is written and synced.
    pub(super) fn note(&mut self, effect: &Effect<'_>) {
        match effect {
            Effect::Write { path, .. } if LOOSE.iter().any(|dir| path.as_str().starts_with(dir)) => {
                self.0.insert((*path).clone());
            }
            Effect::Sync => self.0.clear(),
            _ => {}
        }
    }

    /// Any of it is lost: content, or the name with it.
    pub(super) fn lose(&mut self, sys: &RealSys, dice: &mut Dice) {
        for path in std::mem::take(&mut self.0) {
            let place = path.under(sys.root());
            match dice.roll(4) {
                0 => drop(fs::remove_file(&place)),
                1 if place.exists() => drop(fs::write(&place, "")),
                _ => {}
            }
        }
    }
}

//! A disk without free space: what is written needs what was given back or reserved before.

use std::collections::BTreeMap;
use std::io;

use chom_format::HostPath;

use super::super::{Effect, Kind, Meta, RealSys, Source, Sys, SysError};

const BLOCK: u64 = 4096;

/// The free space, and what files own of the disk beside their content.
#[derive(Default)]
pub(super) struct Room {
    free: u64,
    owned: BTreeMap<HostPath, u64>,
}

/// What one effect needs before it happens, and gives back when it has.
#[derive(Default)]
pub(super) struct Need {
    takes: u64,
    gives: u64,
    owns: Vec<(HostPath, u64)>,
}

impl Room {
    pub(super) fn of(&self, sys: &RealSys, effect: &Effect<'_>) -> Result<Need, SysError> {
        let held = |path: &HostPath| -> Result<u64, SysError> {
            let meta: Option<Meta> = sys.meta(path)?;
            let size = meta.filter(|meta| meta.nlink <= 1).map_or(0, |meta| blocks(meta.size));
            Ok(size.max(self.owned.get(path).copied().unwrap_or(0)))
        };
        let none = Need::default();
        Ok(match effect {
            Effect::Write { path, source, .. } => {
                Need { takes: blocks(size(sys, source)?), gives: held(path)?, ..none }
            }
            Effect::MakeDir { .. } => Need { takes: BLOCK, ..none },
            Effect::Remove { path } => Need { gives: held(path)?, owns: vec![((*path).clone(), 0)], ..none },
            Effect::RemoveDir { .. } => Need { gives: BLOCK, ..none },
            Effect::RemoveTree { path, .. } => {
                let mut all = none;
                for path in tree(sys, path)? {
                    let dir = sys.meta(&path)?.is_some_and(|meta| meta.kind == Kind::Dir);
                    all.gives += if dir { BLOCK } else { held(&path)? };
                    all.owns.push((path, 0));
                }
                all
            }
            Effect::Append { journal, at, frame } => {
                let end = blocks(at + frame.len() as u64);
                Need { takes: end.saturating_sub(held(journal)?), ..none }
            }
            Effect::Reserve { path, bytes } => {
                let takes = blocks(*bytes).saturating_sub(held(path)?);
                Need { takes, owns: vec![((*path).clone(), blocks(*bytes))], ..none }
            }
            Effect::Batch(effects) => {
                // What is given up together; what is written together was kept free before.
                let mut all = none;
                for effect in effects.iter().filter(|effect| {
                    matches!(
                        effect,
                        Effect::Remove { .. } | Effect::RemoveDir { .. } | Effect::RemoveTree { .. }
                    )
                }) {
                    let need = self.of(sys, effect)?;
                    all.gives += need.gives;
                    all.owns.extend(need.owns);
                }
                all
            }
            _ => none,
        })
    }

    /// Takes what an effect needs, if it is there.
    pub(super) fn take(&mut self, need: &Need, effect: &Effect<'_>) -> Result<(), SysError> {
        match self.free.checked_sub(need.takes) {
            Some(left) => self.free = left,
            None => return Err(SysError::io("change", effect.describe())(io::ErrorKind::StorageFull.into())),
        }
        self.free += need.gives;
        Ok(())
    }

    pub(super) fn settle(&mut self, need: &Need) {
        for (path, bytes) in &need.owns {
            self.owned.insert(path.clone(), *bytes);
        }
    }
}

/// A path with all below it.
fn tree(sys: &RealSys, path: &HostPath) -> Result<Vec<HostPath>, SysError> {
    let mut all = vec![path.clone()];
    if sys.meta(path)?.is_some_and(|meta| meta.kind == Kind::Dir) {
        for name in sys.list(path)? {
            let below = format!("{path}/{name}").parse::<HostPath>();
            all.extend(below.ok().map(|below| tree(sys, &below)).transpose()?.unwrap_or_default());
        }
    }
    Ok(all)
}

fn blocks(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK) * BLOCK
}

fn size(sys: &RealSys, source: &Source<'_>) -> Result<u64, SysError> {
    let of = |path: &HostPath| Ok::<u64, SysError>(sys.meta(path)?.map_or(0, |meta| meta.size));
    match source {
        Source::Bytes(bytes) => Ok(bytes.len() as u64),
        Source::File { file, .. } => Ok(std::fs::metadata(file).map_or(0, |meta| meta.len())),
        Source::Host { path, .. } => of(path),
        Source::Part { size, .. } => Ok(*size),
        Source::Made(made) => {
            let mut hasher = chom_format::digest::Hasher::new(std::io::sink());
            made.make(sys, &mut hasher)?;
            Ok(hasher.finish().1)
        }
        Source::Joined { paths, .. } => paths.iter().map(of).sum(),
    }
}

//! The space for the way back, kept on each file system that will need some, before it is needed.
//!
//! For every resource that may have to be put back one file is kept, with as many bytes of the disk as that takes:
//! with the bytes comes the inode. The way back begins by giving all of them up, and so finds room on a disk that
//! others have filled meanwhile. What stands keeps its reserve for as long as it can be taken back.
//!
//! On the file system of the state directory the files lie beside the journal. On any other one they lie at its top in a
//! directory that [`Sys::list`] never names; it is noted in the state directory before it is made, so that no crash
//! leaves one behind that nobody knows. Making and removing it moves no directory's time.

use std::collections::BTreeMap;

use chom_format::HostPath;

use super::Files;
use crate::resource::{below, private, remove_tree};
use crate::sys::{Attrs, Effect, Kind, Of, RESERVE, Source, Sys, SysError, bytes_of};

/// Once on each file system: for what its own books take. btrfs wants a tenth of this for one rename.
const BOOKS: u64 = 1 << 20;

/// What one transaction keeps.
#[derive(Debug, Default)]
pub struct Reserve {
    /// The directory of each file system, by its device.
    dirs: BTreeMap<u64, HostPath>,
    kept: u64,
}

impl Reserve {
    /// Keeps so many bytes, and an inode, where this directory is or will be.
    pub fn keep(
        &mut self,
        sys: &mut dyn Sys,
        files: &Files,
        id: u64,
        dir: &HostPath,
        bytes: u64,
    ) -> Result<(), SysError> {
        let dir = self.dir(sys, files, id, dir)?;
        self.kept += 1;
        let path = below(&dir, &self.kept.to_string())?;
        sys.effect(&Effect::Reserve { path: &path, bytes })?;
        Ok(())
    }

    fn dir(
        &mut self,
        sys: &mut dyn Sys,
        files: &Files,
        id: u64,
        dir: &HostPath,
    ) -> Result<HostPath, SysError> {
        let device = sys.space(dir)?.device;
        if let Some(known) = self.dirs.get(&device) {
            return Ok(known.clone());
        }
        let made = if device == sys.space(files.root())?.device {
            let made = files.reserve(id)?;
            sys.effect(&Effect::MakeDir { path: &made, attrs: &private(0o700) })?;
            made
        } else {
            let top = top(sys, dir)?;
            let made = below(&top, &format!("{RESERVE}{id:06}"))?;
            let mut noted = elsewhere(sys, files, id)?;
            noted.push(made.clone());
            note(sys, files, id, &noted)?;
            keeping_time(sys, &top, Effect::MakeDir { path: &made, attrs: &private(0o700) })?;
            made
        };
        sys.effect(&Effect::Reserve { path: &below(&made, "books")?, bytes: BOOKS })?;
        self.dirs.insert(device, made.clone());
        Ok(made)
    }
}

/// Gives up all that a transaction keeps, so that it can be used when this returns. Cut off anywhere, it can be begun
/// again.
pub fn release(sys: &mut dyn Sys, files: &Files, id: u64) -> Result<(), SysError> {
    let own = files.reserve(id)?;
    let mut kept = sys.meta(&own)?.is_some();
    remove_tree(sys, &own)?;
    for dir in elsewhere(sys, files, id)? {
        let Some(top) = dir.parent() else { continue };
        for name in sys.list(&dir)? {
            sys.effect(&Effect::Remove { path: &below(&dir, &name)? })?;
        }
        if sys.meta(&dir)?.is_some() {
            keeping_time(sys, &top, Effect::RemoveDir { path: &dir })?;
            kept = true;
        }
    }
    if kept {
        // Some file systems count what was removed as taken until it is on the disk that it is gone.
        sys.effect(&Effect::Sync)?;
    }
    Ok(())
}

/// The directories on other file systems than that of the state directory.
fn elsewhere(sys: &dyn Sys, files: &Files, id: u64) -> Result<Vec<HostPath>, SysError> {
    let path = files.reserves(id)?;
    let Some(bytes) = bytes_of(sys, &path)? else { return Ok(Vec::new()) };
    serde_json::from_slice(&bytes).map_err(|error| SysError::other("understand", path, error.to_string()))
}

fn note(sys: &mut dyn Sys, files: &Files, id: u64, dirs: &[HostPath]) -> Result<(), SysError> {
    let path = files.reserves(id)?;
    let bytes =
        serde_json::to_vec(dirs).map_err(|error| SysError::other("write", &path, error.to_string()))?;
    let source = Source::Bytes(&bytes);
    sys.effect(&Effect::Write { path: &path, source, attrs: &private(0o600) })?;
    Ok(())
}

/// The highest directory above that is still on the same file system.
fn top(sys: &dyn Sys, dir: &HostPath) -> Result<HostPath, SysError> {
    let mut place = dir.clone();
    let mut top = loop {
        match sys.resolve(&place)? {
            Some(found) => break found,
            None => place = place.parent().unwrap_or_else(HostPath::root),
        }
    };
    let device = sys.meta(&top)?.map(|meta| meta.dev);
    while let Some(parent) = top.parent() {
        let same = sys.meta(&parent)?.is_some_and(|meta| meta.kind == Kind::Dir && Some(meta.dev) == device);
        if !same {
            break;
        }
        top = parent;
    }
    Ok(top)
}

fn keeping_time(sys: &mut dyn Sys, dir: &HostPath, effect: Effect<'_>) -> Result<(), SysError> {
    let attrs: Option<Attrs> = sys.attrs(dir)?;
    let back = attrs.as_ref().map(|attrs| Effect::SetAttrs { path: dir, attrs, of: Of::Dir });
    let effects: Vec<Effect<'_>> = std::iter::once(effect).chain(back).collect();
    let done = sys.effect(&Effect::Batch(&effects));
    if done.is_err()
        && let Some(back) = effects.get(1)
    {
        // Once more: what the time was is known here only. The error that is told is the first one.
        let _told_already = sys.effect(back);
    }
    done.map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::sys::RealSys;

    fn host() -> (tempfile::TempDir, RealSys, Files) {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        fs::create_dir_all(dir.path().join("var/lib/chom/transactions/000001")).unwrap();
        fs::create_dir_all(dir.path().join("srv/a")).unwrap();
        let sys = RealSys::new(dir.path());
        (dir, sys, Files::standard().unwrap())
    }

    #[test]
    fn space_is_kept_and_given_up() {
        let (dir, mut sys, files) = host();
        let mut reserve = Reserve::default();
        for _ in 0..3 {
            reserve.keep(&mut sys, &files, 1, &"/srv/a/not/yet".parse().unwrap(), 8192).unwrap();
        }
        let kept = dir.path().join("var/lib/chom/transactions/000001/reserve");
        assert_eq!(fs::read_dir(&kept).unwrap().count(), 3 + 1);
        release(&mut sys, &files, 1).unwrap();
        assert!(!kept.exists());
        release(&mut sys, &files, 1).unwrap();
    }

    #[test]
    fn a_reserve_on_another_file_system_is_found_again_and_never_listed() {
        let (dir, mut sys, files) = host();
        let made: HostPath = format!("/srv/{RESERVE}000001").parse().unwrap();
        let before = sys.attrs(&"/srv".parse().unwrap()).unwrap();
        note(&mut sys, &files, 1, std::slice::from_ref(&made)).unwrap();
        let top: HostPath = "/srv".parse().unwrap();
        keeping_time(&mut sys, &top, Effect::MakeDir { path: &made, attrs: &private(0o700) }).unwrap();
        sys.effect(&Effect::Reserve { path: &below(&made, "1").unwrap(), bytes: 4096 }).unwrap();
        assert_eq!(sys.list(&top).unwrap(), ["a"]);
        assert_eq!(sys.attrs(&top).unwrap(), before);
        release(&mut sys, &files, 1).unwrap();
        assert!(!dir.path().join(made.as_str().trim_start_matches('/')).exists());
        assert_eq!(sys.attrs(&top).unwrap(), before);
    }

    #[test]
    fn what_an_older_program_kept_is_given_up_too() {
        let (dir, mut sys, files) = host();
        let kept = dir.path().join("var/lib/chom/transactions/000001/reserve");
        fs::write(&kept, "").unwrap();
        release(&mut sys, &files, 1).unwrap();
        assert!(!kept.exists());
    }

    #[test]
    fn the_top_of_a_file_system_is_where_it_begins() {
        let (_dir, sys, _) = host();
        // A directory that stands for a host lies on one file system from its root on.
        assert_eq!(top(&sys, &"/srv/a/not/yet".parse().unwrap()).unwrap(), HostPath::root());
    }
}

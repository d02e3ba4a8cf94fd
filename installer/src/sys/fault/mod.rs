//! A host that fails, is killed, fills up or loses its power at a chosen effect. For tests: the door is the only
//! hook that they need.
//!
//! An effect that has returned is on the disk; the trace of system calls shows that of the real door. What is not
//! is the effect in the middle of which the power fails, a batch that has not ended, and whatever programs of
//! the host wrote since the last sync: of these any part is lost ([`power`]).

mod power;
mod room;

use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use chom_format::HostPath;

pub(crate) use self::power::Dice;
use self::power::Loose;
use self::room::Room;
use super::{Attrs, Command, Effect, Meta, Output, RealSys, Source, Space, Sys, SysError};

/// What happens at the chosen effect, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It fails and has not happened; everything after it works again.
    Fail(u64),
    /// It happens, and is told to have failed, as after a sync that went wrong.
    Deny(u64),
    /// The disk is full from then on: only what is given back can be written again.
    Full(u64),
    /// It and everything after it fails: the file system has become read-only.
    ReadOnly(u64),
    /// The process is killed in the middle of it.
    KillWithin(u64),
    /// The process is killed just after it.
    KillAfter(u64),
    /// The power fails in the middle of it. The seed decides what is lost.
    Power(u64, u64),
}

/// A directory as host, with a fault.
pub(crate) struct FaultSys {
    inner: RealSys,
    fault: Fault,
    effects: AtomicU64,
    dead: AtomicBool,
    room: Room,
    loose: Loose,
}

impl FaultSys {
    pub(crate) fn new(root: &Path, fault: Fault) -> Self {
        let (effects, dead) = (AtomicU64::new(0), AtomicBool::new(false));
        let (room, loose) = (Room::default(), Loose::default());
        Self { inner: RealSys::new(root), fault, effects, dead, room, loose }
    }

    /// Effects so far, each of a batch counted.
    pub(crate) fn effects(&self) -> u64 {
        self.effects.load(Ordering::SeqCst)
    }

    /// Whether the chosen effect was reached and killed the process.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    fn alive(&self) -> Result<(), SysError> {
        if self.is_dead() { Err(SysError::Injected("the process is dead".to_owned())) } else { Ok(()) }
    }

    fn die(&self) -> SysError {
        self.dead.store(true, Ordering::SeqCst);
        SysError::Injected("kill".to_owned())
    }

    fn one(&mut self, effect: &Effect<'_>) -> Result<Output, SysError> {
        self.alive()?;
        let number = self.effects.fetch_add(1, Ordering::SeqCst) + 1;
        match self.fault {
            Fault::Fail(at) if at == number => Err(SysError::Injected(effect.describe())),
            Fault::Deny(at) if at == number => {
                self.inner.effect(effect)?;
                Err(SysError::Injected(format!("told to have failed: {}", effect.describe())))
            }
            Fault::ReadOnly(at) if at <= number => {
                Err(SysError::io("change", effect.describe())(io::ErrorKind::ReadOnlyFilesystem.into()))
            }
            Fault::Full(at) => {
                let room = self.room.of(&self.inner, effect)?;
                if number >= at {
                    self.room.take(&room, effect)?;
                }
                let output = self.inner.effect(effect)?;
                self.room.settle(&room);
                Ok(output)
            }
            Fault::KillWithin(at) if at == number => {
                self.half(effect);
                Err(self.die())
            }
            Fault::KillAfter(at) if at == number => {
                self.inner.effect(effect)?;
                Err(self.die())
            }
            Fault::Power(at, seed) if at == number => {
                let mut dice = Dice::new(seed);
                power::tear(&mut self.inner, effect, true, &mut dice);
                self.loose.lose(&self.inner, &mut dice);
                Err(self.die())
            }
            _ => {
                let output = self.inner.effect(effect)?;
                self.loose.note(effect);
                Ok(output)
            }
        }
    }

    /// A batch in which the power fails: of all that it did nothing is on the disk for sure.
    fn torn_batch(&mut self, effects: &[Effect<'_>], at: u64, seed: u64) -> SysError {
        let mut dice = Dice::new(seed);
        let begun = at - self.effects();
        for effect in effects.iter().take(usize::try_from(begun).unwrap_or(usize::MAX)) {
            power::tear(&mut self.inner, effect, false, &mut dice);
        }
        self.loose.lose(&self.inner, &mut dice);
        self.effects.store(at, Ordering::SeqCst);
        self.die()
    }

    /// What a kill in the middle of an effect may leave.
    fn half(&mut self, effect: &Effect<'_>) {
        match effect {
            Effect::Append { journal, at, frame } => {
                let torn = frame.get(..frame.len() / 2).unwrap_or_default();
                let half = Effect::Append { journal, at: *at, frame: torn };
                self.inner.effect(&half).ok();
            }
            Effect::RemoveTree { path, .. } => power::thin(&mut self.inner, path, &mut Dice::new(1)),
            Effect::Write { path, attrs, .. } => {
                if let Some(path) = temporary(&self.inner, path) {
                    let source = Source::Bytes(b"half");
                    self.inner.effect(&Effect::Write { path: &path, source, attrs }).ok();
                }
            }
            _ => {}
        }
    }
}

/// The name under which something is before it is renamed to its own.
fn temporary(sys: &RealSys, path: &HostPath) -> Option<HostPath> {
    let (dir, name) = (path.parent()?, sys.temporary().ok()?.into_string().ok()?);
    format!("{}/{name}", dir.as_str().trim_end_matches('/')).parse().ok()
}

impl Sys for FaultSys {
    fn root(&self) -> &Path {
        self.inner.root()
    }

    fn meta(&self, path: &HostPath) -> Result<Option<Meta>, SysError> {
        self.alive()?;
        self.inner.meta(path)
    }

    fn attrs(&self, path: &HostPath) -> Result<Option<Attrs>, SysError> {
        self.alive()?;
        self.inner.attrs(path)
    }

    fn link(&self, path: &HostPath) -> Result<String, SysError> {
        self.alive()?;
        self.inner.link(path)
    }

    fn open_with(&self, path: &HostPath) -> Result<(Attrs, Box<dyn Read>), SysError> {
        self.alive()?;
        self.inner.open_with(path)
    }

    fn open(&self, path: &HostPath) -> Result<Box<dyn Read>, SysError> {
        self.alive()?;
        self.inner.open(path)
    }

    fn list(&self, dir: &HostPath) -> Result<Vec<String>, SysError> {
        self.alive()?;
        self.inner.list(dir)
    }

    fn count(&self, dir: &HostPath) -> Result<usize, SysError> {
        self.inner.count(dir)
    }

    fn resolve(&self, path: &HostPath) -> Result<Option<HostPath>, SysError> {
        self.alive()?;
        self.inner.resolve(path)
    }

    fn announce(&mut self, token: &str) {
        self.inner.announce(token);
    }

    fn is_temporary(&self, name: &str) -> bool {
        self.inner.is_temporary(name)
    }

    fn is_private(&self, dir: &HostPath) -> Result<bool, SysError> {
        self.inner.is_private(dir)
    }

    fn owned(
        &self,
        uid: Option<u32>,
        gid: Option<u32>,
        skipped: &[&str],
        most: usize,
    ) -> Result<Vec<String>, SysError> {
        self.inner.owned(uid, gid, skipped, most)
    }

    fn is_immutable(&self, path: &HostPath) -> bool {
        self.inner.is_immutable(path)
    }

    fn space(&self, path: &HostPath) -> Result<Space, SysError> {
        self.alive()?;
        self.inner.space(path)
    }

    fn ask(&self, command: &Command) -> Result<Output, SysError> {
        self.alive()?;
        self.inner.ask(command)
    }

    fn stream(&self, command: &Command, out: &mut dyn io::Write) -> Result<Output, SysError> {
        self.alive()?;
        self.inner.stream(command, out)
    }

    fn effect(&mut self, effect: &Effect<'_>) -> Result<Output, SysError> {
        match effect {
            // A batch that is cut off leaves any beginning of it.
            Effect::Batch(effects) => {
                self.alive()?;
                let reached = self.effects() + effects.len() as u64;
                match self.fault {
                    Fault::Power(at, seed) if at > self.effects() && at <= reached => {
                        return Err(self.torn_batch(effects, at, seed));
                    }
                    _ => {}
                }
                for effect in *effects {
                    self.one(effect)?;
                }
                self.loose.note(&Effect::Sync);
                Ok(Output::default())
            }
            effect => self.one(effect),
        }
    }
}

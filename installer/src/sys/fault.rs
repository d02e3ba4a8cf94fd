//! A host that fails, or is killed, at a chosen effect. For tests: the door is the only hook they need.

use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use chom_format::HostPath;

use super::{Attrs, Command, Effect, Meta, Output, RealSys, Source, Space, Sys, SysError, TEMPORARY};

/// What happens at the chosen effect, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It fails and has not happened; everything after it works again.
    Fail(u64),
    /// The process is killed in the middle of it.
    KillWithin(u64),
    /// The process is killed just after it.
    KillAfter(u64),
}

/// A directory as host, with a fault.
pub(crate) struct FaultSys {
    inner: RealSys,
    fault: Fault,
    effects: AtomicU64,
    dead: AtomicBool,
}

impl FaultSys {
    pub(crate) fn new(root: &Path, fault: Fault) -> Self {
        let (effects, dead) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { inner: RealSys::new(root), fault, effects, dead }
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
            Fault::KillWithin(at) if at == number => {
                self.half(effect);
                Err(self.die())
            }
            Fault::KillAfter(at) if at == number => {
                self.inner.effect(effect)?;
                Err(self.die())
            }
            _ => self.inner.effect(effect),
        }
    }

    /// What a power cut in the middle of an effect may leave.
    fn half(&mut self, effect: &Effect<'_>) {
        match effect {
            Effect::Append { journal, at, frame } => {
                let torn = frame.get(..frame.len() / 2).unwrap_or_default();
                let half = Effect::Append { journal, at: *at, frame: torn };
                self.inner.effect(&half).ok();
            }
            Effect::Write { path, attrs, .. } => {
                let Some(dir) = path.parent() else { return };
                let name = format!("{}/{TEMPORARY}99", dir.as_str().trim_end_matches('/'));
                if let Ok(path) = name.parse::<HostPath>() {
                    let source = Source::Bytes(b"half");
                    self.inner.effect(&Effect::Write { path: &path, source, attrs }).ok();
                }
            }
            _ => {}
        }
    }
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

    fn open(&self, path: &HostPath) -> Result<Box<dyn Read>, SysError> {
        self.alive()?;
        self.inner.open(path)
    }

    fn list(&self, dir: &HostPath) -> Result<Vec<String>, SysError> {
        self.alive()?;
        self.inner.list(dir)
    }

    fn space(&self, path: &HostPath) -> Result<Space, SysError> {
        self.alive()?;
        self.inner.space(path)
    }

    fn ask(&self, command: &Command) -> Result<Output, SysError> {
        self.alive()?;
        self.inner.ask(command)
    }

    fn effect(&mut self, effect: &Effect<'_>) -> Result<Output, SysError> {
        match effect {
            // A batch that is cut off leaves any beginning of it.
            Effect::Batch(effects) => {
                for effect in *effects {
                    self.one(effect)?;
                }
                Ok(Output::default())
            }
            effect => self.one(effect),
        }
    }
}

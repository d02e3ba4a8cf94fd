//! The door as a step sees it on the way forward: it heeds signals and deadlines before each effect.

use std::io::Read;
use std::path::Path;
use std::time::Instant;

use chom_format::{Digest, HostPath};

use crate::sys::{Attrs, Command, Effect, Meta, Output, Space, Sys, SysError, interrupt};

/// The host for one step: the door closes when the run is to stop.
pub(super) struct Cancellable<'a> {
    sys: &'a mut dyn Sys,
    deadline: Instant,
    step: &'a str,
    /// Send ourselves a signal after the first effect.
    rehearse: bool,
    effects: u64,
}

impl<'a> Cancellable<'a> {
    pub(super) fn new(sys: &'a mut dyn Sys, deadline: Instant, step: &'a str, rehearse: bool) -> Self {
        Self { sys, deadline, step, rehearse, effects: 0 }
    }

    /// The step is through. A signal that was to come after its first effect comes now, when it had none.
    pub(super) fn end(&mut self) -> Result<(), SysError> {
        if std::mem::take(&mut self.rehearse) { interrupt::rehearse() } else { Ok(()) }
    }

    /// Effects that went through.
    pub(super) fn effects(&self) -> u64 {
        self.effects
    }
}

impl Sys for Cancellable<'_> {
    fn root(&self) -> &Path {
        self.sys.root()
    }

    fn meta(&self, path: &HostPath) -> Result<Option<Meta>, SysError> {
        self.sys.meta(path)
    }

    fn attrs(&self, path: &HostPath) -> Result<Option<Attrs>, SysError> {
        self.sys.attrs(path)
    }

    fn link(&self, path: &HostPath) -> Result<String, SysError> {
        self.sys.link(path)
    }

    fn open_with(&self, path: &HostPath) -> Result<(Attrs, Box<dyn Read>), SysError> {
        self.sys.open_with(path)
    }

    fn open(&self, path: &HostPath) -> Result<Box<dyn Read>, SysError> {
        self.sys.open(path)
    }

    fn stream(&self, command: &Command, out: &mut dyn std::io::Write) -> Result<Output, SysError> {
        self.sys.stream(command, out)
    }

    fn digest(&self, path: &HostPath) -> Result<Digest, SysError> {
        self.sys.digest(path)
    }

    fn list(&self, dir: &HostPath) -> Result<Vec<String>, SysError> {
        self.sys.list(dir)
    }

    fn count(&self, dir: &HostPath) -> Result<usize, SysError> {
        self.sys.count(dir)
    }

    fn resolve(&self, path: &HostPath) -> Result<Option<HostPath>, SysError> {
        self.sys.resolve(path)
    }

    fn announce(&mut self, token: &str) {
        self.sys.announce(token);
    }

    fn is_temporary(&self, name: &str) -> bool {
        self.sys.is_temporary(name)
    }

    fn is_private(&self, dir: &HostPath) -> Result<bool, SysError> {
        self.sys.is_private(dir)
    }

    fn owned(
        &self,
        uid: Option<u32>,
        gid: Option<u32>,
        skipped: &[&str],
        most: usize,
    ) -> Result<Vec<String>, SysError> {
        self.sys.owned(uid, gid, skipped, most)
    }

    fn is_immutable(&self, path: &HostPath) -> bool {
        self.sys.is_immutable(path)
    }

    fn space(&self, path: &HostPath) -> Result<Space, SysError> {
        self.sys.space(path)
    }

    fn ask(&self, command: &Command) -> Result<Output, SysError> {
        // Whoever waits for something asks again and again: this is where a signal ends the waiting.
        interrupt::check()?;
        self.sys.ask(command)
    }

    fn effect(&mut self, effect: &Effect<'_>) -> Result<Output, SysError> {
        interrupt::check()?;
        if Instant::now() > self.deadline {
            return Err(SysError::other("continue with", self.step, "its time is over"));
        }
        let output = self.sys.effect(effect)?;
        self.effects += 1;
        if std::mem::take(&mut self.rehearse) {
            interrupt::rehearse()?;
        }
        Ok(output)
    }
}

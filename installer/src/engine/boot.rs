//! The boot unit: what takes a transaction back when the host comes up in the middle of it.
//!
//! It is put in place before the first step, with a copy of this program, and is the last thing that goes: in
//! between a power cut finds it there. It is part of what is saved and restored like any other path, so that
//! the proof of a rollback says that it is gone. Putting it there and taking it away moves no directory's time.
//!
//! A unit and the link by which it is wanted are two, and one without the other does nothing and would stay. So both
//! come and go with their directory, which systemd reads like `/etc/systemd/system` and no host has: it is made in the
//! state directory, and is moved. On a host that has it, or whose state directory is on another file system, they come
//! one by one. What is left when the host is cut off after it went is the time of the directory that it was in, until
//! the next command.
//!
//! It runs before the network, the firewall, sshd and every service ([`super::early`]): what they will read is as
//! before by then. It waits for none of them, has a time limit, and is wanted and not required: whatever comes
//! of it, the host boots on.

use std::path::Path;

use chom_format::HostPath;

use super::{Engine, Open};
use crate::journal::State;
use crate::resource::{Pass, Resource, private, remove_tree};
use crate::sys::{Attrs, Command, Effect, Kind, Of, Source, Sys, SysError, named};

pub(super) const NAME: &str = "chom-recover.service";
const LINKS: &str = "multi-user.target.wants";
const SYSTEMD: &str = "/etc/systemd";
const OWN: &str = "/etc/systemd/system.attached";
/// Where older programs put it, one by one, and where it is put when the name of its own directory is something else's.
const OLDER: &str = "/etc/systemd/system";

const TEXT: &str = "\
# A transaction of chom is under way, or was cut off. This unit goes with its end; see: chom-install status
[Unit]
Description=Puts this host back when a transaction was cut off
DefaultDependencies=no
ConditionPathExists=/var/lib/chom/chom-install
RequiresMountsFor=/etc /usr /var/lib/chom
Wants=network-pre.target
After=local-fs.target systemd-remount-fs.service
Before=sysinit.target basic.target network-pre.target
Before=ufw.service nftables.service netfilter-persistent.service ssh.service ssh.socket
Conflicts=shutdown.target
Before=shutdown.target

[Service]
Type=oneshot
ExecStart=/var/lib/chom/chom-install recover --boot
TimeoutStartSec=600
StandardOutput=journal+console
StandardError=journal+console
";

/// The paths of the boot unit.
struct Places {
    units: HostPath,
    wants: HostPath,
    unit: HostPath,
    link: HostPath,
}

impl Places {
    fn under(units: &str) -> Result<Self, SysError> {
        Ok(Self {
            units: named(units)?,
            wants: named(&format!("{units}/{LINKS}"))?,
            unit: named(&format!("{units}/{NAME}"))?,
            link: named(&format!("{units}/{LINKS}/{NAME}"))?,
        })
    }

    /// What makes it one by one, and its directories where they are missing. `target`: where the unit will be.
    fn effects<'a>(
        &'a self,
        looks: &'a Looks,
        target: &'a HostPath,
        missing: &[&HostPath],
    ) -> Vec<Effect<'a>> {
        let dir = |path: &'a HostPath| {
            missing.contains(&path).then_some(Effect::MakeDir { path, attrs: &looks.dir })
        };
        let (path, source) = (&self.unit, Source::Bytes(TEXT.as_bytes()));
        let unit = Effect::Write { path, source, attrs: &looks.file };
        let link = Effect::MakeLink { path: &self.link, target: target.as_str(), attrs: None };
        dir(&self.units).into_iter().chain([unit]).chain(dir(&self.wants)).chain([link]).collect()
    }
}

/// Of its files and directories.
struct Looks {
    file: Attrs,
    dir: Attrs,
}

impl Looks {
    fn now() -> Self {
        Self { file: private(0o644), dir: private(0o755) }
    }
}

impl Engine<'_> {
    /// What is to be saved before the boot unit is put in place. Nothing on a host without systemd, or when this
    /// engine was given no program to be kept.
    pub(super) fn boot_unit(&self) -> Result<Vec<Resource>, SysError> {
        let is_dir = |path| Ok(self.sys.meta(&named(path)?)?.map(|meta| meta.kind == Kind::Dir));
        if self.program.is_none() || is_dir(OLDER)? != Some(true) {
            return Ok(Vec::new());
        }
        let places = Places::under(if is_dir(OWN)? == Some(false) { OLDER } else { OWN })?;
        Ok([places.unit, places.link].map(Resource::at).to_vec())
    }

    /// Puts the boot unit in place, if this transaction has saved what was there.
    pub(super) fn arm(&mut self, open: &Open) -> Result<(), SysError> {
        let Some(units) = armed(&open.state) else { return Ok(()) };
        let Some(program) = self.program.as_deref() else { return Ok(()) };
        let places = Places::under(units)?;
        keep_program(self.sys, &self.files.program()?, program)?;
        if self.sys.meta(&places.unit)?.is_some() && self.sys.meta(&places.link)?.is_some() {
            return Ok(());
        }
        let times = self.times(&places)?;
        if self.sys.meta(&places.units)?.is_some() || !self.move_in(&places)? {
            let mut missing = vec![&places.units, &places.wants];
            missing.retain(|path| !times.iter().any(|(there, _)| there == *path));
            let looks = Looks::now();
            self.sys.effect(&Effect::Batch(&places.effects(&looks, &places.unit, &missing)))?;
        }
        self.set(&times)
    }

    /// Makes all of it elsewhere and moves it in. Not when that is on another file system.
    fn move_in(&mut self, places: &Places) -> Result<bool, SysError> {
        let elsewhere = self.files.boot()?;
        remove_tree(self.sys, &elsewhere)?;
        let made = Places::under(elsewhere.as_str())?;
        let (looks, missing) = (Looks::now(), [&made.units, &made.wants]);
        self.sys.effect(&Effect::Batch(&made.effects(&looks, &places.unit, &missing)))?;
        match self.sys.effect(&Effect::Rename { from: &elsewhere, to: &places.units }) {
            Err(error) if error.crosses_devices() => {
                remove_tree(self.sys, &elsewhere)?;
                Ok(false)
            }
            moved => moved.map(|_| true),
        }
    }

    /// Takes the boot unit away after a commit, also one that a run which was cut off left behind.
    pub(super) fn disarm(&mut self, state: Option<&State>) -> Result<(), SysError> {
        let mut gone = false;
        for units in [OWN, OLDER] {
            gone |= self.take_away(&Places::under(units)?, state)?;
        }
        if gone { self.forget_boot_unit() } else { Ok(()) }
    }

    /// Takes away what a transaction armed itself with, before it looks whether all of it is gone.
    pub(super) fn unload(&mut self, state: &State) -> Result<(), SysError> {
        let Some(units) = armed(state) else { return Ok(()) };
        self.take_away(&Places::under(units)?, Some(state)).map(drop)
    }

    /// Takes it away, whatever there is of it. Whether there was anything.
    fn take_away(&mut self, places: &Places, state: Option<&State>) -> Result<bool, SysError> {
        let made = |path: &HostPath| {
            let resource = Resource::at(path.clone());
            state.is_some_and(|state| state.saved(&resource).is_some())
        };
        // This transaction made it, and nobody else has put anything there.
        let goes = |sys: &dyn Sys, dir: &HostPath, ours: &[&str]| -> Result<bool, SysError> {
            let there = made(dir) && sys.meta(dir)?.is_some();
            Ok(there && sys.list(dir)?.iter().all(|name| ours.contains(&name.as_str())))
        };
        let times = self.times(places)?;
        let wants = goes(self.sys, &places.wants, &[NAME])?;
        let names: &[&str] = if wants { &[NAME, LINKS] } else { &[NAME] };
        let units = goes(self.sys, &places.units, names)?;
        if !units || !self.move_out(places)? {
            let mut effects = Vec::new();
            // The link first: a unit that nothing wants does nothing.
            if self.sys.meta(&places.link)?.is_some() {
                effects.push(Effect::Remove { path: &places.link });
            }
            if wants {
                effects.push(Effect::RemoveDir { path: &places.wants });
            }
            if self.sys.meta(&places.unit)?.is_some() {
                effects.push(Effect::Remove { path: &places.unit });
            }
            if units {
                effects.push(Effect::RemoveDir { path: &places.units });
            }
            if effects.is_empty() {
                return Ok(false);
            }
            self.sys.effect(&Effect::Batch(&effects))?;
        }
        self.set(&times)?;
        Ok(true)
    }

    /// Moves all of it into the state directory. Not when that is on another file system.
    fn move_out(&mut self, places: &Places) -> Result<bool, SysError> {
        let elsewhere = self.files.boot()?;
        remove_tree(self.sys, &elsewhere)?;
        match self.sys.effect(&Effect::Rename { from: &places.units, to: &elsewhere }) {
            Err(error) if error.crosses_devices() => Ok(false),
            moved => moved.map(|_| true),
        }
    }

    /// The attributes of its directories that are there, and of that which they are in.
    fn times(&self, places: &Places) -> Result<Vec<(HostPath, Attrs)>, SysError> {
        let mut times = Vec::new();
        for dir in places.units.parent().iter().chain([&places.units, &places.wants]) {
            times.extend(self.sys.attrs(dir)?.map(|attrs| (dir.clone(), attrs)));
        }
        Ok(times)
    }

    /// Puts back the attributes of those directories that are there.
    fn set(&mut self, times: &[(HostPath, Attrs)]) -> Result<(), SysError> {
        let mut effects = Vec::new();
        for (path, attrs) in times {
            if self.sys.meta(path)?.is_some_and(|meta| meta.mtime != attrs.mtime) {
                effects.push(Effect::SetAttrs { path, attrs, of: Of::Dir });
            }
        }
        if effects.is_empty() { Ok(()) } else { self.sys.effect(&Effect::Batch(&effects)).map(drop) }
    }

    /// The manager may have read the unit meanwhile, and would go on naming it.
    pub(super) fn forget_boot_unit(&mut self) -> Result<(), SysError> {
        if self.sys.root() != Path::new("/") {
            return Ok(());
        }
        let listed = ["systemctl", "list-units", "--all", "--no-legend", "--plain", "--no-pager", NAME];
        if self.sys.ask(&Command::new(listed))?.text().contains(NAME) {
            let reload = Command::new(["systemctl", "daemon-reload"]).timeout(super::MANAGER);
            self.sys.effect(&Effect::Run(&reload))?;
        }
        Ok(())
    }
}

/// Where a transaction has the boot unit among what it restores: its link was saved last. One that an older program
/// began has not.
fn armed(state: &State) -> Option<&'static str> {
    [OWN, OLDER].into_iter().find(|units| {
        let link = format!("{units}/{LINKS}/{NAME}");
        state.saved.iter().any(|(resource, _)| resource.path().is_some_and(|path| path.as_str() == link))
    })
}

/// Whether a transaction has the boot unit among what it restores.
pub(super) fn is_armed(state: &State) -> bool {
    armed(state).is_some()
}

/// Whether a resource of an armed transaction comes back after all others are proved: the boot unit, and the
/// directories whose names and times change when it goes.
pub(super) fn comes_last(state: &State, resource: &Resource) -> bool {
    let Some(units) = armed(state) else { return false };
    let below = |path: &HostPath| match path.as_str().strip_prefix(units) {
        Some("") => true,
        Some(name) => name.trim_start_matches('/').split('/').all(|part| [LINKS, NAME].contains(&part)),
        None => false,
    };
    let above = |path: &HostPath| {
        units == OWN && path.as_str() == SYSTEMD && resource.handler().policy().pass == Pass::Listings
    };
    resource.path().is_some_and(|path| below(path) || above(path))
}

/// Keeps a copy of the program in the state directory, for units and for people who come when the bundle is gone.
pub fn keep_program(sys: &mut dyn Sys, path: &HostPath, program: &[u8]) -> Result<(), SysError> {
    let same =
        sys.meta(path)?.is_some_and(|meta| meta.kind == Kind::File && meta.size == program.len() as u64)
            && sys.digest(path)? == chom_format::Digest::of(program);
    if !same {
        sys.effect(&Effect::Write { path, source: Source::Bytes(program), attrs: &private(0o700) })?;
    }
    Ok(())
}

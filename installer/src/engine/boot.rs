//! The boot unit: what takes a transaction back when the host comes up in the middle of it.
//!
//! It is put in place before the first step, with a copy of this program, and is the last thing that goes: in
//! between a power cut finds it there. It is part of what is saved and restored like any other path, so that
//! the proof of a rollback says that it is gone. Putting it there and taking it away moves no directory's time.
//!
//! It runs before the network, the firewall, sshd and every service ([`super::early`]): what they will read is as
//! before by then. It waits for none of them, has a time limit, and is wanted and not required: whatever comes
//! of it, the host boots on.

use std::path::Path;

use chom_format::HostPath;

use super::{Engine, Open};
use crate::journal::State;
use crate::resource::{Resource, private};
use crate::sys::{Attrs, Command, Effect, Kind, Source, Sys, SysError};

pub(super) const NAME: &str = "chom-recover.service";
const UNITS: &str = "/etc/systemd/system";
const WANTS: &str = "/etc/systemd/system/multi-user.target.wants";
const UNIT: &str = "/etc/systemd/system/chom-recover.service";
const LINK: &str = "/etc/systemd/system/multi-user.target.wants/chom-recover.service";

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
    fn standard() -> Result<Self, SysError> {
        Ok(Self { units: parse(UNITS)?, wants: parse(WANTS)?, unit: parse(UNIT)?, link: parse(LINK)? })
    }
}

impl Engine<'_> {
    /// What is to be saved before the boot unit is put in place. Nothing on a host without systemd, or when this
    /// engine was given no program to be kept.
    pub(super) fn boot_unit(&self) -> Result<Vec<Resource>, SysError> {
        let places = Places::standard()?;
        let has_systemd = self.sys.meta(&places.units)?.is_some_and(|meta| meta.kind == Kind::Dir);
        if self.program.is_none() || !has_systemd {
            return Ok(Vec::new());
        }
        Ok([places.unit, places.link].map(|path| Resource::Path { path, data: false }).to_vec())
    }

    /// Puts the boot unit in place, if this transaction has saved what was there.
    pub(super) fn arm(&mut self, open: &Open) -> Result<(), SysError> {
        let places = Places::standard()?;
        let Some(program) = self.program.as_deref().filter(|_| is_armed(&open.state)) else { return Ok(()) };
        keep_program(self.sys, &self.files.program()?, program)?;
        if self.sys.meta(&places.unit)?.is_some() && self.sys.meta(&places.link)?.is_some() {
            return Ok(());
        }
        let made = self.sys.meta(&places.wants)?.is_none();
        let times = times(self.sys, &[&places.units, &places.wants])?;
        let (root, dir) = (private(0o644), private(0o755));
        let (path, source) = (&places.unit, Source::Bytes(TEXT.as_bytes()));
        let mut effects = vec![Effect::Write { path, source, attrs: &root }];
        if made {
            effects.push(Effect::MakeDir { path: &places.wants, attrs: &dir });
        }
        let target = places.unit.as_str();
        effects.push(Effect::MakeLink { path: &places.link, target, attrs: None });
        effects.extend(times.iter().map(|(path, attrs)| Effect::SetAttrs { path, attrs }));
        self.sys.effect(&Effect::Batch(&effects))?;
        Ok(())
    }

    /// Takes the boot unit away after a commit, also one that a run which was cut off left behind. The link goes
    /// first: a unit that nothing wants does nothing.
    pub(super) fn disarm(&mut self, state: Option<&State>) -> Result<(), SysError> {
        let places = Places::standard()?;
        let times = times(self.sys, &[&places.units, &places.wants])?;
        let wants = Resource::Path { path: places.wants.clone(), data: false };
        let mut effects = Vec::new();
        if self.sys.meta(&places.link)?.is_some() {
            effects.push(Effect::Remove { path: &places.link });
        }
        let empties = state.is_some_and(|state| state.saved(&wants).is_some())
            && self.sys.meta(&places.wants)?.is_some()
            && self.sys.list(&places.wants)?.iter().all(|name| name == NAME);
        if empties {
            effects.push(Effect::RemoveDir { path: &places.wants });
        }
        if self.sys.meta(&places.unit)?.is_some() {
            effects.push(Effect::Remove { path: &places.unit });
        }
        if effects.is_empty() {
            return Ok(());
        }
        let stays = |path: &HostPath| !empties || *path != places.wants;
        effects.extend(
            times
                .iter()
                .filter(|(path, _)| stays(path))
                .map(|(path, attrs)| Effect::SetAttrs { path, attrs }),
        );
        self.sys.effect(&Effect::Batch(&effects))?;
        self.forget_boot_unit()
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

/// Whether a transaction has the boot unit among what it restores: its link was saved last. One that an older
/// program began has not.
pub(super) fn is_armed(state: &State) -> bool {
    let link = |resource: &Resource| matches!(resource, Resource::Path { path, .. } if path.as_str() == LINK);
    state.saved.iter().any(|(resource, _)| link(resource))
}

/// Whether a resource of an armed transaction comes back after all others are proved: the boot unit, and the
/// directories whose names and times change when it goes.
pub(super) fn comes_last(resource: &Resource) -> bool {
    match resource {
        Resource::Path { path, .. } => [UNIT, LINK, WANTS].contains(&path.as_str()),
        Resource::Listing { path } => [UNITS, WANTS].contains(&path.as_str()),
        _ => false,
    }
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

/// The attributes of directories that are there, their times included.
fn times(sys: &dyn Sys, dirs: &[&HostPath]) -> Result<Vec<(HostPath, Attrs)>, SysError> {
    let mut times = Vec::new();
    for dir in dirs {
        times.extend(sys.attrs(dir)?.map(|attrs| ((*dir).clone(), attrs)));
    }
    Ok(times)
}

fn parse(text: &str) -> Result<HostPath, SysError> {
    text.parse().map_err(|why| SysError::other("name", text, format!("{why}")))
}

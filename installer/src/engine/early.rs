//! The first half of a recovery at boot.
//!
//! While the host comes up nothing may be waited for that comes up later: a service that is started here would
//! wait for the network, and the network waits for us. So what lies on the disk comes back now, before anything
//! reads it: files, packages, accounts, the links that enable units, the firewall's rules as files. Whether
//! units run, what the kernel filters by, and the proof of it all are the second half. That is the recovery of
//! every other day, begun by itself once the host is up.

use super::backward::{Turn, in_reverse};
use super::recover::cause;
use super::{Engine, EngineError, Event, Open};
use crate::journal::Record;
use crate::resource::{Pass, Restored};
use crate::sys::{Command, Effect, interrupt};

/// The second half, as a unit of this boot alone.
const LATER: [&str; 9] = [
    "systemd-run",
    "--no-block",
    "--quiet",
    "--unit=chom-recover-end",
    "--description=Ends the recovery of a transaction that was cut off",
    "--property=After=multi-user.target",
    "--property=Type=oneshot",
    "/var/lib/chom/chom-install",
    "recover",
];

impl Engine<'_> {
    /// Puts back what lies on the disk, and sees to it that the rest follows. The transactions that were cut
    /// off; nothing to do is an empty list.
    pub fn recover_early(&mut self) -> Result<Vec<u64>, EngineError> {
        let (open, now) = self.unfinished(true)?;
        let ids: Vec<u64> = open.iter().map(|known| known.id).collect();
        for known in open {
            let cause = cause(&known.state, &now);
            let mut open = self.reopen(known)?;
            interrupt::shield();
            self.put_back_early(&mut open, &cause);
            interrupt::unshield();
        }
        if let Some(id) = ids.first() {
            self.say_at_login(&format!("transaction {id} was cut off, and is being put back"));
        }
        Ok(ids)
    }

    /// Begins the second half once this host is up.
    pub fn recover_later(&mut self) -> Result<(), EngineError> {
        let output = self.sys.effect(&Effect::Run(&Command::new(LATER)))?;
        if output.success() {
            return Ok(());
        }
        let (command, code, complaint) = (LATER.join(" "), output.code, output.complaint());
        Err(crate::sys::SysError::Failed { command, code, complaint }.into())
    }

    fn put_back_early(&mut self, open: &mut Open, cause: &str) {
        let (id, resources) = (open.id, open.state.saved.len());
        open.announce(self.sys);
        self.tell(open, &Event::RollingBack { id, cause, resources });
        let mut problems: Vec<String> = Vec::new();
        problems.extend(self.note_if_possible(open, &Record::RollingBack { cause: cause.to_owned() }));
        self.release_reserve(open);
        let covers = self.covers(open).unwrap_or_default();
        // The links and other traces of units first, as on every way back: they lie in directories of others.
        for pass in [Pass::Units, Pass::Paths] {
            for (resource, saved) in in_reverse(open, Turn::Of(pass), &covers) {
                let store = open.store.clone();
                let restored = self.known_after(open, &resource, &saved).and_then(|after| {
                    resource.handler().restore_early(self.sys, &store, &saved, after.as_ref())
                });
                match restored {
                    // The second half tries again.
                    Ok(Some(Restored::Stuck { reason })) => problems.push(format!("{resource}: {reason}")),
                    Ok(Some(restored)) => {
                        self.tell(open, &Event::Restored { resource: &resource, restored: &restored });
                        problems
                            .extend(self.note_if_possible(open, &Record::Restored { resource, restored }));
                    }
                    Ok(None) => {}
                    Err(error) => problems.push(format!("{resource}: {error}")),
                }
            }
        }
        self.reload_manager(open);
        problems.extend(self.sys.effect(&Effect::Sync).err().map(|error| error.to_string()));
        for text in problems {
            self.tell(open, &Event::Note { text: &text });
        }
    }
}

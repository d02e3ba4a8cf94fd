//! What whoever logs in is told while a host is half done.
//!
//! It lies in memory, and is written again at every boot for as long as it is true: it leaves no trace. Everybody
//! may read it, so it names the transaction and nothing of what is in it.

use std::path::Path;

use chom_format::HostPath;

use super::{Engine, Event, Open};
use crate::resource::private;
use crate::sys::{Command, Effect, Source, Sys, SysError, named};

// pam_motd shows what lies here, over ssh and at the console.
const DIR: &str = "/run/motd.d";
const NOTICE: &str = "/run/motd.d/chom";

impl Engine<'_> {
    /// A transaction is stuck: told at login, and in systemd's journal.
    pub(super) fn a_person_is_needed(&mut self, open: &mut Open) {
        let id = open.id;
        let text = format!("this host is half done: transaction {id} needs a person");
        self.say_at_login(&text);
        if self.sys.root() != Path::new("/") {
            return;
        }
        let mut command = Command::new(["systemd-cat", "--identifier=chom-install", "--priority=crit"]);
        command.stdin = Some(format!("{text}; see: chom-install status\n").into_bytes());
        if let Err(error) = self.sys.effect(&Effect::Run(&command)) {
            let text = format!("systemd's journal was not told: {error}");
            self.tell(open, &Event::Note { text: &text });
        }
    }

    /// Tells whoever logs in.
    pub(super) fn say_at_login(&mut self, what: &str) {
        tell_at_login(self.sys, what);
    }

    /// Nothing is half done.
    pub(super) fn all_is_well(&mut self) {
        if let Err(error) = self.remove_notice() {
            log::warn!("{NOTICE} is no longer true, and stays: {error}");
        }
    }

    fn remove_notice(&mut self) -> Result<(), SysError> {
        let path = named(NOTICE)?;
        if self.sys.meta(&path)?.is_some() {
            self.sys.effect(&Effect::Remove { path: &path })?;
        }
        Ok(())
    }
}

/// Tells whoever logs in. Nothing depends on being heard.
pub fn tell_at_login(sys: &mut dyn Sys, what: &str) {
    let text = format!("chom: {what}. See: /var/lib/chom/chom-install status\n");
    if let Err(error) = write(sys, &text) {
        log::warn!("whoever logs in is not told: {error}");
    }
}

fn write(sys: &mut dyn Sys, text: &str) -> Result<(), SysError> {
    let (dir, path): (HostPath, HostPath) = (named(DIR)?, named(NOTICE)?);
    if dir.parent().map_or(Ok(None), |run| sys.meta(&run))?.is_none() {
        return Ok(());
    }
    if sys.meta(&dir)?.is_none() {
        sys.effect(&Effect::MakeDir { path: &dir, attrs: &private(0o755) })?;
    }
    let source = Source::Bytes(text.as_bytes());
    sys.effect(&Effect::Write { path: &path, source, attrs: &private(0o644) })?;
    Ok(())
}

//! What became of the last run, as figures that an exporter of the host reads and alert rules judge.
//!
//! They are written behind a transaction, into the directories that the manifest that stands names for it, and are no
//! part of what it changes or restores. Failing to write them is told in the log and fails nothing.

use chom_format::{Exit, HostPath};

use super::Session;
use crate::engine::{Ending, Report};
use crate::resource::private;
use crate::sys::{Effect, Source, Sys};

const FILE: &str = "chom_deployment.prom";
/// Of its own, so that neither writes over the other.
const BACKUPS: &str = "chom_backup.prom";

/// Leaves the figures of a run that ended so; `asked_for` when to be taken back is what somebody wanted.
pub(super) fn publish(session: &mut Session, report: &Report, asked_for: bool) {
    let result = match report.ending {
        // Not decided yet.
        Ending::Exposed => return,
        Ending::Committed => Exit::Done,
        Ending::Restored if asked_for => Exit::Done,
        Ending::Restored => Exit::Restored,
        Ending::Untouched => Exit::Failed,
        Ending::Stuck => Exit::NeedsPerson,
    };
    if let Err(error) = session.look_again() {
        log::warn!("the figures of this run are not written: {error}");
        return;
    }
    write(session, FILE, &text(result, jiff::Timestamp::now().as_second()));
    publish_backup(session);
}

/// Leaves when the newest backup was made; nothing when there is none.
pub(super) fn publish_backup(session: &mut Session) {
    match super::backup::newest(session) {
        Ok(Some(at)) => write(session, BACKUPS, &backup_text(at.as_second())),
        Ok(None) => {}
        Err(error) => log::warn!("the figures of the backups are not written: {error}"),
    }
}

fn write(session: &mut Session, file: &str, text: &str) {
    for path in files(session, file) {
        // The directory is the manifest's own; it is gone when somebody removed it, and is not ours to make here.
        if !path.parent().is_some_and(|dir| matches!(session.sys.meta(&dir), Ok(Some(_)))) {
            continue;
        }
        let source = Source::Bytes(text.as_bytes());
        let written = session.sys.effect(&Effect::Write { path: &path, source, attrs: &private(0o644) });
        if let Err(error) = written {
            log::warn!("the figures of this run are not written: {error}");
        }
    }
}

/// Takes the figures away before the transaction that made their directory is taken back: they are nobody else's work.
pub(super) fn withdraw(session: &mut Session) {
    for path in [FILE, BACKUPS].iter().flat_map(|file| files(session, file)).collect::<Vec<_>>() {
        if matches!(session.sys.meta(&path), Ok(Some(_)))
            && let Err(error) = session.sys.effect(&Effect::Remove { path: &path })
        {
            log::warn!("{path} could not be removed: {error}");
        }
    }
}

fn files(session: &Session, file: &str) -> Vec<HostPath> {
    let dirs = match session.installed() {
        Ok(installed) => installed.map(|installed| installed.manifest.metrics).unwrap_or_default(),
        Err(error) => {
            log::warn!("where the figures of this run belong is not known: {error}");
            Vec::new()
        }
    };
    dirs.iter().filter_map(|dir| format!("{dir}/{file}").parse().ok()).collect()
}

// The text format of Prometheus.
fn text(result: Exit, at: i64) -> String {
    let result = result.code();
    format!(
        "# HELP chom_deployment_last_result Exit code of the last run that changed this host: 0 done, 4 put back, 5 mixed.\n\
         # TYPE chom_deployment_last_result gauge\n\
         chom_deployment_last_result {result}\n\
         # HELP chom_deployment_last_timestamp_seconds When that run ended, in seconds since 1970.\n\
         # TYPE chom_deployment_last_timestamp_seconds gauge\n\
         chom_deployment_last_timestamp_seconds {at}\n"
    )
}

fn backup_text(at: i64) -> String {
    format!(
        "# HELP chom_backup_last_success_timestamp_seconds When the last good backup was made, in seconds since 1970.\n\
         # TYPE chom_backup_last_success_timestamp_seconds gauge\n\
         chom_backup_last_success_timestamp_seconds {at}\n"
    )
}

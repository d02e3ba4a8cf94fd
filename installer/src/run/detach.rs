//! An installation that goes on when the connection that asked for it is cut: a unit of systemd, named after its
//! transaction, does it, and says what it does into the state directory.
//!
//! The asking process has verified the bundle, shown the plan and been agreed with; the unit does it all again,
//! for it trusts nobody. What it cannot know, the word and the connection, it finds in a ticket that root alone
//! can read. The ticket is good once.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::install::Install;
use super::session::{this_program, who};
use super::window::fresh;
use super::{RunError, Session};
use crate::caller::Caller;
use crate::engine::keep_program;
use crate::nonce::Nonce;
use crate::open::Source as BundleSource;
use crate::resource::private;
use crate::run::Outcome;
use crate::sys::{Command, Effect, Source, Sys as _, SysError, bytes_of};
use crate::transaction::Hold;

/// What the unit is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ticket {
    format: u32,
    id: u64,
    nonce: String,
    /// Who asked, and from where.
    pub(super) by: String,
    /// `SSH_CONNECTION` of whoever asked.
    pub(super) connection: Option<String>,
}

/// The unit that goes on with an installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Detached {
    /// The transaction that it will be.
    pub transaction: u64,
    /// The word by which it is to be confirmed, if it comes to that.
    pub nonce: String,
    /// The unit.
    pub unit: String,
    /// The command that tells how far it is.
    pub status: String,
    /// The command that confirms, once it is exposed.
    pub confirm: String,
}

impl Ticket {
    /// Takes the ticket of this transaction. An error when there is none, or when another run was quicker.
    pub(super) fn redeem(session: &mut Session, id: u64) -> Result<Self, RunError> {
        let path = session.files.ticket(id)?;
        let text = bytes_of(&session.sys, &path)?.ok_or(RunError::NoTicket(id))?;
        if session.files.next_id(&session.sys)? != id {
            return Err(RunError::NoTicket(id));
        }
        let ticket: Self = serde_json::from_slice(&text)
            .map_err(|error| SysError::other("understand", &path, error.to_string()))?;
        session.sys.effect(&Effect::Remove { path: &path })?;
        if ticket.id == id { Ok(ticket) } else { Err(RunError::NoTicket(id)) }
    }

    /// The word by which it is to be confirmed.
    pub(super) fn nonce(&self) -> Result<Nonce, SysError> {
        self.nonce.parse().map_err(|error| SysError::other("understand", "the ticket", format!("{error}")))
    }
}

/// Starts the unit, and lets go of the host for it.
pub(super) fn start(
    asked: &Install,
    source: &BundleSource,
    session: &mut Session,
    hold: Hold,
) -> Result<Outcome, RunError> {
    let bundle = match source {
        BundleSource::Folder(path) | BundleSource::Tarball(path) => {
            std::path::absolute(path).map_err(SysError::io("find", path.display()))?
        }
        BundleSource::Stdin => return Err(RunError::CannotDetach),
    };
    let id = session.files.next_id(&session.sys)?;
    let nonce = fresh()?;
    let ticket = Ticket {
        format: 1,
        id,
        nonce: nonce.to_string(),
        by: who(),
        connection: Caller::of_this_process().connection,
    };
    write(session, &ticket)?;
    let program = session.files.program()?;
    if let Some(bytes) = this_program() {
        keep_program(&mut session.sys, &program, &bytes)?;
    }
    let unit = format!("chom-install-{id:06}.service");
    let command = command(asked, &bundle, id, &unit, session.files.said(id)?.as_str())?;
    drop(hold);
    let output = session.sys.effect(&Effect::Run(&command))?;
    if !output.success() {
        let (command, code, complaint) = (command.argv.join(" "), output.code, output.complaint());
        return Err(SysError::Failed { command, code, complaint }.into());
    }
    Ok(Outcome::detached(Detached {
        transaction: id,
        status: format!("{program} status --transaction {id}"),
        confirm: format!("{program} confirm {id} --nonce {nonce}"),
        nonce: nonce.to_string(),
        unit,
    }))
}

fn write(session: &mut Session, ticket: &Ticket) -> Result<(), RunError> {
    let dir = session.files.detached()?;
    if session.sys.meta(&dir)?.is_none() {
        session.sys.effect(&Effect::MakeDir { path: &dir, attrs: &private(0o700) })?;
    }
    let path = session.files.ticket(ticket.id)?;
    let bytes =
        serde_json::to_vec(ticket).map_err(|error| SysError::other("write", &path, error.to_string()))?;
    let source = Source::Bytes(&bytes);
    session.sys.effect(&Effect::Write { path: &path, source, attrs: &private(0o600) })?;
    Ok(())
}

// A stop of the unit is for the installer alone, which then puts all back: what it runs must not be ended under it.
fn command(asked: &Install, bundle: &Path, id: u64, unit: &str, said: &str) -> Result<Command, SysError> {
    let mut argv: Vec<String> = ["systemd-run", "--quiet", "--collect"].map(str::to_owned).to_vec();
    argv.push(format!("--unit={unit}"));
    argv.push(format!("--description=Installs transaction {id}"));
    for property in ["Type=exec", "KillMode=mixed", "TimeoutStopSec=900", "SuccessExitStatus=7", "UMask=0077"]
    {
        argv.push(format!("--property={property}"));
    }
    argv.push(format!("--property=StandardOutput=truncate:{said}"));
    argv.extend(["--".to_owned(), own()?.display().to_string(), "install".to_owned()]);
    argv.extend(["--yes", "--json", "--ticket"].map(str::to_owned));
    argv.extend([id.to_string(), "--bundle".to_owned(), bundle.display().to_string()]);
    argv.extend(asked.any_host.then(|| "--any-host".to_owned()));
    argv.extend(asked.accepted.iter().map(|step| format!("--accept={step}")));
    argv.extend(asked.confirming.skip.then(|| "--no-confirm".to_owned()));
    argv.push(format!("--confirm-within={}", asked.confirming.within.as_secs()));
    argv.extend(asked.fail_at.as_ref().map(|at| format!("--fail-at={at}")));
    argv.extend(asked.interrupt_at.as_ref().map(|at| format!("--interrupt-at={at}")));
    Ok(Command::new(argv).timeout(Duration::from_secs(30)))
}

fn own() -> Result<std::path::PathBuf, SysError> {
    std::env::current_exe().map_err(SysError::io("find", "this program"))
}

impl fmt::Display for Detached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transaction, nonce, unit, status, confirm } = self;
        writeln!(f, "transaction {transaction}, word {nonce}: {unit} goes on by itself")?;
        writeln!(f, "how far it is: {status}")?;
        writeln!(f, "once it waits for that, over a new connection: {confirm}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_told_all_that_was_asked_and_no_word() {
        let asked = Install {
            any_host: true,
            accepted: vec!["a/b".parse().unwrap()],
            fail_at: Some("check".parse().unwrap()),
            ..Install::default()
        };
        let unit = "chom-install-000007.service";
        let command =
            command(&asked, Path::new("/srv/a bundle"), 7, unit, "/var/lib/chom/detached/7").unwrap();
        let line = command.argv.join(" ");
        assert!(
            line.starts_with("systemd-run --quiet --collect --unit=chom-install-000007.service "),
            "{line}"
        );
        assert!(
            line.ends_with(
                " install --yes --json --ticket 7 --bundle /srv/a bundle --any-host --accept=a/b \
                 --confirm-within=120 --fail-at=check"
            ),
            "{line}"
        );
        assert!(!line.contains("nonce"));
    }
}

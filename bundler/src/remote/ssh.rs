//! One command on one host.

use std::io::{self, BufReader, Read, Write as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

use tempfile::NamedTempFile;

use super::error::CallError;
use super::shell::Courier;
use crate::child::{Child, ChildError, Running, answer};
use crate::resolve::Host;

const SSH: &str = "ssh";
/// From the start of ssh until a shell of the host has answered: jump hosts, a touch of a security key.
const ANSWER: Duration = Duration::from_secs(60);
/// The most that any answer of a host has.
const LONGEST_ANSWER: u64 = 16 << 20;
/// What ssh ends with when it is ssh itself that failed.
const SSH_FAILED: i32 = 255;

/// The way to a host.
pub struct Connection<'h> {
    host: &'h Host,
    options: Vec<String>,
    // ssh reads it when it runs.
    _known: Option<NamedTempFile>,
}

impl<'h> Connection<'h> {
    /// Prepares the options of ssh. A relative key is looked for below `beside`, the folder of the inventory.
    pub fn new(host: &'h Host, beside: &Path) -> io::Result<Self> {
        let mut options =
            ["BatchMode=yes", "ConnectTimeout=15", "LogLevel=ERROR"].map(str::to_owned).to_vec();
        // A link that is cut is noticed, and not waited for.
        options.extend(["ServerAliveInterval=5", "ServerAliveCountMax=4"].map(str::to_owned));
        options.push(format!("Port={}", host.ssh.port));
        if let Some(key) = &host.ssh.key {
            let plain = key.starts_with('~') || Path::new(key).is_absolute();
            let path = if plain { key.clone() } else { beside.join(key).display().to_string() };
            // ssh reads `%d` there; the inventory's form leaves out what cannot be escaped.
            options.push(format!("IdentityFile=\"{}\"", path.replace('%', "%%")));
        }
        let known = host.ssh.host_key.as_deref().map(|key| only_known(host, key)).transpose()?;
        if let Some(known) = &known {
            options.push(format!("UserKnownHostsFile=\"{}\"", known.path().display()));
            options.push("GlobalKnownHostsFile=/dev/null".to_owned());
            options.push("StrictHostKeyChecking=yes".to_owned());
            options.push(format!("HostKeyAlias={}", alias(host)));
        }
        Ok(Self { host, options, _known: known })
    }

    /// The same way by a connection of its own each time, whatever the user's configuration shares.
    #[must_use]
    pub fn fresh(mut self) -> Self {
        self.options.extend(["ControlMaster=no", "ControlPath=none"].map(str::to_owned));
        self
    }

    /// Runs a script of the POSIX shell on the host, with `input` on its standard input, and gives its output. Whatever
    /// is no POSIX shell over there is sent neither, and what a login shell prints by itself is no part of the output.
    pub fn run(
        &self,
        script: &str,
        input: impl Read + Send + 'static,
        timeout: Duration,
    ) -> Result<String, CallError> {
        let mut call = Call { courier: Courier::new(script), heard: String::new(), answered: false };
        let said = self.ssh(&call.courier.command()).converse(|running| call.hold(running, input, timeout));
        match said {
            Ok(Ok(said)) if call.answered => Ok(said),
            Ok(Ok(_)) => Err(CallError::NoShell { said: call.heard }),
            // What ended in its own way without an answer was reached, and is no shell.
            Err(ChildError::Failed { status, stderr, .. })
                if !call.answered && status.code() != Some(SSH_FAILED) =>
            {
                Err(CallError::NoShell { said: call.heard + &stderr })
            }
            // ssh gives up a connection by itself before that: somebody is there, and waits.
            Err(ChildError::TimedOut { stderr, .. }) if !call.answered => {
                Err(CallError::NoShell { said: call.heard + &stderr })
            }
            Ok(Err(error)) | Err(error) => Err(error.into()),
        }
    }

    fn ssh(&self, command: &str) -> Child {
        let options = self.options.iter().flat_map(|option| ["-o".to_owned(), option.clone()]);
        Child::new(SSH, ANSWER)
            .args(["-T", "-a", "-x"])
            .args(options)
            .args(["-l", &self.host.ssh.user, "--", &self.host.address.to_string()])
            .arg(command)
            .piped()
    }
}

struct Call {
    courier: Courier,
    // What the login shell has printed by itself.
    heard: String,
    answered: bool,
}

impl Call {
    fn hold(
        &mut self,
        running: Running<'_>,
        mut input: impl Read + Send + 'static,
        timeout: Duration,
    ) -> Result<String, ChildError> {
        let mut out = BufReader::new(&mut *running.out);
        let read = |source| ChildError::Read { program: SSH.to_owned(), source };
        self.answered = self.courier.answered(&mut out, &mut self.heard).map_err(read)?;
        let Some(mut pipe) = running.input.filter(|_| self.answered) else { return Ok(String::new()) };
        running.clock.allow(timeout);
        let script = self.courier.script().to_owned();
        // Beside the reader, so that neither side waits for the other for ever. A host that does not take all of it
        // says so by how its script ends.
        thread::spawn(move || {
            let _ = pipe.write_all(script.as_bytes()).and_then(|()| io::copy(&mut input, &mut pipe));
        });
        answer(&mut out, SSH, LONGEST_ANSWER)
    }
}

fn alias(host: &Host) -> String {
    format!("chom-{}", host.name)
}

fn only_known(host: &Host, key: &str) -> io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new()?;
    writeln!(file, "{} {key}", alias(host))?;
    file.flush()?;
    Ok(file)
}

pub(crate) fn quoted(script: &str) -> String {
    format!("'{}'", script.replace('\'', "'\\''"))
}

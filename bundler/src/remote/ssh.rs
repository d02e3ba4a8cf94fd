//! One command on one host.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use tempfile::NamedTempFile;

use crate::child::{Child, ChildError};
use crate::resolve::Host;

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
            options.push(format!("IdentityFile=\"{path}\""));
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

    /// Runs a script of the POSIX shell on the host, with `input` on its standard input, and gives its output.
    pub fn run(&self, script: &str, input: &[u8], timeout: Duration) -> Result<String, ChildError> {
        let started = |source| ChildError::Start { program: "ssh".to_owned(), source };
        self.run_file(script, file_of(input).map_err(started)?, timeout)
    }

    /// The same with a file as its standard input.
    pub fn run_file(&self, script: &str, input: File, timeout: Duration) -> Result<String, ChildError> {
        let options = self.options.iter().flat_map(|option| ["-o".to_owned(), option.clone()]);
        Child::new("ssh", timeout)
            .args(["-T", "-a", "-x"])
            .args(options)
            .args(["-l", &self.host.ssh.user, "--", &self.host.address.to_string()])
            // The account's own shell may be any; it only has to start this one.
            .arg(format!("exec sh -c {}", quoted(script)))
            .stdin(input)
            .output()
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

// A file and not a pipe: ssh may read it or leave it, and nobody waits for the other.
fn file_of(bytes: &[u8]) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

pub(crate) fn quoted(script: &str) -> String {
    format!("'{}'", script.replace('\'', "'\\''"))
}

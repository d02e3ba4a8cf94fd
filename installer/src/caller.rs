//! Who runs this program, and over what: an ssh connection, the terminal of the host, or nobody.
//!
//! A confirmation counts only when it proves that somebody can still get in. That is what this module decides,
//! from the processes above this one: `SSH_CONNECTION` names the connection (sudo takes the variable away, so
//! every ancestor is asked), and the age of the sshd process that carries it tells whether it was made before or
//! after the firewall was changed. A connection that several sessions share is one process of sshd and one line
//! of `SSH_CONNECTION`: it is as old as its first session, and the kernel goes on letting its packets through.

use std::io::{self, IsTerminal as _};

use crate::journal::{BootTime, Exposure};
use crate::sys::proc;

const MOST_ANCESTORS: usize = 32;
/// What the kernel counts the start of a process in, for programs: 100 a second on every processor.
const TICK_MS: u64 = 10;

/// Who runs this program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// `SSH_CONNECTION`: the client's address and port, the host's address and port.
    pub connection: Option<String>,
    /// How long the sshd process of that connection has been there, in milliseconds.
    pub age_ms: Option<u64>,
    /// Somebody is there to read and to answer.
    pub terminal: bool,
}

/// Why a confirmation proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Proofless {
    /// A cron job, a unit, a program on the host.
    #[error("it came neither over ssh nor from a terminal of the host")]
    Nobody,
    /// The connection of the run itself, or one that shares it.
    #[error("it came over the connection of the installation itself ({0}), which no firewall cuts any more")]
    Shared(String),
    /// A connection that was there before.
    #[error("it came over a connection that was made before the firewall was changed ({0})")]
    Old(String),
    /// From the host to itself.
    #[error("it came from the host itself ({0}), past the firewall")]
    Loop(String),
    /// A session that has outlived its connection, such as one of tmux.
    #[error("the session ({0}) has no ssh connection of its own")]
    Detached(String),
}

impl Caller {
    /// Looks at this process and those above it.
    pub fn of_this_process() -> Self {
        let terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
        let chain = chain();
        let connection = chain.iter().find_map(|process| process.connection.clone());
        let own = chain.first().map_or(0, |process| process.start);
        let carrier = chain.iter().skip(1).find(|process| is_sshd(&process.name));
        let age_ms = carrier.map(|sshd| own.saturating_sub(sshd.start) * TICK_MS);
        Self { connection, age_ms, terminal }
    }

    /// Whether this one can tell that the host is still within reach, now that it is exposed.
    pub fn proves(&self, exposure: &Exposure, now: &BootTime) -> Result<(), Proofless> {
        let Some(connection) = &self.connection else {
            return if self.terminal { Ok(()) } else { Err(Proofless::Nobody) };
        };
        if exposure.connection.as_ref() == Some(connection) {
            return Err(Proofless::Shared(connection.clone()));
        }
        let words: Vec<&str> = connection.split_whitespace().collect();
        if words.first() == words.get(2) {
            return Err(Proofless::Loop(connection.clone()));
        }
        match self.age_ms {
            None => Err(Proofless::Detached(connection.clone())),
            Some(age) if age >= now.ms.saturating_sub(exposure.at_ms) => {
                Err(Proofless::Old(connection.clone()))
            }
            Some(_) => Ok(()),
        }
    }
}

// `sshd` on Debian 12, `sshd-session` from OpenSSH 9.8 on.
fn is_sshd(name: &str) -> bool {
    name.starts_with("sshd") || name == "dropbear"
}

/// One process on the way up.
struct Process {
    name: String,
    /// In ticks since the boot.
    start: u64,
    connection: Option<String>,
}

// Processes that cannot be read end the chain: they are not ours to know.
fn chain() -> Vec<Process> {
    let mut pid = std::process::id().to_string();
    let mut chain = Vec::new();
    while chain.len() < MOST_ANCESTORS {
        let Ok(stat) = proc::bytes(&format!("{pid}/stat")) else { break };
        let Some((name, parent, start)) = parse(&String::from_utf8_lossy(&stat)) else { break };
        let environment = proc::bytes(&format!("{pid}/environ")).unwrap_or_default();
        let connection = connection(&String::from_utf8_lossy(&environment));
        chain.push(Process { name, start, connection });
        if parent == "0" {
            break;
        }
        pid = parent;
    }
    chain
}

fn connection(environment: &str) -> Option<String> {
    environment.split('\0').find_map(|variable| variable.strip_prefix("SSH_CONNECTION=")).map(str::to_owned)
}

// `123 (a name) S 1 ...`: the parent is the 4th field, the start the 22nd; a name may hold anything.
fn parse(stat: &str) -> Option<(String, String, u64)> {
    let (head, rest) = stat.rsplit_once(')')?;
    let name = head.split_once('(')?.1.to_owned();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    Some((name, (*fields.get(1)?).to_owned(), fields.get(19)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use chom_format::Digest;

    use super::*;

    const INSTALL: &str = "192.0.2.7 50112 192.0.2.10 22";
    const OTHER: &str = "192.0.2.7 50114 192.0.2.10 22";

    fn told(connection: Option<&str>, age_ms: Option<u64>, terminal: bool) -> Result<(), Proofless> {
        let exposure = Exposure {
            boot_id: String::new(),
            at_ms: 100_000,
            deadline_ms: 220_000,
            until: String::new(),
            nonce: Digest::of(b""),
            connection: Some(INSTALL.to_owned()),
        };
        let caller = Caller { connection: connection.map(str::to_owned), age_ms, terminal };
        caller.proves(&exposure, &BootTime { boot_id: String::new(), ms: 130_000 })
    }

    #[test]
    fn only_a_way_in_that_was_tried_since_proves_anything() {
        assert_eq!(told(Some(OTHER), Some(2_000), false), Ok(()));
        assert_eq!(told(None, None, true), Ok(()), "the terminal of the host");
        assert_eq!(told(None, None, false), Err(Proofless::Nobody));
        assert_eq!(told(Some(INSTALL), Some(2_000), true), Err(Proofless::Shared(INSTALL.to_owned())));
        assert_eq!(told(Some(OTHER), Some(30_000), true), Err(Proofless::Old(OTHER.to_owned())));
        assert_eq!(told(Some(OTHER), None, true), Err(Proofless::Detached(OTHER.to_owned())));
        for own in ["127.0.0.1 40000 127.0.0.1 22", "::1 40000 ::1 22", "192.0.2.10 4 192.0.2.10 22"] {
            assert_eq!(told(Some(own), Some(10), false), Err(Proofless::Loop(own.to_owned())));
        }
    }

    #[test]
    fn a_process_tells_its_name_parent_and_start() {
        let rest = (5..=30).map(|field| field.to_string()).collect::<Vec<_>>().join(" ");
        let stat = format!("812 (sshd-session) S 790 {rest}");
        assert_eq!(parse(&stat), Some(("sshd-session".to_owned(), "790".to_owned(), 22)));
        assert_eq!(parse(&format!("1 (a) b (c) R 0 {rest}")).unwrap().0, "a) b (c");
        assert_eq!(parse("no process"), None);
    }

    #[test]
    fn this_process_is_younger_than_none_of_its_parents() {
        let chain = chain();
        assert!(chain.len() > 1 && chain.windows(2).all(|pair| pair[0].start >= pair[1].start));
        assert_eq!(connection("A=b\0SSH_CONNECTION=1 2 3 4\0"), Some("1 2 3 4".to_owned()));
    }
}

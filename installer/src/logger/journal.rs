//! systemd's journal in its own protocol: one datagram an entry, fields as `NAME=value` or, where a value has lines,
//! with its length. Nothing waits for it: a journal that stands still must not hold up a way back.

use std::io;
use std::os::unix::net::UnixDatagram;

use log::Level;

const SOCKET: &str = "/run/systemd/journal/socket";
const IDENTIFIER: &str = "chom-install";
/// Larger entries would need a file of their own; what is said to a person is shorter.
const LONGEST: usize = 32 << 10;

/// A socket to whoever listens.
pub(super) struct Journal(UnixDatagram);

impl Journal {
    /// One that never waits.
    pub(super) fn open() -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// Sends an entry. An error means that it is lost: no journal is there, or it is busy.
    pub(super) fn send(&self, level: Level, transaction: Option<u64>, message: &str) -> io::Result<()> {
        self.0.send_to(&entry(level, transaction, message), SOCKET).map(|_| ())
    }
}

fn entry(level: Level, transaction: Option<u64>, message: &str) -> Vec<u8> {
    // As syslog numbers them.
    let priority = match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    let mut fields = format!("PRIORITY={priority}\nSYSLOG_IDENTIFIER={IDENTIFIER}\n").into_bytes();
    if let Some(id) = transaction {
        fields.extend(format!("CHOM_TRANSACTION={id}\n").into_bytes());
    }
    let message = message.get(..message.floor_char_boundary(LONGEST)).unwrap_or_default();
    fields.extend(b"MESSAGE\n");
    fields.extend((message.len() as u64).to_le_bytes());
    fields.extend(message.as_bytes());
    fields.push(b'\n');
    fields
}

/// Whether stderr is the journal already, as systemd tells those that it starts.
pub(super) fn is_stderr() -> bool {
    let told = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let about = nix::sys::stat::fstat(io::stderr());
    about.is_ok_and(|about| told == format!("{}:{}", about.st_dev, about.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_its_fields_and_no_message_makes_others() {
        let got = entry(Level::Warn, Some(7), "two\nPRIORITY=0");
        let head = "PRIORITY=4\nSYSLOG_IDENTIFIER=chom-install\nCHOM_TRANSACTION=7\nMESSAGE\n".as_bytes();
        assert_eq!(got, [head, &[14, 0, 0, 0, 0, 0, 0, 0], b"two\nPRIORITY=0\n"].concat());
        assert!(!String::from_utf8_lossy(&entry(Level::Info, None, "x")).contains("CHOM_TRANSACTION"));
        assert!(entry(Level::Info, None, &"ä".repeat(LONGEST)).len() < LONGEST + 100);
    }
}

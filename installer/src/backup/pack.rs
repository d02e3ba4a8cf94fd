//! From a part to its file: read, counted, squeezed, sealed and counted again, in one pass and constant memory.

use std::cell::Cell;
use std::io::{self, Write};

use chom_format::backup::{BackupPart, Recipient};
use chom_format::digest::Hasher;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::age::{FileKey, Sealer};
use super::label::{Sum, is_squeezed};
use super::source::{self, Measured};
use crate::sys::{Make, Sys, SysError, interrupt};

/// Makes the file of one part.
#[derive(Debug)]
pub(super) struct Packing<'a> {
    /// Which.
    pub part: &'a BackupPart,
    /// As it was measured.
    pub measured: &'a Measured,
    /// For whom; nobody in particular when it is empty.
    pub recipients: &'a [Recipient],
    /// The key of this file.
    pub key: &'a FileKey,
    /// The sums in clear and as stored, of the last time that it was made.
    pub sums: Cell<Option<(Sum, Sum)>>,
}

impl Make for Packing<'_> {
    fn make(&self, sys: &dyn Sys, out: &mut dyn Write) -> Result<(), SysError> {
        self.sums.set(None);
        let made = self.squeeze(sys, Hasher::new(out));
        // A signal ends the writing from within: it is told as what it is.
        interrupt::check()?;
        let (clear, stored) = made?;
        self.sums.set(Some((clear, stored)));
        Ok(())
    }
}

impl Packing<'_> {
    fn squeeze<W: Write>(&self, sys: &dyn Sys, out: Hasher<W>) -> Result<(Sum, Sum), SysError> {
        let io = |error| SysError::io("write", &self.part.name)(error);
        let (clear, out) = if self.recipients.is_empty() {
            self.read(sys, out)?
        } else {
            let sealer = Sealer::new(out, self.key, self.recipients).map_err(io)?;
            let (clear, sealer) = self.read(sys, sealer)?;
            (clear, sealer.finish().map_err(io)?)
        };
        let (sha256, size, mut out) = out.finish();
        out.flush().map_err(io)?;
        Ok((clear, Sum { sha256, size }))
    }

    fn read<W: Write>(&self, sys: &dyn Sys, out: W) -> Result<(Sum, W), SysError> {
        if !is_squeezed(&self.part.source) {
            return self.count(sys, out);
        }
        let (sum, gzip) = self.count(sys, GzEncoder::new(out, Compression::default()))?;
        Ok((sum, gzip.finish().map_err(SysError::io("write", &self.part.name))?))
    }

    fn count<W: Write>(&self, sys: &dyn Sys, out: W) -> Result<(Sum, W), SysError> {
        let mut limited = Limited { out: Hasher::new(out), left: self.part.limit };
        source::read(sys, self.part, self.measured, &mut limited)?;
        let (sha256, size, out) = limited.out.finish();
        Ok((Sum { sha256, size }, out))
    }
}

/// Takes no more than a part's limit, and nothing once a signal has come.
struct Limited<W> {
    out: Hasher<W>,
    left: u64,
}

impl<W: Write> Write for Limited<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if interrupt::pending().is_some() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if bytes.len() as u64 > self.left {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than its limit"));
        }
        let count = self.out.write(bytes)?;
        self.left -= count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

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
    // The layers are told apart by what they are made for and not by their types: one copy of each is enough.
    fn squeeze(&self, sys: &dyn Sys, mut out: Hasher<&mut dyn Write>) -> Result<(Sum, Sum), SysError> {
        let io = |error| SysError::io("write", &self.part.name)(error);
        let clear = if self.recipients.is_empty() {
            self.read(sys, &mut out)?
        } else {
            let mut sealer =
                Sealer::new(&mut out as &mut dyn Write, self.key, self.recipients).map_err(io)?;
            let clear = self.read(sys, &mut sealer)?;
            sealer.finish().map_err(io)?;
            clear
        };
        let (sha256, size, out) = out.finish();
        out.flush().map_err(io)?;
        Ok((clear, Sum { sha256, size }))
    }

    fn read(&self, sys: &dyn Sys, out: &mut dyn Write) -> Result<Sum, SysError> {
        if !is_squeezed(&self.part.source) {
            return self.count(sys, out);
        }
        let mut gzip = GzEncoder::new(out, Compression::default());
        let sum = self.count(sys, &mut gzip)?;
        gzip.finish().map_err(SysError::io("write", &self.part.name))?;
        Ok(sum)
    }

    fn count(&self, sys: &dyn Sys, out: &mut dyn Write) -> Result<Sum, SysError> {
        let mut limited = Limited { out: Hasher::new(out), left: self.part.limit };
        source::read(sys, self.part, self.measured, &mut limited)?;
        let (sha256, size, _) = limited.out.finish();
        Ok(Sum { sha256, size })
    }
}

/// Takes no more than a part's limit, and nothing once a signal has come.
struct Limited<'a> {
    out: Hasher<&'a mut dyn Write>,
    left: u64,
}

impl Write for Limited<'_> {
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

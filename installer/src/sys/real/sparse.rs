//! Writing a file without its zeros.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};

/// Fewer zeros than this are written.
const HOLE: usize = 4 << 10;

/// A file that leaves out what is nothing but zeros, as sparse files do: a database of ten gigabytes of holes
/// must not fill the disk when it is saved, nor when it comes back.
pub(super) struct Sparse<'a> {
    file: &'a mut File,
    length: u64,
}

impl<'a> Sparse<'a> {
    /// Writes from the beginning of an empty file.
    pub(super) fn new(file: &'a mut File) -> Self {
        Self { file, length: 0 }
    }

    /// Gives the file its whole length, which may end in a hole.
    pub(super) fn end(self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.flush()
    }
}

impl io::Write for Sparse<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // One run at a time: what is left comes again.
        let is_hole = |block: &&[u8]| block.len() == HOLE && block.iter().all(|byte| *byte == 0);
        let holes = bytes.chunks(HOLE).take_while(is_hole).count() * HOLE;
        let count = if holes > 0 {
            self.file.seek(SeekFrom::Current(i64::try_from(holes).unwrap_or(0)))?;
            holes
        } else {
            let blocks = bytes.chunks(HOLE).take_while(|block| !is_hole(block));
            let (run, _) = bytes.split_at(blocks.map(<[u8]>::len).sum());
            self.file.write(run)?
        };
        self.length += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

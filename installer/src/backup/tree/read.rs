//! Reads a tree and trusts nothing in it.

use std::collections::BTreeSet;
use std::io::{self, Read};

use chom_format::HostPath;

use super::entry::{Entry, Is};
use super::{BLOCK, header, padding};

/// Why a tree is not one of ours.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// Its form is not the writer's.
    #[error("entry {number} ({after}) is {what}")]
    Form {
        /// Counted from 1.
        number: u64,
        /// The path before it.
        after: String,
        /// In which respect.
        what: &'static str,
    },
}

/// A reader of one tree. It is whole only when `next_entry` has given none.
pub struct Reader<'a> {
    input: Box<dyn Read + 'a>,
    seen: BTreeSet<HostPath>,
    dirs: BTreeSet<HostPath>,
    roots: Vec<HostPath>,
    number: u64,
    offset: u64,
    /// Content and padding of the entry before that were not read yet.
    left: u64,
    padding: usize,
    last: String,
}

impl<'a> Reader<'a> {
    /// A tree of which nothing lies outside these paths.
    pub fn new(input: Box<dyn Read + 'a>, roots: &[HostPath]) -> Self {
        let (seen, dirs, last) = (BTreeSet::new(), BTreeSet::new(), "the first".to_owned());
        Self { input, seen, dirs, roots: roots.to_vec(), number: 0, offset: 0, left: 0, padding: 0, last }
    }

    /// The next path with the place of its content in the tar, or none at the proper end.
    pub fn next_entry(&mut self) -> Result<Option<(Entry, u64)>, TreeError> {
        io::copy(&mut Content(self), &mut io::sink())?;
        let mut zeros = vec![0; self.padding];
        self.exact(&mut zeros)?;
        self.number += 1;
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(self.form("behind padding that is not zero"));
        }
        let Some((entry, bytes)) = self.header()? else { return self.end().map(|()| None) };
        if header::encode(&entry) != bytes {
            return Err(self.form("not in the form that is written here"));
        }
        self.place(&entry)?;
        self.left = entry.size();
        self.padding = padding(entry.size());
        self.last = format!("{}", entry.path);
        Ok(Some((entry, self.offset)))
    }

    /// The content of the entry that came last.
    pub fn content(&mut self) -> impl Read + use<'_, 'a> {
        Content(self)
    }

    fn header(&mut self) -> Result<Option<(Entry, Vec<u8>)>, TreeError> {
        let mut block = [0; BLOCK];
        self.exact(&mut block)?;
        if block == [0; BLOCK] {
            return Ok(None);
        }
        let mut bytes = block.to_vec();
        let mut records = Default::default();
        if let Some(length) = header::announces(&block) {
            if length > header::LONGEST {
                return Err(self.form("longer than any name and attribute"));
            }
            let mut payload = vec![0; usize::try_from(length).unwrap_or(0) + padding(length)];
            self.exact(&mut payload)?;
            let said = payload.get(..usize::try_from(length).unwrap_or(0)).unwrap_or_default();
            records = header::parse_records(said).ok_or_else(|| self.form("not readable"))?;
            self.exact(&mut block)?;
            bytes.extend(payload);
            bytes.extend(block);
        }
        let entry = header::parse(&block, &records).ok_or_else(|| self.form("not readable"))?;
        Ok(Some((entry, bytes)))
    }

    fn place(&mut self, entry: &Entry) -> Result<(), TreeError> {
        let path = &entry.path;
        if !self.roots.iter().any(|root| path.is_within(root)) {
            return Err(self.form("outside of what the part is made of"));
        }
        let in_dir = || path.parent().is_some_and(|dir| self.dirs.contains(&dir));
        if !self.roots.contains(path) && !in_dir() {
            return Err(self.form("not in a directory that came before"));
        }
        if !self.seen.insert(path.clone()) {
            return Err(self.form("there a second time"));
        }
        if entry.is == Is::Dir {
            self.dirs.insert(path.clone());
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), TreeError> {
        let mut block = [0; BLOCK];
        self.exact(&mut block)?;
        if block != [0; BLOCK] || self.input.read(&mut [0])? != 0 {
            return Err(self.form("behind the end"));
        }
        Ok(())
    }

    fn exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.input.read_exact(bytes)?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn form(&self, what: &'static str) -> TreeError {
        TreeError::Form { number: self.number, after: format!("after {}", self.last), what }
    }
}

struct Content<'a, 'b>(&'a mut Reader<'b>);

impl Read for Content<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.0.left).unwrap_or(usize::MAX).min(out.len());
        let (out, _) = out.split_at_mut(most);
        if out.is_empty() {
            return Ok(0);
        }
        match self.0.input.read(out)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.0.left -= count as u64;
                self.0.offset += count as u64;
                Ok(count)
            }
        }
    }
}

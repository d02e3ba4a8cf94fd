//! Collects what is wanted from the entries of an archive, within limits, links followed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use chom_format::RelPath;

use super::error::UnpackError;
use super::{Kind, Member, Members, Want};
use crate::cache::Cache;

/// What no archive of a program exceeds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Entries.
    pub(crate) members: u64,
    /// Unpacked bytes.
    pub(crate) bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { members: 200_000, bytes: 8 << 30 }
    }
}

// Of all names together.
const LONGEST_NAMES: u64 = 64 << 20;
// A link to a link to a link; the kernel gives up at 40.
const LONGEST_CHAIN: usize = 40;

/// What an archive gave.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// The files that were wanted, by path in the archive.
    pub(crate) members: Members,
    /// What it does not have.
    pub(crate) absent: BTreeSet<Want>,
    /// Files elsewhere in it with the names of what it does not have.
    pub(crate) near: Vec<String>,
}

impl Collected {
    /// The members, or the error that names what is absent.
    pub(crate) fn whole(self) -> Result<Members, UnpackError> {
        if self.absent.is_empty() {
            return Ok(self.members);
        }
        let members = self.absent.iter().map(|want| want.path().to_string()).collect();
        Err(UnpackError::Missing { members, near: self.near })
    }
}

/// Sees every entry of an archive, and keeps the wanted ones.
pub(crate) struct Visitor<'a> {
    cache: &'a Cache,
    limits: Limits,
    seen: BTreeSet<RelPath>,
    // Of their names.
    named: u64,
    // Kept, and gone past in this walk.
    bytes: u64,
    passed: u64,
    wants: BTreeSet<Want>,
    files: Members,
    links: BTreeMap<RelPath, Option<RelPath>>,
    names: BTreeMap<String, Vec<RelPath>>,
}

/// Takes the wanted members out of an archive. `walk` shows all entries to a visitor; it is called again when
/// a link led to an entry that had passed by already.
pub(crate) fn collect(
    cache: &Cache,
    wants: &BTreeSet<Want>,
    limits: Limits,
    mut walk: impl FnMut(&mut Visitor<'_>) -> Result<(), UnpackError>,
) -> Result<Collected, UnpackError> {
    let mut visitor = Visitor {
        cache,
        limits,
        seen: BTreeSet::new(),
        named: 0,
        bytes: 0,
        passed: 0,
        wants: wants.clone(),
        files: Members::new(),
        links: BTreeMap::new(),
        names: BTreeMap::new(),
    };
    walk(&mut visitor)?;
    for _ in 0..LONGEST_CHAIN {
        let further = visitor.further(wants);
        if further.is_empty() {
            break;
        }
        visitor.again(further);
        walk(&mut visitor)?;
    }
    let collected = visitor.answer(wants);
    cache.settle()?;
    Ok(collected)
}

impl Visitor<'_> {
    /// Hears of the bytes that an entry has, before they are read or skipped.
    pub(super) fn passes(&mut self, bytes: u64) -> Result<(), UnpackError> {
        self.passed = self.passed.saturating_add(bytes);
        let limit = self.limits.bytes;
        if self.passed > limit { Err(UnpackError::TooMuch { what: "bytes", limit }) } else { Ok(()) }
    }

    /// Hears how many entries there are.
    pub(super) fn counts(&self, members: u64) -> Result<(), UnpackError> {
        let limit = self.limits.members;
        if members > limit { Err(UnpackError::TooMuch { what: "members", limit }) } else { Ok(()) }
    }

    /// Sees one entry; its bytes are read only when it is wanted.
    pub(super) fn visit(
        &mut self,
        path: RelPath,
        kind: Kind,
        body: &mut dyn Read,
    ) -> Result<(), UnpackError> {
        let wanted = self.wants.iter().any(|want| want.takes(&path));
        let file_name = path.name().to_owned();
        if !matches!(kind, Kind::Other) && !self.seen.insert(path.clone()) {
            return Err(UnpackError::Twice(path.to_string()));
        }
        self.counts(self.seen.len() as u64)?;
        self.named += path.as_str().len() as u64;
        if self.named > LONGEST_NAMES {
            return Err(UnpackError::TooMuch { what: "bytes of names", limit: LONGEST_NAMES });
        }
        match kind {
            Kind::File { executable } => {
                self.names.entry(file_name).or_default().push(path.clone());
                if wanted && !self.files.contains_key(&path) {
                    let member = self.keep(executable, body)?;
                    self.files.insert(path, member);
                }
            }
            Kind::Link(target) => {
                self.links.insert(path, target);
            }
            Kind::Other => {}
        }
        Ok(())
    }

    fn keep(&mut self, executable: bool, body: &mut dyn Read) -> Result<Member, UnpackError> {
        let left = self.limits.bytes.saturating_sub(self.bytes);
        let (sha256, size) = self.cache.insert_reader(body.take(left + 1))?;
        self.bytes += size;
        if size > left {
            return Err(UnpackError::TooMuch { what: "bytes", limit: self.limits.bytes });
        }
        Ok(Member { sha256, size, executable })
    }

    fn again(&mut self, wants: BTreeSet<Want>) {
        self.wants = wants;
        self.seen.clear();
        (self.named, self.passed) = (0, 0);
        self.names.clear();
    }

    // Files that wanted links lead to, and that were not kept when they passed by.
    fn further(&self, wants: &BTreeSet<Want>) -> BTreeSet<Want> {
        let mut further = BTreeSet::new();
        let mut look = |path: &RelPath| {
            if let Some(target) = self.resolve(path)
                && self.seen.contains(&target)
                && !self.files.contains_key(&target)
                && !self.links.contains_key(&target)
            {
                further.insert(Want::File(target));
            }
        };
        for want in wants {
            match want {
                Want::File(path) => look(path),
                Want::Tree(_) => self.links.keys().filter(|path| want.takes(path)).for_each(&mut look),
            }
        }
        further
    }

    // Follows links of the path itself and of the folders that it goes through.
    fn resolve(&self, path: &RelPath) -> Option<RelPath> {
        let mut path = path.clone();
        for _ in 0..LONGEST_CHAIN {
            let (link, rest) = prefixes(&path).find(|(prefix, _)| self.links.contains_key(prefix))?.clone();
            let target = self.links.get(&link)?.clone()?;
            path = match rest {
                Some(rest) => target.join(&rest),
                None => target,
            };
            if !prefixes(&path).any(|(prefix, _)| self.links.contains_key(&prefix)) {
                return Some(path);
            }
        }
        None
    }

    fn answer(&self, wants: &BTreeSet<Want>) -> Collected {
        let mut members = Members::new();
        let mut absent = BTreeSet::new();
        for want in wants {
            let before = members.len();
            match want {
                Want::File(path) => members.extend(self.find(path).map(|member| (path.clone(), member))),
                Want::Tree(_) => {
                    let paths = self.files.keys().chain(self.links.keys()).filter(|path| want.takes(path));
                    members.extend(paths.filter_map(|path| Some((path.clone(), self.find(path)?))));
                }
            }
            let known = match want {
                Want::File(path) => members.contains_key(path),
                Want::Tree(_) => members.len() > before,
            };
            if !known {
                absent.insert(want.clone());
            }
        }
        let near = absent.iter().filter_map(|want| self.names.get(want.path().name())).flatten();
        let near = near.take(5).map(ToString::to_string).collect();
        Collected { members, absent, near }
    }

    fn find(&self, path: &RelPath) -> Option<Member> {
        self.files.get(path).or_else(|| self.files.get(&self.resolve(path)?)).copied()
    }
}

impl Want {
    pub(super) fn path(&self) -> &RelPath {
        match self {
            Self::File(path) | Self::Tree(path) => path,
        }
    }

    pub(super) fn takes(&self, path: &RelPath) -> bool {
        match self {
            Self::File(wanted) => wanted == path,
            Self::Tree(folder) => {
                path.as_str().strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
            }
        }
    }
}

// `a/b/c` is `a` with `b/c`, `a/b` with `c`, and `a/b/c` with nothing behind it.
fn prefixes(path: &RelPath) -> impl Iterator<Item = (RelPath, Option<RelPath>)> {
    let text = path.as_str();
    let cuts = text.match_indices('/').map(|(at, _)| (text.get(..at), text.get(at + 1..)));
    cuts.chain([(Some(text), None)])
        .filter_map(|(prefix, rest)| Some((prefix?.parse().ok()?, rest.and_then(|rest| rest.parse().ok()))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unpack::walk_tar;

    enum Entry<'a> {
        File(&'a str, &'a str, u32),
        Link(&'a str, &'a str),
        Hard(&'a str, &'a str),
    }

    fn tar_of(entries: &[Entry<'_>]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for entry in entries {
            let mut header = tar::Header::new_gnu();
            let (name, body, mode) = match entry {
                Entry::File(name, body, mode) => (*name, *body, *mode),
                Entry::Link(name, _) | Entry::Hard(name, _) => (*name, "", 0o777),
            };
            header.set_size(body.len() as u64);
            header.set_mode(mode);
            match entry {
                Entry::File(..) => header.set_entry_type(tar::EntryType::Regular),
                Entry::Link(_, target) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_link_name_literal(target).unwrap();
                }
                Entry::Hard(_, target) => {
                    header.set_entry_type(tar::EntryType::Link);
                    header.set_link_name_literal(target).unwrap();
                }
            }
            // Set as raw bytes: the crate would refuse to write the names that a hostile archive has.
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, body.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn take(
        entries: &[Entry<'_>],
        wants: &[&str],
        limits: Limits,
    ) -> Result<Vec<(String, u64, bool)>, UnpackError> {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let bytes = tar_of(entries);
        let wants = wants.iter().map(|text| Want::parse(text).unwrap()).collect();
        let members = collect(&cache, &wants, limits, |visitor| walk_tar(&bytes[..], visitor))?.whole()?;
        Ok(members
            .into_iter()
            .map(|(path, member)| {
                assert_eq!(cache.size(&member.sha256), Some(member.size));
                (path.to_string(), member.size, member.executable)
            })
            .collect())
    }

    fn found(list: &[(&str, u64, bool)]) -> Vec<(String, u64, bool)> {
        list.iter().map(|(path, size, executable)| ((*path).to_owned(), *size, *executable)).collect()
    }

    #[test]
    fn files_and_folders() {
        let entries = [
            Entry::File("./usr/bin/p", "abc", 0o755),
            Entry::File("./usr/share/p/a", "a", 0o644),
            Entry::File("./usr/share/p/b/c", "cc", 0o644),
            Entry::File("./usr/share/px", "x", 0o644),
        ];
        let all = take(&entries, &["/usr/bin/p", "/usr/share/p/"], Limits::default()).unwrap();
        assert_eq!(
            all,
            found(&[("usr/bin/p", 3, true), ("usr/share/p/a", 1, false), ("usr/share/p/b/c", 2, false)])
        );
    }

    #[test]
    fn links_are_followed_forth_and_back() {
        let entries = [
            Entry::File("usr/lib/p/real", "abc", 0o755),
            Entry::Link("usr/bin/p", "../lib/p/real"),
            Entry::Link("usr/bin/q", "/usr/bin/p"),
            Entry::Link("bin", "usr/bin"),
            Entry::Hard("usr/bin/h", "usr/lib/p/real"),
        ];
        for want in ["usr/bin/p", "usr/bin/q", "bin/p", "bin/q", "usr/bin/h"] {
            assert_eq!(
                take(&entries, &[want], Limits::default()).unwrap(),
                found(&[(want, 3, true)]),
                "{want}"
            );
        }
        assert_eq!(take(&entries, &["usr/bin/"], Limits::default()).unwrap().len(), 3);
    }

    #[test]
    fn links_that_lead_out_or_round_in_circles_give_nothing() {
        let entries = [
            Entry::Link("out", "../../etc/shadow"),
            Entry::Link("a", "b"),
            Entry::Link("b", "a"),
            Entry::Link("dangling", "nowhere"),
        ];
        for want in ["out", "a", "dangling"] {
            let error = take(&entries, &[want], Limits::default()).unwrap_err();
            assert!(matches!(error, UnpackError::Missing { .. }), "{want}: {error}");
        }
    }

    #[test]
    fn hostile_archives_are_refused() {
        for name in ["/etc/passwd", "../x", "a/../../b"] {
            let entries = [Entry::File("good", "g", 0o644), Entry::File(name, "x", 0o644)];
            let error = take(&entries, &["good"], Limits::default()).unwrap_err();
            assert!(matches!(error, UnpackError::Hostile(_)), "{name}: {error}");
        }
        let twice = [Entry::File("a", "1", 0o644), Entry::File("./a", "2", 0o644)];
        assert!(matches!(take(&twice, &["a"], Limits::default()), Err(UnpackError::Twice(_))));
        let two = [Entry::File("a", "1234", 0o644), Entry::File("b", "5678", 0o644)];
        for (limits, what) in
            [(Limits { members: 1, bytes: 100 }, "members"), (Limits { members: 100, bytes: 7 }, "bytes")]
        {
            let error = take(&two, &["a", "b"], limits).unwrap_err();
            assert!(matches!(error, UnpackError::TooMuch { what: found, .. } if found == what), "{error}");
        }
        take(&two, &["a", "b"], Limits { members: 2, bytes: 8 }).unwrap();
    }

    #[test]
    fn what_is_missing_is_named_with_what_is_like_it() {
        let entries = [Entry::File("p-1.0.linux-amd64/p", "x", 0o755)];
        let error = take(&entries, &["p-2.0.linux-amd64/p"], Limits::default()).unwrap_err();
        assert_eq!(error.to_string(), "the archive has no p-2.0.linux-amd64/p; it has p-1.0.linux-amd64/p");
    }
}

//! A database, as SQL that makes it anew: equal texts are equal databases. A Redis as its dump, compared by a digest
//! over what it holds: keys that expire by themselves do not count.
//!
//! Its server must run for this, so nothing of it happens while the host comes up: the second half of a recovery does it.
//! What others have written since our step is kept in the attic, as SQL too.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use chom_format::backup::{MariadbSource, PostgresqlSource, RedisSource};
use chom_format::digest::Hasher;
use chom_format::{DatabaseName, Digest, HostPath};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kind::{Pass, Policy, ResourceKind, room_of_saved};
use super::store::{below, private};
use super::{Fingerprint, ResourceHandler, Restored, Saved, Store, from_value, to_value};
use crate::database::{finished, mariadb, postgresql, redis};
use crate::sys::{Command, Effect, Make, Source, Sys, SysError, TEMPORARY, named};

/// A large database takes its time, and nothing that runs is waiting for it.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// Which database, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Database {
    /// One of PostgreSQL.
    Postgresql(PostgresqlSource),
    /// Some of MariaDB; each is named.
    Mariadb(MariadbSource),
    /// All that a Redis holds.
    Redis(redis::Server),
}

pub(super) struct DatabaseResource<'a> {
    pub(super) database: &'a Database,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Before {
    /// The SQL of those that were there.
    object: Option<Digest>,
    /// Those that were there.
    there: Vec<DatabaseName>,
}

impl ResourceKind for DatabaseResource<'_> {
    fn words(&self) -> String {
        self.database.to_string()
    }

    fn policy(&self) -> Policy {
        Policy {
            pass: Pass::Paths,
            made_at_path: false,
            any_step_changes: false,
            services_stop: true,
            outlived_by_children: false,
            manager_reloads: false,
            keeps_what_others_made: false,
            asks_for_earlier: false,
        }
    }

    fn room_at(&self) -> Result<HostPath, SysError> {
        named("/var/lib")
    }

    fn room(&self, objects: &[u64]) -> u64 {
        room_of_saved(objects)
    }

    fn may_change(&self, _: &HostPath) -> bool {
        false
    }

    fn own_paths(&self) -> Vec<HostPath> {
        Vec::new()
    }

    fn files(&self, _: &dyn Sys) -> Result<Vec<HostPath>, SysError> {
        Ok(Vec::new())
    }
}

impl ResourceHandler for DatabaseResource<'_> {
    fn save(&self, sys: &mut dyn Sys, store: &Store) -> Result<Saved, SysError> {
        let there = self.there(sys)?;
        if there.is_empty() && !self.is_redis() {
            let state = to_value(&Before { object: None, there })?;
            return Ok(Saved { state, objects: Vec::new(), fingerprint: absent() });
        }
        let dumping = self.dumping(&there);
        let path = below(&store.objects, &format!("{TEMPORARY}database"))?;
        let source = Source::Made(&dumping);
        sys.effect(&Effect::Write { path: &path, source, attrs: &private(0o600) })?;
        let (object, mut fingerprint) = dumping.sums(&path)?;
        if let Database::Redis(server) = self.database {
            fingerprint = Fingerprint(server.content(sys)?);
        }
        let place = store.object(&object)?;
        if store.has(sys, &object)? {
            sys.effect(&Effect::Remove { path: &path })?;
        } else {
            // Damaged since another transaction has kept it.
            if sys.meta(&place)?.is_some() {
                sys.effect(&Effect::Remove { path: &place })?;
            }
            sys.effect(&Effect::Rename { from: &path, to: &place })?;
        }
        let state = to_value(&Before { object: Some(object), there })?;
        Ok(Saved { state, objects: vec![object], fingerprint })
    }

    fn fingerprint(&self, sys: &dyn Sys) -> Result<Fingerprint, SysError> {
        if let Database::Redis(server) = self.database {
            return server.content(sys).map(Fingerprint);
        }
        let there = self.there(sys)?;
        if there.is_empty() {
            return Ok(absent());
        }
        let dumping = self.dumping(&there);
        dumping.make(sys, &mut io::sink())?;
        let nowhere = HostPath::root();
        dumping.sums(&nowhere).map(|(_, fingerprint)| fingerprint)
    }

    fn after(&self, sys: &mut dyn Sys, _: &Store, _: &Saved) -> Result<Value, SysError> {
        to_value(&self.fingerprint(sys)?)
    }

    fn restore(
        &self,
        sys: &mut dyn Sys,
        store: &Store,
        saved: &Saved,
        after: Option<&Value>,
    ) -> Result<Restored, SysError> {
        let before: Before = saved.read()?;
        if let Database::Redis(server) = self.database {
            // Units were stopped before anything is put back; it is asked for what it holds, and stops again for that.
            // With files that were half exchanged it does not start: those are our own work.
            if server.start(sys).is_err() {
                self.make(sys, store, &before)?;
                return Ok(Restored::Restored);
            }
        }
        let now = self.fingerprint(sys)?;
        let kept = below(&store.attic, &self.database.file())?;
        if now != saved.fingerprint {
            let ours = match after {
                Some(after) => from_value::<Fingerprint>(after)? == now,
                None => true,
            };
            if !ours && sys.meta(&kept)?.is_none() {
                self.keep(sys, store, &kept)?;
            }
            self.make(sys, store, &before)?;
        }
        Ok(match sys.meta(&kept)? {
            Some(_) => Restored::Foreign { kept: vec![kept] },
            None if now == saved.fingerprint => Restored::AlreadyBefore,
            None => Restored::Restored,
        })
    }

    fn restore_early(
        &self,
        _: &mut dyn Sys,
        _: &Store,
        _: &Saved,
        _: Option<&Value>,
    ) -> Result<Option<Restored>, SysError> {
        Ok(None)
    }
}

impl DatabaseResource<'_> {
    fn there(&self, sys: &dyn Sys) -> Result<Vec<DatabaseName>, SysError> {
        match self.database {
            Database::Postgresql(source) => {
                let there = postgresql::exists(sys, source)?;
                Ok(there.then(|| source.database.clone()).into_iter().collect())
            }
            Database::Mariadb(source) => {
                let there = mariadb::databases(sys, source)?;
                Ok(source.databases.iter().filter(|name| there.contains(name)).cloned().collect())
            }
            Database::Redis(_) => Ok(Vec::new()),
        }
    }

    fn is_redis(&self) -> bool {
        matches!(self.database, Database::Redis(_))
    }

    fn dumping(&self, there: &[DatabaseName]) -> Dumping {
        let from = match self.database {
            Database::Postgresql(source) => From::Sql(postgresql::dump_sql(source).timeout(TIMEOUT)),
            Database::Mariadb(source) => From::Sql(mariadb::dump(source, there).timeout(TIMEOUT)),
            Database::Redis(server) => From::Redis(server.source.clone()),
        };
        Dumping { from, sums: Cell::new(None) }
    }

    /// What others have written since goes to the attic.
    fn keep(&self, sys: &mut dyn Sys, store: &Store, kept: &HostPath) -> Result<(), SysError> {
        let there = self.there(sys)?;
        if there.is_empty() && !self.is_redis() {
            return Ok(());
        }
        if sys.meta(&store.attic)?.is_none() {
            sys.effect(&Effect::MakeDir { path: &store.attic, attrs: &private(0o700) })?;
        }
        let dumping = self.dumping(&there);
        let source = Source::Made(&dumping);
        sys.effect(&Effect::Write { path: kept, source, attrs: &private(0o600) })?;
        Ok(())
    }

    /// Makes the databases what they were, and takes those away that were not there.
    fn make(&self, sys: &mut dyn Sys, store: &Store, before: &Before) -> Result<(), SysError> {
        if let Some(object) = &before.object {
            store.prove(sys, object)?;
        }
        let gone = match self.database {
            Database::Postgresql(source) => before.there.is_empty().then(|| postgresql::drop(source)),
            Database::Mariadb(source) => {
                let new: Vec<_> =
                    source.databases.iter().filter(|name| !before.there.contains(name)).cloned().collect();
                (!new.is_empty()).then(|| mariadb::drop(source, &new))
            }
            Database::Redis(_) => None,
        };
        let Some(object) = before.object else { return gone.map_or(Ok(()), |command| run(sys, command)) };
        gone.map_or(Ok(()), |command| run(sys, command))?;
        let command = match self.database {
            Database::Postgresql(source) => postgresql::run_sql(source),
            Database::Mariadb(source) => mariadb::run_sql(source),
            Database::Redis(server) => return server.exchange(sys, &store.object(&object)?, object),
        };
        run(sys, Command { stdin_from: Some(store.object(&object)?), ..command })
    }
}

impl Database {
    /// What its dump is called in the attic.
    fn file(&self) -> String {
        match self {
            Self::Postgresql(source) => format!("postgresql-{}.sql", source.database),
            Self::Mariadb(source) => {
                let names: Vec<&str> = source.databases.iter().map(DatabaseName::as_str).collect();
                format!("mariadb-{}.sql", Digest::of(names.join(" ").as_bytes()).short())
            }
            Self::Redis(server) => format!("redis-{}.rdb", server.source.port),
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgresql(source) => write!(f, "the database {} of PostgreSQL", source.database),
            Self::Mariadb(source) => {
                let names: Vec<&str> = source.databases.iter().map(DatabaseName::as_str).collect();
                write!(f, "the databases {} of MariaDB", names.join(", "))
            }
            Self::Redis(server) => write!(f, "what {} holds", server.source.unit),
        }
    }
}

fn run(sys: &mut dyn Sys, command: Command) -> Result<(), SysError> {
    let command = command.timeout(TIMEOUT);
    let output = sys.effect(&Effect::Run(&command))?;
    finished(&command, output)
}

fn absent() -> Fingerprint {
    Fingerprint(Digest::of(b"no database"))
}

/// Writes a dump, and what tells it from others.
#[derive(Debug)]
struct Dumping {
    from: From,
    sums: Cell<Option<(Digest, Digest)>>,
}

/// What a dump is read from.
#[derive(Debug)]
enum From {
    Sql(Command),
    Redis(RedisSource),
}

impl Dumping {
    fn sums(&self, path: &HostPath) -> Result<(Digest, Fingerprint), SysError> {
        let sums = self.sums.get().ok_or_else(|| SysError::other("write", path, "it was not"))?;
        Ok((sums.0, Fingerprint(sums.1)))
    }
}

impl Make for Dumping {
    fn make(&self, sys: &dyn Sys, out: &mut dyn Write) -> Result<(), SysError> {
        self.sums.set(None);
        let mut lines =
            Lines { out: Hasher::new(out), quiet: Hasher::new(io::sink()), line: Vec::new(), inside: false };
        match &self.from {
            From::Sql(command) => finished(command, sys.stream(command, &mut lines)?)?,
            From::Redis(source) => redis::read(sys, source, TIMEOUT, &mut lines)?,
        }
        let (object, content) = lines.finish().map_err(SysError::io("write", "a dump"))?;
        self.sums.set(Some((object, content)));
        Ok(())
    }
}

/// Hands everything on, and hashes what is the same in every dump of one state.
struct Lines<W> {
    out: Hasher<W>,
    quiet: Hasher<io::Sink>,
    /// The beginning of a line, as far as it is needed to know it.
    line: Vec<u8>,
    /// The beginning of this line is known and gone.
    inside: bool,
}

// Longer than what makes a line noise.
const BEGINNING: usize = 32;

impl<W: Write> Lines<W> {
    fn end_of_line(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        if postgresql::is_noise(&line) { Ok(()) } else { self.quiet.write_all(&line) }
    }

    fn finish(mut self) -> io::Result<(Digest, Digest)> {
        self.end_of_line()?;
        Ok((self.out.finish().0, self.quiet.finish().0))
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_all(bytes)?;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let ends = piece.ends_with(b"\n");
            if self.inside {
                self.quiet.write_all(piece)?;
            } else {
                self.line.extend_from_slice(piece);
                // A row may be a gigabyte long: what is no noise by now is not kept until it ends.
                let is_other = self.line.len() > BEGINNING && !postgresql::is_noise(&self.line);
                if ends || is_other {
                    self.end_of_line()?;
                }
            }
            self.inside = !ends && self.line.is_empty();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hashed(pieces: &[&[u8]]) -> (Digest, Digest) {
        let quiet = Hasher::new(io::sink());
        let mut lines = Lines { out: Hasher::new(io::sink()), quiet, line: Vec::new(), inside: false };
        pieces.iter().for_each(|piece| lines.write_all(piece).unwrap());
        lines.finish().unwrap()
    }

    proptest! {
        #[test]
        fn the_key_of_a_dump_does_not_count_and_all_else_does(
            rows in prop::collection::vec("[a-z \\\\]{0,60}\n", 0..6), keys in ("[a-z]{9}", "[a-z]{50}"),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        ) {
            let (first, second) = keys;
            let body = rows.concat();
            let text = |key: &str| format!("\\restrict {key}\n{body}\\unrestrict {key}\n").into_bytes();
            let whole = text(&first);
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len())).collect();
            at.extend([0, whole.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &whole[pair[0]..pair[1]]).collect();
            let (object, content) = hashed(&pieces);
            prop_assert_eq!(object, Digest::of(&whole));
            prop_assert_eq!(content, hashed(&[&text(&second)]).1);
            prop_assert_ne!(content, hashed(&[&whole, b"x"]).1);
        }
    }

    #[test]
    fn a_journal_names_a_database_and_an_older_one_is_read() {
        let text = r#"{"resource":"database","database":{"postgresql":{"database":"shop","socket":"/run/postgresql","port":5432}}}"#;
        let resource: super::super::Resource = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&resource).unwrap(), text);
        assert_eq!(resource.to_string(), "the database shop of PostgreSQL");
    }
}

//! One Redis: the snapshot that it gives to a replica (`redis-cli --rdb`), true of one moment.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write};
use std::thread;
use std::time::{Duration, Instant};

use chom_format::backup::RedisSource;
use chom_format::{Digest, HostPath, Mode};
use serde::{Deserialize, Serialize};

use super::{ask, finished, systemctl};
use crate::state::tree::remove as remove_tree;
use crate::state::{below, private};
use crate::sys::{Attrs, Command, Effect, Kind, Source, Sys, SysError};

const LARGEST_SECRET: u64 = 64 << 10;
/// The end of an RDB file: this byte, and a checksum of eight.
const END: u8 = 0xff;
const CHECKSUM: usize = 8;
const MARK: usize = 40;

/// Longer than systemd's own patience with a unit that does not stop.
const UNIT: Duration = Duration::from_secs(150);
/// Every key is looked at.
const LONG: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(100);

/// What it holds in memory, which no dump of it exceeds by much.
pub fn measure(sys: &dyn Sys, source: &RedisSource) -> Result<u64, SysError> {
    let command = client(sys, source, &["INFO", "memory"])?;
    let text = ask(sys, &command)?;
    let used = text.lines().find_map(|line| line.trim().strip_prefix("used_memory:")?.parse().ok());
    used.ok_or_else(|| SysError::other("measure", format!("redis at port {}", source.port), answer(&text)))
}

/// Reads a snapshot.
///
/// Without a disk in between Redis does not know the length of what it sends, and ends it with a mark of forty bytes.
/// `redis-cli` cuts that off a file, and cannot cut it off a pipe: it only says that there is one.
pub fn read(
    sys: &dyn Sys,
    source: &RedisSource,
    timeout: Duration,
    out: &mut dyn Write,
) -> Result<(), SysError> {
    let command = client(sys, source, &["--rdb", "-"])?.timeout(timeout);
    let mut held = HeldBack { out, last: Vec::new() };
    let output = sys.stream(&command, &mut held)?;
    let marked = String::from_utf8_lossy(&output.stderr).contains("EOF marker");
    let HeldBack { out, last } = held;
    finished(&command, output)?;
    if marked { Ok(()) } else { out.write_all(&last).map_err(SysError::io("write", "a dump")) }
}

/// Hands on all but the last forty bytes.
struct HeldBack<'a> {
    out: &'a mut dyn Write,
    last: Vec<u8>,
}

impl Write for HeldBack<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.last.extend_from_slice(bytes);
        let rest = self.last.split_off(self.last.len().saturating_sub(MARK));
        let surely = std::mem::replace(&mut self.last, rest);
        self.out.write_all(&surely).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A Redis with the places of its files. Its directory is told by the manifest; the names in it by itself while it runs,
/// and each is one name: whoever answers in its place leads no further than into its own directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// How it is reached.
    pub source: RedisSource,
    /// Its directory.
    pub dir: HostPath,
    /// The dump in it.
    pub dump: HostPath,
    /// Its append-only files, which win over the dump, when it keeps them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Log>,
}

/// The append-only files of a Redis.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Their directory.
    pub dir: HostPath,
    /// How their names begin.
    pub name: String,
}

impl Server {
    /// Asks it for the names of its files.
    pub fn ask(sys: &dyn Sys, source: &RedisSource) -> Result<Self, SysError> {
        let get = |name: &str| -> Result<String, SysError> {
            let text = ask(sys, &client(sys, source, &["CONFIG", "GET", name])?)?;
            let value = text.lines().nth(1).map(|value| value.trim().to_owned());
            value.ok_or_else(|| SysError::other("ask", format!("redis for {name}"), answer(&text)))
        };
        let said = get("dir")?;
        let log = match get("appendonly")?.as_str() {
            "yes" => Some((get("appenddirname")?, get("appendfilename")?)),
            _ => None,
        };
        Self::of(sys, source, &said, &get("dbfilename")?, log)
    }

    fn of(
        sys: &dyn Sys,
        source: &RedisSource,
        said: &str,
        dump: &str,
        log: Option<(String, String)>,
    ) -> Result<Self, SysError> {
        let dir = &source.dir;
        let is = sys.resolve(dir)?;
        if ![Some(dir), is.as_ref()].into_iter().flatten().any(|dir| dir.as_str() == said) {
            let why =
                format!("it keeps them in {said}, and the bundle says {dir}: name its directory as `dir`");
            return Err(SysError::other("ask", "redis for its files", why));
        }
        let one = |name: &str| match name {
            "" | "." | ".." => {
                Err(SysError::other("ask", "redis for its files", format!("`{name}` is no name")))
            }
            name if name.contains('/') => {
                let why = format!("`{name}` leads out of {dir}");
                Err(SysError::other("ask", "redis for its files", why))
            }
            name => below(dir, name),
        };
        let log = match log {
            Some((folder, name)) => {
                one(&name)?;
                Some(Log { dir: one(&folder)?, name })
            }
            None => None,
        };
        let server = Self { source: source.clone(), dir: dir.clone(), dump: one(dump)?, log };
        server.is_sound(sys)?;
        Ok(server)
    }

    /// What is to be exchanged, and what each is.
    fn files(&self) -> impl Iterator<Item = (&HostPath, Kind)> {
        let folder = self.log.iter().map(|log| (&log.dir, Kind::Dir));
        folder.chain([(&self.dump, Kind::File)])
    }

    fn is_sound(&self, sys: &dyn Sys) -> Result<(), SysError> {
        for (path, kind) in self.files() {
            if let Some(found) = sys.meta(path)?.filter(|found| found.kind != kind) {
                let why = format!("it is a {:?} and no {kind:?}: see who has put it there", found.kind);
                return Err(SysError::other("exchange", path, why.to_lowercase()));
            }
        }
        Ok(())
    }

    /// What its account has put under these names since it was asked: a way back must not be held up by that.
    fn clear_way(&self, sys: &mut dyn Sys) -> Result<(), SysError> {
        for (path, kind) in self.files() {
            if sys.meta(path)?.is_some_and(|found| found.kind != kind) {
                log::warn!("{path} was something else than the {kind:?} that belongs there: it is gone");
                remove_tree(sys, path)?;
            }
        }
        Ok(())
    }

    /// A digest over all that it holds and that does not expire by itself, whatever the order in its memory.
    pub fn content(&self, sys: &dyn Sys) -> Result<Digest, SysError> {
        self.wait(sys)?;
        let keyspace = ask(sys, &client(sys, &self.source, &["INFO", "keyspace"])?)?;
        let bases = keyspace
            .lines()
            .filter_map(|line| line.strip_prefix("db")?.split_once(':')?.0.parse::<u32>().ok());
        let mut digests = String::new();
        for base in bases {
            let number = base.to_string();
            let command = client(sys, &self.source, &["-n", &number, "EVAL", CONTENT, "0"])?.timeout(LONG);
            let text = ask(sys, &command)?;
            let digest = text.trim();
            if digest.len() != 40 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(SysError::other(
                    "read",
                    format!("redis at port {}", self.source.port),
                    answer(digest),
                ));
            }
            // What holds nothing but keys that expire is as good as empty.
            if digest.bytes().any(|byte| byte != b'0') {
                digests.push_str(&format!("{base} {digest}\n"));
            }
        }
        Ok(Digest::of(digests.as_bytes()))
    }

    /// Starts its unit when it stands still.
    pub fn start(&self, sys: &mut dyn Sys) -> Result<(), SysError> {
        systemctl(sys, "start", &self.source.unit, UNIT)?;
        self.wait(sys)
    }

    /// Stops it, puts a dump in the place of its files, and starts it again. What it held is gone.
    ///
    /// Append-only files win over the dump. So they become a log that begins with it, as after Redis has rewritten one.
    pub fn exchange(&self, sys: &mut dyn Sys, rdb: &HostPath, sha256: Digest) -> Result<(), SysError> {
        systemctl(sys, "stop", &self.source.unit, UNIT)?;
        self.clear_way(sys)?;
        let attrs = self.attrs(sys)?;
        let source = Source::Host { path: rdb, sha256 };
        sys.effect(&Effect::Write { path: &self.dump, source, attrs: &attrs })?;
        if let Some(Log { dir, name }) = &self.log {
            if sys.meta(dir)?.is_none() {
                let attrs = Attrs { mode: Mode::from_bits(0o750), ..attrs.clone() };
                sys.effect(&Effect::MakeDir { path: dir, attrs: &attrs })?;
            }
            for file in sys.list(dir)? {
                remove_tree(sys, &below(dir, &file)?)?;
            }
            let base = below(dir, &format!("{name}.1.base.rdb"))?;
            sys.effect(&Effect::Write { path: &base, source, attrs: &attrs })?;
            let list = format!("file {name}.1.base.rdb seq 1 type b\n");
            let (path, source) = (below(dir, &format!("{name}.manifest"))?, Source::Bytes(list.as_bytes()));
            sys.effect(&Effect::Write { path: &path, source, attrs: &attrs })?;
        }
        self.start(sys)
    }

    // As its own files are, and otherwise as its directory is.
    fn attrs(&self, sys: &dyn Sys) -> Result<Attrs, SysError> {
        let dir = sys.attrs(&self.dir)?.unwrap_or_else(|| private(0o700));
        let plain = Attrs { mode: Mode::from_bits(0o660), xattrs: BTreeMap::new(), ..dir };
        let known = sys.attrs(&self.dump)?.unwrap_or(plain);
        Ok(Attrs { mtime: private(0).mtime, ..known })
    }

    // It answers before it has read all of its data.
    fn wait(&self, sys: &dyn Sys) -> Result<(), SysError> {
        let command = client(sys, &self.source, &["PING"])?;
        let deadline = Instant::now() + UNIT;
        loop {
            let said = sys.ask(&command).map(|output| format!("{}{}", output.text(), output.complaint()))?;
            if said.trim() == "PONG" {
                return Ok(());
            }
            if Instant::now() > deadline || !(said.contains("LOADING") || said.contains("refused")) {
                return Err(SysError::other(
                    "ask",
                    format!("redis at port {}", self.source.port),
                    answer(said.trim()),
                ));
            }
            thread::sleep(POLL);
        }
    }
}

/// One digest of one database: of each key and each element one, taken together in no order where Redis has none.
const CONTENT: &str = r#"
local sum = {0, 0, 0, 0, 0}
local function mix(into, hex)
    for i = 1, 5 do into[i] = bit.bxor(into[i], tonumber(hex:sub(8 * i - 7, 8 * i), 16)) end
end
local function text(from)
    local all = {}
    for i = 1, 5 do all[i] = bit.tohex(from[i]) end
    return table.concat(all)
end
local function flat(value)
    if type(value) ~= 'table' then local s = tostring(value); return #s .. ':' .. s end
    local all = {}
    for i, one in ipairs(value) do all[i] = flat(one) end
    return '[' .. table.concat(all) .. ']'
end
local function unordered(list, step)
    local all = {0, 0, 0, 0, 0}
    for i = 1, #list, step do
        mix(all, redis.sha1hex(flat(list[i]) .. (step == 2 and flat(list[i + 1]) or '')))
    end
    return text(all)
end
local cursor = '0'
repeat
    local page = redis.call('SCAN', cursor, 'COUNT', 1000)
    cursor = page[1]
    for _, key in ipairs(page[2]) do
        if redis.call('PTTL', key) == -1 then
            local kind = redis.call('TYPE', key).ok
            local value
            if kind == 'string' then value = redis.call('GET', key)
            elseif kind == 'list' then value = flat(redis.call('LRANGE', key, 0, -1))
            elseif kind == 'set' then value = unordered(redis.call('SMEMBERS', key), 1)
            elseif kind == 'hash' then value = unordered(redis.call('HGETALL', key), 2)
            elseif kind == 'zset' then value = flat(redis.call('ZRANGE', key, 0, -1, 'WITHSCORES'))
            elseif kind == 'stream' then value = flat(redis.call('XRANGE', key, '-', '+'))
            else value = redis.call('DUMP', key) end
            mix(sum, redis.sha1hex(flat({key, kind, value})))
        end
    end
until cursor == '0'
return text(sum)
"#;

/// Whether it begins and ends as a dump does.
pub fn look(head: &[u8], tail: &[u8]) -> Result<(), String> {
    if !head.starts_with(b"REDIS0") {
        return Err("it is no dump of Redis".to_owned());
    }
    match tail.len().checked_sub(CHECKSUM + 1).and_then(|at| tail.get(at)) {
        Some(&END) => Ok(()),
        _ => Err("it does not end as a dump does".to_owned()),
    }
}

fn client(sys: &dyn Sys, source: &RedisSource, words: &[&str]) -> Result<Command, SysError> {
    let port = source.port.to_string();
    let argv = ["redis-cli", "-h", "127.0.0.1", "-p", &port];
    let command = Command::new(argv.into_iter().chain(words.iter().copied()));
    Ok(match &source.password_file {
        // In its environment, which only root can see, and not among its arguments.
        Some(path) => command.env("REDISCLI_AUTH", &password(sys, path)?),
        None => command,
    })
}

fn password(sys: &dyn Sys, path: &HostPath) -> Result<String, SysError> {
    let mut text = String::new();
    sys.open(path)?.take(LARGEST_SECRET).read_to_string(&mut text).map_err(SysError::io("read", path))?;
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let named = lines().find_map(|line| line.strip_prefix("requirepass "));
    let word = named.or_else(|| lines().next()).map(|word| word.trim().trim_matches('"').to_owned());
    word.ok_or_else(|| SysError::other("read", path, "there is no password in it"))
}

// An error is an answer with exit code 0 to redis-cli.
fn answer(text: &str) -> String {
    text.lines().next().map_or_else(|| "it says nothing".to_owned(), |line| line.chars().take(200).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_known_by_both_of_its_ends() {
        let whole = b"REDIS0011\xfa...\xff12345678";
        assert_eq!(look(whole, whole), Ok(()));
        assert!(look(b"ERR", whole).is_err() && look(whole, &whole[..whole.len() - 1]).is_err());
        assert!(look(whole, b"").is_err());
    }

    #[test]
    fn whoever_answers_in_its_place_leads_nowhere_else() {
        let host = tempfile::tempdir().unwrap();
        let at = |path: &str| host.path().join(path);
        std::fs::create_dir_all(at("var/lib/redis/aod")).unwrap();
        std::fs::create_dir_all(at("root/keys")).unwrap();
        std::os::unix::fs::symlink("/root/keys", at("var/lib/redis/link")).unwrap();
        std::fs::write(at("var/lib/redis/file"), "").unwrap();
        let sys = crate::sys::RealSys::new(host.path());
        let source: RedisSource = serde_json::from_str(r#"{"unit":"r.service"}"#).unwrap();
        let of = |dir: &str, dump: &str, log: Option<(&str, &str)>| {
            Server::of(&sys, &source, dir, dump, log.map(|(dir, name)| (dir.to_owned(), name.to_owned())))
        };
        let server = of("/var/lib/redis", "dump.rdb", Some(("aod", "a.aof"))).unwrap();
        assert_eq!(server.log.unwrap().dir.as_str(), "/var/lib/redis/aod");
        for (dir, dump, log) in [
            ("/root/keys", "dump.rdb", None),
            ("/", "dump.rdb", None),
            ("", "dump.rdb", None),
            ("/var/lib/redis/../redis", "dump.rdb", None),
            ("/var/lib/redis", "../redis/x", None),
            ("/var/lib/redis", "/root/keys", None),
            ("/var/lib/redis", "..", None),
            ("/var/lib/redis", "link", None),
            ("/var/lib/redis", "aod", None),
            ("/var/lib/redis", "d", Some(("link", "a"))),
            ("/var/lib/redis", "d", Some(("file", "a"))),
            ("/var/lib/redis", "d", Some(("../../root/keys", "a"))),
            ("/var/lib/redis", "d", Some(("aod", "../x"))),
        ] {
            assert!(of(dir, dump, log).is_err(), "{dir} {dump} {log:?}");
        }
        // The whole directory may lie elsewhere: that link is root's.
        std::fs::rename(at("var/lib/redis"), at("data")).unwrap();
        std::os::unix::fs::symlink("/data", at("var/lib/redis")).unwrap();
        assert!(of("/data", "dump.rdb", None).is_ok());
    }

    #[test]
    fn the_last_forty_bytes_are_held_back() {
        for cut in [1, 7, 39, 40, 41, 100] {
            let (bytes, mut out) = ((0..100).collect::<Vec<u8>>(), Vec::new());
            let mut held = HeldBack { out: &mut out, last: Vec::new() };
            bytes.chunks(cut).for_each(|part| held.write_all(part).unwrap());
            assert_eq!(held.last, bytes[60..]);
            assert_eq!(out, bytes[..60]);
        }
    }

    #[test]
    fn a_password_file_is_a_word_or_a_line_of_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let sys = crate::sys::RealSys::new(dir.path());
        for (text, word) in [("secret\n", "secret"), ("# x\nrequirepass \"se cret\"\n", "se cret")] {
            std::fs::write(dir.path().join("p"), text).unwrap();
            assert_eq!(password(&sys, &"/p".parse().unwrap()).unwrap(), word);
        }
        std::fs::write(dir.path().join("p"), "\n").unwrap();
        assert!(password(&sys, &"/p".parse().unwrap()).is_err());
    }
}

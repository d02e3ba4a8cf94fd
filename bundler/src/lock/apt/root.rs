//! The private apt root of one release and processor: made once, refreshed when it is old.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chom_format::Digest;

use super::base;
use super::parse;
use super::query::{Query, Status};
use crate::cache::Cache;
use crate::child::{Child, ChildError};
use crate::lock::archive_id::ArchiveId;
use crate::lock::error::LockError;
use crate::lock::mirrors::MirrorUrl;
use crate::lock::sources::MirrorSet;

// Changes when roots are made in another way: those of a former version are then not taken up.
const RECIPE: &str = "1";

// Younger indexes are not asked for again: `lock` is often run twice in a row.
const FRESH: Duration = Duration::from_secs(3600);
const UPDATE_TIMEOUT: Duration = Duration::from_secs(600);

/// How a private root comes by its indexes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AptOptions<'a> {
    /// Debian's keyring.
    pub(crate) keyring: &'a Path,
    /// Ask the mirrors even when the indexes are young.
    pub(crate) update: bool,
    /// Use the indexes of the cache or fail.
    pub(crate) offline: bool,
}

/// A private apt root, held by this process alone.
pub(crate) struct AptRoot {
    pub(super) dir: PathBuf,
    pub(super) archive: ArchiveId,
    _held: File,
}

impl AptRoot {
    /// Opens the root of one release and processor, with indexes as fresh as the options ask.
    pub(crate) fn open(
        cache: &Cache,
        archive: ArchiveId,
        mirrors: &MirrorSet,
        options: AptOptions<'_>,
    ) -> Result<Self, LockError> {
        let keys = fs::read(options.keyring).map_err(failed("read", options.keyring))?;
        let name = root_name(archive, mirrors, &keys);
        let dir = cache.apt(&name);
        make_folders(&dir)?;
        let held = hold(&dir.join("held"))?;
        let root = Self { dir, archive, _held: held };
        root.configure(&keys)?;
        let ready = root.dir.join("ready");
        if options.offline {
            return if ready.exists() { Ok(root) } else { Err(LockError::Offline(archive)) };
        }
        if options.update || !is_fresh(&ready) {
            // Taken away first: a root whose refresh was cut short is not one to resolve in.
            remove(&ready)?;
            root.refresh(mirrors, options.keyring)?;
            root.write_base()?;
            fs::write(&ready, "").map_err(failed("write", &ready))?;
        }
        Ok(root)
    }

    /// Answers questions about packages, seen from a host with this status.
    pub(crate) fn query(&self, status: Status<'_>, pins: &str) -> Result<Query<'_>, LockError> {
        let preferences = self.dir.join("preferences");
        fs::write(&preferences, pins).map_err(failed("write", &preferences))?;
        Ok(Query::new(self, status, preferences))
    }

    /// The signed indexes by suite: when Debian made each, and the digest of its bytes.
    pub(crate) fn releases(&self) -> Result<Vec<(String, String, Digest)>, LockError> {
        let lists = self.dir.join("state/lists");
        let mut releases = Vec::new();
        for entry in fs::read_dir(&lists).map_err(failed("read", &lists))? {
            let path = entry.map_err(failed("read", &lists))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(suite) = name.strip_suffix("_InRelease").and_then(|name| name.rsplit('_').next()) else {
                continue;
            };
            let bytes = fs::read(&path).map_err(failed("read", &path))?;
            let date = parse::release_date(&String::from_utf8_lossy(&bytes))
                .ok_or_else(|| self.index(format!("{} has no date", path.display())))?;
            releases.push((suite.to_owned(), date, Digest::of(&bytes)));
        }
        Ok(releases)
    }

    /// One of apt's programs, with this root instead of the machine's tree.
    pub(super) fn child(&self, program: &str, timeout: Duration) -> Child {
        Child::new(program, timeout).env("APT_CONFIG", self.dir.join("apt.conf"))
    }

    pub(super) fn minimal(&self) -> PathBuf {
        self.dir.join("minimal.status")
    }

    pub(super) fn empty(&self) -> PathBuf {
        self.dir.join("empty.status")
    }

    pub(super) fn index(&self, problem: String) -> LockError {
        LockError::Index { archive: self.archive, problem }
    }

    fn configure(&self, keys: &[u8]) -> Result<(), LockError> {
        let write = |name: &str, bytes: &[u8]| {
            let path = self.dir.join(name);
            fs::write(&path, bytes).map_err(failed("write", &path))
        };
        let armored = keys.starts_with(b"-----BEGIN");
        let (keep, drop) = if armored { ("asc", "gpg") } else { ("gpg", "asc") };
        write(&format!("trusted.d/debian.{keep}"), keys)?;
        remove(&self.dir.join(format!("trusted.d/debian.{drop}")))?;
        write("empty.status", b"")?;
        let dir = self.dir.to_str().filter(|dir| !dir.contains(['"', '\n', '\\']));
        let dir =
            dir.ok_or_else(|| self.index("the cache's path has characters that apt cannot take".to_owned()))?;
        write("apt.conf", configuration(dir, self.archive, &machine_proxies()).as_bytes())
    }

    fn refresh(&self, mirrors: &MirrorSet, keyring: &Path) -> Result<(), LockError> {
        let mut last = None;
        for (at, debian) in mirrors.debian.iter().enumerate() {
            let Some(security) = mirrors.security.get(at).or(mirrors.security.last()) else { break };
            let sources = self.dir.join("sources.list");
            fs::write(&sources, source_list(self.archive, debian, security))
                .map_err(failed("write", &sources))?;
            let update = self.child("apt-get", UPDATE_TIMEOUT);
            match update.args(["-q", "-o", "APT::Update::Error-Mode=any", "update"]).output() {
                Ok(_) => return Ok(()),
                Err(error) => last = Some(self.update_error(error, debian, keyring)),
            }
        }
        Err(last.unwrap_or(LockError::NoMirror { setting: "debian" }))
    }

    fn update_error(&self, error: ChildError, mirror: &MirrorUrl, keyring: &Path) -> LockError {
        let ChildError::Failed { stderr, .. } = error else { return missing(error) };
        let (archive, mirror) = (self.archive, mirror.to_string());
        let signature =
            ["NO_PUBKEY", "not signed", "BADSIG", "EXPKEYSIG", "signatures were invalid", "Missing key"];
        if signature.iter().any(|sign| stderr.contains(sign)) {
            return LockError::Signature { archive, mirror, keyring: keyring.to_owned(), stderr };
        }
        LockError::Update { archive, mirror, stderr }
    }

    // Made once for each refresh: it takes a walk through the whole index.
    fn write_base(&self) -> Result<(), LockError> {
        let found = self
            .child("apt-cache", UPDATE_TIMEOUT)
            .arg("dumpavail")
            .stream(|out| parse::essential(io::BufReader::with_capacity(1 << 16, out)))
            .map_err(missing)?;
        let essential = found.map_err(failed("read the index in", &self.dir))?;
        if essential.is_empty() {
            return Err(self.index("the index names no required package".to_owned()));
        }
        let query = self.query(Status::Empty, "")?;
        let records = query.records(&query.closure_of(&essential)?)?;
        let path = self.minimal();
        fs::write(&path, base::status(&records)).map_err(failed("write", &path))
    }
}

pub(super) fn missing(error: ChildError) -> LockError {
    if error.is_missing() {
        return LockError::NoProgram { program: "apt-get", package: "apt" };
    }
    LockError::Child(error)
}

// One root for each set of mirrors: apt names its index files by address.
fn root_name(archive: ArchiveId, mirrors: &MirrorSet, keys: &[u8]) -> String {
    let mut text = format!("recipe {RECIPE}\n");
    for mirror in mirrors.debian.iter().chain(&mirrors.security) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{mirror}");
    }
    let _ = writeln!(text, "{}", Digest::of(keys));
    format!("{}-{}-{}", archive.suite.name(), archive.arch.debian(), Digest::of(text.as_bytes()).short())
}

fn make_folders(dir: &Path) -> Result<(), LockError> {
    for part in ["parts", "trusted.d", "state/lists/partial", "cache/archives/partial", "log"] {
        let path = dir.join(part);
        fs::create_dir_all(&path).map_err(failed("make", &path))?;
    }
    Ok(())
}

// Two runs at once would pull the indexes from under each other; the second waits for the first.
fn hold(path: &Path) -> Result<File, LockError> {
    let file = File::options().create(true).append(true).open(path).map_err(failed("open", path))?;
    file.lock().map_err(failed("lock", path))?;
    Ok(file)
}

fn is_fresh(ready: &Path) -> bool {
    let modified = fs::metadata(ready).and_then(|meta| meta.modified());
    modified.is_ok_and(|time| SystemTime::now().duration_since(time).is_ok_and(|age| age < FRESH))
}

fn remove(path: &Path) -> Result<(), LockError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LockError {
    let path = path.to_owned();
    move |source| LockError::Io { action, path, source }
}

fn configuration(dir: &str, archive: ArchiveId, proxies: &str) -> String {
    let arch = archive.arch.debian();
    format!(
        "Dir \"{dir}/\";\n\
         Dir::Etc \"{dir}/\";\n\
         Dir::Etc::main \"apt.conf\";\n\
         Dir::Etc::parts \"parts\";\n\
         Dir::Etc::sourcelist \"sources.list\";\n\
         Dir::Etc::sourceparts \"parts\";\n\
         Dir::Etc::preferences \"preferences\";\n\
         Dir::Etc::preferencesparts \"parts\";\n\
         Dir::Etc::trustedparts \"trusted.d\";\n\
         Dir::Etc::netrc \"parts/none\";\n\
         Dir::Etc::netrcparts \"parts\";\n\
         Dir::State \"{dir}/state/\";\n\
         Dir::State::status \"{dir}/empty.status\";\n\
         Dir::State::extended_states \"{dir}/state/extended\";\n\
         Dir::Cache \"{dir}/cache/\";\n\
         Dir::Log \"{dir}/log/\";\n\
         APT::Architecture \"{arch}\";\n\
         APT::Architectures {{ \"{arch}\"; }};\n\
         APT::Install-Recommends \"false\";\n\
         APT::Install-Suggests \"false\";\n\
         APT::Get::AllowUnauthenticated \"false\";\n\
         APT::Get::Show-User-Simulation-Note \"false\";\n\
         APT::Sandbox::User \"\";\n\
         Acquire::AllowInsecureRepositories \"false\";\n\
         Acquire::Languages \"none\";\n\
         Acquire::GzipIndexes \"true\";\n\
         Acquire::Retries \"3\";\n\
         Acquire::http::Timeout \"30\";\n\
         Acquire::https::Timeout \"30\";\n\
         Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled \"false\";\n\
         Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n\
         Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled \"false\";\n\
         Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled \"false\";\n\
         Debug::NoLocking \"true\";\n\
         {proxies}"
    )
}

// Behind a proxy this machine's apt knows the way out; its other settings are its own affair.
fn machine_proxies() -> String {
    let dump = Child::new("apt-config", Duration::from_secs(20))
        .args(["dump", "--no-empty", "--format", "%F \"%v\";%n", "Acquire::http", "Acquire::https"])
        .output();
    let text = dump.unwrap_or_default();
    let proxies = text.lines().filter(|line| {
        let key = line.split(' ').next().unwrap_or_default().to_ascii_lowercase();
        key.contains("::proxy") || key.ends_with("::cainfo")
    });
    proxies.map(|line| format!("{line}\n")).collect()
}

// `copy:` and not `file:`, so that a mirror on a disk is read like any other and its indexes are kept.
fn source_list(archive: ArchiveId, debian: &MirrorUrl, security: &MirrorUrl) -> String {
    let (suite, arch) = (archive.suite.name(), archive.arch.debian());
    let address = |mirror: &MirrorUrl| match mirror.as_str().strip_prefix("file://") {
        Some(path) => format!("copy:{path}"),
        None => mirror.to_string(),
    };
    let (debian, security) = (address(debian), address(security));
    format!(
        "deb [arch={arch}] {debian} {suite} main\n\
         deb [arch={arch}] {debian} {suite}-updates main\n\
         deb [arch={arch}] {security} {suite}-security main\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_name_the_three_suites() {
        let text = source_list(
            "bookworm/arm64".parse().unwrap(),
            &"http://mirror.example/debian".parse().unwrap(),
            &"file:///srv/security".parse().unwrap(),
        );
        assert_eq!(
            text,
            "deb [arch=arm64] http://mirror.example/debian bookworm main\n\
             deb [arch=arm64] http://mirror.example/debian bookworm-updates main\n\
             deb [arch=arm64] copy:/srv/security bookworm-security main\n"
        );
    }

    #[test]
    fn other_mirrors_or_keys_have_another_root() {
        let archive = "trixie/amd64".parse().unwrap();
        let set = |text: &str| MirrorSet { debian: vec![text.parse().unwrap()], security: vec![] };
        let name = root_name(archive, &set("http://a.example"), b"key");
        assert!(name.starts_with("trixie-amd64-"));
        assert_eq!(name, root_name(archive, &set("http://a.example/"), b"key"));
        assert_ne!(name, root_name(archive, &set("http://b.example"), b"key"));
        assert_ne!(name, root_name(archive, &set("http://a.example"), b"other"));
    }
}

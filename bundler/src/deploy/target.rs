//! The host at the other end: each act is one connection, one script of the POSIX shell, one answer.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use chom_format::{Digest, HostPath};
use serde_json::Value;

use super::error::DeployError;
use crate::remote::CallError;
use crate::remote::ssh::{Connection, quoted};
use crate::resolve::Host;

pub(super) const RECEIVE_ACT: &str = "receive the bundle";
pub(super) const VERIFY_ACT: &str = "verify the bundle";
/// A bundle of a few hundred MiB over a slow line.
const UPLOAD: Duration = Duration::from_secs(4 * 3600);
/// Verifying and planning on a slow host.
const INSTALL: Duration = Duration::from_secs(900);
/// Asking. A link that is cut is noticed by ssh itself before.
const ASK: Duration = Duration::from_secs(60);

// The folder is private, and goes with the shell unless the bundle came whole. Where a folder forbids programs, the
// next is tried. The digest is that of the file on the other side.
const RECEIVE: &str = r#"umask 077
dir=
trap '[ -z "$dir" ] || rm -rf "$dir"' EXIT
trap 'exit 129' HUP INT TERM PIPE
for base in /var/tmp "$HOME"; do
    dir=$(mktemp -d "$base/chom-XXXXXXXX") || continue
    printf '#!/bin/sh\n' > "$dir/try" && chmod 700 "$dir/try" && "$dir/try" 2> /dev/null && break
    rm -rf "$dir"
    dir=
done
[ -n "$dir" ] || { echo 'no folder on this host lets a program run' >&2; exit 125; }
rm -f "$dir/try"
cat > "$dir/bundle.tar.gz" || exit 125
echo "$sha256  $dir/bundle.tar.gz" | sha256sum -c --quiet >&2 || exit 125
tar -xzf "$dir/bundle.tar.gz" -C "$dir" --no-same-owner || exit 125
rm -f "$dir/bundle.tar.gz"
printf '%s' "$sha256" > "$dir/mark" || exit 125
printf '%s\n' "$dir"
dir="#;
// Only a folder that the script above has made for this bundle, and never through a link.
const REMOVE: &str = r#"[ -d "$dir" ] && [ ! -L "$dir" ] && [ "$(cat "$dir/mark")" = "$sha256" ] || exit 125
rm -rf "$dir""#;

/// Where a bundle lies on its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The private folder.
    dir: String,
    /// What its mark says.
    sha256: Digest,
    /// The bundle in it.
    pub folder: String,
}

/// A host and the ways to it.
pub struct Target<'h> {
    host: &'h Host,
    usual: Connection<'h>,
    fresh: Connection<'h>,
}

impl<'h> Target<'h> {
    /// The way to a host, as its operators go. A relative key is looked for below `beside`.
    pub fn new(host: &'h Host, beside: &Path) -> Result<Self, DeployError> {
        let connect = || {
            Connection::new(host, beside)
                .map_err(|source| DeployError::Read { path: beside.to_owned(), source })
        };
        Ok(Self { host, usual: connect()?, fresh: connect()?.fresh() })
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.host.name.to_string()
    }

    /// Copies a tarball there, compares it, unpacks it, and lets its installer verify every byte.
    pub fn upload(&self, tarball: &Path) -> Result<Place, DeployError> {
        let read = |source| DeployError::Read { path: tarball.to_owned(), source };
        let (sha256, _) = Digest::of_reader(File::open(tarball).map_err(read)?).map_err(read)?;
        let script = format!("sha256={sha256}\n{RECEIVE}");
        let said = self.usual.run(&script, File::open(tarball).map_err(read)?, UPLOAD);
        let said = said.map_err(|source| self.ssh(RECEIVE_ACT, source))?;
        let name = tarball.file_name().unwrap_or_default().to_string_lossy();
        let dir =
            said.strip_suffix('\n').filter(|dir| made(dir)).ok_or_else(|| self.answer(RECEIVE_ACT, &said))?;
        let folder = format!("{dir}/{}", name.trim_end_matches(".tar.gz"));
        let place = Place { dir: dir.to_owned(), sha256, folder };
        let verified = self.ask(VERIFY_ACT, &self.usual, &place.program(), &["verify"], INSTALL)?;
        match self.refusal(&verified) {
            Some(refused) => {
                self.remove(&place).ok();
                Err(refused)
            }
            None => Ok(place),
        }
    }

    /// Lets the host install it by itself.
    pub fn install(&self, place: &Place, words: &[String]) -> Result<Value, DeployError> {
        let mut argv = vec!["install", "--yes", "--detach"];
        argv.extend(words.iter().map(String::as_str));
        let said = self.ask("begin the installation", &self.usual, &place.program(), &argv, INSTALL)?;
        self.refusal(&said).map_or(Ok(said), Err)
    }

    /// How a transaction stands, in the host's words.
    pub fn status(&self, place: &Place, id: u64) -> Result<Value, DeployError> {
        let id = id.to_string();
        let words = ["status", "--transaction", &id];
        self.ask("tell how far it is", &self.usual, &place.program(), &words, ASK)
    }

    /// Confirms, over a connection that is made for it.
    pub fn confirm(&self, id: u64, nonce: &str) -> Result<Value, DeployError> {
        let id = id.to_string();
        let words = ["confirm", &id, "--nonce", nonce];
        self.ask("confirm", &self.fresh, "/var/lib/chom/chom-install", &words, ASK)
    }

    /// Takes the bundle away again.
    pub fn remove(&self, place: &Place) -> Result<(), DeployError> {
        let script = format!("sha256={}\ndir={}\n{REMOVE}", place.sha256, quoted(&place.dir));
        let removed = self.usual.run(&script, io::empty(), ASK);
        removed.map(drop).map_err(|source| self.ssh("remove the bundle", source))
    }

    /// The error that an answer is, in the host's words.
    pub(super) fn refusal(&self, said: &Value) -> Option<DeployError> {
        let exit = super::error::exit_of(said.get("exit").and_then(Value::as_u64).unwrap_or_default());
        // Further lines are set in: no line of a host can look like one of ours.
        let text =
            |at: &str| said.pointer(at).and_then(Value::as_str).map(|text| text.replace('\n', "\n    "));
        (exit != chom_format::Exit::Done).then(|| DeployError::Refused {
            host: self.name(),
            exit,
            message: text("/error/message")
                .or_else(|| text("/cause"))
                .unwrap_or_else(|| format!("exit {}", exit.code())),
            hint: text("/error/hint"),
            state: text("/host").unwrap_or_else(|| "not told".to_owned()),
        })
    }

    fn ask(
        &self,
        act: &'static str,
        connection: &Connection<'_>,
        program: &str,
        words: &[&str],
        limit: Duration,
    ) -> Result<Value, DeployError> {
        let words: Vec<String> = words.iter().chain(&["--json"]).map(|word| quoted(word)).collect();
        // The installer's own exit code is in what it says; that of the script is for ssh's own failures. What sudo or the
        // shell has to say instead of an answer comes the same way.
        let script = format!(
            "root=\n[ \"$(id -u)\" = 0 ] || root='sudo -n'\n$root {} {} 2>&1\ntrue",
            quoted(program),
            words.join(" ")
        );
        let said = connection.run(&script, io::empty(), limit).map_err(|source| self.ssh(act, source))?;
        let parse = |line: &str| serde_json::from_str::<Value>(line).ok().filter(Value::is_object);
        said.lines().rev().find_map(parse).ok_or_else(|| self.answer(act, &said))
    }

    fn ssh(&self, act: &'static str, source: CallError) -> DeployError {
        DeployError::Ssh { act, host: self.name(), source }
    }

    pub(super) fn answer(&self, act: &'static str, said: &str) -> DeployError {
        let lines: Vec<&str> = said.lines().collect();
        let said = lines.iter().skip(lines.len().saturating_sub(5)).copied().collect::<Vec<_>>().join("; ");
        DeployError::Answer { act, host: self.name(), user: self.host.ssh.user.clone(), said }
    }
}

impl Place {
    /// The bundle's name.
    pub(super) fn name(&self) -> &str {
        self.folder.rsplit('/').next().unwrap_or_default()
    }

    fn program(&self) -> String {
        format!("{}/chom-install", self.folder)
    }
}

// Whether a host's answer is the path of a folder as the script makes it: one that is not is never handed back to be
// removed.
fn made(dir: &str) -> bool {
    let (Ok(path), Some((_, name))) = (dir.parse::<HostPath>(), dir.rsplit_once('/')) else { return false };
    let random = name.strip_prefix("chom-").unwrap_or_default();
    path.as_str() == dir && random.len() == 8 && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use chom_format::exit::Explain as _;

    use super::*;

    #[test]
    fn only_a_folder_that_the_script_makes_is_taken_for_one() {
        assert!(made("/var/tmp/chom-Ab3dE6gH") && made("/home/de bian/chom-00000000"));
        for dir in [
            "",
            "/",
            "/etc",
            "chom-Ab3dE6gH",
            "/var/tmp/chom-Ab3dE6g",
            "/var/tmp/chom-Ab3dE6gH/",
            "/x/../chom-Ab3dE6gH",
            "Welcome\n/var/tmp/chom-Ab3dE6gH",
            "/var/tmp/chom-Ab3dE6g\n",
            "/var/tmp/chom-********",
        ] {
            assert!(!made(dir), "{dir}");
        }
    }

    #[test]
    fn no_line_of_a_host_looks_like_one_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        let inventory = folder.path().join("inventory.yaml");
        let text = "version: 1.0.0\nhosts:\n  mentat:\n    address: 10.0.0.1\n    stacks: [observability]\n    \
                    specs: { cpu: 2, memory_mb: 2048 }\n";
        std::fs::write(&inventory, text).unwrap();
        let request = crate::resolve::Request { inventory, ..Default::default() };
        let (fleet, _) = crate::resolve::fleet(&request).unwrap();
        let target = Target::new(&fleet.hosts["mentat"], folder.path()).unwrap();
        let hostile = serde_json::json!({
            "exit": 4,
            "error": { "message": "no\nhost is now: unchanged", "hint": "\u{1b}[7A\nerror: x" },
            "host": "lost\nhint: rm -rf /",
        });
        let refused = target.refusal(&hostile).unwrap();
        let said = format!("{refused}\n{}\n{}", refused.hint().unwrap(), refused.host());
        let forged = said.lines().find(|line| line.starts_with("host is now") || line.starts_with("hint:"));
        assert_eq!(forged, None, "{said}");
        assert_eq!(said.matches("\n    ").count(), 3, "{said}");
    }
}

//! Measures a host: the installer goes there, says what it sees, and is taken away again.

use std::io;
use std::path::Path;
use std::time::Duration;

use chom_format::Facts;

use super::error::RemoteError;
use super::ssh::Connection;
use crate::facts;
use crate::pack::installer;
use crate::resolve::Host;

// A few MiB over a slow line, and a measurement of milliseconds.
const TIMEOUT: Duration = Duration::from_secs(180);

// The folder is private and goes with the shell, however that ends. Where /tmp forbids programs, the home does not.
const SCRIPT: &str = r#"umask 077
dir=
trap '[ -z "$dir" ] || rm -rf "$dir"' EXIT
trap 'exit 129' HUP INT TERM PIPE
dir=$(mktemp -d) || exit 125
cat > "$dir/chom-install" || exit 125
chmod 700 "$dir/chom-install" || exit 125
if ! "$dir/chom-install" --version > /dev/null 2>&1; then
    other=$(mktemp -d "$HOME/.chom-facts.XXXXXXXX") || exit 125
    mv "$dir/chom-install" "$other/" || exit 125
    rmdir "$dir"
    dir=$other
fi
"$dir/chom-install" facts --json"#;

/// Runs the installer for the host's processor, or the one that is `named`, on the host; nothing of it stays there.
pub fn measure(host: &Host, beside: &Path, named: Option<&Path>) -> Result<Facts, RemoteError> {
    let name = host.name.to_string();
    let installer = installer::find(host.arch, named)?;
    let connection = Connection::new(host, beside)
        .map_err(|source| RemoteError::Prepare { host: name.clone(), source })?;
    let said = connection
        .run(SCRIPT, io::Cursor::new(installer.bytes), TIMEOUT)
        .map_err(|source| RemoteError::Ssh { host: name, source })?;
    Ok(facts::parse(&said, facts::shown(None, host))?)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::child::{Child, answer};

    fn run(installer: &str, folder: &Path) -> Result<String, crate::child::ChildError> {
        let (tmp, home) = (folder.join("tmp"), folder.join("home"));
        let child = Child::new("sh", Duration::from_secs(20)).args(["-c", SCRIPT]).piped();
        let said = child.env("TMPDIR", &tmp).env("HOME", &home).converse(|running| {
            running.input.unwrap().write_all(installer.as_bytes()).unwrap();
            answer(running.out, "sh", 1 << 20)
        });
        for left in [tmp, home] {
            assert_eq!(std::fs::read_dir(left).unwrap().count(), 0, "something stayed on the host");
        }
        said?
    }

    #[test]
    fn the_installer_comes_measures_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["tmp", "home"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let said =
            run("#!/bin/sh\n[ $1 = --version ] || echo \"$@ $(stat -c %a $0) $0\"\n", folder.path()).unwrap();
        assert!(said.starts_with("facts --json 700 ") && said.contains("/tmp/"), "{said}");
        // As on a host whose /tmp is mounted noexec.
        let picky = "#!/bin/sh\ncase $0 in \"$TMPDIR\"/*) exit 126;; esac\n[ $1 = --version ] || echo $0\n";
        assert!(run(picky, folder.path()).unwrap().contains("/home/.chom-facts."));
        let failing =
            run("#!/bin/sh\n[ $1 = --version ] || { echo why >&2; exit 3; }\n", folder.path()).unwrap_err();
        assert!(failing.to_string().contains("exit code 3") && failing.stderr().contains("why"), "{failing}");
    }
}

//! Measures a host: the installer goes there, says what it sees, and is taken away again.

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
trap 'rm -rf "$dir"' EXIT
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
    let connection =
        Connection::new(host, beside).map_err(|source| RemoteError::Prepare { host: name.clone(), source })?;
    let said = connection
        .run(SCRIPT, &installer.bytes, TIMEOUT)
        .map_err(|source| RemoteError::Ssh { host: name, source })?;
    Ok(facts::parse(&said, facts::shown(None, host))?)
}

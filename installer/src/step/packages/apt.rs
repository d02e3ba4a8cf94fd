//! How apt is called: with the bundle's index as its only source, in a private view of its cache.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chom_format::step::{Deb, PackagesSpec};
use chom_format::{Digest, HostPath, Mode};

use super::super::command::words;
use super::super::{Context, StepError};
use crate::dpkg::{CONFIG, Status};
use crate::sys::{Command, Effect, Kind, Laid, Layer, Output, Sys, Under, named};

// Seen by apt alone: an empty directory in memory, gone with it.
const CACHE: &str = "/var/cache/apt";
const REPOSITORY: &str = "/var/cache/apt/bundle";
// The host's own configuration takes no part: a default release that the bundle does not have would be an error,
// and hooks that ask a bug tracker or restart services have no place in a run that is undone as a whole. Others were
// waited for before; who comes in between is not waited for here, or what they do would be taken for ours.
const CONFIGURATION: &str = r#"
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State::lists "/var/cache/apt/bundle/lists";
APT::Sandbox::User "root";
DPkg::Lock::Timeout "0";
Dpkg::Use-Pty "0";
Dpkg::Options { "--force-confdef"; "--force-confold"; };
"#;
const CHANGED: &str = "others changed packages in the moment before apt took its locks";
const SIMULATION: Duration = Duration::from_secs(60);
const INSTALLATION: Duration = Duration::from_secs(30 * 60);

/// Whether the host's own apt can be asked; a host that is a directory cannot answer.
pub(super) fn is_asked(sys: &dyn Sys) -> bool {
    sys.root() == Path::new("/")
}

/// What apt says that it would do.
pub(super) fn simulate(
    sys: &dyn Sys,
    spec: &PackagesSpec,
    wanted: &[&Deb],
    context: &Context,
) -> Result<String, StepError> {
    let mut argv = vec!["--simulate".to_owned()];
    argv.extend(wanted.iter().map(|deb| asked(deb)));
    let command = command(sys, spec, context, argv, String::new())?.timeout(SIMULATION);
    let output = sys.ask(&command)?;
    if output.success() { Ok(output.text()) } else { Err(failed(&output)) }
}

/// Installs, if dpkg's list of packages is still this one when apt has its locks: whoever came in between would have
/// their work taken for ours.
pub(super) fn install(
    sys: &mut dyn Sys,
    spec: &PackagesSpec,
    wanted: &[&Deb],
    status: Option<&Digest>,
    context: &Context,
) -> Result<(), StepError> {
    // Checked by the simulation, and said again so that no race can undo it.
    let mut argv = vec!["--yes".to_owned(), "-o".to_owned(), "APT::Get::Remove=false".to_owned()];
    argv.extend(wanted.iter().map(|deb| asked(deb)));
    let hook = status.map(hook).unwrap_or_default();
    let command = command(sys, spec, context, argv, hook)?.timeout(INSTALLATION);
    let output = sys.effect(&Effect::Run(&command))?;
    if output.success() { Ok(()) } else { Err(failed(&output)) }
}

/// Run by apt before it first starts dpkg; later ones find our own work.
fn hook(status: &Digest) -> String {
    format!(
        "DPkg::Pre-Invoke {{ \"test -e {REPOSITORY}/begun || {{ echo '{status}  {list}' | sha256sum --check --status \
         && : > {REPOSITORY}/begun; }} || {{ echo '{CHANGED}' >&2; exit 1; }}\"; }};\n",
        list = Status::PATH,
    )
}

fn asked(deb: &Deb) -> String {
    format!("{}={}", deb.name, deb.version)
}

fn command(
    sys: &dyn Sys,
    spec: &PackagesSpec,
    context: &Context,
    further: Vec<String>,
    hook: String,
) -> Result<Command, StepError> {
    let mut argv: Vec<String> = ["apt-get", "--quiet", "--no-install-recommends", "--with-source"]
        .into_iter()
        .map(str::to_owned)
        .collect();
    argv.extend([format!("{REPOSITORY}/Packages"), "install".to_owned()]);
    argv.extend(further);
    let view = vec![layer(sys, spec, context, hook)?];
    Ok(Command { view, ..Command::new(argv) }
        .env("APT_CONFIG", CONFIG)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("DEBIAN_PRIORITY", "critical")
        .env("UCF_FORCE_CONFFOLD", "1"))
}

fn layer(sys: &dyn Sys, spec: &PackagesSpec, context: &Context, hook: String) -> Result<Layer, StepError> {
    let place: HostPath = named(CACHE)?;
    if sys.meta(&place)?.map(|meta| meta.kind) != Some(Kind::Dir) {
        return Err(StepError::Refused {
            what: format!("{CACHE} is not a directory: apt is not as Debian installs it"),
            hint: Some(format!("mkdir -p {CACHE}")),
        });
    }
    let repository = PathBuf::from(REPOSITORY);
    let mut lay = vec![Laid::File {
        path: repository.join("Packages"),
        from: spec.index.from.under(&context.bundle),
        sha256: spec.index.sha256,
        mode: Mode::from_bits(0o644),
        uid: 0,
        gid: 0,
    }];
    lay.push(Laid::Text { path: PathBuf::from(CONFIG), text: format!("{CONFIGURATION}{hook}") });
    // Links: apt reads every archive once more against the index's digest, and nothing is copied.
    lay.extend(spec.packages.iter().map(|deb| Laid::Link {
        path: repository.join(deb.file_name()),
        target: deb.content.from.under(&context.bundle).display().to_string(),
    }));
    Ok(Layer { at: PathBuf::from(CACHE), under: Under::Nothing, lay })
}

fn failed(output: &Output) -> StepError {
    StepError::Refused {
        what: format!("apt-get ended with {}:\n{}", output.code, words(output)),
        hint: Some("dpkg --audit; the end of /var/log/apt/term.log".to_owned()),
    }
}

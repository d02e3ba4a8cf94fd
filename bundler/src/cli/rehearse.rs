//! `chom-bundle rehearse`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chom_format::manifest::Suite;
use chom_format::{Exit, HostName, StepId};
use clap::Args;

use super::{Ctx, Error};
use crate::cache::Cache;
use crate::rehearse::bundle::BundleHead;
use crate::rehearse::run::FaultKind;
use crate::rehearse::{Cancel, Fault, LabOptions, RehearseError, RunOptions, Talk, capture, lab, rehearse};

/// Install, break and roll back a bundle on a throw-away Debian host, and compare the host with what it was
#[derive(Debug, Args)]
pub struct RehearseArgs {
    /// The host whose bundle is rehearsed: the newest in `dist/`
    #[arg(long, value_name = "NAME", required_unless_present_any = ["bundle", "clean", "exceptions"])]
    pub host: Option<HostName>,
    /// Rehearse this tarball
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    /// The Debian release of the throw-away host; otherwise that of the bundle
    #[arg(long, value_name = "SUITE", value_parser = suite)]
    pub suite: Option<Suite>,
    /// Leave the host running and say how to enter it
    #[arg(long)]
    pub keep: bool,
    /// Let this step fail first, and expect the host as before; `all`: each step in turn (repeatable)
    #[arg(long, value_name = "STEP")]
    pub fail_at: Vec<String>,
    /// Send SIGINT at this step first, and expect the host as before; `all`: each step in turn (repeatable)
    #[arg(long, value_name = "STEP")]
    pub interrupt_at: Vec<String>,
    /// Run this program on the host as root before it is first captured (repeatable)
    #[arg(long, value_name = "FILE")]
    pub before: Vec<PathBuf>,
    /// Copy this file into the folder in which the programs of --before run (repeatable)
    #[arg(long, value_name = "FILE")]
    pub carry: Vec<PathBuf>,
    /// One more argument for chom-install (repeatable)
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub installer_arg: Vec<String>,
    /// Make the base system from this archive, and not from this machine's apt sources (`ADDRESS [SUITE]`, repeatable)
    #[arg(long, value_name = "ADDRESS")]
    pub mirror: Vec<String>,
    /// Keep base systems and hosts here
    #[arg(long, value_name = "DIR", env = "CHOM_CACHE")]
    pub cache: Option<PathBuf>,
    /// End every host that was kept, and do nothing else
    #[arg(long)]
    pub clean: bool,
    /// List the paths and units that are not compared, each with the reason, and do nothing else
    #[arg(long)]
    pub exceptions: bool,
}

impl RehearseArgs {
    pub(super) fn run(self, ctx: &mut Ctx) -> Result<Exit, Error> {
        if self.exceptions {
            exceptions(ctx);
            return Ok(Exit::Done);
        }
        let cache = self.cache.clone().unwrap_or_else(Cache::default_dir);
        if self.clean {
            let ended = lab::clean(&cache)?;
            ctx.printer.say(format_args!("ended {} rehearsal(s)", ended.len()));
            return Ok(Exit::Done);
        }
        let options = self.options(cache)?;
        let printer = &ctx.printer;
        let sink = |since: Duration, line: &str| {
            printer.say(format_args!("[{:6.1} s] {line}", since.as_secs_f64()));
        };
        let cancel = Cancel::on_signals().map_err(|source| RehearseError::Io {
            act: "watch for signals in",
            path: PathBuf::from("/proc/self"),
            source,
        })?;
        let report = rehearse(&options, None, &Talk::new(&sink), &cancel)?;
        if printer.json_wanted() {
            printer.json_line(&report);
        } else {
            printer.line(&report);
        }
        Ok(report.exit())
    }

    fn options(self, cache: PathBuf) -> Result<RunOptions, RehearseError> {
        let bundle = match (self.bundle, &self.host) {
            (Some(bundle), _) => bundle,
            (None, Some(host)) => newest(Path::new("dist"), host)?,
            (None, None) => return Err(no_bundle("dist", "nothing was named")),
        };
        let head = BundleHead::read(&bundle)?;
        let mut faults = Vec::new();
        for (kind, steps) in [(FaultKind::Fail, self.fail_at), (FaultKind::Interrupt, self.interrupt_at)] {
            for step in steps {
                let steps = if step == "all" { head.steps.clone() } else { vec![parse(&bundle, &step)?] };
                faults.extend(steps.into_iter().map(|step| Fault { kind, step }));
            }
        }
        Ok(RunOptions {
            lab: LabOptions { cache, mirrors: self.mirror, keep: self.keep },
            bundle,
            host: self.host,
            suite: self.suite,
            faults,
            carry: self.carry,
            before: self.before,
            installer_args: self.installer_arg,
        })
    }
}

fn parse(bundle: &Path, step: &str) -> Result<StepId, RehearseError> {
    step.parse().map_err(|error: chom_format::name::NameError| RehearseError::Bundle {
        path: bundle.to_owned(),
        why: error.to_string(),
        hint: "chom-bundle inspect lists the steps".to_owned(),
    })
}

/// The newest bundle of a host in a folder.
fn newest(folder: &Path, host: &HostName) -> Result<PathBuf, RehearseError> {
    let prefix = format!("{host}-");
    let bundles = std::fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.starts_with(&prefix) && name.ends_with(".tar.gz")
    });
    let found = bundles.max_by_key(|entry| entry.metadata().and_then(|about| about.modified()).ok());
    found
        .map(|entry| entry.path())
        .ok_or_else(|| no_bundle(&folder.to_string_lossy(), &format!("no bundle of {host}")))
}

fn no_bundle(folder: &str, why: &str) -> RehearseError {
    RehearseError::Bundle {
        path: PathBuf::from(folder),
        why: why.to_owned(),
        hint: "make one with chom-bundle build, or name one with --bundle".to_owned(),
    }
}

fn suite(text: &str) -> Result<Suite, String> {
    Suite::ALL.into_iter().find(|suite| suite.name() == text).ok_or_else(|| {
        let known: Vec<&str> = Suite::ALL.into_iter().map(Suite::name).collect();
        format!("known releases: {}", known.join(", "))
    })
}

fn exceptions(ctx: &Ctx) {
    for skip in capture::skip::SKIPPED {
        let what = if skip.what == capture::skip::What::Whole {
            skip.path.to_owned()
        } else {
            format!("{}/*", skip.path)
        };
        ctx.printer.line(format_args!("{what:<32} {}", skip.why));
    }
    for (prefix, why) in capture::skip::SKIPPED_UNITS {
        ctx.printer.line(format_args!("{:<32} {why}", format!("unit {prefix}*")));
    }
    for target in capture::skip::MILESTONES {
        let why = "a milestone of the boot: active since the first unit that named it";
        ctx.printer.line(format_args!("{:<32} {why}", format!("unit {target}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_known_by_their_name() {
        assert_eq!(suite("trixie"), Ok(Suite::Trixie));
        assert_eq!(suite("sid"), Err("known releases: bookworm, trixie".to_owned()));
    }

    #[test]
    fn the_newest_bundle_of_the_host_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let host: HostName = "mentat".parse().unwrap();
        assert!(newest(folder.path(), &host).is_err());
        for (name, age) in [
            ("mentat-1-a.tar.gz", 9),
            ("mentat-2-b.tar.gz", 1),
            ("other-1-c.tar.gz", 0),
            ("mentat-2-b.tar.gz.sha256", 0),
        ] {
            let file = std::fs::File::create(folder.path().join(name)).unwrap();
            file.set_modified(std::time::SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        assert!(newest(folder.path(), &host).unwrap().ends_with("mentat-2-b.tar.gz"));
    }
}

//! `chom-bundle rehearse`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chom_format::manifest::Suite;
use chom_format::{Exit, HostName, StepId};
use clap::Args;

use super::build::{Build, Terms};
use super::payloads::{self, Payloads};
use super::{Ctx, Error};
use crate::cache::Cache;
use crate::rehearse::bundle::BundleHead;
use crate::rehearse::run::FaultKind;
use crate::rehearse::{
    Cancel, Fault, LabOptions, RehearseError, RunOptions, Talk, capture, lab, need, rehearse,
};

/// Install, break and roll back a bundle on a throw-away Debian host, and compare the host with what it was
#[derive(Debug, Args)]
pub struct RehearseArgs {
    /// The host of the inventory whose bundle is built and rehearsed
    #[arg(long, value_name = "NAME", required_unless_present_any = ["bundle", "clean", "exceptions"])]
    pub host: Option<HostName>,
    /// Rehearse this tarball, and build none
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    /// Another Debian release than the inventory's; it is locked apart, so that chom.lock stays as it is
    #[arg(long, value_name = "SUITE", value_parser = suite)]
    pub suite: Option<Suite>,
    /// Leave the host running and say how to enter it
    #[arg(long)]
    pub keep: bool,
    /// Let this step, or `check` or `commit`, fail first, and expect the host as before; `all`: each in turn (repeatable)
    #[arg(long, value_name = "STEP")]
    pub fail_at: Vec<String>,
    /// Send SIGINT at this step first, and expect the host as before; `all`: each in turn (repeatable)
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
    /// Put this chom-install into the bundle, and no other
    #[arg(long, value_name = "FILE")]
    pub installer: Option<PathBuf>,
    #[command(flatten)]
    payloads: Payloads,
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
        let cache = self.payloads.cache.clone().unwrap_or_else(Cache::default_dir);
        if self.clean {
            let ended = lab::clean(&cache)?;
            ctx.printer.say(format_args!("ended {} rehearsal(s)", ended.len()));
            return Ok(Exit::Done);
        }
        need::check().map_err(RehearseError::from)?;
        let options = self.options(ctx, cache)?;
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

    fn options(self, ctx: &mut Ctx, cache: PathBuf) -> Result<RunOptions, Error> {
        let bundle = match (&self.bundle, &self.host) {
            (Some(bundle), _) => bundle.clone(),
            (None, Some(host)) => self.built(ctx, host, &cache)?,
            (None, None) => return Err(no_bundle().into()),
        };
        let head = BundleHead::read(&bundle)?;
        let mut faults = Vec::new();
        for (kind, steps) in [(FaultKind::Fail, self.fail_at), (FaultKind::Interrupt, self.interrupt_at)] {
            for step in steps {
                let steps = if step == "all" { head.places() } else { vec![parse(&bundle, &step)?] };
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

    /// Builds the bundle, as `chom-bundle build` does.
    fn built(&self, ctx: &mut Ctx, host: &HostName, cache: &Path) -> Result<PathBuf, Error> {
        let build = Build::of(host, self.payloads.clone(), self.installer.clone());
        let (fleet, _) = ctx.fleet()?;
        let own = fleet.hosts.get(host).map(|host| host.suite);
        let bundles = match self.suite {
            Some(suite) if Some(suite) != own => {
                ctx.globals.set.push(format!("{host}.suite={}", suite.name()));
                let lock = cache.join(format!("rehearse-{host}-{}.lock", suite.name()));
                build.bundles(ctx, &lock, Terms::Scratch)?
            }
            _ => build.bundles(ctx, &payloads::lock_path(ctx), Terms::Reviewed)?,
        };
        let built = bundles.into_iter().next().map(|bundle| bundle.path);
        built.ok_or_else(|| no_bundle().into())
    }
}

fn no_bundle() -> RehearseError {
    RehearseError::Bundle {
        path: PathBuf::from("dist"),
        why: "no bundle was built".to_owned(),
        hint: "name a host of the inventory with --host, or a tarball with --bundle".to_owned(),
    }
}

fn parse(bundle: &Path, step: &str) -> Result<StepId, RehearseError> {
    step.parse().map_err(|error: chom_format::name::NameError| RehearseError::Bundle {
        path: bundle.to_owned(),
        why: error.to_string(),
        hint: "chom-bundle inspect lists the steps".to_owned(),
    })
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
}

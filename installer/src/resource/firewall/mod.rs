//! The firewall: ufw's files, and the rules by which the kernel filters.
//!
//! Files are put back as paths are. The live rules are put back so that listing them gives the text of before:
//! a table that was not there is taken away whole, a table that was there is loaded again in one go from
//! what `iptables-save` said, so at no moment does the host filter by half a rule set. Rules that somebody
//! else made meanwhile (bans, containers) stay: then only what is ufw's is taken out, and they are named.

mod live;
mod rules;
mod sysctl;
mod tables;

use std::collections::BTreeSet;

use chom_format::HostPath;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kind::{Pass, Policy, ResourceKind, room_of_saved};
use super::store::{below, private};
use super::{Declared, Fingerprint, Resource, ResourceHandler, Restored, Saved, Store, from_value, to_value};
use crate::sys::{Command, Effect, Kind, Source, Sys, SysError, named, text_of};
use live::Live;
use sysctl::Sysctl;

const UFW: &str = "/etc/ufw";
const PROGRAM: &str = "/usr/sbin/ufw";
const FILES: [&str; 4] =
    ["/etc/ufw/ufw.conf", "/etc/ufw/user.rules", "/etc/ufw/user6.rules", "/etc/default/ufw"];
const LOCK: &str = "/run/ufw.lock";

pub(super) struct FirewallResource;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Before {
    files: Vec<(HostPath, Saved)>,
    live: Live,
    sysctl: Sysctl,
    /// ufw was there; when packages that an earlier step brought are gone again, so are its files.
    ufw: bool,
    /// ufw's lock file, which its first run leaves in the memory file system.
    lock: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct After {
    files: Vec<(HostPath, Value)>,
    live: Live,
}

impl ResourceKind for FirewallResource {
    fn words(&self) -> String {
        "the firewall".to_owned()
    }

    fn policy(&self) -> Policy {
        Policy {
            pass: Pass::Paths,
            made_at_path: false,
            any_step_changes: false,
            services_stop: false,
            outlived_by_children: false,
            manager_reloads: false,
            keeps_what_others_made: false,
            asks_for_earlier: false,
        }
    }

    fn room_at(&self) -> Result<HostPath, SysError> {
        named("/etc")
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

impl ResourceHandler for FirewallResource {
    fn save(&self, sys: &mut dyn Sys, store: &Store) -> Result<Saved, SysError> {
        let mut files = Vec::new();
        let mut objects = Vec::new();
        for path in paths(sys)? {
            let saved = file(&path).handler().save(sys, store)?;
            objects.extend(saved.objects.iter().copied());
            files.push((path, saved));
        }
        let live = Live::read(sys)?;
        let fingerprint = fingerprint(files.iter().map(|(_, saved)| saved.fingerprint).collect(), &live);
        let lock = sys.meta(&named(LOCK)?)?.is_some();
        let ufw = sys.meta(&named(PROGRAM)?)?.is_some();
        let before = Before { files, live, sysctl: Sysctl::read(sys)?, ufw, lock };
        Ok(Saved { state: to_value(&before)?, objects, fingerprint })
    }

    fn fingerprint(&self, sys: &dyn Sys) -> Result<Fingerprint, SysError> {
        let files: Result<Vec<_>, _> =
            paths(sys)?.iter().map(|path| file(path).handler().fingerprint(sys)).collect();
        Ok(fingerprint(files?, &Live::read(sys)?))
    }

    fn after(&self, sys: &mut dyn Sys, store: &Store, saved: &Saved) -> Result<Value, SysError> {
        let before: Before = saved.read()?;
        let mut files = Vec::new();
        for (path, saved) in &before.files {
            files.push((path.clone(), file(path).handler().after(sys, store, saved)?));
        }
        to_value(&After { files, live: Live::read(sys)? })
    }

    fn declared(&self, sys: &dyn Sys, _: &Store, _: &Saved, _: Option<&Value>) -> Result<Declared, SysError> {
        Ok(Declared { paths: paths(sys)?.into_iter().collect(), ..Declared::default() })
    }

    fn listings(&self, _: &dyn Sys) -> Result<Vec<HostPath>, SysError> {
        ["/etc/ufw", "/etc/default"].iter().map(|text| named(text)).collect()
    }

    fn restore(
        &self,
        sys: &mut dyn Sys,
        store: &Store,
        saved: &Saved,
        after: Option<&Value>,
    ) -> Result<Restored, SysError> {
        let before: Before = saved.read()?;
        let after: Option<After> = after.map(from_value).transpose()?;
        let mut kept = Vec::new();
        let mut changed = match restore_files(sys, store, &before, after.as_ref(), &mut kept)? {
            Restored::AlreadyBefore => false,
            stuck @ Restored::Stuck { .. } => return Ok(stuck),
            Restored::Restored | Restored::Foreign { .. } | Restored::Left { .. } => true,
        };
        let now = Live::read(sys)?;
        if !before.live.differences(&now).is_empty() {
            changed = true;
            // Not by all that differs: a ufw that was stopped on the way here has changed its own part.
            let foreign = after.as_ref().is_some_and(|after| after.live.of_others() != now.of_others());
            if foreign {
                kept.push(keep(sys, store, &now)?);
            }
            if let Some(reason) = put_back(sys, &before, &now, foreign)? {
                return Ok(Restored::Stuck { reason });
            }
        }
        before.sysctl.put_back(sys)?;
        let lock = named(LOCK)?;
        if !before.lock && sys.meta(&lock)?.is_some() {
            sys.effect(&Effect::Remove { path: &lock })?;
        }
        Ok(match (kept.is_empty(), changed) {
            (false, _) => Restored::Foreign { kept },
            (true, true) => Restored::Restored,
            (true, false) => Restored::AlreadyBefore,
        })
    }

    // ufw and nftables load these files after us; what is live then is looked at once the host is up.
    fn restore_early(
        &self,
        sys: &mut dyn Sys,
        store: &Store,
        saved: &Saved,
        after: Option<&Value>,
    ) -> Result<Option<Restored>, SysError> {
        let before: Before = saved.read()?;
        let after: Option<After> = after.map(from_value).transpose()?;
        let restored = restore_files(sys, store, &before, after.as_ref(), &mut Vec::new())?;
        Ok(matches!(restored, Restored::Stuck { .. }).then_some(restored))
    }

    fn differences(
        &self,
        sys: &dyn Sys,
        store: &Store,
        saved: &Saved,
        _: Option<&Value>,
        earlier: &BTreeSet<HostPath>,
    ) -> Result<Vec<String>, SysError> {
        let before: Before = saved.read()?;
        let mut lines = Vec::new();
        let gone = before.ufw && sys.meta(&named(PROGRAM)?)?.is_none();
        for (path, saved) in before.files.iter().filter(|_| !gone) {
            let differences = file(path).handler().differences(sys, store, saved, None, earlier)?;
            lines.extend(differences.into_iter().map(|line| format!("{path}: {line}")));
        }
        lines.extend(before.live.differences(&Live::read(sys)?));
        Ok(lines)
    }
}

fn fingerprint(files: Vec<Fingerprint>, live: &Live) -> Fingerprint {
    Fingerprint::of(&(files, live))
}

/// Puts back ufw's files. What others had made of them is added to `kept`.
fn restore_files(
    sys: &mut dyn Sys,
    store: &Store,
    before: &Before,
    after: Option<&After>,
    kept: &mut Vec<HostPath>,
) -> Result<Restored, SysError> {
    let mut outcome = Restored::AlreadyBefore;
    for (path, saved) in &before.files {
        let known = after.and_then(|after| after.files.iter().find(|(known, _)| known == path));
        match file(path).handler().restore(sys, store, saved, known.map(|(_, value)| value))? {
            Restored::AlreadyBefore => {}
            Restored::Restored => outcome = Restored::Restored,
            Restored::Foreign { kept: theirs } => {
                if let Some(last) = theirs.last() {
                    merge_rules(sys, path, last)?;
                }
                kept.extend(theirs);
                outcome = Restored::Restored;
            }
            other @ (Restored::Stuck { .. } | Restored::Left { .. }) => return Ok(other),
        }
    }
    Ok(outcome)
}

/// The reason why not, when the rules are not those of before afterwards.
fn put_back(
    sys: &mut dyn Sys,
    before: &Before,
    now: &Live,
    foreign: bool,
) -> Result<Option<String>, SysError> {
    if foreign {
        return without_ufw(sys, before, now);
    }
    before.live.load(sys, now)?;
    let lines = before.live.differences(&Live::read(sys)?);
    Ok((!lines.is_empty()).then(|| {
        format!("the live rules are not those of before ({}); look at: nft list ruleset", lines.join("; "))
    }))
}

// Somebody else's rules stand among ufw's. When ufw was on before, it reads its own chains again and leaves
// others alone; when it was off, what is ufw's goes. It never goes first to come back later: with a policy that
// drops, nobody could get in between.
fn without_ufw(sys: &mut dyn Sys, before: &Before, now: &Live) -> Result<Option<String>, SysError> {
    if before.live.has_ufw() {
        let reload = Command::new(["ufw", "reload"]).env("PYTHONDONTWRITEBYTECODE", "1");
        let output = sys.effect(&Effect::Run(&reload))?;
        let failed = || format!("`ufw reload` ended with {}: {}", output.code, output.complaint());
        return Ok((!output.success()).then(failed));
    }
    for (family, text) in now.saved_tables() {
        if let Some(left) = tables::without_ufw(text, before.live.table(family)) {
            live::become_table(sys, family, text, &left)?;
        }
    }
    Ok(None)
}

// The file of before is in place; what others added to theirs or took out of it stays so.
fn merge_rules(sys: &mut dyn Sys, path: &HostPath, theirs: &HostPath) -> Result<(), SysError> {
    if !path.as_str().ends_with(".rules") {
        return Ok(());
    }
    let (before, theirs) =
        (text_of(sys, path)?.unwrap_or_default(), text_of(sys, theirs)?.unwrap_or_default());
    let merged = rules::merge(&before, &theirs);
    if merged != before
        && let Some(attrs) = sys.attrs(path)?
    {
        sys.effect(&Effect::Write { path, source: Source::Bytes(merged.as_bytes()), attrs: &attrs })?;
    }
    Ok(())
}

fn keep(sys: &mut dyn Sys, store: &Store, now: &Live) -> Result<HostPath, SysError> {
    if sys.meta(&store.attic)?.is_none() {
        sys.effect(&Effect::MakeDir { path: &store.attic, attrs: &private(0o700) })?;
    }
    let path = below(&store.attic, "firewall.rules")?;
    let text = now.text();
    sys.effect(&Effect::Write {
        path: &path,
        source: Source::Bytes(text.as_bytes()),
        attrs: &private(0o600),
    })?;
    Ok(path)
}

fn file(path: &HostPath) -> Resource {
    Resource::at(path.clone())
}

// The files that ufw changes, and whatever else lies beside them.
fn paths(sys: &dyn Sys) -> Result<Vec<HostPath>, SysError> {
    let mut paths: Vec<HostPath> = FILES.iter().map(|text| named(text)).collect::<Result<_, _>>()?;
    let ufw = named(UFW)?;
    for name in sys.list(&ufw)? {
        let path = below(&ufw, &name)?;
        let is_file = sys.meta(&path)?.is_some_and(|meta| meta.kind == Kind::File);
        if is_file && !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

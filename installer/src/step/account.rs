//! A system account without a login, made by the host's own tools so that numbers are given out by its rules.

use chom_format::AccountName;
use chom_format::step::AccountSpec;

use super::kind::{Stated, USUAL};
use super::owners::{Group, Owners, User};
use super::{Change, Context, Decision, Detail, Step, StepError, Undo};
use crate::resource::Resource;
use crate::sys::{Command, Effect, Sys};

const NO_LOGIN: [&str; 4] = ["/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false"];
// Debian's adduser gives system accounts the numbers below this.
const FIRST_PERSON: u32 = 1000;

/// See [`AccountSpec`].
pub(super) struct AccountStep(pub AccountSpec);

/// See [`Stated`].
pub(super) fn stated(_: &AccountSpec) -> Stated<'_> {
    Stated {
        deadline: USUAL,
        owns: Vec::new(),
        writes: Vec::new(),
        unit: None,
        needs: &[],
        brings_bytes: false,
    }
}

impl Step for AccountStep {
    fn decide(&self, sys: &dyn Sys, context: &Context) -> Result<Decision, StepError> {
        let owners = Owners::read(sys, context)?;
        for group in &self.0.groups {
            let upcoming = context.accounts.contains(group) || !context.packages.is_empty();
            if !owners.groups.contains_key(group.as_str()) && !upcoming {
                return Ok(Decision::Refuse {
                    conflict: format!("there is no group `{group}` for `{}` to be in", self.0.name),
                    remedy: format!("make the group, or take `{group}` from the account's groups"),
                });
            }
        }
        Ok(decide(&self.0, &owners))
    }

    fn touches(&self, _: &dyn Sys, _: &Context, _: &Change) -> Result<Vec<Resource>, StepError> {
        Ok(vec![Resource::Account { name: self.0.name.clone() }])
    }

    fn apply(&self, sys: &mut dyn Sys, context: &Context, _: &Change) -> Result<(), StepError> {
        let owners = Owners::read(sys, context)?;
        let name = self.0.name.as_str();
        if !owners.groups.contains_key(name) {
            run(sys, vec!["groupadd", "--system", name])?;
        }
        let missing: Vec<&str> =
            missing_groups(&self.0, &owners).iter().map(|group| group.as_str()).collect();
        let groups = missing.join(",");
        if !owners.users.contains_key(name) {
            let mut argv = vec!["useradd", "--system", "--gid", name, "--no-create-home"];
            argv.extend(["--home-dir", self.0.home.as_str(), "--shell", "/usr/sbin/nologin"]);
            if !groups.is_empty() {
                argv.extend(["--groups", &groups]);
            }
            argv.push(name);
            return run(sys, argv);
        }
        if groups.is_empty() {
            return Ok(());
        }
        run(sys, vec!["usermod", "--append", "--groups", &groups, name])
    }

    fn paths(&self) -> Vec<chom_format::HostPath> {
        ["/etc/passwd", "/etc/group"].iter().filter_map(|path| path.parse().ok()).collect()
    }
}

fn run(sys: &mut dyn Sys, argv: Vec<&str>) -> Result<(), StepError> {
    let command = Command::new(argv.iter().copied());
    let output = sys.effect(&Effect::Run(&command))?;
    if output.success() {
        return Ok(());
    }
    let meaning = match output.code {
        4 | 9 => "the name or number is taken since the plan was made",
        10 | 12 => "an account file could not be changed",
        _ => "it failed",
    };
    Err(StepError::Refused {
        what: format!("`{}` ended with {}: {meaning}\n{}", argv.join(" "), output.code, output.complaint()),
        hint: (output.code == 10).then(|| "look for a lock: ls /etc/*.lock".to_owned()),
    })
}

/// What is to be done, from the account files alone.
fn decide(spec: &AccountSpec, owners: &Owners) -> Decision {
    let name = &spec.name;
    let user = owners.users.get(name.as_str());
    let group = owners.groups.get(name.as_str());
    let missing = missing_groups(spec, owners);
    let (verb, diff) = match (user, group) {
        (Some(user), group) => {
            if let Some(conflict) = unlike(spec, user, group) {
                let remedy =
                    format!("rename the account, or make it a system account with home {}", spec.home);
                return Decision::Refuse { conflict, remedy };
            }
            if missing.is_empty() {
                return Decision::Keep { why: format!("uid {}, gid {}", user.uid, user.gid) };
            }
            ("set", missing.iter().map(|group| format!("+group {group}")).collect())
        }
        (None, group) => {
            let mut diff = vec![format!("+user {name}, system, home {}, no login", spec.home)];
            if group.is_none() {
                diff.push(format!("+group {name}, system"));
            }
            diff.extend(missing.iter().map(|group| format!("+member of {group}")));
            ("create", diff)
        }
    };
    Decision::Change(Change {
        verb,
        summary: format!("account {name}"),
        detail: Detail::Account { name: name.clone() },
        diff,
        undo: Undo::Exactly,
        writes: Vec::new(),
        changes: Vec::new(),
    })
}

// An account that is there already is used only when it is what was asked for: another one belongs to somebody.
fn unlike(spec: &AccountSpec, user: &User, group: Option<&Group>) -> Option<String> {
    let name = &spec.name;
    if user.uid >= FIRST_PERSON {
        return Some(format!("account `{name}` is there as a person's (uid {})", user.uid));
    }
    if user.home != spec.home.as_str() {
        return Some(format!("account `{name}` is there with home {} instead of {}", user.home, spec.home));
    }
    if !NO_LOGIN.contains(&user.shell.as_str()) {
        return Some(format!("account `{name}` is there with a login shell ({})", user.shell));
    }
    match group {
        Some(group) if group.gid == user.gid => None,
        _ => Some(format!(
            "account `{name}` is there, and its primary group (gid {}) is not `{name}`",
            user.gid
        )),
    }
}

fn missing_groups<'a>(spec: &'a AccountSpec, owners: &Owners) -> Vec<&'a AccountName> {
    let is_member = |group: &AccountName| {
        owners
            .groups
            .get(group.as_str())
            .is_some_and(|group| group.members.iter().any(|m| m == spec.name.as_str()))
    };
    spec.groups.iter().filter(|group| !is_member(group)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(groups: &[&str]) -> AccountSpec {
        AccountSpec {
            name: "obs".parse().unwrap(),
            home: "/var/lib/obs".parse().unwrap(),
            groups: groups.iter().map(|group| group.parse().unwrap()).collect(),
        }
    }

    fn decided(passwd: &str, group: &str, groups: &[&str]) -> String {
        match decide(&spec(groups), &Owners::parse(passwd, group)) {
            Decision::Keep { why } => format!("keep {why}"),
            Decision::Change(change) => format!("{} {}", change.verb, change.diff.join("; ")),
            Decision::Refuse { conflict, .. } => format!("refuse {conflict}"),
        }
    }

    #[test]
    fn accounts_are_made_kept_or_refused() {
        let ours = "obs:x:990:990::/var/lib/obs:/usr/sbin/nologin";
        let made = "create +user obs, system, home /var/lib/obs, no login";
        for (passwd, group, groups, wanted) in [
            ("", "", vec![], format!("{made}; +group obs, system")),
            ("", "obs:x:990:", vec![], made.to_owned()),
            ("", "obs:x:990:\nadm:x:4:", vec!["adm"], format!("{made}; +member of adm")),
            (ours, "obs:x:990:", vec![], "keep uid 990, gid 990".to_owned()),
            (ours, "obs:x:990:\nadm:x:4:obs", vec!["adm"], "keep uid 990, gid 990".to_owned()),
            (ours, "obs:x:990:\nadm:x:4:x", vec!["adm"], "set +group adm".to_owned()),
        ] {
            assert_eq!(decided(passwd, group, &groups), wanted);
        }
    }

    #[test]
    fn somebody_elses_account_is_refused() {
        for (line, part) in [
            ("obs:x:1000:990::/var/lib/obs:/usr/sbin/nologin", "a person's (uid 1000)"),
            ("obs:x:990:990::/home/obs:/usr/sbin/nologin", "home /home/obs"),
            ("obs:x:990:990::/var/lib/obs:/bin/bash", "login shell (/bin/bash)"),
            ("obs:x:990:100::/var/lib/obs:/bin/false", "primary group (gid 100)"),
        ] {
            let decided = decided(line, "obs:x:990:", &[]);
            assert!(decided.starts_with("refuse") && decided.contains(part), "{decided}");
        }
    }
}

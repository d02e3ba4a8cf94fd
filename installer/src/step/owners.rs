//! Accounts of the host by name, from its account files: the installer is static and has no name service.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use chom_format::step::Owner;

use super::{Context, StepError};
use crate::sys::{Meta, Sys, SysError, named, text_at};

/// One line of `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    /// User number.
    pub uid: u32,
    /// Number of the primary group.
    pub gid: u32,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

/// One line of `/etc/group`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// Group number.
    pub gid: u32,
    /// Users that have it as a further group.
    pub members: Vec<String>,
}

/// The account files, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Owners {
    /// By name.
    pub users: BTreeMap<String, User>,
    /// By name.
    pub groups: BTreeMap<String, Group>,
}

/// Who is to own a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owning {
    /// These numbers.
    Known(u32, u32),
    /// Accounts that this run will bring; their numbers are not known yet.
    Upcoming,
}

/// The account files as they were read last: a plan asks for them at every path, and they seldom change meanwhile.
#[derive(Debug, Default)]
pub struct LastOwners(Mutex<Option<Remembered>>);

type Remembered = ([Option<Meta>; 2], Arc<Owners>);

impl Owners {
    /// The host's account files; a host without them has no accounts. They are read again when they are others than
    /// last time: whatever changes them puts new files in their place.
    pub(super) fn read(sys: &dyn Sys, context: &Context) -> Result<Arc<Self>, SysError> {
        let metas = [sys.meta(&named("/etc/passwd")?)?, sys.meta(&named("/etc/group")?)?];
        let mut last = context.owners.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, owners)) = last.as_ref().filter(|(seen, _)| *seen == metas) {
            return Ok(owners.clone());
        }
        let owners = Self::parse(&text_at(sys, "/etc/passwd")?, &text_at(sys, "/etc/group")?);
        Ok(last.insert((metas, owners.into())).1.clone())
    }

    /// Reads the text of the two files; lines that are not accounts are left out.
    pub(super) fn parse(passwd: &str, group: &str) -> Self {
        Self {
            users: passwd.lines().filter_map(user).collect(),
            groups: group.lines().filter_map(group_line).collect(),
        }
    }

    /// The numbers of an owner. An account that is nowhere is refused, unless an earlier step of this run brings
    /// it, or packages that do, for a package's own accounts are known only once it is there.
    pub(super) fn owning(&self, owner: &Owner, context: &Context) -> Result<Owning, StepError> {
        let user = self.users.get(owner.user.as_str()).map(|user| user.uid);
        let group = self.groups.get(owner.group.as_str()).map(|group| group.gid);
        if let (Some(uid), Some(gid)) = (user, group) {
            return Ok(Owning::Known(uid, gid));
        }
        let missing = if user.is_none() { &owner.user } else { &owner.group };
        if context.accounts.contains(missing) || !context.packages.is_empty() {
            return Ok(Owning::Upcoming);
        }
        Err(StepError::Refused {
            what: format!("there is no account `{missing}` on this host, and no step of the bundle makes it"),
            hint: Some("declare it under `accounts:` of the component".to_owned()),
        })
    }

    /// The numbers of an owner that must be there by now.
    pub(super) fn ids(&self, owner: &Owner) -> Result<(u32, u32), StepError> {
        match self.owning(owner, &Context::default())? {
            Owning::Known(uid, gid) => Ok((uid, gid)),
            Owning::Upcoming => Ok((0, 0)),
        }
    }

    /// `user:group` as a person knows them, numbers where there is no name.
    pub(super) fn names(&self, uid: u32, gid: u32) -> String {
        let user = self.users.iter().find(|(_, user)| user.uid == uid).map(|(name, _)| name.clone());
        let group = self.groups.iter().find(|(_, group)| group.gid == gid).map(|(name, _)| name.clone());
        format!("{}:{}", user.unwrap_or_else(|| uid.to_string()), group.unwrap_or_else(|| gid.to_string()))
    }
}

fn user(line: &str) -> Option<(String, User)> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_owned();
    let (_, uid, gid, _) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let (home, shell) = (fields.next()?, fields.next()?);
    let user = User {
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        home: home.to_owned(),
        shell: shell.to_owned(),
    };
    Some((name, user))
}

fn group_line(line: &str) -> Option<(String, Group)> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_owned();
    let (_, gid, members) = (fields.next()?, fields.next()?, fields.next()?);
    let members = members.split(',').filter(|member| !member.is_empty()).map(str::to_owned).collect();
    Some((name, Group { gid: gid.parse().ok()?, members }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners() -> Owners {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nweb:x:33:33::/var/www:/usr/sbin/nologin\n+::::::\n";
        Owners::parse(passwd, "root:x:0:\nweb:x:33:deploy,www\nbad\n")
    }

    fn owner(user: &str, group: &str) -> Owner {
        Owner { user: user.parse().unwrap(), group: group.parse().unwrap() }
    }

    #[test]
    fn accounts_are_read_from_the_files() {
        let owners = owners();
        assert_eq!(owners.users.len(), 2);
        assert_eq!(owners.groups["web"].members, ["deploy", "www"]);
        assert_eq!(owners.names(33, 0), "web:root");
        assert_eq!(owners.names(5, 6), "5:6");
        assert_eq!(owners.ids(&owner("web", "root")).unwrap(), (33, 0));
    }

    #[test]
    fn an_account_that_nobody_brings_is_refused() {
        let mut context = Context::default();
        let nobody = owner("prometheus", "root");
        assert!(owners().owning(&nobody, &context).unwrap_err().to_string().contains("`prometheus`"));
        context.accounts.push("prometheus".parse().unwrap());
        assert_eq!(owners().owning(&nobody, &context).unwrap(), Owning::Upcoming);
        let context = Context { packages: vec!["prometheus".parse().unwrap()], ..Context::default() };
        assert_eq!(owners().owning(&nobody, &context).unwrap(), Owning::Upcoming);
    }
}

//! Every owner must be an account by the time the file is written.

use std::collections::BTreeSet;

use chom_format::step::Owner;

use crate::problem::Problem;
use crate::render::wanted::{Rendered, Spot};

// Debian's base-passwd, and the accounts that systemd, dbus and sshd bring to every host.
const USERS: &[&str] = &[
    "root",
    "daemon",
    "bin",
    "sys",
    "sync",
    "games",
    "man",
    "lp",
    "mail",
    "news",
    "uucp",
    "proxy",
    "www-data",
    "backup",
    "list",
    "irc",
    "_apt",
    "nobody",
    "systemd-network",
    "systemd-timesync",
    "messagebus",
    "sshd",
];
const GROUPS: &[&str] = &[
    "root",
    "daemon",
    "bin",
    "sys",
    "adm",
    "tty",
    "disk",
    "lp",
    "mail",
    "news",
    "uucp",
    "man",
    "proxy",
    "kmem",
    "dialout",
    "fax",
    "voice",
    "cdrom",
    "floppy",
    "tape",
    "sudo",
    "audio",
    "dip",
    "www-data",
    "backup",
    "operator",
    "list",
    "irc",
    "src",
    "shadow",
    "utmp",
    "video",
    "sasl",
    "plugdev",
    "staff",
    "games",
    "users",
    "nogroup",
    "systemd-journal",
    "systemd-network",
    "systemd-timesync",
    "messagebus",
];

pub(super) fn broken(rendered: &Rendered) -> Vec<Problem> {
    let accounts: BTreeSet<&str> = rendered
        .components
        .iter()
        .flat_map(|component| &component.accounts)
        .map(|account| account.value.name.as_str())
        .collect();
    let mut problems = Vec::new();
    let mut look =
        |what: &str, owner: &Owner, at: &Spot| {
            let (user, group) = (owner.user.as_str(), owner.group.as_str());
            for (kind, name, known) in [("user", user, USERS), ("group", group, GROUPS)] {
                if !known.contains(&name) && !accounts.contains(name) {
                    let message = format!("{what} belongs to {kind} {name}, which nothing makes");
                    problems.push(at.problem(
                        message,
                        "add it to `accounts:` of this component or of one that comes before",
                    ));
                }
            }
        };
    for component in &rendered.components {
        for dir in &component.dirs {
            look(dir.value.path.as_str(), &dir.value.owner, &dir.at);
        }
        for file in &component.files {
            look(file.value.path.as_str(), &file.value.owner, &file.at);
        }
    }
    problems
}

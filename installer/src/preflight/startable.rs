//! Can the copy of this program that is kept on the host be started? It takes the host back after a reboot in the
//! middle, and when nobody confirms: where it cannot be started, both promises would be empty.

use super::Finding;
use crate::state::Files;
use crate::sys::mounts::{self, Mount};

const CHECK: &str = "kept-program";

pub(super) fn check() -> Finding {
    let mounts = mounts::read();
    match Files::standard() {
        Ok(files) => judge(&mounts.unwrap_or_default(), files.root().as_str()),
        Err(error) => Finding::fail(CHECK, error.to_string(), "chom-install plan"),
    }
}

fn judge(mounts: &[Mount], dir: &str) -> Finding {
    match mounts::of(mounts, dir).filter(|mount| mount.no_exec) {
        None => Finding::pass(CHECK, "what is kept for a reboot in the middle can be started"),
        Some(Mount { point, .. }) => Finding::fail(
            CHECK,
            format!(
                "{point} is mounted noexec: the program that is kept in {dir} could not be started, and after a \
                 reboot in the middle, or when nobody confirms, nothing would take this host back"
            ),
            format!("mount -o remount,exec {point}, and the same in /etc/fstab"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_place_where_nothing_starts_is_refused() {
        let mount = |point: &str, no_exec| Mount {
            point: point.into(),
            read_only: false,
            no_exec,
            source: String::new(),
            file_system: String::new(),
        };
        let (root, var) = (mount("/", false), mount("/var", true));
        assert_eq!(judge(std::slice::from_ref(&root), "/var/lib/chom").level, Level::Pass);
        let finding = judge(&[root.clone(), var.clone()], "/var/lib/chom");
        assert_eq!(finding.level, Level::Fail);
        assert!(finding.reason.starts_with("/var is mounted noexec"), "{finding:?}");
        assert_eq!(judge(&[root, var, mount("/var/lib/chom", false)], "/var/lib/chom").level, Level::Pass);
    }
}

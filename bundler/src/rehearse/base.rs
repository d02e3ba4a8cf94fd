//! The base systems: one minimal Debian root file system per release, made by mmdebstrap as a folder in the
//! cache and never written to afterwards (hosts lie over it).
//!
//! A folder appears under its name only when it is whole. Whoever builds holds the lock alone; every running
//! host holds it shared (see [`Base::lock_path`]), so a base is never taken from under a host.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use chom_format::Digest;
use chom_format::manifest::{Arch, Suite};

use super::cancel::Cancel;
use super::error::RehearseError;
use super::mirror;
use super::talk::Talk;
use super::tool::{Tool, ToolError};

/// What a minimal VPS has beyond Debian's essential packages. Nothing that would make an installer's life
/// easier: no python, no curl, no nft.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,openssh-server,iproute2,sudo,ca-certificates";
/// Raised when the recipe below changes, so that old bases are not taken for new ones.
const RECIPE: &str = "1";
/// After that a base lacks too many security updates to stand for a host that takes them daily.
const FRESH: Duration = Duration::from_secs(7 * 24 * 3600);
/// Takes away what mmdebstrap copies from this machine and what must differ from host to host, and lays down
/// what a host has after its first day: the lock of apt's daily timer, and systemd's note that nothing in /usr is
/// newer than what its services have seen, without which they run at the first boot only.
const CLEAN: &str = "cd \"$1\"; rm -f etc/ssh/ssh_host_*_key* etc/hostname etc/resolv.conf etc/machine-id
rm -f var/lib/dbus/machine-id; : >etc/machine-id; umask 027; : >var/lib/apt/daily_lock
touch -r usr etc/.updated var/.updated";

/// A base system, ready.
#[derive(Debug, Clone)]
pub struct Base {
    /// The root folder; read only by agreement.
    pub root: PathBuf,
    lock: PathBuf,
    /// Shared, so that nobody renews the base before the host holds its own lock.
    held: Arc<File>,
}

impl Base {
    /// The file on which a host that lies over this base holds a shared lock.
    pub fn lock_path(&self) -> &Path {
        &self.lock
    }

    /// Finds or makes the base of a release. `mirrors` empty: this machine's own apt sources.
    pub fn get(
        cache: &Path,
        suite: Suite,
        mirrors: &[String],
        talk: &Talk<'_>,
        cancel: &Cancel,
    ) -> Result<Self, RehearseError> {
        let folder = cache.join("base");
        fs::create_dir_all(&folder).map_err(RehearseError::io("make", &folder))?;
        let name = name(suite, native()?);
        let (root, lock) = (folder.join(&name), folder.join(format!("{name}.lock")));
        let file = File::create(&lock).map_err(RehearseError::io("make", &lock))?;
        let base = Self { root, lock, held: Arc::new(file) };
        let lock = &base.held;
        wait_for(|| lock.try_lock_shared(), &base.lock, talk, cancel)?;
        if base.is_fresh() {
            return Ok(base);
        }
        lock.unlock().map_err(RehearseError::io("unlock", &base.lock))?;
        base.renew(lock, suite, mirrors, talk, cancel)?;
        // Between the two locks somebody else may have begun to renew it: this waits for them.
        lock.unlock().map_err(RehearseError::io("unlock", &base.lock))?;
        wait_for(|| lock.try_lock_shared(), &base.lock, talk, cancel)?;
        Ok(base)
    }

    fn renew(
        &self,
        lock: &File,
        suite: Suite,
        mirrors: &[String],
        talk: &Talk<'_>,
        cancel: &Cancel,
    ) -> Result<(), RehearseError> {
        let old = self.age().is_some();
        if old && lock.try_lock().is_err() {
            talk.say(format!(
                "the {} base system is older than a week, but in use: taken as it is",
                suite.name()
            ));
            return Ok(());
        }
        wait_for(|| lock.try_lock(), &self.lock, talk, cancel)?;
        // Somebody else may have made it while this one waited.
        if self.is_fresh() {
            return Ok(());
        }
        match self.make(suite, mirrors, talk, cancel) {
            Err(error @ RehearseError::Base { .. }) if old => {
                talk.say(format!("{error}; the one that is older than a week is taken"));
                Ok(())
            }
            made => made,
        }
    }

    fn is_fresh(&self) -> bool {
        self.age().is_some_and(|age| age < FRESH)
    }

    fn age(&self) -> Option<Duration> {
        // The root folder's own time says nothing of when it was made; the mark beside it does.
        let made = fs::metadata(self.mark()).and_then(|mark| mark.modified()).ok()?;
        self.root.is_dir().then(|| SystemTime::now().duration_since(made).unwrap_or_default())
    }

    fn mark(&self) -> PathBuf {
        self.root.with_extension("made")
    }

    fn make(
        &self,
        suite: Suite,
        mirrors: &[String],
        talk: &Talk<'_>,
        cancel: &Cancel,
    ) -> Result<(), RehearseError> {
        let partial = self.root.with_extension("partial");
        remove_tree(&partial)?;
        let sources =
            if mirrors.is_empty() { mirror::own(suite, cancel) } else { mirror::named(mirrors, suite) };
        talk.say(format!(
            "making the {} base system, once for all rehearsals (about half a minute)",
            suite.name()
        ));
        let made = Tool::new("mmdebstrap")
            .args([
                "--variant=minbase",
                "--mode=root",
                "--format=directory",
                "--quiet",
                "--include",
                PACKAGES,
            ])
            .arg("--customize-hook")
            .arg(CLEAN)
            .arg(suite.name())
            .arg(&partial)
            .args(sources)
            .limit(Duration::from_secs(1200))
            .succeed(cancel);
        if let Err(source) = made {
            remove_tree(&partial)?;
            return Err(match source {
                ToolError::Cancelled { .. } => RehearseError::Stopped,
                source => RehearseError::Base { suite: suite.name(), why: source.to_string() },
            });
        }
        remove_tree(&self.root)?;
        fs::rename(&partial, &self.root).map_err(RehearseError::io("rename", &partial))?;
        fs::write(self.mark(), PACKAGES).map_err(RehearseError::io("write", self.mark()))?;
        talk.say(format!("the {} base system is ready", suite.name()));
        self.prune(suite);
        Ok(())
    }

    /// Takes away bases of this release that an older recipe made and nobody lies over.
    fn prune(&self, suite: Suite) {
        let Some(folder) = self.root.parent() else { return };
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let of_suite = entry.file_name().to_string_lossy().starts_with(&format!("{}-", suite.name()));
            if !of_suite || !path.is_dir() || path == self.root {
                continue;
            }
            let lock = path.with_extension("lock");
            if File::open(&lock).is_ok_and(|lock| lock.try_lock().is_ok()) && remove_tree(&path).is_ok() {
                // The lock stays: somebody may just be opening it.
                let _gone = fs::remove_file(path.with_extension("made"));
            }
        }
    }
}

fn name(suite: Suite, arch: Arch) -> String {
    let recipe = Digest::of(format!("{RECIPE} {PACKAGES} {CLEAN}").as_bytes());
    format!("{}-{}-{}", suite.name(), arch.name(), recipe.short())
}

/// The architecture of this machine, which is that of every rehearsed host.
pub fn native() -> Result<Arch, RehearseError> {
    let name = std::env::consts::ARCH;
    Arch::ALL.into_iter().find(|arch| arch.name() == name).ok_or_else(|| RehearseError::Base {
        suite: "Debian",
        why: format!("this machine is {name}, and chom knows x86_64 and aarch64"),
    })
}

fn wait_for(
    lock: impl Fn() -> Result<(), TryLockError>,
    path: &Path,
    talk: &Talk<'_>,
    cancel: &Cancel,
) -> Result<(), RehearseError> {
    let mut said = false;
    loop {
        match lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if cancel.asked() => return Err(RehearseError::Stopped),
            Err(TryLockError::WouldBlock) => {
                if !std::mem::replace(&mut said, true) {
                    talk.say("another rehearsal is making the base system: waiting for it");
                }
                thread::sleep(Duration::from_millis(100));
            }
            Err(TryLockError::Error(source)) => {
                return Err(RehearseError::Io { act: "lock", path: path.to_owned(), source });
            }
        }
    }
}

/// Removes a root file system that is ours. Its files may carry the immutable flag, if that was rehearsed.
pub(super) fn remove_tree(root: &Path) -> Result<(), RehearseError> {
    let gone = |path: &Path| match fs::remove_dir_all(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result,
    };
    // Never through a mount: a foreign file system below would lose its files.
    if let Some(mount) = mount_below(root) {
        return Err(RehearseError::Io {
            act: "remove",
            path: mount,
            source: std::io::Error::other("another file system is mounted there"),
        });
    }
    if gone(root).is_ok() {
        return Ok(());
    }
    let _unlocked = Tool::new("chattr").args(["-R", "-f", "-i", "-a"]).arg(root).run(&Cancel::default());
    gone(root).map_err(RehearseError::io("remove", root))
}

fn mount_below(root: &Path) -> Option<PathBuf> {
    let device = fs::symlink_metadata(root).ok()?.dev();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(about) = fs::symlink_metadata(entry.path()) else { continue };
            if about.is_dir() && about.dev() != device {
                return Some(entry.path());
            }
            if about.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_release_and_recipe() {
        let name = name(Suite::Trixie, Arch::X86_64);
        assert!(name.starts_with("trixie-x86_64-") && name.len() == "trixie-x86_64-".len() + 8, "{name}");
    }

    #[test]
    fn a_tree_that_is_not_there_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("a");
        remove_tree(&tree).unwrap();
        fs::create_dir_all(tree.join("b/c")).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
    }
}

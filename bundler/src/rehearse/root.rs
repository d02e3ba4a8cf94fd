//! The root file system of a host: a base system, and laid over it what makes this host itself: name, keys, and who may
//! log in.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cancel::Cancel;
use super::error::RehearseError;
use super::host::HostPlan;
use super::tool::Tool;

/// What the root file system of a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    /// Laid over the base system.
    Overlay,
    /// A copy of it.
    Copy,
    /// A file system of its own, in a file.
    Disk,
}

impl Root {
    /// Lays it into a host's folder, which is made, and returns where to write what is the host's own.
    pub(super) fn make(self, folder: &Path, base: &Path, cancel: &Cancel) -> Result<PathBuf, RehearseError> {
        let (root, upper) = (folder.join("root"), folder.join("upper"));
        for folder in [folder, &root, &upper, &folder.join("work")] {
            fs::create_dir(folder).map_err(RehearseError::io("make", folder))?;
        }
        if self == Self::Overlay {
            let link = folder.join("base");
            symlink(base, &link).map_err(RehearseError::io("make", &link))?;
            like(base, &upper)?;
            return Ok(upper);
        }
        fs::remove_dir(&root).map_err(RehearseError::io("remove", &root))?;
        Tool::new("cp")
            .args(["-a", "--reflink=auto", "--"])
            .args([base, &root])
            .limit(Duration::from_secs(300))
            .succeed(cancel)
            .map_err(RehearseError::tool("copy the base system"))?;
        Ok(root)
    }
}

/// Writes what makes this host itself, and returns the public key of its sshd. `operator`: the public key of who may log
/// in as root.
pub(super) fn settle(
    layer: &Path,
    base: &Path,
    plan: &HostPlan,
    operator: &str,
    cancel: &Cancel,
) -> Result<String, RehearseError> {
    let layer = Layer { root: layer, base };
    let name = &plan.name;
    layer.put("etc/hostname", 0o644, &format!("{name}\n"))?;
    layer.put("etc/hosts", 0o644, &format!("127.0.0.1\tlocalhost\n127.0.1.1\t{name}\n::1\tlocalhost\n"))?;
    // An empty list means the loopback, which refuses at once: no name is found, and nobody waits for it.
    layer.put("etc/resolv.conf", 0o644, "")?;
    if let Some(id) = &plan.machine_id {
        layer.put("etc/machine-id", 0o444, &format!("{id}\n"))?;
    }
    layer.folder("root/.ssh", 0o700)?;
    layer.put("root/.ssh/authorized_keys", 0o600, operator)?;
    layer.folder("etc/ssh", 0o755)?;
    Tool::new("ssh-keygen")
        .args(["-A", "-f"])
        .arg(layer.root)
        .succeed(cancel)
        .map_err(RehearseError::tool("make the host's ssh keys"))?;
    let key = layer.root.join("etc/ssh/ssh_host_ed25519_key.pub");
    fs::read_to_string(&key).map_err(RehearseError::io("read", &key))
}

/// Writes into a root file system that lies over a base: a folder made here keeps the looks of the base's.
struct Layer<'a> {
    root: &'a Path,
    base: &'a Path,
}

impl Layer<'_> {
    fn put(&self, path: &str, mode: u32, text: &str) -> Result<(), RehearseError> {
        if let Some(parent) = Path::new(path).parent() {
            self.folder(&parent.to_string_lossy(), 0o755)?;
        }
        let path = self.root.join(path);
        fs::write(&path, text).map_err(RehearseError::io("write", &path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .map_err(RehearseError::io("chmod", &path))
    }

    fn folder(&self, path: &str, mode: u32) -> Result<(), RehearseError> {
        if let Some(parent) = Path::new(path).parent().filter(|parent| !parent.as_os_str().is_empty()) {
            self.folder(&parent.to_string_lossy(), 0o755)?;
        }
        let made = self.root.join(path);
        if made.is_dir() {
            return Ok(());
        }
        fs::create_dir(&made).map_err(RehearseError::io("make", &made))?;
        let model = self.base.join(path);
        if model.is_dir() {
            return like(&model, &made);
        }
        fs::set_permissions(&made, fs::Permissions::from_mode(mode))
            .map_err(RehearseError::io("chmod", &made))
    }
}

fn like(model: &Path, folder: &Path) -> Result<(), RehearseError> {
    let about = fs::metadata(model).map_err(RehearseError::io("read", model))?;
    chown(folder, Some(about.uid()), Some(about.gid())).map_err(RehearseError::io("chown", folder))?;
    fs::set_permissions(folder, about.permissions()).map_err(RehearseError::io("chmod", folder))
}

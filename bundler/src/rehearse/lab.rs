//! One rehearsal's room: a folder, a control group and a switch, and the way to be rid of all three.
//!
//! The folder's lock is held by the switch's keeper, so it is free exactly when the rehearsal is dead, however
//! it died. [`Lab::open`] first sweeps every folder whose lock is free.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process;
use std::time::SystemTime;

use super::base::{Base, remove_tree};
use super::cancel::Cancel;
use super::cgroup;
use super::error::RehearseError;
use super::host::{Host, HostPlan};
use super::need;
use super::netns::{Hold, Netns};
use super::nspawn;
use super::reach::Access;
use super::talk::Talk;

/// The net between the switch and its hosts: from the range that RFC 2544 sets aside for laboratories, so no
/// inventory has an address in it. Two rehearsals may both use it, as their switches know nothing of each other.
const NET: [u8; 3] = [198, 18, 0];
/// The same for IPv6, from RFC 5180.
pub(super) const NET6: &str = "2001:2::";
/// The group whose members are the rehearsals of this machine.
const PREFIX: &str = "chom-rehearsal-";

/// How a lab is made.
#[derive(Debug, Clone)]
pub struct LabOptions {
    /// Folder for base systems and hosts.
    pub cache: PathBuf,
    /// Archives for the base system; empty: this machine's own apt sources.
    pub mirrors: Vec<String>,
    /// Leave the hosts running at the end.
    pub keep: bool,
}

/// The room of one rehearsal.
#[derive(Debug)]
pub struct Lab {
    options: LabOptions,
    id: String,
    folder: PathBuf,
    overlay: bool,
    switch: Option<Netns>,
    access: Access,
    hosts: u8,
    /// Addresses that hosts carry beside their own.
    further: Vec<IpAddr>,
    cancel: Cancel,
}

impl Lab {
    /// Checks what is needed, sweeps what killed rehearsals left, and makes an empty room.
    pub fn open(options: LabOptions, talk: &Talk<'_>, cancel: &Cancel) -> Result<Self, RehearseError> {
        need::check()?;
        let all = options.cache.join("rehearse");
        fs::create_dir_all(&all).map_err(RehearseError::io("make", &all))?;
        // Held until this room's own lock is: else another rehearsal would sweep it in between.
        let door = shut_door(&all)?;
        for left in sweep(&all)? {
            talk.say(format!("swept what the rehearsal {left} had left"));
        }
        let id = new_id();
        let folder = all.join(&id);
        fs::create_dir(&folder).map_err(RehearseError::io("make", &folder))?;
        let lock = folder.join("lock");
        File::create(&lock).map_err(RehearseError::io("make", &lock))?;
        let switch = Netns::new(
            &format!("{PREFIX}{id}"),
            &lock,
            &folder.join("switch.log"),
            Hold::Alone,
            options.keep,
            cancel,
        )?;
        drop(door);
        let mut lab = Self {
            access: Access::new(&folder, switch.pid()),
            overlay: false,
            switch: None,
            options,
            id,
            folder,
            hosts: 0,
            further: Vec::new(),
            cancel: cancel.clone(),
        };
        let [a, b, c] = NET;
        switch.ip(
            &format!("link add sw type bridge\naddr add {a}.{b}.{c}.1/24 dev sw\naddr add {NET6}1/64 dev sw nodad\nlink set sw up\n"),
            cancel,
        )?;
        lab.switch = Some(switch);
        lab.overlay = nspawn::can_overlay(&lab.folder, cancel)?;
        lab.access.make_key(cancel)?;
        Ok(lab)
    }

    /// Makes a host and boots it.
    pub fn host(&mut self, plan: HostPlan, talk: &Talk<'_>) -> Result<Host, RehearseError> {
        let base = Base::get(&self.options.cache, plan.suite, &self.options.mirrors, talk, &self.cancel)?;
        let Some(switch) = &self.switch else { return Err(RehearseError::Stopped) };
        self.hosts += 1;
        let [a, b, c] = NET;
        let address = Ipv4Addr::new(a, b, c, 1 + self.hosts);
        let group = format!("{PREFIX}{}/{}", self.id, plan.name);
        let further = plan.addresses.clone();
        let mut host = Host::new(plan, group, &self.folder, base, self.overlay, address, self.access.clone());
        host.connect(switch, self.hosts, &self.further, self.options.keep, &self.cancel)?;
        self.further.extend(further);
        host.boot()?;
        Ok(host)
    }

    /// What this rehearsal is called among others on this machine.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether hosts are left running at the end.
    pub fn keeps(&self) -> bool {
        self.options.keep
    }

    /// Leaves everything running.
    pub fn leave(mut self) {
        self.switch = None;
    }

    /// Ends every host and removes every trace.
    pub fn close(mut self) -> Result<(), RehearseError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), RehearseError> {
        let Some(switch) = self.switch.take() else { return Ok(()) };
        let ended = cgroup::end(&format!("{PREFIX}{}", self.id));
        switch.end();
        ended.and_then(|()| remove_tree(&self.folder))
    }
}

impl Drop for Lab {
    /// For a test that fails: the promise is kept by the leash and the sweep, not by this.
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            log::warn!("{error}");
        }
    }
}

/// Ends every rehearsal that was kept in this cache, and names them. One that is still being worked on is left alone.
pub fn clean(cache: &Path) -> Result<Vec<String>, RehearseError> {
    need::check()?;
    let all = cache.join("rehearse");
    if !all.is_dir() {
        return Ok(Vec::new());
    }
    let _door = shut_door(&all)?;
    let mut ended = Vec::new();
    for (id, folder) in rooms(&all)? {
        if is_at_work(&id) {
            continue;
        }
        cgroup::end(&format!("{PREFIX}{id}"))?;
        remove_tree(&folder)?;
        ended.push(id);
    }
    Ok(ended)
}

// The name begins with the number of the process that made it, which a kept rehearsal has outlived.
fn is_at_work(id: &str) -> bool {
    id.split('-').next().is_some_and(|pid| Path::new("/proc").join(pid).is_dir())
}

fn sweep(all: &Path) -> Result<Vec<String>, RehearseError> {
    let mut swept = Vec::new();
    for (id, folder) in rooms(all)? {
        let lock = folder.join("lock");
        let alive = File::open(&lock).is_ok_and(|lock| lock.try_lock().is_err());
        if !alive {
            cgroup::end(&format!("{PREFIX}{id}"))?;
            remove_tree(&folder)?;
            swept.push(id);
        }
    }
    Ok(swept)
}

fn rooms(all: &Path) -> Result<Vec<(String, PathBuf)>, RehearseError> {
    let mut rooms = Vec::new();
    for entry in fs::read_dir(all).map_err(RehearseError::io("list", all))? {
        let entry = entry.map_err(RehearseError::io("list", all))?;
        if entry.path().is_dir() {
            rooms.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
        }
    }
    rooms.sort();
    Ok(rooms)
}

fn shut_door(all: &Path) -> Result<File, RehearseError> {
    let path = all.join("door.lock");
    let door = File::create(&path).map_err(RehearseError::io("make", &path))?;
    door.lock().map_err(RehearseError::io("lock", &path))?;
    Ok(door)
}

/// Unique on this machine, and short: it is part of the container's name.
fn new_id() -> String {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    format!("{}-{:06x}", process::id(), now.as_micros() & 0x00ff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_being_worked_on_is_told_from_what_was_kept() {
        assert!(is_at_work(&new_id()));
        // No process has a number beyond the kernel's greatest.
        assert!(!is_at_work("4194305-0a1b2c"));
    }
}

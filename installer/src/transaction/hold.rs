//! The hold on the host: one run that changes something at a time.
//!
//! It is an `flock`, which the kernel gives up when the process ends in whatever way, and which no child
//! inherits. The text in the file only tells others who holds it; it is never believed.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _};
use std::os::unix::fs::FileExt as _;
use std::thread::sleep;
use std::time::Duration;

use chom_format::exit::Explain;
use chom_format::{Exit, HostState};
use serde::{Deserialize, Serialize};

use super::Files;
use crate::sys::{Access, Effect, Sys, SysError, open_own};

// A look at the lock holds it for a moment.
const LOOKS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(20);

/// The right to change the host, until dropped.
#[derive(Debug)]
pub struct Hold {
    lock: File,
}

/// Who holds the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process.
    pub pid: u32,
    /// Since when, RFC 3339.
    pub since: String,
    /// What it is doing.
    pub phase: String,
}

impl Holder {
    /// How long it has been doing this, for a person.
    pub fn age(&self) -> String {
        let Ok(since) = self.since.parse::<jiff::Timestamp>() else { return "some time".to_owned() };
        let seconds = jiff::Timestamp::now().duration_since(since).as_secs().max(0);
        match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
            (0, 0, seconds) => format!("{seconds} s"),
            (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
            (hours, minutes, _) => format!("{hours} h {minutes} min"),
        }
    }
}

/// The host could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum Busy {
    /// Another run has it.
    #[error("another run holds this host{}", .0.as_ref().map_or_else(String::new, |holder| {
        format!(": process {}, {} for {}", holder.pid, holder.phase, holder.age())
    }))]
    Held(Option<Holder>),
    /// The lock could not be opened.
    #[error(transparent)]
    Sys(#[from] SysError),
}

impl Hold {
    /// Takes the host. None when no transaction was ever begun here, and so nothing is there to be locked:
    /// see [`Hold::establish`].
    pub fn take(sys: &mut dyn Sys, files: &Files, phase: &str) -> Result<Option<Self>, Busy> {
        if !files.exist(sys)? {
            files.clear(sys)?;
            return Ok(None);
        }
        // A run may have been cut off while it made the directory.
        files.establish(sys)?;
        let path = files.lock()?;
        if sys.meta(&path)?.is_none() {
            // A disk that has no room for it is told as for everything else that is written.
            sys.effect(&Effect::Reserve { path: &path, bytes: 1 })?;
        }
        let Some(file) = open_own(sys.root(), &path, Access::Lock)? else { return Ok(None) };
        let mut looks = 0;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                // Somebody who only looks is gone in no time.
                Err(TryLockError::WouldBlock) if looks < LOOKS => looks += 1,
                Err(TryLockError::WouldBlock) => match holder(&file) {
                    // It has the lock, and is about to say so.
                    None if looks < 2 * LOOKS => looks += 1,
                    told => return Err(Busy::Held(told)),
                },
                Err(TryLockError::Error(error)) => return Err(SysError::io("lock", &path)(error).into()),
            }
            sleep(PAUSE);
        }
        let hold = Self { lock: file };
        hold.say(phase);
        files.sweep(sys)?;
        files.furnish(sys)?;
        Ok(Some(hold))
    }

    /// Who holds the host now; none when nobody does. Changes nothing.
    pub fn holder(sys: &dyn Sys, files: &Files) -> Result<Option<Holder>, SysError> {
        let path = files.lock()?;
        let Some(file) = open_own(sys.root(), &path, Access::Read).ok().flatten() else { return Ok(None) };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(holder(&file).unwrap_or_default())),
            Err(TryLockError::Error(error)) => Err(SysError::io("lock", &path)(error)),
        }
    }

    /// Takes the host, and makes the state directory first when there is none.
    pub fn establish(sys: &mut dyn Sys, files: &Files, phase: &str) -> Result<Self, Busy> {
        files.establish(sys)?;
        Self::take(sys, files, phase)?.ok_or(Busy::Held(None))
    }

    /// Tells others what this run is doing now.
    pub fn say(&self, phase: &str) {
        let holder = Holder {
            pid: std::process::id(),
            since: jiff::Timestamp::now().to_string(),
            phase: phase.to_owned(),
        };
        let told = serde_json::to_vec(&holder).map_err(std::io::Error::from).and_then(|text| {
            // Cut after it is written: who reads between the two finds a whole sentence, and a rest behind it.
            self.lock.write_all_at(&text, 0)?;
            self.lock.set_len(text.len() as u64)
        });
        if let Err(error) = told {
            log::warn!("the lock does not tell who holds it: {error}");
        }
    }
}

fn holder(mut file: &File) -> Option<Holder> {
    let mut text = String::new();
    file.take(4096).read_to_string(&mut text).ok()?;
    file.rewind().ok()?;
    serde_json::Deserializer::from_str(&text).into_iter().next()?.ok()
}

impl Explain for Busy {
    fn exit(&self) -> Exit {
        match self {
            Self::Held(_) => Exit::Busy,
            Self::Sys(_) => Exit::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Held(Some(holder)) => Some(format!("wait for it, or look at it: ps -fp {}", holder.pid)),
            Self::Held(None) => Some("wait for it, and try again".to_owned()),
            Self::Sys(error) => error.hint(),
        }
    }

    fn host(&self) -> HostState {
        HostState::Unchanged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::RealSys;
    use crate::sys::fault::{Fault, FaultSys};

    #[test]
    fn one_run_at_a_time_and_the_other_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("var/lib")).unwrap();
        let mut sys = RealSys::new(dir.path());
        let files = Files::standard().unwrap();
        assert!(Hold::take(&mut sys, &files, "plan").unwrap().is_none());
        let hold = Hold::establish(&mut sys, &files, "install").unwrap();
        let Err(busy) = Hold::take(&mut sys, &files, "rollback") else { panic!("taken twice") };
        assert_eq!(busy.exit(), Exit::Busy);
        assert!(busy.to_string().contains(&format!("process {}", std::process::id())), "{busy}");
        assert!(busy.to_string().ends_with("install for 0 s"), "{busy}");
        hold.say("installing something with a long name");
        hold.say("install");
        assert_eq!(Hold::holder(&sys, &files).unwrap().unwrap().phase, "install");
        drop(hold);
        assert_eq!(Hold::holder(&sys, &files).unwrap(), None);
        assert!(Hold::take(&mut sys, &files, "rollback").unwrap().is_some());
    }

    #[test]
    fn of_those_who_come_at_once_to_a_bare_host_one_has_it() {
        for _ in 0..20 {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(dir.path().join("var/lib")).unwrap();
            std::fs::create_dir_all(dir.path().join("var/tmp")).unwrap();
            let parent = "/var/lib".parse().unwrap();
            let before = RealSys::new(dir.path()).attrs(&parent).unwrap();
            let come = || {
                let files = Files::standard().unwrap();
                Hold::establish(&mut RealSys::new(dir.path()), &files, "install")
            };
            let ends: Vec<_> = std::thread::scope(|scope| {
                let runs: Vec<_> = (0..6).map(|_| scope.spawn(come)).collect();
                runs.into_iter().map(|run| run.join().unwrap()).collect()
            });
            assert_eq!(ends.iter().filter(|end| end.is_ok()).count(), 1, "{ends:?}");
            assert!(ends.iter().all(|end| matches!(end, Ok(_) | Err(Busy::Held(_)))), "{ends:?}");
            assert_eq!(RealSys::new(dir.path()).attrs(&parent).unwrap(), before);
        }
    }

    #[test]
    fn an_age_is_told_as_a_person_would() {
        let ago = |seconds| Holder {
            since: (jiff::Timestamp::now() - Duration::from_secs(seconds)).to_string(),
            ..Holder::default()
        };
        assert_eq!((ago(7).age().as_str(), ago(75).age().as_str()), ("7 s", "1 min 15 s"));
        assert_eq!(ago(2 * 3600 + 62).age(), "2 h 1 min");
        assert_eq!(Holder::default().age(), "some time");
    }

    #[test]
    fn making_the_state_directory_leaves_its_parent_as_it_was() {
        for (faulty, places) in [&["var/lib", "var/tmp"][..], &["var/lib"]].into_iter().flat_map(with_faults)
        {
            let dir = tempfile::tempdir().unwrap();
            for place in places {
                std::fs::create_dir_all(dir.path().join(place)).unwrap();
            }
            let mut sys = FaultSys::new(dir.path(), faulty);
            let files = Files::standard().unwrap();
            let times = |sys: &FaultSys| -> Vec<_> {
                places.iter().map(|place| sys.attrs(&format!("/{place}").parse().unwrap()).unwrap()).collect()
            };
            let before = times(&sys);
            let made = files.establish(&mut sys);
            assert_eq!(times(&sys), before, "{faulty:?}, {places:?}: {made:?}");
            files.establish(&mut FaultSys::new(dir.path(), Fault::None)).unwrap();
            assert_eq!(times(&sys), before, "{faulty:?}, {places:?}, and again");
        }
    }

    /// None, and each kind that the process outlives at each effect that there may be.
    fn with_faults<'a>(places: &'a [&'a str]) -> impl Iterator<Item = (Fault, &'a [&'a str])> {
        let at = |at| [Fault::Fail(at), Fault::Deny(at), Fault::Full(at)];
        std::iter::once(Fault::None).chain((1..12).flat_map(at)).map(move |fault| (fault, places))
    }
}

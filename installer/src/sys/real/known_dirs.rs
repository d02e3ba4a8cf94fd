//! Directories that were walked to a moment ago, so that looking at ten thousand paths does not open each of their parents
//! ten thousand times.
//!
//! Only directories that are root's up to `/` are here, so nobody else can have moved one meanwhile. All of them are
//! forgotten before every effect and every program, and after a moment anyway: nothing is ever written through one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chom_format::HostPath;

use super::walk::Dir;

/// Each holds a descriptor, of which a process may have 1,024.
const MOST: usize = 128;
const MOMENT: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
pub(super) struct KnownDirs(Mutex<Option<Known>>);

#[derive(Debug)]
struct Known {
    since: Instant,
    dirs: HashMap<HostPath, Arc<Dir>>,
}

impl KnownDirs {
    /// The directory that this path led to a moment ago.
    pub(super) fn get(&self, path: &HostPath) -> Option<Arc<Dir>> {
        let known = self.0.lock().ok()?;
        let known = known.as_ref().filter(|known| known.since.elapsed() < MOMENT)?;
        known.dirs.get(path).cloned()
    }

    pub(super) fn note(&self, path: HostPath, dir: &Arc<Dir>) {
        let Ok(mut known) = self.0.lock() else { return };
        let fits = |known: &Known| known.since.elapsed() < MOMENT && known.dirs.len() < MOST;
        if dir.is_roots() {
            let mut kept = known
                .take()
                .filter(fits)
                .unwrap_or_else(|| Known { since: Instant::now(), dirs: HashMap::new() });
            kept.dirs.insert(path, Arc::clone(dir));
            *known = Some(kept);
        }
    }

    pub(super) fn forget(&self) {
        if let Ok(mut known) = self.0.lock() {
            *known = None;
        }
    }
}

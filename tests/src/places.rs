//! Places for throw-away hosts. All scenes of all suites may be started at once; each waits here until its turn has come:
//! what takes long is first, and so many hosts live at once as `CHOM_HOSTS` says. Tells how long each scene had its place.
//!
//! A thread has one place at most, and none while it waits for one: so nobody waits for somebody who waits.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::env;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::matrix;

/// The suites whose scenes take longest, in the order in which they begin. Those of `effects` want the machine for
/// themselves at first: nobody has to make room for them when they are the first of all.
const LONG: [&str; 6] = ["effects", "power", "backup", "stacks", "ways", "faults"];
/// Until all that are started together have come.
const DOOR: Duration = Duration::from_millis(300);
/// More of them would run into what a kernel grants one user, such as watched directories.
const MOST: usize = 8;

static HALL: Mutex<Hall> =
    Mutex::new(Hall { open: false, come: 0, waiting: BTreeSet::new(), hosts: 0, alone: false });
static CHANGED: Condvar = Condvar::new();

thread_local! {
    static MINE: RefCell<Option<Taken>> = const { RefCell::new(None) };
}

struct Hall {
    open: bool,
    /// Who has come so far.
    come: u64,
    waiting: BTreeSet<Turn>,
    hosts: usize,
    /// One has the machine for itself.
    alone: bool,
}

/// Who is next: by suite, then by arrival.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    rank: usize,
    number: u64,
    alone: bool,
}

/// A place that a thread has.
struct Taken {
    alone: bool,
    since: Instant,
}

/// A place, until it is dropped; of a thread that has one already, that one.
#[must_use]
#[derive(Debug)]
pub struct Place {
    mine: bool,
}

/// Waits for a place for one host.
pub fn one() -> Place {
    take(false)
}

/// Waits until no other host lives. None comes before this one has left.
pub fn alone() -> Place {
    take(true)
}

/// Leaves before the end: the host of this scene is switched off, and others may have its place.
pub fn leave() {
    let Some(taken) = MINE.take() else { return };
    let mut hall = hall();
    if taken.alone {
        hall.alone = false;
    } else {
        hall.hosts -= 1;
    }
    drop(hall);
    CHANGED.notify_all();
    note(&scene(), taken.since.elapsed());
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.mine {
            leave();
        }
    }
}

/// The scene that this thread plays; libtest names its threads so.
pub fn scene() -> String {
    thread::current().name().unwrap_or("main").to_owned()
}

/// How many hosts live at once: twice as many as there are processors, as they wait for their services half of the time.
pub fn most() -> usize {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    matrix::number("CHOM_HOSTS", (2 * processors).min(MOST)).max(1)
}

fn hall() -> MutexGuard<'static, Hall> {
    HALL.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take(alone: bool) -> Place {
    if MINE.with_borrow(Option::is_some) {
        return Place { mine: false };
    }
    let most = most();
    let mut hall = hall();
    hall.come += 1;
    let turn = Turn { rank: rank(&scene()), number: hall.come, alone };
    hall.waiting.insert(turn.clone());
    if turn.number == 1 {
        drop(hall);
        thread::sleep(DOOR);
        hall = self::hall();
        hall.open = true;
        CHANGED.notify_all();
    }
    while !hall.admits(&turn, most) {
        hall = CHANGED.wait(hall).unwrap_or_else(PoisonError::into_inner);
    }
    hall.enter(&turn);
    drop(hall);
    // The next one may have room beside this one.
    CHANGED.notify_all();
    MINE.set(Some(Taken { alone, since: Instant::now() }));
    Place { mine: true }
}

impl Hall {
    fn admits(&self, turn: &Turn, most: usize) -> bool {
        let room = if turn.alone { self.hosts == 0 } else { self.hosts < most };
        self.open && !self.alone && room && self.waiting.first() == Some(turn)
    }

    fn enter(&mut self, turn: &Turn) {
        self.waiting.remove(turn);
        if turn.alone {
            self.alone = true;
        } else {
            self.hosts += 1;
        }
    }
}

fn rank(scene: &str) -> usize {
    let suite = scene.split("::").next().unwrap_or_default();
    LONG.iter().position(|long| *long == suite).unwrap_or(LONG.len())
}

/// For the table at the end of `make test`.
fn note(scene: &str, took: Duration) {
    let Some(path) = env::var_os("CHOM_SECONDS") else { return };
    let line = format!("{scene} {:.1}\n", took.as_secs_f64());
    let file = OpenOptions::new().create(true).append(true).open(&path);
    let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
    written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(scene: &str, number: u64, alone: bool) -> Turn {
        Turn { rank: rank(scene), number, alone }
    }

    #[test]
    fn what_takes_long_is_first_and_who_is_alone_is_alone() {
        let mut hall = Hall { open: true, come: 4, waiting: BTreeSet::new(), hosts: 0, alone: false };
        let [odd, power] = [turn("odd::a", 1, false), turn("power::a", 2, false)];
        let [first, second] = [turn("effects::a", 3, true), turn("effects::b", 4, false)];
        hall.waiting.extend([&odd, &power, &first, &second].map(Clone::clone));
        assert!(hall.admits(&first, 2) && !hall.admits(&second, 2) && !hall.admits(&odd, 2));
        hall.enter(&first);
        assert!(!hall.admits(&second, 2), "beside one who is alone");
        hall.alone = false;
        hall.enter(&second);
        assert!(!hall.admits(&odd, 2), "before one that takes longer");
        hall.enter(&power);
        assert!(!hall.admits(&odd, 2), "a third of two");
        hall.hosts -= 1;
        assert!(hall.admits(&odd, 2));
        // Who wants to be alone waits for those who are there, and others wait for it.
        let third = turn("effects::c", 5, true);
        hall.waiting.insert(third.clone());
        assert!(!hall.admits(&third, 2) && !hall.admits(&odd, 2));
        hall.hosts -= 1;
        assert!(hall.admits(&third, 2));
    }

    #[test]
    fn a_thread_has_one_place_and_may_leave_it_early() {
        let place = one();
        let nested = one();
        assert!(place.mine && !nested.mine);
        drop(nested);
        assert!(MINE.with_borrow(Option::is_some));
        leave();
        assert!(MINE.with_borrow(Option::is_none));
        let again = alone();
        assert!(again.mine);
        drop(again);
        drop(place);
        assert_eq!(hall().hosts, 0);
    }
}

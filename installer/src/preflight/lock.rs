//! dpkg's lock: waited for, its holder named, never broken.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::Finding;
use super::proc::Owner;
use crate::sys::{Access, open_own};

const CHECK: &str = "package-lock";
const LOCKS: [&str; 3] = ["/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock"];
const PAUSE: Duration = Duration::from_millis(500);

pub(super) fn check(patience: Duration, waiting: &dyn Fn(&str)) -> Finding {
    let begun = Instant::now();
    loop {
        let Some((lock, owner)) = LOCKS.iter().find_map(|lock| Some((*lock, holder(lock)?))) else {
            return Finding::pass(CHECK, "free");
        };
        if begun.elapsed() >= patience || crate::sys::interrupt::pending().is_some() {
            let waited = if patience.is_zero() {
                String::new()
            } else {
                format!(" since {} s", begun.elapsed().as_secs())
            };
            return Finding::fail(
                CHECK,
                format!("{lock} is held{waited} by {owner}"),
                "wait until that package run is over, then try again",
            );
        }
        waiting(&format!("{owner}, which holds {lock}"));
        sleep(PAUSE.min(patience));
    }
}

// The process that holds a write lock on the file. The kernel tells without the lock being tried.
fn holder(lock: &str) -> Option<Owner> {
    let file = open_own(Path::new("/"), &lock.parse().ok()?, Access::Read).ok()??;
    let mut question = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_GETLK(&mut question)).ok()?;
    if question.l_type == libc::F_UNLCK as libc::c_short {
        return None;
    }
    Some(Owner::of(u32::try_from(question.l_pid).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_named_and_a_free_lock_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        std::fs::write(&path, "").unwrap();
        assert_eq!(holder(path.to_str().unwrap()), None);
        // Our own locks do not show, so another process takes it, as apt would.
        let script = "import fcntl,sys,time; f=open(sys.argv[1],'w'); fcntl.lockf(f,fcntl.LOCK_EX); print(1,flush=True); time.sleep(60)";
        let perl = "use Fcntl; open F,'>',$ARGV[0]; my $l=pack('s s l! l! i',F_WRLCK,0,0,0,0); fcntl(F,F_SETLK,$l) or die; $|=1; print \"1\\n\"; sleep 60";
        let mut child = ["perl -e", "python3 -c"]
            .iter()
            .find_map(|program| {
                let (name, flag) = program.split_once(' ').unwrap();
                let code = if name == "perl" { perl } else { script };
                let mut command = std::process::Command::new(name);
                command.args([flag, code]).arg(&path).stdout(std::process::Stdio::piped()).spawn().ok()
            })
            .expect("perl, which is on every Debian, or python3");
        let mut line = [0; 2];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        let owner = holder(path.to_str().unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(owner.map(|owner| owner.pid), Some(child.id()));
        assert_eq!(holder(path.to_str().unwrap()), None);
    }
}

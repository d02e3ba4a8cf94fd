//! Runs one child process: its own session, a clean environment, a deadline, bounded output.

use std::io::{self, Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, User};

use super::command::{Command, Output};
use super::{RealSys, Sys as _, SysError, named, view};

/// Where a child's program is looked for, and what it is told.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
// How long a group may take to end by itself once it is asked to.
const GRACE: Duration = Duration::from_secs(5);
// A daemon that a child left behind may hold the pipes open for ever.
const DRAIN: Duration = Duration::from_secs(2);
const HALF_OF_OUTPUT: usize = 2 << 20;

/// Runs a command to its end.
pub(super) fn run(command: &Command) -> Result<Output, SysError> {
    let line = command.argv.join(" ");
    let mut child = spawn(command, &line)?;
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    if let (Some(mut pipe), Some(bytes)) = (child.stdin.take(), command.stdin.clone()) {
        // A child that does not read all of it is no failure: its exit code tells.
        thread::spawn(move || pipe.write_all(&bytes).ok());
    }
    let (status, timed_out) = wait(child, command.timeout).map_err(SysError::io("wait for", &line))?;
    let take = |from: Option<Receiver<Vec<u8>>>| {
        from.and_then(|output| output.recv_timeout(DRAIN).ok()).unwrap_or_default()
    };
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1);
    let output = Output { code, stdout: take(stdout), stderr: take(stderr) };
    if timed_out {
        let complaint = output.complaint();
        return Err(SysError::Timeout { command: line, timeout: command.timeout, complaint });
    }
    Ok(output)
}

/// Runs a command to its end and hands on its standard output while it comes. A writer that fails ends the group.
pub(super) fn stream(command: &Command, out: &mut dyn io::Write) -> Result<Output, SysError> {
    let line = command.argv.join(" ");
    let end = Instant::now() + command.timeout;
    let mut child = spawn(command, &line)?;
    let chunks = child.stdout.take().map(chunks);
    let stderr = child.stderr.take().map(collect);
    let handed = chunks.map_or(Ok(()), |chunks| hand_on(&chunks, end, out));
    let left = if handed.is_ok() { end.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
    let (status, timed_out) = wait(child, left).map_err(SysError::io("wait for", &line))?;
    let stderr = stderr.and_then(|output| output.recv_timeout(DRAIN).ok()).unwrap_or_default();
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1);
    let output = Output { code, stdout: Vec::new(), stderr };
    match handed {
        Err(Stopped::Writer(error)) => Err(SysError::io("take what is written by", &line)(error)),
        Err(Stopped::Late) | Ok(()) if timed_out => {
            let complaint = output.complaint();
            Err(SysError::Timeout { command: line, timeout: command.timeout, complaint })
        }
        Err(Stopped::Late) | Ok(()) => Ok(output),
    }
}

/// Why the output of a child is no longer taken.
enum Stopped {
    Writer(io::Error),
    Late,
}

fn hand_on(
    chunks: &Receiver<io::Result<Vec<u8>>>,
    end: Instant,
    out: &mut dyn io::Write,
) -> Result<(), Stopped> {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match chunks.recv_timeout(left) {
            Ok(chunk) => chunk.and_then(|chunk| out.write_all(&chunk)).map_err(Stopped::Writer)?,
            Err(RecvTimeoutError::Timeout) => return Err(Stopped::Late),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// Reads a pipe in a thread of its own, a few chunks ahead.
fn chunks(mut pipe: impl Read + Send + 'static) -> Receiver<io::Result<Vec<u8>>> {
    let (sender, output) = sync_channel(4);
    thread::spawn(move || {
        loop {
            let mut buffer = vec![0; 64 << 10];
            let read = match pipe.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => {
                    buffer.truncate(count);
                    Ok(buffer)
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let failed = read.is_err();
            if sender.send(read).is_err() || failed {
                return;
            }
        }
    });
    output
}

fn spawn(command: &Command, line: &str) -> Result<Child, SysError> {
    let mut prepared = prepare(command)?;
    if command.view.is_empty() {
        return prepared.spawn().map_err(SysError::io("run", line));
    }
    // A thread has a mount namespace of its own, and its children inherit it; the thread ends with that.
    let started = thread::scope(|scope| {
        let view = scope.spawn(move || view::enter(&command.view).map(|()| prepared.spawn()));
        view.join().map_err(|_| SysError::other("run", line, "the thread that starts it failed"))
    });
    started??.map_err(SysError::io("run", line))
}

fn prepare(command: &Command) -> Result<std::process::Command, SysError> {
    let argv = argv(command)?;
    let (program, arguments) =
        argv.split_first().ok_or_else(|| SysError::other("run", "a command", "its argv is empty"))?;
    // A session of its own, which has no terminal: a program that runs as another account could type into ours.
    let mut child = std::process::Command::new(find("setsid")?);
    child
        .arg(find(program)?)
        .args(arguments)
        .env_clear()
        .envs([("PATH", PATH), ("LC_ALL", "C.UTF-8"), ("HOME", "/root")])
        .envs(&command.env)
        .current_dir("/")
        .stdin(stdin(command)?)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(child)
}

fn stdin(command: &Command) -> Result<Stdio, SysError> {
    let Some(path) = &command.stdin_from else {
        return Ok(if command.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
    };
    let place = super::real::walk::place(Path::new("/"), path)?;
    place.read().map(Stdio::from).map_err(SysError::io("open", path))
}

/// The argv, behind the one program of every Debian system that takes up a user with all its groups.
fn argv(command: &Command) -> Result<Vec<String>, SysError> {
    let Some(name) = &command.user else { return Ok(command.argv.clone()) };
    let user = User::from_name(name)
        .map_err(|error| SysError::io("look up the user", name)(error.into()))?
        .ok_or_else(|| SysError::other("look up the user", name, "there is none of this name"))?;
    let mut argv =
        vec!["setpriv".to_owned(), format!("--reuid={}", user.uid), format!("--regid={}", user.gid)];
    argv.extend(["--init-groups".to_owned(), "--".to_owned()]);
    argv.extend(command.argv.iter().cloned());
    Ok(argv)
}

/// The path of a program in the system's own directories, whatever our own `PATH` says.
fn find(program: &str) -> Result<PathBuf, SysError> {
    let missing = || SysError::io("run", program)(io::Error::new(io::ErrorKind::NotFound, "no such program"));
    if program.starts_with('/') {
        let found = RealSys::new("/").resolve(&named(program)?)?;
        return found.map(|_| program.into()).ok_or_else(missing);
    }
    which::which_in(program, Some(PATH), "/").map_err(|_| missing())
}

/// Waits for a child, and ends its group when it takes too long.
fn wait(mut child: Child, timeout: Duration) -> io::Result<(ExitStatus, bool)> {
    let group = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
    let (sender, ended) = channel();
    thread::spawn(move || sender.send(child.wait()));
    if let Ok(status) = ended.recv_timeout(timeout) {
        return Ok((status?, false));
    }
    // The group may be gone by now, which is all that we want.
    killpg(group, Signal::SIGTERM).ok();
    let status = match ended.recv_timeout(GRACE) {
        Ok(status) => status,
        Err(_) => {
            killpg(group, Signal::SIGKILL).ok();
            ended.recv().map_err(io::Error::other)?
        }
    };
    // Whoever of the group outlived its leader.
    killpg(group, Signal::SIGKILL).ok();
    Ok((status?, true))
}

/// Reads a pipe to its end in a thread of its own, so that no child ever waits for us to read.
fn collect(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, output) = channel();
    thread::spawn(move || {
        let mut kept = HeadAndTail::default();
        let mut buffer = [0; 16 << 10];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            kept.push(buffer.get(..count).unwrap_or_default());
        }
        sender.send(kept.finish()).ok();
    });
    output
}

/// The beginning and the end of a stream that may be endless.
#[derive(Default)]
struct HeadAndTail {
    head: Vec<u8>,
    tail: Vec<u8>,
    lost: bool,
}

impl HeadAndTail {
    fn push(&mut self, bytes: &[u8]) {
        let room = HALF_OF_OUTPUT - self.head.len();
        let (head, tail) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(head);
        self.tail.extend_from_slice(tail);
        if self.tail.len() > 2 * HALF_OF_OUTPUT {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.tail.len() > HALF_OF_OUTPUT {
            self.tail.drain(..self.tail.len() - HALF_OF_OUTPUT);
            self.lost = true;
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.cut();
        if self.lost {
            self.head.extend_from_slice(b"\n[...]\n");
        }
        self.head.extend_from_slice(&self.tail);
        self.head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        Command::new(["/bin/sh", "-c", script])
    }

    #[test]
    fn code_output_and_environment() {
        let output = run(&sh("echo out; echo err >&2; exit 3")).unwrap();
        assert_eq!((output.code, output.text().as_str(), output.complaint().as_str()), (3, "out\n", "err"));
        let output = run(&Command::new(["env"]).env("A", "b")).unwrap();
        let mut lines: Vec<_> = output.text().lines().map(str::to_owned).collect();
        lines.sort();
        assert_eq!(lines, ["A=b", "HOME=/root", "LC_ALL=C.UTF-8", &format!("PATH={PATH}")]);
    }

    #[test]
    fn standard_input_is_given_or_null() {
        assert_eq!(run(&Command::new(["cat"])).unwrap().text(), "");
        let command = Command { stdin: Some(b"given".to_vec()), ..Command::new(["cat"]) };
        assert_eq!(run(&command).unwrap().text(), "given");
    }

    #[test]
    fn a_user_comes_with_its_groups_and_nothing_of_ours() {
        let command = Command { user: Some("nobody".to_owned()), ..Command::new(["id", "-un"]) };
        assert_eq!(run(&command).unwrap().text(), "nobody\n");
        let command = Command { user: Some("nobody".to_owned()), ..Command::new(["id", "-Gn"]) };
        assert_eq!(run(&command).unwrap().text(), "nogroup\n");
        let command = Command { user: Some("no-such-user".to_owned()), ..Command::new(["id"]) };
        assert!(run(&command).unwrap_err().to_string().contains("no-such-user"));
    }

    #[test]
    fn a_view_is_the_childs_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("host"), "").unwrap();
        let layer =
            view::Layer { at: dir.path().to_path_buf(), under: view::Under::Nothing, lay: Vec::new() };
        let mut command = Command::new(["ls".to_owned(), dir.path().display().to_string()]);
        assert_eq!(run(&command).unwrap().text(), "host\n");
        command.view.push(layer);
        assert_eq!(run(&command).unwrap().text(), "");
        assert!(dir.path().join("host").exists());
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&Command::new(["no-such-program"])).unwrap_err();
        assert_eq!(error.to_string(), "run no-such-program: no such program");
    }

    #[test]
    fn a_late_group_is_ended_as_a_whole() {
        let begun = Instant::now();
        let command = sh("echo dying >&2; sleep 300 & sleep 300").timeout(Duration::from_millis(200));
        let error = run(&command).unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert!(matches!(&error, SysError::Timeout { complaint, .. } if complaint == "dying"), "{error}");
    }

    #[test]
    fn a_daemon_left_behind_does_not_hold_us() {
        let begun = Instant::now();
        // It leaves by itself, in its own session, with our pipes open.
        let output = run(&sh("setsid sleep 20 & echo $!")).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
        assert_eq!(output.code, 0);
    }

    #[test]
    fn output_of_any_length_is_handed_on() {
        let mut taken = Vec::new();
        let output =
            stream(&sh("head -c 9000000 /dev/zero; echo last; echo err >&2; exit 3"), &mut taken).unwrap();
        assert_eq!((output.code, output.complaint().as_str(), taken.len()), (3, "err", 9_000_005));
        assert!(taken.ends_with(b"last\n"));
    }

    #[test]
    fn a_writer_that_fails_ends_the_child_and_so_does_the_deadline() {
        struct Full;
        impl io::Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::other("larger than its limit"))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let begun = Instant::now();
        let error = stream(&sh("yes"), &mut Full).unwrap_err();
        assert!(error.to_string().ends_with("larger than its limit"), "{error}");
        let late = sh("echo x; sleep 300").timeout(Duration::from_millis(300));
        let mut taken = Vec::new();
        assert!(matches!(stream(&late, &mut taken), Err(SysError::Timeout { .. })));
        assert_eq!(taken, b"x\n");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_file_can_be_standard_input() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "from a file").unwrap();
        let path = file.path().to_str().unwrap().parse().unwrap();
        let command = Command { stdin_from: Some(path), ..Command::new(["cat"]) };
        assert_eq!(run(&command).unwrap().text(), "from a file");
    }

    #[test]
    fn endless_output_keeps_its_ends() {
        let output = run(&sh("echo first; head -c 9000000 /dev/zero; echo last")).unwrap();
        assert!(output.stdout.len() <= 2 * HALF_OF_OUTPUT + 16);
        assert!(output.stdout.starts_with(b"first") && output.stdout.ends_with(b"last\n"));
    }
}

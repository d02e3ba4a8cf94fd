//! Child processes of the control machine: argv, no terminal, a C locale, a deadline, a bound on what is kept of their
//! output, and the end of what they said in every error.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// The most that a program of this machine may say: apt tells a few MiB of a whole release.
const LONGEST_ANSWER: u64 = 64 << 20;
/// The most that is kept of standard error.
const LONGEST_TALK: u64 = 1 << 20;

/// Why a child process gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It could not be started.
    #[error("cannot start {program}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// What it wrote could not be read.
    #[error("cannot read what {program} writes")]
    Read {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It wrote more than any answer has, and was stopped with all its children.
    #[error("{program} was stopped: it wrote more than {} MiB", .limit >> 20)]
    TooMuch {
        /// The program.
        program: String,
        /// The most that it might write, in bytes.
        limit: u64,
    },
    /// It ended with something else than 0.
    #[error("{program} ended with {}{}", Ending(*.status), Tail(.stderr))]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// All that it wrote on standard error.
        stderr: String,
    },
    /// It did not end in time, and was stopped with all its children.
    #[error("{program} was stopped after {} s{}", .after.as_secs(), Tail(.stderr))]
    TimedOut {
        /// The program.
        program: String,
        /// The time that it had.
        after: Duration,
        /// All that it wrote on standard error until then.
        stderr: String,
    },
}

impl ChildError {
    /// Whether the program is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Start { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// What the program wrote on standard error.
    pub fn stderr(&self) -> &str {
        match self {
            Self::Start { .. } | Self::Read { .. } | Self::TooMuch { .. } => "",
            Self::Failed { stderr, .. } | Self::TimedOut { stderr, .. } => stderr,
        }
    }
}

/// A child that runs: what it writes, what it reads, and its deadline.
pub struct Running<'c> {
    /// Its standard output.
    pub out: &'c mut dyn Read,
    /// Its standard input, where that is a pipe; dropped, it ends.
    pub input: Option<ChildStdin>,
    /// Its deadline.
    pub clock: Clock<'c>,
}

/// The deadline of a child that runs.
pub struct Clock<'c>(&'c Sender<Duration>);

impl Clock<'_> {
    /// From now on it has this long.
    pub fn allow(&self, more: Duration) {
        // A watch that is over has stopped it already.
        let _ = self.0.send(more);
    }
}

/// A child process to be run to its end.
#[derive(Debug)]
pub struct Child {
    command: Command,
    program: String,
    timeout: Duration,
}

impl Child {
    /// A program with the time that it may take.
    pub fn new(program: &str, timeout: Duration) -> Self {
        let mut command = Command::new(program);
        // A group of its own, so that a stop reaches what the program itself has started.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        command.env("LC_ALL", "C.UTF-8").env_remove("LANGUAGE");
        Self { command, program: program.to_owned(), timeout }
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// More arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.command.args(args.into_iter().map(Into::into));
        self
    }

    /// A variable of its environment.
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// A pipe as its standard input, for [`Child::converse`].
    pub fn piped(mut self) -> Self {
        self.command.stdin(Stdio::piped());
        self
    }

    /// Runs it and gives what it wrote on standard output.
    pub fn output(self) -> Result<String, ChildError> {
        let program = self.program.clone();
        self.stream(|out| answer(out, &program, LONGEST_ANSWER))?
    }

    /// Runs it and gives what it wrote on both streams, however it ended: for programs that explain a failure
    /// on standard output.
    pub fn said(self) -> String {
        let mut text = String::new();
        let ended = self.stream(|out| {
            text = text_of(Some(out));
            Ok::<_, io::Error>(())
        });
        if let Err(error) = ended {
            text.push_str(error.stderr());
        }
        text
    }

    /// Runs it and hands its standard output to `take` as it comes. An error of `take` comes before one of
    /// the program, since a program whose reader went away fails for that reason alone.
    pub fn stream<T, E>(
        self,
        take: impl FnOnce(&mut dyn Read) -> Result<T, E>,
    ) -> Result<Result<T, E>, ChildError> {
        self.converse(|running| take(running.out))
    }

    /// The same, with its standard input and its deadline in the hands of `take`.
    pub fn converse<T, E>(
        mut self,
        take: impl FnOnce(Running<'_>) -> Result<T, E>,
    ) -> Result<Result<T, E>, ChildError> {
        let program = self.program;
        let started = Instant::now();
        let mut child =
            self.command.spawn().map_err(|source| ChildError::Start { program: program.clone(), source })?;
        let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        let stderr = child.stderr.take();
        let reader = thread::spawn(move || text_of(stderr));
        let (clock, watch) = channel();
        let timeout = self.timeout;
        let watchdog = thread::spawn(move || stopped(group, timeout, &watch));
        let input = child.stdin.take();
        let taken = match child.stdout.take() {
            Some(mut out) => take(Running { out: &mut out, input, clock: Clock(&clock) }),
            None => take(Running { out: &mut io::empty(), input, clock: Clock(&clock) }),
        };
        if taken.is_err() {
            // Nobody reads it any more, and it may not care.
            let _ = killpg(group, Signal::SIGKILL);
        }
        let status = child.wait();
        // The watch goes on until here: a grandchild may hold the pipe open.
        let stderr = reader.join().unwrap_or_default();
        drop(clock);
        let late = watchdog.join().unwrap_or(false);
        let status = status.map_err(|source| ChildError::Start { program: program.clone(), source })?;
        if late && !status.success() {
            return Err(ChildError::TimedOut { program, after: started.elapsed(), stderr });
        }
        if !status.success() && taken.is_ok() {
            return Err(ChildError::Failed { program, status, stderr });
        }
        Ok(taken)
    }
}

/// All that a program writes, which has an end.
pub(crate) fn answer(out: &mut dyn Read, program: &str, limit: u64) -> Result<String, ChildError> {
    let mut bytes = Vec::new();
    out.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| ChildError::Read { program: program.to_owned(), source })?;
    if bytes.len() as u64 > limit {
        return Err(ChildError::TooMuch { program: program.to_owned(), limit });
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

// Waits for the end of the program, and stops it with all its children when the time is up; whether it had to.
fn stopped(group: Pid, timeout: Duration, watch: &Receiver<Duration>) -> bool {
    let mut left = timeout;
    loop {
        match watch.recv_timeout(left) {
            Ok(more) => left = more,
            Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => {
                let _ = killpg(group, Signal::SIGKILL);
                return true;
            }
        }
    }
}

fn text_of(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // What could be read before an error is all the more worth showing. All of it is read, or the
        // program would wait for ever on a full pipe; only the beginning is kept.
        let _ = pipe.by_ref().take(LONGEST_TALK).read_to_end(&mut bytes);
        let _ = io::copy(&mut pipe, &mut io::sink());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

struct Ending(ExitStatus);

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.code(), self.0.signal()) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (None, Some(signal)) => write!(f, "signal {signal}"),
            (None, None) => f.write_str("an unknown status"),
        }
    }
}

struct Tail<'a>(&'a str);

impl fmt::Display for Tail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<&str> = self.0.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        let start = lines.len().saturating_sub(8);
        lines.iter().skip(start).try_for_each(|line| write!(f, "\n  {line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, timeout_ms: u64) -> Result<String, ChildError> {
        Child::new("sh", Duration::from_millis(timeout_ms)).args(["-c", script]).output()
    }

    #[test]
    fn output_comes_back() {
        assert_eq!(sh("echo $LC_ALL; echo talk >&2", 5000).unwrap(), "C.UTF-8\n");
    }

    #[test]
    fn a_failure_shows_the_code_and_the_last_words() {
        let error = sh("echo first >&2; echo last >&2; exit 7", 5000).unwrap_err();
        assert_eq!(error.to_string(), "sh ended with exit code 7\n  first\n  last");
    }

    #[test]
    fn both_streams_of_a_failure_can_be_had() {
        let child = Child::new("sh", Duration::from_secs(5)).args(["-c", "echo why; echo what >&2; exit 1"]);
        assert_eq!(child.said(), "why\nwhat\n");
    }

    #[test]
    fn what_takes_too_long_is_stopped_with_its_children() {
        let started = Instant::now();
        let error = sh("sleep 60 | sleep 60", 200).unwrap_err();
        assert!(matches!(error, ChildError::TimedOut { .. }), "{error}");
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn what_says_too_much_is_stopped_at_once_and_not_kept() {
        let started = Instant::now();
        let endless = Child::new("sh", Duration::from_secs(60)).args(["-c", "trap '' PIPE; yes; sleep 60"]);
        let said = endless.stream(|out| answer(out, "sh", 1 << 20)).unwrap();
        assert!(matches!(said, Err(ChildError::TooMuch { limit: 0x10_0000, .. })), "{said:?}");
        assert!(started.elapsed() < Duration::from_secs(20));
        let exact = Child::new("sh", Duration::from_secs(5)).args(["-c", "printf 1234"]);
        assert_eq!(exact.stream(|out| answer(out, "sh", 4)).unwrap().unwrap(), "1234");
    }

    #[test]
    fn a_conversation_has_a_deadline_that_moves() {
        let talk = |first: u64, more: u64| {
            let child =
                Child::new("sh", Duration::from_millis(first)).args(["-c", "read -r x; sleep 0.5; echo $x"]);
            child.piped().converse(|running| {
                let Running { out, input, clock } = running;
                clock.allow(Duration::from_millis(more));
                io::Write::write_all(&mut input.unwrap(), b"word\n").unwrap();
                answer(out, "sh", 100)
            })
        };
        assert_eq!(talk(200, 20_000).unwrap().unwrap(), "word\n");
        assert!(matches!(talk(20_000, 100), Err(ChildError::TimedOut { .. })));
    }

    #[test]
    fn a_missing_program_is_told_apart() {
        let error = Child::new("no-such-program-anywhere", Duration::from_secs(1)).output().unwrap_err();
        assert!(error.is_missing());
        assert!(!sh("exit 1", 1000).unwrap_err().is_missing());
    }
}

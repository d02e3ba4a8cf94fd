//! The one way in which a rehearsal runs a program: argv, null stdin unless given, C locale, own process
//! group, a deadline, and the end of its stderr in the error.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::cancel::Cancel;

/// How often a wait looks at its deadline and at the wish to stop.
const LOOK: Duration = Duration::from_millis(20);
/// How long output may still come from a grandchild after the program itself has ended.
const LINGER: Duration = Duration::from_millis(300);

/// A program to run.
#[derive(Debug, Clone)]
pub struct Tool {
    argv: Vec<OsString>,
    input: Vec<u8>,
    limit: Duration,
}

/// How it ended.
#[derive(Debug, Clone, Default)]
pub struct Ran {
    /// Exit code, or 128 and the signal's number.
    pub code: i32,
    /// All of it.
    pub stdout: Vec<u8>,
    /// All of it.
    pub stderr: Vec<u8>,
}

/// One of the two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Data.
    Out,
    /// Talk.
    Err,
}

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It could not be started.
    #[error("cannot start `{program}`")]
    Start {
        /// First word of the command.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It ended badly.
    #[error("`{command}` ended with {code}: {tail}")]
    Failed {
        /// The command, shortened.
        command: String,
        /// Exit code.
        code: i32,
        /// The end of what it said.
        tail: String,
    },
    /// It took too long and was killed.
    #[error("`{command}` had not ended after {} s and was killed: {tail}", limit.as_secs())]
    Late {
        /// The command, shortened.
        command: String,
        /// The deadline.
        limit: Duration,
        /// The end of what it said.
        tail: String,
    },
    /// A person asked to stop, and it was killed.
    #[error("stopped while `{command}` ran")]
    Cancelled {
        /// The command, shortened.
        command: String,
    },
}

impl Tool {
    /// A program of this machine, found on its PATH.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self { argv: vec![program.into()], input: Vec::new(), limit: Duration::from_secs(30) }
    }

    /// With this argument too.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.argv.push(arg.into());
        self
    }

    /// With these arguments too.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.argv.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// With this on its stdin.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Killed when it takes longer; 30 s otherwise.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it to its end.
    pub fn run(&self, cancel: &Cancel) -> Result<Ran, ToolError> {
        self.watch(cancel, &mut |_, _| {})
    }

    /// Runs it to its end; an exit code other than 0 is an error.
    pub fn succeed(&self, cancel: &Cancel) -> Result<Ran, ToolError> {
        let ran = self.run(cancel)?;
        match ran.code {
            0 => Ok(ran),
            code => Err(ToolError::Failed { command: self.line(), code, tail: tail(&ran.stderr) }),
        }
    }

    /// Runs it to its end and hands on what it says while it says it.
    pub fn watch(&self, cancel: &Cancel, heard: &mut dyn FnMut(Stream, &[u8])) -> Result<Ran, ToolError> {
        let mut child = self.start()?;
        let (sender, receiver) = channel();
        if let Some(mut stdin) = child.stdin.take() {
            let input = self.input.clone();
            // A program that does not read its input to the end has its own reasons.
            thread::spawn(move || stdin.write_all(&input).ok());
        }
        listen(child.stdout.take(), Stream::Out, sender.clone());
        listen(child.stderr.take(), Stream::Err, sender);
        self.attend(&mut child, &receiver, cancel, heard)
    }

    fn start(&self) -> Result<Child, ToolError> {
        let mut words = self.argv.iter();
        let program = words.next().cloned().unwrap_or_default();
        let stdin = if self.input.is_empty() { Stdio::null() } else { Stdio::piped() };
        Command::new(&program)
            .args(words)
            .env("LC_ALL", "C")
            .env_remove("LANGUAGE")
            .process_group(0)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| ToolError::Start { program: program.to_string_lossy().into_owned(), source })
    }

    fn attend(
        &self,
        child: &mut Child,
        receiver: &Receiver<(Stream, Vec<u8>)>,
        cancel: &Cancel,
        heard: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<Ran, ToolError> {
        let mut ran = Ran::default();
        let deadline = Instant::now() + self.limit;
        let mut ended: Option<Instant> = None;
        let mut open = true;
        loop {
            match if open { receiver.recv_timeout(LOOK) } else { Err(RecvTimeoutError::Disconnected) } {
                Ok((stream, bytes)) => {
                    heard(stream, &bytes);
                    match stream {
                        Stream::Out => ran.stdout.extend_from_slice(&bytes),
                        Stream::Err => ran.stderr.extend_from_slice(&bytes),
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    open = false;
                    if ended.is_none() {
                        thread::sleep(Duration::from_millis(1));
                    }
                }
            }
            if ended.is_none()
                && let Ok(Some(status)) = child.try_wait()
            {
                ran.code = status.code().or(status.signal().map(|number| 128 + number)).unwrap_or(-1);
                ended = Some(Instant::now());
            }
            if ended.is_some_and(|at| !open || at.elapsed() > LINGER) {
                return Ok(ran);
            }
            if ended.is_none() && (cancel.asked() || Instant::now() > deadline) {
                kill(child);
                let (command, tail) = (self.line(), tail(&ran.stderr));
                return Err(if cancel.asked() {
                    ToolError::Cancelled { command }
                } else {
                    ToolError::Late { command, limit: self.limit, tail }
                });
            }
        }
    }

    /// The command for a message: one line, not endless.
    fn line(&self) -> String {
        let words: Vec<_> = self.argv.iter().map(|word| word.to_string_lossy()).collect();
        let line = words.join(" ").replace('\n', " ");
        match line.char_indices().nth(160) {
            Some((cut, _)) => format!("{}...", line.get(..cut).unwrap_or_default()),
            None => line,
        }
    }
}

impl Ran {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The end of what it said on stderr, for a message.
    pub fn tail(&self) -> String {
        tail(&self.stderr)
    }
}

fn kill(child: &mut Child) {
    if let Ok(pid) = i32::try_from(child.id()) {
        // It may have ended by itself in this moment; then there is no one to kill.
        let _gone = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let _reaped = child.wait();
}

fn listen(pipe: Option<impl Read + Send + 'static>, stream: Stream, sender: Sender<(Stream, Vec<u8>)>) {
    let Some(mut pipe) = pipe else { return };
    thread::spawn(move || {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(size @ 1..) = pipe.read(&mut buffer) {
            if sender.send((stream, buffer.get(..size).unwrap_or_default().to_vec())).is_err() {
                return;
            }
        }
    });
}

/// The last lines of what a program said.
fn tail(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(8)..).unwrap_or_default();
    if last.is_empty() { "it said nothing".to_owned() } else { last.join(" | ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_output_and_code_come_through() {
        let ran =
            Tool::new("sh").args(["-c", "cat; echo bad >&2; exit 3"]).input("abc").run(&Cancel::default());
        let ran = ran.unwrap();
        assert_eq!((ran.code, ran.stdout.as_slice(), ran.tail().as_str()), (3, &b"abc"[..], "bad"));
    }

    #[test]
    fn failure_names_the_command_and_what_it_said() {
        let error =
            Tool::new("sh").args(["-c", "echo no such thing >&2; exit 9"]).succeed(&Cancel::default());
        let text = error.unwrap_err().to_string();
        assert!(text.contains("ended with 9") && text.contains("no such thing"), "{text}");
    }

    #[test]
    fn a_late_program_is_killed_with_its_children() {
        let start = Instant::now();
        let tool = Tool::new("sh").args(["-c", "sleep 60 & sleep 60"]).limit(Duration::from_millis(100));
        assert!(matches!(tool.run(&Cancel::default()), Err(ToolError::Late { .. })));
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_wish_to_stop_is_seen() {
        let cancel = Cancel::default();
        cancel.ask();
        assert!(matches!(Tool::new("sleep").arg("60").run(&cancel), Err(ToolError::Cancelled { .. })));
    }

    #[test]
    fn a_grandchild_that_keeps_the_pipe_does_not_hold_us() {
        let start = Instant::now();
        let ran = Tool::new("sh").args(["-c", "sleep 20 & echo done"]).run(&Cancel::default()).unwrap();
        assert_eq!(ran.text(), "done\n");
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

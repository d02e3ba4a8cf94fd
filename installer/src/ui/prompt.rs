//! A question to a person.

use std::io::{self, BufRead, IsTerminal};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;

use super::Printer;
use crate::sys::interrupt;

const HEED_MS: u16 = 200;

/// What a person answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Go on.
    Yes,
    /// Do not.
    No,
    /// Tell more first.
    Explain,
}

impl Answer {
    // Only the whole word is a yes: what comes next changes a host.
    fn parse(line: &str) -> Option<Self> {
        match line.trim().to_ascii_lowercase().as_str() {
            "yes" => Some(Self::Yes),
            "no" | "n" | "quit" | "q" => Some(Self::No),
            "explain" | "e" | "?" => Some(Self::Explain),
            _ => None,
        }
    }
}

/// Whether somebody is there who can read a question and answer it.
pub(crate) fn somebody() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks until the answer is one. Somebody who hangs up, or presses Ctrl-C, has said no.
pub fn ask(printer: &Printer, question: &str) -> Answer {
    let stdin = io::stdin();
    loop {
        printer.ask(format_args!("{question} [yes/no/explain] "));
        if !wait(&stdin) {
            printer.always("");
            return Answer::No;
        }
        let mut line = String::new();
        match stdin.lock().read_line(&mut line) {
            Ok(0) | Err(_) => return Answer::No,
            Ok(_) => {}
        }
        match Answer::parse(&line) {
            Some(answer) => return answer,
            None => printer.always("please say yes, no or explain"),
        }
    }
}

/// Asks until the answer is yes or no, or the time is over; the seconds that are left count down beside the
/// question. Only yes is true.
pub fn ask_within(printer: &Printer, question: &str, left: &dyn Fn() -> Option<u64>) -> bool {
    let stdin = io::stdin();
    printer.ask(format_args!("      {question} [yes/no] "));
    let mut shown = None;
    loop {
        let Some(seconds) = left() else {
            printer.always("\nit is over");
            return false;
        };
        // What is being typed stays where it is: the cursor comes back to it.
        if shown.replace(seconds) != Some(seconds) {
            printer.countdown(seconds);
        }
        match readable(&stdin) {
            Ok(false) if interrupt::pending().is_none() => continue,
            Ok(true) => {}
            _ => return false,
        }
        let mut line = String::new();
        match stdin.lock().read_line(&mut line) {
            Ok(0) | Err(_) => return false,
            Ok(_) => {}
        }
        match Answer::parse(&line) {
            Some(Answer::Yes) => return true,
            Some(Answer::No) => return false,
            _ => printer.ask(format_args!("please say yes or no: {question} ")),
        }
    }
}

// Our signal handlers only set a flag and let the read go on, so the flag is looked at while we wait.
fn wait(stdin: &io::Stdin) -> bool {
    loop {
        if interrupt::pending().is_some() {
            return false;
        }
        match readable(stdin) {
            Ok(false) => {}
            Ok(true) => return true,
            Err(_) => return false,
        }
    }
}

// Whether a line is there, after a moment.
fn readable(stdin: &io::Stdin) -> Result<bool, nix::errno::Errno> {
    let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::from(HEED_MS)) {
        Ok(0) | Err(nix::errno::Errno::EINTR) => Ok(false),
        Ok(_) => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for (line, answer) in [
            ("yes\n", Some(Answer::Yes)),
            ("YES", Some(Answer::Yes)),
            ("y", None),
            ("", None),
            ("no", Some(Answer::No)),
            ("e\n", Some(Answer::Explain)),
            ("yes please", None),
        ] {
            assert_eq!(Answer::parse(line), answer, "{line:?}");
        }
    }
}

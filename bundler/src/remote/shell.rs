//! How a script gets to a POSIX shell of a host past whatever the account's login shell is. Pure.
//!
//! ```text
//! command line:    exec /bin/sh -c '...'        one line, nothing in it that any shell reads in its own way
//! host answers:    chom-sh 4711                 a sum that only a POSIX shell has worked out
//! standard input:  the script, then its input   sent after that answer, and never without it
//! ```
//!
//! A login shell reads its command line by its own rules: csh takes a script line by line, with its own variables of the
//! same names. So no line of a script is ever part of it. A forced command, `nologin`, a menu or a printer of
//! greetings does not give the answer, and is sent nothing. What they print before it belongs to no answer.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, BufRead, Read as _};

/// The most that a login shell may print before the answer.
const NOISE: u64 = 64 << 10;
/// A script that came only in part does not run.
const END: &str = "#chom-end";

/// One script on its way.
#[derive(Debug)]
pub(super) struct Courier {
    terms: [u32; 2],
    script: String,
}

impl Courier {
    pub(super) fn new(script: &str) -> Self {
        // Twice the same may not be taken for an answer to this question.
        let random = || u32::try_from(RandomState::new().hash_one(0) >> 33).unwrap_or_default();
        Self { terms: [random(), random()], script: format!("{script}\n{END}") }
    }

    /// The command line for the login shell.
    pub(super) fn command(&self) -> String {
        let [one, other] = self.terms;
        // Byte by byte, so that what follows the script is left for its commands to read.
        format!(
            "exec /bin/sh -c 'echo; echo chom-sh $(({one} + {other})); \
             script=$(dd bs=1 count={} 2> /dev/null); \
             case $script in *{END}) eval \"$script\" ;; *) exit 125 ;; esac'",
            self.script.len()
        )
    }

    /// What is sent first, once the shell has answered.
    pub(super) fn script(&self) -> &str {
        &self.script
    }

    /// Reads to the answer; whether it came. What came before it is noted in `heard`.
    pub(super) fn answered(&self, out: &mut impl BufRead, heard: &mut String) -> io::Result<bool> {
        let answer = format!("chom-sh {}", self.terms.iter().copied().map(u64::from).sum::<u64>());
        let mut left = NOISE;
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = out.by_ref().take(left).read_until(b'\n', &mut line)?;
            let said = String::from_utf8_lossy(&line);
            if said.trim_end() == answer {
                return Ok(true);
            }
            heard.push_str(&said);
            left = left.saturating_sub(read as u64);
            if read == 0 || left == 0 {
                return Ok(false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_shell_reads_the_command_line_in_its_own_way() {
        let courier = Courier::new("rm -rf \"$dir\"\n! ' \\ `x`");
        let command = courier.command();
        let (exec, inner) = command.split_once('\'').unwrap();
        assert_eq!(exec, "exec /bin/sh -c ");
        // Between apostrophes: csh reads `!` and ends at a newline, fish reads the backslash.
        assert!(!inner.strip_suffix('\'').unwrap().contains(['\'', '!', '\\', '\n', '`']), "{command}");
        assert!(!command.contains("dir"), "nothing of the script: {command}");
    }

    #[test]
    fn only_the_sum_is_an_answer() {
        let courier = Courier { terms: [4_000_000_000, 700_000_000], script: String::new() };
        let heard = |said: &str| {
            let mut noise = String::new();
            let mut said = said.as_bytes();
            let answered = courier.answered(&mut said, &mut noise).unwrap();
            (answered, noise, String::from_utf8_lossy(said).into_owned())
        };
        let all = heard("Welcome\n\nchom-sh 4700000000\n{}\n");
        assert_eq!(all, (true, "Welcome\n\n".to_owned(), "{}\n".to_owned()));
        for said in ["", "no login\n", "chom-sh 4700000001\n", &format!("refused: {}\n", courier.command())] {
            assert_eq!(heard(said), (false, said.to_owned(), String::new()));
        }
        let endless = "y\n".repeat(1 << 20);
        let (answered, noise, _) = heard(&endless);
        assert!(!answered && noise.len() == 64 << 10);
    }
}

//! The only door to stdout and stderr. Text that is not of this program's own making never gets a terminal to obey it:
//! all text is written out by [`shown()`], and only what [`Printer::styled`] gets is taken as it is.

use std::fmt::{Arguments, Display};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anstyle::{AnsiColor, Style};
use chom_format::{shown, shown_json};
use log::Level;
use serde::Serialize;

use crate::logger::{Stderr, Talk};

// What a terminal that was closed answers to a write.
const EIO: i32 = 5;

/// When to use colour. It never carries meaning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal that can, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Writes data to stdout and talk to stderr. May be shared between threads.
pub struct Printer {
    data: Mutex<Sink>,
    talk: Mutex<Sink>,
    level: Talk,
    json: bool,
    terminal: bool,
}

struct Sink {
    stream: Box<dyn Write + Send>,
    color: bool,
    // A reader that left wants nothing more; any other failure is told once, at the end.
    gone: bool,
    failed: Option<io::Error>,
    // A progress line stands at the cursor and is to be wiped before the next line.
    pending: bool,
}

impl Printer {
    /// A printer on the process's own streams.
    pub fn new(color: Color, level: Talk, json: bool) -> Self {
        let (out, err) = (io::stdout(), io::stderr());
        let wanted = |terminal: bool| match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && able(),
        };
        let (out_color, err_color) = (wanted(out.is_terminal()), wanted(err.is_terminal()));
        let terminal = err.is_terminal() && able_to_move() && level > Talk::Quiet && !json;
        let mut printer = Self::on(out, err, level, json, terminal);
        printer.data.get_mut().unwrap_or_else(PoisonError::into_inner).color = out_color;
        printer.talk.get_mut().unwrap_or_else(PoisonError::into_inner).color = err_color;
        printer
    }

    /// A printer on any two streams, without colour.
    pub fn on(
        data: impl Write + Send + 'static,
        talk: impl Write + Send + 'static,
        level: Talk,
        json: bool,
        terminal: bool,
    ) -> Self {
        Self { data: Sink::new(data), talk: Sink::new(talk), level, json, terminal }
    }

    /// Whether the user asked for `--json`.
    pub fn json_wanted(&self) -> bool {
        self.json
    }

    /// Whether a line on stderr that redraws itself would be seen and wanted.
    pub fn terminal(&self) -> bool {
        self.terminal
    }

    /// Text that is the result of the command, on stdout.
    pub fn data(&self, text: impl Display) {
        lock(&self.data).write(format_args!("{}", shown(&text.to_string())));
    }

    /// The same with styles of our own; what is foreign in it has gone through [`shown()`] before.
    pub fn styled(&self, text: impl Display) {
        lock(&self.data).write(format_args!("{text}"));
    }

    /// One line of result on stdout.
    pub fn line(&self, text: impl Display) {
        lock(&self.data).write(format_args!("{}\n", shown(&text.to_string())));
    }

    /// A result as JSON on stdout, pretty, with a final newline.
    pub fn json(&self, value: &impl Serialize) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.line(shown_json(&text)),
            Err(error) => lock(&self.data).failed = Some(error.into()),
        }
    }

    /// A result as one line of JSON on stdout, for streams of events.
    pub fn json_line(&self, value: &impl Serialize) {
        match serde_json::to_string(value) {
            Ok(text) => self.line(shown_json(&text)),
            Err(error) => lock(&self.data).failed = Some(error.into()),
        }
    }

    /// One line of talk on stderr, unless `-q`.
    pub fn say(&self, text: impl Display) {
        if self.level >= Talk::Normal {
            self.always(text);
        }
    }

    /// One line of talk on stderr, with `-v` only.
    pub fn detail(&self, text: impl Display) {
        if self.level >= Talk::Verbose {
            self.always(text);
        }
    }

    /// A warning on stderr.
    pub fn warn(&self, text: impl Display) {
        self.labelled("warning", AnsiColor::Yellow, text);
    }

    /// An error on stderr.
    pub fn error(&self, text: impl Display) {
        self.labelled("error", AnsiColor::Red, text);
    }

    /// What mends it, on stderr.
    pub fn hint(&self, text: impl Display) {
        self.labelled("hint", AnsiColor::Cyan, text);
    }

    /// One line on stderr that `-q` does not silence.
    pub fn always(&self, text: impl Display) {
        self.always_styled(shown(&text.to_string()));
    }

    /// The same with styles of our own; what is foreign in it has gone through [`shown()`] before.
    pub fn always_styled(&self, text: impl Display) {
        let mut talk = lock(&self.talk);
        talk.wipe();
        talk.write(format_args!("{text}\n"));
    }

    /// Text on stderr without a line end, such as a question.
    pub fn ask(&self, text: impl Display) {
        let mut talk = lock(&self.talk);
        talk.wipe();
        talk.write(format_args!("{}", shown(&text.to_string())));
    }

    /// Seconds at the beginning of the line in which somebody types, who does not lose their place.
    pub fn countdown(&self, seconds: u64) {
        if self.terminal {
            lock(&self.talk).write(format_args!("\x1b7\r{seconds:>4} \x1b8"));
        }
    }

    /// A line on a terminal that the next line of talk replaces. Nothing where stderr is no terminal.
    pub fn status(&self, text: impl Display) {
        if self.terminal {
            let mut talk = lock(&self.talk);
            talk.write(format_args!("\r\x1b[K{}", shown(&text.to_string())));
            talk.pending = true;
        }
    }

    /// Takes the line of [`Printer::status`] away.
    pub fn clear(&self) {
        lock(&self.talk).wipe();
    }

    /// Whether results are printed in colour.
    pub fn data_in_color(&self) -> bool {
        lock(&self.data).color
    }

    /// Flushes, and tells what stdout did not take for another reason than a reader that left.
    pub fn finish(&self) -> io::Result<()> {
        lock(&self.talk).wipe();
        let mut data = lock(&self.data);
        if !data.gone
            && let Err(error) = data.stream.flush()
        {
            data.note(error);
        }
        data.failed.take().map_or(Ok(()), Err)
    }

    fn labelled(&self, label: &str, color: AnsiColor, text: impl Display) {
        let mut talk = lock(&self.talk);
        talk.wipe();
        let label = format!("{label}:");
        let label = if talk.color { painted(color, &label) } else { label };
        talk.write(format_args!("{label} {}\n", shown(&text.to_string())));
    }
}

impl Stderr for Printer {
    fn record(&self, level: Level, words: &Arguments<'_>) {
        match level {
            Level::Error => self.error(words),
            Level::Warn => self.warn(words),
            Level::Info | Level::Debug | Level::Trace => self.always(words),
        }
    }
}

impl Sink {
    fn new(stream: impl Write + Send + 'static) -> Mutex<Self> {
        Mutex::new(Self { stream: Box::new(stream), color: false, gone: false, failed: None, pending: false })
    }

    fn write(&mut self, text: Arguments<'_>) {
        if self.gone {
            return;
        }
        // One write a line, so that lines of threads and of a parent do not mix.
        if let Err(error) =
            self.stream.write_all(text.to_string().as_bytes()).and_then(|()| self.stream.flush())
        {
            self.note(error);
        }
    }

    fn wipe(&mut self) {
        if std::mem::take(&mut self.pending) {
            self.write(format_args!("\r\x1b[K"));
        }
    }

    fn note(&mut self, error: io::Error) {
        let left = error.kind() == ErrorKind::BrokenPipe || error.raw_os_error() == Some(EIO);
        self.gone = true;
        if !left {
            self.failed.get_or_insert(error);
        }
    }
}

fn painted(color: AnsiColor, text: &str) -> String {
    let style = Style::new().bold().fg_color(Some(color.into()));
    format!("{style}{text}{style:#}")
}

fn able() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && able_to_move()
}

fn able_to_move() -> bool {
    std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

fn lock(sink: &Mutex<Sink>) -> MutexGuard<'_, Sink> {
    sink.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use super::*;

    /// A stream that can be read afterwards.
    #[derive(Clone, Default)]
    pub(crate) struct Tap(Arc<Mutex<Vec<u8>>>);

    impl Tap {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Tap {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(buf);
            Ok(buf.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Broken(i32);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(self.0))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn levels_decide_what_is_said_and_never_touch_data() {
        for (level, said) in [(Talk::Quiet, 1), (Talk::Normal, 2), (Talk::Verbose, 3)] {
            let (out, err) = (Tap::default(), Tap::default());
            let printer = Printer::on(out.clone(), err.clone(), level, false, false);
            printer.line("data");
            printer.warn("w");
            printer.say("s");
            printer.detail("d");
            printer.status("never on what is no terminal");
            assert_eq!(out.text(), "data\n");
            assert_eq!(err.text().lines().count(), said, "{level:?}");
            assert!(err.text().starts_with("warning: w\n"));
        }
    }

    #[test]
    fn no_text_moves_the_cursor_and_json_stays_json() {
        let hostile = "a\u{1b}[7A\u{1b}[0Jb\u{202e}\u{9b}1m";
        let seen = "a\\u{1b}[7A\\u{1b}[0Jb\\u{202e}\\u{9b}1m";
        let (out, err) = (Tap::default(), Tap::default());
        let printer = Printer::on(out.clone(), err.clone(), Talk::Verbose, false, true);
        printer.data(hostile);
        printer.line(hostile);
        assert_eq!(out.text(), format!("{seen}{seen}\n"));
        for tell in
            [Printer::warn, Printer::error, Printer::hint, Printer::say, Printer::detail, Printer::ask]
        {
            tell(&printer, hostile);
        }
        printer.status(hostile);
        printer.clear();
        assert_eq!(err.text().matches(seen).count(), 7, "{:?}", err.text());
        let own = err.text().replace("\r\u{1b}[K", "");
        assert!(!own.contains(['\u{1b}', '\u{202e}', '\u{9b}']), "{own:?}");

        let (json, value) = (Tap::default(), serde_json::json!({ "path": hostile }));
        let printer = Printer::on(json.clone(), io::sink(), Talk::Normal, true, false);
        printer.json_line(&value);
        assert!(!json.text().contains(['\u{1b}', '\u{202e}', '\u{9b}']), "{}", json.text());
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json.text()).unwrap(), value);
    }

    #[test]
    fn a_line_of_talk_replaces_the_status_line() {
        let err = Tap::default();
        let printer = Printer::on(io::sink(), err.clone(), Talk::Normal, false, true);
        printer.status("1 of 2");
        printer.say("done");
        assert_eq!(err.text(), "\r\x1b[K1 of 2\r\x1b[Kdone\n");
    }

    #[test]
    fn a_reader_that_left_is_no_failure_and_a_full_disk_is_one() {
        const EPIPE: i32 = 32;
        const ENOSPC: i32 = 28;
        for (code, fails) in [(EPIPE, false), (EIO, false), (ENOSPC, true)] {
            let printer = Printer::on(Broken(code), Broken(EIO), Talk::Normal, false, true);
            printer.line("x");
            printer.status("y");
            printer.error("z");
            assert_eq!(printer.finish().is_err(), fails, "errno {code}");
        }
    }
}

//! The only door to stdout and stderr. Text that is not of this program's own making, a host's answer above all, never
//! gets a terminal to obey it: all text is written out by [`shown()`] but that of [`Printer::own`].

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use chom_format::{shown, shown_json};
use serde::Serialize;

/// When to use colour. `auto` asks the terminal, `NO_COLOR` and `TERM`.
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

/// How much is said on stderr. Errors and warnings are always said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Talk {
    /// Nothing but errors and warnings.
    Quiet,
    /// What a person wants to know.
    #[default]
    Normal,
    /// Also what a person who looks for a fault wants to know.
    Verbose,
}

/// Writes data to stdout and talk to stderr. May be shared between threads.
pub struct Printer {
    data: Mutex<Sink>,
    talk: Mutex<Sink>,
    level: Talk,
    json: bool,
    interactive: bool,
}

struct Sink {
    stream: Box<dyn Write + Send>,
    // A reader that left wants nothing more; any other failure is told once, at the end.
    gone: bool,
    failed: Option<io::Error>,
}

impl Printer {
    /// A printer on the process's own streams.
    pub fn new(color: Color, level: Talk, json: bool) -> Self {
        let choice = match color {
            Color::Auto => None,
            Color::Always => Some(ColorChoice::AlwaysAnsi),
            Color::Never => Some(ColorChoice::Never),
        };
        let (out, err) = (io::stdout(), io::stderr());
        let interactive = err.is_terminal() && level > Talk::Quiet && !json;
        let out_choice = choice.unwrap_or_else(|| AutoStream::choice(&out));
        let err_choice = choice.unwrap_or_else(|| AutoStream::choice(&err));
        Self::on(AutoStream::new(out, out_choice), AutoStream::new(err, err_choice), level, json, interactive)
    }

    /// A printer on any two streams.
    pub fn on(
        data: impl Write + Send + 'static,
        talk: impl Write + Send + 'static,
        level: Talk,
        json: bool,
        interactive: bool,
    ) -> Self {
        Self { data: Sink::new(data), talk: Sink::new(talk), level, json, interactive }
    }

    /// Whether the user asked for `--json`.
    pub fn json_wanted(&self) -> bool {
        self.json
    }

    /// Whether a progress bar on stderr would be seen and wanted.
    pub fn interactive(&self) -> bool {
        self.interactive
    }

    /// How much is to be said on stderr.
    pub fn level(&self) -> Talk {
        self.level
    }

    /// Text that is the result of the command, on stdout.
    pub fn data(&self, text: impl Display) {
        write(&self.data, format_args!("{}", shown(&text.to_string())));
    }

    /// The same, as it is: nobody else had a hand in it.
    pub fn own(&self, text: impl Display) {
        write(&self.data, format_args!("{text}"));
    }

    /// One line of result on stdout.
    pub fn line(&self, text: impl Display) {
        write(&self.data, format_args!("{}\n", shown(&text.to_string())));
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
        write(&self.talk, format_args!("{}\n", shown(&text.to_string())));
    }

    /// Flushes, and tells what stdout did not take for another reason than a reader that left.
    pub fn finish(&self) -> io::Result<()> {
        let mut data = lock(&self.data);
        if !data.gone
            && let Err(error) = data.stream.flush()
        {
            data.note(error);
        }
        data.failed.take().map_or(Ok(()), Err)
    }

    fn labelled(&self, label: &str, color: AnsiColor, text: impl Display) {
        let style = Style::new().bold().fg_color(Some(color.into()));
        write(&self.talk, format_args!("{style}{label}:{style:#} {}\n", shown(&text.to_string())));
    }
}

impl Sink {
    fn new(stream: impl Write + Send + 'static) -> Mutex<Self> {
        Mutex::new(Self { stream: Box::new(stream), gone: false, failed: None })
    }

    fn note(&mut self, error: io::Error) {
        // EIO is what a vanished terminal answers.
        let left = error.kind() == ErrorKind::BrokenPipe || error.raw_os_error() == Some(5);
        self.gone = true;
        if !left {
            self.failed.get_or_insert(error);
        }
    }
}

fn write(sink: &Mutex<Sink>, text: std::fmt::Arguments<'_>) {
    let mut sink = lock(sink);
    if sink.gone {
        return;
    }
    if let Err(error) = sink.stream.write_fmt(text) {
        sink.note(error);
    }
}

fn lock(sink: &Mutex<Sink>) -> std::sync::MutexGuard<'_, Sink> {
    sink.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Tap(Arc<Mutex<Vec<u8>>>);

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

    fn text(tap: &Tap) -> String {
        String::from_utf8(tap.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn levels_decide_what_is_said_and_never_touch_data() {
        for (level, said) in [(Talk::Quiet, 1), (Talk::Normal, 2), (Talk::Verbose, 3)] {
            let (out, err) = (Tap::default(), Tap::default());
            let plain = AutoStream::never(Box::new(err.clone()) as Box<dyn Write + Send>);
            let printer = Printer::on(out.clone(), plain, level, false, false);
            printer.line("data");
            printer.warn("w");
            printer.say("s");
            printer.detail("d");
            assert_eq!(text(&out), "data\n");
            assert_eq!(text(&err).lines().count(), said, "{level:?}");
            assert!(text(&err).starts_with("warning: w\n"));
        }
    }

    #[test]
    fn no_text_moves_the_cursor_and_json_stays_json() {
        let hostile = "a\u{1b}[7A\u{1b}[0Jb\u{202e}\u{9b}1m";
        let seen = "a\\u{1b}[7A\\u{1b}[0Jb\\u{202e}\\u{9b}1m";
        let (out, err) = (Tap::default(), Tap::default());
        let printer = Printer::on(out.clone(), err.clone(), Talk::Verbose, false, false);
        printer.data(hostile);
        printer.line(hostile);
        assert_eq!(text(&out), format!("{seen}{seen}\n"));
        let tellers =
            [Printer::warn, Printer::error, Printer::hint, Printer::say, Printer::detail, Printer::always];
        tellers.iter().for_each(|tell| tell(&printer, hostile));
        assert_eq!(text(&err).matches(seen).count(), tellers.len(), "{:?}", text(&err));

        let (json, value) = (Tap::default(), serde_json::json!({ "host": hostile }));
        let printer = Printer::on(json.clone(), io::sink(), Talk::Normal, true, false);
        printer.json(&value);
        assert!(!text(&json).contains(['\u{1b}', '\u{202e}', '\u{9b}']), "{}", text(&json));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text(&json)).unwrap(), value);
    }

    #[test]
    fn a_reader_that_left_is_no_failure_and_a_full_disk_is_one() {
        const EPIPE: i32 = 32;
        const ENOSPC: i32 = 28;
        for (code, fails) in [(EPIPE, false), (5, false), (ENOSPC, true)] {
            let printer = Printer::on(Broken(code), io::sink(), Talk::Normal, false, false);
            printer.line("x");
            printer.line("y");
            assert_eq!(printer.finish().is_err(), fails, "errno {code}");
        }
    }
}

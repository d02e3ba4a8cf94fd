//! How far a run is: a line that moves on a terminal, plain lines elsewhere, JSON lines with `--json`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Event, Printer};

const TICK: Duration = Duration::from_millis(200);
// What goes on is told to a log only when it goes on for so long, and then as often.
const QUIET: Duration = Duration::from_secs(5);
// A step that took less is not worth a second line in a log.
const LONG: Duration = Duration::from_secs(1);
const BAR: usize = 24;
// Where the terminal does not say how wide it is.
const USUAL_WIDTH: u16 = 80;

/// Shows events. Cheap to share: clones show on the same line.
#[derive(Clone)]
pub struct Progress {
    printer: Arc<Printer>,
    line: Arc<Mutex<Line>>,
    over: Arc<AtomicBool>,
}

/// What the moving line says.
#[derive(Default)]
struct Line {
    text: String,
    share: Option<(u64, u64)>,
    since: Option<Instant>,
    // When a fleeting event was last written to a log.
    told: Option<Instant>,
}

impl Progress {
    /// Shows on this printer. On a terminal a thread keeps the elapsed time moving.
    pub fn new(printer: Arc<Printer>) -> Self {
        let progress = Self { printer, line: Arc::default(), over: Arc::default() };
        if progress.printer.terminal() {
            let ticking = progress.clone();
            thread::spawn(move || {
                while !ticking.over.load(Ordering::Relaxed) {
                    ticking.draw();
                    thread::sleep(TICK);
                }
            });
        }
        progress
    }

    /// Shows one event.
    pub fn show(&self, event: &Event<'_>) {
        if self.printer.json_wanted() {
            if !event.is_fleeting() || self.is_time() {
                self.printer.json_line(event);
            }
        } else if self.printer.terminal() {
            self.on_terminal(event);
        } else if self.is_line(event) {
            self.printer.say(event.text());
        }
    }

    /// Takes the moving line away until the next event: somebody is to be asked.
    pub fn pause(&self) {
        *self.lock() = Line::default();
        self.printer.clear();
    }

    /// No more events come: the moving line goes.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.pause();
    }

    fn on_terminal(&self, event: &Event<'_>) {
        let moves = !matches!(event, Event::Done { .. } | Event::Begun { .. });
        if !event.is_fleeting() && !matches!(event, Event::Step { .. } | Event::Restored { .. }) {
            self.printer.say(event.text());
        }
        if moves {
            let mut line = self.lock();
            let same_kind = event.is_fleeting() && line.since.is_some() && line.told.is_some();
            *line = Line {
                text: event.text(),
                share: event.share(),
                since: if same_kind { line.since } else { Some(Instant::now()) },
                told: event.is_fleeting().then(Instant::now),
            };
        }
    }

    // A log has a line for each thing that happens, and one now and then for checks that take long.
    fn is_line(&self, event: &Event<'_>) -> bool {
        match event {
            Event::Reading { .. } | Event::Restored { plain: true, .. } => false,
            Event::Checks { .. } => self.is_time(),
            // The line before it has said what it was.
            Event::Done { ms, .. } => u128::from(*ms) >= LONG.as_millis(),
            _ => {
                self.lock().told = None;
                true
            }
        }
    }

    fn is_time(&self) -> bool {
        let mut line = self.lock();
        let due = line.told.is_some_and(|told| told.elapsed() >= QUIET);
        if due || line.told.is_none() {
            line.told = Some(Instant::now());
        }
        due
    }

    fn draw(&self) {
        let line = self.lock();
        let Some(since) = line.since else { return };
        let text = compose(&line.text, line.share, since.elapsed(), width());
        // Still locked: after `end` no line may appear again.
        self.printer.status(text);
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn compose(text: &str, share: Option<(u64, u64)>, elapsed: Duration, width: usize) -> String {
    let bar = match share {
        Some((done, total)) if total > 0 && width > 60 => {
            let filled = usize::try_from(done.min(total) * BAR as u64 / total).unwrap_or(0);
            format!("[{}{}] ", "#".repeat(filled), "-".repeat(BAR - filled))
        }
        _ => String::new(),
    };
    let time = format!(" {}:{:02}", elapsed.as_secs() / 60, elapsed.as_secs() % 60);
    let room = width.saturating_sub(bar.len() + time.len() + 1);
    // Written out before it is cut, so that it fits; the line has one line.
    let clean = chom_format::shown(text).replace(['\n', '\t'], " ");
    let text: String = clean.chars().take(room).collect();
    format!("{bar}{text}{time}")
}

fn width() -> usize {
    let columns = rustix::termios::tcgetwinsize(std::io::stderr()).map_or(0, |size| size.ws_col);
    usize::from(if columns == 0 { USUAL_WIDTH } else { columns })
}

#[cfg(test)]
mod tests {
    use super::super::Printer;
    use super::super::printer::tests::Tap;
    use super::*;
    use crate::logger::Talk;

    fn shown(json: bool, events: &[Event<'_>]) -> (String, String) {
        let (out, err) = (Tap::default(), Tap::default());
        let printer = Printer::on(out.clone(), err.clone(), Talk::Normal, json, false);
        let progress = Progress::new(Arc::new(printer));
        events.iter().for_each(|event| progress.show(event));
        progress.end();
        (out.text(), err.text())
    }

    #[test]
    fn a_log_has_lines_and_a_script_has_json() {
        let id = "web/files".parse().unwrap();
        let events = [
            Event::Reading { done: 1, total: Some(2) },
            Event::Begun { transaction: 3, steps: 1 },
            Event::Done { id: &id, ms: 1234 },
        ];
        let (out, err) = shown(false, &events);
        assert_eq!((out.as_str(), err.as_str()), ("", "transaction 3: 1 steps\nweb/files is done (1.2 s)\n"));
        let (out, err) = shown(true, &events[1..]);
        assert_eq!(err, "");
        assert_eq!(
            out,
            "{\"event\":\"begun\",\"transaction\":3,\"steps\":1}\n{\"event\":\"done\",\"id\":\"web/files\",\"ms\":1234}\n"
        );
    }

    #[test]
    fn the_line_fits_its_terminal() {
        let long = "x".repeat(300);
        for width in [20, 80, 200] {
            let line = compose(&long, Some((1, 2)), Duration::from_secs(61), width);
            assert!(line.chars().count() < width && line.ends_with(" 1:01"), "{line}");
        }
        assert!(compose("a", Some((1, 2)), Duration::ZERO, 80).starts_with("[############------------] a"));
        assert_eq!(compose("a\nb", None, Duration::ZERO, 80), "a b 0:00");
    }
}

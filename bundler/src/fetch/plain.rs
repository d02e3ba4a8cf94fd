//! Progress in lines, for logs and pipes.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::progress::Progress;
use crate::ui::Printer;

/// Says a line for each finished download.
pub struct Plain<'a> {
    printer: &'a Printer,
    done: AtomicUsize,
    total: AtomicUsize,
}

impl<'a> Plain<'a> {
    /// Lines by this printer.
    pub fn new(printer: &'a Printer) -> Self {
        Self { printer, done: AtomicUsize::new(0), total: AtomicUsize::new(0) }
    }
}

impl Progress for Plain<'_> {
    fn begin(&self, objects: usize, bytes: u64) {
        self.total.store(objects, Ordering::Relaxed);
        self.done.store(0, Ordering::Relaxed);
        self.printer.say(format_args!("fetching {objects} objects, {}", size(bytes)));
    }

    fn start(&self, _: &str, _: Option<u64>) {}

    fn at(&self, _: &str, _: u64) {}

    fn done(&self, name: &str) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let total = self.total.load(Ordering::Relaxed).max(done);
        self.printer.detail(format_args!("  {done}/{total} {name}"));
        // A line for each would bury a log; one for each tenth shows that it moves.
        if done * 10 / total > (done - 1) * 10 / total {
            self.printer.say(format_args!("fetched {done} of {total}"));
        }
    }

    fn note(&self, text: &str) {
        self.printer.say(text);
    }

    fn end(&self) {}
}

/// Bytes for people: `1.4 MB`.
pub(super) fn size(bytes: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", bytes / unit, bytes % unit / (unit / 10));
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{} kB", tenths(1_000)),
        _ => format!("{} MB", tenths(1_000_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_for_people() {
        for (bytes, text) in
            [(999, "999 bytes"), (1_460, "1.4 kB"), (1_460_000, "1.4 MB"), (151_138_368, "151.1 MB")]
        {
            assert_eq!(size(bytes), text);
        }
    }
}

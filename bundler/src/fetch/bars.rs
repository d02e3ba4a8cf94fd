//! Progress as bars on a terminal.

use std::collections::HashMap;
use std::sync::Mutex;

use chom_format::shown;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::progress::Progress;

/// A bar for the whole, and one for each download that runs.
#[derive(Debug)]
pub struct Bars {
    all: MultiProgress,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    total: Option<ProgressBar>,
    running: HashMap<String, ProgressBar>,
}

impl Bars {
    /// Bars on standard error.
    pub fn new() -> Self {
        Self { all: MultiProgress::new(), state: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn add(&self, size: u64, template: &str) -> ProgressBar {
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.all.add(ProgressBar::new(size).with_style(style.progress_chars("=> ")))
    }
}

impl Default for Bars {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress for Bars {
    fn begin(&self, objects: usize, bytes: u64) {
        let template = "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {elapsed}";
        let bar = self.add(bytes, template);
        bar.set_message(format!("{objects} objects"));
        self.state().total = Some(bar);
    }

    fn start(&self, name: &str, size: Option<u64>) {
        let bar = self.add(size.unwrap_or(0), "  {bytes:>10}/{total_bytes:10} {wide_msg}");
        bar.set_message(shown(name).into_owned());
        self.state().running.insert(name.to_owned(), bar);
    }

    fn at(&self, name: &str, bytes: u64) {
        let state = self.state();
        let Some(bar) = state.running.get(name) else { return };
        let before = bar.position();
        bar.set_position(bytes);
        if let Some(total) = &state.total {
            // A download that starts over takes its bytes back.
            if bytes >= before { total.inc(bytes - before) } else { total.dec(before - bytes) }
        }
    }

    fn done(&self, name: &str) {
        if let Some(bar) = self.state().running.remove(name) {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
    }

    fn note(&self, text: &str) {
        // Without a terminal nothing is drawn, and nobody loses by it.
        let _ = self.all.println(shown(text));
    }

    fn end(&self) {
        let mut state = self.state();
        for (_, bar) in state.running.drain() {
            bar.finish_and_clear();
        }
        if let Some(total) = state.total.take() {
            total.finish();
        }
    }
}

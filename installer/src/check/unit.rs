//! Units: active is not enough, it must have stood still. All units of a manifest are one question.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chom_format::{CheckSpec, Probe, UnitName};

use super::{Answer, Miss};
use crate::sys::{Command, Sys};

// Answers of this age serve several checks: one systemctl takes as long as all the rest of a quick look.
const FRESH: Duration = Duration::from_millis(100);

/// What systemd said of one unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct State {
    load: String,
    active: String,
    sub: String,
    result: String,
    restarts: u64,
    // CLOCK_MONOTONIC of becoming active, in microseconds; 0 when it is not.
    since: u64,
}

/// All units that the checks ask for.
pub(super) struct Units<'a> {
    sys: &'a dyn Sys,
    names: Vec<UnitName>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    at: Option<Instant>,
    states: BTreeMap<UnitName, State>,
    // The restart counter of each unit when it was first seen.
    first: BTreeMap<UnitName, u64>,
}

impl<'a> Units<'a> {
    pub(super) fn new(sys: &'a dyn Sys, specs: &[CheckSpec]) -> Self {
        let mut names: Vec<UnitName> = specs
            .iter()
            .filter_map(|spec| match &spec.probe {
                Probe::Unit { unit, .. } => Some(unit.clone()),
                _ => None,
            })
            .collect();
        names.sort();
        names.dedup();
        Self { sys, names, seen: Mutex::default() }
    }

    /// Whether a unit is active and has been so for `dwell`.
    pub(super) fn ask(&self, unit: &UnitName, dwell: Duration) -> Answer {
        // Held while systemd is asked: whoever comes meanwhile waits for the same answer.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.at.is_none_or(|at| at.elapsed() > FRESH) {
            seen.states = self.show().map_err(Miss::new)?;
            seen.at = Some(Instant::now());
        }
        let state = seen.states.get(unit).cloned().unwrap_or_default();
        let first = *seen.first.entry(unit.clone()).or_insert(state.restarts);
        judge(unit, &state, first, dwell, monotonic_us())
    }

    fn show(&self) -> Result<BTreeMap<UnitName, State>, String> {
        let properties = "Id,LoadState,ActiveState,SubState,Result,NRestarts,ActiveEnterTimestampMonotonic";
        let argv = ["systemctl", "show", "--no-pager", "-p", properties, "--"].map(str::to_owned);
        let names = self.names.iter().map(ToString::to_string);
        let output =
            self.sys.ask(&Command::new(argv.into_iter().chain(names))).map_err(|error| error.to_string())?;
        if !output.success() {
            return Err(format!("systemctl show failed: {}", output.complaint()));
        }
        Ok(self.names.iter().cloned().zip(parse(&output.text())).collect())
    }
}

// One block a unit, in the order asked; a blank line between two.
fn parse(text: &str) -> Vec<State> {
    text.split("\n\n").map(|block| block.lines().fold(State::default(), read)).collect()
}

fn read(mut state: State, line: &str) -> State {
    if let Some((name, value)) = line.split_once('=') {
        let text = value.to_owned();
        match name {
            "LoadState" => state.load = text,
            "ActiveState" => state.active = text,
            "SubState" => state.sub = text,
            "Result" => state.result = text,
            "NRestarts" => state.restarts = value.parse().unwrap_or(0),
            "ActiveEnterTimestampMonotonic" => state.since = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    state
}

fn judge(unit: &UnitName, state: &State, first: u64, dwell: Duration, now: u64) -> Answer {
    if state.load != "loaded" {
        return Err(Miss::new(format!(
            "{unit} is {}",
            if state.load.is_empty() { "unknown" } else { &state.load }
        )));
    }
    let restarted = state.restarts.saturating_sub(first);
    let again =
        if restarted > 0 { format!(", restarted {restarted} times meanwhile") } else { String::new() };
    if state.active != "active" {
        let result =
            if state.result == "success" { String::new() } else { format!(", result {}", state.result) };
        return Err(Miss::new(format!("{unit} is {} ({}){result}{again}", state.active, state.sub)));
    }
    let up = Duration::from_micros(now.saturating_sub(state.since));
    if up < dwell {
        let message =
            format!("{unit} is active since {} s, wanted are {} s{again}", up.as_secs(), dwell.as_secs());
        return Err(Miss { wait: Some(dwell - up), ..Miss::new(message) });
    }
    Ok(format!("{unit} is active since {} s{again}", up.as_secs()))
}

fn monotonic_us() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    now.map_or(0, |now| u64::try_from(Duration::from(now).as_micros()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    // As systemd 257 prints it.
    const TWO: &str = "Id=prometheus.service\nLoadState=loaded\nActiveState=active\nSubState=running\nResult=success\n\
                       NRestarts=2\nActiveEnterTimestampMonotonic=5000000\n\nId=gone.service\nLoadState=not-found\n\
                       ActiveState=inactive\nSubState=dead\nResult=success\nNRestarts=0\n\
                       ActiveEnterTimestampMonotonic=0\n";

    fn verdict(change: impl FnOnce(&mut State), first: u64, dwell_s: u64, now_s: u64) -> Answer {
        let mut state = parse(TWO).remove(0);
        change(&mut state);
        let unit = "prometheus.service".parse().unwrap();
        judge(&unit, &state, first, Duration::from_secs(dwell_s), now_s * 1_000_000)
    }

    #[test]
    fn blocks_come_in_the_order_asked() {
        let states = parse(TWO);
        assert_eq!(states.len(), 2);
        assert_eq!((states[0].since, states[0].restarts), (5_000_000, 2));
        assert_eq!(states[1].load, "not-found");
    }

    #[test]
    fn a_unit_long_up_passes_at_once() {
        assert!(verdict(|_| {}, 2, 20, 25).is_ok());
    }

    #[test]
    fn one_that_is_up_for_too_short_is_waited_for() {
        let miss = verdict(|_| {}, 1, 20, 12).unwrap_err();
        assert_eq!(miss.wait, Some(Duration::from_secs(13)));
        assert!(
            miss.message.contains("since 7 s") && miss.message.contains("restarted 1 times"),
            "{}",
            miss.message
        );
    }

    #[test]
    fn a_crash_loop_is_never_healthy() {
        let looping = |state: &mut State| {
            state.active = "activating".into();
            state.sub = "auto-restart".into();
            state.result = "exit-code".into();
        };
        let miss = verdict(looping, 0, 20, 100).unwrap_err();
        assert_eq!(
            miss.message,
            "prometheus.service is activating (auto-restart), result exit-code, restarted 2 times meanwhile"
        );
        assert_eq!(miss.wait, None);
    }
}

//! Units: active is not enough, it must have stood still. All units of a manifest are one question.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chom_format::{CheckSpec, UnitName};

use super::kind::{self, Asking, CheckKind};
use super::{Answer, Miss};
use crate::sys::Sys;
use crate::systemd::{Snapshot, UnitState};

// Answers of this age serve several checks.
const FRESH: Duration = Duration::from_millis(100);

/// See [`chom_format::Probe::Unit`].
pub(super) struct UnitCheck<'a> {
    pub(super) unit: &'a UnitName,
    pub(super) dwell_s: u32,
}

impl CheckKind for UnitCheck<'_> {
    fn ask(&self, asking: &Asking<'_>, _: Duration) -> Answer {
        asking.units.ask(self.unit, Duration::from_secs(u64::from(self.dwell_s)))
    }

    fn remedy(&self) -> String {
        format!("journalctl -u {unit} -n 50; systemctl status {unit}", unit = self.unit)
    }

    fn unit(&self) -> Option<&UnitName> {
        Some(self.unit)
    }
}

/// All units that the checks ask for.
pub(super) struct Units<'a> {
    sys: &'a dyn Sys,
    names: Vec<UnitName>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    last: Arc<Snapshot>,
    // The restart counter of each unit when it was first seen.
    first: BTreeMap<UnitName, u32>,
}

impl<'a> Units<'a> {
    /// `last` is what was seen before; it serves as long as it is fresh.
    pub(super) fn new(sys: &'a dyn Sys, specs: &[CheckSpec], last: Arc<Snapshot>) -> Self {
        let mut names: Vec<UnitName> =
            specs.iter().filter_map(|spec| kind::of(&spec.probe).unit().cloned()).collect();
        names.sort();
        names.dedup();
        Self { sys, names, seen: Mutex::new(Seen { last, ..Seen::default() }) }
    }

    /// Whether a unit is active and has been so for `dwell`.
    pub(super) fn ask(&self, unit: &UnitName, dwell: Duration) -> Answer {
        // Held while systemd is asked: whoever comes meanwhile waits for the same answer.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.last.holds(self.names.iter(), FRESH) {
            let now = Snapshot::read(self.sys, &self.names).map_err(|error| Miss::new(error.to_string()))?;
            seen.last = now.into();
        }
        let state = seen.last.unit(unit);
        let first = *seen.first.entry(unit.clone()).or_insert(state.restarts);
        judge(unit, &state, first, dwell, monotonic_us())
    }
}

fn judge(unit: &UnitName, state: &UnitState, first: u32, dwell: Duration, now: u64) -> Answer {
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

    fn verdict(change: impl FnOnce(&mut UnitState), first: u32, dwell_s: u64, now_s: u64) -> Answer {
        let mut state = UnitState {
            load: "loaded".into(),
            active: "active".into(),
            sub: "running".into(),
            result: "success".into(),
            restarts: 2,
            since: 5_000_000,
            ..UnitState::default()
        };
        change(&mut state);
        let unit = "prometheus.service".parse().unwrap();
        judge(&unit, &state, first, Duration::from_secs(dwell_s), now_s * 1_000_000)
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
        let looping = |state: &mut UnitState| {
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

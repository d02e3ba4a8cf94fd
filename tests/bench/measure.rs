//! How things are measured: whole processes, interleaved with their peer, the median of each.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One line of `bench.json`.
#[derive(Debug, serde::Serialize)]
pub struct Figure {
    /// What is measured.
    pub name: &'static str,
    /// Our value.
    pub ours: f64,
    /// The peer's, or the goal's where there is no peer.
    pub peer: f64,
    /// ours / peer; peer / ours where faster is counted in multiples.
    pub ratio: f64,
    /// Of `ours` and `peer`.
    pub unit: &'static str,
    /// In words.
    pub goal: String,
    /// Whether the goal was met in this run.
    pub met: bool,
}

impl Figure {
    /// Ours must not be more than `limit` times the peer's.
    pub fn within(name: &'static str, ours: f64, peer: f64, unit: &'static str, limit: f64) -> Self {
        let ratio = ours / peer;
        Self { name, ours, peer, ratio, unit, goal: format!("ratio <= {limit}"), met: ratio <= limit }
    }

    /// Ours must be at least `times` faster than the peer.
    pub fn faster(name: &'static str, ours: f64, peer: f64, unit: &'static str, times: f64) -> Self {
        let ratio = peer / ours;
        Self { name, ours, peer, ratio, unit, goal: format!("{times} times faster"), met: ratio >= times }
    }

    /// Ours must stay under a bound.
    pub fn under(name: &'static str, ours: f64, bound: f64, unit: &'static str) -> Self {
        let ratio = ours / bound;
        Self { name, ours, peer: bound, ratio, unit, goal: format!("< {bound} {unit}"), met: ours < bound }
    }
}

/// Wall time of one run, in seconds. A run that fails ends the benchmark: its time would be a lie.
pub fn time(command: &mut Command) -> f64 {
    let begun = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let took = begun.elapsed();
    match status {
        Ok(status) if status.success() => took.as_secs_f64(),
        Ok(status) => panic!("{command:?} ended with {status}"),
        Err(error) => panic!("{command:?}: {error}"),
    }
}

/// Medians of `rounds` interleaved runs of both: what disturbs the machine disturbs both.
pub fn pair(rounds: usize, ours: impl Fn() -> f64, peer: impl Fn() -> f64) -> (f64, f64) {
    let runs: Vec<(f64, f64)> = (0..rounds).map(|_| (ours(), peer())).collect();
    (median(runs.iter().map(|run| run.0)), median(runs.iter().map(|run| run.1)))
}

/// The middle value.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The greatest resident size that a command reached, in MiB, read from the kernel while it runs.
pub fn peak_memory(command: &mut Command) -> f64 {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0.0_f64;
    loop {
        // VmHWM is the kernel's own high-water mark: a missed sample loses only what came after the last one.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let kib = text.lines().find_map(|line| {
            line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok()
        });
        peak = peak.max(kib.unwrap_or(0.0) / 1024.0);
        match child.try_wait() {
            Ok(Some(status)) => {
                assert!(status.success(), "{command:?} ended with {status}");
                return peak;
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => panic!("{command:?}: {error}"),
        }
    }
}

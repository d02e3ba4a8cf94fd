//! The power fails in the middle of an installation, and what was not synced is lost: the host comes up by itself as it
//! was before, with nothing of ours left on it, and nobody has to type a command. The usual run takes a few moments of the plan; `make test-faults`
//! takes one in every step.

use std::fs;
use std::iter;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use chom_bundle::rehearse::{Capture, Host};
use chom_format::manifest::Suite;
use chom_tests::fleet::{Unpacked, bundle, must, on_disk, recovered, unpack};
use chom_tests::matrix;

/// A run takes half a minute, a recovery less.
const PATIENCE: Duration = Duration::from_secs(300);
const PROGRAM: &str = "/var/lib/chom/chom-install";

#[test]
fn the_power_fails_in_the_middle_of_an_installation() {
    on_disk(Suite::Trixie, |host| {
        // The first boot of a host writes what no later one does.
        host.reboot().unwrap();
        let there = unpack(host, &bundle(Suite::Trixie));
        let before = host.capture().unwrap();
        let mut steps = 1;
        for number in 0.. {
            let Some(step) = moment(number, steps) else { break };
            steps = cut_in(host, &there, step);
            host.boot().unwrap();
            recovered(host, &format!("step {step}"));
            let differences = Capture::diff(&before, &host.capture().unwrap());
            assert_eq!(differences, Vec::new(), "the power failed in step {step}");
            let status = there.installer(host, &["status"]);
            assert_eq!(status.code, 0, "{}", status.text);
            assert!(
                status.text.contains("was taken back") || status.text.contains("without"),
                "{}",
                status.text
            );
        }
        // Nothing of all that is in the way of the next run, and neither unit nor notice stay after it.
        let installed = there.installer(host, &["--yes", "--no-confirm"]);
        assert_eq!(installed.code, 0, "{}", installed.text);
        let left = must(
            host,
            &[
                "sh",
                "-c",
                "find /run/motd.d -type f; ls -d /etc/systemd/system.attached /etc/systemd/system/chom-*; true",
            ],
        );
        assert_eq!(left, "");
        assert!(
            !must(host, &["systemctl", "list-units", "--all", "--plain"]).contains("chom-recover.service")
        );
        // What stands outlives a power cut, and the copy of the program takes it back.
        host.cut().unwrap();
        host.boot().unwrap();
        let begun = Instant::now();
        while there.installer(host, &["status"]).code != 0 {
            // Its services start, and are scraped for the first time.
            let said = there.installer(host, &["status"]).text;
            assert!(begun.elapsed() < Duration::from_secs(120), "not healthy after a power cut:\n{said}");
            thread::sleep(Duration::from_secs(1));
        }
        must(host, &[PROGRAM, "rollback", "--yes"]);
        assert_eq!(
            Capture::diff(&before, &host.capture().unwrap()),
            Vec::new(),
            "rolled back after a power cut"
        );
    });
}

/// The step in whose middle the power fails next, when so many are known.
fn moment(number: usize, steps: usize) -> Option<usize> {
    if let Some(part) = matrix::part() {
        // The first one tells how many there are.
        return iter::once(1).chain((2..=steps).filter(|step| part.has(*step))).nth(number);
    }
    [1, 2, steps / 4, steps / 2, steps - 1, steps].get(number).copied()
}

/// Installs until the transaction's log names this step, and cuts the power. How many steps there are.
fn cut_in(host: &mut Host, there: &Unpacked, step: usize) -> usize {
    let before = logs(host).len();
    // What an earlier boot has left unsynced is not what this is about.
    must(host, &["sync", "-f", "/"]);
    there.start(host, &["install", "--yes", "--no-confirm"]);
    let begun = Instant::now();
    let mark = format!("[{step}/");
    let steps = loop {
        if let Some(said) = there.ended(host) {
            panic!("the run ended before step {step}: {}", said.text);
        }
        assert!(begun.elapsed() < PATIENCE, "the run did not come to step {step}");
        let logs = logs(host);
        let log = logs.get(before).map(|path| fs::read_to_string(path).unwrap_or_default());
        let named = log.as_deref().and_then(|log| log.split_once(&mark)?.1.split_once(']'));
        if let Some((steps, _)) = named {
            break steps.parse().unwrap();
        }
        thread::sleep(Duration::from_millis(5));
    };
    // Not at the very beginning of it, and each time elsewhere.
    thread::sleep(Duration::from_millis(7 * (step as u64 % 11)));
    assert!(there.ended(host).is_none(), "step {step}: the run ended before the power failed");
    host.cut().unwrap();
    steps
}

fn logs(host: &Host) -> Vec<PathBuf> {
    let dir = host.root().join("var/lib/chom/transactions");
    let mut logs: Vec<PathBuf> = fs::read_dir(dir)
        .map(|entries| entries.flatten().map(|entry| entry.path().join("log")).collect())
        .unwrap_or_default();
    logs.sort();
    logs
}

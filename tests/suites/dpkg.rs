//! dpkg is killed in the middle, or apt above it, or the installer above both, so that an orphan goes on and holds the
//! lock: at random moments of a real installation that brings packages and replaces an older one. Without a person the
//! host is as before, or as after and then goes back. The usual run takes a sample, `CHOM_SAMPLE`; `CHOM_MATRIX=full` takes 50.

use std::fs;
use std::time::{Duration, Instant};

use chom_bundle::rehearse::{Cancel, Capture, Host};
use chom_format::manifest::Suite;
use chom_tests::fleet::{Unpacked, on_host, shell, shop, unpack};
use chom_tests::matrix;
use chom_tests::sample::Dice;

const SAMPLE: usize = 6;
const ALL: usize = 50;
const KILLED: i32 = 128 + 9;

/// Who is killed, in this order.
const VICTIMS: [&[&str]; 5] =
    [&["dpkg"], &["run"], &["apt-get"], &["run", "dpkg"], &["run", "apt-get", "dpkg"]];

#[test]
fn whoever_is_killed_while_packages_are_unpacked() {
    let full = matrix::part().is_some();
    on_host(Suite::Trixie, |host| {
        older(host);
        let there = unpack(host, &shop("dpkg", &[]));
        let before = host.capture().unwrap();
        let lasts = undisturbed(host, &there);
        is_as(host, &before, "taken back");
        println!("the packages take {lasts} ms");
        let mut dice = Dice::of("dpkg");
        let mut ends = [0; 3];
        let cases = if full { ALL } else { SAMPLE };
        for number in 0..cases {
            let victims = VICTIMS[number % VICTIMS.len()];
            let mut at = dice.next(lasts);
            loop {
                let begun = Instant::now();
                let what = format!("case {number}: {} killed after {at} ms", victims.join(", "));
                let end = killed(host, &there, victims, at, &what);
                is_as(host, &before, &what);
                println!("{what}: {end:?} in {:.1} s", begun.elapsed().as_secs_f64());
                ends[end as usize] += 1;
                // The machine was busier when the time was taken.
                match end {
                    End::TooLate if at > 0 => at /= 2,
                    _ => break,
                }
            }
        }
        println!(
            "{cases} cases: {} by the run itself, {} by recover, {} too late",
            ends[0], ends[1], ends[2]
        );
        assert!(ends[0] > 0 && ends[1] > 0, "each kind was seen: {ends:?}");
    });
}

/// Who put the host back.
#[derive(Debug, Clone, Copy)]
enum End {
    Itself,
    Recover,
    TooLate,
}

/// A library of the bundle is there already, in an older version with a file of its own.
fn older(host: &Host) {
    shell(
        host,
        &[
            "mkdir -p /var/tmp/old/DEBIAN /var/tmp/old/usr/share/liblzf1 /var/tmp/old/etc; cd /var/tmp/old",
            "printf 'Package: liblzf1\nVersion: 0.1-1\nArchitecture: amd64\nMaintainer: nobody <root@localhost>\nDescription: older\n' > DEBIAN/control",
            "echo older > usr/share/liblzf1/older; echo older > etc/liblzf1.conf; echo /etc/liblzf1.conf > DEBIAN/conffiles",
            "dpkg-deb --root-owner-group -b . /var/tmp/old.deb; dpkg -i /var/tmp/old.deb; rm -rf /var/tmp/old",
            "echo by hand >> /etc/liblzf1.conf",
        ],
    );
}

/// Installs and takes back; how long the packages take, in milliseconds.
fn undisturbed(host: &Host, there: &Unpacked) -> u64 {
    let said = there.installer(host, &["--yes", "--no-confirm"]);
    assert_eq!(said.code, 0, "{}", said.text);
    let log = fs::read_to_string(host.root().join("var/lib/chom/transactions/000001/log")).unwrap();
    let done = log.lines().find_map(|line| line.split_once("host/packages done in ")?.1.split_once(" s"));
    let seconds: f64 = done.unwrap_or_else(|| panic!("{log}")).0.parse().unwrap();
    let back = there.installer(host, &["rollback", "--yes"]);
    assert_eq!(back.code, 0, "{}", back.text);
    Duration::from_secs_f64(seconds).as_millis().try_into().unwrap()
}

/// Installs, kills, and lets the host be put back.
fn killed(host: &Host, there: &Unpacked, victims: &[&str], at: u64, what: &str) -> End {
    let program = format!("{}/chom-install", there.folder);
    let kill: Vec<String> = victims.iter().map(|victim| format!("end {victim}")).collect();
    let script = format!(
        "logs() {{ ls -d /var/lib/chom/transactions/*/log 2>/dev/null; }}
         end() {{
             if [ $1 = run ]; then kill -KILL $run; return; fi
             n=0
             while [ $n -lt 400 ] && kill -0 $run 2>/dev/null || [ $n -lt 40 ]; do
                 for comm in /proc/[0-9]*/comm; do
                     read name < $comm || continue
                     [ \"$name\" = $1 ] && {{ pid=${{comm%/comm}}; kill -KILL ${{pid#/proc/}}; return; }}
                 done 2>/dev/null
                 n=$((n+1)); sleep 0.01
             done
         }}
         before=$(logs | wc -l)
         {program} --yes --no-confirm > /run/said 2>&1 & run=$!
         while kill -0 $run 2>/dev/null; do
             last=$(logs | tail -n +$((before+1)) | head -n 1)
             [ -n \"$last\" ] && grep -q '] host/packages' $last && break
             sleep 0.01
         done
         sleep {}.{:03}
         {}
         code=0; wait $run || code=$?; cat /run/said; exit $code",
        at / 1000,
        at % 1000,
        kill.join("\n"),
    );
    let tool = host.inside(&["sh", "-c", &script]).unwrap().limit(Duration::from_secs(300));
    let ran = tool.run(&Cancel::default()).unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    match ran.code {
        KILLED => {
            // Whatever of apt and dpkg is left is at work, or is gone with the lock.
            // An orphan that starts a service behind our back would be found out after systemd's 90 seconds.
            let begun = Instant::now();
            let recovered = there.installer(host, &["recover"]);
            assert_eq!(recovered.code, 0, "{what}: {}", recovered.text);
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}: {:?}", begun.elapsed());
            End::Recover
        }
        4 => {
            assert!(said.contains("host is now: as before, proved"), "{what}: {said}");
            End::Itself
        }
        0 => {
            let back = there.installer(host, &["rollback", "--yes"]);
            assert_eq!(back.code, 0, "{what}: {}", back.text);
            End::TooLate
        }
        code => panic!("{what}: ended with {code}: {said}"),
    }
}

fn is_as(host: &mut Host, before: &Capture, what: &str) {
    let differences = Capture::diff(before, &host.capture().unwrap());
    let some: Vec<String> = differences.iter().take(12).map(ToString::to_string).collect();
    assert!(differences.is_empty(), "{what}: {} differences, such as {some:#?}", differences.len());
}

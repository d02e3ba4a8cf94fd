//! The main promise on a host that people have worked on: packages, a site, firewall rules and an older Prometheus
//! of their own. What is theirs goes on, and after the way back all of it is there again.

use std::path::PathBuf;
use std::process::Command;

use chom_bundle::rehearse::{Capture, Host};
use chom_format::manifest::Suite;
use chom_format::step::Deb;
use chom_format::{Manifest, RelPath, StepSpec};
use chom_tests::fleet::{Unpacked, bundle, folder_name, manifest, must, on_host, scratch, shell, unpack};
use chom_tests::succeed;

const SITE: &str = "server { listen 8088; location / { return 200 \"made by hand\\n\"; } }";
const UNIT: &str = "[Unit]
Description=Prometheus, set up by hand
[Service]
User=observability
ExecStart=/opt/observability/bin/prometheus --config.file=/etc/observability/prometheus/prometheus.yml \
--storage.tsdb.path=/var/lib/observability/prometheus
[Install]
WantedBy=multi-user.target";
/// What runs writes: its samples and its logs.
const LIVES: [&str; 3] =
    ["/var/lib/observability/prometheus", "/var/lib/observability/node_exporter/textfile", "/var/log/"];

/// The Prometheus of the release before, which a person would have downloaded.
fn older() -> PathBuf {
    let tarball = bundle(Suite::Bookworm);
    let from = manifest(&tarball)
        .steps()
        .into_iter()
        .find_map(|(_, step)| match step.spec {
            StepSpec::Release(spec) => spec.files.get(&"bin/prometheus".parse::<RelPath>().unwrap()).cloned(),
            _ => None,
        })
        .expect("a release with Prometheus")
        .content
        .from;
    let folder = scratch("older");
    let member = format!("{}/{from}", folder_name(&tarball));
    succeed(Command::new("tar").arg("-xzf").arg(&tarball).arg("-C").arg(&folder).arg(&member));
    folder.join(member)
}

/// What a person may have done to a host before we came.
fn live_in(host: &Host, there: &Unpacked, manifest: &Manifest) {
    let debs = manifest.steps().into_iter().filter_map(|(_, step)| match step.spec {
        StepSpec::Packages(spec) => Some(spec.packages),
        _ => None,
    });
    let link =
        |deb: Deb| format!("ln -s {}/{} /var/tmp/debs/{}", there.folder, deb.content.from, deb.file_name());
    let links: Vec<String> = debs.flatten().map(link).collect();
    host.scp(&older(), "/var/tmp/prometheus").unwrap();
    shell(
        host,
        &[
            "mkdir /var/tmp/debs",
            &links.join("\n"),
            "DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends /var/tmp/debs/*.deb >/dev/null",
            "rm -r /var/tmp/debs",
            &format!("printf '%s' '{SITE}' > /etc/nginx/sites-available/by-hand"),
            "ln -s ../sites-available/by-hand /etc/nginx/sites-enabled/by-hand",
            "systemctl reload-or-restart nginx",
            "useradd --system --home-dir /var/lib/observability --no-create-home --shell /usr/sbin/nologin observability",
            "install -d /opt/observability/bin /etc/observability/prometheus",
            "install -d -o observability -g observability /var/lib/observability/prometheus",
            "install -m 0755 /var/tmp/prometheus /opt/observability/bin/prometheus",
            "echo 'a note' > /opt/observability/bin/README; rm /var/tmp/prometheus",
            "printf 'scrape_configs: []\\n' > /etc/observability/prometheus/prometheus.yml",
            &format!("printf '%s\\n' '{UNIT}' > /etc/systemd/system/prometheus.service"),
            "systemctl daemon-reload; systemctl enable -q --now prometheus.service",
            "ufw allow 22/tcp >/dev/null; ufw allow 8088/tcp comment 'by hand' >/dev/null",
            "ufw --force enable >/dev/null",
        ],
    );
    await_version(host, "/metrics", OLDER);
}

const OLDER: &str = "version=\"2.42";
const OURS: &str = "version=\"2.53";

/// One GET with nothing but bash, which is all that such a host has.
fn get(host: &Host, port: u16, path: &str) -> String {
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port}; printf 'GET {path} HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3; cat <&3"
    );
    let ran = host.exec(&["timeout", "10", "bash", "-c", &script]).unwrap();
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

fn await_version(host: &Host, path: &str, version: &str) {
    let seen = || get(host, 9090, path);
    let known = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(200));
        seen().contains(version)
    });
    assert!(known, "{version} at {path}: {}", seen());
}

fn by_hand_goes_on(host: &Host) {
    assert!(get(host, 8088, "/").contains("made by hand"), "the site is gone");
    let rules = must(host, &["ufw", "status"]);
    assert!(rules.contains("8088/tcp") && rules.contains("# by hand") && rules.contains("22/tcp"), "{rules}");
}

/// How the last run ended, as the exporter tells Prometheus.
fn figures_say(host: &Host, result: u8) {
    let figures = get(host, 9100, "/metrics?collect[]=textfile");
    assert!(figures.contains(&format!("chom_deployment_last_result {result}\n")), "{figures}");
}

/// All that differs, but for what lives.
fn differences(before: &Capture, host: &mut Host) -> Vec<String> {
    let found = Capture::diff(before, &host.capture().unwrap());
    let lives = |name: &str| LIVES.iter().any(|place| name.starts_with(place));
    found.iter().filter(|found| !lives(&found.name)).map(|found| format!("{found:?}")).collect()
}

#[test]
fn what_people_made_goes_on_and_comes_back() {
    let tarball = bundle(Suite::Trixie);
    let manifest = manifest(&tarball);
    on_host(Suite::Trixie, |host| {
        let there = unpack(host, &tarball);
        live_in(host, &there, &manifest);
        by_hand_goes_on(host);
        let before = host.capture().unwrap();

        // A site of theirs under the name of Debian's own is not ours to remove.
        let default = "/etc/nginx/sites-available/default";
        shell(host, &[&format!("cp -a {default} /var/tmp/; echo '# by hand' >> {default}")]);
        let said = there.installer(host, &["--yes", "--no-confirm"]);
        assert_eq!(said.code, 3, "{}", said.text);
        let named = format!("/etc/nginx/sites-enabled/default leads to {default}, which is not as a package");
        assert!(said.text.contains(&named), "{}", said.text);
        shell(host, &[&format!("cp -a /var/tmp/default {default}; rm /var/tmp/default")]);
        assert_eq!(differences(&before, host), Vec::<String>::new(), "after a refusal:\n{}", said.text);

        // A failure late in the run puts the older one back, and it runs.
        let said = there.installer(host, &["--yes", "--no-confirm", "--fail-at", "check"]);
        assert_eq!(said.code, 4, "{}", said.text);
        await_version(host, "/metrics", OLDER);
        by_hand_goes_on(host);
        assert_eq!(differences(&before, host), Vec::<String>::new(), "after a failure:\n{}", said.text);

        let said = there.installer(host, &["--yes", "--no-confirm"]);
        assert_eq!(said.code, 0, "{}", said.text);
        await_version(host, "/prometheus/metrics", OURS);
        by_hand_goes_on(host);

        // A file of ours that a person edits is brought back by the next run, and their text is not lost.
        let edited = "/etc/observability/blackbox_exporter/blackbox.yml";
        shell(host, &[&format!("echo '# by hand' >> {edited}")]);
        let installed = host.capture().unwrap();
        figures_say(host, 0);
        let said = there.installer(host, &["--yes", "--no-confirm", "--fail-at", "check"]);
        assert_eq!(said.code, 4, "{}", said.text);
        figures_say(host, 4);
        let said = there.installer(host, &["--yes", "--no-confirm"]);
        assert_eq!(said.code, 0, "{}", said.text);
        assert!(said.text.contains(edited), "{}", said.text);
        assert!(!must(host, &["cat", edited]).contains("# by hand"), "ours again");
        let said = there.installer(host, &["rollback", "--yes"]);
        assert_eq!(said.code, 0, "{}", said.text);
        assert!(must(host, &["cat", edited]).contains("# by hand"), "their text is back");
        assert_eq!(
            differences(&installed, host),
            Vec::<String>::new(),
            "one transaction back:\n{}",
            said.text
        );

        // On the way back to before us it is kept aside and named.
        let said = there.installer(host, &["rollback", "--yes"]);
        assert_eq!(said.code, 0, "{}", said.text);
        let kept = must(host, &["sh", "-c", "grep -rl '# by hand' /var/lib/chom/attic"]);
        assert!(kept.contains("blackbox"), "{kept}");
        assert!(said.text.contains(kept.trim()), "{kept} is not named:\n{}", said.text);
        await_version(host, "/metrics", OLDER);
        by_hand_goes_on(host);
        assert_eq!(differences(&before, host), Vec::<String>::new(), "after all:\n{}", said.text);
    });
}

/// A directory for the data that was made beforehand: what the service wrote is kept with its owner's name, and its account
/// can go.
#[test]
fn a_data_directory_made_beforehand_is_given_back() {
    on_host(Suite::Trixie, |host| {
        let data = "/var/lib/observability/prometheus";
        shell(host, &[&format!("mkdir -p {data}; echo 'a note' > {data}/README")]);
        let there = unpack(host, &bundle(Suite::Trixie));
        let before = host.capture().unwrap();
        let said = there.installer(host, &["--yes", "--no-confirm", "--fail-at", "check"]);
        assert_eq!(said.code, 4, "{}", said.text);
        assert_eq!(Capture::diff(&before, &host.capture().unwrap()), Vec::new(), "{}", said.text);
        let owners = must(host, &["sh", "-c", "cat /var/lib/chom/attic/*/owner-of.*prometheus_wal*"]);
        assert!(owners.contains(" observability\n"), "{owners}");
        assert!(said.text.contains("observability_prometheus_wal"), "{}", said.text);
    });
}

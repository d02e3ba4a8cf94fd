//! Nobody is locked out: a real host with a real sshd, a firewall that is about to change, and everything that has
//! gone wrong with confirmations elsewhere. After each the operator logs in again, as always.

mod gate;
mod shells;

use std::thread::sleep;
use std::time::{Duration, Instant};

use gate::{on_gate, on_stack};

const STALE: &str = "0123456789abcdef";

/// sshd listens elsewhere than the inventory says; told before anything happens, and open afterwards.
fn wrong_port(inventory: u16, real: u16) {
    on_gate(inventory, |gate| {
        gate.listen(real);
        let said = gate.install(real, &[]);
        assert_eq!(said.code, 7, "{}", said.text);
        for words in
            ["ssh-ports", &format!("`sshd -T` says {real}"), &format!("the inventory says {inventory}")]
        {
            assert!(said.text.contains(words), "{words}: {}", said.text);
        }
        let rules = gate.inside("ufw status");
        for port in [inventory, real] {
            assert!(rules.contains(&format!("{port}/tcp")), "{port}: {rules}");
        }
        let confirmed = gate.ssh(real, &[], &gate.confirm_command(&said));
        assert_eq!(confirmed.code, 0, "{}", confirmed.text);
        let history = gate.ssh(real, &[], &format!("{} history", gate.program()));
        assert!(history.text.contains(", confirmed by root from "), "who and from where: {}", history.text);
        gate.operator_is_in(real);
    });
}

#[test]
fn sshd_on_2222_and_the_inventory_says_22() {
    wrong_port(22, 2222);
}

#[test]
fn sshd_on_22_and_the_inventory_says_2222() {
    wrong_port(2222, 22);
}

#[test]
fn a_stale_word_and_one_too_early_confirm_nothing_and_a_lost_answer_is_given_again() {
    on_gate(22, |gate| {
        let (id, word) = gate.detach(&["--confirm-within", "60"]);
        gate.await_standing(&id, &["open"]);
        let early = gate.ssh(22, &[], &gate.confirm(&id, &word));
        assert_eq!(early.code, 1, "{}", early.text);
        assert!(early.text.contains("is not exposed yet"), "{}", early.text);

        gate.await_standing(&id, &["exposed"]);
        let stale = gate.ssh(22, &[], &gate.confirm(&id, STALE));
        assert_eq!(stale.code, 2, "{}", stale.text);
        assert!(stale.text.contains("belongs to another run"), "{}", stale.text);
        assert_eq!(gate.standing(&id), "exposed");

        // The first answer is lost: the client is gone before it can come.
        let lost =
            gate.ssh(22, &[], &format!("{} > /dev/null 2>&1; kill -9 $PPID", gate.confirm(&id, &word)));
        assert_ne!(lost.code, 0);
        gate.await_standing(&id, &["committed"]);
        let again = gate.ssh(22, &[], &gate.confirm(&id, &word));
        assert_eq!(again.code, 0, "{}", again.text);
        assert!(again.text.contains(&format!("transaction {id} stands")), "{}", again.text);
        gate.operator_is_in(22);
    });
}

#[test]
fn a_connection_that_was_there_before_confirms_nothing() {
    on_gate(22, |gate| {
        let socket = gate.scratch("master");
        let path = format!("ControlPath={}", socket.display());
        let shared = ["-o", "ControlMaster=auto", "-o", "ControlPersist=120", "-o", path.as_str()];
        let older = gate.scratch("older");
        let path = format!("ControlPath={}", older.display());
        let old = ["-o", "ControlMaster=auto", "-o", "ControlPersist=120", "-o", path.as_str()];
        assert_eq!(gate.ssh(22, &old, "true").code, 0);

        let said = gate.install_with(22, &shared, &[]);
        assert_eq!(said.code, 7, "{}", said.text);
        let command = gate.confirm_command(&said);
        for (options, why) in
            [(shared, "the connection of the installation itself"), (old, "made before the firewall")]
        {
            let refused = gate.ssh(22, &options, &command);
            assert_eq!(refused.code, 3, "{}", refused.text);
            assert!(refused.text.contains(why), "{}", refused.text);
        }
        // From the host to itself, and from a program of the host.
        let refused = gate.inside_said(&command);
        assert_eq!(refused.code, 3, "{}", refused.text);
        let confirmed = gate.ssh(22, &[], &command);
        assert_eq!(confirmed.code, 0, "{}", confirmed.text);
        gate.operator_is_in(22);
    });
}

#[test]
fn whoever_is_first_at_the_deadline_decides_and_both_say_so() {
    on_gate(22, |gate| {
        let before = gate.capture();
        let (id, word) = gate.detach(&["--confirm-within", "10"]);
        gate.await_standing(&id, &["exposed"]);
        // Already connected when the window closes: what is measured is the decision and not the way there.
        let command = gate.confirm(&id, &word);
        let script = format!(
            "while :; do left=$(/var/lib/chom/chom-install status --transaction {id} --json \
             | grep -o 'seconds_left.:[0-9a-z]*' | head -n 1); \
             case $left in *:1 | *:null) break;; esac; done; sleep 0.95; {command}"
        );
        let said = gate.ssh(22, &[], &script);
        gate.await_standing(&id, &["committed", "rolled_back"]);
        match (said.code, gate.standing(&id).as_str()) {
            (0, "committed") => {}
            (4, "rolled_back") => gate.is_as(&before),
            other => panic!("{other:?}: {}", said.text),
        }
        gate.operator_is_in(22);
    });
}

#[test]
fn sshd_that_does_not_come_back_means_the_way_back() {
    on_gate(22, |gate| {
        let before = gate.capture();
        let (id, _) = gate.detach(&["--confirm-within", "10"]);
        gate.await_standing(&id, &["exposed"]);
        gate.inside("systemctl stop ssh.service");
        assert_ne!(gate.ssh(22, &[], "true").code, 0, "sshd is there");
        gate.await_standing(&id, &["rolled_back"]);
        gate.inside("systemctl start ssh.service");
        gate.operator_is_in(22);
        gate.is_as(&before);
    });
}

#[test]
fn a_run_that_is_killed_between_the_rules_and_the_window_is_taken_back() {
    on_gate(22, |gate| {
        let before = gate.capture();
        let (id, _) = gate.detach(&[]);
        gate.await_inside(&format!("systemctl is-active --quiet chom-guard-{id:0>6}"));
        gate.inside(&format!("systemctl kill --signal=KILL chom-install-{id:0>6}"));
        gate.await_standing(&id, &["rolled_back"]);
        gate.operator_is_in(22);
        gate.is_as(&before);
    });
}

#[test]
fn a_guard_that_is_killed_comes_back() {
    on_gate(22, |gate| {
        let before = gate.capture();
        let (id, _) = gate.detach(&["--confirm-within", "10"]);
        gate.await_standing(&id, &["exposed"]);
        gate.inside(&format!("systemctl kill --signal=KILL chom-guard-{id:0>6}"));
        gate.await_standing(&id, &["rolled_back"]);
        gate.operator_is_in(22);
        gate.is_as(&before);
    });
}

#[test]
fn the_boot_clock_decides_and_not_the_time_of_day() {
    on_gate(22, |gate| {
        let before = gate.capture();
        let (id, _) = gate.detach(&["--confirm-within", "3600"]);
        gate.await_standing(&id, &["exposed"]);
        // As after a night in which the machine was suspended: the boot clock has gone on.
        gate.inside("awk '{ printf \"%.2f %s\\n\", $1 + 7200, $2 }' /proc/uptime > /run/later");
        gate.inside("mount --bind /run/later /proc/uptime");
        gate.await_standing(&id, &["rolled_back"]);
        gate.inside("umount /proc/uptime && rm /run/later");
        gate.operator_is_in(22);
        gate.is_as(&before);
    });
}

#[test]
fn what_a_reboot_finds_unconfirmed_is_taken_back() {
    on_gate(22, |gate| {
        let before = gate.capture();
        let (id, word) = gate.detach(&["--confirm-within", "3600"]);
        gate.await_standing(&id, &["exposed"]);
        gate.reboot();
        gate.await_standing(&id, &["rolled_back"]);
        let late = gate.ssh(22, &[], &gate.confirm(&id, &word));
        assert_eq!(late.code, 4, "{}", late.text);
        gate.operator_is_in(22);
        gate.is_as(&before);
    });
}

#[test]
fn deploy_as_somebody_else_than_root_goes_by_sudo_or_says_what_is_missing() {
    on_gate(22, |gate| {
        gate.log_in_as("debian", "ALL=(ALL) ALL");
        let before = gate.capture();
        let refused = gate.deploy(&[]).wait();
        assert_eq!(refused.code, 1, "{}", refused.text);
        assert!(refused.text.contains("sudo"), "{}", refused.text);
        assert!(refused.text.contains("NOPASSWD"), "{}", refused.text);
        gate.is_as(&before);

        gate.log_in_as("debian", "ALL=(ALL) NOPASSWD: ALL");
        let deployed = gate.deploy(&[]).wait();
        assert_eq!(deployed.code, 0, "{}", deployed.text);
        let history = gate.inside("/var/lib/chom/chom-install history");
        assert!(history.contains("debian by sudo"), "{history}");
        gate.operator_is_in(22);
    });
}

#[test]
fn deploy_installs_and_confirms_through_a_cut_link_and_finds_nothing_to_do_then() {
    on_gate(22, |gate| {
        let mut control = gate.deploy(&["--confirm-within", "60"]);
        gate.await_standing("1", &["open", "exposed"]);
        gate.link(false);
        sleep(Duration::from_secs(4));
        gate.link(true);
        let output = control.wait();
        assert_eq!(output.code, 0, "{}", output.text);
        assert!(output.text.contains("confirmed over a fresh connection"), "{}", output.text);
        assert_eq!(gate.standing("1"), "committed");
        assert_eq!(gate.inside("ls /var/tmp | grep ^chom || true"), "", "the upload is gone");
        let output = gate.deploy(&[]).wait();
        assert!(output.code == 0 && output.text.contains("nothing to do"), "{}", output.text);
        gate.operator_is_in(22);
    });
}

#[test]
fn a_control_machine_that_is_killed_changes_nothing_for_the_host() {
    on_gate(22, |gate| {
        let before = gate.capture();
        let mut control = gate.deploy(&["--confirm-within", "10"]);
        gate.await_standing("1", &["open"]);
        control.kill();
        let begun = Instant::now();
        gate.await_standing("1", &["exposed"]);
        gate.await_standing("1", &["rolled_back"]);
        assert!(begun.elapsed() < Duration::from_secs(60));
        gate.inside("rm -rf /var/tmp/chom-*");
        gate.operator_is_in(22);
        gate.is_as(&before);
    });
}

#[test]
fn an_upgrade_that_nobody_confirms_leaves_the_rules_of_before() {
    on_gate(22, |gate| {
        let said = gate.install(22, &[]);
        let confirmed = gate.ssh(22, &[], &gate.confirm_command(&said));
        assert_eq!(confirmed.code, 0, "{}", confirmed.text);
        let before = gate.capture();

        gate.upgrade(&["mentat.components.door.enabled=true"]);
        let (id, _) = gate.detach(&["--confirm-within", "10"]);
        gate.await_standing(&id, &["exposed"]);
        assert!(gate.inside("ufw status").contains("8090/tcp"));
        gate.await_standing(&id, &["rolled_back"]);
        let rules = gate.inside("ufw status");
        assert!(
            rules.contains("Status: active") && rules.contains("22/tcp") && !rules.contains("8090"),
            "{rules}"
        );
        gate.operator_is_in(22);
        gate.is_as(&before);
        assert_eq!(gate.standing("1"), "committed");
    });
}

#[test]
fn without_ufw_a_table_of_our_own_opens_closes_and_goes_and_foreign_ones_stay() {
    on_stack("sieve", 22, |gate| {
        let bare = gate.capture();
        let said = gate.install(22, &[]);
        assert_eq!(said.code, 7, "{}", said.text);
        let confirmed = gate.ssh(22, &[], &gate.confirm_command(&said));
        assert_eq!(confirmed.code, 0, "{}", confirmed.text);
        let table = gate.inside("nft list table inet chom");
        assert!(table.contains("policy drop") && table.contains("tcp dport 22 accept"), "{table}");
        gate.reboot();
        assert!(gate.inside("nft list table inet chom").contains("policy drop"), "it is loaded at boot");
        gate.operator_is_in(22);
        gate.inside("nft add table inet theirs && nft add chain inet theirs input '{ type filter hook input priority 10; }'");
        let second = gate.ssh(22, &[], &format!("{} --yes", gate.program()));
        assert!(second.code == 0 && second.text.contains("nothing to do"), "{}", second.text);
        let before = gate.capture();

        gate.upgrade(&["mentat.components.door.enabled=true"]);
        let (id, _) = gate.detach(&["--confirm-within", "10"]);
        gate.await_standing(&id, &["exposed"]);
        assert!(gate.inside("nft list table inet chom").contains("tcp dport 8090 accept"));
        gate.await_standing(&id, &["rolled_back"]);
        gate.operator_is_in(22);
        gate.is_as(&before);

        gate.inside("nft delete table inet theirs");
        let taken = gate.ssh(22, &[], &format!("{} rollback --yes", gate.program()));
        assert_eq!(taken.code, 0, "{}", taken.text);
        gate.operator_is_in(22);
        gate.is_as(&bare);
    });
}

#[test]
fn on_the_terminal_of_the_host_somebody_is_asked_and_silence_is_a_no() {
    on_gate(22, |gate| {
        let before = gate.capture();
        for (answer, code, words) in [
            ("yes", 0, "transaction 1 stands"),
            ("no", 4, "transaction 2 was not confirmed"),
            ("sleep", 4, "transaction 3 was not confirmed"),
        ] {
            let said = gate.on_terminal("--yes --confirm-within 10", answer);
            assert!(said.text.contains("can you still log in?"), "{answer}: {}", said.text);
            assert_eq!(said.code, code, "{answer}: {}", said.text);
            assert!(said.text.contains(words), "{answer}: {}", said.text);
            if code == 0 {
                let taken = gate.ssh(22, &[], &format!("{} rollback --yes", gate.program()));
                assert_eq!(taken.code, 0, "{}", taken.text);
            }
        }
        gate.operator_is_in(22);
        gate.is_as(&before);
    });
}

#[test]
fn without_anybody_to_confirm_it_is_committed_and_status_tells_a_wait() {
    on_gate(22, |gate| {
        let said = gate.inside_said(&format!("{} --yes", gate.program()));
        assert_eq!(said.code, 0, "{}", said.text);
        assert!(said.text.contains("it is not waited for"), "{}", said.text);
        let taken = gate.ssh(22, &[], &format!("{} rollback --yes", gate.program()));
        assert_eq!(taken.code, 0, "{}", taken.text);

        let said = gate.install(22, &[]);
        assert_eq!(said.code, 7, "{}", said.text);
        let status = gate.ssh(22, &[], &format!("{} status --json", gate.program()));
        assert_eq!(status.code, 7, "{}", status.text);
        let told: serde_json::Value = serde_json::from_str(status.text.lines().next().unwrap()).unwrap();
        assert_eq!(told.pointer("/awaiting/standing").unwrap(), "exposed");
        assert!((1..=120).contains(&told.pointer("/awaiting/seconds_left").unwrap().as_u64().unwrap()));
        let second = gate.ssh(22, &[], &format!("{} --yes", gate.program()));
        assert_eq!(second.code, 6, "{}", second.text);
        // No needs no fresh connection.
        let taken = gate.ssh(22, &[], &format!("{} rollback --yes", gate.program()));
        assert_eq!(taken.code, 0, "{}", taken.text);
        gate.operator_is_in(22);
    });
}

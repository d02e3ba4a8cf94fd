//! Login shells that are none of the POSIX kind: what goes over ssh is run by `sh`, or by nobody.

use super::gate::{Gate, on_gate};

/// What an operator keeps where Debian's own start-up file of csh has a variable of the name `dir` lead to.
const OPERATORS: &str = "/etc/csh/cshrc.d/local.csh";

fn measured_and_deployed(gate: &Gate<'_>) {
    let facts = gate.control(&["--json", "facts", "--host", "mentat"]).wait();
    assert_eq!(facts.code, 0, "{}", facts.text);
    assert!(facts.text.contains("\"os_codename\": \"trixie\""), "{}", facts.text);
    let deployed = gate.deploy(&[]).wait();
    assert_eq!(deployed.code, 0, "{}", deployed.text);
    assert_eq!(gate.inside("ls -d /tmp/tmp.* /var/tmp/chom-* /root/.chom-* 2>/dev/null || true"), "");
}

#[test]
fn csh_does_not_run_our_lines_with_variables_of_its_own() {
    on_gate(22, |gate| {
        gate.bring(&["tcsh"]);
        gate.inside(&format!(
            "echo /bin/tcsh >> /etc/shells; usermod -s /bin/tcsh root; mkdir -p /etc/csh/cshrc.d; \
             echo 'setenv EDITOR vi' > {OPERATORS}"
        ));
        let seen = gate.ssh(22, &[], "echo $shell $dir");
        assert_eq!(seen.text.trim(), "/bin/tcsh /etc/csh/cshrc.d", "it is Debian's csh");
        measured_and_deployed(gate);
        assert_eq!(gate.inside(&format!("cat {OPERATORS}")), "setenv EDITOR vi\n");
    });
}

#[test]
fn fish_and_a_shell_that_prints_lines_are_no_obstacle() {
    on_gate(22, |gate| {
        gate.bring(&["fish", "fish-common", "libpcre2-32-0"]);
        gate.inside("usermod -s /usr/bin/fish root");
        assert_eq!(gate.ssh(22, &[], "echo $FISH_VERSION | string length -q; and echo fish").text, "fish\n");
        measured_and_deployed(gate);
        // Also one that looks like an answer, and one that does not end its line.
        gate.inside(
            "usermod -s /bin/bash root; echo 'echo Welcome; echo \"{ \\\"exit\\\": 0 }\"; printf \"unread mail\"' > /root/.bashrc",
        );
        assert_eq!(gate.ssh(22, &[], "true").text.lines().count(), 3);
        measured_and_deployed(gate);
    });
}

fn refused(gate: &Gate<'_>, words: &[&str], said: &str) {
    let refused = gate.control(words).wait();
    assert_eq!(refused.code, 1, "{}", refused.text);
    for words in [said, "no POSIX shell answers", "hint: `ssh.user` of `mentat`"] {
        assert!(refused.text.contains(words), "{words}: {}", refused.text);
    }
}

#[test]
fn what_is_no_shell_is_sent_nothing() {
    on_gate(22, |gate| {
        let bundle = gate.bundle();
        gate.inside("cp /root/.ssh/authorized_keys /root/keys");
        let forced = |command: &str| {
            format!("sed 's|^ssh-|command=\"{command}\" ssh-|' /root/keys > /root/.ssh/authorized_keys")
        };
        let (facts, push) =
            (["facts", "--host", "mentat"], ["push", "--host", "mentat", "--bundle", &bundle]);
        gate.inside("usermod -s /usr/sbin/nologin root");
        let before = gate.capture();
        refused(gate, &facts, "This account is currently not available");
        refused(gate, &push, "This account is currently not available");
        gate.is_as(&before);
        // It shows what it was asked, and writes down all that it is sent.
        gate.inside("usermod -s /bin/bash root");
        gate.inside(&forced("echo $SSH_ORIGINAL_COMMAND; cat > /root/written"));
        refused(gate, &facts, "exec /bin/sh");
        assert_eq!(gate.inside("cat /root/written"), "");
        // It writes nothing, and waits.
        gate.inside(&forced("cat > /root/written"));
        refused(gate, &push, "nothing was sent");
        assert_eq!(gate.inside("cat /root/written"), "");
    });
}

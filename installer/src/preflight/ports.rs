//! Ports that the bundle's services want, and who has them. Nobody is ended: a person decides.

use chom_format::manifest::Port;

use super::Finding;
use super::proc::{Owner, holders, listeners};
use crate::sys::{Command, Sys, proc};

const CHECK: &str = "ports";

pub(super) fn check(sys: &dyn Sys, wanted: &[Port]) -> Finding {
    let table = |name: &str| proc::text(&format!("net/{name}")).unwrap_or_default();
    let mut open = listeners(&table("tcp"));
    open.extend(listeners(&table("tcp6")));
    let taken: Vec<(&Port, u64)> = wanted
        .iter()
        .flat_map(|port| {
            open.iter().filter(|(number, _)| *number == port.port).map(move |(_, inode)| (port, *inode))
        })
        .collect();
    if taken.is_empty() {
        return judge(wanted, &[]);
    }
    let inodes: Vec<u64> = taken.iter().map(|(_, inode)| *inode).collect();
    let holders = holders(&inodes);
    let mut sockets = None;
    let mut owners = |port: u16, inode: u64| {
        let pids = holders.iter().filter(|(held, _)| *held == inode).map(|(_, pid)| *pid);
        let mut owners: Vec<Owner> = pids.map(Owner::of).collect();
        // systemd listens for others: which socket unit it is, it alone knows.
        for owner in owners.iter_mut().filter(|owner| owner.pid == 1) {
            let text = sockets.get_or_insert_with(|| list_sockets(sys));
            owner.unit = socket_unit(text, port).or(owner.unit.take());
        }
        owners
    };
    let taken: Vec<(&Port, Vec<Owner>)> =
        taken.into_iter().map(|(port, inode)| (port, owners(port.port, inode))).collect();
    judge(wanted, &taken)
}

fn list_sockets(sys: &dyn Sys) -> String {
    let command =
        Command::new(["systemctl", "list-sockets", "--no-pager", "--no-legend", "--plain", "--full"]);
    sys.ask(&command).map(|output| output.text()).unwrap_or_default()
}

// `[::]:9090 web.socket web.service`
fn socket_unit(list: &str, port: u16) -> Option<String> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let (place, unit) = (words.next()?, words.next()?);
        let number = place.rsplit_once(':').map_or(place, |(_, number)| number);
        (number.parse() == Ok(port)).then(|| unit.to_owned())
    };
    list.lines().find_map(line)
}

// A port that the very unit holds which will hold it afterwards is no conflict: that unit is restarted by us.
fn judge(wanted: &[Port], taken: &[(&Port, Vec<Owner>)]) -> Finding {
    let mut conflicts: Vec<String> = taken
        .iter()
        .filter(|(port, owners)| {
            !owners.iter().any(|owner| owner.unit.as_deref() == Some(port.unit.as_str()))
        })
        .map(|(port, owners)| {
            let owner = owners
                .first()
                .map_or_else(|| "a process that cannot be seen".to_owned(), ToString::to_string);
            format!("{} is wanted by {} and taken by {owner}", port.port, port.unit)
        })
        .collect();
    conflicts.sort();
    conflicts.dedup();
    if conflicts.is_empty() {
        let numbers: Vec<String> = wanted.iter().map(|port| port.port.to_string()).collect();
        let numbers = if numbers.is_empty() { "none are wanted".to_owned() } else { numbers.join(", ") };
        return Finding::pass(CHECK, numbers);
    }
    Finding::fail(
        CHECK,
        conflicts.join("\n"),
        "stop what holds the port, or give the component another port in the inventory",
    )
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn port() -> Port {
        Port { port: 9090, unit: "prometheus.service".parse().unwrap() }
    }

    fn owner(unit: Option<&str>) -> Owner {
        Owner { pid: 7, program: "prometheus".into(), unit: unit.map(str::to_owned) }
    }

    #[test]
    fn the_unit_that_will_have_it_may_have_it() {
        let port = port();
        let wanted = [port.clone()];
        assert_eq!(judge(&wanted, &[]).level, Level::Pass);
        assert_eq!(judge(&wanted, &[(&port, vec![owner(Some("prometheus.service"))])]).level, Level::Pass);
        let other = judge(&wanted, &[(&port, vec![owner(Some("old.service"))])]);
        assert_eq!(other.level, Level::Fail);
        assert_eq!(
            other.reason,
            "9090 is wanted by prometheus.service and taken by pid 7 (prometheus, old.service)"
        );
        assert!(judge(&wanted, &[(&port, Vec::new())]).reason.ends_with("a process that cannot be seen"));
    }

    #[test]
    fn systemd_listens_for_a_socket_unit() {
        let list = "/run/dbus/system_bus_socket dbus.socket dbus.service\n[::]:9090 squatter.socket squatter.service\n\
                    0.0.0.0:22 ssh.socket ssh.service\n";
        assert_eq!(socket_unit(list, 9090).as_deref(), Some("squatter.socket"));
        assert_eq!(socket_unit(list, 22).as_deref(), Some("ssh.socket"));
        assert_eq!(socket_unit(list, 80), None);
    }

    #[test]
    fn a_real_conflict_names_us() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = Port { port: listener.local_addr().unwrap().port(), unit: "web.service".parse().unwrap() };
        let finding = check(&crate::sys::RealSys::new("/"), &[port]);
        assert!(finding.reason.contains(&format!("taken by pid {} (", std::process::id())), "{finding:?}");
    }
}

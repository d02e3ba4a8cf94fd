//! What apt says that it would do, read line by line, and what of that is refused.

use std::cmp::Ordering;

use chom_format::step::PackagesSpec;

use super::super::{Decision, PackageMove};
use crate::dpkg::{Status, version};

/// One line of a simulation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Planned {
    /// `Inst name [from] (to ...)`
    Install { name: String, from: Option<String>, to: String },
    /// `Remv` or `Purg`.
    Remove { name: String },
}

/// Reads the lines that say something about packages; `Conf` lines repeat what `Inst` said.
pub(super) fn parse(text: &str) -> Vec<Planned> {
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Planned> {
    let mut words = line.split_whitespace();
    let verb = words.next()?;
    let name = words.next()?.to_owned();
    match verb {
        "Remv" | "Purg" => Some(Planned::Remove { name }),
        "Inst" => {
            let mut word = words.next()?;
            let mut from = None;
            if let Some(version) = word.strip_prefix('[') {
                from = Some(version.trim_end_matches(']').to_owned());
                word = words.next()?;
            }
            let to = word.strip_prefix('(')?.trim_end_matches(')').to_owned();
            Some(Planned::Install { name, from, to })
        }
        _ => None,
    }
}

/// What is missing or too old, for a host that is a directory and whose apt cannot be asked: the whole closure,
/// of which apt on the host itself may leave out alternatives.
pub(super) fn from_status(spec: &PackagesSpec, status: &Status) -> Vec<Planned> {
    let mut planned = Vec::new();
    for deb in &spec.packages {
        let found = status.installed(deb.name.as_str(), &deb.arch).map(|package| package.version.clone());
        let older = |found: &String| version::compare(found, &deb.version) == Ordering::Less;
        let due = match &found {
            None => true,
            Some(found) => spec.roots.contains(&deb.name) && older(found),
        };
        if due {
            planned.push(Planned::Install {
                name: deb.name.to_string(),
                from: found,
                to: deb.version.clone(),
            });
        }
    }
    planned
}

/// The moves of a simulation, or why it must not be done: a bundle adds to a host and takes nothing from it.
pub(super) fn moves(
    planned: &[Planned],
    spec: &PackagesSpec,
    status: &Status,
) -> Result<Vec<PackageMove>, Box<Decision>> {
    planned.iter().map(|planned| one(planned, spec, status)).collect()
}

fn one(planned: &Planned, spec: &PackagesSpec, status: &Status) -> Result<PackageMove, Box<Decision>> {
    let refuse = |conflict: String, remedy: String| Box::new(Decision::Refuse { conflict, remedy });
    let (name, from, to) = match planned {
        Planned::Remove { name } => {
            return Err(refuse(
                format!("apt would remove {name}, which the bundle's packages do not get along with"),
                format!("see who needs it: apt-cache rdepends --installed {name}"),
            ));
        }
        Planned::Install { name, from, to } => (name, from, to),
    };
    // `name:arch` is a package of another architecture, and never one of a bundle.
    let ours = spec.packages.iter().find(|deb| deb.name.as_str() == name && deb.version == *to);
    let Some(deb) = ours else {
        return Err(refuse(
            format!("apt would install {name} {to}, which is not in the bundle"),
            "build the bundle again for this host's release and architecture".to_owned(),
        ));
    };
    if let Some(found) = status.installed(name, &deb.arch).filter(|package| package.is_held()) {
        return Err(refuse(
            format!("{name} {} is held, and {to} is needed", found.version),
            format!("apt-mark unhold {name}"),
        ));
    }
    if let Some(from) = from
        && version::compare(from, to) == Ordering::Greater
    {
        return Err(refuse(
            format!("apt would go back from {name} {from} to {to}"),
            "lock the bundle again: chom-bundle lock --update".to_owned(),
        ));
    }
    Ok(PackageMove { name: deb.name.clone(), from: from.clone(), to: to.clone() })
}

#[cfg(test)]
mod tests {
    use chom_format::Digest;
    use chom_format::step::{Content, Deb};

    use super::*;

    fn spec(versions: &[(&str, &str)]) -> PackagesSpec {
        let content = Content { from: "objects/x".parse().unwrap(), sha256: Digest::of(b""), size: 0 };
        let deb = |(name, version): &(&str, &str)| Deb {
            name: name.parse().unwrap(),
            version: (*version).to_owned(),
            arch: "amd64".to_owned(),
            installed_kb: 1,
            content: content.clone(),
        };
        let roots = versions.iter().take(1).map(|(name, _)| name.parse().unwrap()).collect();
        PackagesSpec { roots, packages: versions.iter().map(deb).collect(), index: content }
    }

    fn told(simulation: &str, status: &str) -> String {
        let spec = spec(&[("nginx", "1.26-3"), ("libssl3", "3.5-1")]);
        match moves(&parse(simulation), &spec, &Status::parse(status)) {
            Ok(moves) => moves
                .iter()
                .map(|m| format!("{} {:?} {}", m.name, m.from, m.to))
                .collect::<Vec<_>>()
                .join(";"),
            Err(refusal) => match *refusal {
                Decision::Refuse { conflict, remedy } => format!("{conflict}; {remedy}"),
                other => format!("{other:?}"),
            },
        }
    }

    #[test]
    fn a_simulation_is_taken_or_refused() {
        for (simulation, wanted) in [
            (
                "NOTE: x\nInst nginx (1.26-3 volatile-packages-file [amd64]) []\nConf nginx (1.26-3 x [amd64])\n",
                "nginx None 1.26-3",
            ),
            (
                "Inst libssl3 [3.4-1] (3.5-1 x [amd64])\nInst nginx [1.22-1] (1.26-3 x [amd64])\n",
                "libssl3 Some(\"3.4-1\") 3.5-1;nginx Some(\"1.22-1\") 1.26-3",
            ),
        ] {
            assert_eq!(told(simulation, ""), wanted);
        }
        for (simulation, part) in [
            ("Remv apache2 [2.4]\nInst nginx (1.26-3 x [amd64])\n", "remove apache2"),
            ("Inst nginx (1.28-1 Debian:13 [amd64])\n", "not in the bundle"),
            ("Inst nginx:i386 (1.26-3 x [i386])\n", "not in the bundle"),
            ("Inst nginx [1.28-1] (1.26-3 x [amd64])\n", "go back from nginx 1.28-1"),
        ] {
            assert!(told(simulation, "").contains(part), "{simulation}");
        }
        let held = "Package: libssl3\nStatus: hold ok installed\nArchitecture: amd64\nVersion: 3.4-1\n";
        let simulation = "Inst libssl3 [3.4-1] (3.5-1 x [amd64])\n";
        assert!(told(simulation, held).ends_with("apt-mark unhold libssl3"));
    }

    #[test]
    fn a_directory_gets_what_it_lacks() {
        let status = "Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\nVersion: 3.4-1\n";
        let planned =
            from_status(&spec(&[("nginx", "1.26-3"), ("libssl3", "3.5-1")]), &Status::parse(status));
        assert_eq!(planned, [Planned::Install { name: "nginx".into(), from: None, to: "1.26-3".into() }]);
    }
}

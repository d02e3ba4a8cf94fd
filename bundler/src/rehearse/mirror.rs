//! Where this machine gets Debian from: its own apt sources, asked through apt itself, which reads every
//! form of them. No archive is known by name here; without a Debian source mmdebstrap's own choice stands.

use chom_format::manifest::Suite;

use super::cancel::Cancel;
use super::tool::Tool;

/// The lines of an apt source list for a release, to be given to mmdebstrap; empty when this machine has
/// no Debian source.
pub fn own(suite: Suite, cancel: &Cancel) -> Vec<String> {
    let asked = Tool::new("apt-get")
        .args(["indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"])
        .succeed(cancel);
    // A machine without apt has no sources: that is an answer too.
    asked.map(|ran| from_targets(&ran.text(), suite)).unwrap_or_default()
}

/// The same for archives that a person named: the first carries the release, the others what they are
/// written for (`ADDRESS SUITE`), or the release again.
pub fn named(mirrors: &[String], suite: Suite) -> Vec<String> {
    mirrors
        .iter()
        .map(|mirror| {
            let mut words = mirror.split_whitespace();
            let (address, of) = (words.next().unwrap_or_default(), words.next().unwrap_or(suite.name()));
            format!("deb {address} {of} main")
        })
        .collect()
}

/// The sources of any Debian release tell where the archive is; this release's own pockets are asked of it.
fn from_targets(targets: &str, suite: Suite) -> Vec<String> {
    let rows: Vec<(&str, &str)> = targets
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (address, release, component) = (words.next()?, words.next()?, words.next()?);
            (component == "main" && debian(release)).then_some((address, release))
        })
        .collect();
    let pocket = |suffix: &str| {
        rows.iter()
            .find(|(_, release)| release.ends_with(suffix) && (!suffix.is_empty() || !release.contains('-')))
            .map(|(address, _)| format!("deb {address} {}{suffix} main", suite.name()))
    };
    // Without the release itself the pockets are of no use.
    let Some(release) = pocket("") else { return Vec::new() };
    [Some(release), pocket("-updates"), pocket("-security")].into_iter().flatten().collect()
}

/// Whether a source's release is one of Debian's, and not that of some vendor's archive.
fn debian(release: &str) -> bool {
    let name = release.split_once('-').map_or(release, |(name, _)| name);
    ["bookworm", "trixie", "forky", "sid", "stable", "testing", "unstable", "oldstable"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGETS: &str = "\
http://mirror.test/debian/ bookworm main
http://mirror.test/debian/ bookworm contrib
http://mirror.test/debian/ bookworm-updates main
http://mirror.test/debian-security/ bookworm-security main
https://vendor.test/apt/ cloud-sdk-bookworm main
https://vendor.test/node/ nodistro main
";

    #[test]
    fn own_sources_serve_the_other_release_too() {
        assert_eq!(
            from_targets(TARGETS, Suite::Trixie),
            [
                "deb http://mirror.test/debian/ trixie main",
                "deb http://mirror.test/debian/ trixie-updates main",
                "deb http://mirror.test/debian-security/ trixie-security main",
            ]
        );
    }

    #[test]
    fn a_machine_without_debian_sources_has_none() {
        assert!(from_targets("http://mirror.test/ubuntu/ noble main\n", Suite::Trixie).is_empty());
        assert!(from_targets("", Suite::Trixie).is_empty());
    }

    #[test]
    fn named_archives_may_say_their_suite() {
        let named = named(
            &["http://a.test/d".to_owned(), "http://a.test/s trixie-security".to_owned()],
            Suite::Trixie,
        );
        assert_eq!(named, ["deb http://a.test/d trixie main", "deb http://a.test/s trixie-security main"]);
    }
}

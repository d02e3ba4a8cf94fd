//! Who needs whom, by dpkg's own list: what may leave a host without breaking what stays.
//!
//! Pure. Names alone count, whatever their architecture; dpkg itself has the last word.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::{stanzas, version};

/// A package that is installed.
struct Row<'a> {
    name: &'a str,
    version: &'a str,
    /// Of each group one must be there.
    needs: Vec<Vec<Wanted<'a>>>,
    provides: Vec<Wanted<'a>>,
}

/// A name, and a bound for its version.
struct Wanted<'a> {
    name: &'a str,
    bound: Option<(&'a str, &'a str)>,
}

/// Of the packages that are to leave, those that a package needs that stays, each with the one that needs it; and what
/// those need in turn.
pub fn needed(status: &str, leaving: &BTreeSet<&str>) -> BTreeMap<String, String> {
    let rows: Vec<Row<'_>> = stanzas(status).filter_map(|stanza| row(&stanza)).collect();
    let mut staying: BTreeMap<String, String> = BTreeMap::new();
    loop {
        let stays = |row: &&Row<'_>| !leaving.contains(row.name) || staying.contains_key(row.name);
        let kept: Vec<&Row<'_>> = rows.iter().filter(stays).collect();
        let mut more = BTreeMap::new();
        for (row, group) in kept.iter().flat_map(|row| row.needs.iter().map(move |group| (row, group))) {
            if kept.iter().any(|kept| kept.serves(group)) {
                continue;
            }
            if let Some(missed) = rows.iter().find(|row| row.serves(group)) {
                more.insert(missed.name.to_owned(), row.name.to_owned());
            }
        }
        if more.is_empty() {
            return staying;
        }
        staying.extend(more);
    }
}

fn row<'a>(stanza: &super::Stanza<'a>) -> Option<Row<'a>> {
    let state = stanza.get("Status")?.rsplit(' ').next()?;
    if !matches!(state, "installed" | "triggers-awaited" | "triggers-pending") {
        return None;
    }
    let list = |key| stanza.get(key).unwrap_or_default().split(',').filter(|part| !part.trim().is_empty());
    let group = |text: &'a str| text.split('|').map(wanted).collect();
    Some(Row {
        name: stanza.get("Package")?,
        version: stanza.get("Version").unwrap_or_default(),
        needs: list("Pre-Depends").chain(list("Depends")).map(group).collect(),
        provides: list("Provides").map(wanted).collect(),
    })
}

/// `name`, `name:any`, `name (>= 1.2)`.
fn wanted(text: &str) -> Wanted<'_> {
    let (name, rest) = text.split_once('(').unwrap_or((text, ""));
    let rest = rest.trim().trim_end_matches(')');
    let end = rest.find(|sign: char| !"<>=".contains(sign)).unwrap_or(rest.len());
    let (sign, version) = rest.split_at(end);
    let bound = (!sign.is_empty()).then(|| (sign, version.trim()));
    Wanted { name: name.trim().split(':').next().unwrap_or_default(), bound }
}

impl Row<'_> {
    fn serves(&self, group: &[Wanted<'_>]) -> bool {
        group.iter().any(|wanted| {
            let itself = self.name == wanted.name && wanted.allows(Some(self.version));
            let provided = |provided: &Wanted<'_>| {
                provided.name == wanted.name && wanted.allows(provided.bound.map(|(_, version)| version))
            };
            itself || self.provides.iter().any(provided)
        })
    }
}

impl Wanted<'_> {
    fn allows(&self, found: Option<&str>) -> bool {
        let Some((sign, bound)) = self.bound else { return true };
        // What is provided without a version satisfies no bound.
        let Some(order) = found.map(|found| version::compare(found, bound)) else { return false };
        match sign {
            "<<" => order == Ordering::Less,
            "<=" | "<" => order != Ordering::Greater,
            ">>" => order == Ordering::Greater,
            ">=" | ">" => order != Ordering::Less,
            _ => order == Ordering::Equal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, further: &str) -> String {
        format!("Package: {name}\nStatus: install ok installed\nVersion: {version}\n{further}\n\n")
    }

    fn stays(packages: &[(&str, &str)], leaving: &[&str]) -> String {
        let text: String = packages.iter().map(|(name, fields)| package(name, "1.0-2", fields)).collect();
        let found = needed(&text, &leaving.iter().copied().collect());
        found.iter().map(|(name, by)| format!("{name} for {by}")).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn what_others_need_stays_with_all_that_it_needs() {
        let ours = [("server", "Depends: tools (= 1.0-2), lib"), ("tools", "Depends: lib"), ("lib", "")];
        let all = ["server", "tools", "lib"];
        for (theirs, wanted) in [
            ("", ""),
            ("Depends: server", "lib for server, server for theirs, tools for server"),
            ("Pre-Depends: tools:any (>= 1.0), nothing", "lib for tools, tools for theirs"),
            ("Depends: tools (>> 1.0-2) | lib", "lib for theirs"),
            ("Depends: tools (<< 1.0-2)", ""),
            ("Recommends: server", ""),
        ] {
            assert_eq!(stays(&[&ours[..], &[("theirs", theirs)]].concat(), &all), wanted, "{theirs}");
        }
        assert_eq!(stays(&ours, &all), "");
        assert_eq!(stays(&ours, &["lib"]), "lib for tools");
    }

    #[test]
    fn another_that_serves_is_enough() {
        let theirs = ("theirs", "Depends: mail-agent | web, web (>= 2)");
        let web = ("web", "Provides: mail-agent, httpd (= 3)");
        assert_eq!(stays(&[theirs, web], &["web"]), "web for theirs");
        assert_eq!(
            stays(&[("theirs", "Depends: mail-agent"), web, ("exim", "Provides: mail-agent")], &["web"]),
            ""
        );
        assert_eq!(stays(&[("theirs", "Depends: httpd (>= 4)"), web], &["web"]), "");
        assert_eq!(stays(&[("theirs", "Depends: httpd (>= 3)"), web], &["web"]), "web for theirs");
    }
}

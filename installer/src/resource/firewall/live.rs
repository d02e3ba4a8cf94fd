//! The rules by which the kernel filters, as far as the host has tools to read them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::tables;
use crate::sys::{Command, Effect, Sys, SysError};

/// The two families of ufw: what nft calls the family, and the prefix of the tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    const BOTH: [Self; 2] = [Self::V4, Self::V6];

    fn nft(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
        }
    }

    fn tool(self, what: &str) -> String {
        match self {
            Self::V4 => format!("iptables-{what}"),
            Self::V6 => format!("ip6tables-{what}"),
        }
    }
}

/// Live rules. What there is no tool for is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Live {
    /// `nft -s list ruleset`: everything, without counters.
    nft: Option<String>,
    /// The filter table of `iptables-save`, without comments and counters; empty when there is none.
    v4: Option<String>,
    /// The same for IPv6.
    v6: Option<String>,
}

impl Live {
    /// Reads them. A host that is a directory filters nothing.
    pub(super) fn read(sys: &dyn Sys) -> Result<Self, SysError> {
        if sys.root() != Path::new("/") {
            return Ok(Self::default());
        }
        let save = |family: Family| -> Result<Option<String>, SysError> {
            // Asked for one table by name, it would show the policies of a table that is not there.
            let text = asked(sys, &[&family.tool("save")])?;
            Ok(text.map(|text| tables::filter(&text)))
        };
        Ok(Self {
            nft: asked(sys, &["nft", "-s", "list", "ruleset"])?,
            v4: save(Family::V4)?,
            v6: save(Family::V6)?,
        })
    }

    /// The filter tables of both families, as far as there are any.
    pub(super) fn saved_tables(&self) -> Vec<(Family, &str)> {
        let both = Family::BOTH.into_iter().map(|family| (family, self.table(family)));
        both.filter(|(_, text)| !text.is_empty()).collect()
    }

    /// The filter table of one family; empty when there is none.
    pub(super) fn table(&self, family: Family) -> &str {
        let text = match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        };
        text.as_deref().unwrap_or_default()
    }

    /// Whether ufw's chains are in them.
    pub(super) fn has_ufw(&self) -> bool {
        self.saved_tables().iter().any(|(_, text)| text.lines().any(|line| line.starts_with(":ufw")))
    }

    /// Makes the filter tables those of `self`, from what is there now.
    pub(super) fn load(&self, sys: &mut dyn Sys, now: &Self) -> Result<(), SysError> {
        for family in Family::BOTH {
            let (was, is) = (self.nft_table(family), now.nft_table(family));
            if was == is && self.table(family) == now.table(family) {
                continue;
            }
            match (self.table(family), was) {
                // It was not there, or held nothing: tables of iptables come into being by being looked at.
                ("", None) => delete_table(sys, family)?,
                ("", Some(_)) => {
                    delete_table(sys, family)?;
                    run(sys, &["nft", "add", "table", family.nft(), "filter"])?;
                }
                (text, _) => become_table(sys, family, now.table(family), text)?,
            }
        }
        Ok(())
    }

    /// What differs in `now`, line by line. The order of chains means nothing; a tool that is gone since can
    /// tell nothing.
    pub(super) fn differences(&self, now: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, was, is) in
            [("nft", &self.nft, &now.nft), ("iptables", &self.v4, &now.v4), ("ip6tables", &self.v6, &now.v6)]
        {
            let (Some(was), Some(is)) = (was, is) else { continue };
            let (was, is) = (blocks(was), blocks(is));
            for (head, body) in &is {
                let before = was.get(head);
                if before.is_none() {
                    lines.push(format!("{name}: {head} is new"));
                } else if before != Some(body) {
                    lines.push(format!("{name}: {head} is another"));
                }
            }
            let missing = was.keys().filter(|head| !is.contains_key(*head));
            lines.extend(missing.map(|head| format!("{name}: {head} is missing")));
        }
        lines
    }

    /// What is not ufw's: rules and chains of others among its own, and other tables.
    pub(super) fn of_others(&self) -> Vec<String> {
        let tables = Family::BOTH.iter().flat_map(|family| tables::of_others(self.table(*family)));
        let mut others: Vec<String> = tables.collect();
        let ufws =
            |head: &str| Family::BOTH.iter().any(|f| head.starts_with(&format!("table {} filter", f.nft())));
        let blocks = blocks(self.nft.as_deref().unwrap_or_default());
        for (head, body) in blocks.into_iter().filter(|(head, _)| !ufws(head)) {
            others.push(head);
            others.extend(body);
        }
        others
    }

    /// All of it, for a person.
    pub(super) fn text(&self) -> String {
        let parts =
            [("nft list ruleset", &self.nft), ("iptables-save", &self.v4), ("ip6tables-save", &self.v6)];
        let shown = parts.iter().filter_map(|(name, text)| Some(format!("# {name}\n{}\n", text.as_ref()?)));
        shown.collect()
    }

    // The text of `table ip filter { ... }` in nft's listing.
    fn nft_table(&self, family: Family) -> Option<String> {
        let head = format!("table {} filter {{", family.nft());
        let mut lines = self.nft.as_ref()?.lines().skip_while(|line| *line != head);
        lines.next()?;
        Some(lines.take_while(|line| *line != "}").collect::<Vec<_>>().join("\n"))
    }
}

/// Makes a filter table what `text` says, in one go.
pub(super) fn become_table(sys: &mut dyn Sys, family: Family, now: &str, text: &str) -> Result<(), SysError> {
    let Some(change) = tables::change(now, text) else { return Ok(()) };
    let program = family.tool("restore");
    let command = Command::new([program.as_str(), "--noflush"]);
    checked(sys, &Command { stdin: Some(change.into_bytes()), ..command })
}

// Chains by their table and name, in nft's listing or in that of iptables, whose rules name their chain.
fn blocks(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut blocks: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut table, mut inner) = (String::new(), String::new());
    for line in text.lines() {
        if let Some(name) = line.strip_suffix(" {").filter(|_| line.starts_with("table ")) {
            (table, inner) = (name.to_owned(), String::new());
            blocks.entry(table.clone()).or_default();
        } else if let Some(name) = line.strip_prefix('\t').filter(|name| !name.starts_with(['\t', '}'])) {
            inner = format!("{table} {}", name.trim_end_matches(" {"));
            blocks.entry(inner.clone()).or_default();
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let chain = rule.split(' ').next().unwrap_or_default();
            blocks.entry(format!("rules of {chain}")).or_default().push(line.to_owned());
        } else if line.starts_with(':') {
            blocks.entry(line.to_owned()).or_default();
        } else if line.starts_with("\t\t") {
            blocks.entry(inner.clone()).or_default().push(line.to_owned());
        }
    }
    blocks
}

fn delete_table(sys: &mut dyn Sys, family: Family) -> Result<(), SysError> {
    let listed = sys.ask(&Command::new(["nft", "list", "tables"]));
    match listed {
        Ok(tables) => {
            let name = format!("table {} filter", family.nft());
            if tables.text().lines().any(|line| line == name) {
                return run(sys, &["nft", "delete", "table", family.nft(), "filter"]);
            }
            Ok(())
        }
        // Without nft the table cannot go, but all that is in it can.
        Err(_) => {
            let saved = asked(sys, &[&family.tool("save")])?.unwrap_or_default();
            become_table(sys, family, &tables::filter(&saved), tables::EMPTY)
        }
    }
}

fn run(sys: &mut dyn Sys, argv: &[&str]) -> Result<(), SysError> {
    checked(sys, &Command::new(argv.iter().copied()))
}

fn checked(sys: &mut dyn Sys, command: &Command) -> Result<(), SysError> {
    let output = sys.effect(&Effect::Run(command))?;
    if output.success() {
        return Ok(());
    }
    let (command, code, complaint) = (command.argv.join(" "), output.code, output.complaint());
    Err(SysError::Failed { command, code, complaint })
}

// None when there is no such program.
fn asked(sys: &dyn Sys, argv: &[&str]) -> Result<Option<String>, SysError> {
    match sys.ask(&Command::new(argv.iter().copied())) {
        Ok(output) if output.success() => Ok(Some(output.text())),
        Ok(output) => Err(SysError::Failed {
            command: argv.join(" "),
            code: output.code,
            complaint: output.complaint(),
        }),
        Err(SysError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(nft: &str) -> Live {
        Live { nft: Some(nft.to_owned()), ..Live::default() }
    }

    #[test]
    fn tables_are_found_in_a_listing() {
        let text = "table inet x {\n\tchain y {\n\t}\n}\ntable ip filter {\n\tchain INPUT {\n\t}\n}\n";
        assert_eq!(live(text).nft_table(Family::V4).as_deref(), Some("\tchain INPUT {\n\t}"));
        assert_eq!(live(text).nft_table(Family::V6), None);
        assert_eq!(live("table ip6 filter {\n}\n").nft_table(Family::V6).as_deref(), Some(""));
    }

    #[test]
    fn a_ufw_that_stopped_is_not_the_work_of_others() {
        let table = |rules: &str| Live {
            nft: Some("table ip filter {\n\tchain INPUT {\n\t}\n}\n".to_owned()),
            v4: Some(format!("*filter\n:INPUT ACCEPT [0:0]\n{rules}COMMIT\n")),
            v6: None,
        };
        let running =
            table(":ufw-user-input - [0:0]\n-A INPUT -j ufw-user-input\n-A ufw-user-input -j ACCEPT\n");
        assert_eq!(running.of_others(), table("").of_others());
        let banned = table("-A INPUT -s 192.0.2.1/32 -j DROP\n");
        assert_eq!(banned.of_others(), ["-A INPUT -s 192.0.2.1/32 -j DROP"]);
        let other = Live { nft: Some("table inet x {\n\tchain y {\n\t}\n}\n".to_owned()), ..Live::default() };
        assert_eq!(other.of_others(), ["table inet x", "table inet x chain y"]);
    }

    #[test]
    fn differences_are_chains_whatever_their_order() {
        let chain = |name: &str, rule: &str| format!("\tchain {name} {{\n\t\t{rule}\n\t}}\n");
        let table = |chains: &[String]| live(&format!("table ip filter {{\n{}}}\n", chains.concat()));
        let before = table(&[chain("a", "accept"), chain("b", "drop")]);
        assert!(before.differences(&table(&[chain("b", "drop"), chain("a", "accept")])).is_empty());
        assert_eq!(
            before.differences(&table(&[chain("a", "drop"), chain("c", "drop")])),
            [
                "nft: table ip filter chain a is another",
                "nft: table ip filter chain c is new",
                "nft: table ip filter chain b is missing"
            ]
        );
        assert_eq!(live("").differences(&live("table ip filter {\n}\n")), ["nft: table ip filter is new"]);
        assert!(before.differences(&Live::default()).is_empty());
    }
}

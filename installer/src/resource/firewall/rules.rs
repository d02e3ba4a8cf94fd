//! The text of ufw's `user.rules`: others' rules are kept when the file goes back to what it was.

use crate::ufw::is_tagged;

const MARK: &str = "### tuple ###";
const END: &str = "### END RULES ###";

/// The file of before with what others did to it since: rules of theirs that are new come in, rules of theirs
/// that they took out stay out. Rules that carry our tag are those of before.
pub(super) fn merge(before: &str, theirs: &str) -> String {
    let (was, is) = (blocks(before), blocks(theirs));
    let mut merged = before.to_owned();
    for (rule, block) in &was {
        if !is_tagged(rule) && !is.iter().any(|(found, _)| found == rule) {
            merged = merged.replacen(block.as_str(), "", 1);
        }
    }
    let new = is.iter().filter(|(rule, _)| !is_tagged(rule) && !was.iter().any(|(found, _)| found == rule));
    let new: String = new.map(|(_, block)| block.as_str()).collect();
    match merged.find(END) {
        Some(place) => merged.insert_str(place, &new),
        None => merged.push_str(&new),
    }
    merged
}

// Each rule's mark with the lines up to the next empty one.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks: Vec<(String, String)> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        if line.starts_with(MARK) {
            blocks.push((line.to_owned(), String::new()));
            open = true;
        }
        if let Some((_, block)) = blocks.last_mut().filter(|_| open) {
            block.push_str(line);
            block.push('\n');
            open = !line.is_empty();
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(rules: &[&str]) -> String {
        let block = |rule: &&str| format!("### tuple ### {rule}\n-A ufw-user-input {rule}\n\n");
        let blocks: String = rules.iter().map(block).collect();
        format!("*filter\n### RULES ###\n\n{blocks}### END RULES ###\n\n### LOGGING ###\nCOMMIT\n")
    }

    #[test]
    fn others_rules_outlive_ours() {
        let ours = "allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 in comment=63686f6d3a6e67696e78";
        let before = file(&["allow tcp 22", "deny tcp 25"]);
        let theirs = file(&["allow tcp 22", ours, "allow tcp 4444"]);
        assert_eq!(merge(&before, &theirs), file(&["allow tcp 22", "allow tcp 4444"]));
        assert_eq!(merge(&before, &file(&["allow tcp 22", "deny tcp 25", ours])), before);
    }

    #[test]
    fn a_rule_of_ours_from_before_comes_back() {
        let ours = "allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 in comment=63686f6d3a6e67696e78";
        let before = file(&["allow tcp 22", ours]);
        assert_eq!(merge(&before, &file(&["allow tcp 22"])), before);
    }
}

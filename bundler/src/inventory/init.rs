//! New inventories: a fresh one with its comments, or the present shape of an old one.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use chom_format::exit::Explain;
use chom_format::{Exit, HostState};

use super::{legacy, load};
use crate::problem::{Problem, Problems};
use crate::stack::sources::read_text;
use crate::yaml::{self, Kind, Node};

/// The inventory to start from.
pub const FRESH: &str = include_str!("fresh.yaml");

const HEADER: &str = "\
# The only place where facts about hosts are stated.
#   chom-bundle check                   explains every mistake in it
#   chom-bundle explain                 shows each value and where it comes from
#   chom-bundle schema                  is for your editor
";

/// Why no inventory was written.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The old file has mistakes of its own.
    #[error(transparent)]
    Old(#[from] Problems),
    /// There is nothing to convert.
    #[error("{} has the present shape already", .0.display())]
    Present(PathBuf),
    /// A file that is there is never overwritten.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// The file system refused.
    #[error("write {}", .path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What was written does not read as what was meant; nothing was kept.
    #[error("the conversion of {} does not read as what the old file says", .0.display())]
    Unfaithful(PathBuf),
}

impl Explain for InitError {
    fn exit(&self) -> Exit {
        match self {
            Self::Write { .. } | Self::Unfaithful(_) => Exit::Failed,
            Self::Old(_) | Self::Present(_) | Self::Exists(_) => Exit::BadInput,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Old(_) => Some("mend the old file first; what it says stays the reference".to_owned()),
            Self::Present(_) => Some("`chom-bundle check` tells whether it has mistakes".to_owned()),
            Self::Exists(_) => Some("--output names another file, `-` prints it".to_owned()),
            Self::Write { .. } => None,
            Self::Unfaithful(_) => Some("please report this with the old file".to_owned()),
        }
    }

    fn host(&self) -> HostState {
        HostState::NotConcerned
    }
}

/// The present shape of an old file, and what could not be taken over.
pub fn from_old(path: &Path) -> Result<(String, Vec<Problem>), InitError> {
    let text = read_text(path).map_err(Problems::from)?;
    let file = path.display().to_string();
    let old = yaml::read(&file, &text).map_err(Problems::from)?;
    if !legacy::is_legacy(&old) {
        return Err(InitError::Present(path.to_owned()));
    }
    let converted = legacy::convert(&file, &text, &old);
    Problems::check(converted.problems)?;
    let written = write(&converted.tree, &converted.refused);
    let again = load::parse("new", written.as_str().into())?;
    let said = |tree: &Node, path: &[&str]| tree.find(path).map(|node| node.value());
    let same = [&["hosts"][..], &["defaults", "components"]]
        .iter()
        .all(|path| said(&again.tree, path) == said(&converted.tree, path));
    if !same || !again.problems.is_empty() {
        return Err(InitError::Unfaithful(path.to_owned()));
    }
    Ok((written, converted.refused))
}

/// Writes a new file, and never over one that is there.
pub fn save(path: &Path, text: &str) -> Result<(), InitError> {
    let failed = |source| InitError::Write { path: path.to_owned(), source };
    let options = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = options.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => InitError::Exists(path.to_owned()),
        _ => failed(error),
    })?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

fn write(tree: &Node, refused: &[Problem]) -> String {
    let mut text = HEADER.to_owned();
    for problem in refused {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "#\n# Not taken over, line {}: {}.\n#   {}",
            problem.line, problem.message, problem.remedy
        );
    }
    text.push_str("version: 0.1.0\nenvironment: production\n\ndefaults:\n  suite: trixie\n  arch: x86_64\n");
    for entry in tree.get("defaults").map(|node| node.entries()).unwrap_or_default() {
        emit(&mut text, &entry.key, &entry.value, 1);
    }
    text.push_str("\nhosts:\n");
    for entry in tree.get("hosts").map(|node| node.entries()).unwrap_or_default() {
        emit(&mut text, &entry.key, &entry.value, 1);
    }
    text
}

fn emit(text: &mut String, key: &str, node: &Node, depth: usize) {
    let indent = "  ".repeat(depth);
    let _ = match &node.kind {
        Kind::Map(entries) if entries.is_empty() => Ok(()),
        Kind::Map(entries)
            if entries.iter().all(|entry| matches!(entry.value.kind, Kind::Scalar(_))) && depth > 1 =>
        {
            let inner: Vec<String> =
                entries.iter().map(|entry| format!("{}: {}", word(&entry.key), flow(&entry.value))).collect();
            writeln!(text, "{indent}{}: {{ {} }}", word(key), inner.join(", "))
        }
        Kind::Map(entries) => {
            let _ = writeln!(text, "{indent}{}:", word(key));
            entries.iter().for_each(|entry| emit(text, &entry.key, &entry.value, depth + 1));
            Ok(())
        }
        Kind::List(_) | Kind::Scalar(_) => writeln!(text, "{indent}{}: {}", word(key), flow(node)),
    };
}

fn flow(node: &Node) -> String {
    match &node.kind {
        Kind::Scalar(scalar) if scalar.plain => {
            if scalar.value().is_string() {
                word(&scalar.text)
            } else {
                scalar.value().to_string()
            }
        }
        Kind::Scalar(scalar) => word(&scalar.text),
        Kind::List(items) => {
            format!("[{}]", items.iter().map(|item| flow(item)).collect::<Vec<_>>().join(", "))
        }
        Kind::Map(_) => node.value().to_string(),
    }
}

// A text that could be read as anything else stands in quotes. JSON's quotes are YAML's.
fn word(text: &str) -> String {
    let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '@');
    let looks_like_text = yaml::scalar::Scalar::plain(text).value().is_string();
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/' || c == '.');
    if looks_like_text && begins && text.chars().all(fit) {
        text.to_owned()
    } else {
        serde_json::json!(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Problem;

    const OLD: &str = "observability:
  hostname: mentat.arrakis.internal
  ip: 10.0.0.1
  ssh_user: root
  ssh_port: 22
  specs: { cpu: 1, memory_mb: 2048, disk_gb: ~ }
  components:
    - prometheus
  config:
    retention_days: 15
    smtp: { host: 'mail.arrakis.internal', port: 25, password: \"hunter2\" }
vpsmanager:
  hostname: landsraad
  ip: fd00::2
  config: { php_versions: ['8.2'], observability_server: mentat }
";

    #[test]
    fn an_old_file_becomes_a_new_one_that_says_the_same() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("old.yaml");
        std::fs::write(&path, OLD).unwrap();
        let (text, refused) = from_old(&path).unwrap();
        assert_eq!(refused.iter().map(|p| &*p.key).collect::<Vec<_>>(), ["password", "php_versions"]);
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("# Not taken over, line 15: `vpsmanager.config.php_versions`"), "{text}");
        let expected = "hosts:
  mentat:
    address: 10.0.0.1
    domain: mentat.arrakis.internal
    stacks: [observability]
    ssh: { user: root, port: 22 }
    specs: { cpu: 1, memory_mb: 2048, disk_gb: null }
    components:
      prometheus: { enabled: true, retention: 15d }
      alertmanager: { smtp_host: mail.arrakis.internal, smtp_port: 25 }
  landsraad:
    address: \"fd00::2\"
    stacks: [vpsmanager]
";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn a_mistake_in_the_old_file_is_told_and_nothing_is_written() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("old.yaml");
        std::fs::write(&path, OLD.replace("ssh_user", "ssh_usr")).unwrap();
        let Err(InitError::Old(problems)) = from_old(&path) else { panic!("converted") };
        assert_eq!(problems.iter().map(|p: &Problem| p.line).collect::<Vec<_>>(), [4]);
        std::fs::write(&path, FRESH).unwrap();
        assert!(matches!(from_old(&path), Err(InitError::Present(_))));
        assert!(matches!(save(&path, "x"), Err(InitError::Exists(_))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), FRESH);
    }

    #[test]
    fn texts_that_look_like_something_else_are_quoted() {
        for (text, written) in [
            ("a.b-c/d@e", "a.b-c/d@e"),
            ("true", "\"true\""),
            ("8.2", "\"8.2\""),
            ("", "\"\""),
            ("a: b", "\"a: b\""),
            ("-x", "\"-x\""),
            ("~", "\"~\""),
        ] {
            assert_eq!(word(text), written);
        }
    }
}

//! Where the texts of stacks and templates come from: built in, then folder over folder, file by file.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::problem::{Problem, Problems};
use crate::yaml::read::{MAX_BYTES, too_large};

static BUILT_IN: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

// Far beyond any honest tree: a link back to `/` ends here and not in an hour.
const MAX_FILES: usize = 10_000;
const MAX_DEPTH: usize = 8;

/// One text and the name that messages give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextFile {
    /// The name for messages.
    pub shown: String,
    /// The text.
    pub text: Arc<str>,
}

/// All texts, by their path from the root: `targets/observability/prometheus.yaml`.
#[derive(Debug, Clone, Default)]
pub struct Sources(pub BTreeMap<String, TextFile>);

impl Sources {
    /// What this program was built with.
    pub fn built_in() -> Self {
        let file = |(path, text): &(&str, &str)| {
            ((*path).to_owned(), TextFile { shown: format!("{path} (built in)"), text: Arc::from(*text) })
        };
        Self(BUILT_IN.iter().map(file).collect())
    }

    /// Built in, then the folder of the inventory, then each folder of `--targets`.
    pub fn gather(beside: &Path, over: &[PathBuf]) -> Result<Self, Problems> {
        let mut sources = Self::built_in();
        sources.lay_over(beside)?;
        for folder in over {
            if sources.lay_over(folder)? == 0 {
                let remedy = "--targets names a folder that holds `targets/<stack>/*.yaml` and `templates/`";
                let message = "there are no stacks and no templates here";
                return Err(Problem::whole(folder.display().to_string(), message, remedy).into());
            }
        }
        Ok(sources)
    }

    /// Lays `targets/` and `templates/` of a folder over what is there; says how many files that were.
    pub fn lay_over(&mut self, folder: &Path) -> Result<usize, Problems> {
        let mut found = Vec::new();
        let mut problems = Vec::new();
        for name in ["targets", "templates"] {
            collect(&folder.join(name), 0, &mut found, &mut problems);
        }
        Problems::check(problems)?;
        let mut problems = Vec::new();
        for path in &found {
            match read_text(path) {
                Ok(text) => {
                    let file = TextFile { shown: path.display().to_string(), text };
                    let below = path.strip_prefix(folder).unwrap_or(path);
                    self.0.insert(below.to_string_lossy().into_owned(), file);
                }
                Err(problem) => problems.push(problem),
            }
        }
        Problems::check(problems)?;
        Ok(found.len())
    }
}

/// Reads a text file of bounded size.
pub fn read_text(path: &Path) -> Result<Arc<str>, Problem> {
    let shown = path.display().to_string();
    let failed =
        |error: std::io::Error| Problem::whole(shown.clone(), format!("it cannot be read: {error}"), "");
    let file = fs::File::open(path).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    if meta.is_dir() {
        return Err(Problem::whole(shown, "this is a folder, and a file is wanted", ""));
    }
    if meta.len() > MAX_BYTES {
        return Err(too_large(&shown));
    }
    // A pipe has no length: what comes is counted too.
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(too_large(&shown));
    }
    String::from_utf8(bytes).map(Arc::from).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Problem::whole(shown, format!("it is not UTF-8 text (byte {at})"), "save it as UTF-8")
    })
}

fn collect(folder: &Path, depth: usize, found: &mut Vec<PathBuf>, problems: &mut Vec<Problem>) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error)
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) && depth == 0 =>
        {
            return;
        }
        Err(error) => {
            let message = format!("the folder cannot be read: {error}");
            problems.push(Problem::whole(folder.display().to_string(), message, ""));
            return;
        }
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        if found.len() >= MAX_FILES || depth >= MAX_DEPTH {
            let message = format!("more than {MAX_FILES} files or {MAX_DEPTH} levels");
            problems.push(Problem::whole(folder.display().to_string(), message, "is this the right folder?"));
            return;
        }
        if path.is_dir() {
            collect(&path, depth + 1, found, problems);
        } else {
            found.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_laid_over_file_by_file() {
        let root = tempfile::tempdir().unwrap();
        let (below, above) = (root.path().join("a"), root.path().join("b"));
        for (folder, file, text) in [
            (&below, "targets/s/stack.yaml", "1"),
            (&below, "templates/s/x.tera", "2"),
            (&above, "targets/s/stack.yaml", "3"),
            (&above, "targets/.git/x", "never"),
        ] {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let mut sources = Sources::default();
        assert_eq!(sources.lay_over(&below).unwrap(), 2);
        assert_eq!(sources.lay_over(&above).unwrap(), 1);
        let texts: Vec<_> = sources.0.iter().map(|(path, file)| (path.as_str(), &*file.text)).collect();
        assert_eq!(texts, [("targets/s/stack.yaml", "3"), ("templates/s/x.tera", "2")]);
        assert!(Sources::gather(&below, &[root.path().join("none")]).is_err());
    }

    #[test]
    fn large_files_and_other_encodings_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("f");
        fs::File::create(&path).unwrap().set_len(100 * 1024 * 1024).unwrap();
        assert!(read_text(&path).unwrap_err().message.contains("larger than"));
        assert!(read_text(Path::new("/dev/zero")).unwrap_err().message.contains("larger than"));
        fs::write(&path, b"a: \xff").unwrap();
        assert!(read_text(&path).unwrap_err().message.contains("byte 3"));
        assert!(read_text(root.path()).unwrap_err().message.contains("folder"));
    }
}

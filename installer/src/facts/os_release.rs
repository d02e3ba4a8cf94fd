//! `os-release`: which system a host runs.

/// The three fields that matter here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OsRelease {
    /// `ID`: `debian`; empty when the file does not say.
    pub id: String,
    /// `VERSION_ID`: `13`.
    pub version: Option<String>,
    /// `VERSION_CODENAME`: `trixie`.
    pub codename: Option<String>,
}

impl OsRelease {
    /// Reads the shell-like assignments of the file; what is not one is passed over, as the standard asks.
    pub fn parse(text: &str) -> Self {
        let value = |key: &str| {
            let lines = text.lines().filter_map(|line| line.trim().split_once('='));
            lines.filter(|(name, _)| *name == key).map(|(_, value)| unquote(value)).next_back()
        };
        Self {
            id: value("ID").unwrap_or_default(),
            version: value("VERSION_ID").filter(|text| !text.is_empty()),
            codename: value("VERSION_CODENAME").filter(|text| !text.is_empty()),
        }
    }
}

fn unquote(value: &str) -> String {
    let inner = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    inner.unwrap_or(value).replace('\\', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_files() {
        let trixie = "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"13\"\n\
                      VERSION=\"13 (trixie)\"\nVERSION_CODENAME=trixie\nDEBIAN_VERSION_FULL=13.1\nID=debian\n";
        let os = OsRelease::parse(trixie);
        assert_eq!(
            (os.id.as_str(), os.version.as_deref(), os.codename.as_deref()),
            ("debian", Some("13"), Some("trixie"))
        );
        // Debian's testing has no VERSION_ID.
        let sid = OsRelease::parse("# comment\nID='debian'\nVERSION_CODENAME=forky\nbroken line\n");
        assert_eq!((sid.id.as_str(), sid.version, sid.codename.as_deref()), ("debian", None, Some("forky")));
        assert_eq!(OsRelease::parse(""), OsRelease::default());
    }
}

//! Reads apt's source lists, both of its notations, down to what tells where Debian's archive is reached.

use super::mirrors::MirrorUrl;

/// The mirrors of Debian's two archives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MirrorSet {
    /// Of the archive with the release and its updates.
    pub debian: Vec<MirrorUrl>,
    /// Of the security archive.
    pub security: Vec<MirrorUrl>,
}

/// One entry of a source list: addresses, and what is taken from them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    signed_by: Option<String>,
}

const RELEASES: &[&str] = &[
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
];

impl MirrorSet {
    /// Adds the Debian mirrors of a file in one-line notation (`.list`).
    ///
    /// `read` gives the text of a mirror list that the file points to with `mirror+file:`.
    pub fn add_list(&mut self, text: &str, read: &dyn Fn(&str) -> Option<String>) {
        for entry in text.lines().filter_map(one_line) {
            self.add(&entry, read);
        }
    }

    /// Adds the Debian mirrors of a file in deb822 notation (`.sources`).
    pub fn add_deb822(&mut self, text: &str, read: &dyn Fn(&str) -> Option<String>) {
        // A broken stanza ends the reading: what stands before it is still good.
        for stanza in deb822_fast::borrowed::iter_paragraphs_borrowed(text).map_while(Result::ok) {
            let field = |name: &str| stanza.get(name).map(|lines| lines.join(" "));
            let words = |name: &str| -> Vec<String> {
                field(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
            };
            let off = field("Enabled").is_some_and(|value| ["no", "false", "0"].contains(&value.trim()));
            if off || !words("Types").iter().any(|kind| kind == "deb") {
                continue;
            }
            let entry = Entry {
                uris: words("URIs"),
                suites: words("Suites"),
                components: words("Components"),
                signed_by: field("Signed-By"),
            };
            self.add(&entry, read);
        }
    }

    fn add(&mut self, entry: &Entry, read: &dyn Fn(&str) -> Option<String>) {
        if !entry.components.iter().any(|component| component == "main") || entry.is_foreign() {
            return;
        }
        for suite in &entry.suites {
            let Some(security) = archive_of(suite) else { continue };
            let list = if security { &mut self.security } else { &mut self.debian };
            for mirror in entry.uris.iter().flat_map(|uri| mirrors(uri, read)) {
                if !list.contains(&mirror) {
                    list.push(mirror);
                }
            }
        }
    }
}

impl Entry {
    // Others publish for Debian's releases under the same suite names; they sign with keys of their own.
    fn is_foreign(&self) -> bool {
        self.signed_by.as_deref().is_some_and(|key| {
            let key = key.trim();
            key.starts_with('/') && !key.rsplit('/').next().unwrap_or_default().starts_with("debian-archive")
        })
    }
}

// Whether a suite of Debian is one of the security archive; none for what is not a suite of Debian.
fn archive_of(suite: &str) -> Option<bool> {
    let suite = suite.trim_end_matches('/');
    let (release, rest) = suite.find(['-', '/']).map_or((suite, ""), |at| suite.split_at(at));
    if !RELEASES.contains(&release) {
        return None;
    }
    match rest {
        "" | "-updates" => Some(false),
        "-security" | "/updates" => Some(true),
        _ => None,
    }
}

fn mirrors(uri: &str, read: &dyn Fn(&str) -> Option<String>) -> Vec<MirrorUrl> {
    match uri.strip_prefix("mirror+file:") {
        Some(path) => {
            let path = path.strip_prefix("//").unwrap_or(path);
            let text = read(path).unwrap_or_default();
            let first = text.lines().filter_map(|line| line.split_whitespace().next());
            first.filter_map(|uri| uri.parse().ok()).collect()
        }
        None => uri.parse().into_iter().collect(),
    }
}

// `deb [signed-by=/x arch=amd64] http://mirror/debian bookworm main contrib # comment`
fn one_line(line: &str) -> Option<Entry> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let rest = line.strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t']))?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
    Some(Entry {
        uris: vec![words.next()?],
        suites: vec![words.next()?],
        components: words.collect(),
        signed_by: signed_by.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(mirrors: &[MirrorUrl]) -> Vec<&str> {
        mirrors.iter().map(MirrorUrl::as_str).collect()
    }

    #[test]
    fn one_line_notation() {
        let mut set = MirrorSet::default();
        set.add_list(
            "# a comment\n\
             deb http://mirror.example/debian bookworm main contrib # more\n\
             deb-src http://source.example/debian bookworm main\n\
             deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] https://second.example/debian/ trixie-updates main\n\
             deb http://sec.example/debian-security bookworm-security main\n\
             deb http://old.example/security bullseye/updates main\n\
             deb [signed-by=/usr/share/keyrings/other.gpg] https://php.example/php bookworm main\n\
             deb https://docker.example/linux/debian bookworm stable\n\
             deb https://pg.example/repos/apt bookworm-pgdg main\n\
             deb http://back.example/debian bookworm-backports main\n\
             deb cdrom:[Debian]/ bookworm main\n\
             deb\n",
            &|_| None,
        );
        assert_eq!(texts(&set.debian), ["http://mirror.example/debian", "https://second.example/debian"]);
        assert_eq!(
            texts(&set.security),
            ["http://sec.example/debian-security", "http://old.example/security"]
        );
    }

    #[test]
    fn deb822_notation() {
        let mut set = MirrorSet::default();
        set.add_deb822(
            "Types: deb deb-src\n\
             # a comment inside\n\
             URIs: http://mirror.example/debian\n\
             \x20 http://second.example/debian\n\
             Suites: bookworm bookworm-updates\n\
             Components: main\n\
             Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\
             \n\
             Types: deb\n\
             URIs: http://sec.example/debian-security\n\
             Suites: bookworm-security\n\
             Components: main\n\
             \n\
             Types: deb\n\
             Enabled: no\n\
             URIs: http://off.example/debian\n\
             Suites: bookworm\n\
             Components: main\n\
             \n\
             Types: deb\n\
             URIs: https://node.example/node_20.x\n\
             Suites: nodistro\n\
             Components: main\n\
             Signed-By: /usr/share/keyrings/nodesource.gpg\n",
            &|_| None,
        );
        assert_eq!(texts(&set.debian), ["http://mirror.example/debian", "http://second.example/debian"]);
        assert_eq!(texts(&set.security), ["http://sec.example/debian-security"]);
    }

    #[test]
    fn a_list_of_mirrors_is_followed() {
        let mut set = MirrorSet::default();
        let read = |path: &str| {
            (path == "/etc/apt/mirrors/debian.list")
                .then(|| "https://a.example/debian\tpriority:1\n".to_owned())
        };
        set.add_deb822(
            "Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: trixie\nComponents: main\n",
            &read,
        );
        assert_eq!(texts(&set.debian), ["https://a.example/debian"]);
    }
}

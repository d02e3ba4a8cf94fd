//! What a call leads to, and whether somebody else could have led it elsewhere.
//!
//! A path of several parts, or a link that is followed, leads to whatever other accounts make of it in that moment. So
//! each path of the installer's own calls is one name below a descriptor, and a link there is not followed. What is
//! excepted is listed here, each with its reason.

use std::collections::BTreeMap;

use super::call::{Arg, Call};
use super::known::{At, Follows, Known};
use super::scope::within;

/// The kernel's own file systems: nobody but root makes names in them.
const KERNELS: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Where a program is looked for that has no path: only root makes names in them, and it is started by that path.
const PROGRAMS: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// What a path of a call leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reached {
    /// Where that is, as far as the trace tells.
    pub(super) path: String,
    /// The way there.
    by: By,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum By {
    /// It is held by a descriptor.
    Held,
    /// By this path below a descriptor.
    Name(String),
    /// By a path from the root or the working directory.
    Path(String),
}

/// The descriptors that the installer holds, by what the trace has said of each last.
#[derive(Debug, Default)]
pub(super) struct Held(BTreeMap<u32, String>);

impl Held {
    /// Takes note of what a call says.
    pub(super) fn note(&mut self, call: &Call) {
        for (number, path) in call.descriptors() {
            if self.0.get(&number).is_none_or(|known| known != path) {
                self.0.insert(number, path.to_owned());
            }
        }
    }

    /// What one of the arguments of a call leads to; none when there is no such argument.
    pub(super) fn reached(&self, call: &Call, at: At) -> Option<Reached> {
        match at {
            At::Path(at) => Some(self.path("", text(call.arg(at)?)?)),
            At::Held(at) => match call.arg(at)? {
                Arg::Descriptor(_, path) => Some(Reached { path: path.clone(), by: By::Held }),
                _ => None,
            },
            At::Below(at) => match (call.arg(at)?, call.arg(at + 1)) {
                (Arg::Here(dir), Some(Arg::Text(_))) => Some(self.path(dir, text(call.arg(at + 1)?)?)),
                (Arg::Other(here), Some(Arg::Text(_))) if here == "AT_FDCWD" => {
                    Some(self.path("", text(call.arg(at + 1)?)?))
                }
                (Arg::Descriptor(_, dir), Some(Arg::Text(name))) => {
                    let name = String::from_utf8_lossy(name).into_owned();
                    Some(match name.as_str() {
                        "" => Reached { path: dir.clone(), by: By::Held },
                        name if name.starts_with('/') => self.path("", name.to_owned()),
                        _ => Reached { path: join(dir, &name), by: By::Name(name) },
                    })
                }
                // No path is the descriptor itself.
                (Arg::Descriptor(_, path), _) => Some(Reached { path: path.clone(), by: By::Held }),
                _ => None,
            },
        }
    }

    fn path(&self, here: &str, text: String) -> Reached {
        let Some((number, rest)) = magic(&text) else {
            return Reached { path: join(here, &text), by: By::Path(text) };
        };
        match (self.0.get(&number), rest) {
            (Some(path), "") => Reached { path: path.clone(), by: By::Held },
            (Some(dir), rest) => Reached { path: join(dir, rest), by: By::Name(rest.to_owned()) },
            (None, _) => Reached { path: String::new(), by: By::Path(text) },
        }
    }
}

/// Why a call could be led elsewhere.
pub(super) fn astray(known: &Known, call: &Call, reached: &Reached) -> Option<String> {
    let name = known.name;
    match &reached.by {
        By::Held => None,
        // Never links.
        By::Name(part) if part == "." || part == ".." => None,
        By::Name(parts) if parts.contains('/') => {
            Some(format!("{name} goes over several names below a descriptor: {}", reached.path))
        }
        By::Name(_) if follows(known, call) => Some(format!("{name} follows a link at {}", reached.path)),
        By::Name(_) => None,
        By::Path(path) if path == "/" || of_kernel(path) => None,
        By::Path(path) if is_look_for_program(known, path) => None,
        By::Path(path) => Some(format!("{name} goes by a path and not by a descriptor: {path}")),
    }
}

fn follows(known: &Known, call: &Call) -> bool {
    match known.follows {
        Follows::Always => true,
        Follows::Never => false,
        // What is to be made new is never found behind a link.
        Follows::Unless(flag) => !(call.has(flag) || call.has("O_CREAT") && call.has("O_EXCL")),
        Follows::With(flag) => call.has(flag),
    }
}

fn is_look_for_program(known: &Known, path: &str) -> bool {
    let looks = matches!(known.name, "stat" | "access" | "newfstatat" | "faccessat");
    looks && path.rsplit_once('/').is_some_and(|(dir, _)| PROGRAMS.contains(&dir))
}

/// Through a process one comes to every other place: to what it holds, and to its root.
fn of_kernel(path: &str) -> bool {
    let leaves =
        path.split('/').any(|part| matches!(part, "fd" | "root" | "cwd" | "exe" | "map_files" | ".."));
    KERNELS.iter().any(|dir| within(path, dir))
        && (!leaves || path == "/proc/self/exe" || path.ends_with("/fd"))
}

/// `/proc/thread-self/fd/7/name`: the number, and what follows it.
fn magic(path: &str) -> Option<(u32, &str)> {
    let rest =
        ["/proc/thread-self/fd/", "/proc/self/fd/"].iter().find_map(|start| path.strip_prefix(start))?;
    let (number, rest) = rest.split_once('/').unwrap_or((rest, ""));
    Some((number.parse().ok()?, rest))
}

fn text(arg: &Arg) -> Option<String> {
    match arg {
        Arg::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    }
}

fn join(dir: &str, name: &str) -> String {
    match name {
        "" | "." => dir.to_owned(),
        ".." => dir
            .rsplit_once('/')
            .map_or("/", |(above, _)| if above.is_empty() { "/" } else { above })
            .to_owned(),
        name if name.starts_with('/') => name.to_owned(),
        name => format!("{}/{name}", dir.trim_end_matches('/')),
    }
}

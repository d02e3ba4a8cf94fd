//! Steps as simple as steps can be.

use chom_format::step::Content;
use chom_format::{Digest, HostPath, Mode};

use crate::resource::{Resource, missing_parents, take_away};
use crate::step::{Change, Context, Decision, Detail, Step, StepError, UnitMove, Upcoming};
use crate::sys::{Attrs, Effect, Of, Source, Stamp, Sys};

#[derive(Debug, Clone)]
pub(super) enum Does {
    File(HostPath, String),
    Dir(HostPath, bool),
    Link(HostPath, String),
    /// A link in the place of a whole directory.
    Instead(HostPath, String),
    Absent(HostPath),
    Release(HostPath, Vec<(HostPath, String)>),
    /// A package, as dpkg would bring it: nobody says beforehand what it changes.
    Package(HostPath, Vec<(HostPath, String)>),
    /// A file, and another beside it that nobody is told of: as a unit may when it starts.
    Careless(HostPath, HostPath),
}

impl Does {
    pub(super) fn file(path: &str, text: &str) -> Self {
        Self::File(path.parse().unwrap(), text.to_owned())
    }

    pub(super) fn dir(path: &str, data: bool) -> Self {
        Self::Dir(path.parse().unwrap(), data)
    }

    pub(super) fn link(path: &str, target: &str) -> Self {
        Self::Link(path.parse().unwrap(), target.to_owned())
    }

    pub(super) fn instead(path: &str, target: &str) -> Self {
        Self::Instead(path.parse().unwrap(), target.to_owned())
    }

    pub(super) fn absent(path: &str) -> Self {
        Self::Absent(path.parse().unwrap())
    }

    pub(super) fn release(dir: &str, files: &[(&str, &str)]) -> Self {
        let dir: HostPath = dir.parse().unwrap();
        let file = |(path, text): &(&str, &str)| (dir.join(&path.parse().unwrap()), (*text).to_owned());
        Self::Release(dir.clone(), files.iter().map(file).collect())
    }

    pub(super) fn package(name: &str, files: &[(&str, &str)]) -> Self {
        let list: HostPath = format!("/var/lib/dpkg/info/{name}.list").parse().unwrap();
        let mut all = vec![(list.clone(), files.iter().map(|(path, _)| format!("{path}\n")).collect())];
        all.extend(files.iter().map(|(path, text)| (path.parse().unwrap(), (*text).to_owned())));
        let status =
            format!("Package: {name}\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n");
        all.push(("/var/lib/dpkg/status".parse().unwrap(), status));
        Self::Package(list, all)
    }

    pub(super) fn careless(path: &str, beside: &str) -> Self {
        Self::Careless(path.parse().unwrap(), beside.parse().unwrap())
    }

    /// What it does is found out by looking, for it runs programs of others.
    pub(super) fn detail(&self) -> Detail {
        match self {
            Self::Package(..) => Detail::Packages { moves: Vec::new(), status: None },
            Self::Careless(..) => Detail::Unit(UnitMove::default()),
            _ => Detail::None,
        }
    }

    /// What a plan would say of it.
    pub(super) fn upcoming(&self) -> Vec<(HostPath, Upcoming)> {
        let (from, of) = ("files/x".parse().unwrap(), |text: &String| Digest::of(text.as_bytes()));
        let upcoming = match self {
            Self::File(_, text) => {
                Upcoming::File(Content { from, sha256: of(text), size: text.len() as u64 })
            }
            Self::Link(_, target) => Upcoming::Link(target.clone()),
            Self::Absent(_) => Upcoming::Absent,
            Self::Dir(..) => Upcoming::Dir,
            Self::Instead(..) | Self::Release(..) | Self::Package(..) | Self::Careless(..) => {
                return Vec::new();
            }
        };
        vec![(self.path().clone(), upcoming)]
    }

    pub(super) fn path(&self) -> &HostPath {
        match self {
            Self::File(path, _) | Self::Dir(path, _) | Self::Link(path, _) | Self::Absent(path) => path,
            Self::Release(path, _) | Self::Package(path, _) | Self::Instead(path, _) => path,
            Self::Careless(path, _) => path,
        }
    }
}

impl Step for Does {
    fn decide(&self, _: &dyn Sys, _: &Context) -> Result<Decision, StepError> {
        Ok(Decision::Keep { why: "tests decide for themselves".to_owned() })
    }

    fn touches(&self, _: &dyn Sys, _: &Context, _: &Change) -> Result<Vec<Resource>, StepError> {
        let path = self.path().clone();
        Ok(vec![match self {
            Self::Release(..) | Self::Instead(..) => Resource::Folder { path },
            Self::Package(list, _) => {
                let name = list.name().trim_end_matches(".list").parse().unwrap();
                Resource::System { replaces: Vec::new(), brings: vec![name] }
            }
            Self::Dir(_, data) => Resource::Path { path, data: *data },
            Self::File(..) | Self::Link(..) | Self::Absent(_) | Self::Careless(..) => {
                Resource::Path { path, data: false }
            }
        }])
    }

    fn apply(&self, sys: &mut dyn Sys, _: &Context, _: &Change) -> Result<(), StepError> {
        make_parents(sys, self.path())?;
        match self {
            Self::File(path, text) => write(sys, path, text)?,
            Self::Careless(path, beside) => {
                write(sys, path, "ours\n")?;
                write(sys, beside, "nobody said so\n")?;
            }
            Self::Dir(path, _) if sys.meta(path)?.is_some() => {
                sys.effect(&Effect::SetAttrs { path, attrs: &attrs(0o711), of: Of::Dir })?;
            }
            Self::Dir(path, _) => drop(sys.effect(&Effect::MakeDir { path, attrs: &attrs(0o750) })?),
            Self::Link(path, target) => drop(sys.effect(&Effect::MakeLink { path, target, attrs: None })?),
            Self::Instead(path, target) => {
                take_away(sys, path)?;
                sys.effect(&Effect::MakeLink { path, target, attrs: None })?;
            }
            Self::Absent(path) => drop(sys.effect(&Effect::Remove { path })?),
            Self::Package(_, files) => {
                for (path, text) in files {
                    make_parents(sys, path)?;
                    write(sys, path, text)?;
                }
            }
            Self::Release(dir, files) => {
                sys.effect(&Effect::MakeDir { path: dir, attrs: &attrs(0o755) })?;
                for (path, text) in files {
                    make_parents(sys, path)?;
                    write(sys, path, text)?;
                }
            }
        }
        Ok(())
    }
}

fn make_parents(sys: &mut dyn Sys, path: &HostPath) -> Result<(), StepError> {
    for dir in missing_parents(sys, path)? {
        sys.effect(&Effect::MakeDir { path: &dir, attrs: &attrs(0o755) })?;
    }
    Ok(())
}

fn write(sys: &mut dyn Sys, path: &HostPath, text: &str) -> Result<(), StepError> {
    let source = Source::Bytes(text.as_bytes());
    sys.effect(&Effect::Write { path, source, attrs: &attrs(0o644) })?;
    Ok(())
}

fn attrs(mode: u32) -> Attrs {
    let mtime = Stamp { sec: 1_700_000_000, nsec: 0 };
    Attrs { mode: Mode::from_bits(mode), uid: 0, gid: 0, mtime, xattrs: std::collections::BTreeMap::new() }
}

//! The steps of `prepare` and `install`: what lies on the disk before anything runs.

use std::collections::BTreeMap;

use chom_format::step::{
    AbsentSpec, AccountSpec, Content, DirSpec, FileSpec, InstallSpec, LinkSpec, Owner, PackagesSpec,
    PrepareSpec, ReleaseSpec, Step, ValidateSpec,
};
use chom_format::{ComponentName, Digest, HostPath, Mode, RelPath, StepId};

use super::{Source, Work, ids};
use crate::problem::Problem;
use crate::render::fields::parse_owner;
use crate::render::wanted::RenderedComponent;

impl Work<'_> {
    pub(super) fn prepare(&mut self) -> Vec<Step<PrepareSpec>> {
        let mut steps = Vec::new();
        steps.extend(self.packages());
        steps.extend(self.accounts());
        steps.extend(self.dirs());
        steps
    }

    // One step for all packages of the host: apt decides over all of them at once.
    fn packages(&mut self) -> Option<Step<PrepareSpec>> {
        let packages = self.payloads.packages.as_ref()?;
        for deb in &packages.debs {
            let Content { from, sha256, size } = deb.content.clone();
            self.contents.insert(from, Source::Object { sha256, size });
        }
        let index = self.object(packages.index.clone().into_bytes());
        let spec = PackagesSpec { roots: packages.roots.clone(), packages: packages.debs.clone(), index };
        Some(Step {
            id: ids::host("packages"),
            component: ids::fixed("host"),
            spec: PrepareSpec::Packages(spec),
        })
    }

    // An account that several components name is made once, in the groups that any of them wants.
    fn accounts(&self) -> Vec<Step<PrepareSpec>> {
        let mut order: Vec<(&RenderedComponent, AccountSpec)> = Vec::new();
        for component in &self.rendered.components {
            for account in &component.accounts {
                let account = &account.value;
                let Some(home) = account.home.clone() else { continue };
                match order.iter_mut().find(|(_, made)| made.name == account.name) {
                    Some((_, made)) => {
                        made.groups.extend(account.groups.iter().cloned());
                        made.groups.sort();
                        made.groups.dedup();
                    }
                    None => {
                        let (name, groups) = (account.name.clone(), account.groups.clone());
                        order.push((component, AccountSpec { name, home, groups }));
                    }
                }
            }
        }
        let step = |(component, spec): (&RenderedComponent, AccountSpec)| Step {
            id: ids::of(&component.name, &format!("account/{}", spec.name)),
            component: component.name.clone(),
            spec: PrepareSpec::Account(spec),
        };
        order.into_iter().map(step).collect()
    }

    // Parents come first; a directory that several components name is made once.
    fn dirs(&mut self) -> Vec<Step<PrepareSpec>> {
        let mut dirs: BTreeMap<HostPath, (ComponentName, DirSpec)> = BTreeMap::new();
        for component in &self.rendered.components {
            for dir in &component.dirs {
                let dir = &dir.value;
                let (path, mode, owner) = (dir.path.clone(), dir.mode, dir.owner.clone());
                let spec = DirSpec { path: path.clone(), mode, owner, data: dir.data };
                dirs.entry(path).or_insert_with(|| (component.name.clone(), spec));
            }
        }
        for (stack, release) in &self.payloads.releases {
            let Some(owner) = self.owner(stack) else { continue };
            let above = std::iter::successors(release.dir.parent(), HostPath::parent).take(2);
            for path in above {
                let mode = Mode::from_bits(0o755);
                let spec = DirSpec { path: path.clone(), mode, owner: owner.clone(), data: false };
                dirs.entry(path).or_insert_with(|| (stack.clone(), spec));
            }
        }
        if let Some(spec) = self.backup_dir() {
            dirs.entry(spec.path.clone()).or_insert_with(|| (ids::fixed("chom-backup"), spec));
        }
        let step = |(component, spec): (ComponentName, DirSpec)| Step {
            id: ids::of(&component, spec.path.as_str()),
            component,
            spec: PrepareSpec::Dir(spec),
        };
        // `/a/b` sorts behind `/a`, and that is all that parents need.
        dirs.into_values().map(step).collect()
    }

    pub(super) fn install(&mut self) -> Vec<Step<InstallSpec>> {
        let mut steps = self.releases();
        let (mut files, mut links) = (Vec::new(), Vec::new());
        let rendered = self.rendered;
        for component in &rendered.components {
            files.extend(self.files(component));
            links.extend(links_of(component));
        }
        files.extend(self.backup_files());
        let laid: Vec<(StepId, HostPath)> = files.iter().chain(&links).filter_map(path_of).collect();
        steps.extend(self.validations(&laid));
        steps.extend(files);
        steps.extend(links);
        steps
    }

    fn releases(&mut self) -> Vec<Step<InstallSpec>> {
        let payloads = self.payloads;
        let mut steps = Vec::new();
        for (stack, release) in &payloads.releases {
            let Some(owner) = self.owner(stack) else { continue };
            for file in release.files.values() {
                let Content { from, sha256, size } = file.content.clone();
                self.contents.insert(from, Source::Object { sha256, size });
            }
            let spec = ReleaseSpec { dir: release.dir.clone(), owner, files: release.files.clone() };
            let id = ids::of(stack, "release");
            steps.push(Step { id, component: stack.clone(), spec: InstallSpec::Release(spec) });
        }
        steps
    }

    fn validations(&mut self, laid: &[(StepId, HostPath)]) -> Vec<Step<InstallSpec>> {
        let mut steps = Vec::new();
        for component in &self.rendered.components {
            for (number, validate) in (1..).zip(&component.validate) {
                let tree = &validate.value.tree;
                let below = laid.iter().filter(|(_, path)| path.is_within(tree));
                let guards: Vec<StepId> = below.map(|(id, _)| id.clone()).collect();
                if guards.is_empty() {
                    let message = format!("nothing that this host gets lies below {tree}");
                    self.problems
                        .push(validate.at.problem(message, "name the folder of the files to be checked"));
                    continue;
                }
                let what = if component.validate.len() == 1 {
                    "validate".to_owned()
                } else {
                    format!("validate/{number}")
                };
                let (argv, tree) = (validate.value.argv.clone(), tree.clone());
                let spec = ValidateSpec { argv, tree, guards, timeout_s: validate.value.timeout };
                let id = ids::of(&component.name, &what);
                steps.push(Step { id, component: component.name.clone(), spec: InstallSpec::Validate(spec) });
            }
        }
        steps
    }

    fn files(&mut self, component: &RenderedComponent) -> Vec<Step<InstallSpec>> {
        let mut files: Vec<(HostPath, Vec<u8>, Mode, Owner)> = Vec::new();
        for unit in &component.units {
            if let (Some(content), Some(path)) = (&unit.value.content, unit.value.path()) {
                let root = Owner { user: ids::fixed("root"), group: ids::fixed("root") };
                files.push((path, content.clone().into_bytes(), Mode::from_bits(0o644), root));
            }
        }
        for file in &component.files {
            let file = &file.value;
            files.push((file.path.clone(), file.content.clone().into_bytes(), file.mode, file.owner.clone()));
        }
        files.sort_by(|one, other| one.0.cmp(&other.0));
        let mut steps = Vec::new();
        for (path, bytes, mode, owner) in files {
            let Some(place) = path.relative().map(|path| ids::fixed::<RelPath>("files").join(&path)) else {
                self.problems.push(Problem::whole(path.as_str(), "this is no path of a file", ""));
                continue;
            };
            let content = self.content(place, bytes);
            let id = ids::of(&component.name, path.as_str());
            let spec = InstallSpec::File(FileSpec { path, content, mode, owner });
            steps.push(Step { id, component: component.name.clone(), spec });
        }
        steps
    }

    fn object(&mut self, bytes: Vec<u8>) -> Content {
        let path = ids::object(&Digest::of(&bytes));
        self.content(path, bytes)
    }

    // `user:group` of a stack's releases.
    fn owner(&mut self, stack: &ComponentName) -> Option<Owner> {
        let file = self.host.stack_files.get(stack)?;
        match parse_owner(&file.owner) {
            Ok(owner) => Some(owner),
            Err(reason) => {
                self.problems.push(Problem::whole(format!("targets/{stack}/stack.yaml"), reason, ""));
                None
            }
        }
    }
}

fn links_of(component: &RenderedComponent) -> Vec<Step<InstallSpec>> {
    let step = |path: &HostPath, spec| Step {
        id: ids::of(&component.name, path.as_str()),
        component: component.name.clone(),
        spec,
    };
    let links = component.links.iter().map(|link| {
        let (path, target) = (link.value.path.clone(), link.value.target.clone());
        step(&link.value.path, InstallSpec::Link(LinkSpec { path, target }))
    });
    let absent = component.absent.iter().map(|gone| {
        step(&gone.value.path, InstallSpec::Absent(AbsentSpec { path: gone.value.path.clone() }))
    });
    links.chain(absent).collect()
}

fn path_of(step: &Step<InstallSpec>) -> Option<(StepId, HostPath)> {
    let path = match &step.spec {
        InstallSpec::File(spec) => &spec.path,
        InstallSpec::Link(spec) => &spec.path,
        InstallSpec::Absent(spec) => &spec.path,
        InstallSpec::Release(_) | InstallSpec::Validate(_) | InstallSpec::Dir(_) => return None,
    };
    Some((step.id.clone(), path.clone()))
}

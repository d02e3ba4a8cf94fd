//! The harness of the suites: where the real programs are, and how they are run.
//!
//! Suites use the static binaries under `dist/`, as a user gets them, never a debug build. A suite that
//! needs root or a tool fails when it is missing: nothing here passes by being skipped.

pub mod disk;
pub mod fleet;
pub mod machine;
pub mod matrix;
pub mod moments;
pub mod places;
pub mod readers;
pub mod sample;
pub mod trace;
pub mod trial;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The checkout that is under test.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/")).to_path_buf()
}

/// A program under `dist/`. Built by `make dist`, which `make test` does first.
pub fn dist(program: &str) -> PathBuf {
    let path = checkout().join("dist").join(program);
    assert!(path.exists(), "{} is missing: run `make dist` first", path.display());
    path
}

/// Runs a program and returns what it did; a program that cannot be started fails the test.
pub fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Runs a program that must succeed, and returns its standard output.
pub fn succeed(command: &mut Command) -> String {
    let output = run(command);
    assert!(
        output.status.success(),
        "{command:?} ended with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Fails unless the suite runs as root: throw-away hosts need it.
pub fn need_root() {
    let uid = succeed(Command::new("id").arg("-u"));
    assert_eq!(uid.trim(), "0", "this suite makes throw-away hosts: run it as root");
}

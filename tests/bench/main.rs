//! `make bench`: speed, memory and size, each against a peer in the same run, because this is never a quiet
//! machine. Prints a table and writes `bench.json`. A goal that is missed is shown as missed; it is no test.

mod measure;
mod playbook;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use chom_bundle::rehearse::Host;
use chom_format::manifest::Suite;
use chom_tests::fleet::{folder_name, lab_options, manifest, on_host, tarball};
use chom_tests::{checkout, dist, succeed};
use measure::{Figure, median, pair, peak_memory, time};

const UPLOAD: &str = "/var/tmp/bench";

fn main() {
    let output = env::args().nth(1).map_or_else(|| checkout().join("dist/bench.json"), PathBuf::from);
    let scratch = tempfile::tempdir_in(checkout().join("target")).expect("a scratch folder");
    let mut figures = program();
    let bundle = build(scratch.path(), &mut figures);
    read(&bundle, scratch.path(), &mut figures);
    no_op(&bundle, &mut figures);

    for figure in &figures {
        let met = if figure.met { "met" } else { "MISSED" };
        println!(
            "{:<34} {:>10.3} {:<4} peer {:>10.3}  ratio {:>8.3}  {:<16} {met}",
            figure.name, figure.ours, figure.unit, figure.peer, figure.ratio, figure.goal
        );
    }
    let json = serde_json::to_vec_pretty(&figures).expect("figures are plain");
    fs::write(&output, json).unwrap_or_else(|error| panic!("{}: {error}", output.display()));
    println!("written to {}", output.display());
}

fn program() -> Vec<Figure> {
    let installer = dist("chom-install-x86_64");
    let size = |path: &Path| fs::metadata(path).expect("its size").len() as f64 / 1e6;
    let start = median((0..21).map(|_| time(Command::new(&installer).arg("--version")) * 1e3));
    vec![
        Figure::under("installer size, x86_64", size(&installer), 6.0, "MB"),
        Figure::under("installer size, aarch64", size(&dist("chom-install-aarch64")), 6.0, "MB"),
        Figure::under("installer start", start, 5.0, "ms"),
    ]
}

/// Builds the bundle that the rest measures, then again with a warm cache, against `cp` of the result.
fn build(scratch: &Path, figures: &mut Vec<Figure>) -> PathBuf {
    let example = fs::read_to_string(checkout().join("inventory.example.yaml")).expect("the example");
    let inventory = scratch.join("inventory.yaml");
    // The peer of the no-op run comes with the bundle: the host has no network to fetch it by.
    fs::write(&inventory, example.replace("stacks: [observability]", "stacks: [observability, bench]"))
        .expect("a copy");
    let build = |output: &Path| {
        let mut command = Command::new(dist("chom-bundle"));
        command.arg("--inventory").arg(&inventory);
        command.arg("--targets").arg(checkout().join("tests/bench/targets"));
        command.args(["build", "--host", "mentat", "--output"]).arg(output);
        command
    };
    let first = scratch.join("first");
    succeed(&mut build(&first));
    let bundle = tarball(&first);
    let (again, copy) = (scratch.join("again"), scratch.join("copy.tar.gz"));
    let ours = || {
        // What is there already would be compared and left alone, which is no build.
        let _ = fs::remove_dir_all(&again);
        time(build(&again).arg("--offline"))
    };
    let peer = || {
        let _ = fs::remove_file(&copy);
        time(Command::new("cp").arg(&bundle).arg(&copy))
    };
    let (ours, peer) = pair(5, ours, peer);
    figures.push(Figure::within("build, warm cache, against cp", ours, peer, "s", 2.0));
    bundle
}

/// Verifies, and verifies and unpacks, against `sha256sum` and `tar` on the same bytes.
fn read(bundle: &Path, scratch: &Path, figures: &mut Vec<Figure>) {
    let verify = || {
        let mut command = Command::new(dist("chom-install-x86_64"));
        command.arg("verify").arg("--bundle").arg(bundle);
        command
    };
    let unpacked = scratch.join("unpacked");
    let tar = || {
        let _ = fs::remove_dir_all(&unpacked);
        fs::create_dir(&unpacked).expect("a folder");
        time(Command::new("tar").arg("-xzf").arg(bundle).arg("-C").arg(&unpacked))
    };
    let (ours, sum) = pair(5, || time(&mut verify()), || time(Command::new("sha256sum").arg(bundle)));
    let (_, tar) = pair(5, || 0.0, tar);
    figures.push(Figure::within("verify and unpack, of the slower", ours, sum.max(tar), "s", 1.3));
    figures.push(Figure::under("verify, peak memory", peak_memory(&mut verify()), 24.0, "MiB"));
}

/// The run that finds nothing to do, checks included, against a playbook that makes sure of the same things.
fn no_op(bundle: &Path, figures: &mut Vec<Figure>) {
    drop(lab_options());
    let (folder, manifest) = (folder_name(bundle), manifest(bundle));
    let there = format!("{UPLOAD}/{folder}");
    let book = serde_json::to_vec(&playbook::playbook(&manifest, &there)).expect("a playbook");
    let tasks = String::from_utf8_lossy(&book).matches("ansible.builtin").count();
    let mut measured = (0.0, 0.0);
    on_host(Suite::Trixie, |host| {
        let book_file = bundle.with_file_name("playbook.json");
        fs::write(&book_file, &book).expect("a playbook");
        host.must(&["mkdir", "-m", "0700", UPLOAD]).expect("a folder on the host");
        for file in [bundle, &book_file] {
            host.scp(file, &format!("{UPLOAD}/{}", file.file_name().expect("a name").to_string_lossy()))
                .expect("a copy");
        }
        let tarball = format!("{UPLOAD}/{folder}.tar.gz");
        host.must(&["tar", "-xzf", &tarball, "-C", UPLOAD]).expect("unpacked");
        let installer = format!("{there}/chom-install");
        inside(host, &[&installer, "--yes"]);
        let book = format!("{UPLOAD}/playbook.json");
        measured = pair(
            3,
            || (0..5).map(|_| inside(host, &[&installer, "--yes"])).fold(f64::MAX, f64::min),
            || inside(host, &["ansible-playbook", "-i", "localhost,", &book]),
        );
    });
    println!("the playbook has {tasks} tasks");
    figures.push(Figure::faster(
        "no-op run, against ansible-playbook",
        measured.0 * 1e3,
        measured.1 * 1e3,
        "ms",
        200.0,
    ));
}

/// Wall time of a command inside, in seconds, taken around `nsenter`, which costs both sides the same.
fn inside(host: &Host, argv: &[&str]) -> f64 {
    let tool = host.inside(argv).expect("a host that is up").limit(Duration::from_secs(900));
    let begun = std::time::Instant::now();
    let ran = tool
        .run(&chom_bundle::rehearse::Cancel::default())
        .unwrap_or_else(|error| panic!("{argv:?}: {error}"));
    let said = String::from_utf8_lossy(&ran.stdout);
    assert_eq!(ran.code, 0, "{argv:?}: {}\n{said}", ran.tail());
    begun.elapsed().as_secs_f64()
}

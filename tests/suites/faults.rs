//! Failure and SIGINT at the steps of the plan, one by one: exit 4, the host equal to before, and the
//! installation then succeeds. The usual run takes a step of each kind, failures and signals by turns;
//! `make test-faults` takes every step, both ways, on both releases.

use std::collections::BTreeSet;

use chom_bundle::rehearse::run::FaultKind;
use chom_bundle::rehearse::{Cancel, Fault, RunOptions, rehearse};
use chom_format::manifest::Suite;
use chom_format::{StepId, StepSpec};
use chom_tests::fleet::{bundle, lab_options, manifest, talk};
use chom_tests::matrix;

/// The steps to break: every one, or the last of each kind, which has the most before it to be put back.
fn steps(suite: Suite, all: bool) -> Vec<StepId> {
    let manifest = manifest(&bundle(suite));
    let steps = manifest.steps();
    if all {
        return steps.into_iter().map(|(_, step)| step.id).collect();
    }
    let mut kinds = BTreeSet::new();
    let last_of_kind =
        steps.into_iter().rev().filter(|(phase, step)| kinds.insert((*phase, kind(&step.spec))));
    let mut ids: Vec<StepId> = last_of_kind.map(|(_, step)| step.id).collect();
    ids.reverse();
    ids
}

fn kind(spec: &StepSpec) -> String {
    serde_json::to_value(spec).unwrap()["kind"].to_string()
}

/// Breaks every step, or of the kinds every second one, from this one on.
fn broken(suite: Suite, kinds: &[FaultKind], first: usize) {
    let part = matrix::part();
    let mut steps = steps(suite, part.is_some());
    assert!(steps.len() >= 8, "only {} steps to break: {steps:?}", steps.len());
    let mut case = 0..;
    steps.retain(|_| case.next().is_some_and(|case| part.map_or(case % 2 == first, |part| part.has(case))));
    let faults =
        steps.iter().flat_map(|step| kinds.iter().map(|kind| Fault { kind: *kind, step: step.clone() }));
    let options = RunOptions {
        lab: lab_options(),
        bundle: bundle(suite),
        host: None,
        suite: None,
        faults: faults.collect(),
        carry: Vec::new(),
        before: Vec::new(),
        installer_args: Vec::new(),
    };
    let report = rehearse(&options, None, &talk(), &Cancel::default()).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.faults.len(), options.faults.len());
    assert!(report.passed && report.installed);
    println!("{} faults, each put back exactly", report.faults.len());
}

#[test]
fn a_failure_at_a_step_is_put_back() {
    broken(Suite::Trixie, &[FaultKind::Fail], 0);
}

#[test]
fn an_interrupt_at_a_step_is_put_back() {
    broken(Suite::Bookworm, &[FaultKind::Interrupt], 1);
}

/// The rest of the matrix; the usual run has shown the first half of it.
#[test]
fn the_matrix_the_other_way_round() {
    if matrix::part().is_some() {
        broken(Suite::Trixie, &[FaultKind::Interrupt], 0);
        broken(Suite::Bookworm, &[FaultKind::Fail], 0);
    } else {
        // The usual run shows that the matrix knows every step, so that `make test-faults` leaves none out.
        assert!(steps(Suite::Trixie, true).len() > steps(Suite::Trixie, false).len());
    }
}

//! Failure and SIGINT at the steps of the plan, one by one: exit 4, the host equal to before, and the
//! installation then succeeds. The usual run takes a step of each kind, failures and signals by turns, `CHOM_SAMPLE` says which;
//! `make test-faults` takes every step, both ways, on both releases.

use std::collections::{BTreeMap, BTreeSet};

use chom_bundle::rehearse::run::FaultKind;
use chom_bundle::rehearse::{Fault, RunOptions};
use chom_format::manifest::Suite;
use chom_format::step::Phase;
use chom_format::{StepId, StepSpec};
use chom_tests::fleet::{bundle, lab_options, manifest, rehearsed};
use chom_tests::matrix;
use chom_tests::sample::{self, again};

/// The steps to break: every one, or one of each kind, from the last to the first by sample.
fn steps(suite: Suite, all: bool) -> Vec<StepId> {
    let manifest = manifest(&bundle(suite));
    let steps = manifest.steps();
    if all {
        return steps.into_iter().map(|(_, step)| step.id).collect();
    }
    let mut kinds: BTreeMap<(Phase, String), Vec<StepId>> = BTreeMap::new();
    let mut order = Vec::new();
    for (phase, step) in steps {
        order.push(step.id.clone());
        kinds.entry((phase, kind(&step.spec))).or_default().push(step.id);
    }
    let one = |ids: Vec<StepId>| ids.into_iter().rev().cycle().nth(sample::number() as usize % 64);
    let some: BTreeSet<StepId> = kinds.into_values().filter_map(one).collect();
    order.into_iter().filter(|id| some.contains(id)).collect()
}

fn kind(spec: &StepSpec) -> String {
    serde_json::to_value(spec).unwrap()["kind"].to_string()
}

/// Breaks every step, or of the kinds every second one, from this one on.
fn broken(suite: Suite, kinds: &[FaultKind], first: usize) {
    let part = matrix::part();
    let mut steps = steps(suite, part.is_some());
    assert!(steps.len() >= 8, "only {} steps to break: {steps:?}", steps.len());
    // The other half of them with the next sample.
    let first = (first + sample::number() as usize) % 2;
    println!("the same again: {}", again(&format!("CHOM_SAMPLE={}", sample::number())));
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
    let report = rehearsed(&options);
    assert_eq!(report.faults.len(), options.faults.len());
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

//! Records as proptest makes them, of every kind and in any order, for the properties of this module.

use chom_format::{Digest, HostPath, StepId};
use proptest::prelude::*;
use serde_json::Value;

use super::{Begin, Exposure, Record};
use crate::resource::{Fingerprint, Resource, Restored, Saved};

const TEXT: &str = "[a-z\u{e4}\u{101}\\n\"]{0,20}";

/// Any record.
pub(super) fn record() -> impl Strategy<Value = Record> {
    prop_oneof![
        (TEXT, any::<u64>()).prop_map(|(by, id)| begin(by, id)),
        Just(Record::Sought { sought: crate::resource::Sought::default() }),
        Just(Record::Healthy),
        (resource(), saved()).prop_map(|(resource, saved)| Record::Saved { resource, saved }),
        (step(), touches()).prop_map(|(step, touches)| Record::Intent {
            step,
            touches,
            expects: Vec::new(),
            token: None
        }),
        (step(), resource()).prop_map(|(step, resource)| {
            Record::Done { step, after: vec![(resource, Value::Bool(true))] }
        }),
        (prop::option::of(step()), TEXT).prop_map(|(step, cause)| Record::Failed { step, cause }),
        (TEXT, any::<u64>()).prop_map(|(until, at_ms)| exposed(until, at_ms)),
        (TEXT, TEXT).prop_map(|(at, by)| Record::Confirmed { at, by }),
        TEXT.prop_map(|at| Record::Committed { at }),
        TEXT.prop_map(|cause| Record::RollingBack { cause }),
        (resource(), restored()).prop_map(|(resource, restored)| Record::Restored { resource, restored }),
        (touches(), prop::collection::vec(TEXT, 0..2), TEXT).prop_map(|(all, exceptions, at)| {
            let proof = all.into_iter().map(|resource| (resource, Fingerprint(Digest::of(b"x"))));
            Record::RolledBack { proof: proof.collect(), exceptions, at }
        }),
        prop::collection::vec(TEXT, 0..3).prop_map(|conflicts| Record::Stuck { conflicts }),
    ]
}

fn begin(by: String, id: u64) -> Record {
    let (bundle, at, boot_id) = ("mentat-1-00000000".into(), "2026-01-01T00:00:00Z".into(), "boot".into());
    let (backup, upon, adopts) = (id.checked_sub(1), id.checked_sub(2), id.is_multiple_of(3));
    Record::Begin(Begin {
        format: 1,
        id,
        bundle,
        manifest: Digest::of(b"manifest"),
        at,
        boot_id,
        by,
        backup,
        token: None,
        upon,
        adopts,
    })
}

fn exposed(until: String, at_ms: u64) -> Record {
    let (boot_id, nonce) = ("boot".into(), Digest::of(b"word"));
    let deadline_ms = at_ms.saturating_add(100);
    Record::Exposed { exposure: Exposure { boot_id, at_ms, deadline_ms, until, nonce, connection: None } }
}

fn step() -> impl Strategy<Value = StepId> {
    "[a-z]{1,8}/[a-z]{1,4}".prop_map(|step| step.parse().unwrap())
}

fn path() -> impl Strategy<Value = HostPath> {
    "/[ab](/[ab]){0,2}".prop_map(|path| path.parse().unwrap())
}

fn resource() -> impl Strategy<Value = Resource> {
    prop_oneof![
        (path(), any::<bool>()).prop_map(|(path, data)| Resource::Path { path, data }),
        path().prop_map(|path| Resource::Listing { path }),
        Just(Resource::Firewall),
        ("[ab]", prop::bool::ANY).prop_map(|(unit, writes)| {
            let writes = if writes { vec!["/etc/x".parse().unwrap()] } else { Vec::new() };
            Resource::Unit { unit: format!("{unit}.service").parse().unwrap(), writes }
        }),
    ]
}

fn touches() -> impl Strategy<Value = Vec<Resource>> {
    prop::collection::vec(resource(), 0..3)
}

fn saved() -> impl Strategy<Value = Saved> {
    TEXT.prop_map(|text| {
        let fingerprint = Fingerprint(Digest::of(text.as_bytes()));
        Saved { state: Value::String(text), objects: Vec::new(), fingerprint }
    })
}

fn restored() -> impl Strategy<Value = Restored> {
    prop_oneof![
        Just(Restored::Restored),
        Just(Restored::AlreadyBefore),
        prop::collection::vec(path(), 0..2).prop_map(|kept| Restored::Foreign { kept }),
        (prop::collection::vec(TEXT, 0..2), any::<bool>()).prop_map(|(told, differs)| Restored::Left {
            told,
            kept: Vec::new(),
            differs
        }),
        TEXT.prop_map(|reason| Restored::Stuck { reason }),
    ]
}

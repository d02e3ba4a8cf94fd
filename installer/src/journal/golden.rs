//! Journals of every format that was ever written. They are added to and never written anew: a host may
//! hold a transaction of any of them, and wants to take it back.

use chom_format::StepId;

use super::{BootTime, Standing, decode, fold};
use crate::resource::{Resource, Restored};

#[test]
fn format_1_is_read() {
    let decoded = decode(include_bytes!("golden/format-1.journal")).unwrap();
    assert_eq!((decoded.records.len(), decoded.torn), (12, 0));
    let state = fold(&decoded.records);
    let begin = state.begin.unwrap();
    assert_eq!((begin.id, begin.bundle.as_str(), begin.by.as_str()), (7, "mentat-1.4.0-3f9c2a71", "root"));
    assert_eq!(state.standing, Standing::RolledBack { at: "2026-01-01T00:05:00Z".to_owned() });
    let done: Vec<&str> = state.done.iter().map(StepId::as_str).collect();
    assert_eq!(done, ["nginx/packages", "nginx/site"]);
    let kinds: Vec<String> = state.saved.iter().map(|(resource, _)| resource.to_string()).collect();
    let expected = [
        "unit nginx.service",
        "the system as its packages make it",
        "the listing of /etc/nginx",
        "/etc/nginx/site.conf",
    ];
    assert_eq!(kinds, expected);
    let path = Resource::Path { path: "/etc/nginx/site.conf".parse().unwrap(), data: false };
    let kept = vec!["/var/lib/chom/attic/000007/etc_nginx_site.conf.00000000".parse().unwrap()];
    assert_eq!(state.restored.get(&path), Some(&Restored::Foreign { kept }));
    assert_eq!((state.proof.len(), state.exceptions.len()), (1, 1));
    assert_eq!(state.failed.unwrap().1, "it did not start");
}

#[test]
fn format_1_with_an_exposure_is_read() {
    let decoded = decode(include_bytes!("golden/format-1-exposed.journal")).unwrap();
    assert_eq!((decoded.records.len(), decoded.torn), (11, 0));
    let state = fold(&decoded.records);
    assert_eq!(state.standing, Standing::Committed { at: "2026-01-01T00:05:30Z".to_owned() });
    let confirmed = state.confirmed.unwrap();
    assert_eq!((confirmed.at.as_str(), confirmed.by.is_empty()), ("2026-01-01T00:05:30Z", false));
    let waiting = fold(&decoded.records[..10]);
    assert_eq!(waiting.standing, Standing::Exposed { until: "2026-01-01T00:07:00Z".to_owned() });
    let now = |boot: &str| BootTime { boot_id: boot.to_owned(), ms: 100_000 };
    assert_eq!((waiting.awaits_ms(&now("0b7e")), waiting.awaits_ms(&now("0b7f"))), (Some(81_230), None));
    assert_eq!(waiting.exposure.unwrap().connection.as_deref(), Some("192.0.2.7 50112 192.0.2.10 22"));
}

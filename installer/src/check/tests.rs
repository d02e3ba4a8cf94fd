//! Probes against servers on the loopback address, and the judgement of their answers.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use chom_format::{HostPath, Severity};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::*;
use crate::sys::{Attrs, Command, Effect, Meta, Output, Space, SysError};

// Self-signed for mentat.test until 2126, and its key: trusted by nobody.
const CERTIFICATE: &str = "3082019b30820141a0030201020214491667dcda7647ca48fd31eb491e0de6464d66ef300a06082a8648ce3d04030230\
    163114301206035504030c0b6d656e7461742e746573743020170d3236313132313231343032395a180f323132363130\
    32383231343032395a30163114301206035504030c0b6d656e7461742e746573743059301306072a8648ce3d02010608\
    2a8648ce3d03010703420004f93478734a718d55964cd217712f9f1d94469a1b3e6d44f32bb7c4f1d9e3300f43520889\
    84bc19caf8b6df5b47a5ddec84d5f3ea155e86a3e36f4d1e1871a448a36b3069301d0603551d0e04160414b5d15569c5\
    944ad3098a14359fafb697e974f7fe301f0603551d23041830168014b5d15569c5944ad3098a14359fafb697e974f7fe\
    300f0603551d130101ff040530030101ff30160603551d11040f300d820b6d656e7461742e74657374300a06082a8648\
    ce3d0403020348003045022016ecc5198ff86607e30f64792c91d32b81fcf2fcfabc8e556a8525151878cfff022100e1\
    2b5f59457a303437ee74c4257a88069e1fe99febd2ea9b6f2bfbf624872f5e";
const KEY: &str = "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b02010104208c14c0988ceff185eb6e634d\
    6b20dc706ccd7c2f48ef431fe4b7f7f3d0e3c0f5a14403420004f93478734a718d55964cd217712f9f1d94469a1b3e6d\
    44f32bb7c4f1d9e3300f4352088984bc19caf8b6df5b47a5ddec84d5f3ea155e86a3e36f4d1e1871a448";

/// A host that answers programs only.
struct Programs(fn(&Command) -> Output);

impl Sys for Programs {
    fn root(&self) -> &Path {
        Path::new("/")
    }
    fn meta(&self, _: &HostPath) -> Result<Option<Meta>, SysError> {
        Ok(None)
    }
    fn attrs(&self, _: &HostPath) -> Result<Option<Attrs>, SysError> {
        Ok(None)
    }
    fn link(&self, path: &HostPath) -> Result<String, SysError> {
        Err(SysError::Injected(path.to_string()))
    }
    fn open_with(&self, path: &HostPath) -> Result<(Attrs, Box<dyn Read>), SysError> {
        Err(SysError::Injected(path.to_string()))
    }
    fn open(&self, path: &HostPath) -> Result<Box<dyn Read>, SysError> {
        Err(SysError::Injected(path.to_string()))
    }
    fn list(&self, _: &HostPath) -> Result<Vec<String>, SysError> {
        Ok(Vec::new())
    }
    fn resolve(&self, _: &HostPath) -> Result<Option<HostPath>, SysError> {
        Ok(None)
    }
    fn count(&self, _: &HostPath) -> Result<usize, SysError> {
        Ok(0)
    }
    fn is_private(&self, _: &HostPath) -> Result<bool, SysError> {
        Ok(true)
    }
    fn owned(&self, _: Option<u32>, _: Option<u32>, _: &[&str], _: usize) -> Result<Vec<String>, SysError> {
        Ok(Vec::new())
    }
    fn is_immutable(&self, _: &HostPath) -> bool {
        false
    }
    fn announce(&mut self, _: &str) {}
    fn is_temporary(&self, _: &str) -> bool {
        false
    }
    fn space(&self, path: &HostPath) -> Result<Space, SysError> {
        Err(SysError::Injected(path.to_string()))
    }
    fn ask(&self, command: &Command) -> Result<Output, SysError> {
        Ok((self.0)(command))
    }
    fn stream(&self, command: &Command, _: &mut dyn std::io::Write) -> Result<Output, SysError> {
        Ok((self.0)(command))
    }
    fn effect(&mut self, _: &Effect<'_>) -> Result<Output, SysError> {
        Err(SysError::Injected("checks change nothing".to_owned()))
    }
}

fn silent(_: &Command) -> Output {
    Output::default()
}

/// Answers every connection with the same bytes, in a thread that ends with the test's process.
fn server(answer: impl Fn(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = request(&mut stream);
            let _ = stream.write_all(answer(&request).as_bytes());
        }
    });
    address
}

fn request(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    let mut one = [0];
    while !bytes.ends_with(b"\r\n\r\n") && stream.read(&mut one).unwrap_or(0) == 1 {
        bytes.push(one[0]);
    }
    String::from_utf8(bytes).unwrap()
}

fn response(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn spec(id: &str, deadline_s: u32, probe: Value) -> CheckSpec {
    serde_json::from_value(
        json!({"id": id, "component": "web", "severity": "fail", "deadline_s": deadline_s, "probe": probe}),
    )
    .unwrap()
}

fn one(probe: Value) -> Report {
    Runner::new(&Programs(silent)).once(&[spec("web/one", 1, probe)]).remove(0)
}

#[test]
fn http_answers_are_judged() {
    let body = r#"{"status":"success","token":"hunter2","data":{"groups":[1]}}"#;
    let address = server(move |request| {
        if request.starts_with("GET /moved ") {
            return response("302 Found", "Location: http://127.0.0.1:1/\r\n", "");
        }
        if request.starts_with("GET /tenant ")
            && !request.to_lowercase().contains("x-scope-orgid: mentat\r\n")
        {
            return response("401 Unauthorized", "", "no org id");
        }
        response("200 OK", "X-Frame-Options: DENY\r\n", body)
    });
    let url = |path: &str| format!("http://{address}{path}");
    let passes = [
        json!({"type": "http", "url": url("/"), "status": [200]}),
        json!({"type": "http", "url": url("/moved"), "status": [301, 302]}),
        json!({"type": "http", "url": url("/tenant"), "status": [200], "headers": {"X-Scope-OrgID": "mentat"}}),
        json!({"type": "http", "url": url("/"), "status": [200], "expect_headers": {"x-frame-options": "DENY"},
               "contains": "success", "json": [{"pointer": "/data/groups", "at_least": 1}]}),
    ];
    for probe in passes {
        let report = one(probe.clone());
        assert!(report.passed(), "{probe}: {report:?}");
    }
    let fails = [
        (json!({"type": "http", "url": url("/"), "status": [204]}), "answered 200, not 204"),
        (json!({"type": "http", "url": url("/tenant"), "status": [200]}), "answered 401, not 200"),
        (
            json!({"type": "http", "url": url("/"), "status": [200], "contains": "ready"}),
            "does not contain \"ready\"",
        ),
        (
            json!({"type": "http", "url": url("/"), "status": [200], "expect_headers": {"X-None": "1"}}),
            "no header X-None",
        ),
        (
            json!({"type": "http", "url": url("/"), "status": [200], "expect_headers": {"X-Frame-Options": "SAMEORIGIN"}}),
            "is \"DENY\", not \"SAMEORIGIN\"",
        ),
        (
            json!({"type": "http", "url": url("/"), "status": [200], "json": [{"pointer": "/data/groups", "at_least": 2}]}),
            "has 1 entries, at least 2",
        ),
        (json!({"type": "http", "url": "http://127.0.0.1:1/", "status": [200]}), "does not answer"),
    ];
    for (probe, wanted) in fails {
        let report = one(probe);
        assert_eq!(report.verdict, Verdict::Failed);
        assert!(report.message.contains(wanted), "wanted {wanted:?}, got {report:?}");
        assert!(report.remedy.is_some());
        assert!(!report.evidence.unwrap_or_default().contains("hunter2"));
    }
}

#[test]
fn a_query_is_one_number() {
    let address = server(|request| {
        assert!(
            request.starts_with("GET /prometheus/api/v1/query?query=count%28up%20%3D%3D%201%29 HTTP/1.1"),
            "{request}"
        );
        let body =
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"3"]}]}}"#;
        response("200 OK", "", body)
    });
    let query = |op: &str, value: f64| {
        one(json!({"type": "query", "url": format!("http://{address}/prometheus"), "expr": "count(up == 1)",
                   "op": op, "value": value}))
    };
    assert!(query(">=", 3.0).passed());
    assert!(query("==", 3.0).passed());
    assert_eq!(query("<=", 2.0).message, "`count(up == 1)` is 3, wanted is <= 2");
}

#[test]
fn tcp_and_commands() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(one(json!({"type": "tcp", "address": listener.local_addr().unwrap().to_string()})).passed());
    assert!(
        one(json!({"type": "tcp", "address": "127.0.0.1:1"})).message.contains("does not accept connections")
    );

    let runner = Programs(|command| match command.argv[0].as_str() {
        "nginx" => Output { code: 1, stdout: Vec::new(), stderr: b"emerg: password=hunter2\n".to_vec() },
        _ => Output {
            code: 0,
            stdout: command.user.clone().unwrap_or_default().into_bytes(),
            stderr: Vec::new(),
        },
    });
    let specs = [
        spec("web/a", 1, json!({"type": "command", "argv": ["nginx", "-t"]})),
        spec(
            "web/b",
            1,
            json!({"type": "command", "argv": ["id"], "user": "www-data", "contains": "www-data"}),
        ),
        spec("web/c", 1, json!({"type": "command", "argv": ["id"], "contains": "root"})),
        spec("web/d", 1, json!({"type": "command", "argv": ["nginx"], "exit": 1})),
    ];
    let reports = Runner::new(&runner).once(&specs);
    let verdicts: Vec<bool> = reports.iter().map(Report::passed).collect();
    assert_eq!(verdicts, [false, true, false, true]);
    assert_eq!(reports[0].evidence.as_deref(), Some("emerg: password=[redacted]"));
}

#[test]
fn a_certificate_is_looked_at_and_its_chain_is_not() {
    let bytes = |hex: &str| {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect::<Vec<u8>>()
    };
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(bytes(CERTIFICATE))],
            PrivateKeyDer::try_from(bytes(KEY)).unwrap(),
        );
    let config = Arc::new(config.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream: StreamOwned<ServerConnection, TcpStream> =
                StreamOwned::new(connection, stream.unwrap());
            if request(&mut stream).starts_with("GET") {
                let _ = stream.write_all(response("200 OK", "", "hello").as_bytes());
            }
        }
    });
    let tls = |name: &str, min_days: u32| {
        one(json!({"type": "tls", "address": address, "name": name, "min_days": min_days}))
    };
    assert!(tls("mentat.test", 30).passed(), "{:?}", tls("mentat.test", 30));
    assert!(tls("other.test", 30).message.contains("is not for other.test"));
    assert!(tls("mentat.test", 99_999).message.contains("wanted are 99999"));

    let https = |insecure: bool| {
        one(
            json!({"type": "http", "url": format!("https://{address}/"), "status": [200], "contains": "hello",
                   "insecure": insecure}),
        )
    };
    assert!(https(true).passed(), "{:?}", https(true));
    assert!(https(false).message.contains("does not answer"), "{:?}", https(false));
}

#[test]
fn units_are_one_question_and_a_young_one_is_waited_for() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let host = Programs(|command| {
        let asked = ASKED.fetch_add(1, Ordering::SeqCst);
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
        let young = u64::try_from(Duration::from(now).as_micros()).unwrap();
        // The second unit has just begun when it is first looked at, and is never restarted.
        let since = if asked == 0 { young } else { young - 1_100_000 };
        let blocks = command.argv.iter().filter(|word| word.ends_with(".service")).map(|unit| {
            let since = if unit == "young.service" { since } else { 1 };
            format!("Id={unit}\nLoadState=loaded\nActiveState=active\nSubState=running\nResult=success\nNRestarts=0\n\
                     ActiveEnterTimestampMonotonic={since}\n")
        });
        Output { code: 0, stdout: blocks.collect::<Vec<_>>().join("\n").into_bytes(), stderr: Vec::new() }
    });
    let unit = |id: &str, unit: &str| spec(id, 0, json!({"type": "unit", "unit": unit, "dwell_s": 1}));
    let specs =
        [unit("web/a", "old.service"), unit("web/b", "young.service"), unit("web/c", "other.service")];
    let runner = Runner::new(&host);
    let first = runner.once(&specs);
    assert_eq!(first.iter().map(Report::passed).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(ASKED.load(Ordering::SeqCst), 1);
    let later = runner.run(&specs, &Before::default(), &|_| {}, &|| false);
    assert!(later.iter().all(Report::passed), "{later:?}");
}

#[test]
fn a_check_is_asked_again_until_it_passes_or_its_time_is_over() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let address = server(move |_| {
        let ready = count.fetch_add(1, Ordering::SeqCst) >= 3;
        response(if ready { "200 OK" } else { "503 Service Unavailable" }, "", "")
    });
    let specs = [
        spec("web/late", 20, json!({"type": "http", "url": format!("http://{address}/"), "status": [200]})),
        spec("web/never", 1, json!({"type": "tcp", "address": "127.0.0.1:1"})),
    ];
    let seen = AtomicBool::new(false);
    let begun = Instant::now();
    let watch = |progress: &Progress| {
        seen.fetch_or(progress.passed == 1 && progress.total == 2, Ordering::SeqCst);
    };
    let reports = Runner::new(&Programs(silent)).run(&specs, &Before::default(), &watch, &|| false);
    assert_eq!(reports.iter().map(Report::passed).collect::<Vec<_>>(), [true, false]);
    assert_eq!(asked.load(Ordering::SeqCst), 4);
    assert!(begun.elapsed() < Duration::from_secs(10), "the deadline of one is not that of the other");
    assert!(seen.load(Ordering::SeqCst));
}

#[test]
fn what_was_red_before_is_not_blamed_and_what_is_new_is() {
    let specs = [
        spec("web/old", 0, json!({"type": "tcp", "address": "127.0.0.1:1"})),
        spec("web/new", 0, json!({"type": "tcp", "address": "127.0.0.1:1"})),
    ];
    let host = Programs(silent);
    let before = Before::look(&host, &specs, &BTreeSet::from(["web/old".parse().unwrap()]));
    let reports = Runner::new(&host).run(&specs, &before, &|_| {}, &|| false);
    assert_eq!(
        reports.iter().map(|report| report.verdict).collect::<Vec<_>>(),
        [Verdict::WasRed, Verdict::Failed]
    );
    assert_eq!(reports.iter().map(Report::condemns).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn a_warning_condemns_nobody() {
    let mut spec = spec("web/soft", 0, json!({"type": "tcp", "address": "127.0.0.1:1"}));
    spec.severity = Severity::Warn;
    assert!(!Runner::new(&Programs(silent)).once(&[spec])[0].condemns());
}

#[test]
fn whoever_wants_to_stop_is_not_kept_waiting() {
    let specs = [spec("web/never", 600, json!({"type": "tcp", "address": "127.0.0.1:1"}))];
    let begun = Instant::now();
    let reports = Runner::new(&Programs(silent))
        .run(&specs, &Before::default(), &|_| {}, &|| begun.elapsed().as_millis() > 300);
    assert_eq!(reports[0].verdict, Verdict::Failed);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn forty_healthy_checks_take_a_blink() {
    let address = server(|_| response("200 OK", "", "ok"));
    let specs: Vec<CheckSpec> = (0..40)
        .map(|n| {
            spec(
                &format!("web/{n}"),
                1,
                json!({"type": "http", "url": format!("http://{address}/"), "status": [200]}),
            )
        })
        .collect();
    let begun = Instant::now();
    let reports = Runner::new(&Programs(silent)).once(&specs);
    assert!(reports.iter().all(Report::passed));
    // Generous, for a busy machine and an unoptimised build: a sleep or a second round would show.
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let by_id: BTreeMap<_, _> = reports.iter().map(|report| (report.id.to_string(), report.ms)).collect();
    assert_eq!(by_id.len(), 40);
}

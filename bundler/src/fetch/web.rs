//! A small web server on loopback for tests: it answers as it is told, also wrongly.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    /// The first byte of the range that was asked for.
    pub(crate) from: Option<usize>,
    /// How often this path was asked for before.
    pub(crate) before: usize,
}

/// One answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// The connection is closed, or goes silent, after so many bytes of the body.
    cut: Option<usize>,
    stall: Duration,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), cut: None, stall: Duration::ZERO }
    }

    pub(crate) fn ok(body: &[u8]) -> Self {
        Self { body: body.to_vec(), ..Self::status(200) }
    }

    /// What an honest server gives of a body: all of it, or the range.
    pub(crate) fn honest(body: &[u8], asked: &Asked) -> Self {
        match asked.from {
            Some(from) => Self {
                body: body[from..].to_vec(),
                headers: vec![("Content-Range", format!("bytes {from}-{}/{}", body.len() - 1, body.len()))],
                ..Self::status(206)
            },
            None => Self::ok(body),
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn cut_after(mut self, bytes: usize) -> Self {
        self.cut = Some(bytes);
        self
    }

    pub(crate) fn silent_after(mut self, bytes: usize, stall: Duration) -> Self {
        self.stall = stall;
        self.cut_after(bytes)
    }
}

/// A running server. It ends with the test's process.
pub(crate) struct Web {
    pub(crate) base: String,
    log: Arc<Mutex<Vec<Asked>>>,
}

impl Web {
    pub(crate) fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen) = (Arc::new(answer), Arc::clone(&log));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                thread::spawn(move || serve(stream, &*answer, &seen));
            }
        });
        Self { base, log }
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.log.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, answer: &(dyn Fn(&Asked) -> Reply + Send + Sync), seen: &Mutex<Vec<Asked>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(first)) = lines.next() else { return };
    let path = first.split(' ').nth(1).unwrap_or("/").to_owned();
    let mut headers = HashMap::new();
    for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let from =
        headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let asked = {
        let mut seen = seen.lock().unwrap();
        let before = seen.iter().filter(|asked| asked.path == path).count();
        seen.push(Asked { path, from, before });
        seen.last().unwrap().clone()
    };
    let reply = answer(&asked);
    let mut head = format!(
        "HTTP/1.1 {} X\r\nContent-Length: {}\r\nConnection: close\r\n",
        reply.status,
        reply.body.len()
    );
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut stream = stream;
    let body = &reply.body[..reply.cut.unwrap_or(reply.body.len()).min(reply.body.len())];
    // The client may hang up at any time; that is what some tests are about.
    let _ = stream.write_all(format!("{head}\r\n").as_bytes());
    let _ = stream.write_all(body);
    let _ = stream.flush();
    thread::sleep(reply.stall);
}

//! All objects of some hosts, several at once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use chom_format::{Digest, HostName};

use super::download::Context;
use super::error::{FetchError, FetchProblem};
use super::http::{Client, Refusal};
use super::options::FetchOptions;
use super::plan::{self, Item, Wanted};
use super::progress::Progress;
use crate::cache::{Cache, CacheError};
use crate::lock::{Lock, MirrorSet, Mirrors, machine_mirrors};

/// What a fetch did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct FetchReport {
    /// Objects that the hosts need.
    pub objects: usize,
    /// Objects that were not in the cache before.
    pub fetched: usize,
    /// Their size in bytes.
    pub bytes: u64,
}

/// Brings everything that the lock names for these hosts into the cache. What is there is read again.
pub fn fetch(
    lock: &Lock,
    hosts: &[HostName],
    cache: &Cache,
    mirrors: &Mirrors,
    options: &FetchOptions,
    progress: &dyn Progress,
) -> Result<FetchReport, FetchError> {
    let wanted = plan::wanted(lock, hosts)?;
    let objects = wanted.len();
    let absent = absent(wanted, cache, options.jobs)?;
    let bytes = absent.iter().filter_map(Wanted::size).sum();
    if absent.is_empty() {
        return Ok(FetchReport { objects, fetched: 0, bytes });
    }
    if options.offline {
        return Err(FetchError::Offline(absent.iter().map(describe).collect()));
    }
    let known = if absent.iter().any(Wanted::needs_mirrors) {
        machine_mirrors(mirrors).map_err(|error| FetchError::Mirrors(Box::new(error)))?
    } else {
        MirrorSet::default()
    };
    let mut items: Vec<Item> = absent.iter().map(|wanted| wanted.item(&known, mirrors)).collect();
    // The largest first, so that none of them is left to run alone at the end.
    items.sort_by_key(|item| std::cmp::Reverse(item.size));
    progress.begin(items.len(), bytes);
    let result = download(&items, cache, options, progress);
    progress.end();
    result?;
    Ok(FetchReport { objects, fetched: items.len(), bytes })
}

/// What of the lock's objects for these hosts is not in the cache: name and digest.
pub fn missing(lock: &Lock, hosts: &[HostName], cache: &Cache) -> Result<Vec<(String, Digest)>, FetchError> {
    let wanted = plan::wanted(lock, hosts)?;
    let absent = wanted.iter().filter(|wanted| cache.size(wanted.sha256()).is_none());
    Ok(absent.map(|wanted| (wanted.name(), *wanted.sha256())).collect())
}

/// Brings one upstream archive into the cache, and says its size in bytes.
pub(crate) fn pinned(
    url: &str,
    sha256: Digest,
    cache: &Cache,
    mirrors: &Mirrors,
    options: &FetchOptions,
    progress: &dyn Progress,
) -> Result<u64, FetchError> {
    let wanted = Wanted::Upstream { url: url.to_owned(), size: None, sha256 };
    if !cache.verify(&sha256)? {
        if options.offline {
            return Err(FetchError::Offline(vec![describe(&wanted)]));
        }
        download(&[wanted.item(&MirrorSet::default(), mirrors)], cache, options, progress)?;
    }
    cache.size(&sha256).ok_or_else(|| FetchError::Offline(vec![describe(&wanted)]))
}

/// The text behind an upstream address, such as a list of checksums.
pub(crate) fn text(
    url: &str,
    mirrors: &Mirrors,
    options: &FetchOptions,
    progress: &dyn Progress,
) -> Result<String, FetchError> {
    const LARGEST: u64 = 4 << 20;
    let address = mirrors.upstream.as_ref().map_or_else(|| url.to_owned(), |mirror| mirror.instead_of(url));
    let name = plan::file_name(url).to_owned();
    if options.offline {
        return Err(FetchError::Offline(vec![address]));
    }
    let client = Client::new(options);
    let until = Instant::now() + options.deadline;
    let mut attempt = 1;
    let reason = loop {
        let read =
            client.get(&address, 0, until.saturating_duration_since(Instant::now())).and_then(|answer| {
                let mut text = String::new();
                let read =
                    std::io::Read::read_to_string(&mut std::io::Read::take(answer.body, LARGEST), &mut text);
                read.map(|_| text).map_err(|error| Refusal::Later(error.to_string(), None))
            });
        let (reason, pause) = match read {
            Ok(text) => return Ok(text),
            Err(Refusal::Gone) => {
                let (package, urls) = (false, vec![address]);
                return Err(FetchError::Failed(vec![FetchProblem::Gone { name, package, urls }]));
            }
            Err(Refusal::Never(reason)) => break reason,
            Err(Refusal::Range) => break "it has no such range".to_owned(),
            Err(Refusal::Later(reason, pause)) => (reason, pause.unwrap_or(options.pause * attempt)),
        };
        if attempt >= options.attempts || Instant::now() + pause >= until {
            break reason;
        }
        progress.note(&format!("{name}: {reason}; once more"));
        thread::sleep(pause.min(options.longest_pause));
        attempt += 1;
    };
    Err(FetchError::Failed(vec![FetchProblem::Unreachable { name, url: address, reason }]))
}

fn download(
    items: &[Item],
    cache: &Cache,
    options: &FetchOptions,
    progress: &dyn Progress,
) -> Result<(), FetchError> {
    let client = Client::new(options);
    let until = Instant::now().checked_add(options.deadline).unwrap_or_else(far);
    let context = Context { cache, client: &client, options, progress, until };
    let results = each(items, options.jobs, |item| context.obtain(item));
    let problems: Vec<FetchProblem> = results.into_iter().filter_map(Result::err).collect();
    if problems.is_empty() { Ok(()) } else { Err(FetchError::Failed(problems)) }
}

fn far() -> Instant {
    Instant::now() + Duration::from_secs(86_400)
}

fn absent(wanted: Vec<Wanted>, cache: &Cache, jobs: usize) -> Result<Vec<Wanted>, CacheError> {
    let there = each(&wanted, jobs, |wanted| cache.verify(wanted.sha256()));
    let mut absent = Vec::new();
    for (wanted, there) in wanted.into_iter().zip(there) {
        if !there? {
            absent.push(wanted);
        }
    }
    Ok(absent)
}

fn describe(wanted: &Wanted) -> String {
    format!("{} (sha256 {})", wanted.name(), wanted.sha256())
}

// The results come in the order of the items.
fn each<T: Sync, R: Send>(items: &[T], jobs: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, 32).min(items.len()) {
            scope.spawn(|| {
                while let Some((at, item)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, items.get(at)?)))
                {
                    let result = work(item);
                    results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((at, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

//! One object: from the first address that gives the right bytes, resumed and tried again as long as it helps.

use std::fs::{self, File};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use chom_format::digest::Hasher;

use super::error::{FetchProblem, chain};
use super::http::{Client, Refusal};
use super::options::FetchOptions;
use super::plan::Item;
use super::progress::Progress;
use crate::cache::Cache;

const CHUNK: usize = 128 << 10;

/// All that the downloads of a run share.
pub(super) struct Context<'a> {
    pub(super) cache: &'a Cache,
    pub(super) client: &'a Client,
    pub(super) options: &'a FetchOptions,
    pub(super) progress: &'a dyn Progress,
    pub(super) until: Instant,
}

/// What became of one address.
enum Outcome {
    /// The object is in the cache.
    Here,
    /// This address is of no use.
    Next(FetchProblem),
}

impl Context<'_> {
    /// Brings one object into the cache.
    pub(super) fn obtain(&self, item: &Item) -> Result<(), FetchProblem> {
        let _held = self.hold(item)?;
        // Whoever held it before may have fetched it.
        if self.in_cache(item)? {
            return Ok(());
        }
        self.progress.start(&item.name, item.size);
        let mut worst: Option<FetchProblem> = None;
        let mut gone = Vec::new();
        for url in &item.urls {
            match self.try_url(item, url)? {
                Outcome::Here => {
                    self.progress.done(&item.name);
                    return Ok(());
                }
                Outcome::Next(FetchProblem::Gone { mut urls, .. }) => gone.append(&mut urls),
                Outcome::Next(problem) => {
                    self.progress.note(&problem.to_string());
                    // Wrong bytes are worse news than a mirror that is down.
                    if !matches!(worst, Some(FetchProblem::WrongDigest { .. })) {
                        worst = Some(problem);
                    }
                }
            }
        }
        let name = item.name.clone();
        Err(worst.unwrap_or(FetchProblem::Gone { name, package: item.package, urls: gone }))
    }

    fn try_url(&self, item: &Item, url: &str) -> Result<Outcome, FetchProblem> {
        let next = |reason: String| {
            Outcome::Next(FetchProblem::Unreachable { name: item.name.clone(), url: url.to_owned(), reason })
        };
        let mut attempt = 1;
        loop {
            let resumed = self.have(item) > 0;
            let (reason, asked_pause) = match self.once(item, url)? {
                Ok(()) => return Ok(Outcome::Here),
                Err(Miss::Gone) => {
                    let (name, urls) = (item.name.clone(), vec![url.to_owned()]);
                    return Ok(Outcome::Next(FetchProblem::Gone { name, package: item.package, urls }));
                }
                Err(Miss::Never(reason)) => return Ok(next(reason)),
                // The first part may have come from another mirror, or from before a crash: once more, whole.
                Err(Miss::Wrong(_)) if resumed => continue,
                Err(Miss::Wrong(problem)) => return Ok(Outcome::Next(problem)),
                Err(Miss::Later(reason, pause)) => (reason, pause),
            };
            if attempt >= self.options.attempts {
                return Ok(next(format!("{reason}, after {attempt} tries")));
            }
            let pause = asked_pause.unwrap_or_else(|| self.pause(attempt)).min(self.options.longest_pause);
            self.progress.note(&format!(
                "{}: {reason}; once more in {:.1} s",
                item.name,
                pause.as_secs_f64()
            ));
            if Instant::now() + pause >= self.until {
                return Err(FetchProblem::Deadline { name: item.name.clone() });
            }
            thread::sleep(pause);
            attempt += 1;
        }
    }

    // One request, its bytes written behind those that are there, and the digest of it all.
    fn once(&self, item: &Item, url: &str) -> Result<Result<(), Miss>, FetchProblem> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(FetchProblem::Deadline { name: item.name.clone() });
        }
        let path = self.cache.partial(&item.sha256);
        let have = self.have(item);
        let mut answer = match self.client.get(url, have, left) {
            Ok(answer) => answer,
            Err(Refusal::Gone) => return Ok(Err(Miss::Gone)),
            Err(Refusal::Never(reason)) => return Ok(Err(Miss::Never(reason))),
            Err(Refusal::Later(reason, pause)) => return Ok(Err(Miss::Later(reason, pause))),
            Err(Refusal::Range) => {
                // Asked for the whole the next time.
                self.drop_partial(&path, item)?;
                return Ok(Err(Miss::Later("it has no such range".to_owned(), None)));
            }
        };
        let mut sink = self.sink(item, &path, answer.from)?;
        let limit = item.size.map_or(LARGEST, |size| size.saturating_mul(2).saturating_add(1 << 20));
        let mut came = 0;
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = match answer.body.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Err(Miss::Later(error.to_string(), None))),
            };
            sink.write_all(buffer.get(..count).unwrap_or_default())
                .map_err(|error| self.cache_problem(item, &error))?;
            came += count as u64;
            self.progress.at(&item.name, answer.from + came);
            if answer.from + came > limit {
                self.drop_partial(&path, item)?;
                return Ok(Err(Miss::Wrong(too_long(item, url, limit))));
            }
            if Instant::now() >= self.until {
                return Err(FetchProblem::Deadline { name: item.name.clone() });
            }
        }
        let size = answer.from + came;
        let cut =
            answer.length.map_or_else(|| item.size.is_some_and(|want| size < want), |length| came < length);
        if cut {
            return Ok(Err(Miss::Later(format!("the connection ended after {size} bytes"), None)));
        }
        self.finish(item, url, &path, sink)
    }

    fn finish(
        &self,
        item: &Item,
        url: &str,
        path: &Path,
        sink: Hasher<Tail>,
    ) -> Result<Result<(), Miss>, FetchProblem> {
        let (found, _, _) = sink.finish();
        if found != item.sha256 {
            self.drop_partial(path, item)?;
            let (name, url, wanted) = (item.name.clone(), url.to_owned(), item.sha256);
            return Ok(Err(Miss::Wrong(FetchProblem::WrongDigest { name, url, wanted, found })));
        }
        self.cache
            .adopt(path, &item.sha256)
            .map_err(|error| FetchProblem::Cache { name: item.name.clone(), reason: chain(&error) })?;
        Ok(Ok(()))
    }

    // The partial file, cut to what is kept of it, behind a hasher that has seen that part.
    fn sink(&self, item: &Item, path: &Path, keep: u64) -> Result<Hasher<Tail>, FetchProblem> {
        let failed = |error: io::Error| self.cache_problem(item, &error);
        let file = File::options().create(true).append(true).open(path).map_err(failed)?;
        file.set_len(keep).map_err(failed)?;
        let mut hasher = Hasher::new(Tail { file, skip: keep });
        if keep > 0 {
            io::copy(&mut File::open(path).map_err(failed)?, &mut hasher).map_err(failed)?;
        }
        Ok(hasher)
    }

    fn have(&self, item: &Item) -> u64 {
        let have = fs::metadata(self.cache.partial(&item.sha256)).map_or(0, |meta| meta.len());
        // All of it, or more: it was not the right thing, or it would have been an object.
        if item.size.is_some_and(|size| have >= size) { 0 } else { have }
    }

    fn in_cache(&self, item: &Item) -> Result<bool, FetchProblem> {
        self.cache
            .verify(&item.sha256)
            .map_err(|error| FetchProblem::Cache { name: item.name.clone(), reason: chain(&error) })
    }

    fn drop_partial(&self, path: &Path, item: &Item) -> Result<(), FetchProblem> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.cache_problem(item, &error)),
            _ => Ok(()),
        }
    }

    // One process at a time downloads an object; the others wait for it, but not for ever.
    fn hold(&self, item: &Item) -> Result<Held, FetchProblem> {
        let path = self.cache.partial_lock(&item.sha256);
        let failed = |error: io::Error| self.cache_problem(item, &error);
        let mut told = false;
        loop {
            let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
            match file.try_lock() {
                // Whoever held it removed the file; a lock on a removed file keeps nobody out.
                Ok(()) if !is_same(&file, &path) => continue,
                Ok(()) => return Ok(Held { _file: file, path }),
                Err(fs::TryLockError::WouldBlock) => {}
                Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
            }
            if !std::mem::replace(&mut told, true) {
                self.progress.note(&format!("{}: another run is fetching it", item.name));
            }
            if Instant::now() >= self.until {
                return Err(FetchProblem::Deadline { name: item.name.clone() });
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn cache_problem(&self, item: &Item, error: &io::Error) -> FetchProblem {
        FetchProblem::Cache { name: item.name.clone(), reason: format!("cannot write to the cache: {error}") }
    }

    // Doubling, with half of it left to chance so that many runs do not come back at the same moment.
    fn pause(&self, attempt: u32) -> Duration {
        let full = self.options.pause.saturating_mul(1 << (attempt - 1).min(16));
        let chance = RandomState::new().hash_one(attempt) % 1000;
        let share = 0.5 + f64::from(u32::try_from(chance).unwrap_or(0)) / 2000.0;
        full.mul_f64(share)
    }
}

const LARGEST: u64 = 8 << 30;

/// Why one request did not bring the object.
enum Miss {
    Gone,
    Never(String),
    Later(String, Option<Duration>),
    Wrong(FetchProblem),
}

/// The right to download one object. The kernel lets go of it even after a kill.
struct Held {
    _file: File,
    path: PathBuf,
}

// For tidiness only: a lock file that is left behind is taken up by the next run.
impl Drop for Held {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn is_same(file: &File, path: &Path) -> bool {
    let identity = |meta: &fs::Metadata| (meta.dev(), meta.ino());
    matches!((file.metadata(), fs::metadata(path)), (Ok(one), Ok(other)) if identity(&one) == identity(&other))
}

/// Writes to the end of a file all but the first bytes, which are there already.
struct Tail {
    file: File,
    skip: u64,
}

impl Write for Tail {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.skip == 0 {
            return self.file.write(buf);
        }
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(buf.len());
        self.skip -= skipped as u64;
        Ok(skipped)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn too_long(item: &Item, url: &str, limit: u64) -> FetchProblem {
    let wanted = item.size.unwrap_or(0);
    FetchProblem::TooLong { name: item.name.clone(), url: url.to_owned(), wanted, limit }
}

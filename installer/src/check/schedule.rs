//! Who is asked when: a queue of questions by due time, and a few threads that work it off.
//!
//! A check that waits for its next try holds no thread, so forty checks that all fail are still asked as
//! often as four.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use chom_format::CheckSpec;

use super::{Answer, Miss, Progress, Report};

const THREADS: usize = 16;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
// How soon a wish to stop is heeded.
const HEED: Duration = Duration::from_millis(200);

/// How the checks are asked.
pub(super) struct Plan {
    /// Until the deadline; otherwise once.
    pub(super) polls: bool,
    /// For one question.
    pub(super) one_try: Duration,
}

type Ask<'a> = dyn Fn(&CheckSpec, Duration) -> Answer + Sync + 'a;

struct Job<'a> {
    spec: &'a CheckSpec,
    due: Instant,
    pause: Duration,
    busy: bool,
    // None until the first answer; the report is final when `open` is false.
    report: Option<Report>,
    open: bool,
}

/// Asks all; gives the reports in the order of `specs`.
pub(super) fn run(
    specs: &[CheckSpec],
    plan: &Plan,
    ask: &Ask<'_>,
    progress: &(dyn Fn(&Progress) + Sync),
    stop: &(dyn Fn() -> bool + Sync),
) -> Vec<Report> {
    let begun = Instant::now();
    let jobs = specs.iter().map(|spec| Job {
        spec,
        due: begun,
        pause: FIRST_PAUSE,
        busy: false,
        report: None,
        open: true,
    });
    let board =
        Board { jobs: Mutex::new(jobs.collect()), changed: Condvar::new(), begun, plan, ask, progress, stop };
    thread::scope(|scope| (0..THREADS.min(specs.len())).for_each(|_| drop(scope.spawn(|| board.work()))));
    let jobs = board.jobs.into_inner().unwrap_or_else(PoisonError::into_inner);
    let unasked = || Err(Miss::new("it was not asked: the run was stopped"));
    jobs.into_iter()
        .map(|job| job.report.unwrap_or_else(|| Report::of(job.spec, &unasked(), begun.elapsed())))
        .collect()
}

struct Board<'a> {
    jobs: Mutex<Vec<Job<'a>>>,
    changed: Condvar,
    begun: Instant,
    plan: &'a Plan,
    ask: &'a Ask<'a>,
    progress: &'a (dyn Fn(&Progress) + Sync),
    stop: &'a (dyn Fn() -> bool + Sync),
}

enum Next<'a> {
    Ask(usize, &'a CheckSpec, Duration),
    Wait(Duration),
    Over,
}

impl<'a> Board<'a> {
    fn work(&self) {
        let mut jobs = self.lock();
        loop {
            match self.next(&mut jobs) {
                Next::Over => return,
                Next::Wait(pause) => {
                    let waited = self.changed.wait_timeout(jobs, pause.min(HEED));
                    jobs = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                Next::Ask(index, spec, timeout) => {
                    drop(jobs);
                    let answer = (self.ask)(spec, timeout);
                    jobs = self.lock();
                    self.answered(&mut jobs, index, &answer);
                    let seen = summary(&jobs);
                    // Others go on while it is shown.
                    drop(jobs);
                    (self.progress)(&seen);
                    self.changed.notify_all();
                    jobs = self.lock();
                }
            }
        }
    }

    fn next(&self, jobs: &mut [Job<'a>]) -> Next<'a> {
        if (self.stop)() {
            return Next::Over;
        }
        let now = Instant::now();
        let open = jobs.iter().any(|job| job.open);
        let waiting = jobs.iter_mut().enumerate().filter(|(_, job)| job.open && !job.busy);
        match waiting.min_by_key(|(_, job)| job.due) {
            Some((index, job)) if job.due <= now => {
                job.busy = true;
                Next::Ask(index, job.spec, self.plan.one_try)
            }
            Some((_, job)) => Next::Wait(job.due - now),
            // A question that another thread is asking may come back into the queue.
            None if open => Next::Wait(HEED),
            None => Next::Over,
        }
    }

    fn answered(&self, jobs: &mut [Job<'a>], index: usize, answer: &Answer) {
        let Some(job) = jobs.get_mut(index) else { return };
        let now = Instant::now();
        job.busy = false;
        job.report = Some(Report::of(job.spec, answer, now - self.begun));
        let deadline = self.begun + Duration::from_secs(u64::from(job.spec.deadline_s));
        let Err(miss) = answer else {
            job.open = false;
            return;
        };
        // What is on a good way is asked again when it should be there.
        let (next, deadline) = match miss.wait {
            Some(wait) => (now + wait, deadline.max(now + wait)),
            None => (now + job.pause, deadline),
        };
        job.pause = (job.pause * 2).min(LONGEST_PAUSE);
        job.due = next.min(deadline);
        job.open = self.plan.polls && now < deadline;
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Job<'a>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn summary(jobs: &[Job<'_>]) -> Progress {
    let passed = jobs.iter().filter(|job| job.report.as_ref().is_some_and(Report::passed)).count();
    let message =
        |job: &Job<'_>| job.report.as_ref().map(|report| report.message.clone()).unwrap_or_default();
    let waiting = jobs.iter().filter(|job| job.open).map(|job| (job.spec.id.clone(), message(job))).collect();
    Progress { passed, total: jobs.len(), waiting }
}

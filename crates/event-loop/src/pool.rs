//! A thread pool for blocking jobs. A thread starts when all others are busy, and ends when it has been idle for a while.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use futures::channel::oneshot;

/// The maximum number of threads of the process that run blocking jobs: 500. Further jobs are queued.
pub const THREAD_LIMIT: usize = 500;

/// The time that a thread waits for the next job before it ends.
const IDLE_TIME: Duration = Duration::from_secs(1);

static POOL: Pool = Pool::new(THREAD_LIMIT, IDLE_TIME);

type Job = Box<dyn FnOnce() + Send>;

struct Pool {
    state: Mutex<PoolState>,
    job_added: Condvar,
    max_threads: usize,
    idle_time: Duration,
}

struct PoolState {
    jobs: VecDeque<Job>,
    threads: usize,
    idle_threads: usize,
}

/// Runs `f` on a thread of the pool. It does not run if the future is dropped before a thread has taken it.
///
/// # Errors
/// The error of starting a thread, if no thread is running.
///
/// # Panics
/// Panics if `f` panics.
pub(crate) async fn run<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (sender, receiver) = oneshot::channel();
    POOL.add(Box::new(move || {
        if !sender.is_canceled() {
            // The future may have been dropped.
            let _ = sender.send(catch_unwind(AssertUnwindSafe(f)));
        }
    }))?;
    match receiver.await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(panic)) => resume_unwind(panic),
        Err(oneshot::Canceled) => Err(io::Error::other("the thread has ended")),
    }
}

impl Pool {
    const fn new(max_threads: usize, idle_time: Duration) -> Pool {
        Pool {
            state: Mutex::new(PoolState {
                jobs: VecDeque::new(),
                threads: 0,
                idle_threads: 0,
            }),
            job_added: Condvar::new(),
            max_threads,
            idle_time,
        }
    }

    fn state(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job, and starts a thread if there are more jobs than idle threads.
    fn add(&'static self, job: Job) -> io::Result<()> {
        let mut state = self.state();
        state.jobs.push_back(job);
        if state.idle_threads < state.jobs.len() && state.threads < self.max_threads {
            let thread = thread::Builder::new().name("uptick-blocking".into());
            match thread.spawn(|| self.work()) {
                Ok(_) => state.threads += 1,
                Err(error) if state.threads == 0 => {
                    state.jobs.pop_back();
                    return Err(error);
                }
                // Another thread takes the job when it has finished its own.
                Err(error) => tracing::warn!("starting a thread for blocking jobs failed: {error}"),
            }
        }
        drop(state);
        self.job_added.notify_one();
        Ok(())
    }

    /// Runs jobs until the thread has been idle for the idle time.
    fn work(&self) {
        while let Some(job) = self.next_job() {
            // A panic of `f` was caught and passed to the future. This one is of a value that is dropped here.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }

    fn next_job(&self) -> Option<Job> {
        let mut state = self.state();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            state.idle_threads += 1;
            let waited = self.job_added.wait_timeout(state, self.idle_time);
            let (next, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = next;
            state.idle_threads -= 1;
            if timeout.timed_out() && state.jobs.is_empty() {
                state.threads -= 1;
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const TEST_TIMEOUT: Duration = Duration::from_secs(10);

    fn pool(max_threads: usize, idle_time: Duration) -> &'static Pool {
        Box::leak(Box::new(Pool::new(max_threads, idle_time)))
    }

    #[test]
    fn jobs_over_the_thread_limit_are_queued_and_all_run() {
        let pool = pool(2, TEST_TIMEOUT);
        let (done, results) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = std::sync::Arc::new(Mutex::new(released));
        for number in 0..10 {
            let (done, released) = (done.clone(), released.clone());
            pool.add(Box::new(move || {
                released.lock().unwrap().recv_timeout(TEST_TIMEOUT).unwrap();
                done.send(number).unwrap();
            }))
            .unwrap();
        }
        assert_eq!(pool.state().threads, 2);
        for _ in 0..10 {
            release.send(()).unwrap();
        }
        let mut numbers: Vec<i32> = (0..10)
            .map(|_| results.recv_timeout(TEST_TIMEOUT).unwrap())
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..10).collect::<Vec<_>>());
        assert_eq!(pool.state().threads, 2);
    }

    #[test]
    fn a_thread_survives_a_job_that_panics() {
        let pool = pool(1, TEST_TIMEOUT);
        let (done, result) = mpsc::channel();
        pool.add(Box::new(|| panic!("on purpose"))).unwrap();
        pool.add(Box::new(move || done.send(()).unwrap())).unwrap();
        result.recv_timeout(TEST_TIMEOUT).unwrap();
        assert_eq!(pool.state().threads, 1);
    }

    #[test]
    fn idle_threads_end_and_new_ones_start() {
        let pool = pool(4, Duration::from_millis(1));
        for _ in 0..2 {
            let (done, result) = mpsc::channel();
            pool.add(Box::new(move || done.send(()).unwrap())).unwrap();
            result.recv_timeout(TEST_TIMEOUT).unwrap();
            while pool.state().threads > 0 {
                thread::yield_now();
            }
        }
        assert_eq!(pool.state().idle_threads, 0);
    }
}

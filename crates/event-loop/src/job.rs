//! Blocking jobs on a thread pool.

use std::future::Future;
use std::sync::Arc;

use crate::error::Error;
use crate::event_loop::with;
use crate::pool;
use crate::task::{JoinHandle, spawn};

/// The maximum number of pending blocking jobs of a loop: 4,096.
pub const JOB_LIMIT: usize = 4096;

/// Runs `f` on a thread pool and returns its result on the loop. [`run`](crate::run) waits for it.
///
/// It is for operations that have no non-blocking form: files, name lookups, long computations. The threads of the pool
/// are shared by all loops of the process, and end when they are idle.
///
/// # Errors
/// The job returns [`Error::TooManyJobs`] over the limit, [`Error::NoThread`] if no thread can be started, [`Error::TaskPanicked`] if `f` panicked.
///
/// # Limits
/// A loop has at most [`JOB_LIMIT`] pending jobs, and [`THREAD_LIMIT`](crate::THREAD_LIMIT) threads run the jobs of all loops.
///
/// # Examples
/// ```
/// use uptick_event_loop::{block_on, spawn_blocking};
///
/// let text = block_on(async { spawn_blocking(|| std::fs::read_to_string("Cargo.toml")).await })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn spawn_blocking<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> BlockingJob<T> {
    let slot = JobSlot::take();
    BlockingJob(spawn(async move {
        let _slot = slot?;
        pool::run(f).await.map_err(|source| Error::NoThread {
            source: Arc::new(source),
        })
    }))
}

/// A future for the result of a blocking job. The job continues if the future is dropped.
#[derive(Debug)]
pub struct BlockingJob<T>(JoinHandle<Result<T, Error>>);

impl<T> BlockingJob<T> {
    /// Cancels the job. A job that has not started does not run; a running job continues, but [`run`](crate::run) no longer
    /// waits for it.
    pub fn cancel(self) {
        self.0.cancel();
    }
}

impl<T> Future for BlockingJob<T> {
    type Output = Result<T, Error>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0)
            .poll(context)
            .map(|result| result.and_then(|result| result))
    }
}

/// One of the loop's pending jobs.
struct JobSlot;

impl JobSlot {
    fn take() -> Result<Self, Error> {
        with(|event_loop| {
            let jobs = event_loop.jobs.get();
            if jobs >= JOB_LIMIT {
                return Err(Error::TooManyJobs { limit: JOB_LIMIT });
            }
            event_loop.jobs.set(jobs + 1);
            Ok(JobSlot)
        })
        .unwrap_or(Err(Error::LoopGone))
    }
}

impl Drop for JobSlot {
    fn drop(&mut self) {
        with(|event_loop| event_loop.jobs.set(event_loop.jobs.get().saturating_sub(1)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::{add_timer, run};

    #[test]
    fn the_loop_does_not_wait_for_a_cancelled_job() {
        let (end, ended) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        let job = spawn_blocking(move || {
            begun.send(()).unwrap();
            ended.recv_timeout(Duration::from_secs(10))
        });
        add_timer(Duration::ZERO, move || {
            begins.recv().unwrap();
            job.cancel();
        });
        run().unwrap();
        end.send(()).unwrap();
    }
}

//! Work that blocks, on a pool of threads.

use std::future::Future;
use std::sync::Arc;

use crate::error::Error;
use crate::event_loop::with;
use crate::pool;
use crate::task::{JoinHandle, spawn};

/// How many blocking jobs of a loop may be under way: 4,096.
pub const JOB_LIMIT: usize = 4096;

/// Runs `f` on a pool of threads and gives its result on the loop; [`run`](crate::run) waits for it.
///
/// For what has no non-blocking form: files, name look-ups, long computations. The threads of the pool
/// are shared by all loops of the process, and end when there is nothing to do.
///
/// # Errors
/// The handle gives [`Error::TooManyJobs`] over the limit, [`Error::NoThread`] when no thread can be started, [`Error::TaskPanicked`] when `f` panicked.
///
/// # Limits
/// [`JOB_LIMIT`] jobs of one loop are under way at a time, and [`THREAD_LIMIT`](crate::THREAD_LIMIT) threads run those of all loops.
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

/// The result of a blocking job, to be awaited; dropping it lets the job go on.
#[derive(Debug)]
pub struct BlockingJob<T>(JoinHandle<Result<T, Error>>);

impl<T> BlockingJob<T> {
    /// Gives the job up: it does not begin if it has not, and if it has, it goes on and nobody waits for it, nor does
    /// [`run`](crate::run).
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

/// A place among the jobs under way.
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
    fn the_loop_does_not_wait_for_a_job_that_was_given_up() {
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

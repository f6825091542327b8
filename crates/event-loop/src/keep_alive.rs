//! A guard that keeps the loop running.

use std::fmt;
use std::marker::PhantomData;

use crate::driver;
use crate::local::UseRemoteOrLoopHandle;

/// A guard that keeps this thread's loop running until it is dropped; created by [`keep_alive`].
#[must_use = "the loop is kept running only until this is dropped"]
pub struct KeepAlive {
    /// The guard holds the loop of the thread that created it.
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

/// Keeps this thread's loop running even if no other work is pending, for a program that only waits for signals or posts of other threads.
///
/// [`stop`](crate::stop) still ends the loop.
///
/// # Examples
/// ```
/// use uptick_event_loop::{SIGTERM, add_signal, keep_alive, run};
///
/// let mut alive = Some(keep_alive());
/// add_signal(SIGTERM, move |_| drop(alive.take()))?;
/// # rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM)?;
/// run()?; // returns after SIGTERM
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn keep_alive() -> KeepAlive {
    driver::hold();
    KeepAlive { local: PhantomData }
}

impl Drop for KeepAlive {
    fn drop(&mut self) {
        driver::release();
    }
}

impl fmt::Debug for KeepAlive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeepAlive").finish_non_exhaustive()
    }
}

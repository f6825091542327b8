//! Watching for the exit of a process: a pidfd on Linux, `SIGCHLD` on other systems and where there is no pidfd.

use std::cell::Cell;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::os::fd::{AsFd, OwnedFd};

use uptick_event_loop::{Error, SIGCHLD, SignalId, Token, add_signal, remove_signal};

use crate::process;

/// The watch for the exit of one process; dropping it ends the watch.
#[derive(Debug)]
pub(crate) enum Watch {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Descriptor(OwnedFd),
    Signal(ChildSignal),
}

impl Watch {
    /// Watches a process through a pidfd. The process must not have been reaped, so that its ID has not been reused.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn descriptor(pid: u32, token: Token) -> Option<Watch> {
        use rustix::process::{Pid, PidfdFlags, pidfd_open};
        use uptick_event_loop::{Interest, Trigger, driver};

        let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let fd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        driver::watch(fd.as_fd(), token, Interest::Read, Trigger::Level).ok()?;
        Some(Watch::Descriptor(fd))
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn descriptor(_: u32, _: Token) -> Option<Watch> {
        None
    }

    pub(crate) fn is_signal(&self) -> bool {
        matches!(self, Watch::Signal(_))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Watch::Descriptor(fd) = self {
            // Until it has called `exec`, a new process may hold a duplicate of the descriptor. On a thread that is ending, the loop is gone.
            let _ = uptick_event_loop::driver::forget(fd.as_fd());
        }
    }
}

thread_local! {
    /// The `SIGCHLD` listener of this thread, and the number of processes that use it.
    static LISTENER: Cell<(Option<SignalId>, usize)> = const { Cell::new((None, 0)) };
}

/// A reference to the thread's `SIGCHLD` listener; dropping the last one removes the listener.
#[derive(Debug)]
pub(crate) struct ChildSignal(());

impl ChildSignal {
    /// Adds the listener for `SIGCHLD`, or shares the existing one.
    ///
    /// # Errors
    /// The signal cannot be listened for.
    pub(crate) fn listen() -> Result<ChildSignal, Error> {
        let (listener, count) = LISTENER.get();
        let listener = match listener {
            Some(listener) => listener,
            None => add_signal(SIGCHLD, |_| process::check_signalled())?,
        };
        LISTENER.set((Some(listener), count + 1));
        Ok(ChildSignal(()))
    }
}

impl Drop for ChildSignal {
    fn drop(&mut self) {
        let removed = LISTENER.try_with(|cell| match cell.get() {
            (Some(listener), 1) => {
                cell.set((None, 0));
                Some(listener)
            }
            (listener, count) => {
                cell.set((listener, count.saturating_sub(1)));
                None
            }
        });
        if let Ok(Some(listener)) = removed {
            remove_signal(listener);
        }
    }
}

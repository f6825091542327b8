//! Noticing that a process has exited: a descriptor of the process on Linux, `SIGCHLD` elsewhere and where there is none.

use std::cell::Cell;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::os::fd::{AsFd, OwnedFd};

use uptick_event_loop::{Error, SIGCHLD, SignalId, Token, add_signal, remove_signal};

use crate::process;

/// The watch for the exit of one process; it ends when it is dropped.
#[derive(Debug)]
pub(crate) enum Watch {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Descriptor(OwnedFd),
    Signal(ChildSignal),
}

impl Watch {
    /// Watches a process that has not been waited for yet, so that its number is its own.
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
            // A process that is being started may have a duplicate for a moment. On a thread that is ending, the loop is gone.
            let _ = uptick_event_loop::driver::forget(fd.as_fd());
        }
    }
}

thread_local! {
    /// The listener of this thread to `SIGCHLD`, and how many processes need it.
    static LISTENER: Cell<(Option<SignalId>, usize)> = const { Cell::new((None, 0)) };
}

/// A share of the thread's listener to `SIGCHLD`.
#[derive(Debug)]
pub(crate) struct ChildSignal(());

impl ChildSignal {
    /// # Errors
    /// When the signal cannot be listened to.
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

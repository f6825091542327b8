//! A poller for tests: it reports scripted events and moves a manual clock instead of sleeping.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Interest, Poller, Readiness, Trigger, Wake};
use crate::clock::ManualClock;
use crate::token::Token;

/// One step of a [`ScriptedPoller`]'s script: the outcome of one wait.
#[derive(Debug)]
pub enum Step {
    /// These descriptors are ready; no time passes.
    Ready(Vec<(RawFd, Readiness)>),
    /// The time passes, but no more than the loop's timeout.
    Sleep(Duration),
    /// A signal interrupts the wait.
    Interrupted,
    /// The process is stopped for the time during the wait, regardless of the loop's timeout, and a signal interrupts the wait.
    Stopped(Duration),
    /// The wait fails.
    Fail(io::ErrorKind),
}

/// A poller that plays [`Step`]s, one in each wait. After the last step, each wait sleeps for the loop's timeout.
///
/// A wait advances the [`ManualClock`]. A wait without a timeout and without a step fails, so that a test ends
/// instead of hanging. Clones share the script.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_event_loop::{EventLoop, ManualClock, ScriptedPoller, add_timer};
///
/// let clock = ManualClock::new();
/// let _event_loop = EventLoop::install(ScriptedPoller::new(&clock), clock.clone())?;
/// add_timer(Duration::from_secs(3600), || println!("an hour has passed, at once"));
/// uptick_event_loop::run()?;
/// assert_eq!(clock.elapsed(), Duration::from_secs(3600));
/// # Ok::<(), uptick_event_loop::Error>(())
/// ```
#[derive(Clone)]
pub struct ScriptedPoller {
    shared: Rc<RefCell<Script>>,
    clock: ManualClock,
    waker: Arc<Flag>,
}

/// The maximum number of recorded waits.
const MAX_WAITS: usize = 65_536;

#[derive(Default)]
struct Script {
    steps: VecDeque<Step>,
    watched: Vec<Watched>,
    waits: VecDeque<Option<Duration>>,
}

struct Watched {
    fd: RawFd,
    /// Device and inode. If they differ, the descriptor was closed in between, which ends its watch.
    file: (i128, i128),
    token: Token,
    interest: Interest,
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl ScriptedPoller {
    /// Creates a poller with an empty script.
    pub fn new(clock: &ManualClock) -> Self {
        ScriptedPoller {
            shared: Rc::default(),
            clock: clock.clone(),
            waker: Arc::default(),
        }
    }

    /// Appends a step.
    pub fn push(&self, step: Step) {
        self.shared.borrow_mut().steps.push_back(step);
    }

    /// Returns the timeout of each wait so far.
    ///
    /// # Limits
    /// The last 65,536 waits are recorded.
    pub fn waits(&self) -> Vec<Option<Duration>> {
        self.shared.borrow().waits.iter().copied().collect()
    }

    /// Returns the watched descriptors, including those that were closed without having been forgotten.
    pub fn watched(&self) -> Vec<RawFd> {
        let script = self.shared.borrow();
        script.watched.iter().map(|watched| watched.fd).collect()
    }
}

impl Poller for ScriptedPoller {
    fn watch(
        &mut self,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
        _trigger: Trigger,
    ) -> io::Result<()> {
        let file = file_of(fd)?;
        let fd = fd.as_raw_fd();
        let watched = &mut self.shared.borrow_mut().watched;
        if let Some(at) = watched.iter().position(|watched| watched.fd == fd) {
            if watched[at].file == file {
                return Err(rustix::io::Errno::EXIST.into());
            }
            watched.remove(at);
        }
        watched.push(Watched {
            fd,
            file,
            token,
            interest,
        });
        Ok(())
    }

    fn change(
        &mut self,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
        _trigger: Trigger,
    ) -> io::Result<()> {
        let fd = fd.as_raw_fd();
        let watched = &mut self.shared.borrow_mut().watched;
        match watched.iter_mut().find(|watched| watched.fd == fd) {
            Some(watched) => {
                watched.token = token;
                watched.interest = interest;
                Ok(())
            }
            None => Err(rustix::io::Errno::NOENT.into()),
        }
    }

    fn forget(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let fd = fd.as_raw_fd();
        let watched = &mut self.shared.borrow_mut().watched;
        match watched.iter().position(|watched| watched.fd == fd) {
            Some(at) => {
                watched.remove(at);
                Ok(())
            }
            None => Err(rustix::io::Errno::NOENT.into()),
        }
    }

    fn wait(
        &mut self,
        events: &mut Vec<(Token, Readiness)>,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let mut script = self.shared.borrow_mut();
        if script.waits.len() >= MAX_WAITS {
            script.waits.pop_front();
        }
        script.waits.push_back(timeout);
        if self.waker.0.swap(false, Ordering::Acquire) {
            return Ok(());
        }
        match script.steps.pop_front() {
            Some(Step::Ready(ready)) => {
                for (fd, readiness) in ready {
                    let watched = script.watched.iter().find(|watched| watched.fd == fd);
                    let Some(watched) = watched else { continue };
                    let wanted = match watched.interest {
                        Interest::Read => readiness.is_readable(),
                        Interest::Write => readiness.is_writable(),
                        Interest::Both => true,
                    };
                    if wanted {
                        events.push((watched.token, readiness));
                    }
                }
            }
            Some(Step::Sleep(time)) => {
                self.clock
                    .advance(timeout.map_or(time, |timeout| timeout.min(time)));
            }
            Some(Step::Interrupted) => {}
            Some(Step::Stopped(time)) => self.clock.advance(time),
            Some(Step::Fail(kind)) => return Err(kind.into()),
            None => match timeout {
                Some(timeout) => self.clock.advance(timeout),
                None => {
                    return Err(io::Error::other(
                        "the script has ended and the loop would wait without a timeout",
                    ));
                }
            },
        }
        Ok(())
    }

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::clone(&self.waker) as Arc<dyn Wake>
    }
}

/// Returns the device and the inode of a descriptor.
fn file_of(fd: BorrowedFd<'_>) -> io::Result<(i128, i128)> {
    let stat = rustix::fs::fstat(fd)?;
    // Systems have different types for these numbers.
    Ok((i128::from(stat.st_dev), i128::from(stat.st_ino)))
}

impl fmt::Debug for ScriptedPoller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedPoller")
            .field("steps", &self.shared.borrow().steps)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, OwnedFd};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_number_of_a_closed_descriptor_can_be_watched_again() {
        let mut poller = ScriptedPoller::new(&ManualClock::new());
        let (first, _other) = UnixStream::pair().unwrap();
        let (second, _other) = UnixStream::pair().unwrap();
        let token = Token::from_u64(1);
        let mut watch = |fd: BorrowedFd<'_>| poller.watch(fd, token, Interest::Both, Trigger::Edge);
        watch(first.as_fd()).unwrap();
        assert!(watch(first.as_fd()).is_err());
        // Closes the first descriptor, and duplicates the second one to its number.
        let mut first: OwnedFd = first.into();
        rustix::io::dup2(&second, &mut first).unwrap();
        watch(first.as_fd()).unwrap();
        assert!(watch(first.as_fd()).is_err());
        assert_eq!(poller.watched(), [first.as_raw_fd()]);
    }

    #[test]
    fn the_last_waits_are_recorded() {
        let mut poller = ScriptedPoller::new(&ManualClock::new());
        let mut events = Vec::new();
        for wait in 0..=MAX_WAITS {
            let timeout = Duration::from_millis(wait as u64);
            poller.wait(&mut events, Some(timeout)).unwrap();
        }
        let waits = poller.waits();
        assert_eq!(waits.len(), MAX_WAITS);
        assert_eq!(waits[0], Some(Duration::from_millis(1)));
    }
}

//! A guard thread that ends a worker process whose master has died while its loop is blocked.

use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};

use crate::error::Error;

/// The time after the deadline in which the loop can still end the process.
const GRACE: Duration = Duration::from_millis(600);

const STACK_SIZE: usize = 64 * 1024;

/// Starts a thread that kills this process some time after the other end of `channel` is closed.
///
/// The loop detects the exit of the master as well, and drains. A loop that is blocked in a callback does not, and there is no
/// master left to kill the process.
pub(super) fn start(channel: OwnedFd, deadline: Duration) -> Result<(), Error> {
    let guard = move || {
        if wait_for_hangup(&channel).is_ok() {
            thread::sleep(deadline.saturating_add(GRACE));
            tracing::error!("the loop is blocked, and the master has died");
            // Does not return.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    };
    thread::Builder::new()
        .name("guard".into())
        .stack_size(STACK_SIZE)
        .spawn(guard)
        .map_err(|error| Error::io("starting a thread", error))?;
    Ok(())
}

fn wait_for_hangup(channel: &OwnedFd) -> Result<(), Errno> {
    loop {
        // A hang-up is reported without a requested event.
        let mut descriptors = [PollFd::new(channel, PollFlags::empty())];
        match poll(&mut descriptors, None) {
            Ok(_) if descriptors[0].revents().contains(PollFlags::HUP) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{ControlChannel, ControlMessage};

    #[test]
    fn only_the_end_of_the_master_is_a_hangup() {
        let (mut master, channel) = ControlChannel::pair().unwrap();
        master.send(ControlMessage::Accept).unwrap();
        let waiting = thread::spawn(move || wait_for_hangup(&channel));
        thread::sleep(Duration::from_millis(20));
        assert!(!waiting.is_finished());
        drop(master);
        assert_eq!(waiting.join().unwrap(), Ok(()));
    }
}

//! Idle sessions, and the check before a session is used again.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use uptick_event_loop::driver::{self, Timestamp};
use uptick_socket::Connection;
use uptick_stream::transport::Transport;

use super::flags::SessionFlags;
use super::state::Http2Session;
use crate::transport::is_up_to_date;

/// Time after which an idle session frees memory that its next requests would use.
const SHRINK_AFTER: Duration = Duration::from_secs(1);

impl Http2Session {
    /// Marks a session without requests as idle: it no longer keeps the loop running, and it closes at `until`. The next request ends the idle
    /// time. A session with a running request is not changed.
    pub(crate) fn set_idle(&self, until: Option<Timestamp>) {
        let mut state = self.state();
        if !state.codec.is_empty() || state.flags.contains(SessionFlags::CLOSING) {
            return;
        }
        state.idle_until = until;
        if !state.flags.contains(SessionFlags::IDLE) {
            state.flags.insert(SessionFlags::IDLE);
            state.idle_since = Timestamp::now();
            state.idle_iteration = driver::iteration();
            driver::release();
        }
        let shrink = state.idle_since.after(SHRINK_AFTER);
        self.arm(
            &mut state,
            until.map_or(shrink, |until| until.earlier(shrink)),
        );
    }

    /// Ends the idle time, before a request or the close.
    pub(super) fn end_idle(&self) {
        let mut state = self.state();
        if state.flags.contains(SessionFlags::IDLE) {
            state.flags.remove(SessionFlags::IDLE);
            driver::hold();
        }
    }

    /// Handles the expiry of the deadline while no request is running.
    pub(super) fn idle_expired(&self) {
        let is_over = {
            let mut state = self.state();
            if !state.flags.contains(SessionFlags::IDLE) {
                return;
            }
            let since = state.idle_since;
            if since.is_over(SHRINK_AFTER) {
                state.codec.shrink();
                state.listed = Vec::new();
            } else {
                self.arm(&mut state, since.after(SHRINK_AFTER));
            }
            let until = state.idle_until;
            if let Some(until) = until {
                self.arm(&mut state, until);
            }
            until.is_some_and(|until| until.has_passed(since))
        };
        if is_over {
            self.close();
        }
    }

    /// Returns the number of requests that can be sent now.
    pub(crate) fn room(&self) -> usize {
        self.state().room()
    }

    /// Returns the number of running requests.
    pub(crate) fn active(&self) -> usize {
        self.state().codec.len()
    }

    /// Returns `true` if requests can be sent, perhaps only when others have ended: the server has neither closed the connection nor sent GOAWAY.
    ///
    /// Cost: a system call, unless requests are running or the session became idle in this iteration of the loop, less than 1 ms ago.
    pub(crate) fn is_reusable(&self) -> bool {
        let state = self.state();
        let ends = SessionFlags::CLOSING | SessionFlags::RETIRED;
        if state.flags.intersects(ends) || !state.codec.opens_streams() || !self.conn.is_open() {
            return false;
        }
        let is_idle = state.flags.contains(SessionFlags::IDLE);
        if !is_idle || (state.idle_iteration == driver::iteration() && is_up_to_date()) {
            return true;
        }
        drop(state);
        !is_hung_up(self.conn)
    }
}

/// Returns `true` if the server has closed the connection, even if bytes before its end were not read yet.
fn is_hung_up(conn: Connection) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let end = PollFlags::RDHUP;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let end = PollFlags::HUP;
    let hung_up = <Connection as Transport>::streams(|all| {
        all.with_descriptor(conn, |socket| {
            let mut fds = [PollFd::new(&socket, end)];
            let polled = poll(&mut fds, Some(&Timespec::default()));
            polled.is_err() || fds.iter().any(|fd| !fd.revents().is_empty())
        })
    });
    hung_up.flatten().unwrap_or(true)
}

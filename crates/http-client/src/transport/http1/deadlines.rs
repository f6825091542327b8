//! Timeouts: of sending, of the first byte of the response, between receptions, and of idle connections.
//!
//! A session has one deadline. It is moved only to an earlier time, so that a request usually finds it armed.

use std::time::Duration;

use uptick_event_loop::driver::Timestamp;
use uptick_socket::Connection;

use super::request::{RequestFlags, RunningRequest};
use super::session::{Http1Session, SessionFlags, SessionState};
use crate::error::{ErrorKind, Failure};

/// Maximum time between two checks of a request that is being sent.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// Write timeouts from which on the timeout of the connection itself is switched off, which is 30 s.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(25);

impl Http1Session {
    /// Arms the deadline for the next timeout, unless it expires earlier anyway.
    pub(super) fn arm(&self, state: &mut SessionState) {
        let next = match &state.running {
            Some(running) => running.next_check(),
            None => state
                .flags
                .contains(SessionFlags::EXPIRES)
                .then_some(state.until),
        };
        if let Some(next) = next {
            state.deadline.arm(|| self.token(), next);
        }
    }

    /// Handles the expiry of the deadline, which may be earlier than the next timeout.
    pub(super) fn expired(&self) {
        let failure = {
            let mut state = self.state.borrow_mut();
            state.deadline.expired();
            let failure = match &mut state.running {
                Some(running) => {
                    running.check_sending(self.conn);
                    running.timed_out(self.conn).map(Some)
                }
                None => {
                    let is_over = state.flags.contains(SessionFlags::EXPIRES)
                        && state.until.has_passed(state.since);
                    is_over.then_some(None)
                }
            };
            if failure.is_none() {
                self.arm(&mut state);
            }
            failure
        };
        match failure {
            Some(Some(failure)) => self.fail(failure),
            Some(None) => self.conn.close(),
            None => {}
        }
    }
}

impl RunningRequest {
    /// Returns the time of the next timeout, or of the next check of the write queue.
    fn next_check(&self) -> Option<Timestamp> {
        if self.has(RequestFlags::PAUSED) {
            return None;
        }
        if self.has(RequestFlags::FINAL_BEGUN) {
            return self
                .settings
                .read_timeout
                .map(|limit| self.progress.after(limit));
        }
        if self.has(RequestFlags::POLLED) {
            let limit = self.settings.write_timeout.unwrap_or(Duration::MAX);
            return Some(Timestamp::now().after(CHECK_INTERVAL.min(limit / 8)));
        }
        if !self.has(RequestFlags::WRITTEN) {
            return None;
        }
        let limit = self.settings.first_byte_timeout;
        limit.map(|limit| self.sent.after(limit))
    }

    /// Starts the periodic checks of the write queue, which may hold a part of the request until the socket accepts it.
    pub(super) fn start_polling(&mut self, conn: Connection) {
        self.progress = Timestamp::now();
        if self.has(RequestFlags::POLLED) {
            return;
        }
        self.flags.insert(RequestFlags::POLLED);
        self.counts = (conn.bytes_written(), conn.acknowledged());
        let limit = self.settings.write_timeout;
        if limit.is_none_or(|limit| limit > CONNECTION_TIMEOUT) {
            conn.set_write_timeout(None);
        }
    }

    /// Checks the progress of a request that is being sent.
    fn check_sending(&mut self, conn: Connection) {
        if !self.has(RequestFlags::POLLED) || self.has(RequestFlags::FINAL_BEGUN) {
            return;
        }
        let is_sending = conn.is_sending();
        // A server that acknowledges bytes is reading, even if the socket accepts no more for now.
        let counts = (conn.bytes_written(), conn.acknowledged());
        if counts != std::mem::replace(&mut self.counts, counts) || !is_sending {
            self.progress = Timestamp::now();
        }
        if !is_sending {
            self.flags.remove(RequestFlags::POLLED);
            self.sent = self.progress;
        }
    }

    /// Returns the failure of a timeout that has expired.
    fn timed_out(&self, conn: Connection) -> Option<Failure> {
        if self.has(RequestFlags::PAUSED) {
            return None;
        }
        let settings = &self.settings;
        let (since, limit, kind) = if self.has(RequestFlags::FINAL_BEGUN) {
            (self.progress, settings.read_timeout, ErrorKind::ReadTimeout)
        } else if self.has(RequestFlags::POLLED) {
            (
                self.progress,
                settings.write_timeout,
                ErrorKind::WriteTimeout,
            )
        } else if self.has(RequestFlags::WRITTEN) {
            (
                self.sent,
                settings.first_byte_timeout,
                ErrorKind::FirstByteTimeout,
            )
        } else {
            return None;
        };
        let limit = limit.filter(|limit| since.is_over(*limit))?;
        let peer = conn
            .peer()
            .map_or_else(|| "the server".into(), |peer| peer.to_string());
        let reason = match kind {
            ErrorKind::WriteTimeout => {
                format!("{peer} accepted no byte of the request for {limit:?}")
            }
            ErrorKind::FirstByteTimeout => {
                format!("{peer} sent no byte of the response within {limit:?}")
            }
            _ => format!("{peer} sent no byte of the response for {limit:?}"),
        };
        Some(Failure::new(kind, format!("{reason} (ETIMEDOUT)")))
    }
}

//! The end of an event: deferred actions of streams, queued output and control frames.

use std::rc::Rc;

use super::flags::{ConnectionFlags, StreamFlags};
use super::output::OutputWriter;
use super::state::{ConnectionState, Http2Connection};
use super::stream::Http2Stream;
use crate::h2::ErrorCode;

/// Number of control bytes that may wait for room in the connection before reading is paused.
const MAX_WAITING_CONTROL: usize = 4 * 1024;

impl Http2Connection {
    /// Runs deferred actions, unless the connection is being handled.
    pub(super) fn advance(&self) {
        {
            let mut state = self.state();
            if state.flags.contains(ConnectionFlags::ADVANCING) {
                return;
            }
            state.flags.insert(ConnectionFlags::ADVANCING);
        }
        self.run_actions(&self.conn, false);
    }

    /// Runs the deferred actions of the streams, and writes the output that is accepted. `responds` is `true` if received frames caused
    /// responses.
    pub(super) fn run_actions(&self, writer: &impl OutputWriter, responds: bool) {
        loop {
            let key = {
                let mut state = self.state();
                state.listed.pop()
            };
            let Some(key) = key else {
                self.pump();
                if self.state().listed.is_empty() && !self.start_waiting() {
                    break;
                }
                continue;
            };
            if let Some(stream) = self.stream(key) {
                stream.state().flags.remove(StreamFlags::LISTED);
                self.run_actions_of(stream);
            }
        }
        self.finish_event(writer, responds);
    }

    fn run_actions_of(&self, stream: Rc<Http2Stream>) {
        let exchange = stream.exchange();
        if let Some(exchange) = exchange {
            let is_drained =
                stream.state().flags.contains(StreamFlags::FULL) && !self.is_full(&stream);
            if is_drained {
                stream.state().flags.remove(StreamFlags::FULL);
                exchange.drained();
            }
            self.deliver(&stream, &exchange);
        }
        self.settle(stream);
    }

    /// Writes control frames, and updates the state of the connection after an event.
    fn finish_event(&self, writer: &impl OutputWriter, responds: bool) {
        let (ends, drains) = {
            let mut state = self.state();
            state.flags.remove(ConnectionFlags::ADVANCING);
            if state.flags.contains(ConnectionFlags::GOING_AWAY)
                && state.codec.is_ping_acknowledged()
            {
                state.announce_last();
            }
            let closing = state.flags.contains(ConnectionFlags::CLOSING);
            if state.codec.control_len() > 0
                && (closing || !state.flags.contains(ConnectionFlags::FULL))
            {
                let codec = &mut state.codec;
                let open = writer.append(|out| codec.write_control(out));
                state.written(open);
            }
            if closing {
                (true, false)
            } else {
                if state.flags.contains(ConnectionFlags::FULL)
                    && (responds || state.codec.control_len() > MAX_WAITING_CONTROL)
                {
                    self.pause(&mut state);
                }
                self.update_waits(&mut state);
                (state.is_over(), state.drains())
            }
        };
        if ends {
            self.end();
        } else if drains {
            self.begin_draining();
        }
    }

    /// Ends the connection: written output is sent, and further input is discarded.
    pub(super) fn end(&self) {
        self.state().flags.insert(ConnectionFlags::CLOSING);
        self.close_streams();
        self.conn.end();
    }
}

impl ConnectionState {
    /// Announces the last stream that is handled, unless it was announced. The connection ends after it.
    pub(super) fn announce_last(&mut self) {
        if !self.flags.contains(ConnectionFlags::LAST_ANNOUNCED) {
            self.flags.insert(ConnectionFlags::LAST_ANNOUNCED);
            self.codec.go_away(ErrorCode::NO_ERROR);
        }
    }

    /// Returns `true` if the end of the connection must be announced.
    fn drains(&self) -> bool {
        self.flags.contains(ConnectionFlags::DRAINING)
            && !self.flags.contains(ConnectionFlags::GOING_AWAY)
    }

    /// Returns `true` if the connection ends: no stream is open, and none follows.
    fn is_over(&self) -> bool {
        let none_follows = ConnectionFlags::PEER_ENDED
            | ConnectionFlags::PEER_GOING_AWAY
            | ConnectionFlags::LAST_ANNOUNCED;
        self.open_streams() == 0 && self.flags.intersects(none_follows)
    }
}

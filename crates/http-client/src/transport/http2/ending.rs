//! The end of streams and of the session.

use std::borrow::Cow;
use std::rc::Rc;

use uptick_http::h1::Trailers;
use uptick_http::h2::ErrorCode;
use uptick_socket::engine::Engine;

use super::flags::{SessionFlags, StreamFlags};
use super::state::{Http2Session, SessionState};
use super::stream::{Http2Stream, StreamState};
use crate::error::{ErrorKind, Failure};

/// The outcome of a stream.
pub(super) enum StreamOutcome {
    Complete(Option<Trailers>),
    Failed(Failure),
    /// The exchange has recorded its failure itself.
    Stopped,
}

impl Http2Session {
    /// Ends a stream: informs the owner of the room, and then the exchange of the outcome. A stream that has not ended on both sides is reset.
    pub(super) fn finish(&self, stream: &Http2Stream, outcome: StreamOutcome) {
        let (exchange, removed) = {
            let mut state = self.state();
            let mut of_stream = stream.state();
            state.remove(stream, &mut of_stream)
        };
        drop(removed);
        self.report_room();
        let Some(exchange) = exchange else { return };
        match outcome {
            StreamOutcome::Complete(trailers) => exchange.complete(trailers),
            StreamOutcome::Failed(failure) => exchange.fail(failure),
            StreamOutcome::Stopped => {}
        }
    }

    /// Ends a stream because of its response: the failure is reported after the owner was informed.
    pub(super) fn fail(
        &self,
        stream: &Http2Stream,
        kind: ErrorKind,
        reason: impl Into<Cow<'static, str>>,
    ) {
        self.finish(stream, StreamOutcome::Failed(Failure::new(kind, reason)));
    }

    /// Removes a stream on behalf of its request. The owner is informed, and the failure is reported, in the next iteration.
    pub(super) fn abandon(&self, stream: &Http2Stream, failure: Option<Failure>) {
        let (exchange, removed) = {
            let mut state = self.state();
            let mut of_stream = stream.state();
            if of_stream.flags.contains(StreamFlags::CLOSED) {
                return;
            }
            let (mut exchange, removed) = state.remove(stream, &mut of_stream);
            state.flags.insert(SessionFlags::ROOM_FREED);
            if let Some(failure) = failure
                && let Some(exchange) = exchange.take()
            {
                state.failed.push((exchange, failure));
            }
            self.advance_later(&state);
            (exchange, removed)
        };
        drop((exchange, removed));
    }

    /// Reports deferred failures and room.
    pub(super) fn report_deferred(&self) {
        let (failed, freed) = {
            let mut state = self.state();
            let freed = state.flags.contains(SessionFlags::ROOM_FREED);
            state.flags.remove(SessionFlags::ROOM_FREED);
            (std::mem::take(&mut state.failed), freed)
        };
        if freed {
            self.report_room();
        }
        for (exchange, failure) in failed {
            exchange.fail(failure);
        }
    }

    /// Informs the owner that a request can be sent, or that none can be sent any more.
    pub(super) fn report_room(&self) {
        let (room, retires) = {
            let mut state = self.state();
            let is_closing = state.flags.contains(SessionFlags::CLOSING);
            if !state.codec.opens_streams() {
                state.flags.insert(SessionFlags::RETIRED);
            }
            let retires = state.flags.contains(SessionFlags::RETIRED)
                && !state.flags.contains(SessionFlags::RETIREMENT_REPORTED);
            if retires {
                state.flags.insert(SessionFlags::RETIREMENT_REPORTED);
            }
            let room = !is_closing && state.room() > 0;
            state.flags.set(SessionFlags::ROOM_REPORTED, room);
            (room, retires)
        };
        let Some(owner) = self.owner() else { return };
        if room {
            owner.available(None);
        } else if retires {
            owner.retired();
        }
    }

    /// Retires the session, and informs the owner.
    pub(super) fn retire(&self) {
        self.state().flags.insert(SessionFlags::RETIRED);
        self.report_room();
    }

    /// Fails all streams: with their own reason by `failure`.
    pub(super) fn fail_all(&self, failure: impl Fn(&StreamState, bool) -> Failure) {
        let partial = self.state().codec.partial_head();
        for stream in self.streams() {
            let failure = failure(&stream.state(), partial == Some(stream.key));
            self.finish(&stream, StreamOutcome::Failed(failure));
        }
    }

    /// Fails all streams because the connection has ended.
    pub(super) fn lose_all(&self) {
        let (reason, code) = {
            let mut state = self.state();
            (state.reason.take(), state.go_away)
        };
        let reason = reason.unwrap_or(Cow::Borrowed("the server closed the connection"));
        self.fail_all(|of_stream, in_head| {
            if let Some(code) = code {
                let text = format!("{reason} after a GOAWAY frame ({code})");
                return Failure::new(ErrorKind::Http2, text);
            }
            let kind = of_stream.lost_kind(in_head);
            let place = match kind {
                ErrorKind::ClosedInBody => "within the body of the response",
                ErrorKind::ClosedInHead => "within the head of the response",
                _ => "before the response",
            };
            Failure::new(kind, format!("{reason} {place}"))
        });
    }

    /// Ends the connection because of an error: no further request is sent, all streams fail with `reason`, and GOAWAY is sent.
    pub(super) fn fail_connection(&self, kind: ErrorKind, reason: &str) {
        {
            let mut state = self.state();
            state
                .flags
                .insert(SessionFlags::CLOSING | SessionFlags::RETIRED);
            state.deadline.cancel();
            let codec = &mut state.codec;
            self.conn.write_with(|out| codec.write_control(out));
        }
        self.report_room();
        self.fail_all(|_, _| Failure::new(kind, reason.to_owned()));
        self.conn.end();
    }

    /// Closes the connection, in an orderly way if nothing is running.
    pub(crate) fn close(&self) {
        {
            let mut state = self.state();
            if state.flags.contains(SessionFlags::CLOSING) {
                return;
            }
            state.flags.insert(
                SessionFlags::CLOSING | SessionFlags::RETIRED | SessionFlags::RETIREMENT_REPORTED,
            );
            let codec = &mut state.codec;
            codec.go_away(ErrorCode::NO_ERROR);
            self.conn.write_with(|out| codec.write_control(out));
        }
        self.fail_all(|_, _| Failure::new(ErrorKind::Other, "the connection was closed"));
        self.conn.flush();
        self.conn.close();
    }
}

impl SessionState {
    /// Removes a stream, and resets it unless both sides have ended it. Returns its exchange and the reference of the codec, which are dropped when
    /// nothing is borrowed.
    fn remove(
        &mut self,
        stream: &Http2Stream,
        of_stream: &mut StreamState,
    ) -> (
        Option<Rc<crate::transport::Exchange>>,
        Option<Rc<Http2Stream>>,
    ) {
        of_stream.flags.insert(StreamFlags::CLOSED);
        self.drop_output(of_stream);
        (of_stream.exchange.take(), self.codec.remove(stream.key))
    }

    /// Discards the queued output of a stream.
    pub(super) fn drop_output(&mut self, of_stream: &mut StreamState) {
        self.queued = self.queued.saturating_sub(of_stream.output.len());
        of_stream.output.clear();
        of_stream.trailers = None;
    }
}

//! A stream as the transport of its exchange.

use bytes::Bytes;
use http::HeaderMap;
use uptick_socket::engine::Engine;

use super::flags::{SessionFlags, StreamFlags};
use super::state::Http2Session;
use super::stream::Http2Stream;
use crate::error::{ErrorKind, Failure};
use crate::transport::ExchangeTransport;

impl ExchangeTransport for Http2Stream {
    fn write(&self, piece: Bytes) -> bool {
        let session = &self.session;
        if !session.send_piece(self, piece) {
            let reason = "the body of the request is longer than its Content-Length";
            session.abandon(self, Some(Failure::new(ErrorKind::InvalidRequest, reason)));
            return true;
        }
        session.request_advanced(self);
        !session.is_full(self)
    }

    fn end(&self, trailers: Option<&HeaderMap>) {
        let session = &self.session;
        if session.send_end(self, trailers) {
            return session.request_advanced(self);
        }
        let reason = "the body of the request is shorter than its Content-Length";
        session.abandon(self, Some(Failure::new(ErrorKind::InvalidRequest, reason)));
    }

    fn resume(&self) {
        let session = &self.session;
        let mut state = session.state();
        let mut of_stream = self.state();
        if of_stream.flags.contains(StreamFlags::CLOSED) {
            return;
        }
        of_stream.flags.remove(StreamFlags::PAUSED);
        let unread = std::mem::take(&mut of_stream.unread);
        state.codec.consumed(self.key, unread);
        session.await_response(&mut state, self, &mut of_stream);
        let waits = SessionFlags::ADVANCING | SessionFlags::FULL | SessionFlags::CLOSING;
        if state.codec.control_len() > 0 && !state.flags.intersects(waits) {
            let codec = &mut state.codec;
            let open = session.conn.write_with(|out| codec.write_control(out));
            state.written(open);
        }
    }

    fn cancel(&self) {
        self.session.abandon(self, None);
    }
}

impl Http2Session {
    /// Writes queued output after a part of a request was added, and arms the deadline for it.
    fn request_advanced(&self, stream: &Http2Stream) {
        let mut state = self.state();
        if stream.has(StreamFlags::CLOSED) || state.flags.contains(SessionFlags::CLOSING) {
            return;
        }
        self.await_request(&mut state, stream);
        if state.queued > 0 && !state.flags.contains(SessionFlags::ADVANCING) {
            state.pump(&self.conn);
            if !state.listed.is_empty() {
                self.advance_later(&state);
            }
        }
    }
}

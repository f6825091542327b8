//! Responses: from received bytes to exchanges.

use std::rc::Rc;

use bytes::BytesMut;
use uptick_event_loop::driver::{self, Timestamp};
use uptick_http::h1::client::ResponseHead;
use uptick_http::h1::{RequestHead, Trailers};
use uptick_http::h2::{ConnectionError, ErrorCode, Event, StreamKey};
use uptick_socket::Connection;
use uptick_socket::engine::Visit;

use super::ending::StreamOutcome;
use super::flags::{SessionFlags, StreamFlags};
use super::output::OutputWriter;
use super::state::Http2Session;
use super::stream::Http2Stream;
use crate::error::ErrorKind;
use crate::transport::Flow;

/// Maximum number of interim responses before a final response.
const MAX_INTERIM: u8 = 20;

/// Number of control bytes that may wait for room in the connection before reading is paused.
const MAX_WAITING_CONTROL: usize = 4 * 1024;

impl Http2Session {
    /// Handles received bytes.
    pub(super) fn received(&self, visit: &Visit<Connection>, bytes: &mut BytesMut) {
        let had_room = {
            let mut state = self.state();
            if state.flags.contains(SessionFlags::CLOSING) {
                return bytes.clear();
            }
            state.flags.insert(SessionFlags::ADVANCING);
            state
                .flags
                .remove(SessionFlags::PINGED | SessionFlags::ROOM_REPORTED);
            state.received = Timestamp::now();
            state.codec.room() > 0
        };
        let now = driver::elapsed();
        let mut head = RequestHead::default();
        loop {
            let event = {
                let mut state = self.state();
                if state.flags.contains(SessionFlags::CLOSING) {
                    bytes.clear();
                    return;
                }
                state.codec.receive(bytes, &mut head, now)
            };
            match event {
                Some(event) => self.handle_event(event),
                None => break,
            }
        }
        let is_reported = self.state().flags.contains(SessionFlags::ROOM_REPORTED);
        if !had_room && !is_reported && self.room() > 0 {
            // The server allows more streams than before.
            self.report_room();
        }
        self.finish_event(visit);
    }

    fn handle_event(&self, event: Event) {
        match event {
            Event::Interim { stream, head } => self.with_stream(stream, |stream| {
                self.receive_interim(stream, &head);
            }),
            Event::Response { stream, head, end } => self.with_stream(stream, |stream| {
                self.receive_head(stream, head, end);
            }),
            Event::Data { stream, bytes, end } => self.with_stream(stream, |stream| {
                self.receive_data(stream, &bytes, end);
            }),
            Event::Trailers { stream, trailers } => self.with_stream(stream, |stream| {
                self.receive_trailers(stream, trailers);
            }),
            Event::Reset { stream, code } => self.with_stream(stream, |stream| {
                self.receive_reset(stream, code);
            }),
            Event::Malformed { stream, reason } => self.with_stream(stream, |stream| {
                self.fail(stream, ErrorKind::Malformed, reason);
            }),
            Event::ResponseTooLarge { stream, reason } => self.with_stream(stream, |stream| {
                self.fail(stream, ErrorKind::TooLarge, reason);
            }),
            Event::GoAway { last, code } => self.receive_go_away(last, code),
            Event::Closed(error) => self.receive_violation(&error),
            // Queued output is written after all events, and a server does not receive requests.
            _ => {}
        }
    }

    fn with_stream(&self, key: StreamKey, f: impl FnOnce(&Rc<Http2Stream>)) {
        if let Some(stream) = self.stream(key) {
            f(&stream);
        }
    }

    fn receive_interim(&self, stream: &Rc<Http2Stream>, head: &ResponseHead) {
        let count = {
            let mut of_stream = stream.state();
            of_stream.interim = of_stream.interim.saturating_add(1);
            of_stream.interim
        };
        if count > MAX_INTERIM {
            let reason = "the server has sent more than 20 interim responses";
            return self.fail(stream, ErrorKind::TooLarge, reason);
        }
        if self.is_within_limit(stream, head.as_bytes().len())
            && let Some(exchange) = stream.exchange()
        {
            exchange.interim(head.status().as_u16());
        }
    }

    fn receive_head(&self, stream: &Rc<Http2Stream>, head: ResponseHead, end: bool) {
        if !self.is_within_limit(stream, head.as_bytes().len()) {
            return;
        }
        let exchange = {
            let mut state = self.state();
            let mut of_stream = stream.state();
            of_stream.flags.insert(StreamFlags::ANSWERED);
            self.await_response(&mut state, stream, &mut of_stream);
            // A server that refuses the request does not need the rest of its body. One that accepts it may wait for that.
            if !head.status().is_success() && !of_stream.flags.contains(StreamFlags::ENDED) {
                state.drop_output(&mut of_stream);
                state.codec.set_pending(stream.key, false);
                of_stream.request_ended();
                if of_stream.flags.contains(StreamFlags::FULL) {
                    state.list(stream, &mut of_stream.flags);
                }
            }
            of_stream.exchange.clone()
        };
        if let Some(exchange) = exchange {
            exchange.head(head);
        }
        if end {
            self.finish(stream, StreamOutcome::Complete(None));
        }
    }

    /// Passes a piece of the body on. The window of the stream opens again when the exchange accepts more.
    fn receive_data(&self, stream: &Rc<Http2Stream>, bytes: &[u8], end: bool) {
        let exchange = stream.exchange();
        let flow = match exchange {
            Some(exchange) if !bytes.is_empty() => exchange.data(bytes),
            _ => Flow::Continue,
        };
        if flow == Flow::Stop {
            return self.finish(stream, StreamOutcome::Stopped);
        }
        if end {
            return self.finish(stream, StreamOutcome::Complete(None));
        }
        let mut state = self.state();
        let mut of_stream = stream.state();
        of_stream.since = Timestamp::now();
        if flow == Flow::Pause {
            of_stream.flags.insert(StreamFlags::PAUSED);
            of_stream.unread += bytes.len();
            // The other streams of the connection continue.
            let count = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            state.codec.credit_connection(count);
        } else {
            let unread = std::mem::take(&mut of_stream.unread);
            of_stream.flags.remove(StreamFlags::PAUSED);
            state.codec.consumed(stream.key, bytes.len() + unread);
        }
    }

    fn receive_trailers(&self, stream: &Rc<Http2Stream>, trailers: Trailers) {
        let line = |(name, value): (&str, &[u8])| name.len() + value.len() + 4;
        if self.is_within_limit(stream, trailers.fields().map(line).sum()) {
            self.finish(stream, StreamOutcome::Complete(Some(trailers)));
        }
    }

    /// Fails a stream whose head or trailers are larger than its request allows. Returns `true` if they are not.
    fn is_within_limit(&self, stream: &Rc<Http2Stream>, size: usize) -> bool {
        let most = stream.settings.max_head;
        if size > most {
            let reason = format!("the headers of the response exceed the limit of {most} bytes");
            self.fail(stream, ErrorKind::TooLarge, reason);
        }
        size <= most
    }

    fn receive_reset(&self, stream: &Rc<Http2Stream>, code: ErrorCode) {
        let reason = format!("the server reset the HTTP/2 stream ({code})");
        if code == ErrorCode::REFUSED_STREAM {
            let failure = stream.state().unprocessed(reason);
            return self.finish(stream, StreamOutcome::Failed(failure));
        }
        self.fail(stream, ErrorKind::Http2, reason);
    }

    /// Handles GOAWAY: the streams above `last` were not processed, and the others continue.
    fn receive_go_away(&self, last: u32, code: ErrorCode) {
        self.state().go_away = Some(code);
        self.retire();
        for stream in self.streams() {
            if stream.key.id() > last {
                let reason = format!("the server ended the connection by a GOAWAY frame ({code})");
                let failure = stream.state().unprocessed(reason);
                self.finish(&stream, StreamOutcome::Failed(failure));
            }
        }
    }

    /// Handles a violation of the protocol or of a limit by the server.
    fn receive_violation(&self, error: &ConnectionError) {
        self.fail_connection(ErrorKind::Http2, &error.to_string());
    }
}

/// The end of an event.
impl Http2Session {
    /// Runs deferred actions, unless the session is being handled.
    pub(super) fn advance(&self) {
        {
            let mut state = self.state();
            if state.flags.contains(SessionFlags::ADVANCING) {
                return;
            }
            state.flags.insert(SessionFlags::ADVANCING);
        }
        self.finish_event(&self.conn);
    }

    /// Runs deferred actions, and writes the output that is accepted.
    fn finish_event(&self, writer: &impl OutputWriter) {
        loop {
            self.report_deferred();
            self.state().pump(writer);
            let listed = std::mem::take(&mut self.state().listed);
            if listed.is_empty() {
                break;
            }
            for key in listed {
                self.with_stream(key, |stream| self.report_writable(stream));
            }
        }
        let is_over = {
            let mut state = self.state();
            state.flags.remove(SessionFlags::ADVANCING);
            let is_full = state.flags.contains(SessionFlags::FULL);
            if state.codec.control_len() > 0 && !is_full {
                let codec = &mut state.codec;
                let open = writer.append(|out| codec.write_control(out));
                state.written(open);
            }
            let waits = state.flags.contains(SessionFlags::FULL)
                && state.codec.control_len() > MAX_WAITING_CONTROL;
            if waits {
                self.pause(&mut state);
            }
            state.flags.contains(SessionFlags::RETIRED) && state.codec.is_empty()
        };
        if is_over {
            self.close();
        }
    }

    fn report_writable(&self, stream: &Rc<Http2Stream>) {
        stream.state().flags.remove(StreamFlags::LISTED);
        if !stream.has(StreamFlags::FULL) || self.is_full(stream) {
            return;
        }
        stream.state().flags.remove(StreamFlags::FULL);
        if let Some(exchange) = stream.exchange() {
            exchange.writable();
        }
    }
}

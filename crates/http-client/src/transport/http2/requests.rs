//! Requests: a stream is opened, and a short body is written with its head.

use std::rc::Rc;

use bytes::Bytes;
use uptick_http::h1;
use uptick_http::h2::{Limits, Request, ResponseBody, SendError};
use uptick_socket::Connection;
use uptick_socket::engine::Engine;

use super::flags::{SessionFlags, StreamFlags};
use super::output::ignore;
use super::session::Http2Driver;
use super::state::Http2Session;
use super::stream::Http2Stream;
use crate::error::{ErrorKind, Failure};
use crate::transport::{Exchange, OutgoingBody, OutgoingRequest, SessionOwner};

/// Window of each stream, in bytes.
const STREAM_WINDOW: u32 = 256 * 1024;

/// Window of the connection, in bytes.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// Size of the frames into which a server splits a large head, in bytes.
const FRAME: usize = 16 * 1024;

/// Maximum number of headers of a response.
const MAX_FIELDS: usize = 256;

/// Number of bytes by which the size of a header in HTTP/2 exceeds the length of its line in HTTP/1 (RFC 9113, section 6.5.2).
const FIELD_OVERHEAD: usize = 32;

impl Http2Session {
    /// Starts a session on a connection that speaks HTTP/2. `max_head` is the usual limit of heads and trailers; a request may raise it.
    pub(crate) fn new(conn: Connection, owner: Rc<dyn SessionOwner>, max_head: usize) -> Rc<Self> {
        // Progress and idle time are limited by the session.
        conn.set_write_timeout(None);
        conn.set_allow_half_open(true);
        conn.set_read_before_write_error(true);
        let limits = limits(max_head);
        let session = Http2Session::create(conn, owner, &limits, &Http2Driver);
        conn.set_session(Rc::<Http2Session>::clone(&session));
        {
            let mut state = session.state();
            let codec = &mut state.codec;
            let open = conn.write_with(|out| codec.write_control(out));
            state.written(open);
        }
        session
    }

    /// Sends a request. The session accepts as many at the same time as it has [`room`](Http2Session::room).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`], or a failure with `unprocessed` if the session cannot send a request. Nothing was sent in both cases.
    pub(crate) fn begin(
        self: &Rc<Self>,
        request: OutgoingRequest<'_>,
    ) -> Result<Rc<Exchange>, Failure> {
        if request.upgrade {
            let reason = "an upgrade is not possible over HTTP/2";
            return Err(Failure::new(ErrorKind::InvalidRequest, reason));
        }
        let settings = request.settings;
        let exchange = Rc::new(Exchange::new(settings.read_ahead, settings.max_body));
        let (body, length, bytes) = framing(request.body);
        let head = Request {
            method: request.method,
            scheme: request.scheme,
            authority: request.host,
            path: request.target,
            protocol: None,
            fields: request.fields.into(),
            body,
        };
        let mut borrowed = self.state();
        let state = &mut *borrowed;
        if state.room() == 0 {
            return Err(begin_failure(match state.codec.opens_streams() {
                true => SendError::TooManyStreams,
                false => SendError::GoingAway,
            }));
        }
        let key = state.codec.next_stream();
        let stream = Http2Stream::new(self, key, settings, &exchange, length);
        state
            .codec
            .raise_header_limit(header_limit(settings.max_head));
        let mut opened = Err(SendError::GoingAway);
        let at_once = bytes
            .as_ref()
            .is_some_and(|bytes| state.queued == 0 && bytes.len() <= state.codec.next_capacity());
        let codec = &mut state.codec;
        let open = self.conn.write_with(|out| {
            codec.write_control(out);
            opened = codec.open(&head, Rc::clone(&stream), out);
            if let (Ok(key), Some(bytes), true) = (opened, &bytes, at_once) {
                ignore(codec.send_data(key, bytes, true, out));
            }
        });
        state.written(open);
        if let Err(error) = opened {
            drop(borrowed);
            return Err(begin_failure(error));
        }
        let mut of_stream = stream.state();
        match (bytes, body) {
            (Some(bytes), _) if !at_once => {
                of_stream.flags.insert(StreamFlags::ENDING);
                state.queue(key, &mut of_stream, bytes);
            }
            (Some(_), _) | (None, ResponseBody::Empty) => of_stream.request_ended(),
            _ => {}
        }
        self.await_request(state, &stream);
        if request.close {
            state.flags.insert(SessionFlags::RETIRED);
        }
        drop(of_stream);
        if state.queued > 0 && !state.flags.contains(SessionFlags::ADVANCING) {
            state.pump(&self.conn);
        }
        drop(borrowed);
        self.end_idle();
        exchange.set_transport(stream);
        Ok(exchange)
    }
}

/// Returns the framing of a body, the number of bytes that follow in pieces, and a body in memory.
fn framing(body: OutgoingBody) -> (ResponseBody, Option<u64>, Option<Bytes>) {
    match body {
        OutgoingBody::Empty => (ResponseBody::Empty, Some(0), None),
        OutgoingBody::Bytes(bytes) if bytes.is_empty() => (ResponseBody::Empty, Some(0), None),
        OutgoingBody::Bytes(bytes) => (
            ResponseBody::Bytes(bytes.len() as u64),
            Some(0),
            Some(bytes),
        ),
        OutgoingBody::Sized(length) => (ResponseBody::Bytes(length), Some(length), None),
        OutgoingBody::Stream => (ResponseBody::Stream, None, None),
    }
}

fn begin_failure(error: SendError) -> Failure {
    match error {
        SendError::InvalidRequest(_) => Failure::new(ErrorKind::InvalidRequest, error.to_string()),
        _ => Failure {
            unprocessed: true,
            ..Failure::new(ErrorKind::Http2, error.to_string())
        },
    }
}

fn limits(max_head: usize) -> Limits {
    let bytes = header_limit(max_head);
    let headers = h1::Limits::default()
        .fields(MAX_FIELDS)
        .header_section(bytes)
        .trailer_section(bytes);
    let continuations = u32::try_from(bytes / FRAME).unwrap_or(u32::MAX);
    Limits::default()
        .headers(&headers)
        .stream_window(STREAM_WINDOW)
        .connection_window(CONNECTION_WINDOW)
        .continuation_frames(continuations.saturating_add(8))
}

/// Returns the limit of HTTP/2 for heads whose text has at most `max_head` bytes. The length of the text is checked afterwards.
fn header_limit(max_head: usize) -> usize {
    max_head.saturating_add(MAX_FIELDS * FIELD_OVERHEAD)
}

//! Request bodies: pieces that the windows or the connection do not accept are queued by their stream, and written later, in turns.

use bytes::Bytes;
use http::HeaderMap;
use uptick_event_loop::driver::Timestamp;
use uptick_http::h2::{SendError, StreamKey};
use uptick_socket::Connection;
use uptick_socket::engine::{Engine, Visit};

use super::flags::{SessionFlags, StreamFlags};
use super::state::{Http2Session, SessionState};
use super::stream::{Http2Stream, SOFT_LIMIT, StreamState};

/// Maximum number of bytes of a stream that are written before another stream.
const QUANTUM: usize = 16 * 1024;

/// Maximum number of queued bytes of all streams together: from then on, a writer waits even if only a few bytes of its own are queued.
const MAX_QUEUED: usize = 4 * 1024 * 1024;

/// The writer of a connection's output.
pub(super) trait OutputWriter {
    /// Writes the bytes that `f` appends: [`Engine::write_with`].
    fn append(&self, f: impl FnOnce(&mut Vec<u8>)) -> Option<bool>;
}

impl OutputWriter for Connection {
    fn append(&self, f: impl FnOnce(&mut Vec<u8>)) -> Option<bool> {
        self.write_with(f)
    }
}

/// Writes to the connection that is being visited, without a lookup.
impl OutputWriter for Visit<Connection> {
    #[inline]
    fn append(&self, f: impl FnOnce(&mut Vec<u8>)) -> Option<bool> {
        self.write_with(f)
    }
}

/// Ignores that a stream is closed, or that its body has another length: this was checked before, and otherwise nothing is written.
pub(super) fn ignore<T>(result: Result<T, SendError>) {
    debug_assert!(result.is_ok() || matches!(result, Err(SendError::NotOpen)));
}

impl Http2Session {
    /// Sends a piece of a request body. Returns `false` if the piece is longer than the announced length.
    pub(super) fn send_piece(&self, stream: &Http2Stream, piece: Bytes) -> bool {
        let mut state = self.state();
        let state = &mut *state;
        let mut of_stream = stream.state();
        let is_over = StreamFlags::ENDING | StreamFlags::ENDED | StreamFlags::CLOSED;
        if of_stream.flags.intersects(is_over) || piece.is_empty() {
            return true;
        }
        if !of_stream.take_from_length(piece.len()) {
            return false;
        }
        if state.accepts(stream.key, piece.len()) {
            let codec = &mut state.codec;
            let open = self
                .conn
                .append(|out| ignore(codec.send_data(stream.key, &piece, false, out)));
            state.written(open);
            of_stream.progress = Timestamp::now();
        } else {
            state.queue(stream.key, &mut of_stream, piece);
        }
        true
    }

    /// Ends a request body. Returns `false` if it is shorter than the announced length.
    pub(super) fn send_end(&self, stream: &Http2Stream, trailers: Option<&HeaderMap>) -> bool {
        let mut state = self.state();
        let state = &mut *state;
        let mut of_stream = stream.state();
        let is_over = StreamFlags::ENDING | StreamFlags::ENDED | StreamFlags::CLOSED;
        if of_stream.flags.intersects(is_over) {
            return true;
        }
        if of_stream.left.is_some_and(|left| left > 0) {
            return false;
        }
        of_stream.flags.insert(StreamFlags::ENDING);
        let trailers = trailers.filter(|trailers| !trailers.is_empty());
        of_stream.trailers = trailers.cloned().map(Box::new);
        if of_stream.output.is_empty() {
            state.write_end(&self.conn, stream, &mut of_stream);
        }
        true
    }

    /// Returns `true` if the writer of a stream should wait.
    pub(super) fn is_full(&self, stream: &Http2Stream) -> bool {
        let queued = self.state().queued;
        let mut of_stream = stream.state();
        let output = of_stream.output.len();
        let full = output >= SOFT_LIMIT || output > 0 && queued >= MAX_QUEUED;
        if full {
            of_stream.flags.insert(StreamFlags::FULL);
        }
        full
    }
}

impl SessionState {
    /// Returns `true` if a stream may send a number of bytes now: the windows and the connection have room, and no other output is first.
    pub(super) fn accepts(&self, key: StreamKey, length: usize) -> bool {
        !self.flags.contains(SessionFlags::FULL)
            && self.queued == 0
            && self.codec.capacity(key) >= length
    }

    /// Queues a body piece, which is written when it is its turn.
    pub(super) fn queue(&mut self, key: StreamKey, of_stream: &mut StreamState, piece: Bytes) {
        if of_stream.output.is_empty() {
            of_stream.progress = Timestamp::now();
        }
        self.queued += piece.len();
        of_stream.output.push(piece);
        self.codec.set_pending(key, true);
    }

    /// Writes queued output. Streams whose queues have room again are listed.
    pub(super) fn pump(&mut self, writer: &impl OutputWriter) {
        while self.write_next(writer) {}
    }

    /// Writes output of the stream that is next. Returns `false` if there is none, or no room.
    fn write_next(&mut self, writer: &impl OutputWriter) -> bool {
        let is_blocked = SessionFlags::FULL | SessionFlags::CLOSING;
        if self.flags.intersects(is_blocked) {
            return false;
        }
        let Some(key) = self.codec.next_pending() else {
            return false;
        };
        let Some(stream) = self.codec.get(key).cloned() else {
            self.codec.set_pending(key, false);
            return true;
        };
        self.write_of_stream(writer, &stream, &mut stream.state());
        true
    }

    fn write_of_stream(
        &mut self,
        writer: &impl OutputWriter,
        stream: &Http2Stream,
        of_stream: &mut StreamState,
    ) {
        let key = stream.key;
        let front = of_stream.output.front();
        let count = front.len().min(QUANTUM).min(self.codec.capacity(key));
        if count > 0 {
            let ends = count == of_stream.output.len()
                && of_stream.flags.contains(StreamFlags::ENDING)
                && of_stream.trailers.is_none();
            let codec = &mut self.codec;
            let open =
                writer.append(|out| ignore(codec.send_data(key, &front[..count], ends, out)));
            self.written(open);
            of_stream.output.consume(count);
            of_stream.progress = Timestamp::now();
            self.queued = self.queued.saturating_sub(count);
            if ends {
                of_stream.request_ended();
            }
        }
        if of_stream.output.is_empty() || count == 0 {
            self.codec.set_pending(key, false);
        }
        if of_stream.output.is_empty()
            && of_stream.flags.contains(StreamFlags::ENDING)
            && !of_stream.flags.contains(StreamFlags::ENDED)
        {
            self.write_end(writer, stream, of_stream);
        }
        if of_stream.flags.contains(StreamFlags::FULL) && of_stream.output.len() < SOFT_LIMIT {
            self.list(stream, &mut of_stream.flags);
        }
    }

    /// Writes the end of a request after all of its output: the trailers, or an empty frame.
    pub(super) fn write_end(
        &mut self,
        writer: &impl OutputWriter,
        stream: &Http2Stream,
        of_stream: &mut StreamState,
    ) {
        let (codec, key) = (&mut self.codec, stream.key);
        let trailers = of_stream.trailers.take();
        let open = writer.append(|out| match &trailers {
            Some(trailers) => ignore(codec.send_trailers(key, trailers, out)),
            None => ignore(codec.send_data(key, &[], true, out)),
        });
        self.written(open);
        of_stream.request_ended();
    }
}

impl StreamState {
    /// Records that the end of the request was passed to the connection.
    pub(super) fn request_ended(&mut self) {
        self.flags.insert(StreamFlags::ENDING | StreamFlags::ENDED);
        self.since = Timestamp::now();
    }
}

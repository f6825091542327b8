//! HTTP/1.1 response decoder.

use bytes::Bytes;
use http::Method;

use super::response_head::{BodyLength, RequestKind, ResponseHead, check_first_line, check_start};
use crate::h1::body::{BodyDecoder, BodyPart};
use crate::h1::chunked::ChunkedState;
use crate::h1::input::InputBuffer;
use crate::h1::limits::Limits;
use crate::h1::lines::Lines;
use crate::h1::parse;
use crate::message::fields::Trailers;
use crate::message::invalid::InvalidMessage;

/// The error for a response whose head, or whose first line, exceeds its limit.
pub const HEAD_TOO_LONG: InvalidMessage =
    InvalidMessage::response_limit("the head of the response is too long");
const TOO_MANY_FIELDS: InvalidMessage =
    InvalidMessage::response_limit("the response has too many headers");
const TOO_MANY_INTERIM: InvalidMessage =
    InvalidMessage::response_limit("too many interim responses precede the response");
const CUT_OFF: InvalidMessage =
    InvalidMessage::bad("the connection ended before the response was complete");

/// Maximum number of interim responses before a response.
const MAX_INTERIM: u8 = 20;

/// Number of bytes at the start of an incomplete line that are checked before the line is complete.
const LINE_START: usize = 256;

/// An event of a [`Decoder`].
#[derive(Clone, Debug)]
pub enum Event {
    /// The head of an interim response (1xx except 101). The final response follows.
    Interim(ResponseHead),
    /// The head of the response.
    Head(ResponseHead),
    /// A piece of the body, never empty.
    Body(Bytes),
    /// The trailers, if there are any.
    Trailers(Trailers),
    /// The end of the response.
    Complete,
    /// The response is invalid or its end is not certain. This is the last event, and the connection cannot be used again. The status of
    /// the error is the one that a gateway sends to its client.
    Error(InvalidMessage),
}

impl From<BodyPart> for Event {
    fn from(part: BodyPart) -> Event {
        match part {
            BodyPart::Data(piece) => Event::Body(piece),
            BodyPart::Trailers(fields) => Event::Trailers(fields),
            BodyPart::End => Event::Complete,
        }
    }
}

/// A decoder of the responses of one connection.
///
/// The events do not depend on how the bytes are split, except for the sizes of body pieces. The framing of a response depends on its
/// request, so call [`expect`](Decoder::expect) before each response. Bytes received without a request are not decoded;
/// [`buffered`](Decoder::buffered) counts them.
///
/// # Limits
///
/// See [`Limits`]. The limit of the header section applies to each head, including its first line. At most 20 interim responses precede a
/// response.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    input: InputBuffer,
    state: ResponseDecoderState,
    /// Number of interim responses before the response.
    interim: u8,
}

#[derive(Clone, Debug, Default)]
enum ResponseDecoderState {
    /// No response is expected.
    #[default]
    Idle,
    Head {
        request: RequestKind,
        lines: Lines,
        /// End of the first line, once it is complete.
        first_line: usize,
        /// End of the fields that were checked.
        checked: usize,
    },
    /// The rest of a response, or its end.
    Body { body: BodyDecoder, last: bool },
    /// None: the last response of the connection has ended.
    Ended,
    /// None: an error occurred.
    Failed,
}

impl Decoder {
    /// Creates a decoder for a new connection.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Expects the response to a request with this method. Returns `false` if the previous response has not ended, or if no further
    /// response can follow on this connection.
    pub fn expect(&mut self, method: &Method) -> bool {
        let is_idle = matches!(self.state, ResponseDecoderState::Idle);
        if is_idle {
            self.await_head(match *method {
                Method::HEAD => RequestKind::Head,
                Method::CONNECT => RequestKind::Connect,
                _ => RequestKind::Other,
            });
            self.interim = 0;
        }
        is_idle
    }

    fn await_head(&mut self, request: RequestKind) {
        self.state = ResponseDecoderState::Head {
            request,
            lines: Lines::default(),
            first_line: 0,
            checked: 0,
        };
    }

    /// Adds received bytes. Process all events before pushing more: then only the start of an incomplete head is copied. After an error,
    /// bytes are dropped.
    pub fn push(&mut self, bytes: Bytes) {
        if !matches!(self.state, ResponseDecoderState::Failed) {
            self.input.push(bytes);
        }
    }

    /// Returns the next event, or `None` if more bytes are needed.
    pub fn next(&mut self, limits: &Limits) -> Option<Event> {
        match self.try_next(limits) {
            Ok(event) => event,
            Err(invalid) => Some(self.fail(invalid)),
        }
    }

    /// Handles the end of the connection; call it after all events of the received bytes. Returns [`Event::Complete`] if it completes the
    /// response, [`Event::Error`] if the response is incomplete, and `None` if no response was expected.
    pub fn end(&mut self) -> Option<Event> {
        match self.state {
            ResponseDecoderState::Idle
            | ResponseDecoderState::Ended
            | ResponseDecoderState::Failed => None,
            ResponseDecoderState::Body {
                body: BodyDecoder::Complete | BodyDecoder::UntilClose,
                ..
            } => {
                self.state = ResponseDecoderState::Ended;
                Some(Event::Complete)
            }
            ResponseDecoderState::Head { .. } | ResponseDecoderState::Body { .. } => {
                Some(self.fail(CUT_OFF))
            }
        }
    }

    /// Returns `true` if no response is expected, and another request may be sent.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, ResponseDecoderState::Idle)
    }

    /// Returns the number of bytes pushed but not yet returned in an event.
    pub fn buffered(&self) -> usize {
        self.input.len()
    }

    /// Returns the bytes pushed but not yet returned in an event.
    pub fn peek(&self) -> &[u8] {
        self.input.as_slice()
    }

    /// Returns the number of body bytes that are known to follow and not yet returned in an event: the rest of the `Content-Length`, or
    /// of the current chunk.
    pub fn announced(&self) -> u64 {
        match &self.state {
            ResponseDecoderState::Body { body, .. } => body.announced(),
            _ => 0,
        }
    }

    /// Returns the bytes pushed but not yet returned in an event, for the protocol after an upgrade or the tunnel after `CONNECT`. The
    /// decoder then stops.
    pub fn take_rest(&mut self) -> Bytes {
        self.state = ResponseDecoderState::Ended;
        self.input.take(usize::MAX)
    }

    #[cold]
    fn fail(&mut self, invalid: InvalidMessage) -> Event {
        *self = Decoder {
            state: ResponseDecoderState::Failed,
            ..Decoder::default()
        };
        Event::Error(invalid.for_response())
    }

    fn try_next(&mut self, limits: &Limits) -> Result<Option<Event>, InvalidMessage> {
        match &mut self.state {
            ResponseDecoderState::Head { .. } => self.head(limits),
            ResponseDecoderState::Body { body, last } => {
                let part = body.advance(&mut self.input, limits)?;
                if matches!(part, Some(BodyPart::End)) {
                    self.state = match last {
                        true => ResponseDecoderState::Ended,
                        false => ResponseDecoderState::Idle,
                    };
                }
                Ok(part.map(Event::from))
            }
            ResponseDecoderState::Idle
            | ResponseDecoderState::Ended
            | ResponseDecoderState::Failed => Ok(None),
        }
    }

    fn head(&mut self, limits: &Limits) -> Result<Option<Event>, InvalidMessage> {
        let ResponseDecoderState::Head {
            request,
            lines,
            first_line,
            checked,
        } = &mut self.state
        else {
            return Ok(None);
        };
        let request = *request;
        let bytes = self.input.as_slice();
        loop {
            let bound = match lines.count() {
                0 => limits.request_line + 2,
                _ => limits.header_section,
            };
            let line = match lines.next(bytes, bound, HEAD_TOO_LONG) {
                Ok(Some(line)) => line,
                Ok(None) => {
                    // A malformed head is refused as soon as that is visible.
                    let end = bytes.len().min(lines.start() + LINE_START);
                    check_head(bytes, *first_line, *checked, end)?;
                    *checked = lines.start();
                    self.input.keep();
                    return Ok(None);
                }
                Err(invalid) => {
                    let end = bytes.len().min(bound);
                    check_head(bytes, *first_line, *checked, end)?;
                    return Err(invalid);
                }
            };
            let end = line.end + 2;
            if line.start == 0 {
                check_first_line(bytes.get(..end).unwrap_or_default())?;
                (*first_line, *checked) = (end, end);
            } else if line.is_empty() {
                let fields = *first_line;
                let head = ResponseHead::parse(self.input.take(end), fields, request)?;
                return self.begin(head, request).map(Some);
            } else if lines.count() - 1 > limits.fields {
                check_head(bytes, *first_line, *checked, end)?;
                return Err(TOO_MANY_FIELDS);
            }
        }
    }

    fn begin(&mut self, head: ResponseHead, request: RequestKind) -> Result<Event, InvalidMessage> {
        if head.status().is_informational() && !head.is_upgrade() {
            if self.interim == MAX_INTERIM {
                return Err(TOO_MANY_INTERIM);
            }
            self.interim += 1;
            self.await_head(request);
            return Ok(Event::Interim(head));
        }
        let last = !head.keep_alive();
        let body = match head.body() {
            BodyLength::None | BodyLength::Bytes(0) => BodyDecoder::Complete,
            BodyLength::Bytes(length) => BodyDecoder::Counted(length),
            BodyLength::Chunked => BodyDecoder::Chunked(ChunkedState::default()),
            BodyLength::UntilClose => BodyDecoder::UntilClose,
        };
        self.state = ResponseDecoderState::Body { body, last };
        Ok(Event::Head(head))
    }
}

/// Checks an incomplete head up to `end`: the start of its first line, or the fields from `checked`. Its first line ends at `first_line`,
/// unless that is 0.
fn check_head(
    bytes: &[u8],
    first_line: usize,
    checked: usize,
    end: usize,
) -> Result<(), InvalidMessage> {
    match first_line {
        0 => check_start(bytes.get(..end).unwrap_or_default()),
        _ => parse::check_fields(bytes.get(checked..end).unwrap_or_default()),
    }
}

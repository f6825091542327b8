//! Responses out of bytes.

use bytes::Bytes;
use http::{Method, StatusCode};

use super::response_head::{BodyLength, RequestKind, ResponseHead, check_first_line};
use crate::h1::body::{Body, BodyPart};
use crate::h1::chunked::Chunked;
use crate::h1::fields::Trailers;
use crate::h1::input::Input;
use crate::h1::invalid::Invalid;
use crate::h1::limits::Limits;
use crate::h1::lines::Lines;

/// The error of a response whose head, or whose first line, exceeds its limit.
pub const HEAD_TOO_LONG: Invalid = Invalid::new(
    StatusCode::BAD_GATEWAY,
    "the head of the response is too long",
);
const TOO_MANY_FIELDS: Invalid = Invalid::bad("the response has too many fields");
const CUT_OFF: Invalid = Invalid::bad("the connection has ended before the response");

/// An event of a [`Decoder`].
#[derive(Clone, Debug)]
pub enum Event {
    /// An interim response (1xx but 101): the response is yet to come.
    Interim(ResponseHead),
    /// A response begins.
    Head(ResponseHead),
    /// A piece of its body, never empty.
    Body(Bytes),
    /// The fields after its body, if there are any.
    Trailers(Trailers),
    /// The response ends.
    Complete,
    /// The bytes are not a response whose end is certain. It is the last event, and the connection cannot be used any more. The status of
    /// the error is the one that a gateway sends to its client.
    Error(Invalid),
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

/// Reads the responses of one connection.
///
/// However the bytes are cut into pieces, the events are the same, but for how the bytes of bodies are cut. The framing of a response
/// depends on its request, so that [`expect`](Decoder::expect) comes before each: what is received without a request is not decoded,
/// and [`buffered`](Decoder::buffered) shows it.
///
/// # Limits
///
/// Those of [`Limits`]; that of the header section is for the heads of interim responses and of the response after them together, with
/// their first lines.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    input: Input,
    state: State,
    /// The bytes of the interim heads before the response.
    interim: usize,
}

#[derive(Clone, Debug, Default)]
enum State {
    /// No response is expected.
    #[default]
    Idle,
    Head {
        request: RequestKind,
        lines: Lines,
        first_line: usize,
    },
    /// The rest of a response, or its end.
    Body { body: Body, last: bool },
    /// Nothing, after the last response of the connection.
    Nothing,
    /// Nothing, after an error.
    Failed,
}

impl Decoder {
    /// Makes a decoder at the beginning of a connection.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Expects the response to a request with this method, after that of the request before has ended. Returns `false` when that has
    /// not, or when no response can follow on this connection.
    pub fn expect(&mut self, method: &Method) -> bool {
        let is_idle = matches!(self.state, State::Idle);
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
        self.state = State::Head {
            request,
            lines: Lines::default(),
            first_line: 0,
        };
    }

    /// Takes received bytes. Read all events before more is pushed, so that nothing has to be copied but the beginning of a head
    /// whose end is yet to come. After an error, bytes are dropped.
    pub fn push(&mut self, bytes: Bytes) {
        if !matches!(self.state, State::Failed) {
            self.input.push(bytes);
        }
    }

    /// Returns the next event, or `None` if more bytes are needed for one.
    pub fn next(&mut self, limits: &Limits) -> Option<Event> {
        match self.try_next(limits) {
            Ok(event) => event,
            Err(invalid) => Some(self.fail(invalid)),
        }
    }

    /// Notes that the connection has ended, after all events of the bytes that came before. Returns [`Event::Complete`] when that
    /// is the end of the response, [`Event::Error`] when one was cut off, and `None` when none was expected.
    pub fn end(&mut self) -> Option<Event> {
        match self.state {
            State::Idle | State::Nothing | State::Failed => None,
            State::Body {
                body: Body::Over | Body::UntilClose,
                ..
            } => {
                self.state = State::Nothing;
                Some(Event::Complete)
            }
            State::Head { .. } | State::Body { .. } => Some(self.fail(CUT_OFF)),
        }
    }

    /// Returns whether no response is expected, and another request may be sent.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Returns the number of bytes that were pushed and are in no event yet.
    pub fn buffered(&self) -> usize {
        self.input.len()
    }

    /// Returns the number of bytes of the body that are in no event yet but known to follow: the rest of its `Content-Length`, or of
    /// the current chunk.
    pub fn announced(&self) -> u64 {
        match &self.state {
            State::Body { body, .. } => body.announced(),
            _ => 0,
        }
    }

    /// Returns what was pushed and is in no event yet, for the protocol that follows after an upgrade, or for the tunnel after
    /// `CONNECT`. Nothing is decoded after this.
    pub fn take_rest(&mut self) -> Bytes {
        self.state = State::Nothing;
        self.input.take(usize::MAX)
    }

    #[cold]
    fn fail(&mut self, invalid: Invalid) -> Event {
        *self = Decoder {
            state: State::Failed,
            ..Decoder::default()
        };
        Event::Error(Invalid::new(StatusCode::BAD_GATEWAY, invalid.reason()))
    }

    fn try_next(&mut self, limits: &Limits) -> Result<Option<Event>, Invalid> {
        match &mut self.state {
            State::Head { .. } => self.head(limits),
            State::Body { body, last } => {
                let part = body.advance(&mut self.input, limits)?;
                if matches!(part, Some(BodyPart::End)) {
                    self.state = match last {
                        true => State::Nothing,
                        false => State::Idle,
                    };
                }
                Ok(part.map(Event::from))
            }
            State::Idle | State::Nothing | State::Failed => Ok(None),
        }
    }

    fn head(&mut self, limits: &Limits) -> Result<Option<Event>, Invalid> {
        let State::Head {
            request,
            lines,
            first_line,
        } = &mut self.state
        else {
            return Ok(None);
        };
        let request = *request;
        let left = limits.header_section.saturating_sub(self.interim);
        let bytes = self.input.as_slice();
        loop {
            let bound = match lines.count() {
                0 => limits.request_line + 2,
                _ => left,
            };
            let Some(line) = lines.next(bytes, bound, HEAD_TOO_LONG)? else {
                self.input.keep();
                return Ok(None);
            };
            let end = line.end + 2;
            if line.start == 0 {
                *first_line = end;
                check_first_line(bytes.get(..end).unwrap_or_default())?;
            } else if line.is_empty() {
                let fields = *first_line;
                let head = ResponseHead::parse(self.input.take(end), fields, request)?;
                return Ok(Some(self.begin(head, request, end)));
            } else if lines.count() - 1 > limits.fields {
                return Err(TOO_MANY_FIELDS);
            }
        }
    }

    fn begin(&mut self, head: ResponseHead, request: RequestKind, length: usize) -> Event {
        if head.status().is_informational() && !head.is_upgrade() {
            self.interim += length;
            self.await_head(request);
            return Event::Interim(head);
        }
        let last = !head.keep_alive();
        let body = match head.body() {
            BodyLength::None | BodyLength::Bytes(0) => Body::Over,
            BodyLength::Bytes(length) => Body::Counted(length),
            BodyLength::Chunked => Body::Chunked(Chunked::default()),
            BodyLength::UntilClose => Body::UntilClose,
        };
        self.state = State::Body { body, last };
        Event::Head(head)
    }
}

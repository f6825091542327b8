//! HTTP/1.1 request decoder.

use bytes::Bytes;

use super::body::{BodyDecoder, BodyPart};
use super::chunked::ChunkedState;
use super::input::InputBuffer;
use super::limits::Limits;
use super::lines::Lines;
use super::parse;
use crate::message::fields::Trailers;
use crate::message::invalid::InvalidMessage;
use crate::message::request_head::{BodyLength, HeadParts, RequestHead};
use crate::message::text::is_token;

/// Number of empty lines before a request that are ignored (RFC 9112, section 2.2).
const MAX_EMPTY_LINES: u8 = 2;

/// An event of a [`Decoder`].
#[derive(Clone, Debug)]
pub enum Event {
    /// The head of a request.
    Head(RequestHead),
    /// A piece of the body, never empty.
    Body(Bytes),
    /// The trailers, if there are any.
    Trailers(Trailers),
    /// The end of the request. The next one follows, unless this one has `Connection: close`.
    Complete,
    /// The bytes are not a valid request. It is the last event.
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

/// A decoder of the requests of one connection.
///
/// The events do not depend on how the bytes are split, except for the sizes of body pieces. A decoder holds no buffer between two
/// requests.
#[derive(Debug, Default)]
pub struct Decoder {
    input: InputBuffer,
    state: RequestDecoderState,
}

/// The part of a request that is decoded next. `last` is `true` if the client sends no further request.
#[derive(Debug)]
enum RequestDecoderState {
    /// The head, possibly preceded by empty lines.
    Head {
        lines: Lines,
        first_line: u32,
        empty_lines: u8,
    },
    /// The rest of a request, or its end.
    Body { body: BodyDecoder, last: bool },
    /// None: the last request has ended.
    Ended,
    /// None: a request was refused.
    Failed,
}

impl RequestDecoderState {
    /// Returns the state after a head.
    #[inline]
    fn after(parts: &HeadParts) -> RequestDecoderState {
        RequestDecoderState::Body {
            body: match parts.body {
                BodyLength::None | BodyLength::Bytes(0) => BodyDecoder::Complete,
                BodyLength::Bytes(left) => BodyDecoder::Counted(left),
                BodyLength::Chunked => BodyDecoder::Chunked(ChunkedState::default()),
            },
            last: !parts.keep_alive,
        }
    }

    /// Returns `true` if the end of a request is next.
    #[inline]
    fn is_end(&self) -> bool {
        matches!(self, RequestDecoderState::Body { body, .. } if body.is_complete())
    }

    /// Returns the state after a request.
    #[inline]
    fn after_end(last: bool) -> RequestDecoderState {
        match last {
            true => RequestDecoderState::Ended,
            false => RequestDecoderState::default(),
        }
    }
}

impl Default for RequestDecoderState {
    fn default() -> RequestDecoderState {
        RequestDecoderState::Head {
            lines: Lines::default(),
            first_line: 0,
            empty_lines: 0,
        }
    }
}

impl Decoder {
    /// Creates a decoder for a new connection.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Creates a decoder that starts with the body of a request; `None` if the request has no body.
    #[inline]
    pub(crate) fn at_body(head: &RequestHead) -> Option<Decoder> {
        let state = RequestDecoderState::after(&head.parts);
        (!state.is_end()).then(|| Decoder {
            input: InputBuffer::default(),
            state,
        })
    }

    /// Adds received bytes. Process all events before pushing more: then only the start of an incomplete head is copied. After an error,
    /// bytes are dropped.
    pub fn push(&mut self, bytes: Bytes) {
        if !matches!(self.state, RequestDecoderState::Failed) {
            self.input.push(bytes);
        }
    }

    /// Returns the next event, or `None` if more bytes are needed.
    #[inline]
    pub fn next(&mut self, limits: &Limits) -> Option<Event> {
        match &self.state {
            RequestDecoderState::Head { .. } if self.input.is_empty() => None,
            RequestDecoderState::Head { lines, .. } if lines.is_fresh() => {
                self.complete_head(limits)
            }
            state if state.is_end() => self.take_end().then_some(Event::Complete),
            _ => self.advance(limits),
        }
    }

    /// Skips [`Event::Complete`] if it is next, and returns `true` if it was.
    #[inline]
    pub(crate) fn take_end(&mut self) -> bool {
        match self.state {
            RequestDecoderState::Body {
                body: BodyDecoder::Complete,
                last,
            } => {
                self.state = RequestDecoderState::after_end(last);
                true
            }
            _ => false,
        }
    }

    /// Returns `true` if the decoder is between two requests and holds no bytes of the next one.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, RequestDecoderState::Head { .. }) && self.input.is_empty()
    }

    /// Returns `true` if the decoder is in its initial state.
    #[inline]
    pub(crate) fn is_fresh(&self) -> bool {
        match &self.state {
            RequestDecoderState::Head {
                lines, empty_lines, ..
            } => lines.is_fresh() && *empty_lines == 0 && self.input.is_empty(),
            _ => false,
        }
    }

    /// Returns the number of bytes pushed but not yet returned in an event.
    pub fn buffered(&self) -> usize {
        self.input.len()
    }

    /// Returns the number of body bytes that are known to follow and not yet returned in an event: the rest of the `Content-Length`, or
    /// of the current chunk.
    pub fn announced(&self) -> u64 {
        match &self.state {
            RequestDecoderState::Body { body, .. } => body.announced(),
            _ => 0,
        }
    }

    /// Returns the bytes pushed but not yet returned in an event, for the protocol after an upgrade. The decoder then stops.
    pub fn take_rest(&mut self) -> Bytes {
        self.state = RequestDecoderState::Ended;
        self.input.take(usize::MAX)
    }

    /// Returns the next event where a head is expected. This is the fast path for a complete head.
    #[inline]
    fn complete_head(&mut self, limits: &Limits) -> Option<Event> {
        let mut head = RequestHead::new();
        match head.read(self.input.as_slice(), limits) {
            Some(length) => Some(self.begin(head, length)),
            None => self.advance(limits),
        }
    }

    #[inline(never)]
    fn advance(&mut self, limits: &Limits) -> Option<Event> {
        self.try_advance(limits)
            .unwrap_or_else(|invalid| Some(self.refuse(invalid)))
    }

    #[cold]
    fn refuse(&mut self, invalid: InvalidMessage) -> Event {
        *self = Decoder {
            input: InputBuffer::default(),
            state: RequestDecoderState::Failed,
        };
        Event::Error(invalid)
    }

    fn try_advance(&mut self, limits: &Limits) -> Result<Option<Event>, InvalidMessage> {
        match &mut self.state {
            RequestDecoderState::Head { .. } => self.head(limits),
            RequestDecoderState::Body { body, last } => {
                let part = body.advance(&mut self.input, limits)?;
                if matches!(part, Some(BodyPart::End)) {
                    self.state = RequestDecoderState::after_end(*last);
                }
                Ok(part.map(Event::from))
            }
            RequestDecoderState::Ended | RequestDecoderState::Failed => Ok(None),
        }
    }

    /// Returns the next event for a head received in several pieces, line by line.
    fn head(&mut self, limits: &Limits) -> Result<Option<Event>, InvalidMessage> {
        let RequestDecoderState::Head {
            lines,
            first_line,
            empty_lines,
        } = &mut self.state
        else {
            return Ok(None);
        };
        loop {
            match self.input.as_slice() {
                [] => return Ok(None),
                [first, ..] if is_token(*first) => break,
                [b'\r'] => {
                    self.input.keep();
                    return Ok(None);
                }
                [b'\r', b'\n', ..] if *empty_lines < MAX_EMPTY_LINES => {
                    *empty_lines += 1;
                    self.input.skip(2);
                }
                _ => {
                    return Err(InvalidMessage::bad(
                        "the request does not start with a method",
                    ));
                }
            }
        }
        let bytes = self.input.as_slice();
        loop {
            let (bound, too_long) = match lines.count() {
                0 => (limits.request_line + 2, InvalidMessage::LINE_TOO_LONG),
                _ => (
                    *first_line as usize + limits.header_section,
                    InvalidMessage::HEAD_TOO_LARGE,
                ),
            };
            let Some(line) = lines.next(bytes, bound, too_long)? else {
                self.input.keep();
                return Ok(None);
            };
            if line.start == 0 {
                *first_line = line.end as u32 + 2;
                parse::check_first_line(&bytes[..line.end + 2])?;
            } else if line.is_empty() {
                let section = &bytes[..line.end + 2];
                let mut head = RequestHead::new();
                return match head.try_read(section, limits)? {
                    Some(length) => Ok(Some(self.begin(head, length))),
                    None => Err(InvalidMessage::HEAD_TOO_LARGE),
                };
            } else if lines.count() - 1 > limits.fields {
                return Err(InvalidMessage::TOO_MANY_FIELDS);
            } else if matches!(bytes[line.start], b' ' | b'\t') {
                return Err(InvalidMessage::bad(
                    "a header is folded over more than one line",
                ));
            }
        }
    }

    #[inline]
    fn begin(&mut self, head: RequestHead, length: usize) -> Event {
        self.state = RequestDecoderState::after(&head.parts);
        self.input.skip(length);
        Event::Head(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::lines::work::take_work;

    /// Decodes the pieces after a head, and returns the number of events.
    fn count(
        decoder: &mut Decoder,
        pieces: impl IntoIterator<Item = Bytes>,
        limits: &Limits,
    ) -> usize {
        let mut count = 0;
        for piece in pieces {
            decoder.push(piece);
            while let Some(event) = decoder.next(limits) {
                assert!(!matches!(event, Event::Error(_)), "{event:?}");
                count += 1;
            }
        }
        count
    }

    fn bytewise(bytes: &[u8]) -> impl Iterator<Item = Bytes> + '_ {
        bytes.iter().map(|byte| Bytes::copy_from_slice(&[*byte]))
    }

    #[test]
    fn an_idle_decoder_is_small_and_keeps_nothing() {
        assert!(size_of::<Decoder>() <= 64);
        let mut decoder = Decoder::new();
        let request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        assert_eq!(
            count(&mut decoder, bytewise(request), &Limits::default()),
            2
        );
        assert!(matches!(&decoder.input, InputBuffer::Read(read) if read.is_empty()));
        let read = Bytes::from(request.to_vec());
        assert_eq!(count(&mut decoder, [read.clone()], &Limits::default()), 2);
        assert!(read.is_unique() && decoder.is_idle());
    }

    #[test]
    fn a_head_is_small() {
        assert!(size_of::<Event>() <= 144, "{}", size_of::<Event>());
    }

    #[test]
    fn a_head_in_single_bytes_is_not_reparsed_with_each_byte() {
        let head = format!(
            "GET / HTTP/1.1\r\nHost: h\r\n{}\r\n",
            "X: 0123456789abcdef\r\n".repeat(90)
        );
        take_work();
        assert_eq!(
            count(
                &mut Decoder::new(),
                bytewise(head.as_bytes()),
                &Limits::default()
            ),
            2
        );
        // The line ends are searched once, the complete head is parsed once, and the first byte is checked again.
        let work = take_work();
        assert!(work <= 2 * head.len() + 16, "{work} for {}", head.len());
    }

    #[test]
    fn trailers_in_single_bytes_are_not_searched_again_with_each_byte() {
        let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        let trailers = format!("0\r\n{}\r\n", "X: 0123456789abcdef\r\n".repeat(90));
        let mut decoder = Decoder::new();
        assert_eq!(
            count(&mut decoder, [Bytes::from(head)], &Limits::default()),
            1
        );
        take_work();
        assert_eq!(
            count(
                &mut decoder,
                bytewise(trailers.as_bytes()),
                &Limits::default()
            ),
            2
        );
        let work = take_work();
        assert!(work <= trailers.len(), "{work} for {}", trailers.len());
    }

    #[test]
    fn a_million_chunks_are_decoded_without_a_copy() {
        let mut decoder = Decoder::new();
        let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(
            count(&mut decoder, [Bytes::from(head)], &Limits::default()),
            1
        );
        let read = Bytes::from("1\r\na\r\n".repeat(1_000_000) + "0\r\n\r\n");
        decoder.push(read.clone());
        for chunk in 0..1_000_000 {
            let Some(Event::Body(piece)) = decoder.next(&Limits::default()) else {
                panic!("{chunk}")
            };
            assert_eq!(piece.as_ptr(), read[6 * chunk + 3..].as_ptr());
            assert_eq!(
                decoder.buffered(),
                read.len() - 6 * chunk - 4,
                "bytes were copied or decoded early"
            );
        }
        assert!(matches!(
            decoder.next(&Limits::default()),
            Some(Event::Complete)
        ));
    }
}

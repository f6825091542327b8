//! Sans-I/O frame codec of the connections between the buses of two processes.
//!
//! A frame consists of a length in four bytes, a kind in one byte, and a body. The length covers the kind and the body.
//! Numbers are little-endian.
//!
//! | kind | body |
//! |---:|---|
//! | 1 hello | the four bytes `UPTB`, and the version of this format in one; the first frame in each direction |
//! | 2 ready | empty; all topics that had subscribers at the start have been announced |
//! | 3 subscribe | a topic |
//! | 4 unsubscribe | a topic |
//! | 5 reset | empty; withdraws all topics |
//! | 6 message | the length of the topic in two bytes, the topic, the payload |
//!
//! A topic is UTF-8. Anything else is an error, after which nothing is decoded.

use bytes::{Buf, Bytes, BytesMut};

use super::local::{MESSAGE_LIMIT, TOPIC_LIMIT};

/// The version of the format.
pub const VERSION: u8 = 1;

const MAGIC: &[u8] = b"UPTB";

/// The number of bytes before the kind.
const LENGTH: usize = 4;

const HELLO: u8 = 1;
const READY: u8 = 2;
const SUBSCRIBE: u8 = 3;
const UNSUBSCRIBE: u8 = 4;
const RESET: u8 = 5;
const MESSAGE: u8 = 6;

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// The first frame of a connection, with the version of the format.
    Hello(u8),
    /// All topics that had subscribers at the start have been announced.
    Ready,
    /// A topic has subscribers.
    Subscribe(&'a str),
    /// A topic has no subscribers any more.
    Unsubscribe(&'a str),
    /// Withdraws all topics. Topics with subscribers are announced again after this frame.
    Reset,
    /// A message.
    Message {
        /// Its topic.
        topic: &'a str,
        /// Its payload.
        payload: Bytes,
    },
}

/// A malformed frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The frame is longer than the limit.
    #[error("a frame of {length} bytes is longer than the limit of {limit}")]
    TooLong {
        /// The number of bytes in it.
        length: usize,
        /// The maximum.
        limit: usize,
    },
    /// The kind of the frame is unknown.
    #[error("a frame has the unknown kind {0}")]
    Kind(u8),
    /// The body does not have the form that the kind requires.
    #[error("the body of a frame of the kind {0} is malformed")]
    Body(u8),
}

/// An incremental frame decoder.
///
/// The input may be split anywhere. A frame that arrives in one piece is not copied: its payload shares the memory of
/// the pushed bytes.
///
/// # Limits
/// Frames of 2 MiB and 64 KiB: [`MESSAGE_LIMIT`] for the payload, [`TOPIC_LIMIT`] for the topic.
///
/// # Examples
/// ```
/// use bytes::BytesMut;
/// use uptick_workers::bus::frame::{Frame, FrameDecoder, append};
///
/// let mut bytes = Vec::new();
/// append(&mut bytes, &Frame::Subscribe("news"));
/// let mut decoder = FrameDecoder::new();
/// decoder.push(&mut BytesMut::from(&bytes[..]));
/// assert_eq!(decoder.next(), Ok(Some(Frame::Subscribe("news"))));
/// assert_eq!(decoder.next(), Ok(None));
/// ```
#[derive(Debug, Default)]
pub struct FrameDecoder {
    /// The beginning of an incomplete frame.
    partial: BytesMut,
    /// Received bytes after the current frame.
    rest: BytesMut,
    /// The frame that was returned last.
    current: Bytes,
    failed: Option<FrameError>,
}

impl FrameDecoder {
    /// Creates a decoder.
    pub fn new() -> Self {
        FrameDecoder::default()
    }

    /// Adds bytes; `bytes` is empty afterwards.
    pub fn push(&mut self, bytes: &mut BytesMut) {
        match self.rest.is_empty() {
            true => self.rest = bytes.split(),
            false => self.rest.extend_from_slice(&bytes.split()),
        }
    }

    /// Returns the next frame; `None` until more bytes are pushed.
    ///
    /// # Errors
    /// Returns an error if the frame is malformed, and again on each later call.
    #[expect(
        clippy::should_implement_trait,
        reason = "a frame borrows from the decoder"
    )]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        match self.take() {
            Ok(Some(frame)) => self.current = frame,
            Ok(None) => {
                // The memory may be the loop's read buffer, which is reused once this reference is gone.
                self.current = Bytes::new();
                self.rest = BytesMut::new();
                return Ok(None);
            }
            Err(error) => {
                self.failed = Some(error.clone());
                return Err(error);
            }
        }
        let frame = parse(&self.current);
        if let Err(error) = &frame {
            self.failed = Some(error.clone());
        }
        frame.map(Some)
    }

    /// Returns the kind and the body of the next frame.
    fn take(&mut self) -> Result<Option<Bytes>, FrameError> {
        if self.partial.is_empty() {
            if let Some(length) = length(&self.rest)?
                && self.rest.len() >= LENGTH + length
            {
                self.rest.advance(LENGTH);
                return Ok(Some(self.rest.split_to(length).freeze()));
            }
            if self.rest.is_empty() {
                return Ok(None);
            }
        }
        // Only the missing bytes are copied to the beginning; the rest stays in place.
        self.fill(LENGTH);
        let Some(length) = length(&self.partial)? else {
            return Ok(None);
        };
        self.fill(LENGTH + length);
        if self.partial.len() < LENGTH + length {
            return Ok(None);
        }
        self.partial.advance(LENGTH);
        Ok(Some(self.partial.split().freeze()))
    }

    /// Moves bytes into the partial frame until it has `length` bytes, or no bytes are left.
    fn fill(&mut self, length: usize) {
        let missing = length.saturating_sub(self.partial.len());
        self.partial.reserve(missing);
        let bytes = self.rest.split_to(missing.min(self.rest.len()));
        self.partial.extend_from_slice(&bytes);
    }
}

/// Returns the length of the kind and the body of the first frame; `None` if there are too few bytes.
fn length(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    const LIMIT: usize = 1 + 2 + TOPIC_LIMIT + MESSAGE_LIMIT;
    let Some(&length) = bytes.first_chunk() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    match length <= LIMIT {
        true => Ok(Some(length)),
        false => Err(FrameError::TooLong {
            length,
            limit: LIMIT,
        }),
    }
}

fn parse(frame: &Bytes) -> Result<Frame<'_>, FrameError> {
    let (&kind, body) = frame.split_first().ok_or(FrameError::Kind(0))?;
    let malformed = FrameError::Body(kind);
    let topic = |bytes| std::str::from_utf8(bytes).map_err(|_| FrameError::Body(kind));
    match kind {
        HELLO => match body.strip_prefix(MAGIC) {
            Some(&[version]) => Ok(Frame::Hello(version)),
            _ => Err(malformed),
        },
        READY if body.is_empty() => Ok(Frame::Ready),
        RESET if body.is_empty() => Ok(Frame::Reset),
        READY | RESET => Err(malformed),
        SUBSCRIBE | UNSUBSCRIBE if body.len() > TOPIC_LIMIT => Err(malformed),
        SUBSCRIBE => Ok(Frame::Subscribe(topic(body)?)),
        UNSUBSCRIBE => Ok(Frame::Unsubscribe(topic(body)?)),
        MESSAGE => {
            let (&length, rest) = body.split_first_chunk().ok_or(malformed)?;
            let length = usize::from(u16::from_le_bytes(length));
            let name = rest.get(..length).ok_or(FrameError::Body(kind))?;
            let payload = frame.slice(1 + 2 + length..);
            if payload.len() > MESSAGE_LIMIT {
                return Err(FrameError::Body(kind));
            }
            Ok(Frame::Message {
                topic: topic(name)?,
                payload,
            })
        }
        _ => Err(FrameError::Kind(kind)),
    }
}

/// Appends a frame.
///
/// A topic or a payload that is longer than its limit is truncated.
pub fn append(out: &mut Vec<u8>, frame: &Frame<'_>) {
    match frame {
        Frame::Hello(version) => append_body(out, HELLO, &[MAGIC, &[*version]]),
        Frame::Ready => append_body(out, READY, &[]),
        Frame::Subscribe(topic) => append_body(out, SUBSCRIBE, &[truncate_topic(topic).as_bytes()]),
        Frame::Unsubscribe(topic) => {
            append_body(out, UNSUBSCRIBE, &[truncate_topic(topic).as_bytes()])
        }
        Frame::Reset => append_body(out, RESET, &[]),
        Frame::Message { topic, payload } => {
            let payload = &payload[..payload.len().min(MESSAGE_LIMIT)];
            append_message_head(out, topic, payload.len());
            out.extend_from_slice(payload);
        }
    }
}

/// Appends a message without its payload. The caller appends `payload` bytes after it.
pub fn append_message_head(out: &mut Vec<u8>, topic: &str, payload: usize) {
    let topic = truncate_topic(topic);
    append_length(out, 1 + 2 + topic.len() + payload);
    out.push(MESSAGE);
    let length = u16::try_from(topic.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(topic.as_bytes());
}

fn append_body(out: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    append_length(out, 1 + parts.iter().map(|part| part.len()).sum::<usize>());
    out.push(kind);
    for part in parts {
        out.extend_from_slice(part);
    }
}

fn append_length(out: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
}

fn truncate_topic(topic: &str) -> &str {
    let mut end = topic.len().min(TOPIC_LIMIT);
    while !topic.is_char_boundary(end) {
        end -= 1;
    }
    &topic[..end]
}

//! Decoding of messages and control frames.
//!
//! A short message that was received as a whole takes about 180 instructions, 80 of them in `bytes`: the head is parsed once, one pass
//! unmasks the payload in place and checks whether it is ASCII, and the payload is sliced. There is no allocation.

use bytes::{Buf, Bytes, BytesMut};

use super::close::CloseFrame;
use super::close_code::CloseCode;
use super::deflate::Inflater;
use super::frame::Opcode;
use super::head::{self, FrameHead, MASK_BIT};
use super::invalid::Invalid;
use super::limits::Limits;
use super::mask;
use super::partial_message::PartialMessage;
use super::utf8;
use crate::{Message, Text};

/// The first byte of an uncompressed text message in one frame.
const SINGLE_TEXT: u8 = 0x81;
/// The first byte of an uncompressed binary message in one frame.
const SINGLE_BINARY: u8 = 0x82;

/// Maximum capacity of the buffer that is kept for an incomplete head or control frame; a larger buffer is the read buffer that they
/// were split from.
const MAX_KEPT_CAPACITY: usize = 512;

/// The side of the connection that decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The server: decodes frames of a client, which must be masked (RFC 6455, section 5.1).
    Server,
    /// The client: decodes frames of a server, which must not be masked.
    Client,
}

/// An event of a [`Decoder`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A complete message, of any number of frames.
    Message(Message),
    /// A ping. Respond with a pong with the same payload.
    Ping(Bytes),
    /// A pong.
    Pong(Bytes),
    /// A close frame of the peer. Respond with a close frame. There are no events after this one.
    Close(Option<CloseFrame>),
    /// A protocol violation. There are no events after this one.
    Error(Invalid),
}

/// A decoder of the bytes received on a connection after the handshake.
///
/// The events do not depend on how the bytes are split. A protocol violation is reported at the first byte that
/// reveals it: a frame by its head, text by the first byte that cannot be UTF-8. Between messages, a
/// decoder holds no memory besides its own.
#[derive(Debug)]
pub struct Decoder {
    /// Bytes that are not part of an event yet. An incomplete frame is copied out of the read buffer.
    input: BytesMut,
    partial: Option<Box<PartialMessage>>,
    mask_bit: u8,
    compressed: bool,
    /// `true` if `input` is not part of the read buffer.
    owns_input: bool,
    finished: bool,
}

impl Decoder {
    /// Creates a decoder for one side of a connection, without compression.
    pub fn new(role: Role) -> Decoder {
        Decoder {
            input: BytesMut::new(),
            partial: None,
            mask_bit: mask_bit(role),
            compressed: false,
            owns_input: false,
            finished: false,
        }
    }

    /// Sets whether compression was negotiated. Default: no.
    #[must_use]
    pub fn compressed(mut self, compressed: bool) -> Decoder {
        self.compressed = compressed;
        self
    }

    /// Adds received bytes, which are unmasked in place. Read all events before adding more bytes, so that only incomplete frames
    /// have to be copied. After a close frame or a protocol violation, added bytes are discarded.
    #[inline]
    pub fn push(&mut self, bytes: BytesMut) {
        if !self.input.is_empty() {
            self.append(&bytes);
        } else if !bytes.is_empty() && !self.finished {
            self.input = bytes;
            self.owns_input = false;
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        if !self.owns_input {
            self.input = BytesMut::from(&self.input[..]);
            self.owns_input = true;
        }
        self.input.extend_from_slice(bytes);
    }

    /// Returns the next event, or `None` if more bytes are needed. `inflate` is required for a connection with
    /// [compression](Decoder::compressed).
    #[inline]
    pub fn next(&mut self, limits: &Limits, inflate: Option<&mut Inflater>) -> Option<Event> {
        if self.input.is_empty() {
            return None;
        }
        if self.partial.is_none()
            && let Some(message) = single_frame_message(&mut self.input, self.mask_bit, limits)
        {
            self.release();
            return Some(Event::Message(message));
        }
        self.advance(limits, inflate)
    }

    /// Returns `true` between messages, if no further bytes were received: a new decoder would behave in the same way. Returns `false`
    /// after a close frame or a protocol violation.
    pub fn is_idle(&self) -> bool {
        self.partial.is_none() && self.input.is_empty() && !self.finished
    }

    /// Returns the number of added bytes that are not part of an event yet.
    pub fn buffered(&self) -> usize {
        let payload = self
            .partial
            .as_ref()
            .map_or(0, |partial| partial.payload.len());
        self.input.len() + payload
    }

    /// Decodes a message at the start of `bytes` without a decoder, if it is complete in one frame and not compressed, which is
    /// the most common case. Otherwise returns `None` and leaves the bytes unchanged, to be [pushed](Decoder::push). Thus a connection
    /// needs a decoder only while it has an incomplete message.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use uptick_websocket::protocol::{Decoder, Limits, Role};
    ///
    /// let limits = Limits::default();
    /// let mut read = BytesMut::from(&b"\x81\x01a\x82\x01b\x89\0"[..]);
    /// let mut messages = 0;
    /// while let Some(_message) = Decoder::whole_message(Role::Client, &mut read, &limits) {
    ///     messages += 1;
    /// }
    /// assert!(messages == 2 && read == b"\x89\0"[..]);
    /// ```
    #[inline]
    pub fn whole_message(role: Role, bytes: &mut BytesMut, limits: &Limits) -> Option<Message> {
        single_frame_message(bytes, mask_bit(role), limits)
    }

    /// Removes the head and the payload of a frame from the input; returns the payload.
    #[inline(never)]
    fn take(&mut self, head: usize, length: usize) -> Bytes {
        let payload = take(&mut self.input, head, length);
        self.release();
        payload
    }

    /// Removes bytes from the start of the input, and the buffer when it is empty.
    fn skip(&mut self, count: usize) {
        self.input.advance(count);
        self.release();
    }

    /// Drops the buffer if it is empty.
    #[inline]
    fn release(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
    }

    #[inline(never)]
    fn advance(&mut self, limits: &Limits, inflate: Option<&mut Inflater>) -> Option<Event> {
        match self.try_advance(limits, inflate) {
            Ok(Some(Event::Close(frame))) => Some(self.end(Event::Close(frame))),
            Ok(None) => {
                self.keep();
                None
            }
            Ok(event) => event,
            Err(invalid) => Some(self.end(Event::Error(invalid))),
        }
    }

    #[cold]
    fn end(&mut self, event: Event) -> Event {
        self.input = BytesMut::new();
        self.partial = None;
        self.finished = true;
        event
    }

    /// Copies the remaining bytes out of the read buffer, so that it can be reused.
    fn keep(&mut self) {
        if !self.input.is_empty() && (!self.owns_input || self.input.capacity() > MAX_KEPT_CAPACITY)
        {
            self.input = BytesMut::from(&self.input[..]);
            self.owns_input = true;
        }
    }

    fn try_advance(
        &mut self,
        limits: &Limits,
        inflate: Option<&mut Inflater>,
    ) -> Result<Option<Event>, Invalid> {
        loop {
            if let Some(partial) = &mut self.partial {
                let count = partial.take(&self.input)?;
                let (in_frame, complete) = (partial.is_in_frame(), partial.is_complete());
                self.skip(count);
                if complete {
                    return self.finish(limits, inflate).map(Some);
                }
                if in_frame {
                    return Ok(None);
                }
            }
            let Some(head) = head::parse(&self.input, self.mask_bit, self.compressed)? else {
                return Ok(None);
            };
            if head.opcode.is_control() {
                return self.control(&head);
            }
            let length = self.check(&head, limits)?;
            if self.partial.is_none()
                && head.fin
                && let Some(payload) = self.payload(&head, length)
            {
                return complete_frame(&head, payload, limits, inflate).map(Some);
            }
            let partial = self.partial.get_or_insert_with(|| {
                Box::new(PartialMessage::new(
                    head.opcode == Opcode::Text,
                    head.compressed,
                ))
            });
            partial.begin_frame(&head, length, self.input.len() - head.size);
            self.skip(head.size);
        }
    }

    /// Returns the event of a control frame if it is complete.
    fn control(&mut self, head: &FrameHead) -> Result<Option<Event>, Invalid> {
        let Some(payload) = self.payload(head, head.length as usize) else {
            return Ok(None);
        };
        Ok(Some(match head.opcode {
            Opcode::Ping => Event::Ping(payload),
            Opcode::Pong => Event::Pong(payload),
            _ => Event::Close(CloseFrame::parse(payload)?),
        }))
    }

    /// Unmasks and removes the payload of the frame at the start of the input if it is complete.
    fn payload(&mut self, head: &FrameHead, length: usize) -> Option<Bytes> {
        let payload = self.input.get_mut(head.size..)?.get_mut(..length)?;
        if let Some(key) = head.key {
            mask::apply(payload, key, 0);
        }
        Some(self.take(head.size, length))
    }

    /// Checks whether a data frame is allowed at this position and with this length. Returns the length.
    fn check(&self, head: &FrameHead, limits: &Limits) -> Result<usize, Invalid> {
        let (before, fragments, compressed) = match &self.partial {
            Some(partial) => (
                partial.payload.len(),
                partial.fragments,
                partial.is_compressed,
            ),
            None => (0, 0, head.compressed),
        };
        match head.opcode {
            Opcode::Continuation if fragments == 0 => {
                return Err(Invalid::protocol(
                    "a continuation frame has no message to continue",
                ));
            }
            Opcode::Text | Opcode::Binary if fragments > 0 => {
                return Err(Invalid::protocol("a message starts within another"));
            }
            _ => {}
        }
        if fragments >= limits.fragments {
            return Err(Invalid::FRAGMENTS);
        }
        let max = if compressed {
            limits.compressed()
        } else {
            limits.message
        };
        match usize::try_from(head.length) {
            Ok(length) if length <= max.saturating_sub(before) => Ok(length),
            _ => Err(Invalid::TOO_BIG),
        }
    }

    /// Returns the message that was received in parts.
    fn finish(
        &mut self,
        limits: &Limits,
        inflate: Option<&mut Inflater>,
    ) -> Result<Event, Invalid> {
        let Some(partial) = self.partial.take() else {
            return Err(Invalid::new(CloseCode::INTERNAL, "there is no message"));
        };
        let payload = if partial.is_compressed {
            let payload = inflated(&partial.payload, limits, inflate)?;
            if partial.is_text {
                utf8::check(&payload)?;
            }
            payload
        } else {
            partial.finish()?;
            partial.payload.freeze()
        };
        Ok(Event::Message(message(partial.is_text, payload)))
    }
}

/// Returns the mask bit of received frames.
#[inline]
fn mask_bit(role: Role) -> u8 {
    match role {
        Role::Server => MASK_BIT,
        Role::Client => 0,
    }
}

/// Returns the message at the start of `input` if it is complete in one frame and not compressed; otherwise returns `None` and leaves the
/// input unchanged.
#[inline]
fn single_frame_message(input: &mut BytesMut, mask_bit: u8, limits: &Limits) -> Option<Message> {
    let bytes = &mut input[..];
    let [first, second, ..] = *bytes else {
        return None;
    };
    if !matches!(first, SINGLE_TEXT | SINGLE_BINARY) {
        return None;
    }
    // Clears the mask bit if it is as required.
    let (mut head, length) = match second ^ mask_bit {
        short @ 0..126 => (2, usize::from(short)),
        126 => match *bytes {
            [_, _, high, low, ..] if high > 0 || low > 125 => {
                (4, usize::from(u16::from_be_bytes([high, low])))
            }
            _ => return None,
        },
        127 => {
            let length = u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
            (
                10,
                usize::try_from(length).ok().filter(|&all| all > 0xffff)?,
            )
        }
        _ => return None,
    };
    if length > limits.message {
        return None;
    }
    let is_ascii = if mask_bit == 0 {
        let payload = bytes.get(head..)?.get(..length)?;
        first == SINGLE_BINARY || payload.is_ascii()
    } else {
        let (key, payload) = bytes.get_mut(head..)?.split_first_chunk_mut()?;
        let payload = payload.get_mut(..length)?;
        head += key.len();
        mask::apply_and_check_ascii_from_start(payload, *key)
    };
    if first == SINGLE_BINARY {
        return Some(Message::Binary(take(input, head, length)));
    }
    if !is_ascii && !is_text(input, head, length, mask_bit) {
        return None;
    }
    Some(Message::Text(Text::of_valid(take(input, head, length))))
}

/// Returns `true` if a payload is UTF-8. If not, it is masked again, so that the decoder can report the error.
#[inline(never)]
fn is_text(input: &mut BytesMut, head: usize, length: usize, mask_bit: u8) -> bool {
    let (before, payload) = input.split_at_mut(head);
    let payload = payload.get_mut(..length).unwrap_or_default();
    let is_text = utf8::check(payload).is_ok();
    if !is_text && mask_bit != 0 {
        mask::apply(payload, before.last_chunk().copied().unwrap_or_default(), 0);
    }
    is_text
}

/// Removes the head and the payload of a frame from the input; returns the payload. The spare capacity stays in `input`, because the
/// buffer may be the read buffer.
#[inline(always)]
fn take(input: &mut BytesMut, head: usize, length: usize) -> Bytes {
    let mut frame = input.split_to(head + length).freeze();
    // Advancing takes fewer instructions after `freeze` than before it.
    frame.advance(head);
    frame
}

/// Returns the message of a complete frame.
fn complete_frame(
    head: &FrameHead,
    payload: Bytes,
    limits: &Limits,
    inflate: Option<&mut Inflater>,
) -> Result<Event, Invalid> {
    let is_text = head.opcode == Opcode::Text;
    let payload = if head.compressed {
        inflated(&payload, limits, inflate)?
    } else {
        payload
    };
    if is_text {
        utf8::check(&payload)?;
    }
    Ok(Event::Message(message(is_text, payload)))
}

fn inflated(
    payload: &[u8],
    limits: &Limits,
    inflate: Option<&mut Inflater>,
) -> Result<Bytes, Invalid> {
    match inflate {
        Some(inflater) => inflater.inflate(payload, limits.message).map(Bytes::from),
        None => Err(Invalid::new(
            CloseCode::INTERNAL,
            "there is no inflater for a compressed message",
        )),
    }
}

/// Creates a message from a validated payload.
fn message(is_text: bool, payload: Bytes) -> Message {
    if is_text {
        Message::Text(Text::of_valid(payload))
    } else {
        Message::Binary(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::frame::{self, Flags};

    const LIMITS: fn() -> Limits = Limits::default;

    fn masked(opcode: Opcode, flags: Flags, payload: &[u8]) -> BytesMut {
        let mut frame = Vec::new();
        frame::append(&mut frame, opcode, flags, Some([1, 2, 3, 4]), payload);
        BytesMut::from(&frame[..])
    }

    #[test]
    fn an_idle_decoder_is_small_and_holds_no_buffer() {
        assert!(size_of::<Decoder>() <= 56, "{}", size_of::<Decoder>());
        let mut decoder = Decoder::new(Role::Server);
        let frames = [
            masked(Opcode::Text, Flags::empty(), b"in "),
            masked(Opcode::Ping, Flags::FIN, b"x"),
            masked(Opcode::Continuation, Flags::FIN, b"parts"),
        ]
        .concat();
        for size in [1, 7, frames.len()] {
            let mut count = 0;
            for piece in frames.chunks(size) {
                decoder.push(piece.into());
                count += std::iter::from_fn(|| decoder.next(&LIMITS(), None)).count();
            }
            assert_eq!(count, 2);
            assert!(decoder.is_idle() && decoder.partial.is_none());
            assert_eq!(decoder.input.capacity(), 0);
        }
    }

    #[test]
    fn a_complete_payload_is_a_slice_of_the_input() {
        for length in [0, 5, 125, 126, 65_535, 65_536] {
            let mut both = masked(Opcode::Text, Flags::FIN, &vec![b'a'; length]);
            let size = both.len();
            both.extend_from_slice(&masked(Opcode::Binary, Flags::FIN, &vec![200; length]));
            let (first, second) = (
                both[size - length..].as_ptr(),
                both[2 * size - length..].as_ptr(),
            );
            let mut decoder = Decoder::new(Role::Server);
            decoder.push(both);
            for start in [first, second] {
                let Some(Event::Message(message)) = decoder.next(&LIMITS(), None) else {
                    panic!("no message of {length}")
                };
                assert_eq!(message.len(), length);
                assert!(length == 0 || message.as_bytes().as_ptr() == start);
            }
            assert_eq!(decoder.input.capacity(), 0);
        }
    }

    #[test]
    fn a_complete_message_leaves_the_spare_capacity_in_the_read_buffer() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let frame = masked(Opcode::Text, Flags::FIN, &vec![b'a'; length]);
            let mut read = BytesMut::with_capacity(frame.len() + 100);
            read.extend_from_slice(&frame);
            let message = Decoder::whole_message(Role::Server, &mut read, &LIMITS());
            assert_eq!(message.map(|message| message.len()), Some(length));
            assert!(read.is_empty() && read.capacity() >= 100);
        }
    }

    #[test]
    fn an_invalid_length_is_left_to_the_decoder() {
        for head in [
            &[0x82, 126, 0, 125][..],
            &[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
            &[0x82, 127, 0, 0, 0, 0, 0, 1],
            &[0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ] {
            let mut read = BytesMut::from(head);
            read.resize(70_000, 0);
            read.truncate(if head.len() == 8 { 8 } else { 70_000 });
            let before = read.clone();
            let limits = LIMITS().message(usize::MAX);
            assert_eq!(
                Decoder::whole_message(Role::Client, &mut read, &limits),
                None
            );
            assert_eq!(read, before);
        }
    }

    #[test]
    fn an_incomplete_head_is_copied_out_of_a_large_buffer() {
        let mut read = BytesMut::with_capacity(65_536);
        read.extend_from_slice(&masked(Opcode::Ping, Flags::FIN, b"ping")[..7]);
        let mut decoder = Decoder::new(Role::Server);
        decoder.push(read.split());
        assert!(decoder.next(&LIMITS(), None).is_none());
        assert_eq!(decoder.buffered(), 7);
        // Only a buffer without other references can be reclaimed as a whole.
        assert!(read.try_reclaim(65_536));
        decoder.push(masked(Opcode::Ping, Flags::FIN, b"ping").split_off(7));
        assert_eq!(
            decoder.next(&LIMITS(), None),
            Some(Event::Ping("ping".into()))
        );
    }

    #[test]
    fn bytes_pushed_before_all_events_are_read_are_not_lost() {
        let frame = masked(Opcode::Text, Flags::FIN, b"one");
        let mut decoder = Decoder::new(Role::Server);
        decoder.push(frame.clone());
        decoder.push(BytesMut::new());
        decoder.push(frame);
        let events: Vec<_> = std::iter::from_fn(|| decoder.next(&LIMITS(), None)).collect();
        assert_eq!(events, vec![Event::Message("one".into()); 2]);
    }

    #[test]
    fn without_an_inflater_a_compressed_message_is_an_error() {
        let mut decoder = Decoder::new(Role::Server).compressed(true);
        decoder.push(masked(Opcode::Text, Flags::FIN | Flags::RSV1, b"\0"));
        let Some(Event::Error(invalid)) = decoder.next(&LIMITS(), None) else {
            panic!("the message was accepted")
        };
        assert_eq!(invalid.code(), CloseCode::INTERNAL);
        decoder.push(masked(Opcode::Text, Flags::FIN, b"later"));
        assert!(decoder.next(&LIMITS(), None).is_none());
        assert!(!decoder.is_idle() && decoder.buffered() == 0);
    }
}

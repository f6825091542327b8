//! Messages and control frames out of bytes.
//!
//! A short message that came whole takes about 180 instructions, 80 of them in `bytes`: one look at its head, one pass
//! that unmasks it in place and tells whether it is ASCII, and its slice. It takes no allocation.

use bytes::{Buf, Bytes, BytesMut};

use super::close::CloseFrame;
use super::close_code::CloseCode;
use super::deflate::Inflater;
use super::frame::Opcode;
use super::head::{self, MASKED, Received};
use super::invalid::Invalid;
use super::limits::Limits;
use super::mask;
use super::partial::Partial;
use super::utf8;
use crate::{Message, Text};

/// A whole message of text in one frame that is not compressed.
const WHOLE_TEXT: u8 = 0x81;
/// The same, of bytes.
const WHOLE_BINARY: u8 = 0x82;

/// The most bytes for which the buffer of an incomplete head or control frame is kept; a larger one is what they were
/// cut from.
const TAIL: usize = 512;

/// Which side of a connection decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes what clients send, all of which has to be masked (RFC 6455, 5.1).
    Server,
    /// Takes what a server sends, none of which may be masked.
    Client,
}

/// What a [`Decoder`] has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole message, whatever the number of frames.
    Message(Message),
    /// A ping, which is to be answered by a pong with the same payload.
    Ping(Bytes),
    /// A pong.
    Pong(Bytes),
    /// The other side closes, which is to be answered by a close frame. Nothing comes after this.
    Close(Option<CloseFrame>),
    /// What came is refused, and nothing comes after this.
    Error(Invalid),
}

/// Reads what comes on one connection, behind the handshake.
///
/// However the bytes are cut into pieces, the events are the same. What the other side may not send is refused by the
/// first byte that tells: a frame by its head, text by the first byte that no text has there. Between two messages, a
/// decoder keeps no memory but its own.
#[derive(Debug)]
pub struct Decoder {
    /// What came and is in no event yet. A beginning that is not whole was copied out of the buffer it was read into.
    input: BytesMut,
    partial: Option<Box<Partial>>,
    masked: u8,
    compressed: bool,
    /// Whether `input` has a buffer of its own.
    kept: bool,
    over: bool,
}

impl Decoder {
    /// A decoder for one side of a connection, for messages that are not compressed.
    pub fn new(role: Role) -> Decoder {
        Decoder {
            input: BytesMut::new(),
            partial: None,
            masked: masked(role),
            compressed: false,
            kept: false,
            over: false,
        }
    }

    /// Sets whether messages may be compressed, as it was agreed on. Default: no.
    #[must_use]
    pub fn compressed(mut self, compressed: bool) -> Decoder {
        self.compressed = compressed;
        self
    }

    /// Takes what came, to be unmasked in place. Read all events before more is pushed, so that nothing has to be copied
    /// but what is not whole. After a close frame or what was refused, what comes is dropped.
    #[inline]
    pub fn push(&mut self, bytes: BytesMut) {
        if !self.input.is_empty() {
            self.append(&bytes);
        } else if !bytes.is_empty() && !self.over {
            self.input = bytes;
            self.kept = false;
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        if !self.kept {
            self.input = BytesMut::from(&self.input[..]);
            self.kept = true;
        }
        self.input.extend_from_slice(bytes);
    }

    /// The next event, or none if more bytes are needed for one. `inflate` is for a connection that was told to be
    /// [`compressed`](Decoder::compressed).
    #[inline]
    pub fn next(&mut self, limits: &Limits, inflate: Option<&mut Inflater>) -> Option<Event> {
        if self.input.is_empty() {
            return None;
        }
        if self.partial.is_none()
            && let Some(message) = whole_message(&mut self.input, self.masked, limits)
        {
            self.release();
            return Some(Event::Message(message));
        }
        self.advance(limits, inflate)
    }

    /// Whether it is between two messages, without a byte of what follows: a new one would go on in the same way. It is not
    /// after a close frame or what was refused.
    pub fn is_idle(&self) -> bool {
        self.partial.is_none() && self.input.is_empty() && !self.over
    }

    /// The number of bytes that were pushed and are in no event yet.
    pub fn buffered(&self) -> usize {
        let payload = self
            .partial
            .as_ref()
            .map_or(0, |partial| partial.payload.len());
        self.input.len() + payload
    }

    /// What a new decoder would make of bytes that begin with a message that is whole in one frame and not compressed, as
    /// most do: that message. Other bytes stay as they are, to be [pushed](Decoder::push). So a connection needs a decoder
    /// only while something is not whole.
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
        whole_message(bytes, masked(role), limits)
    }

    /// Takes a payload out of the input, and drops the head before it.
    #[inline(never)]
    fn take(&mut self, head: usize, length: usize) -> Bytes {
        let payload = take(&mut self.input, head, length);
        self.release();
        payload
    }

    /// Drops the beginning of the input, and with the last byte the buffer.
    fn skip(&mut self, count: usize) {
        self.input.advance(count);
        self.release();
    }

    /// Drops the buffer if nothing is left in it.
    #[inline]
    fn release(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
    }

    #[inline(never)]
    fn advance(&mut self, limits: &Limits, inflate: Option<&mut Inflater>) -> Option<Event> {
        match self.try_advance(limits, inflate) {
            Ok(Some(Event::Close(says))) => Some(self.end(Event::Close(says))),
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
        self.over = true;
        event
    }

    /// Copies what is left out of the buffer that it was read into, so that others can have that.
    fn keep(&mut self) {
        if !self.input.is_empty() && (!self.kept || self.input.capacity() > TAIL) {
            self.input = BytesMut::from(&self.input[..]);
            self.kept = true;
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
            let Some(head) = head::parse(&self.input, self.masked, self.compressed)? else {
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
                return whole(&head, payload, limits, inflate).map(Some);
            }
            let partial = self.partial.get_or_insert_with(|| {
                Box::new(Partial::new(head.opcode == Opcode::Text, head.compressed))
            });
            partial.begin(&head, length, self.input.len() - head.size);
            self.skip(head.size);
        }
    }

    /// A control frame, if it came whole.
    fn control(&mut self, head: &Received) -> Result<Option<Event>, Invalid> {
        let Some(payload) = self.payload(head, head.length as usize) else {
            return Ok(None);
        };
        Ok(Some(match head.opcode {
            Opcode::Ping => Event::Ping(payload),
            Opcode::Pong => Event::Pong(payload),
            _ => Event::Close(CloseFrame::parse(payload)?),
        }))
    }

    /// The payload of the frame that the input begins with, if it is whole.
    fn payload(&mut self, head: &Received, length: usize) -> Option<Bytes> {
        let payload = self.input.get_mut(head.size..)?.get_mut(..length)?;
        if let Some(key) = head.key {
            mask::apply(payload, key, 0);
        }
        Some(self.take(head.size, length))
    }

    /// Whether a data frame may come here, and be so long. Gives its length.
    fn check(&self, head: &Received, limits: &Limits) -> Result<usize, Invalid> {
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
                return Err(Invalid::protocol("a continuation has no message before it"));
            }
            Opcode::Text | Opcode::Binary if fragments > 0 => {
                return Err(Invalid::protocol("a message begins within another"));
            }
            _ => {}
        }
        if fragments >= limits.fragments {
            return Err(Invalid::FRAGMENTS);
        }
        let most = if compressed {
            limits.compressed()
        } else {
            limits.message
        };
        match usize::try_from(head.length) {
            Ok(length) if length <= most.saturating_sub(before) => Ok(length),
            _ => Err(Invalid::TOO_BIG),
        }
    }

    /// The message that came in parts.
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

/// The mask bit of the frames that a side gets.
#[inline]
fn masked(role: Role) -> u8 {
    match role {
        Role::Server => MASKED,
        Role::Client => 0,
    }
}

/// The message that some bytes begin with, if it is whole in one frame and not compressed; none if there is anything else
/// to say.
#[inline]
fn whole_message(input: &mut BytesMut, masked: u8, limits: &Limits) -> Option<Message> {
    let bytes = &mut input[..];
    let [first, second, ..] = *bytes else {
        return None;
    };
    if !matches!(first, WHOLE_TEXT | WHOLE_BINARY) {
        return None;
    }
    // The mask bit is 0 after this if it was as it has to be.
    let (mut head, length) = match second ^ masked {
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
    let is_ascii = if masked == 0 {
        let payload = bytes.get(head..)?.get(..length)?;
        first == WHOLE_BINARY || payload.is_ascii()
    } else {
        let (key, payload) = bytes.get_mut(head..)?.split_first_chunk_mut()?;
        let payload = payload.get_mut(..length)?;
        head += key.len();
        mask::is_ascii_after_all(payload, *key)
    };
    if first == WHOLE_BINARY {
        return Some(Message::Binary(take(input, head, length)));
    }
    if !is_ascii && !is_text(input, head, length, masked) {
        return None;
    }
    Some(Message::Text(Text::of_valid(take(input, head, length))))
}

/// Whether a payload is UTF-8. If not, it is as it came, for the one who says what is wrong with it.
#[inline(never)]
fn is_text(input: &mut BytesMut, head: usize, length: usize, masked: u8) -> bool {
    let (before, payload) = input.split_at_mut(head);
    let payload = payload.get_mut(..length).unwrap_or_default();
    let is_text = utf8::check(payload).is_ok();
    if !is_text && masked != 0 {
        mask::apply(payload, before.last_chunk().copied().unwrap_or_default(), 0);
    }
    is_text
}

/// Takes a payload out of some bytes, and drops the head before it. The room behind the bytes stays where it is: the buffer
/// may be lent.
#[inline(always)]
fn take(input: &mut BytesMut, head: usize, length: usize) -> Bytes {
    let mut frame = input.split_to(head + length).freeze();
    // This takes fewer instructions than before it was frozen.
    frame.advance(head);
    frame
}

/// The message of a frame that came whole.
fn whole(
    head: &Received,
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
            "there is nothing to inflate a compressed message with",
        )),
    }
}

/// A message of a payload that was checked.
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
    fn an_idle_decoder_is_small_and_keeps_nothing() {
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
    fn a_payload_that_came_whole_is_a_slice_of_what_came() {
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
            for place in [first, second] {
                let Some(Event::Message(message)) = decoder.next(&LIMITS(), None) else {
                    panic!("no message of {length}")
                };
                assert_eq!(message.len(), length);
                assert!(length == 0 || message.as_bytes().as_ptr() == place);
            }
            assert_eq!(decoder.input.capacity(), 0);
        }
    }

    #[test]
    fn a_message_that_came_whole_leaves_the_room_behind_it_in_the_lent_buffer() {
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
    fn a_length_that_is_not_in_its_shortest_form_or_too_long_is_left_to_the_decoder() {
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
    fn a_head_that_is_not_whole_is_copied_out_of_a_large_buffer() {
        let mut read = BytesMut::with_capacity(65_536);
        read.extend_from_slice(&masked(Opcode::Ping, Flags::FIN, b"ping")[..7]);
        let mut decoder = Decoder::new(Role::Server);
        decoder.push(read.split());
        assert!(decoder.next(&LIMITS(), None).is_none());
        assert_eq!(decoder.buffered(), 7);
        // Only a buffer that nobody else holds is given back whole.
        assert!(read.try_reclaim(65_536));
        decoder.push(masked(Opcode::Ping, Flags::FIN, b"ping").split_off(7));
        assert_eq!(
            decoder.next(&LIMITS(), None),
            Some(Event::Ping("ping".into()))
        );
    }

    #[test]
    fn what_is_pushed_before_all_events_are_read_is_not_lost() {
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
            panic!("it was taken")
        };
        assert_eq!(invalid.code(), CloseCode::INTERNAL);
        decoder.push(masked(Opcode::Text, Flags::FIN, b"later"));
        assert!(decoder.next(&LIMITS(), None).is_none());
        assert!(!decoder.is_idle() && decoder.buffered() == 0);
    }
}

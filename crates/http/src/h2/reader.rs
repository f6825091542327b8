//! The position in the received bytes.

use bytes::{Buf, BytesMut};

use super::event::Event;
use super::frame::{FrameHeader, HEADER_SIZE, kind};
use super::settings::Role;

/// The position in the received bytes. Between frames it owns no memory.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) phase: Phase,
    /// The start of a frame header.
    start: [u8; HEADER_SIZE],
    start_length: u8,
    /// The start of a payload.
    pub(super) kept: Vec<u8>,
    /// The start of a header block, without frame headers and padding.
    pub(super) block: Vec<u8>,
    /// The header block that CONTINUATION frames complete.
    pub(super) headers: Option<HeaderBlock>,
}

/// The part of a frame that is received next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    /// The client's preface, of which some bytes were received.
    Preface { received: u8 },
    /// A frame header.
    Header,
    /// A payload that is not complete.
    Payload(FrameHeader),
    /// The payload of a DATA frame.
    Data(DataFrame),
    /// Ignored bytes.
    Skip { left: u32 },
}

/// The result of a step.
pub(super) enum Progress {
    Event(Event),
    /// Continue with the next bytes.
    Continue,
    /// Wait for more bytes.
    Wait,
}

impl Reader {
    pub(super) fn new(role: Role) -> Reader {
        Reader {
            phase: match role {
                Role::Server => Phase::Preface { received: 0 },
                Role::Client => Phase::Header,
            },
            start: [0; HEADER_SIZE],
            start_length: 0,
            kept: Vec::new(),
            block: Vec::new(),
            headers: None,
        }
    }

    pub(super) fn is_mid_frame(&self) -> bool {
        let in_frame = matches!(self.phase, Phase::Preface { .. } | Phase::Payload(_));
        self.start_length > 0 || self.headers.is_some() || in_frame
    }

    pub(super) fn is_mid_head(&self) -> bool {
        let in_headers =
            matches!(self.phase, Phase::Payload(header) if header.kind == kind::HEADERS);
        in_headers || self.headers.is_some()
    }

    /// Returns the stream of the header block that was received in part.
    pub(super) fn partial_head(&self) -> Option<u32> {
        match (&self.headers, self.phase) {
            (Some(block), _) => Some(block.stream),
            (None, Phase::Payload(header)) if header.kind == kind::HEADERS => Some(header.stream),
            _ => None,
        }
    }

    /// Returns the next frame header and the number of bytes of `input` that it occupies, which are not taken out of `input`. Returns
    /// `None` if the header is incomplete.
    #[inline(always)]
    pub(super) fn header(&mut self, input: &mut BytesMut) -> Option<(FrameHeader, usize)> {
        match input.first_chunk() {
            Some(bytes) if self.start_length == 0 => Some((FrameHeader::parse(bytes), HEADER_SIZE)),
            _ => self.split_header(input),
        }
    }

    /// Returns a frame header that is received in several pieces.
    #[inline(never)]
    fn split_header(&mut self, input: &mut BytesMut) -> Option<(FrameHeader, usize)> {
        let received = usize::from(self.start_length);
        let space = self.start.get_mut(received..)?;
        let count = space.len().min(input.len());
        space[..count].copy_from_slice(&input[..count]);
        input.advance(count);
        self.start_length += count as u8;
        if usize::from(self.start_length) < HEADER_SIZE {
            return None;
        }
        self.start_length = 0;
        Some((FrameHeader::parse(&self.start), 0))
    }
}

/// A DATA frame whose payload is being received.
#[derive(Clone, Copy, Debug)]
pub(super) struct DataFrame {
    pub(super) stream: u32,
    /// Bytes of the payload that were not received, without the padding.
    pub(super) left: u32,
    pub(super) padding: u32,
    /// `true` until the length of the padding is received.
    pub(super) is_padded: bool,
    /// `true` if the frame ends the stream.
    pub(super) end: bool,
}

/// A header block that is being received.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeaderBlock {
    pub(super) stream: u32,
    /// `true` if the block ends the stream.
    pub(super) end: bool,
    /// `true` if the stream depends on itself.
    pub(super) is_circular: bool,
    /// Number of CONTINUATION frames.
    pub(super) continuations: u32,
}

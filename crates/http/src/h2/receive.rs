//! The frames in received bytes.

use std::time::Duration;

use bytes::{Buf, BytesMut};

use super::connection::{Connection, ConnectionFlags};
use super::data::DataFrame;
use super::error::ConnectionError;
use super::event::Event;
use super::frame::{FrameHeader, HEADER_SIZE, PREFACE, flag, kind};
use super::headers::HeaderBlock;
use super::settings::Role;
use crate::message::RequestHead;

/// The position in the received bytes. Between frames it owns no memory.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) phase: Phase,
    /// The start of a frame header.
    start: [u8; HEADER_SIZE],
    start_length: u8,
    /// The start of a payload.
    kept: Vec<u8>,
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

    /// Returns the next frame header and the number of bytes of `input` that it occupies, which are not taken out of `input`. Returns
    /// `None` if the header is incomplete.
    #[inline(always)]
    fn header(&mut self, input: &mut BytesMut) -> Option<(FrameHeader, usize)> {
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

impl<T> Connection<T> {
    /// Takes frames out of `input`, and returns the next event; `None` if all bytes were taken, so that more are needed.
    ///
    /// The head of a request is written to `head`, whose memory is reused. `now` is the time on a monotonic clock, which may start anywhere; the budgets of the
    /// [limits](super::Limits) depend on it. Call it until it returns `None`.
    #[inline]
    pub fn receive(
        &mut self,
        input: &mut BytesMut,
        head: &mut RequestHead,
        now: Duration,
    ) -> Option<Event> {
        self.now = now;
        loop {
            if self.flags.contains(ConnectionFlags::CLOSED) || self.error.is_some() {
                return self.receive_closed(input);
            }
            match self.advance(input, head) {
                Ok(Progress::Event(event)) => return Some(event),
                Ok(Progress::Continue) => {}
                Ok(Progress::Wait) => return self.take_window_opened(),
                Err(error) => {
                    input.clear();
                    return Some(self.fail(error));
                }
            }
        }
    }

    /// Drops received bytes, and reports the error that was not reported yet.
    #[cold]
    fn receive_closed(&mut self, input: &mut BytesMut) -> Option<Event> {
        input.clear();
        let error = self.error.take()?;
        match self.is_closed() {
            true => None,
            false => Some(self.fail(error)),
        }
    }

    #[inline]
    fn take_window_opened(&mut self) -> Option<Event> {
        if !self.flags.contains(ConnectionFlags::WINDOW_GREW) {
            return None;
        }
        self.flags.remove(ConnectionFlags::WINDOW_GREW);
        self.can_send().then_some(Event::WindowOpened)
    }

    #[inline]
    fn advance(
        &mut self,
        input: &mut BytesMut,
        head: &mut RequestHead,
    ) -> Result<Progress, ConnectionError> {
        match self.reader.phase {
            Phase::Header => self.frame(input, head),
            Phase::Payload(header) => self.collect(header, input, head),
            Phase::Data(frame) => self.data(frame, input),
            Phase::Skip { left } => Ok(self.skip(left, input)),
            Phase::Preface { received } => self.preface(received, input),
        }
    }

    #[cold]
    fn preface(&mut self, received: u8, input: &mut BytesMut) -> Result<Progress, ConnectionError> {
        let expected = PREFACE.get(usize::from(received)..).unwrap_or_default();
        let count = expected.len().min(input.len());
        if input[..count] != expected[..count] {
            return Err(ConnectionError::protocol(
                "the client did not start with the connection preface",
            ));
        }
        input.advance(count);
        if count < expected.len() {
            self.reader.phase = Phase::Preface {
                received: received + count as u8,
            };
            return Ok(Progress::Wait);
        }
        self.reader.phase = Phase::Header;
        Ok(Progress::Continue)
    }

    fn skip(&mut self, left: u32, input: &mut BytesMut) -> Progress {
        let count = (left as usize).min(input.len());
        input.advance(count);
        let left = left - count as u32;
        if left > 0 {
            self.reader.phase = Phase::Skip { left };
            return Progress::Wait;
        }
        self.reader.phase = Phase::Header;
        Progress::Continue
    }

    /// Handles the frame at the start of `input`.
    #[inline]
    fn frame(
        &mut self,
        input: &mut BytesMut,
        head: &mut RequestHead,
    ) -> Result<Progress, ConnectionError> {
        let Some((header, start)) = self.reader.header(input) else {
            return Ok(Progress::Wait);
        };
        self.check_header(header)?;
        match header.kind {
            kind::DATA => {
                input.advance(start);
                self.begin_data(header)
            }
            kind::HEADERS..=kind::CONTINUATION | kind::PRIORITY_UPDATE => {
                let end = start + header.length as usize;
                let Some(payload) = input.get(start..end) else {
                    input.advance(start);
                    self.reader.phase = Phase::Payload(header);
                    return Ok(Progress::Continue);
                };
                let event = self.payload(header, payload, head)?;
                input.advance(end);
                Ok(event.map_or(Progress::Continue, Progress::Event))
            }
            _ => {
                self.charge_overhead()?;
                input.advance(start);
                self.reader.phase = Phase::Skip {
                    left: header.length,
                };
                Ok(Progress::Continue)
            }
        }
    }

    /// Checks a frame header against the state of the connection.
    #[inline]
    fn check_header(&self, header: FrameHeader) -> Result<(), ConnectionError> {
        if header.length > self.limits.frame_size {
            return Err(ConnectionError::frame_size(
                "a frame is larger than SETTINGS_MAX_FRAME_SIZE",
            ));
        }
        match &self.reader.headers {
            Some(block) if header.kind != kind::CONTINUATION || header.stream != block.stream => {
                return Err(ConnectionError::protocol(
                    "a header block is interrupted by another frame",
                ));
            }
            None if header.kind == kind::CONTINUATION => {
                return Err(ConnectionError::protocol(
                    "a CONTINUATION frame does not follow a HEADERS frame",
                ));
            }
            _ => {}
        }
        let is_settings = header.kind == kind::SETTINGS && !header.has(flag::ACK);
        if !self.peer.is_received && !is_settings {
            return Err(ConnectionError::protocol(
                "the first frame is not a SETTINGS frame",
            ));
        }
        Ok(())
    }

    /// Collects the payload of a frame that is received in several pieces.
    fn collect(
        &mut self,
        header: FrameHeader,
        input: &mut BytesMut,
        head: &mut RequestHead,
    ) -> Result<Progress, ConnectionError> {
        let kept = &mut self.reader.kept;
        let count = (header.length as usize - kept.len()).min(input.len());
        kept.extend_from_slice(&input[..count]);
        input.advance(count);
        if kept.len() < header.length as usize {
            return Ok(Progress::Wait);
        }
        let payload = std::mem::take(kept);
        self.reader.phase = Phase::Header;
        let event = self.payload(header, &payload, head)?;
        Ok(event.map_or(Progress::Continue, Progress::Event))
    }

    /// Handles a complete frame other than DATA.
    #[inline]
    fn payload(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        head: &mut RequestHead,
    ) -> Result<Option<Event>, ConnectionError> {
        match header.kind {
            kind::HEADERS => self.headers_frame(header, payload, head),
            kind::CONTINUATION => self.continuation_frame(header, payload, head),
            _ => self.control_frame(header, payload),
        }
    }
}

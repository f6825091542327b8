//! The frames in received bytes.

use std::time::Duration;

use bytes::{Buf, BytesMut};

use super::connection::{Connection, ConnectionFlags};
use super::error::ConnectionError;
use super::event::Event;
use super::frame::{FrameHeader, PREFACE, flag, kind};
use super::reader::{Phase, Progress};
use crate::message::RequestHead;

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
        let is_settings = header.kind == kind::SETTINGS && !header.has(flag::ACK);
        if !self.peer.is_received && !is_settings {
            return Err(ConnectionError::protocol(
                "the first frame is not a SETTINGS frame",
            ));
        }
        if header.length > self.limits.frame_size {
            return Err(ConnectionError::frame_size(
                "a frame is larger than SETTINGS_MAX_FRAME_SIZE",
            ));
        }
        match &self.reader.headers {
            Some(block) if header.kind != kind::CONTINUATION || header.stream != block.stream => {
                Err(ConnectionError::protocol(
                    "a header block is interrupted by another frame",
                ))
            }
            None if header.kind == kind::CONTINUATION => Err(ConnectionError::protocol(
                "a CONTINUATION frame does not follow a HEADERS frame",
            )),
            _ => Ok(()),
        }
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

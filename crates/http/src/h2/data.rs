//! DATA frames (RFC 9113, section 6.1).

use bytes::{Buf, BytesMut};

use super::client::WRONG_LENGTH;
use super::connection::Connection;
use super::error::{ConnectionError, ErrorCode};
use super::event::Event;
use super::frame::{FrameHeader, flag};
use super::reader::{DataFrame, Phase, Progress};
use super::settings::Role;
use super::streams::{StreamFlags, StreamKey, UNKNOWN_LENGTH};

/// A DATA frame with fewer bytes counts as overhead.
const TINY: u32 = 64;

const CLOSED: ConnectionError = ConnectionError::new(
    ErrorCode::STREAM_CLOSED,
    "a DATA frame is for a closed stream",
);

impl<T> Connection<T> {
    /// Starts a frame: takes its bytes out of the window of the connection.
    pub(super) fn begin_data(&mut self, header: FrameHeader) -> Result<Progress, ConnectionError> {
        if header.stream == 0 {
            return Err(ConnectionError::protocol(
                "a DATA frame is not for a stream",
            ));
        }
        if !self.receive_window.receive(header.length) {
            return Err(ConnectionError::new(
                ErrorCode::FLOW_CONTROL_ERROR,
                "the peer has sent more than the window of the connection",
            ));
        }
        let frame = DataFrame {
            stream: header.stream,
            left: header.length,
            padding: 0,
            is_padded: header.has(flag::PADDED),
            end: header.has(flag::END_STREAM),
        };
        if !frame.is_padded {
            return self.check_data(frame, 0);
        }
        if header.length == 0 {
            return Err(ConnectionError::frame_size(
                "a DATA frame is too short for its padding",
            ));
        }
        self.reader.phase = Phase::Data(frame);
        Ok(Progress::Continue)
    }

    /// Continues with the payload of a frame.
    #[inline]
    pub(super) fn data(
        &mut self,
        frame: DataFrame,
        input: &mut BytesMut,
    ) -> Result<Progress, ConnectionError> {
        if input.is_empty() {
            return Ok(Progress::Wait);
        }
        match frame.is_padded {
            true => self.padding(frame, input.get_u8()),
            false => Ok(self.piece(frame, input)),
        }
    }

    fn padding(&mut self, mut frame: DataFrame, padding: u8) -> Result<Progress, ConnectionError> {
        frame.is_padded = false;
        frame.padding = u32::from(padding);
        frame.left =
            (frame.left - 1)
                .checked_sub(frame.padding)
                .ok_or(ConnectionError::protocol(
                    "the padding of a DATA frame is longer than its payload",
                ))?;
        self.check_data(frame, 1 + frame.padding)
    }

    /// Checks a frame whose length without the padding is known, and takes its bytes out of the window of the stream.
    fn check_data(&mut self, frame: DataFrame, padding: u32) -> Result<Progress, ConnectionError> {
        let id = frame.stream;
        let length = frame.left + padding;
        let is_idle = self.is_idle(id);
        let Some(stream) = self.streams.get_mut(id) else {
            if is_idle {
                return Err(ConnectionError::protocol(
                    "a DATA frame is for a stream that was not opened",
                ));
            }
            if !self.resets.contains(id) {
                return Err(CLOSED);
            }
            return self.skip_data(frame, length);
        };
        if stream.has(StreamFlags::PEER_ENDED) {
            if stream.has(StreamFlags::ENDED | StreamFlags::RESET) {
                return Err(CLOSED);
            }
            return self.reject_data(frame, length, ErrorCode::STREAM_CLOSED);
        }
        if stream.has(StreamFlags::RESET) {
            if frame.end {
                stream.flags.insert(StreamFlags::PEER_ENDED);
            }
            return self.skip_data(frame, length);
        }
        if !stream.receive_window.receive(length) {
            return self.reject_data(frame, length, ErrorCode::FLOW_CONTROL_ERROR);
        }
        if let Err(reason) = self.count_length(frame) {
            // The bytes are credited when the stream is removed.
            let progress = self.reject_data(frame, 0, ErrorCode::PROTOCOL_ERROR)?;
            return Ok(match (self.role, progress) {
                (Role::Client, Progress::Event(Event::Reset { stream, .. })) => {
                    Progress::Event(Event::Malformed { stream, reason })
                }
                (_, progress) => progress,
            });
        }
        if frame.left < TINY && !frame.end {
            self.charge_tiny(frame)?;
        }
        if padding > 0 {
            self.consume(id, padding);
        }
        Ok(self.begin_pieces(frame))
    }

    /// Counts the bytes of a frame, and returns an error if they contradict the `content-length` (RFC 9113, section 8.1.1), or if no head precedes
    /// them.
    fn count_length(&mut self, frame: DataFrame) -> Result<(), &'static str> {
        let role = self.role;
        let Some(stream) = self.streams.get_mut(frame.stream) else {
            return Err(WRONG_LENGTH);
        };
        if role == Role::Client && !stream.has(StreamFlags::HEAD_RECEIVED) {
            return Err("the body of the response precedes its head");
        }
        if stream.receive_left == UNKNOWN_LENGTH {
            return Ok(());
        }
        let left = stream.receive_left.checked_sub(u64::from(frame.left));
        let left = left.ok_or(WRONG_LENGTH)?;
        stream.receive_left = left;
        match left == 0 || !frame.end {
            true => Ok(()),
            false => Err(WRONG_LENGTH),
        }
    }

    /// Charges a frame that transports little. Messages in tunnels, and events in responses, may be small.
    fn charge_tiny(&mut self, frame: DataFrame) -> Result<(), ConnectionError> {
        if frame.left == 0 {
            return self.glitch();
        }
        let stream = self.streams.get(frame.stream);
        let is_tunnel = stream.is_some_and(|stream| stream.has(StreamFlags::TUNNEL));
        match is_tunnel || self.role == Role::Client {
            true => Ok(()),
            false => self.charge_overhead(),
        }
    }

    /// Skips a frame of a stream that was reset, and credits its bytes to the connection.
    fn skip_data(&mut self, frame: DataFrame, length: u32) -> Result<Progress, ConnectionError> {
        self.charge_overhead()?;
        self.credit_connection(length);
        self.skip_payload(frame);
        Ok(Progress::Continue)
    }

    /// Resets the stream of a frame, and skips the frame. `length` is the number of bytes to credit to the connection.
    fn reject_data(
        &mut self,
        frame: DataFrame,
        length: u32,
        code: ErrorCode,
    ) -> Result<Progress, ConnectionError> {
        if length > 0 {
            self.credit_connection(length);
        }
        self.skip_payload(frame);
        if frame.end
            && let Some(stream) = self.streams.get_mut(frame.stream)
        {
            stream.flags.insert(StreamFlags::PEER_ENDED);
        }
        let event = self.stream_error(frame.stream, code)?;
        Ok(event.map_or(Progress::Continue, Progress::Event))
    }

    fn skip_payload(&mut self, frame: DataFrame) {
        self.reader.phase = match frame.left + frame.padding {
            0 => Phase::Header,
            left => Phase::Skip { left },
        };
    }

    /// Starts the pieces of a valid frame.
    #[inline]
    fn begin_pieces(&mut self, frame: DataFrame) -> Progress {
        if frame.left > 0 {
            self.reader.phase = Phase::Data(frame);
            return Progress::Continue;
        }
        self.skip_payload(frame);
        match frame.end {
            true => self.deliver(frame, BytesMut::new()),
            false => Progress::Continue,
        }
    }

    /// Takes the next piece of a frame.
    #[inline]
    fn piece(&mut self, mut frame: DataFrame, input: &mut BytesMut) -> Progress {
        let count = (frame.left as usize).min(input.len());
        let bytes = input.split_to(count);
        frame.left -= count as u32;
        match frame.left {
            0 => self.skip_payload(frame),
            _ => self.reader.phase = Phase::Data(frame),
        }
        self.deliver(frame, bytes)
    }

    /// Returns the event for a piece. The bytes are dropped if the program does not want them.
    #[inline]
    fn deliver(&mut self, frame: DataFrame, mut bytes: BytesMut) -> Progress {
        let end = frame.end && frame.left == 0;
        let Some(stream) = self.streams.get_mut(frame.stream) else {
            return Progress::Continue;
        };
        if end {
            stream.flags.insert(StreamFlags::PEER_ENDED);
        }
        if stream.has(StreamFlags::RESET) {
            // The bytes are credited when the stream is removed.
            return Progress::Continue;
        }
        if stream.has(StreamFlags::DISCARDS) {
            self.consume(frame.stream, bytes.len() as u32);
            if !end {
                return Progress::Continue;
            }
            bytes.clear();
        }
        Progress::Event(Event::Data {
            stream: StreamKey { id: frame.stream },
            bytes,
            end,
        })
    }
}

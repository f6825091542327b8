//! Control frames of the peer.

use super::connection::{Connection, ConnectionFlags};
use super::error::{ConnectionError, ErrorCode};
use super::event::Event;
use super::frame::{FrameHeader, flag, kind, word, write_ping, write_reset, write_settings_ack};
use super::priority::Priority;
use super::settings::{INITIAL_HEADER_TABLE, Role};
use super::streams::{StreamFlags, StreamKey};
use super::window::INITIAL_WINDOW;

const FLOW_CONTROL: ErrorCode = ErrorCode::FLOW_CONTROL_ERROR;

impl<T> Connection<T> {
    /// Handles a complete frame other than DATA, HEADERS and CONTINUATION.
    pub(super) fn control_frame(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Event>, ConnectionError> {
        match header.kind {
            kind::WINDOW_UPDATE => self.window_update(header.stream, payload),
            kind::SETTINGS => self.settings(header, payload),
            kind::PING => self.ping(header, payload),
            kind::RST_STREAM => self.peer_reset(header.stream, payload),
            kind::GOAWAY => self.peer_go_away(header.stream, payload),
            kind::PRIORITY => self.priority(header.stream, payload),
            kind::PRIORITY_UPDATE => self.priority_update(header.stream, payload),
            kind::PUSH_PROMISE => Err(ConnectionError::protocol(
                "a PUSH_PROMISE frame was received although push is not enabled",
            )),
            _ => Ok(None),
        }
    }

    /// Returns `true` if a stream was not opened by either side.
    pub(super) fn is_idle(&self, id: u32) -> bool {
        match (self.role, id % 2 == 1) {
            (Role::Server, true) => id > self.last_peer,
            (Role::Client, true) => id >= self.next_local,
            // A server would open these for push.
            (_, false) => true,
        }
    }

    /// Resets a stream because of an error of the peer. Returns the event if the program knows the stream.
    pub(super) fn stream_error(
        &mut self,
        id: u32,
        code: ErrorCode,
    ) -> Result<Option<Event>, ConnectionError> {
        self.glitch()?;
        let Some(stream) = self.streams.get_mut(id) else {
            write_reset(&mut self.control, id, code);
            self.resets.add(id);
            return Ok(None);
        };
        if stream.has(StreamFlags::RESET) {
            return Ok(None);
        }
        stream.flags.insert(StreamFlags::RESET);
        write_reset(&mut self.control, id, code);
        self.streams.update_queue(id);
        Ok(Some(Event::Reset {
            stream: StreamKey { id },
            code,
        }))
    }

    fn window_update(&mut self, id: u32, payload: &[u8]) -> Result<Option<Event>, ConnectionError> {
        let increment = only_word(payload).ok_or(ConnectionError::frame_size(
            "the length of a WINDOW_UPDATE frame is not 4",
        ))?;
        let increment = i64::from(increment & 0x7fff_ffff);
        self.charge_overhead()?;
        if id == 0 {
            if increment == 0 {
                return Err(ConnectionError::protocol(
                    "the increment of a WINDOW_UPDATE frame is 0",
                ));
            }
            if !self.send_window.change(increment) {
                return Err(ConnectionError::new(
                    FLOW_CONTROL,
                    "the window of the connection exceeds its maximum",
                ));
            }
            self.flags.insert(ConnectionFlags::WINDOW_GREW);
            return Ok(None);
        }
        if self.is_idle(id) {
            return Err(ConnectionError::protocol(
                "a WINDOW_UPDATE frame is for a stream that was not opened",
            ));
        }
        let Some(stream) = self.streams.get_mut(id) else {
            // The stream may have been closed while the frame was in flight.
            return Ok(None);
        };
        if stream.has(StreamFlags::RESET) {
            return Ok(None);
        }
        if increment == 0 {
            return self.stream_error(id, ErrorCode::PROTOCOL_ERROR);
        }
        if !stream.send_window.change(increment) {
            return self.stream_error(id, FLOW_CONTROL);
        }
        self.flags.insert(ConnectionFlags::WINDOW_GREW);
        self.streams.update_queue(id);
        Ok(None)
    }

    #[cold]
    fn settings(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Event>, ConnectionError> {
        if header.stream != 0 {
            return Err(ConnectionError::protocol(
                "a SETTINGS frame is for a stream",
            ));
        }
        if header.has(flag::ACK) {
            return self.settings_acknowledged(payload).map(|()| None);
        }
        self.charge_overhead()?;
        let before = self.peer;
        self.peer.apply(payload, self.role, &self.limits)?;
        // The next block announces the smallest size as well (RFC 7541, section 4.2).
        self.encoder
            .set_max_table_size(self.peer.smallest_header_table);
        self.encoder.set_max_table_size(self.peer.header_table);
        let change = i64::from(self.peer.initial_window) - i64::from(before.initial_window);
        if change != 0 {
            self.change_send_windows(change)?;
        }
        write_settings_ack(&mut self.control);
        Ok(None)
    }

    /// Changes the windows of all streams after a change of their initial size (RFC 9113, section 6.9.2).
    fn change_send_windows(&mut self, change: i64) -> Result<(), ConnectionError> {
        for stream in self.streams.iter_mut() {
            if !stream.send_window.change(change) {
                return Err(ConnectionError::new(
                    FLOW_CONTROL,
                    "the window of a stream exceeds its maximum",
                ));
            }
        }
        let ids: Vec<u32> = self.streams.iter().map(|stream| stream.id).collect();
        for id in ids {
            self.streams.update_queue(id);
        }
        if change > 0 {
            self.flags.insert(ConnectionFlags::WINDOW_GREW);
        }
        Ok(())
    }

    fn settings_acknowledged(&mut self, payload: &[u8]) -> Result<(), ConnectionError> {
        if !payload.is_empty() {
            return Err(ConnectionError::frame_size(
                "a SETTINGS frame with the flag ACK has a payload",
            ));
        }
        if self.unacknowledged == 0 {
            return self.glitch();
        }
        self.unacknowledged -= 1;
        if self.limits.header_table < INITIAL_HEADER_TABLE {
            self.decoder.set_max_table_size(self.limits.header_table);
        }
        if self.flags.contains(ConnectionFlags::WINDOW_REDUCED) {
            self.flags.remove(ConnectionFlags::WINDOW_REDUCED);
            let reduction = INITIAL_WINDOW.saturating_sub(self.limits.stream_window);
            for stream in self.streams.iter_mut() {
                stream.receive_window.reduce(reduction);
            }
        }
        Ok(())
    }

    fn ping(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Event>, ConnectionError> {
        if header.stream != 0 {
            return Err(ConnectionError::protocol("a PING frame is for a stream"));
        }
        let Ok(payload) = payload.try_into() else {
            return Err(ConnectionError::frame_size(
                "the length of a PING frame is not 8",
            ));
        };
        self.charge_overhead()?;
        match header.has(flag::ACK) {
            true => self.flags.insert(ConnectionFlags::PING_ACKNOWLEDGED),
            false => write_ping(&mut self.control, flag::ACK, payload),
        }
        Ok(None)
    }

    fn peer_reset(&mut self, id: u32, payload: &[u8]) -> Result<Option<Event>, ConnectionError> {
        let code = only_word(payload).ok_or(ConnectionError::frame_size(
            "the length of a RST_STREAM frame is not 4",
        ))?;
        if self.is_idle(id) {
            return Err(ConnectionError::protocol(
                "a RST_STREAM frame is for a stream that was not opened",
            ));
        }
        let Some(stream) = self.streams.get_mut(id) else {
            // The stream may have been closed while the frame was in flight.
            self.charge_overhead()?;
            return Ok(None);
        };
        let is_known = !stream.has(StreamFlags::RESET);
        stream
            .flags
            .insert(StreamFlags::RESET | StreamFlags::PEER_ENDED);
        self.streams.update_queue(id);
        if self.role == Role::Server {
            self.glitch()?;
        }
        Ok(is_known.then_some(Event::Reset {
            stream: StreamKey { id },
            code: ErrorCode::new(code),
        }))
    }

    fn peer_go_away(
        &mut self,
        stream: u32,
        payload: &[u8],
    ) -> Result<Option<Event>, ConnectionError> {
        if stream != 0 {
            return Err(ConnectionError::protocol("a GOAWAY frame is for a stream"));
        }
        let (Some(last), Some(code)) = (word(payload), payload.get(4..).and_then(word)) else {
            return Err(ConnectionError::frame_size("a GOAWAY frame is too short"));
        };
        self.charge_overhead()?;
        self.flags.insert(ConnectionFlags::PEER_GOING_AWAY);
        Ok(Some(Event::GoAway {
            last: last & 0x7fff_ffff,
            code: ErrorCode::new(code),
        }))
    }

    /// Checks a PRIORITY frame, whose meaning is deprecated (RFC 9113, section 5.3.2).
    fn priority(&mut self, id: u32, payload: &[u8]) -> Result<Option<Event>, ConnectionError> {
        if id == 0 {
            return Err(ConnectionError::protocol(
                "a PRIORITY frame is not for a stream",
            ));
        }
        self.charge_overhead()?;
        let code = match word(payload) {
            Some(dependency) if payload.len() == 5 => {
                if dependency & 0x7fff_ffff != id {
                    return Ok(None);
                }
                ErrorCode::PROTOCOL_ERROR
            }
            _ => ErrorCode::FRAME_SIZE_ERROR,
        };
        match self.streams.get(id) {
            Some(_) => self.stream_error(id, code),
            None => Err(ConnectionError::new(
                code,
                "a PRIORITY frame of a stream that is not open is not valid",
            )),
        }
    }

    /// Applies a PRIORITY_UPDATE frame (RFC 9218, section 7.1).
    fn priority_update(
        &mut self,
        stream: u32,
        payload: &[u8],
    ) -> Result<Option<Event>, ConnectionError> {
        if stream != 0 || self.role == Role::Client {
            return Err(ConnectionError::protocol(
                "a PRIORITY_UPDATE frame is not allowed here",
            ));
        }
        let Some((id, value)) = payload.split_first_chunk() else {
            return Err(ConnectionError::frame_size(
                "a PRIORITY_UPDATE frame is too short",
            ));
        };
        let id = u32::from_be_bytes(*id) & 0x7fff_ffff;
        if id % 2 == 0 {
            return Err(ConnectionError::protocol(
                "a PRIORITY_UPDATE frame is not for a request stream",
            ));
        }
        self.charge_overhead()?;
        let priority = Priority::parse(value);
        if self.is_idle(id) {
            // One priority is kept, as browsers send it directly before the request.
            self.early_priority = (id, priority);
        } else {
            self.streams.set_priority(id, priority);
        }
        Ok(None)
    }
}

/// Returns the number in a payload of exactly four bytes.
fn only_word(payload: &[u8]) -> Option<u32> {
    word(payload).filter(|_| payload.len() == 4)
}

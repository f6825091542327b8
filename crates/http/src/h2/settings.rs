//! SETTINGS frames (RFC 9113, section 6.5).

use super::error::{ConnectionError, ErrorCode};
use super::frame::{kind, write_header, write_window_update};
use super::limits::{FRAME_SIZES, Limits};
use super::window::{INITIAL_WINDOW, MAX_WINDOW};

/// Setting identifiers.
mod id {
    pub(super) const HEADER_TABLE_SIZE: u16 = 0x1;
    pub(super) const ENABLE_PUSH: u16 = 0x2;
    pub(super) const MAX_CONCURRENT_STREAMS: u16 = 0x3;
    pub(super) const INITIAL_WINDOW_SIZE: u16 = 0x4;
    pub(super) const MAX_FRAME_SIZE: u16 = 0x5;
    pub(super) const MAX_HEADER_LIST_SIZE: u16 = 0x6;
    /// RFC 8441, section 3.
    pub(super) const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;
    /// RFC 9218, section 2.1.
    pub(super) const NO_RFC7540_PRIORITIES: u16 = 0x9;
}

/// Size of the tables of headers before a setting changes it, in bytes.
pub(super) const INITIAL_HEADER_TABLE: u32 = 4096;

/// The role of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Server,
}

/// Appends the first frames of a connection: SETTINGS, and WINDOW_UPDATE for the window of the connection.
pub(super) fn write_initial(out: &mut Vec<u8>, limits: &Limits, role: Role) {
    let is_server = role == Role::Server;
    let entries = [
        (
            id::HEADER_TABLE_SIZE,
            limits.header_table,
            limits.header_table != INITIAL_HEADER_TABLE,
        ),
        (id::ENABLE_PUSH, 0, !is_server),
        (
            id::MAX_CONCURRENT_STREAMS,
            limits.concurrent_streams,
            is_server,
        ),
        (
            id::INITIAL_WINDOW_SIZE,
            limits.stream_window,
            limits.stream_window != INITIAL_WINDOW,
        ),
        (
            id::MAX_FRAME_SIZE,
            limits.frame_size,
            limits.frame_size != *FRAME_SIZES.start(),
        ),
        (id::MAX_HEADER_LIST_SIZE, limits.header_bytes, true),
        (
            id::ENABLE_CONNECT_PROTOCOL,
            1,
            is_server && limits.connect_protocol,
        ),
        (id::NO_RFC7540_PRIORITIES, 1, is_server),
    ];
    let sent = entries.iter().filter(|(_, _, is_sent)| *is_sent);
    write_header(out, 6 * sent.clone().count(), kind::SETTINGS, 0, 0);
    for (id, value, _) in sent {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
    if limits.connection_window > INITIAL_WINDOW {
        write_window_update(out, 0, limits.connection_window - INITIAL_WINDOW);
    }
}

/// Appends a SETTINGS frame with a new maximum size of header lists.
pub(super) fn write_header_limit(out: &mut Vec<u8>, bytes: u32) {
    write_header(out, 6, kind::SETTINGS, 0, 0);
    out.extend_from_slice(&id::MAX_HEADER_LIST_SIZE.to_be_bytes());
    out.extend_from_slice(&bytes.to_be_bytes());
}

/// The settings of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PeerSettings {
    pub(super) header_table: u32,
    /// The smallest `header_table` during the last SETTINGS frame.
    pub(super) smallest_header_table: u32,
    pub(super) concurrent_streams: u32,
    pub(super) initial_window: u32,
    pub(super) frame_size: u32,
    pub(super) connect_protocol: bool,
    no_priorities: bool,
    /// `true` after the first SETTINGS frame.
    pub(super) is_received: bool,
}

impl PeerSettings {
    pub(super) const INITIAL: PeerSettings = PeerSettings {
        header_table: INITIAL_HEADER_TABLE,
        smallest_header_table: INITIAL_HEADER_TABLE,
        // Assumed until the first SETTINGS frame.
        concurrent_streams: 100,
        initial_window: INITIAL_WINDOW,
        frame_size: *FRAME_SIZES.start(),
        connect_protocol: false,
        no_priorities: false,
        is_received: false,
    };

    /// Applies the payload of a SETTINGS frame of a peer of a connection with this role.
    pub(super) fn apply(
        &mut self,
        payload: &[u8],
        role: Role,
        limits: &Limits,
    ) -> Result<(), ConnectionError> {
        if !self.is_received {
            // Without the setting, the number of streams is not limited.
            self.concurrent_streams = u32::MAX;
        }
        let (entries, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return Err(ConnectionError::frame_size(
                "the length of a SETTINGS frame is not a multiple of 6",
            ));
        }
        if entries.len() > limits.settings as usize {
            return Err(ConnectionError::excessive(
                "a SETTINGS frame has too many entries",
            ));
        }
        self.smallest_header_table = self.header_table;
        for [i0, i1, v0, v1, v2, v3] in entries {
            let value = u32::from_be_bytes([*v0, *v1, *v2, *v3]);
            self.apply_entry(u16::from_be_bytes([*i0, *i1]), value, role)?;
        }
        self.is_received = true;
        Ok(())
    }

    fn apply_entry(&mut self, id: u16, value: u32, role: Role) -> Result<(), ConnectionError> {
        match id {
            id::HEADER_TABLE_SIZE => {
                self.header_table = value;
                self.smallest_header_table = self.smallest_header_table.min(value);
            }
            id::ENABLE_PUSH => match boolean(value)? {
                true if role == Role::Client => {
                    return Err(ConnectionError::protocol(
                        "a server must not set SETTINGS_ENABLE_PUSH to 1",
                    ));
                }
                _ => {}
            },
            id::MAX_CONCURRENT_STREAMS => self.concurrent_streams = value,
            id::INITIAL_WINDOW_SIZE if value > MAX_WINDOW => {
                return Err(ConnectionError::new(
                    ErrorCode::FLOW_CONTROL_ERROR,
                    "SETTINGS_INITIAL_WINDOW_SIZE is above its maximum",
                ));
            }
            id::INITIAL_WINDOW_SIZE => self.initial_window = value,
            id::MAX_FRAME_SIZE if !FRAME_SIZES.contains(&value) => {
                return Err(ConnectionError::protocol(
                    "SETTINGS_MAX_FRAME_SIZE is outside its range",
                ));
            }
            id::MAX_FRAME_SIZE => self.frame_size = value,
            id::ENABLE_CONNECT_PROTOCOL => {
                let enabled = boolean(value)?;
                if self.connect_protocol && !enabled {
                    return Err(ConnectionError::protocol(
                        "SETTINGS_ENABLE_CONNECT_PROTOCOL was set to 0 after 1",
                    ));
                }
                self.connect_protocol = enabled;
            }
            id::NO_RFC7540_PRIORITIES => {
                let enabled = boolean(value)?;
                if self.is_received && self.no_priorities != enabled {
                    return Err(ConnectionError::protocol(
                        "SETTINGS_NO_RFC7540_PRIORITIES was changed",
                    ));
                }
                self.no_priorities = enabled;
            }
            // Unknown settings are ignored. The size of header lists is advice for the peer's own requests.
            _ => {}
        }
        Ok(())
    }
}

fn boolean(value: u32) -> Result<bool, ConnectionError> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(ConnectionError::protocol(
            "a boolean setting is neither 0 nor 1",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u16, value: u32) -> Vec<u8> {
        let mut entry = id.to_be_bytes().to_vec();
        entry.extend_from_slice(&value.to_be_bytes());
        entry
    }

    fn code_of(id: u16, value: u32, role: Role) -> Option<ErrorCode> {
        let mut settings = PeerSettings::INITIAL;
        settings
            .apply(&entry(id, value), role, &Limits::default())
            .err()
            .map(|error| error.code())
    }

    #[test]
    fn values_outside_their_range_are_refused() {
        let protocol = Some(ErrorCode::PROTOCOL_ERROR);
        let flow = Some(ErrorCode::FLOW_CONTROL_ERROR);
        for (id, value, role, code) in [
            (id::ENABLE_PUSH, 2, Role::Server, protocol),
            (id::ENABLE_PUSH, 1, Role::Client, protocol),
            (id::ENABLE_PUSH, 1, Role::Server, None),
            (id::INITIAL_WINDOW_SIZE, 0x8000_0000, Role::Server, flow),
            (id::INITIAL_WINDOW_SIZE, 0x7fff_ffff, Role::Server, None),
            (id::MAX_FRAME_SIZE, 16_383, Role::Server, protocol),
            (id::MAX_FRAME_SIZE, 16_384, Role::Server, None),
            (id::MAX_FRAME_SIZE, 16_777_216, Role::Server, protocol),
            (id::ENABLE_CONNECT_PROTOCOL, 2, Role::Client, protocol),
            (id::NO_RFC7540_PRIORITIES, 2, Role::Server, protocol),
            (id::MAX_HEADER_LIST_SIZE, u32::MAX, Role::Server, None),
            (0xffff, u32::MAX, Role::Server, None),
        ] {
            assert_eq!(code_of(id, value, role), code, "{id} {value} {role:?}");
        }
    }

    #[test]
    fn settings_that_must_not_change_are_refused() {
        let limits = Limits::default();
        let mut settings = PeerSettings::INITIAL;
        let mut apply = |id, value| settings.apply(&entry(id, value), Role::Client, &limits);
        assert!(apply(id::ENABLE_CONNECT_PROTOCOL, 1).is_ok());
        assert!(apply(id::ENABLE_CONNECT_PROTOCOL, 0).is_err());
        assert!(apply(id::NO_RFC7540_PRIORITIES, 1).is_err());
        assert!(apply(id::NO_RFC7540_PRIORITIES, 0).is_ok());
    }

    #[test]
    fn a_frame_has_a_bounded_number_of_whole_entries() {
        let limits = Limits::default();
        let apply = |payload: &[u8]| {
            let mut settings = PeerSettings::INITIAL;
            settings.apply(payload, Role::Server, &limits)
        };
        assert!(apply(&entry(0xff, 1).repeat(32)).is_ok());
        let excessive = apply(&entry(0xff, 1).repeat(33)).map_err(|error| error.code());
        assert_eq!(excessive, Err(ErrorCode::ENHANCE_YOUR_CALM));
        let partial = apply(&[0; 5]).map_err(|error| error.code());
        assert_eq!(partial, Err(ErrorCode::FRAME_SIZE_ERROR));
    }

    #[test]
    fn the_initial_frames_are_valid_for_the_peer() {
        for (role, peer) in [(Role::Server, Role::Client), (Role::Client, Role::Server)] {
            let limits = Limits::default().connect_protocol(true).frame_size(1 << 20);
            let mut out = Vec::new();
            write_initial(&mut out, &limits, role);
            let length = usize::from(out[2]);
            let mut settings = PeerSettings::INITIAL;
            settings.apply(&out[9..9 + length], peer, &limits).unwrap();
            assert_eq!(settings.initial_window, 256 * 1024);
            assert_eq!(settings.frame_size, 1 << 20);
            assert_eq!(settings.connect_protocol, role == Role::Server);
            assert_eq!(out.len(), 9 + length + 13);
        }
    }
}

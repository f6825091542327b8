//! Frame headers, and the writers of frames (RFC 9113, sections 4 and 6).

use super::error::ErrorCode;

/// Size of a frame header, in bytes.
pub(super) const HEADER_SIZE: usize = 9;

/// The first bytes of a client connection (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types.
pub(super) mod kind {
    pub(in crate::h2) const DATA: u8 = 0x0;
    pub(in crate::h2) const HEADERS: u8 = 0x1;
    pub(in crate::h2) const PRIORITY: u8 = 0x2;
    pub(in crate::h2) const RST_STREAM: u8 = 0x3;
    pub(in crate::h2) const SETTINGS: u8 = 0x4;
    pub(in crate::h2) const PUSH_PROMISE: u8 = 0x5;
    pub(in crate::h2) const PING: u8 = 0x6;
    pub(in crate::h2) const GOAWAY: u8 = 0x7;
    pub(in crate::h2) const WINDOW_UPDATE: u8 = 0x8;
    pub(in crate::h2) const CONTINUATION: u8 = 0x9;
    /// RFC 9218, section 7.1.
    pub(in crate::h2) const PRIORITY_UPDATE: u8 = 0x10;
}

/// Frame flags.
pub(super) mod flag {
    pub(in crate::h2) const END_STREAM: u8 = 0x1;
    pub(in crate::h2) const ACK: u8 = 0x1;
    pub(in crate::h2) const END_HEADERS: u8 = 0x4;
    pub(in crate::h2) const PADDED: u8 = 0x8;
    pub(in crate::h2) const PRIORITY: u8 = 0x20;
}

/// A frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// Length of the payload, in bytes.
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// The stream identifier, without the reserved bit.
    pub(super) stream: u32,
}

impl FrameHeader {
    #[inline(always)]
    pub(super) fn parse(bytes: &[u8; HEADER_SIZE]) -> FrameHeader {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *bytes;
        FrameHeader {
            length: u32::from_be_bytes([0, l0, l1, l2]),
            kind,
            flags,
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
        }
    }

    #[inline(always)]
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    #[inline(always)]
    pub(super) fn to_bytes(self) -> [u8; HEADER_SIZE] {
        let [_, l0, l1, l2] = self.length.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [l0, l1, l2, self.kind, self.flags, s0, s1, s2, s3]
    }
}

/// Appends a frame header.
#[inline(always)]
pub(super) fn write_header(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    let header = FrameHeader {
        length: length as u32,
        kind,
        flags,
        stream,
    };
    out.extend_from_slice(&header.to_bytes());
}

/// Appends an empty SETTINGS frame that acknowledges the settings of the peer.
pub(super) fn write_settings_ack(out: &mut Vec<u8>) {
    write_header(out, 0, kind::SETTINGS, flag::ACK, 0);
}

/// Appends a PING frame that acknowledges another one.
pub(super) fn write_ping(out: &mut Vec<u8>, flags: u8, payload: &[u8; 8]) {
    write_header(out, 8, kind::PING, flags, 0);
    out.extend_from_slice(payload);
}

/// Appends a RST_STREAM frame.
pub(super) fn write_reset(out: &mut Vec<u8>, stream: u32, code: ErrorCode) {
    write_header(out, 4, kind::RST_STREAM, 0, stream);
    out.extend_from_slice(&code.get().to_be_bytes());
}

/// Appends a WINDOW_UPDATE frame. Stream 0 is the connection.
pub(super) fn write_window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    write_header(out, 4, kind::WINDOW_UPDATE, 0, stream);
    out.extend_from_slice(&increment.to_be_bytes());
}

/// Appends a GOAWAY frame with a text for logs of the peer.
pub(super) fn write_go_away(out: &mut Vec<u8>, last: u32, code: ErrorCode, text: &str) {
    write_header(out, 8 + text.len(), kind::GOAWAY, 0, 0);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&code.get().to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Returns the first four bytes as a number.
#[inline]
pub(super) fn word(payload: &[u8]) -> Option<u32> {
    payload
        .first_chunk()
        .map(|bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_parsed_as_it_was_written() {
        let header = FrameHeader {
            length: 0x01_02_03,
            kind: kind::CONTINUATION,
            flags: flag::END_HEADERS,
            stream: 0x7f_ff_ff_fe,
        };
        assert_eq!(FrameHeader::parse(&header.to_bytes()), header);
        let mut reserved = header.to_bytes();
        reserved[5] |= 0x80;
        assert_eq!(FrameHeader::parse(&reserved), header);
        assert!(header.has(flag::END_HEADERS) && !header.has(flag::PADDED));
    }

    #[test]
    fn control_frames_have_the_lengths_of_their_headers() {
        type Writer = fn(&mut Vec<u8>);
        let writers: [Writer; 5] = [
            write_settings_ack,
            |out| write_ping(out, flag::ACK, &[7; 8]),
            |out| write_reset(out, 5, ErrorCode::CANCEL),
            |out| write_window_update(out, 0, 1),
            |out| write_go_away(out, 7, ErrorCode::NO_ERROR, "text"),
        ];
        for write in writers {
            let mut out = Vec::new();
            write(&mut out);
            let header = FrameHeader::parse(out.first_chunk().unwrap());
            assert_eq!(header.length as usize + HEADER_SIZE, out.len());
        }
    }
}

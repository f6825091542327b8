//! The frames of a WebSocket client, and the expected echoes.

use anyhow::{Result, bail};

/// The path of the WebSocket endpoint.
pub(crate) const PATH: &str = "/ws";

/// The mask of all frames. Its value makes no difference to a server.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// FIN, and text.
const TEXT: u8 = 0x81;
const MASKED: u8 = 0x80;

/// The digits at the beginning of a message, which distinguish it from the others.
const DIGITS: usize = 16;

/// Returns the WebSocket handshake request for a path.
pub(super) fn request(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\n\
         Host: localhost:8080\r\n\
         Connection: Upgrade\r\n\
         Upgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// Returns whether the response head is complete. No bytes may follow it.
pub(super) fn is_open(response: &[u8]) -> Result<bool> {
    if !response.ends_with(b"\r\n\r\n") {
        return Ok(false);
    }
    if !response.starts_with(b"HTTP/1.1 101 ") {
        bail!("the server refused the WebSocket handshake");
    }
    Ok(true)
}

/// A sequence of messages of the same length.
pub(super) struct Frames {
    /// The frame of the client, masked.
    client_frame: Vec<u8>,
    /// The frame of the server, unmasked.
    server_frame: Vec<u8>,
    length: usize,
}

impl Frames {
    /// Creates messages of `length` bytes, at least 16.
    pub(super) fn new(length: usize) -> Self {
        let length = length.max(DIGITS);
        let payload = vec![b'x'; length];
        Self {
            client_frame: from_client(&payload),
            server_frame: from_server(&payload),
            length,
        }
    }

    /// Returns the frame that the server echoes.
    pub(super) fn echo(&self) -> &[u8] {
        &self.server_frame
    }

    /// Sets the number of the message; returns the frame to send.
    pub(super) fn set_number(&mut self, sequence: u64) -> &[u8] {
        let digits = format!("{sequence:0DIGITS$x}");
        let client_offset = self.client_frame.len() - self.length;
        let server_offset = self.server_frame.len() - self.length;
        for (index, digit) in digits.bytes().enumerate() {
            self.client_frame[client_offset + index] = digit ^ MASK[index % MASK.len()];
            self.server_frame[server_offset + index] = digit;
        }
        &self.client_frame
    }
}

/// Returns a text frame of a client.
pub(super) fn from_client(payload: &[u8]) -> Vec<u8> {
    let mut frame = head(payload.len(), MASKED);
    frame.extend(MASK);
    let masked = payload.iter().zip(MASK.iter().cycle());
    frame.extend(masked.map(|(byte, mask)| byte ^ mask));
    frame
}

/// Returns a text frame of a server.
pub(super) fn from_server(payload: &[u8]) -> Vec<u8> {
    let mut frame = head(payload.len(), 0);
    frame.extend(payload);
    frame
}

/// Returns the head of a text frame, without its mask.
fn head(length: usize, masked: u8) -> Vec<u8> {
    match length {
        0..126 => vec![TEXT, masked | length as u8],
        126..65_536 => [&[TEXT, masked | 126], &(length as u16).to_be_bytes()[..]].concat(),
        _ => [&[TEXT, masked | 127], &(length as u64).to_be_bytes()[..]].concat(),
    }
}

#[cfg(test)]
mod tests {
    use uptick::websocket::protocol::{Decoder, Event, Limits, Role};

    use super::*;

    #[test]
    fn frames_are_valid_text_frames_with_their_number() {
        for length in [20, 125, 126, 65_535, 65_536] {
            let mut frames = Frames::new(length);
            for sequence in [1, 0xabc] {
                let client_frame = frames.set_number(sequence).to_vec();
                let text = format!("{sequence:016x}{}", "x".repeat(length - 16));
                let message = Some(Event::Message(text.into()));
                for (role, bytes) in [
                    (Role::Server, &client_frame[..]),
                    (Role::Client, frames.echo()),
                ] {
                    let mut decoder = Decoder::new(role);
                    decoder.push(bytes.into());
                    assert!(
                        decoder.next(&Limits::default(), None) == message,
                        "{length}"
                    );
                    assert!(decoder.is_idle());
                }
            }
        }
    }

    #[test]
    fn only_a_101_response_opens_a_websocket() {
        assert!(is_open(b"HTTP/1.1 101 Yes\r\n\r\n").is_ok_and(|open| open));
        assert!(is_open(b"HTTP/1.1 101 Yes\r\n").is_ok_and(|open| !open));
        assert!(is_open(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}

//! The frames of a client's connection. Settings, pings and flow control are handled here.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::net::sockopt::{self, Timeout};

use super::super::RESPONSE_TIMEOUT;
use super::super::socket::{Dialer, receive, send};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const FRAME_HEAD: usize = 9;
/// The maximum length of a frame's payload, in both directions.
const MAX_PAYLOAD: usize = 16_384;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const ENABLE_CONNECT_PROTOCOL: u16 = 8;

const DEFAULT_WINDOW: u32 = 65_535;
/// The size of the receive windows, large enough that they never limit a response.
const WINDOW: u32 = 1 << 30;

/// A frame of a stream.
pub(super) enum StreamFrame<'a> {
    Headers {
        stream: u32,
        block: &'a [u8],
        end: bool,
    },
    Data {
        stream: u32,
        bytes: &'a [u8],
        end: bool,
    },
}

/// The settings of the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerSettings {
    /// The maximum number of concurrent streams.
    pub(super) max_streams: u32,
    /// `true` if the server accepts extended CONNECT requests.
    pub(super) connect_protocol: bool,
    initial_window: u32,
}

/// A connection whose frames are sent together.
pub(super) struct Connection {
    socket: OwnedFd,
    outgoing: Vec<u8>,
    /// The beginning of a frame whose end has not been received.
    partial: Vec<u8>,
    settings: Option<ServerSettings>,
    /// The send window of the connection.
    send_window: i64,
    /// The send window of the only stream that sends data, without the initial window of the server.
    stream_send_window: i64,
    /// The number of received bytes of data for which no WINDOW_UPDATE was sent, on the connection and on the only stream that
    /// receives more data than a window.
    uncredited: [u32; 2],
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Connection {
    /// Connects, and exchanges the settings.
    pub(super) fn open(dialer: &mut Dialer, buffer: &mut [u8]) -> Result<Self> {
        let mut connection = Self::new(dialer.connect()?);
        connection.flush()?;
        connection.wait_until(buffer, |connection| connection.settings.is_some())?;
        Ok(connection)
    }

    /// Creates a connection whose preface and settings are sent by the next [`flush`](Self::flush).
    pub(super) fn new(socket: OwnedFd) -> Self {
        let mut connection = Self {
            socket,
            outgoing: PREFACE.to_vec(),
            partial: Vec::new(),
            settings: None,
            send_window: DEFAULT_WINDOW.into(),
            stream_send_window: 0,
            uncredited: [0; 2],
        };
        let mut settings = Vec::new();
        for (name, value) in [(ENABLE_PUSH, 0), (INITIAL_WINDOW_SIZE, WINDOW)] {
            settings.extend(name.to_be_bytes());
            settings.extend(value.to_be_bytes());
        }
        connection.append(SETTINGS, 0, 0, &settings);
        connection.append(
            WINDOW_UPDATE,
            0,
            0,
            &(WINDOW - DEFAULT_WINDOW).to_be_bytes(),
        );
        connection
    }

    /// Returns the settings of the server.
    pub(super) fn settings(&self) -> Result<ServerSettings> {
        self.settings
            .context("the server has not sent its settings")
    }

    /// Appends a HEADERS frame to the frames to send.
    pub(super) fn append_headers(&mut self, stream: u32, flags: u8, block: &[u8]) {
        self.append(HEADERS, flags | END_HEADERS, stream, block);
    }

    /// Appends a DATA frame to the frames to send. Returns `false` if a send window is too small.
    pub(super) fn append_data(&mut self, stream: u32, bytes: &[u8]) -> Result<bool> {
        ensure!(
            bytes.len() <= MAX_PAYLOAD,
            "{} bytes do not fit into a frame",
            bytes.len()
        );
        let initial_window: i64 = self.settings()?.initial_window.into();
        let length = bytes.len() as i64;
        if self.send_window < length || initial_window + self.stream_send_window < length {
            return Ok(false);
        }
        self.send_window -= length;
        self.stream_send_window -= length;
        self.append(DATA, 0, stream, bytes);
        Ok(true)
    }

    /// Counts received data of `stream`, and updates its receive window when half of it is used.
    pub(super) fn credit(&mut self, stream: u32, length: usize) {
        let uncredited = &mut self.uncredited[usize::from(stream > 0)];
        *uncredited += length as u32;
        if *uncredited >= WINDOW / 2 {
            let increment = std::mem::take(uncredited);
            self.append(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes());
        }
    }

    fn append(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = (payload.len() as u32).to_be_bytes();
        self.outgoing.extend_from_slice(&length[1..]);
        self.outgoing.extend_from_slice(&[kind, flags]);
        self.outgoing.extend_from_slice(&stream.to_be_bytes());
        self.outgoing.extend_from_slice(payload);
    }

    /// Sends the appended frames, if any.
    pub(super) fn flush(&mut self) -> Result<()> {
        send(&self.socket, &self.outgoing)?;
        self.outgoing.clear();
        Ok(())
    }

    /// Reads received bytes, and passes the complete frames of streams to `handle`.
    pub(super) fn collect(
        &mut self,
        buffer: &mut [u8],
        handle: impl FnMut(StreamFrame<'_>) -> Result<()>,
    ) -> Result<()> {
        self.collect_with(buffer, receive, handle)
    }

    /// Waits for received bytes, and handles them like [`collect`](Self::collect).
    pub(super) fn wait_and_collect(
        &mut self,
        buffer: &mut [u8],
        handle: impl FnMut(StreamFrame<'_>) -> Result<()>,
    ) -> Result<()> {
        self.collect_with(buffer, wait_and_receive, handle)?;
        self.flush()
    }

    /// Handles received bytes until `is_complete` returns `true`. No frames of streams may be among them.
    fn wait_until(&mut self, buffer: &mut [u8], is_complete: impl Fn(&Self) -> bool) -> Result<()> {
        while !is_complete(self) {
            self.wait_and_collect(buffer, |_| bail!("a response without a request"))?;
        }
        Ok(())
    }

    fn collect_with(
        &mut self,
        buffer: &mut [u8],
        receive: impl FnOnce(&OwnedFd, &mut [u8]) -> Result<usize>,
        mut handle: impl FnMut(StreamFrame<'_>) -> Result<()>,
    ) -> Result<()> {
        let old = self.partial.len();
        buffer[..old].copy_from_slice(&self.partial);
        self.partial.clear();
        let length = old + receive(&self.socket, &mut buffer[old..])?;
        let mut rest = &buffer[..length];
        while let Some((frame, after)) = split_frame(rest)? {
            self.handle(&frame, &mut handle)?;
            rest = after;
        }
        self.partial.extend_from_slice(rest);
        Ok(())
    }

    fn handle(
        &mut self,
        frame: &RawFrame<'_>,
        handle: &mut impl FnMut(StreamFrame<'_>) -> Result<()>,
    ) -> Result<()> {
        let stream = frame.stream;
        let end = frame.has(END_STREAM);
        match frame.kind {
            DATA => {
                self.credit(0, frame.payload.len());
                let bytes = frame.content()?;
                handle(StreamFrame::Data { stream, bytes, end })
            }
            HEADERS => {
                ensure!(frame.has(END_HEADERS), "a header block has several frames");
                let block = frame.content()?;
                handle(StreamFrame::Headers { stream, block, end })
            }
            SETTINGS if !frame.has(ACK) => {
                self.apply(frame.payload)?;
                self.append(SETTINGS, ACK, 0, &[]);
                Ok(())
            }
            PING if !frame.has(ACK) => {
                self.append(PING, ACK, 0, frame.payload);
                Ok(())
            }
            WINDOW_UPDATE => {
                let window = if stream == 0 {
                    &mut self.send_window
                } else {
                    &mut self.stream_send_window
                };
                *window += i64::from(number(frame.payload)?);
                Ok(())
            }
            RST_STREAM => bail!(
                "the server reset a stream (error code {})",
                number(frame.payload)?
            ),
            GOAWAY => {
                let code = frame.payload.get(4..).unwrap_or_default();
                bail!(
                    "the server closes a connection (error code {})",
                    number(code)?
                )
            }
            PUSH_PROMISE | CONTINUATION => bail!("an unexpected frame of type {}", frame.kind),
            _ => Ok(()),
        }
    }

    /// Applies the settings of the server.
    fn apply(&mut self, payload: &[u8]) -> Result<()> {
        let mut settings = self.settings.unwrap_or(ServerSettings {
            max_streams: u32::MAX,
            connect_protocol: false,
            initial_window: DEFAULT_WINDOW,
        });
        for setting in payload.chunks(6) {
            let (name, value) = setting.split_at_checked(2).context("a truncated setting")?;
            let value = number(value)?;
            match u16::from_be_bytes([name[0], name[1]]) {
                MAX_CONCURRENT_STREAMS => settings.max_streams = value,
                INITIAL_WINDOW_SIZE => settings.initial_window = value,
                ENABLE_CONNECT_PROTOCOL => settings.connect_protocol = value == 1,
                _ => {}
            }
        }
        self.settings = Some(settings);
        Ok(())
    }
}

/// A frame of any type.
struct RawFrame<'a> {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: &'a [u8],
}

impl<'a> RawFrame<'a> {
    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Returns the payload of a DATA or HEADERS frame without padding and priority.
    fn content(&self) -> Result<&'a [u8]> {
        let mut content = self.payload;
        if self.has(PADDED) {
            let (length, padded) = content.split_first().context("a truncated frame")?;
            let end = padded.len().checked_sub((*length).into());
            content = &padded[..end.context("more padding than payload")?];
        }
        if self.kind == HEADERS && self.has(PRIORITY) {
            content = content.get(5..).context("a truncated frame")?;
        }
        Ok(content)
    }
}

/// Returns the first frame and the bytes after it; `None` if it is incomplete.
fn split_frame(bytes: &[u8]) -> Result<Option<(RawFrame<'_>, &[u8])>> {
    let Some((head, rest)) = bytes.split_first_chunk::<FRAME_HEAD>() else {
        return Ok(None);
    };
    let [high, middle, low, kind, flags, stream @ ..] = *head;
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    ensure!(
        length <= MAX_PAYLOAD,
        "a frame of {length} bytes: the server does not speak HTTP/2"
    );
    let Some((payload, rest)) = rest.split_at_checked(length) else {
        return Ok(None);
    };
    let stream = u32::from_be_bytes(stream) & !(1 << 31);
    let frame = RawFrame {
        kind,
        flags,
        stream,
        payload,
    };
    Ok(Some((frame, rest)))
}

/// Returns the 32-bit number at the beginning of a payload.
fn number(payload: &[u8]) -> Result<u32> {
    let bytes = payload.first_chunk().context("a truncated frame")?;
    Ok(u32::from_be_bytes(*bytes))
}

/// Waits until bytes are received, and returns their number.
fn wait_and_receive(socket: &OwnedFd, buffer: &mut [u8]) -> Result<usize> {
    sockopt::set_socket_timeout(socket, Timeout::Recv, Some(RESPONSE_TIMEOUT))?;
    loop {
        match rustix::net::recv(socket, &mut *buffer, RecvFlags::empty()) {
            Ok((0, _)) => bail!("the server closed a connection"),
            Ok((length, _)) => return Ok(length),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("reading a response failed"),
        }
    }
}

/// Checks that a header block begins with the status 200, which has an index in the static table.
pub(super) fn check_status(block: &[u8]) -> Result<()> {
    let mut rest = block.iter();
    let mut first = rest.next();
    // A block can begin with updates of the size of the dynamic table.
    while let Some(update @ 0x20..=0x3f) = first {
        if *update == 0x3f {
            rest.by_ref().find(|byte| **byte < 0x80);
        }
        first = rest.next();
    }
    ensure!(
        first == Some(&0x88),
        "a response has a status other than 200"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_status_200_is_accepted() {
        for block in [
            &b"\x88"[..],
            b"\x88\x5f",
            b"\x20\x88",
            b"\x3f\xe1\x1f\x88",
            b"\x20\x3f\x81\x01\x88",
        ] {
            assert!(check_status(block).is_ok(), "{block:?}");
        }
        for block in [
            &b""[..],
            b"\x8d",
            b"\x3f\xe1\x1f",
            b"\x3f\xe1\x1f\x8d",
            b"\x48\x03200",
        ] {
            assert!(check_status(block).is_err(), "{block:?}");
        }
    }

    #[test]
    fn padding_and_priority_are_removed() {
        let content = |kind, flags, payload| {
            let frame = RawFrame {
                kind,
                flags,
                stream: 1,
                payload,
            };
            frame.content().ok()
        };
        assert_eq!(content(DATA, PADDED, b"\x02ab\0\0"), Some(&b"ab"[..]));
        assert_eq!(
            content(HEADERS, PADDED | PRIORITY, b"\x01\0\0\0\0\x10x\0"),
            Some(&b"x"[..])
        );
        assert_eq!(content(DATA, 0, b"\x02ab"), Some(&b"\x02ab"[..]));
        assert_eq!(content(DATA, PADDED, b"\x03ab"), None);
        assert_eq!(content(HEADERS, PRIORITY, b"\0"), None);
    }
}

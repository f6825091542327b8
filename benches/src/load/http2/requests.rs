//! Requests on several streams of each connection.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context as _, Result, bail, ensure};

use super::super::round_trips::ReadinessPoller;
use super::super::socket::Dialer;
use super::super::{Exchange, Load, Target};
use super::connection::{Connection, END_STREAM, StreamFrame, check_status};
use super::{BUFFER, append_literal};

/// The fields of `GET http://localhost:8080/hello`, encoded as nghttp2, curl and node encode them: the path without indexing.
///
/// The Huffman code is that of `/hello`.
const METHOD_AND_PATH: [u8; 8] = [0x82, 0x04, 0x85, 0x62, 0x72, 0xd1, 0x41, 0xff];
const SCHEME: u8 = 0x86;
const AUTHORITY: &str = "localhost:8080";
const USER_AGENT: &str = "uptick-bench";
/// Literals with incremental indexing: `:authority`, and `user-agent`.
const ADD_AUTHORITY: u8 = 0x40 | 1;
const ADD_USER_AGENT: u8 = 0x40 | 58;
/// Both in the dynamic table.
const INDEXED: [u8; 2] = [0x80 | 63, 0x80 | 62];

/// The body of each response.
const BODY: &[u8] = b"Hello, World!";

/// A fixed number of connections, each with the same number of concurrent streams. One unit is one request.
///
/// After each read, a client opens as many streams as have ended, in one write.
pub(crate) struct RequestStreams {
    streams: u64,
    poller: ReadinessPoller,
    clients: Vec<RequestClient>,
    buffer: Vec<u8>,
}

impl RequestStreams {
    pub(crate) fn open(target: &Target, streams: u32, connections: usize) -> Result<Self> {
        let poller = ReadinessPoller::new()?;
        let mut dialer = Dialer::new(target.clone(), Exchange::Echo);
        let mut buffer = vec![0; BUFFER];
        let mut clients = Vec::with_capacity(connections);
        for key in 0..connections {
            let client = RequestClient::open(&mut dialer, &mut buffer)?;
            let max = client.connection.settings()?.max_streams;
            ensure!(
                streams <= max,
                "the server allows {max} concurrent streams, not {streams}"
            );
            poller.watch(&client, key)?;
            clients.push(client);
        }
        Ok(Self {
            streams: streams.into(),
            poller,
            clients,
            buffer,
        })
    }
}

impl Load for RequestStreams {
    fn run(&mut self, units: u64) -> Result<()> {
        let mut unsent = units;
        let mut unanswered = units;
        for client in &mut self.clients {
            let count = self.streams.min(unsent);
            client.send_requests(count)?;
            unsent -= count;
        }
        while unanswered > 0 {
            for key in self.poller.wait()? {
                let client = &mut self.clients[key];
                let ended = client.collect(&mut self.buffer)?;
                unanswered -= ended;
                let count = ended.min(unsent);
                client.send_requests(count)?;
                unsent -= count;
            }
        }
        Ok(())
    }
}

/// A connection that sends requests.
pub(super) struct RequestClient {
    connection: Connection,
    responses: Responses,
}

impl AsFd for RequestClient {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

impl RequestClient {
    pub(super) fn open(dialer: &mut Dialer, buffer: &mut [u8]) -> Result<Self> {
        Ok(Self {
            connection: Connection::open(dialer, buffer)?,
            responses: Responses::new(),
        })
    }

    /// Sends `count` requests, and the pending acknowledgements of the connection.
    pub(super) fn send_requests(&mut self, count: u64) -> Result<()> {
        for _ in 0..count {
            let stream = self.responses.expect()?;
            let block = if stream == 1 {
                first_block()
            } else {
                next_block()
            };
            self.connection.append_headers(stream, END_STREAM, &block);
        }
        self.connection.flush()
    }

    /// Reads received bytes; returns the number of complete responses.
    pub(super) fn collect(&mut self, buffer: &mut [u8]) -> Result<u64> {
        let before = self.responses.ended;
        self.connection
            .collect(buffer, |frame| self.responses.receive(&frame))?;
        Ok(self.responses.ended - before)
    }
}

/// Returns the block of the first request on a connection, whose fields enter the dynamic table.
fn first_block() -> Vec<u8> {
    let mut block = METHOD_AND_PATH.to_vec();
    block.push(SCHEME);
    append_literal(&mut block, ADD_AUTHORITY, "", AUTHORITY);
    append_literal(&mut block, ADD_USER_AGENT, "", USER_AGENT);
    block
}

fn next_block() -> Vec<u8> {
    [&METHOD_AND_PATH[..], &[SCHEME], &INDEXED].concat()
}

/// The received part of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ResponseProgress {
    Nothing,
    Head,
    /// The head, and this part of the body.
    Body(usize),
    Complete,
}

/// The responses on the streams of a connection, checked.
struct Responses {
    /// The number of streams before the first one in `progress`, all of which have ended.
    offset: u32,
    progress: VecDeque<ResponseProgress>,
    ended: u64,
}

impl Responses {
    fn new() -> Self {
        Self {
            offset: 0,
            progress: VecDeque::new(),
            ended: 0,
        }
    }

    /// Opens a stream; returns its identifier.
    fn expect(&mut self) -> Result<u32> {
        let number = self.offset as usize + self.progress.len();
        self.progress.push_back(ResponseProgress::Nothing);
        let stream = 2 * number + 1;
        ensure!(stream < 1 << 31, "a connection has no more streams");
        Ok(stream as u32)
    }

    fn receive(&mut self, frame: &StreamFrame<'_>) -> Result<()> {
        let (StreamFrame::Headers { stream, .. } | StreamFrame::Data { stream, .. }) = *frame;
        let index = (stream / 2).checked_sub(self.offset);
        let progress = index
            .and_then(|index| self.progress.get_mut(index as usize))
            .filter(|_| stream % 2 == 1)
            .context("a response on a stream that is not open")?;
        let end = match *frame {
            StreamFrame::Headers { block, end, .. } => {
                ensure!(
                    *progress == ResponseProgress::Nothing,
                    "a second response on a stream"
                );
                check_status(block)?;
                *progress = ResponseProgress::Head;
                end
            }
            StreamFrame::Data { bytes, end, .. } => {
                let received = match *progress {
                    ResponseProgress::Head => 0,
                    ResponseProgress::Body(received) => received,
                    _ => bail!("data before or after a response"),
                };
                ensure!(
                    BODY[received..].starts_with(bytes),
                    "a response has a different body"
                );
                *progress = ResponseProgress::Body(received + bytes.len());
                end
            }
        };
        if end {
            ensure!(
                *progress == ResponseProgress::Body(BODY.len()),
                "a response has an incomplete body"
            );
            *progress = ResponseProgress::Complete;
            self.ended += 1;
            while self.progress.front() == Some(&ResponseProgress::Complete) {
                self.progress.pop_front();
                self.offset += 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// The settings and two interleaved responses, the second one first.
    const TWO: &[&[u8]] = &[
        b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64",
        b"\0\0\x01\x01\x04\0\0\0\x01\x88",
        b"\0\0\x01\x01\x04\0\0\0\x03\x88",
        b"\0\0\x08\x06\0\0\0\0\0\0\0\0\0\0\0\0\0",
        b"\0\0\x0d\0\x01\0\0\0\x03Hello, World!",
        b"\0\0\x05\0\0\0\0\0\x01Hello",
        b"\0\0\x08\0\0\0\0\0\x01, World!",
        b"\0\0\0\0\x01\0\0\0\x01",
    ];

    /// Sends two requests, and receives these pieces; returns the number of responses after each piece.
    fn receive(pieces: &[&[u8]]) -> Result<Vec<u64>> {
        let (client, mut server) = UnixStream::pair()?;
        let mut client = RequestClient {
            connection: Connection::new(client.into()),
            responses: Responses::new(),
        };
        client.send_requests(2)?;
        let mut buffer = vec![0; BUFFER];
        let mut counts = Vec::new();
        for piece in pieces {
            server.write_all(piece)?;
            client.collect(&mut buffer)?;
            counts.push(client.responses.ended);
        }
        Ok(counts)
    }

    #[test]
    fn responses_are_counted_at_their_last_frame_wherever_the_bytes_are_split() {
        assert_eq!(receive(TWO).unwrap_or_default(), [0, 0, 0, 0, 1, 1, 1, 2]);
        let bytes = TWO.concat();
        for split in 1..bytes.len() {
            let (first, second) = bytes.split_at(split);
            let counts = receive(&[first, second]).unwrap_or_default();
            assert_eq!(counts.last(), Some(&2), "{split}");
        }
    }

    #[test]
    fn a_wrong_response_is_an_error() {
        for wrong in [
            // Another status, another body, a truncated body, a body that is too long, no body.
            &b"\0\0\x01\x01\x04\0\0\0\x01\x8d"[..],
            b"\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x05\0\0\0\0\0\x01hello",
            b"\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x05\0\x01\0\0\0\x01Hello",
            b"\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x0e\0\x01\0\0\0\x01Hello, World!!",
            b"\0\0\x01\x01\x05\0\0\0\x01\x88",
            // Data without a head, a stream that is not open, one of the server's streams.
            b"\0\0\x05\0\0\0\0\0\x01Hello",
            b"\0\0\x01\x01\x04\0\0\0\x05\x88",
            b"\0\0\x01\x01\x04\0\0\0\x02\x88",
            // A reset, the end of the connection, a frame that is too long.
            b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x07",
            b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b",
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
        ] {
            assert!(receive(&[TWO[0], wrong]).is_err(), "{wrong:?}");
        }
    }
}

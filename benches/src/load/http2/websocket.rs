//! WebSockets over HTTP/2 (RFC 8441): messages that the server echoes, on one stream of each connection.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Result, ensure};

use super::super::frames::{Frames, PATH};
use super::super::round_trips::ReadinessPoller;
use super::super::socket::Dialer;
use super::super::{Exchange, Load, Target};
use super::connection::{Connection, StreamFrame, check_status};
use super::{BUFFER, append_literal};

/// `:scheme: http` in the static table.
const SCHEME_HTTP: u8 = 0x86;

/// The only stream of a connection.
const STREAM: u32 = 1;

/// A fixed number of connections with a WebSocket each. One unit is one message, echoed.
pub(crate) struct Http2Echoes {
    poller: ReadinessPoller,
    clients: Vec<EchoClient>,
    buffer: Vec<u8>,
}

impl Http2Echoes {
    /// Opens connections whose messages have this number of bytes.
    pub(crate) fn open(target: &Target, length: usize, connections: usize) -> Result<Self> {
        let poller = ReadinessPoller::new()?;
        let mut dialer = Dialer::new(target.clone(), Exchange::Echo);
        let mut buffer = vec![0; BUFFER];
        let mut clients = Vec::with_capacity(connections);
        for key in 0..connections {
            let client = EchoClient::open(&mut dialer, length, &mut buffer)?;
            poller.watch(&client, key)?;
            clients.push(client);
        }
        Ok(Self {
            poller,
            clients,
            buffer,
        })
    }
}

impl Load for Http2Echoes {
    fn run(&mut self, units: u64) -> Result<()> {
        let mut unsent = units;
        let mut unanswered = units;
        for client in &mut self.clients {
            if unsent > 0 {
                client.send_message()?;
                unsent -= 1;
            }
        }
        while unanswered > 0 {
            for key in self.poller.wait()? {
                let client = &mut self.clients[key];
                if client.collect(&mut self.buffer)? {
                    unanswered -= 1;
                    if unsent > 0 {
                        client.send_message()?;
                        unsent -= 1;
                    }
                }
            }
        }
        Ok(())
    }
}

/// A connection with a WebSocket, and at most one message at a time.
struct EchoClient {
    connection: Connection,
    frames: Frames,
    sequence: u64,
    /// `true` while a message waits for a send window.
    unsent: bool,
    echo: Vec<u8>,
}

impl AsFd for EchoClient {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

impl EchoClient {
    /// Connects, and opens the WebSocket.
    fn open(dialer: &mut Dialer, length: usize, buffer: &mut [u8]) -> Result<Self> {
        let mut connection = Connection::open(dialer, buffer)?;
        ensure!(
            connection.settings()?.connect_protocol,
            "the server does not offer WebSockets over HTTP/2"
        );
        connection.append_headers(STREAM, 0, &request_block());
        connection.flush()?;
        let mut is_open = false;
        while !is_open {
            connection.wait_and_collect(buffer, |frame| match frame {
                StreamFrame::Headers {
                    stream: STREAM,
                    block,
                    end: false,
                } => {
                    is_open = true;
                    check_status(block)
                }
                _ => anyhow::bail!("the server refused the WebSocket"),
            })?;
        }
        Ok(Self {
            connection,
            frames: Frames::new(length),
            sequence: 0,
            unsent: false,
            echo: Vec::new(),
        })
    }

    fn send_message(&mut self) -> Result<()> {
        self.sequence += 1;
        self.echo.clear();
        let frame = self.frames.set_number(self.sequence);
        self.unsent = !self.connection.append_data(STREAM, frame)?;
        self.connection.flush()
    }

    /// Reads received bytes; returns whether the echo is complete.
    fn collect(&mut self, buffer: &mut [u8]) -> Result<bool> {
        let before = self.echo.len();
        let echo = &mut self.echo;
        self.connection.collect(buffer, |frame| match frame {
            StreamFrame::Data {
                stream: STREAM,
                bytes,
                end: false,
            } => {
                echo.extend_from_slice(bytes);
                Ok(())
            }
            _ => anyhow::bail!("the server closed a WebSocket"),
        })?;
        self.connection.credit(STREAM, self.echo.len() - before);
        if self.unsent {
            let frame = self.frames.set_number(self.sequence);
            self.unsent = !self.connection.append_data(STREAM, frame)?;
        }
        self.connection.flush()?;
        let expected = self.frames.echo();
        if self.echo.len() < expected.len() {
            return Ok(false);
        }
        ensure!(self.echo == expected, "an echo differs from its message");
        Ok(before < self.echo.len())
    }
}

/// Returns the header block of the request: an extended CONNECT whose fields are not added to the dynamic table.
fn request_block() -> Vec<u8> {
    let mut block = Vec::new();
    append_literal(&mut block, 2, "", "CONNECT");
    append_literal(&mut block, 0, ":protocol", "websocket");
    block.push(SCHEME_HTTP);
    append_literal(&mut block, 4, "", PATH);
    append_literal(&mut block, 1, "", "localhost:8080");
    append_literal(&mut block, 0, "sec-websocket-version", "13");
    block
}

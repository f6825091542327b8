//! The requests of a client, and the expected responses.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};

use super::frames::{self, Frames};
use super::{REQUEST, request};

/// The maximum length of a response of an HTTP server, head and body.
const MAX_RESPONSE: usize = 512;

/// The maximum number of headers of a response.
const MAX_HEADERS: usize = 16;

/// An exchange that a client repeats.
#[derive(Clone, Debug)]
pub(crate) enum Exchange {
    /// 64 bytes that differ each time, which the server sends back.
    Echo,
    /// Pipelined requests, and the body that each response must have.
    Http(Arc<HttpExchange>),
    /// A WebSocket message of this number of bytes, which differs each time and which the server sends back.
    WebSocket(usize),
}

#[derive(Debug)]
pub(crate) struct HttpExchange {
    requests: Vec<u8>,
    depth: usize,
    body: Vec<u8>,
}

impl Exchange {
    /// Returns an exchange of `depth` pipelined requests with this head. Each response must have the status
    /// 200 and `body`.
    pub(crate) fn http(head: &str, depth: usize, body: &str) -> Self {
        Self::Http(Arc::new(HttpExchange {
            requests: head.repeat(depth).into_bytes(),
            depth,
            body: body.as_bytes().to_vec(),
        }))
    }

    /// Returns the number of requests in one exchange.
    pub(crate) fn requests(&self) -> u64 {
        match self {
            Self::Echo | Self::WebSocket(_) => 1,
            Self::Http(http) => http.depth as u64,
        }
    }
}

/// The exchanges of one connection.
pub(super) struct ExchangeState {
    exchange: Exchange,
    frames: Option<Frames>,
    sequence: u64,
    response: Vec<u8>,
    received: usize,
}

impl ExchangeState {
    pub(super) fn new(exchange: Exchange) -> Self {
        let mut frames = None;
        let buffer = match &exchange {
            Exchange::Echo => REQUEST,
            Exchange::Http(http) => http.depth * MAX_RESPONSE,
            Exchange::WebSocket(length) => frames.insert(Frames::new(*length)).echo().len(),
        };
        Self {
            exchange,
            frames,
            sequence: 0,
            response: vec![0; buffer],
            received: 0,
        }
    }

    /// Returns the bytes to send on a new connection before the first exchange, if any.
    pub(super) fn handshake_request(&self) -> Option<String> {
        self.frames.as_ref().map(|_| frames::request(frames::PATH))
    }

    /// Prepares for the next exchange, whose request another client sends. This client only receives.
    pub(super) fn expect(&mut self) {
        self.sequence += 1;
        self.received = 0;
        if let Some(frames) = &mut self.frames {
            frames.set_number(self.sequence);
        }
    }

    /// Starts the next exchange, and passes the bytes of the request to `send`.
    pub(super) fn send_request(&mut self, send: impl FnOnce(&[u8]) -> Result<()>) -> Result<()> {
        self.sequence += 1;
        self.received = 0;
        match (&self.exchange, &mut self.frames) {
            (Exchange::Http(http), _) => send(&http.requests),
            (_, Some(frames)) => send(frames.set_number(self.sequence)),
            _ => send(&request(self.sequence)),
        }
    }

    /// Returns the buffer for the rest of the response.
    pub(super) fn buffer(&mut self) -> &mut [u8] {
        &mut self.response[self.received..]
    }

    /// Adds `length` received bytes; returns whether the response is complete.
    pub(super) fn received(&mut self, length: usize) -> Result<bool> {
        self.received += length;
        let response = &self.response[..self.received];
        let complete = match (&self.exchange, &self.frames) {
            (Exchange::Http(http), _) => http.is_complete(response)?,
            (_, Some(frames)) => is_echo(response, frames.echo())?,
            _ => is_echo(response, &request(self.sequence))?,
        };
        if !complete && self.received == self.response.len() {
            bail!("a response is longer than {MAX_RESPONSE} bytes");
        }
        Ok(complete)
    }
}

/// Returns whether a response is complete. A complete response must equal `expected`.
fn is_echo(response: &[u8], expected: &[u8]) -> Result<bool> {
    if response.len() < expected.len() {
        return Ok(false);
    }
    if response != expected {
        bail!("a response differs from its request");
    }
    Ok(true)
}

impl HttpExchange {
    fn is_complete(&self, mut responses: &[u8]) -> Result<bool> {
        for _ in 0..self.depth {
            match after_one(responses, &self.body)? {
                Some(rest) => responses = rest,
                None => return Ok(false),
            }
        }
        if !responses.is_empty() {
            bail!("more responses than requests");
        }
        Ok(true)
    }
}

/// Returns the bytes after the first response, which must have this body; `None` if it is incomplete.
fn after_one<'a>(bytes: &'a [u8], body: &[u8]) -> Result<Option<&'a [u8]>> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut fields);
    let parsed = response.parse(bytes);
    let httparse::Status::Complete(head) = parsed.context("a response is not HTTP")? else {
        return Ok(None);
    };
    let length = response
        .headers
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("content-length"))
        .and_then(|field| str::from_utf8(field.value).ok()?.parse::<usize>().ok());
    if response.code != Some(200) || length != Some(body.len()) {
        bail!(
            "a response has the status {:?} and the length {length:?}",
            response.code
        );
    }
    let rest = &bytes[head..];
    if rest.len() < body.len() {
        return Ok(None);
    }
    if !rest.starts_with(body) {
        bail!("a response has a different body");
    }
    Ok(Some(&rest[body.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    /// Passes responses to a client that expects `ok` twice.
    fn receive(responses: &str) -> Result<bool> {
        let mut state = ExchangeState::new(Exchange::http("", 2, "ok"));
        state.buffer()[..responses.len()].copy_from_slice(responses.as_bytes());
        state.received(responses.len())
    }

    #[test]
    fn an_exchange_is_complete_with_the_last_byte_of_the_last_response() {
        let both = RESPONSE.repeat(2);
        for end in 0..both.len() {
            assert!(!receive(&both[..end]).unwrap_or(true), "{end}");
        }
        assert!(receive(&both).is_ok_and(|complete| complete));
    }

    #[test]
    fn a_wrong_response_is_an_error() {
        for wrong in [
            "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok!",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
            "HTTP/1.1 200 OK\r\n\r\nok",
            "hello",
        ] {
            assert!(receive(wrong).is_err(), "{wrong}");
        }
        assert!(receive(&RESPONSE.repeat(3)).is_err());
    }
}

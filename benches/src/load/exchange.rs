//! What a client says, and what it wants to hear.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};

use super::frames::{self, Frames};
use super::{REQUEST, request};

/// Room for each answer of an HTTP server, head and body.
const ANSWER: usize = 512;

/// Fields in an answer's head.
const FIELDS: usize = 16;

/// One exchange, which a client does again and again.
#[derive(Clone, Debug)]
pub(crate) enum Exchange {
    /// 64 bytes, no two times the same, which the server sends back.
    Echo,
    /// Requests in one piece, and the body that each of the answers has.
    Http(Arc<Http>),
    /// A message of so many bytes over a WebSocket, no two times the same, which the server sends back.
    WebSocket(usize),
}

#[derive(Debug)]
pub(crate) struct Http {
    requests: Vec<u8>,
    depth: usize,
    body: Vec<u8>,
}

impl Exchange {
    /// `depth` requests with this head, pipelined; each is answered with 200 and `body`.
    pub(crate) fn http(head: &str, depth: usize, body: &str) -> Self {
        Self::Http(Arc::new(Http {
            requests: head.repeat(depth).into_bytes(),
            depth,
            body: body.as_bytes().to_vec(),
        }))
    }

    /// How many requests one exchange is.
    pub(crate) fn requests(&self) -> u64 {
        match self {
            Self::Echo | Self::WebSocket(_) => 1,
            Self::Http(http) => http.depth as u64,
        }
    }
}

/// The exchanges of one connection.
pub(super) struct Conversation {
    exchange: Exchange,
    frames: Option<Frames>,
    sequence: u64,
    answer: Vec<u8>,
    received: usize,
}

impl Conversation {
    pub(super) fn new(exchange: Exchange) -> Self {
        let mut frames = None;
        let room = match &exchange {
            Exchange::Echo => REQUEST,
            Exchange::Http(http) => http.depth * ANSWER,
            Exchange::WebSocket(length) => frames.insert(Frames::new(*length)).answer().len(),
        };
        Self {
            exchange,
            frames,
            sequence: 0,
            answer: vec![0; room],
            received: 0,
        }
    }

    /// What is to be sent on a new connection before the first exchange, if anything is.
    pub(super) fn opening(&self) -> Option<String> {
        self.frames.as_ref().map(|_| frames::request(frames::PATH))
    }

    /// Begins the next exchange where others ask, and this client only hears.
    pub(super) fn expect(&mut self) {
        self.sequence += 1;
        self.received = 0;
        if let Some(frames) = &mut self.frames {
            frames.number(self.sequence);
        }
    }

    /// Begins the next exchange, and passes what is to be sent to `send`.
    pub(super) fn ask(&mut self, send: impl FnOnce(&[u8]) -> Result<()>) -> Result<()> {
        self.sequence += 1;
        self.received = 0;
        match (&self.exchange, &mut self.frames) {
            (Exchange::Http(http), _) => send(&http.requests),
            (_, Some(frames)) => send(frames.number(self.sequence)),
            _ => send(&request(self.sequence)),
        }
    }

    /// Where the rest of the answer belongs.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.answer[self.received..]
    }

    /// Takes note of `length` more bytes there, and says whether the answer is complete.
    pub(super) fn received(&mut self, length: usize) -> Result<bool> {
        self.received += length;
        let answer = &self.answer[..self.received];
        let complete = match (&self.exchange, &self.frames) {
            (Exchange::Http(http), _) => http.is_answered(answer)?,
            (_, Some(frames)) => is_echo(answer, frames.answer())?,
            _ => is_echo(answer, &request(self.sequence))?,
        };
        if !complete && self.received == self.answer.len() {
            bail!("an answer is longer than {ANSWER} bytes");
        }
        Ok(complete)
    }
}

/// Whether an answer is complete; one that is has to be `expected`.
fn is_echo(answer: &[u8], expected: &[u8]) -> Result<bool> {
    if answer.len() < expected.len() {
        return Ok(false);
    }
    if answer != expected {
        bail!("an answer differs from its request");
    }
    Ok(true)
}

impl Http {
    fn is_answered(&self, mut answers: &[u8]) -> Result<bool> {
        for _ in 0..self.depth {
            match after_one(answers, &self.body)? {
                Some(rest) => answers = rest,
                None => return Ok(false),
            }
        }
        if !answers.is_empty() {
            bail!("more came than was asked for");
        }
        Ok(true)
    }
}

/// What comes after the first answer of `bytes`, which must have this body; `None` if it is not complete yet.
fn after_one<'a>(bytes: &'a [u8], body: &[u8]) -> Result<Option<&'a [u8]>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let parsed = response.parse(bytes);
    let httparse::Status::Complete(head) = parsed.context("an answer is not HTTP")? else {
        return Ok(None);
    };
    let length = response
        .headers
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("content-length"))
        .and_then(|field| str::from_utf8(field.value).ok()?.parse::<usize>().ok());
    if response.code != Some(200) || length != Some(body.len()) {
        bail!(
            "an answer has the status {:?} and the length {length:?}",
            response.code
        );
    }
    let rest = &bytes[head..];
    if rest.len() < body.len() {
        return Ok(None);
    }
    if !rest.starts_with(body) {
        bail!("an answer has another body");
    }
    Ok(Some(&rest[body.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    /// What a client that wants to hear `ok` twice says of this.
    fn hears(answers: &str) -> Result<bool> {
        let mut conversation = Conversation::new(Exchange::http("", 2, "ok"));
        conversation.room()[..answers.len()].copy_from_slice(answers.as_bytes());
        conversation.received(answers.len())
    }

    #[test]
    fn answers_are_complete_with_the_last_byte_of_the_last() {
        let both = ANSWER.repeat(2);
        for end in 0..both.len() {
            assert!(!hears(&both[..end]).unwrap_or(true), "{end}");
        }
        assert!(hears(&both).is_ok_and(|complete| complete));
    }

    #[test]
    fn a_wrong_answer_is_an_error() {
        for wrong in [
            "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok!",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
            "HTTP/1.1 200 OK\r\n\r\nok",
            "hello",
        ] {
            assert!(hears(wrong).is_err(), "{wrong}");
        }
        assert!(hears(&ANSWER.repeat(3)).is_err());
    }
}

//! The minimum of an HTTP server: find the end of each head, compare the path, and write the response.

use std::io::{self, ErrorKind, Write as _};
use std::mem;
use std::time::{Duration, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use super::super::connection::Protocol;
use super::{HELLO, USER};

/// The maximum length of a request head, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// The received part of a request head.
#[derive(Default)]
pub(in super::super) struct HttpProtocol {
    partial: Vec<u8>,
}

/// The responses to the last read, and the formatted date.
#[derive(Default)]
pub(in super::super) struct Responses {
    bytes: Vec<u8>,
    date: String,
    second: i64,
}

impl Protocol for HttpProtocol {
    type Shared = Responses;

    fn respond<'a>(
        &'a mut self,
        received: &'a [u8],
        responses: &'a mut Responses,
    ) -> io::Result<&'a [u8]> {
        responses.begin()?;
        if self.partial.is_empty() {
            self.partial = responses.requests(received)?.to_vec();
        } else {
            let mut all = mem::take(&mut self.partial);
            all.extend_from_slice(received);
            self.partial = responses.requests(&all)?.to_vec();
        }
        if self.partial.len() > MAX_HEAD {
            return Err(ErrorKind::InvalidData.into());
        }
        Ok(&responses.bytes)
    }
}

impl Responses {
    fn begin(&mut self) -> io::Result<()> {
        self.bytes.clear();
        let second = clock_gettime(ClockId::CLOCK_REALTIME_COARSE)?.tv_sec();
        if second != self.second {
            let time = UNIX_EPOCH + Duration::from_secs(second.unsigned_abs());
            self.date = httpdate::fmt_http_date(time);
            self.second = second;
        }
        Ok(())
    }

    /// Responds to all requests whose heads are complete; returns the beginning of the next one.
    fn requests<'a>(&mut self, mut bytes: &'a [u8]) -> io::Result<&'a [u8]> {
        while let Some(end) = end_of_head(bytes) {
            let (head, rest) = bytes.split_at(end);
            self.request(head)
                .ok_or_else(|| io::Error::from(ErrorKind::InvalidData))?;
            bytes = rest;
        }
        Ok(bytes)
    }

    fn request(&mut self, head: &[u8]) -> Option<()> {
        let path = head.strip_prefix(b"GET ")?;
        let path = &path[..memchr::memchr(b' ', path)?];
        let body = match path.strip_prefix(USER.as_bytes()) {
            Some(id) => id,
            None if path == b"/hello" => HELLO.as_bytes(),
            None => return None,
        };
        self.bytes.extend_from_slice(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ",
        );
        // Writing to a vector does not fail.
        let _ = write!(self.bytes, "{}", body.len());
        self.bytes.extend_from_slice(b"\r\nDate: ");
        self.bytes.extend_from_slice(self.date.as_bytes());
        self.bytes.extend_from_slice(b"\r\n\r\n");
        self.bytes.extend_from_slice(body);
        Some(())
    }
}

/// Returns the end of the first head, after its empty line.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', bytes)
        .find(|&end| bytes[..=end].ends_with(b"\r\n\r\n"))
        .map(|end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the bodies of the responses to a request that arrives in these pieces.
    fn bodies(pieces: &[&[u8]]) -> io::Result<Vec<String>> {
        let (mut http, mut shared) = (HttpProtocol::default(), Responses::default());
        let mut responses = Vec::new();
        for piece in pieces {
            responses.extend_from_slice(http.respond(piece, &mut shared)?);
        }
        let responses = String::from_utf8_lossy(&responses);
        let heads = responses.split("HTTP/1.1 200 OK\r\n").skip(1);
        let body = |response: &str| {
            response
                .split_once("\r\n\r\n")
                .map(|(_, body)| body.to_owned())
        };
        Ok(heads.filter_map(body).collect())
    }

    const TWO: &[u8] =
        b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\nGET /user/7 HTTP/1.1\r\nHost: a\r\n\r\n";

    #[test]
    fn every_request_is_answered_once_wherever_the_bytes_are_split() {
        for split in 0..TWO.len() {
            let (first, second) = TWO.split_at(split);
            let bodies = bodies(&[first, second]).unwrap_or_default();
            assert_eq!(bodies, ["Hello, World!", "7"], "{split}");
        }
    }

    #[test]
    fn malformed_requests_are_refused() {
        assert!(bodies(&[b"GET /elsewhere HTTP/1.1\r\n\r\n"]).is_err());
        assert!(bodies(&[b"POST /hello HTTP/1.1\r\n\r\n"]).is_err());
        assert!(bodies(&[&[b'a'; MAX_HEAD + 1]]).is_err());
    }
}

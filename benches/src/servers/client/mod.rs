//! HTTP clients, and the server of their requests.
//!
//! A client sends requests on request: `GET /CASE/COUNT` is answered when `COUNT` of them are complete, `GET /open/COUNT` when the client has that
//! number of connections to each of the [`HOSTS`], and `GET /allocated` with the number of bytes that the process has allocated.

pub(super) mod hyper_util;
pub(super) mod reqwest;
mod tokio_client;
pub(super) mod upstream;
pub(super) mod uptick;

use std::ffi::OsStr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// The body of a response when all requests are complete.
pub(crate) const DONE: &str = "done";

/// The path that opens connections, without the count.
pub(crate) const OPEN: &str = "open";

/// The number of requests at a time, except in the sequential cases.
const IN_FLIGHT: u64 = 64;

/// The maximum number of HTTP/1.1 connections in use at a time.
const POOL: usize = 16;

/// The size of a response to `/small`, and of an uploaded body, in bytes.
const SMALL: usize = 1024;

/// The size of a response to `/large`, in bytes.
const LARGE: usize = 64 * 1024;

/// The response to an upload.
const RECEIVED: &str = "received";

/// An idle connection outlives the turns of the other clients.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

/// The number of names of the server, to which connections are opened one name after the other. The memory that requests in progress need is thus
/// small compared with that of the idle connections.
pub(crate) const HOSTS: u64 = 100;

/// The requests that a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// 1 KiB of JSON, one request at a time.
    Small,
    /// 64 KiB, one request at a time.
    Large,
    /// An upload of 1 KiB, one request at a time.
    Upload,
    /// 1 KiB of JSON, 64 requests at a time over 16 connections.
    Pool,
    /// 1 KiB of JSON, 64 requests at a time over one HTTP/2 connection.
    Http2,
}

impl Case {
    pub(crate) const ALL: [Self; 5] = [
        Self::Small,
        Self::Large,
        Self::Upload,
        Self::Pool,
        Self::Http2,
    ];

    /// Returns the path of a request to the client, without the count.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Large => "large",
            Self::Upload => "upload",
            Self::Pool => "pool",
            Self::Http2 => "http2",
        }
    }

    /// Returns the description in tables.
    pub(crate) fn title(self) -> String {
        match self {
            Self::Small => "1 KiB, 1 at a time".to_owned(),
            Self::Large => "64 KiB".to_owned(),
            Self::Upload => "POST of 1 KiB".to_owned(),
            Self::Pool => format!("{IN_FLIGHT} at a time, {POOL} conns"),
            Self::Http2 => format!("HTTP/2, {IN_FLIGHT} at a time"),
        }
    }

    fn by_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|case| case.path() == path)
    }

    /// Returns the number of requests at a time.
    pub(crate) fn in_flight(self) -> u64 {
        match self {
            Self::Small | Self::Large | Self::Upload => 1,
            Self::Pool | Self::Http2 => IN_FLIGHT,
        }
    }

    /// Returns the URL of the requests.
    fn url(self, upstream: &str) -> String {
        let path = match self {
            Self::Small | Self::Pool | Self::Http2 => "small",
            Self::Large => "large",
            Self::Upload => "upload",
        };
        format!("{upstream}/{path}")
    }

    /// Checks a response.
    fn check(self, status: u16, body: &[u8]) -> Result<()> {
        let (length, end) = match self {
            Self::Small | Self::Pool | Self::Http2 => (SMALL, &b"\"}"[..]),
            Self::Large => (LARGE, &b"\"}"[..]),
            Self::Upload => (RECEIVED.len(), RECEIVED.as_bytes()),
        };
        ensure!(
            status == 200 && body.len() == length && body.ends_with(end),
            "a response has the status {status} and {} bytes",
            body.len()
        );
        Ok(())
    }
}

/// Returns a JSON document of this size.
fn document(size: usize) -> String {
    let (begin, end) = ("{\"text\":\"", "\"}");
    format!("{begin}{}{end}", "x".repeat(size - begin.len() - end.len()))
}

/// Returns a name of the server.
fn host(number: u64) -> String {
    format!("host-{number}.test")
}

/// Returns the URL of a request by a name of the server, which it answers when `count` such requests have arrived.
fn held_url(upstream: &str, number: u64, count: u64) -> String {
    let port = upstream.rsplit(':').next().unwrap_or_default();
    format!("http://{}:{port}/held/{count}", host(number))
}

/// The URL of the server, from the command line.
fn upstream_url(argument: Option<&OsStr>) -> Result<&str> {
    let url = argument.and_then(OsStr::to_str);
    url.context("the URL of the server is missing")
}

/// Returns the number of bytes that this process has allocated and not freed, as text.
fn allocated() -> String {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: The function only reads the counters of the allocator.
        #[allow(unsafe_code)]
        let counters = unsafe { libc::mallinfo2() };
        (counters.uordblks + counters.hblkhd).to_string()
    }
    #[cfg(not(target_env = "gnu"))]
    "unknown".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complete_response_is_accepted() {
        let small = document(SMALL);
        assert!(Case::Small.check(200, small.as_bytes()).is_ok());
        assert!(Case::Upload.check(200, b"received").is_ok());
    }

    #[test]
    fn another_response_is_refused() {
        let small = document(SMALL);
        assert!(Case::Small.check(500, small.as_bytes()).is_err());
        assert!(Case::Small.check(200, &small.as_bytes()[1..]).is_err());
        assert!(Case::Large.check(200, small.as_bytes()).is_err());
        assert!(Case::Upload.check(200, b"rejected").is_err());
    }

    #[cfg(target_env = "gnu")]
    #[test]
    fn allocated_bytes_are_counted() {
        let count = || allocated().parse::<usize>().unwrap_or(0);
        let before = count();
        let block = std::hint::black_box(vec![1_u8; 10_000_000]);
        assert!(count() >= before + 9_000_000);
        drop(block);
    }
}

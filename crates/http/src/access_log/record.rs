//! The content of an access log line.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use crate::StatusCode;
use crate::h1::RequestHead;

/// A request whose response is complete or whose client has disconnected.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AccessRecord<'a> {
    /// The head of the request.
    pub head: &'a RequestHead,
    /// The address of the client ([`Request::client`](crate::Request::client)).
    pub client: Option<IpAddr>,
    /// The name of the authenticated user ([`Request::set_user`](crate::Request::set_user)).
    pub user: Option<&'a str>,
    /// The id of the request ([`RequestIds`](crate::RequestIds)).
    pub id: Option<&'a str>,
    /// The status; `None` if the client disconnected before the response started.
    pub status: Option<StatusCode>,
    /// The number of bytes of the response's body that were passed to the connection.
    pub bytes: u64,
    /// `true` if the complete response was sent.
    pub is_complete: bool,
    /// The time at which the request reached the middleware.
    pub time: SystemTime,
    /// The time from the middleware to the start of the response; `None` if the response did not start.
    pub first_byte: Option<Duration>,
    /// The time from the middleware to the end of the response.
    pub total: Duration,
}

impl AccessRecord<'_> {
    /// Returns the value of a request header, if it is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.head.field(name)?).ok()
    }

    /// Returns the status for formats that need a number: 499 if the client disconnected before the response started, as in nginx.
    pub fn status_number(&self) -> u16 {
        self.status.map_or(499, |status| status.as_u16())
    }
}

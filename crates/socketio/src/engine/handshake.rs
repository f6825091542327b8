//! The handshake request of a session.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uptick_http::Request;

/// The handshake request: the first request of a session.
///
/// The target and the headers are stored in one allocation of their exact size.
pub struct Handshake {
    /// The target, followed by one line for each header: its name, a colon and its value.
    text: Box<[u8]>,
    /// Milliseconds since the Unix epoch.
    issued: u64,
    address: Option<IpAddr>,
    secure: bool,
}

impl Handshake {
    pub(super) fn of(req: &Request) -> Handshake {
        let head = req.head();
        let target = head.target().as_bytes();
        let headers = head.fields();
        let size: usize = headers
            .clone()
            .map(|(name, value)| name.len() + value.len() + 2)
            .sum();
        let mut text = Vec::with_capacity(target.len() + size);
        text.extend_from_slice(target);
        for (name, value) in headers {
            text.push(b'\n');
            text.extend(name.bytes().map(|byte| byte.to_ascii_lowercase()));
            text.push(b':');
            text.extend_from_slice(value);
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let issued = since.unwrap_or(Duration::ZERO).as_millis();
        Handshake {
            text: text.into_boxed_slice(),
            issued: u64::try_from(issued).unwrap_or(u64::MAX),
            address: req.client(),
            secure: req.is_secure(),
        }
    }

    /// Returns the request target: path and query.
    pub fn url(&self) -> &str {
        let line = self.text.split(|byte| *byte == b'\n').next();
        std::str::from_utf8(line.unwrap_or_default()).unwrap_or_default()
    }

    /// Returns the names and values of the query, decoded.
    pub fn query(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        let query = self.url().split_once('?').map_or("", |(_, query)| query);
        super::query::pairs(query)
    }

    /// Returns the first value of a query parameter, decoded.
    pub fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.query()
            .find_map(|(found, value)| (found == name).then_some(value))
    }

    /// Returns the headers in their order: names in lower case, and values.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let lines = self.text.split(|byte| *byte == b'\n').skip(1);
        lines.filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = std::str::from_utf8(line.get(..colon)?).ok()?;
            Some((name, line.get(colon + 1..)?))
        })
    }

    /// Returns the first value of a header if it is valid UTF-8. Names are not case-sensitive.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self
            .headers()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// Returns the address of the client; see [`Request::client`].
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Returns the time of the request in milliseconds since the Unix epoch.
    pub fn issued(&self) -> u64 {
        self.issued
    }

    /// Returns the time of the request.
    pub fn time(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.issued)
    }

    /// Returns `true` if the client uses HTTPS; see [`Request::is_secure`].
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Returns `true` if the request has the header `Origin`, as requests from web pages do.
    pub fn is_xdomain(&self) -> bool {
        self.headers().any(|(name, _)| name == "origin")
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers may contain secrets.
        f.debug_struct("Handshake")
            .field("address", &self.address)
            .field("secure", &self.secure)
            .finish_non_exhaustive()
    }
}

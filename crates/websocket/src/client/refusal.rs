//! Responses that refuse to open a WebSocket.

use std::fmt::{self, Display, Formatter};
use std::time::{Duration, SystemTime};

use uptick_emitter::Excerpt;
use uptick_http::{HeaderMap, StatusCode};

/// The time limit for the body of a refusal.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum number of bytes of the body that are kept: 1 KiB.
const MAX_BODY: usize = 1024;

/// The response of a server that did not open a WebSocket, such as a request for authentication, a redirect, or an error.
///
/// # Limits
/// 1 KiB of the body is kept.
#[derive(Clone, Debug)]
pub struct Refusal {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, headers: HeaderMap) -> Self {
        Refusal {
            status,
            headers,
            body: Vec::new(),
        }
    }

    /// Appends bytes of the body; returns `true` if more can be kept.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> bool {
        let room = MAX_BODY.saturating_sub(self.body.len());
        self.body.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.body.len() < MAX_BODY
    }

    /// Returns the status, such as 401.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the headers of the response.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the delay requested with `Retry-After` (RFC 9110, section 10.2.3), for any status. A date is compared with the
    /// `Date` of the response, so that the clocks need not agree.
    pub fn retry_after(&self) -> Option<Duration> {
        let text = |name| self.headers.get(name)?.to_str().ok().map(str::trim);
        let value = text("retry-after")?;
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
        }
        let then = httpdate::parse_http_date(value).ok()?;
        let date = text("date").and_then(|date| httpdate::parse_http_date(date).ok());
        let left = then.duration_since(date.unwrap_or_else(SystemTime::now));
        Some(left.unwrap_or_default())
    }

    /// Returns the first bytes of the body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "the server responded with {}", self.status)?;
        if self.status.is_redirection()
            && let Some(location) = self.headers.get("location")
        {
            return write!(
                f,
                ", which redirects to \"{}\"; redirects are not followed",
                Excerpt::new(String::from_utf8_lossy(location.as_bytes()))
            );
        }
        let text = String::from_utf8_lossy(self.body());
        let text = text.trim();
        if text.is_empty() {
            return Ok(());
        }
        write!(f, ": \"{}\"", Excerpt::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uptick_http::{HeaderName, HeaderValue};

    fn refusal(status: u16, fields: &[(&'static str, &'static str)], body: &str) -> Refusal {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let mut refusal = Refusal::new(StatusCode::from_u16(status).unwrap(), headers);
        refusal.push(body.as_bytes());
        refusal
    }

    #[test]
    fn the_display_shows_the_status_and_the_start_of_the_body() {
        let short = refusal(401, &[], "who\nare you?").to_string();
        assert_eq!(
            short,
            "the server responded with 401 Unauthorized: \"who\\nare you?\""
        );
        let mut long = refusal(404, &[], &"x".repeat(1000));
        assert!(!long.push(&[b'x'; 5000]) && long.body().len() == 1024);
        assert!(long.to_string().ends_with("x… (1024 bytes)\"") && long.to_string().len() < 350);
    }

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        let later = ("retry-after", "Sun, 06 Nov 1994 08:51:07 GMT");
        let seconds = |fields: &[_]| {
            refusal(503, fields, "")
                .retry_after()
                .map(|wait| wait.as_secs())
        };
        assert_eq!(seconds(&[("retry-after", "120")]), Some(120));
        assert_eq!(seconds(&[("retry-after", "0")]), Some(0));
        assert_eq!(
            seconds(&[("retry-after", "99999999999999999999999")]),
            Some(u64::MAX)
        );
        assert_eq!(seconds(&[date, later]), Some(90));
        // The date has passed, by the clock of the server or of this machine.
        assert_eq!(
            seconds(&[("date", later.1), ("retry-after", date.1)]),
            Some(0)
        );
        assert_eq!(seconds(&[later]), Some(0));
        let years = seconds(&[("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT")]);
        assert!(years > Some(1_000_000_000), "{years:?}");
        for wrong in ["", "-1", "+1", "1.5", "soon", "1 s"] {
            assert_eq!(seconds(&[("retry-after", wrong)]), None, "{wrong}");
        }
        assert_eq!(seconds(&[]), None);
    }

    #[test]
    fn a_redirect_shows_its_location() {
        let shown = refusal(302, &[("location", "https://b/")], "moved").to_string();
        assert_eq!(
            shown,
            "the server responded with 302 Found, which redirects to \"https://b/\"; redirects are not followed"
        );
        let long: &'static str = "x".repeat(10_000).leak();
        assert!(refusal(302, &[("location", long)], "").to_string().len() < 400);
    }
}

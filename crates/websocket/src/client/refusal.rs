//! The answer of a server that opens no WebSocket.

use std::fmt::{self, Display, Formatter};
use std::time::{Duration, SystemTime};

use uptick_emitter::Excerpt;
use uptick_http::{HeaderMap, StatusCode};

/// The time for the content of a response that refuses.
pub(crate) const CONTENT_TIME: Duration = Duration::from_secs(1);

/// The most bytes of the content that are kept: 1 KiB.
const MOST_CONTENT: usize = 1024;

/// The answer of a server that opens no WebSocket: it asks for authentication, redirects, or knows nothing of it.
///
/// # Limits
/// 1 KiB of the content are kept.
#[derive(Clone, Debug)]
pub struct Refusal {
    status: StatusCode,
    headers: HeaderMap,
    content: Vec<u8>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, headers: HeaderMap) -> Self {
        Refusal {
            status,
            headers,
            content: Vec::new(),
        }
    }

    /// Takes more of the content; returns whether more is kept.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> bool {
        let room = MOST_CONTENT.saturating_sub(self.content.len());
        self.content
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.content.len() < MOST_CONTENT
    }

    /// The status, such as 401.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The fields of the answer.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The wait that the server asks for (`Retry-After`; RFC 9110, 10.2.3), whatever the status. A date counts from the
    /// server's own `Date`, so that the clocks need not agree.
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

    /// The beginning of the content.
    pub fn content(&self) -> &[u8] {
        &self.content
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "the server answers with {}", self.status)?;
        if self.status.is_redirection()
            && let Some(place) = self.headers.get("location")
        {
            return write!(
                f,
                ", which redirects to \"{}\": that is not followed",
                Excerpt::new(String::from_utf8_lossy(place.as_bytes()))
            );
        }
        let content = String::from_utf8_lossy(self.content());
        let content = content.trim();
        if content.is_empty() {
            return Ok(());
        }
        write!(f, ": \"{}\"", Excerpt::new(content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uptick_http::{HeaderName, HeaderValue};

    fn refusal(status: u16, fields: &[(&'static str, &'static str)], content: &str) -> Refusal {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let mut refusal = Refusal::new(StatusCode::from_u16(status).unwrap(), headers);
        refusal.push(content.as_bytes());
        refusal
    }

    #[test]
    fn it_shows_the_status_and_the_beginning_of_the_content() {
        let short = refusal(401, &[], "who\nare you?").to_string();
        assert_eq!(
            short,
            "the server answers with 401 Unauthorized: \"who\\nare you?\""
        );
        let mut long = refusal(404, &[], &"x".repeat(1000));
        assert!(!long.push(&[b'x'; 5000]) && long.content().len() == 1024);
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
        // It is over already, by the server's clock or by that of this machine.
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
    fn a_redirect_says_where_to() {
        let shown = refusal(302, &[("location", "https://b/")], "moved").to_string();
        assert_eq!(
            shown,
            "the server answers with 302 Found, which redirects to \"https://b/\": that is not followed"
        );
        let long: &'static str = "x".repeat(10_000).leak();
        assert!(refusal(302, &[("location", long)], "").to_string().len() < 400);
    }
}

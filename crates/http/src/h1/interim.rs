//! Interim responses other than `100 Continue`.

use http::{HeaderMap, StatusCode};

use super::encoder::{RESPONSE_START, write_fields};

/// Appends an interim response (RFC 9110, section 15.2) with headers. Connection and framing headers are left out.
///
/// # Examples
/// ```
/// use http::{HeaderMap, HeaderValue, StatusCode};
/// use uptick_http::h1::write_interim;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("link", HeaderValue::from_static("</a.css>; rel=preload"));
/// let mut out = Vec::new();
/// write_interim(&mut out, StatusCode::EARLY_HINTS, &headers);
/// assert_eq!(out, b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n");
/// ```
pub fn write_interim(out: &mut Vec<u8>, status: StatusCode, headers: &HeaderMap) {
    out.extend_from_slice(RESPONSE_START);
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    write_fields(out, headers, true);
    out.extend_from_slice(b"\r\n");
}

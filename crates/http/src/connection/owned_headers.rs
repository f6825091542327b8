//! Connection and framing headers, which the server writes itself.

use http::header::{CONNECTION, CONTENT_LENGTH, UPGRADE};
use uptick_emitter::Excerpt;
use uptick_socket::Connection;

use crate::h1;
use crate::{HeaderMap, HeaderName, HeaderValue};

/// Logs, at level `DEBUG`, the headers of a response that the server replaces.
///
/// `length` is the `Content-Length` that is sent, or `None` if the value set by the response is sent.
#[inline]
pub(super) fn log_replaced(conn: Connection, headers: &HeaderMap, length: Option<u64>) {
    if tracing::enabled!(tracing::Level::DEBUG) {
        for (name, value) in headers {
            if h1::is_owned(name) && !is_equivalent(name, value, headers, length) {
                log(conn, name, value);
            }
        }
    }
}

/// Returns `true` if the headers of a response request that the connection ends: `Connection: close`.
pub(super) fn closes(headers: &HeaderMap) -> bool {
    let options = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    options
        .map(<[u8]>::trim_ascii)
        .any(|option| option.eq_ignore_ascii_case(b"close"))
}

#[cold]
fn log(conn: Connection, name: &HeaderName, value: &HeaderValue) {
    let value = Excerpt::new(String::from_utf8_lossy(value.as_bytes()));
    tracing::debug!(
        connection = conn.id(),
        "the header \"{name}: {value}\" of a response was replaced: the server sets this header"
    );
}

/// Returns `true` if the headers sent by the server have the same meaning.
fn is_equivalent(
    name: &HeaderName,
    value: &HeaderValue,
    headers: &HeaderMap,
    length: Option<u64>,
) -> bool {
    if *name == CONTENT_LENGTH {
        return length.is_none_or(|length| value.as_bytes() == length.to_string().as_bytes());
    }
    let mut options = value.as_bytes().split(|byte| *byte == b',');
    *name == CONNECTION
        && options.all(|option| {
            let option = option.trim_ascii();
            let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
            is(b"close") || is(b"keep-alive") || is(b"upgrade") && headers.contains_key(UPGRADE)
        })
}

//! Results as they are printed.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use uptick::http::h1::{Fields, Trailers, Version};
use uptick::http_client::{Error, ErrorKind, Response, StreamingResponse};

use crate::perform::Attempts;

/// The result of a request with a complete response.
pub(crate) struct Completed(Value);

/// Returns the members that both kinds of responses have.
macro_rules! members_of {
    ($response:expr) => {{
        let response = $response;
        json!({
            "ok": true,
            "status": response.status().as_u16(),
            "version": version(response.version()),
            "headers": fields(response.fields()),
            "trailers": trailers(response.trailers()),
            "url": response.url(),
            "redirects": response.redirects(),
            "informational": response.informational(),
            "reused": response.is_reused(),
            "attempts": response.attempts(),
        })
    }};
}

impl Completed {
    pub(crate) fn of(response: Response) -> Completed {
        let mut result = members_of!(&response);
        result["body"] = BASE64_STANDARD.encode(response.body()).into();
        Completed(result)
    }

    /// Returns the result of a response whose body was read as a stream.
    pub(crate) fn of_stream(response: &StreamingResponse, length: u64, sha256: &[u8]) -> Completed {
        let mut result = members_of!(response);
        result["body_len"] = length.into();
        result["body_sha256"] = hexadecimal(sha256).into();
        Completed(result)
    }

    pub(crate) fn with_id(mut self, id: &Value) -> Value {
        self.0["id"] = id.clone();
        self.0
    }
}

/// Returns the result of a request that failed.
pub(crate) fn failed(id: &Value, error: &Error) -> Value {
    let mut result = json!({
        "id": id,
        "ok": false,
        "error": {"kind": error.kind().name(), "message": error.to_string()},
        "reused": error.is_reused(),
        "attempts": error.attempts(),
    });
    if let Some(status) = error.status() {
        result["status"] = status.as_u16().into();
    }
    if let Some(url) = error.url() {
        result["url"] = url.into();
    }
    result
}

/// Returns the result of a request that was cancelled.
pub(crate) fn cancelled(id: &Value, attempts: &Attempts) -> Value {
    json!({
        "id": id,
        "ok": false,
        "error": {"kind": ErrorKind::Cancelled.name(), "message": "the request was cancelled"},
        "reused": attempts.is_reused.get(),
        "attempts": attempts.attempts.get(),
    })
}

fn version(version: Version) -> &'static str {
    match version {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
        Version::Http2 => "2",
    }
}

/// Returns fields as pairs of texts. Each byte of a value becomes the character with its number.
fn fields(fields: Fields<'_>) -> Value {
    let text = |value: &[u8]| value.iter().copied().map(char::from).collect::<String>();
    fields
        .map(|(name, value)| json!([name.to_ascii_lowercase(), text(value)]))
        .collect()
}

fn trailers(trailers: Option<&Trailers>) -> Value {
    trailers.map_or_else(|| json!([]), |trailers| fields(trailers.fields()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

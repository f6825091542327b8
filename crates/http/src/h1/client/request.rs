//! Requests as bytes.

use http::header::{HOST, UPGRADE};
use http::{HeaderMap, Method};

use crate::h1::encoder::{EncodeError, Encoder, Framing, Persistence, is_owned, write_decimal};
use crate::h1::parse;
use crate::h1::target::check_authority;

/// The framing of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestBody {
    /// There is none.
    None,
    /// Its length in bytes.
    Bytes(u64),
    /// It is sent in chunks.
    Stream,
}

/// The head of a request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// The target in the form that belongs to the method: a path with its query, a whole URI to a proxy, host and port for `CONNECT`,
    /// or `*` for `OPTIONS`.
    pub target: &'a str,
    /// The value of `Host`: the host, with the port unless it is that of the scheme.
    pub host: &'a str,
    /// The other fields. `Host` and those of connection and framing ([`is_owned`]) are not sent from here.
    pub fields: Option<&'a HeaderMap>,
    /// The framing of the body.
    pub body: RequestBody,
    /// Whether the server is asked to close the connection after the response.
    pub close: bool,
}

/// Writes the head of a request; returns the encoder of its body. Names of headers are written in lower case, and `Connection: Upgrade`
/// where the fields have `Upgrade`.
///
/// # Errors
///
/// [`EncodeError::InvalidRequest`] when the target, the host or the body is none that a server may accept; then nothing was written.
pub fn begin(out: &mut Vec<u8>, request: &Request<'_>) -> Result<Encoder, EncodeError> {
    let start = out.len();
    out.extend_from_slice(request.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(request.target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    // What our own server refuses may be understood as something else by another.
    let is_valid = request.target.bytes().all(|byte| byte.is_ascii_graphic())
        && parse::check_first_line(out.get(start..).unwrap_or_default()).is_ok();
    if !is_valid {
        out.truncate(start);
        return Err(EncodeError::InvalidRequest("target"));
    }
    if check_authority(request.host.as_bytes()).is_none() {
        out.truncate(start);
        return Err(EncodeError::InvalidRequest("host"));
    }
    if *request.method == Method::CONNECT && request.body != RequestBody::None {
        out.truncate(start);
        return Err(EncodeError::InvalidRequest("body"));
    }
    out.extend_from_slice(b"host: ");
    out.extend_from_slice(request.host.as_bytes());
    out.extend_from_slice(b"\r\n");
    let framing = write_framing(out, request.method, request.body);
    let upgrades = request
        .fields
        .is_some_and(|fields| fields.contains_key(UPGRADE));
    out.extend_from_slice(match (request.close, upgrades) {
        (true, true) => b"connection: close, Upgrade\r\n",
        (true, false) => b"connection: close\r\n",
        (false, true) => b"connection: Upgrade\r\n",
        (false, false) => b"",
    });
    for (name, value) in request.fields.into_iter().flatten() {
        if is_owned(name) || *name == HOST {
            continue;
        }
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"\r\n");
    let persistence = match (request.close, upgrades) {
        (true, _) => Persistence::Close,
        (false, true) => Persistence::Upgrade,
        (false, false) => Persistence::KeepAlive,
    };
    Ok(Encoder::of_request(framing, persistence))
}

/// Writes the fields that delimit the body.
fn write_framing(out: &mut Vec<u8>, method: &Method, body: RequestBody) -> Framing {
    let length = match body {
        RequestBody::Stream => {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            return Framing::Chunked;
        }
        RequestBody::Bytes(length) => Some(length),
        // These methods have a body by their meaning (RFC 9110, 8.6).
        RequestBody::None => {
            matches!(*method, Method::POST | Method::PUT | Method::PATCH).then_some(0)
        }
    };
    if let Some(length) = length {
        out.extend_from_slice(b"content-length: ");
        write_decimal(out, length);
        out.extend_from_slice(b"\r\n");
    }
    Framing::Bytes(length.unwrap_or(0))
}

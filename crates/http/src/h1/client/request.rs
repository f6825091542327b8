//! HTTP/1.1 request encoder.

use http::Method;
use http::header::{HOST, TE, UPGRADE};

use crate::h1::encoder::{EncodeError, Encoder, Framing, Persistence, write_decimal};
use crate::h1::parse;
use crate::message::target::check_authority;
use crate::message::{RequestFields, is_owned};

/// The framing of a request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestBody {
    /// No body.
    None,
    /// A body with this number of bytes.
    Bytes(u64),
    /// A chunked body.
    Stream,
}

/// The head of a request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// The target in the form that the method requires: a path and query, a complete URI for a proxy, host and port for `CONNECT`, or `*`
    /// for `OPTIONS`.
    pub target: &'a str,
    /// The value of `Host`: the host, and the port unless it is the default port of the scheme.
    pub host: &'a str,
    /// The other headers. `Host` and connection and framing headers ([`is_owned`]) are not sent.
    pub fields: RequestFields<'a>,
    /// The framing of the body.
    pub body: RequestBody,
    /// `true` to ask the server to close the connection after the response.
    pub close: bool,
}

/// Writes the head of a request, and returns the encoder for its body. Header names are written in lower case. `Connection` lists `Upgrade`
/// and `TE` if the headers contain them.
///
/// # Errors
///
/// [`EncodeError::InvalidRequest`] if the target, the host or the body is not valid. Nothing is written in this case.
pub fn encode_request(out: &mut Vec<u8>, request: &Request<'_>) -> Result<Encoder, EncodeError> {
    let start = out.len();
    out.extend_from_slice(request.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(request.target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    // A server may misinterpret a target that the decoder of this crate refuses.
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
    let upgrades = request.fields.contains(&UPGRADE);
    // A sender of Upgrade or TE also sends it as a connection option (RFC 9110, sections 7.8 and 10.1.4).
    let options = [
        (request.close, "close"),
        (upgrades, "Upgrade"),
        (request.fields.contains(&TE), "TE"),
    ];
    let mut prefix = "connection: ";
    for (_, option) in options.into_iter().filter(|(is_set, _)| *is_set) {
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(option.as_bytes());
        prefix = ", ";
    }
    if prefix == ", " {
        out.extend_from_slice(b"\r\n");
    }
    for (name, value) in request.fields.iter() {
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

/// Writes the framing headers, and returns the framing.
fn write_framing(out: &mut Vec<u8>, method: &Method, body: RequestBody) -> Framing {
    let length = match body {
        RequestBody::Stream => {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            return Framing::Chunked;
        }
        RequestBody::Bytes(length) => Some(length),
        // These methods define a meaning for a body (RFC 9110, section 8.6).
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

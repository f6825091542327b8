//! Refused requests, with the error codes of the official server.

use std::borrow::Cow;

use serde::Serialize;
use uptick_http::{HeaderMap, Method, Request, Response, StatusCode};

/// The error code of a refused request, as used by the official server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalCode {
    /// 0: the query names no transport, or one that is not enabled.
    UnknownTransport = 0,
    /// 1: no session has the given id.
    UnknownSession = 1,
    /// 2: a request without a session id does not use the method GET.
    BadHandshakeMethod = 2,
    /// 3: the request does not fit the session or the transport.
    BadRequest = 3,
    /// 4: the application refused the handshake.
    Forbidden = 4,
    /// 5: the client uses another version of the protocol.
    UnsupportedProtocol = 5,
}

impl RefusalCode {
    /// Returns the code for a number.
    #[cfg_attr(not(feature = "workers"), expect(dead_code, reason = "for workers"))]
    pub(super) fn of(number: u8) -> Option<RefusalCode> {
        let all = [
            RefusalCode::UnknownTransport,
            RefusalCode::UnknownSession,
            RefusalCode::BadHandshakeMethod,
            RefusalCode::BadRequest,
            RefusalCode::Forbidden,
            RefusalCode::UnsupportedProtocol,
        ];
        all.get(usize::from(number)).copied()
    }

    /// Returns the message that the official server sends.
    pub fn message(self) -> &'static str {
        match self {
            RefusalCode::UnknownTransport => "Transport unknown",
            RefusalCode::UnknownSession => "Session ID unknown",
            RefusalCode::BadHandshakeMethod => "Bad handshake method",
            RefusalCode::BadRequest => "Bad request",
            RefusalCode::Forbidden => "Forbidden",
            RefusalCode::UnsupportedProtocol => "Unsupported protocol version",
        }
    }
}

/// A refused request: the payload of the event `connection_error`.
#[derive(Clone, Debug)]
pub struct ConnectionError {
    /// The error code.
    pub code: RefusalCode,
    /// The message sent to the client.
    pub message: Cow<'static, str>,
    /// The cause, as the official server names it: `INVALID_ORIGIN`, `TRANSPORT_MISMATCH`, `PROTOCOL_MISMATCH` or
    /// `TRANSPORT_HANDSHAKE_ERROR`. Empty for other causes.
    pub cause: &'static str,
    /// The method of the request.
    pub method: Method,
    /// The target of the request.
    pub target: String,
    /// The headers of the request.
    pub headers: HeaderMap,
}

/// A refusal of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestRefusal {
    code: RefusalCode,
    message: Cow<'static, str>,
    cause: &'static str,
}

impl From<RefusalCode> for RequestRefusal {
    fn from(code: RefusalCode) -> RequestRefusal {
        RequestRefusal {
            code,
            message: code.message().into(),
            cause: "",
        }
    }
}

/// The JSON body of a refusal.
#[derive(Serialize)]
struct RefusalBody<'a> {
    code: u8,
    message: &'a str,
}

impl RequestRefusal {
    /// Creates the refusal of a bad request with a cause.
    pub(super) fn bad_request(cause: &'static str) -> RequestRefusal {
        RequestRefusal {
            cause,
            ..RefusalCode::BadRequest.into()
        }
    }

    /// Creates a refusal by the application. An empty message is replaced by the default one.
    pub(super) fn forbidden(message: String) -> RequestRefusal {
        let usual = RequestRefusal::from(RefusalCode::Forbidden);
        match message.is_empty() {
            true => usual,
            false => RequestRefusal {
                message: message.into(),
                ..usual
            },
        }
    }

    /// Returns the payload of the event `connection_error`.
    pub(super) fn describe(&self, req: &Request) -> ConnectionError {
        ConnectionError {
            code: self.code,
            message: self.message.clone(),
            cause: self.cause,
            method: req.method().clone(),
            target: req.target().to_owned(),
            headers: req.headers(),
        }
    }

    /// Returns the response to the refused request.
    pub(super) fn response(&self) -> Response {
        let status = match self.code {
            RefusalCode::Forbidden => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_REQUEST,
        };
        let body = RefusalBody {
            code: self.code as u8,
            message: &self.message,
        };
        Response::json(body).with_status(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_of_a_refusal_matches_the_official_server() {
        let response = RequestRefusal::from(RefusalCode::UnknownSession).response();
        assert_eq!(response.status(), 400);
        let body = response.body().as_bytes();
        assert_eq!(
            body,
            Some(&br#"{"code":1,"message":"Session ID unknown"}"#[..])
        );
        let response = RequestRefusal::forbidden("say \"please\"".to_owned()).response();
        assert_eq!(response.status(), 403);
        let body = response.body().as_bytes();
        assert_eq!(body, Some(&br#"{"code":4,"message":"say \"please\""}"#[..]));
        let response = RequestRefusal::forbidden(String::new()).response();
        let body = response.body().as_bytes();
        assert_eq!(body, Some(&br#"{"code":4,"message":"Forbidden"}"#[..]));
    }
}
